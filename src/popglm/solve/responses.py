"""Sums over the responses that a fit needs before it starts: means, null deviance, and who can be fitted."""

from __future__ import annotations

from dataclasses import dataclass, fields

import numpy as np
from scipy.special import xlogy

from popglm.model.losses import Loss

__all__ = ["ResponseSums", "null_intercept", "response_sums"]


@dataclass
class ResponseSums:
    """Per neuron, over the rows that count.

    Attributes
    ----------
    n, n_events, n_non_events : ndarray of int, shape (n_neurons,)
        Recorded samples of positive weight; those with y > 0; those with y < 1.
    total, mean : ndarray, shape (n_neurons,)
        Σs and Σsy/Σs.
    saturated, null : ndarray, shape (n_neurons,)
        Mean loss of the saturated and of the null model.
    constant : ndarray of bool, shape (n_neurons,)
    """

    n: np.ndarray
    n_events: np.ndarray
    n_non_events: np.ndarray
    total: np.ndarray
    mean: np.ndarray
    saturated: np.ndarray
    null: np.ndarray
    constant: np.ndarray

    @staticmethod
    def join(parts: list[ResponseSums]) -> ResponseSums:
        """Those of several fits, one after the other."""
        return ResponseSums(*(np.concatenate([getattr(part, f.name) for part in parts]) for f in fields(ResponseSums)))

    def fittable(self, loss: Loss) -> np.ndarray:
        """Whether anything beyond the null model can be estimated."""
        fit = (self.n >= 2) & ~self.constant
        if loss.family != "gaussian":
            fit &= self.n_events >= 2
        if loss.family == "bernoulli":
            fit &= self.n_non_events >= 2
        return fit


def response_sums(loss: Loss, Y: np.ndarray, weights: np.ndarray | None, ranges: list[tuple[int, int]]) -> ResponseSums:
    """Sums over row ranges of Y (n_neurons, n_samples); weights (n_samples,) or (n_neurons, n_samples)."""
    q = len(Y)
    n, events, non_events = (np.zeros(q, int) for _ in range(3))
    total, y_sum, saturated, square = (np.zeros(q) for _ in range(4))
    low, high = np.full(q, np.inf), np.full(q, -np.inf)
    chunks = [(a, min(a + 4096, last)) for first, last in ranges for a in range(first, last, 4096)]
    for a, b in chunks:
        y = Y[:, a:b]
        s = np.ones(b - a) if weights is None else np.asarray(weights[..., a:b], float)
        s = np.broadcast_to(s, y.shape)
        counted = s > 0
        n += counted.sum(axis=1)
        events += (counted & (y > 0)).sum(axis=1)
        non_events += (counted & (y < 1)).sum(axis=1)
        total += s.sum(axis=1)
        y_sum += np.einsum("ij,ij->i", s, y, dtype=float)
        square += np.einsum("ij,ij,ij->i", s, y, y, dtype=float)
        saturated += np.einsum("ij,ij->i", s, loss.saturated(y))
        low = np.minimum(low, np.where(counted, y, np.inf).min(axis=1))
        high = np.maximum(high, np.where(counted, y, -np.inf).max(axis=1))
    safe = np.where(total > 0, total, 1)
    mean, saturated = y_sum / safe, saturated / safe
    match loss.family:
        case "poisson":
            null = mean - xlogy(mean, mean)
        case "bernoulli":
            inside = np.clip(mean, 0, 1)
            null = -xlogy(inside, inside) - xlogy(1 - inside, 1 - inside)
        case _:
            null = 0.5 * np.maximum(square / safe - mean**2, 0)
    return ResponseSums(n, events, non_events, total, mean, saturated, null, ~(high > low))


def null_intercept(loss: Loss, sums: ResponseSums) -> np.ndarray:
    """Intercept of the null model.

    A neuron that never fired gets the rate of half an event in the recording (the Jeffreys prior's estimate):
    its intercept stays finite and held-out spikes are merely very surprising; likewise one that always fired.
    """
    floor = 0.5 / np.maximum(sums.n, 1)
    mean = sums.mean
    if loss.family == "poisson":
        mean = np.maximum(mean, floor)
    if loss.family == "bernoulli" or loss.inverse_link == "sigmoid":
        mean = np.clip(mean, floor, 1 - floor)
    if loss.inverse_link in ("exp", "softplus"):
        mean = np.maximum(mean, floor)
    return loss.link.link(mean)
