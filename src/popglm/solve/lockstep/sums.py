"""Sums of the responses of every fit, the rows looked at twice."""

from __future__ import annotations

import numpy as np

from popglm.statistics.families import Family
from popglm.statistics.responses import ResponseSums, response_sums

__all__ = ["sums_of_fits"]


def sums_of_fits(
    loss: Family,
    Y: np.ndarray,
    weights: np.ndarray | None,
    counts: np.ndarray,
    offset: np.ndarray | None = None,
    event: np.ndarray | float = 1.0,
) -> list[ResponseSums]:
    """What `response_sums` gives for every fit, all fits at once where there is no offset.

    Parameters
    ----------
    weights : ndarray, shape (n_samples,) or (n_neurons, n_samples), or None
    counts : ndarray, shape (n_fits, n_samples)
    offset, event : see `response_sums`
    """
    if offset is not None:
        own = (count if weights is None else count * weights for count in counts)
        return [response_sums(loss, Y, s, [(0, Y.shape[1])], offset, event) for s in own]
    q, shape = len(Y), (len(Y), len(counts))
    sums = np.zeros((5, *shape))
    low, high = np.full(shape, np.inf), np.full(shape, -np.inf)

    def chunks():
        for a in range(0, Y.shape[1], 4096):
            y, count = np.asarray(Y[:, a : a + 4096], float), counts[:, a : a + 4096].astype(float)
            s = np.broadcast_to(1.0 if weights is None else np.asarray(weights[..., a : a + 4096], float), y.shape)
            yield y, s, count

    for y, s, count in chunks():
        seen, used = (s > 0).astype(float), (count > 0).astype(float).T
        parts = (seen, seen * (y > 0), seen * (y < 1)), (s, s * y)
        sums += np.stack([v @ used for v in parts[0]] + [v @ count.T for v in parts[1]])
        for fit in range(len(counts)):
            rows = used[:, fit] > 0
            if rows.any():
                inside = seen[:, rows] > 0
                low[:, fit] = np.minimum(low[:, fit], np.where(inside, y[:, rows], np.inf).min(axis=1))
                high[:, fit] = np.maximum(high[:, fit], np.where(inside, y[:, rows], -np.inf).max(axis=1))
    n, events, non_events, total, y_sum = sums
    safe = np.where(total > 0, total, 1)
    mean, constant = y_sum / safe, ~(high > low)
    # a mean that lies near those of all fits; what is around it is what is around a fit's own mean, and between both
    middle = y_sum.sum(axis=1) / np.where(total.sum(axis=1) > 0, total.sum(axis=1), 1)
    around = np.zeros(shape)
    for y, s, count in chunks():
        around += (s * loss.null(y, middle[:, None])) @ count.T
    around = np.where(constant, 0.0, np.maximum(around / safe - loss.null(mean, middle[:, None]), 0))
    n = n.astype(int)
    event = np.broadcast_to(event, (q,))[:, None]
    fields = (
        n,
        events.astype(int),
        non_events.astype(int),
        total,
        mean,
        loss.saturated_mean(mean, around),
        around,
        loss.start_intercept(mean, n, event),
        constant,
    )
    return [ResponseSums(*(field[:, fit] for field in fields)) for fit in range(shape[1])] if q else []
