"""What a grid leaves out is counted: events and trials outside of the recording, and what has no time."""

import numpy as np
import pandas as pd
import pytest

from popglm.recording import Session, Variable, events, intervals, signal, spike_trains, traces

TRIALS = pd.DataFrame({"start_time": np.arange(0, 420, 10.0), "stop_time": np.arange(0, 420, 10.0) + 8})


def notes_of(session, *arguments, **options):
    return session.regrid(*arguments, **options).attrs["notes"].splitlines()


def test_events_outside_of_the_recording_are_counted():
    session = Session(
        {"spk": traces(np.zeros((3_000, 2)), rate=10, start=50)}, events={"lick": events(np.arange(0, 400, 2.0))}
    )
    notes = notes_of(session, clock="spk")
    assert notes == ["50 of 200 events of 'lick' lie outside of the recording (50 to 350 s)"]
    assert session.regrid(clock="spk")["lick"].values.sum() == 150
    inside = session.where("lick", "time >= 50 and time < 350")
    assert notes_of(inside, clock="spk") == []


def test_times_of_trials_outside_of_the_recording_are_counted():
    table = TRIALS.assign(reward_time=TRIALS["start_time"] + 3)
    session = Session({"spk": traces(np.zeros((3_000, 2)), rate=10)}, intervals={"trials": intervals(table)})
    notes = notes_of(session, variables={"reward": Variable("reward_time", rule="count")})
    assert "12 of 42 times of 'reward_time' lie outside of the recording (0 to 300 s)" in notes


@pytest.mark.parametrize("dt", [None, 0.5])
def test_trials_outside_of_the_recording_are_counted(dt):
    session = Session({"spk": traces(np.zeros((3_200, 2)), rate=10, start=-5)}, intervals={"trials": intervals(TRIALS)})
    assert "10 of 42 trials lie outside of the recording (-5 to 315 s)" in notes_of(session, dt)
    assert len(np.unique(session.regrid(dt)["trial"])) == 32
    late = Session({"spk": traces(np.zeros((1_000, 2)), rate=10, start=100)}, intervals={"trials": intervals(TRIALS)})
    assert "32 of 42 trials lie outside of the recording (100 to 200 s)" in notes_of(late, dt)


def test_numbers_of_trials_outside_of_the_recording_are_counted():
    number = np.where(np.arange(4_200) % 100 < 80, np.arange(4_200) // 100, -1)
    session = Session({"spk": traces(np.zeros((3_200, 2)), rate=10, start=-5)}, {"trial": signal(number, rate=10)})
    notes = notes_of(session, trials="trial", variables=[])
    assert "10 of 42 trials lie outside of the recording (-5 to 315 s)" in notes
    assert not any("have no bin" in note for note in notes)


def test_trials_without_a_spike_before_or_after_are_told():
    units = spike_trains([np.arange(20, 300, 0.5), np.arange(31, 310, 0.7)])
    session = Session({"u": units}, intervals={"trials": intervals(TRIALS)})
    (note,) = [note for note in notes_of(session, 0.1) if "silence" in note]
    # two before 20 s, eleven after 309.6 s
    assert note.startswith(
        "13 of 42 trials lie before the first or after the last spike of all neurons (20 to 309.6 s)"
    )
    observed = spike_trains([np.arange(20, 300, 0.5)], observed=[[[0, 420]]])
    assert not any(
        "silence" in note for note in notes_of(Session({"u": observed}, intervals={"trials": intervals(TRIALS)}), 0.1)
    )


def test_events_without_a_time_are_counted():
    session = Session(
        {"spk": traces(np.zeros((100, 1)), rate=10)}, events={"lick": events([5.0, 3.0, np.nan, 3.0, np.nan])}
    )
    assert notes_of(session) == ["2 of 5 events of 'lick' have no time, and are left out"]
    assert session.regrid()["lick"].values.sum() == 3


@pytest.mark.parametrize("lost", [np.nan, np.inf, -np.inf])
@pytest.mark.parametrize("trials", [True, False])
def test_spikes_without_a_time_are_counted(lost, trials):
    first = spike_trains([[3.0, 1.0, lost, 2.0], [], [lost, 7.5]])
    table = intervals(pd.DataFrame({"start_time": [0.0], "stop_time": [10.0]}))
    session = Session({"u": first}, intervals={"trials": table} if trials else {})
    data = session.regrid(0.5)
    known = spike_trains([[3.0, 1.0, 2.0], [], [7.5]])
    expected = Session({"u": known}, intervals={"trials": table} if trials else {}).regrid(0.5)
    np.testing.assert_array_equal(data["activity"], expected["activity"])
    np.testing.assert_array_equal(data["time"], expected["time"])
    assert "2 of 6 spikes of 'u' have no time, and are left out" in data.attrs["notes"]
    assert expected.attrs["notes"] == ""


def test_spikes_that_all_lack_a_time_are_told():
    session = Session({"u": spike_trains([[np.nan, np.nan]])}, intervals={"trials": intervals(TRIALS)})
    notes = notes_of(session, 0.5)
    assert "2 of 2 spikes of 'u' have no time, and are left out" in notes
    assert not any("silence" in note for note in notes)
