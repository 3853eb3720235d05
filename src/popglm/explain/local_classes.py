"""Held-out fits of very many labellings to one design, by the quadratic approximation of a softmax likelihood."""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np

from popglm.explain.local import LEAST_VARIANCE, Column, FoldFit, LocalModel, ProximalFold, Sums
from popglm.statistics.penalties import Penalty

__all__ = ["LocalClasses"]


@dataclass(eq=False)
class LocalClasses(LocalModel):
    """Penalised fits to the residuals of labels, with the folds of a cross-validation.

    Around predictors at which samples have the residuals r = e_y − p, weights B (n_coordinates, n_features) gain
    Σ rᵀBx − ½ xᵀBᵀSBx in log likelihood, where S is the mean of the classes' covariances diag(p) − ppᵀ. In
    coordinates of the classes in which S is diagonal, or, for norms of single weights, in those of the classes
    themselves.

    Parameters
    ----------
    S : ndarray, shape (n_coordinates, n_coordinates)
    grouped : bool
        Whether the penalty has norms of groups over all classes; else of single weights.
    """

    S: np.ndarray = field(kw_only=True)
    grouped: bool = field(kw_only=True)

    def __post_init__(self) -> None:
        self.inverse = np.linalg.pinv(self.S, rcond=1e-9, hermitian=True)
        super().__post_init__()

    def _fold(self, sums: Sums, penalty: Penalty) -> FoldFit:
        """See `LocalModel`."""
        return _ClassFoldFit(sums, penalty, self)

    def _column(self, Z: np.ndarray, known: np.ndarray | None, rows: slice | np.ndarray) -> Column:
        """See `LocalModel`; Z (n_columns, n_coordinates, n_samples) has residuals, and the square is rᵀS⁺r."""
        z, s = Z[..., rows], self.s[rows]
        weighted = z if self.weights is None else z * s
        n, m, _ = z.shape
        cross = (weighted.reshape(n * m, -1) @ self.x[rows]).reshape(n, m, -1)
        share = np.full(n, s.sum()) if known is None else known[:, rows] @ s
        squares = np.matmul(weighted, np.swapaxes(z, 1, 2))
        return Column(cross, weighted.sum(axis=2), np.einsum("nij,ij->n", squares, self.inverse), share)


class _ClassFoldFit(FoldFit):
    """The training rows of one fold."""

    def __init__(self, sums: Sums, penalty: Penalty, of: LocalClasses) -> None:
        super().__init__(sums, penalty, of.intercept)
        self.S, self.inverse, self.grouped = of.S, of.inverse, of.grouped

    def start(self, train: Column, held: Column, rows: Sums) -> _QuadraticClasses | _ProximalClasses:  # type: ignore[override]
        """See `FoldFit.start`."""
        known = np.maximum(train.share, np.finfo(float).tiny)
        mean = train.total / known[:, None] if self.intercept else np.zeros_like(train.total)
        share = held.share / max(rows.s, np.finfo(float).tiny)
        cross = train.cross / known[:, None, None] - mean[:, :, None] * self.mean
        # the held-out gains around the intercepts of the training rows
        moved = held.cross - mean[:, :, None] * rows.x * share[:, None, None]
        moved -= (held.total - mean * held.share[:, None])[:, :, None] * self.mean
        turned = mean @ self.inverse
        around = np.einsum("ni,ni->n", turned, mean)
        square = held.square - 2 * np.einsum("ni,ni->n", turned, held.total) + around * held.share
        unit = np.maximum(train.square / known - around, 0)
        kind = _ProximalClasses if self.axes is None else _QuadraticClasses
        return kind(self, cross, moved, square, self.around_mean(rows), share, unit)


class _QuadraticClasses:
    """Ridge, smoothness or no penalty: every strength in closed form, where S is diagonal."""

    def __init__(self, fit, cross, moved, square, XX, share, unit) -> None:
        self.fit, self.square, self.share = fit, square, share
        self.cross, self.moved = cross @ fit.axes, moved @ fit.axes
        self.XX, self.s = fit.axes.T @ XX @ fit.axes, np.diag(fit.S)[:, None]

    def error(self, lam: np.ndarray, columns: np.ndarray) -> np.ndarray:
        """What some columns lack on the rows held out, in units of twice the log likelihood."""
        curvature = self.s * self.fit.variance + lam[columns, None, None]
        flat = curvature <= LEAST_VARIANCE * max(self.s.max() * self.fit.variance[-1], np.finfo(float).tiny)
        w = np.where(flat, 0, self.cross[columns]) / np.where(flat, 1, curvature)
        n, m, p = w.shape
        square = np.einsum("nip,nip->n", (w.reshape(n * m, p) @ self.XX).reshape(w.shape), self.s * w)
        return self.square[columns] - 2 * np.einsum("nip,nip->n", w, self.moved[columns]) + square * self.share[columns]


class _ProximalClasses(ProximalFold):
    """Penalties with a kink: weights of a column are those of its coordinates, one after the other."""

    def __init__(self, fit, cross, moved, square, XX, share, unit) -> None:
        n, self.m, _ = cross.shape
        super().__init__(fit, cross.reshape(n, -1), moved.reshape(n, -1), square, XX, share, unit)
        self.S = fit.S.astype(np.float32)
        largest = max(float(np.linalg.eigvalsh(fit.S)[-1]), float(np.finfo(np.float32).tiny))
        self.bound = np.tile(np.float32(largest) * self.bound, self.m)

    def _apart(self, w: np.ndarray) -> np.ndarray:
        return w.reshape(len(w), self.m, -1)

    def error(self, lam: np.ndarray, columns: np.ndarray) -> np.ndarray:
        """See `_QuadraticClasses.error`."""
        self._descend(lam, columns)
        w = self.w[columns]
        apart = self._apart(w).astype(float)
        through = (apart.reshape(-1, apart.shape[2]) @ self.XX).reshape(apart.shape)
        square = np.einsum("nip,nip->n", through, np.matmul(self.fit.S, apart)) * self.share[columns]
        return self.square[columns] - 2 * np.einsum("ij,ij->i", w, self.moved[columns]) + square

    def _pull(self, w: np.ndarray) -> np.ndarray:
        """See `ProximalFold`."""
        turned = np.matmul(self.S, self._apart(w))
        return (turned.reshape(-1, turned.shape[2]) @ self.G).reshape(w.shape)

    def _shrink(self, w: np.ndarray, step: np.ndarray, threshold: np.ndarray) -> None:
        """See `ProximalFold`: norms of groups are over all coordinates, others of single weights."""
        apart, starts = self._apart(w), self.fit.penalty.starts[:-1]
        # steps are alike over coordinates, and within a block
        threshold = threshold * step[..., : apart.shape[2]][..., starts]
        if not self.fit.grouped:
            apart -= np.clip(apart, -threshold[:, None], threshold[:, None])
            return
        sizes = np.sqrt(np.add.reduceat((apart * apart).sum(axis=1), starts, axis=1))
        factor = np.maximum(1 - threshold / np.maximum(sizes, np.finfo(np.float32).tiny), 0)
        apart *= factor[:, None, self.fit.penalty.block_of_column]
