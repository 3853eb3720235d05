"""What a search for strengths has found so far: a search that was cut off reads it, and goes on to the same bits."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from popglm.solve.snapshot import State

__all__ = ["Journal"]

#: Value of a criterion, its slopes, and the weights there.
Entry = tuple[float, np.ndarray, np.ndarray]


class Journal:
    """Criteria of a neuron in the order in which its search asked for them.

    A search is a function of what it is answered, so that the answers alone bring another one to the same place.

    Parameters
    ----------
    state : dict of str to ndarray, optional
        Of an earlier one.
    on_entry : callable, optional
        Called after each new entry.
    """

    def __init__(self, state: State | None = None, on_entry: Callable[[], None] | None = None) -> None:
        self.entries: list[Entry] = []
        if state is not None and len(state["values"]):
            self.entries = list(zip(state["values"].tolist(), state["slopes"], state["weights"], strict=True))
        self.place, self.on_entry = 0, on_entry

    def next(self) -> Entry | None:
        """The next entry that is known; None behind the last."""
        if self.place == len(self.entries):
            return None
        self.place += 1
        return self.entries[self.place - 1]

    def add(self, value: float, slopes: np.ndarray, weights: np.ndarray) -> None:
        """Take down an entry."""
        self.entries.append((value, slopes.copy(), weights.copy()))
        self.place = len(self.entries)
        if self.on_entry is not None:
            self.on_entry()

    def state(self) -> State:
        """All entries as arrays."""
        values, slopes, weights = zip(*self.entries, strict=True) if self.entries else ((), (), ())
        return {"values": np.array(values, float), "slopes": np.array(slopes), "weights": np.array(weights)}
