"""Values as messages show them."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd

__all__ = ["shown"]

#: Characters of a value, at most.
LONGEST = 80


def shown(value: Any) -> str:
    """A value as Python writes it, without types of NumPy and pandas around numbers and dates; cut where it is long.

    Examples
    --------
    >>> print(shown(np.float64(0.5)), shown([np.int64(1), "a"]), shown(pd.Timestamp("2026-01-01")))
    0.5 [1, 'a'] 2026-01-01 00:00:00
    """
    text = _written(value)
    return text if len(text) <= LONGEST else f"{text[: LONGEST - 3]}..."


def _written(value: Any) -> str:
    if isinstance(value, pd.Timestamp | pd.Timedelta | pd.Period | np.datetime64 | np.timedelta64):
        return str(value)
    if isinstance(value, np.generic):
        return repr(value.item())
    if type(value) is list:
        return f"[{', '.join(map(_written, value[:LONGEST]))}]"
    if type(value) is tuple:
        return f"({', '.join(map(_written, value[:LONGEST]))}{',' if len(value) == 1 else ''})"
    if type(value) is dict:
        return f"{{{', '.join(f'{_written(key)}: {_written(item)}' for key, item in value.items())}}}"
    return repr(value)
