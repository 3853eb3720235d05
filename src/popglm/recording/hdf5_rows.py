"""Rows of a plain HDF5 dataset, read past HDF5: straight from the file, in several threads at once."""

from __future__ import annotations

import os
from functools import cached_property
from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    import h5py

__all__ = ["Hdf5Rows"]


class Hdf5Rows:
    """A dataset of an open file of h5py, whose rows come straight from the file where its bytes are the values.

    They are where nothing filters them, such as a compression, and every row lies in one piece. All else is read by
    h5py, and so is a file that may still be written to, or is not on this machine.

    Parameters
    ----------
    dataset : h5py.Dataset

    Attributes
    ----------
    shape, dtype
        Those of the dataset.
    chunks : tuple of int, or None
        What is read together; a row where the dataset has no chunks.
    """

    def __init__(self, dataset: h5py.Dataset) -> None:
        self.dataset, self.shape, self.dtype = dataset, dataset.shape, dataset.dtype
        self.chunks = dataset.chunks or (1, *dataset.shape[1:])

    def __getitem__(self, key: Any) -> Any:
        """Read a part."""
        rows, *others = key if isinstance(key, tuple) else (key,)
        if isinstance(rows, slice) and all(isinstance(one, slice) for one in others):
            bounds = [one.indices(n) for one, n in zip([rows, *others], self.shape, strict=False)]
            are_whole = all(one == (0, n, 1) for one, n in zip(bounds[1:], self.shape[1:], strict=False))
            first, stop, step = bounds[0]
            if are_whole and step == 1 and first < stop and self._stretches is not None:
                return self._read(first, stop)
        return self.dataset[key]

    @cached_property
    def _stretches(self) -> tuple[np.ndarray, np.ndarray] | None:
        """The first row of every stretch of rows that follow each other in the file, and its place there in bytes."""
        if not self.dataset or not _is_plain(self.dataset):
            return None
        places: list[tuple[int, int]] = []
        if self.dataset.chunks is None:
            offset = self.dataset.id.get_offset()
            places += [] if offset is None else [(0, offset)]
            n_wanted = 1
        else:
            self.dataset.id.chunk_iter(lambda chunk: places.append((chunk.chunk_offset[0], chunk.byte_offset)))
            n_wanted = -(-self.shape[0] // self.chunks[0])
        if len(places) != n_wanted:
            # what was never written has no place, and what lies in another file has none here
            return None
        rows, offsets = np.array(sorted(places), dtype=np.int64).T
        begins = np.append(True, np.diff(offsets) != np.diff(rows) * self._row_bytes)
        return rows[begins], offsets[begins]

    @property
    def _row_bytes(self) -> int:
        """Bytes of a row."""
        return int(self.dtype.itemsize * np.prod(self.shape[1:], dtype=np.int64))

    def _read(self, first: int, stop: int) -> np.ndarray:
        """Rows from ``first`` on, up to ``stop``."""
        if not self.dataset or self._stretches is None:
            # where the file was closed h5py says so
            return self.dataset[first:stop]
        rows, offsets = self._stretches
        out = np.empty((stop - first, *self.shape[1:]), self.dtype)
        file, view = self.dataset.file.id.get_vfd_handle(), out.reshape(-1).view(np.uint8).data
        at = first
        while at < stop:
            own = int(np.searchsorted(rows, at, side="right")) - 1
            end = min(stop, int(rows[own + 1])) if own + 1 < len(rows) else stop
            place = int(offsets[own]) + (at - int(rows[own])) * self._row_bytes
            _fill(view[(at - first) * self._row_bytes : (end - first) * self._row_bytes], file, place)
            at = end
        return out


def _is_plain(dataset: h5py.Dataset) -> bool:
    """Whether the bytes of a dataset lie in its file as they are in memory, rows in one piece, and stay as they are."""
    import h5py

    file, settings = dataset.file, dataset.id.get_create_plist()
    is_local = hasattr(os, "preadv") and file.driver == "sec2" and file.mode == "r" and not file.swmr_mode
    if not is_local or file.userblock_size or dataset.is_virtual:
        return False
    in_pieces = settings.get_layout() in (h5py.h5d.CONTIGUOUS, h5py.h5d.CHUNKED) and settings.get_nfilters() == 0
    whole_rows = dataset.chunks is None or dataset.chunks[1:] == dataset.shape[1:]
    is_numeric = dataset.dtype.kind in "iuf" and dataset.id.get_type() == h5py.h5t.py_create(dataset.dtype)
    return bool(in_pieces and whole_rows and is_numeric and dataset.size)


def _fill(view: memoryview, file: int, place: int) -> None:
    """Read as many bytes as a view has from a place in a file.

    Raises
    ------
    OSError
        If the file ends before.
    """
    while len(view):
        n_read = os.preadv(file, [view], place)
        if not n_read:
            raise OSError(f"the file ends at byte {place:,}, before its values do; copy it again")
        view, place = view[n_read:], place + n_read
