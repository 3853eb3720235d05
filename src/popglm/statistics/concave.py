"""Concave penalties, MCP and SCAD, which choose columns or groups as a lasso does and leave large weights alone."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Self

import numpy as np

from popglm.shapes import Shape
from popglm.statistics.penalties import Penalty

__all__ = ["CONCAVE", "ConcavePenalty", "least_concavity"]

#: Penalties by name: the shape, and whether blocks are feature groups.
CONCAVE = {
    "mcp": ("mcp", False),
    "scad": ("scad", False),
    "group_mcp": ("mcp", True),
    "group_scad": ("scad", True),
}
#: γ unless given: that of ncvreg, and of Fan & Li.
CONCAVITIES = {"mcp": 3.0, "scad": 3.7}


def least_concavity(kind: str) -> float:
    """What γ must be above under a penalty in `CONCAVE`."""
    return {"mcp": 1.0, "scad": 2.0}[CONCAVE[kind][0]]


@dataclass(frozen=True)
class ConcavePenalty(Penalty):
    r"""Σ_b p(‖w_b‖) + (σ/2) wᵀRw, with p as steep as the lasso at 0 and flat far from it.

    With τ = λcω of a block, t = ‖w_b‖, and h the mean curvature of the loss at the neuron's intercept alone, its slope
    is

    - MCP: (τ − ht/γ)₊;
    - SCAD: τ up to ht = τ, then (γτ − ht)₊/(γ − 1).

    h makes γ mean the same for all neurons and in every unit: it is 1 for a Gaussian, the mean rate for Poisson counts.

    The slope falls, so that p lies below its tangents: at a point with norms t the penalty is at most that of a lasso
    or group lasso whose norms have the strengths p'(t), up to a number (Zou & Li 2008). A solver that asks for
    `norm_strengths` at the weights where a problem stands has the tangent there in each of its steps, and what it
    certifies is that the tangent problem is solved: w is then stationary for the concave objective.

    Attributes
    ----------
    shape : {"mcp", "scad"}
    concavity : float
        γ.
    null_curvature : ndarray, shape (n_problems,), or None
        h of every problem; 1 for None.

    References
    ----------
    Fan & Li, *Journal of the American Statistical Association* 96 (2001): SCAD. Zhang, *Annals of Statistics* 38
    (2010): MCP. Breheny & Huang, *Annals of Applied Statistics* 5 (2011): γ in units of the curvature. Zou & Li,
    *Annals of Statistics* 36 (2008): tangents.
    """

    shape: str = "mcp"
    concavity: float = CONCAVITIES["mcp"]
    null_curvature: np.ndarray | None = None

    @classmethod
    def of_kind(
        cls,
        kind: str,
        concavity: float | None,
        smoothness: float,
        group_sizes: np.ndarray,
        group_factors: np.ndarray | None = None,
        shapes: Sequence[Shape] | None = None,
    ) -> Self:
        """Penalty of a name in `CONCAVE`; otherwise as `Penalty.make`.

        Examples
        --------
        >>> penalty = ConcavePenalty.of_kind("mcp", 3.0, 0.0, [1, 1, 1])
        >>> penalty.norm_strengths(np.array([1.0]), np.array([[0.0, -1.5, 4.0]]))
        array([[1. , 0.5, 0. ]])
        """
        shape, grouped = CONCAVE[kind]
        made = Penalty.make(
            "group_lasso" if grouped else "lasso", None, smoothness, group_sizes, group_factors, shapes=shapes
        )
        gamma = CONCAVITIES[shape] if concavity is None else float(concavity)
        return cls.beside(made, shape=shape, concavity=gamma)

    def at_null(self, curvature: np.ndarray) -> Self:
        """See `Penalty.at_null`."""
        return replace(self, null_curvature=np.array(curvature, float))

    def joined(self, parts: Sequence[Self]) -> Self:
        """See `Penalty.joined`."""
        every = [np.empty(0) if own.null_curvature is None else own.null_curvature for own in parts]
        return self.at_null(np.concatenate(every))

    def _curvatures(self, n: int, problems: np.ndarray | None) -> np.ndarray:
        """h of some problems, shape (n, 1)."""
        if self.null_curvature is None:
            return np.ones((n, 1))
        return (self.null_curvature if problems is None else self.null_curvature[problems])[:, None]

    def norm_strengths(
        self, lam: np.ndarray, W: np.ndarray | None = None, problems: np.ndarray | None = None
    ) -> np.ndarray:
        """p'(‖w_b‖), what the norm of every block is multiplied by in the tangent at W; that at 0 unless given."""
        tau = super().norm_strengths(lam)
        if W is None:
            return tau
        t, gamma = self._curvatures(len(W), problems) * self.block_norms(W), self.concavity
        if self.shape == "mcp":
            return np.maximum(tau - t / gamma, 0)
        return np.where(t <= tau, tau, np.maximum(gamma * tau - t, 0) / (gamma - 1))

    def norm(
        self, W: np.ndarray, lam: np.ndarray, at: np.ndarray | None = None, problems: np.ndarray | None = None
    ) -> np.ndarray:
        """See `Penalty.norm`: the tangent at weights ``at``, less what it has there beyond the penalty."""
        return np.einsum("ij,ij->i", self.block_norms(W), self.norm_strengths(lam, at, problems))

    def _penalised(self, W: np.ndarray, lam: np.ndarray, problems: np.ndarray | None) -> np.ndarray:
        """Σ_b p(‖w_b‖) of every neuron."""
        tau, h, gamma = super().norm_strengths(lam), self._curvatures(len(W), problems), self.concavity
        t = h * self.block_norms(W)
        if self.shape == "mcp":
            near, flat = tau * t - t**2 / (2 * gamma), gamma * tau**2 / 2
        else:
            bent = (2 * gamma * tau * t - t**2 - tau**2) / (2 * (gamma - 1))
            near, flat = np.where(t <= tau, tau * t, bent), (gamma + 1) * tau**2 / 2
        return np.sum(np.where(t <= gamma * tau, near, flat) / h, axis=1)
