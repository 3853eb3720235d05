"""Arrays of a file, left in it: values in their unit, and clocks."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import h5py
import numpy as np
import xarray as xr

from popglm.recording.hdf5_rows import Hdf5Rows
from popglm.recording.lazy import StoredArray, lazily
from popglm.recording.nwb.layout import Entry, Layout
from popglm.warnings import warn

__all__ = [
    "Clock",
    "Unusable",
    "clock_of",
    "described",
    "first_line",
    "in_file",
    "is_numeric",
    "read_text",
    "shape_of",
    "values_of",
]


class Unusable(Exception):
    """Why an object of a file can be no part of a session."""


@dataclass(frozen=True)
class Clock:
    """When the samples of a series were taken: times, or a rate."""

    times: xr.Variable | None = None
    rate: float | None = None
    start: float = 0.0

    @property
    def length(self) -> int | None:
        """Number of times; None for a rate."""
        return None if self.times is None else int(self.times.shape[0])

    @property
    def arguments(self) -> dict[str, Any]:
        """What `signal` and `traces` take."""
        return {"times": self.times} if self.times is not None else {"rate": self.rate, "start": self.start}


def shape_of(data: Any) -> tuple[int, ...]:
    """The shape of an array in a file, or of a list."""
    shape = getattr(data, "shape", None)
    return tuple(map(int, np.shape(data) if shape is None else shape))


def is_numeric(data: Any) -> bool:
    """Whether an array holds numbers or truth values."""
    kind = np.dtype(data.dtype).kind if hasattr(data, "dtype") else np.asarray(data).dtype.kind
    return kind in "biuf"


def in_file(data: Any, dims: tuple[str, ...], layout: Layout, **how: Any) -> xr.Variable:
    """An array of a file as a variable that is read when it is asked for."""
    array = data if hasattr(data, "dtype") and hasattr(data, "shape") else np.asarray(data)
    if isinstance(array, h5py.Dataset) and array.ndim:
        array = Hdf5Rows(array)
    return lazily(dims, StoredArray(array, owner=layout.file, **how))


def values_of(entry: Entry, layout: Layout, *, transpose: bool = False) -> xr.Variable:
    """The data of a series in its unit, not read; axes of a single column are left out.

    Raises
    ------
    Unusable
        If they are no numbers, or of more than two dimensions.
    """
    series = entry.found
    data = series.data
    if data is None:
        raise Unusable("it has no data")
    shape = shape_of(data)
    if not is_numeric(data):
        raise Unusable("its data are no numbers")
    if not 1 <= len(shape) <= 2 or 0 in shape:
        raise Unusable(f"its data have the shape {shape}")
    how = {"conversion": _factor(entry, "conversion", 1.0), "offset": _factor(entry, "offset", 0.0)}
    dims = ("sample", "column")[: len(shape)]
    return in_file(data, dims, layout, transpose=transpose and len(shape) == 2, **how)


def _factor(entry: Entry, name: str, default: float) -> float:
    """The conversion or the offset of a series; one that would leave nothing of the values is not applied."""
    found = getattr(entry.found, name, None)
    number = default if found is None else float(found)
    if not math.isfinite(number) or (name == "conversion" and number == 0):
        warn(f"read_nwb: {name} of {entry.name!r} is {number:g}, so that no value would be left; values stay as stored")
        return default
    return number


def clock_of(entry: Entry, layout: Layout) -> Clock:
    """The clock of a series as the file gives it; linked timestamps are those of the other series.

    Raises
    ------
    Unusable
        If it has none.
    ValueError
        If its timestamps have two rows, and nobody says which of them has the times.
    """
    series = entry.found
    times = getattr(series, "timestamps", None)
    if times is None:
        rate = getattr(series, "rate", None)
        if rate is None:
            raise Unusable("it has no clock: neither timestamps nor a rate")
        return Clock(rate=float(rate), start=float(getattr(series, "starting_time", None) or 0.0))
    if id(times) in layout.file.wide:
        times = layout.file.wide[id(times)][1]
    shape = shape_of(times)
    if not is_numeric(times) or not 1 <= len(shape) <= 2:
        raise Unusable(f"its timestamps are no list of times: their shape is {shape}")
    if len(shape) == 1:
        return Clock(times=in_file(times, ("sample",), layout))
    return Clock(times=_one_row(in_file(times, ("row", "sample"), layout), entry, layout))


def _one_row(times: xr.Variable, entry: Entry, layout: Layout) -> xr.Variable:
    """The times among timestamps of two dimensions."""
    upright = times.shape[0] > times.shape[1]
    n_rows = min(times.shape)
    row = layout.time_rows.get(entry.name, 0 if n_rows == 1 else None)
    if row is None:
        raise ValueError(
            f"read_nwb: timestamps of {entry.name!r} have {n_rows} rows (shape {times.shape}): probably the start and "
            f"the stop of every sample, or times beside frame numbers; time_rows={{{entry.name!r}: 0}} takes the "
            f"first row, and leave_out=[{entry.name!r}] reads the file without it"
        )
    if not -n_rows <= row < n_rows:
        raise ValueError(f"read_nwb: time_rows names row {row} of {entry.name!r}, which has {n_rows}")
    return times[:, row] if upright else times[row]


def described(entry: Entry) -> str:
    """What the file says of an object, without the words that stand where nothing is said."""
    text = str(getattr(entry.found, "description", None) or "")
    return "" if text in ("no description", "no comments") else text


def first_line(error: BaseException) -> str:
    """What an error says first, without the objects that pynwb shows."""
    lines = str(error).strip().splitlines()
    return lines[0][:300] if lines else type(error).__name__


def read_text(values: Any) -> np.ndarray:
    """Values of a file that were read, text as text, and references as the names of what they point to."""
    array = np.asarray(values)
    if array.dtype.kind == "S":
        return np.char.decode(array, "utf-8").astype(object)
    if array.dtype.kind != "O":
        return array
    return np.array([_as_text(one) for one in array.ravel()], dtype=object).reshape(array.shape)


def _as_text(one: Any) -> Any:
    """One entry of an array of objects."""
    if isinstance(one, bytes):
        return one.decode("utf-8", errors="replace")
    return getattr(one, "name", one)
