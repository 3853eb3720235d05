"""Activity of regions of interest: which series of a file can be used, and how."""

from __future__ import annotations

import re
from typing import Any

import numpy as np
import pandas as pd
import xarray as xr

from popglm.recording.lazy import StoredArray, lazily
from popglm.recording.nwb.arrays import Clock, Unusable, clock_of, described, is_numeric, shape_of, values_of
from popglm.recording.nwb.candidates import Candidate, NeuronTable, rank_of
from popglm.recording.nwb.layout import Entry, Layout, path_of, short_names
from popglm.recording.nwb.tables import read_table
from popglm.recording.series import traces
from popglm.warnings import warn

__all__ = ["roi_candidates", "roi_tables"]


def roi_tables(layout: Layout) -> dict[int, NeuronTable]:
    """The tables of ROIs that series of a file point to, by identity."""
    users: dict[int, list[Entry]] = {}
    tables: dict[int, Any] = {}
    for entry in layout.of("RoiResponseSeries"):
        table = getattr(getattr(entry.found, "rois", None), "table", None)
        if table is not None:
            tables[id(table)] = table
            users.setdefault(id(table), []).append(entry)
    labels = _labels(tables, users)
    return {key: _read_rois(table, labels[key], len(tables) > 1, layout) for key, table in tables.items()}


def _read_rois(table: Any, label: str, several: bool, layout: Layout) -> NeuronTable:
    """A table of ROIs, its names those of the ROIs where they have some of their own."""
    columns = read_table(Entry((table.name,), table, table.name))
    layout.left_out |= {f"{table.name}.{name}": reason for name, reason in columns.left_out.items()}
    rows = columns.rows
    plane = getattr(table, "imaging_plane", None)
    location = getattr(plane, "location", None)
    if isinstance(location, str) and location and location != "unknown" and "location" not in rows:
        rows = rows.assign(location=location)
    if several and "plane" not in rows:
        rows = rows.assign(plane=label)
    names = rows.get("roi_name")
    if names is not None and names.notna().all() and names.is_unique:
        rows = rows.set_index(pd.Index(names.to_numpy()))
    return NeuronTable(label, rows)


def _labels(tables: dict[int, Any], users: dict[int, list[Entry]]) -> dict[int, str]:
    """A short name of each table of ROIs: "plane_0" where its series or its own name say so, else its own name."""
    labels = {}
    for key, table in tables.items():
        named = " ".join(part for entry in users[key] for part in entry.path[-2:])
        said = set(re.findall(r"plane_?\d+", named, re.IGNORECASE))
        own = re.fullmatch(r"plane_?segmentation_?(\d+)", table.name, re.IGNORECASE)
        labels[key] = said.pop() if len(said) == 1 else f"plane_{own[1]}" if own else table.name
    if len(set(labels.values())) == len(labels):
        return labels
    if len({table.name for table in tables.values()}) == len(tables):
        return {key: table.name for key, table in tables.items()}
    return dict(zip(tables, short_names([path_of(table) for table in tables.values()]), strict=True))


def roi_candidates(layout: Layout, tables: dict[int, NeuronTable]) -> list[Candidate]:
    """Every series of ROIs of a file, the unusable ones with the reason."""
    return [_candidate(entry, layout, tables) for entry in layout.of("RoiResponseSeries")]


def _candidate(entry: Entry, layout: Layout, tables: dict[int, NeuronTable]) -> Candidate:
    """One series, after a look at its shapes and its clock."""
    shape, region = shape_of(entry.found.data), getattr(entry.found, "rois", None)
    n_rois = None if region is None or region.data is None else shape_of(region.data)[0]
    try:
        clock = clock_of(entry, layout)
        transpose = _is_transposed(shape, n_rois, clock)
        values = values_of(entry, layout, transpose=transpose)
    except (Unusable, ValueError) as error:
        return Candidate(entry, shape, rank_of(entry), problem=error)
    if transpose:
        shape = shape[::-1]

    def make() -> xr.DataArray:
        if transpose:
            layout.transposed.append(entry.name)
        table = _rows_of(entry, region, shape[1] if len(shape) > 1 else 1, tables)
        unit = getattr(entry.found, "unit", None) or ""
        return traces(
            values if values.ndim == 2 else _as_column(values), **clock.arguments, neurons=table, unit=str(unit),
            description=described(entry),
        )  # fmt: skip

    return Candidate(entry, shape, rank_of(entry), make=make)


def _is_transposed(shape: tuple[int, ...], n_rois: int | None, clock: Clock) -> bool:
    """Whether a series has its ROIs first.

    Raises
    ------
    Unusable
        If the clock fits neither axis, or counts the ROIs.
    """
    n_times = clock.length
    if clock.times is not None and n_times == n_rois and n_times and n_times > 1:
        times = np.asarray(clock.times.values)
        if np.array_equal(times, np.arange(n_times)):
            raise Unusable(f"its clock counts 0, 1, … {n_times - 1}, as many as it has ROIs: it holds no times")
    if n_times is None:
        return len(shape) == 2 and shape[0] == n_rois != shape[1]
    if shape and shape[0] == n_times:
        return False
    if len(shape) == 2 and shape[1] == n_times and n_rois in (shape[0], None):
        return True
    raise Unusable(f"its clock has {n_times:,} times")


def _rows_of(entry: Entry, region: Any, n_neurons: int, tables: dict[int, NeuronTable]) -> pd.DataFrame | None:
    """The rows of the table of ROIs that the columns of a series stand for."""
    known = None if region is None else tables.get(id(region.table))
    if known is None or not is_numeric(region.data):
        return None
    rows = np.asarray(region.data[:]).astype(np.int64).reshape(-1)
    if len(rows) != n_neurons or (len(rows) and not 0 <= rows.min() <= rows.max() < len(known.rows)):
        warn(
            f"read_nwb: {entry.name!r} has {n_neurons:,} columns, but names {len(rows):,} rows of a table of "
            f"{len(known.rows):,} ROIs; its neurons are numbered, and have no columns of that table"
        )
        return None
    return known.rows.iloc[rows]


class _Column:
    """The samples of a single ROI as a table of one column."""

    def __init__(self, values: xr.Variable) -> None:
        self.values, self.shape, self.dtype = values, (values.shape[0], 1), values.dtype

    def __getitem__(self, key: tuple[Any, Any]) -> np.ndarray:
        """Read rows."""
        rows, column = key
        return np.asarray(self.values[rows].values)[..., None][..., column]


def _as_column(values: xr.Variable) -> xr.Variable:
    """1-D values as samples × 1, not read."""
    return lazily(("sample", "neuron"), StoredArray(_Column(values)))
