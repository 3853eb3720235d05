"""Standard errors and Wald tests, against statsmodels' answers, closed forms and simulation."""

from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from scipy import stats
from unpenalised import fitted, samples

import popglm as pg

# statsmodels 0.15.0, on the samples of `samples`: GLM(y, add_constant(X), family).fit(tol=1e-12), bse of the fit and
# with cov_type="cluster"; wald_test of the three weights; scale
STATSMODELS = {
    "poisson": (
        [0.0458568, 0.0483377, 0.0450728, 0.0454298], [0.069948, 0.0578857, 0.0526658, 0.0525892],
        119.32214506394148, 1.0,
    ),
    "bernoulli": (
        [0.1041777, 0.1231747, 0.113031, 0.108017], [0.1104196, 0.0994141, 0.1208324, 0.0819121],
        22.912400777727743, 1.0,
    ),
    "gaussian": (
        [0.0541567, 0.0630779, 0.0575177, 0.0561528], [0.0822601, 0.0635054, 0.0504557, 0.0447747],
        83.44583490868224, 1.1499052884338627,
    ),
    "gamma": (
        [0.0417247, 0.048598, 0.0443142, 0.0432627], [0.064358, 0.0491581, 0.0384682, 0.0414591],
        77.8608909942352, 0.6825672065060693,
    ),
}  # fmt: skip


@pytest.mark.parametrize("family", STATSMODELS)
def test_as_statsmodels_does(family):
    X, Y, trial = samples()
    plain, clustered, chi2, scale = STATSMODELS[family]
    model = fitted(X, Y[family], family, feature_groups=[3])
    found = pg.wald(model, X, Y[family])
    by_trial = pg.wald(model, X, Y[family], trial=trial)
    for result, expected in ((found, plain), (by_trial, clustered)):
        errors = [result["intercept_standard_error"].item(), *result["standard_error"].values[0]]
        np.testing.assert_allclose(errors, expected, rtol=2e-4)
    assert found["group_chi2"].item() == pytest.approx(chi2, rel=1e-3)
    assert found["group_df"].item() == 3
    assert found["group_p_value"].item() == pytest.approx(stats.chi2.sf(chi2, 3), rel=0.05)
    assert found["dispersion"].item() == pytest.approx(scale, rel=1e-4)


def test_least_squares_have_a_closed_form():
    X, Y, _ = samples()
    y = Y["gaussian"]
    model = fitted(X, y, "gaussian", fit_intercept=False)
    found = pg.wald(model, X, y, level=0.9)
    b = np.linalg.lstsq(X, y, rcond=None)[0]
    scale = np.sum((y - X @ b) ** 2) / (400 - 3)
    errors = np.sqrt(scale * np.diag(np.linalg.inv(X.T @ X)))
    np.testing.assert_allclose(found["standard_error"].values[0], errors, rtol=1e-5)
    np.testing.assert_allclose(found["upper"] - found["coef"], [stats.norm.ppf(0.95) * errors], rtol=1e-5)
    np.testing.assert_allclose(found["p_value"].values, 2 * stats.norm.sf(np.abs(found["z"].values)))
    assert found["intercept_standard_error"].item() == 0


def test_a_weight_of_two_is_two_samples():
    X, Y, _ = samples()
    y, weight = Y["poisson"], np.tile([1.0, 2.0], 200)
    twice = np.repeat(np.arange(400), weight.astype(int))
    once = pg.wald(pg.GLM(penalty="none", tol=1e-9).fit(X, y, sample_weight=weight), X, y, sample_weight=weight)
    apart = pg.wald(fitted(X[twice], y[twice]), X[twice], y[twice])
    np.testing.assert_allclose(once["standard_error"], apart["standard_error"], rtol=1e-4)


def test_pearson_widens_errors_of_wild_counts():
    X, _, _ = samples()
    y = np.random.default_rng(0).negative_binomial(1, 0.3, size=(400, 1))
    model = fitted(X, y)
    family, pearson = pg.wald(model, X, y), pg.wald(model, X, y, dispersion="pearson")
    mean = model.predict(X)
    phi = np.sum((y - mean) ** 2 / mean) / (400 - 4)
    assert pearson["dispersion"].item() == pytest.approx(phi, rel=1e-6)
    np.testing.assert_allclose(pearson["standard_error"], family["standard_error"] * np.sqrt(phi), rtol=1e-6)


def test_collinear_columns_have_no_errors_of_their_own_but_a_test_together():
    X, Y, _ = samples()
    y = Y["poisson"]
    whole = pg.wald(fitted(X, y, feature_groups=[1, 2]), X, y)
    wide = np.column_stack([X[:, :1], X[:, 1], X[:, 2], X[:, 1] + X[:, 2]])
    found = pg.wald(fitted(wide, y, feature_groups=[1, 3]), wide, y)
    assert np.isinf(found["standard_error"].values[0, 1:]).all()
    np.testing.assert_array_equal(found["p_value"].values[0, 1:], 1)
    np.testing.assert_allclose(found["standard_error"][0, 0], whole["standard_error"][0, 0], rtol=1e-4)
    # the span of the three is that of the two
    assert found["group_df"].values[0].tolist() == [1, 2]
    np.testing.assert_allclose(found["group_chi2"], whole["group_chi2"], rtol=1e-3)


def test_what_is_constant_or_cannot_be_fitted_has_infinite_errors():
    X, Y, _ = samples()
    y = np.hstack([Y["poisson"], np.zeros((400, 1))])
    X[:, 1] = 1.0
    with pytest.warns(pg.PopglmWarning):
        model = fitted(X, y)
    found = pg.wald(model, X, y)
    assert np.isinf(found["standard_error"].values[1]).all()
    assert np.isinf(found["standard_error"].values[0, 1])
    assert np.isfinite(found["standard_error"].values[0, [0, 2]]).all()
    assert not any(np.isnan(values).any() for values in (found["z"], found["p_value"], found["group_chi2"]))


def test_errors_over_trials_cover_where_those_over_samples_do_not():
    rng = np.random.default_rng(1)
    trial, hits = np.repeat(np.arange(60), 20), {"samples": 0, "trials": 0}
    cue = rng.normal(size=60)[trial][:, None]
    n_sessions = 200
    drift = rng.normal(size=(60, n_sessions)) * 0.5
    Y = rng.poisson(np.exp(0.5 + 0.3 * cue + drift[trial]))
    model = fitted(cue, Y, tol=1e-6)
    for name, given in (("samples", None), ("trials", trial)):
        found = pg.wald(model, cue, Y, trial=given)
        hits[name] = int(((found["lower"] < 0.3) & (found["upper"] > 0.3)).sum())
    # the figures of the guide
    assert hits["samples"] == pytest.approx(86, abs=3)
    assert hits["trials"] == pytest.approx(178, abs=3)


def test_negative_binomial_errors_hold_its_dispersion():
    X, _, _ = samples()
    rng = np.random.default_rng(2)
    y = rng.negative_binomial(2, 2 / (2 + np.exp(0.5 + 0.4 * X[:, :1])))
    model = fitted(X, y, "negative_binomial")
    alpha, mean = model.family_parameters_["alpha"][0], model.predict(X)[:, 0]
    Z = np.column_stack([np.ones(400), X])
    information = Z.T @ (Z * (mean / (1 + alpha * mean))[:, None])
    expected = np.sqrt(np.diag(np.linalg.inv(information)))
    found = pg.wald(model, X, y)
    np.testing.assert_allclose(found["standard_error"].values[0], expected[1:], rtol=1e-4)


def test_names_are_those_of_the_data():
    X, Y, trial = samples()
    session = {"speed": X[:, 0], "position": X[:, 1], "trial": trial}
    design = pg.Design([pg.linear("speed"), pg.bumps("position", n=4, low=-3, high=3)])
    frame = design.fit_transform(session)
    activity = pd.DataFrame(Y["poisson"], columns=["cell 7"])
    found = pg.wald(fitted(frame, activity), frame, activity)
    assert found["neuron"].values.tolist() == ["cell 7"]
    assert found["group"].values.tolist() == ["speed", "position"]
    assert len(set(found["feature"].values)) == 5
    assert found["group_df"].sel(group="position").item() == 4


def test_masked_columns_have_infinite_errors():
    X, Y, _ = samples()
    mask = np.array([[True], [False], [True]])
    found = pg.wald(fitted(X, Y["poisson"], feature_mask=mask), X, Y["poisson"])
    alone = pg.wald(fitted(X[:, [0, 2]], Y["poisson"]), X[:, [0, 2]], Y["poisson"])
    assert np.isinf(found["standard_error"].values[0, 1])
    np.testing.assert_allclose(found["standard_error"].values[0, [0, 2]], alone["standard_error"].values[0], rtol=1e-4)


def test_one_neuron_may_be_a_vector():
    X, Y, _ = samples()
    one = pg.wald(fitted(X, Y["poisson"][:, 0]), X, Y["poisson"][:, 0])
    np.testing.assert_allclose(one["z"], pg.wald(fitted(X, Y["poisson"]), X, Y["poisson"])["z"], rtol=1e-6)


def test_few_trials_are_told():
    X, Y, trial = samples()
    model = fitted(X, Y["poisson"], feature_groups=[3])
    with pytest.warns(pg.PopglmWarning, match="wald: 5 trials are few for tests of 'group0'"):
        pg.wald(model, X, Y["poisson"], trial=trial // 8)


@pytest.mark.parametrize(
    ("options", "told"),
    [
        ({"dispersion": "mine"}, "dispersion"),
        ({"level": 1}, "level must lie between 0 and 1"),
        ({"trial": np.zeros(400)}, "a single trial"),
        ({"trial": np.zeros(3)}, "trial"),
    ],
)
def test_wrong_arguments_are_told(options, told):
    X, Y, _ = samples()
    model = fitted(X, Y["poisson"])
    with pytest.raises(ValueError, match=told):
        pg.wald(model, X, Y["poisson"], **options)


def test_penalised_fits_are_refused():
    X, Y, _ = samples()
    model = pg.GLM(lambdas=[0.1]).fit(X, Y["poisson"])
    with pytest.raises(
        ValueError, match=r"penalty='ridge', and penalised weights have no standard errors; fit a popglm.GLM with"
    ):
        pg.wald(model, X, Y["poisson"])
    smooth = pg.GLM(penalty="none", smoothness=0.1, feature_groups=[X.shape[1]]).fit(X, Y["poisson"])
    with pytest.raises(ValueError, match=r"smoothness=0.1, and penalised weights have no standard errors"):
        pg.wald(smooth, X, Y["poisson"])
    with pytest.raises(TypeError, match=r"model must be a popglm\.GLM"):
        pg.wald("model", X, Y["poisson"])


def test_neurons_that_are_sure_of_silence_spoil_no_other():
    rng = np.random.default_rng(4)
    X = np.eye(6)[rng.integers(0, 6, 900)][:, :5]
    X = np.column_stack([X, rng.normal(size=900)])
    rates = np.exp(X @ [1.0, 0.5, 0.0, -0.5, 0.3, 0.2])
    Y = np.column_stack([rng.poisson(rates), rng.poisson(rates * (X[:, 0] + X[:, 1] == 0))])
    with pytest.warns(pg.PopglmWarning, match="no finite weights"):
        model = pg.GLM(penalty="none").fit(X, Y)
    trial = np.arange(900) // 30
    for given in (None, trial):
        found = pg.wald(model, X, Y, trial=given)
        alone = pg.wald(pg.GLM(penalty="none").fit(X, Y[:, 0]), X, Y[:, 0], trial=given)
        np.testing.assert_allclose(found["standard_error"][0], alone["standard_error"][0], rtol=1e-3)
        assert not any(np.isnan(found[name]).any() for name in found)
    # the weights of silence run away, and the samples say nothing of how far
    assert (pg.wald(model, X, Y)["p_value"].values[1, :2] > 0.05).all()


def test_place_cell_of_kramer_and_eden():
    path = Path(__file__).parents[3] / "shared" / "data" / "kramer_eden.npz"
    if not path.exists():
        pytest.skip("kramer_eden.npz is not in ../shared/data")
    recording = np.load(path)
    x, y = recording["ch9_x_cm"], recording["ch9_spikes_1"].astype(float)[:, None]
    X = np.column_stack([x, x**2])
    model = pg.GLM(penalty="none", tol=1e-10, precision="float64").fit(X, y)
    found, fit = pg.wald(model, X, y), pg.goodness_of_fit(model, X, y)
    # chapter 9, model 3
    np.testing.assert_allclose(found["standard_error"].values, [[0.056151634, 0.000423260]], rtol=1e-4)
    assert found["intercept_standard_error"].item() == pytest.approx(1.837613094, rel=1e-4)
    assert fit["aic"].item() == pytest.approx(2708.7763622920475, abs=1e-4)
    assert fit["log_likelihood"].item() == pytest.approx(-1351.388181146, abs=1e-4)


@pytest.mark.parametrize("family", STATSMODELS)
def test_samples_without_a_recording_are_no_samples(family):
    X, Y, trial = samples()
    y = np.column_stack([Y[family], Y[family]]).astype(float)
    y[: len(y) // 3, 0] = np.nan
    known = ~np.isnan(y[:, 0])
    model = fitted(X, y, family, feature_groups=[3])
    alone = fitted(X[known], y[known, 0], family, feature_groups=[3])
    for trials in (None, trial):
        found = pg.wald(model, X, y, trial=trials)
        own = pg.wald(alone, X[known], y[known, 0], trial=None if trials is None else trials[known])
        for name in ("standard_error", "intercept_standard_error", "dispersion"):
            np.testing.assert_allclose(found[name][0], own[name][0], rtol=1e-3 if trials is None else 0.05)
        np.testing.assert_allclose(found["standard_error"][1], pg.wald(
            fitted(X, y[:, 1], family, feature_groups=[3]), X, y[:, 1], trial=trials
        )["standard_error"][0], rtol=1e-3)  # fmt: skip
    scores = pg.goodness_of_fit(model, X, y).iloc[0], pg.goodness_of_fit(alone, X[known], y[known, 0]).iloc[0]
    np.testing.assert_allclose(scores[0], scores[1], rtol=1e-3)
    tests = pg.likelihood_ratio(model, X, y), pg.likelihood_ratio(alone, X[known], y[known, 0])
    np.testing.assert_allclose(tests[0]["chi2"][0], tests[1]["chi2"][0], rtol=1e-2)
