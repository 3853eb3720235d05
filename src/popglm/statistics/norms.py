"""The arithmetic of sums of norms over blocks of columns, Σ_b τ_b‖w_b‖: value, prox, dual norm, subgradients.

Functions of an array namespace ``xp`` and of arrays with one row per problem: of NumPy's on the host, where `Penalty`
calls them, and of any library's on a device, where they are compiled. None looks at a value.
"""

from __future__ import annotations

from typing import Any

from popglm.statistics.blockwise import Blocks, HostBlocks, block_norms

__all__ = ["change", "dual_scale", "least_subgradient", "shrink", "value"]

Array = Any


def value(xp: Any, blocks: Blocks | HostBlocks, W: Array, tau: Array) -> Array:
    """Σ_b τ_b‖w_b‖ of rows of W, shape (n_rows,); tau (n_rows, n_blocks)."""
    return xp.sum(tau * block_norms(xp, blocks, W), axis=1)


def change(xp: Any, blocks: Blocks | HostBlocks, W: Array, before: Array, tau: Array) -> Array:
    """How much the norms of W have more than those of ``before``, shape (n_rows,).

    Block by block: the difference of two sums would be rounding where the step is small.
    """
    return xp.sum(tau * (block_norms(xp, blocks, W) - block_norms(xp, blocks, before)), axis=1)


def shrink(xp: Any, blocks: Blocks | HostBlocks, V: Array, tau: Array, keep: Array | float = 1.0) -> Array:
    """The proximal operator argmin_z ½‖z − v‖² + Σ_b τ_b‖z_b‖ of rows of V, each block times ``keep``.

    With a ridge part, ½ρ_b‖z_b‖² more, keep = 1/(1 + ρ). By Moreau's decomposition it is also what v has beyond the
    dual ball ‖v_b‖ ≤ τ_b.
    """
    norms = block_norms(xp, blocks, V)
    over = norms > tau
    factor = xp.where(over, 1 - tau / xp.where(over, norms, xp.ones_like(norms)), 0 * norms)
    return V * blocks.spread(xp, factor * keep)


def dual_scale(xp: Any, blocks: Blocks | HostBlocks, G: Array, tau: Array) -> tuple[Array, Array]:
    """How far rows of G are from the dual ball ‖g_b‖ ≤ τ_b.

    Returns
    -------
    theta : array, shape (n_rows,)
        Largest θ ≤ 1 for which θg lies in it: one over the dual norm, where that is above 1.
    over : array, shape (n_rows,)
        Squared distance from it.
    """
    forces = block_norms(xp, blocks, G)
    outside = forces > tau
    theta = xp.min(xp.where(outside, tau / xp.where(outside, forces, 1 + 0 * forces), 1 + 0 * forces), axis=1)
    return theta, xp.sum(xp.where(outside, (forces - tau) ** 2, 0 * forces), axis=1)


def least_subgradient(xp: Any, blocks: Blocks | HostBlocks, W: Array, grad: Array, tau: Array) -> Array:
    """The subgradient of least norm, block by block, (n_rows, n_features); ``grad`` of all but the norms."""
    norm, pull = (blocks.spread(xp, a) for a in (block_norms(xp, blocks, W), tau))
    inside = grad + pull * W / xp.where(norm > 0, norm, 1 + 0 * norm)
    return xp.where(norm > 0, inside, shrink(xp, blocks, grad, tau))
