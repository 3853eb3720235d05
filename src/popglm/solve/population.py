"""From arrays to a fitted population: working coordinates, folds as row ranges, the path of every cohort."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import replace
from functools import partial
from typing import Any

import numpy as np

from popglm.engines.protocol import Engine
from popglm.solve.cohorts import cohorts_of, unheld
from popglm.solve.folds import Folds, order_by_fold
from popglm.solve.grams import GramFits
from popglm.solve.remote.rows import RemoteRows
from popglm.solve.result import PopulationFit, merge
from popglm.solve.rows import RowFits, Rows
from popglm.solve.settings import Settings, reporter, strengths
from popglm.solve.snapshot import UNKEPT, Checkpoint, concluded
from popglm.solve.sparse.limits import check_sparse
from popglm.solve.sparse.rows import SparseRows
from popglm.solve.stream import RowStream, read_rows
from popglm.solve.sums import feature_sums
from popglm.solve.units import Units
from popglm.solve.varying import varying_columns
from popglm.statistics.penalties import Penalty

__all__ = ["PopulationFit", "Settings", "center_of", "centred_copy", "fit_population"]

#: Neurons of a cohort, its fits, and the units that these work in.
Fitted = tuple[np.ndarray, GramFits | RowFits, Units]
#: Row ranges on disk that are shorter on average are not worth a matrix product each.
SHORT_RANGE = 64


def fit_population(
    engine: Engine,
    X: Any,
    Y: np.ndarray,
    weights: np.ndarray | None,
    offset: np.ndarray | None,
    splits: list[tuple[np.ndarray, np.ndarray]],
    settings: Settings,
    refit: bool = True,
    on_strength: Callable[..., Any] | None = None,
    start: np.ndarray | None = None,
    shares: Sequence[Any] = (),
    schedule: str = "auto",
    checkpoint: Checkpoint = UNKEPT,
) -> PopulationFit:
    """Fit every neuron over all strengths, to all rows and to the training rows of every split.

    Parameters
    ----------
    X : ndarray or RowStream, shape (n_samples, n_features)
        A stream is read block by block in every pass, and never held whole; `RemoteRows` stay where they are, and
        `SparseRows` sparse.
    Y : ndarray, shape (n_samples, n_neurons)
        NaN where a neuron was not recorded.
    weights : ndarray, shape (n_samples,) or (n_samples, n_neurons), or None
    offset : ndarray, shape (n_samples,), or None
    splits : list of (train, test) row indices
    on_strength : callable, optional
        Called with the numbers of a strength and a split (-1 for all rows) that some neurons have behind them;
        ``share`` says which part of all they are, ``kept`` whether an earlier call did the work.
    start : ndarray, shape (n_fits, n_lambdas, n_neurons, n_features), optional
        Coefficients of a path that is near, of the fit to all rows (if ``refit``) and of every split; NaN at strengths
        where there are none, and at all later ones. A split keeps what they say along directions that its
        rows leave undetermined, so they may come from nothing that has met its held-out activity: not from a fit to all
        rows, nor from that of another split.
    shares : sequence of engine
        Engines on several devices, each of which takes a share of the neurons; ``engine`` does the rest.
    schedule : {"auto", "host", "device"}
        Where the weights lie: on the host, or on the device, one fit after the other; "auto" takes the second on an
        accelerator or several devices, unless X is a stream.
    checkpoint : Checkpoint
        Where the fit is kept while it goes on, and taken up again: of these very arguments.
    """
    began = time.perf_counter()
    if isinstance(X, RemoteRows):
        _check_remote(settings, schedule, shares)
    sparse = isinstance(X, SparseRows)
    if sparse:
        check_sparse(X, settings, engine, schedule, shares)
    n, q = len(X), Y.shape[1]
    streamed = isinstance(X, RowStream) and not sparse
    edges = X.shares.edges if isinstance(X, RemoteRows) else None
    shortest = max(SHORT_RANGE, (engine.window or 0) // 2) if streamed else None
    order, folds = order_by_fold(n, splits, shortest, edges)
    weights, own_weights = _shared(weights)
    center = center_of(X, weights, settings.fit_intercept)
    penalty, column_unit = settings.penalty.evened(_variances(X, center, settings.penalty))
    settings = replace(settings, penalty=penalty)
    weight_unit, weights = _scaled(None if weights is None else np.asarray(weights, float)[order], settings)
    level, offset = _centred_offset(None if offset is None else np.asarray(offset, float)[order], weights, settings)
    if isinstance(X, RemoteRows):
        work: Any = X.centred_for(engine, order, center, column_unit)
    elif isinstance(X, SparseRows):
        work = X.centred_for(order, center, engine.dtype, column_unit)
    elif streamed:
        work = X.centred(center if settings.fit_intercept else None, engine.dtype, engine.n_workers, column_unit)
    else:
        work = centred_copy(X, order, center, engine.dtype, column_unit)
    if column_unit is not None:
        start = None if start is None else start * column_unit
    own_center = center if column_unit is None else center / column_unit
    features, held = feature_sums(engine, work, weights, folds, penalty.free)
    if features[0].XX.ndim == 1 and settings.lambdas is None and penalty.l1_ratio < 1:
        features[0] = replace(features[0], largest=work.largest_variance(weights, penalty.free))
    seconds = {"prepare": time.perf_counter() - began}

    missing = np.isnan(Y.T[:, order])
    if own_weights is not None:
        own_weights = own_weights.T[:, order] / weight_unit
        missing |= own_weights == 0
    is_gaussian = settings.loss.is_least_squares
    # an offset of the mean itself is as good as taken from the activity
    in_response, offset = (offset, None) if is_gaussian else (None, offset)
    cohorts: list[Fitted] = []
    varying = varying_columns(X, missing, weights, order, folds, unheld(settings))
    for cohort in cohorts_of(settings, Y.T[:, order], missing, weights, folds, varying, own_weights is None):
        chosen = np.flatnonzero(cohort.wanted.any(axis=0))
        on_grams = is_gaussian and cohort.complete and settings.first_order is None and features[0].XX.ndim > 1
        dtype = float if on_grams else engine.dtype
        y = np.ascontiguousarray(Y.T[np.ix_(chosen, order)], dtype=float)
        np.nan_to_num(y, copy=False, nan=0.0)
        if in_response is not None:
            y -= in_response
        recorded = weights
        if own_weights is not None:
            recorded = np.where(missing[chosen], 0.0, own_weights[chosen])
        elif missing[chosen].any():
            recorded = np.where(missing[chosen], 0.0, 1.0 if weights is None else weights)
        far_off = cohort.far and not on_grams
        shift = _means(y, recorded, folds, int(cohort.wanted.any(axis=1).argmax())) if far_off else np.zeros(len(y))
        units = settings.loss.units(cohort.decade, shift, settings.penalty.l1_ratio > 0)
        if far_off:
            y -= shift[:, None]
        if cohort.decade:
            y /= units.size[:, None]
        own = settings.in_units(units).closing(cohort.closed)
        if not cohort.fractional:
            own = replace(own, loss=own.loss.of_events())
        if own.ends is not None:
            own = replace(own, ends=own.ends.of(chosen, units.loss * weight_unit))
        y = y.astype(dtype)
        recorded, plain, o = (None if a is None else a.astype(dtype) for a in (recorded, weights, offset))
        scored = Rows(work, y, recorded, o, [(0, n)])
        # in the rows of its fits a complete neuron has no other weights than the rows
        data = replace(scored, weights=plain) if cohort.complete else scored
        near = None if start is None else start[:, :, chosen] / units.weight[:, None]
        common: dict[str, Any] = {
            "engine": engine, "data": data, "scored": scored, "center": own_center, "features": features,
            "folds": folds, "settings": own, "wanted": cohort.wanted[:, chosen], "refit": refit,
            "on_strength": _of_cohort(on_strength, cohort.wanted), "start": near,
            "checkpoint": checkpoint.part(f"cohort{len(cohorts)}"),
        }  # fmt: skip
        fits: GramFits | RowFits
        if on_grams:
            fits = GramFits(partition_features=held, **common)
        else:
            fits = RowFits(shares=shares, schedule=schedule, **common)
        cohorts.append((chosen, fits, units))

    lambdas = _automatic_strengths(cohorts, settings.n_lambdas, q) if settings.lambdas is None else settings.lambdas
    result, bare = _fit_cohorts(cohorts, lambdas, level, weight_unit)
    if column_unit is not None:
        result.in_columns(column_unit, center)
    if bare is not None and (free := penalty.free) is not None:
        if column_unit is not None:
            bare.in_columns(column_unit[free], center[free])
        result.bare = bare.widened(free)
        _leave_out_unscored(bare, missing, weights, folds)
    # as they were given: a unit and back is not always the same number
    result.lambdas = lambdas
    for name, value in seconds.items():
        result.seconds[name] = result.seconds.get(name, 0.0) + value
    if streamed:
        work.close()
    _leave_out_unscored(result, missing, weights, folds)
    if settings.ends is not None:
        result.cut(settings.ends(result.cv_deviance))
    return result


def _of_cohort(on_strength: Callable[..., Any] | None, wanted: np.ndarray) -> Callable[..., Any] | None:
    """Tells of strengths of the neurons wanted in the fit to all rows and in each fold, bool (n_fits, n_neurons)."""
    if on_strength is None:
        return None
    return lambda k, fold, kept: on_strength(k, fold, kept=kept, share=wanted[fold + 1].mean())


def _skip(fits: GramFits | RowFits, n_lambdas: int) -> None:
    """Tell of all strengths of fits that an earlier call did."""
    for fold in range(-int(fits.refit), len(fits.wanted) - 1):
        if (report := reporter(fits.on_strength, 1, fold)) is not None:
            report(np.full(1, n_lambdas))


def _check_remote(settings: Settings, schedule: str, shares: Sequence[Any]) -> None:
    """Complain of what cannot be done where the rows are on workers."""
    if settings.first_order is not None:
        raise ValueError(
            "Rows on workers are not for solver='adam', 'sgd' or a FirstOrder, which draws rows at every step; use "
            "solver='auto', or X in this process."
        )
    if schedule == "device" or shares:
        raise ValueError(
            "Rows on workers need weights in this process; leave out schedule='device' and lists of devices, or give X "
            "in this process."
        )


def _automatic_strengths(cohorts: list[Fitted], n_lambdas: int, q: int) -> np.ndarray:
    """A grid for every neuron, shape (n_lambdas, n_neurons), from its fit to all rows."""
    lambdas = np.zeros((n_lambdas, q))
    for chosen, fits, units in cohorts:
        own = fits.wanted[0]
        if own.any():
            found = strengths(fits.settings, fits.fittable & own, fits.largest, fits.null)
            lambdas[:, chosen[own]] = (found * units.strength)[:, own]
    return lambdas


def _fit_cohorts(
    cohorts: list[Fitted], lambdas: np.ndarray, level: float, weight_unit: float
) -> tuple[PopulationFit, PopulationFit | None]:
    """The fits of all cohorts in one, and those of the columns that are never penalised, where there are any."""
    q = lambdas.shape[1]
    result: Any = None
    bare: PopulationFit | None = None
    for chosen, fits, units in cohorts:
        began = time.perf_counter()
        own = lambdas[:, chosen] / units.strength
        # after the last one the whole fit has ended, and is kept as that
        last = fits is cohorts[-1][1]
        skipped = partial(_skip, fits, len(own))
        part = fits.fit(own) if last else concluded(fits.checkpoint, PopulationFit, partial(fits.fit, own), skipped)
        powers = [own.power for own in fits.settings.loss.parameters]
        part.translate(units, level, weight_unit, powers)
        part.seconds["fit"] = time.perf_counter() - began
        result = part if fits.wanted.all() and len(chosen) == q else merge(result, part, chosen, fits.wanted, q)
        if fits.bare_fit is not None:
            fits.bare_fit.translate(units, level, weight_unit, powers)
            bare = merge(bare, fits.bare_fit, chosen, fits.wanted, q)
    return result, bare


def _leave_out_unscored(result: PopulationFit, missing: np.ndarray, weights: np.ndarray | None, folds: Folds) -> None:
    """Set held-out deviance to NaN where a fold holds out no sample of a neuron that has a weight."""
    for deviance, part in zip(result.cv_deviance, folds.test, strict=True):
        tested = part.counted(missing.shape[1]) * (1.0 if weights is None else weights) > 0
        scored = (~missing[:, tested]).any(axis=1)
        deviance[:, ~scored] = np.nan


def _means(y: np.ndarray, weights: np.ndarray | None, folds: Folds, fit: int) -> np.ndarray:
    """Mean activity of every neuron in the rows that a fit counts; y (n_neurons, n_samples)."""
    s = folds.counts(y.shape[1])[fit] * (1.0 if weights is None else weights)
    total = s.sum(axis=-1)
    return (y * s).sum(axis=1) / np.where(total > 0, total, 1)


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
