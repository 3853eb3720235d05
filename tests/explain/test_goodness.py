"""Likelihoods and degrees of freedom, against statsmodels' answers, densities, and derivatives of fits."""

import warnings

import numpy as np
import pytest
from scipy import stats
from unpenalised import fitted, samples

import popglm as pg

# statsmodels 0.15.0 on `samples`: llf, llnull, and bic_llf with the number of its weights and intercept
STATSMODELS = {
    "poisson": (-598.4734138518008, -658.1090415247518, 1220.9126858920336),
    "bernoulli": (-264.7121363720611, -277.2138705363263, 553.3901309325541),
}


@pytest.mark.parametrize("family", STATSMODELS)
def test_as_statsmodels_does(family):
    X, Y, _ = samples()
    found = pg.goodness_of_fit(fitted(X, Y[family], family), X, Y[family]).iloc[0]
    log_likelihood, null, bic = STATSMODELS[family]
    assert found["log_likelihood"] == pytest.approx(log_likelihood, rel=1e-7)
    assert found["null_log_likelihood"] == pytest.approx(null, rel=1e-7)
    assert found["bic"] == pytest.approx(bic, rel=1e-7)
    assert found["degrees_of_freedom"] == pytest.approx(4)
    assert found["aic"] == pytest.approx(2 * 4 - 2 * log_likelihood, rel=1e-7)
    assert found["mcfadden"] == pytest.approx(1 - log_likelihood / null, rel=1e-6)


def test_densities_of_other_families():
    X, Y, _ = samples()
    model = fitted(X, Y["gaussian"], "gaussian")
    y, mean = Y["gaussian"][:, 0], model.predict(X)[:, 0]
    found = pg.goodness_of_fit(model, X, Y["gaussian"]).iloc[0]
    assert found["log_likelihood"] == pytest.approx(stats.norm.logpdf(y, mean, np.std(y - mean)).sum())
    assert found["degrees_of_freedom"] == pytest.approx(5)
    assert np.isnan(found["bits_per_spike"])
    counts = np.random.default_rng(0).negative_binomial(1, 0.3, size=(400, 1))
    model = fitted(X, counts, "negative_binomial")
    alpha, mean = model.family_parameters_["alpha"][0], model.predict(X)[:, 0]
    found = pg.goodness_of_fit(model, X, counts).iloc[0]
    expected = stats.nbinom.logpmf(counts[:, 0], 1 / alpha, 1 / (1 + alpha * mean)).sum()
    assert found["log_likelihood"] == pytest.approx(expected)
    # R's logLik of a gamma model: the dispersion is the deviance over n
    model = fitted(X, Y["gamma"], "gamma")
    y, mean = Y["gamma"][:, 0], model.predict(X)[:, 0]
    phi = 2 * np.mean((y - mean) / mean - np.log(y / mean))
    found = pg.goodness_of_fit(model, X, Y["gamma"]).iloc[0]
    assert found["log_likelihood"] == pytest.approx(stats.gamma.logpdf(y, 1 / phi, scale=phi * mean).sum())


def test_bits_per_spike_by_hand():
    X, Y, _ = samples()
    y = Y["poisson"]
    model = fitted(X, y)
    mean, rate = model.predict(X), y.mean()
    gain = np.sum(y * np.log(mean / rate) - (mean - rate))
    found = pg.goodness_of_fit(model, X, y)["bits_per_spike"].item()
    assert found == pytest.approx(gain / np.log(2) / y.sum(), rel=1e-5)


@pytest.mark.parametrize(
    "options",
    [
        {"penalty": "ridge", "lambdas": [0.3]},
        {"penalty": "lasso", "lambdas": [0.1]},
        {"penalty": "elastic_net", "lambdas": [0.2]},
        {"penalty": "group_lasso", "lambdas": [0.15], "feature_groups": [3, 2, 3]},
        {"penalty": "group_lasso", "lambdas": [0.15], "feature_groups": [3, 2, 3], "penalty_factors": [1, 0, 2]},
        {"penalty": "ridge", "lambdas": [0.1], "feature_groups": [3, 5], "smoothness": 0.2},
        {"penalty": "lasso", "lambdas": [0.05], "fit_intercept": False},
    ],
)
def test_degrees_of_freedom_are_how_much_means_follow_the_activity(options):
    rng = np.random.default_rng(3)
    X = rng.normal(size=(60, 8)) @ (np.eye(8) + 0.3)
    y = X[:, :4] @ [1.0, -0.5, 0.4, 0.3] + rng.normal(size=60)
    settings = {"precision": "float64", "tol": 1e-11, "max_iter": 3000, **options}
    # every sample is moved in a neuron of its own
    step = 1e-4
    moved = pg.GLM("gaussian", **settings).fit(
        X, np.hstack([y[:, None] + step * np.eye(60), y[:, None] - step * np.eye(60)])
    )
    means = moved.predict(X)
    expected = np.trace(means[:, :60] - means[:, 60:]) / (2 * step)
    found = pg.goodness_of_fit(pg.GLM("gaussian", **settings).fit(X, y), X, y)["degrees_of_freedom"].item()
    # one is that of the dispersion
    assert found - 1 == pytest.approx(expected, abs=0.02)
    assert 1 < expected < 9


def test_masked_columns_count_for_nothing():
    X, Y, _ = samples()
    y = np.hstack([Y["poisson"], Y["poisson"]])
    mask = np.array([[True, True], [True, False], [True, True]])
    found = pg.goodness_of_fit(
        pg.GLM(penalty="none", tol=1e-9, feature_mask=mask).fit(X, y), X, y
    )["degrees_of_freedom"]  # fmt: skip
    assert found.round(6).tolist() == [4, 3]


def test_null_models_and_silent_neurons():
    X, Y, _ = samples()
    y = np.hstack([Y["poisson"], np.zeros((400, 1))])
    with pytest.warns(pg.PopglmWarning):
        model = pg.GLM(penalty="lasso", lambdas=[100.0]).fit(X, y)
    found = pg.goodness_of_fit(model, X, y)
    assert found["degrees_of_freedom"].tolist() == [1, 1]
    assert found["bits_per_spike"].iloc[0] == pytest.approx(0, abs=1e-9)
    assert np.isnan(found["bits_per_spike"].iloc[1])
    assert np.isfinite(found[["log_likelihood", "aic", "bic"]]).all(axis=None)


@pytest.mark.parametrize("options", [{"penalty": "none"}, {"penalty": "lasso", "lambdas": [1e-9]}])
def test_columns_of_any_unit_count_alike(options):
    """Income in cents beside a share: a weight is one however large its column's numbers are."""
    rng = np.random.default_rng(4)
    X = rng.normal(size=(300, 4))
    y = rng.poisson(np.exp(0.3 * X[:, 0] - 0.2 * X[:, 3]))
    unit = np.array([1e7, 1.0, 1e-6, 1e-3]) if options["penalty"] == "none" else np.array([1e6, 1.0, 1e-2, 1e-1])
    found = [
        pg.goodness_of_fit(pg.GLM(precision="float64", tol=1e-10, **options).fit(Z, y), Z, y) for Z in (X, X * unit)
    ]
    assert found[1]["degrees_of_freedom"].item() == pytest.approx(5, abs=1e-6)
    assert found[1]["aic"].item() == pytest.approx(found[0]["aic"].item(), abs=1e-4)


def test_a_neuron_without_samples_has_nothing_and_leaves_others_alone():
    rng = np.random.default_rng(2)
    X = rng.normal(size=(200, 3))
    Y = rng.poisson(np.exp(0.3 * X[:, [0, 0, 1]])).astype(float)
    Y[:, 1] = np.nan
    with pytest.warns(pg.PopglmWarning, match="null model"):
        model = pg.GLM(penalty="lasso", lambdas=[0.01]).fit(X, Y)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        found = pg.goodness_of_fit(model, X, Y)
    assert found.loc["neuron1"].isna().all()
    others = pg.GLM(penalty="lasso", lambdas=[0.01]).fit(X, Y[:, [0, 2]])
    expected = pg.goodness_of_fit(others, X, Y[:, [0, 2]])
    np.testing.assert_allclose(found.iloc[[0, 2]], expected, rtol=1e-6)
    assert expected.notna().all(axis=None)
