"""Tables in text, with values between commas or tabs."""

from __future__ import annotations

import warnings
from pathlib import Path

import pandas as pd

__all__ = ["read_delimited"]


def read_delimited(path: Path, separator: str) -> pd.DataFrame:
    """Read a table, each value under its own name.

    Where rows have one value more than the header, such as an empty one after a last comma, pandas by itself takes the
    first column for an index, and shifts all others by one name.

    Raises
    ------
    ValueError
        If the file is no table, or rows have more values than the header has names.
    """
    with warnings.catch_warnings():
        warnings.simplefilter("error", pd.errors.ParserWarning)
        try:
            return pd.read_csv(path, sep=separator, skipinitialspace=True, index_col=False)
        except pd.errors.ParserWarning as error:
            # values that have no name would be dropped
            raise ValueError("rows have more values than the header has names") from error
