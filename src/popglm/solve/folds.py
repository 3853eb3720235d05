"""Training and held-out rows of every fold, as row ranges of arrays that all fits share."""

from __future__ import annotations

from dataclasses import dataclass
from itertools import pairwise
from typing import Any

import numpy as np

__all__ = ["Folds", "Part", "Ranges", "order_by_fold"]

#: Folds up to which training rows are ranges, at least, and rows for each fold more; beyond, a fold counts its rows by
#: weights of 0 and 1. Ranges cut every pass over the rows into as many pieces as there are folds, for as many fits.
FEW_FOLDS, ROWS_PER_FOLD = 16, 512

Ranges = list[tuple[int, int]]
Splits = list[tuple[np.ndarray, np.ndarray]]


@dataclass(frozen=True)
class Part:
    """Some rows of the working arrays.

    Attributes
    ----------
    ranges : list of (first, last)
    counts : ndarray, shape (n_samples,), or None
        How often a row counts, 0 for never, where ranges alone cannot say it.
    index : ndarray of int, or None
        Rows of which a copy is taken; the ranges are those of the copy.
    """

    ranges: Ranges
    counts: np.ndarray | None = None
    index: np.ndarray | None = None

    def counted(self, n: int) -> np.ndarray:
        """How often each of n rows counts, shape (n,)."""
        if self.index is not None:
            return np.bincount(self.index, minlength=n)
        inside = np.zeros(n, int)
        for first, last in self.ranges:
            inside[first:last] = 1
        return inside if self.counts is None else inside * self.counts

    def weighted(self, weights: np.ndarray | None, dtype: Any = float) -> np.ndarray | None:
        """Sample weights times counts."""
        if self.counts is None:
            return weights
        counts = self.counts.astype(dtype)
        return counts if weights is None else weights * counts


@dataclass(frozen=True)
class Folds:
    """The rows of every fold in working order.

    Attributes
    ----------
    train, test : list of Part
    partition : bool
        Whether every row is held out once, and trained on by all other folds.
    """

    train: list[Part]
    test: list[Part]
    partition: bool

    def counts(self, n: int) -> np.ndarray:
        """How often each of n rows counts in the fit to all rows and in each fold's, shape (1 + n_folds, n)."""
        return np.stack([np.ones(n), *(part.counted(n) for part in self.train)])


def order_by_fold(
    n: int, splits: Splits, shortest: int | None = None, edges: np.ndarray | None = None
) -> tuple[np.ndarray, Folds]:
    """Order of the rows, and where every fold's rows then lie.

    A partition is sorted so that the held-out rows of a fold are one range; of many folds, training rows are counted by
    weights. Other splits leave the order alone and get copies of their rows.

    Parameters
    ----------
    shortest : int, optional
        Neither sort nor copy: the rows are on disk. A fold's rows are then ranges, as long as these have this many rows
        on average, else counts for all rows.
    edges : ndarray of int, shape (n_shares + 1,), optional
        The rows lie in shares that begin there: a partition is sorted inside of each, and nothing is copied.
    """
    partition = _is_partition(n, splits)
    if edges is not None and partition:
        return _sorted_in_shares(n, splits, edges)
    if shortest is not None or not partition:

        def part(rows: np.ndarray) -> Part:
            if shortest is None:
                return Part([(0, len(rows))], index=rows)
            return _part_in_place(n, rows, shortest)

        return np.arange(n), Folds([part(train) for train, _ in splits], [part(test) for _, test in splits], partition)
    order = np.concatenate([np.sort(test) for _, test in splits])
    blocks = list(pairwise(np.cumsum([0, *(len(test) for _, test in splits)]).tolist()))
    if _are_many(n, splits):
        row = np.arange(n)
        train = [Part([(0, n)], ((row < first) | (row >= last)).astype(int)) for first, last in blocks]
    else:
        train = [Part([(a, b) for a, b in ((0, first), (last, n)) if b > a]) for first, last in blocks]
    return order, Folds(train, [Part([block]) for block in blocks], partition)


def _are_many(n: int, splits: Splits) -> bool:
    """Whether folds count their training rows by weights."""
    return len(splits) > max(FEW_FOLDS, n // ROWS_PER_FOLD)


def _sorted_in_shares(n: int, splits: Splits, edges: np.ndarray) -> tuple[np.ndarray, Folds]:
    """`order_by_fold` of a partition inside of shares."""
    fold = np.empty(n, int)
    for i, (_, test) in enumerate(splits):
        fold[test] = i
    order = np.lexsort((np.arange(n), fold, np.searchsorted(edges, np.arange(n), "right")))
    fold = fold[order]
    held = [Part(_runs(fold == i)) for i in range(len(splits))]
    if _are_many(n, splits):
        train = [Part([(0, n)], (fold != i).astype(int)) for i in range(len(splits))]
    else:
        train = [Part(_runs(fold != i)) for i in range(len(splits))]
    return order, Folds(train, held, True)


def _runs(inside: np.ndarray) -> Ranges:
    """First and last row of the runs of True."""
    edges = np.flatnonzero(np.diff(inside.astype(int), prepend=0, append=0)).reshape(-1, 2)
    return [(int(a), int(b)) for a, b in edges]


def _part_in_place(n: int, rows: np.ndarray, shortest: int) -> Part:
    counts = np.bincount(rows, minlength=n)
    if counts.max() == 1:
        runs = _runs(counts > 0)
        if len(rows) >= shortest * len(runs):
            return Part(runs)
    return Part([(0, n)], counts)


def _is_partition(n: int, splits: Splits) -> bool:
    if len(splits) < 2:
        return False
    tested = np.concatenate([test for _, test in splits])
    if len(tested) != n or len(np.unique(tested)) != n:
        return False
    return all(len(train) == n - len(test) and not np.isin(train, test).any() for train, test in splits)
