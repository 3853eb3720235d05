"""Deviance of held-out rows."""

from __future__ import annotations

from typing import Any

import numpy as np

from popglm.model.losses import Loss
from popglm.solve.passes import value_sums
from popglm.solve.windows import Windows

__all__ = ["held_out_deviance"]


def held_out_deviance(
    engine: Any,
    loss: Loss,
    X: np.ndarray,
    Y: np.ndarray,
    weights: np.ndarray | None,
    offset: np.ndarray | None,
    ranges: list[tuple[int, int]],
    W: np.ndarray,
    b: np.ndarray,
) -> np.ndarray:
    """Deviance of row ranges under every point of a path, shape (n_lambdas, n_neurons).

    Parameters
    ----------
    X, Y, weights, offset
        As for `RowObjective`.
    ranges : list of (first, last)
        Rows that count.
    W : ndarray, shape (n_lambdas, n_neurons, n_features)
    b : ndarray, shape (n_lambdas, n_neurons)
    """
    n_lambdas, _, p = W.shape
    windows = Windows(engine, X, Y, weights, offset, [ranges])
    W = engine.pad(W.reshape(-1, p).astype(engine.dtype))
    b = b.reshape(-1)
    w, b = engine.asarray(W), engine.asarray(np.concatenate([b, np.repeat(b[-1:], len(W) - len(b))]))

    def chunk(k: int) -> tuple[Any]:
        X, Y, s, offset, size, masked, at = windows.read(k)
        compiled = engine.compile(value_sums, type(engine), size, masked, loss, n_lambdas)
        return (compiled(X, Y, s, offset, w, b, at),)

    def floor(first: int, last: int) -> np.ndarray:
        lowest = loss.saturated(Y[:, first:last])
        if weights is not None:
            s = weights[..., first:last]
            lowest = np.where(s > 0, s * lowest, 0)
        return lowest.sum(axis=1)

    (value,) = windows.add_up(chunk)[0][0]
    return np.maximum(2 * (value - sum(engine.map(floor, windows.chunks))), 0)
