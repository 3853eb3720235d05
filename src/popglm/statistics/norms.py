"""The arithmetic of sums of norms over blocks of columns, Σ_b τ_b‖w_b‖: value, prox, dual norm, subgradients.

Functions of an array namespace ``xp`` and of arrays with one row per problem: of NumPy's on the host, where `Penalty`
calls them, and of any library's on a device, where they are compiled. None looks at a value.

Where blocks are nested, Σ_k τ_k|w_k| + Σ_b τ_b‖w_b‖, τ has the strengths of the columns first and those of the blocks
after them, (n_rows, n_features + n_blocks).

Where weights have bounds, these are part of the penalty: infinite beyond. By duality a force f, which moves a weight
along f, is worth what it gains on the way to the bound, max_v fv − τ|v|: nothing within the dual ball, (|f| − τ) times
the bound beyond, and nothing again where the bound is 0.
"""

from __future__ import annotations

from typing import Any

from popglm.statistics.blockwise import Blocks, HostBlocks, block_norms, from_zero, unstopped, within

__all__ = ["bounded_forces", "change", "dual_scale", "least_subgradient", "shrink", "terms", "value"]

Array = Any
#: Halvings in which `_boxed_shrink` closes in on its root.
HALVES = 50
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
    """The proximal operator argmin_z ½‖z − v‖² + Σ_b τ_b‖z_b‖ within the bounds, of rows of V.

    With a ridge part, ½ρ_b‖z_b‖² more, keep = 1/(1 + ρ): what every block is multiplied by. Of a column by itself it is
    the nearest point within the bounds to that without them.
    """
    if blocks.boxed:
        return _boxed_shrink(xp, blocks, V, tau, keep)
    return within(xp, blocks, beyond(xp, blocks, from_zero(xp, blocks, V), tau, keep))


def beyond(xp: Any, blocks: Blocks | HostBlocks, V: Array, tau: Array, keep: Array | float = 1.0) -> Array:
    """What rows of V have beyond the dual ball ‖v_b‖ ≤ τ_b: `shrink` without bounds, by Moreau's decomposition.

    Of nested blocks that is what is left by the columns and then by the blocks (Friedman, Hastie & Tibshirani 2010).
    """
    if blocks.nested:
        own, tau = _parts(V, tau)
        V = _soft(xp, V, own)
    norms = block_norms(xp, blocks, V)
    over = norms > tau
    factor = xp.where(over, 1 - tau / xp.where(over, norms, xp.ones_like(norms)), 0 * norms)
    return V * blocks.spread(xp, factor * keep)


def dual_scale(xp: Any, blocks: Blocks | HostBlocks, F: Array, tau: Array) -> tuple[Array, Array]:
    """How far forces F are from the dual ball ‖f_b‖ ≤ τ_b, whichever way they go.

    Returns
    -------
    theta : array, shape (n_rows,)
        Largest θ ≤ 1 for which θf lies in it: one over the dual norm, where that is above 1.
    over : array, shape (n_rows,)
        Squared distance from it.
    """
    if blocks.nested:
        left = beyond(xp, blocks, F, tau)
        return _nested_scale(xp, blocks, F, tau), xp.sum(left * left, axis=1)
    forces = block_norms(xp, blocks, F)
    outside = forces > tau
    theta = xp.min(xp.where(outside, tau / xp.where(outside, forces, 1 + 0 * forces), 1 + 0 * forces), axis=1)
    return theta, xp.sum(xp.where(outside, (forces - tau) ** 2, 0 * forces), axis=1)


def bounded_forces(
    xp: Any, blocks: Blocks | HostBlocks, W: Array, F: Array, tau: Array, lam2: Array
) -> tuple[tuple[Array, Array], tuple[Array, Array], Array]:
    """How far forces F on weights W with bounds are from where they gain nothing.

    A force that the dual ball does not hold may gain up to the bound, which costs little where the weight is there
    already. Two choices say which forces are not held: those on weights at their bounds, which is nearly right at a
    minimum; and all that have a bound, which no scale holds back far from it.

    Parameters
    ----------
    lam2 : array, shape (n_rows,)

    Returns
    -------
    at_bounds, all_bounds : tuple of (theta, gain), shapes (n_rows,) and (n_rows, n_features)
        The scale of the forces that brings those held within the ball, and what the others gain at that scale.
    over : array, shape (n_rows,)
        2λ₂ times what all of them gain with a ridge part λ₂/2‖w‖², unscaled; without bounds their squared distance from
        the ball.
    """
    if blocks.nested:
        return _group_forces(xp, blocks, W, F, tau, lam2)
    bound = xp.where(F > 0, blocks.upper + 0 * F, 0 * F - blocks.lower)
    has_bound = xp.isfinite(bound)
    room = xp.where(has_bound, bound, 0 * F)
    size = xp.abs(F)

    def choice(held: Array) -> tuple[Array, Array]:
        theta, _ = dual_scale(xp, blocks, held, tau)
        left = theta[:, None] * size - tau
        return theta, xp.where(left > 0, left * room, 0 * left)

    every = xp.where(has_bound, 0 * F, F)
    at_bounds = choice(unstopped(xp, blocks, from_zero(xp, blocks, F), W))
    excess, limit = size - tau, lam2[:, None] * room
    # a weight that the ridge part lets go to its bound gains along a line from there
    gain = xp.where(has_bound & (excess > limit), limit * (2 * excess - limit), excess * excess)
    return at_bounds, choice(every), xp.sum(xp.where(excess > 0, gain, 0 * gain), axis=1)


def least_subgradient(xp: Any, blocks: Blocks | HostBlocks, W: Array, grad: Array, tau: Array) -> Array:
    """The subgradient of least norm, block by block, (n_rows, n_features); ``grad`` of all but the norms."""
    norm = blocks.spread(xp, block_norms(xp, blocks, W))
    some = xp.where(norm > 0, norm, 1 + 0 * norm)
    if not blocks.nested:
        inside = grad + blocks.spread(xp, tau) * W / some
    else:
        own, of_block = _parts(W, tau)
        used = grad + xp.where(W > 0, own, -own) + blocks.spread(xp, of_block) * W / some
        inside = xp.where(W != 0, used, -_soft(xp, from_zero(xp, blocks, -grad), own))
    found = xp.where(norm > 0, inside, -beyond(xp, blocks, from_zero(xp, blocks, -grad), tau))
    return -unstopped(xp, blocks, -found, W)


def _boxed_shrink(xp: Any, blocks: HostBlocks | Blocks, V: Array, tau: Array, keep: Array | float) -> Array:
    """`shrink` of nested blocks with bounds: every block times a share s, and within its bounds.

    With v the block without the rest of the penalty, s = 1 − τ/φ(s) for φ(s) = ‖sv within bounds‖/s. φ falls with s,
    so that φ(s)(1 − s) − τ has one root, below that without bounds.
    """
    own, tau = _parts(V, tau)
    V = _soft(xp, from_zero(xp, blocks, V), own) * blocks.spread(xp, keep + 0 * tau)
    tau, norm = keep * tau, block_norms(xp, blocks, V)
    over = norm > tau
    low, high = 0 * norm, xp.where(over, 1 - tau / xp.where(over, norm, 1 + 0 * norm), 0 * norm)
    share = high
    for _ in range(HALVES):
        scaled = blocks.spread(xp, share) * V
        ended = block_norms(xp, blocks, within(xp, blocks, scaled)) * (1 - share) - tau * share
        low, high = xp.where(ended > 0, share, low), xp.where(ended > 0, high, share)
        # at first the root without bounds, which is right where none is in the way
        share = xp.where((low == high) | (ended == 0), share, (low + high) / 2)
    return within(xp, blocks, blocks.spread(xp, share) * V)


def _group_forces(
    xp: Any, blocks: Blocks | HostBlocks, W: Array, F: Array, tau: Array, lam2: Array
) -> tuple[tuple[Array, Array], tuple[Array, Array], Array]:
    """`bounded_forces` of nested blocks.

    There a weight at its bound has a share in the norm of its block, and so a force has that the norm pulls back. What
    is gained is a minimum over all ways to part a force between ball and bounds; the first is that at W.
    """
    own, of_block = _parts(W, tau)
    norm = block_norms(xp, blocks, W)
    pull = blocks.spread(xp, of_block / xp.where(norm > 0, norm, 1 + 0 * norm)) * W + lam2[:, None] * W
    pull = pull + xp.where(W > 0, own, -own)
    F = from_zero(xp, blocks, F)
    bound = xp.where(F > 0, blocks.upper + 0 * F, 0 * F - blocks.lower)
    has_bound = xp.isfinite(bound) | (F == 0)
    room = xp.where(xp.isfinite(bound), bound, 0 * F)
    stopped = (unstopped(xp, blocks, F, W) == 0) & (xp.abs(F) > xp.abs(pull))
    held = xp.where(stopped, pull, F)
    theta, over = dual_scale(xp, blocks, held, tau)
    gain = xp.abs(F - held) * room
    # where all columns of a block are bounded, what the ball does not hold is theirs
    whole = blocks.spread(xp, blocks.sums(xp, xp.where(has_bound, 0 * F, 1 + 0 * F))) == 0
    inside = xp.where(whole, held - beyond(xp, blocks, held, tau), held)
    other, _ = dual_scale(xp, blocks, inside, tau)
    others = other[:, None] * xp.abs(F - inside) * room
    return (theta, theta[:, None] * gain), (other, others), over + 2 * lam2 * xp.sum(gain, axis=1)


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
