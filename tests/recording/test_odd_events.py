"""Times of events and trials in another unit, told by how few of them lie in their recording."""

import numpy as np
import pandas as pd
import pytest

from popglm.recording import Session, Variable, events, intervals, signal, traces

RNG = np.random.default_rng(0)
LICKS = np.sort(RNG.uniform(2, 398, 260))
MIDDLE = LICKS[(LICKS > 100) & (LICKS < 320)]
STARTS = np.arange(2.5, 390, 10.0)
SECONDS = 400


def a_session(licks=LICKS, start=0.0, trials=STARTS, lasting=8.0, rate=15, **columns):
    """400 s of imaging, a camera of 60 Hz, licks and trials."""
    table = pd.DataFrame({"start_time": trials, "stop_time": np.asarray(trials) + lasting, **columns})
    return Session(
        {"spk": traces(np.zeros((SECONDS * rate, 2)), rate=rate, start=start)},
        {"speed": signal(np.zeros(SECONDS * 60), rate=60, start=start)},
        {"lick": events(licks)},
        {"trials": intervals(table)},
    )


@pytest.mark.parametrize(
    ("licks", "words", "remedy"),
    [
        (LICKS, None, None),
        (LICKS / 60, "all 260 events of 'lick' lie between", "clock_scale.lick = 60"),
        (LICKS / 3_600, "times are likely in hours", "clock_scale.lick = 3600"),
        (MIDDLE / 60, "times are likely in minutes", "clock_scale.lick = 60"),
        (np.round(LICKS * 15), "numbers of samples of 'spk', 15 a second", "clock_scale.lick = 0.0666666666666667"),
        (np.round(LICKS * 60), "samples of 'speed', 60 a second", "clock_scale.lick = 0.0166666666666667"),
        (LICKS * 15, "numbers of samples of 'spk', 15 a second", "clock_scale.lick = 0.0666666666666667"),
        (LICKS * 1e3, "times are likely in milliseconds", "clock_scale.lick = 0.001"),
        (LICKS + 250, "count from another start, or are in another unit", "clock_shift.lick = <seconds to add"),
        (LICKS + 1e6, "likely count from another start", "clock_shift.lick = <seconds to add"),
        (LICKS + 150, None, None),
        # a few minutes of licks at the start, or a few calibrations, are no licks in minutes
        (LICKS[:100], None, None),
        (np.linspace(0.2, 6.5, 9), None, None),
    ],
)  # fmt: skip
def test_events_in_another_unit_are_told_and_mended(licks, words, remedy):
    session = a_session(licks)
    if words is None:
        assert session.check() == []
        return
    (fault,) = session.check()
    assert fault.part == "lick"
    assert words in fault.sentence
    assert fault.remedy.startswith(remedy)
    with pytest.raises(ValueError, match="lick"):
        session.regrid(variables=["lick"])
    # clocks that are not used do no harm, and one that is vouched for is left alone
    assert session.regrid(variables=["speed"]).sizes["time"] == 39 * 8 * 15
    assert session.mend_clock("lick").check() == []
    if fault.is_mendable:
        mended = session.mend_clock("lick", scale=float(remedy.rpartition("=")[2]))
        assert mended.check() == []
        truth = LICKS if len(licks) == len(LICKS) else MIDDLE
        np.testing.assert_allclose(mended.events["lick"].time, truth, atol=0.5 / 15 + 1e-9)


def test_the_share_of_events_outside_is_told_with_the_recording():
    licks = np.round(LICKS * 15)
    outside = int((licks > SECONDS - 1 / 60).sum())
    (fault,) = a_session(licks).check()
    assert f"{outside} of 260 events of 'lick' lie outside of the recording, which lasts from 0 to 399.983 s" in str(
        fault
    )


def test_samples_of_a_series_that_starts_late_need_a_shift_too():
    session = a_session(np.round(LICKS * 15), start=103.7, trials=STARTS + 103.7)
    (fault,) = session.check()
    assert fault.remedy == "clock_scale.lick = 0.0666666666666667"
    assert "the first at 103.7 s: add that with clock_shift.lick = 103.7" in fault.sentence
    mended = session.mend_clock("lick", scale=1 / 15, shift=103.7)
    assert mended.check() == []
    np.testing.assert_allclose(mended.events["lick"].time, LICKS + 103.7, atol=0.5 / 15 + 1e-9)


def test_samples_are_those_of_the_series_that_has_about_as_many():
    session = a_session(np.round(LICKS * 15))
    faster = {"wheel": signal(np.zeros(SECONDS * 20), rate=20), **session.signals}
    (fault,) = Session(session.activity, faster, session.events, session.intervals).check()
    assert "numbers of samples of 'spk', 15 a second" in fault.sentence


def test_trials_in_numbers_of_samples_are_told_and_mended():
    session = a_session(trials=np.round(STARTS * 15), lasting=120)
    (fault,) = session.check()
    assert (fault.part, fault.remedy) == ("trials", "clock_scale.trials = 0.0666666666666667")
    assert "of 39 trials lie outside of the recording" in fault.sentence
    with pytest.raises(ValueError, match=r"clock_scale\.trials"):
        session.regrid()
    assert session.mend_clock("trials", scale=1 / 15).check() == []
    # whole seconds are no numbers of samples: there would be a few seconds of trials
    assert a_session(trials=np.arange(0, 1_000, 10.0)).check() == []


def test_licks_and_trials_in_numbers_of_samples_are_both_told():
    session = a_session(np.round(LICKS * 15), trials=np.round(STARTS * 15), lasting=120)
    assert sorted(fault.remedy.partition(" ")[0] for fault in session.check()) == [
        "clock_scale.lick",
        "clock_scale.trials",
    ]


@pytest.mark.parametrize(
    ("column", "reading"),
    [
        (lambda times: times / 60, "in minutes"),
        (lambda times: times * 1e3, "in milliseconds"),
        (lambda times: np.round(times * 15), "numbers of samples of 'spk'"),
        (lambda times: times - STARTS, "counted from the start of each trial"),
    ],
)
def test_times_of_trials_in_another_unit_are_told(column, reading):
    times = STARTS + RNG.uniform(1, 7, len(STARTS))
    variables = {"reward": Variable("trials.reward_time", rule="count")}
    right = a_session(reward_time=times).regrid(variables=variables)
    assert right["reward"].values.sum() == 39
    assert "own trials" not in right.attrs["notes"]
    changed = column(times)
    changed[3] = np.nan
    inside = (changed >= STARTS) & (changed <= STARTS + 8)
    words = (
        f"'trials.reward_time' holds times of which {38 - inside.sum()} of 38 lie outside of their own trials; they "
    )
    with pytest.raises(ValueError, match=f"{words}are likely {reading}"):
        a_session(reward_time=changed).regrid(variables=variables)
    # held over its trial, a column is whatever it is
    assert "lag" in a_session(reward_time=changed).regrid(variables={"lag": "trials.reward_time"})


def test_times_that_follow_their_trials_are_told():
    session = a_session(reward_time=STARTS + 8.5)
    notes = session.regrid(variables={"r": Variable("reward_time", rule="count")}).attrs["notes"]
    assert "39 of 39 times of 'reward_time' lie outside of their own trials" in notes
