"""The quadratic model of one neuron in its working columns, as one dense matrix, and its minimiser, compiled."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numba import njit

from popglm.solve.compact import INNER

__all__ = ["WorkingModel", "descend", "shrink_block"]


class WorkingModel(NamedTuple):
    """gᵀd + ½dᵀBd + λ₂/2‖w + d‖² + Σ_b τ_b‖w_b + d_b‖ in the working columns of one neuron.

    Attributes
    ----------
    B : ndarray, shape (n, n)
    bound : ndarray, shape (n,)
        A diagonal above each block of B + λ₂I.
    first : ndarray of int, shape (at least n_blocks + 1,)
        Block b has the columns first[b]:first[b + 1].
    tau : ndarray, shape (n_blocks,)
    lam2 : float
    w, grad : ndarray, shape (n,)
    """

    B: np.ndarray
    bound: np.ndarray
    first: np.ndarray
    tau: np.ndarray
    lam2: float
    w: np.ndarray
    grad: np.ndarray


@njit(**INNER)
def shrink_block(r, H, tau, z):
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
def _newton_direction(model, step, slope, direction):
    """Newton's direction for the model on the blocks that are not zero, where it is smooth."""
    B, first, tau, lam2, w = model.B, model.first, model.tau, model.lam2, model.w
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
def _model_value(model, step, slope):
    """½dᵀ(g + slope) + λ₂/2‖w + d‖² + Σ τ_b‖w_b + d_b‖ over the working columns, slope = g + Bd."""
    grad, w, lam2, tau, first = model.grad, model.w, model.lam2, model.tau, model.first
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
def _sweep(model, step, slope, r, z):
    """One pass over all blocks; ``step`` and ``slope`` (= g + B step) are updated. Returns the decrease bound."""
    B, bound, first, tau, lam2, w = model.B, model.bound, model.first, model.tau, model.lam2, model.w
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
        shrink_block(r[:size], H, tau[b], z[:size])
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
def descend(model, step, slope, limits):
    """Sweeps find which blocks are zero; a Newton step in the others, every fourth sweep, ends the slow tail.

    It has the last word too: along a direction of little curvature sweeps gain next to nothing, for very long.
    """
    B, accuracy = model.B, limits.accuracy
    n, kind = len(model.w), B.dtype
    r, z = np.empty(n, kind), np.empty(n, kind)
    direction, turn = np.empty(n, kind), np.empty(n, kind)
    guess_step, guess_slope = np.empty(n, kind), np.empty(n, kind)
    total = 0.0
    for sweep in range(limits.max_sweeps):
        gained = _sweep(model, step, slope, r, z)
        total += gained
        settled = gained <= accuracy * total
        if not settled and sweep % 4 != 3:
            continue
        _newton_direction(model, step, slope, direction)
        for k in range(n):
            turn[k] = 0.0
        for k in range(n):
            if direction[k] != 0.0:
                row, share = B[k], direction[k]
                for m in range(n):
                    turn[m] += row[m] * share
        now, leap = _model_value(model, step, slope), 0.0
        for size in (1.0, 0.5, 0.25):
            for k in range(n):
                guess_step[k] = step[k] + size * direction[k]
                guess_slope[k] = slope[k] + size * turn[k]
            then = _model_value(model, guess_step, guess_slope)
            if then < now:
                for k in range(n):
                    step[k], slope[k] = guess_step[k], guess_slope[k]
                leap = now - then
                total += leap
                break
        if settled and leap <= accuracy * total:
            break
