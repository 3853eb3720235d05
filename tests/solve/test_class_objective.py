"""The objective of a categorical response against finite differences, and what a penalty becomes over its classes."""

import numpy as np
import pytest
from scipy.linalg import helmert
from scipy.special import softmax

from popglm.engines import get_engine
from popglm.solve.categorical.objective import CategoricalObjective, Labels
from popglm.solve.categorical.problem import middle, over_classes
from popglm.statistics.penalties import Penalty

K, P, N = 4, 3, 300
ZERO = np.zeros(1, int)


@pytest.fixture(scope="module")
def data():
    rng = np.random.default_rng(0)
    X = rng.standard_normal((N, P)) + 0.5
    codes = rng.integers(K, size=N)
    return X, codes, rng.uniform(0, 2, N) * (rng.random(N) < 0.9), rng.standard_normal(P * (K - 1))


def objective(data, basis=None, fit_intercept=True, precision="float64", offset=None):
    X, codes, s, _ = data
    engine, basis = get_engine("numpy", None, precision, []), helmert(K) if basis is None else basis
    ranges = [(0, 100), (150, N)]
    unit = np.array([1.0, 2.0, 0.5])
    return CategoricalObjective(
        engine, X.astype(engine.dtype), Labels(codes, s, offset), ranges, basis, unit, fit_intercept
    )


def inside(data):
    at = np.r_[0:100, 150:N]
    X, codes, s, _ = data
    return X[at], codes[at], s[at]


def test_the_loss_is_that_of_the_best_intercepts(data):
    found = objective(data).evaluate(ZERO, data[3][None], np.zeros((1, K)))
    X, codes, s = inside(data)
    V = (helmert(K).T @ data[3].reshape(P, K - 1).T) / np.array([1.0, 2.0, 0.5])
    p = softmax(X @ V.T + found.b[0], axis=1)
    np.testing.assert_allclose(found.loss[0], -s @ np.log(p[np.arange(len(p)), codes]) / s.sum(), rtol=1e-12)
    # at the best intercepts the classes have their frequencies
    np.testing.assert_allclose(s @ p, np.bincount(codes, s), rtol=1e-9)
    np.testing.assert_allclose(found.b.sum(), 0, atol=1e-12)


@pytest.mark.parametrize("offset", [None, 1.5])
@pytest.mark.parametrize("fit_intercept", [True, False])
@pytest.mark.parametrize("basis", [helmert(K), np.eye(K)], ids=["contrasts", "classes"])
def test_derivatives_are_those_of_finite_differences(data, basis, fit_intercept, offset):
    beside = None if offset is None else offset * np.random.default_rng(2).standard_normal((K, N))
    own = objective(data, basis, fit_intercept, offset=beside)
    w = np.random.default_rng(1).standard_normal(P * len(basis))
    b = np.zeros((1, K))
    here, step = own.evaluate(ZERO, w[None], b), 1e-5
    numeric, bend = np.zeros(len(w)), np.zeros((len(w), len(w)))
    for i, e in enumerate(np.eye(len(w))):
        up, down = (own.evaluate(ZERO, (w + sign * step * e)[None], b) for sign in (1, -1))
        numeric[i] = (up.loss[0] - down.loss[0]) / (2 * step)
        bend[i] = (up.grad[0] - down.grad[0]) / (2 * step)
    np.testing.assert_allclose(here.grad[0], numeric, atol=1e-9)
    H = own.weighted_grams(ZERO, w[None], here.b)[0]
    np.testing.assert_allclose(H, bend, atol=1e-8)
    g, R = own.derivatives(0, w, here.b[0])
    np.testing.assert_allclose(g, np.append(here.grad[0], 0), atol=1e-14)
    np.testing.assert_allclose((R.T @ R)[:-1, :-1], H, atol=1e-12)
    np.testing.assert_allclose(own.weighted_variances(ZERO, w[None], here.b)[0], np.diag(H), rtol=1e-10)


def test_extreme_predictors_leave_no_nan(data):
    found = objective(data, precision="float32").evaluate(ZERO, 1e3 * data[3][None], np.zeros((1, K)))
    assert np.isfinite(found.loss).all()
    assert np.isfinite(found.grad).all()
    far = objective(data, precision="float32").evaluate(ZERO, 1e38 * data[3][None], np.zeros((1, K)))
    assert far.loss[0] == np.inf


def test_free_columns_are_solved_out_of_the_dual_point(data):
    own, w = objective(data), data[3]
    here = own.evaluate(ZERO, w[None], np.zeros((1, K)))
    columns = np.arange(K - 1, 2 * (K - 1))  # the second feature
    found = own.project(ZERO, w[None], here.b, here.grad, columns)
    H = own.weighted_grams(ZERO, w[None], here.b)[0]
    u = np.linalg.solve(H[np.ix_(columns, columns)], here.grad[0, columns])
    np.testing.assert_allclose(found.step[0, columns], -u, rtol=1e-9)
    np.testing.assert_allclose(found.decrement[0], u @ here.grad[0, columns], rtol=1e-9)
    np.testing.assert_allclose(found.shift[0], H[:, columns] @ u, rtol=1e-8, atol=1e-12)
    assert found.reach[0] > 0


def test_groups_hold_the_weights_of_all_classes():
    penalty = Penalty.make("group_lasso", None, 0.0, [2, 1], [1.0, 3.0])
    V = np.random.default_rng(0).standard_normal((K, 3))
    V -= V.mean(axis=0)
    want = np.sqrt(2 * K) * np.linalg.norm(V[:, :2]) + 3 * np.sqrt(K) * np.linalg.norm(V[:, 2])
    for basis in (helmert(K), np.eye(K)):
        wide = over_classes(penalty, len(basis), K, grouped=True)
        w = (basis @ V).T.reshape(1, -1)
        np.testing.assert_allclose(wide.value(w, np.ones(1)), want)
    lasso = over_classes(Penalty.make("lasso", None, 0.0, [3]), K, K, grouped=False)
    np.testing.assert_allclose(lasso.value(V.T.reshape(1, -1), np.ones(1)), np.abs(V).sum())
    smooth = Penalty.make("ridge", None, 0.5, [3])
    wide = over_classes(smooth, K, K, grouped=False)
    want = smooth.value(V, np.full(K, 0.2)).sum()
    np.testing.assert_allclose(wide.value(V.T.reshape(1, -1), np.array([0.2])), want)


def test_the_shift_of_a_lasso_is_the_limit_of_elastic_nets():
    rng = np.random.default_rng(0)
    for n in (2, 3, 4, 5):
        V = rng.standard_normal((n, 6))
        found = middle(V)
        for column, shift in zip(V.T, found, strict=True):
            grid = np.linspace(column.min(), column.max(), 20001)
            away = column[:, None] - grid
            cost = np.abs(away).sum(axis=0) + 1e-3 * (away**2).sum(axis=0)
            np.testing.assert_allclose(shift, grid[cost.argmin()], atol=3e-4)
