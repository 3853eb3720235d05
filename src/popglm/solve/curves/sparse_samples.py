"""The samples of a neuron beside sparse columns, whose means are taken off in products alone."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from scipy.sparse import csr_array

from popglm.solve.curves.penalised_newton import RowLikelihood

__all__ = ["SparseDesign", "SparseLikelihood"]

#: Rows that are dense for a moment.
PIECE = 4096


@dataclass(frozen=True, eq=False)
class SparseDesign:
    """Z = [1, A − 1mᵀ], or A − 1mᵀ.

    Attributes
    ----------
    A : csr_array, shape (n_samples, n_features)
    m : ndarray, shape (n_features,)
    n_open : int
        Columns of ones, 0 or 1.
    """

    A: csr_array
    m: np.ndarray
    n_open: int

    @property
    def shape(self) -> tuple[int, int]:
        return self.A.shape[0], self.n_open + self.A.shape[1]

    def take(self, rows: np.ndarray) -> SparseDesign:
        """Some rows."""
        return SparseDesign(self.A[rows], self.m, self.n_open)


class SparseLikelihood(RowLikelihood):
    """The same for Z as a `SparseDesign`."""

    Z: SparseDesign

    def predictor(self, w: np.ndarray) -> np.ndarray:
        """See `RowLikelihood`."""
        v = w[self.Z.n_open :]
        return self.Z.A @ v + (w[: self.Z.n_open].sum() - self.Z.m @ v) + self.offset

    def along(self, r: np.ndarray) -> np.ndarray:
        """See `RowLikelihood`."""
        total = r.sum()
        return np.concatenate([np.full(self.Z.n_open, total), self.Z.A.T @ r - self.Z.m * total])

    def gram(self, h: np.ndarray) -> np.ndarray:
        """See `RowLikelihood`."""
        (A, m, n_open), total = (self.Z.A, self.Z.m, self.Z.n_open), h.sum()
        x, found = A.T @ h, np.empty((self.n_columns, self.n_columns))
        scaled = csr_array((A.data * np.repeat(h, np.diff(A.indptr)), A.indices, A.indptr), A.shape)
        cross = np.outer(m, x)
        found[n_open:, n_open:] = (scaled.T @ A).toarray() - cross - cross.T + total * np.outer(m, m)
        found[:n_open, :n_open] = total
        found[:n_open, n_open:], found[n_open:, :n_open] = x - total * m, (x - total * m)[:, None]
        return found

    def leverage(self, M: np.ndarray) -> np.ndarray:
        """See `RowLikelihood`."""
        A, n_open = self.Z.A, self.Z.n_open
        # z = Lᵀ(1, a), of which the ones are left out where there is none
        L = np.vstack([np.zeros((1, n_open + len(self.Z.m))), np.eye(self.n_columns)[n_open:]])
        L[0, :n_open], L[0, n_open:] = 1.0, -self.Z.m
        N = L @ M @ L.T
        found = N[0, 0] + 2 * (A @ N[0, 1:])
        for first in range(0, len(found), PIECE):
            rows = A[first : first + PIECE]
            found[first : first + PIECE] += rows.multiply(rows @ N[1:, 1:]).sum(axis=1)
        return found
