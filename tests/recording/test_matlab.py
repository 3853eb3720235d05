"""Files of MATLAB: the same session from versions 5 and 7.3, and files that MATLAB itself wrote."""

from contextlib import suppress
from pathlib import Path

import h5py
import numpy as np
import pytest
import scipy.io
from complaints import assert_complaint
from matlab_writer import Object, Struct, write_mat73
from scipy.sparse import csc_array

from popglm.recording import contents, read_matlab
from popglm.recording.mat_files import MatFile
from popglm.warnings import PopglmWarning

T, N = 60, 4
NOTHING = np.zeros((0, 0))
OF_MATLAB = Path(scipy.io.__file__).parent / "matlab" / "tests" / "data"


def variables():
    rng = np.random.default_rng(0)
    return {
        "F": rng.normal(size=(T, N)).astype("float32"),
        "counts": rng.poisson(2, (T, N)).astype("float64"),
        "t": 0.5 + np.arange(T)[None, :] / 30,
        "fs": 30.0,
        "running": (rng.uniform(size=(T, 1)) < 0.5),
        "vr": {
            "speed": rng.normal(size=(T, 1)),
            "pos": rng.normal(size=(T, 2)),
            "trial": np.repeat([1.0, 2, 3], T // 3),
        },
        "trials": Struct(
            {"start_time": float(k), "stop_time": k + 0.5, "cue": cue, "correct": k == 1, "rt": rt, "licks": licks}
            for k, (cue, rt, licks) in enumerate(
                [("left", 0.3, np.array([[0.1, 0.2]])), ("right", NOTHING, NOTHING), ("", 0.4, np.array([[2.1]]))]
            )
        ),
        "table": {
            "onset": np.arange(3.0)[:, None],
            "offset": np.arange(3.0)[None, :] + 1,
            "cue": ["a", "b", "c"],
            "n": 3.0,
        },
        "spikes": [np.array([[0.1, 0.2]]), np.zeros((0, 0)), np.array([[0.3], [0.5]])],
        "cells": {
            "depth": np.array([[10.0, 20, 30, 40]]),
            "area": ["V1", "RSC", "V1", "PM"],
            "good": np.array([[True, False, True, True]]),
        },
        "st": np.array([[0.1], [0.2], [0.4]]),
        "clu": np.array([[7.0], [3.0], [7.0]]),
        "sparse_counts": csc_array(np.eye(T, N)),
        "nothing": np.zeros((0, 0)),
        "name": "µ-mouse",
    }


def for_savemat(value):
    if isinstance(value, Struct):
        kinds = [(name, object) for name in value[0]]
        return np.array([[tuple(for_savemat(one[name]) for name, _ in kinds) for one in value]], dtype=kinds)
    if isinstance(value, dict):
        return {name: for_savemat(one) for name, one in value.items()}
    if isinstance(value, list):
        cells = np.empty((1, len(value)), dtype=object)
        for k, one in enumerate(value):
            cells[0, k] = for_savemat(one)
        return cells
    return value


@pytest.fixture(params=["5", "5, compressed", "7.3"])
def path(request, tmp_path):
    if request.param == "7.3":
        return write_mat73(tmp_path / "session.mat", variables())
    scipy.io.savemat(tmp_path / "session.mat", for_savemat(variables()), do_compression="," in request.param)
    return tmp_path / "session.mat"


def test_traces_and_signals(path):
    wrote = variables()
    session = read_matlab(
        path, activity=["F", "counts", "sparse_counts"], signals=["vr.speed", "vr.pos", "running"], times="t"
    )
    for name in ("F", "counts"):
        np.testing.assert_array_equal(session.activity[name].values, wrote[name])
        assert session.activity[name].dtype == wrote[name].dtype
        np.testing.assert_array_equal(session.activity[name].time.values, wrote["t"][0])
    np.testing.assert_array_equal(session.activity["sparse_counts"].values, np.eye(T, N))
    np.testing.assert_array_equal(session.signals["speed"].values, wrote["vr"]["speed"][:, 0])
    np.testing.assert_array_equal(session.signals["pos"].values, wrote["vr"]["pos"])
    running = session.signals["running"]
    assert running.dtype == bool
    assert running.attrs["between_samples"] == "steps"
    np.testing.assert_array_equal(running.values, wrote["running"][:, 0])


def test_rates(path):
    for rate in (30, "fs"):
        session = read_matlab(path, activity="F", rate=rate)
        np.testing.assert_allclose(session.activity["F"].time.values, np.arange(T) / 30)


def test_neurons(path):
    session = read_matlab(path, activity="F", neurons="cells", rate=30)
    found = session.activity["F"]
    assert found.area.values.tolist() == ["V1", "RSC", "V1", "PM"]
    assert found.depth.values.tolist() == [10, 20, 30, 40]
    assert found.good.values.tolist() == [True, False, True, True]
    assert found.good.dtype == bool
    session = read_matlab(path, activity="F", neurons={"where": "cells.area"}, rate=30)
    assert session.activity["F"]["where"].values.tolist() == ["V1", "RSC", "V1", "PM"]
    session = read_matlab(path, activity="F", neurons="cells.depth", rate=30)
    assert session.activity["F"].neuron.values.tolist() == [10, 20, 30, 40]


def test_spike_trains(path):
    session = read_matlab(path, activity={"cells": "spikes", "vector": {"times": "st", "clusters": "clu"}})
    trains = session.activity["cells"]
    assert trains.n_spikes.values.tolist() == [2, 0, 2]
    assert trains.spike_time.values.tolist() == [0.1, 0.2, 0.3, 0.5]
    trains = session.activity["vector"]
    assert trains.neuron.values.tolist() == [3, 7]
    assert trains.spike_time.values.tolist() == [0.2, 0.1, 0.4]


def test_trials_of_a_struct_array(path):
    with pytest.warns(PopglmWarning, match="licks do not have one entry"):
        trials = read_matlab(path, trials="trials").trials
    assert trials.start_time.tolist() == [0, 1, 2]
    assert trials.cue.tolist() == ["left", "right", ""]
    assert trials.correct.tolist() == [False, True, False]
    np.testing.assert_array_equal(trials.rt, [0.3, np.nan, 0.4])
    assert "licks" not in trials


def test_trials_under_other_names(path):
    named = {"start_time": "table.onset", "stop_time": "table.offset", "cue": "table.cue"}
    trials = read_matlab(path, trials=named).trials
    assert trials.stop_time.tolist() == [1, 2, 3]
    assert trials.cue.tolist() == ["a", "b", "c"]
    assert_complaint("no field 'start_time'; it has ", lambda t: read_matlab(path, trials=t), "table")
    assert_complaint(
        "'n' has 1 entries, but there are 3", lambda t: read_matlab(path, trials=t), named | {"n": "table.n"}
    )


def test_a_trial_number_per_sample(path):
    session = read_matlab(path, trials="vr.trial", times="t")
    assert session.signals["trial"].attrs["between_samples"] == "steps"
    assert session.signals["trial"].values.tolist() == [1.0] * 20 + [2.0] * 20 + [3.0] * 20


def test_events_of_all_trials(path):
    session = read_matlab(path, events=["trials.licks", "st"])
    assert session.events["licks"].time.values.tolist() == [0.1, 0.2, 2.1]
    assert session.events["st"].time.values.tolist() == [0.1, 0.2, 0.4]


def test_arguments_of_makers(path):
    spec = {"values": "vr.pos", "rate": 10, "start": 2, "columns": ["x", "y"], "unit": "cm"}
    found = read_matlab(path, signals={"place": spec}, times="t").signals["place"]
    np.testing.assert_allclose(found.time.values, 2 + np.arange(T) / 10)
    assert found.column.values.tolist() == ["x", "y"]
    assert found.attrs["units"] == "cm"
    assert_complaint(
        "unknown entry 'unti'; did you mean 'unit'",
        lambda s: read_matlab(path, signals={"place": s}),
        spec | {"unti": 1},
    )


def test_a_matrix_that_lies_the_other_way(path):
    wrote = variables()["F"]
    session = read_matlab(path, activity="F", rate=30)
    np.testing.assert_array_equal(read_matlab(path, activity="F.T", rate=30).activity["F"].values, wrote.T)
    with pytest.warns(PopglmWarning, match="neurons first and samples second"):
        turned = read_matlab(path, activity="F.T", times="t")
    np.testing.assert_array_equal(turned.activity["F"].values, wrote)
    np.testing.assert_array_equal(session.activity["F"].values, wrote)


def test_names_that_are_not_there(path):
    def read(given):
        return read_matlab(path, **given)

    assert_complaint("there is no 'f'; did you mean 'F'", read, {"activity": "f", "rate": 3})
    assert_complaint("did you mean 'vr.speed'", read, {"signals": "vr.sped", "rate": 3})
    assert_complaint("there is no 'sped'; did you mean 'vr.speed'", read, {"signals": {"x": "sped"}, "rate": 3})
    assert_complaint("there is no 'T'", read, {"activity": "F", "times": "T"})
    assert_complaint("nothing is named", read, {})
    assert_complaint("needs times= or rate=", read, {"activity": "F"})
    assert_complaint("found both", read, {"activity": "F", "times": "t", "rate": 3})
    assert_complaint("there are 4 times", read, {"signals": "running", "times": "cells.depth"})
    assert_complaint("is a struct; name a field", read, {"signals": "vr", "rate": 3})
    assert_complaint("must be samples × neurons", read, {"activity": "nothing", "rate": 3})
    assert_complaint(
        "must be samples × neurons, or a list of spike trains", read, {"activity": {"a": np.zeros(3)}, "rate": 3}
    )
    assert_complaint("is a text, 'µ-mouse'", read, {"events": "name"})
    assert_complaint("must hold numbers", read, {"events": "cells.area"})
    assert_complaint("rate must be one number", read, {"activity": "F", "rate": "t"})
    assert_complaint("must be names", read, {"activity": 3, "rate": 3})
    assert_complaint("3 rows", read, {"activity": "F", "rate": 3, "neurons": np.arange(3)})


def test_contents(path):
    table = contents(path)
    assert table.loc["F"].tolist() == ["float32", (T, N)]
    assert table.loc["running"].tolist() == ["bool", (T, 1)]
    assert table.loc["trials"].tolist() == ["struct", (3,)]
    assert table.loc["trials.cue"].tolist() == ["cell", (3,)]
    assert table.loc["vr.pos"].tolist() == ["float64", (T, 2)]
    assert table.loc["name", "kind"] == "text"
    assert table.loc["nothing"].tolist() == ["float64", (0, 0)]


def test_elements_and_texts(path):
    file = MatFile(path, "test")
    assert file.get("trials(2).cue") == "right"
    np.testing.assert_array_equal(file.get("spikes{3}").reshape(-1), [0.3, 0.5])
    assert file.get("name") == "µ-mouse"
    for name in ("trials(4).cue", "trials(0).cue", "spikes{9}", "F.x", "", "vr(2).speed"):
        with pytest.raises(KeyError):
            file.get(name)


def test_large_matrices_stay_in_files_of_7_3(tmp_path):
    big = np.random.default_rng(0).normal(size=(3000, 50))
    path = write_mat73(tmp_path / "big.mat", {"F": big, "flags": big > 0})
    session = read_matlab(path, activity={"F": "F", "turned": {"values": "F.T", "rate": 3}}, signals="flags", rate=30)
    assert not session.activity["F"].variable._in_memory
    np.testing.assert_array_equal(session.activity["F"][100:110, 3:5].values, big[100:110, 3:5])
    np.testing.assert_array_equal(session.activity["F"].sel(neuron=[1, 7])[::500].values, big[::500, [1, 7]])
    np.testing.assert_array_equal(session.activity["turned"].values, big.T)
    assert session.signals["flags"].dtype == bool
    np.testing.assert_array_equal(session.signals["flags"].values, big > 0)
    with pytest.warns(PopglmWarning, match="turned round"):
        turned = read_matlab(path, activity="F", times=np.arange(50.0))
    np.testing.assert_array_equal(turned.activity["F"][3:5].values, big.T[3:5])


@pytest.mark.parametrize("kind", ["table", "string", "datetime", "containers.Map", "my.Class"])
def test_objects_that_only_matlab_reads(tmp_path, kind):
    path = write_mat73(tmp_path / "a.mat", {"x": Object(kind), "y": 3.0})
    assert_complaint(f"'x' is of MATLAB's class {kind!r}", lambda n: read_matlab(path, signals=n, rate=1), "x")
    assert contents(path).loc["x", "kind"] == "object of MATLAB"


def test_what_other_readers_make_of_it(tmp_path):
    pymatreader, mat73 = pytest.importorskip("pymatreader"), pytest.importorskip("mat73")
    wrote = {name: value for name, value in variables().items() if name in ("F", "counts", "t", "st", "cells", "vr")}
    path = write_mat73(tmp_path / "a.mat", wrote)
    file = MatFile(path, "test")
    for other in (pymatreader.read_mat(path), mat73.loadmat(path)):
        for name in ("F", "counts", "t", "st"):
            np.testing.assert_array_equal(np.squeeze(file.get(name)), other[name])
        np.testing.assert_array_equal(file.get("vr.pos"), other["vr"]["pos"])
        assert file.get("cells.area") == other["cells"]["area"]


@pytest.mark.skipif(not OF_MATLAB.is_dir(), reason="scipy is installed without the files of its tests")
def test_files_that_matlab_wrote():
    def get(file, name):
        return MatFile(OF_MATLAB / file, "test").get(name)

    for version in ("7.4_GLNX86", "6.1_SOL2", "4.2c_SOL2"):
        np.testing.assert_allclose(get(f"testdouble_{version}.mat", "testdouble"), np.linspace(0, 2 * np.pi, 9)[None])
    np.testing.assert_allclose(get("testhdf5_7.4_GLNX86.mat", "testdouble"), np.linspace(0, 2 * np.pi, 9)[None])
    counts = get("test3dmatrix_7.4_GLNX86.mat", "test3dmatrix")
    assert counts.dtype == np.float64
    assert get("testbool_8_WIN64.mat", "testbools").tolist() == [[True], [False]]
    assert (
        get("testcell_7.4_GLNX86.mat", "testcell")[0]
        == "This cell contains this string and 3 arrays of increasing length"
    )
    found = get("teststructarr_7.4_GLNX86.mat", "teststructarr")
    assert [np.asarray(one).reshape(-1)[0] for one in found["one"]] == [1, "number 1"]
    assert get("teststruct_7.4_GLNX86.mat", "teststruct.stringfield") == "Rats live on no evil star."
    assert get("testunicode_7.4_GLNX86.mat", "testunicode").startswith("Japanese:")
    np.testing.assert_array_equal(
        get("testsparse_7.4_GLNX86.mat", "testsparse"), [[1, 2, 3, 4, 5], [2] + [0] * 4, [3] + [0] * 4]
    )
    assert_complaint("function_handle", lambda n: get("testfunc_7.4_GLNX86.mat", n), "testfunc")
    for file in ("corrupted_zlib_data.mat", "malformed1.mat"):
        assert_complaint("damaged", lambda f: MatFile(OF_MATLAB / f, "test").names(), file)
    imaginary = get("testcomplex_7.4_GLNX86.mat", "testcomplex")
    np.testing.assert_allclose(imaginary, np.exp(1j * np.linspace(0, 2 * np.pi, 9))[None])


def test_bad_files(path):
    whole = path.read_bytes()
    for damaged, named in (
        (whole[: len(whole) // 2], "cut short"),
        (b"", "is empty"),
        (b"x" * 3000, "is not a file of MATLAB"),
    ):
        path.write_bytes(damaged)
        assert_complaint(named, lambda n: read_matlab(path, activity=n, rate=3), "counts")
    with pytest.raises(FileNotFoundError, match="there is no file"):
        read_matlab(path.with_name("other.mat"), activity="F", rate=3)


@pytest.mark.parametrize("compressed", [False, True])
def test_a_file_that_is_cut_short_anywhere_is_told_in_one_sentence(tmp_path, compressed):
    scipy.io.savemat(tmp_path / "a.mat", {"F": np.ones((4, 9))}, do_compression=compressed)
    whole, path = (tmp_path / "a.mat").read_bytes(), tmp_path / "b.mat"
    # the header alone, 128 bytes, is a file without variables
    for n in {*range(6, len(whole))} - {128}:
        path.write_bytes(whole[:n])
        assert_complaint("b.mat is cut short", contents, path)
        assert_complaint("b.mat is cut short", lambda p: read_matlab(p, activity="F", rate=3), path)


def test_damage_within_a_file_of_hdf5_is_told_in_one_sentence(tmp_path):
    whole, path = write_mat73(tmp_path / "a.mat", {"F": np.ones((4, 9))}).read_bytes(), tmp_path / "b.mat"

    def read(path):
        return read_matlab(path, activity="F", rate=3)

    told = 0
    for n in range(512, 2000, 5):
        path.write_bytes(whole[:n] + bytes([whole[n] ^ 255]) + whole[n + 1 :])
        with suppress(ValueError):
            read(path)
            continue
        assert_complaint("read_matlab: ", read, path)
        told += 1
    assert told > 20


def test_cells_are_counted_down_the_columns_first(tmp_path):
    cells = np.array([["a", "b"], ["c", "d"]], dtype=object)
    scipy.io.savemat(tmp_path / "a.mat", {"x": cells})
    assert MatFile(tmp_path / "a.mat", "test").get("x") == ["a", "c", "b", "d"]
    path = write_mat73(tmp_path / "b.mat", {"x": ["a", "c", "b", "d"]})
    with h5py.File(path, "r+") as file:
        references, marks = file["x"][()], dict(file["x"].attrs)
        del file["x"]
        # a cell array of 2 × 2, whose axes lie the other way round in the file
        made = file.create_dataset("x", data=references.reshape(2, 2), dtype=h5py.ref_dtype)
        made.attrs.update(marks)
    assert MatFile(path, "test").get("x{3}") == "b"


def test_hdf5_of_somebody_else(tmp_path):
    with h5py.File(tmp_path / "a.mat", "w") as file:
        file["F"] = np.zeros((3, 2))
    assert_complaint("not of MATLAB", lambda n: read_matlab(tmp_path / "a.mat", activity=n, rate=3), "F")
