"""What a population of curves is fitted to: an X in memory, sparse or on disk, and the samples of each neuron."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np

from popglm.engines.protocol import Engine
from popglm.solve.curves.penalised_newton import Likelihood, RowLikelihood
from popglm.solve.curves.sparse_samples import SparseDesign, SparseLikelihood
from popglm.solve.curves.together import Passes, StreamedLikelihood, counted_samples
from popglm.solve.passes.coordinates import gram
from popglm.solve.sparse.rows import SparseRows
from popglm.solve.stream import RowStream, read_rows
from popglm.statistics.families import Family

__all__ = ["SmoothData", "column_moments"]


class SmoothData(NamedTuple):
    """X and what is fitted to it.

    Attributes
    ----------
    X : ndarray, RowStream or SparseRows, shape (n_samples, n_features)
    Y : ndarray, shape (n_samples, n_neurons)
        NaN where a neuron was not recorded.
    weights : ndarray, shape (n_samples,) or (n_samples, n_neurons), or None
    offset : ndarray, shape (n_samples,), or None
    center : ndarray, shape (n_features,)
        What is taken from the columns; 0 without an intercept.
    n_open : int
        1 for an intercept, 0 without.
    """

    X: Any
    Y: np.ndarray
    weights: np.ndarray | None
    offset: np.ndarray | None
    center: np.ndarray
    n_open: int

    @property
    def is_on_disk(self) -> bool:
        """Whether X is read in blocks."""
        return isinstance(self.X, RowStream) and not isinstance(self.X, SparseRows)

    @property
    def shares_weights(self) -> bool:
        """Whether samples count alike for all neurons that were recorded there."""
        return self.weights is None or self.weights.ndim == 1

    @property
    def beside(self) -> tuple[np.ndarray, np.ndarray | None, np.ndarray | None]:
        """Y, weights and offset."""
        return self.Y, self.weights, self.offset

    def shared_moments(self, engine: Engine) -> np.ndarray:
        """Σ s zzᵀ of ones and all columns on disk, for neurons that are complete."""
        work, n = self.X.centred(self.center, float, engine.n_workers), len(self.Y)
        XX, x = gram(engine, work, self.weights, [(0, n)])
        work.close()
        total = float(n if self.weights is None else self.weights.sum())
        return np.block([[np.array([[total]]), x[None]], [x[:, None], XX]])

    def in_memory(self, loss: Family, columns: np.ndarray) -> Callable[[int], Likelihood]:
        """The samples of a neuron, by its number, beside some columns of an X that is dense or sparse."""
        Z, kind = self._design(columns)
        every = kind(loss, Z, *(np.zeros(len(self.Y)),) * 3)
        # neurons that are complete, and weighted alike, share their second moments
        G = None
        if loss.is_least_squares and self.shares_weights:
            G = every.gram(np.ones(len(self.Y)) if self.weights is None else self.weights.astype(float))

        def samples(j: int) -> Likelihood:
            counted, y, s, offset = counted_samples(*self.beside, j)
            z = Z if counted is None else Z.take(counted) if isinstance(Z, SparseDesign) else Z[counted]
            own = kind(loss, z, y, s, offset)
            if not loss.is_least_squares:
                return own
            return own.moments(None if np.isnan(self.Y[:, j]).any() else G)

        return samples

    def _design(self, columns: np.ndarray) -> tuple[Any, type[RowLikelihood]]:
        """Ones, and some columns less their means; and the kind of likelihood for such a matrix."""
        if isinstance(self.X, SparseRows):
            own = self.X.with_columns(columns)
            work = own.centred_for(np.arange(len(own)), self.center[columns], float, None)
            assert work.shift is not None
            return SparseDesign(work.source, work.shift, self.n_open), SparseLikelihood
        dense = self.X[:, columns].astype(float) - self.center[columns]
        return np.column_stack([np.ones((len(dense), self.n_open)), dense]), RowLikelihood

    def streamed(
        self, loss: Family, columns: np.ndarray, passes: Passes, G: np.ndarray | None
    ) -> Callable[[int], Likelihood]:
        """The same of an X on disk; ``G`` are second moments that complete neurons share, of ones and all columns."""
        places = np.r_[np.arange(self.n_open), 1 + columns]
        own_G = None if G is None else G[np.ix_(places, places)]

        def samples(j: int) -> Likelihood:
            own = StreamedLikelihood(loss, passes, columns, self.n_open, self.beside, j)
            if not loss.is_least_squares:
                return own
            return own.moments(None if np.isnan(self.Y[:, j]).any() else own_G)

        return samples


def column_moments(engine: Engine, X: Any, fit_intercept: bool) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Means of the columns, 0 without an intercept; which of them tell anything; and the mean of xxᵀ, x less its mean.

    A constant adds to an intercept alone, and stands for one where there is none. Shapes (n_features,), twice, and
    (n_features, n_features).
    """
    n, p = X.shape
    if isinstance(X, SparseRows):
        low, high = (np.ravel(own(axis=0).toarray()) for own in (X.source.min, X.source.max))
        total = X.weighted_sum(np.ones(n))
    else:
        low, high, total = np.full(p, np.inf), np.full(p, -np.inf), np.zeros(p)
        for _, _, rows in read_rows(X):
            low, high = np.minimum(low, rows.min(axis=0)), np.maximum(high, rows.max(axis=0))
            total += rows.sum(axis=0, dtype=float)
    mean = total / n if fit_intercept else np.zeros(p)
    tells = high > low if fit_intercept else (low != 0) | (high != 0)
    if isinstance(X, SparseRows):
        centred: Any = X.centred_for(np.arange(n), mean, float, None)
    elif isinstance(X, RowStream):
        centred = X.centred(mean, float, engine.n_workers)
    else:
        centred = X.astype(float) - mean
    G = gram(engine, centred, None, [(0, n)])[0] / n
    if isinstance(X, RowStream):
        centred.close()
    return mean, tells, G
