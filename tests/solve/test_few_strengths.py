"""Fits of a ridge at a few strengths: inverses in place of axes, rounded Gram matrices, and null models from sums."""

import numpy as np
import pytest

from popglm import GLM, GLMCV
from popglm.engines import NumpyEngine
from popglm.solve.local_models.ridge_inverses import ACCURACY, RATIO, RidgeInverses
from popglm.solve.objective.evaluation import null_models
from popglm.solve.objective.row_objective import RowObjective
from popglm.solve.passes.coordinates import MOST_AT_ONCE, gram
from popglm.solve.passes.samples import FitData, Samples
from popglm.solve.passes.sums import gram_precision
from popglm.solve.prepared import prepared
from popglm.solve.settings import Settings
from popglm.statistics.families import get_family
from popglm.statistics.penalties import Penalty
from popglm.statistics.responses import response_sums

P = MOST_AT_ONCE + 20


def columns_of(n=1500, p=P, seed=0):
    """Columns that depend on each other, z-scored."""
    rng = np.random.default_rng(seed)
    X = rng.normal(size=(n, p)) @ (np.eye(p) + 0.1 * rng.normal(size=(p, p)))
    return (X - X.mean(axis=0)) / X.std(axis=0)


def counts_of(X, q=4, seed=1):
    """Counts of neurons with rates far apart."""
    rng = np.random.default_rng(seed)
    eta = X @ rng.normal(0, 0.3 / np.sqrt(X.shape[1]), (X.shape[1], q)) + np.linspace(-2, 2, q)
    return rng.poisson(np.exp(eta)).astype(float)


@pytest.mark.parametrize("precision", ["float32", "float64"])
def test_inverses_are_near_those_of_every_strength(precision):
    G, rng = np.cov(columns_of().T), np.random.default_rng(2)
    inverses = RidgeInverses(NumpyEngine(precision), G)
    s = np.geomspace(0.02, 20000, 60)
    c = rng.uniform(0.1, 10, 60)
    r = rng.normal(size=(60, P)) @ G
    found, missing = inverses.solve(r, c, c * s)
    assert not missing.any()
    for own, gradient, ridge, scale in zip(found, r, s, c, strict=True):
        M = scale * (G + ridge * np.eye(P))
        exact = np.linalg.solve(M, gradient)
        apart = own - exact
        assert apart @ M @ apart <= (ACCURACY + 1e-3) ** 2 * (exact @ M @ exact)


def test_the_map_is_symmetric_and_positive_whatever_the_strength():
    G = np.cov(columns_of(p=12).T)
    inverses = RidgeInverses(NumpyEngine("float64"), G)
    for s in (0.3, RATIO**0.5 * 0.99, RATIO):
        H, _ = inverses.solve(np.eye(12), np.ones(12), np.full(12, s))
        np.testing.assert_allclose(H, H.T, rtol=0, atol=1e-13)
        assert np.linalg.eigvalsh((H + H.T) / 2).min() > 0


def test_a_row_is_the_same_alone_and_among_others():
    G, rng = np.cov(columns_of().T), np.random.default_rng(3)
    r, c, lam2 = rng.normal(size=(50, P)), rng.uniform(0.1, 3, 50), rng.uniform(0.1, 2, 50)
    together, _ = RidgeInverses(NumpyEngine(), G).solve(r, c, lam2)
    for j in (0, 7, 49):
        alone, _ = RidgeInverses(NumpyEngine(), G).solve(r[j : j + 1], c[j : j + 1], lam2[j : j + 1])
        np.testing.assert_array_equal(alone[0], together[j])


def test_strengths_that_rounding_reaches_are_left_to_the_axes_and_huge_ones_are_all_of_the_metric():
    G = np.cov(columns_of().T)
    inverses = RidgeInverses(NumpyEngine(), G)
    found, missing = inverses.solve(np.ones((4, P)), np.array([1.0, 1.0, 1.0, 0.0]), np.array([0.0, 1e-9, 1.0, 1e9]))
    assert missing.tolist() == [True, True, False, False]
    np.testing.assert_allclose(found[3], 1e-9)
    assert all(level < 5 for level in inverses._inverses)


@pytest.mark.parametrize("precision", ["float32", "float64"])
@pytest.mark.parametrize("family", ["poisson", "bernoulli"])
def test_a_fit_at_one_strength_ends_where_a_path_passes(family, precision):
    X = columns_of()
    Y = np.minimum(counts_of(X), 1 if family == "bernoulli" else np.inf)
    path = GLM(family, penalty="ridge", lambdas=np.geomspace(1, 0.01, 8), tol=1e-10, precision="float64").fit(X, Y)
    one = GLM(family, penalty="ridge", lambdas=[0.01], tol=1e-5, precision=precision).fit(X, Y)
    assert (one.gap_ <= 1e-5).all()
    near = path.coef_path_[-1]
    assert np.abs(one.coef_ - near).max() <= 0.02 * np.abs(near).max()
    # the certificate is true: what the objective lies above the least, over half the null deviance
    null = response_sums(get_family(family), Y.T, None, [(0, len(Y))]).null
    assert ((one.loss_path_[0] - path.loss_path_[-1]) / null <= 1e-5).all()


def test_a_weak_ridge_on_columns_that_repeat_each_other_ends_as_well():
    X = columns_of(n=400)
    X = np.column_stack([X, X[:, :60] + 1e-4 * columns_of(n=400, p=60, seed=9)])
    Y = counts_of(X)
    exact = GLM("poisson", penalty="ridge", lambdas=[1e-4], tol=1e-9, precision="float64").fit(X, Y)
    one = GLM("poisson", penalty="ridge", lambdas=[1e-4], tol=1e-3).fit(X, Y)
    null = response_sums(get_family("poisson"), Y.T, None, [(0, len(Y))]).null
    assert ((one.loss_path_[0] - exact.loss_path_[0]) / null <= 1e-3).all()


@pytest.mark.parametrize("family", ["poisson", "bernoulli"])
def test_null_models_from_sums_are_those_of_a_pass(family):
    X, rng = columns_of(p=6), np.random.default_rng(4)
    Y, weights = np.minimum(counts_of(X), 1 if family == "bernoulli" else np.inf).T, rng.uniform(0.5, 2, len(X))
    loss, rows, engine = get_family(family), [(0, 600), (900, 1500)], NumpyEngine("float64")
    objective = RowObjective(engine, loss, Samples(X, np.ascontiguousarray(Y), weights), [rows])
    sums = response_sums(loss, Y, weights, rows)
    kept = np.r_[0:600, 900:1500]
    x_mean = weights[kept] @ X[kept] / weights[kept].sum()
    found = null_models(loss, sums, x_mean, objective.YX)
    passed = objective.evaluate(np.arange(len(Y)), np.zeros((len(Y), 6)), sums.intercept)
    # that of a pass counts the weights of samples, which G has too
    assert (found.spread == 1).all()
    for name in ("loss", "b", "grad", "curvature", "chi2", "smooth", "slope"):
        np.testing.assert_allclose(getattr(found, name), getattr(passed, name), rtol=1e-9, atol=1e-11)


def test_rounded_products_keep_the_diagonal_and_a_strong_ridge_alone_asks_for_them():
    X, engine = columns_of().astype(np.float32), NumpyEngine()
    for weights in (None, np.random.default_rng(5).uniform(0, 2, len(X))):
        exact, x = gram(engine, X, weights, [(0, len(X))])
        rounded, own = gram(engine, X, weights, [(0, len(X))], np.float32)
        np.testing.assert_allclose(rounded, exact, rtol=0, atol=1e-6 * exact.max())
        np.testing.assert_allclose(np.diag(rounded), np.diag(exact), rtol=1e-6)
        np.testing.assert_allclose(own, x, rtol=0, atol=1e-3)
    assert (rounded != exact).any()
    assert [gram_precision(engine, X, ridge) for ridge in (1e-2, 1e-7, 0.0)] == [np.float32, float, float]


def test_columns_that_are_centred_already_are_no_copy_and_stay_as_they_are():
    X = columns_of().astype(np.float32)
    Y = counts_of(X)
    settings = Settings(get_family("poisson"), Penalty.make("ridge", None, 0.0, np.ones(P, int)), np.full((1, 4), 0.1))
    data = FitData(NumpyEngine(), X, Y, None, None, [])
    assert np.shares_memory(prepared(data, settings).X, X)
    assert not np.shares_memory(prepared(data._replace(X=X + np.float32(0.01)), settings).X, X)
    before = X.copy()
    folds = [(np.arange(750, 1500), np.arange(750)), (np.arange(750), np.arange(750, 1500))]
    model = GLMCV("poisson", penalty="ridge", lambdas=[0.1, 0.01], cv=folds).fit(X, Y)
    shifted = GLMCV("poisson", penalty="ridge", lambdas=[0.1, 0.01], cv=folds).fit(X + np.float32(0.25), Y)
    np.testing.assert_array_equal(X, before)
    np.testing.assert_allclose(model.cv_deviance_, shifted.cv_deviance_, rtol=1e-3)
