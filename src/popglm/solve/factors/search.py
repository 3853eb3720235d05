"""Penalty factors that predict held-out activity best, per neuron, among many candidates.

Ridges of complete Gaussian activity come from sums over the rows of folds, whatever the factors. Others are fitted: at
all candidates, or, for a ridge, at those that a quadratic approximation of the held-out deviance ranks first.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np

from popglm.solve.factors.own_factors import fit_neurons
from popglm.solve.factors.ridge_moments import FoldMoments
from popglm.solve.factors.working_responses import working_responses
from popglm.solve.folds import Folds, order_by_fold
from popglm.solve.passes.samples import FitData, Rows
from popglm.solve.passes.sums import FeatureSums, feature_sums, largest_eigenvalue
from popglm.solve.prepared import center_of, centred_copy
from popglm.solve.result import PopulationFit
from popglm.solve.settings import Settings
from popglm.statistics.selection import LEAST_GAIN, at_strengths, mean_and_error, select_strengths

__all__ = ["search_factors"]

#: Strengths at which a candidate is fitted, around the one that its approximation prefers.
STRENGTHS = 7


@dataclass
class FactorsFound:
    """What a search found of every candidate and neuron.

    Attributes
    ----------
    chosen : ndarray of int, shape (n_neurons,)
        The candidate of least deviance.
    deviance, strength : ndarray, shape (n_candidates, n_neurons)
        Mean held-out deviance at its best strength, and that strength; NaN where a candidate was not fitted.
    lambdas : ndarray, shape (n_lambdas, n_neurons)
        The strengths that were tried.
    """

    chosen: np.ndarray
    deviance: np.ndarray
    strength: np.ndarray
    lambdas: np.ndarray


def search_factors(
    data: FitData,
    settings: Settings,
    candidates: np.ndarray,
    n_fitted: int | None,
    min_lambda: float,
    on_candidate: Callable[[int, float], Any] | None = None,
    **how: Any,
) -> FactorsFound:
    """The candidate that predicts held-out activity best, for every neuron.

    Parameters
    ----------
    data : FitData
        X is an array.
    settings : Settings
        Without factors.
    candidates : ndarray, shape (n_candidates, n_blocks)
        Factors, above 0.
    n_fitted : int or None
        Candidates of a neuron that are fitted, where a ridge is not known from sums alone; None for all.
    min_lambda : float
        No smaller strength counts.
    on_candidate : callable, optional
        Called with the number of a candidate that is behind, and the share of the neurons that it is of.
    how : keywords
        ``shares`` and ``schedule`` of the fits.
    """
    search = _Search(data, replace(settings, ends=None), candidates, n_fitted, min_lambda, on_candidate, how)
    Y = data.Y
    exact = search.is_exact()
    lambdas = np.zeros((settings.n_lambdas if settings.lambdas is None else len(settings.lambdas), Y.shape[1]))
    if exact.any():
        lambdas[:, exact] = search.by_moments(np.flatnonzero(exact))
    if not exact.all():
        lambdas[:, ~exact] = search.by_fits(np.flatnonzero(~exact))
    deviance = search.deviance
    chosen = np.where(np.isnan(deviance), np.inf, deviance).argmin(axis=0)
    # less than that is rounding, or a neuron that no candidate explains
    some = np.flatnonzero(~np.isnan(deviance[0]))
    best = deviance[chosen[some], some]
    gains = deviance[0, some] - best > LEAST_GAIN * np.abs(deviance[0, some])
    chosen[some] = np.where(gains, chosen[some], 0)
    return FactorsFound(chosen, deviance, search.strength, lambdas)


@dataclass
class _Search:
    """The search of `search_factors`; see there."""

    data: FitData
    settings: Settings
    candidates: np.ndarray
    n_fitted: int | None
    min_lambda: float
    on_candidate: Callable[[int, float], Any] | None
    how: dict[str, Any]
    deviance: np.ndarray = field(init=False)
    strength: np.ndarray = field(init=False)
    order: np.ndarray = field(init=False)
    center: np.ndarray = field(init=False)

    def __post_init__(self) -> None:
        shape = len(self.candidates), self.data.Y.shape[1]
        self.deviance, self.strength = np.full(shape, np.nan), np.full(shape, np.nan)

    @property
    def is_ridge(self) -> bool:
        """Whether weights have a quadratic penalty alone."""
        return self.settings.penalty.l1_ratio == 0

    def is_exact(self) -> np.ndarray:
        """Neurons (n_neurons,) whose ridges follow from sums over rows that all of them share."""
        _, _, Y, weights, _, _ = self.data
        settings = self.settings
        if not (self.is_ridge and settings.loss.is_least_squares) or settings.first_order is not None:
            return np.zeros(Y.shape[1], bool)
        if weights is not None and weights.ndim == 2:
            return np.zeros(Y.shape[1], bool)
        return np.asarray(~np.isnan(Y).any(axis=0))

    def put(self, candidate: int, neurons: np.ndarray, deviance: np.ndarray, lambdas: np.ndarray) -> None:
        """Keep what a candidate is worth at its best strength; deviance (n_folds, n_lambdas, n_own)."""
        index = select_strengths(deviance, lambdas, 0.0, self.min_lambda)
        own = np.arange(len(neurons))
        self.deviance[candidate, neurons] = mean_and_error(deviance)[0][index, own]
        self.strength[candidate, neurons] = lambdas[index, own]

    def behind(self, candidate: int, n_neurons: int) -> None:
        """Tell of a candidate of so many neurons."""
        if self.on_candidate is not None:
            self.on_candidate(candidate, n_neurons / self.data.Y.shape[1])

    # Gaussian activity, complete

    def by_moments(self, neurons: np.ndarray) -> np.ndarray:
        """Try all candidates for some neurons; returns their strengths (n_lambdas, n_own)."""
        _, _, Y, _, offset, _ = self.data
        rows, folds, features, held = self._summed()
        y = Y.T[neurons] - (0 if offset is None else offset)
        rows = replace(rows, Y=np.ascontiguousarray(y[:, self.order], dtype=float))
        moments = [self._moments(rows, folds, features, held, fold) for fold in range(len(held))]
        given = self.settings.lambdas
        lambdas = self._strengths(features[0], len(neurons)) if given is None else given[:, neurons]
        for i, found in self._deviances(neurons, moments, lambdas):
            self.put(i, neurons, found, lambdas)
            self.behind(i, len(neurons))
        return lambdas

    def _deviances(self, neurons: np.ndarray, moments: list[FoldMoments], lambdas: np.ndarray) -> Iterator:
        """Number and held-out deviance (n_folds, n_lambdas, n_own) of every candidate."""
        engine, kinds = self.data.engine, self._kinds(neurons)
        parts = [(own, [one.of_neurons(own).closed(closed) for one in moments]) for own, closed in kinds]
        factors_of_columns = self.candidates[:, self.settings.penalty.block_of_column]
        for i, factors in enumerate(factors_of_columns):
            found = np.empty((len(moments), *lambdas.shape))
            for own, folded in parts:
                asked = [(one, factors, lambdas[:, own]) for one in folded]
                found[:, :, own] = engine.map(FoldMoments.deviances, asked)
            yield i, found

    def _summed(self) -> tuple[Rows, Folds, list[FeatureSums], list[FeatureSums]]:
        """X in the order of the folds, centred, and sums over the features of all fits and of all held-out rows."""
        engine, X, _, weights, _, splits = self.data
        weights = weights if weights is None or weights.ndim == 1 else weights.mean(axis=1)
        self.order, folds = order_by_fold(len(X), splits)
        self.center = center_of(X, weights, self.settings.fit_intercept)
        work = centred_copy(X, self.order, self.center, engine.dtype, None)
        own = None if weights is None else np.asarray(weights, float)[self.order]
        features, held = feature_sums(engine, work, own, folds)
        rows = Rows(work, np.zeros((0, len(X))), own, None, [(0, len(X))])
        if held is None:
            held = []
            for part in folds.test:
                tested = rows.part(part)
                held.append(FeatureSums.of(engine, tested.X, tested.weights, tested.ranges))
        return rows, folds, features, held

    def _moments(self, rows: Rows, folds: Folds, features: list, held: list, fold: int) -> FoldMoments:
        parts = rows.part(folds.train[fold]), rows.part(folds.test[fold])
        sums = features[1 + fold], held[fold]
        found = FoldMoments.of(self.data.engine, parts, sums, self.settings.fit_intercept)
        if (R := self.settings.penalty.R) is not None:
            found = replace(found, G=found.G + self.settings.penalty.smoothness * R)
        return found

    def _kinds(self, neurons: np.ndarray) -> list[tuple[np.ndarray, np.ndarray]]:
        """Positions of neurons that may have the same features, and the columns that they have no weight for."""
        if self.settings.allowed is None:
            return [(np.arange(len(neurons)), np.zeros(0, int))]
        masks, kind = np.unique(self.settings.allowed[:, neurons], axis=1, return_inverse=True)
        kind = kind.reshape(-1)
        return [(np.flatnonzero(kind == i), np.flatnonzero(~mask)) for i, mask in enumerate(masks.T)]

    def _strengths(self, features: FeatureSums, n_neurons: int) -> np.ndarray:
        """The grid of a plain ridge, whose curvature is 1."""
        largest = largest_eigenvalue(self.settings.covariance(features), None)
        top = self.settings.penalty.lambda_max(np.zeros((n_neurons, len(features.x))), np.full(n_neurons, largest))
        steps = self.settings.lambda_min_ratio ** np.linspace(0, 1, self.settings.n_lambdas)[:, None]
        return np.where(top > 0, top, 1.0) * 1.001 * steps

    # everything else

    def by_fits(self, neurons: np.ndarray) -> np.ndarray:
        """Fit candidates to some neurons, all or those that rank first; returns their strengths."""
        given = self.settings.lambdas
        plain = self._fit(neurons, None, None if given is None else given[:, neurons])
        lambdas, shape = plain.lambdas, (len(self.candidates), len(neurons))
        asked, first, n_strengths = np.ones(shape, bool), np.zeros(shape, int), len(plain.lambdas)
        if self.is_ridge and self.n_fitted is not None and self.n_fitted < len(self.candidates):
            n_strengths = min(STRENGTHS, len(lambdas))
            rank, best = self._ranked(neurons, plain)
            asked, first = rank < self.n_fitted, np.clip(best - n_strengths // 2, 0, len(lambdas) - n_strengths)
        for i, factors in enumerate(self.candidates):
            own = np.flatnonzero(asked[i])
            if np.allclose(factors, 1, rtol=1e-12, atol=0):
                # known by now, whatever its rank
                self.put(i, neurons, plain.cv_deviance, lambdas)
            elif len(own):
                grid = lambdas[first[i, own] + np.arange(n_strengths)[:, None], own]
                found = self._fit(neurons[own], factors, grid)
                self.put(i, neurons[own], found.cv_deviance, grid)
            self.behind(i, len(neurons))
        return lambdas

    def _fit(self, neurons: np.ndarray, factors: np.ndarray | None, lambdas: np.ndarray | None) -> PopulationFit:
        """Fits of the folds with the factors (n_blocks,), all 1 for None, at strengths (n_lambdas, n_own)."""
        allowed = self.settings.allowed
        settings = replace(
            self.settings,
            lambdas=lambdas,
            allowed=None if allowed is None else allowed[:, neurons],
            factors=None if factors is None else np.repeat(factors[:, None], len(neurons), axis=1),
        )
        return fit_neurons(self.data.of(neurons), settings, refit=False, **self.how)

    def _ranked(self, neurons: np.ndarray, plain: PopulationFit) -> tuple[np.ndarray, np.ndarray]:
        """Rank of every candidate by the approximation, 0 for the first, and its best strength, both (…, n_own)."""
        lambdas, shape = plain.lambdas, (len(self.candidates), len(neurons))
        index = select_strengths(plain.cv_deviance, lambdas, 0.0, self.min_lambda)
        rows, folds, features, held = self._summed()
        moments = [
            self._approximated(neurons, plain, index, (rows, folds, features, held), k) for k in range(len(held))
        ]
        value, best = np.full(shape, np.inf), np.zeros(shape, int)
        for i, found in self._deviances(neurons, moments, lambdas):
            best[i] = select_strengths(found, lambdas, 0.0, self.min_lambda)
            value[i] = at_strengths(mean_and_error(found)[0], best[i], np.inf)
        value[~np.isfinite(value)] = np.inf
        return value.argsort(axis=0, kind="stable").argsort(axis=0, kind="stable"), best

    def _approximated(
        self, neurons: np.ndarray, plain: PopulationFit, index: np.ndarray, sums: tuple[Any, ...], fold: int
    ) -> FoldMoments:
        """The moments of a fold's working responses, at its plain ridges of the strengths ``index`` (n_own,)."""
        engine, _, Y, weights, offset, _ = self.data
        (rows, folds, features, held), j = sums, np.arange(len(neurons))
        w, b = plain.cv_coef[fold][index, j].astype(float), plain.cv_intercept[fold][index, j]
        eta = engine.product(w.astype(engine.dtype), rows.X.T) + (b + w @ self.center)[:, None]
        if offset is not None:
            eta = eta + offset[self.order]
        y = Y.T[np.ix_(neurons, self.order)]
        own = (
            np.ones(y.shape)
            if weights is None
            else np.broadcast_to((weights[:, neurons].T if weights.ndim == 2 else weights)[..., self.order], y.shape)
        )
        shared = np.ones(len(rows.X)) if rows.weights is None else rows.weights
        counts = folds.train[fold].counted(len(shared)), folds.test[fold].counted(len(shared))
        found = working_responses(
            self.settings.loss, y, eta, np.where(np.isnan(y), 0, own), shared, counts,
            plain.cv_parameters[fold][index, j], plain.cv_deviance[fold][index, j],
        )  # fmt: skip
        z = found.z if offset is None else found.z - offset[self.order]
        moments = self._moments(replace(rows, Y=z), folds, features, held, fold)
        return replace(moments, curvature=found.curvature, scale=found.scale, level=found.level)
