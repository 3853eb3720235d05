"""Tables in text, with values between commas or tabs."""

from __future__ import annotations

import re
import warnings
from pathlib import Path

import pandas as pd

__all__ = ["has_decimal_comma", "how_separated", "read_delimited"]


def read_delimited(path: Path, separator: str, decimal: str = ".") -> pd.DataFrame:
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
            return pd.read_csv(path, sep=separator, decimal=decimal, skipinitialspace=True, index_col=False)
        except pd.errors.ParserWarning as error:
            # values that have no name would be dropped
            raise ValueError("rows have more values than the header has names") from error


def how_separated(path: Path, separator: str) -> str | None:
    """The options that a table seems to need where all names of its columns came out as one; None where they did not.

    Examples
    --------
    >>> import tempfile
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     path = Path(folder, "a.csv")
    ...     _ = path.write_text("t;speed\\n0,5;2")
    ...     print(how_separated(path, ","))
    separator=';' and decimal=','
    """
    try:
        names = pd.read_csv(path, sep=separator, nrows=0, index_col=False).columns
        other = next((mark for mark in ";\t|," if mark in str(names[0])), None) if len(names) == 1 else None
        if other is None:
            return None
        rows = pd.read_csv(path, sep=other, nrows=100, dtype=str, skipinitialspace=True, index_col=False)
    except (ValueError, OSError, EOFError):
        return None
    decimal = (
        " and decimal=','" if other != "," and any(rows[name].map(has_decimal_comma).any() for name in rows) else ""
    )
    return f"separator={other!r}{decimal}"


def has_decimal_comma(value: object) -> bool:
    """Whether a value is text of a number with a comma for its point."""
    return isinstance(value, str) and re.fullmatch(r"\s*[-+]?\d*,\d+([eE][-+]?\d+)?\s*", value) is not None
