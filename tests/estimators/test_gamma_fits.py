"""Gamma fits against scikit-learn, the conditions of a minimum and symmetries; and all that is done with a model."""

import warnings

import numpy as np
import pytest
from explained import check_explanations, driven_session
from sklearn.linear_model import GammaRegressor

import popglm as pg
from popglm.solve.stream import RowStream

SIZES = [2, 3, 3]


@pytest.fixture(scope="module")
def recording():
    """X, Y, and weights: activity of shapes from 0.5 (wild) to 8."""
    rng = np.random.default_rng(0)
    X = rng.standard_normal((400, 8)) @ (np.eye(8) + 0.3 * rng.standard_normal((8, 8))) + rng.normal(0, 0.5, 8)
    W = 0.4 * rng.standard_normal((8, 4)) * (rng.random((8, 4)) < 0.6)
    shape = np.array([0.5, 1.0, 3.0, 8.0])
    return X, rng.gamma(shape, np.exp(X @ W + 0.5) / shape), rng.uniform(0, 2, 400)


def quietly(model, *args, **kwargs):
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", pg.PopglmWarning)
        return model.fit(*args, **kwargs)


def objective(theta, X, y, s, offset=0.0):
    """Mean loss of weights and, last, an intercept, by the definition, and its gradient."""
    eta = X @ theta[:-1] + theta[-1] + offset
    r = s * (1 - y / np.exp(eta)) / s.sum()
    return s @ (y / np.exp(eta) + eta) / s.sum(), np.append(X.T @ r, r.sum())


def test_ridge_is_scikit_learns_gamma_regressor(recording):
    X, Y, s = recording
    strengths = [0.3, 0.01]
    model = pg.GLM("gamma", lambdas=strengths, precision="float64", tol=1e-11).fit(X, Y, sample_weight=s)
    for k, alpha in enumerate(strengths):
        for j, y in enumerate(Y.T):
            theirs = GammaRegressor(alpha=alpha, tol=1e-9, max_iter=10_000).fit(X, y, sample_weight=s)
            np.testing.assert_allclose(model.coef_path_[k, j], theirs.coef_, atol=2e-6)
            np.testing.assert_allclose(model.intercept_path_[k, j], theirs.intercept_, atol=2e-6)
    score = GammaRegressor(alpha=0.01, tol=1e-9, max_iter=10_000).fit(X, Y[:, 3], sample_weight=s).score(X, Y[:, 3], s)
    assert model.evaluate(X, Y, s)["deviance_explained"].iloc[3] == pytest.approx(score, abs=1e-6)


@pytest.mark.thorough(keep=3)
@pytest.mark.parametrize("precision", ["float32", "float64"])
@pytest.mark.parametrize(
    ("penalty", "alpha"), [("none", 0.0), ("lasso", 1.0), ("elastic_net", 0.4), ("group_lasso", 1.0)]
)
def test_the_gap_bounds_the_distance_from_the_minimum(recording, penalty, alpha, precision):
    X, Y, s = recording
    offset, lam = 0.4 * np.sin(np.arange(len(X))), 0.0 if penalty == "none" else 0.05
    labels = np.repeat(["a", "b", "c"], SIZES).tolist() if penalty == "group_lasso" else None
    groups = np.split(np.arange(8), np.cumsum(SIZES)[:-1] if labels else np.arange(1, 8))

    def value(w, b, y):
        norm = sum(np.sqrt(len(own)) * np.linalg.norm(w[own]) for own in groups)
        return objective(np.append(w, b), X, y, s, offset)[0] + lam * (alpha * norm + (1 - alpha) / 2 * w @ w)

    def fit(tol, precision):
        options = {"lambdas": [0.3, lam]} if lam else {}
        options |= {"l1_ratio": alpha} if penalty == "elastic_net" else {}
        model = pg.GLM("gamma", penalty=penalty, feature_groups=labels, precision=precision, tol=tol, **options)
        return quietly(model, X, Y, sample_weight=s, offset=offset)

    best = fit(1e-12, "float64")
    loose = [fit(tol, precision) for tol in (1e-1, 1e-3, 1e-5)]
    for j, y in enumerate(Y.T):
        w, b = best.coef_[j], best.intercept_[j]
        # the conditions of the minimum, group by group
        grad = objective(np.append(w, b), X, y, s, offset)[1] + np.append(lam * (1 - alpha) * w, 0)
        assert abs(grad[-1]) < 1e-9
        for own in groups:
            bound, size = lam * alpha * np.sqrt(len(own)), np.linalg.norm(w[own])
            if size:
                np.testing.assert_allclose(grad[own], -bound * w[own] / size, atol=2e-5)
            else:
                assert np.linalg.norm(grad[own]) <= bound * (1 + 1e-6)
        ratio = y / np.exp(np.log(s @ (y * np.exp(-offset)) / s.sum()) + offset)
        null = s @ (ratio - 1 - np.log(ratio)) / s.sum()
        for model in loose:
            found = value(model.coef_[j].astype(float), model.intercept_[j], y)
            assert -1e-9 < (found - value(w, b, y)) / null <= model.gap_[-1, j] + 1e-7
            assert model.loss_path_[-1, j] == pytest.approx(found, rel=1e-5, abs=1e-5)


def test_constant_and_unknown_activity_spoils_nothing(recording):
    X, Y, s = recording
    plain = pg.GLMCV("gamma", n_lambdas=4, cv=3, precision="float64").fit(X, Y[:, :2], sample_weight=s)
    odd = np.column_stack([Y[:, :2], np.full(len(X), 3.7), np.full(len(X), np.nan), np.where(X[:, 0] > 0, 2.0, np.nan)])
    with pytest.warns(pg.PopglmWarning, match="null model"):
        model = pg.GLMCV("gamma", n_lambdas=4, cv=3, precision="float64").fit(X, odd, sample_weight=s)
    assert np.isfinite(model.coef_path_).all()
    assert np.isfinite(model.intercept_path_).all()
    np.testing.assert_allclose(model.coef_[:2], plain.coef_, rtol=1e-9)
    np.testing.assert_array_equal(model.coef_[2:], 0)
    np.testing.assert_allclose(model.intercept_[[2, 4]], np.log([3.7, 2.0]), rtol=1e-12)


@pytest.mark.thorough(keep=2)
@pytest.mark.parametrize(("penalty", "unit"), [("ridge", 1e-12), ("elastic_net", 1e12), ("none", 1e-3), ("none", 1e5)])
def test_a_unit_moves_the_intercept_alone(recording, penalty, unit):
    X, Y, s = recording
    options = {} if penalty == "none" else {"n_lambdas": 4}
    options |= {"smoothness": 1e-3, "feature_groups": SIZES, "cv": 3, "tol": 1e-6}
    model, other = (
        quietly(pg.GLMCV("gamma", penalty=penalty, **options), X, y, sample_weight=s) for y in (Y, unit * Y)
    )
    np.testing.assert_allclose(other.coef_path_, model.coef_path_, atol=3e-4)
    np.testing.assert_allclose(other.intercept_path_, model.intercept_path_ + np.log(unit), atol=3e-4)
    np.testing.assert_allclose(other.lambda_, model.lambda_, rtol=1e-4)
    np.testing.assert_allclose(other.cv_deviance_, model.cv_deviance_, rtol=1e-3)
    np.testing.assert_allclose(other.loss_path_, model.loss_path_ + np.log(unit), rtol=1e-6, atol=1e-5)


@pytest.mark.parametrize("way", ["torch", "device", "stream"])
def test_every_way_finds_the_same(recording, way):
    X, Y, s = recording
    Y = np.where(np.random.default_rng(1).random(Y.shape) < 0.1, np.nan, Y)
    options = {"lambdas": [0.05], "precision": "float64", "tol": 1e-8}
    expected = pg.GLM("gamma", **options).fit(X, Y, sample_weight=s)
    if way == "torch":
        pytest.importorskip(way)
        options["engine"] = way
    if way == "device":
        options["schedule"] = way
    model = pg.GLM("gamma", **options).fit(RowStream(X) if way == "stream" else X, Y, sample_weight=s)
    assert (model.gap_ <= 1e-8).all()
    np.testing.assert_allclose(model.coef_path_, expected.coef_path_, atol=1e-4)
    np.testing.assert_allclose(model.loss_path_, expected.loss_path_, rtol=1e-8)


@pytest.mark.parametrize("bad", [0.0, -2.0])
def test_activity_that_is_not_positive_is_refused(recording, bad):
    X, Y, _ = recording
    Y = Y.copy()
    Y[7, 2] = bad
    with pytest.raises(ValueError, match=r"not positive for neuron 2 .*row 7.*family='gamma' needs activity > 0; use"):
        pg.GLM("gamma").fit(X, Y)


@pytest.mark.thorough
def test_all_that_is_done_with_a_model(tmp_path):
    design, X, eta, trial = driven_session()
    Y = np.random.default_rng(0).gamma(2.0, np.exp(eta) * 1e-3)
    given = {"penalty": "group_lasso", "n_lambdas": 3, "lambda_min_ratio": 1e-2, "cv": 3}
    model = quietly(pg.GLMCV("gamma", **given), X, Y, groups=trial)
    assert (model.predict(X) > 0).all()
    np.testing.assert_array_equal(model.n_events_, len(X))
    assert "gamma" in str(model.summary())
    model.save(tmp_path / "model.nc")
    again = pg.load(tmp_path / "model.nc")
    np.testing.assert_array_equal(again.predict(X), model.predict(X))
    np.testing.assert_array_equal(again.evaluate(X, Y), model.evaluate(X, Y))
    check_explanations(model, design, X, Y, trial)
