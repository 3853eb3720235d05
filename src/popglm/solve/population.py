"""From arrays to a fitted population: the path of every cohort, in units of its own."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import replace
from functools import partial
from typing import Any

import numpy as np

from popglm.solve.cohort_fits import CohortFits, Fitted
from popglm.solve.cohorts import cohorts_of, kin, unheld
from popglm.solve.fits.grams import GramFits
from popglm.solve.fits.rows import RowFits
from popglm.solve.fits.side_by_side import SideBySide
from popglm.solve.folds import Folds
from popglm.solve.passes.samples import FitData
from popglm.solve.prepared import Prepared, prepared
from popglm.solve.remote.rows import RemoteRows
from popglm.solve.result import PopulationFit, merge
from popglm.solve.settings import Settings, reporter, strengths
from popglm.solve.snapshot import UNKEPT, Checkpoint, concluded
from popglm.solve.sparse.limits import check_sparse
from popglm.solve.sparse.rows import SparseRows
from popglm.solve.stream import RowStream
from popglm.solve.varying import varying_columns

__all__ = ["PopulationFit", "Settings", "fit_population"]

#: Samples × features × neurons of fits whose threads share more of the sums than taking turns at Python costs.
LEAST_SHARED = 2**20


def _pays_threads(data: FitData) -> bool:
    """Whether worker threads make a fit faster: one that is large, or waits for rows that are read."""
    waits = isinstance(data.X, RowStream | RemoteRows)
    return waits or data.X.shape[0] * data.X.shape[1] * data.Y.shape[1] >= LEAST_SHARED


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
    data.engine.side_by_side = _pays_threads(data)
    if isinstance(data.X, RemoteRows):
        _check_remote(settings, schedule, shares)
    elif isinstance(data.X, SparseRows):
        check_sparse(data.X, settings, data.engine, schedule, shares)
    common, bounds = prepared(data, settings), settings.penalty.bounds
    settings, q = common.settings, data.Y.shape[1]
    seconds = time.perf_counter() - began
    if start is not None and common.column_unit is not None:
        start = start * common.column_unit
    cohorts: list[Fitted] = []
    varying = varying_columns(data.X, common.missing, common.weights, common.order, common.folds, unheld(settings))
    alike_weights = common.own_weights is None
    # an ordered copy of the activity that no fit keeps
    every = cohorts_of(
        settings, data.Y.T[:, common.order].astype(float, copy=False), common.missing, common.weights, common.folds,
        varying, alike_weights,
    )  # fmt: skip
    making = CohortFits(data, common, refit, start, shares, schedule, checkpoint)
    for some in kin(every):
        if making.may_share(some):
            cohorts += making.side_by_side(some, on_strength)
        else:
            cohorts += [making.alone(cohort, on_strength) for cohort in some]
    # each fit keeps what it needs of the sums: matrices of n_features × n_features, two of every fold
    common = replace(common, features=[], held=None)
    del making

    lambdas = _automatic_strengths(cohorts, settings.n_lambdas, q) if settings.lambdas is None else settings.lambdas
    result = _finished(*_fit_cohorts(cohorts, lambdas, common.level, common.weight_unit), common)
    if bounds is not None:
        result.keep_within(bounds, common.center)
    # as they were given: a unit and back is not always the same number
    result.lambdas = lambdas
    result.seconds["prepare"] = result.seconds.get("prepare", 0.0) + seconds
    if isinstance(common.X, RowStream) and not isinstance(common.X, SparseRows):
        common.X.close()
    if settings.ends is not None:
        result.cut(settings.ends(result.cv_deviance))
    return result


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


def _skip(fits: GramFits | RowFits | SideBySide, n_lambdas: int) -> None:
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
    for chosen, some, units in cohorts:
        for at, fits in _each(some):
            own = fits.wanted[0]
            if own.any():
                found = strengths(fits.settings, fits.fittable & own, fits.largest, fits.null)
                lambdas[:, chosen[at][own]] = (found * units.strength[at])[:, own]
    return lambdas


def _each(fits: GramFits | RowFits | SideBySide) -> list[tuple[Any, GramFits | RowFits]]:
    """The fits of every cohort, and which of the neurons it has."""
    if isinstance(fits, SideBySide):
        return [(member.at, member.fits) for member in fits.members]
    return [(slice(None), fits)]


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
    """Set held-out deviance to NaN where a fold holds out, or trains on, no sample of a neuron that has a weight."""
    s = 1.0 if weights is None else weights
    for deviance, *parts in zip(result.cv_deviance, folds.test, folds.train, strict=True):
        for part in parts:
            rows = part.counted(missing.shape[1]) * s > 0
            deviance[:, missing[:, rows].all(axis=1)] = np.nan
