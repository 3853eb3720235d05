"""Results in NWB files: read again, against what was put in, and by the validators of NWB."""

import hashlib
import warnings
from importlib.util import find_spec

import numpy as np
import pandas as pd
import pytest
import xarray as xr

pytest.importorskip("pynwb", reason="pynwb is an optional extra: pip install 'popglm[nwb]'")
import pynwb
from recording.nwb_files import add_trials, harvey, new_file, steinmetz, write

import popglm as pg


@pytest.fixture(scope="module")
def results():
    """Predictions, kernels and contributions of a small model."""
    session = pg.maze_session(n_samples=900, n_neurons=3, n_task_variables=1)
    design = pg.maze_design(1)
    X = design.fit_transform(session.behavior)
    model = pg.GLMCV(penalty="group_lasso", n_lambdas=3, cv=3, tol=1e-2).fit(X, session.activity)
    times = 5 + np.arange(900) / 6
    neurons = [f"plane_0/{k}" for k in range(3)]
    full = pd.DataFrame(model.predict(X), times, neurons)
    held_out = pd.DataFrame(model.predict_held_out(X), times, neurons)
    named = {"neuron": neurons}
    bins = pg.bins(session.behavior["position"], np.linspace(20, 240, 5), 30)
    return {
        "predictions": {"full": full, "held_out": held_out},
        "kernels": {name: one.assign_coords(named) for name, one in pg.kernels(model, design, n_points=20).items()},
        "contributions": pg.breakdown(model, X, session.activity, by=bins).assign_coords(named),
    }


def read(path):
    """The objects of the module, and what keeps the file open."""
    io = pynwb.NWBHDF5IO(path, "r")
    return io.read().processing["popglm"].data_interfaces, io


def column(table, name):
    return np.asarray(table[name].data[:])


def digest(path):
    return hashlib.sha256(path.read_bytes()).hexdigest()


@pytest.mark.parametrize("of", [None, harvey, steinmetz])
def test_all_results_come_back(tmp_path, results, of):
    source = None if of is None else of(tmp_path).path
    before = None if of is None else digest(source)
    path = tmp_path / "results.nwb"
    pg.to_nwb(path, source, **results)
    found, io = read(path)
    with io:
        assert column(found["neurons"], "neuron").tolist() == [f"plane_0/{k}" for k in range(3)]
        for kind in ("full", "held_out"):
            series = found[f"predictions {kind}"]
            np.testing.assert_array_equal(series.data[:], results["predictions"][kind])
            times = series.starting_time + np.arange(900) / series.rate
            np.testing.assert_allclose(times, results["predictions"][kind].index, atol=1e-9)
        for group, kernels in results["kernels"].items():
            table = found[f"kernels {group}"]
            axis = next(d for d in kernels.sizes if d != "neuron")
            np.testing.assert_array_equal(column(table, axis), kernels[axis])
            np.testing.assert_array_equal(column(table, "kernel"), kernels["kernel"].T)
            np.testing.assert_array_equal(column(table, "mean_absolute"), kernels["mean_absolute"])
        np.testing.assert_array_equal(column(found["neurons"], "baseline"), results["kernels"]["position"]["baseline"])
        _check_contributions(found, results["contributions"])
    if of is not None:
        assert digest(source) == before
        activity = None if of is steinmetz else "deconvolved_activity_plane_0"
        with pg.read_nwb(path, activity=activity) as again, pg.read_nwb(source, activity=activity) as session:
            # tables of results are no events of the recording
            assert set(again.signals) - set(session.signals) == {"predictions full", "predictions held_out"}
            assert set(again.events) == set(session.events)
            assert session.trials.equals(again.trials)
            for name, one in session.activity.items():
                assert one.equals(again.activity[name])


def _check_contributions(found, expected):
    """Per neuron, per variable, and per bin and variable."""
    np.testing.assert_array_equal(column(found["neurons"], "null_deviance"), expected["null_deviance"])
    by_variable = found["contributions by variable"]
    assert column(by_variable, "variable").tolist() == expected["variable"].values.tolist()
    values = column(by_variable, "fraction_explained_deviance")
    np.testing.assert_array_equal(values, expected["fraction_explained_deviance"].transpose("variable", "neuron"))
    table = next(
        one
        for name, one in found.items()
        if name.startswith("contributions") and "binned_reduced_deviance" in one.colnames
    )
    binned = expected["binned_reduced_deviance"]
    for row in range(len(table.id)):
        at = {"variable": column(table, "variable")[row], "bin": column(table, "bin")[row]}
        one = (
            binned.sel(variable=at["variable"]).isel(bin=int(at["bin"]))
            if "bin" not in binned.indexes
            else binned.sel(at)
        )
        np.testing.assert_array_equal(column(table, "binned_reduced_deviance")[row], one)
        assert column(table, "center")[row] == one["center"].item()


def test_neurons_of_several_results_are_brought_together_by_name(tmp_path):
    times = np.array([0.0, 0.5, 2.0])
    path = tmp_path / "results.nwb"
    predictions = pd.DataFrame(np.arange(6.0).reshape(3, 2), times, ["a", "b"])
    contributions = pd.DataFrame({"deviance_explained": [0.1, 0.2]}, index=["c", "b"])
    others = "predictions and contributions are of different neurons, 1 of them shared: predictions alone has 'a'; "
    with pytest.warns(pg.PopglmWarning, match=others + "contributions alone has 'c'"):
        pg.to_nwb(path, predictions=predictions, contributions=contributions)
    found, io = read(path)
    with io:
        assert column(found["neurons"], "neuron").tolist() == ["a", "b", "c"]
        np.testing.assert_array_equal(column(found["neurons"], "deviance_explained"), [np.nan, 0.2, 0.1])
        # irregular times stay times
        np.testing.assert_array_equal(found["predictions"].timestamps[:], times)
        expected = np.c_[predictions, np.full(3, np.nan)]
        np.testing.assert_array_equal(found["predictions"].data[:], expected)


def write_and_read(path, labels, names):
    """The names of neurons, and a prediction, score and kernel of each, in a file of results with such labels."""
    kernel = xr.Dataset({"kernel": (("neuron", "x"), [[7.0], [8.0], [9.0]])}, coords={"x": [0.5]})
    pg.to_nwb(
        path,
        predictions=pd.DataFrame([[0.0, 1.0, 2.0]], [0.5], labels),
        kernels=kernel if names is None else kernel.assign_coords(neuron=names),
        contributions=pd.DataFrame({"deviance_explained": [0.1, 0.2, 0.3]}, index=names),
    )
    found, io = read(path)
    with io:
        table = found["neurons"]
        return [
            column(table, "neuron").tolist(),
            found["predictions"].data[0].tolist(),
            column(table, "deviance_explained").tolist(),
            column(found["kernels"], "kernel")[0].tolist(),
        ]


@pytest.mark.filterwarnings("error")
def test_labels_of_neurons_are_compared_as_texts(tmp_path):
    found = write_and_read(tmp_path / "results.nwb", [0, 2, 3], ["3", "0", "2"])
    assert found == [["0", "2", "3"], [0, 1, 2], [0.2, 0.3, 0.1], [8, 9, 7]]


@pytest.mark.filterwarnings("error")
@pytest.mark.parametrize(
    ("labels", "names", "expected"),
    [
        (None, ["neuron0", "neuron1", "neuron2"], ["neuron0", "neuron1", "neuron2"]),
        (None, ["b", "c", "a"], ["b", "c", "a"]),
        ([0, 2, 3], ["neuron0", "neuron1", "neuron2"], ["0", "2", "3"]),
        ([0, 2, 3], None, ["0", "2", "3"]),
        ([0, 1, 2], ["neuron0", "neuron1", "neuron2"], ["0", "1", "2"]),
    ],
)
def test_neurons_that_are_counted_take_the_names_of_others(tmp_path, labels, names, expected):
    found = write_and_read(tmp_path / "results.nwb", labels, names)
    assert found == [expected, [0, 1, 2], [0.1, 0.2, 0.3], [7, 8, 9]]


def test_a_neuron_twice_in_a_result(tmp_path):
    twice = pd.DataFrame(np.ones((2, 2)), [0.0, 0.5], [1, "1"])
    with pytest.raises(ValueError, match="to_nwb: predictions has the neuron '1' more than once"):
        pg.to_nwb(tmp_path / "results.nwb", predictions=twice)


def test_kernels_over_two_axes(tmp_path):
    kernel = xr.DataArray(np.arange(12.0).reshape(2, 2, 3), dims=("neuron", "x", "y"))
    data = xr.Dataset({"kernel": kernel}, coords={"x": [0.5, 1.5], "y": ["a", "b", "c"]})
    data["x"].attrs["units"] = "cm"
    path = tmp_path / "results.nwb"
    pg.to_nwb(path, kernels={"x × y / z": data})
    found, io = read(path)
    with io:
        table = found["kernels x × y  over  z"]
        assert column(table, "x").tolist() == [0.5, 0.5, 0.5, 1.5, 1.5, 1.5]
        assert column(table, "y").tolist() == list("abcabc")
        np.testing.assert_array_equal(column(table, "kernel"), kernel.values.reshape(2, 6).T)
        assert table["x"].description == "x in cm"


def test_predictions_on_the_grid_of_a_session(tmp_path):
    with pg.read_nwb(harvey(tmp_path).path, activity="deconvolved_activity_plane_0") as session:
        data = session.regrid(trials=1.0, variables=[])
        pg.to_nwb(tmp_path / "results.nwb", session=session, predictions=data["activity"])
    found, io = read(tmp_path / "results.nwb")
    with io:
        # a copy of the session's own file
        assert "behavior" in io.read().processing
        np.testing.assert_array_equal(found["predictions"].data[:], data["activity"])
        assert column(found["neurons"], "neuron").tolist() == data.neuron.values.tolist()


def test_a_new_file_says_what_the_session_says(tmp_path):
    nwb = new_file("session 7")
    nwb.subject = pynwb.file.Subject(subject_id="M1", species="Mus musculus", age="P90D")
    nwb.add_unit(spike_times=[0.1])
    with pg.read_nwb(write(nwb, tmp_path / "session.nwb")) as session:
        attrs = {**session.attrs, "source": "elsewhere.mat"}
        other = pg.Session(activity=session.activity, attrs=attrs)
        pg.to_nwb(tmp_path / "results.nwb", session=other, predictions=pd.DataFrame({"a": [1.0]}, index=[0.5]))
    with pynwb.NWBHDF5IO(tmp_path / "results.nwb", "r") as io:
        found = io.read()
        assert (found.identifier, found.subject.subject_id) == ("session 7", "M1")
        assert found.session_start_time == nwb.session_start_time
        assert found.units is None


def test_wrong_arguments(tmp_path):
    good = pd.DataFrame({"a": [1.0, 2.0]}, index=[0.0, 0.5])
    nwb = new_file()
    add_trials(nwb, 1, {})
    source = write(nwb, tmp_path / "source.nwb")
    before = digest(source)
    (tmp_path / "text.nwb").write_text("no file of HDF5")
    link = tmp_path / "link.nwb"
    link.symlink_to(source)
    hard = tmp_path / "hard.nwb"
    hard.hardlink_to(source)
    for path in (source, link, hard):
        with pytest.raises(ValueError, match="is the source, which is never changed"):
            pg.to_nwb(path, source, predictions=good)
    path = tmp_path / "results.nwb"
    with pytest.raises(ValueError, match="give predictions, kernels or contributions"):
        pg.to_nwb(path, source)
    with pytest.raises(FileNotFoundError, match="there is no file"):
        pg.to_nwb(path, tmp_path / "none.nwb", predictions=good)
    with pytest.raises(ValueError, match="is no NWB file of HDF5"):
        pg.to_nwb(path, tmp_path / "text.nwb", predictions=good)
    with pytest.raises(TypeError, match="predictions must be a DataFrame or DataArray with labels"):
        pg.to_nwb(path, predictions=good.to_numpy())
    with pytest.raises(ValueError, match="predictions must have the times of its rows in seconds as index"):
        pg.to_nwb(path, predictions=good.reset_index(drop=True))
    with pytest.raises(TypeError, match="kernels position must be a Dataset with labels"):
        pg.to_nwb(path, kernels={"position": good})
    with pytest.raises(TypeError, match="session must come from a reader"):
        pg.to_nwb(path, session=source, predictions=good)
    with pytest.raises(ValueError, match=r"the folder .* does not exist"):
        pg.to_nwb(tmp_path / "none" / "results.nwb", predictions=good)
    assert not path.exists()
    assert digest(source) == before
    pg.to_nwb(path, source, predictions=good)
    with pytest.raises(ValueError, match="has results of popglm already"):
        pg.to_nwb(tmp_path / "again.nwb", path, predictions=good)
    assert sorted(one.name for one in tmp_path.iterdir()) == [
        "hard.nwb",
        "link.nwb",
        "results.nwb",
        "source.nwb",
        "text.nwb",
    ]


def test_what_was_there_stays_whole_if_writing_fails(tmp_path, monkeypatch):
    good = pd.DataFrame({"a": [1.0, 2.0]}, index=[0.0, 0.5])
    path = tmp_path / "results.nwb"
    pg.to_nwb(path, predictions=good)
    before = digest(path)

    def fails(*arguments, **options):
        raise OSError("the disk is gone")

    monkeypatch.setattr(pynwb.NWBHDF5IO, "write", fails)
    with pytest.raises(OSError, match="cannot be written"):
        pg.to_nwb(path, predictions=good)
    assert digest(path) == before
    assert [one.name for one in tmp_path.iterdir()] == ["results.nwb"]


@pytest.mark.parametrize("of", [None, harvey])
def test_the_validators_of_nwb_find_nothing(tmp_path, results, of):
    path = tmp_path / "results.nwb"
    source = None if of is None else of(tmp_path).path
    pg.to_nwb(path, source, **results)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        assert list(pynwb.validate(path=str(path))) == []
    if find_spec("nwbinspector") is None:
        pytest.skip("nwbinspector is not installed: pip install 'popglm[dev]'")
    from nwbinspector import Importance, inspect_nwbfile

    least = Importance.BEST_PRACTICE_VIOLATION.value
    found = [one for one in inspect_nwbfile(nwbfile_path=str(path)) if one.importance.value >= least]
    ours = [one for one in found if "/processing/popglm" in str(one.location) or one.object_name == "popglm"]
    assert ours == []
