"""What happened to values on their way to a grid that their owner would want to know."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from popglm.recording.clocks import read_times
from popglm.recording.grid import Grid, held_at
from popglm.recording.odd_clocks import toml_key
from popglm.recording.parts import Parts
from popglm.recording.series import STEPS
from popglm.recording.sources import Variable, find_source, signal_values

__all__ = ["holds_events", "notes_of_variables"]

#: A column of 0 and 1 holds events, not a state, where at least this share of its ones stand alone, and at most the
#: second share of its samples are 1.
ALONE, SPARSE = 0.8, 0.2


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
    return [
        note for name, variable in wanted.items() for note in _of_held_events(session, name, variable, grid) if note
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
    line = f'{toml_key(name)} = {{source = "{variable.source}", rule = "count"}}'
    return [
        f"{variable.source!r} is 1 in {n_there:,} samples that mostly stand alone, but in {n_held:,} bins, because its "
        f"value is held from sample to sample; if each 1 is an event, count them: {line}"
    ]
