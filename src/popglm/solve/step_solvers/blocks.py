"""Block coordinate descent on the penalised quadratic model, one neuron at a time, compiled."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np

from popglm.solve.compiled.compiling import compiled, inner_compiled
from popglm.solve.step_solvers.working_set import WorkingModel, descend
from popglm.statistics.penalties import Penalty

__all__ = ["Limits", "Metric", "Norms", "Places", "block_descent", "curvature_vectors", "descent"]

MAX_SWEEPS = 80


class Metric(NamedTuple):
    """What the models of all neurons are made of.

    Attributes
    ----------
    G : ndarray, shape (n_models, n_features, n_features)
        Gram matrices, diagonal inside each block.
    R : ndarray, shape (n_features, n_features) or (0, 0)
        Smoothness matrix.
    sigma : float
        Its strength.
    rounding : float
        Relative error of the entries of B.
    """

    G: np.ndarray
    R: np.ndarray
    sigma: float
    rounding: float


class Places(NamedTuple):
    """Where the Gram matrices of some neurons lie among all, and where their curvature pairs do; (n_neurons,) each."""

    slots: np.ndarray
    rows: np.ndarray


class Limits(NamedTuple):
    """When a descent ends.

    Attributes
    ----------
    accuracy : float
        A sweep that gains less than this share of all gained so far is the last one.
    max_sweeps : int
    """

    accuracy: float
    max_sweeps: int


class Norms(NamedTuple):
    """Σ_b τ_b‖w_b‖ + λ₂/2‖w‖².

    Attributes
    ----------
    starts : ndarray of int, shape (n_blocks + 1,)
        First column of every block, and the number of columns.
    tau : ndarray, shape (n_neurons, n_blocks)
    lam2 : ndarray, shape (n_neurons,)
    """

    starts: np.ndarray
    tau: np.ndarray
    lam2: np.ndarray


class _Curvature(NamedTuple):
    """B = cG + ridge·I + σR + Σ uuᵀ − Σ vvᵀ of one neuron."""

    c: float
    G: np.ndarray
    U: np.ndarray
    V: np.ndarray
    R: np.ndarray
    sigma: float
    ridge: float


def descent(penalty: Penalty, dtype: Any) -> Callable[..., tuple[np.ndarray, np.ndarray]]:
    """`block_descent` under a penalty: D and slopes from all G and pairs, and of some neurons W, grad, c, τ and λ₂."""
    R = np.zeros((0, 0), dtype) if penalty.R is None else np.ascontiguousarray(penalty.R, dtype)
    sigma, rounding = dtype.type(penalty.smoothness), dtype.type(np.finfo(dtype).eps)
    # the model is rarely better than a few digits, so no more are asked of its minimiser
    limits = Limits(dtype.type(1e-3 if dtype == np.float32 else 1e-6), MAX_SWEEPS)

    def minimise(G, pairs, places, W, grad, c, tau, lam2) -> tuple[np.ndarray, np.ndarray]:
        """The steps, and the models' gradients after them."""
        metric, norms = Metric(G, R, sigma, rounding), Norms(penalty.starts, tau, lam2)
        return block_descent(metric, norms, pairs, places, c, W, grad, limits)

    return minimise


@inner_compiled
def curvature_vectors(c, S, Y, GS, kept, U, V):
    """B = cG + Σ uuᵀ − Σ vvᵀ from the curvature pairs, oldest first (Nocedal & Wright 2006, eq. 6.19)."""
    memory, p = S.shape
    held = min(kept, memory)
    for i in range(held):
        slot = (kept - held + i) % memory
        ys = 0.0
        for k in range(p):
            ys += Y[slot, k] * S[slot, k]
            V[i, k] = c * GS[slot, k]
        root = np.sqrt(ys)
        for k in range(p):
            U[i, k] = Y[slot, k] / root
        for past in range(i):
            us, vs = 0.0, 0.0
            for k in range(p):
                us += U[past, k] * S[slot, k]
                vs += V[past, k] * S[slot, k]
            for k in range(p):
                V[i, k] += us * U[past, k] - vs * V[past, k]
        sBs = 0.0
        for k in range(p):
            sBs += S[slot, k] * V[i, k]
        root = np.sqrt(sBs) if sBs > 0 else 1.0
        for k in range(p):
            V[i, k] /= root
    return held


@inner_compiled
def _bound_block(curvature, lam2, lo, hi, bound):
    """A diagonal above the block lo:hi of B + λ₂I: cG is diagonal there, uuᵀ ⪯ ‖u‖²I, and −vvᵀ ⪯ 0."""
    c, G, U, V, R, sigma, ridge = curvature
    low_rank, known, stiff = 0.0, 0.0, 0.0
    for i in range(len(U)):
        for k in range(lo, hi):
            low_rank += U[i, k] * U[i, k]
            known += V[i, k] * V[i, k]
    if sigma > 0:
        # the largest absolute row sum bounds the eigenvalues of a block of R
        for k in range(lo, hi):
            total = 0.0
            for m in range(lo, hi):
                total += abs(R[k, m])
            stiff = max(stiff, sigma * total)
    top = 0.0
    for k in range(lo, hi):
        bound[k] = c * G[k, k] + low_rank + stiff + lam2 + ridge
        if hi - lo == 1:
            # one column: no bound but the value itself, away from what rounding makes of a difference
            bound[k] = max(bound[k] - known, 1e-3 * bound[k])
        top = max(top, bound[k])
    for k in range(lo, hi):
        # directions without any variance hardly move
        bound[k] = max(bound[k], 1e-7 * top)


@inner_compiled
def _pack(curvature, at, B):
    """B on the working columns ``at``, as one dense matrix."""
    c, G, U, V, R, sigma, ridge = curvature
    n, held = len(at), len(U)
    left, right = np.empty((n, 2 * held), G.dtype), np.empty((2 * held, n), G.dtype)
    for i in range(held):
        for k in range(n):
            right[i, k] = left[k, i] = U[i, at[k]]
            left[k, held + i] = V[i, at[k]]
            right[held + i, k] = -V[i, at[k]]
    if held > 0:
        np.dot(left, right, B)
    else:
        for m in range(n):
            for k in range(n):
                B[m, k] = 0.0
    # columns side by side in G are read together: one at a time takes longer than all that follows
    runs = np.empty(n + 1, np.int64)
    n_runs = 0
    for k in range(n):
        if k == 0 or at[k] != at[k - 1] + 1:
            runs[n_runs] = k
            n_runs += 1
    runs[n_runs] = n
    for m in range(n):
        row, into = G[at[m]], B[m]
        for i in range(n_runs):
            lo, hi = runs[i], runs[i + 1]
            own, place = row[at[lo] : at[lo] + hi - lo], into[lo:hi]
            for k in range(hi - lo):
                place[k] += c * own[k]
        B[m, m] += ridge
    if sigma > 0:
        for m in range(n):
            for k in range(n):
                B[m, k] += sigma * R[at[m], at[k]]


@inner_compiled
def _full_slope(curvature, at, step, grad, slope):
    """g + Bd in all columns, for a step in the working columns."""
    c, G, U, V, R, sigma, ridge = curvature
    p = len(slope)
    for k in range(p):
        slope[k] = grad[k]
    for m in range(len(at)):
        if step[m] != 0.0:
            row, scale = G[at[m]], c * step[m]
            slope[at[m]] += ridge * step[m]
            for k in range(p):
                slope[k] += scale * row[k]
            if sigma > 0:
                for k in range(p):
                    slope[k] += sigma * R[at[m], k] * step[m]
    for i in range(len(U)):
        u, v = 0.0, 0.0
        for m in range(len(at)):
            u += U[i, at[m]] * step[m]
            v += V[i, at[m]] * step[m]
        for k in range(p):
            slope[k] += U[i, k] * u - V[i, k] * v


@inner_compiled
def _force2(slope, lo, hi):
    """‖slope_b‖² of the block lo:hi."""
    total = 0.0
    for k in range(lo, hi):
        total += slope[k] * slope[k]
    return total


@inner_compiled
def _gather(working, starts, columns, blocks, first):
    """Columns and numbers of the working blocks, and where each begins among these; returns how many of both."""
    n, n_working = 0, 0
    for b in range(len(working)):
        if working[b]:
            for k in range(starts[b], starts[b + 1]):
                columns[n] = k
                n += 1
            blocks[n_working] = b
            n_working += 1
            first[n_working] = n
    return n, n_working


@compiled
def block_descent(metric, norms, pairs, places, c, W, grad, limits):
    """Steps that minimise gᵀd + ½dᵀBd + λ₂/2‖w + d‖² + Σ_b τ_b‖w_b + d_b‖ for every row of W.

    Parameters
    ----------
    metric : Metric
    norms : Norms
    pairs : Pairs
    places : Places
    c : ndarray, shape (n_neurons,)
    W, grad : ndarray, shape (n_neurons, n_features)
        Point, and gradient, which already holds σRw.
    limits : Limits

    Returns
    -------
    D, slopes : ndarray, shape (n_neurons, n_features)
        The step, and the model's gradient g + Bd after it.
    """
    R, sigma, rounding = metric.R, metric.sigma, metric.rounding
    starts, tau, lam2 = norms
    S, Y, GS, kept = pairs
    n_neurons, p = W.shape
    n_blocks, memory, kind = len(starts) - 1, S.shape[1], W.dtype
    D, slopes = np.empty((n_neurons, p), kind), np.empty((n_neurons, p), kind)
    U, V = np.empty((memory, p), kind), np.empty((memory, p), kind)
    packed, bound, columns = np.empty(p * p, kind), np.empty(p, kind), np.empty(p, np.int64)
    working = np.empty(n_blocks, np.bool_)
    blocks, first = np.empty(n_blocks, np.int64), np.zeros(n_blocks + 1, np.int64)
    for j in range(n_neurons):
        G, i = metric.G[places.slots[j]], places.rows[j]
        held = curvature_vectors(c[j], S[i], Y[i], GS[i], kept[i], U, V)
        trace = 0.0
        for k in range(p):
            trace += G[k, k]
        # a proximal term: rounding in UUᵀ − VVᵀ must not leave a direction of negative curvature
        curvature = _Curvature(c[j], G, U[:held], V[:held], R, sigma, rounding * trace * c[j])
        slope = slopes[j]
        for k in range(p):
            slope[k], D[j, k] = grad[j, k], 0.0
        for b in range(n_blocks):
            lo, hi = starts[b], starts[b + 1]
            _bound_block(curvature, lam2[j], lo, hi, bound)
            used = False
            for k in range(lo, hi):
                used = used or W[j, k] != 0.0
            working[b] = used or _force2(slope, lo, hi) > tau[j, b] * tau[j, b]
        for _ in range(6):
            n, n_working = _gather(working, starts, columns, blocks, first)
            if n == 0:
                break
            at = columns[:n]
            B = packed[: n * n].reshape(n, n)
            _pack(curvature, at, B)
            w, g, step, local = np.empty(n, kind), np.empty(n, kind), np.empty(n, kind), np.empty(n, kind)
            H, thresholds = np.empty(n, kind), np.empty(n_working, kind)
            for k in range(n):
                w[k], g[k], step[k], local[k] = W[j, at[k]], grad[j, at[k]], D[j, at[k]], slope[at[k]]
                H[k] = bound[at[k]]
            for b in range(n_working):
                thresholds[b] = tau[j, blocks[b]]
            descend(WorkingModel(B, H, first, thresholds, lam2[j], w, g), step, local, limits)
            for k in range(n):
                D[j, at[k]] = step[k]
            _full_slope(curvature, at, step, grad[j], slope)
            added = False
            for b in range(n_blocks):
                if not working[b] and _force2(slope, starts[b], starts[b + 1]) > tau[j, b] * tau[j, b]:
                    working[b] = added = True
            if not added:
                break
    return D, slopes
