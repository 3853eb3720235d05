"""The penalised quadratic model around a diagonal metric, by block coordinate descent, compiled.

A step costs as many multiplications as columns times curvature pairs: no matrix of columns × columns is needed.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from popglm.solve.compiled.compiling import compiled, inner_compiled
from popglm.solve.step_solvers.blocks import curvature_vectors
from popglm.solve.step_solvers.working_set import shrink_block

__all__ = ["diagonal_descent"]

#: Sweeps over the blocks in use between two over all blocks, at most.
INSIDE = 8
#: Added to the diagonal, in roundings of its parts: these must not leave a direction of negative curvature.
ROUNDINGS = 8


@inner_compiled
def _bound_block(diagonal, Q, held, lam2, lo, hi, bound):
    """A diagonal above the block lo:hi of B + λ₂I: uuᵀ ⪯ ‖u‖²I and −vvᵀ ⪯ 0; of one column the value itself."""
    above, below = 0.0, 0.0
    for k in range(lo, hi):
        for i in range(held):
            above += Q[k, i] * Q[k, i]
            below += Q[k, held + i] * Q[k, held + i]
    for k in range(lo, hi):
        bound[k] = diagonal[k] + above + lam2
        if hi - lo == 1:
            # away from what rounding makes of a difference
            bound[k] = max(bound[k] - below, 1e-3 * bound[k])


class _Model(NamedTuple):
    """g + Bd of one neuron, B = diag + QJQᵀ with J of 1 and −1; ``bound`` is a diagonal above the blocks of B + λ₂I."""

    diagonal: np.ndarray
    Q: np.ndarray
    bound: np.ndarray
    w: np.ndarray
    grad: np.ndarray


class _Norms(NamedTuple):
    """Σ_b τ_b‖w_b‖ + λ₂/2‖w‖² of one neuron, within bounds of blocks of one column; no bounds where these are empty."""

    starts: np.ndarray
    tau: np.ndarray
    lam2: float
    lower: np.ndarray
    upper: np.ndarray


class _State(NamedTuple):
    """The step d, QᵀJd, the blocks in use, and room for two blocks."""

    step: np.ndarray
    inner: np.ndarray
    used: np.ndarray
    r: np.ndarray
    z: np.ndarray


@inner_compiled
def _sweep(model, norms, state, all_blocks):
    """One pass over all blocks, or those in use, which brings the state up to date; returns the decrease."""
    diagonal, Q, bound, w, grad = model
    starts, tau, lam2, lower, upper = norms
    step, inner, used, r, z = state
    gained, n = 0.0, Q.shape[1]
    held = n // 2
    for b in range(len(tau)):
        if not (all_blocks or used[b]):
            continue
        lo, hi = starts[b], starts[b + 1]
        top = 0.0
        for k in range(lo, hi):
            top = max(top, bound[k])
        if top <= 0.0:
            continue
        for k in range(lo, hi):
            slope, own = grad[k] + diagonal[k] * step[k], Q[k]
            for i in range(n):
                slope += own[i] * inner[i]
            here = w[k] + step[k]
            # directions without any variance hardly move
            bound[k] = max(bound[k], 1e-7 * top)
            r[k - lo] = (bound[k] - lam2) * here - slope
        shrink_block(r[: hi - lo], bound[lo:hi], tau[b], z[: hi - lo])
        if len(lower) > 0:
            z[0] = min(max(z[0], lower[lo]), upper[lo])
        in_use = False
        for k in range(lo, hi):
            delta = z[k - lo] - w[k] - step[k]
            in_use = in_use or z[k - lo] != 0.0
            if delta == 0.0:
                continue
            gained += bound[k] * delta * delta
            step[k] += delta
            own = Q[k]
            for i in range(held):
                inner[i] += own[i] * delta
                inner[held + i] -= own[held + i] * delta
        used[b] = in_use
    return gained


@compiled
def diagonal_descent(G, norms, pairs, rows, c, W, grad, limits):
    """Steps that minimise gᵀd + ½dᵀBd + λ₂/2‖w + d‖² + Σ_b τ_b‖w_b + d_b‖, B = c diag(G) + pairs, for rows of W.

    Parameters
    ----------
    G : ndarray, shape (n_neurons, n_features)
        diag(G) of each.
    norms : tuple of Norms and two ndarray
        See `blocks.Norms`; and bounds of w + d (n_features,) where every column is a block, or empty.
    pairs : popglm.solve.curvature.compact.Pairs
    rows : ndarray of int, shape (n_neurons,)
        Of these neurons in ``pairs``.
    c : ndarray, shape (n_neurons,)
    W, grad : ndarray, shape (n_neurons, n_features)
    limits : popglm.solve.step_solvers.blocks.Limits

    Returns
    -------
    D, slopes : ndarray, shape (n_neurons, n_features)
        The step, and the model's gradient g + Bd after it.
    """
    (starts, tau, lam2), lower, upper = norms
    S, Y, GS, kept = pairs
    n_neurons, p = W.shape
    memory, kind = S.shape[1], W.dtype
    D, slopes = np.zeros((n_neurons, p), kind), np.empty((n_neurons, p), kind)
    U, V = np.empty((memory, p), kind), np.empty((memory, p), kind)
    diagonal, bound, r, z = np.empty(p, kind), np.empty(p, kind), np.empty(p, kind), np.empty(p, kind)
    used, eps = np.empty(len(starts) - 1, np.bool_), ROUNDINGS * np.finfo(kind).eps
    for j in range(n_neurons):
        i = rows[j]
        held = curvature_vectors(c[j], S[i], Y[i], GS[i], kept[i], U, V)
        Q, inner = np.empty((p, 2 * held), kind), np.zeros(2 * held, kind)
        for k in range(p):
            size = c[j] * G[j, k]
            for a in range(held):
                Q[k, a], Q[k, held + a] = U[a, k], V[a, k]
                size += U[a, k] * U[a, k] + V[a, k] * V[a, k]
            diagonal[k] = c[j] * G[j, k] + eps * size
        for b in range(len(starts) - 1):
            _bound_block(diagonal, Q, held, lam2[j], starts[b], starts[b + 1], bound)
        model, own = _Model(diagonal, Q, bound, W[j], grad[j]), _Norms(starts, tau[j], lam2[j], lower, upper)
        state = _State(D[j], inner, used, r, z)
        total, inside, everywhere = 0.0, 0, True
        for _ in range(limits.max_sweeps):
            gained = _sweep(model, own, state, everywhere)
            total += gained
            settled = gained <= limits.accuracy * total
            if settled and everywhere:
                break
            # blocks that are not in use are looked at again once the others have settled
            inside = 0 if everywhere else inside + 1
            everywhere = settled or inside >= INSIDE
        for k in range(p):
            slopes[j, k] = grad[j, k] + diagonal[k] * D[j, k]
            for a in range(2 * held):
                slopes[j, k] += Q[k, a] * inner[a]
    return D, slopes
