"""Rows in the order of their folds, centred and in working units, and the sums over X that all neurons share."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from popglm.solve.folds import Folds, order_by_fold
from popglm.solve.remote.rows import RemoteRows
from popglm.solve.samples import FitData
from popglm.solve.settings import Settings
from popglm.solve.sparse.rows import SparseRows
from popglm.solve.stream import RowStream, read_rows
from popglm.solve.sums import FeatureSums, feature_sums
from popglm.statistics.penalties import Penalty

__all__ = ["SHORT_RANGE", "Prepared", "center_of", "centred_copy", "prepared"]

#: Row ranges on disk that are shorter on average are not worth a matrix product each.
SHORT_RANGE = 64


@dataclass(frozen=True)
class Prepared:
    """What the fits of all neurons have in common.

    Attributes
    ----------
    X : ndarray or rows
        Centred, in the order of the folds and in units of columns.
    folds : Folds
    order : ndarray of int, shape (n_samples,)
        Row of the user's at every place.
    weights, own_weights : ndarray, shape (n_samples,) and (n_neurons, n_samples), or None
        Of samples, over their unit; the second where neurons have weights of their own.
    offset : ndarray, shape (n_samples,), or None
        Less its mean, `level`.
    missing : ndarray of bool, shape (n_neurons, n_samples)
        Where a neuron was not recorded, or counts for nothing.
    center : ndarray, shape (n_features,)
        What was taken from every column, in the user's units.
    column_unit : ndarray, shape (n_features,), or None
    weight_unit, level : float
    features, held : list of FeatureSums
        Of every fit, and of the parts of a partition.
    settings : Settings
        Of the fits, with the penalty in units of columns.
    """

    X: Any
    folds: Folds
    order: np.ndarray
    weights: np.ndarray | None
    own_weights: np.ndarray | None
    offset: np.ndarray | None
    missing: np.ndarray
    center: np.ndarray
    column_unit: np.ndarray | None
    weight_unit: float
    level: float
    features: list[FeatureSums]
    held: Any
    settings: Settings

    @property
    def own_center(self) -> np.ndarray:
        """`center` in units of columns."""
        return self.center if self.column_unit is None else self.center / self.column_unit


def prepared(data: FitData, settings: Settings) -> Prepared:
    """Bring the rows in order, centre them, and add up what depends on X alone."""
    engine, X, Y, weights, offset, splits = data
    sparse, remote = isinstance(X, SparseRows), isinstance(X, RemoteRows)
    streamed = isinstance(X, RowStream) and not sparse
    edges = X.shares.edges if remote else None
    shortest = max(SHORT_RANGE, (engine.window or 0) // 2) if streamed else None
    order, folds = order_by_fold(len(X), splits, shortest, edges)
    weights, own_weights = _shared(weights)
    center = center_of(X, weights, settings.fit_intercept)
    penalty, column_unit = settings.penalty.evened(_variances(X, center, settings.penalty))
    settings = replace(settings, penalty=penalty)
    weight_unit, weights = _scaled(None if weights is None else np.asarray(weights, float)[order], settings)
    level, offset = _centred_offset(None if offset is None else np.asarray(offset, float)[order], weights, settings)
    if remote:
        work: Any = X.centred_for(engine, order, center, column_unit)
    elif sparse:
        work = X.centred_for(order, center, engine.dtype, column_unit)
    elif streamed:
        work = X.centred(center if settings.fit_intercept else None, engine.dtype, engine.n_workers, column_unit)
    else:
        work = centred_copy(X, order, center, engine.dtype, column_unit)
    features, held = feature_sums(engine, work, weights, folds, penalty.free)
    if features[0].XX.ndim == 1 and settings.lambdas is None and penalty.l1_ratio < 1:
        features[0] = replace(features[0], largest=work.largest_variance(weights, penalty.free))
    missing = np.isnan(Y.T[:, order])
    if own_weights is not None:
        own_weights = own_weights.T[:, order] / weight_unit
        missing |= own_weights == 0
    return Prepared(
        work, folds, order, weights, own_weights, offset, missing, center, column_unit, weight_unit, level, features,
        held, settings,
    )  # fmt: skip


def _shared(weights: np.ndarray | None) -> tuple[np.ndarray | None, np.ndarray | None]:
    """Weights of samples that neurons have on average, for what they share, and those of each where they differ."""
    if weights is None or weights.ndim == 1:
        return weights, None
    return weights.mean(axis=1), weights


def _scaled(weights: np.ndarray | None, settings: Settings) -> tuple[float, np.ndarray | None]:
    """A power of two, and weights over it, of about 1: only their ratios matter, unless they are numbers of trials."""
    if weights is None or settings.loss.has_trials:
        return 1.0, weights
    unit = float(np.exp2(np.round(np.log2(weights.mean()))))
    return unit, weights / unit


def _centred_offset(
    offset: np.ndarray | None, weights: np.ndarray | None, settings: Settings
) -> tuple[float, np.ndarray | None]:
    """The mean of the offset, and the offset less that: what all samples have is the intercept's."""
    if offset is None or not settings.fit_intercept:
        return 0.0, offset
    level = float(np.average(offset, weights=weights))
    return level, offset - level


def center_of(X: Any, weights: np.ndarray | None, fit_intercept: bool) -> np.ndarray:
    """What is taken from every column: its mean, or nothing where no intercept could make up for it."""
    if not fit_intercept:
        return np.zeros(X.shape[1])
    s = np.ones(len(X)) if weights is None else np.asarray(weights, float)
    if isinstance(X, RemoteRows | SparseRows):
        return X.weighted_sum(s) / s.sum()
    total = np.zeros(X.shape[1])
    for first, last, rows in read_rows(X):
        for a in range(0, last - first, 1024):
            # piecewise: this product is in float64, whatever the numbers of X, and would be twice the block
            total += s[first:last][a : a + 1024] @ rows[a : a + 1024]
    return total / s.sum()


def _variances(X: Any, center: np.ndarray, penalty: Penalty) -> np.ndarray:
    """Mean square of every column about ``center``, where columns that are never penalised need a unit; else 0."""
    total = np.zeros(X.shape[1])
    if penalty.free is None:
        return total
    if isinstance(X, RemoteRows | SparseRows):
        return X.square_sum(center) / len(X)
    for first, last, rows in read_rows(X):
        for a in range(0, last - first, 1024):
            total += np.square(rows[a : a + 1024] - center).sum(axis=0)
    return total / len(X)


def centred_copy(
    X: np.ndarray, order: np.ndarray, center: np.ndarray, dtype: Any, unit: np.ndarray | None
) -> np.ndarray:
    """The rows of X in ``order`` less ``center``, columns divided by ``unit`` (n_features,) unless that is None."""
    work = np.empty(X.shape, dtype)
    for a in range(0, len(X), 4096):
        # the difference in float64: a column with a large mean keeps its digits
        rows = X[order[a : a + 4096]] - center
        work[a : a + 4096] = rows if unit is None else rows / unit
    return work
