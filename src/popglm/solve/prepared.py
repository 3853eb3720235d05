"""Rows in the order of their folds, centred and in working units, and the sums over X that all neurons share."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from popglm.solve.folds import Folds, order_by_fold
from popglm.solve.passes.samples import FitData
from popglm.solve.passes.sums import SOME_ROWS, FeatureSums, feature_sums, gram_precision
from popglm.solve.remote.rows import RemoteRows
from popglm.solve.settings import Settings
from popglm.solve.sparse.rows import SparseRows
from popglm.solve.stream import RowStream, read_rows
from popglm.statistics.penalties import Penalty

#: Of curvatures, which divide.
TINY = np.finfo(float).tiny

__all__ = ["SHORT_RANGE", "Prepared", "center_of", "centred_copy", "is_sorted", "prepared"]

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
    if isinstance(X, np.ndarray) and _is_rounding(center, X):
        center[:] = 0
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
    elif column_unit is None and not center.any() and is_sorted(order) and _is_as_held(X, engine.dtype):
        # its columns are centred already
        work = X
    else:
        work = centred_copy(X, order, center, engine.dtype, column_unit)
    precision = gram_precision(engine, work, _least_ridge(settings, Y, len(center)))
    features, held = feature_sums(engine, work, weights, folds, penalty.free, precision)
    if features[0].is_diagonal and settings.lambdas is None and penalty.l1_ratio < 1:
        features[0] = replace(features[0], largest=work.largest_variance(weights, penalty.free))
    missing = np.isnan(Y.T if is_sorted(order) else Y.T[:, order])
    if not missing.any() and own_weights is None:
        # one number for all
        missing = np.broadcast_to(np.False_, missing.shape)
    if own_weights is not None:
        own_weights = own_weights.T[:, order] / weight_unit
        missing |= own_weights == 0
    return Prepared(
        work, folds, order, weights, own_weights, offset, missing, center, column_unit, weight_unit, level, features,
        held, settings,
    )  # fmt: skip


def is_sorted(order: np.ndarray) -> bool:
    """Whether rows in this order stay where they are."""
    return bool((order[:-1] < order[1:]).all())


def _is_as_held(X: np.ndarray, dtype: Any) -> bool:
    """Whether passes may work on an array as it is, in any library."""
    return X.dtype == dtype and X.flags.c_contiguous and X.flags.aligned and X.flags.writeable


def _is_rounding(center: np.ndarray, X: np.ndarray) -> bool:
    """Whether what would be taken from the columns is below the rounding of their numbers."""
    if X.dtype.kind != "f":
        return False
    square = np.square(X[:: max(len(X) // SOME_ROWS, 1)], dtype=float).mean(axis=0)
    return bool((np.abs(center) <= np.finfo(X.dtype).eps * np.sqrt(square)).all())


def _least_ridge(settings: Settings, Y: np.ndarray, n_features: int) -> float:
    """The least of λ₂/c at the null models; 0 where steps do not go by (cG + λ₂I)⁻¹ alone."""
    loss, known = settings.loss, np.isfinite(Y)
    by_gram = loss.is_least_squares or loss.parameters or settings.first_order is not None
    if settings.lambdas is None or by_gram or not settings.inverts(n_features):
        return 0.0
    n = known.sum(axis=0)
    mean = np.where(known, Y, 0).sum(axis=0, dtype=float) / np.maximum(n, 1)
    _, c = loss.derivatives(np, loss.start_intercept(mean, n), mean)
    return float(np.min(settings.penalty.ridge_strength(settings.lambdas.min(axis=0)) / np.maximum(c, TINY)))


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
    for a in range(0, len(X), 256):
        own = work[a : a + 256]
        # the difference in float64: a column with a large mean keeps its digits
        rows = X[order[a : a + 256]]
        if unit is None and rows.dtype.kind == "f":
            # piece by piece in the cache of a core
            np.subtract(rows, center, out=own, casting="same_kind")
        else:
            own[:] = (rows - center) / (1.0 if unit is None else unit)
    return work
