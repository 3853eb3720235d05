"""Re-fits without several variables in one batch, beside one by one, and beside fits with a mask of features."""

import numpy as np
import pytest

import popglm as pg
from popglm.estimators.starts import OwnPaths
from popglm.explain import reduced_models

N, Q, SIZES = 500, 4, [3, 1, 4, 2, 2, 5]
NAMES = [f"v{g}" for g in range(len(SIZES))]
GROUPS = np.repeat(NAMES, SIZES).tolist()
LAMBDAS = np.geomspace(0.2, 1e-3, 5)


def recording(family, seed=0, n=N):
    """Correlated columns, neurons that follow several groups, and trials of ten samples."""
    rng = np.random.default_rng(seed)
    p = sum(SIZES)
    X = rng.normal(size=(n, p)) @ (np.eye(p) + 0.3 * rng.normal(size=(p, p)))
    eta = X @ (rng.normal(0, 0.15, (p, Q)) * (rng.random((len(SIZES), Q)) < 0.6).repeat(SIZES, axis=0)) - 0.3
    Y = {
        "poisson": lambda: rng.poisson(np.exp(np.clip(eta, -5, 3))),
        "bernoulli": lambda: rng.random(eta.shape) < 1 / (1 + np.exp(-eta)),
        "negative_binomial": lambda: rng.poisson(np.exp(np.clip(eta, -5, 3)) * rng.gamma(2, 0.5, eta.shape)),
        "gaussian": lambda: eta + rng.normal(size=eta.shape),
    }[family]()
    return X, Y.astype(float), np.arange(n) // 10


def one_by_one(function, *arguments):
    """A map that is not Python's own: every variable is fitted by itself."""
    return map(function, *arguments)


def assert_alike(together, apart, atol):
    for name in ("fraction_null_deviance", "reduced_deviance"):
        scale = apart.null_deviance.to_numpy()[:, None] if name == "reduced_deviance" else 1.0
        np.testing.assert_allclose(together[name] / scale, apart[name] / scale, atol=atol)
    np.testing.assert_array_equal(together.full_deviance, apart.full_deviance)


@pytest.mark.parametrize("family", ["poisson", "bernoulli", "negative_binomial", "gaussian"])
@pytest.mark.parametrize("penalty", ["group_lasso", "lasso", "elastic_net"])
def test_they_find_what_single_refits_find(family, penalty):
    X, Y, trial = recording(family)
    model = pg.GLMCV(
        family=family, penalty=penalty, feature_groups=GROUPS, lambdas=LAMBDAS, cv=3, tol=1e-7, precision="float64"
    ).fit(X, Y, groups=trial)
    together, apart = (pg.compare(model, X, Y, map=way) for way in (map, one_by_one))
    assert_alike(together, apart, 3e-5)
    np.testing.assert_array_equal(together.selected_strength, apart.selected_strength)
    assert np.ptp(together.fraction_null_deviance.to_numpy()) > 0.01


@pytest.mark.parametrize(
    "more", [{"reselect": False}, {"weaker": None}, {"weaker": 0}, {"test": True}, {"method": "add"}]
)
def test_so_they_do_however_far_they_go_and_whatever_scores_them(more):
    X, Y, trial = recording("poisson", 1)
    weight, offset = np.random.default_rng(2).uniform(0.5, 2, N), 0.1 * X[:, 0]
    Y[40:120, 1] = np.nan
    Y[:, 2] = 0
    model = pg.GLMCV(
        penalty="group_lasso", feature_groups=GROUPS, lambdas=LAMBDAS, cv=3, tol=1e-7, precision="float64"
    ).fit(X, Y, groups=trial, sample_weight=weight, offset=offset)
    held = (*recording("poisson", 5)[:2], 0)
    settings = more | ({"test": held} if "test" in more else {}) | {"sample_weight": weight, "offset": offset}
    together, apart = (pg.compare(model, X, Y, map=way, **settings) for way in (map, one_by_one))
    assert_alike(together, apart, 3e-5)


def test_batches_may_be_small_and_some_variables_large(monkeypatch):
    X, Y, trial = recording("poisson", 3)
    model = pg.GLMCV(
        penalty="group_lasso", feature_groups=GROUPS, lambdas=LAMBDAS, cv=3, tol=1e-7, precision="float64"
    ).fit(X, Y, groups=trial)
    variables = {"most": ["v0", "v2", "v3", "v5"], **{name: name for name in ("v1", "v4")}}
    expected = pg.compare(model, X, Y, variables, map=one_by_one)
    assert_alike(pg.compare(model, X, Y, variables), expected, 3e-5)
    monkeypatch.setattr(reduced_models, "BATCH_BYTES", 1)
    assert_alike(pg.compare(model, X, Y, variables), expected, 3e-5)


@pytest.mark.parametrize("penalty", ["group_lasso", "lasso", "elastic_net"])
def test_closed_groups_have_no_weight_and_others_those_of_a_mask(penalty):
    X, Y, trial = recording("poisson", 4)
    settings = {"penalty": penalty, "feature_groups": GROUPS, "lambdas": LAMBDAS, "cv": 3, "tol": 1e-9}
    open_ = np.random.default_rng(0).random((len(SIZES), Q)) < 0.6
    masked = pg.GLMCV(**settings, precision="float64", feature_mask=open_).fit(X, Y, groups=trial)
    columns = open_.repeat(SIZES, axis=0)
    closed = ~(open_ if penalty == "group_lasso" else columns).T
    start = OwnPaths(np.zeros((4, len(LAMBDAS), Q, sum(SIZES))), None, closed=closed)
    found = pg.GLMCV(**settings, precision="float64").fit(X, Y, groups=trial, start=start)
    for name in ("coef_path_", "cv_coef_path_"):
        own, expected = getattr(found, name), getattr(masked, name)
        assert not own[..., ~columns.T].any()
        assert expected[..., columns.T].any()
        np.testing.assert_allclose(own, expected, atol=5e-3)
    np.testing.assert_allclose(found.loss_path_, masked.loss_path_, atol=1e-8)
    np.testing.assert_allclose(found.cv_deviance_, masked.cv_deviance_, rtol=1e-4)
