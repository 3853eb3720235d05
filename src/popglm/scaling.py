"""Means and scales of columns, as a `Design` notes them on its DataFrames and a model keeps them.

They tell a model's design from one that was fitted to another session.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd

__all__ = ["differ", "note_scaling", "noted_scaling"]

_KEY = "popglm.Design"


def note_scaling(X: pd.DataFrame, means: np.ndarray, scales: np.ndarray) -> None:
    """Note on a DataFrame what its columns were z-scored by.

    Plain tuples: pandas compares and copies them, and writes them to files.
    """
    X.attrs[_KEY] = tuple(
        (*map(str, label), mean, scale)
        for label, mean, scale in zip(X.columns, means.tolist(), scales.tolist(), strict=True)
    )


def noted_scaling(X: Any) -> np.ndarray | None:
    """Means and scales of the columns, shape (2, n_features); None where X has none, or other columns by now.

    Examples
    --------
    >>> columns = pd.MultiIndex.from_tuples([("speed", "linear"), ("cue", "linear")])
    >>> X = pd.DataFrame(np.zeros((3, 2)), columns=columns)
    >>> note_scaling(X, np.array([2.0, 0.5]), np.array([1.0, 4.0]))
    >>> noted_scaling(X)
    array([[2. , 0.5],
           [1. , 4. ]])
    >>> noted_scaling(X[["cue"]]) is None
    True
    """
    noted = X.attrs.get(_KEY) if isinstance(X, pd.DataFrame) else None
    if noted is None or [tuple(entry[:-2]) for entry in noted] != [
        tuple(map(str, np.atleast_1d(c))) for c in X.columns
    ]:
        return None
    return np.array([entry[-2:] for entry in noted], float).T


def differ(one: np.ndarray, other: np.ndarray) -> np.ndarray:
    """Columns whose means or scales differ by more than rounding, shape (n_columns,)."""
    (mean, scale), (other_mean, other_scale) = one, other
    same = (scale == other_scale) | np.isclose(scale, other_scale, rtol=1e-4, atol=0)
    # a column that was constant is 0 whatever its mean
    counted = np.isfinite(scale) | np.isfinite(other_scale)
    apart = np.abs(mean - other_mean) > 1e-4 * np.where(np.isfinite(scale), scale, 1)
    return ~same | (counted & apart)
