r"""
Strengths by feature space
==========================

Task, movements and the activity of other areas rarely explain a neuron in equal shares. A ridge with one strength for
all columns has to compromise: columns that matter are shrunk too much, the others too little. Banded ridge gives every
feature space a strength of its own, for every neuron.
"""

# %%
# Three spaces with planted shares
# --------------------------------
# 90 columns each, and 60 neurons. Each neuron draws its signal from the spaces in shares of its own, many of them
# mainly from one; two thirds of its variance are noise. Columns of a space are correlated with each other.

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd

import popglm as pg

rng = np.random.default_rng(0)
spaces, n_columns, n_neurons, n_samples = ["task", "movement", "network"], 90, 60, 2_400
names = pd.MultiIndex.from_product([spaces, range(n_columns)], names=["group", "feature"])
mixing = [np.eye(n_columns) + rng.standard_normal((n_columns, n_columns)) / 15 for _ in spaces]
X = np.concatenate([rng.standard_normal((n_samples, n_columns)) @ own for own in mixing], axis=1)
X = pd.DataFrame((X - X.mean(axis=0)) / X.std(axis=0), columns=names)

share = rng.dirichlet([0.4, 0.4, 0.4], n_neurons)
parts = [X[space].to_numpy() @ rng.standard_normal((n_columns, n_neurons)) for space in spaces]
signal = sum(np.sqrt(share[:, s]) * part / part.std(axis=0) for s, part in enumerate(parts))
Y = signal + np.sqrt(2) * rng.standard_normal((n_samples, n_neurons))
trial = np.arange(n_samples) // 20
train, test = trial < 40, trial >= 40

# %%
# A plain ridge, and the search
# -----------------------------
# `FactorSearch` tries a hundred weightings of the spaces: equal weights, which are the plain ridge, and 99 random ones.
# Each is tried at all strengths, in the folds of the fit. Each neuron keeps the pair that predicts its held-out
# activity best.

lambdas = 10.0 ** np.linspace(1, -2, 13)
given = {"family": "gaussian", "lambdas": lambdas, "cv": 5}
plain = pg.GLMCV(**given).fit(X[train], Y[train], groups=trial[train])
banded = pg.GLMCV(**given, penalty_factors=pg.FactorSearch(spaces))
banded.fit(X[train], Y[train], groups=trial[train])
dict(banded.factor_search_.sizes)

# %%
# The weights that a few neurons chose, beside the shares that they draw. The factor of a space's penalty is
# 1 / (3 · weight), so that a space that says nothing about a neuron hardly has any coefficients.

search = banded.factor_search_
chosen = pd.DataFrame(search["weight"].values[search["chosen"]], columns=spaces)
pd.concat({"weight": chosen[:6], "share": pd.DataFrame(share[:6], columns=spaces)}, axis=1).round(2)

# %%
# On trials that neither has seen
# -------------------------------
# Held-out deviance is optimistic where it has chosen among many, so the comparison needs other trials.

scores = pd.DataFrame(
    {
        name: model.evaluate(X[test], Y[test])["deviance_explained"].to_numpy()
        for name, model in [("plain", plain), ("banded", banded)]
    }
)
colors = dict(zip(spaces, ["#4477aa", "#ee6677", "#228833"], strict=True))
fig, ax = plt.subplots(figsize=(4.8, 4), layout="constrained")
limits = [scores.min().min() - 0.01, scores.max().max() + 0.01]
ax.plot(limits, limits, color="0.6", lw=1)
ax.scatter(scores["plain"], scores["banded"], c=share.max(axis=1), cmap="viridis", vmin=1 / 3, vmax=1, s=22)
ax.set(
    xlabel="deviance explained, one strength",
    ylabel="deviance explained, banded",
    xlim=limits,
    ylim=limits,
    aspect="equal",
)
fig.colorbar(ax.collections[0], ax=ax, label="largest share of a space")
plt.show()

# %%
# Neurons of a single space gain most. Those that draw on several gain less, and some lose a little: what is chosen
# among a hundred follows noise, too.

gain = scores["banded"] - scores["plain"]
gain.groupby(pd.cut(share.max(axis=1), [0.3, 0.6, 0.9, 1.0]), observed=True).agg(["size", "mean", "min"]).round(3)

# %%
# What each space explains
# ------------------------
# The product measure (`shapley`) splits the held-out deviance explained over the spaces, for both models. With one
# strength, spaces that explain nothing keep coefficients that follow noise, and do harm on held-out samples: their
# share is below 0, and that of the others too large. Banded ridge drops them, and small shares along with them.

fig, axes = plt.subplots(1, 2, figsize=(8, 3.6), sharey=True, layout="constrained")
wrong = {}
for ax, (name, model) in zip(axes, [("one strength", plain), ("banded", banded)], strict=True):
    split = pg.shapley(model, X[train], Y[train], spaces)
    of_space = split["shapley"] / split["shapley"].sum("variable")
    wrong[name] = float(np.abs(of_space.values - share).mean())
    ax.plot([0, 1], [0, 1], color="0.6", lw=1)
    for s, space in enumerate(spaces):
        ax.scatter(share[:, s], of_space[:, s], color=colors[space], s=16, label=space)
    ax.set(title=name, xlabel="planted share")
axes[0].set_ylabel("share of what is explained")
axes[0].legend(frameon=False)
plt.show()

# %%
# How far shares are from those that were planted, on average:

pd.Series(wrong).round(3)

# %%
# Counts
# ------
# For Poisson counts or 0/1 events the call is the same. A plain ridge is fitted first, a quadratic approximation about
# it ranks the hundred candidates, and five per neuron are fitted. The others are NaN in ``factor_search_["deviance"]``.

counts = rng.poisson(np.exp(0.6 * signal[:, :8] - 0.7))
options = {"lambdas": 10.0 ** np.linspace(1.5, -2, 12), "cv": 5, "tol": 1e-3}
of_counts = {
    "plain": pg.GLMCV(**options).fit(X[train], counts[train], groups=trial[train]),
    "banded": pg.GLMCV(**options, penalty_factors=pg.FactorSearch(spaces)).fit(
        X[train], counts[train], groups=trial[train]
    ),
}
pd.Series({name: model.score(X[test], counts[test]) for name, model in of_counts.items()}).round(3)
