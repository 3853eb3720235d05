"""Passes over one window of rows for weights of low rank; see `popglm.solve.passes.window_passes` for their form.

X has the columns of the low-rank part first, ``m`` of them, then the common ones. ``own`` (n_neurons · n_gathered,
n_samples) has the gathered columns of every neuron, one after the other, or is None where there are none, or X has
them after the common ones. A sparse X is a `SparseBlock` of all columns as they stand: A has a row for each of them
then, and ``common`` has the free weights of all.
"""

from __future__ import annotations

from typing import Any, NamedTuple

from popglm.solve.passes.samples import Shape, Window
from popglm.solve.passes.window_passes import activity, counted_rows
from popglm.solve.sparse.rows import SparseBlock
from popglm.statistics.families import Family

__all__ = ["Placed", "gradient_sums", "low_rank_sums", "predictors", "signal_sums"]

Array = Any


class Placed(NamedTuple):
    """Weights in the library of an engine.

    Attributes
    ----------
    A, B : array, shape (n_low, rank) and (n_neurons, rank)
    common : array, shape (n_neurons, n_common), or None
    gathered : array, shape (n_neurons, n_gathered), or None
    b : array, shape (n_neurons,)
    theta : array, shape (n_neurons, n_parameters), or None
    """

    A: Array
    B: Array
    common: Array
    gathered: Array
    b: Array
    theta: Array


def _gathered(shape: Shape, x: Array, first: int, own: Array, like: Array, at: Array) -> Array:
    """Columns of every neuron, shape (n_neurons, n_gathered, size): of ``own``, or those of x from ``first`` on."""
    xp = shape.ops.xp
    block = xp.matrix_transpose(x[:, first:]) if own is None else shape.ops.block(own, None, at[1], shape.size)
    return xp.reshape(block, (like.shape[0], like.shape[1], shape.size))


def _n_common(weights: Placed) -> int:
    return 0 if weights.common is None else weights.common.shape[1]


def _signals(shape: Shape, m: int, x: Array, A: Array) -> Array:
    """Latent signals XA, shape (size, rank)."""
    return x.across(A.T).T if isinstance(x, SparseBlock) else shape.ops.xp.matmul(x[:, :m], A)


def predictors(shape: Shape, m: int, window: Window, own: Array, weights: Placed) -> tuple[Array, Array, Array]:
    """η (n_neurons, size); the rows of X, and their latent signals XA (size, rank)."""
    ops, xp, at = shape.ops, shape.ops.xp, window.at
    is_sparse = isinstance(window.X, SparseBlock)
    x = window.X if is_sparse else ops.rows(window.X, at[0], shape.size)
    signals = _signals(shape, m, x, weights.A)
    eta = xp.matmul(weights.B, xp.matrix_transpose(signals))
    eta += weights.b[:, None]
    if is_sparse:
        eta += 0 if weights.common is None else x.across(weights.common)
    elif weights.common is not None:
        eta += xp.matmul(weights.common, xp.matrix_transpose(x[:, m : m + _n_common(weights)]))
    if weights.gathered is not None:
        columns = _gathered(shape, x, m + _n_common(weights), own, weights.gathered, at)
        eta += xp.matmul(weights.gathered[:, None, :], columns)[:, 0, :]
    if window.offset is not None:
        eta += ops.block(window.offset, None, at[1], shape.size)
    return eta, x, signals


def _terms(shape: Shape, loss: Family, window: Window, theta: Array, eta: Array) -> tuple[Array, Array, Array]:
    """sℓ, sr and sh: where sums over exp say everything, ℓ is not above the saturated model's."""
    xp, loss = shape.ops.xp, loss.at(theta)
    y, s = activity(shape, window, None)
    if loss.has_exp_sums:
        h = xp.exp(eta)
        value, r = h - y * eta, h - y
    else:
        value, r, h = loss.excess_and_derivatives(xp, eta, y)
    if s is not None:
        value, r, h = (xp.where(s > 0, s * v, 0 * s) for v in (value, r, h))
    return value, r, h


def low_rank_sums(
    shape: Shape, loss: Family, m: int, window: Window, own: Array, weights: Placed, share: Array
) -> tuple[Array, ...]:
    """Σsℓ, Σsr and Σsh of every neuron; and the gradient of their sum over neurons in all weights.

    ``share`` (n_neurons,) is what a neuron's sums are multiplied by in that in A.
    """
    xp, sum64 = shape.ops.xp, shape.ops.sum64
    eta, x, signals = predictors(shape, m, window, own, weights)
    value, r, h = _terms(shape, loss, window, weights.theta, eta)
    pull = xp.matmul(xp.matrix_transpose(r), weights.B * share[:, None])
    found = [sum64(v, 1) for v in (value, r, h)]
    if isinstance(x, SparseBlock):
        found += [x.along(pull.T).T, xp.matmul(r, signals)]
        return *found, *([] if weights.common is None else [x.along(r)])
    stop = m + _n_common(weights)
    found += [xp.matmul(xp.matrix_transpose(x[:, :m]), pull), xp.matmul(r, signals)]
    if weights.common is not None:
        found.append(xp.matmul(r, x[:, m:stop]))
    if weights.gathered is not None:
        columns = _gathered(shape, x, stop, own, weights.gathered, window.at)
        found.append(xp.matmul(columns, r[:, :, None])[:, :, 0])
    return tuple(found)


def gradient_sums(
    shape: Shape, loss: Family, m: int, window: Window, own: Array, weights: Placed, tiny: Array
) -> tuple[Array, ...]:
    """Σsrx over the columns of the low-rank part, as if no pair were closed, shape (n_low, n_neurons); and Σsr²/h."""
    xp = shape.ops.xp
    eta, x, _ = predictors(shape, m, window, own, weights)
    _, r, h = _terms(shape, loss, window, weights.theta, eta)
    pull = x.along(r) if isinstance(x, SparseBlock) else xp.matmul(r, x[:, :m])
    # both have the weights of the samples, which leaves one
    return xp.matrix_transpose(pull), shape.ops.sum64(r * r / (h + tiny), 1)


def signal_sums(shape: Shape, m: int, window: Window, A: Array) -> tuple[Array]:
    """Σ(XA)² over samples, shape (rank,)."""
    xp = shape.ops.xp
    is_sparse = isinstance(window.X, SparseBlock)
    signals = _signals(shape, m, window.X if is_sparse else shape.ops.rows(window.X, window.at[0], shape.size), A)
    squares, keep = signals * signals, counted_rows(shape, window.at)
    if keep is not None:
        squares = xp.where(keep[:, None], squares, xp.zeros_like(squares))
    return (xp.sum(squares, axis=0),)
