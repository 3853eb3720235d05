"""Columns that have a 1 for each event: counted on any grid, and told where holding them loses or doubles events."""

import numpy as np
import pandas as pd
import pytest

from popglm.analysis.guessing import guess_recipe
from popglm.recording import Session, Variable, intervals, signal, spike_trains
from popglm.recording.regrid_notes import holds_events

TIMES = np.arange(6_000) / 60 + 5.0133
LICKS = np.zeros(6_000, int)
LICKS[np.random.default_rng(0).choice(1_500, 200, replace=False) * 4] = 1
SECONDS = {dt: 6 + np.arange(round(94 / dt) + 1) * dt for dt in (1 / 15, 1 / 40, 1 / 100)}


def a_session(licks=LICKS, times=TIMES, **columns):
    table = pd.DataFrame({"start_time": [6.0, 50.0], "stop_time": [50.0, 100.0], **columns})
    return Session(
        activity={"u": spike_trains([np.linspace(5, 105, 300)])},
        signals={"lick": signal(licks, times)},
        intervals={"trials": intervals(table)},
    )


@pytest.mark.parametrize("dt", SECONDS)
@pytest.mark.parametrize("kind", [int, float, bool])
def test_every_one_is_counted_in_its_bin(dt, kind):
    data = a_session(LICKS.astype(kind)).regrid(dt, variables={"lick": Variable("lick", rule="count")})
    expected = np.histogram(TIMES[LICKS == 1], SECONDS[dt])[0]
    np.testing.assert_array_equal(data["lick"], expected[: data.sizes["time"]])
    assert data["lick"].values.sum() == LICKS[(TIMES >= 6) & (data["time"].values[-1] + dt > TIMES)].sum()
    assert "stand alone" not in data.attrs["notes"]


def test_samples_that_hold_numbers_of_events_are_added_up():
    session = a_session(LICKS * 3)
    counted = session.regrid(1 / 15, variables={"lick": Variable("lick", rule="count", scale=2)})["lick"]
    np.testing.assert_array_equal(
        counted, 6 * a_session().regrid(1 / 15, variables={"lick": Variable("lick", rule="count")})["lick"]
    )


@pytest.mark.parametrize(
    ("values", "fault"),
    [
        (LICKS - 1, "holds .*, which is no number of events"),
        (LICKS / 2, "holds .*, which is no number of events"),
        (np.where(LICKS, np.inf, 0), "is infinite in .* samples"),
    ],
)
def test_what_is_no_number_of_events_is_told(values, fault):
    with pytest.raises(ValueError, match=f"'lick' {fault}"):
        a_session(values).regrid(1 / 15, variables={"lick": Variable("lick", rule="count")})


def test_nothing_is_counted_where_nothing_is_known():
    keep = (TIMES < 30) | (TIMES >= 60)
    licks = LICKS.astype(float)
    unknown = 100
    licks[unknown] = np.nan
    data = a_session(licks[keep], TIMES[keep]).regrid(0.5, variables={"lick": Variable("lick", rule="count")})
    found, starts = data["lick"].values, data["time"].values
    at = (starts <= TIMES[unknown]) & (TIMES[unknown] < starts + 0.5)
    np.testing.assert_array_equal(np.isnan(found), ((starts >= 30) & (starts + 0.5 <= 60)) | at)


@pytest.mark.parametrize("dt", SECONDS)
def test_sums_and_largest_samples_are_those_of_each_bin(dt):
    values = np.random.default_rng(1).normal(size=len(TIMES))
    values[[200, 201]] = np.nan
    data = a_session(values).regrid(
        dt, variables={rule: Variable("lick", rule=rule, scale=2) for rule in ("sum", "max")}
    )
    samples = pd.Series(values, TIMES)
    edges = np.append(SECONDS[dt], SECONDS[dt][-1] + dt)[: data.sizes["time"] + 1]
    bins = samples.groupby(pd.cut(TIMES, edges, right=False), observed=False)
    sums = 2 * bins.agg(lambda one: one.sum(skipna=False) if len(one) else 0.0).to_numpy()
    np.testing.assert_allclose(data["sum"], sums, rtol=0, atol=1e-12)
    np.testing.assert_array_equal(data["max"], 2 * bins.max().to_numpy())
    assert np.isnan(data["sum"]).any()


@pytest.mark.parametrize("rule", ["sum", "max"])
def test_angles_and_texts_have_no_sum_and_no_largest(rule):
    with pytest.raises(ValueError, match="'lick' cannot be put on a grid by the rule"):
        a_session().regrid(0.5, variables={"a": Variable("lick", rule=rule, period=360)})
    with pytest.raises(ValueError, match=f"holds 'a', which has no {rule}"):
        a_session(np.full(6_000, "a")).regrid(0.5, variables={"a": Variable("lick", rule=rule)})


def test_ones_at_events_are_zero_in_between():
    times = np.array([10.0, 10.2, 37.0, 88.5])
    data = a_session(np.ones(4), times).regrid(1.0, variables={"lick": Variable("lick", rule="count")})
    np.testing.assert_array_equal(data["lick"], np.histogram(times, 6 + np.arange(95))[0])


def test_times_in_a_column_of_trials_are_counted():
    session = a_session(reward_time=[7.25, np.nan])
    data = session.regrid(0.5, variables={"reward": Variable("trials.reward_time", rule="count")})
    assert data["time"].values[data["reward"].values == 1].tolist() == [7.0]
    assert data["reward"].values.sum() == 1
    with pytest.raises(ValueError, match="holds no times"):
        a_session(cue=["a", "b"]).regrid(0.5, variables={"c": Variable("cue", rule="count")})
    with pytest.raises(ValueError, match="no previous value"):
        session.regrid(0.5, variables={"r": Variable("reward_time", rule="count", previous=True)})


@pytest.mark.parametrize("dt", SECONDS)
def test_events_that_holding_loses_or_doubles_are_told(dt):
    data = a_session().regrid(dt)
    there = LICKS[(TIMES >= 6) & (data["time"].values[-1] + dt > TIMES)].sum()
    held = int(data["lick"].values.sum())
    assert held != there
    assert f"'lick' is 1 in {there} samples that mostly stand alone, but in {held} bins" in data.attrs["notes"]
    assert 'count them: lick = {source = "lick", rule = "count"}' in data.attrs["notes"]


def two_at_once(licks, kind):
    """The same column with two licks in one sample."""
    changed = licks.astype(kind)
    changed[np.flatnonzero((licks == 1) & (TIMES > 50))[3]] = 2
    return changed


@pytest.mark.parametrize("kind", [int, float])
@pytest.mark.parametrize("dt", [1 / 15, 1 / 10])
def test_numbers_of_events_that_a_coarser_grid_loses_are_told(dt, kind):
    licks = two_at_once(LICKS, kind)
    session = a_session(licks)
    data = session.regrid(dt)
    inside = (TIMES >= 6) & (data["time"].values[-1] + dt > TIMES)
    there, n = licks[inside].sum(), (licks[inside] > 0).sum()
    # a bin has the sample that is held, or the average of its samples
    edges = np.append(data["time"].values, data["time"].values[-1] + dt)
    held = licks[np.searchsorted(TIMES, edges[:-1], side="right") - 1]
    average = np.histogram(TIMES, edges, weights=licks)[0] / np.histogram(TIMES, edges)[0]
    expected = held if kind is int else average
    assert expected.sum() < there
    why = "held from sample to sample" if kind is int else "averaged in each"
    assert (
        f"'lick' adds up to {there:.0f} in {n} samples that mostly stand alone, but to {expected.sum():,.6g} over "
        f"bins, because it is {why}; if these are numbers of events, count them: "
        'lick = {source = "lick", rule = "count"}'
    ) in data.attrs["notes"]
    counted = session.regrid(dt, variables={"lick": Variable("lick", rule="count")})
    assert counted["lick"].values.sum() == there
    assert "stand alone" not in counted.attrs["notes"]


def test_single_ones_that_are_averaged_or_interpolated_are_told():
    data = a_session(LICKS.astype(float)).regrid(1 / 15)
    n = LICKS[(TIMES >= 6) & (data["time"].values[-1] + 1 / 15 > TIMES)].sum()
    total = data["lick"].values.sum()
    words = f"'lick' is 1 in {n} samples that mostly stand alone, but adds up to {total:,.6g} over bins"
    assert words in data.attrs["notes"]
    assert data["lick"].values.sum() < 0.3 * n
    finer = a_session(LICKS.astype(float)).regrid(1 / 100).attrs["notes"]
    assert "is spread over the bins around them, because it is interpolated between samples" in finer


@pytest.mark.parametrize(
    "values",
    [
        np.where(LICKS, -1.0, 0.0),  # no numbers of events
        np.where(LICKS, 0.5, 0.0),
        np.where(LICKS, 11.0, 0.0),
        np.where(LICKS, np.inf, 0.0),
        (np.arange(6_000) // 40 % 10 == 0).astype(float),  # a state
        (np.arange(6_000) % 3 == 0).astype(int),  # one sample in three
        np.zeros(6_000),
    ],
)
def test_what_counts_no_rare_events_has_no_note(values):
    assert not holds_events(values)
    if np.isfinite(values).all():
        assert "stand alone" not in a_session(values).regrid(1 / 15).attrs["notes"]


def test_a_column_at_the_clock_of_the_grid_has_no_note():
    for kind in (int, float):
        assert "stand alone" not in a_session(two_at_once(LICKS, kind)).regrid(clock="lick").attrs["notes"]


def test_a_state_is_held_without_a_note():
    state = (np.arange(6_000) // 40 % 10 == 0).astype(int)
    assert not holds_events(state)
    assert "stand alone" not in a_session(state).regrid(1 / 15).attrs["notes"]
    assert "stand alone" not in a_session().regrid(clock="lick").attrs["notes"]


def test_a_first_recipe_counts_what_are_events():
    rewards = [7.25, 51.0]
    text = guess_recipe(a_session(reward_time=rewards, lag_time=[0.5, 0.7]), "a.npz", "arrays")
    assert 'lick = {source = "lick", rule = "count"}  # a guess: events' in text
    assert 'reward_time = {source = "trials.reward_time", rule = "count"}  # a guess: events' in text
    assert "# there is lag_time" in text
    pulses = guess_recipe(a_session(np.ones(4), np.array([10.0, 10.2, 37.0, 88.5])), "a.npz", "arrays")
    assert 'lick = {source = "lick", rule = "count"}' in pulses
    state = guess_recipe(a_session((np.arange(6_000) // 40 % 10 == 0).astype(int)), "a.npz", "arrays")
    assert "rule" not in state


@pytest.mark.parametrize("kind", [int, float])
def test_a_first_recipe_counts_numbers_of_events(kind):
    licks = two_at_once(LICKS, kind)
    if kind is float:
        licks[7] = np.nan
    assert 'lick = {source = "lick", rule = "count"}' in guess_recipe(a_session(licks), "a.npz", "arrays")
    # as many of each code as of any other: these are kinds of a stimulus
    codes = LICKS * (1 + np.cumsum(LICKS) % 4)
    assert 'basis = "categories"\nvariable = "lick"' in guess_recipe(a_session(codes), "a.npz", "arrays")
