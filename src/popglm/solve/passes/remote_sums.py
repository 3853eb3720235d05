"""Sums over rows on several workers, in the place of `RowSums` and of the sums of `HeldOut`."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from scipy.linalg import qr

from popglm.engines.protocol import Engine
from popglm.solve.passes.row_sums import spread_stride
from popglm.solve.passes.samples import Samples
from popglm.solve.remote.rows import RemoteRows
from popglm.statistics.families import Family

__all__ = ["RemoteSums", "RemoteValues", "values_together"]

Ranges = list[tuple[int, int]]


@dataclass
class Asked:
    """Some columns, and which share is asked for which.

    Attributes
    ----------
    W : ndarray, shape (n_columns, n_features)
    parameters : ndarray, shape (n_columns, n_parameters), or None
    own : list of (at, columns)
        For every share: positions of the columns whose fits have rows there, and the numbers that the share knows them
        by; None where there are none.
    """

    W: np.ndarray
    parameters: np.ndarray | None
    own: list[tuple[np.ndarray, np.ndarray] | None]

    def take(self, *arrays: Any) -> list[Any]:
        """Rows of arrays, or None, for every share."""
        return [
            None if own is None else tuple(None if array is None else array[own[0]] for array in arrays)
            for own in self.own
        ]


class RemoteSums:
    """`RowSums` over `RemoteRows`: each share has its own, of the fits that count rows of it.

    Parameters
    ----------
    engine, loss, samples, fits, fit_intercept
        As for `RowSums`.
    """

    def __init__(
        self,
        engine: Engine,
        loss: Family,
        samples: Samples,
        fits: list[Ranges],
        fit_intercept: bool,
    ) -> None:
        X: RemoteRows = samples.X
        self.X, self.q, self.n_fits, self.n_features = X, len(samples.Y), len(fits), X.shape[1]
        # what shares know by name lives as long as this
        self.arrays = samples[1:]
        names = [X.shares.put(array) for array in self.arrays]
        each = [X.shares.ranges(ranges) for ranges in fits]
        #: Of every share, the fits that count rows of it.
        self.inside = [np.array([f for f in range(len(fits)) if each[f][i]], int) for i in range(len(X.shares))]
        every = spread_stride(int(np.count_nonzero(_counted(fits, len(X)))))
        given = [
            (loss, names, [each[f][i] for f in own], fit_intercept, every) if len(own) else None
            for i, own in enumerate(self.inside)
        ]
        self.name = X.shares.open(self, "open_sums", given)

    #: See `RowSums`.
    gathers = False

    def moments(self) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """See `RowSums`."""
        every = self.batches(np.arange(self.n_fits * self.q), np.zeros((self.n_fits * self.q, 0)), None)
        total, y_sum, YX = self._added(every, self._sums("moments", every.take()))
        return total, y_sum, YX

    def batches(self, columns: np.ndarray, W: np.ndarray, parameters: np.ndarray | None) -> Asked:
        """See `RowSums`."""
        fit, neuron = np.divmod(columns, self.q)
        own: list[tuple[np.ndarray, np.ndarray] | None] = []
        for inside in self.inside:
            at = np.flatnonzero(np.isin(fit, inside))
            known = np.searchsorted(inside, fit[at]) * self.q + neuron[at]
            own.append((at, known) if len(at) else None)
        return Asked(W, parameters, own)

    def with_parameters(self, batches: Asked, parameters: np.ndarray) -> None:
        """See `RowSums`."""
        batches.parameters = parameters

    def exp(self, batches: Asked, b: np.ndarray) -> tuple[list[np.ndarray], np.ndarray]:
        """See `RowSums`."""
        return self._with_spread(batches, self.X.ask("exp", self._columns(batches, batches.W, b)))

    def predict(self, batches: Asked, n: int) -> RemoteSums:
        """See `RowSums`; the shares keep the predictors."""
        given = self._columns(batches, batches.W, batches.parameters)
        self.X.ask("predict", given, ("user", self.name, "predict"))
        return self

    def predictors(self, etas: RemoteSums, fit: int, rows: np.ndarray) -> list[tuple[tuple[int, int], np.ndarray]]:
        """See `RowSums`; they are fetched."""
        given = [(self.name, int(np.searchsorted(own, fit)), rows) if fit in own else None for own in self.inside]
        firsts = [first for (first, _), asked in zip(self.X.shares.bounds, given, strict=True) if asked]
        return [
            ((first + a, first + b), eta)
            for first, windows in zip(firsts, self.X.ask("predictors", given), strict=True)
            for (a, b), eta in windows
        ]

    def floors(self, batches: Asked, etas: RemoteSums, n: int) -> np.ndarray:
        """See `RowSums`."""
        lowest = np.full(n, -np.inf)
        given = [None if own is None else (len(own[0]),) for own in batches.own]
        for (at, _), found in zip(_present(batches.own), self._beside("floors", batches, given), strict=True):
            lowest[at] = np.maximum(lowest[at], found)
        return lowest

    def intercepts(self, batches: Asked, etas: RemoteSums, b: np.ndarray, moving: np.ndarray) -> list[np.ndarray]:
        """See `RowSums`."""
        return self._added(batches, self._beside("intercepts", batches, batches.take(b, moving)))

    def losses(self, batches: Asked, etas: RemoteSums, b: np.ndarray) -> tuple[list[np.ndarray], np.ndarray]:
        """See `RowSums`."""
        return self._with_spread(batches, self._beside("losses", batches, batches.take(b)))

    def curvature(self, loss: Family, fit: int, *at: Any) -> tuple[np.ndarray, ...]:
        """See `RowSums`."""
        return tuple(sum(parts) for parts in zip(*self._of_fit("curvature", loss, fit, *at), strict=True))

    def curvature_along(self, loss: Family, fit: int, *at: Any) -> np.ndarray:
        """See `RowSums`."""
        return sum(self._of_fit("curvature_along", loss, fit, *at))

    def forces_along(self, loss: Family, fit: int, *at: Any) -> tuple[np.ndarray, np.ndarray]:
        """See `RowSums`."""
        found = self._of_fit("forces_along", loss, fit, *at)
        return sum(shift for shift, _ in found), np.maximum.reduce([reach for _, reach in found])

    def derivatives(self, loss: Family, fit: int, *at: Any) -> tuple[float, np.ndarray, np.ndarray]:
        """See `RowSums`."""
        found = self._of_fit("derivatives", loss, fit, *at)
        bad = [own for own in found if not np.isfinite(own[1]).all()]
        if bad:
            return bad[0]
        root = np.vstack([R for _, _, R in found])
        if len(root):
            root = qr(root, mode="r")[0][: root.shape[1]]
        return sum(total for total, _, _ in found), sum(g for _, g, _ in found), root

    def _columns(self, batches: Asked, *arrays: Any) -> list[tuple[Any, ...] | None]:
        """For every share the name of the sums, what it calls the columns, and their rows of arrays."""
        return [
            None if own is None else (self.name, own[1], *some)
            for own, some in zip(batches.own, batches.take(*arrays), strict=True)
        ]

    def _sums(self, method: str, given: list[tuple[Any, ...] | None]) -> list[Any]:
        """What a method of every share's `RowSums` returns."""
        return self.X.ask("sums", [None if some is None else (self.name, method, *some) for some in given])

    def _of_fit(self, method: str, loss: Family, fit: int, *at: Any) -> list[Any]:
        """The same of shares with rows of a fit."""
        return self._sums(
            method, [(loss, int(np.searchsorted(own, fit)), *at) if fit in own else None for own in self.inside]
        )

    def _each(self, batches: Asked, array: np.ndarray | None) -> list[np.ndarray | None]:
        """Rows of an array, one per column, for every share."""
        return [None if some is None else some[0] for some in batches.take(array)]

    def _beside(self, method: str, batches: Asked, given: list[Any]) -> list[Any]:
        """What a method of every share returns beside the predictors that it keeps."""
        parameters = self._each(batches, batches.parameters)
        return self.X.ask(
            "beside",
            [
                None if own is None else (self.name, method, theta, *some)
                for own, theta, some in zip(batches.own, parameters, given, strict=True)
            ],
        )

    def _added(self, batches: Asked, found: list[Any]) -> list[np.ndarray]:
        """Sums over the shares of arrays with a row for each column."""
        n = len(batches.W)
        totals = [np.zeros((n, *part.shape[1:])) for part in found[0]]
        for (at, _), parts in zip(_present(batches.own), found, strict=True):
            for total, part in zip(totals, parts, strict=True):
                total[at] += part
        return totals

    def _with_spread(self, batches: Asked, found: list[Any]) -> tuple[list[np.ndarray], np.ndarray]:
        """Sums, and `RowSums.spread` of the rows of all shares; each has weighed the inverse by its own mean."""
        count, average, inverse = np.zeros((3, len(batches.W)))
        for (at, _), (_, parts) in zip(_present(batches.own), found, strict=True):
            count[at] += parts[0]
            average[at] += parts[0] * parts[1]
            inverse[at] += parts[0] * parts[2]
        safe = np.where(count > 0, count, 1)
        return self._added(batches, [sums for sums, _ in found]), np.stack([count, average / safe, inverse / safe])


class RemoteValues:
    """The sums of `HeldOut` over `RemoteRows`.

    Parameters
    ----------
    loss, samples, ranges, parameters
        As for `HeldOut`.
    """

    def __init__(self, loss: Family, samples: Samples, ranges: Ranges, parameters: np.ndarray | None) -> None:
        X: RemoteRows = samples.X
        self.X, self.arrays = X, samples[1:]
        names = [X.shares.put(array) for array in self.arrays]
        self.inside = X.shares.ranges(ranges)
        given = [(loss, names, own, parameters) if own else None for own in self.inside]
        self.name = X.shares.open(self, "open_held_out", given)

    def values(self, *asked: Any) -> np.ndarray:
        """See `HeldOut.values`."""
        (found,) = values_together([(self, asked)])
        return found


def values_together(each: list[tuple[RemoteValues, tuple[Any, ...]]]) -> list[np.ndarray]:
    """`RemoteValues.values` of several at once: the rows that a fold holds out may all lie in one share."""
    questions = [("values", [(own.name, *asked) if inside else None for inside in own.inside]) for own, asked in each]
    return [sum(found) for found in each[0][0].X.ask_many(questions)]


def _present(own: list[Any]) -> list[Any]:
    return [some for some in own if some is not None]


def _counted(fits: list[Ranges], n: int) -> np.ndarray:
    """Which of n rows some fit counts."""
    counted = np.zeros(n, bool)
    for ranges in fits:
        for first, last in ranges:
            counted[first:last] = True
    return counted
