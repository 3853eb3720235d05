"""From arrays to a fitted population: the path of every cohort, in units of its own."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from functools import partial
from typing import Any

import numpy as np

from popglm.solve.cohorts import Cohort, cohorts_of, unheld
from popglm.solve.folds import Folds
from popglm.solve.grams import GramFits
from popglm.solve.prepared import Prepared, prepared
from popglm.solve.remote.rows import RemoteRows
from popglm.solve.result import PopulationFit, merge
from popglm.solve.rows import RowFits
from popglm.solve.samples import FitData, Rows
from popglm.solve.settings import Settings, reporter, strengths
from popglm.solve.snapshot import UNKEPT, Checkpoint, concluded
from popglm.solve.sparse.limits import check_sparse
from popglm.solve.sparse.rows import SparseRows
from popglm.solve.stream import RowStream
from popglm.solve.units import Units
from popglm.solve.varying import varying_columns

__all__ = ["PopulationFit", "Settings", "fit_population"]

#: Neurons of a cohort, its fits, and the units that these work in.
Fitted = tuple[np.ndarray, GramFits | RowFits, Units]


def fit_population(
    data: FitData,
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
    on_strength : callable, optional
        Called with the numbers of a strength and a split (-1 for all rows) that some neurons have behind them;
        ``share`` says which part of all they are, ``kept`` whether an earlier call did the work.
    start : ndarray, shape (n_fits, n_lambdas, n_neurons, n_features), optional
        Coefficients of a path that is near, of the fit to all rows (if ``refit``) and of every split; NaN at strengths
        where there are none, and at all later ones. A split keeps what they say along directions that its
        rows leave undetermined, so they may come from nothing that has met its held-out activity: not from a fit to all
        rows, nor from that of another split.
    shares : sequence of engine
        Engines on several devices, each of which takes a share of the neurons; that of ``data`` does the rest.
    schedule : {"auto", "host", "device"}
        Where the weights lie: on the host, or on the device, one fit after the other; "auto" takes the second on an
        accelerator or several devices, unless X is a stream.
    checkpoint : Checkpoint
        Where the fit is kept while it goes on, and taken up again: of these very arguments.
    """
    began = time.perf_counter()
    if isinstance(data.X, RemoteRows):
        _check_remote(settings, schedule, shares)
    elif isinstance(data.X, SparseRows):
        check_sparse(data.X, settings, data.engine, schedule, shares)
    common = prepared(data, settings)
    settings, q = common.settings, data.Y.shape[1]
    seconds = time.perf_counter() - began
    if start is not None and common.column_unit is not None:
        start = start * common.column_unit
    cohorts: list[Fitted] = []
    varying = varying_columns(data.X, common.missing, common.weights, common.order, common.folds, unheld(settings))
    activity = data.Y.T[:, common.order]
    for cohort in cohorts_of(
        settings, activity, common.missing, common.weights, common.folds, varying, common.own_weights is None
    ):
        rows = _rows_of(cohort, data, common)
        near = None if start is None else start[:, :, rows.chosen] / rows.units.weight[:, None]
        given: dict[str, Any] = {
            "engine": data.engine, "data": rows.counted, "scored": rows.scored, "center": common.own_center,
            "features": common.features, "folds": common.folds, "settings": rows.settings,
            "wanted": cohort.wanted[:, rows.chosen], "refit": refit,
            "on_strength": _of_cohort(on_strength, cohort.wanted), "start": near,
            "checkpoint": checkpoint.part(f"cohort{len(cohorts)}"),
        }  # fmt: skip
        fits: GramFits | RowFits
        if rows.on_grams:
            fits = GramFits(partition_features=common.held, **given)
        else:
            fits = RowFits(shares=shares, schedule=schedule, **given)
        cohorts.append((rows.chosen, fits, rows.units))

    lambdas = _automatic_strengths(cohorts, settings.n_lambdas, q) if settings.lambdas is None else settings.lambdas
    result = _finished(*_fit_cohorts(cohorts, lambdas, common.level, common.weight_unit), common)
    # as they were given: a unit and back is not always the same number
    result.lambdas = lambdas
    result.seconds["prepare"] = result.seconds.get("prepare", 0.0) + seconds
    if isinstance(common.X, RowStream) and not isinstance(common.X, SparseRows):
        common.X.close()
    if settings.ends is not None:
        result.cut(settings.ends(result.cv_deviance))
    return result


@dataclass(frozen=True)
class _CohortRows:
    """The rows of a cohort in its units.

    Attributes
    ----------
    chosen : ndarray of int
        Neurons.
    counted, scored : Rows
        Those of its fits, and those by which held-out deviance is told.
    units : Units
    settings : Settings
    on_grams : bool
        Whether second moments say everything of the samples.
    """

    chosen: np.ndarray
    counted: Rows
    scored: Rows
    units: Units
    settings: Settings
    on_grams: bool


def _rows_of(cohort: Cohort, data: FitData, common: Prepared) -> _CohortRows:
    """The activity of a cohort in its units, with what its samples count."""
    settings, weights, missing, order = common.settings, common.weights, common.missing, common.order
    chosen, loss = np.flatnonzero(cohort.wanted.any(axis=0)), settings.loss
    wide = common.features[0].XX.ndim == 1
    on_grams = loss.is_least_squares and cohort.complete and settings.first_order is None and not wide
    dtype = float if on_grams else data.engine.dtype
    y = np.ascontiguousarray(data.Y.T[np.ix_(chosen, order)], dtype=float)
    np.nan_to_num(y, copy=False, nan=0.0)
    # an offset of the mean itself is as good as taken from the activity
    offset = common.offset
    if loss.is_least_squares and offset is not None:
        y, offset = y - offset, None
    recorded = weights
    if common.own_weights is not None:
        recorded = np.where(missing[chosen], 0.0, common.own_weights[chosen])
    elif missing[chosen].any():
        recorded = np.where(missing[chosen], 0.0, 1.0 if weights is None else weights)
    far_off = cohort.far and not on_grams
    first = int(cohort.wanted.any(axis=1).argmax())
    shift = _means(y, recorded, common.folds, first) if far_off else np.zeros(len(y))
    units = loss.units(cohort.decade, shift, settings.penalty.l1_ratio > 0)
    if far_off:
        y -= shift[:, None]
    if cohort.decade:
        y /= units.size[:, None]
    own = settings.in_units(units).closing(cohort.closed)
    if not cohort.fractional:
        own = replace(own, loss=own.loss.of_events())
    if own.ends is not None:
        own = replace(own, ends=own.ends.of(chosen, units.loss * common.weight_unit))
    y = y.astype(dtype)
    recorded, plain, offset = (None if a is None else a.astype(dtype) for a in (recorded, weights, offset))
    scored = Rows(common.X, y, recorded, offset, [(0, len(order))])
    # in the rows of its fits a complete neuron has no other weights than the rows
    counted = replace(scored, weights=plain) if cohort.complete else scored
    return _CohortRows(chosen, counted, scored, units, own, on_grams)


def _finished(result: PopulationFit, bare: PopulationFit | None, common: Prepared) -> PopulationFit:
    """The fits of all cohorts in the user's columns, with those of the columns that are never penalised."""
    unit, free = common.column_unit, common.settings.penalty.free
    if unit is not None:
        result.in_columns(unit, common.center)
    if bare is not None and free is not None:
        if unit is not None:
            bare.in_columns(unit[free], common.center[free])
        result.bare = bare.widened(free)
        _leave_out_unscored(bare, common.missing, common.weights, common.folds)
    _leave_out_unscored(result, common.missing, common.weights, common.folds)
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
