"""Choosing one strength per neuron from deviances at all of them."""

from __future__ import annotations

import warnings

import numpy as np

__all__ = ["fraction_explained", "select_strengths"]


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
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", RuntimeWarning)
        mean = np.nanmean(deviance, axis=0)
        error = np.nanstd(deviance, axis=0) / np.sqrt((~np.isnan(deviance)).sum(axis=0))
    mean = np.where(np.isnan(mean), np.inf, mean)
    last = np.maximum((lambdas >= min_lambda).sum(axis=0) - 1, 0)
    allowed = np.arange(len(lambdas))[:, None] <= last
    mean = np.where(allowed, mean, np.inf)
    best = mean.argmin(axis=0)
    neurons = np.arange(mean.shape[1])
    margin = np.nan_to_num(error[best, neurons], nan=0.0, posinf=0.0)
    threshold = mean[best, neurons] + se_fraction * margin
    return (allowed & (mean <= threshold)).argmax(axis=0)
