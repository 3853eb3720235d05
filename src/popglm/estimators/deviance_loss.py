"""The loss at the nuisance parameters at which deviances are taken, and at those of a fit."""

from __future__ import annotations

from typing import Any

import numpy as np

from popglm.statistics.families import Family
from popglm.statistics.nuisance import first_parameters
from popglm.statistics.responses import response_sums

__all__ = [
    "deviance_loss",
    "fitted_loss",
    "held_out_null_deviance",
    "known_in",
    "null_unit_deviance",
    "scored_by_folds",
    "trained_folds",
]


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
    return _given(model, "deviance_parameters_", neurons, folds)


def fitted_loss(model: Any, neurons: Any = slice(None), folds: Any = None) -> Family:
    """The same at the parameters of the fits themselves, for means and likelihoods."""
    return _given(model, "family_parameters_", neurons, folds)


def _given(model: Any, name: str, neurons: Any, folds: Any) -> Family:
    loss = model.loss_
    if not loss.parameters:
        return loss
    if folds is None:
        return loss.given(*(own[neurons] for own in getattr(model, name).values()))
    return loss.given(*(own[np.asarray(folds)][..., neurons] for own in getattr(model, f"cv_{name}").values()))


def null_unit_deviance(
    model: Any, y: np.ndarray, s: np.ndarray, folds: np.ndarray | None, neurons: Any = slice(None)
) -> np.ndarray:
    """Unit deviance of samples around the best constant prediction of all of them, shape (n_samples, n_neurons).

    Parameters
    ----------
    y, s : ndarray, shape (n_samples, n_neurons)
        Activity and its weights, 0 where it is not known.
    folds : ndarray of int, shape (n_samples,), or None
    neurons : index
    """
    loss, own = model.loss_, deviance_loss(model, neurons, folds)
    sums = response_sums(loss, y.T, s.T, [(0, len(y))], parameters=first_parameters(loss, y.shape[1]))
    if loss.is_exponential:
        unit = 2 * own.null(y, sums.mean)
    else:
        unit = own.deviance(_best_constant(model, y, s, folds, neurons), y)
    # rounding of the mean leaves a trace of deviance in a neuron that does not vary
    return np.where(sums.constant, 0.0, unit)


def _best_constant(model: Any, y: np.ndarray, s: np.ndarray, folds: np.ndarray | None, neurons: Any) -> np.ndarray:
    """Predictors that do not vary, each the best for all samples under the parameters of one fold, of its samples."""

    def intercept(fold: int | None) -> np.ndarray:
        own = deviance_loss(model, neurons, fold)
        parameters = np.stack([getattr(own, parameter.name) for parameter in own.parameters], axis=1)
        return response_sums(model.loss_, y.T, s.T, [(0, len(y))], parameters=parameters).intercept

    if folds is None:
        return intercept(None)
    every, place = np.unique(folds, return_inverse=True)
    return np.stack([intercept(int(fold)) for fold in every])[place]


def trained_folds(s: np.ndarray, splits: list[tuple[np.ndarray, np.ndarray]]) -> np.ndarray:
    """Whether a fold trains on anything of a neuron, shape (n_folds, n_neurons); ``s`` (n_samples, n_neurons) counts.

    Examples
    --------
    >>> trained_folds(np.array([[1, 0], [1, 1]]), [(np.array([0]), np.array([1])), (np.array([1]), np.array([0]))])
    array([[ True, False],
           [ True,  True]])
    """
    return known_in([train for train, _ in splits], s)


def known_in(parts: list[np.ndarray], s: np.ndarray) -> np.ndarray:
    """Whether some rows count anything of a neuron, shape (n_parts, n_neurons); ``s`` (n_samples, n_neurons) counts."""
    counts = s > 0
    if counts.all():
        return np.repeat([[len(rows) > 0] for rows in parts], s.shape[1], axis=1).reshape(len(parts), s.shape[1])
    return np.array([counts[rows].any(axis=0) for rows in parts], bool).reshape(len(parts), s.shape[1])


def scored_by_folds(model: Any, s: np.ndarray, folds: np.ndarray) -> np.ndarray:
    """Weights of held-out samples (n_samples, n_neurons), 0 where the fold of a sample trained on nothing of a neuron.

    Models from files of earlier revisions scored such samples, too, and still do.
    """
    trained = getattr(model, "cv_trained_", None)
    return s if trained is None or trained.all() else s * trained[folds]


def held_out_null_deviance(model: Any, y: np.ndarray, s: np.ndarray, folds: np.ndarray) -> np.ndarray:
    """Deviance of held-out samples around their mean, shape (n_neurons,); NaN where none counts.

    Parameters
    ----------
    y, s : ndarray, shape (n_samples, n_neurons)
        Activity and its weights, 0 where it is not known.
    folds : ndarray of int, shape (n_samples,)
    """
    s, loss = scored_by_folds(model, s, folds), model.loss_
    if loss.is_exponential and not loss.parameters:
        sums = response_sums(loss, y.T, s.T, [(0, len(y))])
        return np.where(sums.n > 0, 2 * sums.null * sums.total, np.nan)
    null = np.einsum("ij,ij->j", s, null_unit_deviance(model, y, s, folds))
    return np.where((s > 0).any(axis=0), null, np.nan)
