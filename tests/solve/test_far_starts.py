"""Fits whose activity is far from what weights of 0 predict: without an intercept nothing else takes the rate there."""

import numpy as np
import pytest
from scipy import sparse

from popglm import GLM, GLMCV

EXACT = {"precision": "float64", "tol": 1e-12, "fit_intercept": False}


def dummies(mean, seed=0, n=400, kinds=4):
    """A column per kind of sample, and counts (n,) with a mean; the answer is the log of each kind's mean."""
    rng = np.random.default_rng(seed)
    kind = np.arange(n) % kinds
    y = rng.poisson(mean * np.linspace(0.9, 1.1, kinds)[kind]).astype(float)
    return np.eye(kinds)[kind], y, np.log([y[kind == k].mean() for k in range(kinds)])


@pytest.mark.parametrize("mean", [0.05, 20, 3_000])
@pytest.mark.parametrize("family", ["poisson", "gamma", "inverse_gaussian", "tweedie", "negative_binomial"])
def test_dummy_columns_stand_for_an_intercept(family, mean):
    X, y, expected = dummies(mean)
    if family in ("gamma", "inverse_gaussian"):
        y = np.maximum(y, 0.01)
        expected = np.log(X.T @ y / X.sum(axis=0))
    model = GLM(family, penalty="none", **EXACT).fit(X, y)
    np.testing.assert_allclose(model.coef_, expected, rtol=1e-5)
    assert model.n_iter_.max() < 30
    assert model.gap_.max() <= 1e-12


@pytest.mark.parametrize("penalty", ["ridge", "lasso", "group_lasso"])
@pytest.mark.parametrize("schedule", ["host", "device"])
def test_penalised_dummy_columns(penalty, schedule):
    """Each weight solves (e^w − ȳ)/4 + λ·(its part of the penalty) = 0."""
    X, y, _ = dummies(20)
    lam = 0.05
    model = GLM(penalty=penalty, lambdas=[lam], feature_groups=list("abcd"), schedule=schedule, **EXACT).fit(X, y)
    w, means = model.coef_, X.T @ y / X.sum(axis=0)
    np.testing.assert_allclose((means - np.exp(w)) / 4, lam * (w if penalty == "ridge" else np.sign(w)), rtol=1e-4)


def test_folds_and_masks_begin_there_too():
    X, y, _ = dummies(20)
    Y = np.column_stack([y, y])
    mask = np.array([[1, 1], [1, 1], [1, 1], [1, 0]], dtype=bool)
    X_even, kept = X[:300], slice(0, 300)
    model = GLMCV(lambdas=[1e-6], cv=3, feature_mask=mask, **EXACT).fit(X_even, Y[kept])
    kinds = np.arange(300) % 4
    means = np.array([y[kept][kinds == k].mean() for k in range(4)])
    np.testing.assert_allclose(model.coef_[0], np.log(means), rtol=1e-5)
    np.testing.assert_allclose(model.coef_[1, :3], np.log(means[:3]), rtol=1e-5)
    assert model.coef_[1, 3] == 0


@pytest.mark.parametrize("slope", [3.0, 5.0, 7.0])
@pytest.mark.parametrize("penalty", ["none", "ridge", "lasso"])
def test_a_step_far_past_its_model_closes_no_direction(penalty, slope):
    """Columns of ±1 hold no constant: from weights of 0 the first step goes where exp is astronomical."""
    X = np.kron(np.eye(2), np.array([[1.0], [-1.0]]))
    X = np.tile(X, (50, 1))
    y = np.exp(X @ [slope, 0.8 * slope])
    lambdas = None if penalty == "none" else [1e-9]
    model = GLM(penalty=penalty, lambdas=lambdas, max_iter=2_000, **EXACT).fit(X, y)
    np.testing.assert_allclose(model.coef_, [slope, 0.8 * slope], rtol=1e-4)


@pytest.mark.parametrize("sets", [1, 2])
def test_wide_sparse_dummy_columns(sets):
    """Beyond the columns that have a Gram matrix its diagonal has to do."""
    rng = np.random.default_rng(0)
    n, p = 9_000, 2_100
    kind = np.stack([rng.permutation(np.arange(n) % p) for _ in range(sets)])
    X = sparse.hstack([sparse.csr_array((np.ones(n), (np.arange(n), k)), shape=(n, p)) for k in kind]).tocsr()
    y = rng.poisson(20.0, n).astype(float)
    names = [f"x{j}" for j in range(sets * p)]
    model = GLM(penalty="lasso", lambdas=[1e-6], feature_groups=names, **EXACT | {"tol": 1e-8}).fit(X, y)
    rate = np.exp(X @ model.coef_)
    np.testing.assert_allclose(X.T @ (rate - y) / n, -1e-6 * np.sign(model.coef_), atol=1e-5)
    assert model.gap_.max() <= 1e-8
