"""The smooth part of the objective, with the intercept solved out, for a batch of neurons.

Both classes answer ``evaluate(neurons, W, b)`` with an `Evaluation`: the mean loss at the best intercept, its
gradient in w (that of the profiled loss, so dloss/db = 0), the mean curvature weight and Pearson's χ².
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from itertools import pairwise
from typing import Any

import numpy as np

from popglm.model.losses import Loss

__all__ = ["Evaluation", "GramObjective", "RowObjective"]

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

    Parameters
    ----------
    engine : engine
    loss : Loss
    X : ndarray, shape (n_samples, n_features)
        In solver coordinates and the engine's precision.
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
        self.chunks = [(first + a, first + b) for first, last in ranges for a, b in engine.row_chunks(last - first)]
        self.rows = np.concatenate([np.arange(first, last) for first, last in ranges])
        self.every = max(1, len(self.rows) // SPREAD_ROWS)
        self.total, self.y_mean, self.YX = self._moments()

    def _batches(self) -> list[tuple[list[tuple[int, int]]]]:
        # one contiguous run of chunks per worker, so that sums have a fixed order
        bounds = np.linspace(0, len(self.chunks), self.engine.n_workers + 1).astype(int)
        return [(self.chunks[a:b],) for a, b in pairwise(bounds) if b > a]

    def _chunk(self, array: np.ndarray | None, neurons: np.ndarray | slice, first: int, last: int) -> Any:
        if array is None or array.ndim == 1:
            return None if array is None else array[first:last]
        return array[neurons, first:last]

    def _moments(self) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        q, p = len(self.Y), self.X.shape[1]

        def part(chunks: list[tuple[int, int]]) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
            total, y_sum, YX = np.zeros(q), np.zeros(q), np.zeros((q, p))
            for first, last in chunks:
                y, s = self.Y[:, first:last], self._chunk(self.weights, slice(None), first, last)
                total += (last - first) if s is None else s.sum(axis=-1, dtype=float)
                y = y if s is None else y * s
                y_sum += y.sum(axis=1, dtype=float)
                YX += self.engine.product(y, self.X[first:last])
            return total, y_sum, YX

        total, y_sum, YX = (sum(parts) for parts in zip(*self.engine.map(part, self._batches()), strict=True))
        safe = np.where(total > 0, total, 1)
        return total, y_sum / safe, YX / safe[:, None]

    def evaluate(self, neurons: np.ndarray, W: np.ndarray, b: np.ndarray) -> Evaluation:
        """See the module. A point outside the loss's domain, or one that overflows, has loss +inf."""
        n = len(neurons)
        W = self.engine.pad(W.astype(self.engine.dtype))
        extra = np.full(len(W) - n, n - 1)
        neurons, b = (np.concatenate([a, a[extra]]) for a in (neurons, b))
        rows = slice(None) if n == len(self.Y) == len(neurons) else neurons
        closed_form = self.loss.closed_form_intercept and self.fit_intercept
        with np.errstate(all="ignore"):
            out = (self._poisson_exp if closed_form else self._general)(neurons, rows, W, b)
        bad = ~(np.isfinite(out.loss) & np.isfinite(out.grad).all(axis=1) & np.isfinite(out.b))
        out.loss[bad] = np.inf
        return out.take(slice(n))

    def _eta(self, W: np.ndarray, b: np.ndarray, first: int, last: int) -> np.ndarray:
        eta = W @ self.X[first:last].T
        eta += b[:, None]
        if self.offset is not None:
            eta += self.offset[first:last]
        return eta

    def _poisson_exp(self, neurons: np.ndarray, rows: Any, W: np.ndarray, b: np.ndarray) -> Evaluation:
        # One pass: with μ = exp(η + b) the best intercept is b + log κ, κ = ȳ/mean(μ), and every sum that is
        # needed there is κ times the one taken here; Σ y η is W·(Xᵀy), known without touching the samples.
        dtype = self.engine.dtype
        w, b_start = W.astype(dtype), b.astype(dtype)

        def part(chunks: list[tuple[int, int]]) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
            mu_sum, chi, MX, y_offset, some = (
                *(np.zeros(len(W)) for _ in range(2)),
                np.zeros(W.shape),
                np.zeros(len(W)),
                [],
            )
            for first, last in chunks:
                mu, y = self._eta(w, b_start, first, last), self.Y[rows, first:last]
                s = self._chunk(self.weights, rows, first, last)
                np.exp(mu, out=mu)
                some.append(mu[:, :: self.every].copy())
                ratio = y * y
                ratio /= mu
                if s is not None:
                    mu *= s
                    ratio *= s
                chi += ratio.sum(axis=1)
                mu_sum += mu.sum(axis=1)
                MX += mu @ self.X[first:last]
                if self.offset is not None:
                    y_offset += (y if s is None else y * s) @ self.offset[first:last]
            return mu_sum, chi, MX, y_offset, some

        *sums, some = zip(*self.engine.map(part, self._batches()), strict=True)
        mu_sum, chi, MX, y_offset = (sum(parts) for parts in sums)
        total, y_mean, YX = self.total[neurons], self.y_mean[neurons], self.YX[neurons]
        # the intercept in the engine's precision is the one that μ was computed with
        b_used = b_start.astype(float)
        kappa = y_mean / (mu_sum / total)
        b_best = b_used + np.log(kappa)
        loss = y_mean - np.einsum("ij,ij->i", w.astype(float), YX) - b_best * y_mean - y_offset / total
        grad = (kappa / total)[:, None] * MX - YX
        chi2 = chi / (kappa * total) - y_mean
        return Evaluation(loss, b_best, grad, y_mean.copy(), chi2, _spread(some), np.ones(len(W), bool))

    def _general(self, neurons: np.ndarray, rows: Any, W: np.ndarray, b: np.ndarray) -> Evaluation:
        xp, dtype = self.engine.xp, self.engine.dtype
        w = W.astype(dtype)
        parts = self.engine.map(lambda first, last: self._eta(w, np.zeros(len(w), dtype), first, last), self.chunks)
        eta = dict(zip(self.chunks, parts, strict=True))
        if self.fit_intercept:
            b = self._best_intercept(neurons, rows, eta, b)
        b32 = b.astype(dtype)

        def part(chunks: list[tuple[int, int]]) -> tuple[np.ndarray, ...]:
            loss, weight, chi, beyond, grad, some = *(np.zeros(len(W)) for _ in range(4)), np.zeros(W.shape), []
            for first, last in chunks:
                y, s = self.Y[rows, first:last], self._chunk(self.weights, rows, first, last)
                eta_b = eta[first, last] + b32[:, None]
                value = self.loss.value(xp, eta_b, y)
                r, h = self.loss.derivatives(xp, eta_b, y)
                pearson = r * r / xp.maximum(h, np.finfo(dtype).tiny)
                if s is not None:
                    # a sample of weight 0 may hold anything, an infinite loss too
                    value, r, h, pearson = (xp.where(s > 0, s * v, 0 * s) for v in (value, r, h, pearson))
                loss += value.sum(axis=1)
                weight += h.sum(axis=1)
                chi += pearson.sum(axis=1)
                if self.loss.barrier:
                    beyond += (eta_b <= 0).sum(axis=1)
                grad += r @ self.X[first:last]
                some.append(h[:, :: self.every])
            return loss, weight, chi, beyond, grad, some

        *sums, some = zip(*self.engine.map(part, self._batches()), strict=True)
        sums = [sum(parts) for parts in sums]
        loss, weight, chi, beyond, grad = (v / self.total[neurons].reshape(-1, *[1] * (v.ndim - 1)) for v in sums)
        return Evaluation(loss, b32.astype(float), grad, weight, chi, _spread(some), beyond == 0)

    def _best_intercept(self, neurons: np.ndarray, rows: Any, eta: dict, b: np.ndarray) -> np.ndarray:
        """1-D Newton on every neuron's intercept, kept inside the domain of the loss."""
        xp, dtype = self.engine.xp, self.engine.dtype
        b = b.copy()
        lowest = np.full(len(b), -np.inf)
        if self.loss.barrier:
            for (first, last), values in eta.items():
                events, s = self.Y[rows, first:last] > 0, self._chunk(self.weights, rows, first, last)
                smallest = np.where(events if s is None else events & (s > 0), values, np.inf).min(axis=1)
                lowest = np.maximum(lowest, -smallest.astype(float))
            scale = np.maximum(np.abs(lowest), self.y_mean[neurons])
            b = np.maximum(b, lowest + 1e-3 * scale)

        def part(chunks: list[tuple[int, int]]) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
            gradient, curvature, size = np.zeros(len(b)), np.zeros(len(b)), np.zeros(len(b))
            b_now = b.astype(dtype)[:, None]
            for first, last in chunks:
                r, h = self.loss.derivatives(xp, eta[first, last] + b_now, self.Y[rows, first:last])
                s = self._chunk(self.weights, rows, first, last)
                if s is not None:
                    r, h = xp.where(s > 0, s * r, 0 * s), xp.where(s > 0, s * h, 0 * s)
                gradient += r.sum(axis=1)
                curvature += h.sum(axis=1)
                size += xp.abs(r).sum(axis=1)
            return gradient, curvature, size

        for _ in range(50):
            gradient, curvature, size = (
                sum(parts) for parts in zip(*self.engine.map(part, self._batches()), strict=True)
            )
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
        pick = np.sort(rng.choice(self.rows, min(size, len(self.rows)), replace=False))
        dtype, x, y = self.engine.dtype, self.X[pick], self.Y[np.ix_(neurons, pick)]
        eta = W.astype(dtype) @ x.T + b.astype(dtype)[:, None]
        if self.offset is not None:
            eta += self.offset[pick]
        with np.errstate(all="ignore"):
            r, h = self.loss.derivatives(self.engine.xp, eta, y)
        s = np.ones(len(pick), dtype) if self.weights is None else self.weights[..., pick]
        s = np.broadcast_to(s if s.ndim == 1 else s[neurons], y.shape)
        total = np.maximum(s.sum(axis=1, dtype=float), np.finfo(float).tiny)
        r, h = np.where(s > 0, s * r, 0), np.where(s > 0, s * h, 0)
        curvature = h.sum(axis=1, dtype=float) / total
        if self.fit_intercept:
            # a tenth of the Newton step: the sample's own best intercept is noisy
            step = r.sum(axis=1, dtype=float) / total / np.maximum(curvature, 1e-12)
            b = b - 0.1 * np.clip(step, -2, 2)
        grad = np.asarray(r @ x, float) / total[:, None]
        zero = np.zeros(len(W))
        return Evaluation(zero, b, np.nan_to_num(grad), curvature, zero, zero, zero == 0)


def _spread(some: Iterable[list[np.ndarray]]) -> np.ndarray:
    """Mean of mean(h)/h over some rows; h: lists of (n_neurons, n_rows)."""
    h = np.concatenate([part for parts in some for part in parts], axis=1)
    mean = h.mean(axis=1, keepdims=True)
    return (mean / np.maximum(h + LEAST_WEIGHT * mean, np.finfo(h.dtype).tiny)).mean(axis=1, dtype=float)
