"""Gaussian fits of all rows and of every fold from sums over rows alone."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, fields
from typing import Any

import numpy as np

from popglm.model.selection import fitted_strengths
from popglm.solve.coordinates import Coordinates, gram, row_sums
from popglm.solve.evaluation import GramObjective
from popglm.solve.folds import Folds
from popglm.solve.path import Fit, Path
from popglm.solve.responses import response_sums
from popglm.solve.result import PopulationFit, collect
from popglm.solve.rows import Rows
from popglm.solve.settings import Settings, begin, guides, reporter, strengths
from popglm.solve.walk import walk_path

__all__ = ["fit_on_grams"]


@dataclass
class Moments:
    """Weighted sums over rows, in float64.

    Attributes
    ----------
    s : float
        Σ_t s_t.
    x : ndarray, shape (n_features,)
    XX : ndarray, shape (n_features, n_features)
    y, yy : ndarray, shape (n_neurons,)
        Sums of responses and of their squares.
    YX : ndarray, shape (n_neurons, n_features)
    """

    s: float
    x: np.ndarray
    XX: np.ndarray
    y: np.ndarray
    yy: np.ndarray
    YX: np.ndarray

    def __add__(self, other: Moments) -> Moments:
        return Moments(*(getattr(self, f.name) + getattr(other, f.name) for f in fields(self)))

    def __sub__(self, other: Moments) -> Moments:
        return Moments(*(getattr(self, f.name) - getattr(other, f.name) for f in fields(self)))


def moments(engine: Any, data: Rows, of_x: tuple[np.ndarray, np.ndarray]) -> Moments:
    """All sums; ``of_x``: Σ s x xᵀ and Σ s x, known already."""

    def part(take: Callable[[Any], np.ndarray]) -> tuple[Any, ...]:
        x, y = take(data.X), take(data.Y.T).T
        s = np.ones(len(x)) if data.weights is None else take(data.weights)
        ys = y * s
        YX = engine.product(ys, x.astype(float))
        return s.sum(), ys.sum(axis=1), np.einsum("ij,ij->i", ys, y), YX

    s, y, yy, YX = row_sums(engine, part, data.X, data.ranges)
    return Moments(float(s), of_x[1], of_x[0], y, yy, YX)


def fit_on_grams(
    engine: Any,
    data: Rows,
    center: np.ndarray,
    grams: list[tuple[np.ndarray, np.ndarray]],
    folds: Folds,
    settings: Settings,
    refit: bool,
    on_strength: Callable[[int, int], Any] | None,
    start: np.ndarray | None,
) -> PopulationFit:
    """Fit all rows and every fold's training rows.

    Parameters
    ----------
    data : Rows
        X centred, Y in float64, weights (n_samples,) or None. Means are taken from Y in place.
    center : ndarray, shape (n_features,)
        What was taken from X.
    grams : list of (ndarray, ndarray)
        Σ s x xᵀ and Σ s x: of every fold's held-out rows where the folds are a partition, else of all rows.
    start : see `popglm.solve.population.fit_population`
    """
    y_shift = np.average(data.Y, axis=1, weights=data.weights) if settings.fit_intercept else np.zeros(len(data.Y))
    np.subtract(data.Y, y_shift[:, None], out=data.Y)
    train_rows, test_rows = ([data.part(part) for part in parts] for parts in (folds.train, folds.test))
    if folds.partition:
        held = [moments(engine, rows, known) for rows, known in zip(test_rows, grams, strict=True)]
        total = held[0]
        for one in held[1:]:
            total = total + one
        train = [total - one for one in held]
    else:
        total = moments(engine, data, grams[0])
        train, held = (
            [moments(engine, rows, gram(engine, rows.X, rows.weights, rows.ranges)) for rows in side]
            for side in (train_rows, test_rows)
        )

    def fit_to(sums: Moments, rows: Rows) -> tuple[Fit, Coordinates]:
        s = sums.s
        x_mean, y_mean = sums.x / s, sums.y / s
        if not settings.fit_intercept:
            x_mean, y_mean = np.zeros_like(x_mean), np.zeros_like(y_mean)
        G, C = sums.XX / s - np.outer(x_mean, x_mean), sums.YX / s - np.outer(y_mean, x_mean)
        if settings.penalty.is_isotropic and not (settings.lambdas is not None and np.any(settings.lambdas == 0)):
            # the penalty is the same in any orthogonal basis, and in this one no step needs a matrix
            coordinates, G = Coordinates.principal(engine, center + x_mean, G)
        else:
            coordinates = Coordinates.fit(engine, center + x_mean, G, settings.penalty.block_sizes)
            G = coordinates.rotate_matrix(G)
        model = settings.model(engine, G, coordinates)
        variance = sums.yy / s - y_mean**2
        objective = GramObjective(engine, model.G, coordinates.rotate(C.copy()), variance, y_mean + y_shift)
        response = response_sums(settings.loss, rows.Y, rows.weights, rows.ranges)
        response.mean = response.mean + y_shift
        return begin(settings, objective, model, response), coordinates

    null, null_coordinates = fit_to(total, data)
    # whole fits side by side where there are enough of them for all workers; inside a fit less is in parallel
    side_by_side = engine.map if len(train) + refit >= engine.n_workers else lambda work, each: [work(*a) for a in each]
    pairs = side_by_side(fit_to, list(zip(train, train_rows, strict=True)))
    fold_fits, coordinates = [fit for fit, _ in pairs], [null_coordinates, *(own for _, own in pairs)]
    fittable = null.is_fitted
    lambdas = strengths(settings, fittable, lambda: null_coordinates.unrotate(null.at.grad))
    near = guides(start, coordinates[not refit :])
    fits = ([null] if refit else []) + fold_fits

    def walk(i: int, fit: Fit) -> Path:
        guide = None if near is None else near[i]
        report = reporter(on_strength, 1, i - refit)
        return walk_path(fit, lambdas, settings.tol, settings.max_iter, None, guide, report)

    paths = side_by_side(walk, list(enumerate(fits)))
    full_path, fold_paths = (paths[0], paths[1:]) if refit else (None, paths)
    result = collect(
        full_path, fold_paths, coordinates, lambdas, fittable, np.array([fit.is_fitted for fit in fold_fits])
    )

    def deviance(fold: int, sums: Moments) -> None:
        for k in range(len(lambdas)):
            w = result.cv_coef[fold, k].astype(float)
            # in the centred copy's coordinates, where the sums were taken
            b = result.cv_intercept[fold, k] + w @ center - y_shift
            cross = np.einsum("ij,ij->i", w, sums.YX - np.outer(b, sums.x))
            square = np.einsum("ij,ij->i", engine.product(w, sums.XX), w)
            error = sums.yy - 2 * b * sums.y + b * b * sums.s - 2 * cross + square
            result.cv_deviance[fold, k] = np.maximum(error, 0)

    side_by_side(deviance, list(enumerate(held)))
    if settings.patience is not None:
        result.cut(fitted_strengths(result.cv_deviance, settings.patience))
    return result
