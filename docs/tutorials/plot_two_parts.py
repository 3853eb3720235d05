r"""
Deconvolved activity in two parts
=================================

A deconvolved trace is 0 in most samples. Two questions hide in it: *when* is a neuron active, and *how much* then? A
variable may answer one and not the other. `TwoPartGLM` asks both: a Bernoulli model of all samples says how probable
activity is, and a gamma model of the samples above 0 says how much there is (Wei et al. 2020).

The session is simulated: position decides when each neuron is active, running speed how much.
"""

# %%
# A session
# ---------
# Place fields in the probability of an event, an exponential of the speed in its mean amount:

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd

import popglm as pg

rng = np.random.default_rng(0)
n, n_neurons, trial = 6_000, 12, np.arange(6_000) // 60
position = 100 * (np.arange(n) % 60 + rng.uniform(0, 1, n)) / 60
speed = np.repeat(rng.normal(0, 1, n // 60), 60) + 0.5 * rng.normal(0, 1, n)
centers = np.linspace(10, 90, n_neurons)
chance = 0.02 + 0.35 * np.exp(-0.5 * ((position[:, None] - centers) / 10) ** 2)
mean = 0.3 * np.exp(0.4 * speed[:, None] * np.ones(n_neurons))
activity = (rng.random(chance.shape) < chance) * rng.gamma(2, mean / 2)

_, axes = plt.subplots(1, 2, figsize=(9, 2.8), layout="constrained")
axes[0].plot(activity[:360, 5], color="black", linewidth=0.8)
axes[0].set(xlabel="Sample", ylabel="Activity (a.u.)", title="Neuron 5, six trials")
axes[1].hist(activity[:, 5], bins=40, color="0.5")
axes[1].set(xlabel="Activity (a.u.)", ylabel="Samples", yscale="log", title=f"{(activity[:, 5] == 0).mean():.0%} are 0")
plt.show()

# %%
# Fit both parts
# --------------
# One set of settings serves both, and the folds are the same. Strengths are chosen for each neuron and each part.

design = pg.Design([pg.bumps("position", n=12, low=0, high=100), pg.splines("speed", n=5)])
X = design.fit_transform({"position": position, "speed": speed})
model = pg.TwoPartGLM(pg.GLMCV("gamma", penalty="group_lasso", n_lambdas=8, cv=5)).fit(X, activity, groups=trial)
model.evaluate(X, activity).round(3).head()

# %%
# What drives when, and what drives how much
# ------------------------------------------
# `breakdown` of the model gives contributions to the joint deviance; that of a part, those to its own:

happened, amount = model.split(activity)
tables = {
    "both parts": pg.breakdown(model, X, activity),
    "events": pg.breakdown(model.events_, X, happened),
    "amounts": pg.breakdown(model.amounts_, X, amount),
}
_, axes = plt.subplots(1, 3, figsize=(9, 2.8), sharey=True, layout="constrained")
for ax, (name, table) in zip(axes, tables.items(), strict=True):
    shares = table["fraction_null_deviance"]
    for place, variable in enumerate(shares["variable"].values):
        values = shares.sel(variable=variable)
        ax.plot(place + 0.06 * rng.standard_normal(len(values)), values, "o", markersize=4, alpha=0.6)
    ax.set_xticks(range(shares.sizes["variable"]), shares["variable"].values)
    ax.set_xlim(-0.6, 1.6)
    ax.set_title(name)
    ax.spines[["top", "right"]].set_visible(False)
axes[0].set_ylabel("Fraction of null deviance")
plt.show()

# %%
# `shapley` shares the joint deviance out, so that the parts of a bar end at what the model explains:

pg.plot.stacked_contributions(pg.shapley(model, X, activity))
plt.show()

# %%
# The kernels of the parts say the same in the variables' units. Of the events they are log odds, of the amounts the
# logarithm of a factor:

_, axes = plt.subplots(2, 2, figsize=(9, 5), sharex="col", sharey="row", layout="constrained")
parts = {"log odds of an event": model.events_, "log amount": model.amounts_}
for row, (name, part) in zip(axes, parts.items(), strict=True):
    kernels = pg.kernels(part, design)
    for ax, variable in zip(row, ("position", "speed"), strict=True):
        kernel = kernels[variable]["kernel"]
        ax.plot(kernel[variable], kernel.transpose(variable, "neuron"), linewidth=1)
    row[0].set_ylabel(name.capitalize())
for ax, unit in zip(axes[1], ("Position (cm)", "Speed (standard deviations)"), strict=True):
    ax.set_xlabel(unit)
plt.show()

# %%
# Against one model of the mean
# -----------------------------
# A Poisson model of the same activity predicts its mean nearly as well: what is lost is the difference between a neuron
# that is rarely active with large amounts and one that is often active with small ones. Only the two-part model has a
# density of what was recorded, and can draw activity like it:

poisson = pg.GLMCV("poisson", penalty="group_lasso", n_lambdas=8, cv=5).fit(X, activity, groups=trial)
held_out = {"two parts": model.predict_held_out(), "Poisson": poisson.predict_held_out()}
truth = chance * mean
median = {}
for name, mu in held_out.items():
    each = [np.corrcoef(predicted, true)[0, 1] for predicted, true in zip(mu.T, truth.T, strict=True)]
    median[name] = round(float(np.median(each)), 3)
pd.Series(median, name="correlation with the true mean, median")

# %%

drawn = model.draw(X, seed=1)[0]
_, ax = plt.subplots(figsize=(5, 2.8), layout="constrained")
for values, label in ((activity[:, 5], "recorded"), (drawn[:, 5], "drawn from the model")):
    ax.hist(values[values > 0], bins=np.linspace(0, 2, 41), histtype="step", label=label)
ax.set(xlabel="Amount (a.u.)", ylabel="Samples")
ax.legend(frameon=False)
plt.show()
