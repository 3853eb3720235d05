"""A session on one grid of time, as a Dataset: activity, variables and trials of every bin."""

from __future__ import annotations

import difflib
from collections.abc import Iterable
from typing import Any, TypeVar

import numpy as np
import pandas as pd
import xarray as xr

from popglm.checks import is_number
from popglm.messages import listed, shown
from popglm.recording.activity import SpikeTimes, activity_on_grid, spikes_on_grid
from popglm.recording.clocks import clock_faults, read_times, series_extents
from popglm.recording.grid import Grid, grid_of_clock, regular_grid
from popglm.recording.left_out_notes import note_of_spikes, notes_of_events, notes_of_trials
from popglm.recording.neuron_query import select
from popglm.recording.odd_events import odd_times_of_trials
from popglm.recording.parts import Parts
from popglm.recording.regrid_notes import notes_of_clocks, notes_of_rounding, notes_of_variables
from popglm.recording.sources import Variable, as_variables, find_source, on_grid, times_of_trials, unknown_where
from popglm.recording.trials import rows_of_trials, table_of_trials, trial_labels, with_blocks, with_trials

__all__ = ["regrid", "thinned"]

Recorded = TypeVar("Recorded", bound=Parts)


def regrid(
    session: Parts,
    dt: Any,
    clock: str | None,
    activity: str | Iterable[str] | None,
    variables: Any,
    trials: Any,
    neurons: str | None,
    no_trial: int | None,
) -> xr.Dataset:
    """What `Session.regrid` does."""
    names = _names_of_activity(session, activity)
    _check_clocks(session, {*names, *([clock] if clock else []), *_parts_of_trials(trials)})
    session, whose = with_trials(session, trials)
    _check_no_trial(session, whose, no_trial)
    grid = _grid(session, names, dt, clock)
    if whose is None and trials is not None:
        session, whose = with_blocks(session, trials, grid)
    wanted = as_variables(variables, session)
    _check_clocks(session, {find_source(session, variable.source).part for variable in wanted.values()})
    _check_times_of_trials(session, wanted)
    row = None if whose is None else rows_of_trials(session, whose, grid, no_trial)
    whole, notes = grid, []
    if row is not None and (row < 0).any():
        outside = int((row < 0).sum())
        notes.append(f"{outside:,} of {len(row):,} bins lie outside of the trials and are left out")
        if outside > len(row) / 2:
            notes.append("most bins lie outside of the trials: do their clocks count from the same start?")
        grid, row = grid.take(row >= 0), row[row >= 0]
    if not len(grid):
        raise ValueError("regrid: no bin lies in any trial; compare session.check(), the trials and the clock")
    left_out = [name for name in session.activity if name not in names]
    if activity is None and left_out:
        notes.append(f"activity is that of {names[0]!r}; there is also {listed(map(repr, left_out))}")
    own = None if dt is not None else clock or names[0]
    data, spikes, more = _activity(session, names, grid, own, neurons)
    recorded = _recorded(whole, spikes)
    if row is not None and whose is not None:
        # what was not observed is unknown, and no silence
        is_silent = spikes is not None and not any("observed" in session.activity[name] for name in names)
        table = table_of_trials(session, whose, no_trial)
        notes += notes_of_trials(table, row, recorded, spikes if is_silent else None)
        notes += notes_of_rounding(table["start_time"].to_numpy(np.float64), "starts of trials", grid, True)
    notes += more
    columns = _variables(session, wanted, grid, row)
    used = [*([clock] if clock else []), *(find_source(session, one.source).part for one in wanted.values())]
    notes += notes_of_clocks(session, names, used, grid)
    notes += [*notes_of_events(session, wanted, recorded), *notes_of_variables(session, wanted, grid)]
    _forget_invalid(session, data, columns, grid)
    coords: dict[str, Any] = {"time": ("time", grid.starts, {"units": "s"})}
    if row is not None and whose is not None:
        coords["trial"] = ("time", trial_labels(session, whose, row, no_trial))
    taken = {"time", "neuron", "activity", *coords}
    notes += [f"the variable {name!r} is called '{name}_'" for name in columns if name in taken]
    variables_on_grid = {
        f"{name}_" if name in taken else name: ("time", values, _attrs(session, wanted[name]))
        for name, values in columns.items()
    }
    attrs: dict[str, Any] = {name: str(value) for name, value in session.attrs.items()}
    attrs |= {
        "bin_width": grid.width,
        "sampling_rate": 1 / grid.width if grid.width else np.nan,
        "notes": "\n".join(notes),
    }
    dataset = xr.Dataset(variables_on_grid, coords=coords, attrs=attrs)
    if data is None:
        return dataset
    both = {name: f"neuron_{name}" for name in data.coords if name in dataset.variables and name != "time"}
    return dataset.merge(data.rename(both)).assign_attrs(attrs)


def _check_no_trial(session: Parts, whose: str | None, no_trial: int | None) -> None:
    """Complain of a number for no trial that is none, or where trials do not come as numbers."""
    if no_trial is None:
        return
    if not is_number(no_trial) or no_trial % 1 != 0:
        raise ValueError(f"regrid: no_trial must be a whole number, such as 0, or None; found {shown(no_trial)}")
    if whose not in session.signals:
        raise ValueError(
            f"regrid: no_trial={no_trial} is for a signal of trial numbers; leave it out, or name one as trials"
        )


def _names_of_activity(session: Parts, activity: str | Iterable[str] | None) -> list[str]:
    """The kinds of activity that are put on the grid; the first unless any is named."""
    if activity is None:
        return list(session.activity)[:1]
    asked = [activity] if isinstance(activity, str) else list(activity)
    # "spks" are the planes "spks/plane_0", "spks/plane_1" … where there are several
    own = {name: [name] if name in session.activity else _below(session, name) for name in asked}
    names = [part for name in asked for part in own[name] or [name]]
    for name in names:
        if name not in session.activity:
            raise ValueError(
                f"regrid: there is no activity {shown(name)}; the session has "
                f"{listed(map(repr, session.activity)) or 'none'}"
            )
    return names


def _below(session: Parts, name: str) -> list[str]:
    """Activity whose name begins with another and a slash."""
    return [part for part in session.activity if part.startswith(f"{name}/")]


def _check_clocks(session: Parts, used: set[str]) -> None:
    """Complain of the clocks that are used and cannot be right."""
    faults = clock_faults(session, used)
    if faults:
        raise ValueError("\n".join(map(str, faults)))


def _check_times_of_trials(session: Parts, wanted: dict[str, Variable]) -> None:
    """Complain of columns of the trials that are counted and cannot be times in seconds on their clock."""
    for variable in wanted.values():
        found = find_source(session, variable.source)
        if found.kind == "trials" and variable.rule == "count" and session.trials is not None:
            times = times_of_trials(session, found.column, variable)
            fault = odd_times_of_trials(variable.source, times, session.trials, series_extents(session))
            if fault is not None:
                raise ValueError(fault)


def _parts_of_trials(trials: Any) -> list[str]:
    """Names of the parts that trials come from."""
    if trials is None or isinstance(trials, str):
        return [trials or "trials"]
    return [name for name in trials if isinstance(name, str)] if isinstance(trials, tuple | list) else []


def _grid(session: Parts, activity: list[str], dt: Any, clock: str | None) -> Grid:
    """The bins: of a period, or those of a clock, the activity's own unless another is named."""
    if dt is not None and clock is not None:
        raise TypeError("regrid: give dt or clock, not both")
    if dt is None:
        parts = {**session.signals, **session.activity}
        name = clock if clock is not None else next(iter(activity), None)
        if clock is not None and clock not in parts:
            near = difflib.get_close_matches(clock, parts, n=3) or list(parts)
            raise ValueError(f"regrid: there is no series {clock!r}; nearest names: {listed(map(repr, near))}")
        if name is None or name not in parts or isinstance(parts[name], xr.Dataset):
            sampled = listed(repr(name) for name, one in parts.items() if isinstance(one, xr.DataArray))
            raise TypeError(
                f"regrid: give a period, dt, or as clock the name of a sampled series: {sampled or 'there is none'}"
            )
        return grid_of_clock(read_times(parts[name], name)[0])
    return regular_grid(*_extent(session, activity), dt)


def _extent(session: Parts, activity: list[str]) -> tuple[float, float]:
    """Start and end of a grid: where all activity is sampled, or from the first trial, or spike, to the last."""
    # "name in array" would read all of it: is it among its values?
    sampled = [name for name in activity if isinstance(session.activity[name], xr.DataArray)]
    if sampled:
        clocks = [grid_of_clock(read_times(session.activity[name], name)[0]) for name in sampled]
        return max(one.starts[0] for one in clocks), min(one.stops[-1] for one in clocks)
    trials = session.trials
    if trials is not None and len(trials):
        open_end = bool(trials["stop_time"].isna().any())
        ends = _spans(session, activity) if open_end else []
        return float(trials["start_time"].min()), max([float(trials["stop_time"].max()), *(end for _, end in ends)])
    spikes = _spans(session, activity)
    if spikes:
        return min(start for start, _ in spikes), max(end for _, end in spikes)
    clocks = [grid_of_clock(read_times(part, name)[0]) for name, part in session.signals.items()]
    if clocks:
        return min(one.starts[0] for one in clocks), max(one.stops[-1] for one in clocks)
    raise ValueError("regrid: the session has neither activity, trials nor signals to begin a grid at")


def _spans(session: Parts, activity: list[str]) -> list[tuple[float, float]]:
    """First and last spike of every part that has any with a time."""
    every = [session.activity[name]["spike_time"].values for name in activity]
    known = [times[np.isfinite(times)] for times in every]
    return [(float(times.min()), float(times.max())) for times in known if len(times)]


def _recorded(whole: Grid, spikes: SpikeTimes | None) -> tuple[float, float]:
    """From when to when a grid lasts before bins outside of trials are left out, or spikes reach beyond it (s)."""
    first, last = float(whole.starts[0]), float(whole.stops[-1])
    return (first, last) if spikes is None else (min(first, spikes.first), max(last, spikes.last))


def _activity(
    session: Parts, names: list[str], grid: Grid, own: str | None, query: str | None
) -> tuple[xr.DataArray | None, SpikeTimes | None, list[str]]:
    """Activity of all neurons of some parts on the grid, whose bins are the samples of ``own``; what to say of it.

    The times of spikes are told where these are all the activity.
    """
    found, notes = [], []
    spikes: SpikeTimes | None = SpikeTimes()
    for name in names:
        part = session.activity[name]
        if query is not None:
            keep = _neurons_that_meet(part, name, query)
            notes.append(f"{keep.sum():,} of {len(keep):,} neurons of {name!r} stay ({query})")
            part = _some_neurons(part, np.flatnonzero(keep))
        if isinstance(part, xr.Dataset):
            values, seen = spikes_on_grid(part, grid)
            notes += note_of_spikes(name, seen)
            spikes = None if spikes is None else spikes + seen
            unit = "spikes per bin"
        else:
            values, shift = activity_on_grid(part, name, grid, name == own)
            spikes = None
            unit = part.attrs.get("units", "")
            if shift > 1e-3 * grid.width:
                notes.append(f"samples of {name!r} are up to {shift:.4g} s older than the bins that they are put into")
        coords = {key: at.variable for key, at in part.coords.items() if at.dims == ("neuron",)}
        found.append(
            xr.DataArray(values, dims=("time", "neuron"), coords=coords, attrs={"units": unit}, name="activity")
        )
    if not found:
        return None, None, notes
    if spikes is not None and spikes.n == spikes.n_unknown:
        spikes = None
    return found[0] if len(found) == 1 else _joined(found, names), spikes, notes


def _neurons_that_meet(part: Any, name: str, query: str) -> np.ndarray:
    """Which neurons of a part meet a query over their table, bool (n_neurons,)."""
    table = part.coords.to_dataset().reset_coords().drop_dims("sample", errors="ignore").to_dataframe()
    # neurons may be asked for by their names, too
    keep = select(table.reset_index(), query)
    if not keep.any():
        raise ValueError(f"regrid: none of {len(keep):,} neurons of {name!r} meets {query!r}")
    return keep


def thinned(session: Recorded, activity: str | Iterable[str] | None, query: str | None) -> tuple[Recorded, int]:
    """The session with a neuron or two of each part that is fitted, on the same grid of time; and how many there are.

    Parameters
    ----------
    session : Session
    activity, query
        As ``activity`` and ``neurons`` of `Session.regrid`.

    Returns
    -------
    session : Session
        Of sampled activity one neuron stays, of spikes those with the first and the last spike.
    n_neurons : int
        That meet the query.
    """
    n_neurons = 0
    for name in _names_of_activity(session, activity):
        part = session.activity[name]
        keep = np.ones(part.sizes["neuron"], bool) if query is None else _neurons_that_meet(part, name, query)
        n_neurons += int(keep.sum())
        some = np.flatnonzero(keep)[:1]
        if isinstance(part, xr.Dataset) and part.sizes["spike"]:
            # the grid reaches over all spikes, those of neurons among them that do not meet the query
            times, counts = part["spike_time"].values, part["n_spikes"].values
            known = np.flatnonzero(np.isfinite(times))
            ends = [known[times[known].argmin()], known[times[known].argmax()]] if len(known) else [0]
            some = np.unique(np.repeat(np.arange(len(counts)), counts)[ends])
        session = session.with_part("activity", name, _some_neurons(part, some))
    return session, n_neurons


def _joined(found: list[xr.DataArray], names: list[str]) -> xr.DataArray:
    """Activity of several parts as one; columns of their tables that one of them lacks are unknown there."""
    tables = [one.coords.to_dataset().to_dataframe() for one in found]
    table = pd.concat(tables)
    if not table.index.is_unique:
        table.index = pd.Index([f"{name}/{j}" for name, one in zip(names, tables, strict=True) for j in one.index])
    table["part"] = np.repeat(names, [len(one) for one in tables])
    coords = {"neuron": table.index.to_numpy()} | {str(name): ("neuron", table[name].to_numpy()) for name in table}
    values = np.concatenate([one.values for one in found], axis=1)
    return xr.DataArray(values, dims=("time", "neuron"), coords=coords, attrs=found[0].attrs, name="activity")


def _some_neurons(part: Any, keep: np.ndarray) -> Any:
    """A part with some of its neurons."""
    if isinstance(part, xr.DataArray):
        return part.isel(neuron=keep)
    counts = part["n_spikes"].values
    stops = np.cumsum(counts)
    spikes = (
        np.concatenate([np.arange(stops[j] - counts[j], stops[j]) for j in keep]) if len(keep) else np.zeros(0, int)
    )
    part, out = part, part.isel(neuron=keep, spike=spikes)
    if "observed" in part:
        n = part["n_observed"].values
        last = np.cumsum(np.maximum(n, 0))
        rows = [np.arange(last[j] - max(n[j], 0), last[j]) for j in keep]
        out = out.drop_vars("observed").assign(
            observed=(("interval", "bound"), part["observed"].values[np.concatenate(rows) if rows else []])
        )
    return out


def _variables(
    session: Parts, wanted: dict[str, Variable], grid: Grid, row: np.ndarray | None
) -> dict[str, np.ndarray]:
    """Every variable on the grid, unknown where its query is not met."""
    columns = {name: on_grid(session, variable, grid, row) for name, variable in wanted.items()}
    asked = {name: variable.where for name, variable in wanted.items() if variable.where is not None}
    table = pd.DataFrame(columns) if asked else pd.DataFrame()
    return columns | {name: unknown_where(columns[name], select(table, query)) for name, query in asked.items()}


def _forget_invalid(session: Parts, activity: xr.DataArray | None, columns: dict[str, np.ndarray], grid: Grid) -> None:
    """NaN in activity and gradual variables of bins that touch the intervals called "invalid_times"."""
    invalid = session.intervals.get("invalid_times")
    if invalid is None or not len(invalid):
        return
    touched = np.zeros(len(grid), bool)
    for start, stop in zip(invalid["start_time"], invalid["stop_time"], strict=True):
        touched |= (grid.starts < stop) & (grid.stops > start)
    if activity is not None:
        activity.values[touched] = np.nan
    for name, values in columns.items():
        if values.dtype.kind == "f":
            columns[name] = np.where(touched, np.nan, values)


def _attrs(session: Parts, variable: Variable) -> dict[str, str]:
    """Unit and source of a variable."""
    found = find_source(session, variable.source)
    attrs = {"source": variable.source}
    if variable.unit is not None:
        attrs["units"] = variable.unit
    elif found.kind == "signal" and variable.scale == 1 and "units" in session.signals[found.part].attrs:
        attrs["units"] = session.signals[found.part].attrs["units"]
    return attrs
