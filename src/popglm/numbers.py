"""Real numbers from arrays and tables of any library."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import pandas as pd
import xarray as xr
from scipy.sparse import issparse

from popglm.engines import as_numpy
from popglm.messages import shown

__all__ = [
    "as_array",
    "as_numbers",
    "check_even",
    "first_not_finite",
    "holds_flags",
    "is_date",
    "numbers_of",
    "remedy_for",
    "shape_of",
]


def is_date(dtype: Any) -> bool:
    """Whether values are dates, durations or periods, which are no numbers, though they can be read as nanoseconds."""
    if isinstance(dtype, np.dtype):
        return dtype.kind in "mM"
    return isinstance(dtype, pd.DatetimeTZDtype | pd.PeriodDtype) or getattr(dtype, "kind", "O") in "mM"


def as_array(values: Any) -> Any:
    """Numbers of a table, nullable ones too, or of an array of objects; NaN where a value is missing."""
    if isinstance(values, pd.DataFrame):
        kinds = set(values.dtypes)
        if len(kinds) == 1 and isinstance(kind := kinds.pop(), np.dtype) and kind.kind in "fiubc":
            return values.to_numpy()
        try:
            return values.to_numpy(dtype=np.float64, na_value=np.nan)
        except (TypeError, ValueError):
            values = values.to_numpy(dtype=object)
    elif isinstance(values, pd.Series | pd.Index | pd.api.extensions.ExtensionArray):
        if isinstance(values.dtype, np.dtype) and values.dtype.kind in "fiubc":
            return values.to_numpy()
        try:
            return values.to_numpy(dtype=np.float64, na_value=np.nan)
        except (TypeError, ValueError):
            values = values.to_numpy(dtype=object)
    elif isinstance(values, xr.DataArray) or hasattr(values, "time_support"):
        return np.asarray(values.values)
    if isinstance(values, np.ma.MaskedArray):
        return np.ma.filled(values.astype(np.float64), np.nan) if np.ma.is_masked(values) else values.data
    if isinstance(values, list | tuple):
        values = np.asarray(values)
    if isinstance(values, np.ndarray) and values.dtype == object:
        missing = pd.isna(values)
        if missing.any():
            values = np.where(missing, np.nan, values)
    return values


def as_numbers(values: Any) -> np.ndarray:
    """Real numbers of any array or table as float64, NaN where a value is missing.

    Raises
    ------
    TypeError, ValueError
        If something is no real number.

    Examples
    --------
    >>> as_numbers(pd.array([1, None], "Int64"))
    array([ 1., nan])
    """
    if isinstance(values, Mapping | str | bytes | bytearray | set | xr.Dataset):
        raise TypeError(f"found {type(values).__name__}")
    values = as_numpy(values)
    if issparse(values):
        raise TypeError("found a sparse matrix; its method toarray() makes a dense one")
    check_even(values)
    dtypes = values.dtypes if isinstance(values, pd.DataFrame) else [getattr(values, "dtype", None)]
    if (text := _first_text(values)) is not None:
        raise ValueError(f"found the text {shown(text)}; make numbers of it first")
    numbers = np.asarray(as_array(values))
    if any(is_date(dtype) for dtype in [*dtypes, numbers.dtype]):
        raise ValueError("found dates or durations; make numbers of them first, such as seconds")
    if np.iscomplexobj(numbers):
        raise ValueError("found complex numbers (Complex data not supported)")
    return numbers.astype(float)


def _first_text(values: Any) -> str | bytes | None:
    """The first text among the values, if any, which NumPy would read as the number that it spells."""
    if isinstance(values, pd.DataFrame):
        columns = (_first_text(column) for _, column in values.items())
        return next((text for text in columns if text is not None), None)
    if isinstance(values, list | tuple):
        values = np.asarray(values)
    if not hasattr(values, "dtype") or getattr(values.dtype, "kind", "O") in "fiubcmM":
        return None
    return next((value for value in np.asarray(values).flat if isinstance(value, str | bytes)), None)


def numbers_of(values: Any, name: str) -> np.ndarray:
    """`as_numbers` of an argument, whose name the complaint has.

    Raises
    ------
    ValueError
    """
    try:
        return as_numbers(values)
    except (TypeError, ValueError) as error:
        raise ValueError(f"{name} must hold numbers: {str(error).rstrip('.')}.") from error


def holds_flags(values: Any) -> bool:
    """Whether True or False stands among the values, which `as_numbers` reads as 1 and 0.

    Examples
    --------
    >>> holds_flags([0.5, True]), holds_flags(np.array([1.0])), holds_flags(np.array(True))
    (True, False, True)
    """
    if isinstance(values, list | tuple):
        return any(holds_flags(value) for value in values)
    dtypes = values.dtypes if isinstance(values, pd.DataFrame) else [getattr(values, "dtype", type(values))]
    return any("bool" in str(dtype) for dtype in dtypes)


def check_even(values: Any, what: str = "found") -> None:
    if isinstance(values, list | tuple):
        lengths = {len(row) for row in values if isinstance(row, list | tuple)}
        if len(lengths) > 1:
            raise ValueError(f"{what} rows of different lengths, from {min(lengths)} to {max(lengths)}.")


def first_not_finite(X: np.ndarray) -> tuple[str, int, np.ndarray] | None:
    """ "NaN" or "inf", the first column that holds one, and the rows in which this column is not finite; None for none.

    Examples
    --------
    >>> first_not_finite(np.array([[1.0, 2.0], [3.0, np.inf]]))
    ('inf', 1, array([1]))
    """
    # the sum of a column is finite unless something in it is not; only then look closer
    with np.errstate(over="ignore", invalid="ignore"):
        suspect = np.flatnonzero(~np.isfinite(X.sum(axis=0, dtype=np.float64)))
    for column in suspect:
        rows = np.flatnonzero(~np.isfinite(X[:, column]))
        if len(rows):
            return "NaN" if np.isnan(X[rows[0], column]) else "inf", int(column), rows
    return None


def remedy_for(what: str) -> str:
    """What to do about "NaN" or "inf" in X, as `first_not_finite` calls them."""
    if what == "NaN":
        return "Fill or drop these samples; a popglm.Design of the variables makes an X without NaN."
    return "Give finite values there or drop these samples; a division by 0 or a logarithm of 0 makes inf."


def shape_of(values: Any) -> tuple[int, ...]:
    """Shape of an array or a table of any library."""
    values = as_numpy(values)
    if hasattr(values, "shape"):
        return tuple(values.shape)
    check_even(values, "Y has")
    return np.asarray(values).shape
