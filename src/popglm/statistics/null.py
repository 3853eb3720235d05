"""The null model of every neuron: its weights are 0, and a candidate beside the strengths of every grid."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from popglm.statistics.families import Family
from popglm.statistics.responses import Ranges, ResponseSums, response_sums, sums_of_parts

__all__ = ["FEW_EVENTS", "NullModels", "null_models"]

#: Below as many events a fit is worth a warning, and has to beat the null model by a margin.
FEW_EVENTS = 10
#: Likelihood ratio by which the held-out events of such a neuron must favour a model over the null model. Under the
#: null model a ratio above 1/α has a probability of α at most, since its mean is 1 (Ville 1939).
EVIDENCE = 100.0
#: Two folds share the product of their events, each of which predicts the other: the ratio counts twice.
SHARED = 2.0
#: Neurons × samples at a time.
BLOCK_ELEMENTS = 2**22
#: Folds up to which sums over rows are put together from pieces of the rows.
MOST_PIECES = 64

Splits = list[tuple[np.ndarray, np.ndarray]]


@dataclass
class NullModels:
    """Null models of the fit to all rows and of the folds.

    Attributes
    ----------
    intercept : ndarray, shape (n_neurons,)
    cv_intercept : ndarray, shape (n_folds, n_neurons)
    cv_deviance : ndarray, shape (n_folds, n_neurons)
        Of the rows that each fold holds out, summed; NaN where there are none, and in folds that train on none.
    n_events : ndarray of int, shape (n_neurons,)
        Samples of positive weight with activity; all samples for families without events; successes of trials.
    margin : ndarray, shape (n_neurons,)
        Held-out deviance by which a model must beat the null model.
    parameters : ndarray, shape (n_neurons, n_parameters)
        Of the family, estimated beside an intercept and the offset.
    cv_parameters : ndarray, shape (n_folds, n_neurons, n_parameters)
        The same, of the folds' training rows; those at which ``cv_deviance`` is taken.
    """

    intercept: np.ndarray
    cv_intercept: np.ndarray
    cv_deviance: np.ndarray
    n_events: np.ndarray
    margin: np.ndarray
    parameters: np.ndarray
    cv_parameters: np.ndarray

    def take(self, neurons: np.ndarray) -> NullModels:
        """Those of some neurons, each as often as it is asked for."""
        return NullModels(
            self.intercept[neurons], self.cv_intercept[:, neurons], self.cv_deviance[:, neurons],
            self.n_events[neurons], self.margin[neurons], self.parameters[neurons], self.cv_parameters[:, neurons],
        )  # fmt: skip


def null_models(
    loss: Family,
    Y: np.ndarray,
    weights: np.ndarray | None,
    offset: np.ndarray | None,
    splits: list[tuple[np.ndarray, np.ndarray]],
    fit_intercept: bool,
) -> NullModels:
    """Fit the intercepts of the null models, and score those of the folds.

    Parameters
    ----------
    Y : ndarray, shape (n_samples, n_neurons)
        NaN where a neuron was not recorded.
    weights : ndarray, shape (n_samples,) or (n_samples, n_neurons), or None
    offset : ndarray, shape (n_samples,), or None
    splits : list of (train, test) row indices
    fit_intercept : bool
        Without, the null model is the offset alone.
    """
    n, q = Y.shape
    m, folds = len(loss.parameters), (len(splits), q)
    found = NullModels(
        np.zeros(q), np.zeros(folds), np.full(folds, np.nan), np.zeros(q, int), np.zeros(q), np.zeros((q, m)),
        np.zeros((*folds, m)),
    )  # fmt: skip
    together = None
    if loss.is_exponential and not loss.parameters and offset is None:
        together = _ranges_of_folds(n, splits)
    order = slice(None) if together is None else together[0]
    width = max(1, BLOCK_ELEMENTS // n)
    for first in range(0, q, width):
        at = slice(first, first + width)
        y = np.ascontiguousarray(Y[order, at].T, dtype=float)
        known = ~np.isnan(y)
        s = None
        if weights is not None or not known.all():
            y = np.where(known, y, 0.0)
            s = known * (1.0 if weights is None else _of_rows(weights, order, at))
        if together is None:
            _null_models_by_fold(found, at, loss, (y, s, offset), splits, fit_intercept)
        else:
            _null_models_at_once(found, at, loss, (y, s), together[1:], fit_intercept)
    return found


def _of_rows(weights: np.ndarray, order: Any, neurons: slice) -> np.ndarray:
    """Weights of some rows, of some neurons where each has its own; neurons first."""
    return weights[order] if weights.ndim == 1 else weights[order, neurons].T


def _ranges_of_folds(n: int, splits: Splits) -> tuple[np.ndarray, list[Ranges], list[Ranges]] | None:
    """An order of the rows in which all training and test rows are whole ranges; None where there is none.

    Returns
    -------
    order : ndarray of int, shape (n_samples,)
    train, test : list of lists of (first, last)
    """
    if len(splits) > MOST_PIECES:
        return None
    # 0 for rows that no fold holds out
    piece = np.zeros(n, int)
    for i, (_, test) in enumerate(splits):
        piece[test] = 1 + i
    size = np.bincount(piece, minlength=1 + len(splits))
    stops = np.cumsum(size)
    ranges = list(zip((stops - size).tolist(), stops.tolist(), strict=True))
    found: tuple[list[Ranges], list[Ranges]] = [], []
    for split in splits:
        for rows, of_folds in zip(split, found, strict=True):
            held = np.bincount(piece[rows], minlength=len(size))
            often = np.bincount(rows, minlength=n).max(initial=0)
            if often > 1 or ((held > 0) & (held < size)).any():
                return None
            of_folds.append([own for own, number in zip(ranges, held, strict=True) if number])
    return np.argsort(piece, kind="stable"), *found


def _null_models_at_once(
    found: NullModels,
    at: slice,
    loss: Family,
    samples: tuple[np.ndarray, np.ndarray | None],
    parts: tuple[list[Ranges], list[Ranges]],
    fit_intercept: bool,
) -> None:
    """The models ``at`` some neurons, from sums over pieces of the rows.

    Parameters
    ----------
    parts : tuple of (train, test)
        Of every fold.
    """
    train, test = parts
    whole, *each = sums_of_parts(loss, *samples, [[(0, samples[0].shape[1])], *train, *test])
    _keep_whole(found, at, loss, samples, whole, fit_intercept)
    for fold, (trained, held) in enumerate(zip(each[: len(train)], each[len(train) :], strict=True)):
        found.cv_intercept[fold, at] = fit_intercept * trained.intercept
        eta = found.cv_intercept[fold, at]
        # a Bregman divergence; see `Family.null`
        apart = loss.deviance(eta[:, None], held.mean[:, None])[:, 0]
        total = held.total * (2 * held.null + apart)
        found.cv_deviance[fold, at] = np.where((held.n > 0) & (trained.n > 0), total, np.nan)


def _null_models_by_fold(
    found: NullModels,
    at: slice,
    loss: Family,
    samples: tuple[np.ndarray, np.ndarray | None, np.ndarray | None],
    splits: Splits,
    fit_intercept: bool,
) -> None:
    """The models ``at`` some neurons, of each fold from its rows."""
    y, s, offset = samples
    s = np.ones(y.shape) if s is None else s
    whole = response_sums(loss, y, s, [(0, y.shape[1])], offset)
    _keep_whole(found, at, loss, (y, s), whole, fit_intercept)
    for fold, (train, test) in enumerate(splits):
        if fit_intercept or loss.parameters:
            own = None if offset is None else offset[train]
            sums = response_sums(loss, y[:, train], s[:, train], [(0, len(train))], own)
            found.cv_intercept[fold, at] = fit_intercept * sums.intercept
            found.cv_parameters[fold, at] = sums.parameters
        eta = np.broadcast_to(found.cv_intercept[fold, at][:, None], (len(y), len(test)))
        eta = eta if offset is None else eta + offset[test]
        unit = loss.at(found.cv_parameters[fold, at]).deviance(eta, y[:, test])
        scored = s[:, test] > 0
        total = np.where(scored, s[:, test] * np.where(scored, unit, 0), 0).sum(axis=1)
        # a fold that knows nothing of a neuron predicts nothing of it
        is_known = scored.any(axis=1) & (s[:, train] > 0).any(axis=1)
        found.cv_deviance[fold, at] = np.where(is_known, total, np.nan)


def _keep_whole(
    found: NullModels,
    at: slice,
    loss: Family,
    samples: tuple[np.ndarray, np.ndarray | None],
    sums: ResponseSums,
    fit_intercept: bool,
) -> None:
    """What all rows say of some neurons."""
    found.n_events[at] = sums.n_events if loss.has_events else sums.n
    found.margin[at] = _margins(loss, samples, sums)
    found.intercept[at], found.parameters[at] = fit_intercept * sums.intercept, sums.parameters


def _margins(loss: Family, samples: tuple[np.ndarray, np.ndarray | None], sums: ResponseSums) -> np.ndarray:
    """In the unit of the deviance: that of an event of mean size, in a share of the samples; 0 but for few events."""
    found, few = np.zeros(len(sums.n)), np.flatnonzero(sums.n_events < FEW_EVENTS)
    if not (loss.has_events and len(few)):
        return found
    (y, s), n_events = samples, sums.n_events[few]
    total = n_events if loss.has_trials else np.where(True if s is None else s[few] > 0, y[few], 0).sum(axis=1)
    size = total / np.maximum(n_events, 1)
    unit = loss.deviance_of_event(size, n_events / np.maximum(sums.n[few], 1))
    found[few] = 2 * SHARED * np.log(EVIDENCE) * unit
    return found
