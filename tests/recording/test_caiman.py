"""Files of CaImAn, written here in the layout of its ``save``."""

import h5py
import numpy as np
import pytest
from complaints import assert_complaint
from scipy.ndimage import center_of_mass
from scipy.sparse import csc_matrix

from popglm.recording import read_caiman
from popglm.warnings import PopglmWarning

N, T, DIMS = 5, 40, (8, 6)


@pytest.fixture
def arrays():
    rng = np.random.default_rng(0)
    footprints = rng.uniform(size=(np.prod(DIMS), N)) * (rng.uniform(size=(np.prod(DIMS), N)) < 0.3)
    return {kind: rng.normal(size=(N, T)) for kind in ("C", "S", "F_dff")} | {"A": footprints}


def write(path, arrays, accepted=(0, 3), fr=15.5, **estimates):
    with h5py.File(path, "w") as file:
        for name, values in arrays.items():
            if name == "A":
                sparse = csc_matrix(values)
                for part in ("data", "indices", "indptr", "shape"):
                    file[f"estimates/A/{part}"] = getattr(sparse, part)
            else:
                file[f"estimates/{name}"] = "NoneType" if values is None else values
        file["estimates/idx_components"] = "NoneType" if accepted is None else list(accepted)
        file["estimates/SNR_comp"] = np.arange(N) + 0.5
        file["estimates/r_values"] = "NoneType"
        for name, values in estimates.items():
            file[f"estimates/{name}"] = values
        file["dims"] = DIMS
        if fr is not None:
            file["params/data/fr"] = fr
    return path


def test_round_trip(tmp_path, arrays):
    session = read_caiman(write(tmp_path / "a.hdf5", arrays))
    assert list(session.activity) == ["S", "C", "F_dff"]
    for kind, found in session.activity.items():
        np.testing.assert_array_equal(found.values, arrays[kind].T)
        np.testing.assert_allclose(found.time.values, np.arange(T) / 15.5)
        np.testing.assert_array_equal(found[5:9].sel(neuron=[1, 4]).values, arrays[kind].T[5:9, [1, 4]])
    found = session.activity["S"]
    assert found.is_accepted.values.tolist() == [True, False, False, True, False]
    assert found.snr.values.tolist() == [0.5, 1.5, 2.5, 3.5, 4.5]
    assert "r_value" not in found.coords
    np.testing.assert_array_equal(found.n_pixels.values, (arrays["A"] > 0).sum(axis=0))


def test_centres_of_footprints(tmp_path, arrays):
    found = read_caiman(write(tmp_path / "a.hdf5", arrays)).activity["S"]
    for k in range(N):
        # as CaImAn draws a component: A[:, k].reshape(dims, order="F")
        expected = center_of_mass(arrays["A"][:, k].reshape(DIMS, order="F"))
        np.testing.assert_allclose([found.y.values[k], found.x.values[k]], expected)


def test_parts_that_were_not_computed(tmp_path, arrays):
    session = read_caiman(write(tmp_path / "a.hdf5", arrays | {"S": None, "F_dff": None}, accepted=None))
    assert list(session.activity) == ["C"]
    assert "is_accepted" not in session.activity["C"].coords


def test_traces_of_another_selection_are_left_out(tmp_path, arrays):
    with pytest.warns(PopglmWarning, match="F_dff has 3 components, but C has 5"):
        session = read_caiman(write(tmp_path / "a.hdf5", arrays | {"F_dff": arrays["F_dff"][:3]}))
    assert list(session.activity) == ["S", "C"]


def test_clocks(tmp_path, arrays):
    path = write(tmp_path / "a.hdf5", arrays, fr=None)
    assert_complaint("give rate=", read_caiman, path)
    assert read_caiman(path, rate=10).activity["C"].time.values[10] == 1
    when = np.arange(T) ** 1.1
    np.testing.assert_array_equal(read_caiman(path, times=when).activity["C"].time.values, when)
    assert_complaint("has 40 frames", lambda t: read_caiman(path, times=t), when[1:])
    assert_complaint("found both", lambda t: read_caiman(path, times=t, rate=3), when)


def test_bad_files(tmp_path, arrays):
    path = write(tmp_path / "a.hdf5", arrays)
    whole = path.read_bytes()
    for damaged, named in ((whole[:-500], "cut short"), (b"", "is empty"), (b"text" * 300, "is not an HDF5 file")):
        path.write_bytes(damaged)
        assert_complaint(named, read_caiman, path)
    assert_complaint("one number of frames", read_caiman, write(path, arrays | {"S": arrays["S"][:, :-1]}))
    assert_complaint("idx_components must be below", read_caiman, write(path, arrays, accepted=[0, 5]))
    assert_complaint("hold none of", read_caiman, write(path, {"S": None}))
    with h5py.File(path, "w") as file:
        file["other"] = 3
    assert_complaint("no group 'estimates'; found other", read_caiman, path)
    with pytest.raises(FileNotFoundError, match="there is no file"):
        read_caiman(tmp_path / "b.hdf5")
    with pytest.raises(FileNotFoundError, match="is a folder"):
        read_caiman(tmp_path)
