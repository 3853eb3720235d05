"""Nothing depends on the units of activity, exposure and weights; null models with offsets; ends of the grid."""

import warnings

import numpy as np
import pytest
from scipy.optimize import brentq
from sklearn.linear_model import Ridge

import popglm as pg
from popglm.statistics.families import get_family
from popglm.statistics.responses import response_sums

UNITS = (1e-12, 1e3, 1e12)


def quiet(model, *data, **options):
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", pg.PopglmWarning)
        return model.fit(*data, **options)


def gaussian(n=1000, p=10):
    rng = np.random.default_rng(0)
    X = rng.standard_normal((n, p))
    return X, X @ rng.normal(size=p) * 0.3 + rng.normal(size=n)


def counts():
    rng = np.random.default_rng(1)
    X = rng.standard_normal((900, 5))
    log_exposure = 0.4 * rng.normal(size=900)
    return X, rng.poisson(np.exp(0.5 * X[:, 0] - 0.5 + log_exposure)).astype(float), log_exposure


@pytest.mark.thorough(keep=2)
@pytest.mark.parametrize("penalty", ["ridge", "lasso", "group_lasso"])
@pytest.mark.parametrize("missing", [False, True], ids=["on moments", "on rows"])
def test_gaussian_activity_in_other_units(penalty, missing):
    X, y = gaussian()
    if missing:
        y[3] = np.nan
    settings = {"penalty": penalty, "n_lambdas": 8, "cv": 3}
    if penalty == "group_lasso":
        settings["feature_groups"] = [4, 6]
    base = quiet(pg.GLMCV("gaussian", **settings), X, y)
    for unit in UNITS:
        other = quiet(pg.GLMCV("gaussian", **settings), X, (y + 1e5) * unit)
        np.testing.assert_allclose(other.cv_deviance_explained_path_, base.cv_deviance_explained_path_, atol=1e-4)
        assert abs(other.cv_deviance_explained_[0] - base.cv_deviance_explained_[0]) < 1e-4
        np.testing.assert_allclose(other.coef_path_ / unit, base.coef_path_, atol=2e-3)
        np.testing.assert_allclose(other.predict(X) / unit - 1e5, base.predict(X), atol=2e-2)


def test_the_ridge_of_a_default_fit_is_about_the_best_one():
    X, y = gaussian(400, 60)
    model = quiet(pg.GLMCV("gaussian", cv=4), X, 1e4 * y)
    explained = []
    for lam in 10.0 ** np.linspace(-4, 3, 30):
        held_out = np.zeros(len(y))
        for fold in range(4):
            test = model.fold_ == fold
            held_out[test] = Ridge(lam * (~test).sum()).fit(X[~test], y[~test]).predict(X[test])
        explained.append(1 - np.mean((y - held_out) ** 2) / np.var(y))
    assert model.cv_deviance_explained_[0] == pytest.approx(max(explained), abs=2e-3)
    assert 0 < model.lambda_index_[0] < 19


def test_noise_with_many_columns_explains_about_nothing():
    rng = np.random.default_rng(0)
    X = rng.standard_normal((200, 150))
    for unit in UNITS:
        model = quiet(pg.GLMCV("gaussian", cv=4), X, unit * rng.normal(size=200))
        assert -0.05 < model.cv_deviance_explained_[0] < 0.1


@pytest.mark.thorough(keep=1)
@pytest.mark.parametrize("penalty", ["ridge", "elastic_net", "group_lasso"])
def test_counts_exposures_and_weights_in_other_units(penalty):
    X, y, log_exposure = counts()
    s = np.random.default_rng(2).uniform(0, 2, len(y))
    settings = {"penalty": penalty, "n_lambdas": 5, "cv": 3, "lambda_min_ratio": 1e-3}
    if penalty == "group_lasso":
        settings |= {"feature_groups": [2, 3], "l1_ratio": 0.7}
    base = quiet(pg.GLMCV(**settings), X, y, offset=log_exposure, sample_weight=s)
    for unit in (1e-12, 1e12):
        scaled = quiet(pg.GLMCV(**settings), X, unit * y, offset=log_exposure, sample_weight=s)
        shifted = quiet(pg.GLMCV(**settings), X, y, offset=log_exposure + np.log(unit), sample_weight=s)
        weighted = quiet(pg.GLMCV(**settings), X, y, offset=log_exposure, sample_weight=unit * s)
        shifts = np.log(unit), -np.log(unit), 0.0
        for other, shift in zip((scaled, shifted, weighted), shifts, strict=True):
            np.testing.assert_allclose(other.coef_path_, base.coef_path_, atol=1e-3)
            np.testing.assert_allclose(other.intercept_path_ - shift, base.intercept_path_, atol=1e-3)
            assert other.lambda_index_[0] == base.lambda_index_[0]
            assert abs(other.cv_deviance_explained_[0] - base.cv_deviance_explained_[0]) < 1e-4
        np.testing.assert_allclose(weighted.cv_deviance_ / unit, base.cv_deviance_, rtol=1e-3)
        np.testing.assert_allclose(scaled.lambdas_ / unit, base.lambdas_, rtol=1e-4)


def test_neurons_with_a_smoothness_penalty_keep_their_own_decade():
    X, y, _ = counts()
    fluorescence = np.random.default_rng(3).poisson(3e4 * np.exp(5e-3 * X[:, 0])).astype(float)
    settings = {"penalty": "ridge", "smoothness": 1e-3, "feature_groups": [5], "lambdas": [1e-2, 1e-3], "cv": 3}
    together = quiet(pg.GLMCV(**settings), X, np.column_stack([fluorescence, y]))
    exact = quiet(pg.GLMCV(**settings, precision="float64"), X, np.column_stack([fluorescence, y]))
    np.testing.assert_allclose(together.cv_deviance_explained_, exact.cv_deviance_explained_, atol=1e-3)
    np.testing.assert_allclose(together.loss_path_, exact.loss_path_, rtol=1e-6)


def test_a_silent_unit_gets_half_an_event_in_its_own_exposure():
    rng = np.random.default_rng(0)
    X, log_ms = rng.standard_normal((800, 4)), np.log(rng.uniform(15, 25, 800))
    one = np.zeros(800)
    for events, expected in ((0, 0.5), (1, 1.0)):
        one[7] = events
        model = quiet(pg.GLM(lambdas=[0.1]), X, one, offset=log_ms)
        assert model.predict(X, offset=log_ms).sum() == pytest.approx(expected, rel=1e-5)
    # in a fold whose training rows are silent
    y = np.zeros(800)
    y[:5] = 1
    model = quiet(pg.GLMCV(lambdas=[0.1], cv=[(np.arange(400, 800), np.arange(400))]), X, y, offset=log_ms)
    rate = np.exp(model.cv_intercept_path_[0, 0, 0])
    assert rate * np.exp(log_ms[400:]).sum() == pytest.approx(0.5, rel=1e-5)


@pytest.mark.parametrize(
    ("family", "link"), [("poisson", "exp"), ("poisson", "softplus"), ("bernoulli", "sigmoid"), ("gaussian", "exp")]
)
def test_null_models_with_offset_and_weights_solve_their_score_equation(family, link):
    rng = np.random.default_rng(4)
    loss, offset, s = get_family(family, link), rng.normal(1, 0.5, 300), rng.uniform(0, 2, 300)
    mean = loss.link.mean(np, offset - 1.5)
    y = {
        "poisson": rng.poisson(mean).astype(float),
        "bernoulli": (rng.random(300) < mean).astype(float),
        "gaussian": mean + 0.1 * rng.normal(size=300),
    }[family]

    def score(b):
        mu, slope = loss.link.mean(np, b + offset), loss.link.slope(np, b + offset)
        variance = {"poisson": mu, "bernoulli": mu * (1 - mu), "gaussian": 1}[family]
        return np.sum(s * (mu - y) * slope / variance)

    right = brentq(score, -8, 3, xtol=1e-13)
    sums = response_sums(loss, y[None], s, [(0, 300)], offset)
    assert sums.intercept[0] == pytest.approx(right, abs=1e-9)
    expected = np.average(loss.deviance(right + offset, y), weights=s) / 2
    assert sums.null[0] == pytest.approx(expected, rel=1e-12)


def test_neurons_at_an_end_of_their_grid_are_counted_and_warned_of():
    X, y = gaussian()
    noise = np.random.default_rng(5).normal(size=len(y))
    Y = np.column_stack([y, y, noise])
    with pytest.warns(pg.PopglmWarning, match="of 3 neurons 2 took the weakest") as caught:
        model = pg.GLMCV("gaussian", lambdas=[1e4, 1e3], cv=3).fit(X, Y)
    assert len(caught) == 1
    assert model.summary()["neurons at the weakest strength"] >= 2
    with pytest.warns(pg.PopglmWarning, match="took the strongest"):
        model = pg.GLMCV("gaussian", lambdas=[1e-6, 0], cv=3).fit(X, np.column_stack([y, noise]))
    assert model.summary()["neurons at the strongest strength"] == 1
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        # the strongest of a lasso is the null model; one strength has no ends
        pg.GLMCV("gaussian", penalty="lasso", n_lambdas=4, cv=3).fit(X, noise)
        pg.GLMCV("gaussian", lambdas=[0.1], cv=3).fit(X, y)
