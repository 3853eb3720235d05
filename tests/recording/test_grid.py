"""Grids of time: edges from integers, and the rules that put series on them, against exact arithmetic."""

from fractions import Fraction

import numpy as np
import pytest

from popglm.recording.clocks import longest_step
from popglm.recording.grid import (
    Grid,
    as_fraction,
    count,
    grid_of_clock,
    held_at,
    interpolated_between,
    means,
    regular_grid,
)
from popglm.recording.time_rounding import on_time

HOUR = 3_600


@pytest.mark.parametrize("start", [0.0, 0.1, -5.0, 1_600_000_000.0, 1_732_881_893.123456])
@pytest.mark.parametrize("rate", [30, 60, 1_000])
def test_spikes_on_edges_fall_into_the_bin_that_begins_there(start, rate):
    n = min(HOUR * rate, 400_000)
    grid = regular_grid(start, start + n / rate, Fraction(1, rate))
    assert len(grid) == n
    # two ways in which programs write such times down
    for edges in (start + np.arange(n) / rate, start + np.arange(n) * (1 / rate)):
        assert (count(grid, edges) == 1).all()
    middles = start + (np.arange(n) + 0.5) / rate
    assert (count(grid, middles) == 1).all()


def test_edges_are_those_of_exact_arithmetic():
    grid = regular_grid(0.1, 0.1 + HOUR, 1 / 60)
    exact = [float(Fraction(0.1) + Fraction(k, 60)) for k in range(0, HOUR * 60, 997)]
    np.testing.assert_allclose(grid.starts[::997], exact, rtol=0, atol=2 * np.spacing(HOUR))


def test_the_last_bin_is_whole():
    assert len(regular_grid(0, 1, 0.3)) == 3
    assert len(regular_grid(0, 0.1 + 0.2, 0.1)) == 3
    assert len(regular_grid(0, 0.29, 0.3)) == 0
    assert len(regular_grid(5, 4, 0.3)) == 0


@pytest.mark.parametrize(
    ("dt", "period"),
    [
        (1 / 30, Fraction(1, 30)),
        (1 / 3, Fraction(1, 3)),
        ("1/60", Fraction(1, 60)),
        ("0.1", Fraction(1, 10)),
        (2, Fraction(2)),
        (np.float64(0.025), Fraction(1, 40)),
        (1 / 24_414.0625, Fraction(16, 390_625)),
    ],
)
def test_a_period_is_what_it_was_meant_to_be(dt, period):
    assert as_fraction(dt) == period


@pytest.mark.parametrize("dt", [0, -1, np.nan, np.inf, "x", None, True, [1], "1/0"])
def test_what_is_no_period_is_told(dt):
    with pytest.raises(ValueError, match="dt must be a period above 0 s"):
        as_fraction(dt)


def test_a_grid_that_fits_no_memory_is_told():
    with pytest.raises(ValueError, match="grid"):
        regular_grid(0.0, 1e12, 1e-6)


def test_times_outside_of_the_grid_fall_into_no_bin():
    grid = regular_grid(1.0, 2.0, 0.25)
    assert grid.find(np.array([0.999, 1.0, 1.2499, 1.25, 1.9999, 2.0, np.nan])).tolist() == [-1, 0, 0, 1, 3, -1, -1]


def test_no_bin_of_a_clock_reaches_across_a_gap():
    times = np.concatenate([np.arange(10) * 0.1, 5 + np.arange(10) * 0.1])
    grid = grid_of_clock(times)
    np.testing.assert_allclose(grid.stops - grid.starts, 0.1)
    assert count(grid, np.array([0.95, 1.5, 4.9, 5.05])).tolist() == [0] * 9 + [1, 1] + [0] * 9


def test_means_are_those_of_known_values_bin_by_bin():
    rng = np.random.default_rng(0)
    values = rng.normal(size=(1_000, 3))
    values[rng.random((1_000, 3)) < 0.2] = np.nan
    bins = np.sort(rng.integers(0, 50, 1_000))
    sums, counts = means(bins, values, 60)
    for k in range(60):
        own = values[bins == k]
        np.testing.assert_allclose(sums[k], np.nansum(own, axis=0), atol=1e-12)
        np.testing.assert_array_equal(counts[k], np.isfinite(own).sum(axis=0))


@pytest.mark.parametrize("sampling", ["even", "uneven"])
@pytest.mark.parametrize("share", [0.0, 0.2])
def test_means_of_many_columns_are_those_of_each_bin(sampling, share):
    rng = np.random.default_rng(2)
    bins = np.repeat(np.arange(40), 3 if sampling == "even" else rng.integers(0, 6, 40))
    values = rng.normal(size=(len(bins), 30)).astype(np.float32)
    values[rng.random(values.shape) < share] = np.nan
    sums, counts = means(bins, values, 41)
    for k in range(41):
        own = values[bins == k].astype(float)
        np.testing.assert_allclose(sums[k], np.nansum(own, axis=0), atol=1e-12)
        np.testing.assert_array_equal(np.broadcast_to(counts, sums.shape)[k], np.isfinite(own).sum(axis=0))


@pytest.mark.parametrize("clock", ["regular", "jittered", "driven by events", "with a gap", "a single bin"])
def test_a_time_is_in_the_last_bin_that_begins_before_it(clock):
    rng = np.random.default_rng(3)
    grid = {
        "regular": regular_grid(17.3, 217.3, "1/30"),
        "jittered": grid_of_clock(17.3 + np.arange(6_000) / 30 + rng.uniform(-0.001, 0.001, 6_000)),
        "driven by events": grid_of_clock(17.3 + np.cumsum(rng.exponential(1 / 30, 6_000))),
        "with a gap": grid_of_clock(np.append(np.arange(3_000), np.arange(5_000, 8_000)) / 30),
        "a single bin": regular_grid(2.0, 2.5, 0.5),
    }[clock]
    # edges are hit as they are, and missed by rounding alone and by little
    edges = np.append(grid.starts, grid.stops)
    near = [edges + off for off in (0, 1e-14, -1e-14, 1e-9, -1e-9)]
    times = np.concatenate([*near, rng.uniform(edges.min() - 1, edges.max() + 1, 20_000), [np.nan, np.inf, -np.inf]])
    slack = grid.slack(times)
    expected = np.searchsorted(grid.starts - slack, times, side="right") - 1
    expected[~(times < grid.stops[expected] - slack)] = -1
    np.testing.assert_array_equal(grid.find(times), expected)


def test_straight_lines_between_samples_are_numpys():
    rng = np.random.default_rng(1)
    times = np.cumsum(rng.uniform(0.9, 1.1, 200))
    values = rng.normal(size=(200, 2))
    at = rng.uniform(times[0], times[-1], 500)
    found = interpolated_between(at, times, values, longest_step(times))
    for column in range(2):
        np.testing.assert_allclose(found[:, column], np.interp(at, times, values[:, column]), atol=1e-12)


def test_nothing_is_bridged_and_nothing_spoils_its_neighbour():
    times = np.array([0.0, 1.0, 2.0, 3.0, 10.0, 11.0])
    values = np.array([0.0, 1.0, np.nan, 3.0, 10.0, 11.0])[:, None]
    at = np.array([-0.1, 0.5, 1.0, 1.5, 2.0, 2.5, 3.0, 5.0, 10.5, 11.0, 11.1])
    found = interpolated_between(at, times, values, longest_step(times))[:, 0]
    np.testing.assert_array_equal(found, [np.nan, 0.5, 1, np.nan, np.nan, np.nan, 3, np.nan, 10.5, 11, np.nan])


def test_a_held_value_is_the_last_at_or_before():
    times = np.array([0.0, 1.0, 2.0])
    # one bit below the sample is on it
    at = np.array([-1e-9, 0.0, np.nextafter(1.0, 0), 1.0, 1.9, 2.0, 4.1])
    assert held_at(at, times, 2.0).tolist() == [-1, 0, 1, 1, 1, 2, -1]


def test_one_lone_sample_and_none():
    assert interpolated_between(np.array([0.0, 1.0]), np.zeros(0), np.zeros((0, 1)), np.inf).shape == (2, 1)
    lone = interpolated_between(np.array([0.0, 1.0]), np.array([1.0]), np.array([[7.0]]), np.inf)
    np.testing.assert_array_equal(lone[:, 0], [np.nan, 7.0])
    assert len(grid_of_clock(np.zeros(0))) == 0
    assert held_at(np.array([0.0]), np.zeros(0), np.inf).tolist() == [-1]


def test_clocks_that_events_drive_have_no_gaps():
    rng = np.random.default_rng(2)
    assert longest_step(np.cumsum(rng.exponential(size=500))) == np.inf
    assert longest_step(np.arange(500) / 30) == pytest.approx(1.5 / 30)
    # a few dropped frames leave a clock regular
    assert longest_step(np.delete(np.arange(500) / 30, [50, 51, 200])) == pytest.approx(1.5 / 30)


def _rounded(times, precision):
    """Times as files hold them."""
    return {
        "all digits": lambda: times,
        "six decimals": lambda: np.array([float(f"{time:.6f}") for time in times]),
        "cut off at six decimals": lambda: np.floor(times * 1e6 + 1e-6) / 1e6,
        "single": lambda: times.astype(np.float32).astype(float),
        "since 1970": lambda: (times + 1_732_881_893.123456) - 1_732_881_893.123456,
    }[precision]()


PRECISIONS = ["all digits", "six decimals", "cut off at six decimals", "single", "since 1970"]


@pytest.mark.parametrize("of_grid", [*PRECISIONS, "dt"])
@pytest.mark.parametrize("of_events", PRECISIONS)
def test_a_rounded_time_is_in_the_bin_that_begins_there(of_grid, of_events):
    # a clock at 15 Hz, and events on a clock at 60 Hz: each of them in its own quarter of a bin
    edges, n = np.arange(4 * 1_000) / 60, 1_000
    grid = regular_grid(0.0, n / 15, "1/15") if of_grid == "dt" else grid_of_clock(_rounded(np.arange(n) / 15, of_grid))
    times = _rounded(edges, of_events)
    expected = np.arange(4 * n) // 4
    np.testing.assert_array_equal(grid.find(times), expected)
    np.testing.assert_array_equal(held_at(grid.starts, times, 1.0), np.arange(n) * 4)
    # without arithmetic, too
    late = Grid(np.append(grid.starts, 100.0), np.append(grid.stops, 101.0), grid.width)
    np.testing.assert_array_equal(late.find(times), expected)


def test_times_that_were_not_rounded_move_by_rounding_alone():
    rng = np.random.default_rng(5)
    exact = {
        "spikes": np.sort(rng.uniform(0, 3_600, 1_000)),
        "a clock at 60 Hz": np.arange(10_000) / 60,
        "a clock at 4,096 Hz": np.arange(10_000) / 4_096,
        "spikes at 30 kHz": np.sort(rng.integers(0, 10**8, 1_000)) / 30_000,
        "whole seconds": np.arange(1_000.0),
        "milliseconds": np.arange(10_000) / 1_000,
    }
    for name, times in exact.items():
        assert on_time(times) < 1e-11, name
    assert on_time(np.zeros(0)) < 1e-300
    # a microsecond is seen, and no bin is skipped
    times = np.array([0.499999, 0.5, 0.500001])
    assert regular_grid(0.0, 1.0, 0.25).find(times).tolist() == [1, 2, 2]
    assert regular_grid(0.0, 1e-5, "1e-6").find(np.arange(10) * 1e-6).tolist() == list(range(10))
