"""The loss at the nuisance parameters at which deviances are taken."""

from __future__ import annotations

from typing import Any

import numpy as np

from popglm.statistics.families import Family
from popglm.statistics.nuisance import first_parameters
from popglm.statistics.responses import response_sums

__all__ = ["deviance_loss", "held_out_null_deviance"]


def deviance_loss(model: Any, neurons: Any = slice(None), folds: Any = None) -> Family:
    """The family of a fitted model, for deviances of responses (n_samples, n_neurons).

    Parameters of a family are those of the model with an intercept alone: one value for all strengths, all variables
    and the null model, without which none of their deviances could be compared.

    Parameters
    ----------
    neurons : index
        Of the responses.
    folds : ndarray of int, shape (n_samples,), or int, optional
        Folds whose training rows the parameters come from, in place of all rows.
    """
    loss = model.loss_
    if not loss.parameters:
        return loss
    if folds is None:
        return loss.given(*(own[neurons] for own in model.deviance_parameters_.values()))
    return loss.given(*(own[np.asarray(folds)][..., neurons] for own in model.cv_deviance_parameters_.values()))


def held_out_null_deviance(model: Any, y: np.ndarray, s: np.ndarray, folds: np.ndarray) -> np.ndarray:
    """Deviance of held-out samples around their mean, shape (n_neurons,); NaN where none counts.

    Parameters
    ----------
    y, s : ndarray, shape (n_samples, n_neurons)
        Activity and its weights, 0 where it is not known.
    folds : ndarray of int, shape (n_samples,)
    """
    loss = model.loss_
    sums = response_sums(loss, y.T, s.T, [(0, len(y))], parameters=first_parameters(loss, y.shape[1]))
    null = sums.null * sums.total
    if loss.parameters:
        unit = deviance_loss(model, folds=folds).null(y, sums.mean)
        null = np.where(sums.constant, 0.0, np.einsum("ij,ij->j", s, unit))
    return np.where((s > 0).any(axis=0), 2 * null, np.nan)
