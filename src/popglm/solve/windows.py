"""The rows of a fit in the windows that passes work on, and sums over them in a fixed order."""

from __future__ import annotations

from collections.abc import Callable
from itertools import pairwise
from typing import Any

import numpy as np

__all__ = ["Windows", "runs"]


def runs(chunks: list[Any], n: int) -> list[tuple[list[Any]]]:
    """Up to n contiguous runs of chunks, one per thread, so that sums have a fixed order.

    Examples
    --------
    >>> runs([1, 2, 3, 4, 5], 2)
    [([1, 2],), ([3, 4, 5],)]
    """
    bounds = np.linspace(0, len(chunks), n + 1).astype(int)
    return [(chunks[a:b],) for a, b in pairwise(bounds) if b > a]


class Windows:
    """Arrays over samples, placed by the engine, and the windows of rows that count.

    Parameters
    ----------
    engine : engine
    X : ndarray, shape (n_samples, n_features), or anything with such rows under ``X[first:last]``
    Y : ndarray, shape (n_neurons, n_samples)
    weights : ndarray, shape (n_samples,) or (n_neurons, n_samples), or None
    offset : ndarray, shape (n_samples,), or None
    ranges : list of (first, last)

    Attributes
    ----------
    chunks : list of (first, last)
        Rows that count, window by window.
    """

    def __init__(
        self,
        engine: Any,
        X: Any,
        Y: np.ndarray,
        weights: np.ndarray | None,
        offset: np.ndarray | None,
        ranges: list[tuple[int, int]],
    ) -> None:
        self.engine = engine
        self.chunks = [(first + a, first + b) for first, last in ranges for a, b in engine.row_chunks(last - first)]
        self._in_memory = isinstance(X, np.ndarray)
        self._X = engine.place(X) if self._in_memory else X
        self._others = tuple(engine.place(a) for a in (Y, weights, offset))
        self._n_samples = Y.shape[1]

    def _window(self, k: int) -> tuple[int, int]:
        """First row and number of rows of window k."""
        first, last = self.chunks[k]
        if self.engine.window is None:
            return first, last - first
        size = min(self.engine.window, self._n_samples)
        return min(first, self._n_samples - size), size

    def read(self, k: int, with_x: bool = True) -> tuple[Any, ...]:
        """X, Y, weights, offset, size, masked and ``at`` of window k, for the functions of `popglm.solve.passes`."""
        first, last = self.chunks[k]
        start, size = self._window(k)
        X = self._X
        if with_x and not self._in_memory:
            X = self.engine.asarray(X[start : start + size])
        at = (start if self._in_memory else 0, start, first, last)
        masked = self.engine.window is not None
        return X, *self._others, size, masked, np.array(at, np.int32) if masked else at

    def map(self, function: Callable[[int], Any]) -> list[Any]:
        """``function(k)`` for every window, in order."""

        def part(windows: list[int]) -> list[Any]:
            return [function(k) for k in windows]

        return [out for outs in self.engine.map(part, self._batches()) for out in outs]

    def add_up(
        self, function: Callable[[int], tuple[Any, ...]], every: int | None = None
    ) -> tuple[list[np.ndarray], list[np.ndarray]]:
        """Sums over all windows of what ``function(k)`` returns, in float64.

        With ``every``, its last entry has values for every ``every``-th row of the window, shape (n_neurons, …):
        these are not added up but returned as a list, without the rows that do not count.
        """
        to_numpy = self.engine.to_numpy

        def part(windows: list[int]) -> tuple[list[np.ndarray], list[np.ndarray]]:
            totals: list[np.ndarray] = []
            samples = []

            def add(k: int, out: tuple[Any, ...]) -> None:
                if every is not None:
                    *out, some = out
                    samples.append(self._counted(k, to_numpy(some), every))
                values = [to_numpy(v) for v in out]
                if not totals:
                    totals.extend(v.astype(float) for v in values)
                    return
                for total, v in zip(totals, values, strict=True):
                    total += v

            waiting = None
            for k in windows:
                # one window stays in the queue of a library that computes in the background
                out = function(k)
                if waiting is not None:
                    add(*waiting)
                waiting = k, out
            add(*waiting)
            return totals, samples

        parts = self.engine.map(part, self._batches())
        sums = [sum(values) for values in zip(*(totals for totals, _ in parts), strict=True)]
        return sums, [some for _, samples in parts for some in samples]

    def _counted(self, k: int, some: np.ndarray, every: int) -> np.ndarray:
        """Columns of ``some`` whose rows count."""
        if self.engine.window is None:
            return some
        first, last = self.chunks[k]
        start, size = self._window(k)
        row = start + np.arange(0, size, every)
        return some[:, (row >= first) & (row < last)]

    def _batches(self) -> list[tuple[list[int]]]:
        return runs(list(range(len(self.chunks))), self.engine.n_streams)
