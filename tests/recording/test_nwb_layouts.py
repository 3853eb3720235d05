"""Sessions in the shapes of public data sets and of common tools, against the arrays that were put into them."""

from contextlib import nullcontext

import numpy as np
import pytest

pytest.importorskip("pynwb", reason="pynwb is an optional extra: pip install 'popglm[nwb]'")
import nwb_files

import popglm as pg


def equal(found, expected):
    np.testing.assert_array_equal(np.asarray(found), np.asarray(expected))


def spikes_of(units):
    """Spike times of each unit."""
    return np.split(units.spike_time.values, np.cumsum(units.n_spikes.values)[:-1])


def test_planes_of_a_volume(tmp_path):
    written = nwb_files.harvey(tmp_path)
    session = pg.read_nwb(written.path)
    planes = range(4)
    kinds = ("deconvolved_activity", "dF_over_F")
    assert list(session.activity) == [f"{kind}_plane_{p}" for kind in kinds for p in planes]
    for p in planes:
        deconvolved, dff = session.activity[f"deconvolved_activity_plane_{p}"], session.activity[f"dF_over_F_plane_{p}"]
        equal(deconvolved, written.arrays[f"deconvolved_{p}"])
        equal(dff, written.arrays[f"dff_{p}"])
        equal(deconvolved.time, written.arrays[f"times_{p}"])
        equal(dff.time, written.arrays[f"times_{p}"])
        for one in (deconvolved, dff):
            assert one.neuron.values.tolist() == [f"plane_{p}/{k}" for k in range(3)]
            assert set(one.plane.values) == {f"plane_{p}"}
            assert one["area"].values.tolist() == ["V1", "PM", "RSC"]
            assert one.mScarlet.dtype == bool
            assert {"ml", "ap", "depth"} < set(one.coords)
            assert "pixel_mask" not in one.coords


def test_behavior_at_the_clock_of_all_frames(tmp_path):
    written = nwb_files.harvey(tmp_path)
    session = pg.read_nwb(written.path)
    names = {
        "position": "frame_aligned_forward_and_lateral_position",
        "velocity": "frame_aligned_pitch_roll_yaw_velocity",
        "trial": "frame_aligned_trial_number",
    }
    for array, name in names.items():
        equal(session.signals[name], written.arrays[array])
        equal(session.signals[name].time, written.arrays["behavior"])
    position = session.signals[names["position"]]
    assert position.column.values.tolist() == ["forward", "lateral"]
    assert position.attrs["units"] == "m"
    board = session.signals["sync_timeseries"]
    np.testing.assert_allclose(board, written.arrays["board"] * 0.001, rtol=1e-6)
    np.testing.assert_allclose(board.time, np.arange(100) / 2000)


def test_trials_and_epochs_of_the_maze(tmp_path):
    session = pg.read_nwb(nwb_files.harvey(tmp_path).path)
    trials = session.trials
    assert trials["is_vis"].tolist() == [True, False, True]
    assert trials["is_vis"].dtype == bool
    equal(trials["rule_belief"], [0.2, np.nan, 0.9])
    equal(trials[[f"association_mat_{k}" for k in range(4)]], np.arange(12).reshape(3, 4))
    assert [f"trial_onset_plane_frame_idx_{k}" in trials for k in range(5)] == [True] * 5
    # epochs overlap, and are handed on as they are
    assert session.intervals["epochs"]["epoch_type"].tolist() == ["maze", "maze_stem", "maze_arm"]


def test_parameters_of_an_extension_that_is_not_installed(tmp_path):
    session = pg.read_nwb(nwb_files.harvey(tmp_path).path)
    assert session.attrs["lab_meta_data"] == {"metadata_session": {"TaskParam__maze_stem_length": 190.0}}


def test_a_single_plane_whose_clock_is_in_samples_stays_as_it_is_and_is_named(tmp_path):
    written = nwb_files.harvey(tmp_path, n_planes=1)
    session = pg.read_nwb(written.path)
    activity = session.activity["deconvolved_activity_plane_0"]
    assert activity.neuron.values.tolist() == [0, 1, 2]
    equal(activity.time, written.arrays["behavior"] * 2000)
    # a column of a single entry is no vector
    assert session.trials["trial_onset_plane_frame_idx"].tolist() == [0, 1, 2]
    assert {fault.part for fault in session.check()} >= {"deconvolved_activity_plane_0", "dF_over_F_plane_0"}


def test_units_on_two_probes(tmp_path):
    written = nwb_files.steinmetz(tmp_path)
    session = pg.read_nwb(written.path)
    units = session.activity["units"]
    for found, expected in zip(spikes_of(units), written.arrays["trains"], strict=True):
        equal(found, expected)
    assert units.neuron.values.tolist() == [0, 1, 2, 3]
    assert units.electrode_group.values.tolist() == ["Probe1", "Probe1", "Probe2", "Probe2"]
    # one electrode per unit, or two of the same area
    assert units.location.values.tolist() == ["VISp", "CA1", "root", "DG"]
    equal(units.cluster_depths, [0, 100, 200, 300])
    equal(units.phy_annotations, [0, 1, 2, 3])
    assert "spike_amps" not in units
    equal(units.n_observed, [2, 2, 2, 2])
    equal(units.observed[:2], [[0, 50], [60, 100]])


def test_columns_of_spikes_on_request(tmp_path):
    written = nwb_files.steinmetz(tmp_path)
    units = pg.read_nwb(written.path, ragged=["spike_amps"]).activity["units"]
    assert units.spike_amps.dims == ("spike",)
    equal(units.spike_amps, np.concatenate(written.arrays["amplitudes"]))
    with pytest.raises(ValueError, match=r"ragged names 'spike_amplitudes'; the units have spike_amps"):
        pg.read_nwb(written.path, ragged=["spike_amplitudes"])


def test_a_rate_that_holds_the_period_stays_as_it_is_and_is_named(tmp_path):
    written = nwb_files.steinmetz(tmp_path)
    session = pg.read_nwb(written.path)
    wheel = session.signals["wheel_position"]
    assert wheel.dims == ("sample",)
    np.testing.assert_allclose(wheel, written.arrays["wheel"][:, 0] * 0.135, rtol=1e-6)
    np.testing.assert_allclose(wheel.time, 0.2 + np.arange(50) / 0.01)
    assert wheel.attrs["units"] == "mm"
    assert wheel.attrs["between_samples"] == "continuous"
    assert "wheel_position" in {fault.part for fault in session.check()}


def test_licks_and_movements_of_steinmetz(tmp_path):
    written = nwb_files.steinmetz(tmp_path)
    session = pg.read_nwb(written.path)
    equal(session.events["lick_times"].time, written.arrays["licks"])
    moves = session.events["wheel_moves"]
    equal(moves.time, written.arrays["movement"][::2])
    equal(moves.stop_time, written.arrays["movement"][1::2])
    equal(moves.code, [2, 0])
    assert list(session.intervals) == ["spontaneous", "trials"]
    assert session.signals["eye_area"].ndim == 1
    assert session.signals["eye_xy_positions"].shape == (40, 2)
    equal(session.trials["go_cue"], [0.3, 1.8, np.nan])


def test_a_session_of_the_brain_laboratory_since_2026(tmp_path):
    written = nwb_files.ibl(tmp_path)
    session = pg.read_nwb(written.path)
    equal(session.events["EventsLickTimes"].time, written.arrays["licks"])
    equal(session.signals["WheelPosition"], written.arrays["wheel"])
    equal(session.signals["WheelPosition"].time, written.arrays["wheel_times"])
    np.testing.assert_allclose(session.signals["WheelVelocitySmoothed"].time, 3.5 + np.arange(60) / 1000)
    assert len(session.intervals["WheelMovementIntervals"]) == 1
    assert session.trials["gabor_stimulus_side"].tolist() == ["left", "right", "left"]
    assert session.trials["is_mouse_rewarded"].tolist() == [True, False, True]
    units = session.activity["units"]
    # names of units repeat on the second probe, ids do not
    assert units.neuron.values.tolist() == [0, 1]
    assert units.probe_name.values.tolist() == ["probe00", "probe01"]
    equal(units.ibl_quality_score, [1, 2 / 3])


def test_a_session_of_the_brain_laboratory_before(tmp_path):
    written = nwb_files.ibl(tmp_path, new=False)
    session = pg.read_nwb(written.path)
    equal(session.events["LickTimes"].time, written.arrays["licks"])
    equal(session.signals["WheelPositionSeries"], written.arrays["wheel"])
    equal(session.trials["contrast_left"], [0.25, np.nan, 1.0])
    assert session.activity["units"].label.values.tolist() == ["good", "mua"]


@pytest.mark.parametrize("old", [False, True])
def test_the_file_of_suite2p(tmp_path, old):
    with pytest.warns(UserWarning, match="oriented incorrectly") if old else nullcontext():
        written = nwb_files.suite2p(tmp_path, old)
    with (
        pytest.warns(pg.PopglmWarning, match="second axis of 'Deconvolved/plane0'.*transposed")
        if old
        else nullcontext()
    ):
        session = pg.read_nwb(written.path)
    # the three containers are of one type; their names tell them apart
    kinds = ("Deconvolved", "Fluorescence", "Neuropil")
    assert list(session.activity) == [f"{kind}/plane{p}" for kind in kinds for p in range(2)]
    for name, activity in session.activity.items():
        equal(activity, written.arrays[name])
        np.testing.assert_allclose(activity.time, np.arange(30) / 6)
    first, second = session.activity["Deconvolved/plane0"], session.activity["Deconvolved/plane1"]
    assert (first.neuron.values.tolist(), second.neuron.values.tolist()) == ([0, 1, 2], [3, 4])
    assert first.iscell.values.tolist() == [True, False, True]
    equal(second.iscell_probability, [0.7, 0.1])
    for name in ("position", "lick", "trial number"):
        equal(session.signals[name], written.arrays[name])
    assert session.trials is None


def test_the_file_of_neuroconv(tmp_path):
    written = nwb_files.neuroconv(tmp_path)
    session = pg.read_nwb(written.path)
    order = ["Deconvolved", "DfOverF", "Denoised", "Fluorescence/RoiResponseSeries", "Baseline", "Neuropil"]
    assert list(session.activity) == order
    for name, activity in session.activity.items():
        equal(activity, written.arrays[name.rpartition("/")[2]])
        np.testing.assert_allclose(activity.time, 1.5 + np.arange(20) / 30)
        assert activity.neuron.values.tolist() == ["a", "c"]
        assert activity.is_accepted.values.tolist() == [1, 1]
        assert set(activity.location.values) == {"VISp"}


def test_a_file_as_of_caiman(tmp_path):
    written = nwb_files.caiman(tmp_path)
    session = pg.read_nwb(written.path)
    equal(session.activity["DfOverF/RoiResponseSeries"], written.arrays["dff"])
    assert session.signals["Position/SpatialSeries"].dims == ("sample",)
    running = session.events["running"]
    # two kinds of intervals that overlap, and one that has no end in the file
    equal(running.time, [0.5, 0.7, 4.5])
    equal(running.stop_time, [1.0, 1.4, np.nan])
    equal(running.code, [1, 2, 1])


def test_a_file_of_a_virtual_reality_lab(tmp_path):
    written = nwb_files.virmen(tmp_path)
    session = pg.read_nwb(written.path)
    position = session.signals["Position/SpatialSeries"]
    np.testing.assert_allclose(position, written.arrays["place"] * 0.01)
    assert position.column.values.tolist() == ["x", "y", "z"]
    equal(position.time, written.arrays["times"])
    equal(session.signals["ViewAngle/SpatialSeries"], written.arrays["angle"])
    equal(session.trials[[f"cue_onset_{k}" for k in range(3)]], written.arrays["cues"])
    licks = session.events["trials.licks_time"]
    equal(licks.time, [0.1, 0.2, 3.5])
    equal(licks.row, [0, 0, 2])
