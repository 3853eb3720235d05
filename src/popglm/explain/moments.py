"""Mean and spread of a neuron's activity around a model, for surrogates that exchange its residuals."""

from __future__ import annotations

import numpy as np

from popglm.estimators import GLMCV

__all__ = ["moments"]

#: Samples are sorted by their predicted mean into this many equal parts; residuals of a part share a variance.
VARIANCE_PARTS = 20
#: It counts as at least this share of the neuron's average, so that a part without events divides by something.
LEAST_VARIANCE = 0.01


def moments(model: GLMCV, eta: np.ndarray, y: np.ndarray, s: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Mean at η, and the standard deviation of the activity around it where that mean is alike.

    Parameters
    ----------
    eta, y, s : ndarray, shape (n_samples,)
        Linear predictor, activity (0 where not known) and its weight (0 there).
    """
    with np.errstate(over="ignore"):
        mean = model.loss_.link.mean(np, eta)
        mean = np.maximum(mean, model.loss_.valid_range[0])
        square = s * (y - mean) ** 2
    average = square.sum() / max(s.sum(), np.finfo(float).tiny)
    variance = np.empty_like(mean)
    for alike in np.array_split(np.argsort(mean, kind="stable"), VARIANCE_PARTS):
        weight = s[alike].sum()
        variance[alike] = square[alike].sum() / weight if weight > 0 else average
    return mean, np.sqrt(np.maximum(variance, LEAST_VARIANCE * average + np.finfo(float).tiny))
