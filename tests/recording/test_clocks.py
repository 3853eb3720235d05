"""Clocks that cannot be right are told with their likely cause, and mended by whoever says so alone."""

import tomllib

import numpy as np
import pandas as pd
import pytest

from popglm.recording import Session, events, intervals, signal, spike_trains, traces
from popglm.recording.clocks import read_times

TRIALS = intervals(pd.DataFrame({"start_time": np.arange(0, 1_000, 10.0), "stop_time": np.arange(10, 1_010, 10.0)}))
GOOD = traces(np.zeros((6_000, 2)), rate=6)


def a_session(**parts):
    return Session(activity={"dff": GOOD} | parts.pop("activity", {}), intervals={"trials": TRIALS}, **parts)


def test_good_clocks_have_no_faults():
    session = a_session(
        signals={"speed": signal(np.zeros(30_000), rate=30), "late": signal(np.zeros(1_000), rate=30, start=900)},
        events={"licks": events([5.0, 5.1, 5.2]), "none": events([])},
    )
    assert session.check() == []


@pytest.mark.parametrize(
    ("part", "words", "remedy"),
    [
        (
            signal(np.zeros(2_500), rate=1 / 2_500),
            "likely the period, and the true rate 2500 Hz",
            "clock_rate.x = 2500",
        ),
        (signal(np.zeros(10), rate=np.nan), "has a rate of nan Hz", "clock_rate.x = <its rate in Hz>"),
        (signal(np.zeros(10), rate=0), "has a rate of 0 Hz", "clock_rate.x = <its rate in Hz>"),
        (signal(np.zeros(500), np.arange(500) * 4_000.0), "samples of a board at 2000 Hz", "clock_scale.x = 0.0005"),
        (signal(np.zeros(500), np.arange(500) * 2_000.0), "in milliseconds", "clock_scale.x = 0.001"),
        (
            signal(np.zeros(500), np.arange(500) * 60_000.0),
            "a board at 30000 Hz",
            "clock_scale.x = 3.33333333333333e-05",
        ),
        (
            signal(np.zeros(500), np.arange(500) * 0.002),
            "another unit than the trials",
            "clock_scale.x = <seconds per unit",
        ),
        (signal(np.zeros(5_000), rate=5, start=1.7e9), "do not overlap", "clock_shift.x = <seconds to add"),
    ],
)
def test_a_fault_is_told_with_its_cause_and_remedy(part, words, remedy):
    (fault,) = a_session(signals={"x": part}).check()
    assert fault.part == "x"
    assert words in fault.sentence
    assert fault.remedy.startswith(remedy)
    assert remedy in str(fault)


def test_spike_times_in_samples_are_told():
    spikes = spike_trains([np.arange(100) * 300_000.0, [], [5.0]])
    (fault,) = Session(activity={"units": spikes}, intervals={"trials": TRIALS}).check()
    assert "a board at 30000 Hz" in str(fault)


def test_without_trials_the_middle_clock_is_the_measure():
    parts = {name: signal(np.zeros(1_000), rate=1) for name in "abc"}
    session = Session(signals=parts | {"x": signal(np.zeros(1_000), np.arange(1_000) * 1_000.0)})
    assert [fault.part for fault in session.check()] == ["x"]
    assert Session(signals={"alone": parts["a"]}).check() == []


def test_a_clock_that_is_used_is_refused_and_others_are_not():
    session = a_session(signals={"x": signal(np.zeros(2_000), rate=0.01), "speed": signal(np.zeros(6_000), rate=6)})
    with pytest.raises(ValueError, match=r"'x' has 2,000 samples at a rate of 0.01 Hz.*clock_rate.x = 100"):
        session.regrid()
    assert session.regrid(variables=["speed"]).sizes["time"] == 6_000
    assert session.mend_clock("x", rate=100).check() == []
    assert "x" in session.mend_clock("x", rate=100).regrid(variables=["x"])


def test_a_short_part_may_be_vouched_for():
    session = a_session(signals={"x": signal(np.zeros(100), rate=30)})
    assert "another unit" in str(session.check()[0])
    assert session.mend_clock("x").check() == []


@pytest.mark.parametrize(
    ("times", "words"),
    [
        ([0.0, 1.0, 0.5, 2.0], "go back at sample 2: 1 s, then 0.5 s; 1 steps are backward"),
        ([3.0, 2.0, 1.0, 0.0], "all of them decline"),
        ([0.0, 1.0, 1.0, 2.0], "stand still at sample 2: 1 s, then 1 s; 1 times come twice"),
        ([0.0, np.inf, 1.0, 2.0], "infinite in sample 1"),
    ],
)
def test_times_out_of_order_are_told(times, words):
    session = Session(signals={"x": signal([0.0, 1.0, 2.0, 3.0], times)})
    with pytest.raises(ValueError, match=words):
        read_times(session.signals["x"], "x")


def test_a_clock_is_put_in_order_where_one_asks_for_it():
    session = Session(signals={"x": signal([3.0, 1.0, 2.0, 9.0], [2.0, 0.0, 1.0, 1.0])})
    part = session.mend_clock("x", order="sort").signals["x"]
    assert part.time.values.tolist() == [0.0, 1.0, 2.0]
    assert part.values.tolist() == [1.0, 2.0, 3.0]


def test_every_kind_of_part_takes_a_scale_and_a_shift():
    session = Session(
        activity={
            "units": spike_trains([[100.0], [200.0]], observed=[[[0, 1_000]], None]),
            "dff": traces(np.zeros((2, 1)), [0.0, 1_000.0]),
        },
        signals={"x": signal([0.0, 1.0], rate=0.001, start=1_000)},
        events={"licks": events([500.0], [600.0])},
        intervals={"trials": intervals(pd.DataFrame({"start_time": [0.0], "stop_time": [1e3], "go_time": [1e2]}))},
    )
    for name in ("units", "dff", "x", "licks", "trials"):
        session = session.mend_clock(name, scale=0.001, shift=5)
    assert session.activity["units"].spike_time.values.tolist() == [5.1, 5.2]
    assert session.activity["units"].observed.values.tolist() == [[5, 6]]
    assert session.activity["dff"].time.values.tolist() == [5, 6]
    assert session.signals["x"].time.values.tolist() == [6, 7]
    assert session.events["licks"].time.values.tolist() == [5.5]
    assert session.events["licks"].stop_time.values.tolist() == [5.6]
    assert session.trials.iloc[0].tolist() == [5, 6, 5.1]


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        ({"scale": 0}, "scale must be a number above 0; found 0"),
        ({"scale": np.nan}, "scale must be a number above 0; found nan"),
        ({"rate": -1}, "rate must be a number above 0; found -1"),
        ({"shift": "a"}, "shift must be a number; found 'a'"),
        ({"order": "up"}, "order must be 'sort' or None; found 'up'"),
    ],
)
def test_what_is_no_mending_is_told(arguments, words):
    with pytest.raises(ValueError, match=words):
        a_session().mend_clock("dff", **arguments)


def test_an_unknown_part_is_told_with_the_nearest_name():
    with pytest.raises(ValueError, match="no part 'dfff'; nearest names: 'dff'"):
        a_session().mend_clock("dfff", scale=2)


def a_recording(**scales_and_shifts):
    """300 s of spikes, a signal, licks and trials, some of them on another clock: name=(scale, shift)."""
    rng = np.random.default_rng(0)
    start = np.arange(29) * 10.0 + 5
    session = Session(
        activity={"u": spike_trains([np.sort(rng.uniform(5, 300, 400)) for _ in range(3)])},
        signals={"x": signal(rng.normal(size=6_000), np.arange(6_000) * 0.05)},
        events={"lick": events(np.sort(rng.uniform(5, 300, 100)))},
        intervals={"trials": intervals(pd.DataFrame({"start_time": start, "stop_time": start + 9}))},
    )
    for name, (scale, shift) in scales_and_shifts.items():
        session = session.mend_clock(name, scale=scale, shift=shift)
    # what was done to them is no mending here
    session.trials.attrs.clear()
    for part in (*session.activity.values(), *session.signals.values(), *session.events.values()):
        part.attrs.pop("clock_is_vouched_for", None)
    return session


@pytest.mark.parametrize(
    ("odd", "remedies"),
    [
        ({"trials": (1e3, 0)}, ["clock_scale.trials = 0.001"]),
        ({"trials": (1 / 60, 0)}, ["clock_scale.trials = 60"]),
        ({"x": (1e3, 0)}, ["clock_scale.x = 0.001"]),
        ({"u": (3e4, 0)}, ["clock_scale.u = 3.33333333333333e-05"]),
        ({"lick": (1e6, 0)}, ["clock_scale.lick = 1e-06"]),
        ({"x": (1 / 60, 0)}, ["clock_scale.x = 60"]),
        ({"x": (1 / 3_600, 0)}, ["clock_scale.x = 3600"]),
        ({"x": (1e3, 0), "lick": (1e3, 0)}, ["clock_scale.x = 0.001", "clock_scale.lick = 0.001"]),
        ({"x": (0.002, 0)}, ["clock_scale.x = <seconds per unit of its times>"]),
        ({"trials": (1, 1.7e9)}, ["clock_shift.trials = <seconds to add, from a sync pulse>"]),
        ({}, []),
        (dict.fromkeys(("u", "x", "lick", "trials"), (1, 1.7e9)), []),
    ],
)
def test_the_odd_one_out_is_named(odd, remedies):
    assert [fault.remedy for fault in a_recording(**odd).check()] == remedies


def test_a_table_of_trials_is_mended():
    session = a_recording(trials=(1e3, 0))
    with pytest.raises(ValueError, match=r"the trials last from 5000 to 294000 s.*clock_scale.trials = 0.001"):
        session.regrid(0.05)
    mended = session.mend_clock("trials", scale=0.001)
    assert mended.check() == []
    pd.testing.assert_frame_equal(mended.trials, a_recording().trials)
    assert mended.regrid(0.05).equals(a_recording().regrid(0.05))


def test_two_clocks_that_disagree_are_told_by_what_is_usual():
    trials = {"trials": a_recording().trials}
    for times, remedy in ((np.arange(300) * 1e3, "clock_scale.x = 0.001"), (np.arange(300) / 60, "clock_scale.x = 60")):
        session = Session(signals={"x": signal(np.zeros(300), times)}, intervals=trials)
        assert [fault.remedy for fault in session.check()] == [remedy]


def test_columns_of_one_table_count_as_one_clock():
    session = a_recording()
    columns = {name: signal(np.zeros(300), np.arange(300) * 1e3) for name in "abcd"}
    found = Session(session.activity, {**session.signals, **columns}, session.events, session.intervals).check()
    assert [fault.remedy for fault in found] == [f"clock_scale.{name} = 0.001" for name in "abcd"]


def test_no_shift_is_proposed_that_the_recording_does_not_tell():
    start = 1712345678.375
    session = a_recording(x=(1, start))
    late = {"y": signal(np.zeros(100), rate=1, start=start + 20), "z": signal(np.zeros(100), rate=1, start=start + 3)}
    session = Session(session.activity, {**session.signals, **late}, session.events, session.intervals)
    found = session.check()
    assert [fault.remedy for fault in found] == [
        f"clock_shift.{name} = <seconds to add, from a sync pulse>" for name in "xyz"
    ]
    # one rough value for all three, from the earliest of them, and every digit of their times
    assert all("roughly -1,712,345,673 s" in fault.sentence and "sync pulse" in fault.sentence for fault in found)
    assert "'x' lasts from 1712345678.375 to 1712345978.325 s" in found[0].sentence
    assert "'y', 'z' count from that start too: give all the same" in found[0].sentence
    for name in "xyz":
        session = session.mend_clock(name, shift=-start)
    assert session.check() == []
    assert np.array_equal(session.signals["x"].time, a_recording().signals["x"].time + start - start)


def test_a_mended_unit_leaves_the_start_to_be_looked_at():
    session = a_recording(x=(1e3, 1.7e12))
    assert [fault.remedy for fault in session.check()] == ["clock_scale.x = 0.001"]
    session = session.mend_clock("x", scale=0.001)
    (fault,) = session.check()
    assert fault.remedy.startswith("clock_shift.x = <")
    assert session.mend_clock("x", shift=-1.7e9).check() == []


def test_what_somebody_mended_is_the_measure_for_others():
    dff, x = traces(np.zeros((3_000, 1)), rate=0.1), signal(np.zeros(3_000), rate=10, start=1e6)
    session = Session({"dff": dff}, {"x": x}).mend_clock("dff", rate=10)
    assert [fault.part for fault in session.check()] == ["x"]


def test_a_short_clock_that_is_right_is_no_measure_for_others():
    session = Session(signals={"x": signal(np.zeros(100), rate=30)}, intervals={"trials": TRIALS})
    assert "say so with the line clock_scale.x = 1" in str(session.check()[0])
    assert session.mend_clock("x").check() == session.mend_clock("trials").check() == []


def test_remedies_are_toml_whatever_a_series_is_called():
    name = 'lick "left" \\ right'
    session = Session({"F": traces(np.ones((900, 2)), rate=30)}, {name: signal(np.arange(30_000.0), rate=-1.0)})
    (fault,) = [one for one in session.check() if one.part == name]
    line = fault.remedy.replace("<its rate in Hz>", "30")
    assert tomllib.loads(line) == {"clock_rate": {name: 30}}
