"""Fits whose loss is summed over rows at every step, and their held-out deviance."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

import numpy as np

from popglm.model.selection import fitted_strengths
from popglm.solve.coordinates import Coordinates
from popglm.solve.devices import walk_lockstep
from popglm.solve.evaluation import Evaluation
from popglm.solve.first_order import walk_first_order
from popglm.solve.folds import Folds, Part, Ranges
from popglm.solve.held_out import EarlyStop, HeldOut
from popglm.solve.lockstep.held_out import held_out_in_batches
from popglm.solve.lockstep.null import null_gradient
from popglm.solve.objective import RowObjective
from popglm.solve.path import MAX_COLUMNS, Fit, Path
from popglm.solve.quadratic import QuadraticModel
from popglm.solve.responses import ResponseSums, response_sums
from popglm.solve.result import PopulationFit, collect
from popglm.solve.rotated import RotatedObjective
from popglm.solve.settings import Settings, begin, guides, reporter, strengths
from popglm.solve.walk import walk_path

__all__ = ["Rows", "fit_on_rows"]


@dataclass
class Rows:
    """The arrays of a fit, neurons first in Y, and the row ranges that count.

    Attributes
    ----------
    X : ndarray or RowStream, shape (n_samples, n_features)
    Y : ndarray, shape (n_neurons, n_samples)
    weights : ndarray, shape (n_samples,) or (n_neurons, n_samples), or None
    offset : ndarray, shape (n_samples,), or None
    ranges : list of (first, last)
    """

    X: Any
    Y: np.ndarray
    weights: np.ndarray | None
    offset: np.ndarray | None
    ranges: Ranges

    def part(self, part: Part) -> Rows:
        """Some of the rows: the same arrays wherever the part is not a copy."""
        if part.index is not None:
            Y, weights, offset = (
                None if a is None else np.ascontiguousarray(a[..., part.index])
                for a in (self.Y, self.weights, self.offset)
            )
            return Rows(self.X[part.index], Y, weights, offset, part.ranges)
        return Rows(self.X, self.Y, part.weighted(self.weights, self.Y.dtype), self.offset, part.ranges)


class SeparateObjectives:
    """Objectives of fits that have arrays of their own, their columns side by side as in `RowObjective`.

    Parameters
    ----------
    objectives : list of RowObjective or RotatedObjective
    n_neurons : int
    """

    def __init__(self, objectives: list[Any], n_neurons: int) -> None:
        self.objectives, self.n_neurons = objectives, n_neurons
        self.offset = objectives[0].offset

    def evaluate(self, columns: np.ndarray, W: np.ndarray, b: np.ndarray) -> Evaluation:
        """See `RowObjective`."""
        fit, neuron = np.divmod(columns, self.n_neurons)
        own = [np.flatnonzero(fit == i) for i in range(len(self.objectives))]
        found = [
            objective.evaluate(neuron[at], W[at], b[at])
            for objective, at in zip(self.objectives, own, strict=True)
            if len(at)
        ]
        return Evaluation.join(found).take(np.argsort(np.concatenate(own)))

    def weighted_gram(self, columns: np.ndarray, W: np.ndarray, b: np.ndarray) -> np.ndarray:
        """See `RowObjective`."""
        fit, neuron = np.divmod(columns, self.n_neurons)
        each = zip(fit, neuron[:, None], W[:, None], b[:, None], strict=True)
        return sum(self.objectives[i].weighted_gram(*own) for i, *own in each) / len(columns)

    def derivatives(self, column: int, w: np.ndarray, b: float) -> tuple[np.ndarray, np.ndarray]:
        """See `RowObjective`."""
        fit, neuron = divmod(int(column), self.n_neurons)
        return self.objectives[fit].derivatives(neuron, w, b)


#: Paths, which neurons were fitted, and held-out deviance; see `RowFits`.
Fitted = tuple[list[Path], np.ndarray, Any]


@dataclass
class RowFits:
    """The fits to all rows and to every fold's training rows, over all strengths, by one of three schedules.

    Each schedule returns the path of every fit, which of its neurons were fitted (n_fits, n_neurons), and the held-out
    deviance (n_folds, n_lambdas, n_neurons).

    Attributes
    ----------
    data : Rows
    rotated : bool
        Whether ``data.X`` is in solver coordinates; else in the user's columns, centred.
    G : ndarray, shape (n_features, n_features)
        In solver coordinates.
    refit : bool
        Whether the fit to all rows, the first one then, is among the fits.
    guides : list of ndarray, or None
        Per fit, a path that is near, in solver coordinates.
    """

    engine: Any
    data: Rows
    rotated: bool
    G: np.ndarray
    coordinates: Coordinates
    folds: Folds
    settings: Settings
    refit: bool
    on_strength: Callable[[int, int], Any] | None
    guides: list[np.ndarray] | None
    model: QuadraticModel = field(init=False)
    everything: ResponseSums = field(init=False)
    parts: list[Rows] = field(init=False)
    tested: list[Rows] = field(init=False)

    def __post_init__(self) -> None:
        self.model = self.settings.model(self.engine, self.G, self.coordinates)
        self.everything = self._sums(self.data)
        self.parts = [self.data, *map(self.data.part, self.folds.train)][not self.refit :]
        self.tested = [self.data.part(part) for part in self.folds.test]

    @property
    def fittable(self) -> np.ndarray:
        """Which neurons can be fitted to all rows, shape (n_neurons,)."""
        return self.everything.fittable(self.settings.loss)

    @cached_property
    def scored(self) -> np.ndarray:
        """Whether a fold holds out anything of a neuron, shape (n_folds, n_neurons)."""
        return np.array([self._sums(rows).n > 0 for rows in self.tested])

    def null_gradient(self) -> np.ndarray:
        """Gradient (n_neurons, n_features) at w = 0 on all rows."""
        return self._start([self.data]).at.grad

    def by_first_order(self, lambdas: np.ndarray) -> Fitted:
        """One fit after the other, by an optimiser that sees gradients alone."""
        settings, paths, is_fitted = self.settings, [], []
        for i, rows in enumerate(self.parts):
            fit = self._start([rows])
            report = reporter(self.on_strength, 1, i - self.refit)
            paths.append(walk_first_order(settings.first_order, fit, lambdas, settings.tol, settings.max_iter, report))
            is_fitted.append(fit.is_fitted)
        return paths, np.array(is_fitted), self._deviance(paths)

    def in_lockstep(self, lambdas: np.ndarray, engines: Any) -> Fitted:
        """All fits as one batch whose state stays on the device, or on several."""
        settings, data = self.settings, self.data
        report = None if self.on_strength is None else lambda k, fit: self.on_strength(k, fit - 1)
        paths, is_fitted = walk_lockstep(
            engines, settings.loss, self.model, data.X, data.Y, data.weights, data.offset,
            self.folds.counts(len(data.X)), lambdas, settings.tol, settings.max_iter, settings.fit_intercept, report,
            self.guides, int(not self.refit),
        )  # fmt: skip
        self._finish(paths, lambdas)
        deviance = [
            # the device may be short of memory
            held_out_in_batches(
                self.engine, settings.loss, rows.X, rows.Y, rows.weights, rows.offset, rows.ranges, path.W, path.b
            )
            for rows, path in zip(self.tested, paths[self.refit :], strict=True)
        ]
        return paths, is_fitted[not self.refit :], deviance

    def _finish(self, paths: list[Path], lambdas: np.ndarray) -> None:
        """Walk on to a proof where there is no penalty, which needs second derivatives of single neurons."""
        k, lam = len(lambdas) - 1, np.tile(lambdas[-1], len(paths))
        if not (lam == 0).any():
            return
        fit = self._start(self.parts)
        columns = fit.fittable[fit.can_prove(fit.fittable, lam[fit.fittable])]
        if not len(columns):
            return
        fit.fittable = columns
        fit.W[columns], b = (np.concatenate([getattr(path, name)[k] for path in paths])[columns] for name in ("W", "b"))
        for a in range(0, len(columns), MAX_COLUMNS):
            some = columns[a : a + MAX_COLUMNS]
            found = fit.objective.evaluate(some, fit.W[some], b[a : a + MAX_COLUMNS])
            fit.at.put(some, found, np.ones(len(some), bool))
        further = walk_path(fit, lam[None], self.settings.tol, self.settings.max_iter).split(len(paths))
        for i, (path, more) in enumerate(zip(paths, further, strict=True)):
            own = columns[columns // len(self.data.Y) == i] % len(self.data.Y)
            for name in ("W", "b", "gap", "objective"):
                getattr(path, name)[k, own] = getattr(more, name)[0, own]
            path.n_iter[k, own] += more.n_iter[0, own]

    def along_paths(self, lambdas: np.ndarray) -> Fitted:
        """Every neuron of every fit at its own pace, the folds guided by the fit to all rows."""
        settings, n_fits, q = self.settings, len(self.parts), len(self.data.Y)
        fit = self._start(self.parts)
        stop = None
        if settings.patience is not None:
            stop = EarlyStop(
                [self._held_out(rows) for rows in self.tested], self.scored, len(lambdas), settings.patience
            )
        leader = np.concatenate([np.full(q, -1), np.tile(np.arange(q), n_fits - 1)])
        paths = walk_path(
            fit,
            np.tile(lambdas, (1, n_fits)),
            settings.tol,
            settings.max_iter,
            leader if self.refit and self.guides is None else None,
            None if self.guides is None else np.concatenate(self.guides, axis=1),
            reporter(self.on_strength, n_fits, -int(self.refit)),
            q if self.refit else 0,
            stop,
        ).split(n_fits)
        return paths, fit.is_fitted.reshape(-1, q), self._deviance(paths) if stop is None else stop.deviance

    def _sums(self, rows: Rows) -> ResponseSums:
        return response_sums(self.settings.loss, rows.Y, rows.weights, rows.ranges)

    def _start(self, parts: list[Rows]) -> Fit:
        """Fits to some rows each at the null model, side by side."""
        sums = ResponseSums.join([self.everything if rows is self.data else self._sums(rows) for rows in parts])
        objective = _objective(self.engine, self.settings, parts, None if self.rotated else self.coordinates)
        return begin(self.settings, objective, self.model, sums, len(self.data.Y))

    def _held_out(self, rows: Rows) -> HeldOut:
        own = None if self.rotated else self.coordinates
        return HeldOut(self.engine, self.settings.loss, rows.X, rows.Y, rows.weights, rows.offset, rows.ranges, own)

    def _deviance(self, paths: list[Path]) -> list[np.ndarray]:
        return [
            self._held_out(rows).deviance(path.W, path.b)
            for rows, path in zip(self.tested, paths[self.refit :], strict=True)
        ]


def fit_on_rows(
    engine: Any,
    data: Rows,
    rotated: bool,
    G: np.ndarray,
    coordinates: Coordinates,
    folds: Folds,
    settings: Settings,
    refit: bool,
    on_strength: Callable[[int, int], Any] | None,
    start: np.ndarray | None,
    shares: Sequence[Any],
    schedule: str,
) -> PopulationFit:
    """Fit all rows and every fold's training rows.

    Parameters
    ----------
    data, rotated, G, coordinates, folds, settings, refit, on_strength : see `RowFits`
    start, shares, schedule : see `popglm.solve.population.fit_population`
    """
    near = guides(start, [coordinates] * (len(folds.train) + refit))
    fits = RowFits(engine, data, rotated, G, coordinates, folds, settings, refit, on_strength, near)
    if schedule == "auto":
        schedule = "lockstep" if (engine.is_accelerator or shares) and rotated else "path"

    def null() -> np.ndarray:
        if schedule != "lockstep":
            return fits.null_gradient()
        rows = data.X, data.Y, data.weights, data.offset
        return null_gradient(engine, settings.loss, *rows, fits.everything, settings.fit_intercept)

    lambdas = strengths(settings, fits.fittable, null)
    if settings.first_order is not None:
        paths, is_fitted, deviance = fits.by_first_order(lambdas)
    elif schedule == "lockstep":
        paths, is_fitted, deviance = fits.in_lockstep(lambdas, shares or engine)
    else:
        paths, is_fitted, deviance = fits.along_paths(lambdas)
    full_path, fold_paths = (paths[0], paths[1:]) if refit else (None, paths)
    every = [coordinates] * (1 + len(fold_paths))
    result = collect(full_path, fold_paths, every, lambdas, fits.fittable, is_fitted[int(refit) :])
    if fold_paths:
        result.cv_deviance[:] = deviance
    if settings.patience is not None:
        result.cv_deviance[~np.broadcast_to(fits.scored[:, None], result.cv_deviance.shape)] = np.nan
        result.cut(fitted_strengths(result.cv_deviance, settings.patience))
    return result


def _objective(engine: Any, settings: Settings, parts: list[Rows], coordinates: Coordinates | None) -> Any:
    """Objective of the fits to some rows each; in ``coordinates``, where they are those of a solver on other rows."""
    first = parts[0]
    if any(rows.X is not first.X or rows.weights is not first.weights for rows in parts):
        return SeparateObjectives([_objective(engine, settings, [rows], coordinates) for rows in parts], len(first.Y))
    objective = RowObjective(
        engine, settings.loss, first.X, first.Y, first.weights, first.offset, [rows.ranges for rows in parts],
        settings.fit_intercept,
    )  # fmt: skip
    return objective if coordinates is None else RotatedObjective(objective, coordinates)
