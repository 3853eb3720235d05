"""The null model of every neuron: its weights are 0, and a candidate beside the strengths of every grid."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from popglm.statistics.families import Family
from popglm.statistics.responses import response_sums

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
    width = max(1, BLOCK_ELEMENTS // n)
    for first in range(0, q, width):
        at = slice(first, first + width)
        y = np.ascontiguousarray(Y[:, at].T, dtype=float)
        known = ~np.isnan(y)
        y = np.where(known, y, 0.0)
        s = known * (1.0 if weights is None else weights if weights.ndim == 1 else weights[:, at].T)
        active = (s > 0) & (y > 0 if loss.has_events else known)
        found.n_events[at] = np.rint(loss.events(y, s)[0]) if loss.has_events else active.sum(axis=1)
        total = found.n_events[at] if loss.has_trials else np.where(active, y, 0).sum(axis=1)
        found.margin[at] = _margin(loss, total, found.n_events[at], (s > 0).sum(axis=1))
        if fit_intercept or m:
            sums = response_sums(loss, y, s, [(0, n)], offset)
            found.intercept[at], found.parameters[at] = fit_intercept * sums.intercept, sums.parameters
        for fold, (train, test) in enumerate(splits):
            if fit_intercept or m:
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
    return found


def _margin(loss: Family, total: np.ndarray, n_events: np.ndarray, n: np.ndarray) -> np.ndarray:
    """In the unit of the deviance: that of an event of mean size, in a share of ``n`` samples."""
    if not loss.has_events:
        return np.zeros(len(total))
    size = total / np.maximum(n_events, 1)
    unit = loss.deviance_of_event(size, n_events / np.maximum(n, 1))
    return np.where(n_events < FEW_EVENTS, 2 * SHARED * np.log(EVIDENCE) * unit, 0.0)
