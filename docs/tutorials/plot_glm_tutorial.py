r"""
A first generalized linear model
================================

Simulated responses whose weights are known: ridge, lasso and group lasso, chosen with validation data and by
cross-validation, and what each of them makes of columns that are nearly the same. The real thing, with behaviour and
design matrices, is in the next tutorial.

A response is modelled by a linear predictor :math:`\eta = b + Xw` and its mean :math:`\mu = h(\eta)`. The weights
minimise the mean negative log-likelihood plus a penalty of strength λ. For Gaussian responses :math:`\mu = \eta`; for
counts, Poisson with :math:`\mu = e^\eta`.
"""

# %%
# Simulated data
# --------------
# 5,000 samples of 200 features, in 20 groups of ten. Each of 100 responses follows a few groups. As in a real
# recording, not everything that matters is seen: only 160 columns are observed. And not all that is seen differs: the
# third group is nearly a mixture of the columns of the second, and drives no response itself.

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
from sklearn.metrics import d2_tweedie_score

import popglm as pg
from popglm import plot

rng = np.random.default_rng(0)
n_samples, n_groups, group_size, n_responses = 5_000, 20, 10, 100
n_observed = 160

features = rng.standard_normal((n_samples, n_groups * group_size))
second, third = slice(10, 20), slice(20, 30)
mixture = rng.standard_normal((group_size, group_size)) / np.sqrt(group_size)
features[:, third] = features[:, second] @ mixture + 0.1 * rng.standard_normal((n_samples, group_size))

active = rng.random((n_responses, n_groups)) < 0.25
active[:, 2] = False
weights = np.repeat(active, group_size, axis=1) * rng.normal(0, 0.2, (n_responses, n_groups * group_size))
signal = features @ weights.T
responses = signal + rng.normal(0, signal.std(), signal.shape)

names = pd.MultiIndex.from_product([[f"group{g}" for g in range(16)], range(group_size)], names=["group", "feature"])
X = pd.DataFrame(features[:, :n_observed], columns=names)
true_weights = weights[:, :n_observed]

correlation = np.corrcoef(X.iloc[:, :50].T)
fig, ax = plt.subplots(figsize=(4, 3.4), layout="constrained")
image = ax.imshow(correlation, vmin=-1, vmax=1, cmap="RdBu_r")
ax.set_xlabel("Column")
ax.set_ylabel("Column")
fig.colorbar(image, label="Correlation")
plt.show()

# %%
# Columns of the second and third group (10-19 and 20-29) are correlated; the other groups are not.
#
# A path of strengths, and validation data
# ----------------------------------------
# `GLM` fits all responses over a path of descending strengths. Samples here are independent, so they can be split in
# order: 3,000 to fit, 1,000 to choose a strength for each response, 1,000 to judge. Names of the feature groups are
# read from the columns.

fit, validate, test = slice(0, 3_000), slice(3_000, 4_000), slice(4_000, 5_000)
strengths = 10.0 ** np.linspace(1, -4, 16)

models, scores = {}, {}
for penalty in ("ridge", "lasso", "group_lasso"):
    model = pg.GLM(family="gaussian", penalty=penalty, lambdas=strengths)
    model.fit(X[fit], responses[fit])
    model.select(X[validate], responses[validate])
    models[penalty] = model
    scores[penalty] = model.evaluate(X[test], responses[test])

pd.DataFrame({penalty: table["deviance_explained"].describe() for penalty, table in scores.items()}).round(3)

# %%
# The fraction deviance explained, for Gaussian responses the familiar R², is limited by the noise (half of the
# variance) and by the 40 columns that nobody recorded. Strong penalties underfit and weak ones overfit; with 3,000
# samples for 160 columns the latter costs little. The median response on validation data:

fig, ax = plt.subplots(figsize=(5, 3), layout="constrained")
for penalty, model in models.items():
    ax.semilogx(strengths, np.median(model.deviance_explained_path_, axis=1), "o-", markersize=3, label=penalty)
ax.invert_xaxis()
ax.set_xlabel("Regularisation strength λ")
ax.set_ylabel("Fraction deviance\nexplained (validation)")
ax.legend(frameon=False)
plt.show()

# %%
# Weights against the truth
# -------------------------
# Each panel: weights of 100 responses (rows) for 160 columns. Ridge has all weights a little wrong. Lasso sets single
# columns to 0, group lasso whole groups, which here is how the data was made.

found_weights = {"truth": true_weights} | {penalty: model.coef_ for penalty, model in models.items()}
fig, axes = plt.subplots(1, 4, figsize=(11, 3.6), sharey=True, layout="constrained")
for ax, (name, found) in zip(axes, found_weights.items(), strict=True):
    image = ax.imshow(found, vmin=-0.4, vmax=0.4, cmap="RdBu_r", aspect="auto", interpolation="nearest")
    ax.set_title(name, fontsize="medium")
    ax.set_xlabel("Column")
axes[0].set_ylabel("Response")
fig.colorbar(image, ax=axes, label="Weight")
plt.show()

# %%
# In numbers: how far the weights are from the truth, and how many groups that drive nothing are kept out. Missing a
# group that does drive the response is rare in all of them.

outside = ~active[:, :16]
rows = {}
for penalty, model in models.items():
    used = np.abs(model.coef_).reshape(n_responses, 16, group_size).max(axis=2) > 0
    rows[penalty] = {
        "correlation with the truth": np.corrcoef(model.coef_.ravel(), true_weights.ravel())[0, 1],
        "columns with weight": (model.coef_ != 0).mean(),
        "silent groups kept out": 1 - used[outside].mean(),
        "true groups found": used[~outside].mean(),
    }
pd.DataFrame(rows).round(3)

# %%
# The collinear block
# -------------------
# Responses that the second group drives: how large are the weights of the two groups that look alike? The third has
# none in truth. Ridge shares the credit between them; lasso less so; group lasso nearly finds the truth, from the
# hundredth of the third group's variance that is its own. The prediction hardly depends on the choice; what is said
# about the variables does.

driven = active[:, 1]
norms = pd.DataFrame(
    {
        name: [np.linalg.norm(found[driven, block], axis=1).mean() for block in (second, third)]
        for name, found in found_weights.items()
    },
    index=["second group", "third group"],
)
ax = norms.T.plot.bar(figsize=(5, 3), rot=0, ylabel="Mean norm of weights", color=["#2f6690", "#c8442d"])
ax.legend(frameon=False, loc="upper right", bbox_to_anchor=(1.0, 1.1))
ax.spines[["top", "right"]].set_visible(False)
plt.show()

# %%
# Cross-validation
# ----------------
# With `GLMCV` no validation data is set aside. Each of five folds is held out once, the strength with the least
# held-out deviance is chosen for each response, and the weights come from the fit to all rows given.

rows = slice(0, 4_000)
model_cv = pg.GLMCV(family="gaussian", penalty="group_lasso", lambdas=strengths, cv=5)
model_cv.fit(X[rows], responses[rows])
plot.deviance_over_strengths(model_cv)
plt.show()

# %%
# The one-standard-error rule takes the strongest penalty whose held-out deviance is within one standard error of the
# best. Selecting again needs no new fit. It gives up little of the prediction, and drops more groups:


def describe(model):
    """Mean test score, and how many groups a response keeps."""
    used = np.abs(model.coef_).reshape(n_responses, 16, group_size).max(axis=2) > 0
    return {
        "test deviance explained, mean": model.score(X[test], responses[test]),
        "groups per response": used.sum(axis=1).mean(),
        "silent groups kept out": 1 - used[outside].mean(),
    }


table = {"best": describe(model_cv.select(se_fraction=0.0))}
table["one standard error"] = describe(model_cv.select(se_fraction=1.0))
pd.DataFrame(table).round(3)

# %%
# Certificates: how far each fit is from its minimum at most, in units of the null deviance.

print(f"largest of {model_cv.gap_.size + model_cv.cv_gap_.size:,} certificates: {model_cv.cv_gap_.max():.1e}")

# %%
# Counts
# ------
# The same features drive spike counts through an exponential. Only family and data change.

eta = np.log(0.5) + 0.7 * signal / signal.std(axis=0).clip(1e-9)
counts = rng.poisson(np.exp(np.where(active.any(axis=1), eta, np.log(0.5))))

poisson = pg.GLMCV(family="poisson", penalty="group_lasso", lambdas=10.0 ** np.linspace(0, -3, 10), cv=5)
poisson.fit(X[rows], counts[rows])
result = poisson.evaluate(X[test], counts[test])

fig, axes = plt.subplots(1, 3, figsize=(12, 3.4), layout="constrained")
plot.deviance_over_strengths(poisson, ax=axes[0])
plot.deviance_histogram(result, ax=axes[1])
plot.explained_and_null_deviance(result, ax=axes[2])
plt.show()

# %%
# For counts even the true rate does not explain all deviance. What the truth, with all 200 columns, would have
# reached on the same samples is the yardstick: the model, which sees 160 of them, falls short by what the other 40
# carry and by what it could not learn from 4,000 samples.

rate = np.exp(eta)
ceiling = np.array([d2_tweedie_score(counts[test, j], rate[test, j], power=1) for j in range(n_responses)])
fig, ax = plt.subplots(figsize=(3.6, 3.6), layout="constrained")
ax.plot(ceiling, result["deviance_explained"], "o", markersize=4, alpha=0.6)
ax.axline((0, 0), slope=1, color="0.7", linewidth=0.8, zorder=0)
ax.set_xlabel("Deviance explained (true rate)")
ax.set_ylabel("Deviance explained (model)")
plt.show()

# %%
# Predicted and recorded, for the response that is predicted best:

best = int(result["deviance_explained"].argmax())
stretch = slice(4_000, 4_150)
plot.predicted_and_recorded(counts[stretch, best], poisson.predict(X[stretch])[:, best], unit="spikes per sample")
plt.show()
