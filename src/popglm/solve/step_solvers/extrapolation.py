"""Anderson's extrapolation of fixed-point iterations (Anderson 1965; Walker & Ni 2011, algorithm AA).

Of v ← F(v) it remembers a few differences of points F(v) and of residuals F(v) − v, and goes on where the combination
of residuals is smallest.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np

from popglm.solve.compiled.compiling import inner_compiled

__all__ = ["empty_past", "extrapolate"]

#: Differences that are remembered: more save few iterations, and each costs two rows of a problem's memory.
MEMORY = 5
#: Added to the diagonal of the normal equations, over their trace; and the sum of absolute weights above which an
#: extrapolation is not to be trusted.
RIDGE, MOST_WEIGHT = 1e-6, 100.0
#: Kept away from zero.
TINY = 1e-300


class Past(NamedTuple):
    """What `extrapolate` remembers of n iterations of p numbers each; 0 where one begins.

    Attributes
    ----------
    differences : ndarray, shape (n, 2 * MEMORY + 2, p)
        Differences of residuals, of points, the last residual, and the last point.
    gram : ndarray, shape (n, MEMORY, MEMORY)
        Inner products of the differences of residuals.
    held : ndarray of int, shape (n,)
        Iterations so far.
    """

    differences: np.ndarray
    gram: np.ndarray
    held: np.ndarray

    def take(self, index: np.ndarray) -> Past:
        """That of some iterations."""
        return Past(*(array[index] for array in self))


def empty_past(n: int, p: int, dtype: Any) -> Past:
    """The past of n iterations of p numbers each, where they begin."""
    return Past(np.zeros((n, 2 * MEMORY + 2, p), dtype), np.zeros((n, MEMORY, MEMORY)), np.zeros(n, int))


@inner_compiled
def _dot(x, y):
    """xᵀy."""
    total = x.dtype.type(0)
    for k in range(len(x)):
        total += x[k] * y[k]
    return total


@inner_compiled
def extrapolate(v, mapped, past, gram, held, goes_on):
    """Replace v by what follows ``mapped`` = F(v): ``mapped`` itself unless the iteration ``goes_on``."""
    p, slot = len(v), (held - 1) % MEMORY
    for k in range(p):
        residual = mapped[k] - v[k]
        if held > 0:
            past[slot, k] = residual - past[2 * MEMORY, k]
            past[MEMORY + slot, k] = mapped[k] - past[2 * MEMORY + 1, k]
        past[2 * MEMORY, k], past[2 * MEMORY + 1, k] = residual, mapped[k]
        v[k] = mapped[k]
    n = min(held, MEMORY)
    if n == 0:
        return
    for i in range(n):
        gram[slot, i] = gram[i, slot] = _dot(past[slot], past[i])
    if not goes_on:
        return
    system, weights, trace = gram.copy(), np.empty(n), TINY
    for i in range(n):
        weights[i] = _dot(past[i], past[2 * MEMORY])
        trace += gram[i, i]
    # elimination without pivots, since the matrix is positive definite: a library's call takes longer
    for i in range(n):
        system[i, i] += RIDGE * trace
        for m in range(i + 1, n):
            share = system[m, i] / system[i, i]
            weights[m] -= share * weights[i]
            for k in range(i + 1, n):
                system[m, k] -= share * system[i, k]
    size = 0.0
    for i in range(n - 1, -1, -1):
        for k in range(i + 1, n):
            weights[i] -= system[i, k] * weights[k]
        weights[i] /= system[i, i]
        size += abs(weights[i])
    # not finite either
    if not size < MOST_WEIGHT:
        return
    for i in range(n):
        weight = mapped.dtype.type(weights[i])
        for k in range(p):
            v[k] -= weight * past[MEMORY + i, k]
