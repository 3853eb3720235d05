"""Fits of all neurons over ranks and strengths, to some rows."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np

from popglm.engines.protocol import Engine
from popglm.solve.folds import Part, order_by_fold
from popglm.solve.low_rank.descent import Fitted, fit_rank, leading
from popglm.solve.low_rank.layout import Layout
from popglm.solve.low_rank.objective import LowRankObjective
from popglm.solve.passes.coordinates import product64
from popglm.solve.passes.samples import Samples
from popglm.solve.prepared import SHORT_RANGE
from popglm.solve.snapshot import UNKEPT, Checkpoint, State, inside, under
from popglm.solve.sparse.rows import SparseRows, parts_of, some_rows
from popglm.solve.stream import RowStream
from popglm.statistics.families import Family
from popglm.statistics.responses import response_sums

__all__ = ["Data", "LowRankFit", "LowRankFits", "Settings", "held_out_deviances"]


class Data(NamedTuple):
    """What is fitted.

    Attributes
    ----------
    X : ndarray, RowStream or SparseRows, shape (n_samples, n_features)
    Y : ndarray, shape (n_samples, n_neurons)
        NaN where a neuron was not recorded.
    weights : ndarray, shape (n_samples,) or (n_samples, n_neurons), or None
    offset : ndarray, shape (n_samples,), or None
    part : Part, optional
        Rows that count; all unless given.
    """

    X: Any
    Y: np.ndarray
    weights: np.ndarray | None
    offset: np.ndarray | None
    part: Part | None = None

    def rows(self, rows: np.ndarray, engine: Engine) -> Data:
        """Some rows: copied, but those of an X on disk are told to count alone."""
        if isinstance(self.X, RowStream) and not isinstance(self.X, SparseRows):
            shortest = max(SHORT_RANGE, (engine.window or 0) // 2)
            return self._replace(part=order_by_fold(len(self.X), [(rows, rows)], shortest)[1].train[0])
        weights, offset = (None if own is None else own[rows] for own in (self.weights, self.offset))
        return Data(some_rows(self.X, rows), self.Y[rows], weights, offset)


@dataclass(frozen=True)
class Settings:
    """What to minimise, and how far."""

    fit_intercept: bool
    tol: float
    max_iter: int
    detours: int


@dataclass(frozen=True)
class LowRankFit:
    """One fit, in the columns of X and for all neurons.

    Attributes
    ----------
    coef : ndarray, shape (n_neurons, n_features)
        With the digits of the engine's type.
    intercept : ndarray, shape (n_neurons,)
    A, B : ndarray, shape (n_low, rank) and (n_neurons, rank)
        Factors of the low-rank part.
    parameters : ndarray, shape (n_neurons, n_parameters)
    losses : ndarray, shape (n_neurons,)
        Mean loss above the saturated model's; NaN for neurons without a fit.
    found : Fitted
        Of the neurons that could be fitted.
    """

    coef: np.ndarray
    intercept: np.ndarray
    A: np.ndarray
    B: np.ndarray
    parameters: np.ndarray
    losses: np.ndarray
    found: Fitted

    def state(self) -> State:
        """All of it as arrays, not copied."""
        return {name: getattr(self, name) for name in _ARRAYS} | under("found", self.found.state())

    @classmethod
    def of(cls, state: State) -> LowRankFit:
        """The one that handed out a state."""
        return cls(**{name: state[name] for name in _ARRAYS}, found=Fitted.of(inside("found", state)))


#: Of `LowRankFit`.
_ARRAYS = ("coef", "intercept", "A", "B", "parameters", "losses")


class LowRankFits:
    """Fits to some samples. `close` lets go of what they hold of an X on disk.

    Parameters
    ----------
    engine, loss
    layout : Layout
        Of all neurons.
    data : Data
    null : (intercept, parameters)
        Of the null models of all neurons, which those have that cannot be fitted.
    settings : Settings

    Attributes
    ----------
    fittable : ndarray of bool, shape (n_neurons,)
    """

    def __init__(
        self,
        engine: Engine,
        loss: Family,
        layout: Layout,
        data: Data,
        null: tuple[np.ndarray, np.ndarray],
        settings: Settings,
    ) -> None:
        X, Y, weights, offset, part = data
        self.loss, self.layout, self.null, self.settings = loss, layout, null, settings
        known = ~np.isnan(Y)
        # activity may be as large as what is held of X: no copy without need
        y, s = Y.T if known.all() else np.where(known, Y, 0.0).T, None
        if weights is not None or not known.all():
            s = (known * (1.0 if weights is None else weights if weights.ndim == 2 else weights[:, None])).T
            if known.all() and weights is not None and weights.ndim == 1:
                s = weights
        s = s if part is None else part.weighted(s)
        sums = response_sums(loss, y, s, [(0, len(X))] if part is None else part.ranges, offset)
        self.fittable = sums.fittable(loss)
        some = np.flatnonzero(self.fittable)
        self.objective = None
        if len(some):
            own = s if s is None or s.ndim == 1 else s[some]
            samples = Samples(X, y if self.fittable.all() else y[some], own, offset)
            self.objective = LowRankObjective(
                engine, loss, layout.take(some), samples, sums.take(some), settings.fit_intercept, part
            )
        self.sums = sums

    def close(self) -> None:
        """Let go of what was read from disk."""
        if self.objective is not None:
            self.objective.columns.close()

    def largest_strength(self, ridge: float) -> float:
        """The strength from which on there is no weight of low rank."""
        if self.objective is None:
            return 0.0
        self.objective.ridge = ridge
        weights = self._walked([0], np.array([1.0]))[0, 0].weights
        return float(leading(self.objective.forces(weights)[0], 1)[1][0])

    def walk(
        self, ranks: list[int], strengths: np.ndarray, ridge: float, kept: Checkpoint = UNKEPT
    ) -> dict[tuple[int, int], LowRankFit]:
        """Fits at all ranks (ascending) and strengths (descending), by the numbers of both."""
        if self.objective is None:
            return {(i, k): self._nothing() for i in range(len(ranks)) for k in range(len(strengths))}
        self.objective.ridge, self.objective.parameters = ridge, self.objective.sums.parameters.copy()
        return {at: self._whole(found) for at, found in self._walked(ranks, strengths, kept).items()}

    def _walked(
        self, ranks: list[int], strengths: np.ndarray, kept: Checkpoint = UNKEPT
    ) -> dict[tuple[int, int], Fitted]:
        objective, settings = self.objective, self.settings
        assert objective is not None
        fits: dict[tuple[int, int], Fitted] = {}
        first = objective.parameters.copy()
        for k, strength in enumerate(strengths):
            objective.strength = float(strength)
            for i, rank in enumerate(ranks):
                smaller, before = fits.get((i - 1, k)), fits.get((i, k - 1))
                if smaller is not None and smaller.gap <= settings.tol:
                    # the minimum over all ranks
                    fits[i, k] = smaller
                    continue
                start, objective.parameters = objective.start(), first
                near = [one for one in (smaller, before) if one is not None]
                if near:
                    best = min(near, key=lambda one: objective.evaluate(one.weights).value)
                    start, objective.parameters = best.weights, best.parameters
                fits[i, k] = fit_rank(
                    objective, rank, start, settings.tol, settings.max_iter, settings.detours, kept.part(f"fit{i}_{k}")
                )
        return fits

    def _whole(self, found: Fitted) -> LowRankFit:
        """A fit with the neurons that could not be fitted, and in the user's columns."""
        assert self.objective is not None
        own, empty = self.objective.layout.coef(found.weights), self._nothing()
        # the intercept is that of weights as they are kept: beside a large mean the digits that are lost would show
        own = own.astype(self.objective.engine.dtype).astype(float)
        coef, B = empty.coef, np.zeros((len(empty.coef), found.weights.rank))
        coef[self.fittable], B[self.fittable] = own, found.weights.B
        empty.intercept[self.fittable] = self.objective.intercepts(found.weights, own)
        empty.parameters[self.fittable], empty.losses[self.fittable] = found.parameters, found.losses
        return LowRankFit(coef, empty.intercept, found.weights.A, B, empty.parameters, empty.losses, found)

    def _nothing(self) -> LowRankFit:
        """Null models."""
        intercept, parameters = self.null
        p, q = self.layout.free.shape
        none = Fitted(
            self.layout.take(np.zeros(0, int)).empty(np.zeros(0)), parameters[:0], np.zeros(0), 0.0, 0.0, 0.0, 0.0, 0
        )
        A, B = np.zeros((len(self.layout.low), 0)), np.zeros((q, 0))
        return LowRankFit(np.zeros((q, p)), intercept.copy(), A, B, parameters.copy(), np.full(q, np.nan), none)


def held_out_deviances(
    loss: Family, parameters: np.ndarray, fits: Sequence[LowRankFit], data: Data, rows: np.ndarray
) -> np.ndarray:
    """Deviance of every neuron in some rows, by each of some fits, shape (n_fits, n_neurons); NaN where none counts.

    ``parameters`` (n_neurons, n_parameters) are those at which deviances are taken.
    """
    X, Y, weights, offset, _ = data
    own, times = loss.of_neurons(parameters), np.bincount(rows, minlength=len(X))
    total, counted = np.zeros((len(fits), Y.shape[1])), np.zeros(Y.shape[1], bool)
    for first, last, block in parts_of(X):
        held = np.flatnonzero(times[first:last])
        at = first + held
        x, known = some_rows(block, held), ~np.isnan(Y[at])
        s: Any = known * times[at][:, None]
        s = s if weights is None else s * (weights[at] if weights.ndim == 2 else weights[at][:, None])
        counted |= (s > 0).any(axis=0)
        y, shift = np.where(known, Y[at], 0.0), 0.0 if offset is None else offset[at][:, None]
        for number, fit in enumerate(fits):
            unit = own.deviance(product64(x, fit.coef) + fit.intercept + shift, y)
            total[number] += np.where(s > 0, s * np.where(s > 0, unit, 0.0), 0.0).sum(axis=0)
    return np.where(counted, total, np.nan)
