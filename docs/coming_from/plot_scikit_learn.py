r"""
scikit-learn
============

`GLM` and `GLMCV` follow scikit-learn's rules: ``fit``, ``predict``, ``score``, ``clone``, pipelines, splitters for
``cv``. What differs is what one call does. scikit-learn's GLMs take one response and one strength; popglm takes all
neurons, all strengths and all folds.

.. list-table:: The same model in both; n samples, Σs the sum of ``sample_weight`` (n without)
   :header-rows: 1
   :widths: 34 30 36

   * - scikit-learn
     - popglm
     - strength
   * - ``PoissonRegressor(alpha=a)``
     - ``family="poisson"``, ``penalty="ridge"``
     - λ = a
   * - ``Ridge(alpha=a)``
     - ``family="gaussian"``, ``penalty="ridge"``
     - λ = a / n (Ridge sums over samples: a / Σs)
   * - ``Lasso(alpha=a)``
     - ``family="gaussian"``, ``penalty="lasso"``
     - λ = a
   * - ``ElasticNet(alpha=a, l1_ratio=r)``
     - ``family="gaussian"``, ``penalty="elastic_net"``, ``l1_ratio=r``
     - λ = a
   * - ``LogisticRegression(C=C)``
     - ``family="bernoulli"``, ``penalty="ridge"``
     - λ = 1 / (C n)
   * - ``LogisticRegression(C=C)`` of more than two classes
     - ``ClassifierGLM(penalty="ridge")``
     - λ = 1 / (C n)
   * - ``d2_tweedie_score(power=1)``
     - ``evaluate(...)["deviance_explained"]``
     -

Folds differ, too: a `GLMCV` with an integer ``cv`` and ``groups=`` deals whole groups to folds, as ``GroupKFold``
does since scikit-learn 1.9. Before, its folds of groups of one size depended on the processor.
"""

# %%
# Six neurons, eight columns.

import matplotlib.pyplot as plt
import numpy as np
from sklearn.linear_model import ElasticNet, Lasso, LogisticRegression, PoissonRegressor, Ridge
from sklearn.metrics import d2_tweedie_score
from sklearn.pipeline import make_pipeline

import popglm as pg

rng = np.random.default_rng(0)
n, p, q = 1_000, 8, 6
X = rng.standard_normal((n, p))
eta = X @ (0.3 * rng.standard_normal((p, q)))
counts = rng.poisson(np.exp(eta))
signal = eta + rng.standard_normal((n, q))
events = (rng.random((n, q)) < 1 / (1 + np.exp(-eta))).astype(int)

compared = {}

# %%
# Poisson with a ridge penalty
# ----------------------------
# Left scikit-learn, right popglm; here and below, both are asked for many digits, so that the difference is theirs.

# scikit-learn: a loop over neurons
a = 0.1
theirs = np.array([PoissonRegressor(alpha=a, tol=1e-10, max_iter=1000).fit(X, counts[:, j]).coef_ for j in range(q)])

# %%

# popglm: all neurons, any number of strengths
exact = {"precision": "float64", "tol": 1e-12}
model = pg.GLM(
    family="poisson",
    penalty="ridge",
    lambdas=[a],
    **exact,
).fit(X, counts)

# %%
# The weights agree:

compared["PoissonRegressor"] = theirs, model.coef_
print(f"largest difference of weights: {np.abs(theirs - model.coef_).max():.1e}")

# %%
# And so do the scores:

print("scikit-learn:", round(d2_tweedie_score(counts[:, 0], model.predict(X)[:, 0], power=1), 6))
print("popglm:      ", model.evaluate(X, counts)["deviance_explained"].iloc[0].round(6))

# %%
# Gaussian with a ridge penalty
# -----------------------------
# ``Ridge`` sums over samples where popglm averages: divide its alpha by n.

# scikit-learn
a = 100.0
theirs = Ridge(alpha=a).fit(X, signal).coef_


# %%

# popglm
ridge = pg.GLM("gaussian", lambdas=[a / n], **exact)
ours = ridge.fit(X, signal).coef_

# %%

compared["Ridge"] = theirs, ours
print(f"largest difference of weights: {np.abs(theirs - ours).max():.1e}")

# %%
# Lasso and elastic net
# ---------------------
# Both packages have glmnet's scale here.

# scikit-learn
lasso = Lasso(alpha=0.05, tol=1e-10)
net = ElasticNet(alpha=0.05, l1_ratio=0.7, tol=1e-10)
theirs_lasso = lasso.fit(X, signal).coef_
theirs_net = net.fit(X, signal).coef_


# %%

# popglm
exact_gaussian = {"family": "gaussian", "lambdas": [0.05], **exact}
lasso = pg.GLM(penalty="lasso", **exact_gaussian)
net = pg.GLM(penalty="elastic_net", l1_ratio=0.7, **exact_gaussian)
ours_lasso = lasso.fit(X, signal).coef_
ours_net = net.fit(X, signal).coef_

# %%

compared["Lasso"] = theirs_lasso, ours_lasso
compared["ElasticNet"] = theirs_net, ours_net
for name in ("Lasso", "ElasticNet"):
    print(f"{name}: largest difference of weights: {np.abs(np.subtract(*compared[name])).max():.1e}")

# %%
# Events
# ------
# ``LogisticRegression`` scales the loss, not the penalty, and sums over samples.

# scikit-learn
C = 0.01
theirs = np.array([LogisticRegression(C=C, tol=1e-10, max_iter=1000).fit(X, events[:, j]).coef_[0] for j in range(q)])

# %%

# popglm
logistic = pg.GLM(
    family="bernoulli",
    penalty="ridge",
    lambdas=[1 / (C * n)],
    **exact,
)
ours = logistic.fit(X, events).coef_

# %%
# All weights of all five models against each other, on the diagonal:

compared["LogisticRegression"] = theirs, ours
fig, ax = plt.subplots(figsize=(5, 4), layout="constrained")
for name, (theirs, ours) in compared.items():
    ax.plot(np.ravel(theirs), np.ravel(ours), "o", markersize=4, alpha=0.7, label=name)
    np.testing.assert_allclose(ours, theirs, atol=2e-6)
ax.axline((0, 0), slope=1, color="0.7", linewidth=0.8, zorder=0)
ax.set_xlabel("Weight (scikit-learn)")
ax.set_ylabel("Weight (popglm)")
ax.legend(frameon=False, fontsize="small")
plt.show()

# %%
# A pipeline
# ----------
# `Design` is a transformer. It takes behaviour, so the pipeline takes behaviour too.

session = pg.maze_session(n_samples=2_000, n_neurons=4, n_task_variables=1)
pipeline = make_pipeline(pg.maze_design(1), pg.GLMCV(penalty="group_lasso", n_lambdas=5, cv=4))
pipeline.fit(session.behavior, session.activity, glmcv__groups=session.behavior["trial"])
print(pipeline[-1].cv_deviance_explained_.round(2))
