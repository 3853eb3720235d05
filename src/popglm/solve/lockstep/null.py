"""Where the lockstep schedule begins: the null models on a device, and their gradients, from which strengths come."""

from __future__ import annotations

from typing import Any

import numpy as np

from popglm.engines.memory import in_halves
from popglm.solve.lockstep.arrays import vector
from popglm.solve.lockstep.rows import BatchRows, Columns, Point
from popglm.statistics.families import Family
from popglm.statistics.responses import ResponseSums

__all__ = ["null_gradient", "null_point", "start_intercept"]

Array = Any


def start_intercept(sums: ResponseSums, fit_intercept: bool) -> np.ndarray:
    """Where the search for the intercept begins, shape (n_neurons,)."""
    return sums.intercept if fit_intercept else np.zeros(len(sums.mean))


def null_point(rows: BatchRows, columns: Columns, zeros: Array, start: np.ndarray, fittable: np.ndarray) -> Point:
    """Loss and gradient of columns at w = 0; gradient 0 where a column is not ``fittable``.

    Parameters
    ----------
    zeros : array, shape (n_columns, n_features)
    start : ndarray, shape (n_columns,)
        Intercept, or where the search for it begins.
    fittable : ndarray of bool, shape (n_columns,)
    """
    with np.errstate(all="ignore"):
        mean = np.maximum(np.abs(columns.y_mean), np.finfo(np.float32).tiny)

    def at(b: np.ndarray) -> Point:
        return rows.evaluate(columns, zeros, b, np.zeros(len(b)), mean)

    null = at(start)
    for name in ("loss", "curvature", "chi2", "spread"):
        values = getattr(null, name)
        values[~fittable] = 0.0 if name in ("loss", "chi2") else 1.0
    null.b[~fittable] = start[~fittable]
    keep = vector(rows.engine, fittable)[:, None] > 0
    null.grad = rows.engine.xp.where(keep, null.grad, zeros)
    return null


def null_gradient(
    engine: Any, loss: Family, X: np.ndarray, Y: np.ndarray, weights: np.ndarray | None, offset: np.ndarray | None,
    sums: ResponseSums, fit_intercept: bool,
) -> tuple[np.ndarray, np.ndarray]:  # fmt: skip
    """Gradient (n_neurons, n_features) and curvature (n_neurons,) of every neuron's loss over all rows at w = 0.

    Parameters
    ----------
    X, Y, weights, offset
        As for `BatchRows`.
    sums : ResponseSums
        Of all rows.
    """
    start, fittable = start_intercept(sums, fit_intercept), sums.fittable(loss)
    rows = BatchRows(engine, loss, X, Y, weights, offset, np.ones((1, len(X))), fit_intercept, len(Y))

    def gradient(neurons: np.ndarray) -> np.ndarray:
        columns = rows.columns(neurons, np.zeros(len(neurons), int))
        zeros = engine.asarray(np.zeros((len(neurons), X.shape[1]), engine.dtype))
        found = null_point(rows, columns, zeros, start[neurons], fittable[neurons])
        return np.column_stack([np.asarray(engine.to_numpy(found.grad), float), found.curvature])

    found = in_halves(gradient, np.arange(len(Y)))
    return found[:, :-1], found[:, -1]
