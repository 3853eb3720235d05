"""Sums over the rows that some fits count: what of an objective touches samples.

`RowObjective` makes loss, gradient and intercept of them. Where the rows lie on several workers, each has sums like
these over its own, and `remote_sums` adds them up.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from functools import reduce
from typing import Any

import numpy as np

from popglm.engines.protocol import Engine
from popglm.solve.passes.curvature_grams import curvature_squares, curvature_sums
from popglm.solve.passes.free_columns import curvature_along, forces_along
from popglm.solve.passes.gathering import Bins
from popglm.solve.passes.hessian import derivative_sums
from popglm.solve.passes.samples import Points, Samples, Shape, Window
from popglm.solve.passes.stack import Stack, stacked
from popglm.solve.passes.window_passes import (
    LEAST_WEIGHT,
    activity,
    event_floor,
    exp_sums,
    intercept_sums,
    linear_predictor,
    loss_sums,
    loss_terms,
    slope_terms,
    spread_sums,
)
from popglm.solve.passes.windows import Windows
from popglm.solve.sparse.rows import SparseBlock, SparseRows, rows_of, times_rows
from popglm.statistics.families import Family
from popglm.statistics.nodes import Nodes

__all__ = ["RowSums", "spread_stride"]

#: Rows, about, from which the spread of the curvature weights is taken.
SPREAD_ROWS = 4096

#: Share of a batch's columns from which a pass is over all of them: those alone are a copy of their predictors.
MOST_KEPT = 0.8

#: The columns of every fit that has some, or of fits that share a product.
Batches = dict[Any, Stack]
#: Linear predictors without the intercept, window by window, by fit.
Predictors = list[dict[int, Any]]


class RowSums:
    """Sums over samples for some columns: column i·n_neurons + j is neuron j in fit i.

    A window of rows is read once for all fits that count it. A product is with the columns of several fits only where
    the engine says that no row's bits depend on its company: the columns of other fits have seen what a fold has not.

    The passes run in the engine's library, on its arrays; what they sum to is NumPy's, in float64.

    Parameters
    ----------
    engine, loss, samples, fits, fit_intercept
        As for `popglm.solve.objective.row_objective.RowObjective`.
    every : int, optional
        Rows from one to the next of those from which the spread of the curvature weights is taken.
    """

    def __init__(
        self,
        engine: Engine,
        loss: Family,
        samples: Samples,
        fits: list[list[tuple[int, int]]],
        fit_intercept: bool = True,
        every: int | None = None,
    ) -> None:
        self.engine, self.loss, self.fits, self.fit_intercept = engine, loss, fits, fit_intercept
        self.X, self.Y, self.weights, self.offset = samples
        self.windows = Windows(engine, samples, fits)
        # compiled for all folds alike where calls have one shape
        n_rows = self.windows.n_rows if engine.window is None else self.Y.shape[1]
        self.every = every or spread_stride(n_rows)
        self._known_kinds: dict[tuple[int, ...], dict[tuple[int, ...], np.ndarray]] = {}
        #: Whether the columns of several fits may share a product.
        self.stacks = len(fits) > 1 and self.may_stack(len(self.Y))

    def may_stack(self, n_rows: int) -> bool:
        """Whether products of up to ``n_rows`` columns of every fit keep the bits that each column has alone."""
        shapes, X = self.windows.shapes(), self.X
        return isinstance(X, SparseRows) or all(
            self.engine.keeps_bits(X[a:b], n_rows, len(self.fits)) for a, b in shapes
        )

    def moments(self) -> tuple[np.ndarray, np.ndarray, Any]:
        """Σs, Σsy and Σsyx of all columns."""

        def chunk(k: int) -> dict[int, tuple[np.ndarray, ...]]:
            first, last = self.windows.chunks[k]
            y, s = self.Y[:, first:last], None if self.weights is None else self.weights[..., first:last]
            total = np.full(len(y), last - first) if s is None else s.sum(axis=-1, dtype=float) * np.ones(len(y))
            y = y if s is None else y * s
            products = times_rows(self.engine.product, y, rows_of(self.X, first, last))
            return {self.windows.kind[k]: (total, y.sum(axis=1, dtype=float), products)}

        # on the host, by all of its threads
        sums = self.windows.add_up(chunk, n_threads=self.engine.n_workers)
        kinds = [np.flatnonzero(counts).tolist() for counts in self.windows.members.T]
        total, y_sum, YX = (
            np.concatenate([reduce(np.add, [sums[kind][i] for kind in counting]) for counting in kinds])
            for i in range(3)
        )
        return total, y_sum, YX

    def batches(self, columns: np.ndarray, W: np.ndarray, parameters: np.ndarray | None) -> Batches:
        """The columns of every fit that has some, at weights (n_columns, n_features) in the engine's precision."""
        q = len(self.Y)
        fit, neuron = np.divmod(columns, q)

        def batch(one: int) -> Stack:
            at = np.flatnonzero(fit == one)
            # stacks are padded as a whole
            w = W[at] if self.stacks else self.engine.pad(W[at])
            used = np.concatenate([at, np.full(len(w) - len(at), at[-1])])
            everyone = len(used) == q and np.array_equal(neuron[used], np.arange(q))
            index = None if everyone else self.engine.index(neuron[used])
            theta = None if parameters is None else self.engine.asarray(parameters[used])
            kinds = self.windows.members[:, one]
            return Stack((one,), (len(used),), (len(at),), used, index, self.engine.asarray(w), theta, kinds)

        return {one: batch(one) for one in np.unique(fit).tolist()}

    def with_parameters(self, batches: Batches, parameters: np.ndarray) -> None:
        """Bring the family's parameters of the columns up to date, shape (n_columns, n_parameters)."""
        for batch in batches.values():
            batch.theta = self.engine.asarray(parameters[batch.at])

    def exp(self, batches: Batches, b: np.ndarray) -> tuple[list[Any], Any]:
        """Σsμ, Σsy²/μ, Σsμx and Σsy·offset for μ = exp(η + b), and `spread` of μ."""
        batches = self._shared(batches)
        starts = self._placed(batches, b)

        def chunk(shape: Shape, window: Window, _k: int, name: Any) -> tuple[Any, ...]:
            batch = batches[name]
            compiled = self.engine.compile(exp_sums, shape, self.every)
            return compiled(window, Points(batch.neurons, batch.W, starts[name]))

        sums, some = self._add_up(chunk, batches, len(b), self.every)
        return sums, self.spread(some, len(b))

    def predict(self, batches: Batches, n: int) -> Predictors:
        """Predictors without the intercept, of n columns."""
        engine, windows, shared = self.engine, self.windows, self._shared(batches)
        zeros = self._placed(shared, np.zeros(n))

        def predictor(k: int) -> dict[int, Any]:
            counting = self._counting(shared, k)
            if not counting:
                return {}
            shape, window = windows.read(k)
            predict = engine.compile(linear_predictor, shape)
            etas: dict[int, Any] = {}
            for name, batch in counting.items():
                found = batch.by_fit((predict(window, Points(None, batch.W, zeros[name])),))
                etas |= {fit: eta[: len(batches[fit].at)] for fit, (eta,) in found.items()}
            return etas

        return windows.map(predictor)

    def predictors(self, etas: Predictors, fit: int, rows: np.ndarray) -> list[tuple[tuple[int, int], np.ndarray]]:
        """``((first, last), eta)`` of the windows that a fit counts, for some ``rows`` of its batch."""
        return [
            (self.windows.chunks[k], self.engine.to_numpy(eta[fit])[rows, self.windows.counted(k)])
            for k, eta in enumerate(etas)
            if fit in eta
        ]

    def floors(self, batches: Batches, etas: Predictors, n: int) -> np.ndarray:
        """Intercepts at which the predictor of an event would be 0, the largest of every column, shape (n,)."""
        engine, windows = self.engine, self.windows
        lowest = np.full(n, -np.inf)

        def floor(k: int) -> dict[int, Any]:
            shape, window = windows.read(k, with_x=False)
            least = engine.compile(event_floor, shape)
            return {fit: least(window, batches[fit].neurons, eta) for fit, eta in etas[k].items()}

        for smallest in windows.map(floor):
            for fit, values in smallest.items():
                at = batches[fit].places[fit]
                found = engine.to_numpy(values)[: len(at)]
                lowest[at] = np.maximum(lowest[at], -found.astype(float))
        return lowest

    def intercepts(self, batches: Batches, etas: Predictors, b: np.ndarray, moving: np.ndarray) -> list[Any]:
        """Σsr, Σsh and Σ|sr| at intercepts (n_columns,) of those that are ``moving``; 0 of others, or theirs."""
        batches, rows = self._moving(batches, moving)
        if not batches:
            return list(np.zeros((3, len(b))))
        b_now = self._placed(batches, b)

        def chunk(shape: Shape, window: Window, k: int, fit: int) -> tuple[Any, ...]:
            batch, eta = batches[fit], etas[k][fit]
            eta = eta if rows[fit] is None else eta[rows[fit]]
            compiled = self.engine.compile(intercept_sums, shape, self.loss)
            return compiled(window, Points(batch.neurons, None, b_now[fit], batch.theta), eta)

        return self._add_up(chunk, batches, len(b), with_x=False)[0]

    @property
    def gathers(self) -> bool:
        """Whether `ends` and `gathered` are there: for NumPy's arrays."""
        return self.engine.window is None and self.engine.xp is np

    def ends(self, batches: Batches, etas: Predictors, n: int) -> tuple[np.ndarray, np.ndarray]:
        """Least and largest predictor without the intercept, (n,); NaN where one is NaN."""
        low, high = np.full(n, np.inf), np.full(n, -np.inf)
        for each in self.windows.map(lambda k: {f: (eta.min(axis=1), eta.max(axis=1)) for f, eta in etas[k].items()}):
            for fit, (least, largest) in each.items():
                at = batches[fit].places[fit]
                low[at] = np.minimum(low[at], least[: len(at)])
                high[at] = np.maximum(high[at], largest[: len(at)])
        return low, high

    def gathered(self, batches: Batches, etas: Predictors, bins: Bins) -> Nodes:
        """Samples of all columns at nodes of their predictors without the intercept."""

        def part(windows: list[int]) -> np.ndarray:
            moments = bins.empty()
            for k in windows:
                shape, window = self.windows.read(k, with_x=False)
                for fit, eta in etas[k].items():
                    for rows, index, _ in batches[fit].pieces():
                        bins.add(batches[fit].at[rows], eta[rows], *activity(shape, window, index), moments)
            return moments

        return bins.nodes(sum(self.engine.map(part, self.windows.runs())))

    def losses(self, batches: Batches, etas: Predictors, b: np.ndarray, valued: bool = True) -> tuple[list[Any], Any]:
        """`window_passes.loss_sums` at intercepts (n_columns,), and `spread` of h; without Σsℓ if not ``valued``.

        That may be where `gathers` is.
        """
        engine, tiny = self.engine, float(np.finfo(self.engine.dtype).tiny)
        shared, b_now = self._shared(batches), self._placed(batches, b)

        def whole(shape: Shape, window: Window, k: int, fit: int) -> tuple[Any, ...]:
            batch = batches[fit]
            sums = engine.compile(loss_sums, shape, self.every, self.loss, tiny)
            return sums(window, Points(batch.neurons, None, b_now[fit], batch.theta), etas[k][fit])

        def in_pieces(shape: Shape, window: Window, k: int, name: Any) -> tuple[Any, ...]:
            terms = engine.compile(loss_terms if valued else slope_terms, shape, self.every, self.loss, tiny)
            found = [
                terms(window, Points(index, None, b_now[fit][rows], theta), etas[k][fit][rows])
                for fit in shared[name].fits
                for rows, index, theta in batches[fit].pieces()
            ]
            *sums, r, some = (np.concatenate(parts) for parts in zip(*found, strict=True))
            X = window.X
            x = X if isinstance(X, SparseBlock) else engine.rows(X, window.at[0], shape.size)
            return *sums, times_rows(engine.product, r, x), some

        function, stacks = (in_pieces, shared) if self.gathers else (whole, batches)
        sums, parts = self._add_up(function, stacks, len(b), self.every)
        return sums, self.spread(parts, len(b))

    def spread(self, some: list[Any], n: int) -> np.ndarray:
        """`window_passes.spread_sums`, (3, n); ``some`` are positions of columns, and h at rows of theirs."""
        parts = np.zeros((3, n))
        for columns, h in some:
            average = h.mean(axis=1)
            if (average > 0).all():
                # all rows are known: the same sums in three passes for ten
                inverse = h + LEAST_WEIGHT * average[:, None]
                np.divide(1, inverse, out=inverse)
                parts[:, columns] = np.full(len(h), h.shape[1]), average, inverse.mean(axis=1)
            else:
                parts[:, columns] = spread_sums(np, h)
        return parts

    def curvature(self, *asked: Any) -> tuple[np.ndarray, ...]:
        """See `popglm.solve.passes.curvature_grams.curvature_sums`."""
        return curvature_sums(self, *asked)

    def curvature_squares(self, *asked: Any) -> tuple[np.ndarray, ...]:
        """See `popglm.solve.passes.curvature_grams.curvature_squares`."""
        return curvature_squares(self, *asked)

    def curvature_along(self, *asked: Any) -> np.ndarray:
        """See `popglm.solve.passes.free_columns.curvature_along`."""
        return curvature_along(self, *asked)

    def forces_along(self, *asked: Any) -> tuple[np.ndarray, np.ndarray]:
        """See `popglm.solve.passes.free_columns.forces_along`."""
        return forces_along(self, *asked)

    def derivatives(
        self, loss: Family, fit: int, neuron: int, w: np.ndarray, b: float
    ) -> tuple[float, np.ndarray, np.ndarray]:
        """See `hessian.derivative_sums`, for a neuron of a fit at the parameters of its ``loss``."""

        def rows() -> Iterator[tuple[np.ndarray, ...]]:
            for first, last in pieces(self.fits[fit]):
                s = np.ones(last - first)
                if self.weights is not None:
                    s = (self.weights if self.weights.ndim == 1 else self.weights[neuron])[first:last].astype(float)
                offset = np.zeros(last - first) if self.offset is None else self.offset[first:last].astype(float)
                yield self.X[first:last].astype(float), self.Y[neuron, first:last].astype(float), s, offset

        return derivative_sums(loss, rows(), w, b, self.fit_intercept)

    def _moving(self, batches: Batches, moving: np.ndarray) -> tuple[Batches, dict[Any, Any]]:
        """Batches that have columns which are moving, of these alone where shapes are free; and their rows."""
        some, rows = {}, {}
        for fit, batch in batches.items():
            kept = np.flatnonzero(moving[batch.places[fit]])
            if len(kept):
                whole = self.engine.window is not None or len(kept) > MOST_KEPT * len(batch.at)
                rows[fit] = None if whole else self.engine.index(kept)
                some[fit] = batch if whole else batch.narrowed(kept, self.engine.index(kept))
        return some, rows

    def _shared(self, batches: Batches) -> Batches:
        """The columns of fits that count the same windows in one stack, where they may share a product."""
        if not self.stacks:
            return batches
        return {
            fits: stacked([batches[fit] for fit in fits], len(self.Y), kinds, self.engine.pad)
            for fits, kinds in self._kinds(tuple(batches)).items()
        }

    def _kinds(self, fits: tuple[int, ...]) -> dict[tuple[int, ...], np.ndarray]:
        """Of some fits those that count the same windows, and the kinds of these."""
        if fits not in self._known_kinds:
            members = self.windows.members[:, fits]
            found = {tuple(np.array(fits)[own].tolist()): (members == own).all(axis=1) for own in members if own.any()}
            self._known_kinds[fits] = found
        return self._known_kinds[fits]

    def _counting(self, batches: Batches, k: int) -> Batches:
        """The stacks that count window k."""
        kind = self.windows.kind[k]
        return {name: batch for name, batch in batches.items() if batch.kinds[kind]}

    def _placed(self, batches: Batches, b: np.ndarray) -> dict[Any, Any]:
        """Intercepts of every batch, in the engine's library."""
        return {fit: self.engine.asarray(b[batch.at]) for fit, batch in batches.items()}

    def _add_up(
        self,
        function: Callable[[Shape, Window, int, Any], tuple[Any, ...]],
        batches: Batches,
        n: int,
        every: int | None = None,
        with_x: bool = True,
    ) -> tuple[list[Any], list[Any]]:
        """Sums per column, of n, of what ``function(shape, window, k, name)`` returns for every window k and stack.

        See `Windows.add_up_columns`; what is not added up is put together fit by fit.
        """

        def chunk(k: int) -> list[tuple[Stack, tuple[Any, ...]]]:
            counting = self._counting(batches, k)
            if not counting:
                return []
            read = self.windows.read(k, with_x)
            return [(batch, function(*read, k, name)) for name, batch in counting.items()]

        columns, some = self.windows.add_up_columns(chunk, n, every)
        sampled: dict[int, tuple[np.ndarray, list[np.ndarray]]] = {}
        for batch, h in some:
            for fit, at, rows in batch.parts:
                sampled.setdefault(fit, (at, []))[1].append(h[rows])
        return columns, [(at, np.concatenate(parts, axis=1)) for at, parts in sampled.values()]


def spread_stride(n_rows: int) -> int:
    """Rows from one to the next of those from which the spread of the curvature weights is taken."""
    return max(1, n_rows // SPREAD_ROWS)


def pieces(ranges: list[tuple[int, int]], size: int = 2048) -> list[tuple[int, int]]:
    """Row ranges, cut to at most ``size`` rows."""
    return [(a, min(a + size, last)) for first, last in ranges for a in range(first, last, size)]
