"""What happened to values on their way to a grid that their owner would want to know."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence

import numpy as np
import pandas as pd
import xarray as xr

from popglm import toml_text
from popglm.messages import listed
from popglm.recording.clocks import read_times
from popglm.recording.grid import MOST, Grid
from popglm.recording.parts import Parts
from popglm.recording.sources import (
    Variable,
    find_source,
    is_empty_text,
    on_grid,
    signal_values,
    times_of_trials,
    usual_rule,
)
from popglm.recording.time_rounding import decimal_unit

__all__ = ["holds_events", "notes_of_clocks", "notes_of_rounding", "notes_of_variables"]

#: A column counts events, and holds no state, where at least this share of the samples above 0 stand alone, at most the
#: second share of all samples are above 0, and none is above the last.
ALONE, SPARSE, MOST_AT_ONCE = 0.8, 0.2, 10
#: Of the samples with any event at least this share have one: of counts at random nine in ten do, where one sample in
#: five has any. Codes, such as those of stimuli, are less often 1.
ONES = 0.8
#: Samples of a signal that tell whether it holds small whole numbers at all.
LOOKED_AT = 20_000
#: Samples of the activity that are so many bins apart are too coarse for them.
FINER = 1.5


def holds_events(values: np.ndarray) -> bool:
    """Whether a column counts rare events: it is mostly 0, and 1 where it is not; most of these samples stand alone.

    Examples
    --------
    >>> holds_events(np.array([0, 0, 1, 0, 0, 0, 0, 1, 0, 0])), holds_events(np.array([0, 0, 1, 1, 1, 0, 0, 0, 0, 0]))
    (True, False)
    """
    return _stand_alone(values) and bool((values == 1).sum() >= ONES * (values > 0).sum())


def _stand_alone(values: np.ndarray) -> bool:
    """Whether a column has small whole numbers that mostly stand alone, and is 0 elsewhere."""
    if values.ndim != 1 or not _are_small_and_whole(values):
        return False
    above = (values[~np.isnan(values)] if values.dtype.kind == "f" else values) > 0
    if not above.any() or above.mean() > SPARSE:
        return False
    beside = np.convolve(above, [1, 0, 1], "same") > 0
    return bool((above & ~beside).sum() >= ALONE * above.sum())


def _are_small_and_whole(values: np.ndarray) -> bool:
    """Whether numbers are whole, from 0 to a few, or unknown."""
    if values.dtype.kind not in "biuf":
        return False
    known = values[~np.isnan(values)] if values.dtype.kind == "f" else values
    return bool(((known >= 0) & (known <= MOST_AT_ONCE)).all() and (np.floor(known) == known).all())


def notes_of_variables(session: Parts, wanted: Mapping[str, Variable], grid: Grid) -> list[str]:
    """What to say of the variables on a grid."""
    notes = []
    for name, variable in wanted.items():
        notes += [
            *_of_lost_events(session, name, variable, grid),
            *_of_empty_text(session, variable),
            *_of_coarse_times(session, variable, grid),
        ]
    # one source may be several variables
    return list(dict.fromkeys(notes))


def _of_empty_text(session: Parts, variable: Variable) -> list[str]:
    """Values that are unknown because they are text without a character, or none among text."""
    found = find_source(session, variable.source)
    if found.kind == "signal" and session.signals[found.part].dtype.kind in "OU":
        values, what = signal_values(session.signals[found.part], found), "samples"
    elif found.kind == "trials" and session.trials is not None:
        values, what = session.trials[found.column].to_numpy(), "rows"
    else:
        return []
    if values.dtype.kind not in "OU" or not any(isinstance(value, str) for value in values):
        return []
    # readers of tables make empty cells None or NaN
    n_empty = int((is_empty_text(values) | pd.isna(values)).sum())
    if not n_empty:
        return []
    return [f"{n_empty:,} of {len(values):,} {what} of {variable.source!r} are empty or missing, and taken as unknown"]


def _of_coarse_times(session: Parts, variable: Variable, grid: Grid) -> list[str]:
    """What the rounding of a variable's times does to its bins."""
    found = find_source(session, variable.source)
    if found.kind == "signal":
        part = session.signals[found.part]
        if "rate" in part["time"].attrs:
            return []
        times, what = read_times(part, found.part)[0], "samples"
    elif found.kind == "events":
        times, what = np.asarray(session.events[found.part]["time"].values, np.float64), "events"
    elif variable.rule == "count":
        times, what = times_of_trials(session, found.column, variable), "times"
    else:
        return []
    is_held = found.kind == "signal" and (variable.rule or usual_rule(part, times, grid)) == "hold"
    return notes_of_rounding(times, f"{what} of {variable.source!r}", grid, is_held)


def notes_of_rounding(times: np.ndarray, what: str, grid: Grid, are_held: bool) -> list[str]:
    """What to say of times of few decimals: which were taken to be on an edge, or that bins are too fine for them.

    Parameters
    ----------
    times : ndarray, shape (n,)
    what : str
        What they are times of.
    grid : Grid
    are_held : bool
        Whether bins take the last one at or before their start, so that one shortly after it matters as well.
    """
    own = decimal_unit(times)
    if own > MOST * grid.width > 0:
        width = f"{grid.width:.4g} s"
        return [
            f"times of {what} were rounded to {own:g} s, so in bins of {width} some lie in the bin beside their own"
        ]
    fine, slack = grid.rounding(times), grid.slack(times)
    if slack <= fine:
        return []
    bins = grid.find(times, fine)
    moved = grid.find(times, slack) != bins
    if are_held:
        late = times - grid.starts[bins]
        moved |= (bins >= 0) & (late > fine) & (late <= slack)
    if not moved.any():
        return []
    return [
        f"{moved.sum():,} of {len(times):,} {what} are taken to be where a bin begins, though they are up to "
        f"{grid.unit(times):g} s off: times were rounded to as much, and follow the clock of the bins"
    ]


def notes_of_clocks(session: Parts, activity: Sequence[str], used: Iterable[str], grid: Grid) -> list[str]:
    """What to say of clocks: samples without a time, and bins that are finer than the samples of the activity.

    Parameters
    ----------
    session : Parts
    activity, used : iterable of str
        What is fitted, and other series that are put on the grid.
    grid : Grid
    """
    series = {**session.signals, **session.activity}
    lost: dict[tuple[int, int], list[str]] = {}
    for name in dict.fromkeys([*activity, *used]):
        if name not in series or "time" not in series[name].coords or "rate" in series[name]["time"].attrs:
            continue
        unknown = np.isnan(np.asarray(series[name]["time"].values, float))
        if unknown.any():
            # columns of one table have lost the same times
            lost.setdefault((int(unknown.sum()), len(unknown)), []).append(name)
    notes = [
        f"{n_lost:,} of {n:,} samples of {listed(map(repr, names))} have no time, and are left out"
        for (n_lost, n), names in lost.items()
    ]
    for name in activity:
        if isinstance(session.activity[name], xr.DataArray):
            notes += _of_fine_bins(name, read_times(session.activity[name], name)[0], grid)
    return notes


def _of_fine_bins(name: str, times: np.ndarray, grid: Grid) -> list[str]:
    """Bins that have no sample of their own, so that fits take one sample for several."""
    step = float(np.median(np.diff(times))) if len(times) > 1 else 0.0
    if step <= FINER * grid.width:
        return []
    return [
        f"bins of {grid.width:.4g} s are finer than the samples of {name!r}, which are {step:.4g} s apart: values in "
        "between are interpolated, bins are no independent samples, and uncertainties come out too small; leave out "
        f"the width of bins, or make it {step:.4g} s or more"
    ]


def _of_lost_events(session: Parts, name: str, variable: Variable, grid: Grid) -> list[str]:
    """Events that are lost, doubled or made fractions of, because their column is put on the grid as a state is."""
    found = find_source(session, variable.source)
    if found.kind != "signal" or variable.rule is not None or variable.period is not None:
        return []
    part = session.signals[found.part]
    # most signals are no such column, and are not read again
    if not _are_small_and_whole(signal_values(part[:LOOKED_AT], found)):
        return []
    times, known = read_times(part, found.part)
    values = signal_values(part, found)[known]
    if not _stand_alone(values):
        return []
    there = values[(values > 0) & (grid.find(times) >= 0)]
    of_bins = on_grid(session, Variable(variable.source), grid, None).astype(np.float64)
    of_bins = of_bins[~np.isnan(of_bins)]
    is_whole = (np.floor(of_bins) == of_bins).all()
    if is_whole and of_bins.sum() == there.sum() and (of_bins > 0).sum() == len(there):
        return []
    is_one = bool((there == 1).all())
    n, total = f"{len(there):,} samples that mostly stand alone", f"to {of_bins.sum():,.6g} over bins, because it is"
    of_ones = {
        "hold": f"in {(of_bins > 0).sum():,} bins, because its value is held from sample to sample",
        "mean": f"adds up {total} averaged in each",
        "interpolate": "is spread over the bins around them, because it is interpolated between samples",
    }
    of_numbers = of_ones | {"hold": f"{total} held from sample to sample", "mean": f"{total} averaged in each"}
    rule = usual_rule(part, times, grid)
    line = f'{toml_text.key(name)} = {{source = {toml_text.text(variable.source)}, rule = "count"}}'
    if is_one:
        told, if_so = f"is 1 in {n}, but {of_ones[rule]}", "each 1 is an event"
    else:
        told, if_so = f"adds up to {there.sum():,.0f} in {n}, but {of_numbers[rule]}", "these are numbers of events"
    return [f"{variable.source!r} {told}; if {if_so}, count them: {line}"]
