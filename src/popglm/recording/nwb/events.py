"""Times at which something happened, in all the forms that a file may have them in."""

from __future__ import annotations

import re
from collections.abc import Mapping
from itertools import pairwise
from typing import Any

import numpy as np
import xarray as xr

from popglm.recording.nwb.arrays import Unusable, clock_of, described, in_file, is_numeric, read_text, shape_of
from popglm.recording.nwb.layout import Entry, Layout
from popglm.recording.nwb.signals import is_event_series
from popglm.recording.nwb.tables import first_rows, read_table
from popglm.recording.series import events
from popglm.warnings import warn

__all__ = ["event_columns", "read_events"]

#: Columns of a table that say when each row happened, the first of them that is there.
TIME = re.compile(r"(timestamps?|times?|event_times?|onsets?|start_time|\w+_(times?|timestamps?))$")
#: Tables with a reader of their own, or without times.
OTHER = ("TimeIntervals", "Units", "PlaneSegmentation", "ElectrodesTable")
#: Text is read into memory; a table of more rows leaves it out.
MOST_TEXT = 1_000_000


def read_events(layout: Layout) -> dict[str, xr.Dataset]:
    """Every series, table and list of events of a file; what cannot be one is noted in the layout."""
    found: dict[str, xr.Dataset] = {}
    for entry in layout.entries:
        try:
            if is_event_series(entry):
                found[entry.name] = _of_series(entry, layout)
            elif entry.is_a("AnnotatedEventsTable"):
                found |= _of_kinds(entry, layout)
            elif entry.is_a("DynamicTable") and not entry.is_a(*OTHER):
                found |= _of_table(entry, layout)
            elif not entry.is_a("TimeSeries", "DynamicTable"):
                found[entry.name] = _of_timestamps(entry, layout)
        except Unusable as error:
            layout.left_out[entry.name] = str(error)
    return found


def _of_series(entry: Entry, layout: Layout) -> xr.Dataset:
    """A series of events: its times, and its data as a column unless they only say that there was one."""
    if entry.is_a("IntervalSeries"):
        return _of_interval_series(entry)
    times = _times(entry, layout)
    data, n = entry.found.data, times.shape[0]
    columns: dict[str, Any] = {}
    if data is not None and shape_of(data)[:1] == (n,):
        if not is_numeric(data):
            if n <= MOST_TEXT:
                columns["annotation"] = read_text(data[:])
        elif len(shape_of(data)) == 1:
            how = {"conversion": float(entry.found.conversion or 1), "offset": float(entry.found.offset or 0)}
            columns["value"] = in_file(data, ("event",), layout, **how)
    return events(times, columns=columns, description=described(entry))


def _times(entry: Entry, layout: Layout) -> xr.Variable:
    """The timestamps of events."""
    clock = clock_of(entry, layout)
    if clock.times is None:
        raise Unusable("it has a rate, but no times of events")
    return clock.times


def _of_timestamps(entry: Entry, layout: Layout) -> xr.Dataset:
    """Events of ndx-events 0.2: timestamps, and for labelled ones a code per event."""
    times = _times(entry, layout)
    data, labels = getattr(entry.found, "data", None), getattr(entry.found, "labels", None)
    if labels is None:
        labels = getattr(entry.found, "data__labels", None)
    columns: dict[str, Any] = {}
    if data is not None and shape_of(data) == times.shape and is_numeric(data):
        columns["value"] = in_file(data, ("event",), layout)
        if labels is not None and times.shape[0] <= MOST_TEXT:
            codes, texts = np.asarray(data[:]).astype(np.int64), read_text(labels[:])
            if len(codes) == 0 or 0 <= codes.min() <= codes.max() < len(texts):
                columns["label"] = texts[codes]
    return events(times, columns=columns, description=described(entry))


def _of_interval_series(entry: Entry) -> xr.Dataset:
    """Starts and stops: coded +k and -k at each timestamp, or a code for every two timestamps."""
    series = entry.found
    codes = np.asarray(series.data[:]).reshape(-1) if series.data is not None else np.zeros(0)
    times = np.asarray(series.timestamps[:], dtype=np.float64) if series.timestamps is not None else np.zeros(0)
    if times.shape == (2 * len(codes),) and len(codes):
        return events(times[::2], times[1::2], columns={"code": codes}, description=described(entry))
    if times.shape != codes.shape:
        raise Unusable(f"it has {len(codes):,} codes for timestamps of shape {times.shape}")
    starts = np.flatnonzero(codes > 0)
    stops = np.full(len(starts), np.nan)
    for code in np.unique(np.abs(codes)):
        mine, ends = codes[starts] == code, np.flatnonzero(codes == -code)
        following = np.searchsorted(ends, starts[mine])
        later = np.append(starts[mine][1:], len(codes))
        known = following < len(ends)
        end = ends[np.minimum(following, len(ends) - 1)] if len(ends) else np.zeros(len(later), dtype=np.int64)
        stops[mine] = np.where(known & (end < later), times[end] if len(ends) else np.nan, np.nan)
    if not (codes < 0).any():
        return events(times, columns={"code": codes}, description=described(entry))
    return events(times[starts], stops, columns={"code": codes[starts]}, description=described(entry))


def _of_table(entry: Entry, layout: Layout) -> dict[str, xr.Dataset]:
    """A table with a column of times: an event per row; one that is ragged has its events row by row."""
    source = entry.found
    names = [name for name in source.colnames if TIME.match(name)]
    names.sort(key=lambda name: name not in ("timestamp", "timestamps", "time", "start_time"))
    flat = [name for name in names if getattr(source[name], "target", None) is None and is_numeric(source[name].data)]
    if not flat:
        ragged = {name: source[name] for name in names if getattr(source[name], "target", None) is not None}
        found = event_columns(entry, ragged, layout)
        if not found:
            layout.left_out[entry.name] = "it has no column of times"
        return found
    first = flat[0]
    times = in_file(source[first].data, ("event",), layout)
    if times.ndim != 1:
        raise Unusable(f"its column {first!r} has the shape {times.shape}")
    stops, columns = None, {}
    if "duration" in source.colnames:
        stops = np.asarray(times.values) + np.asarray(source["duration"].data[:], dtype=np.float64)
    elif "stop_time" in source.colnames:
        stops = np.asarray(source["stop_time"].data[:], dtype=np.float64)
    for name in source.colnames:
        data = source[name].data
        if name in (first, "duration", "stop_time") or getattr(source[name], "target", None) is not None:
            continue
        if is_numeric(data) and shape_of(data) == times.shape and not hasattr(source[name], "elements"):
            columns[name] = in_file(data, ("event",), layout)
        elif times.shape[0] <= MOST_TEXT:
            columns |= _other_column(entry, name)
    return {entry.name: events(times, stops, columns=columns, description=described(entry))}


def _other_column(entry: Entry, name: str) -> dict[str, Any]:
    """Text, categories and vectors of a table, read."""
    others = [column for column in entry.found.colnames if column != name]
    return {key: values.to_numpy() for key, values in read_table(entry, skip=others).rows.items()}


def _of_kinds(entry: Entry, layout: Layout) -> dict[str, xr.Dataset]:
    """The table of ndx-events 0.2 that has a kind of events per row."""
    source = entry.found
    index = source["event_times"]
    bounds, times = first_rows(index), index.target.data
    labels = read_text(source["label"].data[:]) if "label" in source.colnames else np.arange(len(bounds) - 1)
    whole = in_file(times, ("event",), layout)
    return {
        f"{entry.name}.{label}": events(whole[first:last], description=described(entry))
        for label, (first, last) in zip(labels, pairwise(bounds), strict=True)
    }


def event_columns(entry: Entry, ragged: Mapping[str, Any], layout: Layout) -> dict[str, xr.Dataset]:
    """Ragged columns of times: the events of each, and the row of the table that each belongs to."""
    found = {}
    ids = np.asarray(entry.found.id.data[:])
    for name, index in ragged.items():
        flat = index.target
        where, text = f"{entry.name}.{name}", str(getattr(flat, "description", ""))
        if type(flat).__name__ == "VectorIndex" or len(shape_of(flat.data)) != 1 or not is_numeric(flat.data):
            layout.left_out[where] = "it is ragged, but no list of times"
            continue
        if not re.search(r"time|onset", name) and not re.search(r"\btimes?\b|\bseconds\b", text, re.IGNORECASE):
            layout.left_out[where] = "it is ragged, and nothing says that it holds times"
            continue
        try:
            bounds = first_rows(index)
        except ValueError as error:
            layout.left_out[where] = str(error)
            continue
        if len(bounds) != len(ids) + 1 or bounds[-1] > shape_of(flat.data)[0]:
            warn(f"read_nwb: the index of {where!r} does not fit the column; it was left out")
            layout.left_out[where] = "its index does not fit it"
            continue
        rows = {"row": np.repeat(ids, np.diff(bounds))}
        found[where] = events(in_file(flat.data, ("event",), layout)[: bounds[-1]], columns=rows, description=text)
    return found
