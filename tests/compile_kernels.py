"""Compile the kernels of one precision into numba's cache: ``python tests/compile_kernels.py float32``."""

import sys
import warnings

import numpy as np
from scipy import sparse

import popglm as pg


def main(precision: str) -> None:
    """Fit small populations that come by every kernel."""
    rng = np.random.default_rng(0)
    X = rng.standard_normal((300, 40))
    Y = rng.poisson(np.exp(0.3 * X[:, :6])).astype(float)
    settings = {"precision": precision, "tol": 1e-3}
    groups = [10, 10, 10, 10]
    pg.GLMCV(penalty="group_lasso", feature_groups=groups, lambdas=[0.1, 1e-2, 1e-4], cv=2, **settings).fit(X, Y)
    pg.GLM(penalty="group_lasso", feature_groups=groups, smoothness=0.1, lambdas=[0.1], **settings).fit(X, Y)
    pg.GLM(penalty="lasso", lambdas=[0.1, 1e-2], **settings).fit(X, Y)
    # blends, and weights within bounds
    blend = {"penalty": "sparse_group_lasso", "feature_groups": groups, "lambdas": [0.02], **settings}
    pg.GLM(**blend).fit(X, Y)
    pg.GLM(constraints={"group0": (-0.1, 0.1)}, **blend).fit(X, Y)
    pg.GLM(penalty="lasso", feature_groups=groups, constraints={"group0": (-0.1, 0.1)}, lambdas=[0.02], **settings).fit(
        X, Y
    )
    # Newton steps, for neurons that use more than 120 columns
    wide = rng.standard_normal((300, 140))
    pg.GLM(penalty="group_lasso", feature_groups=[10] * 14, lambdas=[1e-2, 1e-4], **settings).fit(wide, Y)
    # a sparse design that stays sparse
    scattered = sparse.random_array((300, 2_100), density=0.01, rng=rng, format="csr")
    pg.GLM(penalty="lasso", lambdas=[1e-2], **settings).fit(scattered, Y)
    # models of single neurons, which only slow ones get: those that are silent but for a few samples of high rates
    X = X[:, :12] * np.where(rng.random((300, 12)) < 0.05, 3, 0.3)
    Y = rng.poisson(np.exp(np.minimum(1.2 * X @ rng.standard_normal((12, 4)) - 1, 4))).astype(float)
    for penalty in ("group_lasso", "lasso"):
        pg.GLM(penalty=penalty, feature_groups=[4, 4, 4], lambdas=[0.1, 1e-3], tol=1e-6, precision=precision).fit(X, Y)


if __name__ == "__main__":
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        main(sys.argv[1])
