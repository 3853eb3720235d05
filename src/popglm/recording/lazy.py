"""Arrays that stay in their file, or are not made, until somebody asks for a part of them."""

from __future__ import annotations

from typing import Any

import numpy as np
import xarray as xr
from xarray.backends import BackendArray
from xarray.core import indexing

__all__ = ["StoredArray", "TimesOfRate", "lazily"]


class StoredArray(BackendArray):
    """An array in a file, in the unit that its conversion says.

    Parameters
    ----------
    array : array-like
        Anything with ``shape``, ``dtype`` and slices: a dataset of h5py, an array of zarr, …
    conversion, offset : float or ndarray, optional
        Values are ``array × conversion + offset``; ndarrays hold a number per column.
    transpose : bool, optional
        Whether the file holds the second axis first.

    Examples
    --------
    >>> ticks = StoredArray(np.arange(6).reshape(3, 2), conversion=0.5)
    >>> lazily(("sample", "column"), ticks)[1:].values
    array([[1. , 1.5],
           [2. , 2.5]])
    """

    def __init__(self, array: Any, conversion: Any = 1.0, offset: Any = 0.0, transpose: bool = False) -> None:
        self.array, self.conversion, self.offset, self.transpose = array, conversion, offset, transpose
        self.shape = tuple(array.shape)[::-1] if transpose else tuple(array.shape)
        self.is_converted = bool(np.any(np.asarray(conversion) != 1) or np.any(np.asarray(offset) != 0))
        kind = np.dtype(array.dtype)
        self.dtype = np.result_type(kind, np.float32) if self.is_converted else kind

    def __getitem__(self, key: Any) -> Any:
        """Read a part."""
        return indexing.explicit_indexing_adapter(key, self.shape, indexing.IndexingSupport.BASIC, self._read)

    def _read(self, key: tuple) -> np.ndarray:
        """Read what integers and slices name."""
        array = self.array
        read = np.asarray(array[key[::-1]]).T if self.transpose else np.asarray(array[key])
        if not self.is_converted:
            return read
        factor, shift = (self._of_columns(a, key) for a in (self.conversion, self.offset))
        return (read * factor + shift).astype(self.dtype, copy=False)

    @staticmethod
    def _of_columns(numbers: Any, key: tuple) -> Any:
        """The entries of one number per column that a key names; a single number as it is."""
        return numbers if np.ndim(numbers) == 0 else np.asarray(numbers)[key[-1]]


class TimesOfRate(BackendArray):
    """Times t = start + i / rate, made where they are asked for.

    Parameters
    ----------
    n_samples : int
    rate : float
        Samples per second.
    start : float, optional
        Time of the first sample (s).

    Examples
    --------
    >>> lazily(("sample",), TimesOfRate(4, rate=10, start=2.0)).values
    array([2. , 2.1, 2.2, 2.3])
    """

    dtype = np.dtype(np.float64)

    def __init__(self, n_samples: int, rate: float, start: float = 0.0) -> None:
        self.shape, self.rate, self.start = (int(n_samples),), float(rate), float(start)

    def __getitem__(self, key: Any) -> Any:
        """Make a part."""
        return indexing.explicit_indexing_adapter(key, self.shape, indexing.IndexingSupport.BASIC, self._make)

    def _make(self, key: tuple) -> Any:
        """The times that an integer or a slice names."""
        at = key[0]
        steps = np.arange(*at.indices(self.shape[0])) if isinstance(at, slice) else np.asarray(at)
        with np.errstate(divide="ignore", invalid="ignore"):
            return self.start + steps / self.rate


def lazily(dims: tuple[str, ...], array: BackendArray) -> xr.Variable:
    """A variable of xarray whose values are read, or made, when they are asked for.

    Its encoding has the chunks of the file, along which reading is fast.
    """
    chunks = getattr(getattr(array, "array", None), "chunks", None)
    if chunks and getattr(array, "transpose", False):
        chunks = chunks[::-1]
    encoding = {"chunksizes": tuple(chunks)} if chunks else {}
    return xr.Variable(dims, indexing.LazilyIndexedArray(array), encoding=encoding)
