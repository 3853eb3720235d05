"""Significance by refits: every surrogate goes through the folds and strengths that the activity went through."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np

from popglm.estimators import GLMCV
from popglm.estimators.deviance_loss import deviance_loss
from popglm.explain.contributions import Predictor
from popglm.explain.local import LocalModel, thinned
from popglm.explain.moments import moments
from popglm.explain.surrogates import CircularShifts, TrialPermutations, TrialSigns
from popglm.statistics.penalties import Penalty
from popglm.statistics.responses import response_sums
from popglm.statistics.sparse_groups import SPARSE_GROUPS, SparseGroupPenalty

__all__ = ["EXCEEDANCES", "TIE", "LocalTest", "penalty_of_columns", "sequential_p_values", "stages"]

#: A neuron's surrogates end once as many of them did at least as well.
EXCEEDANCES = 10
#: Surrogates that are fitted at once, at most: their weights stay in the cache.
COLUMNS = 512
#: Numbers (samples × surrogates) that are held at once: 64 MB.
BLOCK = 2**23
#: Fractions of variance this close are equal: rounding must not break a tie.
TIE = 1e-9

Surrogates = CircularShifts | TrialPermutations | TrialSigns


@dataclass(eq=False)
class LocalTest:
    """Tests of a model's columns by its local refits.

    Attributes
    ----------
    model : GLMCV
    X : ndarray, shape (n_samples, n_features)
        The rows that folds hold out, in order of time; so the others.
    y : ndarray, shape (n_samples, n_neurons)
        0 where it is not known.
    known : ndarray of bool, shape (n_samples, n_neurons)
    weight, offset : ndarray, shape (n_samples,), or None
    splits : list of (train, test)
    predictor : Predictor
        Of these rows.
    """

    model: GLMCV
    X: np.ndarray
    y: np.ndarray
    known: np.ndarray
    weight: np.ndarray | None
    offset: np.ndarray | None
    splits: list[tuple[np.ndarray, np.ndarray]]
    predictor: Predictor

    def __post_init__(self) -> None:
        loss = deviance_loss(self.model)
        s = self.known if self.weight is None else self.known * self.weight[:, None]
        self.weights = s.astype(float)
        sums = response_sums(loss, self.y.T, self.weights.T, [(0, len(self.y))], self.offset)
        level = sums.intercept if self.model.fit_intercept else np.zeros(len(sums.mean))
        self.eta = np.broadcast_to(level, self.y.shape).copy()
        if self.offset is not None:
            self.eta += self.offset[:, None]
        _, curvature = loss.derivatives(np, self.eta, self.y)
        # of a null model whose rate is 0 nothing can be learned
        mean = curvature.mean(axis=0)
        self.curvature = np.where(np.isfinite(mean) & (mean > 0), mean, 1.0)
        slope = loss.link.slope(np, self.eta).mean(axis=0)
        self.slope = np.where(np.isfinite(slope) & (slope > 0), slope, 1.0)

    def of_all(self, surrogates: Surrogates, skip: np.ndarray) -> tuple[np.ndarray, ...]:
        """The whole model: statistic (n_neurons,), its surrogates (n_draws, n_neurons), p-values (n_neurons,)."""
        mean, deviation = self._null_moments()
        return self._run(self.X, self.model_penalty(None), mean, deviation, surrogates, skip)

    def of_columns(
        self, own: np.ndarray, alone: np.ndarray, surrogates: Surrogates, skip: np.ndarray
    ) -> tuple[np.ndarray, ...]:
        """Some columns beside the others, the same; ``alone``: what the others leave of them."""
        mean, deviation = self.moments_without(own, alone)
        return self._run(alone, self.model_penalty(own), mean, deviation, surrogates, skip)

    def _null_moments(self) -> tuple[np.ndarray, np.ndarray]:
        """Mean and relative standard deviation of the null model, (n_samples, n_neurons)."""
        with np.errstate(over="ignore"):
            mean = self.model.loss_.link.mean(np, self.eta)
        if self.offset is None:
            return mean, np.ones_like(mean)
        variance = deviance_loss(self.model).variance(mean)
        return mean, np.sqrt(np.maximum(variance, np.finfo(float).tiny))

    def moments_without(self, own: np.ndarray, alone: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Mean, without what only the columns can say, and standard deviation of the activity around it."""
        q = self.y.shape[1]
        own_part = Predictor(alone, None, self.predictor.restricted(own).parts).part(slice(None), np.arange(q))
        eta = self.predictor.eta(np.arange(q)) - own_part
        pairs = [moments(self.model, eta[:, j], self.y[:, j], self.weights[:, j]) for j in range(q)]
        mean, deviation = (np.stack(parts, axis=1) for parts in zip(*pairs, strict=True))
        return mean, deviation

    def residuals(self, own: np.ndarray | None = None, alone: np.ndarray | None = None) -> np.ndarray:
        """What is shifted or exchanged, (n_samples, n_neurons)."""
        mean, deviation = self._null_moments() if own is None or alone is None else self.moments_without(own, alone)
        return np.where(self.known, (self.y - mean) / deviation, 0.0)

    def model_penalty(self, own: np.ndarray | None) -> Penalty:
        """The model's penalty, on some columns."""
        # the local problem is that of working responses, in units of the mean curvature
        smoothness = self.model.smoothness / float(np.median(self.curvature))
        return penalty_of_columns(self.model, own, smoothness, self.model.penalty_factors_)

    def _run(self, X, penalty, mean, deviation, surrogates: Surrogates, skip) -> tuple[np.ndarray, ...]:
        """Statistic, surrogates' statistics and p-values of all neurons; those to ``skip`` have a p-value of 1."""
        q, n_draws = self.y.shape[1], len(surrogates)
        local = LocalModel(X, self.splits, self.weight, penalty, bool(self.model.fit_intercept))
        grid = self.model.lambda_path_
        # no selection by a null model, which needs no fit
        grid = grid[np.isfinite(grid).all(axis=1)]
        grid = grid[thinned(len(grid))]
        tested = np.flatnonzero(~skip)
        residuals = np.where(self.known, (self.y - mean) / deviation, 0.0)
        if isinstance(surrogates, TrialSigns):
            residuals = np.where(self.known, surrogates.without_slow(residuals, X), 0.0)
        statistic, null = np.full(q, np.nan), np.full((n_draws, q), np.nan)

        def score(neurons: np.ndarray, draws: slice | None) -> np.ndarray:
            """Statistics of some neurons, or of their surrogates, shape (n_draws, n_neurons)."""
            values, known = [], []
            complete = self.known[:, neurons].all()
            for j in neurons:
                own, there, order = residuals[:, j], self.known[:, j], local.order
                drawn = own[None, order] if draws is None else surrogates.apply(own, j, draws, order)
                values.append(drawn * (deviation[order, j] / self.slope[j]))
                if not complete:
                    known.append(there[None, order] if draws is None else surrogates.known(there, j, draws, order))
            each = len(values[0])
            lam = np.repeat(grid[:, neurons] / self.curvature[neurons], each, axis=1)
            found = local.explained(np.concatenate(values), lam, None if complete else np.concatenate(known))
            return found.reshape(len(neurons), each).T

        def batches(neurons: np.ndarray, each: int) -> list[np.ndarray]:
            most = max(1, min(COLUMNS, BLOCK // len(X)) // each)
            return [neurons[a : a + most] for a in range(0, len(neurons), most)]

        for neurons in batches(tested, 1):
            statistic[neurons] = score(neurons, None)[0]
        for draws in stages(n_draws, max(1, min(COLUMNS, BLOCK // len(X)))):
            enough = (null >= statistic - TIE).sum(axis=0) >= EXCEEDANCES
            going = tested if surrogates.complete else tested[~enough[tested]]
            for neurons in batches(going, draws.stop - draws.start):
                null[draws, neurons] = score(neurons, draws)
        p = np.where(skip, 1.0, sequential_p_values(statistic, null, surrogates.complete))
        return statistic, null, p


def penalty_of_columns(model: Any, own: np.ndarray | None, smoothness: float, factors: np.ndarray | None) -> Penalty:
    """A model's penalty on some columns, or on all of them.

    Parameters
    ----------
    own : ndarray of int, or None
        The columns, in ascending order.
    factors : ndarray, shape (n_groups,), or None
    """
    sizes, shapes = np.asarray(model.feature_group_sizes_), model.feature_shapes_
    if own is not None:
        of_column = np.repeat(np.arange(len(sizes)), sizes)[own]
        sizes = np.bincount(of_column, minlength=len(sizes))
        factors = None if factors is None else factors[sizes > 0]
        shapes = None if shapes is None else [shapes[g] for g in np.flatnonzero(sizes)]
        sizes = sizes[sizes > 0]
    if model.penalty == SPARSE_GROUPS:
        return SparseGroupPenalty.of_share(model.l1_ratio, sizes, factors, shapes)
    return Penalty.make(model.penalty, model.l1_ratio, smoothness, sizes, factors, shapes=shapes)


def stages(n_draws: int, most: int) -> Iterator[slice]:
    """Draws between two looks at which neurons have had enough: more and more, ``most`` at most.

    Examples
    --------
    >>> [draws.stop for draws in stages(100, 32)]
    [10, 30, 62, 94, 100]
    """
    first, size = 0, EXCEEDANCES
    while first < n_draws:
        last = min(first + min(size, most), n_draws)
        yield slice(first, last)
        first, size = last, 2 * size


def sequential_p_values(statistic: np.ndarray, null: np.ndarray, complete: bool = False) -> np.ndarray:
    """p-values from surrogates that end once `EXCEEDANCES` of them did at least as well (Besag & Clifford 1991).

    Parameters
    ----------
    statistic : ndarray, shape (n_neurons,)
        NaN for a neuron that is not tested.
    null : ndarray, shape (n_draws, n_neurons)
        NaN where a surrogate was not needed, which is from some row on.
    complete : bool
        The draws are all that there are, and none was left out.

    Returns
    -------
    ndarray, shape (n_neurons,)
        `EXCEEDANCES` over the draws until as many were reached; (1 + exceedances) / (1 + draws) where they were not, or
        with ``complete``.

    Examples
    --------
    >>> sequential_p_values(np.array([0.5]), np.array([[0.1], [0.7], [0.2], [0.4]]))
    array([0.4])
    """
    count = np.cumsum(np.where(np.isnan(null), False, null >= statistic - TIE), axis=0)
    p = (1 + count[-1]) / (1 + (~np.isnan(null)).sum(axis=0))
    reached = count >= EXCEEDANCES
    early = reached[-1] & (not complete)
    p = np.where(early, EXCEEDANCES / (1 + reached.argmax(axis=0)), p)
    return np.where(np.isnan(statistic), 1.0, p)
