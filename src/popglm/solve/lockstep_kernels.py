"""What the lockstep schedule compiles: functions of the array namespace and of arrays alone.

``member`` and ``of_column`` make up `popglm.solve.proximal.Blocks`; rows are columns of the batch.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from popglm.solve import proximal

__all__ = [
    "certificate_parts",
    "choose",
    "dot",
    "finite_or_zero",
    "keep_pairs",
    "moved",
    "open_model",
    "open_split",
    "penalty_value",
    "proximal_steps",
    "smooth_step",
    "split_steps",
]

Array = Any


def dot(xp: Any, A: Array, B: Array) -> Array:
    return xp.sum(A * B, axis=1)


def choose(xp: Any, mask: Array, *arrays: Array) -> tuple[Array, ...]:
    half, chosen = len(arrays) // 2, mask[:, None] > 0
    return tuple(xp.where(chosen, new, old) for new, old in zip(arrays[:half], arrays[half:], strict=True))


def penalty_value(xp: Any, member: Array, of_column: Array, W: Array, lam2: Array, tau: Array, R: Array) -> Array:
    norms = proximal.block_norms(xp, proximal.Blocks(member, of_column), W)
    value = xp.sum(tau * norms, axis=1) + 0.5 * lam2 * dot(xp, W, W)
    return value if R is None else value + 0.5 * dot(xp, W, xp.matmul(W, R))


def certificate_parts(xp: Any, normed: bool, member: Array, of_column: Array, *arrays: Array) -> Array:
    return proximal.certificate_parts(xp, proximal.Blocks(member, of_column), normed, *arrays)


def smooth_step(
    xp: Any, W: Array, grad: Array, c: Array, lam2: Array, S: Array, Y: Array, values: Array, vectors: Array, R: Array
) -> tuple[Array, Array]:
    total = grad + lam2[:, None] * W
    total = total if R is None else total + xp.matmul(W, R)
    d = proximal.two_loop_step(xp, total, c, lam2, S, Y, (values, vectors), R)
    return d, -0.5 * dot(xp, d, total)


def open_model(
    xp: Any, member: Array, of_column: Array, W: Array, grad: Array, c: Array, bound: Array, S: Array, Y: Array,
    GS: Array, diagonal_of_G: Array, diagonal_of_R: Array, R: Array, signs: Array,
) -> tuple[Array, Array, Array, tuple[Array, ...]]:  # fmt: skip
    """Gradient with the smoothness in it, curvature vectors, diagonal of B, and where proximal steps start."""
    grad = grad if R is None else grad + xp.matmul(W, R)
    vectors, D = proximal.curvature_vectors(xp, S, Y, GS, c, diagonal_of_G, signs)
    D = D + diagonal_of_R[None, :] + 1e-6 * xp.max(D, axis=1)[:, None]
    zero = 0 * W
    nu = proximal.start_norms(xp, proximal.Blocks(member, of_column), W, grad, D)
    return grad, vectors, D, (zero, zero, zero, zero, xp.ones_like(c), bound, nu)


def proximal_steps(
    xp: Any, rounding: float, member: Array, of_column: Array, *arguments: Any
) -> tuple[tuple[Array, ...], Array]:
    return proximal.proximal_steps(xp, proximal.Blocks(member, of_column), rounding, *arguments)


def open_split(
    xp: Any, W: Array, grad: Array, c: Array, lam2: Array, tau: Array, S: Array, Y: Array, GS: Array, values: Array,
    signs: Array, rho: Array,
) -> tuple[Array, ...]:  # fmt: skip
    vectors, _ = proximal.curvature_vectors(xp, S, Y, GS, c, values, signs)
    return vectors, *proximal.split_start(xp, W, grad, c, lam2, tau, values, rho)


def split_steps(xp: Any, member: Array, of_column: Array, *arguments: Array) -> tuple[Array, ...]:
    *model, values, basis, z, u, rho = arguments
    d, sums, at = proximal.split_steps(xp, proximal.Blocks(member, of_column), *model, (values, basis), (z, u, rho))
    return d, sums, *at


def finite_or_zero(xp: Any, A: Array) -> Array:
    return xp.where(xp.isfinite(A), A, xp.zeros_like(A))


def moved(
    xp: Any, member: Array, of_column: Array, W: Array, d: Array, grad: Array, YX: Array, lam2: Array, tau: Array,
    R: Array, active: Array,
) -> tuple[Array, Array]:  # fmt: skip
    """W + d for active rows; what first order promises, how the penalty changes, and dᵀ(YX).

    Changes are taken block by block: the difference of two sums would be rounding where the step is small.
    """
    blocks = proximal.Blocks(member, of_column)
    good = xp.isfinite(xp.sum(d, axis=1))
    moved = xp.where(((active > 0) & good)[:, None], W + d, W)
    # the step that is really taken, so that its curvature pair has no rounding in s
    d = moved - W
    norms = proximal.block_norms(xp, blocks, moved) - proximal.block_norms(xp, blocks, W)
    change = xp.sum(tau * norms, axis=1) + lam2 * dot(xp, d, W + 0.5 * d)
    change = change if R is None else change + dot(xp, xp.matmul(d, R), W + 0.5 * d)
    promised = dot(xp, grad, d) + change
    promised = xp.where(good, promised, promised + np.inf)
    return moved, xp.stack([promised, change, dot(xp, d, YX)], axis=1)


def keep_pairs(
    xp: Any, least: float, S: Array, Y: Array, GS: Array, W_new: Array, W: Array, grad_new: Array, grad: Array,
    chosen: Array, G: Array, basis: Array,
) -> tuple[Array, Array, Array]:  # fmt: skip
    return proximal.keep_pairs(xp, least, S, Y, GS, W_new - W, grad_new - grad, chosen > 0, G, basis)
