"""Products of rows in compressed form with a few hundred neurons, compiled.

A stored number meets all neurons at once, so that its place is looked up once for all. Every neuron is summed in the
order of rows and columns: its bits do not depend on what neurons stand beside.
"""

from __future__ import annotations

import numpy as np
from numba import njit

from popglm.solve.compact import JIT

__all__ = ["across", "along", "along_both"]

#: Rows whose results are turned at a time: a cache line of float32.
TILE = 16


@njit(**JIT)
def across(data, indices, indptr, first, last, W, shift, out):
    """out = Σ x w − shift of rows first … last; W (n_features, n), shift (n,), out (n, n_rows)."""
    n = W.shape[1]
    total = np.empty((TILE, n), W.dtype)
    for start in range(first, last, TILE):
        size = min(TILE, last - start)
        for t in range(size):
            row = total[t]
            for j in range(n):
                row[j] = -shift[j]
            for i in range(indptr[start + t], indptr[start + t + 1]):
                x, w = data[i], W[indices[i]]
                for j in range(n):
                    row[j] += x * w[j]
        for j in range(n):
            into = out[j]
            for t in range(size):
                into[start - first + t] = total[t, j]


@njit(**JIT)
def along(data, indices, indptr, first, last, R, out):
    """Add Σ x r over rows first … last to out (n_features, n), for R (n, n_rows)."""
    n = len(R)
    turned = np.empty((TILE, n), R.dtype)
    for start in range(first, last, TILE):
        size = min(TILE, last - start)
        for j in range(n):
            own = R[j]
            for t in range(size):
                turned[t, j] = own[start - first + t]
        for t in range(size):
            r = turned[t]
            for i in range(indptr[start + t], indptr[start + t + 1]):
                x, into = data[i], out[indices[i]]
                for j in range(n):
                    into[j] += x * r[j]


@njit(**JIT)
def along_both(data, indices, indptr, first, last, R, out, squares):
    """Add Σ x r and Σ x² r over rows first … last to out and squares (n_features, n), for R (n, n_rows)."""
    n = len(R)
    turned = np.empty((TILE, n), R.dtype)
    for start in range(first, last, TILE):
        size = min(TILE, last - start)
        for j in range(n):
            own = R[j]
            for t in range(size):
                turned[t, j] = own[start - first + t]
        for t in range(size):
            r = turned[t]
            for i in range(indptr[start + t], indptr[start + t + 1]):
                x, into, square = data[i], out[indices[i]], squares[indices[i]]
                for j in range(n):
                    into[j] += x * r[j]
                    square[j] += x * x * r[j]
