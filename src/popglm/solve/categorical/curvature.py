"""Second derivatives of the loss of a categorical response, its intercepts solved out."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np
from scipy.linalg import helmert, qr

from popglm.engines.protocol import Engine
from popglm.solve.passes.free_columns import LEAST, Projections

__all__ = ["ClassCurvature"]

#: Rows whose second derivatives are held at a time.
ROWS = 1024


class ClassCurvature:
    """What `popglm.solve.categorical.objective.CategoricalObjective` knows of second derivatives, on the host."""

    engine: Engine
    X: Any
    basis: np.ndarray
    unit: np.ndarray | None
    weights: np.ndarray | None
    offset: np.ndarray | None
    windows: list[tuple[int, int]]
    fit_intercept: bool
    total: float

    def class_weights(self, W: np.ndarray) -> np.ndarray:
        """Weights of the classes, of those of a problem."""
        raise NotImplementedError

    def _blocks(self, W: np.ndarray, b: np.ndarray) -> Iterator[tuple[np.ndarray, np.ndarray, np.ndarray]]:
        """Columns as the fit has them, probabilities (n_rows, n_classes) and weights, of the rows that count."""
        V = self.class_weights(W)
        for start, stop in self.windows:
            for first in range(start, stop, ROWS):
                rows = slice(first, min(first + ROWS, stop))
                s = np.ones(rows.stop - first) if self.weights is None else self.weights[rows].astype(float)
                counted = s > 0
                X, s = self.X[rows][counted].astype(float), s[counted]
                eta = X @ V.T + b
                if self.offset is not None:
                    eta += self.offset[:, rows][:, counted].T
                p = np.exp(eta - eta.max(axis=1, keepdims=True))
                yield (X if self.unit is None else X / self.unit), p / p.sum(axis=1, keepdims=True), s

    def _hessians(self, p: np.ndarray) -> np.ndarray:
        """Of samples in the coordinates of the classes, shape (n_rows, n_coordinates, n_coordinates)."""
        along = p @ self.basis.T
        return np.einsum("tk,ik,jk->tij", p, self.basis, self.basis) - along[:, :, None] * along[:, None]

    def weighted_grams(self, problems: np.ndarray, W: np.ndarray, b: np.ndarray) -> np.ndarray:
        """Second derivatives at the best intercepts, shape (n_problems, n, n); not finite where predictors are not."""
        with np.errstate(all="ignore"):
            return np.stack([self._profiled(w, own) for w, own in zip(W, b, strict=True)])

    def _profiled(self, w: np.ndarray, b: np.ndarray) -> np.ndarray:
        m, p = len(self.basis), self.X.shape[1]
        H, cross, inner = np.zeros((p, m, p, m)), np.zeros((p, m, m)), np.zeros((m, m))
        for X, shares, s in self._blocks(w, b):
            h = self._hessians(shares) * s[:, None, None]
            for i in range(m):
                for j in range(i, m):
                    part = X.T @ (X * h[:, i, j, None])
                    H[:, i, :, j] += part
                    if i != j:
                        H[:, j, :, i] += part
            cross += np.einsum("tf,tij->fij", X, h)
            inner += h.sum(axis=0)
        found, along = H.reshape(p * m, p * m), cross.reshape(p * m, m)
        if self.fit_intercept and np.isfinite(inner).all():
            found -= along @ np.linalg.pinv(inner, rcond=1e-12, hermitian=True) @ along.T
        return 0.5 * (found + found.T) / self.total

    def weighted_variances(self, problems: np.ndarray, W: np.ndarray, b: np.ndarray) -> np.ndarray:
        """The diagonals of `weighted_grams`, shape (n_problems, n)."""
        with np.errstate(all="ignore"):
            return np.stack([self._diagonal(w, own) for w, own in zip(W, b, strict=True)])

    def _diagonal(self, w: np.ndarray, b: np.ndarray) -> np.ndarray:
        m, p = len(self.basis), self.X.shape[1]
        found, cross, inner = np.zeros((p, m)), np.zeros((p, m, m)), np.zeros((m, m))
        for X, shares, s in self._blocks(w, b):
            h = self._hessians(shares) * s[:, None, None]
            found += (X * X).T @ np.einsum("tii->ti", h)
            cross += np.einsum("tf,tij->fij", X, h)
            inner += h.sum(axis=0)
        if self.fit_intercept and np.isfinite(inner).all():
            turned = cross @ np.linalg.pinv(inner, rcond=1e-12, hermitian=True)
            found -= np.einsum("fij,fij->fi", turned, cross)
        return (np.maximum(found, 0) / self.total).reshape(-1)

    def derivatives(self, problem: int, w: np.ndarray, b: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Gradient (n + 1,) and a root of the Hessian, as `popglm.solve.passes.hessian.derivatives` has them.

        The intercepts are solved out of both, so that the last entry, that of an intercept, is 0. A sample's Hessian is
        Σ p_k (e_k − p)(e_k − p)ᵀ: the root has a row of it for every sample and class.
        """
        found: Any = self.evaluate(np.zeros(1, int), w[None], b[None])  # type: ignore[attr-defined]
        # of the intercepts the contrasts: a constant over classes would leave the triangle without a pivot
        n_classes = self.basis.shape[1]
        contrasts = helmert(n_classes) if self.fit_intercept else np.zeros((0, n_classes))
        n, n_inner = len(w), len(contrasts)
        R = np.zeros((0, n_inner + n))
        with np.errstate(all="ignore"):
            for X, p, s in self._blocks(w, found.b[0]):
                apart = np.eye(p.shape[1])[None] - p[:, None]
                root = np.sqrt(p * s[:, None])[:, :, None] * apart
                full = np.einsum("tki,tf->tkfi", root @ self.basis.T, X).reshape(-1, n)
                inner = (root @ contrasts.T).reshape(len(full), n_inner)
                # the intercepts come first: what the triangle has below their rows is without them
                part = np.vstack([R, np.column_stack([inner, full])])
                if not np.isfinite(part).all():
                    return np.full(n + 1, np.nan), np.zeros((n, n + 1))
                R = qr(part, mode="r", overwrite_a=True, check_finite=False)[0][: n_inner + n]
        below = R[n_inner:, n_inner:] / np.sqrt(self.total)
        return np.append(found.grad[0], 0.0), np.column_stack([below, np.zeros(len(below))])

    def project(
        self, problems: np.ndarray, W: np.ndarray, b: np.ndarray, grad: np.ndarray, columns: np.ndarray,
        extra: np.ndarray | None = None,
    ) -> Projections:  # fmt: skip
        """See `popglm.solve.passes.free_columns.project`: the same for a Hessian matrix in the place of every h."""
        m, free = len(self.basis), np.unique(columns // len(self.basis))
        step, shift = np.zeros_like(grad), np.zeros_like(grad)
        decrement, reach = np.zeros(len(problems)), np.zeros(len(problems))
        for i, (w, own) in enumerate(zip(W, b, strict=True)):
            force = np.zeros((len(free) + int(self.fit_intercept), m))
            force[: len(free)] = grad[i].reshape(-1, m)[free]
            with np.errstate(all="ignore"):
                u, decrement[i] = self._newton_along(w, own, free, force, extra)
                forces, reach[i] = self._forces_along(w, own, free, u)
            shift[i] = forces.reshape(-1)
            shift[i].reshape(-1, m)[free] = grad[i].reshape(-1, m)[free]
            step[i].reshape(-1, m)[free] = -u[: len(free)]
        return Projections(step, shift, decrement, reach)

    def _free(self, X: np.ndarray, free: np.ndarray) -> np.ndarray:
        """Columns that are never penalised, and one of ones for the intercept."""
        return np.column_stack([X[:, free], np.ones((len(X), int(self.fit_intercept)))])

    def _newton_along(
        self, w: np.ndarray, b: np.ndarray, free: np.ndarray, force: np.ndarray, extra: np.ndarray | None
    ) -> tuple[np.ndarray, float]:
        """A⁻¹g along the free columns, of the shape of g (n_free, n_coordinates), and gᵀA⁻¹g."""
        n, m = force.shape
        A = np.zeros((n, m, n, m))
        for X, p, s in self._blocks(w, b):
            Z, h = self._free(X, free), self._hessians(p) * s[:, None, None]
            A += np.einsum("ta,tij,tb->aibj", Z, h, Z, optimize=True)
        A = A.reshape(n * m, n * m) / self.total
        if extra is not None:
            A[: len(extra), : len(extra)] += extra
        if not (np.isfinite(A).all() and np.isfinite(force).all()):
            return np.zeros_like(force), np.inf
        size = np.sqrt(np.diag(A))
        size = np.where(size > 0, size, 1)
        values, vectors = np.linalg.eigh(A / np.outer(size, size))
        has = values > LEAST[np.dtype(self.engine.dtype).itemsize] * max(values[-1], np.finfo(float).tiny)
        along = vectors.T @ (force.reshape(-1) / size)
        solved = np.where(has, along / np.where(has, values, 1), 0)
        return (vectors @ solved / size).reshape(n, m), float(along @ solved)

    def _forces_along(self, w: np.ndarray, b: np.ndarray, free: np.ndarray, u: np.ndarray) -> tuple[np.ndarray, float]:
        """What a step u along the free columns moves the forces by (n_features, n_coordinates), and its reach.

        That is the largest difference of two classes' predictors by it: the dual point stays in its domain up to 1.
        """
        forces, reach = np.zeros((self.X.shape[1], len(self.basis))), 0.0
        for X, p, s in self._blocks(w, b):
            z = self._free(X, free) @ u
            forces += X.T @ (np.einsum("tij,tj->ti", self._hessians(p), z) * s[:, None])
            reach = max(reach, float(np.ptp(z @ self.basis, axis=1).max(initial=0)))
        return forces / self.total, reach
