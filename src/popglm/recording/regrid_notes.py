"""What happened to values on their way to a grid that their owner would want to know."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence

import numpy as np
import pandas as pd
import xarray as xr

from popglm import toml_text
from popglm.messages import listed
from popglm.recording.clocks import read_times
from popglm.recording.grid import Grid, held_at
from popglm.recording.parts import Parts
from popglm.recording.series import STEPS
from popglm.recording.sources import Variable, find_source, is_empty_text, signal_values

__all__ = ["holds_events", "notes_of_clocks", "notes_of_variables"]

#: A column of 0 and 1 holds events, not a state, where at least this share of its ones stand alone, and at most the
#: second share of its samples are 1.
ALONE, SPARSE = 0.8, 0.2
#: Samples of the activity that are so many bins apart are too coarse for them.
FINER = 1.5


def holds_events(values: np.ndarray) -> bool:
    """Whether a column of 0 and 1 has a 1 for each of some rare events: most ones stand alone.

    Examples
    --------
    >>> holds_events(np.array([0, 0, 1, 0, 0, 0, 0, 1, 0, 0])), holds_events(np.array([0, 0, 1, 1, 1, 0, 0, 0, 0, 0]))
    (True, False)
    """
    if values.dtype.kind not in "biuf" or values.ndim != 1:
        return False
    known = values[~np.isnan(values)] if values.dtype.kind == "f" else values
    ones = known == 1
    if not ones.any() or not (ones | (known == 0)).all() or ones.mean() > SPARSE:
        return False
    beside = np.convolve(ones, [1, 0, 1], "same") > 0
    return bool((ones & ~beside).sum() >= ALONE * ones.sum())


def notes_of_variables(session: Parts, wanted: Mapping[str, Variable], grid: Grid) -> list[str]:
    """What to say of the variables on a grid."""
    notes = []
    for name, variable in wanted.items():
        notes += [*_of_held_events(session, name, variable, grid), *_of_empty_text(session, variable)]
    # one source may be several variables
    return list(dict.fromkeys(notes))


def _of_empty_text(session: Parts, variable: Variable) -> list[str]:
    """Values that are unknown because they are text without a character."""
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
    return [f"{n_empty:,} of {len(values):,} {what} of {variable.source!r} are empty text, and taken as unknown"]


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


def _of_held_events(session: Parts, name: str, variable: Variable, grid: Grid) -> list[str]:
    """Events that are lost, or come more than once, because the column of their ones is held from sample to sample."""
    found = find_source(session, variable.source)
    if found.kind != "signal" or variable.rule is not None:
        return []
    part = session.signals[found.part]
    if part.attrs["between_samples"] != STEPS or part.dtype.kind not in "biuf":
        return []
    times, known = read_times(part, found.part)
    values = signal_values(part, found)[known]
    if not holds_events(values):
        return []
    ones = values == 1
    n_there = int((ones & (grid.find(times) >= 0)).sum())
    at = held_at(grid.starts, times, np.inf)
    n_held = int(ones[at[at >= 0]].sum())
    if n_held == n_there:
        return []
    line = f'{toml_text.key(name)} = {{source = {toml_text.text(variable.source)}, rule = "count"}}'
    return [
        f"{variable.source!r} is 1 in {n_there:,} samples that mostly stand alone, but in {n_held:,} bins, because its "
        f"value is held from sample to sample; if each 1 is an event, count them: {line}"
    ]
