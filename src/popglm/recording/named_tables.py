"""Tables from the fields of a struct: arrays with an entry per row, or lists of values."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import pandas as pd

from popglm.messages import listed
from popglm.recording.files import OnDemand
from popglm.warnings import warn

__all__ = ["columns_of", "table_of_fields"]

#: A matrix with more columns gives none to a table.
MOST_COLUMNS = 20


def table_of_fields(fields: Mapping[str, Any], n_rows: int | None, what: str, strict: bool = False) -> pd.DataFrame:
    """A table of all fields that have an entry per row.

    Parameters
    ----------
    fields : mapping of str to array, list or text
    n_rows : int, optional
        Those of the first field, unless given.
    what : str
        For messages.
    strict : bool, optional
        Whether a field that has other entries is an error; else it is left out, with a warning.

    Raises
    ------
    ValueError
        If a field has other entries, or none have any.

    Examples
    --------
    >>> table_of_fields({"choice": np.array([[1, 0]]), "side": ["left", "right"], "history": np.eye(2)}, 2, "trials")
       choice   side  history_0  history_1
    0       1   left        1.0        0.0
    1       0  right        0.0        1.0
    """
    columns: dict[str, np.ndarray] = {}
    odd = []
    for name, value in fields.items():
        found = columns_of(str(name), value)
        lengths = {len(column) for column in found.values()}
        n_rows = next(iter(lengths), None) if n_rows is None else n_rows
        if lengths == {n_rows}:
            columns |= found
            continue
        odd.append(str(name))
        if strict:
            size = f"{lengths.pop():,} entries" if lengths else "no entry per row"
            raise ValueError(f"{what}: {name!r} has {size}, but there are {n_rows} rows; leave it out or mend it")
    if odd:
        warn(f"{what}: {listed(odd)} do not have one entry for each of {n_rows} rows; left out")
    return pd.DataFrame(columns)


def columns_of(name: str, value: Any) -> dict[str, np.ndarray]:
    """Columns of a field: one of a vector or a list of single values, several of a matrix, none of anything else."""
    if isinstance(value, OnDemand):
        value = value[...]
    if isinstance(value, list):
        return _column_of_list(name, value)
    if isinstance(value, np.ndarray) and value.dtype.kind in "biufUO":
        if value.size == max(value.shape, default=1):
            return {name: value.reshape(-1)}
        if value.ndim == 2 and value.shape[1] <= MOST_COLUMNS:
            return {f"{name}_{k}": value[:, k] for k in range(value.shape[1])}
    if isinstance(value, bool | int | float):
        return {name: np.array([value])}
    return {}


def _column_of_list(name: str, values: list[Any]) -> dict[str, np.ndarray]:
    """A column of single values; what is empty is unknown; none where any holds several."""
    out: list[Any] = []
    for value in values:
        if isinstance(value, OnDemand):
            value = value[...]
        if isinstance(value, str):
            out.append(value)
        elif np.size(value) == 0 and not isinstance(value, Mapping):
            out.append(None)
        elif np.size(value) == 1 and np.asarray(value).dtype.kind in "biufU":
            out.append(np.asarray(value).reshape(-1)[0].item())
        else:
            return {}
    if any(isinstance(value, str) for value in out):
        return {name: np.array(out, dtype=object)}
    if any(value is None for value in out):
        return {name: np.array([np.nan if value is None else value for value in out], dtype=np.float64)}
    return {name: np.array(out) if out else np.zeros(0)}
