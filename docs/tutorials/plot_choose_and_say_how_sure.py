r"""
Choose variables, and say how sure
==================================

A lasso or group lasso chooses, and shrinks what it has chosen. So the columns are too many, the weights too small, and
no interval about them holds the truth as often as it says. Some things help, each with a question of its own: a
concave penalty and a relaxed fit do without the shrinkage, an adaptive penalty chooses fewer groups, and debiased
weights have confidence intervals and tests.
"""

# %%
# Twenty variables, of which four count
# -------------------------------------
# Each variable has five columns, and 12 neurons follow the same four of them: "a", "f", "k" and "p". Columns that
# follow each other are correlated.

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd

import popglm as pg

rng = np.random.default_rng(0)
variables, size, n_samples, n_neurons = list("abcdefghijklmnopqrst"), 5, 1_000, 12
names = pd.MultiIndex.from_product([variables, range(size)], names=["group", "feature"])
Z = rng.standard_normal((n_samples, len(names)))
for k in range(1, len(names)):
    Z[:, k] += 0.6 * Z[:, k - 1]
X = pd.DataFrame((Z - Z.mean(axis=0)) / Z.std(axis=0), columns=names)
used = np.repeat(np.isin(variables, list("afkp")), size)
truth = np.where(used, rng.standard_normal(len(names)), 0)
truth *= 0.8 / (X.to_numpy() @ truth).std()
Y = rng.poisson(np.exp(X.to_numpy() @ truth[:, None] - 0.5) * np.ones((1, n_neurons)))
trial = np.arange(n_samples) // 20

# %%
# Four fits
# ---------
# ``penalty="group_mcp"`` is as steep at 0 as a group lasso, and flat where a group weighs much. ``relaxed=True`` fits
# what every strength has chosen again without a penalty, and blends. `AdaptiveFactors` penalise every group by the
# inverse of the norm of its weights in a first fit. All choose by held-out trials, and no fold of theirs sees what it
# holds out.

given = {"penalty": "group_lasso", "n_lambdas": 10, "cv": 5, "tol": 1e-3}
models = {
    "group lasso": pg.GLMCV(**given).fit(X, Y, groups=trial),
    "group MCP": pg.GLMCV(**given | {"penalty": "group_mcp"}).fit(X, Y, groups=trial),
    "relaxed": pg.GLMCV(**given, relaxed=True).fit(X, Y, groups=trial),
    "adaptive": pg.GLMCV(**given, penalty_factors=pg.AdaptiveFactors()).fit(X, Y, groups=trial),
}

new = np.random.default_rng(1)
Z = new.standard_normal((4_000, len(names)))
for k in range(1, len(names)):
    Z[:, k] += 0.6 * Z[:, k - 1]
X_new = pd.DataFrame(Z / Z.std(axis=0), columns=names)
Y_new = new.poisson(np.exp(X_new.to_numpy() @ truth[:, None] - 0.5) * np.ones((1, n_neurons)))


def judged(model):
    """Groups with weights, among those that count and the others, and what the weights are worth."""
    chosen = (model.coef_ != 0).reshape(n_neurons, -1, size).any(axis=2)
    counts = used.reshape(-1, size).any(axis=1)
    return {
        "of the 4 that count": chosen[:, counts].sum(axis=1).mean(),
        "of the 16 others": chosen[:, ~counts].sum(axis=1).mean(),
        "slope of weights on the truth": (model.coef_ @ truth).mean() / (truth @ truth),
        "new deviance explained": model.evaluate(X_new, Y_new)["deviance_explained"].mean(),
    }


pd.DataFrame({name: judged(model) for name, model in models.items()}).T.round(3)

# %%
# The plain penalty lets in groups that do not count, and shrinks those that do.

fig, axes = plt.subplots(1, 4, figsize=(12, 3), sharey=True, constrained_layout=True)
for ax, (name, model) in zip(axes, models.items(), strict=True):
    ax.vlines(np.arange(len(truth)), 0, truth, color="0.7", linewidth=2, label="truth")
    ax.plot(model.coef_[:5].T, ".", color="C0", markersize=4)
    ax.set(title=name, xlabel="Column")
axes[0].set_ylabel("Weight of five neurons")
axes[0].legend(frameon=False)
# %%
# How sure
# --------
# `debiased` takes the bias of the penalty off the plain model's weights by one step. Each weight has an interval then,
# and each group a test. Crosses are penalised weights, dots debiased ones, and bars the truth.

found = pg.debiased(models["group lasso"], X, Y)
ax = pg.plot.coefficients(found, neurons="neuron0", features=[f"{v} *" for v in "abfgk"])
shown = np.isin(names.get_level_values(0), list("abfgk"))
ax.vlines(truth[shown], np.arange(25) - 0.4, np.arange(25) + 0.4, color="k", linewidth=1)
# %%
# Over all neurons, intervals of 95 % hold the truth about as often as they say. With the same errors about penalised
# weights they do not: those of weights that are 0 always hold it, and of the others too few.

held = {
    "debiased": np.abs(found["coef"].values - truth) <= 1.96 * found["standard_error"].values,
    "penalised": np.abs(found["penalised"].values - truth) <= 1.96 * found["standard_error"].values,
}
pd.DataFrame({name: [own[:, ~used].mean(), own[:, used].mean()] for name, own in held.items()}, ["w = 0", "w ≠ 0"])

# %%
# Tests at 5 % that all weights of a group are 0: how often they say no, for groups that count and for others.

rejected = found["group_p_value"].to_pandas() < 0.05
counts = rejected.columns.isin(list("afkp"))
float(rejected.loc[:, counts].to_numpy().mean()), float(rejected.loc[:, ~counts].to_numpy().mean())

# %%
# Samples are independent here. In a recording they are not: give ``trial=`` for errors over trials, and see
# `significance` for tests against activity that is shifted in time. ``python benchmarks/intervals.py`` measures
# coverage for three families with 300 columns.
