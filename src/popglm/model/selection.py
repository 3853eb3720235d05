"""Choosing one strength per neuron from deviances at all of them."""

from __future__ import annotations

import warnings

import numpy as np

__all__ = ["fitted_strengths", "fraction_explained", "select_strengths"]


def fraction_explained(deviance: np.ndarray, null_deviance: np.ndarray) -> np.ndarray:
    """1 − D/D_null, and 0 where D_null = 0 (a neuron that was silent in the scored samples).

    Examples
    --------
    >>> fraction_explained(np.array([30.0, 5.0]), np.array([40.0, 0.0]))
    array([0.25, 0.  ])
    """
    deviance, null_deviance = np.broadcast_arrays(deviance, null_deviance)
    live = null_deviance > 0
    return np.where(live, 1 - deviance / np.where(live, null_deviance, 1), 0.0)


def select_strengths(
    deviance: np.ndarray, lambdas: np.ndarray, se_fraction: float = 0.0, min_lambda: float = 0.0
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

    Returns
    -------
    ndarray of int, shape (n_neurons,)

    Examples
    --------
    >>> deviance = np.array([[[3.0], [2.0], [2.2]], [[3.2], [2.35], [2.1]]])
    >>> select_strengths(deviance, np.array([[1.0], [0.1], [0.01]]))
    array([2])
    >>> select_strengths(deviance, np.array([[1.0], [0.1], [0.01]]), se_fraction=1.0)
    array([1])
    """
    mean, error = _mean_and_error(deviance)
    last = np.maximum((lambdas >= min_lambda).sum(axis=0) - 1, 0)
    allowed = np.arange(len(lambdas))[:, None] <= last
    mean = np.where(allowed, mean, np.inf)
    best = mean.argmin(axis=0)
    neurons = np.arange(mean.shape[1])
    threshold = mean[best, neurons] + se_fraction * error[best, neurons]
    return (allowed & (mean <= threshold)).argmax(axis=0)


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
    mean, error = _mean_and_error(deviance)
    n_lambdas, n_neurons = mean.shape
    known = ~np.isnan(deviance).all(axis=0)
    neurons, fitted = np.arange(n_neurons), np.full(n_neurons, n_lambdas)
    best, above = np.zeros(n_neurons, int), np.zeros(n_neurons, int)
    for k in range(n_lambdas):
        best = np.where(mean[k] < mean[best, neurons], k, best)
        above = np.where(known[k] & (mean[k] > mean[best, neurons] + error[best, neurons]), above + 1, 0)
        fitted = np.where((above >= patience) & (fitted == n_lambdas), k + 1, fitted)
    return fitted


def _mean_and_error(deviance: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Over folds: mean, inf where nothing was scored, and its standard error; both (n_lambdas, n_neurons)."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", RuntimeWarning)
        mean = np.nanmean(deviance, axis=0)
        error = np.nanstd(deviance, axis=0) / np.sqrt((~np.isnan(deviance)).sum(axis=0))
    return np.where(np.isnan(mean), np.inf, mean), np.nan_to_num(error, nan=0.0, posinf=0.0)
