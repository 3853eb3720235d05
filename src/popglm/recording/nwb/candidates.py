"""What may be fitted in a file: every kind of neural activity in it, in the order in which one would choose."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import Any

import pandas as pd

from popglm.messages import listed
from popglm.recording.nwb.layout import Entry, matching, natural
from popglm.warnings import warn

__all__ = ["Candidate", "NeuronTable", "choose", "name_neurons", "rank_of"]

#: Words in the name of a series of ROIs, or of what contains it, the best activity first.
WORDS = [
    r"deconv|events?(?![a-z])|spks|spike",
    r"dff|df_?over_?f|df/f|delta_?f",
    "",
    r"neuropil(?!.*(correct|subtract))|fneu|baseline|background",
]


@dataclass
class NeuronTable:
    """A row per neuron; the index has their names."""

    label: str
    rows: pd.DataFrame


@dataclass
class Candidate:
    """A kind of activity in a file.

    Parameters
    ----------
    entry : Entry
    shape : tuple of int
        Samples and neurons, or spikes and neurons.
    rank : int
        0 for what one would fit first.
    make : callable, optional
        Makes the labelled activity.
    problem : Exception, optional
        Why it cannot be used.
    """

    entry: Entry
    shape: tuple[int, ...]
    rank: int
    make: Callable[[], Any] | None = None
    problem: Exception | None = None

    def __str__(self) -> str:
        """Name, shape, and what is wrong."""
        size = " × ".join(f"{n:,}" for n in self.shape)
        return f"{self.entry.name} ({size}{'' if self.problem is None else f'; {self.problem}'})"


def rank_of(entry: Entry) -> int:
    """The place of a series among kinds of activity, by its name and that of what contains it."""
    found = "/".join(entry.path[-2:]).lower()
    for rank in (3, 0, 1):
        if re.search(WORDS[rank], found):
            return rank
    return 2


def name_neurons(tables: Iterable[NeuronTable]) -> None:
    """Give every neuron of a file a name of its own: its id, after the name of the table where ids would collide."""
    tables = list(tables)
    for table in tables:
        # names of the dimensions and the clock of activity
        table.rows = table.rows.rename(columns={name: f"{name}_of_neuron" for name in ("time", "sample", "spike")})
        table.rows = _apart(table)
    names = pd.Index([name for table in tables for name in table.rows.index], dtype=object)
    if names.is_unique:
        return
    for table in tables:
        table.rows = table.rows.set_index(pd.Index([f"{table.label}/{name}" for name in table.rows.index]))


def _apart(table: NeuronTable) -> pd.DataFrame:
    """The rows, called by their numbers where ids come twice, with the ids as a column."""
    ids = table.rows.index
    if ids.is_unique:
        return table.rows
    twice = ids[ids.duplicated()].unique()
    warn(
        f"read_nwb: in {table.label!r}, {'this id stands' if len(twice) == 1 else 'these ids stand'} for more than one "
        f"neuron: {listed(twice)}; its neurons are called by the number of their row, from 0 on, and 'id' has their ids"
    )
    return table.rows.set_index(pd.RangeIndex(len(ids))).assign(id=ids.to_numpy())


def choose(candidates: Sequence[Candidate], activity: Any, source: str) -> list[Candidate]:
    """The activity that a session has: what was named, or all that can be used, the best first.

    Raises
    ------
    ValueError
        If a name is not in the file, what was named cannot be used, or nothing can.
    """
    ordered = sorted(candidates, key=lambda one: (one.rank, [natural(part) for part in one.entry.path]))
    if activity is not None:
        chosen: list[Candidate] = []
        for name in [activity] if isinstance(activity, str) else activity:
            chosen += [one for one in _named(str(name), ordered, source) if one not in chosen]
    else:
        chosen = [one for one in ordered if one.problem is None or isinstance(one.problem, ValueError)]
        if not chosen:
            listing = f"; these cannot be used: {_listing(ordered)}" if ordered else ""
            raise ValueError(
                f"read_nwb: {source!r} has no neural activity, neither a series of ROIs nor units with spike times"
                f"{listing}; activity=[] reads its signals, events and intervals"
            )
    for one in chosen:
        if isinstance(one.problem, ValueError):
            raise one.problem
        if one.problem is not None:
            raise ValueError(f"read_nwb: {one.entry.name!r} cannot be used: {one.problem}")
    return chosen


def _named(name: str, ordered: Sequence[Candidate], source: str) -> list[Candidate]:
    """Candidates of a name."""
    entries = matching(name, [one.entry for one in ordered])
    if not entries:
        listing = f"it has {_listing(ordered)}" if ordered else "it has none"
        raise ValueError(f"read_nwb: activity={name!r} names no neural activity of {source!r}; {listing}")
    return [one for one in ordered if one.entry in entries]


def _listing(candidates: Iterable[Candidate]) -> str:
    """All candidates with their shapes."""
    return ", ".join(map(str, candidates))
