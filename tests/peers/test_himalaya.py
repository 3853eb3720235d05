"""What the public tests of himalaya assert, asked of popglm.

himalaya compares itself with scipy and scikit-learn on columns and targets of its own; these do so on others. Its α is
added to XᵀX, so that λ is α over the samples of a fit. It has no kernels here: a linear one is the ridge itself.
"""

import warnings

import numpy as np
import pytest
from peer_fits import correlated, exact
from sklearn.exceptions import ConvergenceWarning
from sklearn.linear_model import Lasso, LinearRegression, Ridge
from sklearn.metrics import r2_score
from sklearn.model_selection import KFold

from popglm import GLMCV

ALPHAS = np.logspace(-2, 5, 7)


def drawn(n=30, p=10, q=3, seed=0):
    rng = np.random.default_rng(seed)
    X = rng.normal(size=(n, p))
    return X, X @ rng.normal(size=(p, q)) + rng.normal(size=(n, q))


def descending(alphas, n):
    return np.sort(alphas)[::-1] / n


@pytest.mark.parametrize(("n", "q"), [(30, 3), (10, 20)])
def test_ridge_of_every_strength_solves_its_normal_equations(n, q):
    X, Y = drawn(n, 5, q)
    model = exact("gaussian", lambdas=descending(ALPHAS, n), fit_intercept=False).fit(X, Y)
    for k, lam in enumerate(model.lambdas_):
        expected = np.linalg.solve(X.T @ X + n * lam * np.eye(5), X.T @ Y).T
        np.testing.assert_allclose(model.coef_path_[k], expected, atol=1e-6)


@pytest.mark.parametrize("one_target", [False, True])
@pytest.mark.parametrize("fit_intercept", [False, True])
def test_ridge_is_that_of_scikit_learn(fit_intercept, one_target):
    X, Y = drawn()
    X, Y = X + 10 * fit_intercept, Y + 100 * fit_intercept
    Y = Y[:, 0] if one_target else Y
    for alpha in ALPHAS:
        model = exact("gaussian", lambdas=[alpha / 30], fit_intercept=fit_intercept).fit(X, Y)
        other = Ridge(alpha=alpha, fit_intercept=fit_intercept).fit(X, Y)
        assert model.coef_.shape == other.coef_.shape
        np.testing.assert_allclose(model.coef_, other.coef_, atol=1e-5)
        np.testing.assert_allclose(model.predict(X), other.predict(X), atol=1e-5)


@pytest.mark.parametrize("fit_intercept", [False, True])
def test_each_target_selects_as_a_loop_over_ridges_does(fit_intercept):
    """By held-out squares, pooled, at the same λ in folds and refit: that is α over the samples of each."""
    X, Y = drawn()
    Y = Y + 10 * fit_intercept
    alphas = np.logspace(-2, 3, 21)
    model = GLMCV(
        "gaussian", lambdas=descending(alphas, 30), cv=5, fit_intercept=fit_intercept, precision="float64", tol=1e-12
    ).fit(X, Y)  # fmt: skip
    squares = np.zeros((21, 3))
    for train, test in KFold(5).split(X):
        for k, alpha in enumerate(alphas[::-1]):
            ridge = Ridge(alpha=alpha * len(train) / 30, fit_intercept=fit_intercept).fit(X[train], Y[train])
            squares[k] += ((Y[test] - ridge.predict(X[test])) ** 2).sum(axis=0)
    best = alphas[::-1][squares.argmin(axis=0)]
    np.testing.assert_allclose(model.cv_deviance_.sum(axis=0), squares, rtol=1e-6)
    np.testing.assert_allclose(model.lambda_ * 30, best)
    for j in range(3):
        other = Ridge(alpha=best[j], fit_intercept=fit_intercept).fit(X, Y[:, j])
        np.testing.assert_allclose(model.coef_[j], other.coef_, atol=1e-6)


def test_banded_ridge_of_one_band_is_ridge():
    X, Y = drawn()
    plain = exact("gaussian", lambdas=[0.1]).fit(X, Y)
    banded = exact("gaussian", lambdas=[0.1], feature_groups=[10], penalty_factors=[1.0]).fit(X, Y)
    np.testing.assert_allclose(banded.coef_, plain.coef_, atol=1e-9)


@pytest.mark.parametrize("gamma", [(0.3, 0.7), (0.9, 0.1), (0.05, 0.95)])
def test_banded_ridge_of_given_bands_is_ridge_of_scaled_columns(gamma):
    """√γ_g X_g with one α is a factor of 1/γ_g before the strength of band g; himalaya searches for γ as well."""
    X, Y = drawn(80, 30, 4)
    scale = np.sqrt(np.repeat(gamma, [10, 20]))
    other = Ridge(alpha=3.0, fit_intercept=False).fit(X * scale, Y).coef_ * scale
    model = exact(
        "gaussian", lambdas=[3.0 / 80], feature_groups=[10, 20], penalty_factors=1 / np.array(gamma),
        fit_intercept=False,
    ).fit(X, Y)  # fmt: skip
    np.testing.assert_allclose(model.coef_, other, atol=1e-6)


def test_scores_are_those_of_scikit_learn():
    X, Y = drawn()
    model = exact("gaussian", lambdas=[0.5]).fit(X, Y)
    test_X, test_Y = drawn(seed=1)
    expected = r2_score(test_Y, model.predict(test_X), multioutput="raw_values")
    np.testing.assert_allclose(model.evaluate(test_X, test_Y)["deviance_explained"], expected, rtol=1e-9)


def test_lasso_without_strength_is_least_squares():
    X, Y = drawn(10, 5, 3)
    model = exact("gaussian", penalty="lasso", lambdas=[0.0], fit_intercept=False).fit(X, Y)
    np.testing.assert_allclose(model.coef_, LinearRegression(fit_intercept=False).fit(X, Y).coef_, atol=1e-6)


def test_lasso_of_every_strength_is_that_of_scikit_learn():
    X, Y = drawn(10, 5, 3)
    for lam in np.logspace(-5, 5, 5):
        model = exact("gaussian", penalty="lasso", lambdas=[lam], fit_intercept=False).fit(X, Y)
        other = Lasso(fit_intercept=False, alpha=lam, max_iter=100_000, tol=1e-12).fit(X, Y)
        np.testing.assert_allclose(model.coef_, other.coef_, atol=1e-6)


@pytest.mark.parametrize("penalty", ["lasso", "group_lasso"])
def test_a_strength_for_each_target(penalty):
    X, w, rng = correlated(60, 6, 2)
    Y = (X @ w)[:, None] * [1.0, 2, 0.5] + rng.normal(size=(60, 3))
    lambdas = np.array([[0.3, 0.05, 0.6]])
    settings = {"penalty": penalty, "feature_groups": [2, 2, 2] if penalty == "group_lasso" else None}
    together = exact("gaussian", lambdas=lambdas, **settings).fit(X, Y)
    for j in range(3):
        alone = exact("gaussian", lambdas=lambdas[:, j], **settings).fit(X, Y[:, j])
        np.testing.assert_allclose(together.coef_[j], alone.coef_, atol=1e-8)


def test_the_objective_never_rises_along_iterations():
    """himalaya's losses fall at every step; more steps of popglm never end higher, and its bound holds at each."""
    X, Y = drawn(40, 12, 2)
    best = exact("poisson", penalty="group_lasso", feature_groups=[4, 4, 4], lambdas=[0.05])
    counts = np.random.default_rng(0).poisson(np.exp(np.clip(Y / 3, -2, 2))).astype(float)
    lowest = best.fit(X, counts).loss_path_
    half_null = best.evaluate(X, counts)["null_deviance"].to_numpy() / 2 / 40
    before = np.full(2, np.inf)
    for steps in (1, 2, 3, 5, 8, 13):
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", ConvergenceWarning)
            model = exact(
                "poisson", penalty="group_lasso", feature_groups=[4, 4, 4], lambdas=[0.05], max_iter=steps
            ).fit(X, counts)  # fmt: skip
        assert (model.loss_path_ <= before + 1e-12).all()
        assert ((model.loss_path_ - lowest) / half_null <= model.gap_ + 1e-10).all()
        before = model.loss_path_
