r"""
Calcium imaging in a virtual maze
=================================

From a recording session to statements about neurons: explore, build the design matrix, fit, select, evaluate; then
kernels, breakdown, comparison, significance and confidence bands, and when to use which.

The session is simulated, so every statement can be held against the truth. A mouse runs along a virtual maze, sees a
cue, chooses a side at the end, gets feedback, and waits. Activity is like deconvolved calcium: sparse,
over-dispersed, never negative.
"""

# %%
# Explore
# -------
# Behaviour and activity are DataFrames with one row per sample, six per second. Position is NaN after the choice, and
# the time from the choice is NaN before it.

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd

import popglm as pg
from popglm import plot

session = pg.maze_session(n_samples=10_000, n_neurons=40, n_task_variables=4)
behavior, activity = session.behavior, session.activity
behavior.iloc[[0, 1, 60, 61]].round(2)

# %%
# Two minutes of it, variables over activity:

units = {"position": "cm", "time_from_choice": "s", "pitch": "cm/s", "roll": "cm/s", "yaw": "cm/s"}
minutes = slice(0, 720)
_, ax = plt.subplots(figsize=(9, 6), layout="constrained")
plot.session_overview(behavior[minutes], activity[minutes], ax=ax, time="time", trial="trial", units=units)
plt.show()

# %%
# Before any model: average activity over position and time, by type of trial. Each bin overlaps half of the next. This
# neuron is active in one part of the maze, and more so after one of the two cues:

spacing = {"position": 240 / 19, "time_from_choice": 5 / 12}
where = {"position": np.linspace(10, 250, 20), "time_from_choice": np.linspace(0, 5, 13)}
axes_of_task = [
    pg.bins(behavior[name], centers, half_width=spacing[name], unit=units[name]) for name, centers in where.items()
]
averages = pg.tuning(activity, axes_of_task, behavior[["cue", "cho"]], trial=behavior["trial"])

fig, axes = plt.subplots(1, 2, figsize=(10, 3), sharey=True, layout="constrained")
for ax, name in zip(axes, where, strict=True):
    plot.tuning_curves(averages, ax=ax, axis=name, neurons="neuron15", unit="a.u.")
plt.show()

# %%
# The task's variables are correlated over trials, and most trials are correct (``corr`` is 1), so that position ×
# corr is nearly position. Averages by one variable cannot tell whether a neuron follows it or one that goes along
# with it; a model with all of them can, to the extent that they differ.

behavior.groupby("trial")[["cue", "cho", "corr", "prevCorr"]].first().corr().round(2)

# %%
# Design matrix
# -------------
# Position is expanded into 20 raised cosines, and so is time from the choice, into 13. A variable whose effect
# depends on where the animal is gets the product with these: one group of columns for each of the two axes.

task = ["cue", "cho", "corr", "prevCorr"]
velocities = ["pitch", "roll", "yaw"]
position = pg.bumps("position", n=20, low=10, high=250)
elapsed = pg.bumps("time_from_choice", n=13, low=0, high=5)
design = pg.Design(
    [
        *(position, *(position * v for v in task)),
        *(elapsed, *(elapsed * v for v in task)),
        *(pg.splines(v, n=7, quantiles=True) for v in velocities),
    ],
    trial="trial",
)

train = behavior["trial"] % 7 != 0  # every seventh trial is for the test
X, X_test = design.fit_transform(behavior[train]), design.transform(behavior[~train])
Y, Y_test = activity[train], activity[~train]
trial = behavior.loc[train, "trial"]

fig, axes = plt.subplots(1, 3, figsize=(11, 2.6), layout="constrained")
plot.basis_functions(design, ax=axes[0], group="position", unit="cm")
plot.basis_functions(design, ax=axes[1], group="time_from_choice", unit="s")
plot.basis_functions(design, ax=axes[2], group="pitch", unit="cm/s")
plt.show()

# %%
# The matrix itself, z-scored, with its groups:

_, ax = plt.subplots(figsize=(9, 5.5), layout="constrained")
plot.design_matrix(X[:400], ax=ax)
plt.show()

# %%
# Fit and select
# --------------
# A Poisson model with a group lasso: groups that do not help a neuron are 0 as a whole. Folds are dealt by trial, and
# every neuron gets the strength with its least held-out deviance.

model = pg.GLMCV(family="poisson", penalty="group_lasso", lambdas=10.0 ** np.linspace(-1, -4, 7), cv=5, tol=1e-3)
model.fit(X, Y, groups=trial)
model.summary().to_frame().map(lambda value: f"{value:.3g}")

# %%
# ``tol=1e-3`` ends fits a thousandth of the null deviance from the minimum, which is far below what a picture can show.

_, ax = plt.subplots(figsize=(5, 3.2), layout="constrained")
plot.deviance_over_strengths(model, ax=ax)
plt.show()

# %%
# Evaluate
# --------
# On trials that had no part in the fit.

scores = model.evaluate(X_test, Y_test)
fig, axes = plt.subplots(1, 3, figsize=(12, 3.3), layout="constrained")
plot.deviance_histogram(scores, ax=axes[0])
plot.deviance_cumulative({"test": scores, "held out": model.cv_deviance_explained_}, ax=axes[1])
plot.explained_and_null_deviance(scores, ax=axes[2])
plt.show()

# %%
# Recorded and predicted, in test trials:

best = scores["deviance_explained"].nlargest(3).index
predicted = pd.DataFrame(model.predict(X_test), columns=Y.columns)
stretch = slice(0, 600)
fig, axes = plt.subplots(3, 1, figsize=(9, 5), sharex=True, layout="constrained")
for ax, neuron in zip(axes, best, strict=True):
    plot.predicted_and_recorded(
        Y_test[neuron][stretch],
        predicted[neuron][stretch],
        time=np.arange(600) / 6,
        ax=ax,
        trial=behavior.loc[~train, "trial"][stretch],
        unit="a.u.",
    )
    ax.set_title(
        f"{neuron}: {scores.deviance_explained[neuron]:.0%} of the test deviance", fontsize="medium", loc="left"
    )
    ax.label_outer()
plt.show()

# %%
# Kernels and gains
# -----------------
# Weights times basis functions, with the z-scoring undone: what a group adds to the linear predictor, in the units of
# its variable, from its mean over the session. Its exponential is a gain, a factor on the rate: 1 is the rate that is
# usual in this session. For a product the kernel is the interaction at +1.

tuned = pg.kernels(model, design, units=units)
fig, axes = plt.subplots(1, 3, figsize=(12, 3.2), layout="constrained")
plot.kernel_curves(tuned, ax=axes[0], group="position", neurons=list(best))
plot.kernel_curves(tuned, ax=axes[1], group="position", neurons=list(best), quantity="gain")
plot.kernel_image(tuned, ax=axes[2], group="position")
plt.show()

# %%
# The simulation knows the true kernels. Over neurons of which more than 20 % is explained:

well = scores.index[scores["deviance_explained"] > 0.2]
truth = session.truth.weights.loc[well, "position"] @ design.terms_["position"].grid(200)[1].T
found = tuned["position"].kernel.sel(neuron=well)
active = session.truth.active.loc[well, "position"]
agreement = pd.Series(
    [np.corrcoef(a, b)[0, 1] for a, b in zip(truth.values[active], found.values[active], strict=True)]
)
print(f"{active.sum()} neurons with a position kernel; correlation with the truth: median {agreement.median():.2f}")

# %%
# The mean absolute kernel says how strongly the population is tuned to a variable, and where. It mixes effects with
# noise, and it does not know how often the animal is there; deviance does.

fig, axes = plt.subplots(1, 2, figsize=(12, 3.4), layout="constrained")
plot.mean_absolute_kernels(tuned, ax=axes[0], groups="position*")
plot.mean_absolute_kernels(tuned, ax=axes[1], groups="time_from_choice*")
plt.show()

# %%
# Breakdown
# ---------
# How much of what the model explains rests on a variable? Its columns, over position *and* time, are set to 0, which
# is their mean; each fold's weights predict the samples that it held out; and the deviance rises. No new fit is needed.

variables = {
    "position": "position",
    "time": "time_from_choice",
    **{v: f"* × {v}" for v in task},
    "velocity": velocities,
}
by = [pg.bins(behavior.loc[train, name], where[name], spacing[name], unit=units[name]) for name in where]
parts = pg.breakdown(model, X, Y, variables, by=by)

_, ax = plt.subplots(figsize=(7, 3.4), layout="constrained")
plot.contribution_distribution(parts, ax=ax, quantity="fraction_explained_deviance", neurons=list(well))
plt.show()

# %%
# The same in every bin of position and time: where in the task does a variable matter?

fig, axes = plt.subplots(1, 2, figsize=(13, 3.6), layout="constrained")
for ax, axis in zip(axes, where, strict=True):
    plot.contributions_over_bins(parts, ax=ax, axis=axis, neurons=list(well))
plt.show()

# %%
# Other ways to ablate answer other questions. Shuffled columns put a variable's effect in the wrong places, which
# costs more than leaving it out. ``method="keep"`` ablates *all other* variables; in a Poisson model that also leaves
# the mean rate wrong, since the intercept was made for the full model, and the result can be negative.

methods = {
    method: pg.breakdown(model, X, Y, variables, method=method, seed=0) for method in ("zero", "shuffle", "keep")
}
pd.DataFrame(
    {
        method: result.fraction_explained_deviance.sel(neuron=well).mean("neuron").to_series()
        for method, result in methods.items()
    }
).round(3)

# %%
# Comparison
# ----------
# What would be lost without a variable, if all others could take over? For every variable a model without it is
# fitted, on the same folds, starting from the full model's path.

compared = pg.compare(model, X, Y, variables)
fig, axes = plt.subplots(1, 2, figsize=(11, 4.4), layout="constrained")
plot.full_and_reduced(compared, ax=axes[0], variable="cue")
plot.breakdown_and_comparison(parts, compared, ax=axes[1], quantity="fraction_null_deviance")
plt.show()

# %%
# On the left, neurons above the diagonal follow the cue; the others are predicted as well without it. On the right
# most points lie below the diagonal: what variables share is credited to each by the breakdown, and to neither by the
# comparison.
#
# The inverse, ``method="add"``, fits each variable alone. In this task ``corr`` and ``prevCorr`` alone explain half
# of what the full model does, because position × corr stands in for position. How well a variable predicts alone is
# no evidence that a neuron follows it.

added = pg.compare(model, X, Y, variables, method="add")
views = {"breakdown": parts, "comparison": compared, "comparison, alone": added}
pd.DataFrame(
    {
        name: result.fraction_explained_deviance.sel(neuron=well).mean("neuron").to_series()
        for name, result in views.items()
    }
).round(3)

# %%
# A variable that is there twice
# ------------------------------
# The extreme of correlation. The cue enters a second time under another name, say as the side of a picture that was
# always shown on the cue's side. Ridge shares the weights between the two.

twice = behavior.assign(picture=behavior["cue"])
copied = pg.Design([position, position * "cue", position * "picture", elapsed, elapsed * "cho"], trial="trial")
X_twice = copied.fit_transform(twice[train])
follows_cue = session.truth.active.filter(like="cue").any(axis=1)
cued = follows_cue.index[follows_cue & (scores["deviance_explained"] > 0.2)]
both = pg.GLMCV(family="poisson", penalty="ridge", lambdas=10.0 ** np.linspace(1, -3, 9), cv=5, tol=1e-3)
both.fit(X_twice, Y[cued], groups=trial)

doubled = {"cue": "* × cue", "picture": "* × picture"}
pair = {
    "breakdown": pg.breakdown(both, X_twice, Y[cued], doubled),
    "comparison": pg.compare(both, X_twice, Y[cued], doubled),
    "breakdown of both together": pg.breakdown(both, X_twice, Y[cued], {"cue and picture": ["* × cue", "* × picture"]}),
}
pd.DataFrame({name: result.fraction_null_deviance.mean("neuron").to_series() for name, result in pair.items()}).round(4)

# %%
# All of these neurons follow the cue. The comparison gives 0 to each name of it, because the other takes over at no
# loss; read alone, it would say that these neurons do not care. The breakdown gives each its share of the weights.
# Neither can tell which of the two the neurons follow, and no analysis of this session can: put what cannot be told
# apart into one variable.
#
# More than chance?
# -----------------
# Each neuron's activity is shifted against the behaviour, many times, which keeps the rhythms of both. What the model
# explains must beat what it explains of shifted activity; q-values control the false-discovery rate over neurons.

chance = pg.significance(model, X, Y, variables, trial=trial, n_shifts=200)
print(
    f"{int((chance.q_value < 0.05).sum())} of {chance.q_value.size} neurons are predicted better than chance (q < 0.05)"
)

# %%
# Each variable's contribution is tested, too: does it add to all the others? Against the truth:

found = (chance.contribution_q_value < 0.05).to_pandas()
true_groups = {
    "position": ["position"],
    "time": ["time_from_choice"],
    **{v: [f"position × {v}", f"time_from_choice × {v}"] for v in task},
    "velocity": velocities,
}
true = pd.DataFrame({name: session.truth.active[groups].any(axis=1) for name, groups in true_groups.items()})
pd.DataFrame(
    {
        "neurons that follow it": true.sum(),
        "of these, found": (found & true).sum(),
        "found, but not true": (found & ~true).sum(),
    }
)

# %%
# Of all that is found, at most 5 % is expected to be false. ``corr`` and ``prevCorr`` are correlated most, and a
# penalised model lets one stand in for the other; what the others could take over does not count here.
#
# How sure are the kernels?
# -------------------------
# Trials are drawn with replacement and the model is fitted again, at each neuron's strength. The band holds 95 % of
# the re-fitted kernels. It shows the noise of the data, not the bias of the penalty, which pulls kernels towards 0.

bands = pg.bootstrap(model, design, X, Y, trial=trial, n_resamples=30, units=units)
fig, axes = plt.subplots(1, 2, figsize=(10, 3.2), layout="constrained")
plot.kernel_curves(bands, ax=axes[0], group="position", neurons=list(best))
plot.kernel_curves(bands, ax=axes[1], group="position × cue", neurons="neuron15")
plt.show()

# %%
# When to use which
# -----------------
#
# .. list-table::
#    :header-rows: 1
#    :widths: 20 40 40
#
#    * -
#      - is for
#      - does not say
#    * - `tuning`
#      - a first look; no assumptions
#      - which of several correlated variables a neuron follows
#    * - `kernels`, gains
#      - direction and shape: where, and by what factor; independent of the scale of the activity
#      - how much of the activity it explains; magnitudes of different variables are hard to compare
#    * - `breakdown`
#      - how much of the explained deviance rests on each variable, in the same units for all, at every position and
#        moment; cheap; the fairer view of correlated variables, if the model is not badly wrong
#      - the direction; what only this variable explains. It adds up for Gaussian models with uncorrelated groups, not
#        for Poisson
#    * - `compare`
#      - what only this variable explains, after all others had their chance
#      - the direction; anything about what variables share: with correlated variables it underestimates each of them.
#        A fit per variable
#    * - `significance`
#      - whether it beats chance
#      - how large it is
#    * - `bootstrap`
#      - how much a kernel would vary in another set of trials
#      - the bias of the penalty
#
# The task and the analysis follow Tseng, Chettih, Arlt, Barroso-Luque & Harvey (2022), *Neuron* 110, 2484-2502, and
# Minderer, Brown & Harvey (2019), *Neuron* 102, 232-248.
