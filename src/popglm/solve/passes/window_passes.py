"""Passes over one window of rows, written once for every array library: matrix product, elementwise, matrix product.

A function here takes first what a compiled pass is compiled for (a `Shape`, a `Family`, …), then arrays (a `Window`,
`Points`). Operators such as ``a *= b`` write in place where the library has arrays that can be written to, and make a
new array elsewhere.

Where every window has the same size, only the rows of the other arrays between its first and its last count; elsewhere
all do. A sparse X is a `SparseBlock`, with NumPy alone.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from popglm.solve.passes.samples import Points, Samples, Shape, Window
from popglm.solve.sparse.rows import SparseBlock
from popglm.statistics.families import Family

__all__ = [
    "LEAST_WEIGHT",
    "activity",
    "counted_rows",
    "event_floor",
    "exp_sums",
    "intercept_sums",
    "linear_predictor",
    "loss_sums",
    "loss_terms",
    "moment_sums",
    "residuals",
    "slope_terms",
    "spread_sums",
    "value_sums",
]

Array = Any
#: Curvature weights below this share of their mean count as this much.
LEAST_WEIGHT = 0.003
#: A rate that is its own predictor counts as at its kink, 0, below this share of the mean rate: without events the loss
#: is a line there, and its Fisher weights, which a model is made of, say the opposite.
NEAR_KINK = 0.05


def counted_rows(shape: Shape, at: Array) -> Array | None:
    """Which rows of the window count, shape (size,); None for all."""
    if not shape.masked:
        return None
    row = at[1] + shape.ops.xp.arange(shape.size, dtype=np.int32)
    return (row >= at[2]) & (row < at[3])


def activity(shape: Shape, window: Window, neurons: Any) -> tuple[Array, Array | None]:
    """The activity of some neurons, and its weights: 0 where rows do not count, None for 1 everywhere."""
    xp, at = shape.ops.xp, window.at
    y = shape.ops.block(window.Y, neurons, at[1], shape.size)
    keep = counted_rows(shape, at)
    s = None if window.weights is None else shape.ops.block(window.weights, neurons, at[1], shape.size)
    if keep is not None:
        s = xp.ones_like(y) if s is None else s
        s = xp.where(keep, s, xp.zeros_like(s))
    return y, s


def _along(shape: Shape, R: Array, window: Window) -> Array:
    """RX over the window's rows, shape (n_neurons, n_features)."""
    X = window.X
    if isinstance(X, SparseBlock):
        return X.along(R)
    return shape.ops.xp.matmul(R, shape.ops.rows(X, window.at[0], shape.size))


def _sampled(ops: Any, h: Array, s: Array | None, every: int) -> Array:
    """A copy of every ``every``-th column of h, NaN where the weight is 0."""
    some = ops.xp.asarray(h[:, ::every], copy=True)
    return some if s is None else ops.xp.where(s[..., ::every] > 0, some, ops.xp.nan * ops.xp.ones_like(some))


def moment_sums(shape: Shape, window: Window) -> tuple[Array, ...]:
    """Σs, Σsy and Σsyx of all neurons."""
    xp = shape.ops.xp
    y, s = activity(shape, window, None)
    s = xp.ones_like(y) if s is None else s + xp.zeros_like(y)
    sy = s * y
    return xp.sum(s, axis=1), xp.sum(sy, axis=1), _along(shape, sy, window)


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


def linear_predictor(shape: Shape, window: Window, points: Points) -> Array:
    """η = Wxᵀ + b + offset, shape (n_points, size)."""
    ops, X, at = shape.ops, window.X, window.at
    if isinstance(X, SparseBlock):
        eta = X.across(points.W)
    else:
        eta = ops.xp.matmul(points.W, ops.xp.matrix_transpose(ops.rows(X, at[0], shape.size)))
    eta += points.b[:, None]
    if window.offset is not None:
        eta += ops.block(window.offset, None, at[1], shape.size)
    return eta


def exp_sums(shape: Shape, every: int, window: Window, points: Points) -> tuple[Array, ...]:
    """Σsμ, Σsy²/μ, Σsμx, Σsy·offset for μ = exp(η), and μ at every ``every``-th row."""
    ops, xp = shape.ops, shape.ops.xp
    eta = linear_predictor(shape, window, points)
    y, s = activity(shape, window, points.neurons)
    mu = ops.exp(eta)
    some = _sampled(ops, mu, s, every)
    ratio = y * y
    ratio /= mu
    if s is not None:
        # a sample of weight 0 may hold anything, a rate that overflows too
        mu, ratio = xp.where(s > 0, s * mu, 0 * s), xp.where(s > 0, s * ratio, 0 * s)
    mu_sum = xp.sum(mu, axis=1)
    y_offset = xp.zeros_like(mu_sum)
    if window.offset is not None:
        offset = ops.block(window.offset, None, window.at[1], shape.size)
        y_offset = xp.matmul(y if s is None else y * s, offset)
    return mu_sum, xp.sum(ratio, axis=1), _along(shape, mu, window), y_offset, some


def loss_terms(
    shape: Shape, every: int, loss: Family, tiny: float, window: Window, points: Points, eta: Array
) -> tuple[Array, ...]:
    """Σsℓ, Σsh, Σsr²/h, rows at a kink or beyond, Σsr, sr, and h at every ``every``-th row.

    ℓ is the loss above the saturated model's, r = dℓ/dη, and h its Fisher weight; ``eta`` has no intercept yet.
    """
    xp, loss = shape.ops.xp, loss.at(points.theta)
    eta = eta + points.b[:, None]
    y, s = activity(shape, window, points.neurons)
    value, r, h = loss.excess_and_derivatives(xp, eta, y)
    value, r, h, pearson = _weighted(xp, s, value, r, h, r * r / xp.maximum(h, tiny))
    beyond, some = _rows_beyond(shape, loss, window, eta), _sampled(shape.ops, h, s, every)
    return *(xp.sum(v, axis=1) for v in (value, h, pearson)), beyond, xp.sum(r, axis=1), r, some


def slope_terms(
    shape: Shape, every: int, loss: Family, tiny: float, window: Window, points: Points, eta: Array
) -> tuple[Array, ...]:
    """The same without Σsℓ."""
    xp, loss = shape.ops.xp, loss.at(points.theta)
    eta = eta + points.b[:, None]
    y, s = activity(shape, window, points.neurons)
    r, h = loss.derivatives(xp, eta, y)
    r, h, pearson = _weighted(xp, s, r, h, r * r / xp.maximum(h, tiny))
    beyond, some = _rows_beyond(shape, loss, window, eta), _sampled(shape.ops, h, s, every)
    return xp.sum(h, axis=1), xp.sum(pearson, axis=1), beyond, xp.sum(r, axis=1), r, some


def _weighted(xp: Any, s: Array | None, *terms: Array) -> tuple[Array, ...]:
    """Terms of samples times their weights; a sample of weight 0 may hold anything, an infinite loss too."""
    return terms if s is None else tuple(xp.where(s > 0, s * v, 0 * s) for v in terms)


def _rows_beyond(shape: Shape, loss: Family, window: Window, eta: Array) -> Array:
    """Rows at a kink of the loss or beyond, shape (n_points,)."""
    xp = shape.ops.xp
    if not loss.has_barrier:
        return xp.zeros_like(eta[:, 0])
    near = eta <= NEAR_KINK * xp.sum(eta, axis=1)[:, None] / eta.shape[1]
    keep = counted_rows(shape, window.at)
    outside = near if keep is None else near & keep
    return xp.sum(xp.where(outside, xp.ones_like(eta), xp.zeros_like(eta)), axis=1)


def loss_sums(
    shape: Shape, every: int, loss: Family, tiny: float, window: Window, points: Points, eta: Array
) -> tuple[Array, ...]:
    """What `loss_terms` returns, with Σsrx in place of sr."""
    *sums, r, some = loss_terms(shape, every, loss, tiny, window, points, eta)
    return *sums, _along(shape, r, window), some


def intercept_sums(shape: Shape, loss: Family, window: Window, points: Points, eta: Array) -> tuple[Array, ...]:
    """Σsr, Σsh, Σ|sr|."""
    xp, loss = shape.ops.xp, loss.at(points.theta)
    y, s = activity(shape, window, points.neurons)
    r, h = loss.derivatives(xp, eta + points.b[:, None], y)
    if s is not None:
        r, h = xp.where(s > 0, s * r, 0 * s), xp.where(s > 0, s * h, 0 * s)
    return xp.sum(r, axis=1), xp.sum(h, axis=1), xp.sum(xp.abs(r), axis=1)


def event_floor(shape: Shape, window: Window, neurons: Any, eta: Array) -> Array:
    """Smallest η of a sample with events, shape (n_points,)."""
    xp = shape.ops.xp
    y, s = activity(shape, window, neurons)
    events = y > 0 if s is None else (y > 0) & (s > 0)
    return xp.min(xp.where(events, eta, xp.inf * xp.ones_like(eta)), axis=1)


def residuals(ops: Any, loss: Family, picked: Samples, points: Points) -> tuple[Array, ...]:
    """sr and sh of some rows, and Σsrx."""
    (x, y, s, offset), xp, loss = picked, ops.xp, loss.at(points.theta)
    eta = xp.matmul(points.W, xp.matrix_transpose(x)) + points.b[:, None]
    if offset is not None:
        eta += offset
    r, h = (xp.where(s > 0, s * v, 0 * s) for v in loss.derivatives(xp, eta, y))
    return r, h, xp.matmul(r, x)


def value_sums(shape: Shape, loss: Family, n_lambdas: int, window: Window, points: Points) -> Array:
    """Σs of the loss above the saturated model's, at the first n_lambdas × n_neurons rows of W, in that shape.

    The parameters are the same at all strengths. Where there is one strength, points may have neurons of their own.
    """
    xp, loss = shape.ops.xp, loss.at(points.theta)
    y, s = activity(shape, window, points.neurons)
    eta = linear_predictor(shape, window, points)[: n_lambdas * y.shape[0]]
    value = loss.excess(xp, xp.reshape(eta, (n_lambdas, y.shape[0], shape.size)), y)
    if s is not None:
        value = xp.where(s > 0, s * value, xp.zeros_like(value))
    return shape.ops.sum64(value, 2)
