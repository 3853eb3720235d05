"""Small NWB files in the shapes of public data sets and of common tools, and the arrays that were put into them."""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import h5py
import numpy as np
from hdmf.build import BuildManager
from hdmf.common import DynamicTable, VectorData
from pynwb import NWBHDF5IO, NWBFile, TimeSeries, get_type_map
from pynwb.behavior import (
    BehavioralEpochs,
    BehavioralEvents,
    BehavioralTimeSeries,
    CompassDirection,
    Position,
    PupilTracking,
)
from pynwb.epoch import TimeIntervals
from pynwb.misc import IntervalSeries
from pynwb.ophys import DfOverF, Fluorescence, ImageSegmentation, OpticalChannel, RoiResponseSeries
from pynwb.spec import NWBAttributeSpec, NWBDatasetSpec, NWBGroupSpec, NWBNamespaceBuilder

START = datetime(2024, 1, 1, tzinfo=UTC)


@dataclass
class Written:
    """A file, and by name what is in it."""

    path: Path
    arrays: dict[str, Any] = field(default_factory=dict)


def new_file(identifier: str = "1") -> NWBFile:
    return NWBFile(session_description="a test", identifier=identifier, session_start_time=START)


def write(nwb: NWBFile, path: Path, manager: BuildManager | None = None) -> Path:
    with NWBHDF5IO(path, "w", manager=manager) as io:
        io.write(nwb)
    return path


def put(path: Path, name: str, data: Any) -> None:
    """Replace an array of a file, so that it holds what pynwb would refuse to write."""
    with h5py.File(path, "a") as file:
        attributes = dict(file[name].attrs)
        del file[name]
        file.create_dataset(name, data=data).attrs.update(attributes)


def module(nwb: NWBFile, name: str) -> Any:
    """A processing module, made when it is first asked for."""
    return nwb.processing[name] if name in nwb.processing else nwb.create_processing_module(name, "a test")


def segmentations(nwb: NWBFile, names: list[str], n_rois: int, locations: list[str] | None = None) -> list[Any]:
    """Tables of ROIs with pixel masks, in ``processing/ophys/ImageSegmentation``, one imaging plane each."""
    scope = nwb.create_device("microscope")
    segmentation = ImageSegmentation()
    module(nwb, "ophys").add(segmentation)
    tables = []
    for k, name in enumerate(names):
        plane = nwb.create_imaging_plane(
            name=f"imaging_plane_{k}", description="a plane", device=scope, excitation_lambda=920.0, indicator="GCaMP",
            optical_channel=OpticalChannel(name="green", description="green", emission_lambda=510.0),
            location=locations[k] if locations else "unknown",
        )  # fmt: skip
        table = segmentation.create_plane_segmentation(name=name, description="ROIs", imaging_plane=plane)
        for roi in range(n_rois):
            table.add_roi(id=roi, pixel_mask=[(roi, 1, 1.0), (roi, 2, 0.5)])
        tables.append(table)
    return tables


def all_rois(table: Any, rows: list[int] | None = None) -> Any:
    return table.create_roi_table_region(
        region=list(range(len(table.id))) if rows is None else rows, description="all"
    )  # fmt: skip


def extension(folder: Path, name: str, *specs: Any) -> Any:
    """A type map of pynwb with types that are installed nowhere; files written with it carry their schema."""
    builder = NWBNamespaceBuilder(doc="a test", name=name, version="0.2.0", author="a", contact="a@b.org")
    builder.include_namespace("core")
    for spec in specs:
        builder.add_spec(f"{name}.extensions.yaml", spec)
    builder.export(f"{name}.namespace.yaml", outdir=str(folder))
    types = get_type_map(copy=True)
    types.load_namespaces(str(folder / f"{name}.namespace.yaml"))
    return types


def add_trials(nwb: NWBFile, n: int, columns: dict[str, Any], length: float = 1.0, pause: float = 0.5) -> None:
    """Trials of one length; lists become ragged columns, arrays one value or vector per trial."""
    for name, values in columns.items():
        nwb.add_trial_column(name, name.replace("_", " "), index=isinstance(values, list))
    for k in range(n):
        row = {name: values[k] for name, values in columns.items()}
        nwb.add_trial(start_time=k * (length + pause), stop_time=k * (length + pause) + length, **row)


def harvey(folder: Path, n_planes: int = 4, n_rois: int = 3, n_volumes: int = 40) -> Written:
    """Dandiset 000579: planes of a volume and a fly-back frame, or one plane whose clock is in samples."""
    rng, nwb, single = np.random.default_rng(0), new_file(), n_planes == 1
    n_frames = n_volumes * (1 if single else 5)
    behavior_times, arrays = 0.25 + np.arange(n_frames) / 30, {}
    tables = segmentations(nwb, [f"PlaneSegmentation_{p}" for p in range(n_planes)], n_rois)
    for p, table in enumerate(tables):
        for name, values in {"ml": rng.random(n_rois), "ap": rng.random(n_rois), "depth": rng.random(n_rois)}.items():
            table.add_column(name, f"{name} in mm", data=values)
        table.add_column("area", "area", data=["V1", "PM", "RSC"][:n_rois])
        table.add_column("mScarlet", "label", data=np.arange(n_rois) % 2 == 0)
        times = behavior_times * 2000 if single else behavior_times[p::5]
        deconvolved, dff = rng.random((n_volumes, n_rois)), rng.random((n_volumes, n_rois))
        series = RoiResponseSeries(
            name=f"deconvolved_activity_plane_{p}", data=deconvolved, rois=all_rois(table), unit="A.U.",
            timestamps=times,
        )  # fmt: skip
        module(nwb, "ophys").add(series)
        container = DfOverF(name=f"df_over_f_plane_{p}")
        module(nwb, "ophys").add(container)
        container.add_roi_response_series(RoiResponseSeries(
            name=f"dF_over_F_plane_{p}", data=dff, rois=all_rois(table), unit="A.U.", timestamps=series
        ))  # fmt: skip
        arrays |= {f"deconvolved_{p}": deconvolved, f"dff_{p}": dff, f"times_{p}": times}
    behavior = module(nwb, "behavior")
    position = rng.random((n_frames, 2))
    position[:5] = np.nan
    place = Position(name="frame_aligned_position")
    behavior.add(place)
    first = place.create_spatial_series(
        name="frame_aligned_forward_and_lateral_position", data=position, reference_frame="the start of the maze",
        timestamps=behavior_times, unit="m", description="Position in the maze (forward, lateral)",
    )  # fmt: skip
    velocity = rng.random((n_frames, 3))
    moving = BehavioralTimeSeries(name="frame_aligned_velocity")
    behavior.add(moving)
    moving.create_timeseries(name="frame_aligned_pitch_roll_yaw_velocity", data=velocity, unit="A.U.", timestamps=first)
    trial = np.repeat(np.arange(5.0), n_frames // 5)
    trial[:7] = np.nan
    behavior.add(TimeSeries(name="frame_aligned_trial_number", data=trial, unit="1", timestamps=first))
    if not single:
        plane = np.tile(np.arange(5), n_volumes)
        behavior.add(TimeSeries(name="plane_idx_for_imaging_frames", data=plane, unit="1", timestamps=first))
        prediction = BehavioralTimeSeries(name="velocity_RNN_prediction_for_choice_and_cue")
        behavior.add(prediction)
        prediction.create_timeseries(
            name="prediction", data=rng.random((n_volumes, 4)), unit="1", timestamps=behavior_times[2::5]
        )
    columns = {
        "is_vis": np.array([True, False, True]), "rule_belief": np.array([0.2, np.nan, 0.9]),
        "association_mat": np.arange(12.0).reshape(3, 4),
        "trial_onset_plane_frame_idx": np.arange(3 if single else 15).reshape(3, -1),
    }  # fmt: skip
    add_trials(nwb, 3, columns)
    epochs = TimeIntervals(name="epochs", description="parts of trials, which overlap")
    epochs.add_column("epoch_type", "type")
    for start, stop, kind in ((0.0, 1.0, "maze"), (0.0, 0.5, "maze_stem"), (0.5, 1.0, "maze_arm")):
        epochs.add_interval(start_time=start, stop_time=stop, epoch_type=kind)
    nwb.add_time_intervals(epochs)
    board = np.arange(300, dtype=np.int16).reshape(100, 3)
    nwb.add_acquisition(TimeSeries(name="sync_timeseries", data=board, unit="V", rate=2000.0, conversion=0.001))
    manager = BuildManager(_with_lab_metadata(nwb, folder))
    arrays |= {"position": position, "velocity": velocity, "trial": trial, "board": board, "behavior": behavior_times}
    return Written(write(nwb, folder / f"harvey_{n_planes}.nwb", manager), arrays)


def _with_lab_metadata(nwb: NWBFile, folder: Path) -> Any:
    """Add an object of an extension, with the parameters of the task as attributes."""
    spec = NWBGroupSpec(
        "parameters", neurodata_type_def="MazeExtensionMetadata", neurodata_type_inc="LabMetaData",
        attributes=[NWBAttributeSpec("TaskParam__maze_stem_length", "cm", "float")],
    )  # fmt: skip
    types = extension(folder, "ndx-maze", spec)
    cls = types.get_dt_container_cls("MazeExtensionMetadata", "ndx-maze")
    nwb.add_lab_meta_data(cls(name="metadata_session", TaskParam__maze_stem_length=190.0))
    return types


def steinmetz(folder: Path) -> Written:
    """Dandiset 000017: units on two probes, rates that hold periods, licks and movements of the wheel."""
    rng, nwb = np.random.default_rng(1), new_file()
    probe = nwb.create_device("Neuropixels")
    groups = [nwb.create_electrode_group(f"Probe{k + 1}", "a probe", "brain", probe) for k in range(2)]
    for k in range(8):
        nwb.add_electrode(location=["VISp", "CA1", "root", "DG"][k // 2], group=groups[k // 4], x=float(k))
    trains = [np.sort(rng.uniform(0, 100, n)) for n in (5, 0, 7, 3)]
    for name in ("cluster_depths", "phy_annotations"):
        nwb.add_unit_column(name, name)
    nwb.add_unit_column("spike_amps", "amplitude of each spike", index=True)
    amplitudes = [rng.random(len(train)) for train in trains]
    for k, train in enumerate(trains):
        nwb.add_unit(
            spike_times=train, electrodes=[2 * k, 2 * k + 1][: 1 + k % 2], electrode_group=groups[k // 2],
            cluster_depths=[100.0 * k], phy_annotations=[k % 4], spike_amps=amplitudes[k],
            obs_intervals=[[0.0, 50.0], [60.0, 100.0]],
        )  # fmt: skip
    columns = {
        "visual_stimulus_time": np.array([0.1, 1.6, 3.1]), "go_cue": np.array([0.3, 1.8, np.nan]),
        "response_choice": np.array([-1.0, 1.0, 0.0]), "included": np.array([True, True, False]),
    }  # fmt: skip
    add_trials(nwb, 3, columns)
    spontaneous = TimeIntervals(name="spontaneous", description="no task")
    spontaneous.add_interval(start_time=90.0, stop_time=100.0)
    nwb.add_time_intervals(spontaneous)
    wheel = rng.integers(-100, 100, (50, 1)).astype(np.int32)
    nwb.add_acquisition(
        TimeSeries(name="wheel_position", data=wheel, unit="mm", conversion=0.135, starting_time=0.2, rate=0.01)
    )
    behavior = module(nwb, "behavior")
    licks, movement = np.array([0.5, 2.5, 7.0]), np.array([0.0, 1.0, 4.0, 5.0])
    events = BehavioralEvents()
    behavior.add(events)
    events.create_timeseries(name="lick_times", data=np.ones(3, dtype=bool), unit="", timestamps=licks)
    epochs = BehavioralEpochs()
    behavior.add(epochs)
    epochs.add_interval_series(IntervalSeries(name="wheel_moves", data=np.zeros(4, np.int8), timestamps=movement))
    pupil = PupilTracking()
    behavior.add(pupil)
    for name, data in (("eye_area", rng.random((40, 1))), ("eye_xy_positions", rng.random((40, 2)))):
        pupil.create_timeseries(name=name, data=data, unit="arb", timestamps=np.arange(40) / 30)
    arrays = {"trains": trains, "amplitudes": amplitudes, "wheel": wheel, "licks": licks, "movement": movement}
    path = write(nwb, folder / "steinmetz.nwb")
    put(path, "processing/behavior/BehavioralEpochs/wheel_moves/data", np.array([2, 0], np.int8))
    return Written(path, arrays)


def ibl(folder: Path, new: bool = True) -> Written:
    """Dandiset 000409, written since 2026 or before."""
    rng, nwb = np.random.default_rng(2), new_file()
    trains = [np.sort(rng.uniform(0, 10, n)) for n in (4, 6)]
    text = {"unit_name": ["0", "0"], "probe_name": ["probe00", "probe01"]} if new else {"label": ["good", "mua"]}
    numbers = {"ibl_quality_score": [1.0, 2 / 3]} if new else {"cluster_id": [5, 5]}
    for name in (*text, *numbers):
        nwb.add_unit_column(name, name)
    for k, train in enumerate(trains):
        nwb.add_unit(spike_times=train, **{name: values[k] for name, values in (text | numbers).items()})
    if new:
        columns = {
            "gabor_stimulus_onset_time": np.array([0.1, 1.6, 3.1]),
            "wheel_movement_onset_time": np.array([0.3, np.nan, 3.2]),
            "gabor_stimulus_side": np.array(["left", "right", "left"]),
            "is_mouse_rewarded": np.array([True, False, True]),
            "mouse_wheel_choice": np.array(["left", "no_go", "right"]),
        }
    else:
        columns = {
            "stim_on_time": np.array([0.1, 1.6, 3.1]), "choice": np.array([-1.0, 0.0, 1.0]),
            "contrast_left": np.array([0.25, np.nan, 1.0]), "contrast_right": np.array([np.nan, 1.0, np.nan]),
        }  # fmt: skip
    add_trials(nwb, 3, columns)
    licks, wheel_times = np.array([0.4, 0.9, 3.3]), np.cumsum(rng.random(60))
    wheel, manager = np.cumsum(rng.normal(size=60)), None
    if new:
        types = ndx_events(folder)
        manager = BuildManager(types)
        events = types.get_dt_container_cls("Events", "ndx-events")
        module(nwb, "lick_times").add(events(name="EventsLickTimes", description="licks", timestamps=licks))
        module(nwb, "wheel").add(TimeSeries(name="WheelPosition", data=wheel, unit="rad", timestamps=wheel_times))
        module(nwb, "wheel").add(
            TimeSeries(name="WheelVelocitySmoothed", data=wheel, unit="rad/s", rate=1000.0, starting_time=3.5)
        )
        moves = TimeIntervals(name="WheelMovementIntervals", description="movements")
        moves.add_interval(start_time=1.0, stop_time=2.0)
        module(nwb, "wheel").add(moves)
    else:
        table = DynamicTable(
            name="LickTimes", description="licks",
            columns=[VectorData(name="lick_time", description="time of a lick", data=licks)],
        )  # fmt: skip
        module(nwb, "camera").add(table)
        compass = CompassDirection()
        module(nwb, "wheel").add(compass)
        compass.create_spatial_series(
            name="WheelPositionSeries", data=wheel, reference_frame="the start", timestamps=wheel_times, unit="radians"
        )
    arrays = {"trains": trains, "licks": licks, "wheel": wheel, "wheel_times": wheel_times}
    return Written(write(nwb, folder / f"ibl_{new}.nwb", manager), arrays)


def ndx_events(folder: Path) -> Any:
    """The types of ndx-events 0.2, which is installed nowhere."""
    times = NWBDatasetSpec("times", "float64", name="timestamps", shape=(None,), dims=("n",))
    events = NWBGroupSpec(
        "events", neurodata_type_def="Events", neurodata_type_inc="NWBDataInterface", datasets=[times],
        attributes=[NWBAttributeSpec("description", "what happened", "text")],
    )  # fmt: skip
    labels = NWBAttributeSpec("labels", "texts", "text", shape=(None,), dims=("k",))
    codes = NWBDatasetSpec("codes", "uint8", name="data", shape=(None,), dims=("n",), attributes=[labels])
    labelled = NWBGroupSpec(
        "events with codes", neurodata_type_def="LabeledEvents", neurodata_type_inc="Events", datasets=[codes]
    )
    label = NWBDatasetSpec("label", "text", name="label", neurodata_type_inc="VectorData", shape=(None,), dims=("n",))
    index = NWBDatasetSpec("index", name="event_times_index", neurodata_type_inc="VectorIndex")
    flat = NWBDatasetSpec("times", "float64", name="event_times", neurodata_type_inc="VectorData")
    kinds = NWBGroupSpec(
        "kinds of events", neurodata_type_def="AnnotatedEventsTable", neurodata_type_inc="DynamicTable",
        datasets=[flat, index, label],
    )  # fmt: skip
    return extension(folder, "ndx-events", events, labelled, kinds)


def suite2p(folder: Path, old: bool = False) -> Written:
    """suite2p's own file: three containers of type Fluorescence, a table for all planes, old ones ROIs first."""
    rng, nwb, arrays = np.random.default_rng(3), new_file(), {}
    (table,) = segmentations(nwb, ["PlaneSegmentation"], 5)
    is_cell = np.array([[1, 0.9], [0, 0.2], [1, 0.8], [1, 0.7], [0, 0.1]])
    table.add_column("iscell", "decision and probability", data=is_cell)
    for name in ("Fluorescence", "Neuropil", "Deconvolved"):
        container = Fluorescence(name=name)
        module(nwb, "ophys").add(container)
        for plane, rows in enumerate(([0, 1, 2], [3, 4])):
            data = rng.random((30, len(rows))).astype(np.float32)
            arrays[f"{name}/plane{plane}"] = data
            container.create_roi_response_series(
                name=f"plane{plane}", data=data.T if old else data, rois=all_rois(table, rows), unit="lumens", rate=6.0
            )
    streams = BehavioralTimeSeries()
    module(nwb, "behavior").add(streams)
    for name in ("position", "lick", "trial number"):
        arrays[name] = rng.random(90)
        streams.create_timeseries(name=name, data=arrays[name], unit="AU", timestamps=np.arange(90) / 18)
    return Written(write(nwb, folder / f"suite2p_{old}.nwb"), arrays)


def neuroconv(folder: Path) -> Written:
    """neuroconv's file: kinds of traces in one container, names of ROIs, a rate with a start."""
    rng, nwb, arrays = np.random.default_rng(4), new_file(), {}
    (table,) = segmentations(nwb, ["PlaneSegmentation"], 3, ["VISp"])
    table.add_column("roi_name", "name", data=["a", "b", "c"])
    table.add_column("is_accepted", "accepted", data=np.array([1, 0, 1], dtype=np.uint8))
    container = Fluorescence()
    module(nwb, "ophys").add(container)
    for name in ("RoiResponseSeries", "Deconvolved", "Neuropil", "Denoised", "Baseline", "DfOverF"):
        arrays[name] = rng.random((20, 2))
        container.create_roi_response_series(
            name=name, data=arrays[name], rois=all_rois(table, [0, 2]), unit="n.a.", rate=30.0, starting_time=1.5
        )
    return Written(write(nwb, folder / "neuroconv.nwb"), arrays)


def caiman(folder: Path) -> Written:
    """Files as of CaImAn's users: ΔF/F, a position, and intervals coded by +1 and -1."""
    rng, nwb = np.random.default_rng(5), new_file()
    (table,) = segmentations(nwb, ["PlaneSegmentation"], 3)
    container = DfOverF()
    module(nwb, "ophys").add(container)
    dff = rng.random((50, 3))
    container.create_roi_response_series(
        name="RoiResponseSeries", data=dff, rois=all_rois(table), unit="n.a.", timestamps=np.arange(50) / 10
    )
    place = Position()
    module(nwb, "behavior").add(place)
    place.create_spatial_series(
        name="SpatialSeries", data=rng.random(100), reference_frame="track", timestamps=np.arange(100) / 20
    )
    epochs = BehavioralEpochs()
    module(nwb, "behavior").add(epochs)
    codes, times = np.array([1, 2, -1, -2, 1], np.int8), np.array([0.5, 0.7, 1.0, 1.4, 4.5])
    epochs.add_interval_series(IntervalSeries(name="running", data=codes, timestamps=times))
    add_trials(nwb, 3, {})
    return Written(write(nwb, folder / "caiman.nwb"), {"dff": dff, "codes": codes, "times": times})


def virmen(folder: Path) -> Written:
    """Files of a virtual-reality lab: positions in cm, irregular iterations, trials padded with NaN."""
    rng, nwb = np.random.default_rng(6), new_file()
    (table,) = segmentations(nwb, ["PlaneSegmentation"], 2)
    dff = rng.random((30, 2))
    container = DfOverF()
    module(nwb, "ophys").add(container)
    container.create_roi_response_series(name="dff", data=dff, rois=all_rois(table), unit="n.a.", rate=10.0)
    times, place, angle = np.cumsum(rng.uniform(0.01, 0.02, 80)), rng.random((80, 3)) * 100, rng.random(80)
    position, heading = Position(), CompassDirection(name="ViewAngle")
    module(nwb, "behavior").add([position, heading])
    for container, data, factor in ((position, place, 0.01), (heading, angle, 1.0)):
        container.create_spatial_series(
            name="SpatialSeries", data=data, reference_frame="maze", timestamps=times, conversion=factor,
            description="columns: x, y, z" if data.ndim == 2 else "angle",
        )  # fmt: skip
    cues = np.array([[1.0, 2.0, np.nan], [0.5, np.nan, np.nan], [0.1, 0.2, 0.3]])
    add_trials(nwb, 3, {"cue_onset": cues, "licks_time": [[0.1, 0.2], [], [3.5]]})
    return Written(write(nwb, folder / "virmen.nwb"), {"place": place, "angle": angle, "times": times, "cues": cues})
