"""Sums of the responses of every fit, the rows looked at once."""

from __future__ import annotations

import numpy as np

from popglm.model.losses import Loss
from popglm.solve.responses import ResponseSums

__all__ = ["sums_of_fits"]


def sums_of_fits(loss: Loss, Y: np.ndarray, weights: np.ndarray | None, counts: np.ndarray) -> list[ResponseSums]:
    """What `response_sums` gives for every fit, each row of Y (n_neurons, n_samples) looked at once.

    Parameters
    ----------
    weights : ndarray, shape (n_samples,) or (n_neurons, n_samples), or None
    counts : ndarray, shape (n_fits, n_samples)
    """
    q, shape = len(Y), (len(Y), len(counts))
    sums = np.zeros((7, *shape))
    low, high = np.full(shape, np.inf), np.full(shape, -np.inf)
    for a in range(0, Y.shape[1], 4096):
        y, count = np.asarray(Y[:, a : a + 4096], float), counts[:, a : a + 4096].astype(float)
        s = np.broadcast_to(1.0 if weights is None else np.asarray(weights[..., a : a + 4096], float), y.shape)
        seen, used = (s > 0).astype(float), (count > 0).astype(float).T
        parts = (seen, seen * (y > 0), seen * (y < 1)), (s, s * y, s * loss.saturated(y), s * y * y)
        sums += np.stack([v @ used for v in parts[0]] + [v @ count.T for v in parts[1]])
        for fit in range(len(counts)):
            rows = used[:, fit] > 0
            if rows.any():
                inside = seen[:, rows] > 0
                low[:, fit] = np.minimum(low[:, fit], np.where(inside, y[:, rows], np.inf).min(axis=1))
                high[:, fit] = np.maximum(high[:, fit], np.where(inside, y[:, rows], -np.inf).max(axis=1))
    n, events, non_events, total, y_sum, saturated, square = sums
    safe = np.where(total > 0, total, 1)
    mean = y_sum / safe
    match loss.family:
        case "gaussian":
            null = 0.5 * np.maximum(square / safe - mean**2, 0)
        case family:
            null = loss.saturated(mean if family == "poisson" else np.clip(mean, 0, 1))
    fields = (
        n.astype(int),
        events.astype(int),
        non_events.astype(int),
        total,
        mean,
        saturated / safe,
        null,
        ~(high > low),
    )
    return [ResponseSums(*(field[:, fit] for field in fields)) for fit in range(shape[1])] if q else []
