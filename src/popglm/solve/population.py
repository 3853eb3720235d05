"""From arrays to a fitted population: working coordinates, folds as row ranges, batches of neurons, the path."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Any

import numpy as np

from popglm.model.losses import Loss
from popglm.model.selection import fitted_strengths
from popglm.solve.folds import Folds, order_by_fold
from popglm.solve.grams import GramFits
from popglm.solve.result import PopulationFit, merge
from popglm.solve.rows import RowFits, Rows
from popglm.solve.settings import Settings, strengths
from popglm.solve.stream import RowStream, read_rows
from popglm.solve.sums import feature_sums

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
        Coefficients of a path that is near, of the fit to all rows (if ``refit``) and of every split. A split keeps
        what they say along directions that its rows leave undetermined, so they may come from nothing that has met its
        held-out activity: not from a fit to all rows, nor from that of another split.
    shares : sequence of engine
        Engines on several devices, each of which takes a share of the neurons; ``engine`` does the rest.
    schedule : {"auto", "path", "lockstep"}
        State on the host, or one fit after the other with state on the device; "auto" takes the second on an
        accelerator or several devices, unless X is a stream.
    """
    began = time.perf_counter()
    n, q = len(X), Y.shape[1]
    streamed = isinstance(X, RowStream)
    order, folds = order_by_fold(n, splits, max(SHORT_RANGE, (engine.window or 0) // 2) if streamed else None)
    center = _center(X, weights, settings.fit_intercept)
    weights = None if weights is None else np.asarray(weights, float)[order]
    offset = None if offset is None else np.asarray(offset, engine.dtype)[order]
    if streamed:
        work: Any = X.centred(center if settings.fit_intercept else None, engine.dtype, engine.n_workers)
    else:
        work = _centred_copy(X, order, center, engine.dtype)
    features, held = feature_sums(engine, work, weights, folds)
    seconds = {"prepare": time.perf_counter() - began}

    missing = np.isnan(Y.T[:, order])
    complete = _complete(missing, folds, settings.patience is not None)
    batches = []
    for wanted in (complete, ~complete):
        chosen = np.flatnonzero(wanted.any(axis=0))
        if not len(chosen):
            continue
        of_chosen = settings.of(chosen)
        on_grams = settings.loss == Loss("gaussian", "identity", convex=True) and wanted is complete
        on_grams &= settings.first_order is None and offset is None
        dtype = float if on_grams else engine.dtype
        y = np.ascontiguousarray(Y.T[np.ix_(chosen, order)], dtype=dtype)
        np.nan_to_num(y, copy=False, nan=0.0)
        plain = None if weights is None else weights.astype(dtype)
        recorded = plain
        if missing[chosen].any():
            recorded = np.where(missing[chosen], 0.0, 1.0 if weights is None else weights).astype(dtype)
        scored = Rows(work, y, recorded, offset, [(0, n)])
        # in the rows of its fits a complete neuron has no other weights than the rows
        data = replace(scored, weights=plain) if wanted is complete else scored
        near = None if start is None else start[:, :, chosen]
        common = engine, data, scored, center, features
        rest = folds, of_chosen, wanted[:, chosen], refit, on_strength, near
        fits = GramFits(*common, held, *rest) if on_grams else RowFits(*common, *rest, shares, schedule)
        batches.append((chosen, fits))

    lambdas = settings.lambdas
    if lambdas is None:
        lambdas = np.zeros((settings.n_lambdas, q))
        for chosen, fits in batches:
            own = fits.wanted[0]
            lambdas[:, chosen[own]] = strengths(settings, fits.fittable & own, fits.null_gradient)[:, own]
    result = None
    for chosen, fits in batches:
        began = time.perf_counter()
        part = fits.fit(lambdas[:, chosen])
        part.seconds["fit"] = time.perf_counter() - began
        result = part if fits.wanted.all() and len(chosen) == q else merge(result, part, chosen, fits.wanted, q)
    for name, value in seconds.items():
        result.seconds[name] = result.seconds.get(name, 0.0) + value
    if streamed:
        work.close()
    _leave_out_unscored(result, missing, weights, folds)
    if settings.patience is not None:
        result.cut(fitted_strengths(result.cv_deviance, settings.patience))
    return result


def _complete(missing: np.ndarray, folds: Folds, alike: bool) -> np.ndarray:
    """Neurons that are known in all rows of the fit to all rows and of each fold's, shape (1 + n_folds, n_neurons).

    A fold's rows decide alone how it is fitted, unless all fits of a neuron have to be ``alike``.

    Parameters
    ----------
    missing : ndarray of bool, shape (n_neurons, n_samples)
    """
    counts = folds.counts(missing.shape[1]) > 0
    known = np.stack([~missing[:, rows].any(axis=1) for rows in counts])
    return np.tile(known.all(axis=0), (len(known), 1)) if alike else known


def _leave_out_unscored(result: PopulationFit, missing: np.ndarray, weights: np.ndarray | None, folds: Folds) -> None:
    """Set held-out deviance to NaN where a fold holds out no sample of a neuron that has a weight."""
    for deviance, part in zip(result.cv_deviance, folds.test, strict=True):
        tested = part.counted(missing.shape[1]) * (1.0 if weights is None else weights) > 0
        scored = (~missing[:, tested]).any(axis=1)
        deviance[:, ~scored] = np.nan


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
