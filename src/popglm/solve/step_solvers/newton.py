"""Newton steps on the penalised quadratic model, for neurons that use nearly all blocks.

Away from zero a norm is smooth, and the model's minimiser solves (B + T)x = −∇ with T the curvature of the penalty, one
block on the diagonal for each group: T = diag(τ/‖z_b‖ + λ₂) − Σ_b v_b v_bᵀ with v_b = √(τ_b/‖z_b‖) z_b/‖z_b‖. Conjugate
gradients need one to four products with B for a tenth of the residual when they are preconditioned by the two-loop
recursion around (cG + t̄I)⁻¹: that inverts B but for the spread of T around its mean t̄. At weak strengths this takes the
place of packed matrices and Cholesky factors, whose cost grows with p³.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from popglm.solve.compiled.compiling import compiled
from popglm.solve.curvature.compact import add_rows, dots, row_dots
from popglm.solve.curvature.local_model import LocalModel
from popglm.solve.step_solvers.working_set import shrink_block
from popglm.statistics import norms as norm_sums

__all__ = ["newton_steps", "precondition"]

#: A step is good when the model can still decrease by no more than this share of what it has; and conjugate gradients
#: end at this share of the energy that the residual had. Better steps take more time and no fewer evaluations.
ACCURACY = 0.1
MAX_PRODUCTS = 4
STIFFEST = 1e6


class _System(NamedTuple):
    """(B + T)x = −residual on the blocks in use, where some neurons stand; B and the starts of blocks lie elsewhere.

    Attributes
    ----------
    Z : ndarray, shape (n_neurons, n_features)
        w + d.
    norms : ndarray, shape (n_neurons, n_blocks)
        ‖z_b‖.
    used : ndarray, shape (n_neurons, n_features)
        1 in the columns of blocks in use, else 0.
    across : ndarray, shape (n_neurons, n_blocks)
        τ_b/‖z_b‖, the curvature of a norm across z_b; along z_b it has none.
    diagonal : ndarray, shape (n_neurons, n_features)
        Of T + Σvvᵀ: across + λ₂.
    t : ndarray, shape (n_neurons,)
        t̄.
    scaling : ndarray, shape (n_neurons, n_features)
        Square root of (c diag G + t̄) / (c diag G + diagonal), 0 outside the blocks in use: the preconditioner's for
        blocks that the penalty holds tighter, or less tight, than the mean of all.
    residual, solution : ndarray, shape (n_neurons, n_features)
        Gradient of the model on the blocks in use, and what the preconditioner makes of it.
    """

    Z: np.ndarray
    norms: np.ndarray
    used: np.ndarray
    across: np.ndarray
    diagonal: np.ndarray
    t: np.ndarray
    scaling: np.ndarray
    residual: np.ndarray
    solution: np.ndarray

    def take(self, index: np.ndarray) -> _System:
        """That of some neurons."""
        return _System(*(array[index] for array in self))


def precondition(model: LocalModel, X: np.ndarray, t: np.ndarray) -> np.ndarray:
    """About (B + t I)⁻¹X: the two-loop recursion (Nocedal & Wright 2006, alg. 7.4) with y + ts for y."""
    X, alpha = X.copy(), np.zeros((len(X), model.pairs.S.shape[1]), X.dtype)
    _first_loop(model.rows, model.pairs, t, X, alpha)
    base = model.c[:, None] * model.spectra + t[:, None]
    X = model.from_axes(model.to_axes(X) / base)
    _second_loop(model.rows, model.pairs, t, X, alpha)
    return X


def newton_steps(
    model: LocalModel, W: np.ndarray, grad: np.ndarray, max_steps: int = 2, n_sweeps: int = 3
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Minimise the models of some neurons: sweeps where blocks come and go, Newton steps on those in use.

    Parameters
    ----------
    W, grad : ndarray, shape (n_neurons, n_features)
    max_steps : int
        Newton steps at most.
    n_sweeps : int
        Sweeps over the blocks of a neuron in which blocks come or go, before each step.

    Returns
    -------
    D, slope : ndarray, shape (n_neurons, n_features)
        Step, and gradient g + BD of the model after it.
    left : ndarray, shape (n_neurons,)
        What the model can still decrease, about.
    """
    penalty = model.penalty
    all_D, all_slope, all_gained, all_left = np.zeros_like(W), grad.copy(), np.zeros(len(W)), np.zeros(len(W))
    todo, shortened = np.arange(len(W)), np.zeros(len(W), bool)
    for attempt in range(max_steps + 1):
        own = model.take(todo) if len(todo) < len(W) else model
        D, slope, gained = all_D[todo], all_slope[todo], all_gained[todo]
        norms = penalty.block_norms(W[todo] + D)
        wanting = ((penalty.block_norms(slope) > own.tau) & (norms == 0)).any(axis=1)
        unsettled = wanting | shortened
        if unsettled.any():
            part, cut = own.take(unsettled), [D[unsettled], slope[unsettled]]
            swept, here = np.empty(len(cut[0])), W[todo][unsettled]
            for at, one in part.by_matrix():
                swept[at] = _sweep(n_sweeps, one.G[0], penalty.starts, one.arrays, here[at], cut[0][at], cut[1][at])
            gained[unsettled] += swept
            D[unsettled], slope[unsettled] = cut
        system = _system(own, W[todo] + D, slope)
        left = _decrease_left(own, system, slope)
        all_D[todo], all_slope[todo], all_gained[todo], all_left[todo] = D, slope, gained, left
        go = shortened if attempt else unsettled | (left > ACCURACY * gained)
        if not go.any() or attempt == max_steps:
            break
        if not go.all():
            own, todo, system, slope = own.take(go), todo[go], system.take(go), slope[go]
        # where Newton's step was too long, a norm's curvature along its own vector, 0, is taken for that across it: the
        # quadratic then lies above the norm and every step decreases (Hunter & Lange 2004)
        V = np.zeros_like(system.Z) if attempt else _vectors(own, system)
        X, BX = _conjugate_gradients(own, system, V)
        size, decrease = _shorten(own, system.Z, X, BX, slope)
        all_D[todo] += size[:, None] * X
        all_slope[todo] += size[:, None] * BX
        all_gained[todo] += decrease
        shortened = size < 1
    return all_D, all_slope, all_left


def _system(own: LocalModel, Z: np.ndarray, slope: np.ndarray) -> _System:
    """Newton's equation where some neurons stand."""
    penalty, kind = own.penalty, Z.dtype
    block, tiny = penalty.block_of_column, np.finfo(kind).tiny
    norms = penalty.block_norms(Z)
    # a block on its way to zero, where the curvature of its norm grows without bound
    across = np.where(norms > 0, own.tau / np.maximum(norms, tiny), 0)
    across = np.minimum(across, STIFFEST * (own.c * own.spectra[:, -1])[:, None])
    used = (norms > 0)[:, block].astype(kind)
    diagonal = across[:, block] + own.lam2[:, None]
    residual = (slope + diagonal * Z) * used
    t = own.lam2 + np.einsum("ij,j->i", across, np.maximum(penalty.block_sizes - 1, 0)) / len(block)
    t = np.maximum(t, np.finfo(kind).eps * own.c * own.spectra[:, -1]).astype(kind)
    size = np.maximum(own.c[:, None] * own.variances, 0) + t[:, None]
    scaling = np.sqrt(size / (size + np.where(used > 0, diagonal - t[:, None], 0))) * used
    solution = precondition(own, residual * scaling, t) * scaling
    return _System(Z, norms, used, across, diagonal, t, scaling, residual, solution)


def _decrease_left(own: LocalModel, system: _System, slope: np.ndarray) -> np.ndarray:
    """About what the models can still decrease, (n_neurons,): half the residual times what solves for it."""
    residual = system.residual
    left = 0.5 * row_dots(residual, system.solution)
    # blocks at zero that want to leave it count with what their norms do not hold
    outside = norm_sums.shrink(np, own.penalty.blocks, slope, own.tau, ~(system.norms > 0))
    wanting = outside.any(axis=1)
    if wanting.any():
        whole = (residual + outside)[wanting]
        scaling = np.where(system.used > 0, system.scaling, 1)[wanting]
        solution = precondition(own.take(wanting), whole * scaling, system.t[wanting]) * scaling
        left[wanting] = 0.5 * row_dots(whole, solution)
    return left


def _vectors(own: LocalModel, system: _System) -> np.ndarray:
    """v_b of every block, side by side, (n_neurons, n_features)."""
    norms = np.maximum(system.norms, np.finfo(system.norms.dtype).tiny)
    return system.Z * (np.sqrt(system.across) / norms)[:, own.penalty.block_of_column]


def _conjugate_gradients(own: LocalModel, system: _System, V: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """X with (B + T)X ≈ −residual on the blocks in use, and BX; rows of V hold the v_b."""
    starts, block = own.penalty.starts[:-1], own.penalty.block_of_column
    X, BX = np.zeros_like(V), np.zeros_like(V)
    r, search = -system.residual, -system.solution
    energy = row_dots(system.residual, system.solution)
    goal, going = ACCURACY * energy, np.arange(len(V))
    used, diagonal, t, scaling = system.used, system.diagonal, system.t, system.scaling
    for _ in range(MAX_PRODUCTS):
        BP = own.times_B(search)
        AP = (BP + diagonal * search - V * np.add.reduceat(V * search, starts, axis=1)[:, block]) * used
        curvature = row_dots(search, AP)
        alpha = np.where(curvature > 0, energy / np.where(curvature > 0, curvature, 1), 0)[:, None].astype(V.dtype)
        X[going] += alpha * search
        BX[going] += alpha * BP
        r = r - alpha * AP
        z = precondition(own, r * scaling, t) * scaling
        new = row_dots(r, z)
        open_ = (new > goal) & (curvature > 0)
        if not open_.any():
            break
        search = z + (new / np.maximum(energy, np.finfo(V.dtype).tiny))[:, None].astype(V.dtype) * search
        energy = new
        if not open_.all():
            going, own = going[open_], own.take(open_)
            search, r, energy, goal, V, used, diagonal, t, scaling = (
                a[open_] for a in (search, r, energy, goal, V, used, diagonal, t, scaling)
            )
    return X, BX


def _shorten(own: LocalModel, Z, X, BX, slope) -> tuple[np.ndarray, np.ndarray]:
    """Share of the step that decreases the model, 1, ½, ¼ or 0, and the decrease; (n_neurons,) each."""

    def change(size: float) -> np.ndarray:
        """Of the model along ``size`` times the step."""
        moved = Z + size * X
        after, before = (own.penalty.block_norms(A) for A in (moved, Z))
        smooth = size * row_dots(X, slope) + 0.5 * size**2 * row_dots(X, BX)
        ridge = 0.5 * own.lam2 * (row_dots(moved, moved) - row_dots(Z, Z))
        return smooth + ridge + row_dots(own.tau, after - before)

    size, decrease = np.zeros(len(Z), Z.dtype), np.zeros(len(Z))
    for share in (0.25, 0.5, 1.0):
        now = -change(share)
        better = now > decrease
        size, decrease = np.where(better, Z.dtype.type(share), size), np.where(better, now, decrease)
    return size, decrease


@compiled
def _first_loop(rows, pairs, t, X, alpha):
    """x ← x − Σ α_i (y_i + ts_i), newest pair first, with α_i = s_iᵀx / s_iᵀ(y_i + ts_i), which is kept."""
    S, Y, kept = pairs.S, pairs.Y, pairs.kept
    memory, zero, one = S.shape[1], X.dtype.type(0), X.dtype.type(1)
    for j in range(len(X)):
        i = rows[j]
        for age in range(min(kept[i], memory)):
            slot = (kept[i] - 1 - age) % memory
            s, y, x = S[i, slot], Y[i, slot], X[j]
            sx, ss = zero, zero
            for k in range(len(x)):
                sx += s[k] * x[k]
                ss += s[k] * s[k]
            share = sx / (one + t[j] * ss)
            alpha[j, slot] = share
            for k in range(len(x)):
                x[k] -= share * (y[k] + t[j] * s[k])


@compiled
def _second_loop(rows, pairs, t, X, alpha):
    """x ← x + Σ (α_i − β_i) s_i, oldest pair first, with β_i = (y_i + ts_i)ᵀx / s_iᵀ(y_i + ts_i)."""
    S, Y, kept = pairs.S, pairs.Y, pairs.kept
    memory, zero, one = S.shape[1], X.dtype.type(0), X.dtype.type(1)
    for j in range(len(X)):
        i = rows[j]
        for age in range(min(kept[i], memory) - 1, -1, -1):
            slot = (kept[i] - 1 - age) % memory
            s, y, x = S[i, slot], Y[i, slot], X[j]
            yx, ss = zero, zero
            for k in range(len(x)):
                yx += (y[k] + t[j] * s[k]) * x[k]
                ss += s[k] * s[k]
            share = alpha[j, slot] - yx / (one + t[j] * ss)
            for k in range(len(x)):
                x[k] += share * s[k]


@compiled
def _sweep(n_sweeps, G, starts, model, W, D, slope):
    """Block descent without a matrix B, for every neuron; D and slope change, half the decrease bound is returned."""
    c, lam2, tau, rows, middle = model.c, model.lam2, model.tau, model.rows, model.middle
    Y, GS, kept = model.pairs.Y, model.pairs.GS, model.pairs.kept
    p, kind = G.shape[0], G.dtype
    gained = np.zeros(len(c))
    r, z, H = np.empty(p, kind), np.empty(p, kind), np.empty(p, kind)
    for j in range(len(c)):
        own, held = rows[j], min(kept[rows[j]], GS.shape[1])
        outer = np.zeros(2 * held, kind)
        inner, added = np.empty(2 * held, kind), np.empty(2 * held, kind)
        for b in range(len(starts) - 1):
            # a diagonal above B there: cG is diagonal, Σyyᵀ is below its trace, and what BFGS takes away is ≤ 0
            low_rank, top = 0.0, 0.0
            for i in range(held):
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
                    for i in range(held):
                        now -= c[j] * GS[own, i, k] * outer[i] + Y[own, i, k] * outer[held + i]
                    r[k] = H[k] * here - now - lam2[j] * here
                shrink_block(r[lo:hi], H[lo:hi], tau[j, b], z[lo:hi])
                for i in range(2 * held):
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
                    for i in range(held):
                        inner[i] += c[j] * GS[own, i, k] * delta
                        inner[held + i] += Y[own, i, k] * delta
                if moved:
                    dots(middle[j, : 2 * held], inner, added)
                    for i in range(2 * held):
                        outer[i] += added[i]
        for i in range(held):
            outer[i] *= -c[j]
            outer[held + i] *= -1
        add_rows(outer[:held], GS[own, :held], slope[j])
        add_rows(outer[held:], Y[own, :held], slope[j])
    return gained
