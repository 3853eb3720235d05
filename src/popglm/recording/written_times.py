"""Dates and durations as seconds: of columns that hold them, or text of them."""

from __future__ import annotations

import re
from typing import Any

import numpy as np
import pandas as pd

__all__ = ["HOW_WRITTEN", "as_seconds", "typed"]

#: What messages say of times that are not read.
HOW_WRITTEN = "write seconds, or dates or durations such as 2024-03-01T10:00:00.25 and 0:01:30.5"
#: Ticks of a second of the units that pandas has.
TICKS = {"s": 1, "ms": 10**3, "us": 10**6, "ns": 10**9}
# a day alone is a label of a session more often than a time
_DATE = re.compile(r"\d{4}-\d\d-\d\d[T ]\d\d:\d\d(:\d\d(\.\d+)?)?\s*(Z|[+-]\d\d:?\d\d)?")
_DURATION = re.compile(r"-?(\d+ days?,? \+?)?\d+:\d\d:\d\d(\.\d+)?")


def typed(column: pd.Series) -> pd.Series:
    """A column of text as one of dates or durations if all its text is that; else as it is.

    Dates are written in ISO 8601, with a time of day; those without an offset from UTC are in UTC.

    Examples
    --------
    >>> print(typed(pd.Series(["2024-03-01T10:00:00.25", None]))[0])
    2024-03-01 10:00:00.250000+00:00
    >>> typed(pd.Series(["0:01:30.5"]))[0]
    Timedelta('0 days 00:01:30.500000')
    >>> typed(pd.Series(["2024-03-01T10:00", "left"])).tolist()
    ['2024-03-01T10:00', 'left']
    """
    known = column.dropna()
    if not len(known) or not isinstance(known.iloc[0], str):
        return column
    first = known.iloc[0].strip()
    try:
        if _DATE.fullmatch(first):
            return pd.to_datetime(column, format="ISO8601", utc=True)
        if _DURATION.fullmatch(first):
            return pd.to_timedelta(column)
    except (ValueError, TypeError, OverflowError):
        # the others are no times
        pass
    return column


def as_seconds(values: Any) -> np.ndarray | None:
    """Dates in seconds since 1970 (UTC), durations in seconds, NaN where one is missing; None for other values.

    Examples
    --------
    >>> as_seconds(pd.to_datetime(["1970-01-01 00:00:01.5", None]))
    array([1.5, nan])
    >>> as_seconds(pd.to_datetime(["1970-01-01 01:00"]).tz_localize("Europe/Berlin"))
    array([0.])
    >>> as_seconds(np.array([1500], dtype="timedelta64[ms]"))
    array([1.5])
    >>> as_seconds(np.array([1.5])) is None
    True
    """
    column = pd.Series(values)
    if pd.api.types.is_datetime64_any_dtype(column.dtype):
        in_utc = column.dt.tz_localize("UTC") if column.dt.tz is None else column.dt.tz_convert("UTC")
        column = in_utc - pd.Timestamp(0, tz="UTC")
    elif not pd.api.types.is_timedelta64_dtype(column.dtype):
        return None
    values = column.to_numpy()
    # whole seconds and the rest, so that a date is the number that its text would be
    ticks, per_second = values.astype(np.int64), TICKS[np.datetime_data(values.dtype)[0]]
    return np.where(np.isnat(values), np.nan, ticks // per_second + ticks % per_second / per_second)
