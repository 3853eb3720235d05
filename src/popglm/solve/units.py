"""Which unit a neuron is fitted in: that of the recording, unless its numbers are very large or very small.

Counts are then divided by a power of ten near their rate, so that predictors are near 0 and float32 has all its digits
for what the model explains. A Gaussian activity is scaled likewise where the penalty allows, and centred where its mean
is far from 0. What follows for weights, intercepts and losses is the family's to say: `Family.units`.
"""

from __future__ import annotations

import numpy as np

from popglm.statistics.families import Family, Units
from popglm.statistics.penalties import Penalty

__all__ = ["Units", "decades"]

#: Activity of at most so many decades above or below 1 is fitted as it is.
ORDINARY = 2
#: A Gaussian activity whose mean is at most so many standard deviations is not centred on rows.
NEAR = 64.0
#: Neurons whose deviations are taken at a time.
BATCH = 32


def decades(
    loss: Family, penalty: Penalty, fit_intercept: bool, Y: np.ndarray, weights: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """Power of ten that every fit takes for the unit of a neuron, 0 for ordinary activity; and whether it is far off.

    A fit's own rows decide: a unit from all rows would leave the rounding of held-out activity in a fold.

    Parameters
    ----------
    Y : ndarray, shape (n_neurons, n_samples)
        NaN where a neuron was not recorded.
    weights : ndarray, shape (n_fits, n_samples)
        0 for rows that a fit does not count.

    Returns
    -------
    decade : ndarray, shape (n_fits, n_neurons)
    far : ndarray of bool, shape (n_fits, n_neurons)
        Whether the mean of a Gaussian activity is so far from 0 that float32 would lose what varies.
    """
    shape = len(weights), len(Y)
    size, far = np.ones(shape), np.zeros(shape, bool)
    linear, in_units = loss.scale == "linear", loss.scale in ("linear", "proportional")
    if loss.scale is None or not (in_units or fit_intercept):
        return np.zeros(shape), far
    for a in range(0, len(Y), BATCH):
        y = Y[a : a + BATCH].astype(float, copy=False)
        missing = np.isnan(y)
        total = np.tile(weights.sum(axis=1)[:, None], len(y))
        if missing.any():
            y = np.where(missing, 0, y)
            total = weights @ (~missing).T.astype(float)
        total = np.where(total > 0, total, 1)
        mean = weights @ y.T / total
        if linear:
            deviation = _deviations(y, missing, weights, mean, total)
            far[:, a : a + BATCH] = fit_intercept & (np.abs(mean) > NEAR * deviation) & (deviation > 0)
            mean = deviation
        size[:, a : a + BATCH] = np.where(mean > 0, mean, 1)
    decade = np.round(np.log10(size))
    if in_units and penalty.l1_ratio not in (0, 1):
        # a mixture of two powers of the weights knows the unit
        return np.zeros(shape), far
    return np.where(np.abs(decade) > ORDINARY, decade, 0.0), far


def _deviations(
    y: np.ndarray, missing: np.ndarray, weights: np.ndarray, mean: np.ndarray, total: np.ndarray
) -> np.ndarray:
    """Standard deviations of responses y (n_neurons, n_samples) in each fit, shape (n_fits, n_neurons)."""
    # a sum for all fits at once, which has digits enough where the mean is no more than so many deviations from 0
    variance = np.maximum(weights @ (y * y).T / total - mean**2, 0)
    for f, j in np.argwhere(variance * NEAR**4 <= mean**2):
        apart = np.where(missing[j], 0, y[j] - mean[f, j])
        variance[f, j] = (apart * apart) @ weights[f] / total[f, j]
    return np.sqrt(variance)
