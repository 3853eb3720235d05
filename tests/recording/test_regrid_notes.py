"""What the notes of a grid tell of clocks and values."""

import numpy as np
import pandas as pd
import pytest

from popglm.analysis.guessing import guess_recipe
from popglm.design import Design, categories
from popglm.recording import (
    Session,
    Variable,
    events,
    intervals,
    read_intervals,
    read_table,
    signal,
    spike_trains,
    traces,
)


def test_samples_without_a_time_are_counted():
    times = np.arange(600) / 10
    times[[7, 99]] = np.nan
    other = np.arange(300) / 5
    other[0] = np.nan
    session = Session(
        {"dff": traces(np.zeros((600, 2)), times)},
        {"x": signal(np.zeros(600), times), "y": signal(np.zeros(300), other), "z": signal(np.zeros(300), other)},
    )
    notes = session.regrid(0.1, variables=["x", "y"]).attrs["notes"].splitlines()
    assert "2 of 600 samples of 'dff', 'x' have no time, and are left out" in notes
    assert "1 of 300 samples of 'y' have no time, and are left out" in notes
    assert session.mend_clock("y").regrid(variables=["z"], clock="x").attrs["notes"].count("have no time") == 2


def test_clocks_without_loss_have_no_note():
    session = Session({"dff": traces(np.zeros((600, 2)), np.arange(600) / 10)}, {"x": signal(np.zeros(60), rate=1)})
    assert session.regrid().attrs["notes"] == ""


@pytest.mark.parametrize(("dt", "is_told"), [(0.01, True), (0.05, True), (0.08, False), (0.1, False), (1.0, False)])
def test_bins_finer_than_the_activity_are_told(dt, is_told):
    session = Session({"dff": traces(np.zeros((600, 2)), rate=10)})
    notes = session.regrid(dt).attrs["notes"]
    words = f"bins of {dt:g} s are finer than the samples of 'dff', which are 0.1 s apart"
    assert (words in notes) == is_told
    spikes = Session({"u": spike_trains([np.arange(600) / 10])})
    assert "finer" not in spikes.regrid(dt).attrs["notes"]


def known(values):
    """Values as a list, None for unknown ones."""
    return [None if pd.isna(value) else value for value in values.values]


def test_empty_text_is_unknown_and_counted():
    choices = ["left", "", "right", " ", "left", "right"]
    table = pd.DataFrame({"start_time": np.arange(6) * 10.0, "stop_time": np.arange(1, 7) * 10.0, "choice": choices})
    session = Session(
        {"dff": traces(np.zeros((600, 2)), rate=10)},
        {"state": signal(np.array(["run", "", "rest"]), [0.0, 20.0, 40.0])},
        intervals={"trials": intervals(table)},
    )
    data = session.regrid(
        1.0, variables={"choice": "choice", "before": Variable("choice", previous=True), "state": "state"}
    )
    expected = np.repeat(np.array(["left", None, "right", None, "left", "right"], object), 10)
    assert known(data["choice"]) == expected.tolist()
    assert known(data["before"]) == [None] * 10 + expected[:-10].tolist()
    assert known(data["state"]) == ["run"] * 20 + [None] * 20 + ["rest"] * 20
    notes = data.attrs["notes"].splitlines()
    assert notes.count("2 of 6 rows of 'choice' are empty or missing, and taken as unknown") == 1
    assert "1 of 3 samples of 'state' are empty or missing, and taken as unknown" in notes
    design = Design([categories("choice")], trial="trial").fit(data)
    assert {str(column[-1]) for column in design.transform(data).columns} == {"left", "right"}
    # whoever asks for it still finds it
    assert len(session.where("trials", "choice == ''").trials) == 1
    assert 'variable = "choice"' in guess_recipe(session, "a.npz", "arrays")


@pytest.mark.parametrize("ending", ["csv", "tsv", "parquet"])
def test_empty_cells_of_tables_are_counted_as_empty_or_missing(ending, tmp_path):
    state = ["run", None, "rest", "", "run", "run"]
    samples = pd.DataFrame({"time": np.arange(6.0), "n_1": 0, "n_2": 1, "state": state})
    trials = pd.DataFrame({"start_time": [0.0, 3.0], "stop_time": [3.0, 6.0], "cue": ["left", None], "n": [1.0, None]})
    if ending == "parquet":
        pytest.importorskip("pyarrow")
    for name, one in (("samples", samples), ("trials", trials)):
        if ending == "parquet":
            one.to_parquet(tmp_path / f"{name}.parquet")
        else:
            one.to_csv(tmp_path / f"{name}.{ending}", index=False, sep="\t" if ending == "tsv" else ",")
    session = read_table(tmp_path / f"samples.{ending}", activity="n_*", times="time")
    data = session.joined(read_intervals(tmp_path / f"trials.{ending}"), "trials").regrid()
    assert known(data["state"]) == ["run", None, "rest", None, "run", "run"]
    assert known(data["cue"]) == ["left"] * 3 + [None] * 3
    notes = data.attrs["notes"].splitlines()
    assert "2 of 6 samples of 'state' are empty or missing, and taken as unknown" in notes
    assert "1 of 2 rows of 'trials.cue' are empty or missing, and taken as unknown" in notes
    # numbers that are unknown are no text
    assert not any("'trials.n'" in line for line in notes)


def test_a_column_of_one_text_and_empty_ones_is_no_variable():
    table = pd.DataFrame({"start_time": np.arange(4) * 10.0, "note": ["odd", "", "", ""]})
    session = Session({"dff": traces(np.zeros((400, 2)), rate=10)}, intervals={"trials": intervals(table.assign(
        stop_time=table["start_time"] + 10))})  # fmt: skip
    assert "# there is note" in guess_recipe(session, "a.npz", "arrays")


def test_a_text_signal_with_missing_values_can_be_guessed():
    state = np.array(["run", None, "rest"] * 10, object)
    session = Session({"dff": traces(np.zeros((400, 2)), rate=10)}, {"state": signal(state, rate=1)})
    assert 'basis = "categories"\nvariable = "state"' in guess_recipe(session, "a.npz", "arrays")


@pytest.mark.parametrize(
    ("of_events", "of_clock", "n_told"),
    [(3, None, 67), (4, None, 67), (6, None, 0), (9, None, 0), (None, None, 0), (None, 3, 67), (3, 3, 0)],
)
def test_times_of_few_decimals_that_follow_the_bins_are_put_there_and_told(of_events, of_clock, n_told):
    # licks on every fourth sample at 60 Hz, where bins of 1/15 s begin: two in three are rounded, one of them down
    frames, licks = np.arange(300) / 15, np.arange(1, 201) / 15
    frames = frames if of_clock is None else np.round(frames, of_clock)
    licks = licks if of_events is None else np.round(licks, of_events)
    session = Session({"dff": traces(np.zeros((300, 2)), frames)}, {}, {"lick": events(licks)})
    gridded = session.regrid(clock="dff")
    np.testing.assert_array_equal(gridded["lick"], np.isin(np.arange(300), np.arange(1, 201)))
    told = [note for note in gridded.attrs["notes"].splitlines() if "taken to be" in note]
    words = f"{n_told} of 200 events of 'lick' are taken to be where a bin begins, though they are up to "
    assert [note[: len(words)] for note in told] == [words] * bool(n_told)
    if told:
        assert f"up to {10.0 ** -(of_events or of_clock):g} s off" in told[0]


def test_times_of_few_decimals_at_random_stay_where_they_are():
    licks = np.unique(np.round(np.random.default_rng(0).uniform(0, 19, 400), 3))
    session = Session(
        {"dff": traces(np.zeros((300, 2)), rate=15)},
        {"speed": signal(np.arange(19_000.0), np.arange(19_000) / 1_000)},
        {"lick": events(licks)},
    )
    gridded = session.regrid(clock="dff")
    assert "taken to be" not in gridded.attrs["notes"]
    edges = np.append(np.arange(300), 300) / 15
    np.testing.assert_array_equal(gridded["lick"], np.histogram(licks, edges)[0])


@pytest.mark.parametrize("decimals", [3, 4, 5, 6, 7, 8, 9, 10, 11, 12])
@pytest.mark.parametrize("n_seconds", [40, 50, 100, 300])
def test_samples_of_rounded_times_are_averaged_over_their_own_bins(decimals, n_seconds):
    n = 60 * n_seconds
    times = np.round(np.arange(n) / 60, decimals)
    session = Session({"dff": traces(np.zeros((n // 2, 2)), rate=30)}, {"speed": signal(np.arange(float(n)), times)})
    for variable in (Variable("speed", rule="mean"), Variable("speed", rule="sum"), Variable("speed", rule="hold")):
        found = session.regrid(clock="dff", variables={"speed": variable})["speed"].values
        expected = {
            "mean": 2 * np.arange(n // 2) + 0.5,
            "sum": 4 * np.arange(n // 2) + 1,
            "hold": 2 * np.arange(n // 2),
        }
        np.testing.assert_array_equal(found, expected[variable.rule])


@pytest.mark.parametrize("decimals", [3, 4, 6, 9])
def test_a_signal_on_the_clock_of_the_bins_is_taken_as_it_is(decimals):
    n = 9_000
    session = Session(
        {"dff": traces(np.zeros((n, 2)), rate=30)},
        {"x": signal(np.arange(float(n)), np.round(np.arange(n) / 30, decimals))},
    )
    np.testing.assert_array_equal(session.regrid(clock="dff")["x"], np.arange(n))


@pytest.mark.parametrize("decimals", [3, 4, 5, 7, 9])
@pytest.mark.parametrize("rate", [30, 15, 6.2])
def test_trials_that_begin_on_frames_begin_there_however_their_times_are_written(decimals, rate):
    n = 4_000
    first = np.arange(40) * 100 + np.arange(40) % 7
    starts = first / rate
    stops = np.append(starts[1:], n / rate)
    table = pd.DataFrame({"start_time": np.round(starts, decimals), "stop_time": np.round(stops, decimals)})
    session = Session({"dff": traces(np.zeros((n, 1)), rate=rate)}, intervals={"trials": intervals(table)})
    data = session.regrid()
    expected = np.searchsorted(first, np.rint(data["time"].values * rate), side="right") - 1
    np.testing.assert_array_equal(data["trial"], expected)
    assert ("starts of trials are taken to be where a bin begins" in data.attrs["notes"]) == (decimals < 6)


def test_bins_that_are_too_fine_for_their_times_are_told():
    session = Session(
        {"dff": traces(np.zeros((3_000, 2)), rate=60)}, {}, {"lick": events(np.round(np.arange(1, 90) * 0.371, 2))}
    )
    note = "times of events of 'lick' were rounded to 0.01 s, so in bins of 0.01667 s some lie in the bin beside"
    assert note in session.regrid(clock="dff").attrs["notes"]


@pytest.mark.parametrize("off", [1e-9, 5e-7, np.float32(10.1) - 10.1])
def test_trials_that_touch_do_not_overlap(off):
    table = pd.DataFrame({"start_time": [0.0, 10.1], "stop_time": [10.1 + abs(off), 20.0]})
    session = Session({"dff": traces(np.zeros((600, 2)), rate=30)}, intervals={"trials": intervals(table)})
    assert np.diff(session.regrid()["trial"].values).sum() == 1


def test_nothing_is_held_across_a_gap():
    # the tenth frame was dropped; three of them later on
    times = np.delete(np.arange(60) / 15, [10, 30, 31, 32])
    session = Session({"a": traces(times[:, None] * 15, times)})
    found = session.regrid("1/15")["activity"].values[:, 0]
    unknown = np.isin(np.arange(len(found)), [10, 30, 31, 32])
    np.testing.assert_array_equal(np.isnan(found), unknown)
    np.testing.assert_allclose(found[~unknown], np.arange(len(found))[~unknown], atol=1e-9)


def test_a_last_block_in_which_no_bin_begins_is_none():
    # the last of 777 bins at 7.5 Hz begins at 103.47 s, and ends after the edge at 103.5 s
    session = Session(activity={"dff": traces(np.zeros((777, 1)), rate=7.5)})
    data = session.regrid(trials=0.5)
    assert data.attrs["notes"] == ""
    assert data["trial"].values[-1] == 206
