"""Choosing one strength per neuron from deviances at all of them."""

from __future__ import annotations

import warnings
from typing import Any

import numpy as np

__all__ = ["at_strengths", "fitted_strengths", "fraction_explained", "mean_and_error", "select_strengths"]


def fraction_explained(deviance: np.ndarray, null_deviance: np.ndarray) -> np.ndarray:
    """1 − D/D_null, 0 where D_null = 0 (a neuron that was silent in the scored samples), NaN where D_null is NaN.

    Examples
    --------
    >>> fraction_explained(np.array([30.0, 5.0, np.nan]), np.array([40.0, 0.0, np.nan]))
    array([0.25, 0.  ,  nan])
    """
    deviance, null_deviance = np.broadcast_arrays(deviance, null_deviance)
    live = null_deviance > 0
    fraction = 1 - deviance / np.where(live, null_deviance, 1)
    return np.where(live, fraction, np.where(np.isnan(null_deviance), np.nan, 0.0))


#: A model beats the null model where it gains more than this share of the null model's deviance: less is rounding.
LEAST_GAIN = 1e-6


def select_strengths(
    deviance: np.ndarray,
    lambdas: np.ndarray,
    se_fraction: float = 0.0,
    min_lambda: float = 0.0,
    null: np.ndarray | None = None,
    margin: np.ndarray | float = 0.0,
) -> np.ndarray:
    """Index of the largest strength whose mean held-out deviance is close enough to the best, per neuron.

    Close enough is ``se_fraction`` standard errors (standard deviation over folds with ddof 0, over the square
    root of their number) of the best strength's mean. Of equal strengths the largest wins.

    Parameters
    ----------
    deviance : ndarray, shape (n_folds, n_lambdas, n_neurons)
        NaN in a fold that scored nothing of that neuron.
    lambdas : ndarray, shape (n_lambdas, n_neurons)
        Descending.
    se_fraction : float
        0 for the best strength, 1 for the one-standard-error rule.
    min_lambda : float
        No smaller strength is chosen, unless all are smaller; then it is the largest.
    null : ndarray, shape (n_folds, n_neurons), optional
        Deviance of the null model, which is then a candidate too, and stronger than all strengths.
    margin : ndarray, shape (n_neurons,), or float
        Deviance, summed over folds, by which the best strength must beat the null model.

    Returns
    -------
    ndarray of int, shape (n_neurons,)
        n_lambdas, which is no index of a strength, for the null model.

    Examples
    --------
    >>> deviance = np.array([[[3.0], [2.0], [2.2]], [[3.2], [2.35], [2.1]]])
    >>> select_strengths(deviance, np.array([[1.0], [0.1], [0.01]]))
    array([2])
    >>> select_strengths(deviance, np.array([[1.0], [0.1], [0.01]]), se_fraction=1.0)
    array([1])
    >>> select_strengths(deviance, np.array([[1.0], [0.1], [0.01]]), null=np.array([[2.0], [2.1]]))
    array([3])
    """
    mean, error = mean_and_error(deviance)
    last = np.maximum((lambdas >= min_lambda).sum(axis=0) - 1, 0)
    allowed = np.arange(len(lambdas))[:, None] <= last
    mean = np.where(allowed, mean, np.inf)
    best = mean.argmin(axis=0)
    neurons = np.arange(mean.shape[1])
    threshold = mean[best, neurons] + se_fraction * error[best, neurons]
    chosen = (allowed & (mean <= threshold)).argmax(axis=0)
    if null is None:
        return chosen
    null_mean = mean_and_error(null)[0]
    scored = np.maximum((~np.isnan(null)).sum(axis=0), 1)
    beaten = null_mean > threshold + LEAST_GAIN * np.abs(null_mean)
    with np.errstate(invalid="ignore"):
        beaten &= ~((null_mean - mean[best, neurons]) * scored <= margin)
    return np.where(beaten, chosen, len(lambdas))


def at_strengths(path: np.ndarray, index: np.ndarray, null: np.ndarray | float, axis: int = 0) -> np.ndarray:
    """The entries of a path at the strength of every neuron, and those of the null model where that was selected.

    Parameters
    ----------
    path : ndarray, shape (..., n_lambdas, n_neurons, ...)
    index : ndarray of int, shape (n_neurons,)
        As `select_strengths` returns it.
    null : ndarray or float
        Broadcasts against the result.
    axis : int
        That of the strengths; neurons are the next.

    Returns
    -------
    ndarray, shape (..., n_neurons, ...)

    Examples
    --------
    >>> at_strengths(np.array([[0.1, 0.2], [0.3, 0.4]]), np.array([1, 2]), 0.0)
    array([0.3, 0. ])
    """
    n_lambdas, q = path.shape[axis], len(index)
    is_null = index == n_lambdas
    where: tuple[Any, ...] = (*[slice(None)] * axis, np.where(is_null, 0, index), np.arange(q))
    found = path[where]
    shape = [1] * found.ndim
    shape[axis] = q
    return np.where(is_null.reshape(shape), np.asarray(null, found.dtype), found)


def fitted_strengths(deviance: np.ndarray, patience: int) -> np.ndarray:
    """Number of strengths until a neuron's held-out deviance has clearly turned; all of them where it never does.

    It has turned when its mean over folds lay more than one standard error, that of `select_strengths`, above the best
    one until then, at ``patience`` strengths in a row.

    Parameters
    ----------
    deviance : ndarray, shape (n_folds, n_lambdas, n_neurons)
        NaN in a fold that scored nothing of that neuron, and at strengths for which it is not known yet.
    patience : int

    Returns
    -------
    ndarray of int, shape (n_neurons,)

    Examples
    --------
    >>> deviance = np.array([[[3.0], [2.0], [2.5], [2.6]], [[3.2], [2.2], [2.4], [2.8]]])
    >>> fitted_strengths(deviance, 1), fitted_strengths(deviance, 2), fitted_strengths(deviance, 3)
    (array([3]), array([4]), array([4]))
    """
    mean, error = mean_and_error(deviance)
    n_lambdas, n_neurons = mean.shape
    known = ~np.isnan(deviance).all(axis=0)
    neurons, fitted = np.arange(n_neurons), np.full(n_neurons, n_lambdas)
    best, above = np.zeros(n_neurons, int), np.zeros(n_neurons, int)
    for k in range(n_lambdas):
        best = np.where(mean[k] < mean[best, neurons], k, best)
        above = np.where(known[k] & (mean[k] > mean[best, neurons] + error[best, neurons]), above + 1, 0)
        fitted = np.where((above >= patience) & (fitted == n_lambdas), k + 1, fitted)
    return fitted


def mean_and_error(deviance: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Over folds: mean, inf where nothing was scored, and its standard error; both (n_lambdas, n_neurons)."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", RuntimeWarning)
        mean = np.nanmean(deviance, axis=0)
        error = np.nanstd(deviance, axis=0) / np.sqrt((~np.isnan(deviance)).sum(axis=0))
    return np.where(np.isnan(mean), np.inf, mean), np.nan_to_num(error, nan=0.0, posinf=0.0)
