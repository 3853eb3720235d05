"""A share of a design's rows, and what is summed over them where they lie."""

from __future__ import annotations

import hashlib
from contextlib import ExitStack
from typing import Any

import numpy as np

from popglm.engines import NumpyEngine, get_engine
from popglm.numbers import first_not_finite
from popglm.solve.held_out import HeldOut
from popglm.solve.passes.coordinates import gram
from popglm.solve.passes.row_sums import RowSums
from popglm.solve.passes.samples import Samples
from popglm.solve.passes.sums import response_products
from popglm.statistics.families import Family

__all__ = ["Share"]

#: Bytes of rows that are read, or centred, at a time.
PIECE = 2**24
Ranges = list[tuple[int, int]]


class Share:
    """Some consecutive rows of X, read here and held as they were read, then centred in a fit's precision.

    Parameters
    ----------
    n_threads : int
        Threads that sum.
    """

    def __init__(self, n_threads: int) -> None:
        self.n_threads = n_threads
        self.engine: Any = NumpyEngine("float64", n_threads)
        self.X: Any = None
        self._pieces: list[np.ndarray] = []
        self._session = ExitStack()
        self._arrays: dict[int, np.ndarray] = {}
        self._made: dict[int, Any] = {}
        self._predicted: dict[int, tuple[Any, Any]] = {}

    # rows as they are

    def read(self, source: Any, first: int, last: int, dtype: np.dtype) -> None:
        """Read rows of an array on disk."""
        step = max(1, PIECE // (source.shape[1] * np.dtype(dtype).itemsize))
        for a in range(first, last, step):
            self.add(source[a : min(a + step, last)], dtype)

    def add(self, rows: Any, dtype: np.dtype) -> None:
        """Take rows, the next ones."""
        rows = np.ascontiguousarray(rows, dtype)
        # a view would hold more than its rows
        self._pieces.append(rows if rows.base is None else rows.copy())

    def not_finite(self) -> tuple[str, int, int] | None:
        """What is not finite: its name, its column, and its first row; None for nothing."""
        first = 0
        for rows in self._pieces:
            if found := first_not_finite(rows):
                what, column, bad = found
                return what, int(column), first + int(bad[0])
            first += len(rows)
        return None

    def digest(self) -> bytes:
        """Hash of the rows."""
        running = hashlib.blake2b(digest_size=16)
        for rows in self._pieces:
            running.update(rows.data)
        return running.digest()

    def weighted_sum(self, s: np.ndarray | None) -> np.ndarray:
        """Σsx, shape (n_features,); s (n_rows,)."""
        total, first = np.zeros(self._pieces[0].shape[1]), 0
        for rows in self._pieces:
            for a in range(0, len(rows), 1024):
                x = rows[a : a + 1024]
                # in float64, piece by piece: the product would be twice the rows
                total += (np.ones(len(x)) if s is None else s[first + a : first + a + len(x)]) @ x
            first += len(rows)
        return total

    def square_sum(self, center: np.ndarray) -> np.ndarray:
        """Sum of squares about ``center``, shape (n_features,)."""
        total = np.zeros(len(center))
        for rows in self._pieces:
            for a in range(0, len(rows), 1024):
                total += np.square(rows[a : a + 1024] - center).sum(axis=0)
        return total

    # rows of a fit

    def centre(
        self, order: np.ndarray, center: np.ndarray, unit: np.ndarray | None, name: str, device: str, precision: str
    ) -> None:
        """Take ``center`` from the rows, divide columns by ``unit`` unless that is None, and begin a fit's engine.

        Parameters
        ----------
        order : ndarray of int, shape (n_rows,)
            In which rows are held from then on.
        """
        engine = NumpyEngine(precision, self.n_threads) if name == "numpy" else get_engine(name, device, precision)
        engine.n_workers = self.n_threads
        X, first, place = np.empty((len(order), len(center)), engine.dtype), 0, np.argsort(order)
        while self._pieces:
            # each piece is let go of as soon as it is there centred
            rows = self._pieces.pop(0)
            for a in range(0, len(rows), 256):
                # the difference in float64: a column with a large mean keeps its digits
                x = rows[a : a + 256] - center
                X[place[first + a : first + a + len(x)]] = x if unit is None else x / unit
            first += len(rows)
        self.engine, self.X = engine, X
        self._session.enter_context(engine.session())

    def columns(self, kept: np.ndarray) -> np.ndarray:
        """Some columns, of bool, shape (n_features,)."""
        return self.X[:, kept]

    def gram(self, s: np.ndarray | None, ranges: Ranges) -> tuple[np.ndarray, np.ndarray]:
        """See `popglm.solve.passes.coordinates.gram`."""
        return gram(self.engine, self.X, s, ranges)

    def response_products(
        self, Y: int, mean: np.ndarray, s: np.ndarray | None, ranges: Ranges
    ) -> tuple[np.ndarray, np.ndarray]:
        """See `popglm.solve.passes.sums.response_products`."""
        return response_products(self.engine, self.X, self._arrays[Y], s, mean, ranges)

    def many(self, calls: list[tuple[str, tuple[Any, ...]]]) -> list[Any]:
        """What several methods return."""
        return [getattr(self, method)(*arguments) for method, arguments in calls]

    # what is kept under a name

    def put(self, name: int, array: np.ndarray) -> None:
        """Keep an array."""
        self._arrays[name] = np.ascontiguousarray(array)

    def drop(self, names: list[int]) -> None:
        """Let go of what has these names."""
        for name in names:
            for kept in (self._arrays, self._made, self._predicted):
                kept.pop(name, None)

    def open_sums(
        self, name: int, loss: Family, arrays: list[int | None], fits: list[Ranges], fit_intercept: bool, every: int
    ) -> None:
        """Begin `RowSums`."""
        samples = Samples(self.X, *self._kept(arrays))
        self._made[name] = RowSums(self.engine, loss, samples, fits, fit_intercept, every)

    def open_held_out(
        self, name: int, loss: Family, arrays: list[int | None], ranges: Ranges, parameters: np.ndarray | None
    ) -> None:
        """Begin `HeldOut`."""
        samples = Samples(self.X, *self._kept(arrays))
        self._made[name] = HeldOut(self.engine, loss, samples, ranges, None, parameters)

    def _kept(self, names: list[int | None]) -> list[Any]:
        """The arrays of these names; None for None."""
        return [None if name is None else self._arrays[name] for name in names]

    def values(self, name: int, *asked: Any) -> np.ndarray:
        """See `HeldOut.values`."""
        return self._made[name].values(*asked)

    def sums(self, name: int, method: str, *asked: Any) -> Any:
        """What a method of `RowSums` returns."""
        return getattr(self._made[name], method)(*asked)

    def exp(self, name: int, columns: np.ndarray, W: np.ndarray, b: np.ndarray) -> Any:
        """See `RowSums.exp`."""
        sums = self._made[name]
        with np.errstate(all="ignore"):
            return sums.exp(sums.batches(columns, W, None), b)

    def predict(self, name: int, columns: np.ndarray, W: np.ndarray, parameters: np.ndarray | None) -> None:
        """Keep the predictors of some columns, in place of those before."""
        sums = self._made[name]
        batches = sums.batches(columns, W, parameters)
        self._predicted.pop(name, None)
        with np.errstate(all="ignore"):
            self._predicted[name] = batches, sums.predict(batches, len(columns))

    def beside(self, name: int, method: str, parameters: np.ndarray | None, *given: Any) -> Any:
        """What a method of `RowSums` returns beside the predictors that are kept, at parameters of the family."""
        sums, (batches, etas) = self._made[name], self._predicted[name]
        if parameters is not None:
            sums.with_parameters(batches, parameters)
        with np.errstate(all="ignore"):
            return getattr(sums, method)(batches, etas, *given)

    def predictors(self, name: int, fit: int, rows: np.ndarray) -> Any:
        """See `RowSums.predictors`."""
        return self._made[name].predictors(self._predicted[name][1], fit, rows)

    def close(self) -> None:
        """End the fit's engine, and let go of everything."""
        self.X, self._pieces = None, []
        for kept in (self._arrays, self._made, self._predicted):
            kept.clear()
        self._session.close()
