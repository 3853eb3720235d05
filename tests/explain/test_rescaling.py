"""Intervals in rescaled time: uniform under right models, and not under wrong ones."""

import warnings

import numpy as np
import pandas as pd
import pytest
from scipy import stats

import popglm as pg
from popglm import PopglmWarning
from popglm.explain.rescaling import rescaled_intervals


def rates(family="poisson", n=6_000, seed=0):
    X = np.convolve(np.random.default_rng(seed).normal(size=n), np.ones(10) / 3, "same")[:, None]
    eta = -1 + 0.8 * X
    return X, np.exp(eta) if family == "poisson" else 1 / (1 + np.exp(-eta))


def spikes(family="poisson", n=6_000, q=200, seed=0):
    X, mean = rates(family, n, seed)
    rng = np.random.default_rng(seed + 1)
    return X, rng.poisson(mean, (n, q)) if family == "poisson" else (rng.random((n, q)) < mean) * 1.0


def fit(X, Y, family="poisson"):
    return pg.GLM(family, penalty="none").fit(X, Y)


@pytest.mark.thorough(keep=1)
@pytest.mark.parametrize("family", ["poisson", "bernoulli"])
def test_right_models_have_uniform_p_values(family):
    # bins of which many have a spike: intervals of whole bins would fail
    X, Y = spikes(family)
    # a model of the rates themselves, that has not seen these spikes
    model = fit(X, np.tile(rates(family)[1], Y.shape[1]), family)
    found = pg.time_rescaling(model, X, Y)
    assert (found["p_value"] < 0.05).sum() <= 20
    assert (found["p_value"] < 0.5).mean() == pytest.approx(0.5, abs=0.12)
    assert (found["correlation"].abs() > 1.96 / np.sqrt(found["n_intervals"])).mean() < 0.1
    assert ((found["distance"] > found["limit"]) == (found["p_value"] < 0.05)).all()
    np.testing.assert_array_equal(found["n_intervals"], Y.sum(axis=0) - 1)


def test_wrong_rates_and_refractory_neurons_fail():
    X, Y = spikes(q=20)
    flat = np.zeros_like(X)
    flat[0] = 1
    assert (pg.time_rescaling(fit(flat, Y), flat, Y)["p_value"] < 1e-3).all()
    # a spike silences the next two bins
    rng, y = np.random.default_rng(1), np.zeros((6_000, 1))
    for row in range(6_000):
        y[row] = rng.random() < (0.4 if not y[max(row - 2, 0) : row].any() else 0.0)
    assert pg.time_rescaling(fit(X, y), X, y)["p_value"].item() < 1e-6


def test_rescaled_intervals_by_hand():
    class Halves:
        def random(self, n):
            return np.full(n, 0.5)

    mean = np.array([0.5, 1.0, 2.0, 4.0])
    np.testing.assert_allclose(rescaled_intervals(np.array([1, 0, 0, 2]), mean, True, Halves()), [5.25, 0])
    p = np.array([0.5, 0.2, 0.25])
    # a whole bin without a spike, and the part of the last before its own
    expected = [-np.log(0.8) - np.log(1 - 0.125)]
    np.testing.assert_allclose(rescaled_intervals(np.array([1, 0, 1]), p, False, Halves()), expected)


def with_history(n_trials, n, seed):
    """Short trials of a refractory neuron: x (n_trials * n,), spikes and their probabilities."""
    rng = np.random.default_rng(seed)
    x, y, p = 0.3 * rng.normal(size=(n_trials, n)), np.zeros((n_trials, n)), np.zeros((n_trials, n))
    for t in range(n):
        silenced = y[:, max(t - 2, 0) : t].any(axis=1)
        p[:, t] = np.where(silenced, 1e-9, 1 / (1 + np.exp(1 - x[:, t])))
        y[:, t] = rng.random(n_trials) < p[:, t]
    return x, y, p


@pytest.mark.parametrize("missing", [False, True])
def test_short_trials_and_gaps_fail_no_right_model(missing):
    """Four spikes per trial, and stretches of few spikes: to leave out what is cut would fail all of them."""
    p_values, left_out = [], []
    for seed in range(40):
        _, y, p = with_history(250, 20, seed)
        y, p = y.ravel(), p.ravel()
        if missing:
            y[np.random.default_rng(seed).random(250).repeat(20) < 0.4] = np.nan
        X = np.log(p / (1 - p))[:, None]
        # the probabilities themselves, which no activity has been fitted to
        model = pg.GLM("bernoulli", lambdas=[1.0]).fit(X, np.nan_to_num(y))
        model.coef_, model.intercept_ = np.ones(1), 0.0
        with warnings.catch_warnings():
            # it was fitted to no such gaps
            warnings.simplefilter("ignore", pg.PopglmWarning)
            found = pg.time_rescaling(model, X, y, seed=seed).iloc[0]
        assert found["n_intervals"] == np.nansum(y) - 1
        p_values.append(found["p_value"])
        trials = zip(y.reshape(250, 20), p.reshape(250, 20), strict=True)
        whole = [rescaled_intervals(*one, False, np.random.default_rng(seed)) for one in trials if one[0].sum() > 1]
        left_out.append(stats.kstest(-np.expm1(-np.concatenate(whole)), "uniform").pvalue)
    assert np.mean(np.array(p_values) < 0.05) < 0.15
    assert stats.kstest(p_values, "uniform").pvalue > 0.01
    assert np.mean(np.array(left_out) < 0.05) > 0.8


def test_neurons_that_were_not_recorded_all_along():
    X, Y = spikes(q=4, n=2_000)
    Y = Y.astype(float)
    Y[100:200, 1] = Y[::7, 2] = Y[:, 3] = np.nan
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", pg.PopglmWarning)
        models = pg.GLMCV(n_lambdas=3, cv=3).fit(X, Y), pg.GLM(lambdas=[0.1]).fit(X, Y)
    for model in models:
        found, rng = pg.time_rescaling(model, X, Y, seed=2), np.random.default_rng(2)
        np.testing.assert_array_equal(found["n_intervals"], [*(np.nansum(Y[:, :3], axis=0) - 1), 0])
        mean = model.predict(X)
        for j in range(3):
            known = ~np.isnan(Y[:, j])
            intervals = rescaled_intervals(Y[known, j], mean[known, j], True, rng)
            expected = stats.kstest(1 - np.exp(-intervals), "uniform")
            assert found["distance"].iloc[j] == pytest.approx(expected.statistic, rel=1e-4)
        assert np.isnan(found["p_value"].iloc[3])
        quantiles = pg.rescaled_quantiles(model, X, Y, seed=2)
        np.testing.assert_array_equal(quantiles["n_intervals"], found["n_intervals"])
        assert np.isnan(quantiles["quantile"][3]).all()


@pytest.mark.parametrize("who", [pg.time_rescaling, pg.rescaled_quantiles])
@pytest.mark.parametrize("folds", [False, True])
def test_weights_tell_the_data_of_the_fit_and_nothing_else(who, folds):
    X, Y = spikes(q=2, n=900)
    rng = np.random.default_rng(0)
    model = pg.GLMCV(n_lambdas=3, cv=3) if folds else pg.GLM(lambdas=[0.1])
    for weight in (rng.uniform(0.5, 2, 900), rng.uniform(0, 2, (900, 2)).round()):
        model.fit(X, Y, sample_weight=weight)
        found = who(model, X, Y, sample_weight=weight)
        counts = found["n_intervals"] if who is pg.time_rescaling else found["n_intervals"].values
        np.testing.assert_array_equal(counts, Y.sum(axis=0) - 1)
        with pytest.raises(ValueError, match=r"needs sample_weight=.*Give sample_weight as in the fit"):
            who(model, X, Y)
    if not folds:
        # new spikes, of which nobody has weights of the fit
        with pytest.warns(pg.PopglmWarning, match="not those of the fit"):
            assert len(who(model, X[:300], Y[:300], sample_weight=1)["n_intervals"]) == 2
    with pytest.raises(ValueError, match="but the model was fitted without sample weights"):
        who(pg.GLM(lambdas=[0.1]).fit(X, Y), X, Y, sample_weight=weight)


def test_intervals_go_on_over_gaps():
    def closely(X, Y):
        return pg.GLM(penalty="none", tol=1e-10, precision="float64").fit(X, Y)

    X, Y = spikes(q=3)
    Y = Y.astype(float)
    left = np.r_[:1_000, 1_200:3_000, 3_007:6_000]
    expected = pg.time_rescaling(closely(X[left], Y[left]), X[left], Y[left])
    np.testing.assert_array_equal(expected["n_intervals"], Y[left].sum(axis=0) - 1)
    # rows that were left out, of labels that are times
    table = pd.DataFrame(X[left], index=0.05 * left)
    pd.testing.assert_frame_equal(pg.time_rescaling(closely(table, Y[left]), table, Y[left]), expected)
    # and rows in which nobody was recorded, or one neuron
    blank = np.full(Y.shape, np.nan)
    blank[left] = Y[left]
    pd.testing.assert_frame_equal(pg.time_rescaling(closely(X, blank), X, blank), expected, rtol=1e-4)
    blank[:, 1:] = Y[:, 1:]
    found = pg.time_rescaling(closely(X, blank), X, blank)
    pd.testing.assert_series_equal(found.iloc[0], expected.iloc[0], rtol=1e-4)


def test_times_increase_within_trials():
    X, Y = spikes(q=2, n=900)
    trial = np.arange(900) // 50
    for index, given in ((np.arange(900)[::-1], trial), (np.tile(np.arange(50), 18), None)):
        table = pd.DataFrame(X, index=index / 10)
        model = fit(table, Y)
        with pytest.raises(ValueError, match="time_rescaling: the row labels of X do not increase"):
            pg.time_rescaling(model, table, Y, trial=given)
    # times that begin anew in every trial
    pd.testing.assert_frame_equal(pg.time_rescaling(model, table, Y, trial=trial), pg.time_rescaling(fit(X, Y), X, Y))


def test_a_seed_gives_the_same_and_few_spikes_nothing():
    X, Y = spikes(q=2)
    Y[:, 1] = 0
    Y[:3, 1] = 1
    with pytest.warns(pg.PopglmWarning):
        model = fit(np.hstack([X, X**2]), Y)
    X = np.hstack([X, X**2])
    one, other = (pg.time_rescaling(model, X, Y, seed=3) for _ in range(2))
    assert one.equals(other)
    assert one["n_intervals"].tolist()[1] == 2
    assert np.isnan(one["p_value"].iloc[1])


def test_what_has_no_intervals_is_told():
    X, Y = spikes(q=2)
    smooth = Y + 0.5
    with pytest.raises(ValueError, match=r"Y must hold counts of spikes; neuron 'neuron0' has .* in row 0"):
        pg.time_rescaling(fit(X, smooth), X, smooth)
    with pytest.raises(ValueError, match="family 'gaussian' says nothing of the times of events"):
        pg.time_rescaling(fit(X, smooth, "gaussian"), X, smooth)
    with pytest.raises(ValueError, match="seed"):
        pg.time_rescaling(fit(X, Y), X, Y, seed=-1)


def test_distances_are_those_of_the_empirical_distribution():
    X, Y = spikes(q=1, n=800)
    model = fit(X, Y)
    intervals = rescaled_intervals(Y[:, 0], model.predict(X)[:, 0], True, np.random.default_rng(0))
    u = np.sort(1 - np.exp(-intervals))
    n = len(u)
    distance = max(np.max(np.arange(1, n + 1) / n - u), np.max(u - np.arange(n) / n))
    found = pg.time_rescaling(model, X, Y).iloc[0]
    assert found["distance"] == pytest.approx(distance)
    assert found["p_value"] == pytest.approx(stats.kstwo.sf(distance, n))


def test_quantiles_are_those_of_the_intervals():
    X, Y = spikes(q=2, n=800)
    Y[:, 1] = 0
    Y[:3, 1] = 1
    model = pg.GLM(lambdas=[0.1]).fit(X, Y)
    found = pg.rescaled_quantiles(model, X, Y, n_points=50)
    test = pg.time_rescaling(model, X, Y)
    intervals = rescaled_intervals(Y[:, 0], model.predict(X)[:, 0], True, np.random.default_rng(0))
    u = np.sort(1 - np.exp(-intervals))
    expected = np.interp(found["probability"], (np.arange(len(u)) + 0.5) / len(u), u)
    np.testing.assert_allclose(found["quantile"][0], expected, rtol=1e-5)
    np.testing.assert_allclose(found["limit"], test["limit"])
    assert found["n_intervals"].values.tolist() == test["n_intervals"].tolist()
    assert np.isnan(found["quantile"][1]).all()
    with pytest.raises(ValueError, match="rescaled_quantiles: Y must hold counts"):
        pg.rescaled_quantiles(fit(X, Y + 0.5), X, Y + 0.5)
    with pytest.raises(ValueError, match="n_points"):
        pg.rescaled_quantiles(model, X, Y, n_points=1)


def test_new_rows_have_their_own_labels():
    rng = np.random.default_rng(0)
    X = pd.DataFrame({"x": rng.normal(size=400)})
    Y = rng.poisson(np.exp(X.to_numpy() - [1, 0]))
    model = pg.GLM(lambdas=[0.01]).fit(X, Y)
    trial = np.repeat(np.arange(3), 40)
    with pytest.warns(PopglmWarning, match="are not those of the fit"):
        found = pg.time_rescaling(model, X[:120], Y[:120], trial=trial)
    with pytest.warns(PopglmWarning, match="are not those of the fit"):
        bare = pg.time_rescaling(model, X[:120].to_numpy(), Y[:120])
    pd.testing.assert_frame_equal(found, bare)
    again = X[:120].set_axis(np.tile(np.arange(60) * 0.1, 2))
    with (
        pytest.warns(PopglmWarning, match="are not those of the fit"),
        pytest.raises(ValueError, match="the row labels of X do not increase: row 60"),
    ):
        pg.time_rescaling(model, again, Y[:120])
