"""The responses of problems, each once, for what depends on responses alone: of counts these are few."""

from __future__ import annotations

import numpy as np

from popglm.solve.folds import Ranges

__all__ = ["MOST", "DistinctResponses"]

#: Responses that a neuron has at most.
MOST = 512


class DistinctResponses:
    """Responses of all columns with the sums of their weights: column i·n_neurons + j is neuron j in fit i.

    Parameters
    ----------
    Y : ndarray, shape (n_neurons, n_samples)
    weights : ndarray, shape (n_samples,) or (n_neurons, n_samples), or None
    fits : list of list of (first, last)
        Rows that each fit counts.

    Attributes
    ----------
    few : ndarray of bool, shape (n_columns,)
        Columns that have no more than `MOST`; others are not here.
    """

    def __init__(self, Y: np.ndarray, weights: np.ndarray | None, fits: list[Ranges]) -> None:
        found = [_of_neuron(Y, weights, fits, j) for j in range(len(Y))]
        self.few = np.tile([y is not None for y, _ in found], len(fits))
        self._found = found

    def of(self, columns: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """y and s of some columns that have few, (n_columns, n_responses); s is 0 where others have more of them."""
        each = [(self._found[column % len(self._found)], column // len(self._found)) for column in columns]
        y, s = np.zeros((2, len(columns), max((own[0].size for own, _ in each), default=0)))
        for i, ((values, weights), fit) in enumerate(each):
            y[i, : len(values)], s[i, : len(values)] = values, weights[fit]
        return y, s


def _of_neuron(
    Y: np.ndarray, weights: np.ndarray | None, fits: list[Ranges], j: int
) -> tuple[np.ndarray, np.ndarray] | tuple[None, None]:
    """Responses (n_responses,) and their weights (n_fits, n_responses)."""
    # many say so in a few of their samples
    if len(np.unique(Y[j, : 4 * MOST])) > MOST:
        return None, None
    values, code = np.unique(Y[j], return_inverse=True)
    if len(values) > MOST:
        return None, None
    s = None if weights is None else (weights if weights.ndim == 1 else weights[j]).astype(float)
    sums = np.zeros((len(fits), len(values)))
    for own, ranges in zip(sums, fits, strict=True):
        for first, last in ranges:
            own += np.bincount(code[first:last], None if s is None else s[first:last], len(values))
    return values.astype(float), sums
