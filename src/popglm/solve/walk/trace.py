"""The objective along the iterations of many fits."""

from __future__ import annotations

import numpy as np

from popglm.solve.snapshot import Resumable, State

__all__ = ["Trace"]


class Trace(Resumable):
    """The objective of some columns when they came to a strength, iteration 0, and after every evaluation there."""

    def __init__(self, n_lambdas: int, n_columns: int) -> None:
        self.n_lambdas, self.n_columns = n_lambdas, n_columns
        self.seen: list[np.ndarray] = []

    def state(self) -> State:
        """All that was noted, in one array."""
        return {"seen": np.concatenate([np.zeros((0, 4)), *self.seen])}

    def restore(self, state: State) -> None:
        """See `popglm.solve.snapshot.Resumable`."""
        self.seen = [state["seen"]]

    def append(self, k: np.ndarray, iteration: np.ndarray | int, columns: np.ndarray, objective: np.ndarray) -> None:
        """Note the objective of columns at the strengths ``k`` after some iterations."""
        rows = np.column_stack([k, np.broadcast_to(iteration, len(k)), columns, objective])
        self.seen.append(rows[columns < self.n_columns])

    def split(self, n_fits: int) -> list[Trace]:
        """Those of as many columns each."""
        (seen,), n = self.state().values(), self.n_columns // n_fits
        found = [Trace(self.n_lambdas, n) for _ in range(n_fits)]
        for i, own in enumerate(found):
            own.seen = [seen[seen[:, 2] // n == i] - [0, 0, i * n, 0]]
        return found

    def sums(self) -> list[list[float]]:
        """For every strength the sum over the columns after 0, 1, … iterations.

        Who is done rests at the last value, and so does at later strengths who goes no further.
        """
        seen = np.concatenate([np.zeros((0, 4)), *self.seen])
        sums, rest = [], np.zeros(self.n_columns)
        for k in range(self.n_lambdas):
            at = seen[seen[:, 0] == k]
            iteration, column = at[:, 1].astype(int), at[:, 2].astype(int)
            values, last = (np.zeros((1 + iteration.max(initial=0), self.n_columns)) for _ in range(2))
            values[0] = rest
            values[iteration, column], last[iteration, column] = at[:, 3], iteration
            last = np.maximum.accumulate(last, axis=0).astype(int)
            values = np.take_along_axis(values, last, axis=0)
            rest = values[-1]
            sums.append(values.sum(axis=1).tolist())
        return sums
