"""Sample weights that differ between neurons: every neuron has the fit that it has by itself."""

import warnings

import numpy as np
import pandas as pd
import pytest

import popglm as pg
from popglm.solve.stream import RowStream

SIZES = [2, 3, 3]
TRIAL = np.arange(300) // 10


@pytest.fixture(scope="module")
def recording():
    """X, weights of every neuron (a twentieth of them 0), and activity by family."""
    rng = np.random.default_rng(0)
    X = rng.standard_normal((300, 8)) + rng.normal(0, 0.5, 8)
    eta = 0.4 * X @ rng.standard_normal((8, 3)) * 0.6
    weights = rng.uniform(0.2, 3, (300, 3)) * (rng.random((300, 3)) > 0.05)
    activity = {
        "poisson": rng.poisson(np.exp(eta)).astype(float),
        "gaussian": 30 + eta + rng.normal(size=eta.shape),
        "bernoulli": (rng.random(eta.shape) < 1 / (1 + np.exp(-eta))).astype(float),
        "negative_binomial": rng.poisson(np.exp(eta) * rng.gamma(1, 1, eta.shape)).astype(float),
        "censored_gaussian": np.maximum(eta + rng.normal(size=eta.shape), 0),
    }
    return X, weights, activity


def quietly(call, *args, **kwargs):
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", pg.PopglmWarning)
        return call(*args, **kwargs)


CASES = [
    (family, penalty, way)
    for family in ("poisson", "gaussian", "bernoulli", "negative_binomial", "censored_gaussian")
    for penalty in ("none", "ridge", "group_lasso")
    for way in ("host", "device", "stream", "torch")
    if way == "host" or (family, penalty) in (("poisson", "group_lasso"), ("gaussian", "ridge"))
]


@pytest.mark.thorough(keep=6)
@pytest.mark.parametrize(("family", "penalty", "way"), CASES)
def test_a_neuron_has_the_fit_that_it_has_alone(recording, family, penalty, way):
    X, weights, activity = recording
    Y = activity[family]
    options = {"penalty": penalty, "feature_groups": SIZES, "cv": 2, "precision": "float64", "tol": 1e-10}
    options |= {} if penalty == "none" else {"lambdas": [0.1, 0.02]}
    alone = [
        quietly(pg.GLMCV(family, **options).fit, X, Y[:, j], groups=TRIAL, sample_weight=weights[:, j])
        for j in range(3)
    ]
    if way == "torch":
        pytest.importorskip(way)
        options["engine"] = way
    if way == "device":
        options["schedule"] = way
    given = RowStream(X) if way == "stream" else X
    model = quietly(pg.GLMCV(family, **options).fit, given, Y, groups=TRIAL, sample_weight=weights)
    assert model.fitted_with_sample_weight_
    for j, one in enumerate(alone):
        np.testing.assert_allclose(model.coef_path_[:, j], one.coef_path_[:, 0], atol=3e-5)
        np.testing.assert_allclose(model.intercept_path_[:, j], one.intercept_path_[:, 0], atol=3e-5)
        np.testing.assert_allclose(model.cv_coef_path_[:, :, j], one.cv_coef_path_[:, :, 0], atol=3e-5)
        np.testing.assert_allclose(model.loss_path_[:, j], one.loss_path_[:, 0], rtol=1e-7)
        np.testing.assert_allclose(model.cv_deviance_[..., j], one.cv_deviance_[..., 0], rtol=1e-5)
        np.testing.assert_allclose(model.cv_null_deviance_[j], one.cv_null_deviance_[0], rtol=1e-9)
        np.testing.assert_allclose(model.null_intercept_[j], one.null_intercept_[0], rtol=1e-8)
        assert model.n_events_[j] == one.n_events_[0]
        assert model.lambda_[j] == one.lambda_[0]
        table = model.evaluate(X, Y, sample_weight=weights).iloc[j]
        np.testing.assert_allclose(
            table, one.evaluate(X, Y[:, j], sample_weight=weights[:, j]).iloc[0], rtol=1e-4, atol=1e-9
        )


@pytest.mark.parametrize("family", ["gaussian", "poisson"])
def test_weights_that_are_all_above_0(recording, family):
    """No sums over samples are shared then either."""
    X, weights, activity = recording
    weights, Y = weights + 0.1, activity[family]
    options = {"penalty": "lasso", "lambdas": [0.1, 0.02], "cv": 3, "precision": "float64", "tol": 1e-10}
    model = quietly(pg.GLMCV(family, **options).fit, X, Y, groups=TRIAL, sample_weight=weights)
    held = model.predict_held_out()
    for j in range(3):
        one = quietly(pg.GLMCV(family, **options).fit, X, Y[:, j], groups=TRIAL, sample_weight=weights[:, j])
        np.testing.assert_allclose(model.coef_path_[:, j], one.coef_path_[:, 0], atol=3e-5)
        np.testing.assert_allclose(model.cv_deviance_[..., j], one.cv_deviance_[..., 0], rtol=1e-5)
        # by the definition
        mean = np.average(Y[:, j], weights=weights[:, j])
        null = weights[:, j] @ model.loss_.unit_deviance(Y[:, j], np.full(300, mean))
        assert model.cv_null_deviance_[j] == pytest.approx(null, rel=1e-9)
        total = weights[:, j] @ model.loss_.unit_deviance(Y[:, j], held[:, j])
        assert model.cv_deviance_explained_[j] == pytest.approx(1 - total / null, abs=1e-6)


def test_a_fold_in_which_a_neuron_has_no_weight_is_not_scored(recording):
    X, weights, activity = recording
    fold = np.arange(300) // 100
    none = np.where((fold == 1)[:, None] & [False, True, False], 0, weights)
    splits = [(np.flatnonzero(fold != k), np.flatnonzero(fold == k)) for k in range(3)]
    model = quietly(pg.GLMCV(lambdas=[0.1], cv=splits).fit, X, activity["poisson"], sample_weight=none)
    assert np.isnan(model.cv_deviance_[:, 0]).tolist() == [[False] * 3, [False, True, False], [False] * 3]


def test_a_weight_of_0_is_a_sample_that_was_not_recorded(recording):
    X, weights, activity = recording
    Y, counted = activity["poisson"], (weights > 0).astype(float)
    options = {"penalty": "lasso", "n_lambdas": 4, "precision": "float64", "tol": 1e-8}
    model = pg.GLM(**options).fit(X, Y, sample_weight=counted)
    other = pg.GLM(**options).fit(X, np.where(counted > 0, Y, np.nan))
    np.testing.assert_allclose(model.coef_path_, other.coef_path_, atol=2e-5)
    np.testing.assert_array_equal(model.n_events_, other.n_events_)


def test_columns_that_are_alike_are_a_vector(recording):
    X, weights, activity = recording
    s, Y = weights[:, 0], activity["gaussian"]
    vector = pg.GLM("gaussian", n_lambdas=3).fit(X, Y, sample_weight=s)
    matrix = pg.GLM("gaussian", n_lambdas=3).fit(X, Y, sample_weight=np.tile(s[:, None], 3))
    np.testing.assert_array_equal(matrix.coef_path_, vector.coef_path_)
    one = pg.GLM("gaussian", n_lambdas=3).fit(X, Y[:, 0], sample_weight=s[:, None])
    np.testing.assert_array_equal(
        one.coef_path_, pg.GLM("gaussian", n_lambdas=3).fit(X, Y[:, 0], sample_weight=s).coef_path_
    )


def test_tables_are_matched_by_the_names_of_neurons(recording):
    X, weights, activity = recording
    Y = pd.DataFrame(activity["poisson"], columns=["a", "b", "c"])
    table = pd.DataFrame(weights, columns=["a", "b", "c"])
    model = pg.GLM(lambdas=[0.1]).fit(X, Y, sample_weight=table)
    other = pg.GLM(lambdas=[0.1]).fit(X, Y, sample_weight=table[["c", "a", "b"]])
    np.testing.assert_array_equal(other.coef_, model.coef_)
    np.testing.assert_array_equal(
        model.evaluate(X, Y, table[["b", "c", "a"]]), model.evaluate(X, Y[["c", "b", "a"]], table)
    )
    with pytest.raises(ValueError, match="sample_weight"):
        pg.GLM(lambdas=[0.1]).fit(X, Y, sample_weight=table.rename(columns={"c": "d"}))


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (
            lambda s: s[:, :2],
            r"shape \(300,\), one value per sample, or \(300, 3\), one per sample and neuron; .*300, 2",
        ),
        (lambda s: s[:7], r"it has \(7, 3\)"),
        (lambda s: np.where(s == s[9, 1], -1, s), r"row 9 holds -1 for neuron 1 \('neuron1'\)"),
        (lambda s: np.where(s == s[9, 1], np.nan, s), "row 9 holds nan for neuron 1"),
        (lambda s: 0 * s, "zero everywhere"),
        (lambda s: np.stack([s, s]), "shape"),
    ],
)
def test_what_cannot_be_weights(recording, change, words):
    X, weights, activity = recording
    model = pg.GLM(lambdas=[0.1]).fit(X, activity["poisson"])
    for call in (model.fit, model.evaluate):
        with pytest.raises(ValueError, match=words):
            call(X, activity["poisson"], sample_weight=change(weights))


def test_a_neuron_without_weight_is_the_null_model_and_spoils_no_other(recording):
    X, weights, activity = recording
    none = weights * [1, 0, 1]
    with pytest.warns(pg.PopglmWarning, match="neuron1"):
        model = pg.GLMCV(lambdas=[0.1, 0.02], cv=3, precision="float64").fit(X, activity["poisson"], sample_weight=none)
    other = pg.GLMCV(lambdas=[0.1, 0.02], cv=3, precision="float64").fit(X, activity["poisson"], sample_weight=weights)
    assert model.null_fitted_.tolist() == [False, True, False]
    np.testing.assert_allclose(model.coef_path_[:, [0, 2]], other.coef_path_[:, [0, 2]], atol=1e-3)


def test_explanations_are_those_of_each_neuron(recording, tmp_path):
    X, weights, activity = recording
    Y, groups = activity["poisson"], np.repeat(["a", "b", "c"], SIZES).tolist()
    options = {"feature_groups": groups, "lambdas": [0.02], "cv": 3, "precision": "float64", "tol": 1e-9}
    model = pg.GLMCV(**options).fit(X, Y, groups=TRIAL, sample_weight=weights)
    one = pg.GLMCV(**options).fit(X, Y[:, 1], groups=TRIAL, sample_weight=weights[:, 1])
    for explain in (pg.breakdown, pg.compare):
        found = explain(model, X, Y, ["a", "b"], sample_weight=weights)["fraction_null_deviance"]
        own = explain(one, X, Y[:, 1], ["a", "b"], sample_weight=weights[:, 1])["fraction_null_deviance"]
        np.testing.assert_allclose(found[1], own[0], atol=1e-5)
        with pytest.raises(ValueError, match="needs sample_weight="):
            explain(model, X, Y, ["a"])
    with pytest.raises(ValueError, match="sample_weight differs between neurons"):
        pg.significance(model, X, Y, ["a"], trial=TRIAL, sample_weight=weights)
    model.save(tmp_path / "model.nc")
    assert pg.load(tmp_path / "model.nc").fitted_with_sample_weight_


def test_tests_of_unpenalised_fits_are_those_of_each_neuron(recording):
    X, weights, activity = recording
    Y, groups = activity["poisson"], np.repeat(["a", "b", "c"], SIZES).tolist()
    options = {"penalty": "none", "feature_groups": groups, "precision": "float64", "tol": 1e-11}
    model = pg.GLM(**options).fit(X, Y, sample_weight=weights)
    one = pg.GLM(**options).fit(X, Y[:, 1], sample_weight=weights[:, 1])
    both, own = {"sample_weight": weights}, {"sample_weight": weights[:, 1]}
    for trial in (None, TRIAL):
        found, alone = pg.wald(model, X, Y, trial=trial, **both), pg.wald(one, X, Y[:, 1], trial=trial, **own)
        np.testing.assert_allclose(found["standard_error"][1], alone["standard_error"][0], rtol=1e-5)
    found, alone = pg.likelihood_ratio(model, X, Y, **both), pg.likelihood_ratio(one, X, Y[:, 1], **own)
    np.testing.assert_allclose(found["chi2"][1], alone["chi2"][0], rtol=1e-5)
    np.testing.assert_allclose(found["score"][1], alone["score"][0], rtol=1e-5)
    found, alone = pg.goodness_of_fit(model, X, Y, **both), pg.goodness_of_fit(one, X, Y[:, 1], **own)
    np.testing.assert_allclose(found.iloc[1], alone.iloc[0], rtol=1e-6)


def test_bands_are_those_of_each_neuron():
    rng = np.random.default_rng(2)
    place = rng.uniform(0, 100, 300)
    weights = rng.uniform(0.5, 2, (300, 2))
    Y = rng.poisson(np.exp(np.cos(place / 15))[:, None], (300, 2))
    design = pg.Design([pg.bumps("place", 5, 0, 100)])
    X = design.fit_transform({"place": place})
    options = {"lambdas": [0.01], "precision": "float64", "tol": 1e-9}
    model = pg.GLM(**options).fit(X, Y, sample_weight=weights)
    one = pg.GLM(**options).fit(X, Y[:, 1], sample_weight=weights[:, 1])
    found = pg.bootstrap(model, design, X, Y, trial=TRIAL, n_resamples=3, sample_weight=weights)["place"]
    own = pg.bootstrap(one, design, X, Y[:, 1], trial=TRIAL, n_resamples=3, sample_weight=weights[:, 1])["place"]
    np.testing.assert_allclose(found["sem"][1], own["sem"][0], atol=1e-4)


def test_validation_data_has_weights_per_neuron_too(recording):
    X, weights, activity = recording
    train, test = np.arange(200), np.arange(200, 300)
    Y = activity["poisson"]
    options = {"lambdas": [0.3, 0.1, 0.03, 0.01], "precision": "float64", "tol": 1e-9}
    model = pg.GLM(**options).fit(X[train], Y[train], sample_weight=weights[train])
    quietly(model.select, X[test], Y[test], sample_weight=weights[test])
    for j in range(3):
        one = pg.GLM(**options).fit(X[train], Y[train, j], sample_weight=weights[train, j])
        quietly(one.select, X[test], Y[test, j], sample_weight=weights[test, j])
        assert one.lambda_[0] == model.lambda_[j]
