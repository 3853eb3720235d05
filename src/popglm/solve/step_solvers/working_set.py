"""The quadratic model of one neuron in its working columns, as one dense matrix, and its minimiser, compiled."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from popglm.solve.compiled.compiling import inner_compiled
from popglm.solve.curvature.compact import dots

__all__ = ["WorkingModel", "descend", "shrink_block"]

#: Sweeps between Newton steps, and products with B of one of these at most.
NEWTON_AFTER, MAX_PRODUCTS = 2, 80


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


@inner_compiled
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


@inner_compiled
def _smooth_part(model, step, slope, along, diagonal, pull, force):
    """The blocks that are not zero, where the norms are smooth: their curvature diag(diagonal) − Σ pull aaᵀ, and −∇.

    ``along`` holds a, the blocks over their norms. Blocks that are zero have a diagonal of −1.
    """
    first, tau, lam2, w = model.first, model.tau, model.lam2, model.w
    for b in range(len(tau)):
        norm2 = 0.0
        for k in range(first[b], first[b + 1]):
            norm2 += (w[k] + step[k]) ** 2
        norm = np.sqrt(norm2)
        pull[b] = tau[b] / norm if norm > 0.0 else 0.0
        for k in range(first[b], first[b + 1]):
            if norm > 0.0:
                along[k], diagonal[k] = (w[k] + step[k]) / norm, lam2 + pull[b]
                force[k] = -slope[k] - diagonal[k] * (w[k] + step[k])
            else:
                along[k], diagonal[k], force[k] = 0.0, -1.0, 0.0


@inner_compiled
def _newton_direction(model, step, slope, accuracy, direction, turn):
    """Newton's direction on the blocks that are not zero, and B times it, by conjugate gradients.

    A product with B takes a sixtieth of the time of a Cholesky factor (318 columns).
    """
    B, first, n, kind = model.B, model.first, len(model.w), model.B.dtype
    along, diagonal, r, z = np.empty(n, kind), np.empty(n, kind), np.empty(n, kind), np.empty(n, kind)
    search, product, pull = np.empty(n, kind), np.empty(n, kind), np.empty(len(model.tau), kind)
    _smooth_part(model, step, slope, along, diagonal, pull, r)
    energy = 0.0
    for k in range(n):
        direction[k] = turn[k] = 0.0
        z[k] = r[k] / (B[k, k] + diagonal[k]) if diagonal[k] >= 0.0 else 0.0
        search[k] = z[k]
        energy += r[k] * z[k]
    goal = accuracy * energy
    for _ in range(MAX_PRODUCTS):
        dots(B, search, product)
        curvature = 0.0
        for b in range(len(pull)):
            inner = 0.0
            for k in range(first[b], first[b + 1]):
                inner += along[k] * search[k]
            for k in range(first[b], first[b + 1]):
                z[k] = product[k] + diagonal[k] * search[k] - pull[b] * inner * along[k]
                curvature += search[k] * z[k]
        # rounding may make B slightly indefinite
        if not curvature > 0.0:
            break
        share, new = energy / curvature, 0.0
        for k in range(n):
            direction[k] += share * search[k]
            turn[k] += share * product[k]
            r[k] -= share * z[k]
            z[k] = r[k] / (B[k, k] + diagonal[k]) if diagonal[k] >= 0.0 else 0.0
            new += r[k] * z[k]
        if new <= goal:
            break
        share, energy = new / energy, new
        for k in range(n):
            search[k] = z[k] + share * search[k]


@inner_compiled
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


@inner_compiled
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


@inner_compiled
def _leave(model, step, slope):
    """Set to zero what a sweep would: Newton's steps only come near it, and what is left would count as a weight."""
    B, bound, first, tau, lam2, w = model.B, model.bound, model.first, model.tau, model.lam2, model.w
    for b in range(len(tau)):
        norm2, force2 = 0.0, 0.0
        for k in range(first[b], first[b + 1]):
            here = w[k] + step[k]
            r = (bound[k] - lam2) * here - slope[k]
            norm2 += here * here
            force2 += r * r
        if norm2 == 0.0 or force2 > tau[b] * tau[b]:
            continue
        for k in range(first[b], first[b + 1]):
            delta = -(w[k] + step[k])
            step[k] = -w[k]
            row = B[k]
            for m in range(len(step)):
                slope[m] += row[m] * delta


@inner_compiled
def _leap(model, step, slope, accuracy, work):
    """Take Newton's step, a half or a quarter of it, if the model falls; returns by how much, and whether whole."""
    direction, turn, guess_step, guess_slope = work
    _newton_direction(model, step, slope, accuracy, direction, turn)
    now = _model_value(model, step, slope)
    for size in (1.0, 0.5, 0.25):
        for k in range(len(step)):
            guess_step[k] = step[k] + size * direction[k]
            guess_slope[k] = slope[k] + size * turn[k]
        then = _model_value(model, guess_step, guess_slope)
        if then < now:
            for k in range(len(step)):
                step[k], slope[k] = guess_step[k], guess_slope[k]
            return now - then, size == 1.0
    return 0.0, False


@inner_compiled
def descend(model, step, slope, limits):
    """Sweeps find which blocks are zero; a Newton step in the others, every second sweep, ends the slow tail.

    Along a direction of little curvature sweeps gain next to nothing, for very long. So a sweep that gains little ends
    the descent where a whole Newton step came before it, or where one after it gains little, too.
    """
    accuracy, n, kind = limits.accuracy, len(model.w), model.B.dtype
    r, z = np.empty(n, kind), np.empty(n, kind)
    work = (np.empty(n, kind), np.empty(n, kind), np.empty(n, kind), np.empty(n, kind))
    total, whole = 0.0, False
    for sweep in range(limits.max_sweeps):
        gained = _sweep(model, step, slope, r, z)
        total += gained
        settled = gained <= accuracy * total
        if settled and whole:
            break
        whole = False
        if not settled and sweep % NEWTON_AFTER != NEWTON_AFTER - 1:
            continue
        leap, whole = _leap(model, step, slope, accuracy, work)
        total += leap
        if settled and leap <= accuracy * total:
            break
    _leave(model, step, slope)
