"""The arithmetic of sums of norms over blocks of columns, Σ_b τ_b‖w_b‖: value, prox, dual norm, subgradients.

Functions of an array namespace ``xp`` and of arrays with one row per problem: of NumPy's on the host, where `Penalty`
calls them, and of any library's on a device, where they are compiled. None looks at a value.

Where blocks are nested, Σ_k τ_k|w_k| + Σ_b τ_b‖w_b‖, τ has the strengths of the columns first and those of the blocks
after them, (n_rows, n_features + n_blocks).

Where columns may have weights of one sign alone, that is part of the penalty: infinite for the other. A force g of the
loss, which moves weights along −g, is then within the dual ball where it moves them the forbidden way.
"""

from __future__ import annotations

from typing import Any

from popglm.statistics.blockwise import Blocks, HostBlocks, allowed, block_norms

__all__ = ["change", "dual_scale", "least_subgradient", "shrink", "terms", "value"]

Array = Any
#: Rounds in which `_nested_scale` closes in on its root, from both sides.
ROUNDS = 6


def value(xp: Any, blocks: Blocks | HostBlocks, W: Array, tau: Array) -> Array:
    """Σ_b τ_b‖w_b‖ of rows of W, shape (n_rows,); tau (n_rows, n_blocks)."""
    return xp.sum(terms(xp, blocks, W, tau), axis=1)


def terms(xp: Any, blocks: Blocks | HostBlocks, W: Array, tau: Array) -> Array:
    """What the norms of every block amount to, shape (n_rows, n_blocks)."""
    if not blocks.nested:
        return tau * block_norms(xp, blocks, W)
    own, tau = _parts(W, tau)
    return blocks.sums(xp, own * xp.abs(W)) + tau * block_norms(xp, blocks, W)


def change(xp: Any, blocks: Blocks | HostBlocks, W: Array, before: Array, tau: Array) -> Array:
    """How much the norms of W have more than those of ``before``, shape (n_rows,).

    Block by block: the difference of two sums would be rounding where the step is small.
    """
    own, tau = _parts(W, tau) if blocks.nested else (None, tau)
    total = xp.sum(tau * (block_norms(xp, blocks, W) - block_norms(xp, blocks, before)), axis=1)
    return total if own is None else total + xp.sum(own * (xp.abs(W) - xp.abs(before)), axis=1)


def shrink(xp: Any, blocks: Blocks | HostBlocks, V: Array, tau: Array, keep: Array | float = 1.0) -> Array:
    """The proximal operator argmin_z ½‖z − v‖² + Σ_b τ_b‖z_b‖ of rows of V, each block times ``keep``.

    With a ridge part, ½ρ_b‖z_b‖² more, keep = 1/(1 + ρ). By Moreau's decomposition it is also what v has beyond the
    dual ball ‖v_b‖ ≤ τ_b. Of nested blocks it is that of the columns and then that of the blocks (Friedman, Hastie &
    Tibshirani 2010).
    """
    V = allowed(xp, blocks, V)
    if blocks.nested:
        own, tau = _parts(V, tau)
        V = _soft(xp, V, own)
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
    # norms do not ask which way a force goes
    G = allowed(xp, blocks, -G)
    if blocks.nested:
        beyond = shrink(xp, blocks, G, tau)
        return _nested_scale(xp, blocks, G, tau), xp.sum(beyond * beyond, axis=1)
    forces = block_norms(xp, blocks, G)
    outside = forces > tau
    theta = xp.min(xp.where(outside, tau / xp.where(outside, forces, 1 + 0 * forces), 1 + 0 * forces), axis=1)
    return theta, xp.sum(xp.where(outside, (forces - tau) ** 2, 0 * forces), axis=1)


def least_subgradient(xp: Any, blocks: Blocks | HostBlocks, W: Array, grad: Array, tau: Array) -> Array:
    """The subgradient of least norm, block by block, (n_rows, n_features); ``grad`` of all but the norms."""
    norm = blocks.spread(xp, block_norms(xp, blocks, W))
    some = xp.where(norm > 0, norm, 1 + 0 * norm)
    if not blocks.nested:
        inside = grad + blocks.spread(xp, tau) * W / some
    else:
        own, of_block = _parts(W, tau)
        used = grad + xp.where(W > 0, own, -own) + blocks.spread(xp, of_block) * W / some
        inside = xp.where(W != 0, used, -_soft(xp, allowed(xp, blocks, -grad), own))
    return xp.where(norm > 0, inside, -shrink(xp, blocks, -grad, tau))


def _parts(W: Array, tau: Array) -> tuple[Array, Array]:
    """The strengths of single columns, and those of blocks."""
    p = W.shape[1]
    return tau[:, :p], tau[:, p:]


def _soft(xp: Any, V: Array, tau: Array) -> Array:
    """What single columns have beyond ±τ."""
    size = xp.abs(V) - tau
    return xp.where(size > 0, xp.where(V > 0, size, -size), 0 * V)


def _nested_scale(xp: Any, blocks: Blocks | HostBlocks, G: Array, tau: Array) -> Array:
    """`dual_scale` of nested blocks: θg lies in the dual ball where ‖S(θg_b, τ_k)‖ ≤ τ_b, with S what `_soft` leaves.

    That norm is convex in θ. So a Newton step from outside stays outside, a chord between a point inside and one
    outside ends inside, and what is returned is inside: no more than the largest θ.
    """
    own, tau = _parts(G, tau)
    force = xp.abs(G)

    def beyond(theta: Array) -> tuple[Array, Array]:
        """The norm of what is left of every block, and its slope."""
        left = _soft(xp, blocks.spread(xp, theta) * force, own)
        norm = xp.sqrt(blocks.sums(xp, left * left))
        some = xp.where(norm > 0, norm, 1 + 0 * norm)
        return norm, blocks.sums(xp, left * force) / some

    norm, slope = beyond(1 + 0 * tau)
    outside = norm > tau
    # where no column is left of any block
    nothing = xp.min(xp.where(force > own, own / xp.where(force > own, force, 1 + 0 * own), 1 + 0 * own), axis=1)
    low, high, norm_low = nothing[:, None] + 0 * tau, 1 + 0 * tau, 0 * tau
    for _ in range(ROUNDS):
        span = norm - norm_low
        share = xp.where(span > 0, (tau - norm_low) / xp.where(span > 0, span, 1 + 0 * span), 0 * span)
        chord = low + (high - low) * xp.where(share < 1, share, 1 + 0 * share)
        step = high - xp.where(slope > 0, (norm - tau) / xp.where(slope > 0, slope, 1 + 0 * slope), 0 * slope)
        low, high = xp.where(chord > low, chord, low), xp.where(step > chord, step, chord)
        (norm, slope), (norm_low, _) = beyond(high), beyond(low)
    return xp.min(xp.where(outside, low, 1 + 0 * low), axis=1)
