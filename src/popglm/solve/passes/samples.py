"""The arrays over samples that the sums of a fit are over, and what a compiled pass takes of them."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any, NamedTuple

import numpy as np

from popglm.engines.protocol import Engine
from popglm.solve.folds import Part, Ranges
from popglm.solve.remote.rows import RemoteRows
from popglm.solve.sparse.rows import SparseRows, some_rows
from popglm.solve.stream import RowStream, read_rows

__all__ = ["FitData", "Points", "Rows", "Samples", "Shape", "Window", "of_columns"]

Array = Any


class FitData(NamedTuple):
    """What a population is fitted to, as users give it: samples first.

    Attributes
    ----------
    engine : engine
    X : ndarray or RowStream, shape (n_samples, n_features)
        A stream is read block by block in every pass, and never held whole; `RemoteRows` stay where they are, and
        `SparseRows` sparse.
    Y : ndarray, shape (n_samples, n_neurons)
        NaN where a neuron was not recorded. In float64, or for `fit_population` as the user holds the same numbers.
    weights : ndarray, shape (n_samples,) or (n_samples, n_neurons), or None
    offset : ndarray, shape (n_samples,), or None
    splits : list of (train, test) row indices
    """

    engine: Engine
    X: Any
    Y: np.ndarray
    weights: np.ndarray | None
    offset: np.ndarray | None
    splits: list[tuple[np.ndarray, np.ndarray]]

    def of(self, neurons: np.ndarray) -> FitData:
        """The data of some neurons."""
        own = None if self.weights is None or self.weights.ndim == 1 else self.weights[:, neurons]
        return self._replace(Y=self.Y[:, neurons], weights=self.weights if own is None else own)

    def with_activity(self, Y: np.ndarray) -> FitData:
        """The data with another array for Y."""
        return self._replace(Y=Y)

    def narrowed(self, columns: np.ndarray) -> FitData:
        """The data in some columns (n_features,) of bool."""
        on_disk = isinstance(self.X, RowStream)
        return self._replace(X=self.X.with_columns(np.flatnonzero(columns)) if on_disk else self.X[:, columns])


class Samples(NamedTuple):
    """Arrays over samples.

    Attributes
    ----------
    X : ndarray, shape (n_samples, n_features)
        Or anything with such rows under ``X[first:last]``, or `RemoteRows`.
    Y : ndarray, shape (n_neurons, n_samples)
    weights : ndarray, shape (n_samples,) or (n_neurons, n_samples), or None
    offset : ndarray, shape (n_samples,), or None
    """

    X: Any
    Y: Array
    weights: Array = None
    offset: Array = None


@dataclass
class Rows:
    """The arrays of a fit, neurons first in Y, and the row ranges that count.

    Attributes
    ----------
    X : ndarray or RowStream, shape (n_samples, n_features)
    Y : ndarray, shape (n_neurons, n_samples)
    weights : ndarray, shape (n_samples,) or (n_neurons, n_samples), or None
    offset : ndarray, shape (n_samples,), or None
    ranges : list of (first, last)
    """

    X: Any
    Y: np.ndarray
    weights: np.ndarray | None
    offset: np.ndarray | None
    ranges: Ranges

    @property
    def samples(self) -> Samples:
        """The arrays without the ranges."""
        return Samples(self.X, self.Y, self.weights, self.offset)

    def shares_responses(self, other: Rows) -> bool:
        """Whether the responses of both are the same arrays, with the same weights and offset."""
        return self.Y is other.Y and self.weights is other.weights and self.offset is other.offset

    def part(self, part: Part) -> Rows:
        """Some of the rows: the same arrays wherever the part is not a copy."""
        if part.index is not None:
            weights, offset = (
                None if a is None else np.ascontiguousarray(a[..., part.index]) for a in (self.weights, self.offset)
            )
            Y = np.ascontiguousarray(self.Y[:, part.index])
            return Rows(some_rows(self.X, part.index), Y, weights, offset, part.ranges)
        return Rows(self.X, self.Y, part.weighted(self.weights, self.Y.dtype), self.offset, part.ranges)

    def displace(self, engine: Engine, others: Rows) -> None:
        """Let go of what the engine placed of these arrays, but for those that other rows have too."""
        kept = {id(others.X), id(others.Y), id(others.weights), id(others.offset)}
        for array in (self.X, self.Y, self.weights, self.offset):
            if array is not None and id(array) not in kept:
                engine.displace(array)

    def of(self, neurons: np.ndarray) -> Rows:
        """The rows of some neurons: the same arrays where these are all."""
        if len(neurons) == len(self.Y):
            return self
        weights = self.weights if self.weights is None or self.weights.ndim < 2 else self.weights[neurons]
        return replace(self, Y=self.Y[neurons], weights=weights)


def of_columns(columns: np.ndarray, data: Rows, scored: Rows) -> tuple[Rows, Rows]:
    """The same rows with some of the columns, of bool, shape (n_features,); both share one array of them."""
    if isinstance(data.X, RemoteRows):
        X: Any = data.X.fetched_columns(columns)
    elif isinstance(data.X, SparseRows):
        X = data.X.with_columns(np.flatnonzero(columns))
    else:
        X = np.concatenate([rows[:, columns] for _, _, rows in read_rows(data.X)])
    return replace(data, X=X), replace(scored, X=X)


class Shape(NamedTuple):
    """What a pass over a window is compiled for.

    Attributes
    ----------
    ops : type
        The class of an engine: its namespace ``ops.xp`` and its few kernels.
    size : int
        Rows of the window.
    masked : bool
        Whether windows have one size, of which only some rows count.
    """

    ops: Any
    size: int
    masked: bool = False


class Window(NamedTuple):
    """The samples of a window; ``at`` is (row in X, row in the other arrays, first, last row that counts)."""

    X: Array
    Y: Array
    weights: Array
    offset: Array
    at: Array


class Points(NamedTuple):
    """Where some neurons are.

    Attributes
    ----------
    neurons : array of int, shape (n_points,), or None
        Rows of Y; None for all.
    W : array, shape (n_points, n_features), or None
        None where linear predictors are known.
    b : array, shape (n_points,)
    theta : array, shape (n_points, n_parameters), or None
        Parameters of a family that has some.
    """

    neurons: Array
    W: Array
    b: Array
    theta: Array = None
