"""Folders under the ALF convention, written here as the IBL and Steinmetz et al. (2019) lay them out."""

import numpy as np
import pandas as pd
import pytest
from complaints import assert_complaint

from popglm.recording import read_alf
from popglm.warnings import PopglmWarning

UUID = "0a1b2c3d-0000-1111-2222-333344445555"


def save(folder, **arrays):
    folder.mkdir(parents=True, exist_ok=True)
    for name, array in arrays.items():
        np.save(folder / f"{name.replace('__', '.')}.npy", np.asarray(array))
    return folder


def spikes(rng, n_clusters, n=500):
    return np.sort(rng.uniform(0, 60, n)), rng.integers(0, n_clusters, n)


@pytest.fixture
def ibl(tmp_path):
    """A session of the IBL: two probes, revisions, a trials table, a wheel, a camera and licks."""
    pytest.importorskip("pyarrow")
    rng = np.random.default_rng(0)
    alf = tmp_path / "Subjects" / "SWC_043" / "2020-09-21" / "001" / "alf"
    truth = {}
    for probe, n in (("probe00", 4), ("probe01", 3)):
        times, clusters = spikes(rng, n)
        truth[probe] = times, clusters
        folder = alf / probe / "pykilosort"
        save(folder, spikes__times=times[:10], spikes__clusters=clusters[:10])
        save(folder / "#2024-05-06#", spikes__times=times, spikes__clusters=clusters, spikes__amps=times)
        save(
            folder,
            clusters__channels=np.arange(n)[::-1],
            clusters__depths=10.0 * np.arange(n),
            clusters__waveforms=np.zeros((n, 82, 32)),
        )
        save(
            folder,
            channels__mlapdv=np.arange(3 * n).reshape(n, 3),
            channels__brainLocationIds_ccf_2017=100 + np.arange(n),
        )
        metrics = pd.DataFrame({"cluster_id": np.arange(n)[:-1], "label": np.linspace(0, 1, n)[:-1]})
        metrics.to_parquet(folder / "clusters.metrics.pqt")
        (folder / "clusters.uuids.csv").write_text("\n".join(["uuids", *(f"u{k}" for k in range(n))]))
    truth["trials"] = pd.DataFrame(
        {
            "intervals_0": [1.0, 5.0, 9.0],
            "intervals_1": [4.0, 8.0, 12.0],
            "choice": [1, -1, 0],
            "contrastLeft": [0.5, np.nan, 1.0],
        }
    )
    truth["trials"].to_parquet(alf / "_ibl_trials.table.pqt")
    save(
        alf,
        _ibl_trials__goCueTrigger_times=[1.5, 5.5, np.nan],
        _ibl_trials__intervals_bpod=np.zeros((3, 2)),
        _ibl_trials__choice=[9, 9, 9],
    )
    truth["wheel"] = np.cumsum(rng.normal(size=200)), np.cumsum(rng.exponential(0.1, 200))
    save(alf, _ibl_wheel__position=truth["wheel"][0], _ibl_wheel__timestamps=truth["wheel"][1])
    save(alf, _ibl_wheelMoves__intervals=[[1.0, 2.0], [6.0, 7.0]], _ibl_wheelMoves__peakAmplitude=[0.1, -0.2])
    np.save(alf / f"licks.times.{UUID}.npy", [3.0, 3.2, 7.0])
    truth["pupil"] = rng.normal(size=(90, 2))
    pd.DataFrame(truth["pupil"], columns=["pupilDiameter_raw", "pupilDiameter_smooth"]).to_parquet(
        alf / "_ibl_leftCamera.features.pqt"
    )
    save(alf, _ibl_leftCamera__times=np.arange(90) / 60, leftCamera__ROIMotionEnergy=np.arange(90.0))
    return alf.parent, truth


def trains(units):
    stops = np.cumsum(units.n_spikes.values)
    return {
        n: units.spike_time.values[b - k : b]
        for n, b, k in zip(units.neuron.values, stops, units.n_spikes.values, strict=True)
    }


@pytest.mark.parametrize("given", [".", "alf"])
def test_a_session_of_the_ibl(ibl, given):
    folder, truth = ibl
    session = read_alf(folder / given)
    assert session.attrs["session_id"] == "SWC_043/2020-09-21/001"
    found = trains(session.activity["spikes"])
    assert list(found) == [*(f"probe00/{k}" for k in range(4)), *(f"probe01/{k}" for k in range(3))]
    for name, times in found.items():
        probe, cluster = name.split("/")
        all_times, clusters = truth[probe]
        np.testing.assert_array_equal(times, all_times[clusters == int(cluster)])
    units = session.activity["spikes"]
    assert units.probe.values.tolist() == ["probe00"] * 4 + ["probe01"] * 3
    assert units.depths.values.tolist() == [0, 10, 20, 30, 0, 10, 20]
    assert units.uuids.values.tolist() == ["u0", "u1", "u2", "u3", "u0", "u1", "u2"]
    # cluster k is on channel n - 1 - k
    assert units.channel_brainLocationIds_ccf_2017.values.tolist() == [103, 102, 101, 100, 102, 101, 100]
    assert units.channel_mlapdv_2.values.tolist() == [11, 8, 5, 2, 8, 5, 2]
    np.testing.assert_allclose(units.label.values, [0, 1 / 3, 2 / 3, np.nan, 0, 0.5, np.nan])
    assert "waveforms_0" not in units.coords


def test_trials_of_the_ibl(ibl):
    session = read_alf(ibl[0])
    trials = session.trials
    assert trials.start_time.tolist() == [1, 5, 9]
    assert trials.stop_time.tolist() == [4, 8, 12]
    # the table has the last word, and times of the behaviour board are on another clock
    assert trials.choice.tolist() == [1, -1, 0]
    np.testing.assert_array_equal(trials.goCueTrigger_times, [1.5, 5.5, np.nan])
    assert not [name for name in trials if "bpod" in name]
    assert session.intervals["wheelMoves"].peakAmplitude.tolist() == [0.1, -0.2]


def test_behaviour_of_the_ibl(ibl):
    folder, truth = ibl
    session = read_alf(folder)
    assert set(session.signals) == {"wheel_position", "leftCamera_features", "leftCamera_ROIMotionEnergy"}
    wheel = session.signals["wheel_position"]
    np.testing.assert_array_equal(wheel.values, truth["wheel"][0])
    np.testing.assert_array_equal(wheel.time.values, truth["wheel"][1])
    features = session.signals["leftCamera_features"]
    assert features.column.values.tolist() == ["pupilDiameter_raw", "pupilDiameter_smooth"]
    np.testing.assert_array_equal(features.values, truth["pupil"])
    np.testing.assert_array_equal(features.sel(column="pupilDiameter_smooth")[3:9].values, truth["pupil"][3:9, 1])
    np.testing.assert_array_equal(features.time.values, np.arange(90) / 60)
    assert session.events["licks"].time.values.tolist() == [3.0, 3.2, 7.0]


def test_one_collection(ibl):
    session = read_alf(ibl[0], collections="probe01/pykilosort")
    assert session.activity["spikes"].neuron.values.tolist() == [0, 1, 2]
    assert not session.signals
    assert_complaint("there is no collection 'probe02'", lambda c: read_alf(ibl[0], collections=c), "probe02")


def test_a_probe_that_was_sorted_twice(ibl):
    folder = save(ibl[0] / "alf" / "probe00", spikes__times=[1.0], spikes__clusters=[0])
    assert_complaint("probe00 was sorted more than once, in 'probe00' and 'probe00/pykilosort'", read_alf, ibl[0])
    session = read_alf(ibl[0], collections=["", "probe00"])
    assert session.activity["spikes"].n_spikes.values.tolist() == [1]
    assert folder.is_dir()


@pytest.fixture
def steinmetz(tmp_path):
    """Steinmetz et al. (2019): columns of one, two-row timestamps, all probes in one table."""
    rng = np.random.default_rng(1)
    times, clusters = spikes(rng, 5)
    save(tmp_path, spikes__times=times[:, None], spikes__clusters=clusters[:, None].astype("uint32"))
    save(
        tmp_path,
        clusters___phy_annotation=np.array([[2], [1], [3], [0], [2]]),
        clusters__probes=np.array([[0], [0], [0], [1], [1]]),
    )
    save(tmp_path, clusters__templateWaveformChans=np.zeros((5, 50)))
    save(
        tmp_path,
        trials__intervals=[[1.0, 2.0], [3.0, 4.0]],
        trials__included=[[True], [False]],
        trials__repNum=[[1.0], [2.0]],
    )
    save(tmp_path, wheel__position=np.arange(1000.0)[:, None], wheel__timestamps=[[0, 11.5], [999, 21.49]])
    save(tmp_path, lickPiezo__raw=np.arange(50, dtype="int16")[:, None], lickPiezo__timestamps=[[0, 1.0], [49, 2.0]])
    save(
        tmp_path,
        eye__area=np.ones((30, 1)),
        eye__xyPos=np.zeros((30, 2)),
        eye__timestamps=[[0, 0.0], [10, 1.0], [29, 4.8]],
    )
    save(tmp_path, passiveVisual__times=[[1.0], [2.0]], passiveVisual__contrastLeft=[[0.5], [1.0]])
    save(
        tmp_path,
        sparseNoise__times=[[1.0], [2.0]],
        sparseNoise__positions=[[1, 2], [3, 4]],
        spontaneous__intervals=[[50.0, 60.0]],
    )
    return tmp_path


def test_a_session_of_steinmetz(steinmetz):
    session = read_alf(steinmetz)
    units = session.activity["spikes"]
    assert units.phy_annotation.values.tolist() == [2, 1, 3, 0, 2]
    assert units.probes.values.tolist() == [0, 0, 0, 1, 1]
    assert session.trials.included.tolist() == [True, False]
    assert session.events["passiveVisual"].contrastLeft.values.tolist() == [0.5, 1.0]
    assert session.events["sparseNoise"].positions_1.values.tolist() == [2, 4]
    assert session.intervals["spontaneous"].start_time.tolist() == [50]
    piezo = session.signals["lickPiezo_raw"]
    assert piezo.attrs["between_samples"] == "continuous"
    np.testing.assert_allclose(piezo.time.values, np.linspace(1, 2, 50))


def test_times_between_synchronisation_points(steinmetz):
    session = read_alf(steinmetz)
    wheel = session.signals["wheel_position"].time
    np.testing.assert_allclose(wheel.values, 11.5 + np.arange(1000) * 0.01, atol=1e-12)
    np.testing.assert_allclose(wheel[100:110].values, 12.5 + np.arange(10) * 0.01, atol=1e-12)
    eye = session.signals["eye_area"].time
    np.testing.assert_allclose(eye.values, np.interp(np.arange(30), [0, 10, 29], [0, 1, 4.8]))


def test_times_go_on_beyond_the_last_synchronisation_point(tmp_path):
    save(tmp_path, wheel__position=np.zeros(6), wheel__timestamps=[[1, 1.0], [2, 2.0], [4, 3.0]])
    np.testing.assert_allclose(read_alf(tmp_path).signals["wheel_position"].time.values, [0, 1, 2, 2.5, 3, 3.5])


def test_synchronisation_points_that_may_count_from_one(tmp_path):
    save(tmp_path, wheel__position=np.zeros(6), wheel__timestamps=[[1, 1.0], [6, 6.0]])
    with pytest.warns(PopglmWarning, match="go from 1 to 6"):
        assert read_alf(tmp_path).signals["wheel_position"].time.values[0] == 0
    save(tmp_path, wheel__timestamps=[[0, 1.0], [0, 6.0]])
    assert_complaint("both rising", read_alf, tmp_path)


def test_lengths_that_differ(steinmetz):
    def broken(complaint, **arrays):
        names = [f"{name.replace('__', '.')}.npy" for name in arrays]
        before = {name: (steinmetz / name).read_bytes() for name in names}
        save(steinmetz, **arrays)
        if complaint.endswith("left out"):
            with pytest.warns(PopglmWarning, match=complaint):
                session = read_alf(steinmetz)
        else:
            assert_complaint(complaint, read_alf, steinmetz)
            session = None
        for name, content in before.items():
            (steinmetz / name).write_bytes(content)
        return session

    broken("has 499 spikes, but spikes.clusters has 500", spikes__times=np.arange(499.0))
    broken("clusters.probes of the folder has 4 rows, but clusters.", clusters__probes=np.zeros(4))
    broken("names cluster 5, but the attributes of clusters have 5 rows", spikes__clusters=np.r_[np.zeros(499), 5])
    broken("must have two columns", trials__intervals=np.zeros((2, 3)))
    session = broken("repNum.npy has 3 rows, but there are 2 trials.*left out", trials__repNum=np.zeros(3))
    assert "repNum" not in session.trials
    session = broken("eye_area is left out", eye__timestamps=np.arange(31.0), eye__xyPos=np.zeros((31, 2)))
    assert "eye_xyPos" in session.signals
    assert "eye_area" not in session.signals


def test_damaged_files(ibl):
    alf = ibl[0] / "alf"

    def broken(path, content, complaint):
        before = path.read_bytes()
        path.write_bytes(content(before))
        assert_complaint(complaint, read_alf, ibl[0])
        path.write_bytes(before)

    broken(alf / "_ibl_trials.table.pqt", lambda b: b[:-40], "_ibl_trials.table.pqt is cut short")
    broken(alf / "_ibl_trials.table.pqt", lambda b: b"", "_ibl_trials.table.pqt is empty")
    broken(alf / "_ibl_leftCamera.features.pqt", lambda b: b[:-40], "features.pqt is cut short")
    broken(alf / "_ibl_wheel.position.npy", lambda b: b[:-8], "_ibl_wheel.position.npy is cut short")
    (alf / "probe00" / "pykilosort" / "#2024-05-06#" / "spikes.clusters.npy").unlink()
    (alf / "probe00" / "pykilosort" / "spikes.clusters.npy").unlink()
    assert_complaint("has spikes.times without spikes.clusters", read_alf, ibl[0])


def test_trials_without_intervals(tmp_path):
    save(tmp_path, trials__choice=[1, 2])
    with pytest.warns(PopglmWarning, match="trials have no intervals"):
        assert read_alf(tmp_path).trials is None


def test_folders_of_something_else(tmp_path):
    (tmp_path / "readme.txt").write_text("hello")
    with pytest.raises(FileNotFoundError, match=r"is named object\.attribute\.npy"):
        read_alf(tmp_path)
