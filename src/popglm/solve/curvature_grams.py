"""Gram matrices of single columns, weighted by the curvature of their losses where they stand."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

import numpy as np

from popglm.engines.numpy_engine import NumpyEngine

if TYPE_CHECKING:
    from popglm.solve.objective import RowObjective

__all__ = ["row_sizes", "thinned", "weighted_grams"]

#: Samples for every feature, and in all at least, that a matrix is summed over where there are more. With fewer,
#: directions in which few samples have a say come out too flat, and steps by the model overshoot.
SAMPLES_PER_FEATURE, LEAST_SAMPLES = 20, 4096
#: Share of the samples that is drawn evenly, whatever their curvature. Drawn by that alone, samples at which a neuron
#: is silent would be missed, and so would features that vary there alone.
EVEN = 0.5
#: Samples whose products are added up in the engine's precision.
PIECE = 2048


def weighted_grams(rows: RowObjective, fit: int, neurons: np.ndarray, W: np.ndarray, b: np.ndarray) -> np.ndarray:
    """Covariances of the features, samples weighted by the curvature h of the loss, for some neurons of one fit.

    Parameters
    ----------
    W : ndarray, shape (n_neurons, n_features)
    b : ndarray, shape (n_neurons,)

    Returns
    -------
    ndarray, shape (n_neurons, n_features, n_features)
        In float64; not finite where h is not.
    """
    engine, windows = rows.engine, rows.windows
    W, b = W.astype(engine.dtype), b.astype(engine.dtype)
    n, p = W.shape
    chunks = [windows.chunks[k] for k, kind in enumerate(windows.kind) if windows.members[kind][fit]]
    # as many parts on any machine, so that sums have one order
    parts = [[chunks[i] for i in part] for part in np.array_split(np.arange(len(chunks)), 2) if len(part)]

    def curvature(some: list[tuple[int, int]]) -> np.ndarray:
        return np.concatenate(list(_curvature(rows, some, neurons, W, b)), axis=1)

    def sums(some: list[tuple[int, int]], share: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        x, XX = np.zeros((n, p)), np.zeros((n, p, p))
        for first, last in some:
            X, here, share = np.asarray(rows.X[first:last]), share[:, : last - first], share[:, last - first :]
            for own, own_x, own_XX in zip(here, x, XX, strict=True):
                drawn = np.flatnonzero(own)
                root = np.sqrt(own[drawn])
                scaled = X[drawn].astype(engine.dtype) * root[:, None].astype(engine.dtype)
                own_x += root @ scaled
                for a in range(0, len(scaled), PIECE):
                    # a product with itself takes half the multiplications: NumPy sees that it is one
                    own_XX += scaled[a : a + PIECE].T @ scaled[a : a + PIECE]
        return x, XX

    with np.errstate(all="ignore"):
        h = engine.map(curvature, [(part,) for part in parts])
        share = np.concatenate(h, axis=1).astype(float)
        share /= share.sum(axis=1, keepdims=True)
        most = max(SAMPLES_PER_FEATURE * p, LEAST_SAMPLES)
        if (np.count_nonzero(share, axis=1) > most).any():
            size = np.concatenate([rows.row_sizes[first:last] for first, last in chunks])
            share = np.stack([thinned(own, most, own * size) for own in share])
        split = np.split(share, [h[0].shape[1]], axis=1)[: len(parts)]
        x, XX = (sum(some) for some in zip(*engine.map(sums, list(zip(parts, split, strict=True))), strict=True))
    return XX - x[:, :, None] * x[:, None] if rows.fit_intercept else XX


def _curvature(
    rows: RowObjective, chunks: list[tuple[int, int]], neurons: np.ndarray, W: np.ndarray, b: np.ndarray
) -> Iterator[np.ndarray]:
    """h of some neurons in every chunk, times the samples' weights."""
    for first, last in chunks:
        X = np.asarray(rows.X[first:last], rows.engine.dtype)
        eta = (NumpyEngine.pad(W) @ X.T)[: len(W)] + b[:, None]
        eta = eta if rows.offset is None else eta + rows.offset[first:last]
        h = rows.loss.derivatives(np, eta, rows.Y[neurons, first:last])[1]
        if rows.weights is not None:
            s = rows.weights if rows.weights.ndim == 1 else rows.weights[neurons]
            h = np.where(s[..., first:last] > 0, s[..., first:last] * h, 0)
        yield h


def row_sizes(rows: RowObjective) -> np.ndarray:
    """1 + Σ_k x_k² of every sample, every feature in units of its root mean square; shape (n_samples,)."""
    total = np.zeros(rows.X.shape[1])
    for first, last in rows.windows.chunks:
        X = np.asarray(rows.X[first:last])
        total += np.einsum("tk,tk->k", X, X, dtype=float)
    scale = np.divide(rows.windows.n_rows, total, out=np.zeros_like(total), where=total > 0)
    sizes = np.zeros(rows.Y.shape[1])
    for first, last in rows.windows.chunks:
        X = np.asarray(rows.X[first:last])
        sizes[first:last] = 1 + (X * X) @ scale.astype(X.dtype)
    return sizes


def thinned(share: np.ndarray, n: int, weight: np.ndarray) -> np.ndarray:
    """Shares (n_samples,) in a sum, of some ``n`` samples that stand for all; 0 for the others.

    A sample is drawn with a chance that grows with its ``weight`` (n_samples,), and counts as much more as it is rarer
    (Horvitz & Thompson 1952). Those whose chance is 1 are all there. The others are drawn in steps of equal chance
    along time: neighbours are alike, so that equally spaced ones speak for the rest better than independent draws
    would. With h‖x‖² for a weight the sum of hxxᵀ has the least error (Drineas, Kannan & Mahoney 2006).

    Examples
    --------
    >>> share = np.array([0.4, 0.1, 0.1, 0.1, 0.1, 0.1, 0.1])
    >>> thinned(share, 4, share).round(2)
    array([0.4, 0.2, 0. , 0.2, 0. , 0.2, 0. ])
    """
    counting = share > 0
    if np.count_nonzero(counting) <= n or not np.isfinite(share).all():
        return share
    chance = (1 - EVEN) * weight / weight.sum() + EVEN * counting / np.count_nonzero(counting)
    certain = np.zeros(len(share), bool)
    while True:
        left = np.where(certain, 0, chance)
        left *= (n - np.count_nonzero(certain)) / left.sum()
        if not (left >= 1).any():
            break
        certain |= left >= 1
    drawn = np.diff(np.floor(np.cumsum(left) + 0.5), prepend=0.0) > 0
    return np.where(certain, share, np.where(drawn, share / np.where(left > 0, left, 1), 0))
