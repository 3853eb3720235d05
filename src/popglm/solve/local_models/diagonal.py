"""Local models around a diagonal metric, one per problem: for designs too wide for a Gram matrix.

With columns that are hardly correlated, as those of categories are, the diagonal is nearly all of the curvature; the
pairs learn the rest. In directions where columns make up for each other it may be far too much: what such a model
promises is no bound, and fits end by their duality gaps.
"""

from __future__ import annotations

import numpy as np

from popglm.solve.curvature.curvature_memory import CurvatureMemory, plain_step
from popglm.solve.local_models.quadratic import QuadraticModel, decrease
from popglm.solve.snapshot import Resumable
from popglm.solve.step_solvers.blocks import Limits, Norms
from popglm.solve.step_solvers.diagonal_descent import diagonal_descent

__all__ = ["DiagonalModels"]

#: A column's variance counts as at least this share of its variance in all rows that a fit counts alike.
LEAST = 0.003
#: Problems that a worker steps with at a time.
PORTION = 8
#: Sweeps of a descent at most.
MAX_SWEEPS = 60


class DiagonalModels(Resumable):
    """Quadratic models of the problems of a fit: B = c diag(G) and curvature pairs.

    Parameters
    ----------
    model : QuadraticModel
        The one that all share at first, with G the variances of the columns.
    n_problems : int

    Attributes
    ----------
    G : ndarray, shape (n_problems, n_features)
        Variances of the columns, of a problem that was slow weighted by its curvature.
    """

    shares_out, serves_zero = True, False
    fixed = ("least",)

    def __init__(self, model: QuadraticModel, n_problems: int) -> None:
        self.engine, self.penalty = model.engine, model.penalty
        self.G, self.least = np.tile(model.G_fast, (n_problems, 1)), LEAST * model.G_fast

    def has(self, problems: np.ndarray) -> np.ndarray:
        """Which problems have a model here: all."""
        return np.ones(len(problems), bool)

    def portions(self, problems: np.ndarray) -> list[np.ndarray]:
        """All problems: they are shared out here."""
        return [problems]

    def drop(self, problems: np.ndarray) -> None:
        """Keep the models of problems that need none any more: they take little room."""

    def renew(self, problems: np.ndarray, G: np.ndarray, memory: CurvatureMemory) -> None:
        """Give problems new variances (n, n_features), if they are finite; their pairs stay true."""
        good = np.isfinite(G).all(axis=1)
        problems, pairs = problems[good], memory.pairs
        self.G[problems] = np.maximum(G[good], self.least)
        for problem in problems:
            pairs.GS[problem] = pairs.S[problem] * self.G[problem]

    def remember(self, memory: CurvatureMemory, problems: np.ndarray, s: np.ndarray, y: np.ndarray) -> None:
        """Push curvature pairs."""
        memory.push(problems, s, y, lambda rows, s: s * self.G[rows])

    def step(
        self,
        memory: CurvatureMemory,
        problems: np.ndarray,
        W: np.ndarray,
        grad: np.ndarray,
        c: np.ndarray,
        lam: np.ndarray,
        most: np.ndarray | None = None,
    ) -> tuple[np.ndarray, np.ndarray]:
        """See `popglm.solve.local_models.quadratic.QuadraticModel.step`."""
        penalty = self.penalty
        W = penalty.penalised(W) if penalty.l1_ratio < 1 else W
        minimise = self._by_descent if penalty.has_norm else self._in_closed_form
        D, promise = np.empty_like(grad), np.empty(len(grad))

        def take(at: np.ndarray) -> None:
            """Minimise the models of the rows ``at``."""
            D[at], promise[at] = minimise(memory, problems[at], W[at], grad[at], c[at], lam[at])

        size = max(min(PORTION, len(W) // (2 * self.engine.n_workers)), 1)
        self.engine.map(take, [(np.arange(a, min(a + size, len(W))),) for a in range(0, len(W), size)])
        return D, promise

    def _by_descent(self, memory, problems, W, grad, c, lam) -> tuple[np.ndarray, np.ndarray]:
        """`step` with norms."""
        dtype, penalty = self.engine.dtype, self.penalty
        tau, lam2 = (a.astype(dtype) for a in (penalty.norm_strengths(lam, W, problems), penalty.ridge_strength(lam)))
        point = (np.ascontiguousarray(a, dtype) for a in (c, W, grad))
        bounds = np.zeros((2, 0), dtype) if penalty.bounds is None else penalty.bounds.astype(dtype)
        norms = Norms(penalty.starts, tau, lam2), *bounds
        # the model is rarely better than a few digits
        limits = Limits(dtype.type(1e-3 if dtype == np.float32 else 1e-6), MAX_SWEEPS)
        D, slope = diagonal_descent(self.G[problems], norms, memory.pairs, problems, *point, limits)
        landed, D = W.astype(dtype) + D, D.astype(float)
        if penalty.bounds is not None:
            penalty.close_blocks(W, D, landed)
        return D, decrease(penalty, W, D, grad + slope, lam, problems)

    def _in_closed_form(self, memory, problems, W, grad, c, lam) -> tuple[np.ndarray, np.ndarray]:
        """`step` without."""
        lam2 = self.penalty.ridge_strength(lam)[:, None]
        gradient, diagonal = grad + lam2 * W, c[:, None] * self.G[problems] + lam2
        diagonal = np.where(diagonal > 0, diagonal, np.inf)
        return plain_step(self.penalty, memory, problems, gradient, lam2[:, 0], lambda r: r / diagonal)
