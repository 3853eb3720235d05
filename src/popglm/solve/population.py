"""From arrays to a fitted population: working coordinates, folds as row ranges, batches of neurons, the path."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Any

import numpy as np

from popglm.model.losses import Loss
from popglm.solve.coordinates import Coordinates, gram
from popglm.solve.folds import Part, order_by_fold
from popglm.solve.grams import fit_on_grams
from popglm.solve.result import PopulationFit, merge
from popglm.solve.rows import Rows, fit_on_rows
from popglm.solve.settings import Settings
from popglm.solve.stream import RowStream, read_rows
from popglm.solve.units import in_units, shared_decade

__all__ = ["PopulationFit", "Settings", "fit_population"]


#: Row ranges on disk that are shorter on average are not worth a matrix product each.
SHORT_RANGE = 64


def fit_population(
    engine: Any,
    X: Any,
    Y: np.ndarray,
    weights: np.ndarray | None,
    offset: np.ndarray | None,
    splits: list[tuple[np.ndarray, np.ndarray]],
    settings: Settings,
    refit: bool = True,
    on_strength: Callable[[int, int], Any] | None = None,
    start: np.ndarray | None = None,
    shares: Sequence[Any] = (),
    schedule: str = "auto",
) -> PopulationFit:
    """Fit every neuron over all strengths, to all rows and to the training rows of every split.

    Parameters
    ----------
    X : ndarray or RowStream, shape (n_samples, n_features)
        A stream is read block by block in every pass, and never held whole.
    Y : ndarray, shape (n_samples, n_neurons)
        NaN where a neuron was not recorded.
    weights, offset : ndarray, shape (n_samples,), or None
    splits : list of (train, test) row indices
    start : ndarray, shape (n_fits, n_lambdas, n_neurons, n_features), optional
        Coefficients of a path that is near, of the fit to all rows (if ``refit``) and of every split.
    shares : sequence of engine
        Engines on several devices, each of which takes a share of the neurons; ``engine`` does the rest.
    schedule : {"auto", "path", "lockstep"}
        One fit after the other with state on the host, or all at once with state on the device; "auto" takes the second
        on an accelerator or several devices, unless X is a stream.
    """
    began = time.perf_counter()
    n, q = len(X), Y.shape[1]
    streamed = isinstance(X, RowStream)
    order, folds = order_by_fold(n, splits, max(SHORT_RANGE, (engine.window or 0) // 2) if streamed else None)
    center = _center(X, weights, settings.fit_intercept)
    weight_unit, weights = _scaled(None if weights is None else np.asarray(weights, float)[order])
    level, offset = _centred_offset(None if offset is None else np.asarray(offset, float)[order], weights, settings)
    if streamed:
        work: Any = X.centred(center if settings.fit_intercept else None, engine.dtype, engine.n_workers)
    else:
        work = _centred_copy(X, order, center, engine.dtype)
    parts = folds.test if folds.partition else [Part([(0, n)])]
    grams = [gram(engine, work, part.weighted(weights), part.ranges) for part in parts]
    G = sum(XX for XX, _ in grams) / float(n if weights is None else weights.sum())
    shared = Coordinates.fit(engine, center, G, settings.penalty.block_sizes)
    seconds = {"prepare": time.perf_counter() - began}

    incomplete = np.isnan(Y).any(axis=0)
    in_response = offset is not None and settings.loss == Loss("gaussian", "identity", convex=True)
    result = None
    rotated = False
    for chosen, decade in _together(settings, Y, incomplete):
        began = time.perf_counter()
        complete = not incomplete[chosen[0]]
        batch = settings.of(chosen)
        near = None if start is None else start[:, :, chosen]
        on_grams = batch.loss == Loss("gaussian", "identity", convex=True) and complete
        on_grams &= batch.first_order is None
        dtype = float if on_grams else engine.dtype
        y = np.ascontiguousarray(Y.T[np.ix_(chosen, order)], dtype=float)
        if in_response:
            # an offset of the mean itself is as good as taken from the activity
            y -= offset
        s = weights
        if not complete:
            s = np.where(np.isnan(y), 0.0, 1.0 if weights is None else weights)
            np.nan_to_num(y, copy=False, nan=0.0)
        at = None if in_response else offset
        units = in_units(batch.loss, batch.penalty, batch.fit_intercept, y, s, at, decade)
        batch = batch.in_units(units)
        if near is not None:
            near = near / units.weight[:, None]
        if batch.loss.family == "bernoulli" and not np.any((y > 0) & (y < 1)):
            batch = replace(batch, loss=replace(batch.loss, binary=True))
        y, s, at = (None if a is None else a.astype(dtype) for a in (y, s, at))
        data = Rows(work, y, s, at, [(0, n)])
        if on_grams:
            part = fit_on_grams(engine, data, center, grams, folds, batch, refit, on_strength, near)
        else:
            if not rotated and not streamed:
                for a in range(0, n, 8192):
                    shared.rotate(work[a : a + 8192])
                rotated = True
            part = fit_on_rows(
                engine,
                data,
                rotated,
                shared.rotate_matrix(G),
                shared,
                folds,
                batch,
                refit,
                on_strength,
                near,
                shares,
                schedule,
            )
        part.translate(units, level, weight_unit)
        part.seconds["fit"] = time.perf_counter() - began
        result = part if len(chosen) == q else merge(result, part, chosen, q)
    for name, value in seconds.items():
        result.seconds[name] = result.seconds.get(name, 0.0) + value
    if streamed:
        work.close()
    return result


def _together(settings: Settings, Y: np.ndarray, incomplete: np.ndarray) -> list[tuple[np.ndarray, float]]:
    """Neurons that are fitted in one batch, and the decade of their rates where they must share a unit.

    Those with all samples have a batch, and those without; each decade has.
    """
    decade = np.zeros(Y.shape[1])
    if settings.penalty.R is not None and settings.loss == Loss("poisson", "exp", convex=True):
        decade = shared_decade(Y)
    return [
        (np.flatnonzero((incomplete == some) & (decade == one)), float(one))
        for some in (False, True)
        for one in np.unique(decade[incomplete == some])
    ]


def _scaled(weights: np.ndarray | None) -> tuple[float, np.ndarray | None]:
    """A power of two, and weights over it, of about 1: only their ratios matter to a fit."""
    if weights is None:
        return 1.0, None
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


def _center(X: Any, weights: np.ndarray | None, fit_intercept: bool) -> np.ndarray:
    """What is taken from every column: its mean, or nothing where no intercept could make up for it."""
    if not fit_intercept:
        return np.zeros(X.shape[1])
    if not isinstance(X, RowStream):
        return np.asarray(np.average(X, axis=0, weights=weights), float)
    s = np.ones(len(X)) if weights is None else np.asarray(weights, float)
    total = np.zeros(X.shape[1])
    for first, last, rows in read_rows(X):
        for a in range(0, last - first, 1024):
            # piecewise: this product is in float64, and would be twice the block
            total += s[first:last][a : a + 1024] @ rows[a : a + 1024]
    return total / s.sum()


def _centred_copy(X: np.ndarray, order: np.ndarray, center: np.ndarray, dtype: Any) -> np.ndarray:
    work = np.empty(X.shape, dtype)
    for a in range(0, len(X), 4096):
        # the difference in float64: a column with a large mean keeps its digits
        work[a : a + 4096] = X[order[a : a + 4096]] - center
    return work
