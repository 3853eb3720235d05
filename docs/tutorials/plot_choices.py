r"""
Choices and states
==================

A mouse chooses left, right or nothing in each trial of a task, and is engaged, biased or drowsy in stretches of trials.
What drives the one, and what tells the other? Both are categorical: a class per trial, no number. `ClassifierGLMCV`
predicts the probabilities of the classes from named groups of features, and drops groups for all classes at once.
"""

# %%
# A task, and a mouse of which we know what it does
# -------------------------------------------------
# 3,000 trials of 60 sessions. The choice follows the contrast of the stimulus; after a reward the mouse comes back to
# the side that gave it; and late in a session it often does nothing. The running speed says nothing about choices. The
# state was told by a hidden Markov model, in all sessions but the last six, and shows in the size of the pupil and in
# the speed.

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd

import popglm as pg

rng = np.random.default_rng(2)
n_sessions, n_trials = 60, 50
n = n_sessions * n_trials
number = np.tile(np.arange(n_trials), n_sessions)

state = np.zeros(n, int)
for t in range(1, n):
    stays = rng.random() < 0.93 and number[t] > 0
    state[t] = state[t - 1] if stays else rng.choice(3, p=[0.5, 0.3, 0.2])
pupil = np.array([0.8, 0.4, -1.2])[state] + rng.normal(0, 0.8, n)
speed = np.exp(np.array([1.2, 1.9, 0.6])[state] + rng.normal(0, 0.5, n))

contrast = rng.choice([-1.0, -0.25, -0.12, -0.06, 0.0, 0.06, 0.12, 0.25, 1.0], n)
names = np.array(["left", "none", "right"])
choice, previous, rewarded = np.zeros(n, int), np.full(n, "none", object), np.zeros(n)
for t in range(n):
    seen = 3 * np.tanh(3 * contrast[t])
    drive = np.array([-seen, 0.08 * number[t] - 2.5, seen])
    if t and number[t]:
        previous[t] = names[choice[t - 1]]
        rewarded[t] = float(names[choice[t - 1]] == ("right" if contrast[t - 1] > 0 else "left"))
        drive[choice[t - 1]] += 1.2 * rewarded[t] * (choice[t - 1] != 1)
    choice[t] = np.argmax(drive + rng.gumbel(size=3))

session = {"contrast": contrast, "previous": previous, "rewarded": rewarded, "trial number": number, "speed": speed,
           "pupil": pupil}  # fmt: skip
labels = pd.DataFrame({"choice": names[choice], "state": np.array(["engaged", "biased", "drowsy"])[state]})
labels.loc[number.size - 6 * n_trials :, "state"] = None
labels.groupby("choice").size()

# %%
# Groups of features
# ------------------
# Each term is a group: a curve over the contrast, the choice before, the same with its reward, a curve over the trials
# of a session, the speed, and the pupil.

design = pg.Design(
    [
        pg.splines("contrast", n=6),
        pg.categories("previous"),
        pg.product(pg.categories("previous", levels=["left", "right"]), "rewarded", name="rewarded choice"),
        pg.splines("trial number", n=5),
        pg.linear("speed"),
        pg.linear("pupil"),
    ]
)
X = design.fit_transform(session)

# %%
# One fit for both responses
# --------------------------
# Whole sessions go to the folds. Each response gets its own strength of the group lasso, here the largest one within a
# standard error of the best; unknown states drop out.

model = pg.ClassifierGLMCV("group_lasso", cv=6, se_fraction=1.0).fit(X, labels, groups=np.arange(n) // n_trials)
model.evaluate(X, labels).round(2)

# %%
# Weights of classes
# ------------------
# ``to_xarray`` has them with their names. A column of the picture is a feature, a row a class. No class is a reference:
# weights have a mean of 0 over classes, so that the colour says for which classes a feature speaks, and against which.
# Groups without colour have no weight in any class.

weights = model.to_xarray().coef
groups = weights.group.values
edges = np.flatnonzero(groups[1:] != groups[:-1]) + 0.5
fig, axes = plt.subplots(2, 1, figsize=(9, 4.2), sharex=True, layout="constrained")
for ax, response in zip(axes, ["choice", "state"], strict=True):
    of_response = model.has_class_[model.neuron_names_.index(response)]
    own = weights.sel(neuron=response)[of_response]
    largest = float(np.abs(own).max())
    image = ax.imshow(own, aspect="auto", cmap="RdBu_r", vmin=-largest, vmax=largest, interpolation="nearest")
    ax.set_yticks(range(len(own)), own["class"].values)
    ax.set_title(response, loc="left")
    for edge in edges:
        ax.axvline(edge, color="0.7", lw=0.8)
    fig.colorbar(image, ax=ax, label="weight")
middle = [np.flatnonzero(groups == group).mean() for group in dict.fromkeys(groups)]
axes[1].set_xticks(middle, list(dict.fromkeys(groups)), rotation=20, ha="right")

# %%
# Kernels of classes
# ------------------
# `kernels` puts the weights of a group back into the units of its variable: here the choice over the contrast, and over
# the trials of a session. A curve is what the group adds to the log odds of a class. `bootstrap` fits again to sessions
# that are drawn with replacement, for the bands.

kernels = pg.bootstrap(model, design, X, labels, trial=np.arange(n) // n_trials, n_resamples=40)
fig, axes = plt.subplots(1, 2, figsize=(10, 3), layout="constrained")
pg.plot.kernel_curves(kernels, axes[0], group="contrast", neurons="choice")
pg.plot.kernel_curves(kernels, axes[1], group="trial number", neurons="choice")

# %%
# What each group carries
# -----------------------
# `breakdown` takes a group out of the fitted model, and scores what is left on the sessions that a fold held out. A bar
# is the share of the deviance explained that is lost. The choice hangs on the contrast, on the reward before and on the
# time in the session, the state on speed and pupil, as it was simulated.

lost = pg.breakdown(model, X, labels).fraction_explained_deviance
fig, axes = plt.subplots(1, 2, figsize=(9, 3), sharex=True, sharey=True, layout="constrained")
for ax, response in zip(axes, ["choice", "state"], strict=True):
    ax.barh(lost["variable"].values, lost.sel(neuron=response), color="C0")
    ax.axvline(0, color="0.3", lw=0.8)
    explained = float(model.cv_deviance_explained_[model.neuron_names_.index(response)])
    ax.set_title(f"{response}: {explained:.0%} of held-out deviance", loc="left")
    ax.set_xlabel("share of it that is lost without")
axes[0].invert_yaxis()

# %%
# What only one group can say
# ---------------------------
# `compare` fits again without a group. What a group shares with others is no loss then. `shapley` shares out what is
# explained, so that the parts add up. Speed and pupil say unlike things of the state: both columns are nearly alike.

unique = pg.compare(model, X, labels).fraction_explained_deviance
shares = pg.shapley(model, X, labels).fraction_explained_deviance
both = {"only this": unique.sel(neuron="state").to_series(), "its share": shares.sel(neuron="state").to_series()}
pd.DataFrame(both).round(2)

# %%
# Probabilities against what happened
# -----------------------------------
# Held-out probabilities of the choices over the contrast, beside their frequencies. Lines are predictions, dots the
# share of trials.

p = model.predict_proba_held_out()[:, 0]
fig, ax = plt.subplots(figsize=(5, 3.2), layout="constrained")
levels = np.unique(contrast)
for k, name in enumerate(names):
    column = model.classes_.tolist().index(name)
    ax.plot(levels, [p[contrast == c, column].mean() for c in levels], color=f"C{k}", label=name)
    ax.plot(levels, [(choice[contrast == c] == k).mean() for c in levels], "o", color=f"C{k}", ms=4)
ax.set(xlabel="contrast, left to right", ylabel="probability of the choice", ylim=(0, 1))
ax.legend(frameon=False)

# %%
# The same without a variable: in bins of the probability that a class was given, how often was it there? A
# slope above 1 says that probabilities are too timid, as they are under the strong penalty of ``se_fraction=1``.

pg.plot.calibration(pg.calibration(model, X, labels, trial=np.arange(n) // n_trials, bins=8), neurons="choice")

# %%
# The unknown states, too, have probabilities:

pd.DataFrame(model.predict_proba(X)[-3:, 1], columns=model.classes_).loc[:, ["engaged", "biased", "drowsy"]].round(2)
