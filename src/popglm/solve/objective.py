"""The smooth part of the objective, with the intercept solved out, for a batch of neurons.

Both classes answer ``evaluate(neurons, W, b)`` with an `Evaluation`: the mean loss at the best intercept, its
gradient in w (that of the profiled loss, so dloss/db = 0), the mean curvature weight and Pearson's χ².
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

import numpy as np

from popglm.model.losses import Loss
from popglm.solve.passes import (
    event_floor,
    exp_sums,
    intercept_sums,
    linear_predictor,
    loss_sums,
    residuals,
    value_sums,
)
from popglm.solve.windows import Windows, runs

__all__ = ["Evaluation", "GramObjective", "RowObjective", "held_out_deviance"]

#: Rows, about, from which the spread of the curvature weights is taken.
SPREAD_ROWS = 4096
#: Weights below this share of their mean count as this much.
LEAST_WEIGHT = 0.003


@dataclass
class Evaluation:
    """One point per neuron.

    Attributes
    ----------
    loss, b, curvature, chi2, spread : ndarray, shape (n_neurons,)
        Mean loss; intercept; mean of the curvature weights h = d²ℓ/dη²; mean of r²/h; and the mean of mean(h)/h, 1
        where all weights are equal.
    grad : ndarray, shape (n_neurons, n_features)
    smooth : ndarray of bool, shape (n_neurons,)
        Whether no sample lies beyond a kink of its loss.
    """

    loss: np.ndarray
    b: np.ndarray
    grad: np.ndarray
    curvature: np.ndarray
    chi2: np.ndarray
    spread: np.ndarray
    smooth: np.ndarray

    def take(self, index: np.ndarray | slice) -> Evaluation:
        """Rows ``index``."""
        return Evaluation(*(getattr(self, name)[index] for name in self.__dataclass_fields__))

    def put(self, index: np.ndarray, other: Evaluation, chosen: np.ndarray) -> None:
        """Overwrite rows ``index[chosen]`` by those of ``other``."""
        for name in self.__dataclass_fields__:
            getattr(self, name)[index[chosen]] = getattr(other, name)[chosen]


class GramObjective:
    """Gaussian loss from second moments alone: no array over samples is touched.

    Parameters
    ----------
    engine : engine
    G : ndarray, shape (n_features, n_features)
        Weighted covariance of the features.
    C : ndarray, shape (n_neurons, n_features)
        Weighted covariance of responses and features.
    y_variance, y_mean : ndarray, shape (n_neurons,)
        The features have mean 0, so that the mean of a response is its intercept.
    """

    def __init__(self, engine: Any, G: np.ndarray, C: np.ndarray, y_variance: np.ndarray, y_mean: np.ndarray) -> None:
        self.engine, self.G, self.C, self.y_variance, self.y_mean = engine, G, C, y_variance, y_mean

    def evaluate(self, neurons: np.ndarray, W: np.ndarray, b: np.ndarray) -> Evaluation:
        """See the module."""
        WG, C = self.engine.product(W, self.G), self.C[neurons]
        loss = 0.5 * (self.y_variance[neurons] + np.einsum("ij,ij->i", W, WG - 2 * C))
        loss = np.maximum(loss, 0)
        return Evaluation(
            loss, self.y_mean[neurons], WG - C, np.ones(len(W)), 2 * loss, np.ones(len(W)), np.ones(len(W), bool)
        )


class RowObjective:
    """Any loss, streamed over row chunks: matrix product, one elementwise pass in cache, matrix product.

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
    ranges : list of (first, last)
        Rows that count; a fold's training rows are two ranges of the same arrays.
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
        ranges: list[tuple[int, int]],
        fit_intercept: bool = True,
    ) -> None:
        self.engine, self.loss, self.X, self.Y = engine, loss, X, Y
        self.weights, self.offset, self.fit_intercept = weights, offset, fit_intercept
        self.rows = np.concatenate([np.arange(first, last) for first, last in ranges])
        # compiled for all folds alike where calls have one shape
        self.every = max(1, (len(self.rows) if engine.window is None else Y.shape[1]) // SPREAD_ROWS)
        self.windows = Windows(engine, X, Y, weights, offset, ranges)
        self.total, self.y_mean, self.YX = self._moments()

    def _moments(self) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        q, p = len(self.Y), self.X.shape[1]

        def part(chunks: list[tuple[int, int]]) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
            total, y_sum, YX = np.zeros(q), np.zeros(q), np.zeros((q, p))
            for first, last in chunks:
                y, s = self.Y[:, first:last], None if self.weights is None else self.weights[..., first:last]
                total += (last - first) if s is None else s.sum(axis=-1, dtype=float)
                y = y if s is None else y * s
                y_sum += y.sum(axis=1, dtype=float)
                YX += self.engine.product(y, self.X[first:last])
            return total, y_sum, YX

        # on the host, by all of its threads
        batches = runs(self.windows.chunks, self.engine.n_workers)
        total, y_sum, YX = (sum(parts) for parts in zip(*self.engine.map(part, batches), strict=True))
        safe = np.where(total > 0, total, 1)
        return total, y_sum / safe, YX / safe[:, None]

    def evaluate(self, neurons: np.ndarray, W: np.ndarray, b: np.ndarray) -> Evaluation:
        """See the module. A point outside the loss's domain, or one that overflows, has loss +inf."""
        n = len(neurons)
        W = self.engine.pad(W.astype(self.engine.dtype))
        extra = np.full(len(W) - n, n - 1)
        neurons, b = (np.concatenate([a, a[extra]]) for a in (neurons, b))
        rows = None if n == len(self.Y) == len(neurons) else self.engine.index(neurons)
        closed_form = self.loss.closed_form_intercept and self.fit_intercept
        with np.errstate(all="ignore"):
            out = (self._poisson_exp if closed_form else self._general)(neurons, rows, W, b)
        bad = ~(np.isfinite(out.loss) & np.isfinite(out.grad).all(axis=1) & np.isfinite(out.b))
        out.loss[bad] = np.inf
        return out.take(slice(n))

    def _poisson_exp(self, neurons: np.ndarray, rows: Any, W: np.ndarray, b: np.ndarray) -> Evaluation:
        # One pass: with μ = exp(η + b) the best intercept is b + log κ, κ = ȳ/mean(μ), and every sum that is
        # needed there is κ times the one taken here; Σ y η is W·(Xᵀy), known without touching the samples.
        b = b.astype(self.engine.dtype)
        w, b_start = self.engine.asarray(W), self.engine.asarray(b)

        def chunk(k: int) -> tuple[Any, ...]:
            X, Y, s, offset, size, masked, at = self.windows.read(k)
            compiled = self.engine.compile(exp_sums, type(self.engine), size, masked, self.every)
            return compiled(X, Y, s, offset, rows, w, b_start, at)

        (mu_sum, chi, MX, y_offset), some = self.windows.add_up(chunk, self.every)
        total, y_mean, YX = self.total[neurons], self.y_mean[neurons], self.YX[neurons]
        # the intercept in the engine's precision is the one that μ was computed with
        b_used = b.astype(float)
        kappa = y_mean / (mu_sum / total)
        b_best = b_used + np.log(kappa)
        loss = y_mean - np.einsum("ij,ij->i", W.astype(float), YX) - b_best * y_mean - y_offset / total
        grad = (kappa / total)[:, None] * MX - YX
        chi2 = chi / (kappa * total) - y_mean
        return Evaluation(loss, b_best, grad, y_mean.copy(), chi2, _spread(some), np.ones(len(W), bool))

    def _general(self, neurons: np.ndarray, rows: Any, W: np.ndarray, b: np.ndarray) -> Evaluation:
        engine = self.engine
        w, zero = engine.asarray(W), engine.asarray(np.zeros(len(W)))

        def predictor(k: int) -> Any:
            X, _, _, offset, size, _, at = self.windows.read(k)
            return engine.compile(linear_predictor, type(engine), size)(X, offset, w, zero, at)

        etas = self.windows.map(predictor)
        if self.fit_intercept:
            b = self._best_intercept(neurons, rows, etas, b)
        b = b.astype(engine.dtype)
        b_now, tiny = engine.asarray(b), float(np.finfo(engine.dtype).tiny)

        def chunk(k: int) -> tuple[Any, ...]:
            X, Y, s, _, size, masked, at = self.windows.read(k)
            compiled = engine.compile(loss_sums, type(engine), size, masked, self.every, self.loss, tiny)
            return compiled(X, Y, s, rows, etas[k], b_now, at)

        sums, some = self.windows.add_up(chunk, self.every)
        beyond = sums.pop(3)
        loss, weight, chi, grad = (v / self.total[neurons].reshape(-1, *[1] * (v.ndim - 1)) for v in sums)
        return Evaluation(loss, b.astype(float), grad, weight, chi, _spread(some), beyond == 0)

    def _best_intercept(self, neurons: np.ndarray, rows: Any, etas: list[Any], b: np.ndarray) -> np.ndarray:
        """1-D Newton on every neuron's intercept, kept inside the domain of the loss."""
        engine, dtype = self.engine, self.engine.dtype
        b = b.copy()
        lowest = np.full(len(b), -np.inf)
        if self.loss.barrier:

            def floor(k: int) -> Any:
                _, Y, s, _, size, masked, at = self.windows.read(k, with_x=False)
                return engine.compile(event_floor, type(engine), size, masked)(Y, s, rows, etas[k], at)

            for smallest in self.windows.map(floor):
                lowest = np.maximum(lowest, -engine.to_numpy(smallest).astype(float))
            scale = np.maximum(np.abs(lowest), self.y_mean[neurons])
            b = np.maximum(b, lowest + 1e-3 * scale)

        def chunk(k: int) -> tuple[Any, ...]:
            _, Y, s, _, size, masked, at = self.windows.read(k, with_x=False)
            compiled = engine.compile(intercept_sums, type(engine), size, masked, self.loss)
            return compiled(Y, s, rows, etas[k], b_now, at)

        for _ in range(50):
            b_now = engine.asarray(b)
            (gradient, curvature, size), _ = self.windows.add_up(chunk)
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

    def sampled_gradient(
        self, neurons: np.ndarray, W: np.ndarray, b: np.ndarray, size: int | None, rng: np.random.Generator
    ) -> Evaluation:
        """Gradient from ``size`` random rows, with one Newton step of the intercept; from all rows for None."""
        if size is None:
            return self.evaluate(neurons, W, b)
        engine, n = self.engine, len(neurons)
        pick = np.sort(rng.choice(self.rows, min(size, len(self.rows)), replace=False))
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


def held_out_deviance(
    engine: Any,
    loss: Loss,
    X: np.ndarray,
    Y: np.ndarray,
    weights: np.ndarray | None,
    offset: np.ndarray | None,
    ranges: list[tuple[int, int]],
    W: np.ndarray,
    b: np.ndarray,
) -> np.ndarray:
    """Deviance of row ranges under every point of a path, shape (n_lambdas, n_neurons).

    Parameters
    ----------
    X, Y, weights, offset, ranges
        As for `RowObjective`.
    W : ndarray, shape (n_lambdas, n_neurons, n_features)
    b : ndarray, shape (n_lambdas, n_neurons)
    """
    n_lambdas, _, p = W.shape
    windows = Windows(engine, X, Y, weights, offset, ranges)
    W = engine.pad(W.reshape(-1, p).astype(engine.dtype))
    b = b.reshape(-1)
    w, b = engine.asarray(W), engine.asarray(np.concatenate([b, np.repeat(b[-1:], len(W) - len(b))]))

    def chunk(k: int) -> tuple[Any]:
        X, Y, s, offset, size, masked, at = windows.read(k)
        compiled = engine.compile(value_sums, type(engine), size, masked, loss, n_lambdas)
        return (compiled(X, Y, s, offset, w, b, at),)

    def floor(first: int, last: int) -> np.ndarray:
        lowest = loss.saturated(Y[:, first:last])
        if weights is not None:
            s = weights[..., first:last]
            lowest = np.where(s > 0, s * lowest, 0)
        return lowest.sum(axis=1)

    (value,), _ = windows.add_up(chunk)
    return np.maximum(2 * (value - sum(engine.map(floor, windows.chunks))), 0)


def _spread(some: Iterable[np.ndarray]) -> np.ndarray:
    """Mean of mean(h)/h over some rows, NaN left out; h: arrays of shape (n_neurons, n_rows)."""
    h = np.concatenate(list(some), axis=1)
    absent = np.isnan(h)
    average = np.nanmean if absent.any() else np.mean
    # a neuron none of whose sampled rows count
    h[absent.all(axis=1)] = 1
    mean = average(h, axis=1, keepdims=True)
    return average(mean / np.maximum(h + LEAST_WEIGHT * mean, np.finfo(h.dtype).tiny), axis=1, dtype=float)
