"""What the lockstep schedule does to its columns in one call each.

Functions of the array namespace and of arrays alone, which have one row per column of the batch.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from popglm.solve.lockstep.arrays import Blocks, block_norms, dot, rows
from popglm.solve.lockstep.curvature import curvature_vectors, keep_pairs, solve_metric, two_loop_step
from popglm.solve.lockstep.proximal import split_start, start_norms

__all__ = [
    "certificate_parts",
    "choose",
    "finite_or_zero",
    "in_columns",
    "keep_step",
    "moved",
    "open_model",
    "open_split",
    "penalty_value",
    "smooth_step",
]

Array = Any


def choose(xp: Any, mask: Array, *arrays: Array) -> tuple[Array, ...]:
    half, chosen = len(arrays) // 2, rows(mask) > 0
    return tuple(xp.where(chosen, new, old) for new, old in zip(arrays[:half], arrays[half:], strict=True))


def finite_or_zero(xp: Any, A: Array) -> Array:
    return xp.where(xp.isfinite(A), A, xp.zeros_like(A))


def penalty_value(xp: Any, blocks: Blocks, W: Array, lam2: Array, tau: Array, R: Array) -> Array:
    value = xp.sum(tau * block_norms(xp, blocks, W), axis=1) + 0.5 * lam2 * dot(xp, W, W)
    return value if R is None else value + 0.5 * dot(xp, W, xp.matmul(W, R))


def smooth_step(
    xp: Any, W: Array, grad: Array, c: Array, lam2: Array, S: Array, Y: Array, spectrum: tuple[Array, Array], R: Array
) -> tuple[Array, Array]:
    """Minimiser of a model without norms, and what it promises."""
    total = grad + rows(lam2) * W
    total = total if R is None else total + xp.matmul(W, R)
    d = two_loop_step(xp, total, c, lam2, S, Y, spectrum, R)
    return d, -0.5 * dot(xp, d, total)


def open_model(
    xp: Any, blocks: Blocks, W: Array, grad: Array, c: Array, bound: Array, S: Array, Y: Array, GS: Array,
    diagonal_of_G: Array, diagonal_of_R: Array, R: Array, signs: Array,
) -> tuple[Array, Array, Array, tuple[Array, ...]]:  # fmt: skip
    """Gradient with the smoothness in it, curvature vectors, diagonal of B, and where proximal steps start."""
    grad = grad if R is None else grad + xp.matmul(W, R)
    vectors, D = curvature_vectors(xp, S, Y, GS, c, diagonal_of_G, signs)
    D = D + diagonal_of_R[None, :] + 1e-6 * rows(xp.max(D, axis=1))
    zero = 0 * W
    nu = start_norms(xp, blocks, W, grad, D)
    return grad, vectors, D, (zero, zero, zero, zero, xp.ones_like(c), bound, nu)


def open_split(
    xp: Any, W: Array, grad: Array, c: Array, ridge: Array, tau: Array, deviation: Array, of_block: Array, S: Array,
    Y: Array, GS: Array, values: Array, signs: Array, rho: Array,
) -> tuple[Array, ...]:  # fmt: skip
    """The model in blocks of unit variance and a unit of the activity's; curvature vectors; where the splitting starts.

    Returns
    -------
    W, grad : array, shape (n_rows, n_features)
    unit, lam2 : array, shape (n_rows,)
        What W and grad were divided by; the least ridge of a block.
    ridge, tau : array, shape (n_rows, n_blocks)
        What blocks have of a ridge beyond that, and the weights of their norms.
    vectors : array
    at : tuple of array
    """
    W, grad = W * deviation[None, :], grad / deviation[None, :]
    largest = [xp.max(xp.abs(W), axis=1), xp.max(xp.abs(grad), axis=1) / xp.where(c > 0, c, xp.ones_like(c))]
    unit = xp.where(largest[0] > largest[1], largest[0], largest[1])
    unit = xp.where(xp.isfinite(unit) & (unit > 0), unit, xp.ones_like(unit))
    W, grad, tau = W / rows(unit), grad / rows(unit), tau / (rows(unit) * of_block[None, :])
    each = rows(ridge) / (of_block * of_block)[None, :]
    lam2 = xp.min(each, axis=1)
    vectors, _ = curvature_vectors(xp, S, Y, GS, c, values, signs)
    start = split_start(xp, W, grad, c, lam2, tau, values, rho)
    return W, grad, unit, lam2, each - rows(lam2), tau, vectors, start


def in_columns(xp: Any, d: Array, unit: Array, deviation: Array) -> Array:
    """A step of `open_split`'s model in the units of its columns."""
    return d * (rows(unit) / deviation[None, :])


def moved(
    xp: Any, blocks: Blocks, W: Array, d: Array, grad: Array, YX: Array, lam2: Array, tau: Array, R: Array,
    active: Array,
) -> tuple[Array, Array]:  # fmt: skip
    """W + d for active rows; what first order promises, how the penalty changes, and dᵀ(YX).

    Changes are taken block by block: the difference of two sums would be rounding where the step is small.
    """
    good = xp.isfinite(xp.sum(d, axis=1))
    moved = xp.where(rows((active > 0) & good), W + d, W)
    # the step that is really taken, so that its curvature pair has no rounding in s
    d = moved - W
    norms = block_norms(xp, blocks, moved) - block_norms(xp, blocks, W)
    change = xp.sum(tau * norms, axis=1) + lam2 * dot(xp, d, W + 0.5 * d)
    change = change if R is None else change + dot(xp, xp.matmul(d, R), W + 0.5 * d)
    promised = dot(xp, grad, d) + change
    promised = xp.where(good, promised, promised + np.inf)
    return moved, xp.stack([promised, change, dot(xp, d, YX)], axis=1)


def keep_step(
    xp: Any, least: float, S: Array, Y: Array, GS: Array, W_new: Array, W: Array, grad_new: Array, grad: Array,
    chosen: Array, G: Array, basis: Array, deviation: Array,
) -> tuple[Array, Array, Array]:  # fmt: skip
    """The pairs with that of a step, where it is chosen; with ``deviation``, in columns divided by it."""
    s, y = W_new - W, grad_new - grad
    if deviation is not None:
        s, y = s * deviation[None, :], y / deviation[None, :]
    return keep_pairs(xp, least, S, Y, GS, s, y, chosen > 0, G, basis)


def certificate_parts(
    xp: Any, normed: bool, blocks: Blocks, W: Array, grad: Array, c: Array, lam2: Array, tau: Array, diagonal: Array,
    R: Array, spectrum: tuple[Array, Array] | None,
) -> Array:  # fmt: skip
    """The sums over features of `popglm.solve.certificate`, one row per fit.

    Terms that nearly cancel are added block by block before they are summed, so that float32 is enough.

    Returns
    -------
    array, shape (n_rows, 8)
        θ; Σ τ‖w‖ + θwᵀg; Σ τ‖w‖ + wᵀg; ‖w‖²; σwᵀRw; squared excess of the forces; Newton decrement; 1 where g is
        finite.
    """
    RW = 0 * W if R is None else xp.matmul(W, R)
    g = grad + RW
    wg = blocks.sums(xp, W * g)
    one = xp.ones_like(lam2)
    if normed:
        norms, forces = block_norms(xp, blocks, W), block_norms(xp, blocks, g)
        ratio = xp.where(forces > tau, tau / xp.where(forces > tau, forces, xp.ones_like(forces)), xp.ones_like(forces))
        theta = xp.min(ratio, axis=1)
        over = xp.sum(xp.where(forces > tau, (forces - tau) ** 2, 0 * forces), axis=1)
        omega = tau * norms
    else:
        theta, over, omega = xp.where(lam2 > 0, one, 0 * one), dot(xp, g, g), 0 * wg
    total = g + rows(lam2) * W
    if not normed:
        decrement = 0 * one if spectrum is None else dot(xp, total, solve_metric(xp, total, c, lam2, spectrum, R))
    else:
        # the subgradient of least norm, block by block
        total_forces = block_norms(xp, blocks, total)
        tau_of, norm_of = blocks.spread(xp, tau), blocks.spread(xp, norms)
        force_of = blocks.spread(xp, total_forces)
        inside = total + tau_of * W / xp.where(norm_of > 0, norm_of, xp.ones_like(norm_of))
        over_tau = force_of > tau_of
        share = tau_of / xp.where(over_tau, force_of, xp.ones_like(force_of))
        outside = xp.where(over_tau, total * (1 - share), 0 * total)
        residual = xp.where(norm_of > 0, inside, outside)
        metric = rows(c) * diagonal[None, :] + rows(lam2)
        decrement = xp.sum(
            xp.where(metric > 0, residual**2 / xp.where(metric > 0, metric, xp.ones_like(metric)), 0 * residual), axis=1
        )
    finite = xp.where(xp.isfinite(xp.sum(g, axis=1)), one, 0 * one)
    return xp.stack(
        [theta, xp.sum(omega + rows(theta) * wg, axis=1), xp.sum(omega + wg, axis=1), dot(xp, W, W), dot(xp, W, RW),
         over, decrement, finite],
        axis=1,
    )  # fmt: skip
