"""Products of rows in compressed form with a few hundred neurons, compiled.

A stored number meets all neurons at once, so that its place is looked up once for all. Every neuron is summed in the
order of rows and columns: its bits do not depend on what neurons stand beside.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from popglm.solve.compiled.compiling import compiled, inner_compiled

__all__ = ["CompressedRows", "across", "along", "along_both"]

#: Rows whose results are turned at a time: a cache line of float32.
TILE = 16


class CompressedRows(NamedTuple):
    """Rows first … last of a matrix in compressed sparse row form."""

    data: np.ndarray
    indices: np.ndarray
    indptr: np.ndarray
    first: int
    last: int


@compiled
def across(rows, W, shift, out):
    """out = Σ (x − shift) w of rows; W (n_features, n), shift (n_features,), out (n, n_rows)."""
    data, indices, indptr, first, last = rows
    n = W.shape[1]
    total, level = np.empty((TILE, n), W.dtype), np.zeros(n)
    for k in range(len(W)):
        if shift[k] != 0.0:
            w = W[k]
            for j in range(n):
                level[j] += shift[k] * w[j]
    for start in range(first, last, TILE):
        size = min(TILE, last - start)
        for t in range(size):
            row = total[t]
            for j in range(n):
                row[j] = -level[j]
            i, end = indptr[start + t], indptr[start + t + 1]
            while i + 4 <= end:
                # four at a time: the sums are loaded and stored a quarter as often
                a, b, c, d = W[indices[i]], W[indices[i + 1]], W[indices[i + 2]], W[indices[i + 3]]
                x, y, z, u = data[i], data[i + 1], data[i + 2], data[i + 3]
                for j in range(n):
                    row[j] += x * a[j] + y * b[j] + z * c[j] + u * d[j]
                i += 4
            while i < end:
                x, a = data[i], W[indices[i]]
                for j in range(n):
                    row[j] += x * a[j]
                i += 1
        for j in range(n):
            into = out[j]
            for t in range(size):
                into[start - first + t] = total[t, j]


@inner_compiled
def _turn(R, first, size, turned, total):
    """Some columns of R as rows; their sums are added to ``total``."""
    for j in range(len(R)):
        own, added = R[j], 0.0
        for t in range(size):
            turned[t, j] = own[first + t]
            added += own[first + t]
        total[j] += added


@compiled
def along(rows, R, shift, out):
    """Add Σ (x − shift) r over rows to out (n_features, n), for R (n, n_rows) and shift (n_features,)."""
    data, indices, indptr, first, last = rows
    n = len(R)
    turned, total = np.empty((TILE, n), R.dtype), np.zeros(n)
    for start in range(first, last, TILE):
        size = min(TILE, last - start)
        _turn(R, start - first, size, turned, total)
        for t in range(size):
            r = turned[t]
            for i in range(indptr[start + t], indptr[start + t + 1]):
                x, into = data[i], out[indices[i]]
                for j in range(n):
                    into[j] += x * r[j]
    for k in range(len(out)):
        if shift[k] != 0.0:
            into = out[k]
            for j in range(n):
                into[j] -= shift[k] * total[j]


@compiled
def along_both(rows, R, shift, out, squares):
    """`along`, and Σ (x − shift)² r added to squares (n_features, n)."""
    data, indices, indptr, first, last = rows
    n = len(R)
    turned, total = np.empty((TILE, n), R.dtype), np.zeros(n)
    for start in range(first, last, TILE):
        size = min(TILE, last - start)
        _turn(R, start - first, size, turned, total)
        for t in range(size):
            r = turned[t]
            for i in range(indptr[start + t], indptr[start + t + 1]):
                x, into, square = data[i], out[indices[i]], squares[indices[i]]
                # (x − m)² less the m² of a zero
                more = x * (x - 2 * shift[indices[i]])
                for j in range(n):
                    into[j] += x * r[j]
                    square[j] += more * r[j]
    for k in range(len(out)):
        if shift[k] != 0.0:
            into, square = out[k], squares[k]
            for j in range(n):
                into[j] -= shift[k] * total[j]
                square[j] += shift[k] * shift[k] * total[j]
