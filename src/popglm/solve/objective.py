"""The smooth part of the objective, with the intercept solved out, for a batch of neurons.

``evaluate(columns, W, b)`` answers with an `Evaluation`: the mean loss at the best intercept, its gradient in w (that
of the profiled loss, so dloss/db = 0), the mean curvature weight and Pearson's χ².
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np

from popglm.model.losses import Loss
from popglm.solve.coordinates import gram
from popglm.solve.evaluation import Evaluation
from popglm.solve.hessian import derivatives
from popglm.solve.passes import (
    event_floor,
    exp_sums,
    intercept_sums,
    linear_predictor,
    loss_sums,
    residuals,
)
from popglm.solve.windows import Windows

__all__ = ["RowObjective"]

#: Rows, about, from which the spread of the curvature weights is taken.
SPREAD_ROWS = 4096
#: Weights below this share of their mean count as this much.
LEAST_WEIGHT = 0.003


@dataclass
class Batch:
    """The columns that count the windows of one kind.

    Attributes
    ----------
    at : ndarray of int
        Their positions among the evaluated columns, the last one repeated to a size that the engine likes.
    n : int
        Without the repeated ones.
    neurons : index of the engine, or None
        Their rows of Y; None for all in order.
    W : array of the engine, shape (len(at), n_features)
    """

    at: np.ndarray
    n: int
    neurons: Any
    W: Any


class RowObjective:
    """Any loss, streamed over row chunks: matrix product, one elementwise pass in cache, matrix product.

    The fits to all rows and to every fold's training rows are evaluated together: column i·n_neurons + j is neuron j in
    fit i, and a window of rows multiplies the columns whose fits count it. One batch for all fits in place of six
    spares the many products with a few late neurons each, whose cost is reading X.

    The passes run in the engine's library, on its arrays; what they sum to is NumPy's, in float64.

    Parameters
    ----------
    engine : engine
    loss : Loss
    X : ndarray, shape (n_samples, n_features)
        In solver coordinates and the engine's precision; or anything that gives such rows for ``X[first:last]``, which
        is then read chunk by chunk in every pass.
    Y : ndarray, shape (n_neurons, n_samples)
    weights : ndarray, shape (n_samples,) or (n_neurons, n_samples), or None
    offset : ndarray, shape (n_samples,), or None
    fits : list of list of (first, last)
        Rows that each fit counts.
    fit_intercept : bool
    """

    def __init__(
        self,
        engine: Any,
        loss: Loss,
        X: np.ndarray,
        Y: np.ndarray,
        weights: np.ndarray | None,
        offset: np.ndarray | None,
        fits: list[list[tuple[int, int]]],
        fit_intercept: bool = True,
    ) -> None:
        self.engine, self.loss, self.X, self.Y = engine, loss, X, Y
        self.weights, self.offset, self.fits, self.fit_intercept = weights, offset, fits, fit_intercept
        self.windows = Windows(engine, X, Y, weights, offset, fits)
        # compiled for all folds alike where calls have one shape
        self.every = max(1, (self.windows.n_rows if engine.window is None else Y.shape[1]) // SPREAD_ROWS)
        self.total, self.y_mean, self.YX = self._moments()

    def _moments(self) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        def chunk(k: int) -> tuple[np.ndarray, ...]:
            first, last = self.windows.chunks[k]
            y, s = self.Y[:, first:last], None if self.weights is None else self.weights[..., first:last]
            total = np.full(len(y), last - first) if s is None else s.sum(axis=-1, dtype=float) * np.ones(len(y))
            y = y if s is None else y * s
            return total, y.sum(axis=1, dtype=float), self.engine.product(y, self.X[first:last])

        # on the host, by all of its threads
        sums, _ = self.windows.add_up(chunk, n_threads=self.engine.n_workers)
        total, y_sum, YX = (
            np.concatenate([sum(sums[kind][i] for kind in np.flatnonzero(counts)) for counts in self.windows.members.T])
            for i in range(3)
        )
        safe = np.where(total > 0, total, 1)
        return total, y_sum / safe, YX / safe[:, None]

    def evaluate(self, columns: np.ndarray, W: np.ndarray, b: np.ndarray) -> Evaluation:
        """See the module. A point outside the loss's domain, or one that overflows, has loss +inf."""
        batches = self._batches(columns, W.astype(self.engine.dtype))
        closed_form = self.loss.closed_form_intercept and self.fit_intercept
        with np.errstate(all="ignore"):
            out = (self._poisson_exp if closed_form else self._general)(columns, batches, W, b)
        bad = ~(np.isfinite(out.loss) & np.isfinite(out.grad).all(axis=1) & np.isfinite(out.b))
        out.loss[bad] = np.inf
        return out

    def _batches(self, columns: np.ndarray, W: np.ndarray) -> list[Batch | None]:
        """For every kind of windows, the columns that count them; None where there are none."""
        q = len(self.Y)
        fit, neuron = np.divmod(columns, q)

        def batch(at: np.ndarray) -> Batch | None:
            if not len(at):
                return None
            w = self.engine.pad(W[at])
            used = np.concatenate([at, np.full(len(w) - len(at), at[-1])])
            everyone = len(used) == q and np.array_equal(neuron[used], np.arange(q))
            return Batch(used, len(at), None if everyone else self.engine.index(neuron[used]), self.engine.asarray(w))

        return [batch(np.flatnonzero(counts[fit])) for counts in self.windows.members]

    def _add_up(
        self,
        function: Callable[[int, Batch], tuple[Any, ...]],
        batches: list[Batch | None],
        n: int,
        every: int | None = None,
    ) -> tuple[list[np.ndarray], list[tuple[np.ndarray, np.ndarray]]]:
        """Sums per column, of n, of what ``function(k, batch)`` returns for every window; see `Windows.add_up`."""

        def chunk(k: int) -> tuple[Any, ...] | None:
            batch = batches[self.windows.kind[k]]
            return None if batch is None else function(k, batch)

        sums, some = self.windows.add_up(chunk, every)
        columns: list[np.ndarray] = []
        for kind, values in sums.items():
            at, size = batches[kind].at[: batches[kind].n], batches[kind].n
            columns = columns or [np.zeros((n, *v.shape[1:])) for v in values]
            for total, v in zip(columns, values, strict=True):
                total[at] += v[:size]
        return columns, [(batches[kind].at[: batches[kind].n], h[: batches[kind].n]) for kind, h in some]

    def _poisson_exp(
        self, columns: np.ndarray, batches: list[Batch | None], W: np.ndarray, b: np.ndarray
    ) -> Evaluation:
        # One pass: with μ = exp(η + b) the best intercept is b + log κ, κ = ȳ/mean(μ), and every sum that is
        # needed there is κ times the one taken here; Σ y η is W·(Xᵀy), known without touching the samples.
        b = b.astype(self.engine.dtype)
        starts = self._placed(batches, b)

        def chunk(k: int, batch: Batch) -> tuple[Any, ...]:
            X, Y, s, offset, size, masked, at = self.windows.read(k)
            compiled = self.engine.compile(exp_sums, type(self.engine), size, masked, self.every)
            return compiled(X, Y, s, offset, batch.neurons, batch.W, starts[self.windows.kind[k]], at)

        (mu_sum, chi, MX, y_offset), some = self._add_up(chunk, batches, len(W), self.every)
        total, y_mean, YX = self.total[columns], self.y_mean[columns], self.YX[columns]
        # the intercept in the engine's precision is the one that μ was computed with
        b_used = b.astype(float)
        kappa = y_mean / (mu_sum / total)
        b_best = b_used + np.log(kappa)
        loss = y_mean - np.einsum("ij,ij->i", W.astype(self.engine.dtype).astype(float), YX)
        loss -= b_best * y_mean + y_offset / total
        grad = (kappa / total)[:, None] * MX - YX
        chi2 = chi / (kappa * total) - y_mean
        return Evaluation(loss, b_best, grad, y_mean.copy(), chi2, _spread(some, len(W)), np.ones(len(W), bool))

    def _general(self, columns: np.ndarray, batches: list[Batch | None], W: np.ndarray, b: np.ndarray) -> Evaluation:
        engine, windows = self.engine, self.windows
        zeros = self._placed(batches, np.zeros(len(W)))

        def predictor(k: int) -> Any:
            batch = batches[windows.kind[k]]
            if batch is None:
                return None
            X, _, _, offset, size, _, at = windows.read(k)
            return engine.compile(linear_predictor, type(engine), size)(X, offset, batch.W, zeros[windows.kind[k]], at)

        etas = windows.map(predictor)
        if self.fit_intercept:
            b = self._best_intercept(columns, batches, etas, b)
        b = b.astype(engine.dtype)
        b_now, tiny = self._placed(batches, b), float(np.finfo(engine.dtype).tiny)

        def chunk(k: int, batch: Batch) -> tuple[Any, ...]:
            X, Y, s, _, size, masked, at = windows.read(k)
            compiled = engine.compile(loss_sums, type(engine), size, masked, self.every, self.loss, tiny)
            return compiled(X, Y, s, batch.neurons, etas[k], b_now[windows.kind[k]], at)

        sums, some = self._add_up(chunk, batches, len(W), self.every)
        beyond = sums.pop(3)
        loss, weight, chi, grad = (v / self.total[columns].reshape(-1, *[1] * (v.ndim - 1)) for v in sums)
        return Evaluation(loss, b.astype(float), grad, weight, chi, _spread(some, len(W)), beyond == 0)

    def _placed(self, batches: list[Batch | None], b: np.ndarray) -> list[Any]:
        """Intercepts of every batch, in the engine's library."""
        return [None if batch is None else self.engine.asarray(b[batch.at]) for batch in batches]

    def _best_intercept(
        self, columns: np.ndarray, batches: list[Batch | None], etas: list[Any], b: np.ndarray
    ) -> np.ndarray:
        """1-D Newton on every column's intercept, kept inside the domain of the loss."""
        engine, dtype, windows = self.engine, self.engine.dtype, self.windows
        b = b.copy()
        lowest = np.full(len(b), -np.inf)
        if self.loss.barrier:

            def floor(k: int) -> Any:
                batch = batches[windows.kind[k]]
                if batch is None:
                    return None
                _, Y, s, _, size, masked, at = windows.read(k, with_x=False)
                return engine.compile(event_floor, type(engine), size, masked)(Y, s, batch.neurons, etas[k], at)

            for k, smallest in enumerate(windows.map(floor)):
                if smallest is not None:
                    batch = batches[windows.kind[k]]
                    at, found = batch.at[: batch.n], engine.to_numpy(smallest)[: batch.n]
                    lowest[at] = np.maximum(lowest[at], -found.astype(float))
            scale = np.maximum(np.abs(lowest), self.y_mean[columns])
            b = np.maximum(b, lowest + 1e-3 * scale)

        def chunk(k: int, batch: Batch) -> tuple[Any, ...]:
            _, Y, s, _, size, masked, at = windows.read(k, with_x=False)
            compiled = engine.compile(intercept_sums, type(engine), size, masked, self.loss)
            return compiled(Y, s, batch.neurons, etas[k], b_now[windows.kind[k]], at)

        for _ in range(50):
            b_now = self._placed(batches, b)
            (gradient, curvature, size), _ = self._add_up(chunk, batches, len(b))
            open_ = np.abs(gradient) > 8 * np.finfo(dtype).eps * size
            step = np.where(open_ & (curvature > 0), gradient / np.where(curvature > 0, curvature, 1), 0.0)
            # each neuron stops by itself, whatever the others still need
            moving = np.abs(step) > 4 * np.finfo(dtype).eps * np.maximum(np.abs(b), 1e-300)
            if not moving.any():
                break
            # steps in η of more than 2 leave the range in which a local model of exp-like links holds
            limit = np.inf if self.loss.inverse_link in ("identity", "relu") else 2.0
            b = np.where(moving, np.maximum(b - np.clip(step, -limit, limit), 0.5 * (b + lowest)), b)
        return b

    def weighted_gram(self, columns: np.ndarray, W: np.ndarray, b: np.ndarray) -> np.ndarray:
        """Covariance of the features, samples weighted by the curvature h of the loss, the mean over some columns.

        All samples count: the rows that hold 95 % of h alone, with the shared matrix for the rest, took 1.3 × the
        evaluations and certified too early where a neuron is silent (1,000 to 8,000 samples, λ ≤ 1e-5).
        """
        fits, neurons = np.divmod(columns, len(self.Y))
        W, b = W.astype(self.engine.dtype), b.astype(self.engine.dtype)
        h = np.zeros((len(columns), self.Y.shape[1]), self.engine.dtype)
        with np.errstate(all="ignore"):
            for first, last in self.windows.chunks:
                eta = (self.X[first:last] @ W.T).T + b[:, None]
                eta = eta if self.offset is None else eta + self.offset[first:last]
                h[:, first:last] = self.loss.derivatives(np, eta, self.Y[neurons, first:last])[1]
            if self.weights is not None:
                s = self.weights if self.weights.ndim == 1 else self.weights[neurons]
                h = np.where(s > 0, s * h, 0)
            share = np.zeros(h.shape[1])
            for own, fit in zip(h, fits, strict=True):
                inside = np.zeros(len(share), bool)
                for first, last in self.fits[fit]:
                    inside[first:last] = True
                own = np.where(inside, own, 0)
                share += own / (own.sum(dtype=float) * len(h))
            XX, x = gram(self.engine, self.X, share, [(0, len(share))], self.engine.dtype)
            return XX - np.outer(x, x) if self.fit_intercept else XX

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

        return derivatives(self.loss, rows(), w, float(b), self.fit_intercept)

    def sampled_gradient(
        self, neurons: np.ndarray, W: np.ndarray, b: np.ndarray, size: int | None, rng: np.random.Generator
    ) -> Evaluation:
        """Gradient from ``size`` random rows, with one Newton step of the intercept; from all rows for None.

        Of an objective with one fit.
        """
        if size is None:
            return self.evaluate(neurons, W, b)
        engine, n = self.engine, len(neurons)
        rows = np.concatenate([np.arange(first, last) for first, last in self.fits[0]])
        pick = np.sort(rng.choice(rows, min(size, len(rows)), replace=False))
        w = W.astype(engine.dtype)
        if engine.window is not None:
            w = engine.pad(w)
        used = np.concatenate([np.arange(n), np.full(len(w) - n, n - 1)])
        s = np.ones(len(pick), engine.dtype) if self.weights is None else self.weights[..., pick]
        s = np.broadcast_to(s if s.ndim == 1 else s[neurons], (n, len(pick)))
        offset = None if self.offset is None else engine.asarray(self.offset[pick])
        picked = (self.X[pick], self.Y[np.ix_(neurons, pick)][used], s[used])
        with np.errstate(all="ignore"):
            compiled = engine.compile(residuals, type(engine), self.loss)
            out = compiled(*map(engine.asarray, picked), offset, engine.asarray(w), engine.asarray(b[used]))
        r, h, RX = (engine.to_numpy(v)[:n] for v in out)
        total = np.maximum(s.sum(axis=1, dtype=float), np.finfo(float).tiny)
        curvature = h.sum(axis=1, dtype=float) / total
        if self.fit_intercept:
            # a tenth of the Newton step: the sample's own best intercept is noisy
            step = r.sum(axis=1, dtype=float) / total / np.maximum(curvature, 1e-12)
            b = b - 0.1 * np.clip(step, -2, 2)
        grad = np.asarray(RX, float) / total[:, None]
        zero = np.zeros(len(W))
        return Evaluation(zero, b, np.nan_to_num(grad), curvature, zero, zero, zero == 0)


def pieces(ranges: list[tuple[int, int]], size: int = 2048) -> list[tuple[int, int]]:
    """Row ranges, cut to at most ``size`` rows."""
    return [(a, min(a + size, last)) for first, last in ranges for a in range(first, last, size)]


def _spread(some: list[tuple[np.ndarray, np.ndarray]], n: int) -> np.ndarray:
    """Mean of mean(h)/h of n columns; ``some``: columns and h at rows of theirs, NaN where a row does not count."""

    def mean(values: Callable[[np.ndarray, np.ndarray], np.ndarray]) -> np.ndarray:
        total, count = np.zeros(n), np.zeros(n)
        for columns, h in some:
            v = values(columns, h)
            total[columns] += np.nansum(v, axis=1, dtype=float)
            count[columns] += np.count_nonzero(~np.isnan(v), axis=1)
        # a neuron none of whose sampled rows count has 1
        return np.where(count > 0, total, 1) / np.maximum(count, 1)

    average = mean(lambda columns, h: h)
    least = np.maximum(LEAST_WEIGHT * average, np.finfo(some[0][1].dtype).tiny).astype(some[0][1].dtype)
    return average * mean(lambda columns, h: 1 / (h + least[columns, None]))
