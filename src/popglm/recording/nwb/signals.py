"""Variables that were sampled over time: all series of a file but activity, images, voltages and events."""

from __future__ import annotations

import re
from typing import Any

import xarray as xr

from popglm.recording.nwb.arrays import Unusable, clock_of, described, shape_of, values_of
from popglm.recording.nwb.layout import Entry, Layout
from popglm.recording.nwb.tables import MOST_COLUMNS
from popglm.recording.series import signal

__all__ = ["is_event_series", "read_signals"]

#: Types of series that are no variables, with the reason.
OTHER = {
    "RoiResponseSeries": "neural activity",
    "ElectricalSeries": "voltages of electrodes",
    "ImageSeries": "images",
    "IndexSeries": "images",
}
#: Types of series that say when something happened.
EVENTS = ("IntervalSeries", "AnnotationSeries")


def is_event_series(entry: Entry) -> bool:
    """Whether a series has events: by its type, by what contains it, or because each sample stands for itself."""
    if not entry.is_a("TimeSeries") or entry.is_a(*OTHER):
        return False
    if entry.is_a(*EVENTS):
        return True
    if getattr(entry.found, "timestamps", None) is None:
        return False
    inside = any(cls.__name__ == "BehavioralEvents" for cls in type(entry.found.parent).__mro__)
    return inside or getattr(entry.found, "continuity", None) == "instantaneous"


def read_signals(layout: Layout) -> dict[str, xr.DataArray]:
    """Every variable of a file, its values not read; what cannot be one is noted in the layout."""
    found = {}
    for entry in layout.of("TimeSeries"):
        if is_event_series(entry) or entry.is_a("RoiResponseSeries"):
            continue
        try:
            found[entry.name] = _signal(entry, layout)
        except Unusable as error:
            layout.left_out[entry.name] = str(error)
    return found


def _signal(entry: Entry, layout: Layout) -> xr.DataArray:
    """One series as a signal."""
    for name, what in OTHER.items():
        if entry.is_a(name):
            raise Unusable(f"it holds {what}")
    shape = shape_of(entry.found.data)
    if len(shape) > 2 or (len(shape) == 2 and min(shape) > MOST_COLUMNS):
        raise Unusable(f"its data have the shape {shape}")
    clock = clock_of(entry, layout)
    n_times = clock.length
    transpose = len(shape) == 2 and shape[0] != n_times == shape[1]
    if n_times is not None and n_times not in (shape[0], shape[-1]):
        raise Unusable(f"it has {n_times:,} times for data of shape {shape}")
    values = values_of(entry, layout, transpose=transpose)
    if transpose:
        layout.transposed.append(entry.name)
    if values.ndim == 2 and values.shape[1] > MOST_COLUMNS:
        raise Unusable(f"its data have the shape {shape}")
    columns = None
    if values.ndim == 2 and values.shape[1] == 1:
        values = values[:, 0]
    elif values.ndim == 2:
        columns = _column_names(entry.found, values.shape[1])
    steps = {"step": True, "continuous": False}.get(str(getattr(entry.found, "continuity", None)))
    unit = str(getattr(entry.found, "unit", None) or "")
    return signal(
        values, **clock.arguments, unit="" if unit in ("unknown", "n/a", "N/A", "n.a.") else unit, columns=columns,
        steps=steps, description=described(entry),
    )  # fmt: skip


def _column_names(series: Any, n: int) -> list[str] | None:
    """Names of columns where the file has them: as labels of an extension, or listed in so many words in its text."""
    for attribute in ("labels", "column_names", "channel_names"):
        labels = getattr(series, attribute, None)
        if labels is not None and shape_of(labels) == (n,):
            names = [one.decode() if isinstance(one, bytes) else str(one) for one in labels[:]]
            if len(set(names)) == n:
                return names
    spatial = any(cls.__name__ == "SpatialSeries" for cls in type(series).__mro__)
    word = r"[A-Za-z]\w*(?: \w+)?"
    listing = rf"({word}(?:\s*,\s*(?:and )?{word}|\s+and\s+{word}){{{n - 1}}})"
    after = r"(?:columns?|axes|dimensions?|channels?|order)(?: are| is)?\s*[:=]?\s*[\(\[]?"
    patterns = [rf"\b{after}{listing}(?=\s*[\)\].;]|$)"] + ([rf"[\(\[]\s*{listing}\s*[\)\]]"] if spatial else [])
    for text in (getattr(series, "description", None), getattr(series, "comments", None)):
        for pattern in patterns:
            if isinstance(text, str) and (match := re.search(pattern, text, re.IGNORECASE)):
                names = [name.strip() for name in re.split(r"\s*,\s*(?:and )?|\s+and\s+", match[1])]
                if len(set(names)) == n:
                    return names
    return None
