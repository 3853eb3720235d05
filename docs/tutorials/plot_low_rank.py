r"""
A population that listens to a few signals
==========================================

Forty neurons, coupled all to all, have 1,560 pairs. In a short recording hardly one of them can be told from 0 by
itself. But the past of a population often acts on its neurons through a few sums over it: a communication subspace
(Semedo et al. 2019). `LowRankGLM` looks for these sums, for spike counts as well as for any other activity.
"""

# %%
# A network
# ---------
# Forty neurons hold themselves down after a spike. Two signals are sums over the past of ten neurons each, and move
# twenty others:

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd

import popglm as pg

n_neurons, n_samples = 40, 2_000
names, trial = [f"n{j}" for j in range(n_neurons)], np.arange(n_samples) // 50
rng = np.random.default_rng(0)
sends, hears = np.zeros((2, n_neurons)), np.zeros((2, n_neurons))
sends[0, :10], sends[1, 10:20] = rng.choice([-1.0, 1.0], (2, 10))
hears[0, 15:30], hears[1, 25:] = 0.35, rng.choice([-0.35, 0.35], 15)


def network(n_samples, seed):
    """Counts of the network, which is silent before each trial of 50 samples."""
    rng, found = np.random.default_rng(seed), np.zeros((n_samples, n_neurons))
    for t in range(n_samples):
        past = found[t - 1] if t % 50 else np.zeros(n_neurons)
        found[t] = rng.poisson(np.exp(np.clip(-1.2 + (past @ sends.T) @ hears - 1.5 * past, None, 1.0)))
    return pd.DataFrame(found, columns=names)


counts = network(n_samples, seed=0)

# %%
# One term per neuron has its past, over three functions of the lag. All neurons share these 120 columns:

basis = pg.log_bumps("lag", n=3, low=1, high=8)
design = pg.Design(pg.coupling(names, basis), trial="trial")
X = design.fit_transform(counts.assign(trial=trial))
X.iloc[:3, :6].round(2)

# %%
# Fit, and choose the rank
# ------------------------
# Ranks and strengths are tried in folds that keep trials together. A rank of 0 is no coupling at all, beside each
# neuron's own past, which has free weights and is no part of the low-rank matrix:

model = pg.LowRankGLM(low_rank=range(4), lambdas=[0.15, 0.05, 0.015], cv=3).fit(X, counts, groups=trial)
table = model.candidates_.pivot_table("deviance_explained", "low_rank", "lambda")

_, ax = plt.subplots(figsize=(5, 3), layout="constrained")
for strength in table:
    ax.plot(table.index, table[strength], "o-", label=f"λ = {strength:g}")
ax.set(xlabel="Rank, at most", xticks=table.index, ylabel="Held-out deviance explained")
ax.legend(frameon=False)
ax.spines[["top", "right"]].set_visible(False)
plt.show()

# %%
# Two signals are chosen, as many as there are. More would follow noise:

model.summary().to_frame().map(lambda value: f"{value:.3g}")

# %%
# Beside weights without structure
# --------------------------------
# A ridge of all weights, with a strength for each neuron and factors that leave its own past as free, makes less of the
# couplings in as short a recording. On new trials:

later = network(4_000, seed=1)
X_later = design.transform(later.assign(trial=np.arange(4_000) // 50))
factors = np.where(np.eye(n_neurons, dtype=bool), 1e-3, 1.0)
ridge = pg.GLMCV(cv=model.splits_, lambdas=[3.0, 0.3, 0.1], penalty_factors=factors).fit(X, counts)
alone = pg.LowRankGLM(low_rank=0, lambdas=0.1).fit(X, counts)
fits = {"own pasts alone": alone, "ridge of all weights": ridge, "two latent signals": model}
scores = pd.DataFrame({name: fit.evaluate(X_later, later)["deviance_explained"] for name, fit in fits.items()})
scores.mean().round(4)

# %%
# The warning is of neurons that no signal moves, and that want no coupling. What the others gain, neuron by neuron:

gain = scores.sub(scores["own pasts alone"], axis=0)
_, ax = plt.subplots(figsize=(4.2, 3.4), layout="constrained")
is_moved = hears.any(axis=0)
for some, label in ((is_moved, "moved by a signal"), (~is_moved, "not moved")):
    ax.plot(gain["ridge of all weights"][some], gain["two latent signals"][some], "o", markersize=4, label=label)
ax.axline((0, 0), slope=1, color="0.6", linewidth=0.8)
ax.set(xlabel="Gain over own past, ridge", ylabel="Gain over own past, two signals")
ax.legend(frameon=False)
ax.spines[["top", "right"]].set_visible(False)
plt.show()

# %%
# Who tells whom
# --------------
# `latent_couplings` gives every neuron's part in each signal, as sender and as listener. The signals of a fit are
# orthonormal, the strongest first, and may mix those that made the data:

found = pg.latent_couplings(model, design)
pg.plot.latent_couplings(found)
plt.show()

# %%
# The matrix of all couplings is their product, with own pasts on its diagonal; beside it the truth:

_, axes = plt.subplots(1, 2, figsize=(10, 4), layout="constrained")
couplings = pg.connectivity(model, design)
pg.plot.connectivity(couplings, axes[0])
true = sends.T @ hears - 1.5 * np.eye(n_neurons)
limit = axes[0].collections[0].get_clim()[1]
axes[1].imshow(true, cmap="RdBu_r", vmin=-limit, vmax=limit, extent=(0.5, n_neurons + 0.5, n_neurons + 0.5, 0.5))
axes[1].set(xlabel="Target neuron", ylabel="Source neuron", title="True, at a lag of one sample")
plt.show()

# %%
# What is certified
# -----------------
# With a larger strength the rank does not bind: the best of all matrices has so few signals, and no other weights have
# a smaller objective. At the strength that was chosen the bound on the rank counts, and only a local minimum is
# certified:

strong = pg.LowRankGLM(low_rank=10, lambdas=0.3).fit(X, counts)
pd.DataFrame({"chosen": model.summary(), "stronger": strong.summary()}).loc[["strength", "rank", "gap", "slope"]]
