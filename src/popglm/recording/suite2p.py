"""Folders of suite2p."""

from __future__ import annotations

import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from popglm.messages import listed, shown
from popglm.recording.files import NpyFile, path_of, read_npy
from popglm.recording.lazy import lazily
from popglm.recording.plain_pickles import read_plain_pickle
from popglm.recording.series import traces
from popglm.recording.session import Session
from popglm.warnings import warn

__all__ = ["read_suite2p"]

#: Kinds of activity, the one to fit first, and what they are.
KINDS = {
    "spks": "deconvolved fluorescence",
    "F": "fluorescence",
    "Fneu": "neuropil fluorescence",
    "F_chan2": "fluorescence of the second channel",
    "Fneu_chan2": "neuropil fluorescence of the second channel",
}


def read_suite2p(folder: Any, *, times: Any = None, rate: float | None = None) -> Session:
    """Read the planes of a suite2p folder.

    Parameters
    ----------
    folder : path
        The folder ``suite2p``, the one above it, or that of one plane. ``combined`` is left out: it repeats the planes.
    times : array-like, shape (n_frames,), or mapping of plane to array-like, optional
        Times of the frames (s) on the clock of the behaviour, for all planes or per plane ("plane_0"). suite2p does
        not know them.
    rate : float, optional
        Frames per second and plane, in place of the ``fs`` of the settings.

    Returns
    -------
    Session
        Activity "spks", "F" and "Fneu", read from their files when asked for; with several planes "spks/plane_0",
        "spks/plane_1", … and neurons "plane_0/17". Coordinates of neurons: iscell, probability, med_y and med_x
        (pixels), npix, plane, and the other numbers of ``stat.npy``.

    Raises
    ------
    TypeError
        If both times and a rate are given.
    ValueError
        If files are damaged, or do not have one row per ROI; if no rate is known; or if settings hold anything but
        plain values, which are not unpickled.
    FileNotFoundError
        If there is no plane.

    Notes
    -----
    Without `times`, the first frame of every plane is at 0 s, and frames are evenly spaced. ``fs`` keeps its default of
    10 where nobody set it.

    References
    ----------
    Pachitariu et al. (2017), Suite2p: beyond 10,000 neurons with standard two-photon microscopy.

    Examples
    --------
    >>> import tempfile
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     plane = Path(folder, "suite2p", "plane0")
    ...     plane.mkdir(parents=True)
    ...     np.save(plane / "spks.npy", np.ones((2, 100), "float32"))
    ...     np.save(plane / "iscell.npy", np.array([[1, 0.9], [0, 0.2]]))
    ...     np.save(plane / "ops.npy", np.array({"fs": 30.0}))
    ...     session = read_suite2p(folder)
    >>> session
    Session: activity spks (100 samples × 2 neurons)
    >>> session.activity["spks"].iscell.values
    array([ True, False])
    """
    if times is not None and rate is not None:
        raise TypeError("read_suite2p: give times or a rate; found both")
    root = path_of(folder, "read_suite2p", folder=True)
    planes = _planes(root)
    activity: dict[str, Any] = {kind: {} for kind in KINDS}
    for name, path in planes.items():
        several = len(planes) > 1
        settings = _settings(path)
        clock = _clock(path, name, times, settings.get("fs") if rate is None else rate)
        stored = _stored(path, settings)
        first, (n_rois, _) = next((kind, file.shape) for kind, file in stored.items())
        table = _roi_table(path, n_rois, first)
        if several or "plane" not in table:
            table.insert(0, "plane", int(name.partition("_")[2] or 0))
        table.index = pd.Index([f"{name}/{k}" for k in range(n_rois)]) if several else pd.RangeIndex(n_rois)
        for kind, file in stored.items():
            frames = lazily(("sample", "neuron"), file.stored(transpose=True))
            _check_frames(path, kind, file.shape[1], clock, settings)
            activity[kind][name] = traces(frames, **clock, neurons=table, description=KINDS[kind])
    named = {
        kind if len(planes) == 1 else f"{kind}/{name}": found
        for kind, of_planes in activity.items()
        for name, found in of_planes.items()
    }
    return Session(activity=named, attrs={"source": str(root), "format": "suite2p"})


def _planes(root: Path) -> dict[str, Path]:
    """Folders of the planes, by name."""
    if _holds_traces(root):
        number = re.fullmatch(r"plane(\d+)", root.name)
        if root.name == "combined":
            warn(
                "read_suite2p: combined pads planes of fewer frames with zeros, and gives all of them one clock; give "
                "the folder above it, if the planes are still there"
            )
            return {"combined": root}
        return {f"plane_{number[1] if number else 0}": root}
    for folder in (root, root / "suite2p"):
        numbers = sorted(
            int(p.name[5:]) for p in folder.glob("plane*") if re.fullmatch(r"plane\d+", p.name) and p.is_dir()
        )
        planes = {f"plane_{k}": folder / f"plane{k}" for k in numbers}
        empty = [path.name for path in planes.values() if not _holds_traces(path)]
        planes = {name: path for name, path in planes.items() if path.name not in empty}
        if planes:
            if empty:
                warn(f"read_suite2p: {listed(empty)} of {str(folder)!r} hold no traces, so no ROI; left out")
            return planes
    raise FileNotFoundError(
        f"read_suite2p: {str(root)!r} has no folder plane0, plane1, … with {', '.join(list(KINDS)[:3])} (.npy); give "
        "the folder that suite2p wrote"
    )


def _holds_traces(path: Path) -> bool:
    return any((path / f"{kind}.npy").is_file() for kind in KINDS)


def _settings(path: Path) -> dict[str, Any]:
    """What suite2p was told: ops.npy, or since version 1 settings.npy and db.npy."""
    found: dict[str, Any] = {}
    for name in ("db.npy", "settings.npy", "ops.npy"):
        if (path / name).is_file():
            inner = read_plain_pickle(path / name, "read_suite2p")
            if inner.ndim != 0 or not isinstance(inner.item(), dict):
                raise ValueError(f"read_suite2p: {name} of {path.name} holds no settings; found {shown(inner)}")
            found |= inner.item()
    return found


def _clock(path: Path, plane: str, times: Any, rate: Any) -> dict[str, Any]:
    """Times of the frames of a plane, or their rate."""
    if isinstance(times, Mapping):
        if plane not in times:
            raise ValueError(f"read_suite2p: times has no entry for {plane!r}; it has {listed(times)}")
        return {"times": np.asarray(times[plane], dtype=np.float64)}
    if times is not None:
        return {"times": np.asarray(times, dtype=np.float64)}
    if rate is None:
        raise ValueError(
            f"read_suite2p: neither ops.npy nor settings.npy of {path.name} tells the frame rate; give rate= (frames "
            "per second and plane) or times="
        )
    if not isinstance(rate, int | float | np.number) or isinstance(rate, bool):
        raise ValueError(f"read_suite2p: the rate of {path.name} must be a number; found {shown(rate)}")
    return {"rate": float(rate)}


def _stored(path: Path, settings: dict[str, Any]) -> dict[str, NpyFile]:
    """The kinds of activity of a plane, each (n_rois, n_frames)."""
    kinds = [kind for kind in KINDS if (path / f"{kind}.npy").is_file()]
    steps = settings.get("run")
    deconvolved = settings.get("spikedetect", steps.get("do_deconvolution") if isinstance(steps, dict) else None)
    if "spks" in kinds and deconvolved is not None and not deconvolved:
        warn(f"read_suite2p: {path.name} was not deconvolved, so its spks.npy is all zeros; left out")
        kinds.remove("spks")
    stored = {kind: NpyFile(path / f"{kind}.npy", "read_suite2p") for kind in kinds}
    if not stored:
        raise ValueError(f"read_suite2p: {path.name} has no activity other than spks.npy, which is all zeros")
    for kind, file in stored.items():
        if file.ndim != 2:
            raise ValueError(f"read_suite2p: {kind}.npy of {path.name} must be ROIs × frames; found shape {file.shape}")
        if file.shape != stored[kinds[0]].shape:
            raise ValueError(
                f"read_suite2p: {kinds[0]}.npy and {kind}.npy of {path.name} must have one shape, ROIs × frames; found "
                f"{stored[kinds[0]].shape} and {file.shape}: they are from different runs"
            )
    return stored


def _check_frames(path: Path, kind: str, n_frames: int, clock: dict[str, Any], settings: dict[str, Any]) -> None:
    """Frames must be as many as times; fewer than suite2p registered are worth a word."""
    if "times" in clock and len(clock["times"]) != n_frames:
        raise ValueError(
            f"read_suite2p: {kind}.npy of {path.name} has {n_frames:,} frames, but times has {len(clock['times']):,}; "
            "give one time per frame of that plane"
        )
    registered = settings.get("nframes")
    if kind == "F" and isinstance(registered, int | np.integer) and registered != n_frames and path.name != "combined":
        warn(
            f"read_suite2p: {path.name} has traces of {n_frames:,} frames, but its settings say {registered:,}; check "
            "that they are of the same run"
        )


def _roi_table(path: Path, n_rois: int, kind: str) -> pd.DataFrame:
    """What is known of each ROI: the classifiers' answers and the numbers of stat.npy."""
    table = pd.DataFrame(index=pd.RangeIndex(n_rois))
    for name, probability in (("iscell", "probability"), ("redcell", "redcell_probability")):
        if (path / f"{name}.npy").is_file():
            answers = np.atleast_2d(np.asarray(read_npy(path / f"{name}.npy", "read_suite2p")).T).T
            _check_rows(path, f"{name}.npy", len(answers), n_rois, kind)
            table[name] = answers[:, 0] > 0
            if answers.shape[1] > 1:
                table[probability] = answers[:, 1]
    if not (path / "stat.npy").is_file():
        return table
    rois = list(np.atleast_1d(read_plain_pickle(path / "stat.npy", "read_suite2p")))
    _check_rows(path, "stat.npy", len(rois), n_rois, kind)
    if not all(isinstance(roi, dict) for roi in rois):
        raise ValueError(
            f"read_suite2p: stat.npy of {path.name} must hold a dictionary per ROI; found {shown(rois[0])}"
        )
    rows = [_numbers(roi) for roi in rois]
    found = pd.DataFrame(rows, index=table.index).rename(columns={"iplane": "plane"})
    return table.join(found[[name for name in found if name not in table]])


def _numbers(roi: dict[str, Any]) -> dict[str, Any]:
    """The numbers that stat.npy has of a ROI; its pixels are left out."""
    middle = roi.get("med")
    found: dict[str, Any] = {} if middle is None else {"med_y": float(middle[0]), "med_x": float(middle[1])}
    for name, value in roi.items():
        if isinstance(value, bool | int | float | np.number | np.bool_):
            found[str(name)] = value
    return found


def _check_rows(path: Path, name: str, found: int, n_rois: int, kind: str) -> None:
    if found != n_rois:
        raise ValueError(
            f"read_suite2p: {name} of {path.name} has {found:,} ROIs, but {kind}.npy has {n_rois:,}; they are from "
            "different runs"
        )
