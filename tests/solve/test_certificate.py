"""`gap_` bounds how far the objective lies above its minimum, measured by an objective of our own."""

import warnings

import numpy as np
import pytest
from independent import CONVEX, PENALTIES, half_null_deviance, objective, population
from scipy.optimize import minimize

from popglm import GLM, maze_design, maze_session

SIZES = [3, 1, 4, 2]
LAMBDAS = [0.1, 1e-3]


def quietly(model, *args, **kwargs):
    with warnings.catch_warnings():
        # the float64 runs are asked for more than rounding allows
        warnings.simplefilter("ignore")
        return model.fit(*args, **kwargs)


@pytest.mark.thorough(keep=8)
@pytest.mark.parametrize(("penalty", "l1_ratio"), PENALTIES)
@pytest.mark.parametrize(("family", "link"), CONVEX)
def test_gap_bounds_the_excess(family, link, penalty, l1_ratio):
    # every pair of family, penalty, smoothness and extras, not every combination
    case = CONVEX.index((family, link)) + PENALTIES.index((penalty, l1_ratio))
    extras, smoothness = case % 2 == 1, 0.05 * (case % 4 in (1, 2))
    X, Y = population(family, link, sizes=SIZES)
    rng = np.random.default_rng(4)
    s = rng.uniform(0, 2, len(X)) if extras else None
    offset = 0.3 * rng.uniform(0, 1, len(X)) if extras else None
    terms = {"penalty": penalty, "l1_ratio": l1_ratio, "smoothness": smoothness}
    settings = dict(terms, feature_groups=SIZES, lambdas=LAMBDAS)

    def objectives(model):
        return np.array(
            [
                [
                    objective(
                        X, Y[:, j], float(model.intercept_path_[k, j]), model.coef_path_[k, j].astype(float), lam,
                        family, link, sizes=SIZES, s=s, offset=0.0 if offset is None else offset, **terms,
                    )
                    for j in range(Y.shape[1])
                ]
                for k, lam in enumerate(LAMBDAS)
            ]
        )  # fmt: skip

    def fit(**more):
        return quietly(GLM(family, link, **settings, **more), X, Y, sample_weight=s, offset=offset)

    best = fit(tol=1e-13, max_iter=2000, precision="float64")
    minimum, unit = objectives(best), np.array([half_null_deviance(y, family, s) for y in Y.T])
    assert (best.gap_ < 1e-8).all()
    np.testing.assert_allclose(best.loss_path_, minimum, rtol=1e-9)
    for precision, rounding in (("float32", 2e-6), ("float64", 1e-9)):
        for tol in (1e-2, 1e-4):
            loose = fit(tol=tol, precision=precision)
            excess = (objectives(loose) - minimum) / unit
            assert (excess > -1e-9).all(), "the long run is not the minimum"
            assert (excess <= loose.gap_ + rounding).all()
            assert (loose.gap_ <= tol).all()


@pytest.mark.thorough(keep=2)
@pytest.mark.parametrize(("family", "link"), CONVEX)
def test_a_fit_that_was_stopped_early_says_how_far_it_got(family, link):
    X, Y = population(family, link, sizes=SIZES, seed=5)
    for penalty, l1_ratio in PENALTIES:
        settings = {"penalty": penalty, "l1_ratio": l1_ratio, "feature_groups": SIZES, "lambdas": [0.003]}
        terms = {"penalty": penalty, "l1_ratio": l1_ratio, "sizes": SIZES}
        value, gap = {}, {}
        for steps, tol in ((1000, 1e-13), (1, 1e-10), (2, 1e-10), (4, 1e-10)):
            model = quietly(GLM(family, link, tol=tol, max_iter=steps, precision="float64", **settings), X, Y)
            gap[steps] = model.gap_[0] * [half_null_deviance(y, family) for y in Y.T]
            value[steps] = [
                objective(X, y, b, w, 0.003, family, link, **terms)
                for y, b, w in zip(Y.T, model.intercept_, model.coef_, strict=True)
            ]
        for steps in (1, 2, 4):
            assert (np.subtract(value[steps], value[1000]) <= gap[steps] + 1e-10).all()


@pytest.mark.thorough(keep=1)
@pytest.mark.parametrize(("penalty", "family", "neuron"), [("group_lasso", "bernoulli", 23), ("lasso", "poisson", 24)])
def test_no_strength_ends_by_a_promise_where_features_crowd(penalty, family, neuron):
    # 1,000 samples of 87 columns: by the promise of the shared model these two lay 2.7 and 1.35 tolerances too high
    session = maze_session(1000, 40, n_task_variables=1)
    X = maze_design(1).fit_transform(session.behavior)
    Y = session.activity.to_numpy(float)[:, [neuron]]
    Y = (Y > 0).astype(float) if family == "bernoulli" else Y
    settings = {"penalty": penalty, "family": family, "lambdas": 10.0 ** np.linspace(-1, -6, 11)}
    fit = quietly(GLM(**settings), X, Y)
    exact = quietly(GLM(**settings, precision="float64", tol=1e-7, max_iter=1000), X, Y)
    groups = X.columns.get_level_values("group").value_counts(sort=False).to_numpy() if "group" in penalty else None
    link = "sigmoid" if family == "bernoulli" else "exp"
    found, lowest = (
        np.array([
            objective(X.to_numpy(), Y[:, 0], b[0], w[0], lam, family, link, penalty, sizes=groups)
            for lam, b, w in zip(settings["lambdas"], model.intercept_path_, model.coef_path_, strict=True)
        ])
        for model in (fit, exact)
    )  # fmt: skip
    excess = ((found - lowest) / half_null_deviance(Y[:, 0], family))[:, None]
    assert (excess <= fit.gap_ + 2e-6).all()


@pytest.mark.parametrize("link", ["exp", "softplus", "identity"])
def test_an_unpenalised_fit_ends_where_the_gradient_vanishes(link):
    X, Y = population("poisson", link, sizes=SIZES)
    model = quietly(GLM("poisson", link, penalty="none", tol=1e-14, max_iter=1000, precision="float64"), X, Y)
    for y, b, w in zip(Y.T, model.intercept_, model.coef_, strict=True):
        here = objective(X, y, b, w, 0, "poisson", link, "none")
        for k in range(X.shape[1]):
            for step in (-1e-3, 1e-3):
                moved = w + step * np.eye(X.shape[1])[k]
                assert objective(X, y, b, moved, 0, "poisson", link, "none") > here


@pytest.mark.parametrize("penalty", ["ridge", "lasso"])
def test_a_condition_without_events_under_the_identity_link(penalty):
    # the minimum lies where the rate of that condition touches 0, at a kink of the loss
    rng = np.random.default_rng(11)
    X = rng.standard_normal((400, 4))
    X[:, 0] = rng.random(400) < 0.3
    Y = rng.poisson(np.where(X[:, :1] > 0, 0.0, 1.0), (400, 2)).astype(float)
    settings = {"penalty": penalty, "lambdas": [0.01], "precision": "float64"}
    loose = quietly(GLM("poisson", "identity", tol=1e-2, max_iter=100, **settings), X, Y)
    for j, y in enumerate(Y.T):
        # a simplex needs no derivative at the kink
        found = minimize(
            lambda v, y=y: objective(X, y, v[0], v[1:], 0.01, "poisson", "relu", penalty),
            np.r_[loose.intercept_[j], loose.coef_[j]],
            method="Nelder-Mead",
            options={"xatol": 1e-7, "fatol": 1e-11, "maxiter": 4000, "adaptive": True},
        )
        assert found.success
        assert loose.loss_path_[0, j] - found.fun <= loose.gap_[0, j] * half_null_deviance(y, "poisson") + 1e-9
        np.testing.assert_allclose(loose.loss_path_[0, j], found.fun, atol=0.02)
    assert (np.abs(loose.coef_) < 10).all()
