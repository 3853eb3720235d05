"""Trials of a session: a table of intervals, a signal of trial numbers, events that begin and end them, or blocks."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pandas as pd

from popglm.checks import is_number
from popglm.messages import listed, shown
from popglm.recording.clocks import read_times
from popglm.recording.grid import Grid, held_at
from popglm.recording.parts import Parts
from popglm.recording.series import intervals
from popglm.recording.sources import Variable, on_grid
from popglm.recording.time_rounding import on_time
from popglm.recording.trial_numbers import whole_numbers

__all__ = ["rows_of_trials", "table_of_trials", "trial_labels", "with_blocks", "with_trials"]

#: Trials that overlap by less than this share of a bin touch.
TOUCHING = 1e-3


def with_blocks(session: Parts, length: float, grid: Grid) -> tuple[Parts, str]:
    """The session with blocks of time, of so many seconds, for trials."""
    return _with_table(session, _blocks(grid, float(length)), None), "trials"


def with_trials(session: Parts, trials: Any) -> tuple[Parts, str | None]:
    """The session with its table of trials, and where the trial of a bin is found: "trials", a signal, or None.

    For a length of blocks that is None: they begin where the grid does.

    Parameters
    ----------
    trials : str, DataFrame, pair of str, number or None
        As `Session.regrid` takes it.
    """
    if trials is None:
        return session, "trials" if session.trials is not None else None
    if isinstance(trials, str) and trials in session.signals:
        return session, trials
    if isinstance(trials, str) and trials in session.intervals:
        return _with_table(session, session.intervals[trials], session.whole.get(trials)), "trials"
    elif isinstance(trials, pd.DataFrame):
        table = intervals(trials)
    elif is_number(trials) and trials > 0:
        return session, None
    elif isinstance(trials, tuple | list) and len(trials) == 2 and all(name in session.events for name in trials):
        table = _between(session, *trials)
    else:
        known = listed(map(repr, [*session.intervals, *session.signals, *session.events])) or "none"
        raise ValueError(
            "regrid: trials must be the name of intervals or of a signal of trial numbers, a pair of events that begin "
            f"and end them, a table, or the length of blocks in seconds; found {shown(trials)}; names: {known}"
        )
    return _with_table(session, table, None), "trials"


def _with_table(session: Parts, table: pd.DataFrame, whole: pd.DataFrame | None) -> Parts:
    """The session with another table of trials, and what that was before it was filtered."""
    others = {name: one for name, one in session.whole.items() if name != "trials"}
    kept = others if whole is None else {**others, "trials": whole}
    return replace(session, intervals={**session.intervals, "trials": table}, whole=kept)


def _blocks(grid: Grid, length: float) -> pd.DataFrame:
    """Blocks of time in which bins begin, the last as long as the others."""
    n = int(np.ceil((grid.stops[-1] - grid.starts[0]) / length)) if len(grid) else 0
    starts = grid.starts[:1] + np.arange(n) * length
    # the last bin may end in a block in which none begins
    starts = starts[: held_at(grid.starts[-1:], starts, np.inf, grid.slack(starts)).sum() + 1]
    return pd.DataFrame({"start_time": starts, "stop_time": starts + length})


def _between(session: Parts, start: str, stop: str) -> pd.DataFrame:
    """Intervals from each event to the first of the other kind after it."""
    starts, stops = (np.sort(np.asarray(session.events[name]["time"].values, float)) for name in (start, stop))
    starts, stops = starts[~np.isnan(starts)], stops[~np.isnan(stops)]
    after = np.searchsorted(stops, starts, side="right")
    ends = (
        np.where(after < len(stops), stops[np.minimum(after, len(stops) - 1)], np.nan)
        if len(stops)
        else starts * np.nan
    )
    # what begins anew before it has ended goes on to there
    following = np.append(starts[1:], np.inf)
    ends = np.fmin(ends, following)
    return pd.DataFrame({"start_time": starts, "stop_time": np.where(np.isinf(ends), np.nan, ends)})


def rows_of_trials(session: Parts, trials: str, grid: Grid, no_trial: int | None = None) -> np.ndarray:
    """The row of the trials table at the start of each bin, or by a signal the number of the trial; -1 for none.

    Where 0 stands for no trial, trials are numbered from 1: the first is row 0.

    Raises
    ------
    ValueError
        If trials overlap, or a signal of trial numbers holds something else.
    """
    if trials in session.signals:
        numbers = whole_numbers(on_grid(session, Variable(trials, rule="hold"), grid, None))
        if numbers is None:
            raise ValueError(f"regrid: trials={trials!r} must be whole numbers, or NaN outside of trials")
        outside = np.isnan(numbers) | (numbers < 0) | (numbers == no_trial)
        return np.where(outside, -1, numbers - _first_number(no_trial)).astype(int)
    table = session.intervals[trials]
    starts, stops = table["start_time"].to_numpy(np.float64), table["stop_time"].to_numpy(np.float64)
    slack = grid.slack(stops)
    overlap = np.flatnonzero(starts[1:] < stops[:-1] - max(on_time(starts) + on_time(stops), TOUCHING * grid.width))
    if len(overlap):
        one, other = table.index[overlap[0]], table.index[overlap[0] + 1]
        raise ValueError(
            f"regrid: trials {shown(one)} and {shown(other)} overlap: the first ends at {stops[overlap[0]]:.12g} s, "
            f"the other begins at {starts[overlap[0] + 1]:.12g} s; keep some of them with session.where(name, query), "
            "in a recipe trials.where, or name other intervals"
        )
    row = held_at(grid.starts, starts, np.inf, grid.slack(starts))
    if not len(stops):
        return row
    ended = grid.starts >= np.where(np.isnan(stops), np.inf, stops)[np.maximum(row, 0)] - slack
    return np.where(ended, -1, row)


def table_of_trials(session: Parts, trials: str, no_trial: int | None = None) -> pd.DataFrame:
    """When each trial begins and ends, by its row or number: what `rows_of_trials` gives to bins.

    Returns
    -------
    DataFrame
        With "start_time" and "stop_time", NaN where that is not known. A trial of a signal lasts from its first sample
        to its last.
    """
    if trials not in session.signals:
        return session.intervals[trials][["start_time", "stop_time"]].reset_index(drop=True)
    times, known = read_times(session.signals[trials], trials)
    numbers = np.asarray(session.signals[trials].values)[known].astype(np.float64)
    is_trial = (numbers >= 0) & (numbers != no_trial)
    table = pd.DataFrame({"number": numbers, "time": times})[is_trial]
    ends = table.groupby("number")["time"].agg(start_time="min", stop_time="max")
    return ends.set_axis(ends.index.astype(int) - _first_number(no_trial))


def _first_number(no_trial: int | None) -> int:
    """What the first trial is numbered, where a signal holds trial numbers."""
    return 1 if no_trial == 0 else 0


def trial_labels(session: Parts, trials: str, row: np.ndarray, no_trial: int | None = None) -> np.ndarray:
    """What the trial of each bin is called: by its table's index, or its number."""
    if trials in session.signals:
        return row + _first_number(no_trial)
    return session.intervals[trials].index.to_numpy()[row]
