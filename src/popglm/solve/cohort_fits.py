"""The fits of every cohort, made from the rows that all have in common: in units of its own, alone or with its kin."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from popglm.solve.cohorts import Cohort
from popglm.solve.fits.grams import GramFits
from popglm.solve.fits.rows import RowFits
from popglm.solve.fits.shared_rows import RowsOfProblems, SharedRows
from popglm.solve.fits.side_by_side import Member, SideBySide, batches, distinct
from popglm.solve.folds import Folds
from popglm.solve.passes.samples import FitData, Rows
from popglm.solve.prepared import Prepared, is_sorted
from popglm.solve.remote.rows import RemoteRows
from popglm.solve.settings import Settings
from popglm.solve.snapshot import Checkpoint
from popglm.solve.units import Units

__all__ = ["CohortFits", "Fitted"]

#: Neurons of a cohort, or of several that are fitted side by side; their fits, and the units that these work in.
Fitted = tuple[np.ndarray, GramFits | RowFits | SideBySide, Units]


@dataclass(eq=False)
class CohortFits:
    """Makes the fits of cohorts; arguments as for `popglm.solve.population.fit_population`."""

    data: FitData
    common: Prepared
    refit: bool
    start: np.ndarray | None
    shares: Sequence[Any]
    schedule: str
    checkpoint: Checkpoint
    n_made: int = 0

    def alone(self, cohort: Cohort, on_strength: Callable[..., Any] | None) -> Fitted:
        """The fits of one cohort."""
        rows = _rows_of(cohort, self.data, self.common)
        given = self._given(rows, cohort, on_strength, self._part("cohort"))
        if rows.on_grams:
            return rows.chosen, GramFits(partition_features=self.common.held, **given), rows.units
        return rows.chosen, RowFits(shares=self.shares, schedule=self.schedule, **given), rows.units

    def may_share(self, cohorts: list[Cohort]) -> bool:
        """Whether cohorts that differ in their columns alone can be fitted side by side, on the host."""
        settings, X = self.common.settings, self.common.X
        apart = (
            settings.first_order is not None
            # a problem has parameters, and a null model, of its own; ends are told by one path of each neuron
            or settings.loss.parameters
            or settings.penalty.free is not None
            or settings.ends is not None
            or settings.models is not None
            or isinstance(X, RemoteRows)
            or cohorts[0].far
        )
        resident = isinstance(X, np.ndarray)
        on_device = self.data.engine.is_accelerator or bool(self.shares)
        on_host = not resident or self.schedule == "host" or (self.schedule == "auto" and not on_device)
        return len(cohorts) > 1 and not apart and on_host and not _on_grams(cohorts[0], self.common)

    def side_by_side(self, cohorts: list[Cohort], on_strength: Callable[..., Any] | None) -> list[Fitted]:
        """The fits of cohorts that differ in their columns alone, in portions of about as many problems."""
        data, common = self.data, self.common
        first, which = distinct(data.Y.T, common.own_weights)
        wanted = np.zeros_like(cohorts[0].wanted)
        wanted[:, first] = True
        rows = _rows_of(replace(cohorts[0], wanted=wanted, closed=np.zeros(0, int)), data, common)
        parts = [rows.counted, *map(rows.counted.part, common.folds.train)]
        tested = [rows.scored.part(part) for part in common.folds.test]
        portions = batches(cohorts)
        most = max(sum(int(cohort.wanted.any(axis=0).sum()) for cohort in some) for some in portions)
        shared = SharedRows(data.engine, rows.settings, parts, tested, most)
        return [self._portion(some, rows, shared, which, on_strength) for some in portions]

    def _portion(
        self,
        cohorts: list[Cohort],
        rows: _CohortRows,
        shared: SharedRows,
        which: np.ndarray,
        on_strength: Callable[..., Any] | None,
    ) -> Fitted:
        """Fits of some cohorts in one descent; ``which`` (n_neurons,) of the shared rows' every neuron is."""
        wanted, kept = np.any([cohort.wanted for cohort in cohorts], axis=0), self._part("together")
        neurons = np.flatnonzero(wanted.any(axis=0))
        members = []
        for cohort in cohorts:
            chosen = np.flatnonzero(cohort.wanted.any(axis=0))
            own, units = RowsOfProblems(shared, which[chosen]), rows.units.take(which[chosen])
            settings = replace(rows.settings.closing(cohort.closed), units=units)
            given = self._given(replace(rows, chosen=chosen, units=units, settings=settings), cohort, None, kept)
            fits = RowFits(shares=(), schedule="host", shared=own, **given)
            members.append(Member(np.searchsorted(neurons, chosen), own, fits))
        told = _of_cohort(on_strength, wanted)
        each = SideBySide(members, shared, wanted[:, neurons], self.refit, told, kept)
        return neurons, each, rows.units.take(which[neurons])

    def _part(self, name: str) -> Checkpoint:
        """Where the next fits are kept."""
        self.n_made += 1
        return self.checkpoint.part(f"{name}{self.n_made - 1}")

    def _given(
        self, rows: _CohortRows, cohort: Cohort, on_strength: Callable[..., Any] | None, kept: Checkpoint
    ) -> dict[str, Any]:
        """What the fits of any kind are given."""
        start, common = self.start, self.common
        return {
            "engine": self.data.engine, "data": rows.counted, "scored": rows.scored, "center": common.own_center,
            "features": common.features, "folds": common.folds, "settings": rows.settings,
            "wanted": cohort.wanted[:, rows.chosen], "refit": self.refit,
            "on_strength": _of_cohort(on_strength, cohort.wanted),
            "start": None if start is None else start[:, :, rows.chosen] / rows.units.weight[:, None],
            "checkpoint": kept,
        }  # fmt: skip


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


def _on_grams(cohort: Cohort, common: Prepared) -> bool:
    """Whether second moments say everything of the samples of a cohort."""
    settings, wide = common.settings, common.features[0].is_diagonal
    return settings.loss.is_least_squares and cohort.complete and settings.first_order is None and not wide


def _rows_of(cohort: Cohort, data: FitData, common: Prepared) -> _CohortRows:
    """The activity of a cohort in its units, with what its samples count."""
    settings, weights, missing, order = common.settings, common.weights, common.missing, common.order
    chosen, loss = np.flatnonzero(cohort.wanted.any(axis=0)), settings.loss
    on_grams = _on_grams(cohort, common)
    dtype = float if on_grams else data.engine.dtype
    activity = data.Y.T if len(chosen) == data.Y.shape[1] else data.Y.T[chosen]
    y = np.array(activity if is_sorted(order) else activity[:, order], float, order="C")
    y[missing[chosen]] = np.nan_to_num(y[missing[chosen]])
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
    own = replace(own, penalty=own.penalty.of(chosen))
    if not cohort.fractional:
        own = replace(own, loss=own.loss.of_events())
    if own.ends is not None:
        own = replace(own, ends=own.ends.of(chosen, units.loss * common.weight_unit))
    if own.models is not None:
        own = replace(own, models=own.models.of(chosen))
    y = y.astype(dtype)
    recorded, plain, offset = (None if a is None else a.astype(dtype) for a in (recorded, weights, offset))
    scored = Rows(common.X, y, recorded, offset, [(0, len(order))])
    # in the rows of its fits a complete neuron has no other weights than the rows
    counted = replace(scored, weights=plain) if cohort.complete else scored
    return _CohortRows(chosen, counted, scored, units, own, on_grams)


def _of_cohort(on_strength: Callable[..., Any] | None, wanted: np.ndarray) -> Callable[..., Any] | None:
    """Tells of strengths of the neurons wanted in the fit to all rows and in each fold, bool (n_fits, n_neurons)."""
    if on_strength is None:
        return None
    return lambda k, fold, kept: on_strength(k, fold, kept=kept, share=wanted[fold + 1].mean())


def _means(y: np.ndarray, weights: np.ndarray | None, folds: Folds, fit: int) -> np.ndarray:
    """Mean activity of every neuron in the rows that a fit counts; y (n_neurons, n_samples)."""
    s = folds.counts(y.shape[1])[fit] * (1.0 if weights is None else weights)
    total = s.sum(axis=-1)
    return (y * s).sum(axis=1) / np.where(total > 0, total, 1)
