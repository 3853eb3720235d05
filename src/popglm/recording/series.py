"""What a recording consists of, as labelled arrays: signals, traces, spike trains, events and intervals.

Each has a clock of its own, in seconds. Values and times may stay in their file until they are asked for.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import numpy as np
import pandas as pd
import xarray as xr

from popglm.frames import as_pandas
from popglm.messages import listed, shown
from popglm.recording.lazy import TimesOfRate, lazily
from popglm.warnings import warn

__all__ = ["CONTINUOUS", "STEPS", "events", "intervals", "signal", "spike_trains", "traces"]

#: Far above what the largest recordings have.
MOST_NEURONS = 10_000_000
#: What a signal does between its samples: it changes gradually, or it keeps its value.
CONTINUOUS, STEPS = "continuous", "steps"


def signal(
    values: Any,
    times: Any = None,
    *,
    rate: float | None = None,
    start: float = 0.0,
    unit: str = "",
    columns: Sequence[str] | None = None,
    steps: bool | None = None,
    description: str = "",
) -> xr.DataArray:
    """A variable that was sampled over time: a position, a velocity, a trial number.

    Parameters
    ----------
    values : array-like or xarray Variable, shape (n_samples,) or (n_samples, n_columns)
    times : array-like or xarray Variable, shape (n_samples,), optional
        In seconds; NaN where a sample lost its time.
    rate : float, optional
        Samples per second, in place of times.
    start : float, optional
        Time of the first sample (s), where a rate is given.
    unit : str, optional
        What values are measured in.
    columns : sequence of str, optional
        Names of the columns of 2-D values; "0", "1", … unless given.
    steps : bool, optional
        Whether a value holds until the next sample, as a trial number does; by default what is not a floating-point
        number does.
    description : str, optional

    Returns
    -------
    DataArray
        Dims "sample" and, for 2-D values, "column"; coordinate "time".

    Raises
    ------
    TypeError
        If neither times nor a rate is given, or both.
    ValueError
        If values have more than two dimensions, or another length than times.

    Examples
    --------
    >>> speed = signal([0.0, 1.5, 3.0], rate=30, unit="cm/s")
    >>> speed.time.values.round(3), speed.attrs["between_samples"]
    (array([0.   , 0.033, 0.067]), 'continuous')
    """
    variable = _variable(values, ("sample", "column"), "signal")
    if steps is None:
        steps = variable.dtype.kind != "f"
    attrs = {"units": unit, "description": description, "between_samples": STEPS if steps else CONTINUOUS}
    coords: dict[str, Any] = {"time": _clock(variable, times, rate, start, "signal")}
    if variable.ndim == 2:
        columns = [str(k) for k in range(variable.shape[1])] if columns is None else list(map(str, columns))
        if len(columns) != variable.shape[1]:
            raise ValueError(f"signal: {variable.shape[1]} columns of values have {len(columns)} names")
        coords["column"] = ("column", columns)
    return _labelled(variable, coords, attrs)


def traces(
    values: Any,
    times: Any = None,
    *,
    rate: float | None = None,
    start: float = 0.0,
    neurons: pd.DataFrame | Iterable[Any] | None = None,
    unit: str = "",
    description: str = "",
) -> xr.DataArray:
    """Activity of neurons that was sampled over time, such as fluorescence.

    Parameters
    ----------
    values : array-like or xarray Variable, shape (n_samples, n_neurons)
    times, rate, start, unit, description
        As for `signal`.
    neurons : DataFrame or iterable, optional
        The table of ROIs or units, a row per neuron, its index their names; or the names alone. 0, 1, … unless given.

    Returns
    -------
    DataArray
        Dims "sample" and "neuron"; coordinates "time", "neuron" and every column of the table.

    Raises
    ------
    TypeError
        If neither times nor a rate is given, or both.
    ValueError
        If values are not 2-D, times have another length, or neurons are of another number or share a name.

    Examples
    --------
    >>> table = pd.DataFrame({"depth": [120.0, 300.0]}, index=["plane_0/0", "plane_0/1"])
    >>> dff = traces(np.zeros((3, 2)), rate=6, neurons=table)
    >>> dff.sizes["sample"], dff.depth.sel(neuron="plane_0/1").item()
    (3, 300.0)
    """
    variable = _variable(values, ("sample", "neuron"), "traces")
    if variable.ndim != 2:
        raise ValueError(f"traces: values must be samples × neurons; found shape {variable.shape}")
    coords = {"time": _clock(variable, times, rate, start, "traces")}
    coords |= _neuron_coords(neurons, variable.shape[1], "traces")
    attrs = {"units": unit, "description": description, "between_samples": CONTINUOUS}
    return _labelled(variable, coords, attrs)


def spike_trains(
    times: Any,
    counts: Any = None,
    *,
    neurons: pd.DataFrame | Iterable[Any] | None = None,
    observed: Sequence[Any] | None = None,
    description: str = "",
) -> xr.Dataset:
    """Spike times of neurons, one after the other (a contiguous ragged array of the CF conventions).

    Parameters
    ----------
    times : list of array-like, or array-like or xarray Variable, shape (n_spikes,)
        In seconds: one array per neuron, or those of all neurons one after the other.
    counts : array-like of int, shape (n_neurons,), optional
        Spikes of each neuron, where all times come in one array.
    neurons : DataFrame or iterable, optional
        As for `traces`.
    observed : sequence of array-like, shape (n_intervals, 2), optional
        For each neuron, when it was recorded: starts and stops in seconds; None for a neuron that was all the time.
    description : str, optional

    Returns
    -------
    Dataset
        "spike_time" (spike), "n_spikes" (neuron), and with `observed` "observed" (interval, bound) and "n_observed"
        (neuron), -1 for a neuron that was recorded all the time; coordinates as for `traces`.

    Raises
    ------
    ValueError
        If counts do not add up to the number of times, or neurons or observed are of another number.

    Examples
    --------
    >>> units = spike_trains([[0.1, 0.4], [], [0.2]], neurons=["a", "b", "c"])
    >>> units.n_spikes.values, units.spike_time.values
    (array([2, 0, 1]), array([0.1, 0.4, 0.2]))
    """
    if counts is None:
        trains = [np.asarray(_seconds(train, "spike_trains"), dtype=np.float64).reshape(-1) for train in times]
        counts = [len(train) for train in trains]
        times = np.concatenate(trains) if trains else np.zeros(0)
    variable, counts = _variable(times, ("spike",), "spike_trains"), np.asarray(counts, dtype=np.int64)
    if counts.sum() != variable.shape[0]:
        raise ValueError(f"spike_trains: counts add up to {counts.sum():,}; found {variable.shape[0]:,} times")
    data = xr.Dataset(
        {"spike_time": variable, "n_spikes": ("neuron", counts)},
        coords=_neuron_coords(neurons, len(counts), "spike_trains"),
        attrs={"description": description},
    )
    if observed is None:
        return data
    if len(observed) != len(counts):
        raise ValueError(f"spike_trains: observed has {len(observed)} entries for {len(counts)} neurons")
    when = [None if one is None else np.asarray(one, dtype=np.float64).reshape(-1, 2) for one in observed]
    bounds = [one for one in when if one is not None]
    return data.assign(
        observed=(("interval", "bound"), np.concatenate(bounds) if bounds else np.zeros((0, 2))),
        n_observed=("neuron", np.array([-1 if one is None else len(one) for one in when], dtype=np.int64)),
    )


def events(
    times: Any, stops: Any = None, *, columns: Mapping[str, Any] | None = None, description: str = ""
) -> xr.Dataset:
    """Times at which something happened: licks, rewards, cues.

    Parameters
    ----------
    times : array-like or xarray Variable, shape (n_events,)
        In seconds; NaN where an event did not happen.
    stops : array-like, shape (n_events,), optional
        When each ended.
    columns : mapping of str to array-like, shape (n_events,), optional
        What else is known of each.
    description : str, optional

    Returns
    -------
    Dataset
        Dim "event"; coordinate "time", variables "stop_time" and the columns.

    Raises
    ------
    ValueError
        If stops or a column have another length than times.

    Examples
    --------
    >>> licks = events([0.5, 0.7], columns={"side": ["left", "right"]})
    >>> licks.side.values.tolist()
    ['left', 'right']
    """
    variable = _variable(_seconds(times, "events"), ("event",), "events")
    found = dict(columns or {}) | ({} if stops is None else {"stop_time": stops})
    data = {}
    for name, values in found.items():
        values = values if isinstance(values, xr.Variable) else np.asarray(values)
        if len(values) != variable.shape[0]:
            raise ValueError(f"events: {name!r} has {len(values)} entries for {variable.shape[0]} times")
        data[str(name)] = ("event", values) if isinstance(values, np.ndarray) else values
    coords = xr.Coordinates({"time": variable}, indexes={})
    return xr.Dataset(data, coords=coords, attrs={"description": description})


def intervals(table: pd.DataFrame, name: str = "the intervals") -> pd.DataFrame:
    """A table of intervals, such as trials: a row each, in order of their start.

    A stop that is missing (a column that is not there, or NaN) becomes the start of the next interval.

    Parameters
    ----------
    table : DataFrame of pandas or polars
        With "start_time", "stop_time" if known (s, or durations), and what else is known of each.
    name : str, optional
        What the warning calls them.

    Returns
    -------
    DataFrame

    Raises
    ------
    ValueError
        If a start is missing, or an interval ends before it begins.
    TypeError
        If starts or stops are dates.

    Warns
    -----
    PopglmWarning
        If stops are missing.

    Examples
    --------
    >>> intervals(pd.DataFrame({"start_time": [0.0, 2.0], "stop_time": [np.nan, 3.0]}))
       start_time  stop_time
    0         0.0        2.0
    1         2.0        3.0
    """
    table = as_pandas(table)
    if "start_time" not in table:
        raise ValueError(f"intervals: the table needs a column 'start_time'; found {listed(map(repr, table.columns))}")
    for end in {"start_time", "stop_time"} & set(table.columns):
        table = table.assign(**{end: pd.Series(_seconds(table[end], "intervals"), table.index).astype(np.float64)})
    if table["start_time"].isna().any():
        row = int(np.flatnonzero(table["start_time"].isna())[0])
        raise ValueError(f"intervals: start_time is missing in row {row}; drop that row or give it a start")
    if not table["start_time"].is_monotonic_increasing:
        table = table.sort_values("start_time", kind="stable")
    following = table["start_time"].shift(-1)
    stops = table["stop_time"] if "stop_time" in table else np.nan * following
    missing = int(stops.isna().sum())
    if missing:
        last = ", and the last with the recording: give its end" if np.isnan(stops.iloc[-1]) else ""
        warn(
            f"{missing:,} of {len(table):,} rows of {name} have no stop_time; each ends where the next one starts{last}"
        )
    table = table.assign(stop_time=stops.fillna(following))
    backward = np.flatnonzero(table["stop_time"] < table["start_time"])
    if len(backward):
        start, stop = table[["start_time", "stop_time"]].iloc[backward[0]]
        raise ValueError(
            f"intervals: row {shown(table.index[backward[0]])} ends at {stop:g} s, before it begins at {start:g} s; "
            "mend the table"
        )
    return table


def _seconds(times: Any, maker: str) -> Any:
    """Times as they are, and durations in seconds; dates are none.

    Raises
    ------
    TypeError
        If they are dates.
    """
    if isinstance(times, xr.Variable):
        return times
    array = np.asarray(times)
    if array.dtype.kind == "m":
        return array / np.timedelta64(1, "s")
    if array.dtype.kind == "M":
        raise TypeError(
            f"{maker}: times must be seconds; found dates. Take the start of the recording from them: durations are "
            "turned into seconds"
        )
    return times


def _variable(values: Any, dims: tuple[str, ...], maker: str) -> xr.Variable:
    """Values as a variable of as many of these dimensions as they have."""
    array: Any = values if isinstance(values, xr.Variable) else np.asarray(values)
    if not 1 <= array.ndim <= len(dims):
        raise ValueError(f"{maker}: values must have {' or '.join(map(str, range(1, len(dims) + 1)))} dimensions, "
                         f"{' × '.join(dims)}; found shape {array.shape}")  # fmt: skip
    used = dims[: array.ndim]
    if isinstance(array, xr.Variable):
        # a table's names for them are changed without reading anything
        names = {old: new for old, new in zip(array.dims, used, strict=True) if old != new}
        return xr.Dataset({"values": array}).rename(names)["values"].variable
    return xr.Variable(used, array)


def _clock(values: xr.Variable, times: Any, rate: float | None, start: float, maker: str) -> xr.Variable:
    """Times of the samples."""
    if (times is None) == (rate is None):
        raise TypeError(f"{maker}: give times or a rate; found {'neither' if times is None else 'both'}")
    if times is None:
        clock = lazily(("sample",), TimesOfRate(values.shape[0], float(rate or 0), start))
        clock.attrs = {"units": "s", "rate": float(rate or 0), "start": float(start)}
        return clock
    clock = _variable(_seconds(times, maker), ("sample",), maker)
    if clock.shape[0] != values.shape[0]:
        raise ValueError(f"{maker}: {values.shape[0]:,} samples have {clock.shape[0]:,} times")
    clock.attrs["units"] = "s"
    return clock


def _neuron_coords(neurons: Any, n_neurons: int, maker: str) -> dict[str, Any]:
    """Names of the neurons, and the columns of their table, as coordinates."""
    if n_neurons > MOST_NEURONS:
        raise ValueError(
            f"{maker}: found {n_neurons:,} neurons, more than any recording has ({MOST_NEURONS:,}): the file is "
            "damaged, or samples were taken for neurons"
        )
    neurons = as_pandas(neurons)
    if not isinstance(neurons, pd.DataFrame):
        neurons = pd.DataFrame(index=pd.RangeIndex(n_neurons) if neurons is None else pd.Index(list(neurons)))
    if len(neurons) != n_neurons:
        raise ValueError(f"{maker}: {n_neurons} neurons have {len(neurons)} rows in their table")
    if not neurons.index.is_unique:
        twice = neurons.index[neurons.index.duplicated()][0]
        raise ValueError(f"{maker}: two neurons are called {twice!r}; names must differ")
    # what the part itself is made of keeps its name
    taken = {
        "neuron",
        "time",
        "sample",
        "spike",
        "spike_time",
        "n_spikes",
        "observed",
        "n_observed",
        "interval",
        "bound",
    }
    names = {name: f"{name}_" if str(name) in taken else str(name) for name in neurons if str(name) != "neuron"}
    columns = {new: ("neuron", neurons[name].to_numpy()) for name, new in names.items()}
    return {"neuron": ("neuron", neurons.index.to_numpy())} | columns


def _labelled(variable: xr.Variable, coords: dict[str, Any], attrs: dict[str, Any]) -> xr.DataArray:
    """The array with its coordinates; times get no index, which would read them."""
    array = xr.DataArray(variable, coords={name: at for name, at in coords.items() if name != "time"})
    array = array.assign_coords(xr.Coordinates({"time": coords["time"]}, indexes={}))
    array.attrs = {name: text for name, text in attrs.items() if text != ""}
    # with the chunks of the file, along which it is read
    array.encoding = variable.encoding
    return array
