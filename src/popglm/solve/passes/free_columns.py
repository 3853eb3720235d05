"""What columns that are never penalised can still gain beside the others, by second derivatives along them alone.

For a gap the dual point has to be orthogonal to these columns Z, as it is to the intercept. With h the curvature
weights and A = ZᵀSHZ, the residual r less h∘Zu is, for u = A⁻¹ZᵀSr. That moves the forces on the other columns by
XᵀSHZu, and costs Σ s [ℓ*(r + δ) − ℓ*(r) − ηδ] for δ = −h∘Zu. Where ℓ* is a Kullback-Leibler divergence and Zu stays
within ±1, that is at most Σ sδ²/h = D = rᵀSZA⁻¹ZᵀSr, twice what Newton's step along Z gains.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from popglm.solve.passes.curvature_grams import counting_parts, predictors
from popglm.solve.sparse.rows import SparseBlock, rows_of, times_rows
from popglm.statistics.families import Family

__all__ = ["Projections", "curvature_along", "forces_along", "project", "project_on_gram"]

#: Directions with less than this share of the curvature, in units in which every column has as much, are rounding.
LEAST = {8: 1e-14, 4: 1e-12}


@dataclass
class Projections:
    """How the dual points of some problems become orthogonal to the columns that are never penalised.

    Attributes
    ----------
    step : ndarray, shape (n_problems, n_features)
        Newton's along these columns, −u; 0 elsewhere.
    shift : ndarray, shape (n_problems, n_features)
        What is taken from the gradient: all of it along these columns.
    decrement : ndarray, shape (n_problems,)
        D; infinite where second derivatives are not finite.
    reach : ndarray, shape (n_problems,)
        Largest |Zu| of a sample.
    """

    step: np.ndarray
    shift: np.ndarray
    decrement: np.ndarray
    reach: np.ndarray


def project(
    objective: Any, fit: int, neurons: np.ndarray, W: np.ndarray, b: np.ndarray, grad: np.ndarray, columns: np.ndarray,
    extra: np.ndarray | None = None,
) -> Projections:  # fmt: skip
    """`Projections` of neurons of one fit, from two passes over its rows.

    Parameters
    ----------
    objective : RowObjective
    W, grad : ndarray, shape (n_neurons, n_features)
        Weights, and the gradient there, of the smoothness too.
    b : ndarray, shape (n_neurons,)
    columns : ndarray of int, shape (n_free,)
        Those that are never penalised.
    extra : ndarray, shape (n_free, n_free), optional
        What a smoothness penalty adds to A.
    """
    dtype, has_intercept = objective.engine.dtype, int(objective.fit_intercept)
    n, p = W.shape
    total = objective.total[fit * len(objective.Y) + neurons]
    at = objective.loss_of(fit, neurons), fit, neurons, W.astype(dtype), b.astype(dtype), columns
    with np.errstate(all="ignore"):
        A = objective.rows.curvature_along(*at) / total[:, None, None]
        if extra is not None:
            A[:, : len(columns), : len(columns)] += extra
        force = np.column_stack([grad[:, columns], np.zeros((n, has_intercept))])
        good = np.isfinite(A).all(axis=(1, 2)) & np.isfinite(force).all(axis=1)
        u, decrement = np.zeros_like(force), np.full(n, np.inf)
        u[good], decrement[good] = _newton(A[good], force[good], LEAST[np.dtype(dtype).itemsize])
        shift, reach = objective.rows.forces_along(*at, u)
    shift = shift / total[:, None]
    step = np.zeros((n, p))
    step[:, columns] = -u[:, : len(columns)]
    # to rounding it is that already
    shift[:, columns] = grad[:, columns]
    return Projections(step, shift, decrement, reach)


@dataclass
class _Along:
    """Rows of a fit beside the columns Z of some neurons' weights, at the parameters of a loss.

    Attributes
    ----------
    rows : RowSums
    W : ndarray, shape (n_neurons, n_features)
        In the engine's precision, as b.
    """

    rows: Any
    loss: Family
    fit: int
    neurons: np.ndarray
    W: np.ndarray
    b: np.ndarray
    columns: np.ndarray

    def read(self, first: int, last: int) -> tuple[Any, np.ndarray, np.ndarray]:
        """Rows for products, their columns Z and one of ones for the intercept, and curvature weights."""
        rows, neurons = self.rows, self.neurons
        X = rows_of(rows.X, first, last)
        X = X if isinstance(X, SparseBlock) else np.asarray(X, rows.engine.dtype)
        eta = predictors(self.W, X) + self.b[:, None]
        eta = eta if rows.offset is None else eta + rows.offset[first:last]
        h = self.loss.derivatives(np, eta, rows.Y[neurons, first:last])[1]
        if rows.weights is not None:
            s = rows.weights if rows.weights.ndim == 1 else rows.weights[neurons]
            h = np.where(s[..., first:last] > 0, s[..., first:last] * h, 0)
        one = np.full((last - first, int(rows.fit_intercept)), 1.0)
        Z = X.columns(self.columns) if isinstance(X, SparseBlock) else X[:, self.columns]
        return X, np.column_stack([Z.astype(float), one]), h


def curvature_along(rows: Any, *at: Any) -> np.ndarray:
    """ΣhZᵀZ of some neurons over the rows of a fit, shape (n_neurons, n_free + 1, n_free + 1) with an intercept.

    ``at`` is loss, fit, neurons, W, b, columns: see `project`.
    """
    along = _Along(rows, *at)

    def curvature(chunks: list[tuple[int, int]]) -> np.ndarray:
        m = len(along.columns) + int(rows.fit_intercept)
        A = np.zeros((len(along.W), m, m))
        for first, last in chunks:
            _, Z, h = along.read(first, last)
            A += np.matmul(Z.T[None] * h[:, None, :], Z)
        return A

    with np.errstate(all="ignore"):
        return sum(rows.engine.map(curvature, counting_parts(rows.windows, along.fit)))


def forces_along(rows: Any, *at: Any) -> tuple[np.ndarray, np.ndarray]:
    """Σh(Zu)x (n_neurons, n_features), and the largest |Zu| of a sample, over the rows of a fit.

    ``at`` is loss, fit, neurons, W, b, columns and u: see `project`.
    """
    along, u = _Along(rows, *at[:-1]), at[-1]

    def forces(chunks: list[tuple[int, int]]) -> tuple[np.ndarray, np.ndarray]:
        shift, reach = np.zeros(along.W.shape), np.zeros(len(u))
        for first, last in chunks:
            X, Z, h = along.read(first, last)
            Zu = u @ Z.T
            shift += times_rows(np.matmul, (h * Zu).astype(rows.engine.dtype), X)
            reach = np.maximum(reach, np.where(h > 0, np.abs(Zu), 0).max(axis=1))
        return shift, reach

    with np.errstate(all="ignore"):
        some = rows.engine.map(forces, counting_parts(rows.windows, along.fit))
    return sum(part for part, _ in some), np.maximum.reduce([part for _, part in some])


def project_on_gram(model: Any, grad: np.ndarray) -> Projections:
    """`Projections` of problems whose second derivative is the Gram matrix of a model, in its columns."""
    G, penalty = model.G, model.penalty
    columns = penalty.free_columns
    A = G[np.ix_(columns, columns)]
    if penalty.R is not None:
        A = A + penalty.smoothness * penalty.R[np.ix_(columns, columns)]
    force = grad[:, columns]
    u, decrement = _newton(np.broadcast_to(A, (len(force), *A.shape)), force, LEAST[8])
    step, shift = np.zeros_like(grad), u @ G[columns]
    step[:, columns], shift[:, columns] = -u, force
    return Projections(step, shift, decrement, np.zeros(len(grad)))


def _newton(A: np.ndarray, force: np.ndarray, least: float) -> tuple[np.ndarray, np.ndarray]:
    """A⁻¹g and gᵀA⁻¹g of every problem, without the directions that are rounding."""
    size = np.sqrt(np.einsum("nii->ni", A))
    size = np.where(size > 0, size, 1)
    values, vectors = np.linalg.eigh(A / (size[:, :, None] * size[:, None]))
    has = values > least * np.maximum(values[:, -1:], np.finfo(float).tiny)
    along = np.einsum("nij,ni->nj", vectors, force / size)
    solved = np.where(has, along / np.where(has, values, 1), 0)
    return np.einsum("nij,nj->ni", vectors, solved) / size, np.einsum("ni,ni->n", along, solved)
