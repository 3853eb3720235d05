"""Files of CaImAn."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import h5py
import numpy as np
import pandas as pd

from popglm.messages import listed
from popglm.recording.files import Hdf5File, open_hdf5, path_of
from popglm.recording.lazy import lazily
from popglm.recording.series import traces
from popglm.recording.session import Session
from popglm.warnings import warn

__all__ = ["read_caiman"]

#: Kinds of activity, the one to fit first, and what they are.
KINDS = {"S": "deconvolved activity", "C": "denoised fluorescence", "F_dff": "relative fluorescence"}
#: What CaImAn measures of components, and what it is called here.
MEASURES = {"SNR_comp": "snr", "r_values": "r_value", "cnn_preds": "cnn_prediction"}


def read_caiman(path: Any, *, times: Any = None, rate: float | None = None) -> Session:
    """Read what ``cnmf.save`` of CaImAn wrote into an HDF5 file.

    Parameters
    ----------
    path : path
        The .hdf5 file.
    times : array-like, shape (n_frames,), optional
        Times of the frames (s) on the clock of the behaviour. CaImAn does not know them.
    rate : float, optional
        Frames per second, in place of the file's ``params/data/fr``.

    Returns
    -------
    Session
        Activity "S", "C" and "F_dff", those that were computed, read from the file when asked for. Coordinates of
        neurons: is_accepted (listed in ``idx_components``), snr, r_value, cnn_prediction; y, x (z, y, x in a volume),
        the centre of the footprint in pixels, counted from 0; n_pixels.

    Raises
    ------
    TypeError
        If both times and a rate are given.
    ValueError
        If the file is damaged, is none of CaImAn's, or has no frame rate; or if parts have different numbers of
        components.
    FileNotFoundError
        If there is no such file.

    Notes
    -----
    Without `times`, the first frame is at 0 s, and frames are evenly spaced. ``fr`` keeps its default of 30 where
    nobody set it.

    References
    ----------
    Giovannucci et al. (2019), CaImAn: an open source tool for scalable calcium imaging data analysis, eLife 8.

    Examples
    --------
    >>> import tempfile
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     with h5py.File(Path(folder, "result.hdf5"), "w") as file:
    ...         file["estimates/C"] = np.ones((2, 90))
    ...         file["estimates/idx_components"] = [1]
    ...         file["params/data/fr"] = 30
    ...     session = read_caiman(Path(folder, "result.hdf5"))
    >>> session
    Session: activity C (90 samples × 2 neurons)
    >>> session.activity["C"].is_accepted.values
    array([False,  True])
    """
    if times is not None and rate is not None:
        raise TypeError("read_caiman: give times or a rate; found both")
    found = path_of(path, "read_caiman")
    with open_hdf5(found, "read_caiman") as file:
        estimates = file.get("estimates")
        if not isinstance(estimates, h5py.Group):
            raise ValueError(
                f"read_caiman: {found.name} has no group 'estimates'; found {listed(file) or 'nothing'}: give a file "
                "that cnmf.save of CaImAn wrote"
            )
        kinds = _kinds(estimates, found)
        n_neurons, n_frames = kinds[next(iter(kinds))]
        table = _component_table(estimates, file, n_neurons)
        clock = _clock(file, found, n_frames, times, rate)
    activity = {}
    for kind in kinds:
        values = lazily(
            ("sample", "neuron"), Hdf5File(found, f"estimates/{kind}", "read_caiman").stored(transpose=True)
        )
        activity[kind] = traces(values, **clock, neurons=table, description=KINDS[kind])
    return Session(activity=activity, attrs={"source": str(found), "format": "CaImAn"})


def _kinds(estimates: h5py.Group, path: Path) -> dict[str, tuple[int, int]]:
    """Kinds of activity that were computed, with components × frames."""
    shapes: dict[str, tuple[int, int]] = {}
    for kind in KINDS:
        # None is stored as the text "NoneType"
        if isinstance(found := estimates.get(kind), h5py.Dataset) and found.ndim == 2 and found.dtype.kind == "f":
            shapes[kind] = found.shape
    if not shapes:
        raise ValueError(
            f"read_caiman: estimates of {path.name} hold none of {listed(KINDS)}; fit the components first"
        )
    n_neurons = estimates["C"].shape[0] if "C" in shapes else next(iter(shapes.values()))[0]
    for kind, shape in shapes.items():
        reference = shapes.get("C", shape)
        if shape[1] != reference[1]:
            raise ValueError(
                f"read_caiman: C and {kind} of {path.name} must have one number of frames; found {reference[1]:,} and "
                f"{shape[1]:,}: compute {kind} again"
            )
    other = {kind: shape[0] for kind, shape in shapes.items() if shape[0] != n_neurons}
    for kind, n in other.items():
        warn(
            f"read_caiman: {kind} has {n:,} components, but C has {n_neurons:,}: it was computed before or after a "
            "selection of components, so which is which is not known; left out"
        )
        del shapes[kind]
    return shapes


def _clock(file: h5py.File, path: Path, n_frames: int, times: Any, rate: float | None) -> dict[str, Any]:
    """Times of the frames, or their rate."""
    if times is not None:
        when = np.asarray(times, dtype=np.float64)
        if when.shape != (n_frames,):
            raise ValueError(
                f"read_caiman: {path.name} has {n_frames:,} frames, but times has shape {when.shape}; give one time "
                "per frame"
            )
        return {"times": when}
    if rate is None:
        stored = file.get("params/data/fr")
        if not isinstance(stored, h5py.Dataset) or stored.size != 1 or stored.dtype.kind not in "iuf":
            raise ValueError(
                f"read_caiman: {path.name} has no number params/data/fr; give rate= (frames per second) or times="
            )
        rate = float(np.asarray(stored[()]).item())
    return {"rate": float(rate)}


def _component_table(estimates: h5py.Group, file: h5py.File, n_neurons: int) -> pd.DataFrame:
    """What is known of each component."""
    table = pd.DataFrame(index=pd.RangeIndex(n_neurons))
    accepted = _numbers(estimates, "idx_components")
    if accepted is not None:
        accepted = accepted.astype(np.int64)
        if len(accepted) and not 0 <= accepted.min() <= accepted.max() < n_neurons:
            raise ValueError(
                f"read_caiman: idx_components must be below the {n_neurons:,} components; found {accepted.max()}: save "
                "the result again"
            )
        table["is_accepted"] = np.isin(np.arange(n_neurons), accepted)
    for name, column in MEASURES.items():
        values = _numbers(estimates, name)
        if values is not None and len(values) == n_neurons:
            table[column] = values
    footprints = estimates.get("A")
    if isinstance(footprints, h5py.Group) and {"data", "indices", "indptr"} <= set(footprints):
        _add_centres(table, footprints, _dims(estimates, file))
    return table


def _numbers(estimates: h5py.Group, name: str) -> np.ndarray | None:
    """A list of numbers, None where there is none."""
    found = estimates.get(name)
    if not isinstance(found, h5py.Dataset) or found.dtype.kind not in "iuf" or found.ndim < 1:
        return None
    return np.asarray(found[()]).reshape(-1)


def _dims(estimates: h5py.Group, file: h5py.File) -> tuple[int, ...] | None:
    """Rows and columns of the movie."""
    for found in (estimates.get("dims"), file.get("dims"), file.get("params/data/dims")):
        if isinstance(found, h5py.Dataset) and found.dtype.kind in "iu" and found.size in (2, 3):
            return tuple(int(n) for n in np.asarray(found[()]))
    return None


def _add_centres(table: pd.DataFrame, footprints: h5py.Group, dims: tuple[int, ...] | None) -> None:
    """Add the centres of footprints, columns of a sparse matrix (n_pixels, n_components)."""
    pointers = np.asarray(footprints["indptr"][()])
    if len(pointers) != len(table) + 1:
        return
    table["n_pixels"] = np.diff(pointers)
    if dims is None:
        return
    weights, pixels = np.asarray(footprints["data"][()], dtype=np.float64), np.asarray(footprints["indices"][()])
    component = np.repeat(np.arange(len(table)), np.diff(pointers))
    if len(pixels) and pixels.max() >= np.prod(dims):
        return
    total = np.bincount(component, weights, minlength=len(table))
    # CaImAn runs through pixels with the first axis fastest
    axes = ("y", "x") if len(dims) == 2 else ("z", "y", "x")
    where = dict(zip(("y", "x", "z"), np.unravel_index(pixels, dims, order="F"), strict=False))
    for axis in axes:
        moment = np.bincount(component, weights * where[axis], minlength=len(table))
        with np.errstate(invalid="ignore"):
            table[axis] = moment / total
