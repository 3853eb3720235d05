"""Trials from tables in CSV and Parquet."""

import numpy as np
import pandas as pd
import pytest
from complaints import assert_complaint

import popglm as pg
from popglm.recording import read_intervals, signal, traces
from popglm.recording.session import Session
from popglm.warnings import PopglmWarning


def table():
    return pd.DataFrame(
        {"cue": ["left", "right", "left"], "onset": [2.0, 0.5, 4.0], "offset": [3.5, 1.5, 5.0], "reward": [1, 0, 1]}
    )


@pytest.fixture(params=["csv", "tsv", "csv.gz", "parquet"])
def path(request, tmp_path):
    path = tmp_path / f"trials.{request.param}"
    if request.param == "parquet":
        pytest.importorskip("pyarrow")
        table().to_parquet(path)
    else:
        table().to_csv(path, index=False, sep="\t" if request.param == "tsv" else ",")
    return path


def test_round_trip(path):
    found = read_intervals(path, start="onset", stop="offset").trials
    assert found.start_time.tolist() == [0.5, 2, 4]
    assert found.stop_time.tolist() == [1.5, 3.5, 5]
    assert found.cue.tolist() == ["right", "left", "left"]
    assert found.reward.tolist() == [0, 1, 1]
    assert found.index.tolist() == [1, 0, 2]


def test_other_intervals_by_their_own_name(path):
    session = pg.read(path, "intervals", name="blocks", start="onset", stop="offset")
    assert list(session.intervals) == ["blocks"]
    assert session.trials is None
    assert session.attrs["format"] == "intervals"


def test_trials_beside_activity_reach_the_grid(path):
    recorded = Session(
        activity={"dff": traces(np.ones((12, 2)), rate=2)}, signals={"speed": signal(np.arange(12.0), rate=2)}
    )
    both = recorded.joined(read_intervals(path, start="onset", stop="offset"), "other")
    found = both.regrid()
    expected = [1, 1, 0, 0, 0, 2, 2]
    np.testing.assert_array_equal(found.trial.values, expected)
    np.testing.assert_allclose(found.time.values, [0.5, 1, 2, 2.5, 3, 4, 4.5])


def test_without_stops_each_ends_where_the_next_one_starts(tmp_path):
    table().rename(columns={"onset": "start_time"}).drop(columns="offset").to_csv(tmp_path / "a.csv", index=False)
    with pytest.warns(
        pg.PopglmWarning,
        match="3 of 3 rows of 'trials' have no stop_time; .*, and the last with the recording: give its end",
    ):
        found = read_intervals(tmp_path / "a.csv").trials
    np.testing.assert_array_equal(found.stop_time, [2, 4, np.nan])


def test_semicolons_and_decimal_commas(tmp_path):
    path = tmp_path / "a.csv"
    table().to_csv(path, index=False, sep=";", decimal=",")
    read = {"start": "onset", "stop": "offset"}
    assert_complaint("give separator=';' and decimal=','", lambda p: read_intervals(p, **read), path)
    assert read_intervals(path, **read, separator=";", decimal=",").trials.start_time.tolist() == [0.5, 2, 4]


@pytest.mark.parametrize(
    ("given", "named"),
    [
        ({}, "start: there is no column 'start_time'; t"),
        ({"start": "onsets"}, "start: there is no column 'onsets'; did you mean 'onset'"),
        ({"start": "onset", "stop": "offsets"}, "stop: there is no column 'offsets'; did you mean 'offset'"),
        ({"start": "cue"}, "start: column 'cue' must hold times; found 'left' in row 0"),
        ({"start": "offset", "stop": "onset"}, "row 1 ends at 0.5 s, before it begins at 1.5 s"),
        ({"start": "onset", "stop": "onset"}, "start and stop must be two columns"),
        ({"start": 3}, "read_intervals: start must be a string"),
        ({"stop": None}, "read_intervals: stop must be a string; found None"),
        ({"name": 3}, "read_intervals: name must be a string"),
    ],
)
def test_what_is_refused(path, given, named):
    assert_complaint(named, lambda arguments: read_intervals(path, **arguments), given)


@pytest.mark.parametrize("suffix", ["csv", "parquet"])
def test_dates_and_durations_are_in_seconds(suffix, tmp_path):
    wrote = pd.DataFrame(
        {
            "onset": pd.to_datetime(["2024-03-01 10:00", "2024-03-01 10:01"]),
            "offset": pd.to_datetime(["2024-03-01 10:00:30", None]),
            "reaction": pd.to_timedelta([0.5, 1.5], unit="s"),
        }
    )
    path = tmp_path / f"trials.{suffix}"
    if suffix == "csv":
        wrote.to_csv(path, index=False)
    else:
        pytest.importorskip("pyarrow")
        wrote.to_parquet(path)
    with pytest.warns(PopglmWarning, match="have no stop_time"):
        trials = read_intervals(path, start="onset", stop="offset").trials
    assert trials.start_time.tolist() == [1709287200, 1709287260]
    assert trials.stop_time.fillna(0).tolist() == [1709287230, 0]
    assert trials.reaction.tolist() == [0.5, 1.5]


def test_a_start_that_is_missing_or_has_two_columns(tmp_path):
    path = tmp_path / "a.csv"
    path.write_text("start_time,stop_time,cue,onset\n0,1,a,0\n,2,b,1\n")
    assert_complaint("a.csv is no table of intervals: intervals: start_time is missing in row 1", read_intervals, path)
    assert_complaint("another column of that name", lambda p: read_intervals(p, start="onset"), path)


def test_files_that_are_empty_or_not_there(tmp_path):
    (tmp_path / "a.csv").touch()
    assert_complaint("a.csv is empty", read_intervals, tmp_path / "a.csv")
    with pytest.raises(FileNotFoundError, match="read_intervals: there is no file"):
        read_intervals(tmp_path / "b.csv")
