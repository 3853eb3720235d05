"""Recorded and predicted activity of many neurons, averaged over trials and over cells of a picture."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from scipy import sparse

__all__ = ["Cells", "TrialTimes", "average_over_trials", "bins_of", "blocks_of_neurons", "mean_of_cells"]

#: Trials that must still run for a time since their start to be shown.
_STILL_RUNNING, _LEAST_TRIALS = 0.1, 2
#: Values of a block of neurons that are worked on together.
_AT_ONCE = 8_000_000


@dataclass(frozen=True, eq=False)
class Cells:
    """Samples put into the cells of a table.

    Attributes
    ----------
    rows, columns : ndarray of int, shape (n_samples,)
        -1 for a sample that is in none.
    shape : (int, int)
    """

    rows: np.ndarray
    columns: np.ndarray
    shape: tuple[int, int]

    @property
    def members(self) -> sparse.csr_array:
        """Cells by samples: 1 where a sample is in a cell."""
        inside = np.flatnonzero((self.rows >= 0) & (self.columns >= 0))
        cell = self.rows[inside] * self.shape[1] + self.columns[inside]
        n_cells = self.shape[0] * self.shape[1]
        return sparse.csr_array((np.ones(len(inside), np.float32), (cell, inside)), shape=(n_cells, len(self.rows)))


@dataclass(frozen=True, eq=False)
class TrialTimes:
    """Where every sample is: in which trial, and how long after its start.

    Attributes
    ----------
    trial : ndarray of int, shape (n_samples,)
        Trials, counted in the order of their numbers.
    labels : ndarray, shape (n_trials,)
    since : ndarray, shape (n_samples,)
        Seconds since the first sample of the trial.
    bin_width : float
        Seconds.
    longest : float
        Seconds since the start of a trial that enough trials reach.
    """

    trial: np.ndarray
    labels: np.ndarray
    since: np.ndarray
    bin_width: float
    longest: float

    @classmethod
    def of(cls, trial: np.ndarray, time: np.ndarray, bin_width: float) -> TrialTimes:
        """From the trial and the time of every sample."""
        labels, number = np.unique(trial, return_inverse=True)
        first, last = np.full(len(labels), np.inf), np.full(len(labels), -np.inf)
        np.minimum.at(first, number, time)
        np.maximum.at(last, number, time)
        lengths = np.sort(last - first)[::-1]
        enough = min(max(_LEAST_TRIALS, int(np.ceil(_STILL_RUNNING * len(labels)))), len(labels))
        return cls(number, labels, time - first[number], bin_width, float(lengths[enough - 1]))

    def column_width(self, most_columns: int) -> float:
        """Seconds of a column where there are at most so many."""
        n_bins = int(np.floor(self.longest / self.bin_width + 1e-6)) + 1
        return self.bin_width * -(-n_bins // most_columns)

    def columns(self, most_columns: int) -> tuple[np.ndarray, np.ndarray]:
        """The column of every sample, -1 beyond the longest time; and the middle of each column, in seconds."""
        width = self.column_width(most_columns)
        column = np.floor(self.since / width + 1e-6).astype(int)
        n = int(np.floor(self.longest / width + 1e-6)) + 1
        return np.where(column < n, column, -1), (np.arange(n) + 0.5) * width

    def rows(self, most_rows: int) -> tuple[np.ndarray, int]:
        """The row of every sample, where neighbouring trials share one if there are too many; and trials per row."""
        together = -(-len(self.labels) // most_rows)
        return self.trial // together, together


def bins_of(values: np.ndarray, centers: np.ndarray) -> np.ndarray:
    """The bin of every value, -1 for none; borders lie half-way between the centers.

    Examples
    --------
    >>> bins_of(np.array([-1.0, 0.4, 0.6, 1.6, np.nan]), np.array([0.0, 1.0])).tolist()
    [-1, 0, 1, -1, -1]
    """
    if len(centers) == 1:
        return np.where(np.isfinite(values), 0, -1)
    middles = (centers[1:] + centers[:-1]) / 2
    edges = np.concatenate([[2 * centers[0] - middles[0]], middles, [2 * centers[-1] - middles[-1]]])
    found = np.searchsorted(edges, values, side="right") - 1
    found[values == edges[-1]] = len(centers) - 1
    return np.where(np.isfinite(values) & (found < len(centers)), found, -1)


def blocks_of_neurons(n_samples: int, n_neurons: int) -> Iterator[slice]:
    """Neurons that are worked on together."""
    size = max(1, _AT_ONCE // max(n_samples, 1))
    for first in range(0, n_neurons, size):
        yield slice(first, min(first + size, n_neurons))


def mean_of_cells(members: sparse.csr_array, values: np.ndarray, known: np.ndarray) -> np.ndarray:
    """Mean over the known samples of every cell (n_cells, n_neurons); NaN where there is none."""
    counts = members @ known.astype(np.float32)
    with np.errstate(invalid="ignore", divide="ignore"):
        return (members @ np.where(known, values, np.float32(0))) / counts


def average_over_trials(means: np.ndarray, shape: tuple[int, int]) -> tuple[np.ndarray, np.ndarray]:
    """Mean over trials and its standard error (ddof 1), each (n_columns, n_neurons), of means per trial and column."""
    means = means.reshape(*shape, -1).astype(np.float64)
    known = np.isfinite(means)
    n = known.sum(axis=0)
    with np.errstate(invalid="ignore", divide="ignore"):
        mean = np.where(known, means, 0).sum(axis=0) / n
        squares = np.where(known, (means - mean) ** 2, 0).sum(axis=0)
        sem = np.sqrt(squares / np.where(n > 1, n - 1, np.nan) / n)
    return mean, sem
