r"""
NeMoS
=====

NeMoS and popglm minimise the same kinds of objective, on scales that differ in one place: NeMoS has no ½ in its
Gaussian loss.

.. list-table::
   :header-rows: 1
   :widths: 40 38 22

   * - NeMoS
     - popglm
     - strength
   * - ``observation_model="Poisson"``, ``"Bernoulli"``
     - ``family="poisson"``, ``"bernoulli"``
     - λ = s
   * - ``observation_model="Gaussian"``
     - ``family="gaussian"``
     - λ = s / 2
   * - ``regularizer="Ridge"``, ``regularizer_strength=s``
     - ``penalty="ridge"``
     -
   * - ``regularizer="Lasso"``
     - ``penalty="lasso"``
     -
   * - ``regularizer="ElasticNet"``, ``regularizer_strength=(s, r)``
     - ``penalty="elastic_net"``, ``l1_ratio=r``
     -
   * - ``regularizer=GroupLasso(mask=...)``
     - ``penalty="group_lasso"``, ``feature_groups=...`` (read from a `Design`)
     -
   * - ``coef_`` (features, neurons)
     - ``coef_`` (neurons, features)
     -
   * - ``ClassifierGLM(n_classes=K)``
     - ``ClassifierGLM()``
     - λ = s
   * - its ``coef_`` (features, classes), and labels of one response
     - ``coef_`` (classes, features), or (responses, classes, features) for a table of labels
     -

Both have √p in front of a group's norm. ``PopulationGLM`` adds the objectives of its neurons up, so that a strength
means the same there. NeMoS fits one strength at a time, and scikit-learn's ``GridSearchCV`` selects one for all neurons
together; `GLMCV` fits the path and selects one per neuron.

For bases: ``RaisedCosineLinearEval`` is like `bumps`, ``RaisedCosineLogConv`` like `kernel` of log-spaced bumps,
``BSplineEval`` like `splines`, a product of bases like ``term * term``. Widths and centres are defined differently,
so the columns are similar, not equal.
"""

# %%
# One population, three feature groups.

import jax
import matplotlib.pyplot as plt
import nemos as nmo
import numpy as np

import popglm as pg

jax.config.update("jax_enable_x64", True)  # both with many digits, so that the comparison is of the objectives
exact = {"precision": "float64", "tol": 1e-12}
solver = {"solver_kwargs": {"tol": 1e-11, "maxiter": 10_000}}

rng = np.random.default_rng(0)
sizes, q = [4, 3, 1], 5
n, p = 1_000, sum(sizes)
X = rng.standard_normal((n, p))
on = np.repeat(rng.random((len(sizes), q)) < 0.6, sizes, axis=0)
eta = X @ (0.3 * on * rng.standard_normal((p, q))) - 0.3
counts = rng.poisson(np.exp(eta))
signal = eta + rng.standard_normal((n, q))

compared = {}


def check(name, theirs, ours):
    """Print the largest difference of the weights (neurons, features) and keep them for the picture."""
    compared[name] = np.asarray(theirs), ours
    print(f"largest difference of weights: {np.abs(theirs - ours).max():.1e}")
    np.testing.assert_allclose(ours, theirs, atol=1e-5)


# %%
# Ridge
# -----
# NeMoS left, popglm right.

# NeMoS
ridge = nmo.glm.PopulationGLM(
    observation_model="Poisson",
    regularizer="Ridge",
    regularizer_strength=0.05,
    solver_name="LBFGS",
    **solver,
).fit(X, counts)

# %%

# popglm
model = pg.GLM(
    family="poisson",
    penalty="ridge",
    lambdas=[0.05],
    **exact,
).fit(X, counts)


# %%
# The weights, transposed, agree:

check("Poisson, ridge", ridge.coef_.T, model.coef_)

# %%
# Lasso, Gaussian activity
# ------------------------
# The squared error has no ½ in NeMoS, so its strength is twice λ.

# NeMoS
lasso = nmo.glm.PopulationGLM(
    observation_model="Gaussian",
    regularizer="Lasso",
    regularizer_strength=2 * 0.05,
    **solver,
).fit(X, signal)

# %%

# popglm
model = pg.GLM(
    family="gaussian",
    penalty="lasso",
    lambdas=[0.05],
    **exact,
).fit(X, signal)

# %%
# Again:

check("Gaussian, lasso", lasso.coef_.T, model.coef_)

# %%
# Group lasso
# -----------
# A group of ``PopulationGLM`` is a set of weights of the whole population. For groups that each neuron has to
# itself, as in popglm, its mask needs one row per group *and* neuron.

# NeMoS
groups = np.repeat(np.eye(len(sizes)), sizes, axis=1)
mask = np.einsum("gp,jk->gjpk", groups, np.eye(q))
mask = mask.reshape(-1, p, q)
group_lasso = nmo.glm.PopulationGLM(
    observation_model="Poisson",
    regularizer=nmo.regularizer.GroupLasso(mask=mask),
    regularizer_strength=0.05,
    **solver,
).fit(X, counts)

# %%

# popglm
model = pg.GLM(
    family="poisson",
    penalty="group_lasso",
    feature_groups=sizes,
    lambdas=[0.05],
    **exact,
).fit(X, counts)


# %%
# The same groups are 0, and the others agree:

check("Poisson, group lasso", group_lasso.coef_.T, model.coef_)
starts = np.cumsum([0, *sizes[:-1]])
print("groups in use, neurons × groups:")
print(np.add.reduceat(np.abs(model.coef_), starts, axis=1).astype(bool).astype(int))

# %%
# Classes
# -------
# Both have weights of all classes, and a group lasso with √(p K) before the norm of p features and K classes. popglm
# finds the classes in the labels, which may be text.

# NeMoS
states = (X @ rng.standard_normal((p, 3)) + rng.gumbel(size=(n, 3))).argmax(axis=1)
classifier = nmo.glm.ClassifierGLM(
    n_classes=3,
    regularizer=nmo.regularizer.GroupLasso(mask=np.repeat(groups[:, :, None], 3, axis=2)),
    regularizer_strength=0.05,
    **solver,
).fit(X, states)

# %%

# popglm
model = pg.ClassifierGLM(
    penalty="group_lasso",
    feature_groups=sizes,
    lambdas=[0.05],
    **exact,
).fit(X, np.array(["run", "rest", "turn"])[states])


# %%
# Labels are sorted, as in scikit-learn; NeMoS has numbers. Otherwise they agree:

print(model.classes_)
check("three classes, group lasso", np.asarray(classifier.coef_).T[[1, 0, 2]], model.coef_)

# %%
# All weights against each other:

fig, ax = plt.subplots(figsize=(5, 4), layout="constrained")
for name, (theirs, ours) in compared.items():
    ax.plot(theirs.ravel(), ours.ravel(), "o", markersize=4, alpha=0.7, label=name)
ax.axline((0, 0), slope=1, color="0.7", linewidth=0.8, zorder=0)
ax.set_xlabel("Weight (NeMoS)")
ax.set_ylabel("Weight (popglm)")
ax.legend(frameon=False, fontsize="small")
plt.show()

# %%
# What else differs
# -----------------
# NeMoS has hidden Markov models around its GLMs and classifiers. popglm has the path and its selection per neuron, a
# certificate of how far each fit is from its minimum, and the explanation of what was fitted.
