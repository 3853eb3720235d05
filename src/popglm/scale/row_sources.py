"""What a design's rows are read from: arrays that each worker opens by itself, arrays of Dask, arrays in memory."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

__all__ = ["is_dask", "is_readable", "readable_by_workers", "row_edges"]


@dataclass(frozen=True)
class HDF5Rows:
    """A dataset of an HDF5 file, which is opened for every read.

    Attributes
    ----------
    file, name : str
    shape : tuple of int
    dtype : numpy.dtype
    chunks : tuple of int, or None
    """

    file: str
    name: str
    shape: tuple[int, int]
    dtype: np.dtype
    chunks: tuple[int, int] | None

    def __getitem__(self, rows: slice) -> np.ndarray:
        import h5py

        with h5py.File(self.file, "r") as opened:
            return opened[self.name][rows]


@dataclass(frozen=True)
class MappedRows:
    """A file of numbers in C order, mapped into memory for every read.

    Attributes
    ----------
    file : str
    offset : int
        Of the first number, in bytes.
    shape : tuple of int
    dtype : numpy.dtype
    """

    file: str
    offset: int
    shape: tuple[int, int]
    dtype: np.dtype

    def __getitem__(self, rows: slice) -> np.ndarray:
        mapped = np.memmap(self.file, self.dtype, "r", self.offset, self.shape)
        return np.array(mapped[rows])


def is_dask(X: Any) -> bool:
    """Whether X is an array of Dask."""
    return hasattr(X, "dask") and hasattr(X, "to_delayed")


def readable_by_workers(X: Any) -> Any | None:
    """X as something that workers can read by themselves, where they have its file; None for an array in memory.

    Parameters
    ----------
    X : zarr.Array, h5py.Dataset, np.memmap, or other array, shape (n_samples, n_features)
    """
    if isinstance(X, np.memmap) and X.filename is not None:
        root: Any = X
        while isinstance(root.base, np.memmap):
            root = root.base
        # of a slice of a map the attribute offset is that of the whole
        offset = root.offset + X.__array_interface__["data"][0] - root.__array_interface__["data"][0]
        if not (X.ndim == 2 and X.flags.c_contiguous and hasattr(root, "_mmap")):
            return None
        return MappedRows(str(Path(X.filename).resolve()), int(offset), X.shape, X.dtype)
    library = type(X).__module__.partition(".")[0]
    if library == "h5py":
        return HDF5Rows(str(Path(X.file.filename).resolve()), X.name, X.shape, X.dtype, X.chunks)
    return X if library == "zarr" else None


def is_readable(X: Any) -> bool:
    """Whether X is what `readable_by_workers` returns."""
    return isinstance(X, HDF5Rows | MappedRows) or type(X).__module__.partition(".")[0] == "zarr"


def row_edges(n: int, shares: list[int], chunks: Any) -> np.ndarray:
    """First row of every share, and n: shares in given proportions, which begin with a chunk where one is near.

    Parameters
    ----------
    shares : list of int
    chunks : int, tuple of int, or None
        Rows of the chunks in which the array is stored.

    Examples
    --------
    >>> row_edges(100, [1, 1], None)
    array([  0,  50, 100])
    >>> row_edges(100, [1, 1], (48, 52))
    array([  0,  48, 100])
    """
    edges = np.rint(np.cumsum([0, *shares]) / sum(shares) * n).astype(int)
    starts = np.cumsum([0, *(chunks or ())]).astype(int) if not isinstance(chunks, int) else np.arange(0, n, chunks)
    near = starts[np.abs(starts[:, None] - edges[1:-1]).argmin(axis=0)]
    edges[1:-1] = np.where(np.abs(near - edges[1:-1]) <= 0.1 * n / len(shares), near, edges[1:-1])
    return np.unique(edges)
