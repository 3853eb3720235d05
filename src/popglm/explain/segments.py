"""Stretches of samples that follow each other: within one trial, and without a gap in time."""

from __future__ import annotations

import numpy as np

__all__ = ["gaps", "segments"]


def gaps(time: np.ndarray, trial: np.ndarray | None = None) -> np.ndarray:
    """Samples before which time is missing: steps longer than 1.5 × the median step, within a trial.

    Examples
    --------
    >>> gaps(np.array([0.0, 0.1, 0.2, 0.9, 1.0]))
    array([3])
    """
    steps = np.diff(time)
    inside = np.ones(len(steps), bool) if trial is None else trial[1:] == trial[:-1]
    return np.flatnonzero(inside & (steps > 1.5 * np.median(steps[inside]))) + 1 if inside.any() else np.zeros(0, int)


def segments(n_samples: int, trial: np.ndarray | None, time: np.ndarray | None) -> np.ndarray:
    """Number of the stretch that each sample is in; a new trial and a gap in time begin a new one.

    ``trial`` holds numbers, −1 where a sample has no trial; those samples are in stretch −1.

    Examples
    --------
    >>> segments(6, np.array([0, 0, 1, 1, 1, 0]), np.array([0, 1, 2, 3, 9, 10]))
    array([0, 0, 1, 1, 2, 3])
    """
    begins = np.zeros(n_samples, bool)
    if trial is not None:
        begins[1:] |= trial[1:] != trial[:-1]
    if time is not None:
        begins[gaps(time, trial)] = True
    numbers = np.cumsum(begins)
    return numbers if trial is None else np.where(trial < 0, -1, numbers)
