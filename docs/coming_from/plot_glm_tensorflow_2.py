r"""
GLM_Tensorflow_2
================

A notebook that begins ``import glm_class as glm`` runs to the end with one line changed:

.. code-block:: python

   from popglm import glm_class as glm

`popglm.glm_class` has the same classes, arguments, methods, attributes and functions, and solves with popglm's
solver, on a CPU. TensorFlow is not needed. This page shows such a notebook on the left, and popglm's own interface on
the right.

.. list-table:: The objective, per response: loss + λ·P(w) + smoothness
   :header-rows: 1
   :widths: 26 37 37

   * -
     - ``glm_class``
     - popglm
   * - gaussian loss
     - mean of (y − μ)²
     - mean of ½ (y − μ)²: λ = ``lambda_series`` / 2
   * - poisson loss
     - mean of μ − y log μ
     - the same
   * - binominal loss
     - cross-entropy
     - the same (``"bernoulli"``)
   * - ``elastic_net``
     - α‖w‖₁ + (1 − α)/2 ‖w‖²
     - the same
   * - ``group_lasso``
     - Σ √p_g ‖w_g‖
     - the same
   * - smoothness
     - s·wᵀRw
     - σ/2·wᵀRw: σ = 2 s, and σ = s for gaussian

.. list-table:: Names
   :header-rows: 1
   :widths: 50 50

   * - ``glm_class``
     - popglm
   * - ``activation='exp'``; ``'linear'``
     - ``inverse_link="exp"``; ``"identity"``
   * - ``loss_type='poisson'``; ``'binominal'``
     - ``family="poisson"``; ``"bernoulli"``
   * - ``regularization='elastic_net'``, ``l1_ratio=0``; ``1``; between
     - ``penalty="ridge"``; ``"lasso"``; ``"elastic_net"`` with ``l1_ratio``
   * - ``regularization='group_lasso'``, ``feature_group_size`` in ``fit``
     - ``penalty="group_lasso"``, ``feature_groups`` (read from the columns of a `Design`)
   * - ``lambda_series``
     - ``lambdas``
   * - ``smooth_strength``
     - ``smoothness``
   * - ``optimizer``, ``learning_rate``, ``momentum``
     - ``solver=FirstOrder(...)``; not needed by default
   * - ``convergence_tol``, ``max_iter_per_lambda``
     - ``tol``, ``max_iter``: of a certified distance to the minimum
   * - ``n_folds``, ``auto_split``, ``split_by_group``, ``train_idx``, ``val_idx``
     - ``cv``: a number, a splitter, or a list of (train, test)
   * - ``group_idx`` in ``fit``
     - ``groups`` in ``fit``
   * - ``se_fraction``, ``min_lambda`` in ``select_model``
     - ``se_fraction``, ``min_lambda`` in ``select`` and in the constructor
   * - ``selected_w`` (features, responses)
     - ``coef_`` (neurons, features)
   * - ``selected_w0``, ``selected_lambda``, ``selected_lambda_ind``
     - ``intercept_``, ``lambda_``, ``lambda_index_``
   * - ``w_series_dict[fold]``
     - ``cv_coef_path_[fold]``, ``cv_intercept_path_[fold]``
   * - ``all_deviance``
     - ``cv_deviance_``
   * - ``selected_frac_dev_expl_cv``
     - ``cv_deviance_explained_``
   * - ``make_prediction_cv(X)``
     - ``predict_held_out(X)``
   * - ``evaluate``: four arrays
     - ``evaluate``: a table
"""

# %%
# The session
# -----------
# Both get the same arrays: a simulated session, its trials, the sizes of the feature groups.

import matplotlib.pyplot as plt
import numpy as np

import popglm as pg
from popglm import glm_class as glm

session = pg.maze_session(n_samples=6_000, n_neurons=15, n_task_variables=2)
trial = session.behavior["trial"].to_numpy()
train = trial % 6 != 0  # every sixth trial is for the test
design = pg.maze_design(n_task_variables=2)
X_train = design.fit_transform(session.behavior[train])
X_test = design.transform(session.behavior[~train])
Y_train, Y_test = session.activity[train], session.activity[~train]
strengths = 10.0 ** np.linspace(-1, -3, 5)

# %%
# Fit
# ---
# A Poisson group lasso with folds by trial. The module takes group sizes in ``fit``; popglm reads them from the
# columns' names.

# the notebook
model_cv = glm.GLM_CV(
    n_folds=5,
    auto_split=True,
    split_by_group=True,
    activation="exp",
    loss_type="poisson",
    regularization="group_lasso",
    lambda_series=strengths,
    learning_rate=1e-3,
    convergence_tol=1e-5,
)
model_cv.fit(
    X_train.values,
    Y_train.values,
    group_idx=trial[train],
    feature_group_size=design.group_sizes_,
    verbose=False,
)

# %%

# popglm
model = pg.GLMCV(
    cv=5,
    family="poisson",
    penalty="group_lasso",
    lambdas=strengths,
)
model.fit(X_train, Y_train, groups=trial[train])


# %%
# Select
# ------
# The strongest penalty within one standard error of the best.

# the notebook
model_cv.select_model(se_fraction=1.0, make_fig=False)


# %%

# popglm
model.select(se_fraction=1.0)


# %%
# Both chose the same strengths, and hold the same weights to within the solver's tolerance:

print("same strengths:", np.array_equal(model_cv.selected_lambda, model.lambda_))
print(f"largest difference of weights: {np.abs(model_cv.selected_w.T - model.coef_).max():.1e}")

# %%
# Evaluate
# --------
# Four arrays, or a table with a row per neuron.

# the notebook
frac, dev_model, dev_null, dev_expl = model_cv.evaluate(X_test.values, Y_test.values, make_fig=False)
Y_pred = model_cv.predict(X_test.values)

# popglm
scores = model.evaluate(X_test, Y_test)
mu = model.predict(X_test)

# %%
# The same numbers:

print(f"mean of the module {frac.mean():.4f}, of popglm {scores.deviance_explained.mean():.4f}")
fig, ax = plt.subplots(figsize=(4, 4), layout="constrained")
ax.plot(frac, scores["deviance_explained"], "o")
ax.axline((0, 0), slope=1, color="0.7", linewidth=0.8, zorder=0)
ax.set_xlabel("Deviance explained (glm_class)")
ax.set_ylabel("Deviance explained (popglm)")
plt.show()

# %%
# What the cue contributes
# ------------------------
# With the module, one sets columns to 0, predicts each fold by its own weights, and takes deviances apart by hand.
# `breakdown` does that, for any number of variables, in bins if asked.

# the notebook
group = X_train.columns.get_level_values(0)
cue = np.flatnonzero(group.str.contains("cue"))
X_zero = X_train.values.copy()
X_zero[:, cue] = 0
held_out = model_cv.make_prediction_cv(X_train.values)
ablated = model_cv.make_prediction_cv(X_zero)
_, full, null = glm.deviance(held_out, Y_train.values, "poisson")
_, reduced, _ = glm.deviance(ablated, Y_train.values, "poisson")
by_hand = (reduced - full) / null

# %%

# popglm
parts = pg.breakdown(model, X_train, Y_train, {"cue": "*cue*"})
contribution = parts.fraction_null_deviance.sel(variable="cue")


# %%
# The same again:

print(f"largest difference: {np.abs(by_hand - contribution.values).max():.1e}")

# %%
# Gaussian activity
# -----------------
# Here the factors of the first table come in: half the strength, and the same smoothness, are the same model.

# the notebook
gaussian = glm.GLM(
    activation="linear",
    loss_type="gaussian",
    regularization="elastic_net",
    l1_ratio=0.0,
    lambda_series=[0.2],
    smooth_strength=0.1,
)
gaussian.fit(
    X_train.values,
    Y_train.values,
    feature_group_size=design.group_sizes_,
    verbose=False,
)
w0, w = gaussian.w_series[0]

# %%

# popglm
ours = pg.GLM(
    family="gaussian",
    penalty="ridge",
    lambdas=[0.2 / 2],
    smoothness=0.1,
).fit(X_train, Y_train)


# %%
# And the weights:

print(f"largest difference of weights: {np.abs(w.T - ours.coef_).max():.1e}")

# %%
# What is different
# -----------------
# - Fits end by a certificate of their distance from the minimum, not by how little the loss changed. Where a fit with
#   Adam had not converged, the objective here is lower at the same strength, and weights differ accordingly.
# - ``optimizer``, ``learning_rate`` and ``momentum`` are checked, and used only with ``solver="first-order"``.
# - Starting weights (``initial_w``) are checked and not used: a convex objective has one minimum.
# - Wrong shapes and calls out of order say what is wrong in a sentence.
