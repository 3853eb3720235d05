"""Values as messages show them."""

from __future__ import annotations

import re
from collections.abc import Iterable
from itertools import islice
from typing import Any

import numpy as np
import pandas as pd
import xarray as xr

__all__ = ["counted", "listed", "shown"]

#: Characters of a value, at most.
LONGEST = 80
#: Entries of a list that are named, at most.
NAMED = 10


def shown(value: Any) -> str:
    """A value as Python writes it, on one line; cut where it is long.

    Numbers and dates stand without the types of NumPy and pandas around them, tables and matrices by their shape.

    Examples
    --------
    >>> print(shown(np.float64(0.5)), shown([np.int64(1), "a"]), shown(pd.Timestamp("2026-01-01")))
    0.5 [1, 'a'] 2026-01-01 00:00:00
    >>> print(shown(np.zeros((3, 2))), shown(pd.DataFrame()))
    ndarray of shape (3, 2) DataFrame of shape (0, 0)
    """
    text = re.sub(r"\s*\n\s*", " ", _written(value))
    return _cut(text)


def listed(entries: Iterable[Any], separator: str = ", ", longest: int = LONGEST) -> str:
    """The first entries as text, each cut where it is long, and how many more there are.

    Examples
    --------
    >>> listed(["a", "b"]), listed(range(12)), listed(["a" * 100], longest=10)
    ('a, b', '0, 1, 2, 3, 4, 5, 6, 7, 8, 9 and 2 more', 'aaaaaaa...')
    """
    entries = list(map(str, entries))
    named = separator.join(_cut(entry, longest) for entry in entries[:NAMED])
    return named + (f" and {len(entries) - NAMED:,} more" if len(entries) > NAMED else "")


def counted(n: int, one: str, many: str | None = None) -> str:
    """A number of things, in the singular or the plural.

    Examples
    --------
    >>> counted(1, "neuron"), counted(2_000, "neuron"), counted(0, "class", "classes")
    ('1 neuron', '2000 neurons', '0 classes')
    """
    return f"{n} {one if n == 1 else many or one + 's'}"


def _cut(text: str, longest: int = LONGEST) -> str:
    return text if len(text) <= longest else f"{text[: longest - 3]}..."


def _written(value: Any) -> str:
    if isinstance(value, pd.Timestamp | pd.Timedelta | pd.Period | np.datetime64 | np.timedelta64):
        return str(value)
    if isinstance(value, np.generic):
        return repr(value.item())
    if isinstance(value, xr.Dataset):
        return f"Dataset of sizes {dict(value.sizes)}"
    if isinstance(shape := getattr(value, "shape", None), tuple) and len(shape) > 1:
        return f"{type(value).__name__} of shape {tuple(shape)}"
    if type(value) is list:
        return f"[{', '.join(map(_written, value[:LONGEST]))}]"
    if type(value) is tuple:
        return f"({', '.join(map(_written, value[:LONGEST]))}{',' if len(value) == 1 else ''})"
    if type(value) is dict:
        return f"{{{', '.join(f'{_written(key)}: {_written(item)}' for key, item in islice(value.items(), LONGEST))}}}"
    return repr(value)
