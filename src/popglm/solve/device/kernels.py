"""What is done to all problems of a batch in one call each.

Functions of an engine's class, whose namespace is ``ops.xp``, and of arrays alone, which have one row per problem.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np

from popglm.solve.device.arrays import dot, rows
from popglm.solve.device.curvature import (
    Order,
    Pairs,
    compact_form,
    diagonal_of,
    keep_pairs,
    solve_metric,
    two_loop_step,
)
from popglm.solve.device.proximal import ProximalModel, SplitModel, split_start, start_norms
from popglm.solve.walk.certificate import gap_sums
from popglm.statistics import norms
from popglm.statistics.blockwise import Blocks, settled

__all__ = [
    "Diagonals",
    "Point",
    "Units",
    "choose",
    "choose_numbers",
    "decrement",
    "finite_or",
    "forget",
    "gap_parts",
    "in_columns",
    "keep_step",
    "mean_slope",
    "moved",
    "open_model",
    "open_split",
    "penalty_value",
    "smooth_step",
]

Array = Any


class Point(NamedTuple):
    """Where problems stand, at a strength.

    Attributes
    ----------
    W, grad : array, shape (n_rows, n_features)
        Weights, and the gradient of the loss.
    lam2 : array, shape (n_rows,)
    tau : array, shape (n_rows, n_blocks), or None
        None without a norm in the penalty.
    """

    W: Array
    grad: Array
    lam2: Array
    tau: Array


class Diagonals(NamedTuple):
    """Diagonals of G and of σR, (n_features,) each."""

    G: Array
    R: Array


class Units(NamedTuple):
    """Root of the variance of blocks: by column (n_features,), by block (n_blocks,), and by norm of the penalty.

    And bounds of the weights in these units, (n_features,) each, where there are some.
    """

    of_column: Array
    of_block: Array
    of_norm: Array
    lower: Array = None
    upper: Array = None


def choose(ops: Any, mask: Array, *arrays: Array) -> tuple[Array, ...]:
    """The first half of the arrays in the rows of the mask, the second half in the others."""
    half, chosen = len(arrays) // 2, rows(mask) > 0
    return tuple(ops.xp.where(chosen, new, old) for new, old in zip(arrays[:half], arrays[half:], strict=True))


def choose_numbers(ops: Any, mask: Array, new: Array, old: Array) -> Array:
    """`choose` for one number per row."""
    return ops.xp.where(mask > 0, new, old)


def finite_or(ops: Any, instead: float, A: Array) -> Array:
    """A, and ``instead`` where it is not finite."""
    xp = ops.xp
    return xp.where(xp.isfinite(A), A, instead + xp.zeros_like(A))


def forget(ops: Any, chosen: Array, pairs: Pairs) -> Pairs:
    """Pairs, none of them left in the chosen rows."""
    kept = (chosen <= 0)[:, None, None]
    return Pairs(*(ops.xp.where(kept, A, 0 * A) for A in pairs))


def penalty_value(ops: Any, blocks: Blocks, W: Array, lam2: Array, tau: Array, R: Array) -> Array:
    """The penalty of rows of W."""
    xp = ops.xp
    value = norms.value(xp, blocks, W, tau) + 0.5 * lam2 * dot(xp, W, W)
    return value if R is None else value + 0.5 * dot(xp, W, xp.matmul(W, R))


def gap_parts(ops: Any, blocks: Blocks, at: Point, R: Array) -> Array:
    """See `popglm.solve.walk.certificate.gap_sums`."""
    W, grad, lam2, tau = at
    RW = 0 * W if R is None else ops.xp.matmul(W, R)
    return gap_sums(ops.xp, blocks, W, grad + RW, RW, lam2, tau)


def decrement(
    ops: Any, blocks: Blocks, at: Point, c: Array, diagonal: Array, spectrum: tuple[Array, Array], R: Array
) -> Array:
    """Squared residual in the metric cG; see `popglm.solve.walk.certificate.decrement`."""
    xp, (W, grad, lam2, tau) = ops.xp, at
    total = grad + rows(lam2) * W
    total = total if R is None else total + xp.matmul(W, R)
    if tau is None:
        return dot(xp, total, solve_metric(xp, total, c, lam2, spectrum, R))
    residual, metric = norms.least_subgradient(xp, blocks, W, total, tau), rows(c) * diagonal[None, :] + rows(lam2)
    return xp.sum(xp.where(metric > 0, residual**2 / xp.where(metric > 0, metric, 1 + 0 * metric), 0 * metric), axis=1)


def smooth_step(
    ops: Any, at: Point, c: Array, pairs: Pairs, spectrum: tuple[Array, Array], R: Array
) -> tuple[Array, Array]:
    """Minimiser of a model without norms, and what it promises."""
    xp, (W, grad, lam2, _) = ops.xp, at
    total = grad + rows(lam2) * W
    total = total if R is None else total + xp.matmul(W, R)
    d = two_loop_step(xp, total, c, lam2, pairs, spectrum, R)
    return d, -0.5 * dot(xp, d, total)


def open_model(
    ops: Any,
    blocks: Blocks,
    at: Point,
    c: Array,
    bound: Array,
    pairs: Pairs,
    shared: tuple[Diagonals, Array],
    order: Order,
) -> tuple[ProximalModel, tuple[Array, ...]]:
    """The model, the smoothness in its gradient, and where proximal steps start; ``shared``: diagonals, and σR."""
    xp, (W, grad, lam2, tau), (diagonals, R) = ops.xp, at, shared
    grad = grad if R is None else grad + xp.matmul(W, R)
    Q, K = compact_form(xp, pairs, c, order)
    M = ops.inverse(K)
    plain = rows(c) * diagonals.G[None, :]
    D = plain - diagonal_of(xp, Q, M)
    # rounding must leave a metric
    D = xp.where(0.05 * plain < D, D, 0.05 * plain) + diagonals.R[None, :]
    D = D + 1e-6 * rows(xp.max(D, axis=1))
    zero = 0 * W
    nu = start_norms(xp, blocks, W, grad, D)
    return ProximalModel(W, grad, c, lam2, tau, Q, M, D), (zero, zero, zero, zero, xp.ones_like(c), bound, nu)


def open_split(
    ops: Any, at: Point, c: Array, pairs: Pairs, units: Units, values: Array, order: Order, rho: Array
) -> tuple[SplitModel, Array, tuple[Array, Array, Array]]:
    """The model in blocks of unit variance and a unit of the activity's, and where the splitting starts.

    Returns
    -------
    model : SplitModel
    unit : array, shape (n_rows,)
        What W and grad were divided by, beyond the units of their columns.
    start : tuple of array
    """
    xp, (W, grad, strength, tau), (deviation, of_block, of_norm, *bounds) = ops.xp, at, units
    W, grad = W * deviation[None, :], grad / deviation[None, :]
    largest = [xp.max(xp.abs(W), axis=1), xp.max(xp.abs(grad), axis=1) / xp.where(c > 0, c, xp.ones_like(c))]
    unit = xp.where(largest[0] > largest[1], largest[0], largest[1])
    unit = xp.where(xp.isfinite(unit) & (unit > 0), unit, xp.ones_like(unit))
    W, grad, tau = W / rows(unit), grad / rows(unit), tau / (rows(unit) * of_norm[None, :])
    each = rows(strength) / (of_block * of_block)[None, :]
    lam2 = xp.min(each, axis=1)
    Q, K = compact_form(xp, pairs, c, order)
    start = split_start(xp, W, grad, c, lam2, tau, values, rho)
    limits = [None if bound is None else bound[None, :] / rows(unit) for bound in bounds]
    return SplitModel(W, grad, c, lam2, each - rows(lam2), tau, Q, K, ops.inverse(K), *limits), unit, start


def in_columns(ops: Any, d: Array, unit: Array, deviation: Array) -> Array:
    """A step of `open_split`'s model in the units of its columns."""
    return d * (rows(unit) / deviation[None, :])


def moved(
    ops: Any, rounding: float, blocks: Blocks, at: Point, d: Array, R: Array, active: Array
) -> tuple[Array, Array]:
    """W + d for active rows, within bounds; what first order promises, and how the penalty changes.

    Changes are taken block by block: the difference of two sums would be rounding where the step is small.
    """
    xp, (W, grad, lam2, tau) = ops.xp, at
    good = xp.isfinite(xp.sum(d, axis=1))
    moved = xp.where(rows((active > 0) & good), settled(xp, blocks, W + d, d, rounding), W)
    # the step that is really taken, so that its curvature pair has no rounding in s
    d = moved - W
    change = norms.change(xp, blocks, moved, W, tau) + lam2 * dot(xp, d, W + 0.5 * d)
    change = change if R is None else change + dot(xp, xp.matmul(d, R), W + 0.5 * d)
    promised = dot(xp, grad, d) + change
    promised = xp.where(good, promised, promised + np.inf)
    return moved, xp.stack([promised, change], axis=1)


def mean_slope(ops: Any, W_new: Array, W: Array, grad_new: Array, grad: Array) -> Array:
    """Half the sum of both gradients along a step: a change of the loss with less rounding than a difference."""
    return 0.5 * dot(ops.xp, W_new - W, grad_new + grad)


def keep_step(
    ops: Any, least: float, pairs: Pairs, before: tuple[Array, Array], after: tuple[Array, Array], chosen: Array,
    spectrum: tuple[Array, Array], deviation: Array,
) -> Pairs:  # fmt: skip
    """The pairs with that of a step, where it is chosen; with ``deviation``, in columns divided by it.

    ``before`` and ``after``: weights and gradients at both ends; ``spectrum``: G and None, or its eigendecomposition.
    """
    s, y = after[0] - before[0], after[1] - before[1]
    if deviation is not None:
        s, y = s * deviation[None, :], y / deviation[None, :]
    return keep_pairs(ops.xp, least, pairs, s, y, chosen > 0, *spectrum)
