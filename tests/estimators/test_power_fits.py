"""Inverse Gaussian and Tweedie fits against statsmodels, the conditions of a minimum and symmetries."""

import warnings
from pathlib import Path

import numpy as np
import pytest
from explained import check_explanations, driven_session
from sklearn.base import clone
from sklearn.linear_model import TweedieRegressor

import popglm as pg
from popglm.solve.stream import RowStream

REFERENCE = Path(__file__).parents[1] / "reference" / "powers.npz"
SIZES = [2, 3, 3]
#: Arguments of a family, and its power of the mean.
MODELS = {
    "inverse_gaussian": ({"family": "inverse_gaussian"}, 3.0),
    "tweedie_12": ({"family": "tweedie", "power": 1.2}, 1.2),
    "tweedie_15": ({"family": "tweedie"}, 1.5),
    "tweedie_18": ({"family": "tweedie", "power": 1.8}, 1.8),
}
EXACT = {"precision": "float64", "tol": 1e-11}


@pytest.fixture(scope="module")
def recording():
    """X, weights, and positive activity (3 neurons) or amounts (3, a tenth to a half of which are 0)."""
    rng = np.random.default_rng(0)
    X = rng.standard_normal((400, 8)) @ (np.eye(8) + 0.3 * rng.standard_normal((8, 8))) + rng.normal(0, 0.5, 8)
    W = 0.3 * rng.standard_normal((8, 3)) * (rng.random((8, 3)) < 0.6)
    mu = np.exp(X @ W + 0.3)
    n = rng.poisson(np.sqrt(mu) * [0.6, 1.0, 2.0])
    amounts = rng.gamma(np.maximum(n, 0.1)) * (n > 0) * np.sqrt(mu)
    return X, rng.uniform(0, 2, 400), {"inverse_gaussian": rng.wald(mu, [0.5, 2.0, 8.0]), "tweedie": amounts}


def quietly(model, *args, **kwargs):
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", pg.PopglmWarning)
        return model.fit(*args, **kwargs)


def objective(theta, X, y, s, offset, p):
    """Mean loss of weights and, last, an intercept, by the definition, and its gradient."""
    mu = np.exp(X @ theta[:-1] + theta[-1] + offset)
    r = s * (mu - y) * mu ** (1 - p) / s.sum()
    return s @ (y * mu ** (1 - p) / (p - 1) + mu ** (2 - p) / (2 - p)) / s.sum(), np.append(X.T @ r, r.sum())


@pytest.mark.parametrize("name", MODELS)
def test_without_a_penalty_it_is_statsmodels(name):
    data, (arguments, _) = np.load(REFERENCE), MODELS[name]
    X, offset, trial, y = data["X"], data["offset"], data["trial"], data[name]
    weights, errors, over_trials, (scale, deviance, *_) = data[f"found_{name}"]
    model = pg.GLM(**arguments, penalty="none", **EXACT).fit(X, y, offset=offset)
    np.testing.assert_allclose([*model.coef_, model.intercept_], weights, atol=1e-6)
    fitted = model.loss_.deviance(X @ model.coef_ + model.intercept_ + offset, y)
    assert fitted.sum() == pytest.approx(deviance, rel=1e-9)
    for beside, expected in ((None, errors), (trial, over_trials)):
        found = pg.wald(model, X, y, trial=beside, offset=offset)
        own = [*found["standard_error"].values[0], found["intercept_standard_error"].item()]
        np.testing.assert_allclose(own, expected, rtol=1e-5)
        assert found["dispersion"].item() == pytest.approx(scale, rel=1e-6)


@pytest.mark.parametrize("name", ["tweedie_12", "tweedie_18", "inverse_gaussian"])
def test_ridge_is_scikit_learns_regressor(recording, name):
    X, s, activity = recording
    arguments, p = MODELS[name]
    Y = activity[arguments["family"]]
    model = pg.GLM(**arguments, lambdas=[0.3, 0.01], **EXACT).fit(X, Y, sample_weight=s)
    for k, alpha in enumerate([0.3, 0.01]):
        for j, y in enumerate(Y.T):
            theirs = TweedieRegressor(power=p, link="log", alpha=alpha, tol=1e-9, max_iter=10_000)
            theirs = theirs.fit(X, y, sample_weight=s)
            np.testing.assert_allclose(model.coef_path_[k, j], theirs.coef_, atol=3e-6)
            np.testing.assert_allclose(model.intercept_path_[k, j], theirs.intercept_, atol=3e-6)
    assert model.evaluate(X, Y, s)["deviance_explained"].iloc[2] == pytest.approx(theirs.score(X, y, s), abs=1e-6)


@pytest.mark.thorough(keep=5)
@pytest.mark.parametrize("precision", ["float32", "float64"])
@pytest.mark.parametrize("name", ["tweedie_12", "tweedie_18", "inverse_gaussian"])
@pytest.mark.parametrize(("penalty", "alpha"), [("elastic_net", 0.4), ("group_lasso", 1.0)])
def test_where_a_fit_ends(recording, name, penalty, alpha, precision):
    """At the conditions of a minimum; and above that by less than the gap, which an inverse Gaussian has none of."""
    X, s, activity = recording
    arguments, p = MODELS[name]
    Y, offset, lam = activity[arguments["family"]], 0.4 * np.sin(np.arange(len(X))), 0.05
    labels = np.repeat(["a", "b", "c"], SIZES).tolist() if penalty == "group_lasso" else None
    groups = np.split(np.arange(8), np.cumsum(SIZES)[:-1] if labels else np.arange(1, 8))

    def value(w, b, y):
        norm = sum(np.sqrt(len(own)) * np.linalg.norm(w[own]) for own in groups)
        return objective(np.append(w, b), X, y, s, offset, p)[0] + lam * (alpha * norm + (1 - alpha) / 2 * w @ w)

    def fit(tol, precision):
        options = {"l1_ratio": alpha} if penalty == "elastic_net" else {}
        options |= {"lambdas": [0.3, lam], "penalty": penalty, "feature_groups": labels}
        return quietly(
            pg.GLM(**arguments, precision=precision, tol=tol, **options), X, Y, sample_weight=s, offset=offset
        )

    best, loose = fit(1e-12, "float64"), [fit(tol, precision) for tol in (1e-1, 1e-3, 1e-5)]
    for j, y in enumerate(Y.T):
        w, b = best.coef_[j], best.intercept_[j]
        grad = objective(np.append(w, b), X, y, s, offset, p)[1] + np.append(lam * (1 - alpha) * w, 0)
        assert abs(grad[-1]) < 1e-9
        for own in groups:
            bound, size = lam * alpha * np.sqrt(len(own)), np.linalg.norm(w[own])
            if size:
                np.testing.assert_allclose(grad[own], -bound * w[own] / size, atol=2e-5)
            else:
                assert np.linalg.norm(grad[own]) <= bound * (1 + 1e-6)
        null = s @ best.loss_.excess(np, best.null_intercept_[j] + offset, y) / s.sum()
        for model in loose:
            found = value(model.coef_[j].astype(float), model.intercept_[j], y)
            above = (found - value(w, b, y)) / null
            assert -1e-9 < above <= (model.gap_[-1, j] + 1e-7 if model.loss_.is_convex else 0.1)
            assert model.loss_path_[-1, j] == pytest.approx(found, rel=1e-5, abs=1e-5)
        assert above < 1e-4


@pytest.mark.thorough(keep=4)
@pytest.mark.parametrize("name", ["tweedie_12", "inverse_gaussian"])
@pytest.mark.parametrize(("penalty", "unit"), [("ridge", 1e-12), ("elastic_net", 1e12), ("none", 1e-3)])
def test_a_unit_moves_the_intercept_alone(recording, name, penalty, unit):
    X, s, activity = recording
    arguments, p = MODELS[name]
    Y = activity[arguments["family"]]
    if name != "inverse_gaussian":
        # five amounts, which have to beat the null model by a margin
        Y = np.column_stack([Y, np.where(np.arange(len(X)) % 80 == 3, 1 + np.abs(X[:, 0]), 0)])
    options = {} if penalty == "none" else {"n_lambdas": 4}
    options |= {"feature_groups": SIZES, "cv": 2, "tol": 1e-6}
    model, other = (
        quietly(pg.GLMCV(**arguments, penalty=penalty, **options), X, y, sample_weight=s) for y in (Y, unit * Y)
    )
    by = unit ** (2 - p)
    np.testing.assert_allclose(other.coef_path_, model.coef_path_, atol=5e-4)
    np.testing.assert_allclose(other.intercept_path_, model.intercept_path_ + np.log(unit), atol=5e-4)
    np.testing.assert_allclose(other.lambda_, by * model.lambda_, rtol=1e-4)
    np.testing.assert_allclose(other.cv_deviance_, by * model.cv_deviance_, rtol=1e-3)
    np.testing.assert_allclose(other.loss_path_, by * model.loss_path_, rtol=1e-5, atol=1e-5 * by)
    assert (model.null_margin_ > 0).sum() == (name != "inverse_gaussian")
    np.testing.assert_allclose(other.null_margin_, by * model.null_margin_, rtol=1e-9)


@pytest.mark.parametrize("name", ["tweedie_15", "inverse_gaussian"])
@pytest.mark.parametrize("way", ["torch", "device", "stream"])
def test_every_way_finds_the_same(recording, name, way):
    X, s, activity = recording
    arguments, _ = MODELS[name]
    Y = activity[arguments["family"]]
    Y = np.where(np.random.default_rng(1).random(Y.shape) < 0.1, np.nan, Y)
    options = {"lambdas": [0.05], "precision": "float64", "tol": 1e-8}
    expected = pg.GLM(**arguments, **options).fit(X, Y, sample_weight=s)
    if way == "torch":
        pytest.importorskip(way)
        options["engine"] = way
    if way == "device":
        options["schedule"] = way
    model = pg.GLM(**arguments, **options).fit(RowStream(X) if way == "stream" else X, Y, sample_weight=s)
    assert (model.gap_ <= 1e-8).all()
    np.testing.assert_allclose(model.coef_path_, expected.coef_path_, atol=1e-4)
    np.testing.assert_allclose(model.loss_path_, expected.loss_path_, rtol=1e-8)


@pytest.mark.thorough(keep=1)
@pytest.mark.parametrize("name", ["tweedie_15", "inverse_gaussian"])
def test_odd_neurons_spoil_no_others(recording, name):
    X, s, activity = recording
    arguments, _ = MODELS[name]
    Y = activity[arguments["family"]][:, :2]
    options = {"n_lambdas": 4, "cv": 3, "precision": "float64"}
    plain = quietly(pg.GLMCV(**arguments, **options), X, Y, sample_weight=s)
    odd = [np.full(len(X), 3.7), np.full(len(X), np.nan)]
    wild = np.where(np.arange(len(X)) == 17, 1e6, Y[:, 0])
    odd += (
        [wild] if name == "inverse_gaussian" else [np.zeros(len(X)), np.where(np.arange(len(X)) == 3, 2.0, 0.0), wild]
    )
    with pytest.warns(pg.PopglmWarning, match="null model"):
        model = pg.GLMCV(**arguments, **options).fit(X, np.column_stack([Y, *odd]), sample_weight=s)
    assert np.isfinite(model.coef_path_).all()
    assert np.isfinite(model.intercept_path_).all()
    np.testing.assert_allclose(model.coef_[:2], plain.coef_, rtol=1e-9)
    np.testing.assert_array_equal(model.coef_[2:-1], 0)
    assert model.intercept_[2] == pytest.approx(np.log(3.7))


@pytest.mark.parametrize(
    ("family", "bad", "words"),
    [
        ("inverse_gaussian", 0.0, "not positive for neuron 2 .*row 7.*needs activity > 0; use family='tweedie' where"),
        ("inverse_gaussian", -2.0, "not positive for neuron 2 .*row 7"),
        ("gamma", 0.0, "needs activity > 0; use family='tweedie' where it can be 0"),
        ("tweedie", -2.0, "negative value for neuron 2 .*row 7.*needs activity ≥ 0; use family='gaussian'"),
    ],
)
def test_activity_out_of_range_is_refused(recording, family, bad, words):
    X, _, activity = recording
    Y = activity["inverse_gaussian"].copy()
    Y[7, 2] = bad
    with pytest.raises(ValueError, match=words):
        pg.GLM(family).fit(X, Y)


@pytest.mark.parametrize(("family", "power"), [("tweedie", 2.5), ("tweedie", "high"), ("poisson", 1.5)])
def test_a_power_that_cannot_be_is_refused_by_fits(recording, family, power):
    X, _, activity = recording
    with pytest.raises(ValueError, match="power="):
        pg.GLMCV(family, power=power).fit(X, activity["tweedie"])


def test_a_start_has_the_same_power(recording):
    X, _, activity = recording
    options = {"n_lambdas": 2, "cv": 3}
    start = quietly(pg.GLMCV("tweedie", power=1.3, **options), X, activity["tweedie"])
    with pytest.raises(ValueError, match=r"start was fitted with power=1\.3; this fit has None"):
        pg.GLMCV("tweedie", **options).fit(X, activity["tweedie"], start=start)


def test_a_power_is_a_parameter_like_others(recording, tmp_path):
    X, _, activity = recording
    model = quietly(pg.GLMCV("tweedie", power=1.3, n_lambdas=3, cv=3), X, activity["tweedie"])
    assert model.loss_.power == clone(model).power == 1.3
    model.save(tmp_path / "model.nc")
    again = pg.load(tmp_path / "model.nc")
    assert again.loss_ == model.loss_
    np.testing.assert_array_equal(again.evaluate(X, activity["tweedie"]), model.evaluate(X, activity["tweedie"]))
    other = quietly(pg.GLMCV("tweedie", power=1.7, n_lambdas=3, cv=3), X, activity["tweedie"])
    assert np.abs(other.coef_ - model.coef_).max() > 1e-4


@pytest.mark.parametrize("name", ["tweedie_15", "inverse_gaussian"])
def test_likelihoods_and_tests(recording, name):
    X, _, activity = recording
    arguments, p = MODELS[name]
    y = activity[arguments["family"]][:, 1]
    groups = np.repeat(["a", "b", "c"], SIZES).tolist()
    model = pg.GLM(**arguments, penalty="none", feature_groups=groups, **EXACT).fit(X, y)
    row, mean = pg.goodness_of_fit(model, X, y).iloc[0], model.predict(X)
    if p == 3:
        phi = np.mean((y - mean) ** 2 / (mean**2 * y))
        dense = np.log(y**3 * 2 * np.pi * phi) / -2 - (y - mean) ** 2 / (2 * phi * mean**2 * y)
    else:
        phi = np.mean((y - mean) ** 2 / mean**p)
        dense = model.loss_.log_density(np.log(mean), y, phi)
    assert row["log_likelihood"] == pytest.approx(dense.sum(), rel=1e-9)
    # weights, an intercept and a dispersion
    assert row["aic"] == pytest.approx(2 * 10 - 2 * dense.sum())
    assert np.isnan(row["bits_per_spike"])
    tested = pg.likelihood_ratio(model, X, y, ["b"])
    without = pg.GLM(**arguments, penalty="none", **EXACT).fit(np.delete(X, [2, 3, 4], axis=1), y)
    fallen = without.evaluate(np.delete(X, [2, 3, 4], axis=1), y)["deviance"] - model.evaluate(X, y)["deviance"]
    scale = np.sum((y - mean) ** 2 / mean**p) / (len(y) - 9)
    assert tested["chi2"].item() == pytest.approx(fallen.iloc[0] / scale, rel=1e-4)


@pytest.mark.thorough
@pytest.mark.parametrize("name", ["tweedie_15", "inverse_gaussian"])
def test_all_that_is_done_with_a_model(tmp_path, name):
    design, X, eta, trial = driven_session()
    rng, mu = np.random.default_rng(0), np.exp(eta)
    arguments, _ = MODELS[name]
    n = rng.poisson(2 * np.sqrt(mu))
    Y = 1e-3 * (rng.wald(mu, 3.0) if name == "inverse_gaussian" else rng.gamma(np.maximum(n, 0.1)) * (n > 0) * mu**0.5)
    # surrogates of an inverse Gaussian may go on for long
    given = {"penalty": "group_lasso", "n_lambdas": 3, "lambda_min_ratio": 1e-2, "cv": 3, "max_iter": 25}
    model = quietly(pg.GLMCV(**arguments, **given), X, Y, groups=trial)
    assert (model.predict(X) > 0).all()
    assert arguments["family"] in str(model.summary())
    model.save(tmp_path / "model.nc")
    again = pg.load(tmp_path / "model.nc")
    np.testing.assert_array_equal(again.predict(X), model.predict(X))
    check_explanations(model, design, X, Y, trial)


def test_a_place_is_decoded_from_amounts():
    rng = np.random.default_rng(3)
    place, trial = rng.uniform(0, 100, 1500), np.arange(1500) // 50
    centers = np.linspace(5, 95, 12)
    mu = 0.3 + 3 * np.exp(-0.5 * ((place[:, None] - centers) / 12) ** 2)
    n = rng.poisson(1.5 * np.sqrt(mu))
    Y = rng.gamma(np.maximum(n, 0.1)) * (n > 0) * np.sqrt(mu)
    design = pg.Design([pg.bumps("place", 10, 0, 100)])
    session = {"place": place}
    model = quietly(pg.GLMCV("tweedie", n_lambdas=4, cv=3), design.fit_transform(session), Y, groups=trial)
    found = pg.decode(model, design, session, Y, "place", np.arange(0, 101, 5.0))
    assert np.median(np.abs(found["most_likely"] - place)) < 10
