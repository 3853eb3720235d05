"""Gram matrices of single problems, weighted by the curvature of their losses where they stand."""

from __future__ import annotations

from typing import Any

import numpy as np

from popglm.engines.numpy_engine import NumpyEngine
from popglm.solve.sparse.rows import SparseBlock, SparseRows
from popglm.statistics.families import Family

__all__ = [
    "counting_parts",
    "curvature_squares",
    "curvature_sums",
    "predictors",
    "weighted_grams",
    "weighted_variances",
]

#: Rows of a sparse X that are dense at a time.
DENSE_ROWS = 1024


def weighted_grams(objective: Any, fit: int, neurons: np.ndarray, W: np.ndarray, b: np.ndarray) -> np.ndarray:
    """Covariances of the features, samples weighted by the curvature h of the loss, for some neurons of one fit.

    All samples count: a part drawn by curvature, evenly and by the size of x served long dense sessions, but left
    sparse neurons of collinear features far from their minimum.

    Parameters
    ----------
    objective : RowObjective
    W : ndarray, shape (n_neurons, n_features)
    b : ndarray, shape (n_neurons,)

    Returns
    -------
    ndarray, shape (n_neurons, n_features, n_features)
        In float64; not finite where h is not.
    """
    dtype, loss = objective.engine.dtype, objective.loss_of(fit, neurons)
    with np.errstate(all="ignore"):
        total, x, XX = objective.rows.curvature(loss, fit, neurons, W.astype(dtype), b.astype(dtype))
        x, XX = x / total[:, None], XX / total[:, None, None]
    return XX - x[:, :, None] * x[:, None] if objective.fit_intercept else XX


def weighted_variances(objective: Any, fit: int, neurons: np.ndarray, W: np.ndarray, b: np.ndarray) -> np.ndarray:
    """The diagonals of `weighted_grams`, shape (n_neurons, n_features), of a sparse X."""
    dtype, loss = objective.engine.dtype, objective.loss_of(fit, neurons)
    with np.errstate(all="ignore"):
        total, x, xx = objective.rows.curvature_squares(loss, fit, neurons, W.astype(dtype), b.astype(dtype))
        x, xx = x / total[:, None], xx / total[:, None]
    return xx - x**2 if objective.fit_intercept else xx


def curvature_squares(
    rows: Any, loss: Family, fit: int, neurons: np.ndarray, W: np.ndarray, b: np.ndarray
) -> tuple[np.ndarray, ...]:
    """Σh, Σhx and Σhx² over the rows of a fit, per neuron: arguments as for `curvature_sums`."""

    def sums(chunks: list[tuple[int, int]]) -> tuple[np.ndarray, ...]:
        """Over some chunks of samples."""
        total, x, xx = np.zeros(len(W)), np.zeros(W.shape), np.zeros(W.shape)
        for first, last in chunks:
            X = rows.X.window(first, last)
            h = _curvature(rows, loss, neurons, predictors(W, X) + b[:, None], first, last)
            total += h.sum(axis=1, dtype=float)
            for into, part in zip((x, xx), X.along_both(h), strict=True):
                into += part
        return total, x, xx

    with np.errstate(all="ignore"):
        parts = rows.engine.map(sums, counting_parts(rows.windows, fit))
        return tuple(sum(some) for some in zip(*parts, strict=True))


def _curvature(rows: Any, loss: Family, neurons: np.ndarray, eta: np.ndarray, first: int, last: int) -> np.ndarray:
    """Curvature weights of a window's rows at predictors without the offset, 0 where a row does not count."""
    eta = eta if rows.offset is None else eta + rows.offset[first:last]
    h = loss.derivatives(np, eta, rows.Y[neurons, first:last])[1]
    if rows.weights is None:
        return h
    s = rows.weights if rows.weights.ndim == 1 else rows.weights[neurons]
    return np.where(s[..., first:last] > 0, s[..., first:last] * h, 0)


def curvature_sums(
    rows: Any, loss: Family, fit: int, neurons: np.ndarray, W: np.ndarray, b: np.ndarray
) -> tuple[np.ndarray, ...]:
    """Σh, Σhx and Σhxxᵀ over the rows of a fit, per neuron, at the parameters of ``loss``.

    Parameters
    ----------
    rows : RowSums
    W : ndarray, shape (n_neurons, n_features)
        In the engine's precision, as b.
    b : ndarray, shape (n_neurons,)
    """
    engine, (n, p) = rows.engine, W.shape

    def sums(chunks: list[tuple[int, int]]) -> tuple[np.ndarray, ...]:
        """Over some chunks of samples."""
        total, x, XX = np.zeros(n), np.zeros((n, p)), np.zeros((n, p, p))
        for first, last in _dense_pieces(rows.X, chunks):
            X = np.asarray(rows.X[first:last], engine.dtype)
            h = _curvature(rows, loss, neurons, predictors(W, X) + b[:, None], first, last)
            total += h.sum(axis=1, dtype=float)
            x += NumpyEngine.product(engine, h, X)
            for own, root in zip(XX, np.sqrt(h), strict=True):
                scaled = X * root[:, None]
                # a product with itself takes half the multiplications: NumPy sees that it is one
                own += scaled.T @ scaled
        return total, x, XX

    with np.errstate(all="ignore"):
        parts = engine.map(sums, counting_parts(rows.windows, fit))
        total, x, XX = (sum(some) for some in zip(*parts, strict=True))
    return total, x, XX


def predictors(W: np.ndarray, rows: Any) -> np.ndarray:
    """Wxᵀ of rows, an array (n_rows, n_features) or a `SparseBlock`, shape (n_neurons, n_rows)."""
    return rows.across(W) if isinstance(rows, SparseBlock) else (NumpyEngine.pad(W) @ rows.T)[: len(W)]


def _dense_pieces(X: Any, chunks: list[tuple[int, int]]) -> list[tuple[int, int]]:
    """Chunks of rows, cut where X is sparse, whose windows are long."""
    if not isinstance(X, SparseRows):
        return chunks
    return [(a, min(a + DENSE_ROWS, last)) for first, last in chunks for a in range(first, last, DENSE_ROWS)]


def counting_parts(windows: Any, fit: int) -> list[tuple[list[tuple[int, int]]]]:
    """The windows that a fit counts in two parts, on any machine, so that sums have one order."""
    counting = [windows.chunks[k] for k, kind in enumerate(windows.kind) if windows.members[kind][fit]]
    return [([counting[i] for i in part],) for part in np.array_split(np.arange(len(counting)), 2) if len(part)]
