"""Sessions of arrays of NumPy, in memory, in archives and in folders."""

from contextlib import suppress

import numpy as np
import pandas as pd
import pytest
from complaints import assert_complaint

from popglm.recording import contents, read_arrays
from popglm.warnings import PopglmWarning

T, N = 50, 3


def arrays():
    rng = np.random.default_rng(0)
    return {
        "spikes": rng.poisson(1, (T, N)).astype("int16"),
        "t": np.cumsum(rng.uniform(0.05, 0.15, T)),
        "speed": rng.normal(size=T).astype("float32"),
        "place": rng.normal(size=(T, 2)),
        "licks": np.array([0.5, 0.7]),
        "start": np.array([0.0, 2.0]),
        "stop": np.array([[1.0], [3.0]]),
        "cue": np.array(["left", "right"]),
        "depth": np.array([10.0, 20.0, 30.0]),
    }


@pytest.fixture(params=["memory", "npz", "compressed npz", "folder"])
def source(request, tmp_path):
    if request.param == "memory":
        return arrays()
    if "npz" in request.param:
        (np.savez if request.param == "npz" else np.savez_compressed)(tmp_path / "a.npz", **arrays())
        return tmp_path / "a.npz"
    for name, array in arrays().items():
        np.save(tmp_path / f"{name}.npy", array)
    return tmp_path


def test_round_trip(source):
    wrote = arrays()
    session = read_arrays(
        source,
        activity={"counts": "spikes"},
        neurons={"depth": "depth"},
        signals=["speed", "place"],
        events="licks",
        trials={"start_time": "start", "stop_time": "stop", "cue": "cue"},
        times="t",
    )
    counts = session.activity["counts"]
    np.testing.assert_array_equal(counts.values, wrote["spikes"])
    assert counts.dtype == np.int16
    np.testing.assert_array_equal(counts.time.values, wrote["t"])
    assert counts.depth.values.tolist() == [10, 20, 30]
    np.testing.assert_array_equal(session.signals["speed"].values, wrote["speed"])
    np.testing.assert_array_equal(session.signals["place"][5:7].values, wrote["place"][5:7])
    assert session.events["licks"].time.values.tolist() == [0.5, 0.7]
    assert session.trials.stop_time.tolist() == [1, 3]
    assert session.trials.cue.tolist() == ["left", "right"]


def test_a_matrix_that_lies_the_other_way(source):
    turned = read_arrays(source, activity="spikes.T", rate=2).activity["spikes"]
    np.testing.assert_array_equal(turned.values, arrays()["spikes"].T)
    with pytest.warns(PopglmWarning, match="turned round"):
        back = read_arrays(source, activity="spikes.T", times="t").activity["spikes"]
    np.testing.assert_array_equal(back.values, arrays()["spikes"])


def test_structs_in_memory():
    frame = pd.DataFrame({"start_time": [0.0, 1.0], "cue": ["a", "b"]})
    source = {"trials": frame, "vr": {"speed": np.arange(4.0)}, "trains": [np.array([0.1, 0.2]), np.zeros(0)]}
    session = read_arrays(source, activity="trains", signals="vr.speed", trials="trials", rate=2)
    pd.testing.assert_series_equal(session.trials.cue, frame.cue, check_dtype=False)
    assert session.signals["speed"].values.tolist() == [0, 1, 2, 3]
    assert session.activity["trains"].n_spikes.values.tolist() == [2, 0]
    assert read_arrays(source, events="trials.start_time").events["start_time"].time.values.tolist() == [0, 1]
    with pytest.raises(ValueError, match=r"there is no 'trials\.cues'"):
        read_arrays(source, signals="trials.cues", rate=1)


def test_trains_of_the_same_length_are_no_matrix():
    trains = [np.array([0.1, 0.2]), np.array([0.3, 0.4])]
    matrix = read_arrays({"x": trains}, activity="x", rate=1).activity["x"]
    assert matrix.sizes == {"sample": 2, "neuron": 2}
    ragged = np.empty(2, dtype=object)
    ragged[:] = trains
    assert read_arrays({"x": ragged}, activity="x").activity["x"].n_spikes.values.tolist() == [2, 2]


def test_text_per_sample(tmp_path):
    session = read_arrays({"state": np.array(["run", "rest", "run"])}, signals="state", rate=1)
    assert session.signals["state"].values.tolist() == ["run", "rest", "run"]
    assert session.signals["state"].attrs["between_samples"] == "steps"


def test_times_of_dates_and_durations():
    when = np.array(["2024-03-01T10:00:00.000", "2024-03-01T10:00:00.250"], "datetime64[ms]")
    held = {"F": np.zeros((2, 3)), "when": when, "passed": when - when[0]}
    for name, expected in {"when": [1709287200, 1709287200.25], "passed": [0, 0.25]}.items():
        session = read_arrays(held, activity="F", times=name, events={"tone": name})
        assert session.activity["F"].time.values.tolist() == expected
        assert session.events["tone"].time.values.tolist() == expected


def test_names_that_are_not_there(source):
    assert_complaint(
        "there is no 'spike'; did you mean 'spikes'", lambda a: read_arrays(source, activity=a, rate=1), "spike"
    )
    assert_complaint(
        "has shape (50,), but there are 2 times", lambda t: read_arrays(source, signals="speed", times=t), "licks"
    )
    assert_complaint(
        "50 times, but 2 clusters",
        lambda s: read_arrays(source, activity={"x": s}),
        {"times": "t", "clusters": "start"},
    )
    assert_complaint(
        "whole numbers", lambda s: read_arrays(source, activity={"x": s}), {"times": "speed", "clusters": "t"}
    )


def test_pickles_are_never_read(tmp_path):
    np.savez(tmp_path / "a.npz", x=np.array([{}, 1], dtype=object), y=np.zeros(3))
    assert_complaint(
        "'x' in a.npz holds pickled objects", lambda n: read_arrays(tmp_path / "a.npz", signals=n, rate=1), "x"
    )
    assert read_arrays(tmp_path / "a.npz", signals="y", rate=1).signals["y"].size == 3
    np.save(tmp_path / "x.npy", np.array([{}, 1], dtype=object))
    assert_complaint("x.npy holds pickled objects", lambda n: read_arrays(tmp_path / "x.npy", signals=n, rate=1), "x")


def test_bad_files(tmp_path):
    path = tmp_path / "a.npz"
    np.savez(path, x=np.arange(1000.0))
    whole = path.read_bytes()
    broken = bytearray(whole)
    broken[400] ^= 255
    for content, named in (
        (whole[:-50], "cut short"),
        (b"", "is empty"),
        (b"text", "no archive"),
        (bytes(broken), "is damaged"),
    ):
        path.write_bytes(content)
        assert_complaint(named, lambda n: read_arrays(path, signals=n, rate=1), "x")
    (tmp_path / "empty").mkdir()
    assert_complaint("holds no .npy file", lambda n: read_arrays(tmp_path / "empty", signals=n, rate=1), "x")
    with pytest.raises(FileNotFoundError, match="there is no file"):
        read_arrays(tmp_path / "b.npz", signals="x", rate=1)
    with pytest.raises(TypeError, match="give the path"):
        read_arrays(3, signals="x", rate=1)


@pytest.mark.thorough(keep=1)
@pytest.mark.parametrize("name", ["a.npy", "a.npz"])
def test_damage_anywhere_in_a_file_is_told_in_one_sentence(tmp_path, name):
    path = tmp_path / name
    (np.save if name == "a.npy" else np.savez_compressed)(path, *[np.ones((3, 2))])
    whole, column = path.read_bytes(), "a" if name == "a.npy" else "arr_0"
    damaged = [whole[:n] for n in range(len(whole))]
    damaged += [whole[:n] + bytes([other]) + whole[n + 1 :] for n in range(len(whole)) for other in (0, ord("("), 255)]
    for content in damaged:
        path.write_bytes(content)
        for read, who in ((contents, "contents"), (lambda p: read_arrays(p, signals=column, rate=1), "read_arrays")):
            with suppress(ValueError):
                read(path)
                continue
            assert_complaint(f"{who}: ", read, path)


def test_contents(tmp_path):
    np.savez(tmp_path / "a.npz", **arrays())
    assert contents(tmp_path / "a.npz").loc["spikes"].tolist() == ["int16", (T, N)]
    np.save(tmp_path / "b.npy", np.zeros((2, 3)))
    assert contents(tmp_path).loc["b"].tolist() == ["float64", (2, 3)]
    (tmp_path / "c.txt").write_text("hello")
    assert_complaint("must be a .mat", contents, tmp_path / "c.txt")


def test_no_recording_has_a_hundred_million_neurons():
    turned = np.broadcast_to(np.float32(1), (3, 10**8))

    def read(a):
        return read_arrays({"a": a}, activity="a", rate=10)

    for part in ("read_arrays: activity", "100,000,000 neurons, more than any recording has"):
        assert_complaint(part, read, turned)
