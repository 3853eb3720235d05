"""Newton steps on the penalised quadratic model, for neurons that use nearly all blocks.

Away from zero a norm is smooth, and the model's minimiser solves (B + T)x = −∇ with T the curvature of the penalty, one
block on the diagonal for each group. Conjugate gradients need one to four products with B for a tenth of the residual
when they are preconditioned by the two-loop recursion around (cG + t̄I)⁻¹: that inverts B but for the spread of T around
its mean t̄. At weak strengths this takes the place of packed matrices and Cholesky factors, whose cost grows with p³.
"""

from __future__ import annotations

import numpy as np
from numba import njit

from popglm.solve.blocks import _shrink_block
from popglm.solve.compact import JIT, LocalModel, _add_rows, _dots
from popglm.statistics import norms as norm_sums

__all__ = ["newton_steps", "precondition"]

#: A step is good when the model can still decrease by no more than this share of what it has; and conjugate gradients
#: end at this share of the energy that the residual had. Better steps take more time and no fewer evaluations.
ACCURACY = 0.1
MAX_STEPS, MAX_PRODUCTS, SWEEPS = 2, 4, 3
STIFFEST = 1e6


def precondition(model: LocalModel, X: np.ndarray, t: np.ndarray) -> np.ndarray:
    """About (B + t I)⁻¹X: the two-loop recursion (Nocedal & Wright 2006, alg. 7.4) with y + ts for y."""
    X, alpha = X.copy(), np.zeros((len(X), model.S.shape[1]), X.dtype)
    _first_loop(model.rows, model.S, model.Y, model.count, t, X, alpha)
    base = np.outer(model.c, model.values) + t[:, None]
    X = model.product(model.product(X, model.vectors) / base, model.transposed)
    _second_loop(model.rows, model.S, model.Y, model.count, t, X, alpha)
    return X


def newton_steps(model: LocalModel, W: np.ndarray, grad: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Minimise the models of some neurons: sweeps where blocks come and go, Newton steps on those in use.

    Parameters
    ----------
    W, grad : ndarray, shape (n_neurons, n_features)

    Returns
    -------
    D, slope : ndarray, shape (n_neurons, n_features)
        Step, and gradient g + BD of the model after it.
    left : ndarray, shape (n_neurons,)
        What the model can still decrease, about.
    """
    penalty, starts = model.penalty, model.penalty.starts[:-1]
    block = penalty.block_of_column
    kind, tiny = W.dtype, np.finfo(W.dtype).tiny
    all_D, all_slope, all_gained, all_left = np.zeros_like(W), grad.copy(), np.zeros(len(W)), np.zeros(len(W))
    todo, shortened = np.arange(len(W)), np.zeros(len(W), bool)
    for attempt in range(MAX_STEPS + 1):
        own = model.take(todo) if len(todo) < len(W) else model
        D, slope, gained = all_D[todo], all_slope[todo], all_gained[todo]
        norms = penalty.block_norms(W[todo] + D)
        forces = penalty.block_norms(slope)
        wanting = ((forces > own.tau) & (norms == 0)).any(axis=1)
        unsettled = wanting | shortened
        if unsettled.any():
            part, cut = own.take(unsettled), [D[unsettled], slope[unsettled]]
            gained[unsettled] += _sweep(
                SWEEPS, part.c, own.G, penalty.starts, part.tau, part.lam2, part.rows, part.GS, part.Y, part.middle,
                W[todo][unsettled], *cut,
            )  # fmt: skip
            D[unsettled], slope[unsettled] = cut
        Z = W[todo] + D
        norms = penalty.block_norms(Z)
        used = norms > 0
        # a block on its way to zero, where its norm bends without bound
        bend = np.where(used, own.tau / np.maximum(norms, tiny), 0)
        bend = np.minimum(bend, STIFFEST * own.c[:, None] * own.values[-1])
        on = used[:, block].astype(kind)
        curved = bend[:, block] + own.lam2[:, None]
        residual = (slope + curved * Z) * on
        t = own.lam2 + np.einsum("ij,j->i", bend, np.maximum(penalty.block_sizes - 1, 0)) / len(block)
        t = np.maximum(t, np.finfo(kind).eps * own.c * own.values[-1]).astype(kind)
        # blocks that the penalty holds tighter, or less tight, than the mean of all
        size = np.maximum(np.outer(own.c, np.diag(own.G)), 0) + t[:, None]
        stretch = np.sqrt(size / (size + np.where(on > 0, curved - t[:, None], 0))) * on
        first = precondition(own, residual * stretch, t) * stretch
        left = 0.5 * np.einsum("ij,ij->i", residual, first)
        all_D[todo], all_slope[todo], all_gained[todo] = D, slope, gained
        # blocks at zero that want to leave it count with what their norms do not hold
        outside = norm_sums.shrink(np, penalty.blocks, slope, own.tau, ~used)
        wanting = outside.any(axis=1)
        if wanting.any():
            whole, scale = (residual + outside)[wanting], np.where(on > 0, stretch, 1)[wanting]
            decrement = precondition(own.take(wanting), whole * scale, t[wanting]) * scale
            left[wanting] = 0.5 * np.einsum("ij,ij->i", whole, decrement)
        all_left[todo] = left
        go = shortened if attempt else unsettled | (left > ACCURACY * gained)
        if not go.any() or attempt == MAX_STEPS:
            break
        if not go.all():
            own, todo = own.take(go), todo[go]
            Z, D, slope, bend, on, stretch, curved, residual, first, t = (
                a[go] for a in (Z, D, slope, bend, on, stretch, curved, residual, first, t)
            )
        # where Newton's step was too long, a norm's curvature along its own vector, 0, is taken for that across it: the
        # quadratic then lies above the norm and every step decreases (Hunter & Lange 2004)
        along = (
            np.zeros_like(Z) if attempt else Z * (np.sqrt(bend) / np.maximum(penalty.block_norms(Z), tiny))[:, block]
        )
        X, BX = _conjugate_gradients(own, along, curved, on, stretch, residual, first, t, block, starts)
        size, decrease = _shorten(own, Z, X, BX, slope)
        all_D[todo] += size[:, None] * X
        all_slope[todo] += size[:, None] * BX
        all_gained[todo] += decrease
        shortened = size < 1
    return all_D, all_slope, all_left


def _conjugate_gradients(own: LocalModel, unit, curved, on, stretch, residual, first, t, block, starts):
    """X with (B + T)X ≈ −residual on the blocks in use, and BX."""
    X, BX = np.zeros_like(unit), np.zeros_like(unit)
    r, search = -residual, -first
    energy = np.einsum("ij,ij->i", residual, first)
    goal, going = ACCURACY * energy, np.arange(len(unit))
    for _ in range(MAX_PRODUCTS):
        BP = own.times_B(search)
        # T = τ/‖z‖ (I − zzᵀ/‖z‖²) + λ₂I in every block
        AP = (BP + curved * search - unit * np.add.reduceat(unit * search, starts, axis=1)[:, block]) * on
        bent = np.einsum("ij,ij->i", search, AP)
        alpha = np.where(bent > 0, energy / np.where(bent > 0, bent, 1), 0)[:, None].astype(unit.dtype)
        X[going] += alpha * search
        BX[going] += alpha * BP
        r = r - alpha * AP
        z = precondition(own, r * stretch, t) * stretch
        new = np.einsum("ij,ij->i", r, z)
        open_ = (new > goal) & (bent > 0)
        if not open_.any():
            break
        search = z + (new / np.maximum(energy, np.finfo(unit.dtype).tiny))[:, None].astype(unit.dtype) * search
        energy = new
        if not open_.all():
            going, own = going[open_], own.take(open_)
            search, r, energy, goal, t, on, stretch, unit, curved = (
                a[open_] for a in (search, r, energy, goal, t, on, stretch, unit, curved)
            )
    return X, BX


def _shorten(own: LocalModel, Z, X, BX, slope) -> tuple[np.ndarray, np.ndarray]:
    """Share of the step that decreases the model, 1, ½, ¼ or 0, and the decrease; (n_neurons,) each."""

    def change(size: float) -> np.ndarray:
        moved = Z + size * X
        after, before = (own.penalty.block_norms(A) for A in (moved, Z))
        smooth = size * np.einsum("ij,ij->i", X, slope) + 0.5 * size**2 * np.einsum("ij,ij->i", X, BX)
        ridge = 0.5 * own.lam2 * (np.einsum("ij,ij->i", moved, moved) - np.einsum("ij,ij->i", Z, Z))
        return smooth + ridge + np.einsum("ij,ij->i", own.tau, after - before)

    size, decrease = np.zeros(len(Z), Z.dtype), np.zeros(len(Z))
    for share in (0.25, 0.5, 1.0):
        now = -change(share)
        better = now > decrease
        size, decrease = np.where(better, Z.dtype.type(share), size), np.where(better, now, decrease)
    return size, decrease


@njit(**JIT)
def _first_loop(rows, S, Y, count, t, X, alpha):
    memory, zero, one = S.shape[1], X.dtype.type(0), X.dtype.type(1)
    for j in range(len(X)):
        i = rows[j]
        for age in range(min(count[i], memory)):
            slot = (count[i] - 1 - age) % memory
            s, y, x = S[i, slot], Y[i, slot], X[j]
            sx, ss = zero, zero
            for k in range(len(x)):
                sx += s[k] * x[k]
                ss += s[k] * s[k]
            share = sx / (one + t[j] * ss)
            alpha[j, slot] = share
            for k in range(len(x)):
                x[k] -= share * (y[k] + t[j] * s[k])


@njit(**JIT)
def _second_loop(rows, S, Y, count, t, X, alpha):
    memory, zero, one = S.shape[1], X.dtype.type(0), X.dtype.type(1)
    for j in range(len(X)):
        i = rows[j]
        for age in range(min(count[i], memory) - 1, -1, -1):
            slot = (count[i] - 1 - age) % memory
            s, y, x = S[i, slot], Y[i, slot], X[j]
            yx, ss = zero, zero
            for k in range(len(x)):
                yx += (y[k] + t[j] * s[k]) * x[k]
                ss += s[k] * s[k]
            share = alpha[j, slot] - yx / (one + t[j] * ss)
            for k in range(len(x)):
                x[k] += share * s[k]


@njit(**JIT)
def _sweep(n_sweeps, c, G, starts, tau, lam2, rows, GS, Y, middle, W, D, slope):
    """Block descent without a matrix B, for every neuron; D and slope change, half the decrease bound is returned."""
    memory, p, kind = GS.shape[1], G.shape[0], G.dtype
    gained = np.zeros(len(c))
    r, z, H = np.empty(p, kind), np.empty(p, kind), np.empty(p, kind)
    for j in range(len(c)):
        own = rows[j]
        outer = np.zeros(2 * memory, kind)
        inner, added = np.empty(2 * memory, kind), np.empty(2 * memory, kind)
        for b in range(len(starts) - 1):
            # a diagonal above B there: cG is diagonal, Σyyᵀ is below its trace, and what BFGS takes away is ≤ 0
            low_rank, top = 0.0, 0.0
            for i in range(memory):
                for k in range(starts[b], starts[b + 1]):
                    low_rank += Y[own, i, k] * Y[own, i, k]
            for k in range(starts[b], starts[b + 1]):
                H[k] = c[j] * G[k, k] + low_rank + lam2[j]
                top = max(top, H[k])
            for k in range(starts[b], starts[b + 1]):
                H[k] = max(H[k], 1e-7 * top)
        for _ in range(n_sweeps):
            for b in range(len(starts) - 1):
                lo, hi = starts[b], starts[b + 1]
                if H[lo] <= 0.0:
                    continue
                for k in range(lo, hi):
                    here = W[j, k] + D[j, k]
                    now = slope[j, k]
                    for i in range(memory):
                        now -= c[j] * GS[own, i, k] * outer[i] + Y[own, i, k] * outer[memory + i]
                    r[k] = H[k] * here - now - lam2[j] * here
                _shrink_block(r[lo:hi], H[lo:hi], tau[j, b], z[lo:hi])
                for i in range(2 * memory):
                    inner[i] = 0.0
                moved = False
                for k in range(lo, hi):
                    delta = z[k] - W[j, k] - D[j, k]
                    if delta == 0.0:
                        continue
                    moved = True
                    gained[j] += 0.5 * H[k] * delta * delta
                    D[j, k] += delta
                    row, share = G[k], c[j] * delta
                    for m in range(p):
                        slope[j, m] += share * row[m]
                    for i in range(memory):
                        inner[i] += c[j] * GS[own, i, k] * delta
                        inner[memory + i] += Y[own, i, k] * delta
                if moved:
                    _dots(middle[j], inner, added)
                    for i in range(2 * memory):
                        outer[i] += added[i]
        for i in range(memory):
            outer[i] *= -c[j]
            outer[memory + i] *= -1
        _add_rows(outer[:memory], GS[own], slope[j])
        _add_rows(outer[memory:], Y[own], slope[j])
    return gained
