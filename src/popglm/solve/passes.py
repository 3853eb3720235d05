"""Passes over one window of rows, written once for every array library: matrix product, elementwise, matrix product.

``ops`` is the class of an engine: its namespace ``ops.xp`` and its few kernels. A function here takes first what a
compiled pass is compiled for (``ops``, ``size`` rows, a `Family`, …), then arrays. Operators such as ``a *= b`` write
in place where the library has arrays that can be written to, and make a new array elsewhere.

The rows of a window lie at ``at = (row in X, row in the other arrays, first, last)``. Where every window has the same
size (``masked``), only rows first … last of the other arrays count; elsewhere all do. ``theta`` has the parameters
(n_neurons, n_parameters) of a family with some, and is None for others. A sparse X is a
`SparseBlock`, with NumPy alone.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from popglm.solve.sparse.rows import SparseBlock
from popglm.statistics.families import Family

__all__ = [
    "event_floor",
    "exp_sums",
    "intercept_sums",
    "linear_predictor",
    "loss_sums",
    "loss_terms",
    "moment_sums",
    "residuals",
    "spread_sums",
    "value_sums",
]

Array = Any
#: Curvature weights below this share of their mean count as this much.
LEAST_WEIGHT = 0.003
#: A rate that is its own predictor counts as at its kink, 0, below this share of the mean rate: without events the loss
#: is a line there, and its Fisher weights, which a model is made of, say the opposite.
NEAR_KINK = 0.05


def _counted(ops: Any, size: int, masked: bool, at: Array) -> Array | None:
    """Which rows of the window count, shape (size,); None for all."""
    if not masked:
        return None
    row = at[1] + ops.xp.arange(size, dtype=np.int32)
    return (row >= at[2]) & (row < at[3])


def _weights(ops: Any, size: int, keep: Array | None, s: Array | None, like: Array, neurons: Any, at: Array) -> Any:
    """Weights of the window's rows, 0 where they do not count; None for 1 everywhere."""
    if s is not None:
        s = ops.block(s, neurons, at[1], size)
    if keep is None:
        return s
    s = ops.xp.ones_like(like) if s is None else s
    return ops.xp.where(keep, s, ops.xp.zeros_like(s))


def _along(ops: Any, size: int, R: Array, X: Array, at: Array) -> Array:
    """RX over the window's rows, shape (n_neurons, n_features)."""
    return X.along(R) if isinstance(X, SparseBlock) else ops.xp.matmul(R, ops.rows(X, at[0], size))


def _sampled(ops: Any, h: Array, s: Array | None, every: int) -> Array:
    """A copy of every ``every``-th column of h, NaN where the weight is 0."""
    some = ops.xp.asarray(h[:, ::every], copy=True)
    return some if s is None else ops.xp.where(s[..., ::every] > 0, some, ops.xp.nan * ops.xp.ones_like(some))


def moment_sums(ops: Any, size: int, masked: bool, X: Array, Y: Array, s: Array | None, at: Array) -> tuple[Array, ...]:
    """Σs, Σsy and Σsyx of all neurons."""
    xp = ops.xp
    y = ops.block(Y, None, at[1], size)
    s = _weights(ops, size, _counted(ops, size, masked, at), s, y, None, at)
    s = xp.ones_like(y) if s is None else s + xp.zeros_like(y)
    sy = s * y
    return xp.sum(s, axis=1), xp.sum(sy, axis=1), _along(ops, size, sy, X, at)


def spread_sums(xp: Any, h: Array) -> Array:
    """Count, mean, and mean of the inverse of curvature weights h (n_neurons, n_rows), NaN where a row does not count.

    Shape (3, n_neurons).
    """
    known = h == h
    count = xp.sum(xp.where(known, xp.ones_like(h), xp.zeros_like(h)), axis=1)
    safe = xp.where(count > 0, count, xp.ones_like(count))
    h = xp.where(known, h, xp.zeros_like(h))
    average = xp.sum(h, axis=1) / safe
    floor = h + LEAST_WEIGHT * average[:, None]
    usable = known & (floor > 0)
    inverse = xp.where(usable, 1 / xp.where(usable, floor, xp.ones_like(h)), xp.zeros_like(h))
    return xp.stack([count, average, xp.sum(inverse, axis=1) / safe], axis=0)


def linear_predictor(ops: Any, size: int, X: Array, offset: Array | None, W: Array, b: Array, at: Array) -> Array:
    """η = Wxᵀ + b + offset, shape (n_neurons, size)."""
    xp = ops.xp
    eta = X.across(W) if isinstance(X, SparseBlock) else xp.matmul(W, xp.matrix_transpose(ops.rows(X, at[0], size)))
    eta += b[:, None]
    if offset is not None:
        eta += ops.block(offset, None, at[1], size)
    return eta


def exp_sums(
    ops: Any, size: int, masked: bool, every: int,
    X: Array, Y: Array, s: Array | None, offset: Array | None, neurons: Any, W: Array, b: Array, at: Array,
) -> tuple[Array, ...]:  # fmt: skip
    """Σsμ, Σsy²/μ, Σsμx, Σsy·offset for μ = exp(η), and μ at every ``every``-th row."""
    xp = ops.xp
    eta, y = linear_predictor(ops, size, X, offset, W, b, at), ops.block(Y, neurons, at[1], size)
    keep = _counted(ops, size, masked, at)
    s = _weights(ops, size, keep, s, y, neurons, at)
    mu = ops.exp(eta)
    some = _sampled(ops, mu, s, every)
    ratio = y * y
    ratio /= mu
    if s is not None:
        # a sample of weight 0 may hold anything, a rate that overflows too
        mu, ratio = xp.where(s > 0, s * mu, 0 * s), xp.where(s > 0, s * ratio, 0 * s)
    mu_sum = xp.sum(mu, axis=1)
    y_offset = xp.zeros_like(mu_sum)
    if offset is not None:
        y_offset = xp.matmul(y if s is None else y * s, ops.block(offset, None, at[1], size))
    return mu_sum, xp.sum(ratio, axis=1), _along(ops, size, mu, X, at), y_offset, some


def loss_terms(
    ops: Any, size: int, masked: bool, every: int, loss: Family, tiny: float,
    Y: Array, s: Array | None, neurons: Any, eta: Array, b: Array, theta: Array | None, at: Array,
) -> tuple[Array, ...]:  # fmt: skip
    """Σsℓ, Σsh, Σsr²/h, rows at a kink or beyond, Σsr, sr, and h at every ``every``-th row.

    ℓ is the loss above the saturated model's, r = dℓ/dη, and h its Fisher weight.
    """
    xp, loss = ops.xp, loss.at(theta)
    eta, y = eta + b[:, None], ops.block(Y, neurons, at[1], size)
    keep = _counted(ops, size, masked, at)
    s = _weights(ops, size, keep, s, y, neurons, at)
    value, r, h = loss.excess_and_derivatives(xp, eta, y)
    pearson = r * r / xp.maximum(h, tiny)
    if s is not None:
        # a sample of weight 0 may hold anything, an infinite loss too
        value, r, h, pearson = (xp.where(s > 0, s * v, 0 * s) for v in (value, r, h, pearson))
    sums = [xp.sum(v, axis=1) for v in (value, h, pearson)]
    beyond = xp.zeros_like(sums[0])
    if loss.has_barrier:
        near = eta <= NEAR_KINK * xp.sum(eta, axis=1)[:, None] / eta.shape[1]
        outside = near if keep is None else near & keep
        beyond = xp.sum(xp.where(outside, xp.ones_like(eta), xp.zeros_like(eta)), axis=1)
    return *sums, beyond, xp.sum(r, axis=1), r, _sampled(ops, h, s, every)


def loss_sums(
    ops: Any, size: int, masked: bool, every: int, loss: Family, tiny: float,
    X: Array, Y: Array, s: Array | None, neurons: Any, eta: Array, b: Array, theta: Array | None, at: Array,
) -> tuple[Array, ...]:  # fmt: skip
    """The same with Σsrx in place of sr."""
    *sums, r, some = loss_terms(ops, size, masked, every, loss, tiny, Y, s, neurons, eta, b, theta, at)
    return *sums, _along(ops, size, r, X, at), some


def intercept_sums(
    ops: Any, size: int, masked: bool, loss: Family,
    Y: Array, s: Array | None, neurons: Any, eta: Array, b: Array, theta: Array | None, at: Array,
) -> tuple[Array, ...]:  # fmt: skip
    """Σsr, Σsh, Σ|sr|."""
    xp, loss = ops.xp, loss.at(theta)
    y = ops.block(Y, neurons, at[1], size)
    s = _weights(ops, size, _counted(ops, size, masked, at), s, y, neurons, at)
    r, h = loss.derivatives(xp, eta + b[:, None], y)
    if s is not None:
        r, h = xp.where(s > 0, s * r, 0 * s), xp.where(s > 0, s * h, 0 * s)
    return xp.sum(r, axis=1), xp.sum(h, axis=1), xp.sum(xp.abs(r), axis=1)


def event_floor(
    ops: Any, size: int, masked: bool, Y: Array, s: Array | None, neurons: Any, eta: Array, at: Array
) -> Array:
    """Smallest η of a sample with events, shape (n_neurons,)."""
    xp = ops.xp
    y = ops.block(Y, neurons, at[1], size)
    s = _weights(ops, size, _counted(ops, size, masked, at), s, y, neurons, at)
    events = y > 0 if s is None else (y > 0) & (s > 0)
    return xp.min(xp.where(events, eta, xp.inf * xp.ones_like(eta)), axis=1)


def residuals(
    ops: Any, loss: Family, x: Array, y: Array, s: Array, offset: Array | None, W: Array, b: Array,
    theta: Array | None,
) -> tuple[Array, ...]:  # fmt: skip
    """sr and sh of some rows, and Σsrx."""
    xp, loss = ops.xp, loss.at(theta)
    eta = xp.matmul(W, xp.matrix_transpose(x)) + b[:, None]
    if offset is not None:
        eta += offset
    r, h = (xp.where(s > 0, s * v, 0 * s) for v in loss.derivatives(xp, eta, y))
    return r, h, xp.matmul(r, x)


def value_sums(
    ops: Any, size: int, masked: bool, loss: Family, n_lambdas: int,
    X: Array, Y: Array, s: Array | None, offset: Array | None, W: Array, b: Array, theta: Array | None, at: Array,
) -> Array:  # fmt: skip
    """Σs of the loss above the saturated model's, at the first n_lambdas × n_neurons rows of W, in that shape.

    The parameters are the same at all strengths.
    """
    xp, loss = ops.xp, loss.at(theta)
    y = ops.block(Y, None, at[1], size)
    s = _weights(ops, size, _counted(ops, size, masked, at), s, y, None, at)
    eta = linear_predictor(ops, size, X, offset, W, b, at)[: n_lambdas * y.shape[0]]
    value = loss.excess(xp, xp.reshape(eta, (n_lambdas, y.shape[0], size)), y)
    if s is not None:
        value = xp.where(s > 0, s * value, xp.zeros_like(value))
    return ops.sum64(value, 2)
