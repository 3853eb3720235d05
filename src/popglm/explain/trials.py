"""Trials as numbers."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd

__all__ = ["check_trials"]


def check_trials(trial: Any, n_samples: int) -> np.ndarray:
    """Number of every sample's trial, 0, 1, … in order of first appearance.

    Raises
    ------
    ValueError
        If `trial` has another shape than (n_samples,), or a sample has no label.

    Examples
    --------
    >>> check_trials(["b", "b", "a"], 3)
    array([0, 0, 1])
    """
    labels = np.asarray(trial)
    if labels.shape != (n_samples,):
        raise ValueError(f"trial must have shape ({n_samples},), one label per sample; it has {labels.shape}.")
    codes, _ = pd.factorize(labels)
    if (codes < 0).any():
        row = int(np.flatnonzero(codes < 0)[0])
        raise ValueError(f"trial has no label in row {row}; every sample needs a trial.")
    return codes
