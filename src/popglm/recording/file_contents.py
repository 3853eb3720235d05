"""What a file holds, for those who are about to say what is what."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from popglm.messages import shown
from popglm.recording.arrays import array_files
from popglm.recording.files import OnDemand, path_of
from popglm.recording.mat_files import MatFile, StructArray
from popglm.recording.table_files import Table

__all__ = ["contents"]


def contents(path: Any) -> pd.DataFrame:
    """List the arrays, or columns, in a file.

    Parameters
    ----------
    path : path
        A file of MATLAB (.mat), an archive or an array of NumPy (.npz, .npy), a folder of arrays, or a table (.csv,
        .tsv, .parquet, .pqt).

    Returns
    -------
    DataFrame
        A row per name, as readers take it, with its kind and shape.

    Raises
    ------
    ValueError
        If the file is damaged, or of another kind.
    FileNotFoundError
        If there is no such file.

    Examples
    --------
    >>> import tempfile
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     np.savez(Path(folder, "session.npz"), spikes=np.zeros((90, 3), "uint8"), t=np.arange(90) / 30)
    ...     contents(Path(folder, "session.npz"))
               kind    shape
    spikes    uint8  (90, 3)
    t       float64    (90,)
    """
    is_folder = isinstance(path, str | Path) and Path(path).expanduser().is_dir()
    found = path_of(path, "contents", folder=is_folder)
    kind = found.suffix.lower()
    if is_folder or kind in (".npz", ".npy"):
        rows = {name: _described(read()) for name, read in array_files(found, "contents").items()}
    elif kind == ".mat":
        file = MatFile(found, "contents")
        rows = {name: _described(_got(file, name)) for name in file.names()}
    elif kind in (".csv", ".tsv", ".parquet", ".pqt") or ".csv" in found.suffixes:
        table = Table(found, "contents")
        rows = {name: (table.kinds[name], (table.n_rows,)) for name in table.names}
    else:
        raise ValueError(
            f"contents: {found.name} must be a .mat, .npz, .npy, .csv, .tsv or .parquet file; found "
            f"{shown(kind or found.name)}"
        )
    return pd.DataFrame(list(rows.values()), index=list(rows), columns=["kind", "shape"])


def _got(file: MatFile, name: str) -> Any:
    """What has a name, or the complaint that only MATLAB reads it."""
    try:
        return file.get(name)
    except ValueError as error:
        return error


def _described(value: Any) -> tuple[str, tuple[int, ...] | str]:
    """Kind and shape of a value."""
    if isinstance(value, np.ndarray | OnDemand):
        return str(value.dtype), tuple(value.shape)
    if isinstance(value, StructArray):
        return "struct", (len(next(iter(value.values()), [])),)
    if isinstance(value, Mapping):
        return "struct", (1,)
    if isinstance(value, list):
        return "cell", (len(value),)
    if isinstance(value, ValueError):
        return "object of MATLAB", ""
    return "text", (1,)
