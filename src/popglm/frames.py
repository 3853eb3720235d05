"""Tables of polars, PyArrow and others as those of pandas, and back."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import pandas as pd

__all__ = ["as_pandas", "as_polars"]


def as_pandas(table: Any) -> Any:
    """A table of another library as one of pandas; what is none, and pandas' own, as it is.

    Order of categories stays; what is missing becomes NaN among numbers, and None elsewhere.

    Parameters
    ----------
    table : object
        Of polars, PyArrow, or what else narwhals knows.

    Returns
    -------
    DataFrame, or `table`

    Examples
    --------
    >>> as_pandas([1, 2])
    [1, 2]
    """
    if isinstance(table, pd.DataFrame | pd.Series | Mapping) or not hasattr(table, "__arrow_c_stream__"):
        return table
    import narwhals

    frame = narwhals.from_native(table, eager_only=True, pass_through=True)
    if not isinstance(frame, narwhals.DataFrame):
        return table
    return pd.DataFrame({name: _column(frame[name]) for name in frame.columns})


def _column(series: Any) -> Any:
    """A column of a table for pandas."""
    import narwhals

    if series.dtype == narwhals.Enum:
        return pd.Categorical(series.to_list(), categories=list(series.dtype.categories), ordered=True)
    if series.null_count() and series.dtype.is_integer():
        return series.cast(narwhals.Float64).to_numpy()
    if series.dtype == narwhals.Boolean and series.null_count():
        return np.array(series.to_list(), dtype=object)
    return series.to_numpy()


def as_polars(values: np.ndarray, names: list[str]) -> Any:
    """Columns as a table of polars.

    Raises
    ------
    ImportError
        If polars is not installed.
    """
    import narwhals

    return narwhals.from_numpy(values, schema=names, backend="polars").to_native()
