"""Block coordinate descent on the penalised quadratic model, one neuron at a time, compiled."""

from __future__ import annotations

import numpy as np
from numba import njit

from popglm.solve.compact import INNER, JIT

__all__ = ["block_descent"]


@njit(**INNER)
def _shrink_block(r, H, tau, z):
    """z = argmin −r·z + ½ zᵀ diag(H) z + τ‖z‖: zero, or r/(H + τ/ν) with ν = ‖z‖ the root of a scalar equation."""
    size = len(r)
    norm2 = 0.0
    for k in range(size):
        norm2 += r[k] * r[k]
    if norm2 <= tau * tau:
        for k in range(size):
            z[k] = 0.0
        return
    if size == 1 or tau == 0.0:
        shrink = 1.0 - tau / np.sqrt(norm2)
        for k in range(size):
            z[k] = r[k] * shrink / H[k]
        return
    # Σ r²/(Hν + τ)² = 1; Newton on 1/√Σ, which is nearly linear in ν, from the left of the root
    top = H[0]
    for k in range(size):
        top = max(top, H[k])
    nu = (np.sqrt(norm2) - tau) / top
    for _ in range(30):
        total, slope = 0.0, 0.0
        for k in range(size):
            inv = 1.0 / (H[k] * nu + tau)
            t = r[k] * r[k] * inv * inv
            total += t
            slope += t * H[k] * inv
        step = total * (np.sqrt(total) - 1.0) / slope
        nu += step
        if abs(step) <= 1e-7 * nu:
            break
    for k in range(size):
        z[k] = r[k] / (H[k] + tau / nu)


@njit(**INNER)
def _curvature_vectors(c, S, Y, GS, count, U, V):
    """B = cG + Σ uuᵀ − Σ vvᵀ from the curvature pairs, oldest first (Nocedal & Wright 2006, eq. 6.19)."""
    memory, p = S.shape
    held = min(count, memory)
    for i in range(held):
        slot = (count - held + i) % memory
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


@njit(**INNER)
def _bound_block(c, G, U, V, R, sigma, lam2, ridge, lo, hi, bound):
    """A diagonal above the block lo:hi of B + λ₂I: cG is diagonal there, uuᵀ ⪯ ‖u‖²I, and −vvᵀ ⪯ 0."""
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


@njit(**INNER)
def _pack(c, G, U, V, R, sigma, ridge, at, B):
    """B on the working columns ``at``, as one dense matrix."""
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
    for m in range(n):
        row = G[at[m]]
        for k in range(n):
            B[m, k] += c * row[at[k]]
        B[m, m] += ridge
    if sigma > 0:
        for m in range(n):
            for k in range(n):
                B[m, k] += sigma * R[at[m], at[k]]


@njit(**INNER)
def _full_slope(c, G, U, V, R, sigma, ridge, at, step, grad, slope):
    """g + Bd in all columns, for a step in the working columns."""
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


@njit(**INNER)
def _solve_positive(A, x):
    """A⁻¹x by Cholesky, half the work of a general solver; 0 where rounding left A indefinite."""
    try:
        L = np.linalg.cholesky(A)
    except Exception:
        for k in range(len(x)):
            x[k] = 0.0
        return x
    for i in range(len(x)):
        total = x[i]
        for k in range(i):
            total -= L[i, k] * x[k]
        x[i] = total / L[i, i]
    for i in range(len(x) - 1, -1, -1):
        x[i] /= L[i, i]
        for k in range(i):
            x[k] -= L[i, k] * x[i]
    return x


@njit(**INNER)
def _newton_direction(B, first, tau, lam2, w, step, slope, direction):
    """Newton's direction for the model on the blocks that are not zero, where it is smooth."""
    n, used = len(w), 0
    at, norms = np.empty(n, np.int64), np.empty(len(tau), B.dtype)
    for b in range(len(tau)):
        norm2 = 0.0
        for k in range(first[b], first[b + 1]):
            norm2 += (w[k] + step[k]) ** 2
        norms[b] = np.sqrt(norm2)
        if norms[b] > 0:
            for k in range(first[b], first[b + 1]):
                at[used] = k
                used += 1
    for k in range(n):
        direction[k] = 0.0
    if used < 2:
        return
    A, force = np.empty((used, used), B.dtype), np.empty(used, B.dtype)
    trace = 0.0
    for m in range(used):
        for k in range(used):
            A[m, k] = B[at[m], at[k]]
        trace += A[m, m]
    start = 0
    for b in range(len(tau)):
        if not norms[b] > 0:
            continue
        lo, size, pull = first[b], first[b + 1] - first[b], tau[b] / norms[b]
        for m in range(size):
            z_m = w[lo + m] + step[lo + m]
            force[start + m] = -slope[lo + m] - (lam2 + pull) * z_m
            # rounding may make B slightly indefinite
            A[start + m, start + m] += lam2 + pull + 1e-6 * trace / used
            for k in range(size):
                A[start + m, start + k] -= pull * z_m * (w[lo + k] + step[lo + k]) / norms[b] ** 2
        start += size
    solution = _solve_positive(A, force)
    for m in range(used):
        direction[at[m]] = solution[m]


@njit(**INNER)
def _model_value(step, slope, grad, w, lam2, tau, first):
    """½dᵀ(g + slope) + λ₂/2‖w + d‖² + Σ τ_b‖w_b + d_b‖ over the working columns, slope = g + Bd."""
    value = 0.0
    for b in range(len(tau)):
        norm2 = 0.0
        for k in range(first[b], first[b + 1]):
            z = w[k] + step[k]
            norm2 += z * z
            value += 0.5 * step[k] * (grad[k] + slope[k])
        value += tau[b] * np.sqrt(norm2) + 0.5 * lam2 * norm2
    return value


@njit(**INNER)
def _sweep(B, bound, first, tau, lam2, w, step, slope, r, z):
    """One pass over all blocks; ``step`` and ``slope`` (= g + B step) are updated. Returns the decrease bound."""
    gained = 0.0
    for b in range(len(tau)):
        lo, hi = first[b], first[b + 1]
        size, H, top = hi - lo, bound[lo:hi], bound[lo]
        for k in range(size):
            top = max(top, H[k])
        if top <= 0.0:
            continue
        for k in range(size):
            here = w[lo + k] + step[lo + k]
            r[k] = H[k] * here - slope[lo + k] - lam2 * here
        _shrink_block(r[:size], H, tau[b], z[:size])
        for k in range(size):
            delta = z[k] - w[lo + k] - step[lo + k]
            if delta == 0.0:
                continue
            gained += H[k] * delta * delta
            step[lo + k] += delta
            row = B[lo + k]
            for m in range(len(step)):
                slope[m] += row[m] * delta
    return gained


@njit(**INNER)
def _descend(B, bound, first, tau, lam2, w, grad, step, slope, accuracy, max_sweeps):
    """Sweeps find which blocks are zero; a Newton step in the others, every fourth sweep, ends the slow tail.

    It has the last word too: along a direction of little curvature sweeps gain next to nothing, for very long.
    """
    n, kind = len(w), B.dtype
    r, z = np.empty(n, kind), np.empty(n, kind)
    direction, turn = np.empty(n, kind), np.empty(n, kind)
    guess_step, guess_slope = np.empty(n, kind), np.empty(n, kind)
    total = 0.0
    for sweep in range(max_sweeps):
        gained = _sweep(B, bound, first, tau, lam2, w, step, slope, r, z)
        total += gained
        settled = gained <= accuracy * total
        if not settled and sweep % 4 != 3:
            continue
        _newton_direction(B, first, tau, lam2, w, step, slope, direction)
        for k in range(n):
            turn[k] = 0.0
        for k in range(n):
            if direction[k] != 0.0:
                row, share = B[k], direction[k]
                for m in range(n):
                    turn[m] += row[m] * share
        now, leap = _model_value(step, slope, grad, w, lam2, tau, first), 0.0
        for size in (1.0, 0.5, 0.25):
            for k in range(n):
                guess_step[k] = step[k] + size * direction[k]
                guess_slope[k] = slope[k] + size * turn[k]
            then = _model_value(guess_step, guess_slope, grad, w, lam2, tau, first)
            if then < now:
                for k in range(n):
                    step[k], slope[k] = guess_step[k], guess_slope[k]
                leap = now - then
                total += leap
                break
        if settled and leap <= accuracy * total:
            break


@njit(**JIT)
def block_descent(
    G, R, starts, W, grad, c, S, Y, GS, count, tau, lam2, sigma, rounding, accuracy, max_sweeps, D, slopes
):
    """Steps that minimise gᵀd + ½dᵀBd + λ₂/2‖w + d‖² + Σ_b τ_b‖w_b + d_b‖ for every row of W.

    Parameters
    ----------
    G : ndarray, shape (n_features, n_features)
        Shared Gram matrix, diagonal inside each block.
    R : ndarray, shape (n_features, n_features) or (0, 0)
        Smoothness matrix; ``grad`` already holds σRw.
    starts : ndarray of int, shape (n_blocks + 1,)
    W, grad, D, slopes : ndarray, shape (n_neurons, n_features)
        Point, gradient; the step and the model's gradient g + Bd after it, which are written.
    c, lam2 : ndarray, shape (n_neurons,)
    S, Y, GS : ndarray, shape (n_neurons, memory, n_features)
        Curvature pairs as rings, with ``count`` pairs ever pushed.
    tau : ndarray, shape (n_neurons, n_blocks)
    rounding : float
        Relative error of the entries of B.
    accuracy : float
        A sweep that gains less than this share of all gained so far ends the descent.
    """
    n_neurons, p = W.shape
    n_blocks, memory, kind = len(starts) - 1, S.shape[1], G.dtype
    U, V = np.empty((memory, p), kind), np.empty((memory, p), kind)
    packed, bound, columns = np.empty(p * p, kind), np.empty(p, kind), np.empty(p, np.int64)
    working = np.empty(n_blocks, np.bool_)
    blocks, first, slope = np.empty(n_blocks, np.int64), np.zeros(n_blocks + 1, np.int64), np.empty(p, kind)
    trace = 0.0
    for k in range(p):
        trace += G[k, k]
    proximal = rounding * trace
    for j in range(n_neurons):
        held = _curvature_vectors(c[j], S[j], Y[j], GS[j], count[j], U, V)
        # a proximal term: rounding in UUᵀ − VVᵀ must not leave a direction of negative curvature
        ridge = proximal * c[j]
        for b in range(n_blocks):
            lo, hi = starts[b], starts[b + 1]
            _bound_block(c[j], G, U[:held], V[:held], R, sigma, lam2[j], ridge, lo, hi, bound)
            force, used = 0.0, False
            for k in range(lo, hi):
                force += grad[j, k] * grad[j, k]
                used = used or W[j, k] != 0.0
            working[b] = used or force > tau[j, b] * tau[j, b]
        for k in range(p):
            slope[k], D[j, k] = grad[j, k], 0.0
        for _ in range(6):
            n, n_working = 0, 0
            for b in range(n_blocks):
                if working[b]:
                    for k in range(starts[b], starts[b + 1]):
                        columns[n] = k
                        n += 1
                    blocks[n_working] = b
                    n_working += 1
                    first[n_working] = n
            if n == 0:
                break
            at = columns[:n]
            B = packed[: n * n].reshape(n, n)
            _pack(c[j], G, U[:held], V[:held], R, sigma, ridge, at, B)
            w, g, step, local = np.empty(n, kind), np.empty(n, kind), np.empty(n, kind), np.empty(n, kind)
            H, thresholds = np.empty(n, kind), np.empty(n_working, kind)
            for k in range(n):
                w[k], g[k], step[k], local[k] = W[j, at[k]], grad[j, at[k]], D[j, at[k]], slope[at[k]]
                H[k] = bound[at[k]]
            for b in range(n_working):
                thresholds[b] = tau[j, blocks[b]]
            _descend(B, H, first, thresholds, lam2[j], w, g, step, local, accuracy, max_sweeps)
            for k in range(n):
                D[j, at[k]] = step[k]
            _full_slope(c[j], G, U[:held], V[:held], R, sigma, ridge, at, step, grad[j], slope)
            added = False
            for b in range(n_blocks):
                if not working[b]:
                    force = 0.0
                    for k in range(starts[b], starts[b + 1]):
                        force += slope[k] * slope[k]
                    if force > tau[j, b] * tau[j, b]:
                        working[b] = added = True
            if not added:
                break
        for k in range(p):
            slopes[j, k] = slope[k]
