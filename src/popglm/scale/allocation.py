"""How the C library of a worker process hands memory back."""

from __future__ import annotations

import ctypes
import os

__all__ = ["keep_freed_memory"]

#: The variable by which Dask's nannies have glibc return all that is freed at the end of the heap.
VARIABLE, OF_DASK = "MALLOC_TRIM_THRESHOLD_", "65536"
#: Parameters of glibc's mallopt, and the values that it comes to by itself where arrays are made and thrown away.
M_TRIM_THRESHOLD, M_MMAP_THRESHOLD = -1, -3
MMAP_BYTES = 32 * 2**20


def keep_freed_memory() -> bool:
    """Have glibc keep some of the memory that is freed, which it does unless it is told otherwise.

    A threshold for trimming, which Dask's nannies set, also freezes that from which on an array is a mapping of its
    own, at 128 kB: each array of a pass over samples is then mapped, cleared page by page, and unmapped. A threshold
    that the user set is left alone.

    Returns
    -------
    bool
        Whether anything was changed.

    Notes
    -----
    See mallopt(3): "Setting M_TRIM_THRESHOLD … disables the dynamic adjustment".
    """
    if os.environ.get(VARIABLE) != OF_DASK:
        return False
    # other C libraries have no such function
    mallopt = getattr(ctypes.CDLL(None), "mallopt", None) if os.name == "posix" else None
    if mallopt is None:
        return False
    return bool(mallopt(M_MMAP_THRESHOLD, MMAP_BYTES) and mallopt(M_TRIM_THRESHOLD, 2 * MMAP_BYTES))
