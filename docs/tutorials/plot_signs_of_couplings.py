r"""
Couplings of cells whose type is known
======================================

Some cells of a recording are tagged, or have the narrow spikes of interneurons. What they do to others then has a known
sign: the past of an excitatory cell raises rates, and that of an inhibitory one lowers them. A fit that knows the signs
lets no noise have the other one. And of the many lags over which couplings are looked for, few matter: a *sparse group
lasso* leaves out whole sources, and single lags of those that stay.
"""

# %%
# A network
# ---------
# Eight excitatory and four inhibitory neurons. Each listens to three others, at one or two lags:

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd

import popglm as pg

rng = np.random.default_rng(3)
names = [f"e{j}" for j in range(8)] + [f"i{j}" for j in range(4)]
sign = np.array([1.0] * 8 + [-1.0] * 4)
n_neurons, n_samples, n_lags = 12, 2_000, 6
trial = np.arange(n_samples) // 100

# weight of the past of every source (axis 0) for every target (axis 1), by lag
truth = np.zeros((n_neurons, n_neurons, n_lags))
for target in range(n_neurons):
    for source in rng.choice(np.delete(np.arange(n_neurons), target), 3, replace=False):
        first = rng.integers(0, n_lags - 1)
        truth[source, target, first : first + rng.integers(1, 3)] = 0.7 * sign[source]

counts = np.zeros((n_samples, n_neurons))
for t in range(n_samples):
    past = counts[max(t - n_lags, t // 100 * 100) : t][::-1]
    drive = np.einsum("ls,stl->t", past, truth[..., : len(past)])
    counts[t] = rng.poisson(np.exp(np.clip(-2.0 + drive, None, 1.0)))
counts = pd.DataFrame(counts, columns=names)

# %%
# Three fits
# ----------
# A group of columns is the past of one source, a column is one of its lags:

lags = range(1, n_lags + 1)
design = pg.Design([pg.shifts(name, lags, name=f"{name} coupling") for name in names], trial="trial", standardize=False)
X = design.fit_transform(counts.assign(trial=trial))
signs = {f"{name} coupling": "positive" if name[0] == "e" else "negative" for name in names}
given = {"lambdas": 10.0 ** np.linspace(-0.6, -3, 9), "cv": 4}
models = {
    "group lasso": pg.GLMCV(penalty="group_lasso", **given),
    "sparse group lasso": pg.GLMCV(penalty="sparse_group_lasso", **given),
    "the same, signs known": pg.GLMCV(penalty="sparse_group_lasso", constraints=signs, **given),
}
for model in models.values():
    model.fit(X, counts, groups=trial)

# %%
# The signs are kept to the letter, in all folds and at all strengths:

by_source = {
    name: model.coef_.reshape(n_neurons, n_neurons, n_lags).transpose(1, 0, 2) for name, model in models.items()
}
wrong = {name: np.count_nonzero(sign[:, None, None] * found < 0) for name, found in by_source.items()}
pd.Series(wrong, name="weights of the wrong sign").to_frame()

# %%
# What is found
# -------------
# Weights beside the truth, each source in a block of six lags:

fig, axes = plt.subplots(1, 4, figsize=(11, 3.4), sharey=True, layout="constrained")
for ax, (name, found) in zip(axes, {"the network": truth, **by_source}.items(), strict=True):
    flat = found.transpose(1, 0, 2).reshape(n_neurons, -1)
    image = ax.imshow(flat, cmap="RdBu_r", vmin=-0.7, vmax=0.7, aspect="auto", interpolation="nearest")
    ax.set(title=name.capitalize(), xlabel="Source, and its lags 1 to 6")
    ax.set_xticks(np.arange(n_neurons) * n_lags + n_lags / 2 - 0.5, names, fontsize=7)
    ax.vlines(np.arange(1, n_neurons) * n_lags - 0.5, -0.5, n_neurons - 0.5, color="0.8", linewidth=0.5)
axes[0].set_yticks(range(n_neurons), names, fontsize=7)
axes[0].set_ylabel("Target")
fig.colorbar(image, label="Weight of a spike")
plt.show()

# %%
# The group lasso takes all six lags of a source, or none. Columns in use, how far weights are from the truth, and the
# held-out deviance explained:

rows = {}
for name, model in models.items():
    rows[name] = {
        "columns": np.count_nonzero(model.coef_),
        "of which have no part": np.count_nonzero(by_source[name] * (truth == 0)),
        "root mean square error": np.sqrt(np.mean((by_source[name] - truth) ** 2)).round(3),
        "deviance explained": model.cv_deviance_explained_.mean().round(3),
    }
pd.DataFrame(rows).T.astype({"columns": int, "of which have no part": int})

# %%
# How strong a synapse can be
# ---------------------------
# What is known may be a number, too. Say that a spike changes a log rate by 0.7 at most, as it does in this network. A
# pair ``(lower, upper)`` says so for each group. In a quarter of the recording, and without a penalty, noise takes some
# weights far beyond. Bounds stop these, and do not shrink those that are possible, as a penalty would:

quarter = trial < 5
limits = {f"{name} coupling": (0, 0.7) if name[0] == "e" else (-0.7, 0) for name in names}
few = {
    "signs": pg.GLM(penalty="none", constraints=signs).fit(X[quarter], counts[quarter]),
    "bounds": pg.GLM(penalty="none", constraints=limits).fit(X[quarter], counts[quarter]),
}
fig, axes = plt.subplots(1, 2, figsize=(7, 3.4), sharex=True, sharey=True, layout="constrained")
flat = truth.transpose(1, 0, 2).reshape(n_neurons, -1)
jitter = rng.uniform(-0.06, 0.06, flat.shape)
for ax, (name, model) in zip(axes, few.items(), strict=True):
    ax.axhspan(-0.7, 0.7, color="0.93", zorder=0)
    ax.plot(flat + jitter, model.coef_, "o", color="C0", alpha=0.4, markersize=4, markeredgewidth=0)
    error = np.sqrt(np.mean((model.coef_ - flat) ** 2))
    ax.set(title=f"{name.capitalize()} known: error {error:.2f}", xlabel="Weight in the network")
axes[0].set_ylabel("Weight found in 500 samples")
plt.show()

# %%
# Signs are knowledge, not something to try: a fit within wrong ones is certified as well. `compare` says what a source
# is worth under them, and `SmoothGLM` has curves that rise or fall.
