"""Columns that vary where a neuron is known: without a penalty, nothing holds the others at 0."""

from __future__ import annotations

from typing import Any

import numpy as np

from popglm.solve.folds import Folds
from popglm.solve.stream import read_rows

__all__ = ["varying_columns"]

#: Columns whose variance is a smaller share of their mean square are looked at number by number.
DOUBTFUL = 1e-6


def varying_columns(
    X: Any,
    missing: np.ndarray,
    weights: np.ndarray | None,
    order: np.ndarray,
    folds: Folds,
    columns: np.ndarray,
) -> np.ndarray | None:
    """Which columns vary over the known rows of every neuron in every fit.

    A fit to complete rows finds its still columns in its own covariance. A neuron with missing samples shares that
    covariance with the others, and its rows may leave more undetermined.

    Parameters
    ----------
    X : ndarray or RowStream, shape (n_samples, n_features)
    missing : ndarray of bool, shape (n_neurons, n_samples)
        In ``order``, as ``weights`` are.
    order : ndarray of int, shape (n_samples,)
    columns : ndarray of int
        Those that are asked for; all others count as varying.

    Returns
    -------
    ndarray of bool, shape (1 + n_folds, n_neurons, n_features), or None
        None where all vary.
    """
    incomplete = np.flatnonzero(missing.any(axis=1))
    if not len(incomplete) or not len(columns):
        return None
    counts = folds.counts(missing.shape[1]) > 0
    if weights is not None:
        counts &= weights > 0
    known = np.empty((len(counts) * len(incomplete), len(order)), bool)
    known[:, order] = (counts[:, None] & ~missing[incomplete]).reshape(known.shape)
    # where a fit's own rows are complete, nothing outside of them decides
    partial = np.stack([missing[incomplete][:, rows].any(axis=1) for rows in counts]).ravel()
    still = _doubtful(X, known, columns) & partial[:, None]
    for k in np.flatnonzero(still.any(axis=1)):
        own = columns[still[k]]
        low, high = np.full(len(own), np.inf), np.full(len(own), -np.inf)
        for first, last, rows in read_rows(X):
            if (use := known[k, first:last]).any():
                values = rows[use][:, own]
                low, high = np.minimum(low, values.min(axis=0)), np.maximum(high, values.max(axis=0))
        still[k, still[k]] = low == high
    if not still.any():
        return None
    varying = np.ones((len(counts), len(missing), X.shape[1]), bool)
    varying[np.ix_(np.arange(len(counts)), incomplete, columns)] = ~still.reshape(len(counts), len(incomplete), -1)
    return varying


def _doubtful(X: Any, known: np.ndarray, columns: np.ndarray) -> np.ndarray:
    """Columns with hardly any variance in some rows, shape (n_known, n_columns); known (n_known, n_samples)."""
    total, square = np.zeros((2, len(known), len(columns)))
    n = known.sum(axis=1)[:, None]
    for first, last, rows in read_rows(X):
        for a in range(first, last, 1024):
            b = min(a + 1024, last)
            values, use = np.asarray(rows[a - first : b - first][:, columns], float), known[:, a:b].astype(float)
            total, square = total + use @ values, square + use @ values**2
    variance = square - total**2 / np.maximum(n, 1)
    return (variance <= DOUBTFUL * square) & (n > 0)
