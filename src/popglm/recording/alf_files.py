"""Files under the ALF naming convention: which object and attribute each holds, and what is in it.

A name is ``_namespace_object.attribute.extension``; folders are collections, and those between # are revisions. Source:
the specification in the documentation of ONE, https://int-brain-lab.github.io/ONE/alf_intro.html.
"""

from __future__ import annotations

import re
from collections import defaultdict
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import xarray as xr

from popglm.recording.delimited import read_delimited
from popglm.recording.files import NpyFile, StoredColumns, optional_library
from popglm.recording.lazy import StoredArray, lazily
from popglm.warnings import warn

__all__ = ["MOST_COLUMNS", "AlfFile", "as_columns", "clock_of", "objects_in", "stored_signal", "table_of", "vector_of"]

READER = "read_alf"
_UUID = re.compile(r"[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}", re.IGNORECASE)
_TABLES = ("pqt", "parquet", "csv", "tsv")
#: An attribute with more columns, such as a waveform, gives no columns to a table.
MOST_COLUMNS = 3


@dataclass(frozen=True)
class AlfFile:
    """One attribute of an object."""

    path: Path
    collection: str
    revision: str
    object: str
    attribute: str

    @property
    def is_table(self) -> bool:
        """Whether it has named columns."""
        return self.path.suffix[1:] in _TABLES


def objects_in(root: Path) -> dict[tuple[str, str], dict[str, AlfFile]]:
    """Attributes of every object, by collection and object; of several revisions the latest."""
    found: dict[tuple[str, str], dict[str, AlfFile]] = defaultdict(dict)
    for path in sorted(root.rglob("*.*")):
        file = _parsed(path, root) if path.is_file() else None
        if file is None:
            continue
        attributes = found[file.collection, file.object]
        if file.attribute not in attributes or file.revision >= attributes[file.attribute].revision:
            attributes[file.attribute] = file
    return dict(found)


def _parsed(path: Path, root: Path) -> AlfFile | None:
    """What a file holds by its name, None where the name is not of the convention, or its times on another clock."""
    *names, extension = path.name.split(".")
    if extension not in ("npy", *_TABLES) or len(names) < 2:
        return None
    attribute = ".".join(name for name in names[1:] if not _UUID.fullmatch(name))
    # a timescale after times or intervals names a clock of its own, such as that of the behaviour board
    if not attribute or re.fullmatch(r"(\w+_)?(times|timestamps|intervals)_\w+", attribute):
        return None
    folders = path.relative_to(root).parts[:-1]
    revisions = [folder.strip("#") for folder in folders if re.fullmatch(r"#.+#", folder)]
    collection = "/".join(folder for folder in folders if not re.fullmatch(r"#.+#", folder))
    thing = re.sub(r"^_[a-z]+_", "", names[0])
    return AlfFile(
        path, collection, revisions[-1] if revisions else "", thing, re.sub(r"^_([a-z]+)_", r"\1_", attribute)
    )


def vector_of(file: AlfFile) -> np.ndarray:
    """One number per row.

    Raises
    ------
    ValueError
        If the file is damaged or has several columns.
    """
    if file.is_table:
        table = table_of(file)
        values = table.iloc[:, -1].to_numpy()
    else:
        values = np.asarray(NpyFile(file.path, READER)[...])
    if values.size != len(values):
        raise ValueError(f"{READER}: {file.path.name} must hold one value per row; found shape {values.shape}")
    return values.reshape(-1)


def table_of(file: AlfFile) -> pd.DataFrame:
    """A table with named columns.

    Raises
    ------
    ValueError
        If the file is damaged.
    """
    try:
        if file.path.suffix in (".csv", ".tsv"):
            return read_delimited(file.path, "\t" if file.path.suffix == ".tsv" else ",")
        optional_library("pyarrow", "parquet", READER)
        return pd.read_parquet(file.path, engine="pyarrow").reset_index(drop=True)
    except (ValueError, OSError) as error:
        what = "is empty" if file.path.stat().st_size == 0 else "is cut short or damaged"
        raise ValueError(f"{READER}: {file.path.name} {what}; copy it again") from error


def as_columns(name: str, values: np.ndarray) -> dict[str, np.ndarray]:
    """Columns of a table from an attribute: one, a few with an index after their name, or none of wide or ragged "
    "ones."""
    if values.ndim > 1 and values.size == len(values):
        values = values.reshape(-1)
    if values.ndim == 1:
        return {name: values}
    if values.ndim == 2 and values.shape[1] <= MOST_COLUMNS:
        return {f"{name}_{k}": values[:, k] for k in range(values.shape[1])}
    return {}


class _SyncTimes:
    """Times of samples by straight lines between synchronisation points (sample number from 0, time in s).

    Beyond the first and the last point, the line through the two next to it goes on.
    """

    dtype = np.dtype(np.float64)

    def __init__(self, points: np.ndarray, n_samples: int) -> None:
        self.points, self.shape = points, (n_samples,)

    def __getitem__(self, key: Any) -> np.ndarray:
        """Make a part."""
        at = key[0] if isinstance(key, tuple) else key
        samples = np.arange(*at.indices(self.shape[0])) if isinstance(at, slice) else np.asarray(at)
        number, time = self.points.T
        left = np.clip(np.searchsorted(number, samples, side="right") - 1, 0, len(number) - 2)
        slope = np.diff(time) / np.diff(number)
        return time[left] + (samples - number[left]) * slope[left]


def clock_of(file: AlfFile, n_samples: int) -> xr.Variable | None:
    """Times of the samples of an object; None where there are other numbers of them.

    Raises
    ------
    ValueError
        If synchronisation points are fewer than two, or not in order.
    """
    stored = NpyFile(file.path, READER)
    if stored.ndim == 2 and stored.shape[1] == 2:
        points = np.asarray(stored[...], dtype=np.float64)
        if len(points) < 2 or not np.all(np.diff(points, axis=0) > 0):
            raise ValueError(
                f"{READER}: {file.path.name} must have two or more rows of a sample number and its time, both rising; "
                f"found {points[:2].tolist()}"
            )
        if points[0, 0] == 1 and points[-1, 0] == n_samples:
            warn(
                f"{READER}: sample numbers of {file.path.name} go from 1 to {n_samples:,}, the number of samples; they "
                "are taken as counted from 0, as the convention says: subtract 1 if the writer counted from 1"
            )
        return lazily(("sample",), StoredArray(_SyncTimes(points, n_samples)))
    if stored.shape[0] != n_samples or np.prod(stored.shape) != n_samples:
        return None
    if stored.ndim == 1:
        return lazily(("sample",), stored.stored())
    return xr.Variable(("sample",), np.asarray(stored[...]).reshape(-1))


def stored_signal(file: AlfFile) -> tuple[xr.Variable, list[str] | None]:
    """Values of a signal, read when they are asked for, and the names of its columns."""
    if not file.is_table:
        stored = NpyFile(file.path, READER)
        if stored.ndim > 1 and np.prod(stored.shape) == stored.shape[0]:
            return xr.Variable(("sample",), np.asarray(stored[...]).reshape(-1)), None
        dims = ("sample", "column", *map(str, range(2, stored.ndim)))[: stored.ndim]
        return lazily(dims, stored.stored()), None
    if file.path.suffix in (".csv", ".tsv"):
        table = table_of(file).select_dtypes(["number", "bool"])
        return xr.Variable(("sample", "column"), table.to_numpy(dtype=np.float64)), list(map(str, table.columns))
    parquet = optional_library("pyarrow.parquet", "parquet", READER)
    try:
        schema, n_rows = parquet.read_schema(file.path), parquet.read_metadata(file.path).num_rows
    except (ValueError, OSError) as error:
        raise ValueError(f"{READER}: {file.path.name} is cut short or damaged; copy it again") from error
    kinds = pd.DataFrame(schema.empty_table().to_pandas()).select_dtypes(["number", "bool"])

    def read(names: list[str]) -> np.ndarray:
        return parquet.read_table(file.path, columns=names).to_pandas()[names].to_numpy(dtype=np.float64)

    names = [str(name) for name in kinds.columns]
    columns = StoredColumns(read, names, n_rows, np.float64)
    return lazily(("sample", "column"), columns.stored()), names
