"""Adam and SGD against the quasi-Newton solver, and the non-convex pairs against scipy."""

import warnings

import numpy as np
import pytest
from independent import half_null_deviance, objective, population
from scipy.optimize import minimize

from popglm import GLM, FirstOrder

SIZES = [3, 1, 4, 2]


def quietly(model, X, Y):
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return model.fit(X, Y)


@pytest.mark.thorough(keep=2)
@pytest.mark.parametrize(
    ("family", "penalty", "method", "batch_size"),
    [
        ("poisson", "group_lasso", "adam", None),
        ("poisson", "group_lasso", "sgd", 64),
        ("gaussian", "ridge", "sgd", None),
        ("gaussian", "ridge", "adam", 64),
        ("bernoulli", "lasso", "adam", None),
        ("bernoulli", "lasso", "sgd", 64),
    ],
)
def test_reaches_the_quasi_newton_objective(family, penalty, method, batch_size):
    link = {"poisson": "exp", "gaussian": "identity", "bernoulli": "sigmoid"}[family]
    X, Y = population(family, link, sizes=SIZES)
    settings = {"family": family, "penalty": penalty, "feature_groups": SIZES, "lambdas": [0.02]}
    exact = GLM(tol=1e-10, precision="float64", **settings).fit(X, Y)
    optimiser = FirstOrder(method, batch_size=batch_size)
    rough = quietly(GLM(solver=optimiser, tol=1e-4, precision="float64", **settings), X, Y)
    unit = [half_null_deviance(y, family) for y in Y.T]
    excess = (rough.loss_path_ - exact.loss_path_)[0] / unit
    assert (excess > -1e-9).all()
    # of half the null deviance: what full batches certify, and what the noise of 64 rows leaves
    assert (excess < (1e-3 if batch_size is None else 1e-2)).all()
    if family == "gaussian":
        again = quietly(GLM(solver=optimiser, tol=1e-4, precision="float64", **settings), X, Y)
        np.testing.assert_array_equal(rough.coef_, again.coef_)


@pytest.mark.parametrize(
    ("family", "link"),
    [("gaussian", "exp"), ("gaussian", "sigmoid"), ("gaussian", "softplus"), ("poisson", "sigmoid")],
)
def test_non_convex_pairs_end_no_higher_than_scipy(family, link):
    X, Y = population(family, link, sizes=SIZES)
    model = quietly(
        GLM(family, link, penalty="ridge", lambdas=[0.01], tol=1e-9, max_iter=1000, precision="float64"), X, Y
    )
    mean = np.clip(Y.mean(axis=0), 0.01, 0.99 if link == "sigmoid" else np.inf)
    start = {"exp": np.log, "sigmoid": lambda m: np.log(m / (1 - m)), "softplus": lambda m: np.log(np.expm1(m))}
    for j, y in enumerate(Y.T):
        reached = objective(X, y, model.intercept_[j], model.coef_[j], 0.01, family, link, "ridge")
        np.testing.assert_allclose(model.loss_path_[0, j], reached, rtol=1e-9)
        theirs = minimize(
            lambda v, y=y: objective(X, y, v[0], v[1:], 0.01, family, link, "ridge"),
            np.r_[start[link](mean[j]), np.zeros(X.shape[1])],
            method="BFGS",
        )
        assert reached <= theirs.fun + 1e-7 * half_null_deviance(y, family if family == "gaussian" else "poisson")


@pytest.mark.thorough(keep=1)
@pytest.mark.parametrize("family", ["gaussian", "poisson"])
def test_relu_beats_the_null_model(family):
    rng = np.random.default_rng(6)
    X = rng.standard_normal((200, 5))
    mu = np.maximum(1.5 + X[:, :2] @ rng.standard_normal((2, 3)), 0.05)
    Y = rng.poisson(mu).astype(float) if family == "poisson" else mu + 0.3 * rng.standard_normal(mu.shape)
    model = quietly(GLM(family, "relu", penalty="lasso", lambdas=[0.1, 0.01], max_iter=3), X, Y)
    assert np.isfinite(model.coef_path_).all()
    assert np.isfinite(model.intercept_path_).all()
    assert (model.evaluate(X, Y)["deviance_explained"] > (0.5 if family == "gaussian" else 0.1)).all()


def test_bad_settings_are_refused():
    with pytest.raises(ValueError, match="method='newton' is unknown; use 'adam' or 'sgd'"):
        FirstOrder("newton")
    for rate in (0, -1e-3, np.nan, np.inf, "fast"):
        with pytest.raises(ValueError, match=r"learning_rate=.* must be a finite number above 0"):
            FirstOrder(learning_rate=rate)
    for momentum in (1, -0.1, np.nan):
        with pytest.raises(ValueError, match=r"momentum=.* must lie in \[0, 1\)"):
            FirstOrder(momentum=momentum)
    for size in (0, -3, 2.5, True):
        with pytest.raises(ValueError, match=r"batch_size=.* must be an integer of at least 1"):
            FirstOrder(batch_size=size)
    with pytest.raises(ValueError, match="check_every=0 must be an integer of at least 1"):
        FirstOrder(check_every=0)
    assert FirstOrder("sgd", momentum=0.0, batch_size=np.int64(5)).batch_size == 5
