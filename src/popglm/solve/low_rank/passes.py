"""Passes over one window of rows, for a population with weights of low rank; see `popglm.solve.passes` for their form.

X has the columns of the low-rank part first, then the common ones. ``own`` (n_neurons · n_gathered, n_samples) has the
gathered columns of every neuron, one after the other, or is None where there are none.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from popglm.statistics.families import Family

__all__ = ["gradient_sums", "low_rank_sums", "predictors", "signal_sums"]

Array = Any


def _window(ops: Any, size: int, masked: bool, s: Array | None, like: Array, at: Array) -> Array | None:
    """Weights of the window's rows, 0 where they do not count; None for 1 everywhere."""
    s = None if s is None else ops.block(s, None, at[1], size)
    if not masked:
        return s
    row = at[1] + ops.xp.arange(size, dtype=np.int32)
    s = ops.xp.ones_like(like) if s is None else s
    return ops.xp.where((row >= at[2]) & (row < at[3]), s, ops.xp.zeros_like(s))


def _gathered(ops: Any, size: int, own: Array, like: Array, at: Array) -> Array:
    """Columns of every neuron, shape (n_neurons, n_gathered, size)."""
    return ops.xp.reshape(ops.block(own, None, at[1], size), (like.shape[0], like.shape[1], size))


def predictors(
    ops: Any, size: int, m: int, X: Array, own: Array | None, offset: Array | None,
    A: Array, B: Array, common: Array | None, gathered: Array | None, b: Array, at: Array,
) -> tuple[Array, Array, Array]:  # fmt: skip
    """η (n_neurons, size); the rows of X, and their latent signals XA (size, rank)."""
    xp = ops.xp
    x = ops.rows(X, at[0], size)
    signals = xp.matmul(x[:, :m], A)
    eta = xp.matmul(B, xp.matrix_transpose(signals))
    eta += b[:, None]
    if common is not None:
        eta += xp.matmul(common, xp.matrix_transpose(x[:, m:]))
    if gathered is not None:
        columns = _gathered(ops, size, own, gathered, at)
        eta += xp.matmul(gathered[:, None, :], columns)[:, 0, :]
    if offset is not None:
        eta += ops.block(offset, None, at[1], size)
    return eta, x, signals


def _terms(
    ops: Any, size: int, masked: bool, loss: Family, Y: Array, s: Array | None, theta: Array | None, eta: Array,
    at: Array,
) -> tuple[Array, Array, Array]:  # fmt: skip
    """sℓ, sr and sh: where sums over exp say everything, ℓ is not above the saturated model's."""
    xp, loss = ops.xp, loss.at(theta)
    y = ops.block(Y, None, at[1], size)
    if loss.has_exp_sums:
        h = xp.exp(eta)
        value, r = h - y * eta, h - y
    else:
        value, r, h = loss.excess_and_derivatives(xp, eta, y)
    s = _window(ops, size, masked, s, y, at)
    if s is not None:
        value, r, h = (xp.where(s > 0, s * v, 0 * s) for v in (value, r, h))
    return value, r, h


def low_rank_sums(
    ops: Any, size: int, masked: bool, loss: Family, m: int,
    X: Array, Y: Array, s: Array | None, own: Array | None, offset: Array | None,
    A: Array, B: Array, common: Array | None, gathered: Array | None, b: Array, theta: Array | None, share: Array,
    at: Array,
) -> tuple[Array, ...]:  # fmt: skip
    """Σsℓ, Σsr and Σsh of every neuron; and the gradient of their sum over neurons in all weights.

    ``share`` (n_neurons,) is what a neuron's sums are multiplied by in that in A.
    """
    xp = ops.xp
    eta, x, signals = predictors(ops, size, m, X, own, offset, A, B, common, gathered, b, at)
    value, r, h = _terms(ops, size, masked, loss, Y, s, theta, eta, at)
    pull = xp.matmul(xp.matrix_transpose(r), B * share[:, None])
    found = [ops.sum64(v, 1) for v in (value, r, h)]
    found += [xp.matmul(xp.matrix_transpose(x[:, :m]), pull), xp.matmul(r, signals)]
    if common is not None:
        found.append(xp.matmul(r, x[:, m:]))
    if gathered is not None:
        columns = _gathered(ops, size, own, gathered, at)
        found.append(xp.matmul(columns, r[:, :, None])[:, :, 0])
    return tuple(found)


def gradient_sums(
    ops: Any, size: int, masked: bool, loss: Family, m: int,
    X: Array, Y: Array, s: Array | None, own: Array | None, offset: Array | None,
    A: Array, B: Array, common: Array | None, gathered: Array | None, b: Array, theta: Array | None, tiny: Array,
    at: Array,
) -> tuple[Array, ...]:  # fmt: skip
    """Σsrx over the columns of the low-rank part, as if no pair were closed, shape (n_neurons, n_low); and Σsr²/h."""
    eta, x, _ = predictors(ops, size, m, X, own, offset, A, B, common, gathered, b, at)
    _, r, h = _terms(ops, size, masked, loss, Y, s, theta, eta, at)
    # both have the weights of the samples, which leaves one
    return ops.xp.matmul(r, x[:, :m]), ops.sum64(r * r / (h + tiny), 1)


def signal_sums(ops: Any, size: int, masked: bool, m: int, X: Array, like: Array, A: Array, at: Array) -> tuple[Array]:
    """Σ(XA)² over samples, shape (rank,). ``like`` is an array (n_samples,)."""
    xp = ops.xp
    signals = xp.matmul(ops.rows(X, at[0], size)[:, :m], A)
    keep = _window(ops, size, masked, None, ops.block(like, None, at[1], size), at)
    squares = signals * signals
    return (xp.sum(squares if keep is None else squares * keep[:, None], axis=0),)
