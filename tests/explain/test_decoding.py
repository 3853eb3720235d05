"""Posteriors, against Bayes' rule by hand, another library's decoder, and the truth of simulations."""

import itertools
import re
import warnings

import numpy as np
import pandas as pd
import pytest
import xarray as xr
from scipy import stats

import popglm as pg
from popglm.explain.random_walks import RandomWalk

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
    walk = RandomWalk(np.array([0.0, 1.0, 3.0]), 1.5)
    moves = stats.norm.pdf(np.subtract.outer([0.0, 1.0, 3.0], [0.0, 1.0, 3.0]), scale=1.5)
    moves /= moves.sum(axis=1, keepdims=True)
    expected = np.zeros((4, 3))
    for way in itertools.product(range(3), repeat=4):
        p = prior[way[0]] * np.prod([moves[a, b] for a, b in itertools.pairwise(way)])
        p *= np.exp(sum(logs[t, v] for t, v in enumerate(way)))
        for t, v in enumerate(way):
            expected[t, v] += p
    np.testing.assert_allclose(
        walk.posterior(logs, prior, np.ones(4, int)), expected / expected.sum(axis=1, keepdims=True)
    )


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


PLACES = np.array([10.0, 40.0, 90.0])


def by_all_ways(model, design, session, Y, steps, step, held_out=False):
    """Posteriors of one trial among `PLACES`, summed over every way; NaN in Y and in predictions says nothing."""
    predict = model.predict_held_out if held_out else model.predict
    each = []
    for place in PLACES:
        mean = np.asarray(predict(design.transform({**session, "position": np.full(len(Y), place)})))
        each.append(np.nansum(stats.poisson.logpmf(Y, mean), axis=1))
    likelihood = np.exp(np.array(each)).T
    moves = stats.norm.pdf(PLACES[:, None] - PLACES, scale=step)
    moves /= moves.sum(axis=1, keepdims=True)
    found = np.zeros(likelihood.shape)
    for way in itertools.product(range(3), repeat=len(Y)):
        p = likelihood[0, way[0]] / 3
        for t in range(1, len(Y)):
            p *= np.linalg.matrix_power(moves, steps[t])[way[t - 1], way[t]] * likelihood[t, way[t]]
        found[np.arange(len(Y)), way] += p
    return found / found.sum(axis=1, keepdims=True)


def few(session, rows):
    return {name: values[rows] for name, values in session.items()}


def test_the_walk_goes_on_where_nothing_was_recorded(fitted):
    session, Y, design, model = fitted
    one, y = few(session, slice(75, 82)), Y[75:82].astype(float)
    # no neuron in the first and two in the middle, one neuron less in another
    y[[0, 3, 4]] = np.nan
    y[5, 2:9] = np.nan
    found = pg.decode(model, design, one, y, "position", PLACES, step=30.0, held_out=False)
    expected = by_all_ways(model, design, one, y, np.ones(7, int), 30.0)
    np.testing.assert_allclose(found["posterior"], expected, rtol=1e-4)
    alone = pg.decode(model, design, one, y, "position", PLACES, prior=[1, 2, 1], held_out=False)
    np.testing.assert_allclose(alone["posterior"][3], [0.25, 0.5, 0.25])
    # the neurons that were recorded speak
    mean = [model.predict(design.transform({**one, "position": np.full(7, place)}))[5] for place in PLACES]
    expected = np.exp(np.nansum(stats.poisson.logpmf(y[5], mean), axis=1)) * [1, 2, 1]
    np.testing.assert_allclose(alone["posterior"][5], expected / expected.sum(), rtol=1e-4)


def test_the_walk_goes_on_where_no_fold_held_samples_out():
    session, Y = track(600)
    design = pg.Design([pg.bumps("position", n=10, low=0, high=100)])
    # of every trial the first and two others are in no fold
    out = np.flatnonzero(~np.isin(np.arange(600) % 6, [0, 2, 3]))
    folds = [(np.arange(300, 600), out[out < 300]), (np.arange(300), out[out >= 300])]
    model = pg.GLMCV(lambdas=[0.01], cv=folds).fit(design.fit_transform(session), Y)
    trial = np.arange(600) // 6
    found = pg.decode(model, design, session, Y, "position", PLACES, step=30.0, trial=trial)
    mean = [model.predict_held_out(design.transform({"position": np.full(600, place)})) for place in PLACES]
    likelihood = np.exp(np.nansum(stats.poisson.logpmf(Y, mean), axis=2)).T[300:306]
    moves = stats.norm.pdf(PLACES[:, None] - PLACES, scale=30.0)
    moves /= moves.sum(axis=1, keepdims=True)
    expected = np.zeros((6, 3))
    for way in itertools.product(range(3), repeat=6):
        p = np.prod([moves[a, b] for a, b in itertools.pairwise(way)]) * np.prod(likelihood[np.arange(6), way])
        expected[np.arange(6), way] += p
    np.testing.assert_allclose(likelihood[[0, 2, 3]], 1.0)
    expected /= expected.sum(axis=1, keepdims=True)
    np.testing.assert_allclose(found["posterior"][300:306][[1, 4, 5]], expected[[1, 4, 5]], rtol=1e-4)
    assert np.isnan(found["posterior"][300:306][[0, 2, 3]]).all()


def test_the_walk_goes_through_gaps_in_time(fitted):
    session, Y, design, model = fitted
    left = np.r_[75:78, 81:83, 87]
    table = pd.DataFrame(few(session, left), index=0.1 * left)
    found = pg.decode(model, design, table, Y[left], "position", PLACES, step=30.0, held_out=False)
    expected = by_all_ways(model, design, few(session, left), Y[left], [1, 1, 1, 4, 1, 5], 30.0)
    np.testing.assert_allclose(found["posterior"], expected, rtol=1e-4)
    with pytest.raises(ValueError, match="row labels of the session do not increase"):
        pg.decode(model, design, table[::-1], Y[left], "position", PLACES, step=30.0, held_out=False)
    # a trial label that comes back is another trial
    trial = np.array([0, 0, 1, 0, 0, 0])
    found = pg.decode(
        model, design, few(session, left), Y[left], "position", PLACES, step=30.0, trial=trial, held_out=False
    )
    expected = by_all_ways(model, design, few(session, left[3:]), Y[left[3:]], [1, 1, 1], 30.0)
    np.testing.assert_allclose(found["posterior"][3:], expected, rtol=1e-4)


def test_the_past_ends_at_gaps_in_time():
    session, Y = track(600)
    index = np.where(np.arange(600) < 300, 0.0, 5.0) + 0.1 * np.arange(600)
    table = pd.DataFrame({"position": session["position"], "a": Y[:, 0]}, index=index)
    design = pg.Design([pg.bumps("position", n=10, low=0, high=100), pg.coupling(["a"], pg.bumps("lag", 3, 1, 40))[0]])
    model = pg.GLM(lambdas=[0.003]).fit(design.fit_transform(table), Y)
    found = pg.decode(model, design, table, Y, "position", PLACES, held_out=False)
    mean = [model.predict(design.transform(table.assign(position=place))) for place in PLACES]
    logs = stats.poisson.logpmf(Y, np.array(mean)).sum(axis=2)
    expected = np.exp(logs - logs.max(axis=0))
    np.testing.assert_allclose(found["posterior"], (expected / expected.sum(axis=0)).T, atol=1e-5)


@pytest.mark.parametrize("place", [0.0, 50.0, 100.0])
def test_what_was_recorded_does_not_matter(fitted, place):
    session, Y, _, _ = fitted
    design = pg.Design([pg.bumps("position", n=8, low=20, high=80)])
    model = pg.GLM(lambdas=[0.003]).fit(design.fit_transform(session), Y)
    values = np.arange(20, 100, 20.0)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", pg.PopglmWarning)
        found, expected = (
            pg.decode(model, design, {"position": recorded}, y, "position", values, held_out=False)["posterior"]
            for recorded, y in ((np.array([place]), Y[50:51]), (session["position"], Y))
        )
        late = pg.Design([pg.shifts("position", [1]) * pg.categories("cue")])
        lagged = pg.GLM(lambdas=[0.1]).fit(late.fit_transform(session), Y)
        one = {"position": np.array([place]), "cue": np.array([0])}
        with pytest.raises(ValueError, match="looks at the past or future of 'position'"):
            pg.decode(lagged, late, one, Y[:1], "position", values, held_out=False)
    np.testing.assert_allclose(found[0], expected[50], rtol=1e-5)


KINDS = {
    "booleans": (np.array([False, True]), bool),
    "whole numbers": (np.array([3, 7]), np.int64),
    "numbers": (np.array([0.5, 1.5]), float),
    "text": (np.array(["gabor", "noise"]), np.str_),
}


@pytest.mark.parametrize("given", [list, pd.Series, lambda values: np.array(values, object)])
@pytest.mark.parametrize("kind", KINDS)
def test_answers_are_of_the_kind_of_the_values(kind, given):
    rng = np.random.default_rng(0)
    values, dtype = KINDS[kind]
    stimulus = values[rng.integers(0, 2, 300)]
    Y = rng.poisson(np.where(stimulus == values[1], 4.0, 0.5)[:, None] * np.ones(3))
    design = pg.Design([pg.categories("stimulus")])
    folds = [(np.arange(150, 300), np.arange(150)), (np.arange(150), np.arange(150, 250))]
    X = design.fit_transform({"stimulus": stimulus})
    model = pg.GLMCV(lambdas=[0.01], cv=folds).fit(X, Y)
    options = {"design": design, "Y": Y, "variable": "stimulus", "values": given(values.tolist())}
    seen = pg.decode(model, session={"stimulus": given(stimulus.tolist())}, held_out=False, **options)
    for name in ("most_likely", "recorded", "value"):
        assert np.issubdtype(seen[name].dtype, dtype), name
    assert (seen["most_likely"] == stimulus).mean() > 0.9
    assert ("mean" in seen) == (kind in ("whole numbers", "numbers"))
    # fifty samples that no fold held out
    found = pg.decode(model, session={"stimulus": stimulus}, **options)["most_likely"]
    assert (found[:250] == stimulus[:250]).mean() > 0.9
    assert (found[250:] == "").all() if kind == "text" else pd.isna(found[250:].values).all()
    assert {type(one) for one in found[:250].values.tolist()} == {
        float if "numbers" in kind else type(values.tolist()[0])
    }


def test_recorded_is_of_the_kind_of_the_values():
    rng = np.random.default_rng(0)
    on = rng.random(300) < 0.5
    Y = rng.poisson(np.where(on, 4.0, 0.5)[:, None] * np.ones(3))
    design = pg.Design([pg.categories("on")])
    model = pg.GLM(lambdas=[0.01]).fit(design.fit_transform({"on": on}), Y)
    names = np.array([b"0", b"1"])[on.astype(int)]
    for recorded, values in ((on.astype(float), [False, True]), (on, [0, 1]), (names, [0, 1])):
        found = pg.decode(model, design, {"on": recorded}, Y, "on", values, held_out=False)
        assert found["recorded"].dtype == found["most_likely"].dtype == found["value"].dtype
        assert (found["recorded"].astype(bool) == on).all()


def test_values_that_the_design_does_not_know_are_told_once(fitted):
    session, Y, design, model = fitted
    names = np.array(["gabor", "noise"])[session["cue"]]
    by_name = pg.Design([pg.splines("position", n=6), pg.categories("name")])
    of_names = pg.GLM(lambdas=[0.1]).fit(by_name.fit_transform({**session, "name": names}), Y)
    session = {**session, "name": names}
    inside = session["position"].min(), session["position"].max()
    cases = [
        (
            model,
            design,
            "position",
            np.linspace(-500, 600, 23),
            r"values holds 20 of 23 .* 'position': -500, -450.*bumps",
        ),
        (
            of_names,
            by_name,
            "name",
            ["gabor", "noise", "flash"],
            "holds 1 of 3 .* 'name': 'flash' .*are 'gabor', 'noise'",
        ),
        (
            of_names,
            by_name,
            "position",
            [0.0, 50.0, 100.0],
            rf"2 of 3 .*: 0, 100 .*from {inside[0]:g} to {inside[1]:g}",
        ),
    ]
    for of, by, variable, values, told in cases:
        with warnings.catch_warnings(record=True) as said:
            warnings.simplefilter("always")
            pg.decode(of, by, session, Y, variable, values, held_out=of is model)
        assert len(said) == 1
        assert re.search(told, str(said[0].message))
    with pytest.raises(
        ValueError, match=r"values holds none that the design knows for 'name': 0, 1 .* 'gabor', 'noise'"
    ):
        pg.decode(of_names, by_name, session, Y, "name", [0, 1], held_out=False)
    with pytest.raises(ValueError, match="values must be numbers, as which the term 'position' takes 'position'"):
        pg.decode(model, design, session, Y, "position", ["a", "b"])


@pytest.mark.parametrize("held_out", [True, False])
def test_the_dispersion_is_that_of_the_predictions_used(held_out):
    rng = np.random.default_rng(0)
    stimulus = rng.integers(0, 3, 60)
    Y = rng.normal(size=(60, 2)) + 2.0 * (stimulus[:, None] == [0, 1])
    design = pg.Design([pg.categories("stimulus")])
    session = {"stimulus": stimulus}
    model = pg.GLMCV("gaussian", lambdas=[1e-6], cv=3, tol=1e-9).fit(design.fit_transform(session), Y)
    found = pg.decode(model, design, session, Y, "stimulus", [0, 1, 2], held_out=held_out)
    predict = model.predict_held_out if held_out else model.predict
    own = np.asarray(predict(design.transform(session)))
    deviation = np.sqrt(((Y - own) ** 2).mean(axis=0))
    mean = [np.asarray(predict(design.transform({"stimulus": np.full(60, k)}))) for k in range(3)]
    expected = np.exp(stats.norm.logpdf(Y, mean, deviation)[..., ~model.null_fitted_].sum(axis=2)).T
    assert not model.null_fitted_.any()
    np.testing.assert_allclose(found["posterior"], expected / expected.sum(axis=1, keepdims=True), rtol=1e-4)


@pytest.mark.parametrize(
    ("options", "told"),
    [
        ({"variable": "speed"}, "'speed' is none of the session: 'position', 'cue', 'trial'"),
        ({"variable": "trial", "values": [0, 1]}, "no term of the design depends on 'trial'"),
        ({"values": [1.0]}, "at least two different ones"),
        ({"values": [1.0, [2.0, 3.0]]}, "at least two different ones"),
        ({"values": [1.0, np.nan]}, "NaN or infinity"),
        ({"values": ["a", None]}, "values holds a missing one, number 1"),
        ({"values": [0, 10, 20, 20]}, "values holds 20 twice; give every value once"),
        ({"values": [5.0, 5.0, 5.0]}, "values holds 5.0 more than twice"),
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
    with pytest.raises(ValueError, match="the term 'position shifts' looks at the past or future of 'position'"):
        pg.decode(lagged, late, session, Y, "position", GRID, held_out=False)
    with pytest.raises(TypeError, match="design must be the Design of the fit"):
        pg.decode(model, None, session, Y, "position", GRID)
    with pytest.raises(ValueError, match="'position' must have one value per sample"):
        pg.decode(model, design, {**session, "position": Y}, Y, "position", GRID)
    with pytest.raises(TypeError, match="session must be a mapping or a DataFrame"):
        pg.decode(model, design, [1, 2], Y, "position", GRID)
    plain = pg.GLM(lambdas=[0.01]).fit(design.transform(session), Y)
    with pytest.raises(ValueError, match=r"needs a fitted popglm\.GLMCV"):
        pg.decode(plain, design, session, Y, "position", GRID)


@pytest.mark.parametrize("step", [None, 1.0])
@pytest.mark.parametrize("n", [1, 2, 120])
def test_held_out_posteriors_are_of_the_samples_of_the_fit(n, step):
    rng = np.random.default_rng(0)
    session = pd.DataFrame({"x": rng.normal(size=400)})
    Y = rng.poisson(np.exp(session.to_numpy() - [1, 0]))
    design = pg.Design([pg.linear("x")])
    model = pg.GLMCV(lambdas=[0.01], cv=4).fit(design.fit_transform(session), Y)
    with pytest.raises(ValueError, match=f"the session has {n} samples, but the model was cross-validated on 400"):
        pg.decode(model, design, session[:n], Y[:n], "x", [0, 1, 2], step=step)
    assert pg.decode(model, design, session[:n], Y[:n], "x", [0, 1, 2], step=step, held_out=False).sizes["sample"] == n
