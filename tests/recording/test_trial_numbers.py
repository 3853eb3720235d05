"""Trials by the number of each sample: what stands for no trial between them."""

import numpy as np
import pandas as pd
import pytest

from popglm.design import Design, linear
from popglm.recording import Session, intervals, signal, traces
from popglm.recording.trial_numbers import number_of_no_trial, signals_of_trials
from popglm.recording.trials import table_of_trials

#: Numbers of 8 trials of 10 samples, each after 5 samples of none.
NUMBERS = np.where(np.arange(120) % 15 < 5, 0, 1 + np.arange(120) // 15)


def a_session(numbers, **more):
    return Session(
        {"dff": traces(np.random.default_rng(0).normal(size=(len(numbers), 2)), rate=10)},
        {"trial": signal(numbers, rate=10), "speed": signal(np.arange(len(numbers)) / 7, rate=10)},
        **more,
    )


@pytest.mark.parametrize("kind", [np.int64, np.uint8, np.float32])
def test_a_number_for_no_trial_is_as_good_as_nan(kind):
    found = a_session(NUMBERS.astype(kind)).regrid(trials="trial", no_trial=0)
    expected = a_session(np.where(NUMBERS == 0, np.nan, NUMBERS)).regrid(trials="trial")
    assert found.equals(expected)
    assert np.unique(found["trial"]).tolist() == [1, 2, 3, 4, 5, 6, 7, 8]
    assert "40 of 120 bins lie outside of the trials" in found.attrs["notes"]


@pytest.mark.parametrize("no_trial", [99, -1])
def test_any_number_may_stand_for_no_trial(no_trial):
    numbers = np.where(NUMBERS == 0, no_trial, NUMBERS - 1)
    found = a_session(numbers).regrid(trials="trial", no_trial=no_trial)
    np.testing.assert_array_equal(found["trial"], NUMBERS[NUMBERS > 0] - 1)


def test_trials_from_1_on_are_rows_of_a_table_from_the_first_on():
    starts = np.arange(8) * 1.5 + 0.5
    table = pd.DataFrame({"start_time": starts, "stop_time": starts + 1, "cue": np.arange(8) * 10})
    session = a_session(NUMBERS, intervals={"trials": intervals(table)})
    by_number = session.regrid(trials="trial", no_trial=0, variables=["cue"])
    by_time = session.regrid(variables=["cue"])
    np.testing.assert_array_equal(by_number["cue"], by_time["cue"])
    np.testing.assert_array_equal(by_number["time"], by_time["time"])


@pytest.mark.parametrize(
    ("given", "words"),
    [
        ({"trials": "trial", "no_trial": 0.5}, "no_trial must be a whole number, such as 0, or None; found 0.5"),
        ({"trials": "trial", "no_trial": ""}, "no_trial must be a whole number, such as 0, or None; found ''"),
        ({"trials": 3, "no_trial": 0}, "no_trial=0 is for a signal of trial numbers"),
    ],
)
def test_what_is_no_number_of_no_trial_is_told(given, words):
    with pytest.raises(ValueError, match=words):
        a_session(NUMBERS).regrid(**given)


@pytest.mark.parametrize(
    ("numbers", "expected"),
    [
        (NUMBERS, 0),
        (NUMBERS[5:], 0),
        (np.repeat([0, 1, 2, 3, 0], 20), 0),
        (np.where(NUMBERS == 0, 50, NUMBERS), 50),
        # neither a first trial that is called 0, nor blocks that come back, nor one value alone
        (np.repeat([0, 1, 2], 40), None),
        (np.repeat([0, 1, 2, 1, 0], 20), None),
        (np.zeros(50), None),
    ],
)
def test_the_number_that_comes_back_stands_for_no_trial(numbers, expected):
    assert number_of_no_trial(numbers.astype(float)) == expected


def test_signals_of_trials_are_told_with_their_number_for_none():
    assert signals_of_trials(a_session(NUMBERS)) == {"trial": 0}
    assert signals_of_trials(a_session(np.where(NUMBERS == 0, -1, NUMBERS))) == {"trial": None}
    # numbers that fall are no trials, whatever stands between them
    assert signals_of_trials(a_session(np.where(NUMBERS == 0, 0, 20 - NUMBERS))) == {}


def test_a_design_tells_what_to_do_with_the_label_that_comes_back():
    table = pd.DataFrame({"speed": np.arange(120.0), "trial": NUMBERS})
    with pytest.raises(ValueError, match=r"label 0 comes back in row 15 .* drop its rows, or give no_trial=0 to"):
        Design([linear("speed")], trial="trial").fit(table)
    Design([linear("speed")], trial="trial").fit(table[table["trial"] != 0])
    text = table.assign(trial=[f"trial {n}" if n else "" for n in NUMBERS])
    with pytest.raises(ValueError, match=r"if '' stands for no trial, drop its rows; if not") as caught:
        Design([linear("speed")], trial="trial").fit(text)
    assert "no_trial" not in str(caught.value)
    blocks = table.assign(trial=np.repeat([0, 1, 0, 1], 30))
    with pytest.raises(ValueError, match=r"after another trial; sort by trial and time, or give each run its own"):
        Design([linear("speed")], trial="trial").fit(blocks)


def test_trials_that_are_left_out_are_counted_without_the_number_for_none():
    session = a_session(NUMBERS)
    table = table_of_trials(session, "trial", 0)
    # trial 1 is row 0, as rows of bins are
    assert table.index.tolist() == list(range(len(np.unique(NUMBERS)) - 1))
    assert len(table_of_trials(session, "trial")) == len(np.unique(NUMBERS))
