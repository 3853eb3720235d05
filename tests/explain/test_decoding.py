"""Posteriors, against Bayes' rule by hand, another library's decoder, and the truth of simulations."""

import itertools

import numpy as np
import pandas as pd
import pytest
import xarray as xr
from scipy import stats

import popglm as pg
from popglm.explain.decoding import _moves, _smoothed

CENTRES = np.arange(0, 100, 8.0)


def track(n=1_500, gain=1.5, seed=0):
    """A mouse that runs back and forth, and place cells."""
    rng = np.random.default_rng(seed)
    position = 50 + 49 * np.sin(np.arange(n) / 40)
    trial = np.arange(n) // 75
    rate = gain * np.exp(-((position[:, None] - CENTRES) ** 2) / 150) + 0.05
    return {"position": position, "cue": trial % 2, "trial": trial}, rng.poisson(rate)


@pytest.fixture(scope="module")
def fitted():
    session, Y = track()
    design = pg.Design([pg.bumps("position", n=14, low=0, high=100), pg.categories("cue")])
    X = design.fit_transform(session)
    return session, Y, design, pg.GLMCV(lambdas=[0.003], cv=3).fit(X, Y, groups=session["trial"])


GRID = np.arange(0, 101, 4.0)


def test_bayes_rule_by_hand(fitted):
    session, Y, design, model = fitted
    prior = np.linspace(1, 2, len(GRID))
    found = pg.decode(model, design, session, Y, "position", GRID, prior=prior, held_out=False)
    for t in (0, 700):
        here = {name: np.full(2, values[t]) for name, values in session.items()}
        expected = prior.copy()
        for k, value in enumerate(GRID):
            mean = model.predict(design.transform({**here, "position": np.full(2, value)}))[0]
            expected[k] *= np.exp(stats.poisson.logpmf(Y[t], mean).sum())
        expected /= expected.sum()
        np.testing.assert_allclose(found["posterior"][t], expected, rtol=1e-4, atol=1e-9)
        assert found["mean"][t].item() == pytest.approx(expected @ GRID, rel=1e-4)
        assert found["sd"][t].item() == pytest.approx(np.sqrt(expected @ (GRID - expected @ GRID) ** 2), rel=1e-3)
        assert found["most_likely"][t].item() == GRID[expected.argmax()]


def test_it_finds_the_mouse_and_less_surely_where_it_has_not_looked(fitted):
    session, Y, design, model = fitted
    alone = pg.decode(model, design, session, Y, "position", GRID)
    seen = pg.decode(model, design, session, Y, "position", GRID, held_out=False)
    walk = pg.decode(model, design, session, Y, "position", GRID, step=3.0, trial=session["trial"])

    def error(found):
        return float(np.abs(found["mean"] - session["position"]).mean())

    assert error(walk) < 0.6 * error(alone)
    assert error(seen) < error(alone) < 15
    # where 90 % of the posterior lie, the mouse is in 90 of 100 samples
    posterior = walk["posterior"].values
    order = np.argsort(-posterior, axis=1)
    sure = np.take_along_axis(np.cumsum(np.take_along_axis(posterior, order, 1), axis=1), np.argsort(order, axis=1), 1)
    true = np.abs(GRID[None] - session["position"][:, None]).argmin(axis=1)
    inside = sure[np.arange(len(true)), true] - posterior[np.arange(len(true)), true] < 0.9
    assert 0.82 < inside.mean() < 0.98


def test_the_walk_is_a_sum_over_all_ways():
    rng = np.random.default_rng(0)
    logs, prior = rng.normal(size=(4, 3)), np.array([0.2, 0.5, 0.3])
    moves = _moves(np.array([0.0, 1.0, 3.0]), 1.5, None)
    expected = np.zeros((4, 3))
    for way in itertools.product(range(3), repeat=4):
        p = prior[way[0]] * np.prod([moves[a, b] for a, b in itertools.pairwise(way)])
        p *= np.exp(sum(logs[t, v] for t, v in enumerate(way)))
        for t, v in enumerate(way):
            expected[t, v] += p
    np.testing.assert_allclose(_smoothed(logs, moves, prior), expected / expected.sum(axis=1, keepdims=True))


def test_trials_begin_anew(fitted):
    session, Y, design, model = fitted
    whole = pg.decode(model, design, session, Y, "position", GRID, step=3.0, trial=session["trial"], held_out=False)
    part = slice(75, 150)
    one = {name: values[part] for name, values in session.items()}
    alone = pg.decode(model, design, one, Y[part], "position", GRID, step=3.0, held_out=False)
    np.testing.assert_allclose(whole["posterior"][part], alone["posterior"], atol=1e-6)


def test_as_pynapple_decodes_from_rate_maps():
    nap = pytest.importorskip("pynapple", reason="pynapple is not installed")
    session, Y = track()
    n, dt = len(Y), 0.1
    times = np.arange(n) * dt + dt / 2
    bins = np.linspace(0, 100, 11)
    middle = (bins[:-1] + bins[1:]) / 2
    where = np.clip(np.digitize(session["position"], bins) - 1, 0, 9)
    rates = np.array([Y[where == k].mean(axis=0) for k in range(10)]) / dt
    spikes = {j: nap.Ts(np.repeat(times, Y[:, j])) for j in range(Y.shape[1])}
    curves = xr.DataArray(rates.T, dims=("unit", "position"), coords={"unit": list(spikes), "position": middle})
    epochs = nap.IntervalSet(0, n * dt)
    group = nap.TsGroup(spikes, time_support=epochs)
    _, expected = nap.decode_bayes(curves, group, epochs, bin_size=dt, uniform_prior=True)
    # the same rate maps as a model: one weight for each bin
    design = pg.Design([pg.categories("bin")])
    model = pg.GLM(lambdas=[1e-7], tol=1e-9, precision="float64").fit(design.fit_transform({"bin": where}), Y)
    found = pg.decode(model, design, {"bin": where}, Y, "bin", np.arange(10), held_out=False)
    np.testing.assert_allclose(found["posterior"], np.asarray(expected), atol=2e-3)


def test_stimuli_have_names():
    rng = np.random.default_rng(0)
    names = np.array(["gabor", "noise", "none"])
    stimulus = names[rng.integers(0, 3, 600)]
    Y = rng.normal(size=(600, 6)) + 1.5 * (stimulus[:, None] == np.tile(names, 2))
    design = pg.Design([pg.categories("stimulus")])
    X = design.fit_transform({"stimulus": stimulus})
    model = pg.GLMCV("gaussian", lambdas=[0.01], cv=3).fit(X, Y)
    found = pg.decode(model, design, pd.DataFrame({"stimulus": stimulus}), Y, "stimulus", names)
    assert (found["most_likely"] == found["recorded"]).mean() > 0.8
    assert "mean" not in found
    # probabilities that are held out are as often right as they say
    best = found["posterior"].max("value")
    assert float(best.mean()) == pytest.approx(float((found["most_likely"] == found["recorded"]).mean()), abs=0.06)


def test_angles_have_no_ends():
    rng = np.random.default_rng(1)
    angle = np.cumsum(rng.normal(size=1_200) * 8) % 360
    Y = rng.poisson(2 * np.exp(np.cos(np.deg2rad(angle[:, None] - np.arange(0, 360, 30))) - 1))
    design = pg.Design([pg.cyclic_splines("angle", n=8, low=0, high=360)])
    model = pg.GLM(lambdas=[0.003]).fit(design.fit_transform({"angle": angle}), Y)
    values = np.arange(0, 360, 10)
    found = pg.decode(model, design, {"angle": angle}, Y, "angle", values, step=8, period=360, held_out=False)
    assert ((found["mean"] >= 0) & (found["mean"] < 360)).all()
    off = (found["mean"].values - angle + 180) % 360 - 180
    assert np.sqrt(np.mean(off**2)) < 15
    assert np.sqrt(np.mean(found["sd"].values ** 2)) == pytest.approx(np.sqrt(np.mean(off**2)), rel=0.3)


def test_offsets_are_those_of_the_fit(fitted):
    session, Y, design, _ = fitted
    offset = np.log(np.where(np.arange(len(Y)) % 2, 1.0, 0.5))
    X = design.fit_transform(session)
    model = pg.GLM(lambdas=[0.003]).fit(X, Y, offset=offset)
    found = pg.decode(model, design, session, Y, "position", GRID, held_out=False, offset=offset)
    assert float(np.abs(found["mean"] - session["position"]).mean()) < 15
    with pytest.raises(ValueError, match="offset"):
        pg.decode(model, design, session, Y, "position", GRID, held_out=False)


def test_samples_that_no_fold_held_out_are_unknown():
    session, Y = track(600)
    design = pg.Design([pg.bumps("position", n=10, low=0, high=100)])
    folds = [(np.arange(200, 600), np.arange(100)), (np.r_[:100, 300:600], np.arange(100, 300))]
    model = pg.GLMCV(lambdas=[0.01], cv=folds).fit(design.fit_transform(session), Y)
    found = pg.decode(model, design, session, Y, "position", GRID)
    assert np.isnan(found["posterior"][300:]).all()
    assert np.isnan(found["most_likely"][300:]).all()
    assert np.isfinite(found["posterior"][:300]).all()


@pytest.mark.parametrize(
    ("options", "told"),
    [
        ({"variable": "speed"}, "'speed' is none of the session: 'position', 'cue', 'trial'"),
        ({"variable": "trial", "values": [0, 1]}, "no term of the design depends on 'trial'"),
        ({"values": [1.0]}, "at least two different ones"),
        ({"values": [1.0, np.nan]}, "NaN or infinity"),
        ({"values": [2.0, 1.0], "step": 1.0}, "ascend"),
        ({"step": -1}, "step must be a positive number"),
        ({"values": [0.0, 100.0], "period": 100}, "leave out its end"),
        ({"prior": [1.0]}, "prior must hold 26 numbers"),
        ({"prior": -np.ones(26)}, "prior must hold 26 numbers"),
        ({"values": ["a", "b"], "step": 1}, "numbers"),
    ],
)
def test_wrong_arguments_are_told(fitted, options, told):
    session, Y, design, model = fitted
    given = {"variable": "position", "values": GRID, **options}
    variable, values = given.pop("variable"), given.pop("values")
    with pytest.raises(ValueError, match=told):
        pg.decode(model, design, session, Y, variable, values, **given)


def test_lags_and_models_without_folds_are_told(fitted):
    session, Y, design, model = fitted
    late = pg.Design([pg.bumps("position", n=8, low=0, high=100), pg.shifts("position", [0, 1])])
    lagged = pg.GLM(lambdas=[0.01]).fit(late.fit_transform(session), Y)
    with pytest.raises(ValueError, match="a term looks at the past or future of 'position'"):
        pg.decode(lagged, late, session, Y, "position", GRID, held_out=False)
    with pytest.raises(TypeError, match="session must be a mapping or a DataFrame"):
        pg.decode(model, design, [1, 2], Y, "position", GRID)
    plain = pg.GLM(lambdas=[0.01]).fit(design.transform(session), Y)
    with pytest.raises(ValueError, match=r"needs a fitted popglm\.GLMCV"):
        pg.decode(plain, design, session, Y, "position", GRID)
