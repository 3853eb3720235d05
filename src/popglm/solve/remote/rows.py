"""A design whose rows lie on several workers."""

from __future__ import annotations

from typing import Any

import numpy as np

from popglm.engines.protocol import Engine
from popglm.solve.remote.shares import Shares
from popglm.solve.stream import MEMORY, RowStream

__all__ = ["RemoteRows"]

Ranges = list[tuple[int, int]]


class RemoteRows(RowStream):
    """Rows that stay where they are: sums over them are taken there, and added up here.

    It is a `RowStream` too: rows that are asked for are fetched, block by block, from the source. Few things need that.

    Parameters
    ----------
    source : array-like, shape (n_samples, n_features)
        Gives rows as they are, for slices.
    shares : Shares
    memory : int
        Bytes of rows that are fetched at a time.
    """

    def __init__(self, source: Any, shares: Shares, memory: int = MEMORY) -> None:
        super().__init__(source, memory)
        self.shares = shares

    def with_columns(self, kept: np.ndarray) -> RowStream:
        """The same rows with the columns ``kept`` alone, fetched."""
        return RowStream(self.source, self.memory).with_columns(kept)

    def release(self) -> None:
        """Let go of rows that were fetched, and of all shares; the rows can be used again."""
        self.close()
        self.shares.close()

    # rows as they are

    def first_not_finite(self) -> tuple[str, int, int] | None:
        """See `RowStream`."""
        found = self._of_raw("not_finite", [()] * len(self.shares))
        for (first, _), own in zip(self.shares.bounds, found, strict=True):
            if own is not None:
                what, column, row = own
                return what, column, first + row
        return None

    def digest(self) -> str:
        """See `RowStream`; where shares begin counts, since sums are added up in this order."""
        found = self._of_raw("digest", [()] * len(self.shares))
        return f"in shares from {self.shares.edges[:-1].tolist()} #{b''.join(found).hex()}"

    def weighted_sum(self, s: np.ndarray | None) -> np.ndarray:
        """Σsx of all columns."""
        return sum(self._of_raw("weighted_sum", [(own,) for own in self.shares.slices(s)]))

    def square_sum(self, center: np.ndarray) -> np.ndarray:
        """Sum of squares of all columns about ``center``."""
        return sum(self._of_raw("square_sum", [(center,)] * len(self.shares)))

    def _of_raw(self, method: str, arguments: list[tuple[Any, ...]]) -> list[Any]:
        self.shares.hold()
        return self.shares.ask(method, arguments)

    # rows of a fit

    def centred_for(self, engine: Engine, order: np.ndarray, center: np.ndarray, unit: np.ndarray | None) -> RemoteRows:
        """The same rows less ``center``, over ``unit`` unless that is None, as an engine on every worker takes them.

        Parameters
        ----------
        order : ndarray of int, shape (n_samples,)
            Of the rows that are summed, which leaves each in its share.
        """
        other = RemoteRows(self.source, self.shares, self.memory)
        other.center, other.unit, other.dtype = center, unit, np.dtype(engine.dtype)
        other._coarse = center.astype(np.float32)
        other._fine = (center - other._coarse).astype(np.float32)
        self.shares.hold()
        self.shares.center_of = other
        precision = "tf32" if engine.fast else engine.dtype.name
        given = center, unit, engine.name, engine.device, precision
        self.shares.ask("centre", [(order[a:b] - a, *given) for a, b in self.shares.bounds], ("rows", "centre"))
        return other

    def ask(self, method: str, arguments: list[tuple[Any, ...] | None], told: Any = None) -> list[Any]:
        """See `Shares.ask`, of these rows.

        Raises
        ------
        RuntimeError
            If the shares hold the rows of another fit by now.
        """
        if self.shares.center_of is not self:
            raise RuntimeError(
                "Another fit has begun with the same rows on the workers; make rows_on_workers once for each."
            )
        return self.shares.ask(method, arguments, told)

    def ask_many(self, questions: list[tuple[str, list[tuple[Any, ...] | None]]]) -> list[list[Any]]:
        """`ask` for several methods at once, so that each share works on its own."""
        given: list[Any] = [
            [(method, arguments[i]) for method, arguments in questions if arguments[i] is not None]
            for i in range(len(self.shares))
        ]
        found = iter(self.ask("many", [(calls,) if calls else None for calls in given]))
        each = [iter(next(found)) if calls else iter(()) for calls in given]
        return [
            [next(own) for own, asked in zip(each, arguments, strict=True) if asked is not None]
            for _, arguments in questions
        ]

    def fetched_columns(self, kept: np.ndarray) -> np.ndarray:
        """Some columns, of bool, shape (n_features,), fetched; in the order in which rows are summed."""
        return np.concatenate(self.ask("columns", [(kept,)] * len(self.shares)))

    def grams(self, parts: list[tuple[np.ndarray | None, Ranges]]) -> list[tuple[np.ndarray, np.ndarray]]:
        """See `popglm.solve.passes.coordinates.gram`, of weights (n_samples,) or None and ranges of several parts."""
        return self._added("gram", [self._inside(s, ranges) for s, ranges in parts])

    def response_products(
        self, parts: list[tuple[np.ndarray, np.ndarray | None, np.ndarray, Ranges]]
    ) -> list[tuple[np.ndarray, np.ndarray]]:
        """See `popglm.solve.passes.sums.response_products`, of Y, weights, means and ranges of several parts."""
        return self._added(
            "response_products",
            [
                [None if given is None else (self.shares.put(Y), mean, *given) for given in self._inside(s, ranges)]
                for Y, s, mean, ranges in parts
            ],
        )

    def _inside(self, s: np.ndarray | None, ranges: Ranges) -> list[tuple[Any, ...] | None]:
        """Weights and ranges of every share; None for one without rows."""
        each = zip(self.shares.slices(s), self.shares.ranges(ranges), strict=True)
        return [(own, inside) if inside else None for own, inside in each]

    def _added(self, method: str, parts: list[list[tuple[Any, ...] | None]]) -> list[tuple[Any, ...]]:
        """Sums over shares of what a method returns several of, for several parts."""
        found = self.ask_many([(method, arguments) for arguments in parts])
        return [tuple(sum(values) for values in zip(*own, strict=True)) for own in found]
