"""Trials as numbers."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd

from popglm.estimators.splits import check_labels
from popglm.labels import Rows

__all__ = ["check_trials"]


def check_trials(trial: Any, n_samples: int, rows: Rows | None = None) -> np.ndarray:
    """Number of every sample's trial, 0, 1, … in order of first appearance; labels may be of any kind.

    With ``rows``, labels that have an index are put in the order of that.

    Raises
    ------
    ValueError
        If `trial` has another shape than (n_samples,), rows of other labels, or a sample has no label.

    Examples
    --------
    >>> check_trials(["b", "b", "a"], 3)
    array([0, 0, 1])
    """
    codes, _ = check_labels(trial, "trial", n_samples, rows)
    return pd.factorize(codes)[0]
