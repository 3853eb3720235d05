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

from popglm.engines.numpy_engine import NumpyEngine

__all__ = ["Projections", "project", "project_on_gram"]

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
    rows: Any, fit: int, neurons: np.ndarray, W: np.ndarray, b: np.ndarray, grad: np.ndarray, columns: np.ndarray,
    extra: np.ndarray | None = None,
) -> Projections:  # fmt: skip
    """`Projections` of neurons of one fit, from two passes over its rows.

    Parameters
    ----------
    rows : RowObjective
    W, grad : ndarray, shape (n_neurons, n_features)
        Weights, and the gradient there, of the smoothness too.
    b : ndarray, shape (n_neurons,)
    columns : ndarray of int, shape (n_free,)
        Those that are never penalised.
    extra : ndarray, shape (n_free, n_free), optional
        What a smoothness penalty adds to A.
    """
    engine, windows = rows.engine, rows.windows
    n, p = W.shape
    total = rows.total[fit * len(rows.Y) + neurons]
    counting = [windows.chunks[k] for k, kind in enumerate(windows.kind) if windows.members[kind][fit]]
    # as many parts on any machine, so that sums have one order
    parts = [([counting[i] for i in part],) for part in np.array_split(np.arange(len(counting)), 2) if len(part)]

    def read(first: int, last: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """Rows, their columns Z with one of ones for the intercept, and curvature weights (n, n_rows)."""
        X = np.asarray(rows.X[first:last], engine.dtype)
        eta = (NumpyEngine.pad(W.astype(engine.dtype)) @ X.T)[:n] + b[:, None].astype(engine.dtype)
        eta = eta if rows.offset is None else eta + rows.offset[first:last]
        h = rows.loss_of(fit, neurons).derivatives(np, eta, rows.Y[neurons, first:last])[1]
        if rows.weights is not None:
            s = rows.weights if rows.weights.ndim == 1 else rows.weights[neurons]
            h = np.where(s[..., first:last] > 0, s[..., first:last] * h, 0)
        one = np.full((last - first, int(rows.fit_intercept)), 1.0)
        return X, np.column_stack([X[:, columns].astype(float), one]), h

    def curvature(chunks: list[tuple[int, int]]) -> np.ndarray:
        m = len(columns) + int(rows.fit_intercept)
        A = np.zeros((n, m, m))
        for first, last in chunks:
            _, Z, h = read(first, last)
            A += np.matmul(Z.T[None] * h[:, None, :], Z)
        return A

    def forces(chunks: list[tuple[int, int]]) -> tuple[np.ndarray, np.ndarray]:
        shift, reach = np.zeros((n, p)), np.zeros(n)
        for first, last in chunks:
            X, Z, h = read(first, last)
            along = u @ Z.T
            shift += (h * along).astype(engine.dtype) @ X
            reach = np.maximum(reach, np.where(h > 0, np.abs(along), 0).max(axis=1))
        return shift, reach

    with np.errstate(all="ignore"):
        A = sum(engine.map(curvature, parts)) / total[:, None, None]
        if extra is not None:
            A[:, : len(columns), : len(columns)] += extra
        force = np.column_stack([grad[:, columns], np.zeros((n, int(rows.fit_intercept)))])
        good = np.isfinite(A).all(axis=(1, 2)) & np.isfinite(force).all(axis=1)
        u, decrement = np.zeros_like(force), np.full(n, np.inf)
        u[good], decrement[good] = _newton(A[good], force[good], LEAST[np.dtype(engine.dtype).itemsize])
        some = engine.map(forces, parts)
    shift = sum(part for part, _ in some) / total[:, None]
    step = np.zeros((n, p))
    step[:, columns] = -u[:, : len(columns)]
    # to rounding it is that already
    shift[:, columns] = grad[:, columns]
    return Projections(step, shift, decrement, np.maximum.reduce([part for _, part in some]))


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
