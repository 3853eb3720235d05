"""Means and scales of columns, as a `Design` notes them on its DataFrames and a model keeps them.

They tell a model's design from one that was fitted to another session.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import pandas as pd

from popglm.labels import column_text

__all__ = ["note_scaling", "noted_scaling", "of_other_session", "other_scaling"]

_KEY = "popglm.Design"


class Scaling(tuple):
    """Entries of columns, each a tuple of labels, mean and scale. They never change, so a copy of them is themselves.

    pandas copies the attributes of a table deeply for every column that it hands out, which for a table of p columns
    would copy p² entries.
    """

    __slots__ = ()

    def __deepcopy__(self, memo: dict) -> Scaling:
        return self


def note_scaling(X: pd.DataFrame, means: np.ndarray, scales: np.ndarray) -> None:
    """Note on a DataFrame what its columns were z-scored by.

    Tuples, which pandas compares and writes to files.
    """
    X.attrs[_KEY] = Scaling(
        (*map(str, label), mean, scale)
        for label, mean, scale in zip(X.columns, means.tolist(), scales.tolist(), strict=True)
    )


def noted_scaling(X: Any) -> np.ndarray | None:
    """Means and scales of the columns in their order, shape (2, n_features); None unless they are noted of all.

    Examples
    --------
    >>> columns = pd.MultiIndex.from_tuples([("speed", "linear"), ("cue", "linear")])
    >>> X = pd.DataFrame(np.zeros((3, 2)), columns=columns)
    >>> note_scaling(X, np.array([2.0, 0.5]), np.array([1.0, 4.0]))
    >>> noted_scaling(X)
    array([[2. , 0.5],
           [1. , 4. ]])
    >>> noted_scaling(X[["cue"]])
    array([[0.5],
           [4. ]])
    >>> noted_scaling(X.rename(columns={"cue": "odour"})) is None
    True
    """
    noted = X.attrs.get(_KEY) if isinstance(X, pd.DataFrame) else None
    if noted is None:
        return None
    # files keep lists where tuples were
    of_column = {tuple(entry[:-2]): entry[-2:] for entry in noted}
    found = [of_column.get(tuple(map(str, label if isinstance(label, tuple) else (label,)))) for label in X.columns]
    return None if not found or None in found else np.array(found, float).T


def other_scaling(fitted: np.ndarray | None, found: np.ndarray | None, columns: Sequence[Any]) -> str | None:
    """Say in which column means and scales (2, n_features) are others than in the fit; None where they are the same.

    Models of arrays, and of files that were written before these were kept, know none: nothing differs from that.
    """
    if fitted is None or found is None or fitted.shape != found.shape or not (other := differ(fitted, found)).any():
        return None
    k = int(other.argmax())
    return (
        f"the mean of column {column_text(columns[k])!r} is {found[0, k]:.4g} and its scale {found[1, k]:.4g}, and "
        f"were {fitted[0, k]:.4g} and {fitted[1, k]:.4g} then"
    )


def of_other_session(fitted: np.ndarray | None, X: Any, order: np.ndarray | None = None, name: str = "X") -> str | None:
    """Complain of columns that were z-scored by another session than those of the fit; None where there is no ground.

    ``order`` puts the columns of X where those of the fit stand.
    """
    if fitted is None or (found := noted_scaling(X)) is None:
        return None
    order = np.arange(X.shape[1]) if order is None else order
    other = other_scaling(fitted, found[:, order], X.columns[order])
    return other and (
        f"{name} was made by a design that was fitted to another session than the one that made X for the fit: "
        f"{other}. Transform the session with the design as it was fitted to the first one: transform, not "
        "fit_transform."
    )


def differ(one: np.ndarray, other: np.ndarray) -> np.ndarray:
    """Columns whose means or scales differ by more than rounding, shape (n_columns,)."""
    (mean, scale), (other_mean, other_scale) = one, other
    same = (scale == other_scale) | np.isclose(scale, other_scale, rtol=1e-4, atol=0)
    # a column that was constant is 0 whatever its mean
    counted = np.isfinite(scale) | np.isfinite(other_scale)
    apart = np.abs(mean - other_mean) > 1e-4 * np.where(np.isfinite(scale), scale, 1)
    return ~same | (counted & apart)
