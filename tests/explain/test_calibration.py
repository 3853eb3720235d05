"""Calibration curves and recalibration, against scikit-learn, closed forms and simulations."""

from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from complaints import assert_complaint
from populations import fitted
from scipy import optimize
from sklearn.calibration import calibration_curve
from sklearn.linear_model import LogisticRegression
from unpenalised import samples

import popglm as pg


def held_out_eta(model, X):
    link = {"poisson": np.log, "gaussian": np.asarray, "gamma": np.log, "negative_binomial": np.log}
    link["bernoulli"] = lambda p: np.log(p / (1 - p))
    return link[model.family](model.predict_held_out(X))


def test_curves_are_those_of_scikit_learn():
    model, X, Y, _ = fitted("bernoulli")
    p = model.predict_held_out(X)
    for bins, strategy in ((7, "quantile"), (np.linspace(0, 1, 8), "uniform")):
        found = pg.calibration(model, X, Y, bins=bins)
        both = [(p[:, j], Y[:, j], found.isel(neuron=j), "") for j in range(4)]
        for mean, y, own, pooled in [*both, (p.ravel(), Y.ravel(), found, "pooled_")]:
            observed, predicted = calibration_curve(y, mean, n_bins=7, strategy=strategy)
            filled = own[pooled + "n_samples"] > 0
            np.testing.assert_allclose(own[pooled + "observed"][filled], observed)
            np.testing.assert_allclose(own[pooled + "predicted"][filled], predicted)
            assert own[pooled + "n_samples"].sum() == len(y)
            assert np.isnan(own[pooled + "observed"][~filled]).all()


def test_lines_are_logistic_regressions():
    model, X, Y, _ = fitted("bernoulli")
    eta = held_out_eta(model, X)
    found = pg.calibration(model, X, Y)
    for j in range(3):
        line = LogisticRegression(C=np.inf, tol=1e-10).fit(eta[:, [j]], Y[:, j])
        assert found["slope"][j].item() == pytest.approx(line.coef_.item(), rel=1e-5)
        assert found["intercept"][j].item() == pytest.approx(line.intercept_.item(), abs=1e-5)
    line = LogisticRegression(C=np.inf, tol=1e-10).fit(eta.reshape(-1, 1), Y.ravel())
    assert found["pooled_slope"].item() == pytest.approx(line.coef_.item(), rel=1e-5)


def test_lines_of_least_squares_have_a_closed_form():
    model, X, Y, b = fitted("gaussian")
    eta = held_out_eta(model, X)
    found = pg.calibration(model, X, Y, trial=b["trial"])
    for j in range(3):
        slope, intercept = np.polyfit(eta[:, j], Y[:, j], 1)
        assert found["slope"][j].item() == pytest.approx(slope, rel=1e-8)
        assert found["intercept"][j].item() == pytest.approx(intercept, abs=1e-8)


@pytest.mark.parametrize("family", ["poisson", "gamma", "negative_binomial"])
def test_lines_are_of_the_largest_likelihood(family):
    X, Y, _ = samples()
    y = Y["poisson" if family == "negative_binomial" else family]
    model = pg.GLMCV(family, lambdas=[0.1], cv=4, precision="float64").fit(X, y)
    found = pg.calibration(model, X, y)
    eta = held_out_eta(model, X)[:, 0]

    def deviance(line):
        mu = np.exp(line[0] + line[1] * eta)
        if family == "negative_binomial":
            alpha = model.cv_deviance_parameters_["alpha"][model.fold_, 0]
            return np.sum((y[:, 0] + 1 / alpha) * np.log1p(alpha * mu) - y[:, 0] * np.log(mu))
        return np.sum(mu - y[:, 0] * np.log(mu) if family == "poisson" else y[:, 0] / mu + np.log(mu))

    best = optimize.minimize(deviance, [0, 1], method="Nelder-Mead", options={"xatol": 1e-9, "fatol": 1e-12}).x
    np.testing.assert_allclose([found["intercept"].item(), found["slope"].item()], best, atol=1e-5)


@pytest.mark.parametrize("family", ["poisson", "bernoulli", "gaussian"])
def test_errors_are_those_of_wald_over_trials(family):
    X, Y, trial = samples()
    model = pg.GLMCV(family, lambdas=[0.1], cv=4, precision="float64").fit(X, Y[family])
    eta = held_out_eta(model, X)
    line = pg.GLM(family, penalty="none", tol=1e-9, precision="float64").fit(eta, Y[family])
    expected = pg.wald(line, eta, Y[family], trial=trial)
    found = pg.calibration(model, X, Y[family], trial=trial)
    assert found["slope_error"].item() == pytest.approx(expected["standard_error"].item(), rel=1e-5)
    assert found["intercept_error"].item() == pytest.approx(expected["intercept_standard_error"].item(), rel=1e-5)
    assert found.attrs["errors"] == "over trials"


def test_errors_in_bins():
    model, X, Y, b = fitted()
    found = pg.calibration(model, X, Y, bins=4)
    mean = pd.DataFrame(model.predict_held_out(X))
    for j in range(4):
        code = np.searchsorted(np.quantile(mean[j], [0.25, 0.5, 0.75]), mean[j])
        np.testing.assert_allclose(found["standard_error"][j], pd.Series(Y[:, j]).groupby(code).sem())
    # trials of equal numbers in one bin: the error of their means
    whole = pg.calibration(model, X, Y, bins=1, trial=b["trial"])
    np.testing.assert_allclose(whole["standard_error"][:, 0], pd.DataFrame(Y).groupby(b["trial"]).mean().sem())


def test_overfitted_models_are_too_extreme_and_strong_penalties_too_timid():
    rng = np.random.default_rng(0)
    X = rng.normal(size=(300, 40))
    Y = rng.poisson(np.exp(0.5 * X[:, :3].sum(axis=1, keepdims=True) - 0.5), (300, 10))
    slopes = {}
    for strength in (1e-4, 1.0):
        model = pg.GLMCV(lambdas=[strength], cv=5).fit(X, Y)
        slopes[strength] = pg.calibration(model, X, Y)["slope"].values
    # those at the null model have none
    assert (np.isfinite(slopes[1e-4]) & np.isfinite(slopes[1.0])).sum() >= 8
    assert np.nanmax(slopes[1e-4]) < 0.8
    assert np.nanmin(slopes[1.0]) > 1.3


def test_right_models_have_a_slope_of_one_within_its_error():
    rng = np.random.default_rng(1)
    X = rng.normal(size=(1_000, 1))
    Y = rng.poisson(np.exp(X * 0.5 - 1), (1_000, 300))
    # a model of the rate itself, that has not seen this activity
    model = pg.GLM(penalty="none").fit(X, np.tile(np.exp(X * 0.5 - 1), 300))
    found = pg.calibration(model, X, Y, held_out=False, bins=5)
    for name, right in (("slope", 1), ("intercept", 0)):
        z = (found[name] - right) / found[name + "_error"]
        assert abs((abs(z) < 1.96).mean() - 0.95) < 0.04
        assert abs(z.mean()) < 0.2
    z = (found["observed"] - found["predicted"]) / found["standard_error"]
    assert abs((abs(z) < 1.96).mean() - 0.95) < 0.03


def test_in_sample_an_unpenalised_fit_is_calibrated():
    X, Y, _ = samples()
    for family in ("poisson", "bernoulli", "gaussian"):
        model = pg.GLM(family, penalty="none", tol=1e-9, precision="float64").fit(X, Y[family])
        found = pg.calibration(model, X, Y[family], held_out=False)
        assert found["slope"].item() == pytest.approx(1, abs=1e-4)
        assert found["intercept"].item() == pytest.approx(0, abs=1e-4)


def test_weights_count_as_samples_and_what_is_not_recorded_as_none():
    X, Y, _ = samples()
    y = Y["poisson"]
    model = pg.GLM(lambdas=[0.1], precision="float64").fit(X, y)
    weight = np.arange(len(X)) % 3
    edges = [0, 0.8, 1.2, 9]
    found = pg.calibration(model, X, y, held_out=False, sample_weight=weight, bins=edges)
    again = np.repeat(np.arange(len(X)), weight)
    repeated = pg.calibration(model, X[again], y[again], held_out=False, trial=again, bins=edges)
    for name in ("predicted", "observed", "standard_error", "slope", "intercept", "slope_error", "pooled_slope"):
        np.testing.assert_allclose(found[name], repeated[name], rtol=1e-6)
    missing = np.where(weight[:, None] > 0, y, np.nan)
    known = weight > 0
    found = pg.calibration(model, X, missing, held_out=False, bins=edges)
    xr_equal(found, pg.calibration(model, X[known], y[known], held_out=False, bins=edges))


def test_weights_of_each_neuron():
    X, Y, _ = samples()
    y, weight = np.tile(Y["poisson"], 2), np.random.default_rng(0).integers(1, 4, (400, 2)).astype(float)
    settings = {"lambdas": [0.1], "cv": 4, "precision": "float64", "tol": 1e-9}
    model = pg.GLMCV(**settings).fit(X, y, sample_weight=weight)
    found = pg.calibration(model, X, y, sample_weight=weight)
    for j in range(2):
        alone = pg.GLMCV(**settings).fit(X, y[:, j], sample_weight=weight[:, j])
        own = pg.calibration(alone, X, y[:, j], sample_weight=weight[:, j])
        for name in ("observed", "slope", "slope_error"):
            np.testing.assert_allclose(found[name][j], own[name][0], rtol=1e-3)


def xr_equal(a, b):
    for name in a:
        np.testing.assert_allclose(a[name], b[name], rtol=1e-9, err_msg=name)


def test_neurons_without_a_line_do_not_spoil_the_others():
    model, X, Y, b = fitted()
    alone = pg.calibration(model, X, Y)
    Y = np.column_stack([Y, np.zeros(len(Y)), np.nan * np.ones(len(Y))])
    with pytest.warns(pg.PopglmWarning):
        model = pg.GLMCV(n_lambdas=6, lambda_min_ratio=1e-3, penalty="group_lasso", precision="float64", cv=4).fit(
            X, Y, groups=b["trial"]
        )
    found = pg.calibration(model, X, Y)
    # what follows nothing is at the null model, whose predictions differ between folds alone
    assert np.isinf(model.lambda_[3])
    assert np.isnan(found["slope"][3:]).all()
    assert np.isfinite(found["observed"][3:5]).any("bin").all()
    assert np.isnan(found["observed"][5]).all()
    np.testing.assert_allclose(found["slope"][:3], alone["slope"][:3], rtol=1e-5)


def test_separated_events_have_no_finite_line():
    X = np.linspace(-1, 1, 60)[:, None]
    Y = np.column_stack([X[:, 0] > 0, np.arange(60) % 2]) * 1.0
    model = pg.GLM("bernoulli", lambdas=[0.1]).fit(X, Y)
    with pytest.warns(pg.PopglmWarning, match="no finite intercept and slope are best for: neuron0"):
        found = pg.calibration(model, X, Y, held_out=False)
    assert np.isnan(found["slope"][0])
    assert np.isfinite(found["slope"][1])


def test_infinite_means_leave_the_others_alone():
    X, Y, _ = samples()
    y = np.tile(Y["poisson"], 2)
    model = pg.GLM(lambdas=[0.1]).fit(X, y)
    model.coef_[0, 0] = 1e4
    with pytest.warns(pg.PopglmWarning, match="infinite means are predicted, so nothing is said of: neuron0"):
        found = pg.calibration(model, X, y, held_out=False)
    assert np.isfinite(found["slope"][1])
    assert found["pooled_slope"].item() == pytest.approx(found["slope"][1].item())


def test_a_place_cell_of_kramer_and_eden_without_a_field():
    path = Path(__file__).parents[3] / "shared" / "data" / "kramer_eden.npz"
    if not path.exists():
        pytest.skip("kramer_eden.npz is not in ../shared/data")
    data = np.load(path)
    x, y = data["ch9_x_cm"], data["ch9_spikes_1"].astype(float)
    trial = np.arange(len(y)) // 1_000
    found = {}
    for name, columns in (("line", [x]), ("field", [x, x**2])):
        X = np.column_stack(columns)
        X = (X - X.mean(axis=0)) / X.std(axis=0)
        model = pg.GLM(penalty="none", tol=1e-8, precision="float64").fit(X, y)
        found[name] = pg.calibration(model, X, y, held_out=False, trial=trial).isel(neuron=0)
        # the slope of an unpenalised fit says nothing
        assert found[name]["slope"].item() == pytest.approx(1, abs=1e-3)
    # the cell fires in the middle of the track
    off = {name: (own["observed"] - own["predicted"]) / own["predicted"].mean() for name, own in found.items()}
    assert abs(off["line"]).max() > 5
    assert abs(off["field"]).max() < 1.1


def test_a_single_trial_has_no_errors():
    model, X, Y, _ = fitted()
    found = pg.calibration(model, X, Y, trial=np.zeros(len(X)))
    for name in ("standard_error", "slope_error", "intercept_error", "pooled_slope_error"):
        assert np.isnan(found[name]).all()
    # residuals of two trials are opposite, those of the best line add up to 0
    halves = pg.calibration(model, X, Y, trial=np.arange(len(X)) < len(X) / 2)
    assert (halves["slope_error"][:3] > 1e-6).all()


def test_activity_in_another_order_than_that_of_the_fit_is_told():
    model, X, Y, _ = fitted()
    X = np.asarray(X)
    for other in (
        Y[::-1],
        np.random.default_rng(0).permutation(Y),
        np.where(np.arange(len(Y))[:, None] % 3, Y, np.nan),
    ):
        with pytest.raises(ValueError, match="calibration: X and Y are not those of the fit, or their rows are"):
            pg.calibration(model, X, other)
    # labels tell the order
    rows = np.random.default_rng(0).permutation(len(Y))
    table = pd.DataFrame(Y, index=np.arange(len(Y)) + 10.0)
    labelled = pg.GLMCV(lambdas=[0.01], cv=4).fit(pd.DataFrame(X, index=table.index), table)
    whole = pg.calibration(labelled, pd.DataFrame(X, index=table.index), table)
    xr_equal(whole, pg.calibration(labelled, pd.DataFrame(X, index=table.index), table.iloc[rows]))
    with pytest.raises(ValueError, match="not those of the fit"):
        pg.calibration(labelled, X, table.iloc[rows].reset_index(drop=True))
    # a part on purpose: bins of its own predictions
    part = np.arange(len(Y)) % 3 > 0
    found = pg.calibration(model, X, np.where(part[:, None], Y, np.nan), sample_weight=1, bins=1)
    np.testing.assert_allclose(found["observed"][:, 0], Y[part].mean(axis=0))


def test_bad_arguments_are_told():
    model, X, Y, b = fitted()
    for value in (0, 2.5, "ten", [1], [3, 2], [[1, 2]], [0, np.nan]):
        assert_complaint("bins", lambda v: pg.calibration(model, X, Y, bins=v), value)
    assert_complaint("trial", lambda v: pg.calibration(model, X, Y, trial=v), b["trial"][:-1])
    assert_complaint("held_out", lambda v: pg.calibration(model, X, Y, held_out=v), "no")
    with pytest.raises(
        ValueError, match=r"calibration scores held-out predictions and needs a fitted popglm\.GLMCV, or held_out=False"
    ):
        pg.calibration(pg.GLM(lambdas=[0.1]).fit(X, Y), X, Y)
    with pytest.raises(ValueError, match="calibration has sample_weight=, but the model was fitted without"):
        pg.calibration(model, X, Y, sample_weight=np.arange(len(X)))
