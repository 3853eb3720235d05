"""How far an objective can still be from its minimum: duality gaps, and the KKT residual where there is none.

For a convex loss the residual r = dℓ/dη, scaled by θ ∈ [0, 1] until its correlation with every block is within
the penalty's bound, is dual feasible (Σ r = 0 because the intercept is solved exactly). With g the gradient in w,

    gap = Ω(w) + θ wᵀg + (1−θ)²σ/2 wᵀRw + Σ_t s_t [ℓ(η_t) + ℓ*(θr_t) − θ r_t η_t],

and the last sum is at most min{(1−θ)(loss − saturated loss), (1−θ)² χ²}: by convexity of ℓ*, and for the
canonical links because a Kullback-Leibler divergence is at most χ² (Fercoq, Gramfort & Salmon 2015 use θ alike).

Where a rate is its own predictor, the best intercept may put a sample on the kink of its loss, and Σ r ≠ 0 on either
side. The gap then also counts what the slope in b is worth over |b|, about the mean rate.
"""

from __future__ import annotations

import numpy as np

from popglm.solve.evaluation import Evaluation
from popglm.solve.quadratic import QuadraticModel
from popglm.statistics.families import Family

__all__ = ["certificate", "decrement"]

#: Of losses that are not convex, which have no other certificate.
DECREMENT_SAFETY = 10.0


def certificate(loss: Family, model: QuadraticModel, W: np.ndarray, at: Evaluation, lam: np.ndarray) -> np.ndarray:
    """Bound on the excess objective per neuron.

    Parameters
    ----------
    W : ndarray, shape (n_neurons, n_features)
    at : Evaluation
        Loss, gradient and χ² there.
    lam : ndarray, shape (n_neurons,)

    Returns
    -------
    ndarray, shape (n_neurons,)
        A duality gap for convex losses under a penalty. Without one, what the loss lies above its saturated value: see
        `popglm.solve.hessian` for what says more. For losses that are not convex, `DECREMENT_SAFETY` times half the
        squared KKT residual in the metric of the shared Gram matrix, which vanishes with the residual and is no bound.
    """
    penalty = model.penalty
    grad = at.grad + penalty.smooth_gradient(W)
    lam2 = (1 - penalty.l1_ratio) * lam
    tau = penalty.l1_ratio * lam[:, None] * penalty.block_weights
    excess = np.maximum(at.loss, 0)
    wRw = np.einsum("ij,ij->i", W, penalty.smooth_gradient(W))
    wg = np.einsum("ij,ij->i", W, grad)
    w2 = np.einsum("ij,ij->i", W, W)
    with np.errstate(divide="ignore", invalid="ignore"):
        if penalty.l1_ratio > 0:
            norms, forces = penalty.block_norms(W), penalty.block_norms(grad)
            omega = np.einsum("ij,ij->i", tau, norms)
            theta = np.minimum(1, np.where(forces > 0, tau / forces, np.inf).min(axis=1))
            over = np.square(np.maximum(forces - tau, 0)).sum(axis=1)
        else:
            omega, theta = np.zeros(len(W)), np.where(lam2 > 0, 1.0, 0.0)
            over = np.square(grad).sum(axis=1)
        left = 1 - theta
        fenchel = left * excess
        if loss.is_canonical:
            fenchel = np.fmin(fenchel, left**2 * np.maximum(at.chi2, 0))
        scaled = omega + 0.5 * lam2 * w2 + theta * wg + 0.5 * left**2 * wRw + fenchel
        # with a ridge part the dual is finite everywhere: no scaling, a quadratic for what is over
        plain = np.where(lam2 > 0, omega + 0.5 * lam2 * w2 + wg + over / (2 * lam2), np.inf)
        if penalty.l1_ratio > 0:
            scaled = np.where(lam2 > 0, np.inf, scaled)
            gap = np.fmin(scaled, plain)
        else:
            gap = plain
    if not loss.is_convex:
        return decrement(model, W, grad, at, tau, lam2)
    gap = np.where(np.isfinite(gap), np.maximum(gap, 0), excess) + at.slope * np.abs(at.b)
    return np.where(lam > 0, gap, excess) if penalty.R is None else gap


def decrement(
    model: QuadraticModel, W: np.ndarray, grad: np.ndarray, at: Evaluation, tau: np.ndarray, lam2: np.ndarray
) -> np.ndarray:
    """`DECREMENT_SAFETY` times half the squared residual in the metric cG, per neuron; ``grad`` with the smoothness."""
    penalty, grad = model.penalty, grad + lam2[:, None] * W
    if penalty.l1_ratio == 0:
        newton = np.einsum("ij,ij->i", grad, model.solve_metric(grad, at.curvature, lam2))
        return 0.5 * DECREMENT_SAFETY * newton
    # the subgradient of least norm, block by block
    block = penalty.block_of_column
    norms, forces = penalty.block_norms(W)[:, block], penalty.block_norms(grad)[:, block]
    tau = tau[:, block]
    with np.errstate(divide="ignore", invalid="ignore"):
        inside = grad + tau * W / norms
        outside = grad * np.maximum(1 - tau / forces, 0)
    residual = np.where(norms > 0, inside, np.where(forces > 0, outside, 0.0))
    diagonal = np.outer(at.curvature, np.diag(model.G)) + lam2[:, None]
    return 0.5 * DECREMENT_SAFETY * np.sum(np.square(residual) / np.where(diagonal > 0, diagonal, np.inf), axis=1)
