"""The problems that are worked on together, and how they leave a batch and come back to it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from popglm.engines.protocol import Engine
from popglm.solve.device.curvature import Pairs

__all__ = ["Batch"]

Array = Any
#: A batch shrinks by this factor, and never below this many rows: a compiled function meets few shapes.
SHRINK, LEAST_ROWS = 4, 8


@dataclass
class Batch:
    """Arrays of one row per problem, on the device.

    Attributes
    ----------
    index : ndarray of int, shape (n_rows,)
        The problems, some of them repeated where the batch is not full.
    real : ndarray of bool, shape (n_rows,)
        Whether a row is the first of its problem.
    W, grad : array, shape (n_rows, n_features)
        Where a problem stands, and the gradient of its loss.
    pairs : Pairs
        Curvature pairs.
    bound : array, shape (n_rows,)
        Step bounds of proximal steps, or the ρ of a splitting.
    """

    index: np.ndarray
    real: np.ndarray
    W: Array
    grad: Array
    pairs: Pairs
    bound: Array

    def rows_of(self, problems: np.ndarray) -> np.ndarray:
        """Where problems lie in the batch, shape (n_problems,)."""
        row = np.full(self.index.max() + 1, -1)
        row[self.index[self.real]] = np.flatnonzero(self.real)
        return row[problems]

    def holding(self, engine: Engine, problems: np.ndarray) -> Batch:
        """The batch itself, or one of a quarter of the size where that is enough for these problems."""
        rows = self.rows_of(problems)
        size = len(self.index)
        while len(rows) <= (smaller := max(LEAST_ROWS, -(-size // SHRINK))) < size:
            size = smaller
        if size == len(self.index):
            return self
        real = np.arange(size) < len(rows)
        rows = np.concatenate([rows, np.repeat(rows[-1:], size - len(rows))])
        at = engine.index(rows)

        def pick(array: Array) -> Array:
            """The rows that stay."""
            return engine.xp.take(array, at, axis=0)

        pairs = Pairs(*map(pick, self.pairs))
        return Batch(self.index[rows], real, pick(self.W), pick(self.grad), pairs, pick(self.bound))
