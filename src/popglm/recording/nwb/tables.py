"""Tables of a file: what has one value per row is read, columns of many values per row are only pointed to."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import pandas as pd

from popglm.recording.nwb.arrays import first_line, is_numeric, read_text, shape_of
from popglm.recording.nwb.layout import Entry

__all__ = ["MOST_COLUMNS", "UNREADABLE", "Table", "first_rows", "read_table"]

#: Columns that a vector of every row is spread over, at most; longer ones are waveforms and images.
MOST_COLUMNS = 64


#: How the reason begins why a column that is damaged, or could run code, is left out.
UNREADABLE = "it cannot be read"


@dataclass
class Table:
    """The columns of a table of NWB.

    Parameters
    ----------
    rows : DataFrame
        Those with a value per row, and vectors as a column per entry; the index has the ids.
    ragged : dict of str to VectorIndex
        Those with a list per row, not read.
    regions : dict of str to DynamicTableRegion
        Those that point to rows of another table.
    left_out : dict of str to str
        The others, with the reason.
    """

    rows: pd.DataFrame
    ragged: dict[str, Any] = field(default_factory=dict)
    regions: dict[str, Any] = field(default_factory=dict)
    left_out: dict[str, str] = field(default_factory=dict)


def read_table(entry: Entry, skip: Collection[str] = ()) -> Table:
    """Read a table of NWB, but for what may be large.

    Parameters
    ----------
    entry : Entry
        Of a DynamicTable.
    skip : collection of str, optional
        Columns that are not looked at.
    """
    source = entry.found
    ids = read_text(source.id.data[:]) if source.id is not None else np.arange(len(source))
    table = Table(pd.DataFrame(index=pd.Index(ids)))
    columns: dict[str, np.ndarray] = {}
    for name in source.colnames:
        if name in skip:
            continue
        column = source[name]
        kinds = {cls.__name__ for cls in type(column).__mro__}
        inner = getattr(column, "target", None)
        innermost = {cls.__name__ for cls in type(inner).__mro__} | kinds
        if "TimeSeriesReferenceVectorData" in innermost:
            table.left_out[name] = "it points into series"
        elif "DynamicTableRegion" in innermost:
            table.regions[name] = column
        elif "VectorIndex" in kinds:
            table.ragged[name] = column
        else:
            found = _columns_of(name, column, len(ids))
            if isinstance(found, str):
                table.left_out[name] = found
            else:
                columns |= found
    table.rows = pd.DataFrame(columns, index=table.rows.index)
    return table


def _columns_of(name: str, column: Any, n_rows: int) -> dict[str, np.ndarray] | str:
    """Columns of one value per row that a column amounts to, or why it has none."""
    data = column.data
    shape = shape_of(data)
    if not shape or shape[0] != n_rows:
        return f"its shape is {shape} in a table of {n_rows:,} rows"
    width = int(np.prod(shape[1:], dtype=np.int64))
    if (len(shape) > 2 and width != 1) or width > MOST_COLUMNS:
        return f"its shape is {shape}"
    if getattr(getattr(data, "dtype", None), "names", None):
        return "its entries are records"
    try:
        values = read_text(data[:])
    except (OSError, RuntimeError, ValueError) as error:
        # numcodecs does not unpickle, which is how references lie in folders of Zarr
        return f"{UNREADABLE} ({first_line(error)})"
    elements = getattr(column, "elements", None)
    if elements is not None and is_numeric(values):
        values = read_text(elements.data[:])[values]
    values = values.reshape(n_rows, -1) if len(shape) > 1 else values[:, None]
    if values.shape[1] == 1:
        return {name: values[:, 0]}
    if name == "iscell" and values.shape[1] == 2:
        # suite2p's pair: the decision, and the probability of its classifier
        return {"iscell": values[:, 0].astype(bool), "iscell_probability": values[:, 1]}
    return {f"{name}_{k}": values[:, k] for k in range(values.shape[1])}


def first_rows(index: Any) -> np.ndarray:
    """Where the entries of each row of a ragged column begin, and at last where they end: n_rows + 1 numbers.

    Raises
    ------
    ValueError
        If the ends go back.
    """
    ends = np.asarray(index.data[:]).astype(np.int64)
    bounds = np.concatenate([[0], ends])
    if (np.diff(bounds) < 0).any():
        raise ValueError("the index of the column goes back")
    return bounds
