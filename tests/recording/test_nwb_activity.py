"""Which activity of an NWB file is found, how it is called, and what is said of what cannot be used."""

import re

import numpy as np
import pytest

pytest.importorskip("pynwb", reason="pynwb is an optional extra: pip install 'popglm[nwb]'")
import h5py
from hdmf.build import BuildManager
from nwb_files import add_trials, all_rois, extension, harvey, module, neuroconv, new_file, put, segmentations, write
from pynwb.misc import Units
from pynwb.ophys import RoiResponseSeries
from pynwb.spec import NWBGroupSpec

import popglm as pg

RNG = np.random.default_rng(0)


def equal(found, expected):
    np.testing.assert_array_equal(np.asarray(found), np.asarray(expected))


def roi_file(folder, series, n_rois=3):
    """A file with series in processing/ophys: name to data and times, or a rate."""
    nwb = new_file()
    (table,) = segmentations(nwb, ["PlaneSegmentation"], n_rois)
    for name, (data, times) in series.items():
        clock = {"rate": times} if np.ndim(times) == 0 else {"timestamps": times}
        module(nwb, "ophys").add(RoiResponseSeries(name=name, data=data, rois=all_rois(table), unit="1", **clock))
    return write(nwb, folder / "rois.nwb")


def test_series_of_an_extension_that_is_not_installed(tmp_path):
    spec = NWBGroupSpec(
        "denoised", neurodata_type_def="DenoisedSeries", neurodata_type_inc="RoiResponseSeries"
    )  # fmt: skip
    types = extension(tmp_path, "ndx-denoised", spec)
    nwb, data = new_file(), RNG.random((10, 3))
    (table,) = segmentations(nwb, ["PlaneSegmentation"], 3)
    cls = types.get_dt_container_cls("DenoisedSeries", "ndx-denoised")
    # where nobody would look for it
    nwb.add_acquisition(cls(name="somewhere", data=data, rois=all_rois(table), unit="1", rate=5.0))
    session = pg.read_nwb(write(nwb, tmp_path / "extension.nwb", BuildManager(types)))
    equal(session.activity["somewhere"], data)


def test_the_best_activity_comes_first(tmp_path):
    names = ["neuropil_dff", "raw", "F_neuropil_corrected", "dff", "delta_f", "spks", "deconvolved", "event_rate"]
    path = roi_file(tmp_path, {name: (RNG.random((10, 3)), 5.0) for name in names})
    found = list(pg.read_nwb(path).activity)
    assert set(found[:3]) == {"spks", "deconvolved", "event_rate"}
    assert set(found[3:5]) == {"dff", "delta_f"}
    assert set(found[5:7]) == {"raw", "F_neuropil_corrected"}
    assert found[7] == "neuropil_dff"


def test_activity_by_its_name_its_path_or_what_contains_it(tmp_path):
    path = neuroconv(tmp_path).path
    for wanted in ("Neuropil", "Fluorescence/Neuropil", "processing/ophys/Fluorescence/Neuropil"):
        assert list(pg.read_nwb(path, activity=wanted).activity) == ["Neuropil"]
    assert list(pg.read_nwb(path, activity=["Baseline", "DfOverF"]).activity) == ["Baseline", "DfOverF"]
    assert len(pg.read_nwb(path, activity="Fluorescence").activity) == 6


def test_a_name_that_is_not_there_is_told_all_candidates(tmp_path):
    with pytest.raises(ValueError, match=r"activity='dff' names no .*DfOverF \(20 × 2\).*Neuropil \(20 × 2\)"):
        pg.read_nwb(neuroconv(tmp_path).path, activity="dff")


def test_a_clock_of_another_length_or_one_that_counts_rois_is_left_out(tmp_path):
    data = RNG.random((20, 3))
    path = roi_file(tmp_path, {"deconvolved": (data, np.arange(20) / 6), "counted": (data, np.arange(20) / 6)})
    put(path, "processing/ophys/counted/data", data.T)
    put(path, "processing/ophys/counted/timestamps", np.arange(3.0))
    with pg.read_nwb(path) as session:
        assert list(session.activity) == ["deconvolved"]
        assert "it holds no times" in session.attrs["left_out"]["counted"]
    with pytest.raises(
        ValueError, match="'counted' cannot be used: its clock counts 0, 1, … 2, as many as it has ROIs"
    ):
        pg.read_nwb(path, activity="counted")
    put(path, "processing/ophys/deconvolved/timestamps", np.arange(19) / 6)
    with pytest.raises(ValueError, match=r"cannot be used: .*deconvolved \(20 × 3; its clock has 19 times\)"):
        pg.read_nwb(path)


@pytest.mark.parametrize("times", [6.0, np.arange(20) / 6], ids=["rate", "timestamps"])
def test_rois_along_the_first_axis_are_transposed_with_a_warning(tmp_path, times):
    data = RNG.random((20, 3))
    path = roi_file(tmp_path, {"dff": (data, times)})
    put(path, "processing/ophys/dff/data", data.T)
    with pytest.warns(pg.PopglmWarning, match=r"second axis of 'dff'.*transposed"):
        found = pg.read_nwb(path).activity["dff"]
    equal(found, data)
    equal(found.isel(neuron=1, sample=slice(2, 9, 3)), data[2:9:3, 1])


@pytest.mark.filterwarnings("error")
def test_as_many_samples_as_rois_are_taken_as_they_are(tmp_path):
    data = RNG.random((3, 3))
    equal(pg.read_nwb(roi_file(tmp_path, {"dff": (data, 6.0)})).activity["dff"], data)


def test_a_single_roi_in_one_dimension(tmp_path):
    path, data = roi_file(tmp_path, {"dff": (RNG.random((20, 1)), 6.0)}, n_rois=1), RNG.random(20)
    put(path, "processing/ophys/dff/data", data)
    found = pg.read_nwb(path).activity["dff"]
    assert found.shape == (20, 1)
    equal(found, data[:, None])
    equal(found[3:5, 0], data[3:5])


def test_columns_that_do_not_fit_the_table_are_numbered_with_a_warning(tmp_path):
    path, data = roi_file(tmp_path, {"dff": (RNG.random((20, 3)), np.arange(20) / 6)}), RNG.random((20, 4))
    put(path, "processing/ophys/dff/data", data)
    with pytest.warns(pg.PopglmWarning, match="'dff' has 4 columns, but names 3 rows of a table of 3 ROIs"):
        found = pg.read_nwb(path).activity["dff"]
    equal(found.neuron, range(4))
    equal(found, data)


def test_integers_with_a_conversion_and_an_offset(tmp_path):
    data = RNG.integers(-1000, 1000, (20, 3)).astype(np.int16)
    nwb = new_file()
    (table,) = segmentations(nwb, ["PlaneSegmentation"], 3)
    series = RoiResponseSeries(
        name="dff", data=data, rois=all_rois(table), unit="percent", rate=6.0, conversion=0.01, offset=-2.0
    )
    module(nwb, "ophys").add(series)
    path = write(nwb, tmp_path / "integers.nwb")
    with pg.read_nwb(path) as session:
        found = session.activity["dff"]
        assert found.dtype == np.float32
        assert found.attrs["units"] == "percent"
        np.testing.assert_allclose(found, data * 0.01 - 2, atol=1e-6)
    with h5py.File(path, "a") as file:
        file["processing/ophys/dff/data"].attrs["conversion"] = np.nan
    with pytest.warns(pg.PopglmWarning, match="conversion of 'dff' is nan.*stay as stored"):
        found = pg.read_nwb(path).activity["dff"]
    np.testing.assert_allclose(found, data - 2.0)


@pytest.mark.parametrize(
    ("names", "labels"),
    [
        (["PlaneSegmentation_3", "PlaneSegmentation_7"], ["plane_3", "plane_7"]),
        (["upper", "lower"], ["upper", "lower"]),
    ],
)
def test_ids_that_collide_go_after_the_name_of_their_plane(tmp_path, names, labels):
    nwb = new_file()
    for name, table in zip(names, segmentations(nwb, names, 2), strict=True):
        series = RoiResponseSeries(name=f"dff_{name}", data=np.ones((5, 2)), rois=all_rois(table), unit="1", rate=1.0)
        module(nwb, "ophys").add(series)
    path = write(nwb, tmp_path / "planes.nwb")
    expected = [[f"{label}/{k}" for k in range(2)] for label in labels]
    assert sorted(one.neuron.values.tolist() for one in pg.read_nwb(path).activity.values()) == sorted(expected)
    # one plane alone has the same names
    alone = pg.read_nwb(path, activity=f"dff_{names[1]}").activity[f"dff_{names[1]}"]
    assert alone.neuron.values.tolist() == expected[1]


def test_the_area_of_a_unit_is_that_of_most_of_its_electrodes(tmp_path):
    nwb = new_file()
    probe = nwb.create_electrode_group("probe", "a probe", "brain", nwb.create_device("probe"))
    for location in ("CA1", "CA1", "DG", "LP"):
        nwb.add_electrode(location=location, group=probe)
    for electrodes in ([0, 1, 2], [2, 3, 3], [2]):
        nwb.add_unit(spike_times=[0.1], electrodes=electrodes)
    units = pg.read_nwb(write(nwb, tmp_path / "units.nwb")).activity["units"]
    assert units.location.values.tolist() == ["CA1", "LP", "DG"]
    assert units.electrode_group.values.tolist() == ["probe"] * 3


def test_two_tables_of_units(tmp_path):
    nwb = new_file()
    other = Units(name="other_units", description="of another sorter")
    for k in range(2):
        nwb.add_unit(spike_times=[0.1, 0.2 + k])
        other.add_unit(spike_times=[1.0 + k])
    module(nwb, "ecephys").add(other)
    session = pg.read_nwb(write(nwb, tmp_path / "units.nwb"))
    names = {name: units.neuron.values.tolist() for name, units in session.activity.items()}
    assert names == {"other_units": ["other_units/0", "other_units/1"], "units": ["units/0", "units/1"]}
    equal(session.activity["other_units"].spike_time, [1, 2])


def test_ids_that_start_again_on_every_probe(tmp_path):
    nwb = new_file()
    nwb.add_unit_column("probe", "probe")
    for k in range(4):
        nwb.add_unit(spike_times=[0.1], probe="AB"[k // 2], id=k)
    path = write(nwb, tmp_path / "units.nwb")
    put(path, "units/id", np.array([0, 1, 0, 1]))
    assert pg.read_nwb(path).activity["units"].neuron.values.tolist() == ["A/0", "A/1", "B/0", "B/1"]


def test_units_that_share_an_id_stay_apart_with_a_warning(tmp_path):
    nwb = new_file()
    for k in range(4):
        nwb.add_unit(spike_times=[0.1 + k], id=k)
    path = write(nwb, tmp_path / "units.nwb")
    put(path, "units/id", np.array([7, 3, 7, 9]))
    with pytest.warns(pg.PopglmWarning, match=r"'units', this id stands for more than one neuron: 7; .* their row"):
        units = pg.read_nwb(path).activity["units"]
    assert units.neuron.values.tolist() == [0, 1, 2, 3]
    assert units.id.values.tolist() == [7, 3, 7, 9]
    equal(units.spike_time, [0.1, 1.1, 2.1, 3.1])


def test_units_without_spike_times_or_with_a_damaged_index(tmp_path):
    nwb = new_file()
    nwb.add_unit_column("quality", "quality")
    nwb.add_unit(quality="good")
    with pytest.raises(ValueError, match=re.escape("cannot be used: units (0 × 1; it has no spike times)")):
        pg.read_nwb(write(nwb, tmp_path / "none.nwb"))
    nwb = new_file()
    for k in range(3):
        nwb.add_unit(spike_times=np.arange(2.0) + k)
    path = write(nwb, tmp_path / "damaged.nwb")
    put(path, "units/spike_times_index", np.array([2, 1, 6]))
    with pytest.raises(ValueError, match="the index of the column goes back"):
        pg.read_nwb(path)
    put(path, "units/spike_times_index", np.array([2, 4, 7]))
    with pytest.raises(ValueError, match="its index has 3 entries up to 7"):
        pg.read_nwb(path)


def test_a_file_without_neural_activity(tmp_path):
    nwb = new_file()
    add_trials(nwb, 2, {})
    path = write(nwb, tmp_path / "behavior.nwb")
    with pytest.raises(ValueError, match=r"has no neural activity, neither .* activity=\[\] reads its signals"):
        pg.read_nwb(path)
    session = pg.read_nwb(path, activity=[])
    assert (dict(session.activity), len(session.trials)) == ({}, 2)


def test_a_query_over_the_table_of_rois(tmp_path):
    session = pg.read_nwb(harvey(tmp_path).path)
    data = session.regrid(activity="deconvolved_activity_plane_0", variables=[], neurons="area == 'PM' or mScarlet")
    assert data.neuron.values.tolist() == ["plane_0/0", "plane_0/1", "plane_0/2"]
    data = session.regrid(activity="deconvolved_activity_plane_0", variables=[], neurons="area == 'PM'")
    assert data.neuron.values.tolist() == ["plane_0/1"]


def test_all_planes_on_one_grid(tmp_path):
    written = harvey(tmp_path)
    session = pg.read_nwb(written.path)
    planes = [f"deconvolved_activity_plane_{p}" for p in range(4)]
    session = session.mend_clock("sync_timeseries")
    data = session.regrid(activity=planes, clock=planes[3], variables=[], trials=1.0)
    assert data.sizes["neuron"] == 12
    # the last plane of a volume: the frames of the others lie before it
    rows = np.searchsorted(written.arrays["times_3"], data.time.values)
    expected = np.hstack([written.arrays[f"deconvolved_{p}"] for p in range(4)])[rows]
    np.testing.assert_allclose(data["activity"], expected, rtol=1e-6)
