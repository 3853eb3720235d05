"""Sessions from tables in CSV and Parquet."""

import numpy as np
import pandas as pd
import pytest
from complaints import assert_complaint

from popglm.recording import contents, read_table
from popglm.recording.files import optional_library

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
        ({"times": "state"}, "column 'state' must hold numbers; found 'r"),
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


def test_a_library_that_is_missing():
    with pytest.raises(ImportError, match=r"needs no_such_library, .* pip install 'popglm\[parquet\]'"):
        optional_library("no_such_library.part", "parquet", "read_table")
