"""Sessions from tables in CSV and Parquet."""

import csv

import numpy as np
import pandas as pd
import pytest
from complaints import assert_complaint

from popglm.recording import contents, read_table
from popglm.recording.files import optional_library
from popglm.warnings import PopglmWarning

T = 40


def table():
    rng = np.random.default_rng(0)
    return pd.DataFrame(
        {
            "t": 5 + np.arange(T) / 20,
            "trial": np.repeat([0.0, 1.0, np.nan, 2.0], T // 4),
            **{f"neuron_{k}": rng.poisson(1, T) for k in (2, 10, 1)},
            "speed": np.where(rng.uniform(size=T) < 0.1, np.nan, rng.normal(size=T)),
            "block": rng.integers(0, 3, T),
            "running": rng.uniform(size=T) < 0.5,
            "state": rng.choice(["run", "rest"], T),
        }
    )


@pytest.fixture(params=["csv", "tsv", "csv.gz", "parquet", "pqt"])
def path(request, tmp_path):
    path = tmp_path / f"session.{request.param}"
    if request.param in ("parquet", "pqt"):
        pytest.importorskip("pyarrow")
    if "csv" in request.param or request.param == "tsv":
        table().to_csv(path, index=False, sep="\t" if request.param == "tsv" else ",")
    else:
        table().to_parquet(path)
    return path


def test_round_trip(path):
    wrote = table()
    session = read_table(path, activity="neuron_*", trials="trial", times="t")
    counts = session.activity["activity"]
    assert counts.neuron.values.tolist() == ["neuron_2", "neuron_10", "neuron_1"]
    np.testing.assert_array_equal(counts.values, wrote[["neuron_2", "neuron_10", "neuron_1"]])
    np.testing.assert_array_equal(counts[3:7].sel(neuron="neuron_10").values, wrote.neuron_10[3:7])
    np.testing.assert_allclose(counts.time.values, wrote.t)
    assert set(session.signals) == {"speed", "block", "running", "state", "trial"}
    for name, steps in (("speed", False), ("block", True), ("running", True), ("state", True), ("trial", True)):
        found = session.signals[name]
        assert (found.attrs["between_samples"] == "steps") == steps
        if name == "state":
            assert found.values.tolist() == wrote.state.tolist()
        else:
            np.testing.assert_allclose(found.values.astype(float), wrote[name].astype(float))


@pytest.mark.parametrize("ending", ["csv", "csv.gz"])
def test_a_byte_order_mark_is_no_part_of_the_first_name(ending, tmp_path):
    path = tmp_path / f"session.{ending}"
    table().to_csv(path, index=False, encoding="utf-8-sig", quoting=csv.QUOTE_NONNUMERIC)
    session = read_table(path, activity="neuron_*", times="t")
    np.testing.assert_allclose(session.activity["activity"].time.values, table().t)


#: A quarter of a second between samples, an hour east of UTC for the first few.
STAMPS = pd.to_datetime("2024-03-01 10:00:00", utc=True) + pd.to_timedelta(np.arange(T) / 4, unit="s")


@pytest.mark.parametrize("suffix", ["csv", "parquet"])
def test_dates_and_durations_are_times(suffix, tmp_path):
    path = tmp_path / f"session.{suffix}"
    wrote = table().assign(
        when=STAMPS.tz_localize(None), passed=STAMPS - STAMPS[0], there=STAMPS.tz_convert("Asia/Tokyo")
    )
    wrote.loc[7, "passed"] = pd.NaT
    if suffix == "csv":
        wrote.to_csv(path, index=False)
    else:
        pytest.importorskip("pyarrow")
        wrote.to_parquet(path)
    since_1970 = np.array([stamp.timestamp() for stamp in STAMPS])
    assert since_1970[0] == 19_783 * 86_400 + 10 * 3_600
    for name, expected in {"when": since_1970, "there": since_1970, "passed": since_1970 - since_1970[0]}.items():
        session = read_table(path, activity="neuron_*", times=name, events={"start": name})
        known = np.arange(T) != 7 if name == "passed" else np.full(T, True)
        for found in (session.activity["activity"].time.values, session.events["start"].time.values):
            np.testing.assert_allclose(found[known], expected[known], rtol=0, atol=2.5e-7)
        assert np.isnan(session.activity["activity"].time.values[~known]).all()
        # no variables of their own
        assert set(session.signals) == {"t", "trial", "speed", "block", "running", "state"}
    asked = read_table(path, signals=["passed"], times="t").signals["passed"]
    np.testing.assert_array_equal(asked.values, np.where(known, np.arange(T) / 4, np.nan))
    assert contents(path).loc[["when", "passed", "there"], "kind"].tolist() == ["times"] * 3


@pytest.mark.parametrize(
    ("texts", "expected"),
    [
        (["2024-03-01T10:00:00.1234560+01:00", "2024-03-01T10:00:01Z"], [1709283600.123456, 1709287201]),
        (["2024-03-01 10:00", "2024-03-01 10:01"], [1709287200, 1709287260]),
        (["0:00:01.5", "25:01:00"], [1.5, 90060]),
        (["-1 days +23:59:59.5", "0 days 00:00:01"], [-0.5, 1]),
    ],
)
def test_how_times_are_written(texts, expected, tmp_path):
    pd.DataFrame({"when": texts, "x": [0.0, 1.0]}).to_csv(tmp_path / "a.csv", index=False)
    found = read_table(tmp_path / "a.csv", times="when").signals["x"].time.values
    np.testing.assert_allclose(found, expected, rtol=0, atol=2.5e-7)


@pytest.mark.parametrize(
    ("texts", "row"), [(["01.03.2024 10:00", "2.3.2024 10:00"], 0), (["2024-03-01T10:00", "then"], 1)]
)
def test_times_that_are_written_otherwise(texts, row, tmp_path):
    pd.DataFrame({"when": texts, "x": [0.0, 1.0]}).to_csv(tmp_path / "a.csv", index=False)
    complaint = (
        f"times: column 'when' must hold times; found {texts[row]!r} in row {row}, counted from 0; write seconds, or "
        "dates or durations such as 2024-03-01T10:00:00.25 and 0:01:30.5"
    )
    assert_complaint(complaint, lambda times: read_table(tmp_path / "a.csv", times=times), "when")
    assert read_table(tmp_path / "a.csv", rate=1).signals["when"].values.tolist() == texts


def test_a_day_alone_is_a_label(tmp_path):
    pd.DataFrame({"day": ["2024-03-01", "2024-03-02"]}).to_csv(tmp_path / "a.csv", index=False)
    assert read_table(tmp_path / "a.csv", rate=1).signals["day"].values.tolist() == ["2024-03-01", "2024-03-02"]


def test_some_columns(path):
    session = read_table(path, activity=["neuron_1", "neuron_2"], signals=["speed"], steps="speed", rate=20)
    assert session.activity["activity"].neuron.values.tolist() == ["neuron_1", "neuron_2"]
    assert list(session.signals) == ["speed"]
    assert session.signals["speed"].attrs["between_samples"] == "steps"
    np.testing.assert_allclose(session.activity["activity"].time.values, np.arange(T) / 20)


def test_trials_reach_the_grid(path):
    found = read_table(path, activity="neuron_*", trials="trial", times="t").regrid(trials="trial")
    expected = table().dropna(subset="trial")
    np.testing.assert_array_equal(found.trial.values.astype(float), expected.trial)
    np.testing.assert_allclose(found.time.values, expected.t)


@pytest.mark.parametrize(
    ("given", "named"),
    [
        ({"activity": "neurons_*", "rate": 1}, "no column is like 'neurons_*'"),
        ({"activity": "neuron_3", "rate": 1}, "did you mean 'neuron_"),
        ({"signals": "sped", "rate": 1}, "did you mean 'speed'"),
        ({"trials": "trials", "rate": 1}, "did you mean 'trial'"),
        ({"times": "time"}, "there is no column 'time'"),
        ({"times": "state"}, "column 'state' must hold times; found 'r"),
        ({"activity": ["state"], "rate": 1}, "column 'state' must hold numbers"),
        ({}, "found neither"),
        ({"times": "t", "rate": 1}, "found both"),
        ({"rate": "fast"}, "rate must be a number"),
        ({"times": 3}, "must be a string or None"),
        ({"activity": 3, "rate": 1}, "must be a name or a sequence of names"),
    ],
)
def test_what_is_refused(path, given, named):
    assert_complaint(named, lambda arguments: read_table(path, **arguments), given)


def test_whole_numbers_with_holes_in_parquet(tmp_path):
    pytest.importorskip("pyarrow")
    frame = pd.DataFrame(
        {"n": pd.array([1, None, 3], dtype="Int64"), "flag": pd.array([True, None, False], dtype="boolean")}
    )
    frame.to_parquet(tmp_path / "a.parquet")
    session = read_table(tmp_path / "a.parquet", activity="n", rate=1)
    np.testing.assert_array_equal(session.activity["activity"].values[:, 0], [1, np.nan, 3])
    np.testing.assert_array_equal(session.signals["flag"].values, [1, np.nan, 0])
    assert session.signals["flag"].attrs["between_samples"] == "steps"


def test_an_index_that_was_saved_is_a_column(tmp_path):
    pytest.importorskip("pyarrow")
    frame = table().set_index("t")
    frame.to_parquet(tmp_path / "a.parquet")
    session = read_table(tmp_path / "a.parquet", activity="neuron_*", times="t")
    np.testing.assert_allclose(session.activity["activity"].time.values, frame.index)


def test_float32_stays(tmp_path):
    pytest.importorskip("pyarrow")
    pd.DataFrame({"a": np.ones(3, "float32"), "b": np.ones(3, "float32")}).to_parquet(tmp_path / "a.parquet")
    assert read_table(tmp_path / "a.parquet", activity="*", rate=1).activity["activity"].dtype == np.float32


def test_bad_files(path):
    for content, named in (
        (b"", "is empty"),
        (path.read_bytes()[:-20] if "csv" not in path.name else b"\xff\xfe\x00", "is cut short"),
    ):
        if path.suffix in (".tsv",) and content:
            continue
        path.write_bytes(content)
        assert_complaint(named, lambda p: read_table(p, rate=1), path)
    with pytest.raises(FileNotFoundError, match="there is no file"):
        read_table(path.with_name("other.csv"), rate=1)


def test_contents(path):
    found = contents(path)
    assert found.loc["speed"].tolist() == ["continuous", (T,)]
    assert found.loc["state"].tolist() == ["text", (T,)]


def test_a_comma_at_the_end_of_rows_shifts_nothing(tmp_path):
    (tmp_path / "a.csv").write_text("t, n_1, speed\n0.0, 1, 3.5,\n0.1, 0, 4.5,\n")
    session = read_table(tmp_path / "a.csv", activity="n_*", times="t")
    assert session.activity["activity"].values[:, 0].tolist() == [1, 0]
    assert session.activity["activity"].time.values.tolist() == [0, 0.1]
    assert session.signals["speed"].values.tolist() == [3.5, 4.5]
    # decimal commas
    (tmp_path / "a.csv").write_text("t,n_1,speed\n0,0,1,3,5\n0,1,0,4,5\n")
    assert_complaint("rows have more values than the header", lambda p: read_table(p, rate=1), tmp_path / "a.csv")


def test_the_value_that_is_no_number_is_shown_with_its_row(tmp_path):
    path = tmp_path / "a.csv"
    path.write_text("t,n_0,n_1\n0,0,1\n1,,2\n2,3,2\n3,x,2\n4,y,2\n")
    complaint = "activity: column 'n_0' must hold numbers; found 'x' in row 3, counted from 0"
    assert_complaint(complaint, lambda names: read_table(path, activity=names, times="t"), "n_*")


@pytest.mark.parametrize("content", ["", "\n\n", "  \n"])
def test_a_file_without_a_table_is_empty_whatever_is_asked_for(tmp_path, content):
    path = tmp_path / "a.csv"
    path.write_text(content)
    for arguments in ({}, {"times": "t"}):
        assert_complaint("a.csv is empty", lambda given: read_table(path, **given), arguments)


def test_a_table_without_rows_is_told(tmp_path):
    (tmp_path / "a.csv").write_text("t,n_0\n")
    assert_complaint("has names of columns, but no rows", lambda n: read_table(tmp_path / "a.csv", activity=n), "n_*")


@pytest.mark.parametrize("mark", [";", "\t", "|"])
def test_tables_that_are_separated_otherwise(tmp_path, mark):
    path = tmp_path / "a.csv"
    table().to_csv(path, index=False, sep=mark)
    for read in (lambda p: read_table(p, activity="neuron_*", times="t"), contents):
        assert_complaint(f"a.csv seems to be separated by {mark!r}; give separator={mark!r}", read, path)
    session = read_table(path, activity="neuron_*", times="t", separator=mark)
    np.testing.assert_array_equal(session.activity["activity"].values[:, 0], table().neuron_2)
    table().to_csv(tmp_path / "a.tsv", index=False)
    assert_complaint("separated by ','; give separator=','", lambda p: read_table(p, rate=1), tmp_path / "a.tsv")


def test_decimal_commas(tmp_path):
    path = tmp_path / "a.csv"
    table().to_csv(path, index=False, sep=";", decimal=",")
    assert_complaint("give separator=';' and decimal=','", lambda p: read_table(p, rate=1), path)
    complaint = "'5,0' in row 0, counted from 0; give decimal=','"
    assert_complaint(complaint, lambda t: read_table(path, times=t, separator=";"), "t")
    session = read_table(path, activity="neuron_*", times="t", separator=";", decimal=",")
    np.testing.assert_allclose(session.activity["activity"].time.values, table().t)
    np.testing.assert_allclose(session.signals["speed"].values, table().speed)


@pytest.mark.parametrize(
    ("given", "named"),
    [
        ({"separator": ";;"}, "separator must be one character, such as ';'; found ';;'"),
        ({"separator": 3}, "separator must be one character"),
        ({"decimal": None}, "decimal must be one character"),
        ({"decimal": ","}, "separator and decimal are both ','"),
    ],
)
def test_marks_that_are_refused(tmp_path, given, named):
    table().to_csv(tmp_path / "a.csv", index=False)
    assert_complaint(named, lambda arguments: read_table(tmp_path / "a.csv", rate=1, **arguments), given)


def test_marks_are_not_for_parquet(tmp_path):
    pytest.importorskip("pyarrow")
    table().to_parquet(tmp_path / "a.pqt")
    assert_complaint("a.pqt is in Parquet", lambda p: read_table(p, rate=1, separator=";"), tmp_path / "a.pqt")


def test_a_library_that_is_missing():
    with pytest.raises(ImportError, match=r"needs no_such_library, .* pip install 'popglm\[parquet\]'"):
        optional_library("no_such_library.part", "parquet", "read_table")


@pytest.fixture(params=["csv", "tsv", "parquet"])
def events_path(request, tmp_path):
    """A table with a row per event, whose times are in no order and partly unknown."""
    frame = pd.DataFrame(
        {
            "time": [2.5, 0.5, np.nan, 7.25, 7.25],
            "reward_time": [3.0, np.nan, 4.5, np.nan, np.nan],
            "what": ["lick", "tone", "lick", None, "lick"],
            "side": [1.0, 2.0, 1.0, 1.0, np.nan],
        }
    )
    path = tmp_path / f"events.{request.param}"
    if request.param == "parquet":
        pytest.importorskip("pyarrow")
        frame.to_parquet(path)
    else:
        frame.to_csv(path, index=False, sep="\t" if request.param == "tsv" else ",")
    return path


def times_of(session):
    return {name: part.time.values[~np.isnan(part.time.values)].tolist() for name, part in session.events.items()}


@pytest.mark.parametrize(
    ("given", "expected"),
    [
        ("time", {"time": [2.5, 0.5, 7.25, 7.25]}),
        (["time", "reward_time"], {"time": [2.5, 0.5, 7.25, 7.25], "reward_time": [3.0, 4.5]}),
        ({"lick": "time", "reward": "reward_time"}, {"lick": [2.5, 0.5, 7.25, 7.25], "reward": [3.0, 4.5]}),
    ],
)
def test_rows_of_events_need_no_clock(events_path, given, expected):
    session = read_table(events_path, events=given)
    assert times_of(session) == expected
    assert (dict(session.signals), dict(session.activity)) == ({}, {})


@pytest.mark.filterwarnings("ignore:read_table. 1 of 5 rows have no")
def test_labels_tell_events_apart(events_path):
    assert times_of(read_table(events_path, events="time", labels="what")) == {"lick": [2.5, 7.25], "tone": [0.5]}
    # numbers stay whole where one is missing
    found = read_table(events_path, events={"lick": "time"}, labels="side")
    assert times_of(found) == {"lick.1": [2.5, 7.25], "lick.2": [0.5]}
    with pytest.warns(PopglmWarning, match="1 of 5 rows have no 'what', and are left out"):
        read_table(events_path, events="time", labels="what")


def test_events_beside_samples_are_no_signals(tmp_path):
    frame = table()
    frame["lick"] = [0.5, 1.25, *[np.nan] * (T - 2)]
    frame.to_csv(tmp_path / "a.csv", index=False)
    session = read_table(tmp_path / "a.csv", activity="neuron_*", times="t", events="lick")
    assert times_of(session) == {"lick": [0.5, 1.25]}
    assert "lick" not in session.signals
    assert "speed" in session.signals


@pytest.mark.parametrize(
    ("given", "named"),
    [
        ({"events": "when"}, "there is no column 'when'"),
        ({"events": "what"}, "events: column 'what' must hold times; found 'lick' in row 0"),
        ({"events": {"lick": ["time"]}}, r"events['lick'] must be the name of a column; found ['time']"),
        ({"events": 3}, "must be a name or a sequence of names"),
        ({"events": ["time", "reward_time"], "labels": "what"}, "labels are of one column of times"),
        ({"labels": "what", "rate": 1}, "labels are of one column of times"),
        ({"events": "time", "labels": "kind"}, "labels: there is no column 'kind'"),
        ({"events": "time", "signals": "side"}, "found neither. Of a table with a row per event, give events= alone"),
        ({}, "found neither"),
    ],
)
def test_what_is_refused_of_events(events_path, given, named):
    assert_complaint(named, lambda arguments: read_table(events_path, **arguments), given)
