"""The columns of X as the passes of a fit of low rank read them: in memory, from disk window by window, or sparse."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from popglm.engines.protocol import Engine
from popglm.solve.folds import Part
from popglm.solve.low_rank.layout import Layout, Weights
from popglm.solve.passes.coordinates import row_sums
from popglm.solve.prepared import centred_copy
from popglm.solve.sparse.rows import SparseRows
from popglm.solve.stream import RowStream

__all__ = ["columns_of"]


class ReorderedRows:
    """Rows of a stream with some of its columns, in another order."""

    def __init__(self, X: RowStream, order: np.ndarray) -> None:
        self.X, self.order = X, order

    def __getitem__(self, rows: slice) -> np.ndarray:
        return np.ascontiguousarray(self.X[rows][:, self.order])


class DenseColumns:
    """Columns of low rank, then the common ones; then, from disk, the gathered ones of every neuron in turn.

    Parameters
    ----------
    engine : engine
    layout : Layout
    X : ndarray or RowStream, shape (n_samples, n_features)
    center : ndarray, shape (n_features,)
        What is taken from them.
    part : Part
        Rows that count.

    Attributes
    ----------
    X : array-like
        As `popglm.solve.passes.windows.Windows` takes it.
    own : array, shape (n_neurons · n_gathered, n_samples), or None
        The gathered columns, placed; None where there are none, or X has them.
    moments : sequence of ndarray
        Σxxᵀ over the rows of each of `Layout.blocks`.
    """

    def __init__(self, engine: Engine, layout: Layout, X: Any, center: np.ndarray, part: Part) -> None:
        used, gathered = np.r_[layout.low, layout.common].astype(int), layout.columns.ravel()
        self.own: Any = None
        self._stream: RowStream | None = None
        if isinstance(X, RowStream):
            self._stream = X.centred(center, engine.dtype, engine.n_workers)
            self.X: Any = ReorderedRows(self._stream, np.r_[used, gathered].astype(int))
            centred: Any = self._stream
        else:
            centred = centred_copy(X, np.arange(len(X)), center, engine.dtype, None)
            whole = np.array_equal(used, np.arange(X.shape[1]))
            self.X = centred if whole else np.ascontiguousarray(centred[:, used])
            if len(gathered):
                self.own = engine.place(np.ascontiguousarray(centred[:, gathered].T))
        self.moments = _moments(engine, centred, layout.blocks, part)

    def low(self, A: np.ndarray) -> np.ndarray:
        """Rows of the columns of low rank, as passes take them."""
        return A

    def of_low(self, G: np.ndarray) -> np.ndarray:
        """Those rows of what a pass returns."""
        return G

    def free(self, weights: Weights, gathered: np.ndarray) -> tuple[np.ndarray | None, np.ndarray | None]:
        """Weights of the common columns, and those of the gathered ones, as passes take them; None for none."""
        return weights.common if weights.common.shape[1] else None, gathered if gathered.shape[1] else None

    def of_free(self, found: list[np.ndarray], like: Weights) -> tuple[np.ndarray, np.ndarray]:
        """Sums along the common and the gathered columns, from those of a pass."""
        rest = iter(found)
        common = next(rest) if like.common.shape[1] else like.common
        return common, next(rest) if like.own.shape[1] else like.own

    def close(self) -> None:
        """Let go of what was read from disk."""
        if self._stream is not None:
            self._stream.close()


class SparseColumns:
    """All columns of a sparse X, where they stand; means are taken off in products.

    Parameters and attributes as of `DenseColumns`; the rows that count are all.
    """

    own = None

    def __init__(self, engine: Engine, layout: Layout, X: SparseRows, center: np.ndarray) -> None:
        self.layout, self.X = layout, X.centred_for(np.arange(len(X)), center, engine.dtype, None)
        self.moments = self.X.moments(layout.blocks)

    def low(self, A: np.ndarray) -> np.ndarray:
        """See `DenseColumns`."""
        found = np.zeros((self.X.shape[1], A.shape[1]))
        found[self.layout.low] = A
        return found

    def of_low(self, G: np.ndarray) -> np.ndarray:
        """See `DenseColumns`."""
        return G[self.layout.low]

    def free(self, weights: Weights, gathered: np.ndarray) -> tuple[np.ndarray | None, None]:
        """See `DenseColumns`; all of them in the place of the common ones."""
        layout = self.layout
        if not (weights.common.shape[1] or gathered.shape[1]):
            return None, None
        found = np.zeros((len(gathered), self.X.shape[1]))
        found[:, layout.common] = weights.common
        neuron, place = np.nonzero(layout.counted)
        found[neuron, layout.columns[neuron, place]] += gathered[neuron, place]
        return found, None

    def of_free(self, found: list[np.ndarray], like: Weights) -> tuple[np.ndarray, np.ndarray]:
        """See `DenseColumns`."""
        if not found:
            return like.common, like.own
        return found[0][:, self.layout.common], np.take_along_axis(found[0], self.layout.columns, axis=1)

    def close(self) -> None:
        """See `DenseColumns`: nothing was read."""


def columns_of(engine: Engine, layout: Layout, X: Any, center: np.ndarray, part: Part) -> DenseColumns | SparseColumns:
    """The columns of X, less ``center``; see `DenseColumns`."""
    if isinstance(X, SparseRows):
        return SparseColumns(engine, layout, X, center)
    return DenseColumns(engine, layout, X, center, part)


def _moments(engine: Engine, X: Any, blocks: Sequence[np.ndarray], part: Part) -> Sequence[np.ndarray]:
    """Σxxᵀ of some sets of columns, added up in float64, over the rows that count."""

    def products(take: Callable[[Any], np.ndarray]) -> tuple[np.ndarray, ...]:
        x = take(X)
        if part.counts is not None:
            x = x * np.sqrt(take(part.counts))[:, None].astype(x.dtype)
        return tuple(own.T @ own for own in (x[:, columns] for columns in blocks))

    return row_sums(engine, products, X, part.ranges)
