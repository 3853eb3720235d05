"""Spike times of sorted units, their probes and the areas that they are in."""

from __future__ import annotations

from collections import Counter
from itertools import pairwise
from typing import Any

import numpy as np
import pandas as pd
import xarray as xr

from popglm.recording.nwb.arrays import Unusable, in_file, is_numeric, shape_of
from popglm.recording.nwb.candidates import Candidate, NeuronTable
from popglm.recording.nwb.layout import Entry, Layout
from popglm.recording.nwb.tables import Table, first_rows, read_table
from popglm.recording.series import spike_trains

__all__ = ["unit_candidates", "unit_tables"]

#: Columns of a table of units that are no properties of a unit.
OTHERS = ("spike_times", "obs_intervals", "waveform_mean", "waveform_sd", "waveforms")
#: Columns that name the probe of a unit.
PROBES = ("electrode_group", "probe_name", "probe")


def unit_tables(layout: Layout) -> dict[int, tuple[Table, NeuronTable]]:
    """Tables of units of a file, by identity: what their columns are, and what is known of each unit."""
    tables = {}
    for entry in layout.of("Units"):
        table = read_table(entry, skip=OTHERS)
        layout.left_out |= {f"{entry.name}.{name}": reason for name, reason in table.left_out.items()}
        known = set(table.rows)
        rows = table.rows
        if "electrodes" in entry.found.colnames:
            for name, values in _of_electrodes(entry.found["electrodes"], len(rows)).items():
                rows = rows if name in known else rows.assign(**{name: values})
        probe = next((name for name in PROBES if name in rows), None)
        if probe is not None and not rows.index.is_unique:
            rows = rows.set_index(rows[probe].astype(str).to_numpy() + "/" + rows.index.astype(str).to_numpy())
        tables[id(entry.found)] = table, NeuronTable(entry.name, rows)
    return tables


def unit_candidates(
    layout: Layout, tables: dict[int, tuple[Table, NeuronTable]], ragged: tuple[str, ...]
) -> list[Candidate]:
    """Every table of units of a file; those without spike times have that as their problem."""
    return [_candidate(entry, layout, *tables[id(entry.found)], ragged) for entry in layout.of("Units")]


def _candidate(
    entry: Entry, layout: Layout, columns: Table, neurons: NeuronTable, ragged: tuple[str, ...]
) -> Candidate:
    """One table of units, after a look at its index of spikes."""
    units, n_units = entry.found, len(neurons.rows)
    try:
        if "spike_times" not in units.colnames:
            raise Unusable("it has no spike times")
        index = units["spike_times"]
        times = getattr(index, "target", None)
        if times is None or not is_numeric(times.data):
            raise Unusable("its spike times are not one list per unit")
        bounds = _bounds(index, n_units, shape_of(times.data))
    except Unusable as error:
        return Candidate(entry, (0, n_units), 0, problem=error)

    def make() -> xr.Dataset:
        data = spike_trains(
            in_file(times.data, ("spike",), layout)[: bounds[-1]], np.diff(bounds), neurons=neurons.rows,
            observed=_observed(units, n_units), description=str(units.description or ""),
        )  # fmt: skip
        return data.assign(_of_spikes(columns, bounds, ragged, layout))

    return Candidate(entry, (int(bounds[-1]), n_units), 0, make=make)


def _bounds(index: Any, n_units: int, shape: tuple[int, ...]) -> np.ndarray:
    """Where the spikes of each unit begin."""
    try:
        bounds = first_rows(index)
    except ValueError as error:
        raise Unusable(f"its spike times cannot be told apart: {error}") from error
    if len(bounds) != n_units + 1 or len(shape) != 1 or bounds[-1] > shape[0]:
        n_index, last = len(bounds) - 1, bounds[-1]
        raise Unusable(f"its index has {n_index:,} entries up to {last:,} for spike times of shape {shape}")
    return bounds


def _observed(units: Any, n_units: int) -> list[np.ndarray | None] | None:
    """When each unit was recorded; None for one of which nothing is said."""
    if "obs_intervals" not in units.colnames:
        return None
    index = units["obs_intervals"]
    bounds, intervals = first_rows(index), np.asarray(index.target.data[:])
    if len(bounds) != n_units + 1 or intervals.shape[1:] != (2,) or bounds[-1] > len(intervals):
        return None
    parts = [intervals[first:last] for first, last in pairwise(bounds)]
    return [part if len(part) else None for part in parts] if any(map(len, parts)) else None


def _of_spikes(columns: Table, bounds: np.ndarray, ragged: tuple[str, ...], layout: Layout) -> dict[str, xr.Variable]:
    """Columns with a number per spike that were asked for, not read.

    Raises
    ------
    ValueError
        If one has other lengths than the spike times.
    """
    found = {}
    for name in ragged:
        if name not in columns.ragged:
            continue
        index = columns.ragged[name]
        if not np.array_equal(first_rows(index), bounds) or len(shape_of(index.target.data)) != 1:
            raise ValueError(f"read_nwb: ragged names {name!r}, which has not one number for every spike")
        found[name] = in_file(index.target.data, ("spike",), layout)[: bounds[-1]]
    return found


def _of_electrodes(column: Any, n_units: int) -> dict[str, np.ndarray]:
    """What the electrodes of each unit say of it: the text that most of them share, and numbers of a single one."""
    region = getattr(column, "target", column)
    table = region.table
    bounds = first_rows(column) if region is not column else np.arange(n_units + 1)
    chosen = np.asarray(region.data[:]).astype(np.int64)
    if len(bounds) != n_units + 1 or bounds[-1] > len(chosen):
        return {}
    electrodes = read_table(Entry(("electrodes",), table, "electrodes")).rows
    if not len(chosen) or not 0 <= chosen.min() <= chosen.max() < len(electrodes):
        return {}
    counts, found = np.diff(bounds), {}
    unit = np.repeat(np.arange(n_units), counts)
    for name in electrodes:
        values = electrodes[name].to_numpy()
        if values.dtype.kind == "O":
            named = pd.DataFrame({"unit": unit, "value": values[chosen[: bounds[-1]]]}).dropna()
            most = named.groupby("unit")["value"].agg(lambda group: Counter(group).most_common(1)[0][0])
            label = "electrode_group" if name in ("group", "group_name") else name
            found[label] = most.reindex(range(n_units), fill_value="").to_numpy(dtype=object)
        elif (counts <= 1).all():
            found[name] = np.where(counts == 1, values[chosen[np.minimum(bounds[:-1], len(chosen) - 1)]], np.nan)
    return found
