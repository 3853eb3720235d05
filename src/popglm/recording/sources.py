"""Variables of a session by name: a signal, one of its columns, a column of the trials, or events."""

from __future__ import annotations

import difflib
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
import pandas as pd
import xarray as xr

from popglm.checks import is_number
from popglm.messages import listed, shown
from popglm.recording.circular import arc_between, mean_directions
from popglm.recording.clocks import longest_step, read_times
from popglm.recording.grid import Grid, count, held_at, interpolated_between, means
from popglm.recording.parts import Parts
from popglm.recording.series import STEPS

__all__ = [
    "Variable",
    "all_variables",
    "as_variables",
    "find_source",
    "is_empty_text",
    "on_grid",
    "signal_values",
    "times_of_trials",
    "unknown_where",
    "usual_rule",
]

#: Averaged are signals with steps below this share of a bin; others lie too far apart to fill every bin.
FINE = 0.75


@dataclass(frozen=True)
class Variable:
    """How a variable comes from a session.

    Parameters
    ----------
    source : str
        A signal ("speed"), one of its columns ("velocity.yaw"), a column of the trials ("trials.cue", or "cue" where
        no signal has that name), or events ("licks").
    rule : {"mean", "interpolate", "hold", "count", "sum", "max"}, optional
        How it is put on the grid: the average of a bin, the value at its middle on the straight line between samples,
        the last value at or before its start, or how many events fall into it. Chosen by what the source is, unless
        given: see `Session.regrid`. "count" is for events; for signals that have a 1 for each event, or how many there
        were in each sample, which it adds up; and for columns of the trials that hold times. "sum" adds up any numbers
        as "count" adds up whole ones, such as steps of a wheel since the sample before; "max" takes the largest known
        sample of a bin, and is unknown in bins without any.
    scale, offset : float, optional
        The variable is ``source × scale + offset``.
    where : str, optional
        A query over the variables; elsewhere the variable is unknown: "time_from_choice >= 0".
    previous : bool, optional
        Whether the value of the trial before is meant.
    unit : str, optional
        What the variable is measured in; that of its source unless given or scaled.
    period : float, optional
        A whole turn of a signal that comes round again, in the unit of its source: 360 for degrees. Its average is then
        the mean direction, unknown where directions cancel out, and between samples it goes along the shorter arc.
        Values lie in [0, period), or where the source has negative ones in [-period / 2, period / 2) or [-period, 0),
        as it does.

    Raises
    ------
    ValueError
        If the period is not a number above 0.

    Examples
    --------
    >>> Variable("trials.is_cueB", scale=2, offset=-1)
    Variable(source='trials.is_cueB', rule=None, scale=2, offset=-1, where=None, previous=False, unit=None, period=None)
    """

    source: str
    rule: Literal["mean", "interpolate", "hold", "count", "sum", "max"] | None = None
    scale: float = 1.0
    offset: float = 0.0
    where: str | None = None
    previous: bool = False
    unit: str | None = None
    period: float | None = None

    def __post_init__(self) -> None:
        """Refuse a period that is none."""
        if self.period is not None and not (is_number(self.period) and 0 < self.period < np.inf):
            raise ValueError(f"Variable: period must be a whole turn above 0, such as 360; found {shown(self.period)}")


@dataclass(frozen=True)
class _Found:
    """A source: the part of the session that it lies in, of which kind, and the column of it."""

    part: str
    kind: Literal["signal", "trials", "events"]
    column: str | None = None


def all_variables(session: Parts) -> dict[str, Variable]:
    """Every signal, every column of the trials and all events, each under its own name.

    Columns of a signal of several are called ``signal.column``; what the trials hold under a name that a signal has is
    called ``trials.name``.
    """
    found: dict[str, Variable] = {}
    for name, part in session.signals.items():
        columns = [f"{name}.{column}" for column in part["column"].values] if part.ndim == 2 else [name]
        found |= {column: Variable(column) for column in columns}
    found |= {name: Variable(name) for name in session.events if name not in found}
    if session.trials is not None:
        for column in session.trials.columns.difference(["start_time", "stop_time"], sort=False):
            name = str(column) if str(column) not in found else f"trials.{column}"
            found[name] = Variable(f"trials.{column}")
    return found


def find_source(session: Parts, source: str) -> _Found:
    """Where a source lies.

    Raises
    ------
    ValueError
        If there is none of that name, or if it has several columns and none is named.
    """
    if source in session.signals:
        part = session.signals[source]
        if part.ndim == 2:
            names = [f"{source}.{column}" for column in part["column"].values]
            raise ValueError(f"{source!r} has {len(names)} columns; name one of them: {listed(map(repr, names))}")
        return _Found(source, "signal")
    if source in session.events:
        return _Found(source, "events")
    whole, _, column = source.rpartition(".")
    if whole in session.signals and session.signals[whole].ndim == 2 and column in session.signals[whole]["column"]:
        return _Found(whole, "signal", column)
    trials = session.trials
    if trials is not None:
        column = source.removeprefix("trials.")
        if column in trials:
            return _Found("trials", "trials", column)
    known = list(all_variables(session))
    near = difflib.get_close_matches(source, known, n=3, cutoff=0.5) or known
    raise ValueError(f"the session has no variable {source!r}; nearest names: {listed(map(repr, near)) or 'none'}")


def on_grid(session: Parts, variable: Variable, grid: Grid, trial: np.ndarray | None) -> np.ndarray:
    """A variable on a grid, (n_bins,), before `Variable.where`.

    Parameters
    ----------
    trial : ndarray of int, shape (n_bins,), or None
        The row of the trials table that each bin lies in, -1 for none.
    """
    found = find_source(session, variable.source)
    if found.kind == "trials" and variable.rule == "count":
        times = times_of_trials(session, found.column, variable)
        values = count(grid, times[~np.isnan(times)])
    elif found.kind == "trials":
        values = _of_trials(session, found.column, variable, trial)
    elif found.kind == "events":
        _check_rule(variable, ("count",))
        times = np.asarray(session.events[found.part]["time"].values, dtype=np.float64)
        values = count(grid, times[~np.isnan(times)])
    else:
        values = _of_signal(session.signals[found.part], found, variable, grid)
    if variable.period is not None and found.kind == "events":
        raise ValueError(f"{variable.source!r} are events, which have no period; leave it out")
    if variable.previous and found.kind != "trials":
        raise ValueError(f"{variable.source!r} is no column of the trials, so there is no previous value of it")
    empty = is_empty_text(values)
    if empty.any():
        values = unknown_where(values, ~empty)
    if variable.scale != 1 or variable.offset != 0:
        if values.dtype.kind not in "biuf":
            raise ValueError(
                f"{variable.source!r} holds {shown(values[0])}, which cannot be scaled; leave out its scale"
            )
        values = values * variable.scale + variable.offset
    return values


def is_empty_text(values: np.ndarray) -> np.ndarray:
    """Which values are text without a character, bool (n,): that is how tables write what is unknown.

    Examples
    --------
    >>> is_empty_text(np.array(["left", "", " ", None], dtype=object))
    array([False,  True,  True, False])
    """
    if values.dtype.kind not in "OU":
        return np.zeros(len(values), bool)
    return np.array([isinstance(value, str) and not value.strip() for value in values], dtype=bool)


def _of_trials(session: Parts, column: str | None, variable: Variable, trial: np.ndarray | None) -> np.ndarray:
    """A column of the trials, held over each; unknown outside of them and, of the previous trial, in the first."""
    _check_rule(variable, ("hold", "count"))
    table = session.trials
    if table is None or trial is None:
        raise ValueError(f"{variable.source!r} is a column of the trials; regrid with trials to use it")
    values = table[column]
    if trial.max(initial=-1) >= len(values):
        raise ValueError(
            f"{variable.source!r} has {len(values):,} rows, but trial numbers go up to {trial.max():,}; trials must be "
            "numbered as the rows of their table are, from 0"
        )
    if isinstance(values.dtype, pd.api.extensions.ExtensionDtype) and pd.api.types.is_numeric_dtype(values):
        values = values.astype(np.float64)
    if not variable.previous:
        return _taken(values.to_numpy(), trial)
    whole = session.whole.get("trials", table)
    if column in whole and whole.index.is_unique:
        # the trial before may be one that was left out
        values = whole[column].astype(values.dtype)
        places = whole.index.get_indexer(table.index)
        trial = np.where(trial >= 0, places[np.maximum(trial, 0)], -1)
    return _taken(values.to_numpy(), np.where(trial > 0, trial - 1, -1))


def times_of_trials(session: Parts, column: str | None, variable: Variable) -> np.ndarray:
    """The times that a counted column of the trials holds, (n_trials,); NaN where there is none."""
    table = session.trials
    if table is None or not pd.api.types.is_numeric_dtype(table[column]):
        raise ValueError(f"{variable.source!r} holds no times (s) to count; give the rule 'hold'")
    if variable.previous:
        raise ValueError(f"{variable.source!r} is counted, so there is no previous value of it")
    return np.asarray(table[column].to_numpy(np.float64, na_value=np.nan))


def _taken(values: np.ndarray, at: np.ndarray) -> np.ndarray:
    """Values at places, unknown where the place is -1: NaN among numbers, None among all else."""
    known = at >= 0
    if known.all():
        return values[at]
    out = np.full(len(at), np.nan) if values.dtype.kind in "biuf" else np.full(len(at), None, dtype=object)
    out[known] = values[at[known]]
    return out


def _of_signal(part: xr.DataArray, found: _Found, variable: Variable, grid: Grid) -> np.ndarray:
    """A signal, or a column of it, by the rule that is asked for or that fits it."""
    times, known = read_times(part, found.part)
    values = signal_values(part, found)[known]
    is_steps = part.attrs["between_samples"] == STEPS
    rule = variable.rule or usual_rule(part, times, grid)
    angle = variable.period is not None
    _check_rule(variable, ("mean", "interpolate", "hold", *(() if angle else ("count", "sum", "max"))))
    longest, slack = longest_step(times), grid.slack(times)
    if rule == "hold":
        return _taken(values, held_at(grid.starts, times, np.inf if is_steps else longest, slack))
    if values.dtype.kind not in "biuf":
        raise ValueError(f"{variable.source!r} holds {shown(values[0])}, which has no {rule}; give the rule 'hold'")
    values = values.astype(np.float64)[:, None]
    _check_finite(variable, times, values[:, 0], grid)
    if rule in ("count", "sum"):
        return _added_up(values[:, 0], times, variable, grid, slack)
    if rule == "max":
        bins, largest = grid.find(times, slack), np.full(len(grid), np.nan)
        np.fmax.at(largest, bins[bins >= 0], values[bins >= 0, 0])
        return largest
    if rule == "mean":
        bins = grid.find(times, slack)
        if variable.period is not None:
            return mean_directions(bins[bins >= 0], values[bins >= 0, 0], len(grid), variable.period)
        sums, counts = means(bins[bins >= 0], values[bins >= 0], len(grid))
        with np.errstate(invalid="ignore"):
            return (sums / counts)[:, 0]
    at = grid.starts if _same_clock(grid, times, slack) else (grid.starts + grid.stops) / 2
    if variable.period is not None:
        return arc_between(at, times, values[:, 0], longest, variable.period, slack)
    return interpolated_between(at, times, values, longest, slack)[:, 0]


def _check_finite(variable: Variable, times: np.ndarray, values: np.ndarray, grid: Grid) -> None:
    """Complain of infinite samples that a bin is made of, or lies beside."""
    infinite = np.flatnonzero(np.isinf(values))
    if not len(infinite) or not len(grid):
        return
    first, last = np.searchsorted(times, [grid.starts[0], grid.stops[-1]])
    infinite = infinite[(infinite >= first - 1) & (infinite <= last)]
    if len(infinite):
        row = int(infinite[0])
        raise ValueError(
            f"{variable.source!r} is infinite in {len(infinite):,} samples, first at {times[row]:.9g} s (sample "
            f"{row:,}); put NaN there in the file, for unknown, or leave the time out of the trials"
        )


def signal_values(part: xr.DataArray, found: _Found) -> np.ndarray:
    """Values of a signal, or of the column of it that is meant, (n_samples,)."""
    column = part if found.column is None else part.isel(column=list(part["column"].values).index(found.column))
    return np.asarray(column.values)


def _added_up(values: np.ndarray, times: np.ndarray, variable: Variable, grid: Grid, slack: float) -> np.ndarray:
    """All samples in each bin, added up; NaN where a sample is unknown, in gaps and outside of a regular clock."""
    odd = values[(values < 0) | ((np.floor(values) != values) & ~np.isnan(values))]
    if len(odd) and variable.rule == "count":
        raise ValueError(
            f"{variable.source!r} holds {odd[0]:g}, which is no number of events; the rule 'count' adds up whole "
            "numbers from 0 on"
        )
    bins = grid.find(times, slack)
    inside = bins >= 0
    out = np.bincount(bins[inside], values[inside], minlength=len(grid))
    longest = longest_step(times)
    if np.isfinite(longest):
        empty = np.bincount(bins[inside], minlength=len(grid)) == 0
        before = held_at(grid.starts, times, np.inf, slack)
        is_late = (before < 0) | (grid.stops - times[before] > longest + slack)
        out[empty & is_late] = np.nan
    return out if np.isnan(out).any() or variable.rule == "sum" else out.astype(np.int64)


def usual_rule(part: xr.DataArray, times: np.ndarray, grid: Grid) -> str:
    """The rule of a signal where none is asked for: steps are held, fast ones averaged, slow ones interpolated."""
    if part.attrs["between_samples"] == STEPS:
        return "hold"
    return "mean" if len(times) > 1 and np.median(np.diff(times)) < FINE * grid.width else "interpolate"


def _same_clock(grid: Grid, times: np.ndarray, slack: float) -> bool:
    """Whether bins begin at samples: then a value is that of its sample."""
    if not len(times) or not len(grid):
        return False
    after = np.searchsorted(times, grid.starts)
    beside = np.stack([times[np.maximum(after - 1, 0)], times[np.minimum(after, len(times) - 1)]])
    off = np.abs(grid.starts - beside).min(axis=0)
    inside = (grid.starts >= times[0] - grid.width / 2) & (grid.starts <= times[-1] + grid.width / 2)
    return bool(inside.any() and np.median(off[inside]) <= max(1e-6 * grid.width, slack))


def _check_rule(variable: Variable, possible: tuple[str, ...]) -> None:
    """Complain of a rule that a source cannot have."""
    if variable.rule is not None and variable.rule not in possible:
        raise ValueError(
            f"{variable.source!r} cannot be put on a grid by the rule {shown(variable.rule)}; possible: "
            f"{' or '.join(map(repr, possible))}"
        )


def as_variables(variables: Any, session: Parts) -> dict[str, Variable]:
    """Variables as users name them, as a mapping of their names.

    Raises
    ------
    TypeError
        If they are neither a mapping nor a list of names.
    """
    if variables is None:
        return all_variables(session)
    if isinstance(variables, str):
        variables = [variables]
    if not isinstance(variables, Mapping):
        variables = {name: name for name in variables}
    out = {}
    for name, variable in variables.items():
        if isinstance(variable, str):
            variable = Variable(variable)
        elif isinstance(variable, Mapping):
            variable = Variable(**variable)
        if not isinstance(name, str) or not isinstance(variable, Variable):
            raise TypeError(
                "variables must be names, or a mapping of names to sources (text, Variable or its arguments); found "
                f"{shown(name)}: {shown(variable)}"
            )
        out[name] = variable
    return out


def unknown_where(values: np.ndarray, keep: np.ndarray) -> np.ndarray:
    """Values that are unknown where ``keep`` is not."""
    return _taken(values, np.where(keep, np.arange(len(values)), -1))
