"""Intervals in rescaled time: uniform under right models, and not under wrong ones."""

import numpy as np
import pandas as pd
import pytest
from scipy import stats

import popglm as pg
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


def test_no_interval_crosses_a_trial():
    X, Y = spikes(q=3)
    trial = np.arange(len(X)) // 50
    found = pg.time_rescaling(fit(X, Y), X, Y, trial=trial)
    expected = sum(np.maximum(Y[trial == k].sum(axis=0) - 1, 0) for k in range(120))
    np.testing.assert_array_equal(found["n_intervals"], expected)


def test_no_interval_crosses_a_gap():
    def closely(X, Y):
        return pg.GLM(penalty="none", tol=1e-10, precision="float64").fit(X, Y)

    X, Y = spikes(q=3)
    Y = Y.astype(float)
    left = np.r_[:1_000, 1_200:3_000, 3_007:6_000]
    pieces = np.repeat([0, 1, 2], [1_000, 1_800, 2_993])
    model = closely(X[left], Y[left])
    expected = pg.time_rescaling(model, X[left], Y[left], trial=pieces)
    counts = [sum(max(y[pieces == k].sum() - 1, 0) for k in range(3)) for y in Y[left].T]
    np.testing.assert_array_equal(expected["n_intervals"], counts)
    # rows that were left out, of labels that are times
    table = pd.DataFrame(X[left], index=0.05 * left)
    labelled = closely(table, Y[left])
    pd.testing.assert_frame_equal(pg.time_rescaling(labelled, table, Y[left]), expected)
    # and rows in which nobody was recorded, or one neuron
    blank = np.full(Y.shape, np.nan)
    blank[left] = Y[left]
    pd.testing.assert_frame_equal(pg.time_rescaling(closely(X, blank), X, blank), expected, rtol=1e-4)
    blank[:, 1:] = Y[:, 1:]
    found = pg.time_rescaling(closely(X, blank), X, blank)
    np.testing.assert_array_equal(found["n_intervals"], [counts[0], *(Y[:, 1:].sum(axis=0) - 1)])
    pd.testing.assert_series_equal(found.iloc[0], expected.iloc[0], rtol=1e-4)
    back = pd.DataFrame(X[left], index=0.05 * left[::-1])
    with pytest.raises(ValueError, match="time_rescaling: the row labels of X do not increase"):
        pg.time_rescaling(closely(back, Y[left]), back, Y[left])


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
