"""How far an objective can still be from its minimum: duality gaps, and the KKT residual where there is none.

For a convex loss the residual r = dℓ/dη, scaled by θ ∈ [0, 1] until its correlation with every block is within
the penalty's bound, is dual feasible (Σ r = 0 because the intercept is solved exactly). With g the gradient in w,

    gap = Ω(w) + θ wᵀg + (1−θ)²σ/2 wᵀRw + Σ_t s_t [ℓ(η_t) + ℓ*(θr_t) − θ r_t η_t],

and the last sum is at most min{(1−θ)(loss − saturated loss), (1−θ)² χ²}: by convexity of ℓ*, and for the
canonical links because a Kullback-Leibler divergence is at most χ² (Fercoq, Gramfort & Salmon 2015 use θ alike).

Where a rate is its own predictor, the best intercept may put a sample on the kink of its loss, and Σ r ≠ 0 on either
side. The gap then also counts what the slope in b is worth over |b|, about the mean rate.

Columns that are never penalised have to be orthogonal to the dual point, too; see `popglm.solve.passes.free_columns`.

Where weights have bounds, their blocks need not be within the penalty's: a force beyond is added to the gap with what
it gains on the way to the bound, which is nothing where the weight is there. So θ may be 1 where all bounds are finite,
even without a penalty. Of two choices of θ the smaller gap counts, see `popglm.statistics.norms.bounded_forces`.

The sums over features are taken where the weights lie, by `gap_sums`; what is one number per problem is put together
on the host, in float64, by `gap_of`.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from popglm.solve.local_models.quadratic import QuadraticModel
from popglm.solve.objective.evaluation import Evaluation
from popglm.statistics import norms
from popglm.statistics.blockwise import Blocks, HostBlocks, from_zero, unstopped
from popglm.statistics.families import Family

__all__ = ["DECREMENT_SAFETY", "certificate", "decrement", "gap_of", "gap_sums"]

Array = Any
#: Of losses that are not convex, which have no other certificate.
DECREMENT_SAFETY = 10.0


def gap_sums(
    xp: Any, blocks: Blocks | HostBlocks, W: Array, grad: Array, RW: Array, lam2: Array, tau: Array | None
) -> Array:
    """The sums over features of a duality gap, one row per problem.

    Terms that nearly cancel are added block by block before they are summed, so that float32 is enough.

    Parameters
    ----------
    W, grad, RW : array, shape (n_problems, n_features)
        Weights; gradient of the loss and the smoothness penalty; gradient of the latter, σRw.
    lam2 : array, shape (n_problems,)
        Strength of the ridge part.
    tau : array, shape (n_problems, n_blocks), or None
        Weights of the norms; None for a penalty without.

    Returns
    -------
    array, shape (n_problems, 7), or (n_problems, 9) with bounds on columns by themselves, or other than 0
        θ; Σ τ‖w‖ + θwᵀg; Σ τ‖w‖ + wᵀg; ‖w‖²; σwᵀRw; squared excess of the forces; 1 where g is finite. With bounds, the
        second with what forces gain, and both for another choice of θ at the end.
    """
    wg, one = blocks.sums(xp, W * grad), xp.ones_like(lam2)
    omega = 0 * wg if tau is None else norms.terms(xp, blocks, W, tau)
    gain, others = 0 * wg, []
    if tau is None:
        theta, over = xp.where(lam2 > 0, one, 0 * one), xp.sum(grad * grad, axis=1)
    elif blocks.lower is None or (blocks.nested and not blocks.boxed):
        theta, over = norms.dual_scale(xp, blocks, from_zero(xp, blocks, -grad), tau)
    else:
        (theta, gain), (other, gained), over = norms.bounded_forces(xp, blocks, W, -grad, tau, lam2)
        gain = blocks.sums(xp, gain)
        others = [other, xp.sum(omega + other[:, None] * wg + blocks.sums(xp, gained), axis=1)]
    finite = xp.where(xp.isfinite(xp.sum(grad, axis=1)), one, 0 * one)
    scaled, plain = xp.sum(omega + theta[:, None] * wg + gain, axis=1), xp.sum(omega + wg, axis=1)
    parts = [theta, scaled, plain, xp.sum(W * W, axis=1), xp.sum(W * RW, axis=1), over, finite]
    return xp.stack([*parts, *others], axis=1)


def gap_of(
    loss: Family,
    sums: np.ndarray,
    at: Evaluation,
    lam: np.ndarray,
    lam2: np.ndarray,
    has_norm: bool,
    is_smoothed: bool,
    moved: np.ndarray | float = 0.0,
) -> np.ndarray:
    """Duality gaps of problems with a convex loss, shape (n_problems,), from their `gap_sums`.

    Without a penalty, what the loss lies above its saturated value, if bounds on weights say no more: see
    `popglm.solve.passes.hessian` for what does. ``moved`` is what it costs that the dual point is not the residual
    itself, but orthogonal to some columns.
    """
    theta, scaled, plain, w2, wRw, over, finite, *others = np.asarray(sums, float).T
    excess = np.maximum(at.loss, 0)

    def at_scale(theta: np.ndarray, scaled: np.ndarray) -> np.ndarray:
        """The gap of a penalty of norms, at a scale of the dual point."""
        left = 1 - theta
        fenchel = left * excess + theta * moved
        if loss.is_canonical:
            fenchel = np.fmin(fenchel, left**2 * np.maximum(at.chi2, 0) + theta * (1 + left) * moved)
        return scaled + 0.5 * left**2 * wRw + fenchel

    with np.errstate(divide="ignore", invalid="ignore"):
        # with a ridge part the dual is finite everywhere: no scaling, a quadratic for what is over
        gap = np.where(lam2 > 0, plain + 0.5 * lam2 * w2 + over / (2 * lam2) + moved, np.inf)
        if has_norm:
            found = at_scale(theta, scaled)
            found = np.fmin(found, at_scale(*others)) if others else found
            gap = np.where(lam2 > 0, gap, found)
    far = np.abs(at.b).sum(axis=tuple(range(1, at.b.ndim)))
    gap = np.where(np.isfinite(gap), np.maximum(gap, 0), excess) + at.slope * far
    if not is_smoothed:
        gap = np.where(lam > 0, gap, np.fmin(gap, excess) if others else excess)
    return np.where(finite > 0, gap, np.inf)


def certificate(
    loss: Family,
    model: QuadraticModel,
    W: np.ndarray,
    at: Evaluation,
    lam: np.ndarray,
    shift: np.ndarray | None = None,
    moved: np.ndarray | float = np.inf,
    problems: np.ndarray | None = None,
) -> np.ndarray:
    """Bound on the excess objective per problem; under a concave penalty, on that of its tangent at W.

    Parameters
    ----------
    W : ndarray, shape (n_problems, n_features)
    at : Evaluation
        Loss, gradient and χ² there.
    lam : ndarray, shape (n_problems,)
    shift : ndarray, shape (n_problems, n_features), optional
        What is taken from the gradient so that the dual point is orthogonal to the columns that are never penalised.
    moved : ndarray, shape (n_problems,), or float
        What that costs; not known unless given.
    problems : ndarray of int, shape (n_problems,), optional
        Their numbers in the fit, for a penalty that is another one for each.

    Returns
    -------
    ndarray, shape (n_problems,)
        For convex losses, see `gap_of`. For losses that are not convex, `DECREMENT_SAFETY` times half the squared KKT
        residual in the metric of the shared Gram matrix, which vanishes with the residual and is no bound.
    """
    penalty = model.penalty
    RW = penalty.smooth_gradient(W)
    grad, lam2, tau = at.grad + RW, penalty.ridge_strength(lam), penalty.norm_strengths(lam, W, problems)
    if not loss.is_convex:
        return decrement(model, W, grad, at, tau, lam2)
    if penalty.free is None:
        moved = 0.0
    else:
        W, grad = penalty.penalised(W), penalty.penalised(grad if shift is None else grad - shift)
        # a smoothness penalty along these columns has a part in the dual point that is not at hand
        moved = np.inf if penalty.R is not None else moved
    has_norm = penalty.has_norm
    sums = gap_sums(np, penalty.blocks, W, grad, RW, lam2, tau if has_norm else None)
    return gap_of(loss, sums, at, lam, lam2, has_norm, penalty.R is not None, moved)


def decrement(
    model: QuadraticModel, W: np.ndarray, grad: np.ndarray, at: Evaluation, tau: np.ndarray, lam2: np.ndarray
) -> np.ndarray:
    """`DECREMENT_SAFETY` times half the squared residual in the metric cG; ``grad`` with the smoothness."""
    penalty, grad = model.penalty, grad + lam2[:, None] * model.penalty.penalised(W)
    if not tau.any():
        # forces that press weights against their bounds move nothing
        grad = -unstopped(np, penalty.blocks, -grad, W)
        newton = np.einsum("ij,ij->i", grad, model.solve_metric(grad, at.curvature, lam2))
        return 0.5 * DECREMENT_SAFETY * newton
    residual = norms.least_subgradient(np, penalty.blocks, W, grad, tau)
    diagonal = np.outer(at.curvature, model.variances) + lam2[:, None]
    return 0.5 * DECREMENT_SAFETY * np.sum(np.square(residual) / np.where(diagonal > 0, diagonal, np.inf), axis=1)
