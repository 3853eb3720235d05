"""Deviance of held-out rows on a device, of as many columns and rows at a time as it has room for."""

from __future__ import annotations

from typing import Any

import numpy as np

from popglm.engines.memory import in_halves
from popglm.solve.lockstep.rows import BatchRows
from popglm.statistics.families import Family

__all__ = ["MOST_COLUMNS", "held_out_in_batches"]

#: (strength, neuron) pairs that are predicted at a time at most: no matrix product gains by more.
MOST_COLUMNS = 4096


def held_out_in_batches(
    engine: Any, loss: Family, X: np.ndarray, Y: np.ndarray, weights: np.ndarray | None, offset: np.ndarray | None,
    ranges: list[tuple[int, int]], W: np.ndarray, b: np.ndarray,
) -> np.ndarray:  # fmt: skip
    """What `popglm.solve.held_out.HeldOut.deviance` gives, shape (n_lambdas, n_neurons), in bounded memory.

    Batches are of equal size, so that compiled passes meet one shape. Where the device has less room than that, rows
    and columns are taken in smaller parts, as in `BatchRows`.
    """
    n_lambdas, q, p = W.shape
    W, b = W.reshape(-1, p), b.reshape(-1)
    n_batches = -(-len(W) // MOST_COLUMNS)
    size = -(-len(W) // n_batches)
    # the last column again, so that the last batch is as long as the others
    columns = np.minimum(np.arange(n_batches * size), len(W) - 1).reshape(n_batches, size)
    total = np.zeros(q * n_lambdas)
    for first, last in ranges:
        y, s, at = (None if a is None else a[..., first:last] for a in (Y, weights, offset))
        rows = BatchRows(engine, loss, X[first:last], y, s, at, np.ones((1, last - first)), False, size)

        def values(own: np.ndarray, rows: BatchRows = rows) -> np.ndarray:
            return rows.values(own % q, np.zeros(len(own), int), engine.asarray(W[own]), b[own])

        found = np.concatenate([in_halves(values, batch) for batch in columns])[: len(W)]
        total += found
    return np.maximum(2 * total, 0).reshape(n_lambdas, q)
