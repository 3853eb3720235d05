"""Passes over a chunk of rows for columns that are (fit, neuron) pairs: the sums that a loss and its gradient need.

Functions of the array namespace and of arrays alone. ``neuron`` and ``fit`` say which rows of Y (n_neurons, n_rows) and
of the counts (n_fits, n_rows) belong to a column.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from popglm.solve.objective import LEAST_WEIGHT
from popglm.solve.passes import NEAR_KINK
from popglm.statistics.families import Family

__all__ = [
    "TILE",
    "eta_chunk",
    "loss_chunk",
    "lowest_chunk",
    "moments",
    "newton_chunk",
    "poisson_exp_chunk",
    "value_chunk",
]

Array = Any
#: Rows come in multiples of this.
TILE = 256


def _sum(xp: Any, A: Array) -> Array:
    """Sums over samples in two levels, so that rounding grows with the length of a tile alone."""
    return xp.sum(xp.sum(xp.reshape(A, (A.shape[0], -1, TILE)), axis=2), axis=1)


def _count(xp: Any, neuron: Array, fit: Array, counts: Array, weights: Array) -> Array:
    s = xp.take(counts, fit, axis=0)
    if weights is None:
        return s
    return s * (weights[None, :] if len(weights.shape) == 1 else xp.take(weights, neuron, axis=0))


def eta_chunk(xp: Any, W: Array, X: Array, offset: Array) -> Array:
    eta = xp.matmul(W, xp.matrix_transpose(X))
    return eta if offset is None else eta + offset[None, :]


def moments(
    xp: Any, neuron: Array, fit: Array, X: Array, Y: Array, counts: Array, weights: Array, offset: Array
) -> tuple[Array, Array]:
    s = _count(xp, neuron, fit, counts, weights)
    sy = s * xp.take(Y, neuron, axis=0)
    with_offset = 0 * sy if offset is None else sy * offset[None, :]
    return xp.stack([_sum(xp, v) for v in (s, sy, with_offset)], axis=1), xp.matmul(sy, X)


def poisson_exp_chunk(
    xp: Any, W: Array, b: Array, reference: Array, neuron: Array, fit: Array,
    X: Array, Y: Array, counts: Array, weights: Array, offset: Array,
) -> tuple[Array, Array]:  # fmt: skip
    mu = xp.exp(eta_chunk(xp, W, X, offset) + b[:, None])
    y, s = xp.take(Y, neuron, axis=0), _count(xp, neuron, fit, counts, weights)
    on = s > 0
    counted = xp.where(on, s * mu, 0 * s)
    chi = xp.where(on, s * (y * (y / mu)), 0 * s)
    inverse = xp.where(on, s / (mu + LEAST_WEIGHT * reference[:, None]), 0 * s)
    return xp.stack([_sum(xp, v) for v in (counted, chi, inverse)], axis=1), xp.matmul(counted, X)


def loss_chunk(
    xp: Any, loss: Family, tiny: float, eta: Array, b: Array, reference: Array, neuron: Array, fit: Array,
    X: Array, Y: Array, counts: Array, weights: Array,
) -> tuple[Array, Array]:  # fmt: skip
    eta = eta + b[:, None]
    y, s = xp.take(Y, neuron, axis=0), _count(xp, neuron, fit, counts, weights)
    value = loss.excess(xp, eta, y)
    r, h = loss.derivatives(xp, eta, y)
    chi = r * r / xp.where(h > tiny, h, tiny + 0 * h)
    floor = LEAST_WEIGHT * reference[:, None] + h
    inverse = 1 / xp.where(floor > tiny, floor, tiny + 0 * floor)
    beyond = xp.where(eta <= NEAR_KINK * xp.sum(eta, axis=1)[:, None] / eta.shape[1], xp.ones_like(eta), 0 * s)
    # a sample of weight 0 may hold anything, an infinite loss too
    value, r, h, chi, inverse, beyond = (xp.where(s > 0, s * v, 0 * s) for v in (value, r, h, chi, inverse, beyond))
    return xp.stack([_sum(xp, v) for v in (value, h, chi, inverse, beyond, r)], axis=1), xp.matmul(r, X)


def newton_chunk(
    xp: Any, loss: Family, b: Array, eta: Array, neuron: Array, fit: Array, Y: Array, counts: Array, weights: Array
) -> Array:
    r, h = loss.derivatives(xp, eta + b[:, None], xp.take(Y, neuron, axis=0))
    s = _count(xp, neuron, fit, counts, weights)
    r, h = xp.where(s > 0, s * r, 0 * s), xp.where(s > 0, s * h, 0 * s)
    return xp.stack([_sum(xp, v) for v in (r, h, xp.abs(r))], axis=1)


def lowest_chunk(xp: Any, eta: Array, neuron: Array, fit: Array, Y: Array, counts: Array, weights: Array) -> Array:
    """Smallest η of samples with events."""
    events = (xp.take(Y, neuron, axis=0) > 0) & (_count(xp, neuron, fit, counts, weights) > 0)
    return xp.min(xp.where(events, eta, np.inf * xp.ones_like(eta)), axis=1)[:, None]


def value_chunk(
    ops: Any, loss: Family, W: Array, b: Array, neuron: Array, fit: Array,
    X: Array, Y: Array, counts: Array, weights: Array, offset: Array,
) -> Array:  # fmt: skip
    """Σs of the loss above the saturated model's in float64; ``ops`` as in `popglm.solve.passes`."""
    xp = ops.xp
    value = loss.excess(xp, eta_chunk(xp, W, X, offset) + b[:, None], xp.take(Y, neuron, axis=0))
    s = _count(xp, neuron, fit, counts, weights)
    return ops.sum64(xp.where(s > 0, s * value, 0 * s), 1)
