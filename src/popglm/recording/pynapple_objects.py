"""Objects of pynapple, known by what they have, so that pynapple itself is not needed."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

import h5py
import numpy as np
import pandas as pd
import xarray as xr

from popglm.checks import check_names
from popglm.messages import listed, shown
from popglm.recording.clocks import longest_step
from popglm.recording.files import nearest
from popglm.recording.lazy import StoredArray, lazily
from popglm.recording.series import events, intervals, signal, spike_trains, traces
from popglm.recording.session import Session
from popglm.warnings import warn

__all__ = ["read_pynapple"]

#: pynapple takes a microsecond off an epoch that ends where the next one begins.
TOUCHING = 1.5e-6


def read_pynapple(objects: Mapping[str, Any], *, activity: str | Iterable[str] | None = None) -> Session:
    """Make a session of pynapple's objects.

    Parameters
    ----------
    objects : mapping of str to TsGroup, TsdFrame, Tsd, Ts or IntervalSet
        By name; an NWB file that pynapple opened is one. A TsdTensor is left out.
    activity : str or sequence of str, optional
        Which TsdFrames hold the activity of neurons, the one to fit first. A TsGroup always does.

    Returns
    -------
    Session
        - Activity: TsGroups, and the TsdFrames that are named. Metadata are coordinates of the neurons.
        - Signals: other TsdFrames, and Tsds.
        - Events: Ts.
        - Intervals: IntervalSets with their metadata, a row each; those called "trials" are the trials.

    Raises
    ------
    TypeError
        If objects are no mapping, or hold anything else.
    ValueError
        If activity names what is not there, or is no activity.

    Warns
    -----
    PopglmWarning
        If a series has a matrix per sample, as a TsdTensor has: it is left out.

    Notes
    -----
    What lies outside of a time support is unknown: spikes were not recorded there, and a signal is NaN from the end of
    an epoch on. pynapple takes a microsecond off an epoch that ends where the next one begins. That is given back, and
    the two stay two trials.

    References
    ----------
    Viejo et al. (2023), Pynapple, a toolbox for data analysis in neuroscience, eLife 12.

    Examples
    --------
    >>> import pynapple as nap
    >>> units = nap.TsGroup({3: nap.Ts([0.5, 2.5]), 8: nap.Ts([1.0])}, time_support=nap.IntervalSet(0, 3))
    >>> speed = nap.Tsd(t=np.arange(30) / 10, d=np.ones(30))
    >>> trials = nap.IntervalSet([0.0, 1.5], [1.5, 3.0])
    >>> session = read_pynapple({"units": units, "speed": speed, "trials": trials})
    >>> session
    Session: activity units (3 spikes × 2 neurons); signals speed; intervals trials (2)
    """
    if not isinstance(objects, Mapping) or hasattr(objects, "time_support"):
        raise TypeError(
            'read_pynapple: objects must be a mapping of names, such as {"units": group, "speed": tsd}; found a '
            f"{type(objects).__name__}"
        )
    wanted = () if activity is None else check_names("read_pynapple", "activity", activity)
    for name in wanted:
        if name not in objects:
            raise ValueError(f"read_pynapple: activity: there is no {name!r}; {nearest(name, objects)}")
    parts: dict[str, Any] = {"activity": {}, "signals": {}, "events": {}, "intervals": {}}
    left_out = {}
    order = [*wanted, *(name for name in objects if name not in wanted)]
    for name in order:
        found = objects[name]
        if name not in wanted and _is_tensor(found):
            left_out[str(name)] = f"its shape is {np.shape(_values(found))}"
            continue
        kind, made = _made(str(name), found, name in wanted)
        parts[kind][str(name)] = made
    if left_out:
        warn(
            "read_pynapple: series with a matrix per sample, such as movies, are no signals: "
            f"{listed(f'{name!r} ({why})' for name, why in left_out.items())}; left out"
        )
    return Session(**parts, attrs={"format": "pynapple", "left_out": left_out})


def _made(name: str, found: Any, is_activity: bool) -> tuple[str, Any]:
    """What becomes of an object, and of which kind that is."""
    if hasattr(found, "time_support") and hasattr(found, "keys") and hasattr(found, "items"):
        return "activity", _trains(found)
    has_values = _has_values(found)
    if is_activity and not (has_values and hasattr(found, "columns")):
        raise ValueError(f"read_pynapple: activity: {name!r} must be a TsGroup or a TsdFrame; found {_kind(found)}")
    if has_values:
        return ("activity", _traces(found)) if is_activity else ("signals", _signal(found))
    if hasattr(found, "t") and not has_values:
        return "events", events(np.asarray(found.t, dtype=np.float64))
    if hasattr(found, "start") and hasattr(found, "end"):
        return "intervals", _intervals(found)
    raise TypeError(
        f"read_pynapple: {name!r} must be a TsGroup, TsdFrame, Tsd, Ts or IntervalSet; found {_kind(found)}"
    )


def _is_tensor(found: Any) -> bool:
    """Whether an object is a series with a matrix, or more, per sample."""
    return _has_values(found) and not hasattr(found, "keys") and len(np.shape(_values(found))) > 2


def _has_values(found: Any) -> bool:
    """Whether an object is a series of values."""
    return hasattr(found, "t") and (hasattr(found, "d") or hasattr(found, "values"))


def _kind(found: Any) -> str:
    """How messages call an object."""
    return f"a {type(found).__name__}" if hasattr(found, "t") or hasattr(found, "start") else shown(found)


def _values(found: Any) -> Any:
    """The values of a series, which may lie in a file."""
    return found.d if hasattr(found, "d") else found.values


def _metadata(found: Any, index: Any) -> pd.DataFrame:
    """Metadata as a table of these rows."""
    metadata = getattr(found, "metadata", None)
    if metadata is None:
        return pd.DataFrame(index=pd.Index(index))
    if hasattr(metadata, "as_dataframe"):
        metadata = metadata.as_dataframe()
    table = pd.DataFrame({str(name): np.asarray(metadata[name]) for name in metadata.columns})
    return table.set_axis(pd.Index(index), axis=0) if len(table.columns) else pd.DataFrame(index=pd.Index(index))


def _epochs(support: Any) -> np.ndarray:
    """Starts and stops (s) of a time support; epochs that touch are one here."""
    starts, stops = np.asarray(support.start, dtype=np.float64), np.asarray(support.end, dtype=np.float64)
    if not len(starts):
        return np.zeros((0, 2))
    begins = np.concatenate([[True], starts[1:] - stops[:-1] > TOUCHING])
    return np.column_stack([starts[begins], stops[np.append(begins[1:], True)]])


def _trains(group: Any) -> xr.Dataset:
    """Spike trains of a TsGroup, unknown outside of its time support."""
    keys = list(group.keys())
    epochs = _epochs(group.time_support)
    trains = [np.asarray(group[key].t, dtype=np.float64) for key in keys]
    inside = [train[_within(train, epochs)] for train in trains]
    return spike_trains(inside, neurons=_metadata(group, keys), observed=[epochs] * len(keys))


def _within(times: np.ndarray, epochs: np.ndarray) -> np.ndarray:
    """Which times lie in an epoch, its ends included."""
    at = np.searchsorted(epochs[:, 0], times, side="right") - 1
    return (at >= 0) & (times <= epochs[np.maximum(at, 0), 1]) if len(epochs) else np.zeros(len(times), bool)


def _samples(series: Any) -> tuple[np.ndarray, Any, np.ndarray]:
    """Times, values and epochs of a series, without the samples outside of its time support."""
    times, values = np.asarray(series.t, dtype=np.float64), _values(series)
    epochs = _epochs(series.time_support)
    inside = _within(times, epochs)
    if isinstance(values, h5py.Dataset) and inside.all():
        return times, lazily(("sample", "column")[: values.ndim], StoredArray(values)), epochs
    return times[inside], np.asarray(values)[inside], epochs


def _traces(frame: Any) -> xr.DataArray:
    """Activity in a TsdFrame; where it was not sampled there is no sample."""
    times, values, _ = _samples(frame)
    return traces(values, times, neurons=_metadata(frame, list(frame.columns)))


def _signal(series: Any) -> xr.DataArray:
    """A signal, unknown from the end of an epoch on."""
    times, values, epochs = _samples(series)
    columns = [str(name) for name in series.columns] if hasattr(series, "columns") else None
    steps = values.dtype.kind != "f"
    # gaps of a regular clock show in its times; the value of a step, and of an irregular clock, would go on
    if len(epochs) > 1 and len(times) and (steps or np.isinf(longest_step(times))):
        times, values = _with_ends(times, np.asarray(values, dtype=np.float64), epochs[:-1, 1])
    return signal(values, times, columns=columns, steps=steps)


def _with_ends(times: np.ndarray, values: np.ndarray, ends: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Samples with one more, unknown, at the end of each epoch."""
    at = np.searchsorted(times, ends, side="right")
    is_taken = (at > 0) & (times[np.maximum(at - 1, 0)] == ends)
    ends = np.where(is_taken, np.nextafter(ends, np.inf), ends)
    return np.insert(times, at, ends), np.insert(values, at, np.nan, axis=0)


def _intervals(epochs: Any) -> pd.DataFrame:
    """Intervals with their metadata, one row each."""
    starts, stops = np.asarray(epochs.start, dtype=np.float64), np.asarray(epochs.end, dtype=np.float64)
    gaps = starts[1:] - stops[:-1]
    stops = np.append(np.where((gaps > 0) & (gaps <= TOUCHING), starts[1:], stops[:-1]), stops[-1:])
    metadata = _metadata(epochs, range(len(starts)))
    return intervals(pd.DataFrame({"start_time": starts, "stop_time": stops}).join(metadata))
