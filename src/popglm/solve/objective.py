"""The smooth part of the objective, with the intercept solved out, for a batch of neurons.

``evaluate(columns, W, b)`` answers with an `Evaluation`: the mean loss at the best intercept, above that of the
saturated model, its gradient in w (that of the profiled loss, so dloss/db = 0), the mean curvature weight and
Pearson's χ².
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from functools import reduce
from typing import Any

import numpy as np

from popglm.engines.protocol import Engine
from popglm.solve.curvature_grams import weighted_grams
from popglm.solve.evaluation import Evaluation
from popglm.solve.hessian import derivatives
from popglm.solve.nuisance import Nuisance, renew_parameters
from popglm.solve.passes import (
    event_floor,
    exp_sums,
    intercept_sums,
    linear_predictor,
    loss_sums,
    spread_sums,
)
from popglm.solve.sampled import sampled_gradient
from popglm.solve.stack import Stack, stacked
from popglm.solve.windows import Windows
from popglm.statistics.families import Family, Units
from popglm.statistics.intercepts import MAX_STEPS, InterceptSteps, slope_at_kink
from popglm.statistics.responses import ResponseSums, response_sums

__all__ = ["RowObjective", "spread_of"]

#: Rows, about, from which the spread of the curvature weights is taken.
SPREAD_ROWS = 4096
#: Rows with a mean weight this many times as large or small as that of all rows do not stand for these.
UNLIKE = 3.0
#: A null loss below this many roundings of the mean response is summed from terms that vanish where a model is right.
FINE = 1e5


class RowObjective:
    """Any loss, streamed over row chunks: matrix product, one elementwise pass in cache, matrix product.

    The fits to all rows and to every fold's training rows are evaluated together: column i·n_neurons + j is neuron j in
    fit i, and a window of rows is read once for all fits that count it. A product is with the columns of several fits
    only where the engine says that no row's bits depend on its company: the columns of other fits have seen what a fold
    has not.

    The passes run in the engine's library, on its arrays; what they sum to is NumPy's, in float64.

    Parameters
    ----------
    engine : engine
    loss : Family
    X : ndarray, shape (n_samples, n_features)
        In solver coordinates and the engine's precision; or anything that gives such rows for ``X[first:last]``, which
        is then read chunk by chunk in every pass.
    Y : ndarray, shape (n_neurons, n_samples)
    weights : ndarray, shape (n_samples,) or (n_neurons, n_samples), or None
    offset : ndarray, shape (n_samples,), or None
    fits : list of list of (first, last)
        Rows that each fit counts.
    fit_intercept : bool
    sums : ResponseSums, optional
        Of the rows of every fit, one after the other; taken from Y unless given.
    units : Units, optional
        Of Y, where these are not the recording's.

    Attributes
    ----------
    nuisance : Nuisance or None
        Parameters of the family, where it has some.
    by_sums : ndarray of bool, shape (n_columns,)
        Where the loss is the difference of a few sums over samples; elsewhere it is summed sample by sample.
    """

    def __init__(
        self,
        engine: Engine,
        loss: Family,
        X: np.ndarray,
        Y: np.ndarray,
        weights: np.ndarray | None,
        offset: np.ndarray | None,
        fits: list[list[tuple[int, int]]],
        fit_intercept: bool = True,
        sums: ResponseSums | None = None,
        units: Units | None = None,
    ) -> None:
        self.engine, self.loss, self.X, self.Y = engine, loss, X, Y
        self.weights, self.offset, self.fits, self.fit_intercept = weights, offset, fits, fit_intercept
        self.windows = Windows(engine, X, Y, weights, offset, fits)
        # compiled for all folds alike where calls have one shape
        self.every = max(1, (self.windows.n_rows if engine.window is None else Y.shape[1]) // SPREAD_ROWS)
        #: Whether the columns of several fits may share a product.
        self.stacks = len(fits) > 1 and all(
            engine.keeps_bits(X[a:b], len(Y), len(fits)) for a, b in self.windows.shapes()
        )
        self.total, self.y_mean, self.YX = self._moments()
        self.by_sums, self.floor = np.zeros(len(self.total), bool), np.zeros(len(self.total))
        self.nuisance: Nuisance | None = None
        by_sums = loss.has_exp_sums and fit_intercept
        if loss.parameters or by_sums:
            sums = sums or ResponseSums.join([response_sums(loss, Y, weights, rows, offset, units) for rows in fits])
        if sums is not None and loss.parameters:
            self.nuisance = Nuisance.of_null_models(sums, units)
        if sums is not None and by_sums:
            self.by_sums, self.floor = ~is_fine(sums, engine.dtype), sums.saturated

    def _moments(self) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        def chunk(k: int) -> dict[int, tuple[np.ndarray, ...]]:
            first, last = self.windows.chunks[k]
            y, s = self.Y[:, first:last], None if self.weights is None else self.weights[..., first:last]
            total = np.full(len(y), last - first) if s is None else s.sum(axis=-1, dtype=float) * np.ones(len(y))
            y = y if s is None else y * s
            return {
                self.windows.kind[k]: (total, y.sum(axis=1, dtype=float), self.engine.product(y, self.X[first:last]))
            }

        # on the host, by all of its threads
        sums, _ = self.windows.add_up(chunk, n_threads=self.engine.n_workers)
        kinds = [np.flatnonzero(counts).tolist() for counts in self.windows.members.T]
        total, y_sum, YX = (
            np.concatenate([reduce(np.add, [sums[kind][i] for kind in counting]) for counting in kinds])
            for i in range(3)
        )
        safe = np.where(total > 0, total, 1)
        return total, y_sum / safe, YX / safe[:, None]

    def evaluate(self, columns: np.ndarray, W: np.ndarray, b: np.ndarray) -> Evaluation:
        """See the module. A point outside the loss's domain, or one that overflows, has loss +inf."""
        ways = (self._poisson_exp, self.by_sums[columns]), (self._general, ~self.by_sums[columns])
        parts = [(way, np.flatnonzero(chosen)) for way, chosen in ways if chosen.any() or not len(columns)]
        found = []
        for way, at in parts:
            batches = self._batches(columns[at], W[at].astype(self.engine.dtype))
            with np.errstate(all="ignore"):
                found.append(way(columns[at], batches, W[at], b[at]))
        out = found[0]
        if len(found) > 1:
            out = Evaluation.join(found).take(np.argsort(np.concatenate([at for _, at in parts])))
        bad = ~(np.isfinite(out.loss) & np.isfinite(out.grad).all(axis=1) & np.isfinite(out.b))
        out.loss[bad] = np.inf
        return out

    def _batches(self, columns: np.ndarray, W: np.ndarray) -> dict[Any, Stack]:
        """The columns of every fit that has some."""
        q = len(self.Y)
        fit, neuron = np.divmod(columns, q)

        def batch(one: int) -> Stack:
            at = np.flatnonzero(fit == one)
            w = self.engine.pad(W[at])
            used = np.concatenate([at, np.full(len(w) - len(at), at[-1])])
            everyone = len(used) == q and np.array_equal(neuron[used], np.arange(q))
            index = None if everyone else self.engine.index(neuron[used])
            theta, kinds = self.theta(columns[used]), self.windows.members[:, one]
            return Stack((one,), (len(used),), (len(at),), used, index, self.engine.asarray(w), theta, kinds)

        return {one: batch(one) for one in np.unique(fit).tolist()}

    def _shared(self, batches: dict[Any, Stack]) -> dict[Any, Stack]:
        """The columns of fits that count the same windows in one stack, where they may share a product."""
        if not self.stacks:
            return batches
        members = self.windows.members[:, list(batches)]
        own = list(batches.values())
        return {
            tuple(counts): stacked(
                [batch for batch, is_in in zip(own, counts, strict=True) if is_in],
                len(self.Y),
                (members == counts).all(axis=1),
            )
            for counts in np.unique(members[members.any(axis=1)], axis=0)
        }

    def theta(self, columns: np.ndarray) -> Any:
        """Parameters of some columns, in the engine's library."""
        return None if self.nuisance is None else self.engine.asarray(self.nuisance.values[columns])

    def loss_of(self, fit: int, neurons: np.ndarray) -> Family:
        """The loss of some neurons of a fit, at their parameters."""
        columns = fit * len(self.Y) + neurons
        return self.loss.at(None if self.nuisance is None else self.nuisance.values[columns].astype(self.engine.dtype))

    def _counting(self, batches: dict[Any, Stack], k: int) -> dict[Any, Stack]:
        """The stacks that count window k."""
        kind = self.windows.kind[k]
        return {name: batch for name, batch in batches.items() if batch.kinds[kind]}

    def _add_up(
        self,
        function: Callable[[tuple[Any, ...], int, Any], tuple[Any, ...]],
        batches: dict[Any, Stack],
        n: int,
        every: int | None = None,
        with_x: bool = True,
    ) -> tuple[list[np.ndarray], list[tuple[np.ndarray, np.ndarray]]]:
        """Sums per column, of n, of what ``function(window, k, name)`` returns for every window and stack.

        ``window`` is what `Windows.read` gives; see `Windows.add_up`.
        """

        def chunk(k: int) -> dict[int, tuple[Any, ...]]:
            counting = self._counting(batches, k)
            window = self.windows.read(k, with_x) if counting else ()
            outs: dict[int, tuple[Any, ...]] = {}
            for name, batch in counting.items():
                outs |= batch.by_fit(function(window, k, name))
            return outs

        sums, some = self.windows.add_up(chunk, every)
        places: dict[int, np.ndarray] = {}
        for batch in batches.values():
            places |= batch.places
        columns: list[np.ndarray] = []
        for fit, values in sums.items():
            at = places[fit]
            columns = columns or [np.zeros((n, *v.shape[1:])) for v in values]
            for total, v in zip(columns, values, strict=True):
                total[at] += v[: len(at)]
        sampled: dict[int, list[np.ndarray]] = {}
        for fit, h in some:
            sampled.setdefault(fit, []).append(h[: len(places[fit])])
        return columns, [(places[fit], np.concatenate(parts, axis=1)) for fit, parts in sampled.items()]

    def _poisson_exp(self, columns: np.ndarray, batches: dict[Any, Stack], W: np.ndarray, b: np.ndarray) -> Evaluation:
        # One pass: with μ = exp(η + b) the best intercept is b + log κ, κ = ȳ/mean(μ), and every sum that is
        # needed there is κ times the one taken here; Σ y η is W·(Xᵀy), known without touching the samples.
        b = b.astype(self.engine.dtype)
        batches = self._shared(batches)
        starts = self._placed(batches, b)

        def chunk(window: tuple[Any, ...], k: int, name: Any) -> tuple[Any, ...]:
            (X, Y, s, offset, size, masked, at), batch = window, batches[name]
            compiled = self.engine.compile(exp_sums, type(self.engine), size, masked, self.every)
            return compiled(X, Y, s, offset, batch.neurons, batch.W, starts[name], at)

        (mu_sum, chi, MX, y_offset), some = self._add_up(chunk, batches, len(W), self.every)
        total, y_mean, YX = self.total[columns], self.y_mean[columns], self._products(columns)
        # the intercept in the engine's precision is the one that μ was computed with
        b_used = b.astype(float)
        kappa = y_mean / (mu_sum / total)
        b_best = b_used + np.log(kappa)
        loss = y_mean - self._inner(W, YX) - b_best * y_mean - y_offset / total - self.floor[columns]
        grad = self._scaled(kappa / total, MX) - YX
        chi2 = chi / (kappa * total) - y_mean
        spread, n = self._spread(some, mu_sum / total), len(W)
        return Evaluation(loss, b_best, grad, y_mean.copy(), chi2, spread, np.ones(n, bool), np.zeros(n))

    def _general(self, columns: np.ndarray, batches: dict[Any, Stack], W: np.ndarray, b: np.ndarray) -> Evaluation:
        engine, windows = self.engine, self.windows
        zeros = self._placed(batches, np.zeros(len(W)))

        def predictor(k: int) -> dict[int, Any]:
            counting = self._counting(batches, k)
            if not counting:
                return {}
            X, _, _, offset, size, _, at = windows.read(k)
            predict = engine.compile(linear_predictor, type(engine), size)
            return {fit: predict(X, offset, batch.W, zeros[fit], at) for fit, batch in counting.items()}

        etas = windows.map(predictor)
        if self.fit_intercept:
            b = self.best_intercept(columns, batches, etas, b)
        if self.nuisance is not None and self.nuisance.due[columns].any():
            b = renew_parameters(self, columns, batches, etas, b)
        b = b.astype(engine.dtype)
        b_now, tiny = self._placed(batches, b), float(np.finfo(engine.dtype).tiny)

        def chunk(window: tuple[Any, ...], k: int, fit: int) -> tuple[Any, ...]:
            (X, Y, s, _, size, masked, at), batch = window, batches[fit]
            compiled = engine.compile(loss_sums, type(engine), size, masked, self.every, self.loss, tiny)
            return compiled(X, Y, s, batch.neurons, etas[k][fit], b_now[fit], batch.theta, at)

        sums, some = self._add_up(chunk, batches, len(W), self.every)
        beyond = sums.pop(3)
        loss, weight, chi, slope = (v / self.total[columns] for v in sums[:-1])
        grad = self._scaled(1 / self.total[columns], sums[-1])
        slope = slope_at_kink(self.loss, self.fit_intercept, slope, engine.dtype)
        spread = self._spread(some, weight)
        return Evaluation(loss, b.astype(float), grad, weight, chi, spread, beyond == 0, slope)

    # what is done to arrays over features, here in NumPy and in float64

    def _products(self, columns: np.ndarray) -> np.ndarray:
        """Σsyx/Σs of some columns."""
        return self.YX[columns]

    def _inner(self, W: np.ndarray, YX: np.ndarray) -> np.ndarray:
        """Inner products of rows, of weights as the passes see them."""
        return np.einsum("ij,ij->i", W.astype(self.engine.dtype).astype(float), YX)

    def _scaled(self, factor: np.ndarray, A: np.ndarray) -> np.ndarray:
        """Rows of A times a factor each."""
        return factor[:, None] * A

    def _spread(self, some: list[tuple[np.ndarray, np.ndarray]], mean: np.ndarray) -> np.ndarray:
        """See `spread_of`; ``some`` are columns, and h at rows of theirs."""
        parts = np.zeros((3, len(mean)))
        for columns, h in some:
            parts[:, columns] = spread_sums(np, h)
        return spread_of(parts, mean)

    def _placed(self, batches: dict[Any, Stack], b: np.ndarray) -> dict[int, Any]:
        """Intercepts of every batch, in the engine's library."""
        return {fit: self.engine.asarray(b[batch.at]) for fit, batch in batches.items()}

    def best_intercept(
        self, columns: np.ndarray, batches: dict[Any, Stack], etas: list[dict[int, Any]], b: np.ndarray,
        moving: np.ndarray | None = None,
    ) -> np.ndarray:  # fmt: skip
        """Best intercepts beside weights, of columns that are ``moving``: see `popglm.statistics.intercepts`."""
        engine, windows = self.engine, self.windows
        lowest = np.full(len(b), -np.inf)
        if self.loss.has_barrier:

            def floor(k: int) -> dict[int, Any]:
                _, Y, s, _, size, masked, at = windows.read(k, with_x=False)
                least = engine.compile(event_floor, type(engine), size, masked)
                return {fit: least(Y, s, batches[fit].neurons, eta, at) for fit, eta in etas[k].items()}

            for smallest in windows.map(floor):
                for fit, values in smallest.items():
                    at = batches[fit].places[fit]
                    found = engine.to_numpy(values)[: len(at)]
                    lowest[at] = np.maximum(lowest[at], -found.astype(float))

        def chunk(window: tuple[Any, ...], k: int, fit: int) -> tuple[Any, ...]:
            (_, Y, s, _, size, masked, at), batch = window, batches[fit]
            compiled = engine.compile(intercept_sums, type(engine), size, masked, self.loss)
            return compiled(Y, s, batch.neurons, etas[k][fit], b_now[fit], batch.theta, at)

        steps = InterceptSteps(self.loss, engine.dtype, b, lowest, self.y_mean[columns], self.total[columns])
        if moving is not None:
            steps.moving &= moving
        for _ in range(MAX_STEPS):
            b_now = self._placed(batches, steps.b)
            steps.take(*self._add_up(chunk, batches, len(b), with_x=False)[0])
            if not steps.moving.any():
                break
        return steps.b

    def weighted_grams(self, columns: np.ndarray, W: np.ndarray, b: np.ndarray) -> np.ndarray:
        """See `popglm.solve.curvature_grams`; the columns are of one fit."""
        return weighted_grams(self, int(columns[0]) // len(self.Y), columns % len(self.Y), W, b)

    def derivatives(self, column: int, w: np.ndarray, b: float) -> tuple[np.ndarray, np.ndarray]:
        """See `popglm.solve.hessian.derivatives`."""
        fit, neuron = divmod(int(column), len(self.Y))

        def rows() -> Iterator[tuple[np.ndarray, ...]]:
            for first, last in pieces(self.fits[fit]):
                s = np.ones(last - first)
                if self.weights is not None:
                    s = (self.weights if self.weights.ndim == 1 else self.weights[neuron])[first:last].astype(float)
                offset = np.zeros(last - first) if self.offset is None else self.offset[first:last].astype(float)
                yield self.X[first:last].astype(float), self.Y[neuron, first:last].astype(float), s, offset

        loss = self.loss if self.nuisance is None else self.loss.given(*self.nuisance.values[column])
        return derivatives(loss, rows(), w, float(b), self.fit_intercept)

    def sampled_gradient(
        self, columns: np.ndarray, W: np.ndarray, b: np.ndarray, size: int | None, rng: np.random.Generator
    ) -> Evaluation:
        """Gradient from ``size`` random rows, with one Newton step of the intercept; from all rows for None.

        Of columns of one fit.
        """
        if size is None or not len(columns):
            return self.evaluate(columns, W, b)
        return sampled_gradient(self, columns, W, b, size, rng)


def is_fine(sums: ResponseSums, dtype: np.dtype) -> np.ndarray:
    """Whether a null loss is so far below the mean response that a difference of sums would be rounding."""
    return sums.null < FINE * np.finfo(dtype).eps * sums.mean


def pieces(ranges: list[tuple[int, int]], size: int = 2048) -> list[tuple[int, int]]:
    """Row ranges, cut to at most ``size`` rows."""
    return [(a, min(a + size, last)) for first, last in ranges for a in range(first, last, size)]


def spread_of(parts: np.ndarray, mean: np.ndarray) -> np.ndarray:
    """Mean of mean(h)/h of columns whose h has a ``mean``, from `popglm.solve.passes.spread_sums` of some rows.

    Infinite where these rows are unlike the rest: in a task with a period they may all lie in one phase of it.
    """
    count, average, inverse = parts
    unlike = ~((average > mean / UNLIKE) & (average < mean * UNLIKE))
    # a neuron none of whose sampled rows count has 1
    return np.where(count > 0, np.where(unlike, np.inf, np.maximum(average * inverse, 1)), 1.0)
