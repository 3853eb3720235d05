"""A simulated session as an NWB file in the shape of public recordings of the task (dandiset 000579, multi-plane)."""

from __future__ import annotations

import warnings
from datetime import UTC, datetime
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from popglm.io.files import check_target, write_whole
from popglm.io.nwb_results import write_new_nwb
from popglm.simulated_maze import MazeSession, maze_session

__all__ = ["write_maze_nwb"]

#: Frames of a volume, of which the last is the fly-back of the microscope; frames per second of them all.
FRAMES, RATE = 5, 30.0
#: The frame whose time is that of a sample of the simulated session.
CENTRAL = 2
AREAS = ("V1", "PM", "AM", "MM", "RSC", "A")


def write_maze_nwb(path: str | Path, n_samples: int = 27_396, n_neurons: int = 100, *, seed: int = 0) -> MazeSession:
    """Write a simulated session of the maze task to an NWB file.

    Four planes are imaged in turn, a frame each, and a fifth frame is the fly-back, so that a plane has 6 Hz. The
    activity is a tenth of `MazeSession.activity`, positions are in metres, and behaviour is told at every frame.

    Parameters
    ----------
    path : path-like
        A new file, or one to replace; written whole or not at all.
    n_samples, n_neurons, seed
        As of `maze_session`; neurons are shared out to the planes.

    Returns
    -------
    MazeSession
        What was written: sample k is the third frame of volume k.

    Raises
    ------
    ImportError
        If pynwb is not installed.
    ValueError, OSError
        If the file cannot be written.

    Examples
    --------
    >>> import tempfile
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     session = write_maze_nwb(f"{folder}/session.nwb", n_samples=200, n_neurons=4)
    >>> session.activity.shape
    (200, 4)
    """
    if find_spec("pynwb") is None:
        raise ImportError("write_maze_nwb needs pynwb: pip install 'popglm[nwb]'")
    target = check_target(path, "session.nwb")
    session = maze_session(n_samples, n_neurons, n_task_variables=8, seed=seed)

    def write(beside: str) -> None:
        with warnings.catch_warnings():
            # of the name that the file has until it is whole
            warnings.filterwarnings("ignore", message="The file path provided")
            write_new_nwb(beside, _file_of(session))

    write_whole(target, write, 8 * n_samples * (2 * n_neurons + 10 * FRAMES))
    return session


def _file_of(session: MazeSession) -> Any:
    """The session as objects of pynwb."""
    from pynwb import NWBFile

    nwb = NWBFile(
        session_description="simulated choices in a virtual maze",
        identifier="popglm-maze",
        session_start_time=datetime(2022, 1, 1, tzinfo=UTC),
        institution="simulated by popglm",
    )
    frames = _frames(session.behavior)
    _add_behavior(nwb, session.behavior, frames)
    _add_activity(nwb, session, frames["time"].to_numpy())
    _add_trials(nwb, session.behavior, frames)
    return nwb


def _frames(behavior: pd.DataFrame) -> pd.DataFrame:
    """Behaviour at every frame: between samples of one trial on the straight line, else as in the last sample."""
    n = len(behavior)
    at = (np.arange(n * FRAMES) - CENTRAL) / FRAMES
    before = np.clip(np.floor(at).astype(int), 0, n - 1)
    after = np.minimum(before + 1, n - 1)
    trial = behavior["trial"].to_numpy()
    share = np.where(trial[after] == trial[before], np.clip(at - before, 0, 1), 0.0)
    frames = pd.DataFrame({"time": np.arange(n * FRAMES) / RATE, "trial": trial[before].astype(float)})
    for name in ("position", "time_from_choice", "pitch", "roll", "yaw"):
        values = behavior[name].to_numpy()
        straight = values[before] * (1 - share) + values[after] * share
        frames[name] = np.where((share == 0) | np.isnan(straight), values[before], straight)
    # in the maze, time counts up to the choice
    for _, rows in frames.groupby("trial").indices.items():
        maze = rows[np.isnan(frames["time_from_choice"].to_numpy()[rows])]
        frames.loc[maze, "time_from_choice"] = -(len(maze) - np.arange(len(maze))) / RATE
    return frames


def _add_behavior(nwb: Any, behavior: pd.DataFrame, frames: pd.DataFrame) -> None:
    """Series of behaviour, all linked to the times of the first."""
    from pynwb import TimeSeries
    from pynwb.behavior import BehavioralTimeSeries, Position

    module = nwb.create_processing_module("behavior", "behaviour at the frames of the microscope")
    place = Position(name="frame_aligned_position")
    first = place.create_spatial_series(
        name="frame_aligned_forward_and_lateral_position",
        data=np.column_stack([frames["position"] / 100, np.where(np.isnan(frames["position"]), np.nan, 0.0)]),
        timestamps=frames["time"].to_numpy(),
        unit="m",
        reference_frame="start of the maze",
    )
    module.add(place)
    velocity = BehavioralTimeSeries(name="frame_aligned_velocity")
    velocity.create_timeseries(
        name="frame_aligned_pitch_roll_yaw_velocity",
        data=frames[["pitch", "roll", "yaw"]].to_numpy(),
        timestamps=first,
        unit="A.U.",
    )
    module.add(velocity)
    for name, values, unit in (
        ("frame_aligned_trial_number", frames["trial"].to_numpy(), "n.a."),
        ("frame_aligned_time_from_choice_point", frames["time_from_choice"].to_numpy(), "s"),
        ("plane_idx_for_imaging_frames", np.arange(len(frames)) % FRAMES, "n.a."),
    ):
        module.add(TimeSeries(name=name, data=values, timestamps=first, unit=unit))
    network = BehavioralTimeSeries(name="velocity_RNN_prediction_for_choice_and_cue")
    forward, cue = behavior["dyn_cho"].to_numpy(), behavior["cue"].to_numpy(float)
    network.create_timeseries(
        name="RNN_prediction",
        data=np.column_stack([forward, -forward, cue, -cue]),
        timestamps=frames["time"].to_numpy()[CENTRAL::FRAMES],
        unit="A.U.",
        description="choice forward, choice reverse, cue forward, cue reverse",
    )
    module.add(network)


def _add_activity(nwb: Any, session: MazeSession, times: np.ndarray) -> None:
    """Deconvolved activity of every plane, and its table of ROIs."""
    from pynwb.ophys import ImageSegmentation, OpticalChannel, RoiResponseSeries

    module = nwb.create_processing_module("ophys", "activity")
    segmentation = ImageSegmentation()
    module.add(segmentation)
    device = nwb.create_device("microscope")
    rng = np.random.default_rng(0)
    for p, columns in enumerate(np.array_split(np.arange(session.activity.shape[1]), FRAMES - 1)):
        channel = OpticalChannel(name=f"channel_{p}", description="green", emission_lambda=510.0)
        plane = nwb.create_imaging_plane(
            name=f"plane_{p}", optical_channel=channel, description="simulated", device=device, location="cortex",
            excitation_lambda=920.0, indicator="GCaMP6s",
        )  # fmt: skip
        table = segmentation.create_plane_segmentation(
            name=f"PlaneSegmentation_{p}", description="ROIs", imaging_plane=plane
        )
        for roi in range(len(columns)):
            table.add_roi(id=roi, pixel_mask=[(int(x), int(y), 1.0) for x, y in rng.integers(0, 512, (3, 2))])
        if len(columns):
            for name, low, high in (("ml", 0.5, 3.5), ("ap", -3.5, 0.0), ("depth", 0.1 + 0.05 * p, 0.15 + 0.05 * p)):
                table.add_column(name, f"{name} (mm)", data=rng.uniform(low, high, len(columns)))
            table.add_column("area", "visual or association area", data=list(rng.choice(AREAS, len(columns))))
        module.add(
            RoiResponseSeries(
                name=f"deconvolved_activity_plane_{p}",
                data=session.activity.to_numpy(float)[:, columns] / 10,
                timestamps=times[p::FRAMES],
                unit="A.U.",
                rois=table.create_roi_table_region(region=list(range(len(columns))), description="all"),
            )
        )


def _add_trials(nwb: Any, behavior: pd.DataFrame, frames: pd.DataFrame) -> None:
    """The table of trials."""
    times = frames.groupby("trial")["time"].agg(["min", "max"])
    first = behavior.groupby("trial").first()
    for name, text in (
        ("is_cueB", "cue B was shown"),
        ("is_choL", "the mouse went left"),
        ("is_correct", "the choice was right"),
        ("rule_belief", "belief in the rule"),
        ("rule_following", "how much it follows the rule"),
        ("bias_following", "how much it follows its bias"),
    ):
        nwb.add_trial_column(name, text)
    for (trial, row), (start, stop) in zip(first.iterrows(), times.to_numpy(), strict=True):
        nwb.add_trial(
            id=int(trial), start_time=start, stop_time=stop + 1 / RATE, is_cueB=bool(row["cue"] > 0),
            is_choL=bool(row["cho"] > 0), is_correct=bool(row["corr"] > 0), rule_belief=float(row["belief"]),
            rule_following=float(row["rule_following"]), bias_following=float(row["bias_following"]),
        )  # fmt: skip
