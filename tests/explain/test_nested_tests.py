"""Likelihood-ratio and score tests, against statsmodels' answers and the level they promise."""

import numpy as np
import pytest
from scipy import stats
from unpenalised import fitted, samples

import popglm as pg

# statsmodels 0.15.0 on `samples`: the fits with and without the last two columns; GLMResults.score_test,
# which has the observed information of gamma for the expected one
RATIO = {"poisson": 27.955026, "bernoulli": 12.874759, "gaussian": 17.607881, "gamma": 24.267571}
SCORE = {"poisson": 27.780107, "bernoulli": 12.712122, "gaussian": 16.943431}


@pytest.mark.parametrize("family", RATIO)
def test_as_statsmodels_does(family):
    X, Y, _ = samples()
    model = fitted(X, Y[family], family, feature_groups=["first", "others", "others"])
    found = pg.likelihood_ratio(model, X, Y[family], ["others"]).isel(neuron=0, variable=0)
    assert found["chi2"].item() == pytest.approx(RATIO[family], rel=1e-4)
    if family in SCORE:
        assert found["score"].item() == pytest.approx(SCORE[family], rel=1e-3)
    assert found["df"].item() == 2
    assert found["p_value"].item() == pytest.approx(stats.chi2.sf(RATIO[family], 2), rel=0.01)


def test_scores_of_gamma_activity_by_hand():
    X, Y, _ = samples()
    y = Y["gamma"]
    model = fitted(X, y, "gamma", feature_groups=["first", "others", "others"])
    found = pg.likelihood_ratio(model, X, y, ["others"])["score"].item()
    mean = fitted(X[:, :1], y, "gamma").predict(X[:, :1])
    r = (y - mean) / mean
    Z = np.column_stack([np.ones(400), X])
    U, A = Z.T @ r, Z.T @ Z
    phi = np.sum(r**2) / (400 - 2)
    assert found == pytest.approx((U.T @ np.linalg.solve(A, U)).item() / phi, rel=1e-4)


def test_levels_are_kept():
    rng = np.random.default_rng(0)
    X = rng.normal(size=(400, 3))
    Y = rng.poisson(np.exp(0.3 * X[:, :1]), size=(400, 300))
    found = pg.likelihood_ratio(fitted(X, Y, tol=1e-6, feature_groups=["a", "b", "b"]), X, Y)
    for name in ("p_value", "score_p_value"):
        assert (found[name].sel(variable="b") < 0.05).sum() <= 26
        assert (found[name].sel(variable="b") < 0.5).mean() == pytest.approx(0.5, abs=0.1)
        assert (found[name].sel(variable="a") < 0.05).mean() > 0.95


def test_columns_that_add_nothing_have_no_test():
    X, Y, _ = samples()
    y = Y["poisson"]
    wide = np.column_stack([X[:, :2], X[:, 0] + X[:, 1], X[:, 2], X[:, 0]])
    found = pg.likelihood_ratio(fitted(wide, y, feature_groups=["a", "a", "sum", "b", "b"]), wide, y).isel(neuron=0)
    assert found["df"].values.tolist() == [0, 0, 1]
    assert found["p_value"].values[:2].tolist() == [1, 1]
    alone = pg.likelihood_ratio(fitted(X, y, feature_groups=["a", "a", "b"]), X, y).isel(neuron=0)
    assert found["chi2"].values[2] == pytest.approx(alone["chi2"].values[1], rel=1e-3)


def test_weights_offsets_and_masks_are_those_of_the_fit():
    X, Y, _ = samples()
    y, weight = Y["poisson"], np.tile([1.0, 2.0], 200)
    offset = 0.3 * X[:, 0]
    twice = np.repeat(np.arange(400), weight.astype(int))
    options = {"penalty": "none", "tol": 1e-9, "precision": "float64", "feature_groups": ["a", "b", "b"]}
    once = pg.GLM(**options).fit(X, y, sample_weight=weight, offset=offset)
    apart = pg.GLM(**options).fit(X[twice], y[twice], offset=offset[twice])
    found = pg.likelihood_ratio(once, X, y, sample_weight=weight, offset=offset)
    expected = pg.likelihood_ratio(apart, X[twice], y[twice], offset=offset[twice])
    np.testing.assert_allclose(found["chi2"], expected["chi2"], rtol=1e-4)
    np.testing.assert_allclose(found["score"], expected["score"], rtol=1e-4)
    mask = np.array([[True], [True], [False]])
    masked = pg.likelihood_ratio(pg.GLM(**options, feature_mask=mask).fit(X, y), X, y)
    assert masked["df"].values.tolist() == [[1, 1]]


def test_null_models_have_p_1():
    X, Y, _ = samples()
    y = np.hstack([Y["poisson"], np.zeros((400, 1))])
    with pytest.warns(pg.PopglmWarning):
        found = pg.likelihood_ratio(fitted(X, y), X, y)
    assert (found["p_value"].isel(neuron=1) == 1).all()


def test_wrong_arguments_are_told():
    X, Y, _ = samples()
    with pytest.raises(ValueError, match=r"penalty='ridge'; likelihoods of penalised fits"):
        pg.likelihood_ratio(pg.GLM(lambdas=[0.1]).fit(X, Y["poisson"]), X, Y["poisson"])
    smooth = pg.GLM(penalty="none", smoothness=0.1, feature_groups=[X.shape[1]]).fit(X, Y["poisson"])
    with pytest.raises(ValueError, match=r"smoothness=0.1; likelihoods of penalised fits"):
        pg.likelihood_ratio(smooth, X, Y["poisson"])
    with pytest.raises(ValueError, match="cue"):
        pg.likelihood_ratio(fitted(X, Y["poisson"]), X, Y["poisson"], ["cue"])


@pytest.mark.parametrize("family", ["poisson", "gaussian"])
def test_columns_of_any_unit_are_tested_alike(family):
    rng = np.random.default_rng(4)
    X = rng.normal(size=(300, 3))
    eta = 0.3 * X[:, 0] + 0.4 * X[:, 1]
    Y = (rng.poisson(np.exp(eta)) if family == "poisson" else eta + rng.normal(size=300))[:, None]
    exact = {"family": family, "penalty": "none", "precision": "float64", "tol": 1e-14, "feature_groups": list("abc")}
    plain, odd = (pg.likelihood_ratio(pg.GLM(**exact).fit(Z, Y), Z, Y) for Z in (X, X * np.array([1e9, 1.0, 1e-7])))
    np.testing.assert_array_equal(odd["df"], 1)
    for name in ("chi2", "score"):
        np.testing.assert_allclose(odd[name], plain[name], rtol=1e-4, atol=1e-6)
