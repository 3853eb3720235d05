"""The rows of a fit in the windows that passes work on, and sums over them in a fixed order."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterator
from itertools import pairwise
from typing import Any, TypeVar

import numpy as np

from popglm.engines.memory import is_out_of_memory
from popglm.engines.protocol import Engine
from popglm.solve.passes.samples import Samples, Shape, Window
from popglm.solve.passes.stack import Stack
from popglm.solve.sparse.rows import SparseRows

__all__ = ["Windows"]

T = TypeVar("T")

log = logging.getLogger("popglm")

NO_ROOM_FOR_X = "The device has no room for X; copying it window by window in every pass."


class Windows:
    """Arrays over samples, placed by the engine, and the windows of rows that some fits count.

    Where the device has no room for X, or none beside it, every pass copies X to it window by window.

    Parameters
    ----------
    engine : engine
    samples : Samples
    fits : list of list of (first, last)
        Rows that each fit counts.

    Attributes
    ----------
    chunks : list of (first, last)
        Rows that count, window by window.
    kind : list of int
        Kind of every window: the same fits count all windows of a kind.
    members : ndarray of bool, shape (n_kinds, n_fits)
        Which fits those are.
    """

    def __init__(self, engine: Engine, samples: Samples, fits: list[list[tuple[int, int]]]) -> None:
        self.engine, X = engine, samples.X
        self.chunks: list[tuple[int, int]] = []
        self.kind: list[int] = []
        kinds: dict[tuple[bool, ...], int] = {}
        for first, last in pairwise(sorted({edge for ranges in fits for pair in ranges for edge in pair})):
            counting = tuple(any(a <= first and last <= b for a, b in ranges) for ranges in fits)
            if any(counting):
                n_rows = last - first
                sparse = isinstance(X, SparseRows)
                chunks = X.row_chunks(n_rows, engine.n_workers) if sparse else engine.row_chunks(n_rows)
                self.chunks += [(first + a, first + b) for a, b in chunks]
                self.kind += [kinds.setdefault(counting, len(kinds))] * len(chunks)
        self.members = np.array(list(kinds), bool)
        self._n_samples = samples.Y.shape[1]
        self._Y, self._weights, self._offset = map(engine.place, samples[1:])
        self._host, self._placed = X, None
        if isinstance(X, np.ndarray):
            try:
                self._placed = engine.place(X)
            except Exception as error:
                if not is_out_of_memory(error):
                    raise
                log.warning(NO_ROOM_FOR_X)

    @property
    def n_rows(self) -> int:
        """Rows that count."""
        return sum(last - first for first, last in self.chunks)

    def shapes(self) -> list[tuple[int, int]]:
        """One window of each size."""
        return list({last - first: (first, last) for first, last in self.chunks}.values())

    def _window(self, k: int) -> tuple[int, int]:
        """First row and number of rows of window k."""
        first, last = self.chunks[k]
        if self.engine.window is None:
            return first, last - first
        size = min(self.engine.window, self._n_samples)
        return min(first, self._n_samples - size), size

    def counted(self, k: int) -> slice:
        """Which rows of what `read` gives for window k count."""
        first, last = self.chunks[k]
        start = self._window(k)[0]
        return slice(first - start, last - start)

    def read(self, k: int, with_x: bool = True) -> tuple[Shape, Window]:
        """Window k, for the functions of `popglm.solve.passes.window_passes`; without X where that is not needed."""
        first, last = self.chunks[k]
        start, size = self._window(k)
        X, here = self._placed if with_x else None, start
        if self._placed is None:
            here = 0
            if with_x and isinstance(self._host, SparseRows):
                X = self._host.window(first, last)
            elif with_x:
                X = self.engine.asarray(self._host[start : start + size])
        at = (here, start, first, last)
        masked = self.engine.window is not None
        window = Window(X, self._Y, self._weights, self._offset, np.array(at, np.int32) if masked else at)
        return Shape(type(self.engine), size, masked), window

    def map(self, function: Callable[[int], Any]) -> list[Any]:
        """``function(k)`` for every window, in order."""

        def part(windows: list[int]) -> list[Any]:
            return [function(k) for k in windows]

        outs = self.guarded(lambda: self.engine.map(part, self.runs()))
        return [out for some in outs for out in some]

    def add_up(
        self, function: Callable[[int], dict[int, tuple[Any, ...]]], n_threads: int | None = None
    ) -> dict[int, list[np.ndarray]]:
        """Sums over the windows of what ``function(k)`` returns under every key, in float64."""
        to_numpy = self.engine.to_numpy

        def part(windows: list[int]) -> dict[int, list[np.ndarray]]:
            totals: dict[int, list[np.ndarray]] = {}
            for _, outs in self._in_turn(function, windows):
                for key, out in outs.items():
                    _add(totals, key, [to_numpy(v) for v in out])
            return totals

        sums: dict[int, list[np.ndarray]] = {}
        for totals in self.guarded(lambda: self.engine.map(part, self.runs(n_threads))):
            for key, values in totals.items():
                _add(sums, key, values)
        return sums

    def add_up_columns(
        self, function: Callable[[int], list[tuple[Stack, tuple[Any, ...]]]], n: int, every: int | None = None
    ) -> tuple[list[np.ndarray], list[tuple[Stack, np.ndarray]]]:
        """Sums over the windows, for each of n columns, of what ``function(k)`` returns of stacks of them, in float64.

        A column's sum goes through the windows in their order, whatever others are asked for. With ``every``, the last
        entry has values for every ``every``-th row of the window, shape (n_columns, …): these are not added up but
        returned as a list, with their stack and without the rows that do not count.
        """
        to_numpy = self.engine.to_numpy

        def part(windows: list[int]) -> tuple[list[np.ndarray], list[tuple[Stack, np.ndarray]]]:
            totals: list[np.ndarray] = []
            samples = []
            for k, outs in self._in_turn(function, windows):
                for stack, out in outs:
                    values = [to_numpy(v) for v in out]
                    if every is not None:
                        samples.append((stack, self._counted(k, values.pop(), every)))
                    totals = totals or [np.zeros((n, *v.shape[1:])) for v in values]
                    for here, there in stack.runs:
                        for total, v in zip(totals, values, strict=True):
                            total[here] += v[there]
            return totals, samples

        parts = self.guarded(lambda: self.engine.map(part, self.runs()))
        sums = [sum(some[1:], some[0]) for some in zip(*(totals for totals, _ in parts if totals), strict=True)]
        return sums, [some for _, samples in parts for some in samples]

    def _in_turn(self, function: Callable[[int], T], windows: list[int]) -> Iterator[tuple[int, T]]:
        """``function(k)`` of some windows; one stays in the queue of a library that computes in the background."""
        waiting: list[tuple[int, T]] = []
        for k in windows:
            waiting.append((k, function(k)))
            if len(waiting) > 1:
                yield waiting.pop(0)
        yield from waiting

    def guarded(self, work: Callable[[], T]) -> T:
        """``work()``, once more with X off the device where it leaves too little room."""
        try:
            return work()
        except Exception as error:
            if self._placed is None or not is_out_of_memory(error):
                raise
        # outside the handler: the traceback would keep the arrays of the failed work alive
        log.warning(NO_ROOM_FOR_X)
        self._placed = None
        self.engine.displace(self._host)
        return work()

    def _counted(self, k: int, some: np.ndarray, every: int) -> np.ndarray:
        """Columns of ``some`` whose rows count."""
        if self.engine.window is None:
            return some
        first, last = self.chunks[k]
        start, size = self._window(k)
        row = start + np.arange(0, size, every)
        return some[:, (row >= first) & (row < last)]

    def runs(self, n_threads: int | None = None) -> list[tuple[list[int]]]:
        """Contiguous runs of windows, one per thread, so that sums have a fixed order."""
        n_threads = n_threads or self.engine.n_streams
        bounds = np.linspace(0, len(self.chunks), n_threads + 1).astype(int)
        return [(list(range(a, b)),) for a, b in pairwise(bounds) if b > a]


def _add(sums: dict[int, list[np.ndarray]], key: int, values: list[np.ndarray]) -> None:
    if key not in sums:
        sums[key] = [v.astype(float) for v in values]
        return
    for total, v in zip(sums[key], values, strict=True):
        total += v
