"""Fits whose loss is summed over rows at every step, and their held-out deviance."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from popglm.solve.coordinates import Coordinates
from popglm.solve.devices import walk_lockstep
from popglm.solve.first_order import walk_first_order
from popglm.solve.folds import Folds, Part, Ranges
from popglm.solve.objective import Evaluation, RowObjective, held_out_deviance
from popglm.solve.path import Fit, walk_path
from popglm.solve.responses import response_sums
from popglm.solve.result import PopulationFit, collect
from popglm.solve.settings import Settings, begin, guides, strengths

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


class RotatedObjective:
    """A `RowObjective` on rows in the user's columns, for a solver that works in its own.

    X(Vᵀw) is (XV)ᵀw: rotating weights and gradients of a few hundred neurons costs less than rotating rows each time
    that they are read.

    Parameters
    ----------
    objective : RowObjective
    coordinates : Coordinates
    """

    def __init__(self, objective: RowObjective, coordinates: Coordinates) -> None:
        self.objective, self.coordinates = objective, coordinates
        self.offset = objective.offset

    def _rotated(self, at: Evaluation) -> Evaluation:
        at.grad = self.coordinates.rotate(at.grad)
        return at

    def evaluate(self, neurons: np.ndarray, W: np.ndarray, b: np.ndarray) -> Evaluation:
        """See `RowObjective`."""
        return self._rotated(self.objective.evaluate(neurons, self.coordinates.unrotate(W), b))

    def sampled_gradient(
        self, neurons: np.ndarray, W: np.ndarray, b: np.ndarray, size: int | None, rng: np.random.Generator
    ) -> Evaluation:
        """See `RowObjective`."""
        return self._rotated(self.objective.sampled_gradient(neurons, self.coordinates.unrotate(W), b, size, rng))


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
    loss = settings.loss
    model = settings.model(engine, G, coordinates)

    def fit_to(rows: Rows) -> Fit:
        objective = RowObjective(
            engine, loss, rows.X, rows.Y, rows.weights, rows.offset, rows.ranges, settings.fit_intercept
        )
        sums = response_sums(loss, rows.Y, rows.weights, rows.ranges)
        return begin(settings, objective if rotated else RotatedObjective(objective, coordinates), model, sums)

    null = fit_to(data)
    lambdas, fittable = strengths(settings, null)
    near = guides(start, [coordinates] * (len(folds.train) + refit))
    limits = settings.tol, settings.max_iter
    if schedule == "auto":
        schedule = "lockstep" if (engine.is_accelerator or shares) and rotated else "path"
    if schedule == "lockstep" and settings.first_order is None:
        report = None if on_strength is None else lambda k, fit: on_strength(k, fit - 1)
        paths, who = walk_lockstep(
            shares or engine, loss, model, data.X, data.Y, data.weights, data.offset, folds.counts(len(data.X)),
            lambdas, *limits, settings.fit_intercept, report, near, 0 if refit else 1,
        )  # fmt: skip
        full_path, fold_paths = (paths[0], paths[1:]) if refit else (None, paths)
        cv_fittable = who[1:]
    else:
        fold_fits = [fit_to(data.part(part)) for part in folds.train]
        full = null if refit else None
        if settings.first_order is not None:
            full_path, fold_paths = walk_first_order(
                settings.first_order, full, fold_fits, lambdas, *limits, on_strength
            )
        else:
            full_path, fold_paths = walk_path(full, fold_fits, lambdas, *limits, True, on_strength, near)
        cv_fittable = np.array([fit.is_fitted for fit in fold_fits])
    result = collect(full_path, fold_paths, [coordinates] * (len(folds.train) + 1), lambdas, fittable, cv_fittable)
    for fold, path in enumerate(fold_paths):
        W = path.W if rotated else coordinates.unrotate(path.W.reshape(-1, path.W.shape[2])).reshape(path.W.shape)
        rows = data.part(folds.test[fold])
        result.cv_deviance[fold] = held_out_deviance(
            engine, loss, rows.X, rows.Y, rows.weights, rows.offset, rows.ranges, W, path.b
        )
    return result
