"""Weights under signs and orders: Newton's method, each step of which is a non-negative least-squares problem."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from scipy.linalg import LinAlgError, cho_solve, solve_triangular
from scipy.optimize import nnls

from popglm.solve.curves.penalised_newton import HALVINGS, MAX_STEPS, SHARE, Likelihood, factor

__all__ = ["Cone", "Constrained", "minimise_within"]

#: How far the objective may still fall, in units of log-likelihood.
TOLERANCE = 1e-12


@dataclass(frozen=True, eq=False)
class Cone:
    """Weights w = Tu of which some u are not below 0.

    A curve that rises is a sum of steps: its first weight is free, and the others are the one before and a step.

    Attributes
    ----------
    T : ndarray, shape (n_columns, n_columns)
        Invertible.
    bounded : ndarray of bool, shape (n_columns,)
        Which u may not be below 0.
    """

    T: np.ndarray
    bounded: np.ndarray

    def with_open(self, n_open: int) -> Cone:
        """The same after ``n_open`` more columns that are free."""
        p = len(self.T)
        T = np.eye(n_open + p)
        T[n_open:, n_open:] = self.T
        return Cone(T, np.concatenate([np.zeros(n_open, bool), self.bounded]))


@dataclass(eq=False)
class Constrained:
    """A minimum within a `Cone`.

    Attributes
    ----------
    w, degrees : ndarray, shape (n_columns,)
        Weights, and effective degrees of freedom by column: those of a fit to the u that are not held at 0.
    objective : float
        Penalised half deviance.
    left : float
        How far it can still fall within the cone, by Newton's model: 0 where the conditions of Karush, Kuhn and Tucker
        hold.
    n_steps : int
    """

    w: np.ndarray
    degrees: np.ndarray
    objective: float
    left: float
    n_steps: int


def minimise_within(data: Likelihood, S: np.ndarray, start: np.ndarray, cone: Cone) -> Constrained:
    """Least Σ sℓ + ½wᵀSw over w = Tu with u ≥ 0 where it is bounded.

    Parameters
    ----------
    start : ndarray, shape (n_columns,)
        Where to begin; put into the cone first.

    Raises
    ------
    LinAlgError
        If the objective or its Hessian is not finite.
    """
    T, bounded = cone.T, cone.bounded
    u = np.linalg.solve(T, start)
    u = np.where(bounded, np.maximum(u, 0), u)

    def objective(u: np.ndarray) -> float:
        w = T @ u
        return data.value(w) + 0.5 * w @ S @ w

    value, n_steps = objective(u), 0
    while True:
        if not np.isfinite(value):
            raise LinAlgError("the objective is not finite")
        gradient, H = data.derivatives(T @ u)
        A, g = T.T @ (H + S) @ T, T.T @ (gradient + S @ (T @ u))
        step = least_within(A, A @ u - g, bounded) - u
        slope = float(g @ step)
        promised = -slope - 0.5 * float(step @ A @ step)
        if promised <= TOLERANCE or n_steps == MAX_STEPS:
            break
        for k in range(HALVINGS):
            there = objective(u + 0.5**k * step)
            if there <= value + SHARE * 0.5**k * slope:
                break
        else:
            # rounding is all that is left
            break
        # steps end on the bound itself, but for rounding
        u, value, n_steps = u + 0.5**k * step, there, n_steps + 1
        u = np.where(bounded, np.maximum(u, 0), u)
    free = ~bounded | (u > 0)
    face = T[:, free]
    degrees = np.einsum("ij,ji->i", face @ cho_solve((factor(face.T @ (H + S) @ face), True), face.T), H)
    return Constrained(T @ u, degrees, value, max(promised, 0.0), n_steps)


def least_within(A: np.ndarray, c: np.ndarray, bounded: np.ndarray) -> np.ndarray:
    """argmin ½uᵀAu − cᵀu over u that are not below 0 where ``bounded``.

    The free ones are solved out; what is left is non-negative least squares, by the active sets of Lawson & Hanson.

    Examples
    --------
    >>> least_within(np.eye(3), np.array([1.0, -2.0, 3.0]), np.array([True, True, False])).tolist()
    [1.0, 0.0, 3.0]
    """
    if not bounded.any():
        # a system without bounded weights is none for nnls
        return cho_solve((factor(A), True), c)
    free = ~bounded
    L = factor(A[np.ix_(free, free)])
    pulled = cho_solve((L, True), np.column_stack([A[np.ix_(free, bounded)], c[free]]))
    left = A[np.ix_(bounded, bounded)] - A[np.ix_(bounded, free)] @ pulled[:, :-1]
    R = factor((left + left.T) / 2).T
    target = solve_triangular(R, c[bounded] - A[np.ix_(bounded, free)] @ pulled[:, -1], trans="T")
    u = np.zeros(len(c))
    u[bounded] = nnls(R, target)[0]
    u[free] = pulled[:, -1] - pulled[:, :-1] @ u[bounded]
    return u
