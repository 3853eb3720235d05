"""Clocks that cannot be right are told with their likely cause, and mended by whoever says so alone."""

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
        (signal(np.zeros(500), np.arange(500) * 60_000.0), "a board at 30000 Hz", "clock_scale.x = 3.33333333e-05"),
        (signal(np.zeros(500), np.arange(500) * 0.002), "another unit than the trials", "clock_scale.x = 1000"),
        (signal(np.zeros(5_000), rate=5, start=1.7e9), "do not overlap", "clock_shift.x = -1.7e+09"),
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
