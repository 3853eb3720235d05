"""Folders of suite2p, written here as its versions write them."""

import datetime
import os
import pickle
from pathlib import Path

import numpy as np
import pytest
from complaints import assert_complaint

from popglm.recording import read_suite2p
from popglm.warnings import PopglmWarning

N_FRAMES = 50


def write_plane(folder, n_rois=4, n_frames=N_FRAMES, seed=0, ops=None, version=0):
    """A plane in the files of suite2p before (0) and since (1) version 1; returns its arrays."""
    rng = np.random.default_rng(seed)
    folder.mkdir(parents=True)
    arrays = {kind: rng.normal(size=(n_rois, n_frames)).astype("float32") for kind in ("F", "Fneu", "spks")}
    for kind, array in arrays.items():
        np.save(folder / f"{kind}.npy", array)
    arrays["iscell"] = np.column_stack([rng.integers(0, 2, n_rois), rng.uniform(size=n_rois)])
    np.save(folder / "iscell.npy", arrays["iscell"])
    arrays["stat"] = [
        {
            "ypix": np.arange(k + 2),
            "lam": np.ones(k + 2, "float32"),
            "med": [10 * k, 10 * k + 1],
            "npix": k + 2,
            "skew": np.float32(k / 2),
            "overlap": np.zeros(k + 2, dtype=bool),
        }
        for k in range(n_rois)
    ]
    np.save(folder / "stat.npy", np.array(arrays["stat"], dtype=object))
    settings = {
        "fs": 6.0,
        "nplanes": 2,
        "data_path": ["/data"],
        "date_proc": datetime.datetime(2026, 1, 1),
        "yrange": [0, 2],
    }
    settings |= {
        "save_path0": Path("/data"),
        "meanImg": np.ones((3, 2), "float32"),
        "nframes": n_frames,
        "diameter": None,
    }
    settings |= ops or {}
    if version == 0:
        np.save(folder / "ops.npy", settings)
    else:
        np.save(folder / "db.npy", {name: value for name, value in settings.items() if name != "fs"})
        np.save(folder / "settings.npy", {"fs": settings["fs"], "run": {"do_deconvolution": True}})
    return arrays


@pytest.mark.parametrize("version", [0, 1])
@pytest.mark.parametrize("given", ["suite2p/plane0", "suite2p", "."])
def test_one_plane(tmp_path, given, version):
    wrote = write_plane(tmp_path / "suite2p" / "plane0", version=version)
    session = read_suite2p(tmp_path / given)
    assert list(session.activity) == ["spks", "F", "Fneu"]
    for kind, found in session.activity.items():
        np.testing.assert_array_equal(found.values, wrote[kind].T)
        np.testing.assert_allclose(found.time.values, np.arange(N_FRAMES) / 6)
    spks = session.activity["spks"]
    assert spks.neuron.values.tolist() == [0, 1, 2, 3]
    np.testing.assert_array_equal(spks.iscell.values, wrote["iscell"][:, 0] == 1)
    np.testing.assert_array_equal(spks.probability.values, wrote["iscell"][:, 1])
    assert spks.med_y.values.tolist() == [0, 10, 20, 30]
    assert spks.med_x.values.tolist() == [1, 11, 21, 31]
    assert spks.npix.values.tolist() == [2, 3, 4, 5]
    assert spks["skew"].values.tolist() == [0, 0.5, 1, 1.5]
    assert set(spks.plane.values) == {0}
    assert not {"ypix", "lam", "overlap", "med"} & set(spks.coords)


def test_planes_in_order_and_combined_left_out(tmp_path):
    wrote = {
        k: write_plane(tmp_path / f"plane{k}", n_rois=2 + k % 3, n_frames=N_FRAMES - (k == 10), seed=k)
        for k in (0, 2, 10)
    }
    write_plane(tmp_path / "combined", n_rois=8)
    session = read_suite2p(tmp_path)
    assert list(session.activity)[:4] == ["spks/plane_0", "spks/plane_2", "spks/plane_10", "F/plane_0"]
    assert sum(found.sizes["neuron"] for name, found in session.activity.items() if name.startswith("F/")) == 2 + 4 + 3
    for k, arrays in wrote.items():
        found = session.activity[f"F/plane_{k}"]
        np.testing.assert_array_equal(found.values, arrays["F"].T)
        assert found.neuron.values.tolist() == [f"plane_{k}/{j}" for j in range(len(arrays["F"]))]
        assert set(found.plane.values) == {k}


def test_parts_are_read_when_asked_for(tmp_path):
    wrote = write_plane(tmp_path / "plane0")
    session = read_suite2p(tmp_path)
    np.testing.assert_array_equal(session.activity["F"][10:20, 1:3].values, wrote["F"].T[10:20, 1:3])
    np.testing.assert_array_equal(session.activity["F"].sel(neuron=2)[::7].values, wrote["F"][2, ::7])
    # nothing was kept: what the file holds now is what comes
    np.save(tmp_path / "plane0" / "F.npy", wrote["F"] + 1)
    np.testing.assert_array_equal(session.activity["F"].values, wrote["F"].T + 1)


def test_clocks(tmp_path):
    write_plane(tmp_path / "plane0")
    write_plane(tmp_path / "plane1", n_frames=N_FRAMES - 1)
    times = {"plane_0": np.arange(N_FRAMES) * 0.2, "plane_1": np.arange(N_FRAMES - 1) * 0.2 + 0.1}
    session = read_suite2p(tmp_path, times=times)
    for name, when in times.items():
        np.testing.assert_array_equal(session.activity[f"spks/{name}"].time.values, when)
    np.testing.assert_allclose(read_suite2p(tmp_path, rate=2).activity["F/plane_0"].time.values[:3], [0, 0.5, 1])
    assert_complaint("no entry for 'plane_1'", lambda t: read_suite2p(tmp_path, times=t), {"plane_0": times["plane_0"]})
    assert_complaint("has 49 frames, but times has 50", lambda t: read_suite2p(tmp_path, times=t), times["plane_0"])
    assert_complaint("found both", lambda r: read_suite2p(tmp_path, times=times, rate=r), 3)


def test_a_second_channel(tmp_path):
    wrote = write_plane(tmp_path / "plane0")
    np.save(tmp_path / "plane0" / "F_chan2.npy", wrote["F"] * 2)
    np.save(tmp_path / "plane0" / "redcell.npy", np.array([[1, 0.8], [0, 0.1], [0, 0.2], [1, 0.7]]))
    session = read_suite2p(tmp_path)
    assert list(session.activity) == ["spks", "F", "Fneu", "F_chan2"]
    assert session.activity["F"].redcell.values.tolist() == [True, False, False, True]
    assert session.activity["F"].redcell_probability.values.tolist() == [0.8, 0.1, 0.2, 0.7]


@pytest.mark.parametrize(("version", "ops"), [(0, {"spikedetect": False}), (1, {})])
def test_activity_that_was_not_deconvolved(tmp_path, version, ops):
    write_plane(tmp_path / "plane0", ops=ops, version=version)
    if version:
        np.save(tmp_path / "plane0" / "settings.npy", {"fs": 6.0, "run": {"do_deconvolution": False}})
    with pytest.warns(PopglmWarning, match="was not deconvolved"):
        assert list(read_suite2p(tmp_path).activity) == ["F", "Fneu"]


class Opens:
    def __init__(self, path):
        self.path = path

    def __reduce__(self):
        return open, (self.path, "w")


class Runs:
    def __reduce__(self):
        return os.system, ("true",)


@pytest.mark.parametrize("name", ["ops.npy", "stat.npy"])
def test_pickles_that_run_code_are_refused(tmp_path, name):
    write_plane(tmp_path / "plane0")
    marker = tmp_path / "ran"
    for guest, named in (
        (Opens(str(marker)), "io.open"),
        (Runs(), f"{os.name}.system"),
        (pickle.Unpickler, "_pickle.Unpickler"),
    ):
        roi = {"fs": 6.0, "guest": [guest]}
        np.save(tmp_path / "plane0" / name, roi if name == "ops.npy" else np.array([roi] * 4, dtype=object))
        assert_complaint(f"{name} holds {named}, which is none of", read_suite2p, tmp_path)
        assert not marker.exists()


@pytest.mark.parametrize("protocol", [2, 3, 4, 5])
def test_settings_of_any_protocol(tmp_path, protocol):
    write_plane(tmp_path / "plane0")
    settings = {
        "fs": np.float64(3),
        "b": b"\xff",
        "c": np.asfortranarray(np.eye(2)),
        "n": np.int32(1),
        "o": {"x": {1, 2}},
    }
    with (tmp_path / "plane0" / "ops.npy").open("wb") as file:
        np.lib.format.write_array_header_1_0(file, {"descr": "|O", "fortran_order": False, "shape": ()})
        pickle.dump(np.array(settings, dtype=object), file, protocol=protocol)
    assert read_suite2p(tmp_path).activity["F"].time.attrs["rate"] == 3


def test_bad_files(tmp_path):
    wrote = write_plane(tmp_path / "plane0")
    plane = tmp_path / "plane0"

    def with_file(name, array, named):
        before = (plane / name).read_bytes()
        np.save(plane / name, array) if isinstance(array, np.ndarray | dict) else (plane / name).write_bytes(array)
        assert_complaint(named, read_suite2p, tmp_path)
        (plane / name).write_bytes(before)

    with_file("iscell.npy", wrote["iscell"][:3], "iscell.npy of plane0 has 3 ROIs, but spks.npy has 4")
    with_file("stat.npy", np.array(wrote["stat"][:3], dtype=object), "stat.npy of plane0 has 3 ROIs")
    with_file("stat.npy", np.arange(4.0), "must hold a dictionary per ROI")
    with_file("F.npy", wrote["F"][:, :-1], "must have one shape")
    with_file("F.npy", wrote["F"][0], "must be ROIs × frames")
    with_file("F.npy", (plane / "F.npy").read_bytes()[:-8], "F.npy is cut short")
    with_file("stat.npy", (plane / "stat.npy").read_bytes()[:-30], "stat.npy is cut short")
    with_file("ops.npy", (plane / "ops.npy").read_bytes()[:200], "ops.npy is cut short")
    with_file("ops.npy", b"", "ops.npy is cut short")
    with_file("ops.npy", np.arange(3), "holds no settings")
    with_file("ops.npy", {"nplanes": 1}, "give rate=")
    with_file("ops.npy", {"fs": "30"}, "must be a number")
    read_suite2p(tmp_path)


def test_frames_that_the_settings_count_otherwise(tmp_path):
    write_plane(tmp_path / "plane0", ops={"nframes": 60})
    with pytest.warns(PopglmWarning, match="its settings say 60"):
        read_suite2p(tmp_path)


def test_folders_without_planes(tmp_path):
    with pytest.raises(FileNotFoundError, match="has no folder plane0"):
        read_suite2p(tmp_path)
    (tmp_path / "plane1").mkdir()
    write_plane(tmp_path / "plane0")
    with pytest.warns(PopglmWarning, match="plane1 of .* hold no traces"):
        assert list(read_suite2p(tmp_path).activity) == ["spks", "F", "Fneu"]


def test_combined_alone(tmp_path):
    write_plane(tmp_path / "combined")
    stat = [{"med": [1, 2], "iplane": k // 2} for k in range(4)]
    np.save(tmp_path / "combined" / "stat.npy", np.array(stat, dtype=object))
    with pytest.warns(PopglmWarning, match="pads planes of fewer frames with zeros"):
        session = read_suite2p(tmp_path / "combined")
    assert session.activity["F"].plane.values.tolist() == [0, 0, 1, 1]
