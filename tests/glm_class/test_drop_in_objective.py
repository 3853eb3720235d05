"""Minima of the documented objective, beside scipy, stationarity conditions, popglm itself and Adam."""

import numpy as np
import pytest
from documented import LAMBDAS, PAIRS, SIZES, null_scale, objective, second_differences, simulated
from scipy.optimize import minimize

import popglm
from popglm import glm_class as glm


@pytest.mark.parametrize("smooth_strength", [0.0, 0.05])
@pytest.mark.parametrize(("loss_type", "activation"), PAIRS)
def test_ridge_reaches_the_minimum_of_the_documented_objective(loss_type, activation, smooth_strength):
    X, Y = simulated(loss_type)
    model = glm.GLM(activation, loss_type, "elastic_net", LAMBDAS, 0.0, smooth_strength, convergence_tol=1e-11)
    model.fit(X, Y, feature_group_size=SIZES, verbose=False)
    for (w0, w), lam in zip(model.w_series, LAMBDAS, strict=True):
        for j, y in enumerate(Y.T):
            args = (lam, loss_type, 0.0, smooth_strength)
            best = minimize(lambda v, y=y, args=args: objective(X, y, v[0], v[1:], *args), np.zeros(9), method="BFGS")
            ours = objective(X, y, w0[0, j], w[:, j], *args)
            assert ours <= best.fun + 1e-9 * null_scale(y, loss_type)
            np.testing.assert_allclose(np.r_[w0[0, j], w[:, j]], best.x, atol=2e-4)


@pytest.mark.parametrize(("loss_type", "activation"), PAIRS)
def test_group_lasso_with_smoothness_is_stationary(loss_type, activation):
    X, Y = simulated(loss_type)
    lam, smooth = {"gaussian": 0.4, "poisson": 0.2, "binominal": 0.05}[loss_type], 0.02
    model = glm.GLM(activation, loss_type, "group_lasso", [lam], smooth_strength=smooth, convergence_tol=1e-11)
    model.fit(X, Y, feature_group_size=SIZES, verbose=False)
    w0, w = model.w_series[0]
    residual = glm.make_prediction(X, w, w0, activation) - Y
    gradient = (2 if loss_type == "gaussian" else 1) * X.T @ residual / len(X)
    gradient += 2 * smooth * second_differences(SIZES) @ w
    np.testing.assert_allclose(residual.mean(axis=0), 0, atol=1e-5)
    active = 0
    for g in np.split(np.arange(8), np.cumsum(SIZES)[:-1]):
        for j in range(Y.shape[1]):
            bound, norm = lam * np.sqrt(len(g)), np.linalg.norm(w[g, j])
            if norm == 0:
                assert np.linalg.norm(gradient[g, j]) <= bound + 1e-5
            else:
                active += 1
                np.testing.assert_allclose(gradient[g, j], -bound * w[g, j] / norm, atol=2e-5)
    assert 0 < active < 9


@pytest.mark.parametrize(("loss_type", "activation", "family"), [(*PAIRS[0], "gaussian"), (*PAIRS[1], "poisson")])
@pytest.mark.parametrize(("regularization", "l1_ratio"), [("group_lasso", 0.3), ("elastic_net", 0.7)])
def test_is_popglm_at_translated_parameters(loss_type, activation, family, regularization, l1_ratio):
    X, Y = simulated(loss_type)
    half = 0.5 if loss_type == "gaussian" else 1.0
    model = glm.GLM(activation, loss_type, regularization, LAMBDAS, l1_ratio, 0.1)
    model.fit(X, Y, feature_group_size=SIZES, verbose=False)
    direct = popglm.GLM(
        family=family,
        penalty=regularization,
        # the group lasso has no ridge part
        l1_ratio=None if regularization == "group_lasso" else l1_ratio,
        smoothness=0.1 if loss_type == "gaussian" else 0.2,
        lambdas=LAMBDAS * half,
        feature_groups=SIZES,
        tol=100 * 1e-6,
    ).fit(X, Y)
    for k, (w0, w) in enumerate(model.w_series):
        np.testing.assert_array_equal(w, direct.coef_path_[k].T)
        np.testing.assert_array_equal(w0[0], direct.intercept_path_[k])
    np.testing.assert_array_equal(model.lambda_series, LAMBDAS)


@pytest.mark.parametrize(("loss_type", "activation"), PAIRS[:2])
def test_no_strength_is_worse_than_what_adam_stops_at(loss_type, activation):
    X, Y = simulated(loss_type)
    model = glm.GLM(activation, loss_type, lambda_series=LAMBDAS, learning_rate=1e-2)
    model.fit(X, Y, verbose=False)
    theirs = adam_path(X, Y, loss_type, learning_rate=1e-2)
    for (w0, w), (v0, v), lam in zip(model.w_series, theirs, LAMBDAS, strict=True):
        for j, y in enumerate(Y.T):
            ours = objective(X, y, w0[0, j], w[:, j], lam, loss_type, 0.0)
            # that is 1e-4, the tolerance, less what a certificate keeps in hand
            assert ours <= objective(X, y, v0[j], v[:, j], lam, loss_type, 0.0) + 1e-5 * null_scale(y, loss_type)


def adam_path(X, Y, loss_type, learning_rate):
    """Adam (Kingma & Ba 2015) on all responses, warm-started; stops when 100 steps gain 1e-4 null deviances."""
    params = [np.zeros(Y.shape[1]), np.zeros((X.shape[1], Y.shape[1]))]
    path = []
    for lam in LAMBDAS:
        first, second = [0.0, 0.0], [0.0, 0.0]
        before = np.inf
        for t in range(1, 5001):
            eta = X @ params[1] + params[0]
            residual = 2 * (eta - Y) if loss_type == "gaussian" else np.exp(eta) - Y
            for i, g in enumerate((residual.mean(axis=0), X.T @ residual / len(X) + lam * params[1])):
                first[i] = 0.9 * first[i] + 0.1 * g
                second[i] = 0.999 * second[i] + 0.001 * g**2
                scale = np.sqrt(second[i] / (1 - 0.999**t)) + 1e-8
                params[i] = params[i] - learning_rate * first[i] / (1 - 0.9**t) / scale
            if t % 100 == 0:
                now = np.mean(
                    [objective(X, y, params[0][j], params[1][:, j], lam, loss_type, 0.0) for j, y in enumerate(Y.T)]
                )
                if before - now < 1e-4 * null_scale(Y, loss_type).mean():
                    break
                before = now
        path.append([p.copy() for p in params])
    return path


@pytest.mark.parametrize(("loss_type", "activation"), PAIRS)
@pytest.mark.parametrize("cross_validated", [False, True])
def test_traces_keep_step_and_end_at_the_objective(loss_type, activation, cross_validated):
    X, Y = simulated(loss_type)
    settings = {"activation": activation, "loss_type": loss_type, "lambda_series": LAMBDAS, "smooth_strength": 0.1}
    if cross_validated:
        model = glm.GLM_CV(3, split_by_group=False, split_random_state=0, **settings)
    else:
        model = glm.GLM(**settings)
    model.fit(X, Y, feature_group_size=SIZES, verbose=False)
    assert model.loss_trace.shape == model.lambda_trace.shape == (len(model.loss_trace),)
    assert (np.diff(model.lambda_trace) <= 0).all()
    np.testing.assert_array_equal(np.unique(model.lambda_trace)[::-1], LAMBDAS)
    for (w0, w), lam in zip(model.w_series, LAMBDAS, strict=True):
        last = model.loss_trace[model.lambda_trace == lam][-1]
        parts = [objective(X, y, w0[0, j], w[:, j], lam, loss_type, 0.0, 0.1) for j, y in enumerate(Y.T)]
        np.testing.assert_allclose(last, np.mean(parts), rtol=1e-5)


def assert_is_popglm(model, X, Y, **settings):
    """The drop-in's fit to Poisson counts has the bits of popglm's own at these settings, and took the same way."""
    own = popglm.GLM("poisson", penalty="elastic_net", l1_ratio=0.0, lambdas=model.lambda_series, **settings).fit(X, Y)
    for k, (w0, w) in enumerate(model.w_series):
        np.testing.assert_array_equal(w, own.coef_path_[k].T)
        np.testing.assert_array_equal(w0[0], own.intercept_path_[k])
    np.testing.assert_array_equal(model.loss_trace, own.trace_["objective"])


@pytest.mark.filterwarnings("ignore::popglm.ConvergenceWarning")
@pytest.mark.parametrize("by", ["argument", "environment"])
def test_first_order_solver_takes_the_optimisers_arguments(monkeypatch, by):
    monkeypatch.delenv("POPGLM_GLM_CLASS_SOLVER", raising=False)
    X, Y = simulated()
    chosen = {"solver": "first-order"} if by == "argument" else {}
    if by == "environment":
        monkeypatch.setenv("POPGLM_GLM_CLASS_SOLVER", "first-order")
    # too few steps to get there: their number shows
    common = {"lambda_series": [0.1], "num_iter_check": 20, "max_iter_per_lambda": 110, **chosen}
    for optimizer, rate, momentum, own in (
        ("adam", 0.002, 0.5, popglm.FirstOrder("adam", 0.002, check_every=20)),
        ("sgdm", 0.002, 0.7, popglm.FirstOrder("sgd", 0.002, 0.7, check_every=20)),
    ):
        model = glm.GLM(optimizer=optimizer, learning_rate=rate, momentum=momentum, **common)
        model.fit(X, Y, verbose=False)
        assert len(model.loss_trace) > 5
        assert_is_popglm(model, X, Y, solver=own, max_iter=3, tol=2e-5, precision="float64")


def test_both_solvers_find_the_same_minimum(monkeypatch):
    monkeypatch.delenv("POPGLM_GLM_CLASS_SOLVER", raising=False)
    X, Y = simulated()
    ours, adam = glm.GLM(lambda_series=[0.1]), glm.GLM(lambda_series=[0.1], learning_rate=1e-2, solver="first-order")
    for model in (ours, adam):
        model.fit(X, Y, verbose=False)
    assert ours.solver == "auto"
    np.testing.assert_allclose(ours.w_series[0][1], adam.w_series[0][1], atol=0.01)


def test_popglms_solver_ignores_the_optimisers_arguments(monkeypatch):
    monkeypatch.delenv("POPGLM_GLM_CLASS_SOLVER", raising=False)
    X, Y = simulated()
    others = {"optimizer": "sgdm", "learning_rate": 3.0, "momentum": 0.1, "min_iter_per_lambda": 1}
    for arguments in ({}, {**others, "max_iter_per_lambda": 2}):
        model = glm.GLM(lambda_series=[0.1], **arguments)
        model.fit(X, Y, verbose=False)
        assert_is_popglm(model, X, Y, solver="auto", tol=1e-4)


@pytest.mark.parametrize(
    ("num_iter_check", "convergence_tol", "tol", "precision"),
    [(100, 1e-6, 1e-4, "float32"), (50, 1e-3, 1e-4, "float32"), (10, 1e-6, 1e-5, "float64"), (1, 0, 1e-10, "float64")],
)
def test_tolerance(num_iter_check, convergence_tol, tol, precision):
    X, Y = simulated()
    lambdas = 10.0 ** np.linspace(0, -3, 13)
    model = glm.GLM(lambda_series=lambdas, num_iter_check=num_iter_check, convergence_tol=convergence_tol)
    model.fit(X, Y, verbose=False)
    assert_is_popglm(model, X, Y, tol=tol, precision=precision)
    # of many strengths some end elsewhere at a tolerance that is a little larger
    other = popglm.GLM(
        "poisson", penalty="elastic_net", l1_ratio=0.0, lambdas=lambdas, tol=2 * tol, precision=precision
    )
    assert len(other.fit(X, Y).trace_) < len(model.loss_trace)
