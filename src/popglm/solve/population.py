"""From arrays to a fitted population: working coordinates, folds as row ranges, batches of neurons, the path."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from itertools import pairwise, zip_longest
from typing import Any

import numpy as np

from popglm.model.losses import Loss
from popglm.model.penalties import Penalty
from popglm.solve.coordinates import Coordinates, gram
from popglm.solve.first_order import FirstOrder, walk_first_order
from popglm.solve.objective import GramObjective, RowObjective
from popglm.solve.path import Fit, Path, start_fit, walk_path
from popglm.solve.quadratic import QuadraticModel
from popglm.solve.responses import ResponseSums, null_intercept, response_sums

__all__ = ["PopulationFit", "Settings", "fit_population"]

Ranges = list[tuple[int, int]]


@dataclass(frozen=True)
class Settings:
    """What to minimise and how far.

    Attributes
    ----------
    loss : Loss
    penalty : Penalty
    lambdas : ndarray, shape (n_lambdas, n_neurons), or None
        Descending; None for a grid from each neuron's λ_max.
    n_lambdas, lambda_min_ratio
        Of that grid.
    first_order : FirstOrder or None
        Instead of the quasi-Newton solver.
    """

    loss: Loss
    penalty: Penalty
    lambdas: np.ndarray | None
    n_lambdas: int = 20
    lambda_min_ratio: float = 1e-4
    fit_intercept: bool = True
    tol: float = 1e-4
    max_iter: int = 200
    first_order: FirstOrder | None = None


@dataclass
class PopulationFit:
    """Coefficients in the user's columns; axes: (fold,) strength, neuron, feature."""

    coef: np.ndarray
    intercept: np.ndarray
    gap: np.ndarray
    n_iter: np.ndarray
    objective: np.ndarray
    lambdas: np.ndarray
    fittable: np.ndarray
    cv_coef: np.ndarray
    cv_intercept: np.ndarray
    cv_gap: np.ndarray
    cv_n_iter: np.ndarray
    cv_deviance: np.ndarray
    cv_fittable: np.ndarray
    trace: list[list[float]] = field(default_factory=list)
    seconds: dict[str, float] = field(default_factory=dict)


@dataclass
class Rows:
    """The arrays of one fit in working coordinates, and the row ranges that count."""

    X: np.ndarray
    Y: np.ndarray
    weights: np.ndarray | None
    offset: np.ndarray | None
    ranges: Ranges


def fit_population(
    engine: Any,
    X: np.ndarray,
    Y: np.ndarray,
    weights: np.ndarray | None,
    offset: np.ndarray | None,
    splits: list[tuple[np.ndarray, np.ndarray]],
    settings: Settings,
    refit: bool = True,
    on_strength: Callable[[int, int], Any] | None = None,
    start: np.ndarray | None = None,
) -> PopulationFit:
    """Fit every neuron over all strengths, to all rows and to the training rows of every split.

    Parameters
    ----------
    X : ndarray, shape (n_samples, n_features)
    Y : ndarray, shape (n_samples, n_neurons)
        NaN where a neuron was not recorded.
    weights, offset : ndarray, shape (n_samples,), or None
    splits : list of (train, test) row indices
    start : ndarray, shape (n_fits, n_lambdas, n_neurons, n_features), optional
        Coefficients of a path that is near, of the fit to all rows (if ``refit``) and of every split.
    """
    began = time.perf_counter()
    n, p = X.shape
    q = Y.shape[1]
    order, blocks = _order_by_fold(n, splits)
    weights = None if weights is None else np.asarray(weights, float)[order]
    offset = None if offset is None else np.asarray(offset, engine.dtype)[order]
    center = np.zeros(p)
    if settings.fit_intercept:
        center = np.average(X, axis=0, weights=None if weights is None else weights[np.argsort(order)])
        center = np.asarray(center, float)
    work = _centred_copy(X, order, center, engine.dtype)
    moments = [gram(engine, work[a:b], None if weights is None else weights[a:b]) for a, b in blocks]
    total_weight = float(n if weights is None else weights.sum())
    XX = sum(m[0] for m in moments)
    shared = Coordinates.fit(engine, center, XX / total_weight, settings.penalty.block_sizes)
    seconds = {"prepare": time.perf_counter() - began}

    missing = np.isnan(Y)
    incomplete = missing.any(axis=0)
    result = None
    rotated = False
    for chosen in (np.flatnonzero(~incomplete), np.flatnonzero(incomplete)):
        if not len(chosen):
            continue
        y = np.ascontiguousarray(Y[order][:, chosen].T, dtype=float)
        s = weights
        if incomplete[chosen[0]]:
            s = np.where(np.isnan(y), 0.0, 1.0 if weights is None else weights)
            y = np.nan_to_num(y, nan=0.0)
        batch = _restrict(settings, chosen)
        on_grams = batch.loss == Loss("gaussian", "identity", convex=True) and s is weights
        on_grams &= batch.first_order is None and offset is None
        near = None if start is None else start[:, :, chosen]
        began = time.perf_counter()
        if on_grams:
            part = _fit_on_grams(engine, work, y, s, splits, blocks, moments, center, batch, refit, on_strength, near)
        else:
            if not rotated:
                for a in range(0, n, 8192):
                    shared.rotate(work[a : a + 8192])
                rotated = True
            data = Rows(work, y.astype(engine.dtype), None if s is None else s.astype(engine.dtype), offset, [(0, n)])
            G = shared.rotate_matrix(XX / total_weight)
            part = _fit_on_rows(engine, data, G, shared, splits, blocks, batch, refit, on_strength, near)
        part.seconds["fit"] = time.perf_counter() - began
        result = part if len(chosen) == q else _merge(result, part, chosen, q)
    for name, value in seconds.items():
        result.seconds[name] = result.seconds.get(name, 0.0) + value
    return result


def _order_by_fold(n: int, splits: list[tuple[np.ndarray, np.ndarray]]) -> tuple[np.ndarray, Ranges]:
    """Row order in which every fold's held-out rows are contiguous, and those ranges.

    Splits whose training rows are not just the complement of their test rows leave the order alone; they
    are then given copies of their rows.
    """
    if not _is_partition(n, splits):
        return np.arange(n), [(0, n)]
    order = np.concatenate([np.sort(test) for _, test in splits])
    edges = np.cumsum([0, *(len(test) for _, test in splits)])
    return order, [(int(a), int(b)) for a, b in pairwise(edges)]


def _is_partition(n: int, splits: list[tuple[np.ndarray, np.ndarray]]) -> bool:
    if not splits:
        return False
    tested = np.concatenate([test for _, test in splits])
    if len(tested) != n or len(np.unique(tested)) != n:
        return False
    return all(len(train) == n - len(test) and not np.isin(train, test).any() for train, test in splits)


def _complement(blocks: Ranges, fold: int) -> Ranges:
    """Row ranges of all folds but one."""
    first, last = blocks[fold]
    return [(a, b) for a, b in ((0, first), (last, blocks[-1][1])) if b > a]


def _centred_copy(X: np.ndarray, order: np.ndarray, center: np.ndarray, dtype: Any) -> np.ndarray:
    work = np.empty(X.shape, dtype)
    for a in range(0, len(X), 4096):
        # the difference in float64: a column with a large mean keeps its digits
        work[a : a + 4096] = X[order[a : a + 4096]] - center
    return work


def _restrict(settings: Settings, neurons: np.ndarray) -> Settings:
    if settings.lambdas is None:
        return settings
    return replace(settings, lambdas=settings.lambdas[:, neurons])


def _grid(settings: Settings, null_gradient: np.ndarray, fittable: np.ndarray) -> np.ndarray:
    """Strengths (n_lambdas, n_neurons), geometric from each neuron's λ_max."""
    if settings.lambdas is not None:
        return settings.lambdas
    top = settings.penalty.lambda_max(null_gradient)
    # a neuron without a fit borrows a grid, so that the array has no holes
    usable = fittable & (top > 0)
    top = np.where(usable, top, np.median(top[usable]) if usable.any() else 1.0)
    # just above λ_max, so that rounding cannot let a weight in at the first strength
    return top * 1.001 * settings.lambda_min_ratio ** np.linspace(0, 1, settings.n_lambdas)[:, None]


def _begin(loss: Loss, objective: Any, model: QuadraticModel, sums: ResponseSums, fit_intercept: bool) -> Fit:
    fittable = sums.fittable(loss)
    intercept = null_intercept(loss, sums) if fit_intercept else np.zeros(len(sums.mean))
    scale = np.maximum(sums.null - sums.saturated, np.finfo(float).tiny)
    return start_fit(loss, objective, model, np.flatnonzero(fittable), intercept, scale, sums.saturated)


def _fit_on_rows(
    engine, data: Rows, G, coordinates, splits, blocks, settings: Settings, refit, on_strength, start
) -> PopulationFit:
    loss, penalty = settings.loss, settings.penalty
    if penalty.R is not None:
        penalty = replace(penalty, R=coordinates.rotate_matrix(penalty.R), product=engine.product)
    model = QuadraticModel(engine, G, penalty)
    partition = len(blocks) == len(splits) > 1

    def fit_to(rows: Rows) -> Fit:
        objective = RowObjective(
            engine, loss, rows.X, rows.Y, rows.weights, rows.offset, rows.ranges, settings.fit_intercept
        )
        sums = response_sums(loss, rows.Y, rows.weights, rows.ranges)
        return _begin(loss, objective, model, sums, settings.fit_intercept)

    def training_rows(fold: int) -> Rows:
        if partition:
            return Rows(data.X, data.Y, data.weights, data.offset, _complement(blocks, fold))
        return _take_rows(data, splits[fold][0])

    full = fit_to(data)
    folds = [fit_to(training_rows(fold)) for fold in range(len(splits))]
    fittable = np.zeros(len(data.Y), bool)
    fittable[full.fittable] = True
    lambdas = _grid(settings, full.at.grad, fittable)
    if settings.first_order is not None:
        full_path, fold_paths = walk_first_order(
            settings.first_order,
            full if refit else None,
            folds,
            lambdas,
            settings.tol,
            settings.max_iter,
            on_strength,
        )
    else:
        full_path, fold_paths = walk_path(
            full if refit else None,
            folds,
            lambdas,
            settings.tol,
            settings.max_iter,
            True,
            on_strength,
            _guides(start, [coordinates] * (len(splits) + refit)),
        )
    cv_deviance = np.zeros((len(splits), *lambdas.shape))
    for fold, path in enumerate(fold_paths):
        held_out = data if partition else _take_rows(data, splits[fold][1])
        ranges = [blocks[fold]] if partition else held_out.ranges
        cv_deviance[fold] = _deviance(engine, loss, held_out, ranges, path)
    return _collect(full_path, fold_paths, [coordinates] * (len(splits) + 1), lambdas, fittable, folds, cv_deviance)


def _take_rows(data: Rows, index: np.ndarray) -> Rows:
    def cut(array: np.ndarray | None) -> np.ndarray | None:
        return None if array is None else np.ascontiguousarray(array[..., index])

    return Rows(data.X[index], cut(data.Y), cut(data.weights), cut(data.offset), [(0, len(index))])


def _deviance(engine: Any, loss: Loss, data: Rows, ranges: Ranges, path: Path) -> np.ndarray:
    """Deviance of held-out rows at every strength, shape (n_lambdas, n_neurons)."""
    n_lambdas, q, p = path.W.shape
    W, b = path.W.reshape(-1, p), path.b.reshape(-1, 1).astype(engine.dtype)

    def part(first: int, last: int) -> tuple[np.ndarray, np.ndarray]:
        eta = engine.product(W, data.X[first:last].T)
        eta += b
        if data.offset is not None:
            eta += data.offset[first:last]
        y = data.Y[:, first:last]
        value = loss.value(engine.xp, eta.reshape(n_lambdas, q, -1), y)
        floor = loss.saturated(y)
        if data.weights is not None:
            s = data.weights[..., first:last]
            value, floor = np.where(s > 0, s * value, 0), np.where(s > 0, s * floor, 0)
        return value.sum(axis=2, dtype=float), floor.sum(axis=1)

    chunks = [(f + a, f + z) for f, end in ranges for a, z in engine.row_chunks(end - f)]
    parts = engine.map(part, chunks)
    value, floor = sum(v for v, _ in parts), sum(f for _, f in parts)
    return np.maximum(2 * (value - floor), 0)


def _fit_on_grams(
    engine, work, y, weights, splits, blocks, moments, center, settings: Settings, refit, on_strength, start
) -> PopulationFit:
    """Gaussian fits of all rows and of every fold from sums over rows alone; a fold's are total minus held out."""
    y_shift = np.average(y, axis=1, weights=weights) if settings.fit_intercept else np.zeros(len(y))
    y = y - y_shift[:, None]
    y_fast = y.astype(engine.dtype)

    def sums_of(rows: Any, moment: tuple[np.ndarray, np.ndarray]) -> list[np.ndarray]:
        s = np.ones(y[:, rows].shape[1]) if weights is None else weights[rows]
        ys = y[:, rows] * s
        xy = np.asarray(engine.product(ys.astype(engine.dtype), work[rows]), float)
        return [s.sum(), moment[1], moment[0], ys.sum(axis=1), xy, np.einsum("ij,ij->i", ys, y[:, rows])]

    partition = len(blocks) == len(splits) > 1
    held = [sums_of(slice(a, b), m) for (a, b), m in zip(blocks, moments, strict=True)]
    total = [sum(parts) for parts in zip(*held, strict=True)]
    if partition:
        train = [[t - h for t, h in zip(total, fold, strict=True)] for fold in held]
    else:

        def sums_at(index: np.ndarray) -> list[np.ndarray]:
            s = None if weights is None else weights[index]
            return sums_of(index, gram(engine, work[index], s))

        train, held = [sums_at(a) for a, _ in splits], [sums_at(b) for _, b in splits]

    def fit_to(sums: list[np.ndarray], rows: Ranges | np.ndarray) -> tuple[Fit, Coordinates]:
        s, x, XX, ysum, XY, yy = sums
        x_mean, y_mean = x / s, ysum / s
        if not settings.fit_intercept:
            x_mean, y_mean = np.zeros_like(x_mean), np.zeros_like(y_mean)
        G, C = XX / s - np.outer(x_mean, x_mean), XY / s - np.outer(y_mean, x_mean)
        coordinates = Coordinates.fit(engine, center + x_mean, G, settings.penalty.block_sizes)
        penalty = settings.penalty
        if penalty.R is not None:
            penalty = replace(penalty, R=coordinates.rotate_matrix(penalty.R), product=engine.product)
        model = QuadraticModel(engine, coordinates.rotate_matrix(G), penalty)
        objective = GramObjective(engine, model.G, coordinates.rotate(C.copy()), yy / s - y_mean**2, y_mean + y_shift)
        data = y_fast if isinstance(rows, list) else y_fast[:, rows]
        s_rows = weights if weights is None or isinstance(rows, list) else weights[rows]
        ranges = rows if isinstance(rows, list) else [(0, len(rows))]
        response = response_sums(settings.loss, data, s_rows, ranges)
        response.mean = response.mean + y_shift
        return _begin(settings.loss, objective, model, response, settings.fit_intercept), coordinates

    full, full_coordinates = fit_to(total, [(0, y.shape[1])])
    pairs = [
        fit_to(sums, _complement(blocks, fold) if partition else splits[fold][0]) for fold, sums in enumerate(train)
    ]
    folds = [fit for fit, _ in pairs]
    fittable = np.zeros(len(y), bool)
    fittable[full.fittable] = True
    lambdas = _grid(settings, full.at.grad, fittable)
    coordinates = [full_coordinates, *(c for _, c in pairs)]
    full_path, fold_paths = walk_path(
        full if refit else None,
        folds,
        lambdas,
        settings.tol,
        settings.max_iter,
        False,
        on_strength,
        _guides(start, coordinates[not refit :]),
    )
    result = _collect(
        full_path, fold_paths, coordinates, lambdas, fittable, folds, np.zeros((len(splits), *lambdas.shape))
    )
    for fold, (s, x, XX, ysum, XY, yy) in enumerate(held):
        for k in range(len(lambdas)):
            w = result.cv_coef[fold, k].astype(float)
            # in the centred copy's coordinates, where the sums were taken
            b = result.cv_intercept[fold, k] + w @ center - y_shift
            cross = np.einsum("ij,ij->i", w, XY - np.outer(b, x))
            square = np.einsum("ij,ij->i", engine.product(w, XX), w)
            result.cv_deviance[fold, k] = np.maximum(yy - 2 * b * ysum + b * b * s - 2 * cross + square, 0)
    return result


def _guides(start: np.ndarray | None, coordinates: list[Coordinates]) -> list[np.ndarray] | None:
    """The start of every fit in its own coordinates."""
    if start is None:
        return None
    return [
        own.rotate(path.reshape(-1, path.shape[-1]).copy()).reshape(path.shape)
        for path, own in zip(start, coordinates, strict=True)
    ]


def _collect(full, fold_paths, coordinates, lambdas, fittable, folds, cv_deviance) -> PopulationFit:
    """Paths in the user's columns; coordinates: of the fit to all rows, then of each fold."""
    paths = [full, *fold_paths]
    n_lambdas, q = lambdas.shape
    p = len(coordinates[0].center)
    dtype = np.float64
    coef = np.zeros((len(paths), n_lambdas, q, p), fold_paths[0].W.dtype if full is None else full.W.dtype)
    intercept, gap, objective = (np.full((len(paths), n_lambdas, q), np.nan) for _ in range(3))
    n_iter = np.zeros((len(paths), n_lambdas, q), int)
    seconds: dict[str, float] = {}
    for i, (path, own) in enumerate(zip(paths, coordinates, strict=True)):
        if path is None:
            continue
        for k in range(n_lambdas):
            w, intercept[i, k] = own.weights(path.W[k].astype(dtype), path.b[k])
            coef[i, k] = w
        gap[i], n_iter[i], objective[i] = path.gap, path.n_iter, path.objective
        for name, value in path.seconds.items():
            seconds[name] = seconds.get(name, 0.0) + value
    cv_fittable = np.zeros((len(folds), q), bool)
    for i, fit in enumerate(folds):
        cv_fittable[i, fit.fittable] = True
    return PopulationFit(
        coef[0], intercept[0], gap[0], n_iter[0], objective[0], lambdas, fittable,
        coef[1:], intercept[1:], gap[1:], n_iter[1:], cv_deviance, cv_fittable,
        [] if full is None else full.trace, seconds,
    )  # fmt: skip


#: Position of the neuron axis in every array of a `PopulationFit`.
_NEURON_AXIS = {
    "coef": 1, "intercept": 1, "gap": 1, "n_iter": 1, "objective": 1, "lambdas": 1, "fittable": 0,
    "cv_coef": 2, "cv_intercept": 2, "cv_gap": 2, "cv_n_iter": 2, "cv_deviance": 2, "cv_fittable": 1,
}  # fmt: skip


def _merge(into: PopulationFit | None, part: PopulationFit, neurons: np.ndarray, q: int) -> PopulationFit:
    """Write a batch of neurons into the result for all ``q``."""
    arrays = {}
    for name, axis in _NEURON_AXIS.items():
        source = getattr(part, name)
        shape = list(source.shape)
        shape[axis] = q
        target = np.zeros(shape, source.dtype) if into is None else getattr(into, name)
        np.moveaxis(target, axis, 0)[neurons] = np.moveaxis(source, axis, 0)
        arrays[name] = target
    seconds = dict(into.seconds) if into is not None else {}
    for name, value in part.seconds.items():
        seconds[name] = seconds.get(name, 0.0) + value
    return PopulationFit(
        **arrays, trace=_add_traces(into.trace if into is not None else [], part.trace), seconds=seconds
    )


def _add_traces(first: list[list[float]], second: list[list[float]]) -> list[list[float]]:
    """Sum over the neurons of two batches, the shorter one resting at its last value."""
    added = []
    for a, b in zip_longest(first, second, fillvalue=[0.0]):
        length = max(len(a), len(b))
        added.append([x + y for x, y in zip(*(t + t[-1:] * (length - len(t)) for t in (a, b)), strict=True)])
    return added
