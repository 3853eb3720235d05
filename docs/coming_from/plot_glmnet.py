r"""
glmnet and hdi
==============

glmnet (of R) fits one response over a path of strengths, which mean the same in popglm; hdi makes intervals from lasso
fits. popglm does both for all neurons of a recording, with groups of columns and whole trials in folds.

.. list-table::
   :header-rows: 1
   :widths: 44 56

   * - glmnet, hdi
     - popglm
   * - ``glmnet(x, y, family = "poisson")``
     - ``GLM("poisson", penalty="lasso").fit(X, y)``
   * - ``cv.glmnet(x, y, foldid = f)``
     - ``GLMCV(penalty="lasso").fit(X, Y, groups=trial)``
   * - ``s = "lambda.1se"``
     - ``se_fraction=1.0``, or ``select(se_fraction=1.0)`` after the fit; errors there are those of folds with ddof 0
   * - ``standardize = TRUE`` (which is usual)
     - `Design` z-scores columns; `GLM` takes X as it is
   * - ``alpha = a``
     - ``penalty="elastic_net"``, ``l1_ratio=a``
   * - ``penalty.factor = v``
     - ``penalty_factors=v / v.mean()``: glmnet scales them to a mean of 1
   * - ``lower.limits = l``, ``upper.limits = u``
     - ``constraints={group: (l, u)}``; lists have one for each column of the group
   * - adaptive lasso: ``penalty.factor = 1 / abs(w)``
     - ``penalty_factors=pg.AdaptiveFactors()``, which makes the first fit in every fold anew
   * - ``relax = TRUE``, ``gamma = c(0, 0.5, 1)``
     - ``GLMCV(relaxed=True)``, ``relaxed=[0, 0.5, 1]``
   * - ``cvfit$relaxed$gamma.min``
     - ``gamma_``, one per neuron
   * - ``ncvreg(X, y, penalty = "MCP", gamma = 3)``, ``grpreg(X, y, group, "grSCAD")``
     - ``penalty="mcp"``, ``concavity=3``; ``penalty="group_scad"``. ncvreg scales γ by the curvature at the present
       weights, popglm by that at the neuron's null model, so that GLMs differ where rates are far from the mean
   * - ``hdi::lasso.proj(x, y)``
     - ``debiased(model, X, Y)``, for all families but ``"censored_gaussian"``; tests of groups, errors over trials
   * - ``hdi::stability(x, y)``
     - ``stability_selection(model, X, Y, trial=trial)``

Both libraries blend linear predictors,
:math:`\eta = \gamma\,\eta_{\text{penalised}} + (1 - \gamma)\,\eta_{\text{relaxed}}`. Where a neuron has no finite best
weights, since it is silent in a place, say, popglm keeps the penalised weights, and says for which neurons.
"""

# %%
# A lasso, and the same relaxed. With a grid of strengths given, the penalised path is glmnet's.

import numpy as np
import pandas as pd

import popglm as pg

rng = np.random.default_rng(0)
X = rng.standard_normal((800, 25))
weights = np.zeros((25, 3))
weights[:4] = rng.uniform(0.2, 0.5, (4, 3))
Y = rng.poisson(np.exp(X @ weights - 0.3))
trial = np.arange(800) // 10

given = {"family": "poisson", "penalty": "lasso", "lambdas": np.geomspace(0.3, 1e-3, 20), "cv": 5}
lasso = pg.GLMCV(**given).fit(X, Y, groups=trial)
relaxed = pg.GLMCV(**given, relaxed=True).fit(X, Y, groups=trial)
adaptive = pg.GLMCV(**given, penalty_factors=pg.AdaptiveFactors()).fit(X, Y, groups=trial)
np.array_equal(relaxed.coef_path_, lasso.coef_path_)

# %%
# Columns with weights, and held-out deviance explained:

models = {"lasso": lasso, "relaxed": relaxed, "adaptive": adaptive}
pd.DataFrame(
    {
        name: [(m.coef_ != 0).sum(axis=1).mean(), m.cv_deviance_explained_.mean(), m.lambda_.mean()]
        for name, m in models.items()
    },
    index=["columns with weights (4 count)", "deviance explained", "strength"],
).round(3)

# %%
# As hdi's ``lasso.proj``: weights without the bias of the penalty, intervals and p-values.

found = pg.debiased(lasso, X, Y)
table = {name: found[name].values[0, :6] for name in ("penalised", "coef", "lower", "upper", "p_value")}
pd.DataFrame(table | {"truth": weights[:6, 0]}).round(3)
