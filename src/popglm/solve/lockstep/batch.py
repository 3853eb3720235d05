"""The columns that the lockstep schedule works on, and how they leave a batch and come back to it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from popglm.solve.lockstep.rows import Columns, Point

__all__ = ["Batch"]

Array = Any
#: A batch shrinks by this factor, and never below this many columns.
SHRINK, LEAST_COLUMNS = 4, 8


@dataclass
class Batch:
    """The columns at work; arrays of one row per column.

    Attributes
    ----------
    index : ndarray of int
        Positions among all columns, repeated where the batch is not full.
    real : ndarray of bool
        Whether a row is the first of its column.
    pairs : tuple of array
        Curvature pairs S, Y and GS.
    bound : array
        Step bounds of proximal steps, or the ρ of a splitting.
    damping : ndarray
    """

    index: np.ndarray
    real: np.ndarray
    at: Columns
    point: Point
    W: Array
    pairs: tuple[Array, Array, Array]
    bound: Array
    damping: np.ndarray

    def take(self, engine: Any, rows: np.ndarray, real: np.ndarray) -> Batch:
        """A batch of some of the rows."""
        at = engine.index(rows)

        def pick(array: Array) -> Array:
            return engine.xp.take(array, at, axis=0)

        columns, point = self.at, self.point
        return Batch(
            self.index[rows],
            real,
            Columns(
                pick(columns.neuron), pick(columns.fit), pick(columns.YX),
                columns.total[rows], columns.y_mean[rows], columns.y_offset[rows], columns.floor[rows],
            ),
            Point(*(getattr(point, name)[rows] for name in Point.SCALARS), pick(point.grad)),
            pick(self.W),
            tuple(pick(a) for a in self.pairs),
            pick(self.bound),
            self.damping[rows],
        )  # fmt: skip

    def shrunk(self, engine: Any, active: np.ndarray) -> Batch | None:
        """A batch of the active rows alone where they are few enough, else None."""
        size = max(LEAST_COLUMNS, -(-len(active) // SHRINK))
        rows = np.flatnonzero(active)
        if not len(rows) <= size < len(active):
            return None
        real = np.arange(size) < len(rows)
        return self.take(engine, np.concatenate([rows, np.repeat(rows[-1:], size - len(rows))]), real)

    def give_back(self, engine: Any, whole: Batch) -> None:
        """Write the columns into the batch of all."""
        rows = np.flatnonzero(self.real)
        position = self.index[rows]
        source = np.arange(len(whole.index))
        source[position] = len(source) + rows
        at = engine.index(source)

        def put(into: Array, part: Array) -> Array:
            return engine.xp.take(engine.xp.concat([into, part], axis=0), at, axis=0)

        for name in Point.SCALARS:
            getattr(whole.point, name)[position] = getattr(self.point, name)[rows]
        whole.damping[position] = self.damping[rows]
        whole.point.grad, whole.W = put(whole.point.grad, self.point.grad), put(whole.W, self.W)
        whole.pairs = tuple(put(a, b) for a, b in zip(whole.pairs, self.pairs, strict=True))
        whole.bound = put(whole.bound, self.bound)
