"""Loss, penalties and gradient of a population with weights of low rank, over the samples of one fit."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np

from popglm.engines.protocol import Engine
from popglm.solve.folds import Part
from popglm.solve.low_rank.columns import columns_of
from popglm.solve.low_rank.layout import Layout, Weights
from popglm.solve.low_rank.metric import Axes, Metric
from popglm.solve.low_rank.passes import Placed, gradient_sums, low_rank_sums, predictors, signal_sums
from popglm.solve.passes.samples import Samples, Shape, Window
from popglm.solve.passes.windows import Windows
from popglm.solve.prepared import center_of
from popglm.statistics.families import Family
from popglm.statistics.nuisance import estimate_parameters
from popglm.statistics.responses import ResponseSums

__all__ = ["Evaluated", "LowRankObjective"]


@dataclass
class Evaluated:
    """The objective at some weights.

    Attributes
    ----------
    losses : ndarray, shape (n_neurons,)
        Mean loss above the saturated model's.
    value : float
        Their sum, and the penalties.
    gradient : Weights
        Of `value`.
    curvature : ndarray, shape (n_neurons,)
        Mean Fisher weight.
    """

    losses: np.ndarray
    value: float
    gradient: Weights
    curvature: np.ndarray


class LowRankObjective:
    """Σ_j [mean loss of neuron j] + λ/2 (‖A‖² + ‖B‖²) + ridge/2 (‖free weights‖²).

    Parameters
    ----------
    engine, loss
    layout : Layout
    samples : Samples
    sums : ResponseSums
        Of the neurons, over these samples.
    fit_intercept : bool
    part : Part, optional
        Rows that count; all unless given. Weights of samples have the counts of its rows.

    Attributes
    ----------
    strength, ridge : float
        λ, and that of the free weights.
    parameters : ndarray, shape (n_neurons, n_parameters)
        Of the family.
    axes : Axes
        Of the columns, less their means where there is an intercept.
    """

    def __init__(
        self,
        engine: Engine,
        loss: Family,
        layout: Layout,
        samples: Samples,
        sums: ResponseSums,
        fit_intercept: bool,
        part: Part | None = None,
    ) -> None:
        self.engine, self.loss, self.layout, self.fit_intercept = engine, loss, layout, fit_intercept
        self.strength, self.ridge, self.samples, self.total = 0.0, 0.0, samples, sums.total
        self.parameters, self.sums = sums.parameters.copy(), sums
        X, Y = samples.X, samples.Y
        counts = None if part is None else part.counted(len(X))
        part = Part([(0, len(X))]) if part is None else part
        # what columns have in common is the intercept's; in float32 it would cost digits
        self.center = center_of(X, counts, fit_intercept)
        # activity far from 0 keeps its digits as a difference
        self.shift = sums.intercept if loss.is_least_squares and fit_intercept else np.zeros(len(Y))
        Y = np.subtract(Y, self.shift[:, None], out=np.empty(Y.shape, engine.dtype), casting="same_kind")
        weights = None if samples.weights is None else samples.weights.astype(engine.dtype)
        offset = None if samples.offset is None else samples.offset.astype(engine.dtype)
        self.columns = columns_of(engine, layout, X, self.center, part)
        self.windows = Windows(engine, Samples(self.columns.X, Y, weights, offset), [part.ranges])
        n_rows = self.windows.n_rows if part.counts is None else int(part.counts.sum())
        self.axes = Axes.of(layout, self.columns.moments, n_rows)

    @property
    def scale(self) -> float:
        """Σ of the null models' mean losses, above the saturated ones': the unit of gaps."""
        return max(float(self.sums.null.sum()), np.finfo(float).tiny)

    def start(self) -> Weights:
        """No weights, and the intercepts of the null models."""
        return self.layout.empty(self.sums.intercept - self.shift)

    def intercepts(self, weights: Weights, coef: np.ndarray) -> np.ndarray:
        """Intercepts beside the columns as they were given."""
        return weights.b + self.shift - coef @ self.center

    def _placed(self, weights: Weights) -> Placed:
        """Weights as passes take them, in the engine's library."""
        place = self.engine.asarray
        free = self.columns.free(weights, self.layout.gathered_weights(weights))
        common, gathered = (None if own is None else place(own) for own in free)
        # products of no columns are not in every library
        A, B = (own if weights.rank else np.zeros((len(own), 1)) for own in (weights.A, weights.B))
        theta = place(self.parameters) if self.loss.parameters else None
        return Placed(place(self.columns.low(A)), place(B), common, gathered, place(weights.b), theta)

    def _add_up(self, function: Any, weights: Placed, more: Any) -> list[np.ndarray]:
        """Sums of a pass over all windows."""
        m = len(self.layout.low)

        def window(k: int) -> dict[int, tuple[Any, ...]]:
            shape, read = self.windows.read(k)
            return {0: self.engine.compile(function, shape, self.loss, m)(read, self.columns.own, weights, more)}

        sums = self.windows.add_up(window)
        return sums[0]

    def evaluate(self, weights: Weights) -> Evaluated:
        """Value and gradient at some weights, in one pass over the samples."""
        total, layout = self.total, self.layout
        found = self._add_up(low_rank_sums, self._placed(weights), self.engine.asarray(1 / total))
        losses, slope, curvature = (own / total for own in found[:3])
        if self.loss.has_exp_sums:
            losses = losses - self.sums.saturated
        gA = self.columns.of_low(found[3]) if weights.rank else weights.A
        gB = found[4] / total[:, None] if weights.rank else weights.B
        common, own = (part / total[:, None] for part in self.columns.of_free(found[5:], weights))
        if len(layout.minus[0]):
            neuron, place, row = layout.minus
            pull = own[neuron, place][:, None]
            np.subtract.at(gA, row, pull * weights.B[neuron])
            np.subtract.at(gB, neuron, pull * weights.A[row])
        lam, ridge = self.strength, self.ridge
        gradient = Weights(
            gA + lam * weights.A,
            gB + lam * weights.B,
            np.where(layout.common_open, common + ridge * weights.common, 0.0),
            np.where(layout.own_open, own + ridge * weights.own, 0.0),
            slope if self.fit_intercept else np.zeros_like(slope),
        )
        return Evaluated(losses, float(losses.sum()) + self.penalty(weights), gradient, curvature)

    def penalty(self, weights: Weights) -> float:
        """All penalties at some weights."""
        factors = (weights.A**2).sum() + (weights.B**2).sum()
        return self.strength / 2 * float(factors) + self.ridge_part(weights)

    def ridge_part(self, weights: Weights) -> float:
        """The penalty of free weights."""
        return self.ridge / 2 * float((weights.common**2).sum() + (weights.own**2).sum())

    def forces(self, weights: Weights) -> tuple[np.ndarray, np.ndarray]:
        """Gradient of the loss in each weight of the low-rank part, 0 where it is closed; and mean r²/h of neurons.

        Shapes (n_low, n_neurons) and (n_neurons,).
        """
        tiny = self.engine.asarray(np.array(np.finfo(np.float32).tiny))
        found, chi = self._add_up(gradient_sums, self._placed(weights), tiny)
        return np.where(self.layout.closed, 0.0, self.columns.of_low(found) / self.total), chi / self.total

    def variances(self, A: np.ndarray) -> np.ndarray:
        """Mean squares of latent signals XA, shape (rank,)."""
        place, m = self.engine.asarray, len(self.layout.low)
        A = place(self.columns.low(A))

        def window(k: int) -> dict[int, tuple[Any, ...]]:
            shape, read = self.windows.read(k)
            return {0: self.engine.compile(signal_sums, shape, m)(read, A)}

        return self.windows.add_up(window)[0][0] / self.windows.n_rows

    def metric(self, weights: Weights, found: Evaluated) -> Metric:
        """Variables for a descent from some weights."""
        latent = self.variances(weights.A) if weights.rank else np.zeros(0)
        return Metric(self.axes, self.layout, weights, found.curvature, latent, self.strength, self.ridge)

    def renew_parameters(self, weights: Weights) -> float:
        """Estimate the family's parameters beside some weights; returns the largest relative change."""
        placed, m = self._placed(weights), len(self.layout.low)
        Y, s, shift = self.samples.Y, self.samples.weights, self.shift[:, None]

        def eta(k: int) -> np.ndarray:
            shape, read = self.windows.read(k)
            found = self.engine.compile(_predictors_alone, shape, m)(read, self.columns.own, placed)
            return np.asarray(self.engine.to_numpy(found), float)[:, self.windows.counted(k)]

        etas = self.windows.map(eta)

        def samples(some: np.ndarray) -> Iterator[tuple[np.ndarray, np.ndarray, np.ndarray]]:
            for (first, last), found in zip(self.windows.chunks, etas, strict=True):
                y = Y[some, first:last].astype(float)
                own = np.ones(last - first) if s is None else (s if s.ndim == 1 else s[some])[..., first:last]
                yield y, np.broadcast_to(own, y.shape).astype(float), found[some] + shift[some]

        found = estimate_parameters(self.loss, samples, self.parameters, None)
        found = np.where(np.isfinite(found), found, self.parameters)
        change = np.abs(found - self.parameters) / np.maximum(np.maximum(np.abs(found), np.abs(self.parameters)), 1e-12)
        self.parameters = found
        return float(change.max(initial=0))


def _predictors_alone(shape: Shape, m: int, window: Window, own: Any, weights: Placed) -> Any:
    return predictors(shape, m, window, own, weights)[0]
