"""The quadratic approximation of a fold's loss about a fit to its training rows, as least squares on X."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from popglm.statistics.families import Family

__all__ = ["working_responses"]

#: Neurons whose derivatives are taken at a time.
BATCH = 32


@dataclass(frozen=True)
class WorkingResponses:
    """Responses whose squared errors on X are deviances, to second order.

    Attributes
    ----------
    z : ndarray, shape (n_neurons, n_samples)
    curvature : ndarray, shape (n_neurons,)
        Mean of the loss over the training rows.
    scale, level : ndarray, shape (n_neurons,)
        What the errors of held-out rows are multiplied by, and what is added.
    """

    z: np.ndarray
    curvature: np.ndarray
    scale: np.ndarray
    level: np.ndarray


def working_responses(
    loss: Family,
    Y: np.ndarray,
    eta: np.ndarray,
    own: np.ndarray,
    shared: np.ndarray,
    counts: tuple[np.ndarray, np.ndarray],
    parameters: np.ndarray,
    deviance: np.ndarray,
) -> WorkingResponses:
    """Newton's working responses at linear predictors, with one curvature per neuron in place of one per sample.

    All neurons share weights of samples then, and sums over features. The gradient is exact, where neurons differ in
    their weights too.

    Parameters
    ----------
    Y : ndarray, shape (n_neurons, n_samples)
        NaN where a neuron was not recorded.
    eta : ndarray, shape (n_neurons, n_samples)
        Linear predictors of a fit to the training rows.
    own : ndarray, shape (n_neurons, n_samples)
        Weights of samples of each neuron, 0 where it was not recorded.
    shared : ndarray, shape (n_samples,)
        Those that all neurons have in the sums.
    counts : ndarrays, shape (n_samples,)
        How often a row counts among the training rows, and among those that are held out.
    parameters : ndarray, shape (n_neurons, n_parameters)
        Of the family.
    deviance : ndarray, shape (n_neurons,)
        Of held-out rows at ``eta``.

    Examples
    --------
    Least squares are their own approximation:

    >>> from popglm.statistics.families import get_family
    >>> Y, train = np.array([[1.0, 3.0, 2.0]]), np.array([1, 1, 0])
    >>> found = working_responses(get_family("gaussian"), Y, np.zeros((1, 3)), np.ones((1, 3)), np.ones(3),
    ...                           (train, 1 - train), np.zeros((1, 0)), np.array([4.0]))
    >>> found.z, found.curvature, found.scale, found.level
    (array([[1., 3., 2.]]), array([1.]), array([1.]), array([0.]))
    """
    train, test = counts
    q = len(Y)
    z, curvature, scale, level = np.array(eta, float), np.ones(q), np.zeros(q), np.asarray(deviance, float).copy()
    total, held = float(shared @ train), float(shared @ test)
    for first in range(0, q, BATCH):
        j = slice(first, first + BATCH)
        s = own[j]
        with np.errstate(all="ignore"):
            gradient, bent = loss.at(parameters[j]).derivatives(np, z[j], np.nan_to_num(Y[j], nan=0.0))
        gradient = np.where(s > 0, gradient, 0)
        S, S_held = s @ train, s @ test
        mean = np.where(s > 0, s * bent, 0) @ train / np.where(S > 0, S, 1)
        mean = np.where(np.isfinite(mean) & (mean > 0), mean, 1.0)
        per_row = np.where(
            train > 0, (total / np.where(S > 0, S, 1))[:, None], (held / np.where(S_held > 0, S_held, 1))[:, None]
        )
        step = s / np.where(shared > 0, shared, 1) * per_row * gradient / mean[:, None]
        z[j] -= step
        curvature[j], scale[j] = mean, mean * S_held / max(held, np.finfo(float).tiny)
        level[j] -= scale[j] * (np.square(step) @ (shared * test))
    return WorkingResponses(z, curvature, scale, level)
