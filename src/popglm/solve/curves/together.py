"""Searches of many neurons that go through an X on disk together: each pass answers all of them."""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from functools import reduce
from itertools import pairwise
from threading import Condition, Event
from typing import Any, Self

import numpy as np

from popglm.engines.protocol import Engine
from popglm.solve.curves.penalised_newton import LeastSquares, RowLikelihood
from popglm.solve.stream import RowStream
from popglm.statistics.families import Family

__all__ = ["Passes", "StreamedLikelihood", "counted_samples"]

#: Neurons that search at the same time, each in a thread of its own.
TOGETHER = 64
#: Rows that a worker has in float64 at a time.
PIECE = 2048


class _Request:
    """What a neuron asks of the rows: what a method of its `StreamedLikelihood` makes of pieces, added up."""

    def __init__(self, method: Callable[..., Any], arguments: tuple[Any, ...], n_parts: int) -> None:
        self.method, self.arguments = method, arguments
        self.parts: list[Any] = [None] * n_parts
        self.is_over = Event()

    def take(self, part: int, x: np.ndarray, first: int, last: int) -> None:
        """Add what some rows make up, to the sum of one worker."""
        self.parts[part] = _plus(self.parts[part], self.method(x, first, last, *self.arguments))

    @property
    def answer(self) -> Any:
        """The sums of all workers, in order."""
        return reduce(_plus, self.parts)


def _plus(total: Any, more: Any) -> Any:
    """The sum of two tuples, entry by entry; either is None for nothing."""
    if total is None or more is None:
        return more if total is None else total
    return tuple(a + b for a, b in zip(total, more, strict=True))


class _Ended(Exception):
    """A search ends, since the pass that it waits for has failed."""


class Passes:
    """Passes over X, each of which answers what all searches wait for.

    A search asks one thing after the other, and waits. When all wait, X is read once. So a neuron's sums are over the
    same pieces in the same order, whatever other neurons ask.

    Parameters
    ----------
    engine : engine
        In a session; its workers share the rows of a block out.
    X : RowStream
    center : ndarray, shape (n_features,)
        What is taken from the columns.
    """

    def __init__(self, engine: Engine, X: RowStream, center: np.ndarray) -> None:
        self.engine, self.X, self.center = engine, X, center
        self._change, self._n_searching, self._has_failed = Condition(), 0, False
        self._asked: list[_Request] = []
        self._answering: list[_Request] = []

    def run(self, search: Callable[..., None], arguments: list[tuple[Any, ...]]) -> None:
        """Call ``search(*args)`` for every entry, so many at a time; X is read by this thread."""
        for first in range(0, len(arguments), TOGETHER):
            some = arguments[first : first + TOGETHER]
            self._n_searching = len(some)
            with ThreadPoolExecutor(len(some), "popglm-search") as pool:
                futures = [pool.submit(self._searched, search, args) for args in some]
                try:
                    while self._all_wait():
                        self._answer(self._answering)
                except BaseException:
                    self._fail()
                    raise
            for future in futures:
                future.result()

    def ask(self, method: Callable[..., Any], *arguments: Any) -> Any:
        """The sum over pieces of what ``method(x, first, last, *arguments)`` makes of them; for a search to call."""
        request = _Request(method, arguments, self.engine.n_workers)
        with self._change:
            if self._has_failed:
                raise _Ended
            self._asked.append(request)
            self._change.notify()
        request.is_over.wait()
        if self._has_failed:
            raise _Ended
        return request.answer

    def _searched(self, search: Callable[..., None], args: tuple[Any, ...]) -> None:
        try:
            # NumPy's error state belongs to a thread
            with np.errstate(all="ignore"):
                search(*args)
        finally:
            with self._change:
                self._n_searching -= 1
                self._change.notify()

    def _all_wait(self) -> bool:
        """Wait until all searches do; whether any is left."""
        with self._change:
            self._change.wait_for(lambda: len(self._asked) == self._n_searching)
            self._answering, self._asked = self._asked, []
        return bool(self._answering)

    def _answer(self, asked: list[_Request]) -> None:
        """Read X once."""

        def take(part: int, first: int, rows: np.ndarray) -> None:
            for a in range(0, len(rows), PIECE):
                x = rows[a : a + PIECE].astype(float) - self.center
                for request in asked:
                    request.take(part, x, first + a, first + a + len(x))

        for first, _, rows in self.X.blocks():
            edges = np.linspace(0, len(rows), self.engine.n_workers + 1).astype(int)
            parts = enumerate(pairwise(edges.tolist()))
            self.engine.map(take, [(part, first + a, rows[a:b]) for part, (a, b) in parts])
        for request in asked:
            request.is_over.set()

    def _fail(self) -> None:
        """End all searches."""
        with self._change:
            self._has_failed = True
            for request in [*self._answering, *self._asked]:
                request.is_over.set()


def counted_samples(
    Y: np.ndarray, weights: np.ndarray | None, offset: np.ndarray | None, j: int, rows: slice = slice(None)
) -> tuple[np.ndarray | None, np.ndarray, np.ndarray, np.ndarray]:
    """Which of some rows count for neuron j, None for all; and activity, weights and offset of these."""
    y = Y[rows, j].astype(float)
    s = np.ones(len(y)) if weights is None else (weights[rows] if weights.ndim == 1 else weights[rows, j]).astype(float)
    o = np.zeros(len(y)) if offset is None else offset[rows]
    counted = ~np.isnan(y) & (s > 0)
    return (None, y, s, o) if counted.all() else (counted, y[counted], s[counted], o[counted])


@dataclass(eq=False)
class StreamedLikelihood:
    """The samples of a neuron beside an X on disk; see `popglm.solve.curves.penalised_newton.Samples`.

    Attributes
    ----------
    family : Family
    passes : Passes
    columns : ndarray of int
        Those that have a weight.
    n_open : int
        Columns of ones before these, 0 or 1.
    data : (Y, weights, offset)
    j : int
        The neuron.
    """

    family: Family
    passes: Passes
    columns: np.ndarray
    n_open: int
    data: tuple[np.ndarray, np.ndarray | None, np.ndarray | None]
    j: int

    def __post_init__(self) -> None:
        self.n_columns = self.n_open + len(self.columns)
        self.n = float(counted_samples(*self.data, self.j)[2].sum())
        self._at: tuple[np.ndarray, tuple[Any, ...]] | None = None

    def value(self, w: np.ndarray) -> float:
        return float(self._expanded(w)[0])

    def derivatives(self, w: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        return self._expanded(w)[1:]

    def third(self, w: np.ndarray, M: np.ndarray) -> np.ndarray:
        return self.passes.ask(self._third, w, M)[0]

    def log_base(self, dispersion: float) -> float:
        _, y, s, _ = counted_samples(*self.data, self.j)
        return float(s @ (self.family.log_base(y, dispersion) - self.family.saturated(y) / dispersion))

    def beside(self, w: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        _, y, s, _ = counted_samples(*self.data, self.j)
        found = sorted(self.passes.ask(self._predictor, w)[0], key=lambda piece: piece[0])
        return y, s, np.concatenate([eta for _, eta in found])

    def given(self, family: Family) -> Self:
        return replace(self, family=family)

    def moments(self, G: np.ndarray | None) -> LeastSquares:
        """Gaussian samples by their moments; with G where it is known."""
        found = self.passes.ask(self._moments, G)
        return LeastSquares(found[0] if G is None else G, *found[1:])

    def _expanded(self, w: np.ndarray) -> tuple[Any, ...]:
        """Value and derivatives, in one pass: who asks for the one asks for the others next."""
        if self._at is None or not np.array_equal(self._at[0], w):
            self._at = w.copy(), self.passes.ask(self._expansion, w)
        return self._at[1]

    def _piece(self, x: np.ndarray, first: int, last: int) -> RowLikelihood:
        counted, y, s, o = counted_samples(*self.data, self.j, slice(first, last))
        z = np.column_stack([np.ones((len(x), self.n_open)), x[:, self.columns]])
        return RowLikelihood(self.family, z if counted is None else z[counted], y, s, o)

    def _expansion(self, x: np.ndarray, first: int, last: int, w: np.ndarray) -> tuple[Any, ...]:
        piece = self._piece(x, first, last)
        return piece.value(w), *piece.derivatives(w)

    def _third(self, x: np.ndarray, first: int, last: int, w: np.ndarray, M: np.ndarray) -> tuple[Any, ...]:
        return (self._piece(x, first, last).third(w, M),)

    def _predictor(self, x: np.ndarray, first: int, last: int, w: np.ndarray) -> tuple[Any, ...]:
        return ([(first, self._piece(x, first, last).predictor(w))],)

    def _moments(self, x: np.ndarray, first: int, last: int, G: np.ndarray | None) -> tuple[Any, ...]:
        piece = self._piece(x, first, last)
        # a matrix that is known is not made again
        own = piece.moments(None if G is None else np.zeros(()))
        return own.G, own.c, own.square, own.n
