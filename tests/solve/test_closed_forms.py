"""Fits whose answer is known: normal equations, log ratios, log odds, λ_max."""

import warnings

import numpy as np
import pytest
from independent import CONVEX, population

from popglm import GLM

EXACT = {"precision": "float64", "tol": 1e-14, "max_iter": 1000}
LAMBDAS = [10.0, 1.0, 0.1, 1e-3, 1e-6]


@pytest.mark.parametrize("weighted", [False, True])
@pytest.mark.parametrize("smoothness", [0.0, 0.3])
@pytest.mark.parametrize("fit_intercept", [True, False])
@pytest.mark.parametrize("with_offset", [False, True])
def test_gaussian_ridge_solves_the_normal_equations(weighted, smoothness, fit_intercept, with_offset):
    sizes = [3, 1, 4, 2]
    X, Y = population("gaussian", "identity", sizes=sizes)
    n, p = X.shape
    rng = np.random.default_rng(1)
    s = rng.uniform(0, 3, n) if weighted else np.ones(n)
    offset = rng.standard_normal(n) if with_offset else np.zeros(n)
    model = GLM(
        "gaussian", penalty="ridge", smoothness=smoothness, feature_groups=sizes, lambdas=LAMBDAS,
        fit_intercept=fit_intercept, **EXACT,
    ).fit(X, Y, sample_weight=s if weighted else None, offset=offset if with_offset else None)  # fmt: skip
    R = np.zeros((p, p))
    for a, size in zip(np.cumsum([0, *sizes[:-1]]), sizes, strict=True):
        R[a : a + size, a : a + size] = 2 * np.eye(size) - np.eye(size, k=1) - np.eye(size, k=-1) if size > 1 else 1
    A = np.column_stack([np.ones(n), X]) if fit_intercept else X
    for k, lam in enumerate(LAMBDAS):
        M = A.T @ (s[:, None] * A) / s.sum()
        M[-p:, -p:] += lam * np.eye(p) + smoothness * R
        exact = np.linalg.solve(M, A.T @ (s[:, None] * (Y - offset[:, None])) / s.sum())
        np.testing.assert_allclose(model.coef_path_[k].T, exact[-p:], rtol=1e-6, atol=1e-8)
        if fit_intercept:
            np.testing.assert_allclose(model.intercept_path_[k], exact[0], rtol=1e-6, atol=1e-8)
        else:
            np.testing.assert_array_equal(model.intercept_path_, 0)


@pytest.mark.parametrize("precision", ["float32", "float64"])
@pytest.mark.parametrize("link", ["exp", "softplus", "identity"])
def test_a_binary_predictor_under_poisson_gives_the_two_rates(precision, link):
    rng = np.random.default_rng(2)
    x = (rng.random(400) < 0.3).astype(float)
    Y = rng.poisson(np.where(x[:, None] > 0, [3.0, 0.4], [0.7, 2.0])).astype(float)
    model = GLM("poisson", link, penalty="none", precision=precision, tol=1e-16, max_iter=500)
    with warnings.catch_warnings():
        # float32 cannot certify this tol
        warnings.simplefilter("ignore")
        model.fit(x[:, None], Y)
    off, on = Y[x == 0].mean(axis=0), Y[x == 1].mean(axis=0)
    eta = {"exp": np.log, "softplus": lambda mu: np.log(np.expm1(mu)), "identity": lambda mu: mu}[link]
    tolerance = 1e-9 if precision == "float64" else 2e-5
    np.testing.assert_allclose(model.intercept_, eta(off), atol=tolerance)
    np.testing.assert_allclose(model.coef_[:, 0], eta(on) - eta(off), atol=tolerance)


def test_a_binary_predictor_under_bernoulli_gives_the_log_odds_ratio():
    rng = np.random.default_rng(3)
    x = (rng.random(500) < 0.4).astype(float)
    Y = (rng.random((500, 2)) < np.where(x[:, None] > 0, [0.8, 0.1], [0.3, 0.25])).astype(float)
    model = GLM("bernoulli", penalty="none", **EXACT).fit(x[:, None], Y)
    off, on = (Y[x == v].mean(axis=0) for v in (0, 1))
    odds = np.log(on / (1 - on)) - np.log(off / (1 - off))
    np.testing.assert_allclose(model.coef_[:, 0], odds, atol=1e-8)
    np.testing.assert_allclose(model.intercept_, np.log(off / (1 - off)), atol=1e-8)


@pytest.mark.thorough(keep=12)
@pytest.mark.parametrize(("family", "link"), CONVEX)
@pytest.mark.parametrize(
    ("penalty", "l1_ratio"), [("lasso", None), ("elastic_net", 0.5), ("group_lasso", None), ("group_lasso", 0.5)]
)
@pytest.mark.parametrize("precision", ["float32", "float64"])
def test_lambda_max(family, link, penalty, l1_ratio, precision):
    sizes = [3, 1, 4, 2]
    X, Y = population(family, link, sizes=sizes)
    if family == "poisson":
        # at the null model dℓ/dη = h'(b)(1 − y/ȳ), and h'(b) is the same in every sample
        mean = Y.mean(axis=0)
        slope = {"exp": mean, "softplus": -np.expm1(-mean), "identity": np.ones_like(mean)}[link]
        gradient = (slope * (1 - Y / mean)).T @ X / len(X)
    else:
        gradient = (Y.mean(axis=0) - Y).T @ X / len(X)
    blocks = sizes if penalty == "group_lasso" else [1] * X.shape[1]
    groups = np.split(gradient, np.cumsum(blocks)[:-1], axis=1)
    top = np.max([np.linalg.norm(g, axis=1) / np.sqrt(g.shape[1]) for g in groups], axis=0)
    top = top / (1.0 if l1_ratio is None else l1_ratio)
    around = np.outer([2, 1.0001, 0.99, 0.5], top)
    settings = {"penalty": penalty, "l1_ratio": l1_ratio, "feature_groups": sizes, "precision": precision}
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        model = GLM(family, link, lambdas=around, tol=1e-9, **settings).fit(X, Y)
    assert (model.coef_path_[:2] == 0).all()
    assert (model.coef_path_[2:] != 0).any(axis=2).all()
    # where the weights are zero the mean is the response's
    np.testing.assert_allclose(model.intercept_path_[0], model.intercept_path_[1], rtol=1e-6)
    automatic = GLM(family, link, n_lambdas=2, **settings).fit(X, Y)
    np.testing.assert_allclose(automatic.lambdas_[0], top, rtol=2e-3)
    assert (automatic.lambdas_[0] > top).all()
    assert (automatic.coef_path_[0] == 0).all()


def test_a_large_offset_in_float32():
    # one sample of exposure e^100 carries the whole expected count, so that b = log Σy − 100
    y, offset = np.r_[0.0, 2.0, 1.0, 5.0, 4.0], np.r_[0.0, 0.0, 0.0, 0.0, 100.0]
    X = np.random.default_rng(0).standard_normal((5, 1))
    model = GLM(penalty="lasso", lambdas=[1e6]).fit(X, y, offset=offset)
    np.testing.assert_allclose(model.intercept_, np.log(12) - 100, rtol=1e-5)
