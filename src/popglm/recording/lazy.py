"""Arrays that stay in their file, or are not made, until somebody asks for a part of them."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import xarray as xr
from xarray.backends import BackendArray
from xarray.core import indexing

__all__ = ["StoredArray", "TimesOfRate", "lazily"]

#: Values that are converted at once.
BLOCK = 2**20


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
    owner : object, optional
        What must not be thrown away while the array is in use, such as the open file.

    Examples
    --------
    >>> ticks = StoredArray(np.arange(6).reshape(3, 2), conversion=0.5)
    >>> lazily(("sample", "column"), ticks)[1:].values
    array([[1. , 1.5],
           [2. , 2.5]])
    """

    def __init__(
        self, array: Any, conversion: Any = 1.0, offset: Any = 0.0, transpose: bool = False, owner: Any = None
    ) -> None:
        self.array, self.conversion, self.offset = array, conversion, offset
        self.transpose, self.owner = transpose, owner
        self.shape = tuple(array.shape)[::-1] if transpose else tuple(array.shape)
        self.is_converted = bool(np.any(np.asarray(conversion) != 1) or np.any(np.asarray(offset) != 0))
        kind = np.dtype(array.dtype)
        self.dtype = np.result_type(kind, np.float32) if self.is_converted else kind

    def __getitem__(self, key: Any) -> Any:
        """Read a part."""
        return indexing.explicit_indexing_adapter(key, self.shape, indexing.IndexingSupport.BASIC, self._read)

    def __deepcopy__(self, memo: Any) -> StoredArray:
        """The array itself: what is in a file is the same for all copies."""
        return self

    def _read(self, key: tuple) -> np.ndarray:
        """Read what integers and slices name."""
        array = self.array
        read = np.asarray(array[key[::-1]]).T if self.transpose else np.asarray(array[key])
        if not self.is_converted:
            return read
        factor, shift = (self._of_columns(a, key) for a in (self.conversion, self.offset))
        if read.ndim < 2 and (np.ndim(factor) or np.ndim(shift) or not read.ndim):
            return np.asarray(read * factor + shift).astype(self.dtype, copy=False)
        # a few rows at a time, and in place where that is possible: the result may be as large as the memory allows
        in_place = read.dtype == self.dtype and read.flags.owndata and read.flags.writeable
        converted = read if in_place else np.empty(read.shape, self.dtype)
        n_rows = max(1, BLOCK // max(1, math.prod(read.shape[1:])))
        for first in range(0, len(read), n_rows):
            rows = slice(first, first + n_rows)
            converted[rows] = read[rows] * factor + shift
        return converted

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
