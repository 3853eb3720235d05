"""Angles on a grid of time: against scipy's circular mean, closed forms, and the same signal turned."""

import numpy as np
import pytest
from scipy.stats import circmean

from popglm.analysis.recipe import parse_recipe
from popglm.recording import Session, Variable, events, signal


def on_grid(values, dt, times=None, rate=100, **more):
    """A signal on a grid of bins."""
    part = signal(values, times) if times is not None else signal(values, rate=rate)
    clock = signal(np.arange(0, part["time"].values[-1], dt), np.arange(0, part["time"].values[-1], dt))
    session = Session(signals={"angle": part, "clock": clock})
    return session.regrid(clock="clock", variables={"angle": Variable("angle", **more)})["angle"].values


@pytest.mark.parametrize(
    ("low", "period"), [(0.0, 360.0), (-180.0, 360.0), (-np.pi, 2 * np.pi), (0.0, 24.0), (-360.0, 360.0)]
)
def test_averages_are_those_of_scipy(low, period):
    rng = np.random.default_rng(0)
    values = low + period * ((np.cumsum(rng.normal(scale=0.05, size=1_000)) + rng.random()) % 1)
    found = on_grid(values, 0.1, period=period)
    expected = [circmean(values[k : k + 10], high=low + period, low=low) for k in range(0, 10 * len(found), 10)]
    np.testing.assert_allclose(found, expected, atol=1e-9 * period)
    assert ((found >= low) & (found < low + period)).all()
    # as plain numbers they are wrong wherever the signal comes round
    plain = on_grid(values, 0.1)
    assert np.abs(found - plain).max() > period / 10


def test_an_average_of_opposite_directions_is_unknown_and_unknown_samples_do_not_count():
    values = np.full((3, 10), 90.0)
    values[0, 5:] = 270
    values[1, ::2] = np.nan
    values[2] = np.nan
    found = on_grid(np.append(values.ravel(), 0.0), 0.1, period=360.0)
    np.testing.assert_allclose(found, [np.nan, 90, np.nan], atol=1e-9)


def test_between_samples_a_value_goes_along_the_shorter_arc():
    # 25 degrees a sample, twice round and more: at any time the angle is known in closed form
    times = np.arange(40.0)
    for low in (0.0, -180.0):
        values = low + (25 * times + 100 - low) % 360
        found = on_grid(values, 0.25, times, period=360.0)
        at = 0.25 * np.arange(len(found)) + 0.125
        expected = low + (25 * at + 100 - low) % 360
        # a difference is one on the circle, too
        np.testing.assert_allclose((found - expected + 180) % 360 - 180, 0, atol=1e-9)
        assert ((found >= low) & (found < low + 360)).all()
        # a bin that begins at a sample of the same clock has its very value
        np.testing.assert_array_equal(on_grid(values, 1.0, times, rule="interpolate", period=360.0), values[:-1])


def test_no_arc_crosses_a_gap_or_lies_between_opposite_directions():
    times = np.array([0.0, 1, 2, 3, 4, 5, 9, 10, 11, 12, 13, 14])
    values = np.array([350.0, 10, 190, 200, np.nan, 210, 350, 20, 40, 60, 80, 100])
    found = on_grid(values, 0.5, times, rule="interpolate", period=360.0)
    known = dict(zip(0.5 * np.arange(len(found)) + 0.25, found, strict=True))
    expected = {0.25: 355, 0.75: 5, 1.25: np.nan, 1.75: np.nan, 2.25: 192.5, 3.25: np.nan, 4.25: np.nan}
    expected |= {7.25: np.nan, 9.25: 357.5, 9.75: 12.5}
    for time, value in expected.items():
        np.testing.assert_allclose(known[time], value, atol=1e-9, err_msg=str(time))


def test_a_turned_signal_gives_turned_values_across_gaps():
    rng = np.random.default_rng(1)
    times = np.cumsum(np.where(rng.random(400) < 0.02, 1.0, 0.01))
    values = (np.cumsum(rng.normal(scale=12, size=400)) + 180) % 360
    for rule, dt in (("mean", 0.05), ("interpolate", 0.004)):
        one = on_grid(values, dt, times, rule=rule, period=360.0)
        other = on_grid((values + 77) % 360, dt, times, rule=rule, period=360.0)
        assert np.isnan(one).any()
        np.testing.assert_array_equal(np.isnan(one), np.isnan(other))
        known = ~np.isnan(one)
        np.testing.assert_allclose((other - one - 77 + 180)[known] % 360, 180, atol=1e-8)


def test_scale_and_offset_come_after_the_circle():
    values = np.tile([350.0, 10.0], 20)
    found = on_grid(values, 0.1, period=360.0, scale=np.pi / 180, offset=1.0)
    assert np.abs((found - 1 + np.pi) % (2 * np.pi) - np.pi).max() < 1e-9


@pytest.mark.parametrize("period", [0, -1, np.inf, np.nan, "360", True])
def test_a_period_that_is_none_is_told(period):
    with pytest.raises(ValueError, match="period must be a whole turn above 0, such as 360"):
        Variable("angle", period=period)


def test_events_have_no_period():
    session = Session(signals={"x": signal([1.0, 2.0], rate=1)}, events={"lick": events([0.5])})
    with pytest.raises(ValueError, match="'lick' are events, which have no period"):
        session.regrid(0.5, variables={"lick": Variable("lick", period=360)})


def test_a_recipe_has_periods(tmp_path):
    text = '[data]\npath = "a.npz"\n[variables]\nangle = {source = "head", period = 360}\n[[terms]]\n'
    text += 'basis = "cyclic_splines"\nvariable = "angle"\nn = 5\nlow = 0\nhigh = 360\n'
    assert parse_recipe(text, tmp_path / "recipe.toml").content.variables["angle"].period == 360
    with pytest.raises(ValueError, match=r"line 4 \(variables.angle.period\): .*greater than 0; found -1"):
        parse_recipe(text.replace("period = 360", "period = -1"), tmp_path / "recipe.toml")
