"""The responses of problems, each once, for what depends on responses alone: of counts these are few."""

from __future__ import annotations

import numpy as np

from popglm.solve.folds import Ranges
from popglm.solve.passes.gathering import Bins

__all__ = ["MOST", "DistinctResponses"]

#: Responses that a neuron has at most; where it has more, nodes of their logarithms take their place.
MOST = 512


class DistinctResponses:
    """Responses of all columns, with the sums of their weights.

    Column i·n_neurons + j is neuron j in fit i. Sums of functions that are smooth in log y are those over all samples.
    Of a neuron with many different responses they are as exact as `popglm.solve.passes.gathering` says; some of its
    weights may be negative.

    Parameters
    ----------
    Y : ndarray, shape (n_neurons, n_samples)
    weights : ndarray, shape (n_samples,) or (n_neurons, n_samples), or None
    fits : list of list of (first, last)
        Rows that each fit counts.
    """

    def __init__(self, Y: np.ndarray, weights: np.ndarray | None, fits: list[Ranges]) -> None:
        own = [None if weights is None else (weights if weights.ndim == 1 else weights[j]) for j in range(len(Y))]
        self._found = [_of_neuron(y, s, fits) for y, s in zip(Y, own, strict=True)]

    def of(self, columns: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """y and s of some columns, shape (n_columns, n_responses); both are 0 where others have more of them."""
        each = [self._found[column % len(self._found)][column // len(self._found)] for column in columns]
        y, s = np.zeros((2, len(columns), max((len(values) for values, _ in each), default=0)))
        for i, (values, weights) in enumerate(each):
            y[i, : len(values)], s[i, : len(values)] = values, weights
        return y, s


def _of_neuron(y: np.ndarray, s: np.ndarray | None, fits: list[Ranges]) -> list[tuple[np.ndarray, np.ndarray]]:
    """Responses of samples (n_samples,), and their weights, in every fit."""
    weights, events = np.zeros((len(fits), len(y))), y > 0
    for own, ranges in zip(weights, fits, strict=True):
        for first, last in ranges:
            own[first:last] = 1.0 if s is None else s[first:last]
    found = _of_events(y[events], weights[:, events])
    silent = weights[:, ~events].sum(axis=1)
    return [(np.append(values, 0.0), np.append(own, none)) for (values, own), none in zip(found, silent, strict=True)]


def _of_events(y: np.ndarray, weights: np.ndarray) -> list[tuple[np.ndarray, np.ndarray]]:
    """The same of responses above 0, with weights (n_fits, n_samples)."""
    # many different ones say so in a few samples
    if len(np.unique(y[: 4 * MOST])) <= MOST:
        values, code = np.unique(y, return_inverse=True)
        if len(values) <= MOST:
            return [(values.astype(float), np.bincount(code, own, len(values))) for own in weights]
    at, found = np.log(y.astype(float))[None], []
    bins = Bins.between(at.min(axis=1), at.max(axis=1))
    for own in weights:
        moments = bins.empty()
        bins.add(np.array([0]), at, np.zeros(at.shape), own, moments)
        nodes = bins.nodes(moments)
        found.append((np.exp(nodes.eta[0]), nodes.weight[0]))
    return found
