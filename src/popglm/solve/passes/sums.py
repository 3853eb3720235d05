"""Sums over the rows of X that every fit counts: they hold no activity, and nothing of a fold's held-out rows."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from popglm.engines.protocol import Engine
from popglm.solve.folds import Folds, Part, Ranges
from popglm.solve.passes.coordinates import gram, row_sums
from popglm.solve.remote.rows import RemoteRows
from popglm.solve.sparse.rows import SparseRows, some_rows

__all__ = [
    "SOME_ROWS",
    "FeatureSums",
    "feature_sums",
    "gram_precision",
    "largest_eigenvalue",
    "response_products",
    "without_each",
]

#: A variance below this share of a column's mean square is rounding: the column is constant.
NO_VARIANCE = 1e-12
#: A ridge this many times the rounding of a Gram matrix does not feel it.
FAR_ABOVE = 50.0
#: Rows by which the largest variance of a column is told, about.
SOME_ROWS = 1024


@dataclass(frozen=True)
class FeatureSums:
    """Weighted sums over some rows, in float64.

    Attributes
    ----------
    s : float
        Σ_t s_t.
    x : ndarray, shape (n_features,)
    XX : ndarray, shape (n_features, n_features), or (n_features,) of a wide sparse X
        Its diagonal there.
    free : FeatureSums or None
        Of the columns that are never penalised alone, where XX is a diagonal.
    largest : float or None
        Eigenvalue of the covariance of the penalised columns, where XX is a diagonal and strengths depend on it.
    """

    s: float
    x: np.ndarray
    XX: np.ndarray
    free: FeatureSums | None = None
    largest: float | None = None

    @staticmethod
    def of(engine: Engine, X: Any, weights: np.ndarray | None, ranges: Ranges, dtype: Any = float) -> FeatureSums:
        """Sums over row ranges, of products in a precision."""
        return FeatureSums._of_gram(gram(engine, X, weights, ranges, dtype), weights, ranges)

    @staticmethod
    def _of_gram(sums: tuple[np.ndarray, np.ndarray], weights: np.ndarray | None, ranges: Ranges) -> FeatureSums:
        XX, x = sums
        return FeatureSums(float(sum(b - a if weights is None else weights[a:b].sum() for a, b in ranges)), x, XX)

    @staticmethod
    def of_parts(engine: Engine, parts: list[tuple[Any, np.ndarray | None, Ranges]]) -> list[FeatureSums]:
        """Sums over X, weights and row ranges of each part; workers take them all at once."""
        if parts and isinstance(parts[0][0], RemoteRows):
            given = [(s, ranges) for _, s, ranges in parts]
            grams = parts[0][0].grams(given)
            return [FeatureSums._of_gram(sums, *part) for sums, part in zip(grams, given, strict=True)]
        return [FeatureSums.of(engine, *part) for part in parts]

    @staticmethod
    def add(parts: list[FeatureSums]) -> FeatureSums:
        """Sums over the rows of all parts."""
        x: Any = sum(p.x for p in parts)
        XX: Any = sum(p.XX for p in parts)
        free = [p.free for p in parts if p.free is not None]
        return FeatureSums(sum(p.s for p in parts), x, XX, FeatureSums.add(free) if free else None)

    def of_columns(self, columns: np.ndarray) -> FeatureSums:
        """Sums of some columns, shape (n_features,) of bool: those that are never penalised, where XX is a diagonal."""
        if self.free is not None:
            return self.free
        return FeatureSums(self.s, self.x[columns], self.XX[np.ix_(columns, columns)])

    @property
    def is_diagonal(self) -> bool:
        """Whether XX is a diagonal alone."""
        return self.XX.ndim == 1

    def without_products(self) -> FeatureSums:
        """The sums without XX, unless that is a diagonal."""
        return self if self.is_diagonal else replace(self, XX=np.zeros((0, 0)))

    def mean(self, fit_intercept: bool) -> np.ndarray:
        """What an intercept can make up for, shape (n_features,)."""
        return self.x / max(self.s, np.finfo(float).tiny) if fit_intercept else np.zeros_like(self.x)

    def constant(self, columns: np.ndarray) -> tuple[np.ndarray, float]:
        """Weights of some columns (n_features,) of bool whose predictor is near 1 in all rows.

        Returns these weights, and the share of the square of 1 that they reach. The nearest there are; of a diagonal
        those that would be so if columns were orthogonal, in as many sets as make up for one.
        """
        s = max(self.s, np.finfo(float).tiny)
        mean = self.x[columns] / s
        square = (self.XX if self.is_diagonal else np.diag(self.XX))[columns] / s
        size = np.sqrt(np.where(square > 0, square, 1.0))
        mean = mean / size
        if self.is_diagonal:
            sets = max(float(mean @ mean), 1.0)
            return mean / (size * sets), float(mean @ mean) / sets
        XX = self.XX[np.ix_(columns, columns)] / (s * np.outer(size, size))
        w = np.linalg.pinv(XX, rcond=1e-10, hermitian=True) @ mean
        return w / size, float(mean @ w)

    def covariance(self, fit_intercept: bool) -> np.ndarray:
        """Of the columns, about their mean with an intercept; exactly 0 for columns that do not vary in these rows.

        Of a diagonal, the variances.
        """
        G, mean = self.XX / max(self.s, np.finfo(float).tiny), self.mean(fit_intercept)
        square = G if G.ndim == 1 else np.diag(G).copy()
        still = square - mean**2 <= NO_VARIANCE * square
        if G.ndim == 1:
            return np.where(still, 0, G - mean**2)
        G -= np.outer(mean, mean)
        G[still], G[:, still] = 0, 0
        return G


def feature_sums(
    engine: Engine,
    X: Any,
    weights: np.ndarray | None,
    folds: Folds,
    free: np.ndarray | None = None,
    dtype: Any = float,
) -> tuple[list[FeatureSums], list[FeatureSums] | None]:
    """Sums over all rows and then over every fold's training rows; and over its held-out rows, of a partition.

    Parameters
    ----------
    X : ndarray or RowStream, shape (n_samples, n_features)
        Centred.
    weights : ndarray, shape (n_samples,), or None
    free : ndarray of bool, shape (n_features,), or None
        Columns that are never penalised.
    dtype : dtype
        Of products of an X in this process: see `gram_precision`.
    """

    def of(part: Part) -> FeatureSums:
        s, rows = part.weighted(weights), X
        if part.index is not None:
            rows, s = some_rows(X, part.index), None if weights is None else weights[part.index]
        found = FeatureSums.of(engine, rows, s, part.ranges, dtype)
        if free is None or not found.is_diagonal:
            return found
        return replace(found, free=FeatureSums.of(engine, rows.with_columns(np.flatnonzero(free)), s, part.ranges))

    if isinstance(X, RemoteRows):
        parts = folds.test if folds.partition else [Part([(0, len(X))]), *folds.train]
        found = FeatureSums.of_parts(engine, [(X, part.weighted(weights), part.ranges) for part in parts])
        if not folds.partition:
            return found, None
        return [FeatureSums.add(found), *map(FeatureSums.add, without_each(found))], found
    if folds.partition:
        held = [of(part) for part in folds.test]
        return [FeatureSums.add(held), *map(FeatureSums.add, without_each(held))], held
    return [of(Part([(0, len(X))])), *map(of, folds.train)], None


def gram_precision(engine: Engine, X: Any, ridge: float) -> Any:
    """The precision of products for Gram matrices G that metrics G + ridge·I of steps are made of.

    Rounded products move the eigenvalues of G by their rounding times its entries, as numbers at random.

    Parameters
    ----------
    X : ndarray or rows, shape (n_samples, n_features)
        Centred.
    ridge : float
        The least of all neurons; 0 where G itself is asked for.
    """
    if not isinstance(X, np.ndarray) or ridge <= 0:
        return float
    some = X[:: max(len(X) // SOME_ROWS, 1)].astype(float)
    rounding = np.finfo(engine.dtype).eps * np.sqrt(X.shape[1]) * np.square(some).mean(axis=0).max(initial=0)
    return engine.dtype if ridge >= FAR_ABOVE * rounding else float


def response_products(
    engine: Engine, X: Any, Y: np.ndarray, weights: np.ndarray | None, mean: np.ndarray, ranges: Ranges
) -> tuple[np.ndarray, np.ndarray]:
    """Σsy² and Σsyx over row ranges, of responses less a ``mean`` each.

    Parameters
    ----------
    Y : ndarray, shape (n_neurons, n_samples)
    weights : ndarray, shape (n_samples,), or None
    mean : ndarray, shape (n_neurons,)
    """

    if isinstance(X, SparseRows):
        return _sparse_products(engine, X, Y, weights, mean, ranges)

    def products(take: Callable[[Any], np.ndarray]) -> tuple[Any, ...]:
        y = take(Y.T).T
        y = y - mean[:, None]
        ys = y * (np.ones(y.shape[1]) if weights is None else take(weights))
        return np.einsum("ij,ij->i", ys, y), engine.product(ys, take(X).astype(float))

    return row_sums(engine, products, X, ranges)


def _sparse_products(
    engine: Engine, X: SparseRows, Y: np.ndarray, weights: np.ndarray | None, mean: np.ndarray, ranges: Ranges
) -> tuple[np.ndarray, np.ndarray]:
    """`response_products` of a sparse X."""

    def products(first: int, last: int) -> tuple[np.ndarray, np.ndarray]:
        y = Y[:, first:last] - mean[:, None]
        ys = y * (1.0 if weights is None else weights[first:last])
        return np.einsum("ij,ij->i", ys, y), X.window(first, last).along(ys)

    chunks = [(first + a, first + b) for first, last in ranges for a, b in X.row_chunks(last - first, engine.n_workers)]
    yy, YX = np.zeros(len(Y)), np.zeros((len(Y), X.shape[1]))
    for at in range(0, len(chunks), engine.n_workers):
        for own_yy, own_YX in engine.map(products, chunks[at : at + engine.n_workers]):
            yy, YX = yy + own_yy, YX + own_YX
    return yy, YX


def without_each(parts: list[Any]) -> list[list[Any]]:
    """The list without its first entry, without its second, and so on."""
    return [parts[:i] + parts[i + 1 :] for i in range(len(parts))]


def largest_eigenvalue(G: np.ndarray, free: np.ndarray | None) -> float:
    """Of a covariance (n_features, n_features), or of one given by its eigenvalues (n_features,).

    The columns ``free`` (n_features,), unless that is None, do not count.
    """
    if free is not None:
        G = G[np.ix_(~free, ~free)]
    return float(np.max(G if G.ndim == 1 else np.linalg.eigvalsh(G), initial=0))
