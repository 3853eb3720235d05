"""Fits whose loss is summed over rows at every step, and their held-out deviance."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from popglm.model.selection import fitted_strengths
from popglm.solve.coordinates import Coordinates
from popglm.solve.devices import walk_lockstep
from popglm.solve.evaluation import Evaluation
from popglm.solve.first_order import walk_first_order
from popglm.solve.folds import Folds, Part, Ranges
from popglm.solve.held_out import EarlyStop, HeldOut
from popglm.solve.lockstep_held_out import held_out_in_batches
from popglm.solve.lockstep_null import null_gradient
from popglm.solve.objective import RowObjective
from popglm.solve.path import Fit, walk_path
from popglm.solve.responses import ResponseSums, response_sums
from popglm.solve.result import PopulationFit, collect
from popglm.solve.rotated import RotatedObjective
from popglm.solve.settings import Settings, begin, guides, reporter, strengths

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
    rotated : bool
        Whether ``data.X`` is in solver coordinates; else in the user's columns, centred.
    G : ndarray, shape (n_features, n_features)
        In solver coordinates.
    start, shares, schedule : see `popglm.solve.population.fit_population`
    """
    loss, q = settings.loss, len(data.Y)
    model = settings.model(engine, G, coordinates)

    everything = response_sums(loss, data.Y, data.weights, data.ranges)
    fittable = everything.fittable(loss)

    def start_fits(parts: list[Rows]) -> Fit:
        sums = [
            everything if rows is data else response_sums(loss, rows.Y, rows.weights, rows.ranges) for rows in parts
        ]
        objective = _objective(engine, settings, parts, None if rotated else coordinates)
        return begin(settings, objective, model, ResponseSums.join(sums), q)

    if schedule == "auto":
        schedule = "lockstep" if (engine.is_accelerator or shares) and rotated else "path"

    def gradient() -> np.ndarray:
        if schedule != "lockstep":
            return start_fits([data]).at.grad
        rows = data.X, data.Y, data.weights, data.offset
        return null_gradient(engine, loss, *rows, everything, settings.fit_intercept)

    lambdas = strengths(settings, fittable, gradient)
    parts, tested = [data, *map(data.part, folds.train)][not refit :], [data.part(part) for part in folds.test]
    near = guides(start, [coordinates] * len(parts))
    limits = settings.tol, settings.max_iter

    def held_out(rows: Rows) -> HeldOut:
        own = None if rotated else coordinates
        return HeldOut(engine, loss, rows.X, rows.Y, rows.weights, rows.offset, rows.ranges, own)

    stop = scored = None
    if settings.patience is not None:
        scored = np.array([response_sums(loss, rows.Y, rows.weights, rows.ranges).n > 0 for rows in tested])
    if settings.first_order is not None:
        fits = [start_fits([rows]) for rows in parts]
        paths = [
            walk_first_order(settings.first_order, fit, lambdas, *limits, reporter(on_strength, 1, i - refit))
            for i, fit in enumerate(fits)
        ]
        is_fitted = np.array([fit.is_fitted for fit in fits])
    elif schedule == "lockstep":
        report = None if on_strength is None else lambda k, fit: on_strength(k, fit - 1)
        paths, is_fitted = walk_lockstep(
            shares or engine, loss, model, data.X, data.Y, data.weights, data.offset, folds.counts(len(data.X)),
            lambdas, *limits, settings.fit_intercept, report, near, int(not refit),
        )  # fmt: skip
        is_fitted = is_fitted[not refit :]
    else:
        fit = start_fits(parts)
        if settings.patience is not None:
            stop = EarlyStop(list(map(held_out, tested)), scored, len(lambdas), settings.patience)
        leader = np.concatenate([np.full(q, -1), np.tile(np.arange(q), len(parts) - 1)])
        paths = walk_path(
            fit,
            np.tile(lambdas, (1, len(parts))),
            *limits,
            leader if refit and near is None else None,
            None if near is None else np.concatenate(near, axis=1),
            reporter(on_strength, len(parts), -int(refit)),
            q if refit else 0,
            stop,
        ).split(len(parts))
        is_fitted = fit.is_fitted.reshape(-1, q)
    full_path, fold_paths = (paths[0], paths[1:]) if refit else (None, paths)
    result = collect(
        full_path, fold_paths, [coordinates] * (1 + len(fold_paths)), lambdas, fittable, is_fitted[int(refit) :]
    )
    for fold, (path, rows) in enumerate(zip(fold_paths, tested, strict=True)):
        if stop is not None:
            result.cv_deviance[fold] = stop.deviance[fold]
        elif schedule == "lockstep":
            # an accelerator may be short of memory
            result.cv_deviance[fold] = held_out_in_batches(
                engine, loss, rows.X, rows.Y, rows.weights, rows.offset, rows.ranges, path.W, path.b
            )
        else:
            result.cv_deviance[fold] = held_out(rows).deviance(path.W, path.b)
    if settings.patience is not None:
        result.cv_deviance[~np.broadcast_to(scored[:, None], result.cv_deviance.shape)] = np.nan
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
