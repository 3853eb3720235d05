"""Memory that is short: how devices say so, the same work in smaller parts, and what is freed given back."""

from __future__ import annotations

import ctypes
import logging
import math
import os
import re
from collections.abc import Callable

import numpy as np

__all__ = ["give_back_freed_memory", "in_halves", "is_out_of_memory", "memory_of_machine"]

log = logging.getLogger("popglm")

#: What errors say, in lower case, where a device has no room.
NO_ROOM = re.compile(r"out of memory|outofmemory|resource_exhausted|resourceexhausted|\boom\b")

#: Bytes of arrays that are worth to be given back.
LEAST_FREED = 2**22


def memory_of_machine() -> float:
    """Bytes of memory that this machine has in all; inf where the system does not say."""
    try:
        return float(os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES"))
    except (AttributeError, ValueError, OSError):
        return float("inf")


def give_back_freed_memory(largest: float = math.inf) -> bool:
    """Have the C library hand freed memory to the system; returns whether it did: glibc has a function for that.

    By itself glibc gives back what lies at the end of its heap. Arrays of up to 32 MB lie on it, and those that outlive
    their neighbours leave holes, which later arrays of other sizes do not fill. It takes some milliseconds.

    Parameters
    ----------
    largest : float
        Bytes of the largest array that was freed; nothing is done for few.

    Examples
    --------
    >>> given_back = give_back_freed_memory()
    >>> give_back_freed_memory(largest=1000)
    False
    """
    if largest < LEAST_FREED:
        return False
    trim = getattr(ctypes.CDLL(None), "malloc_trim", None) if os.name == "posix" else None
    return bool(trim is not None and trim(0))


def is_out_of_memory(error: BaseException) -> bool:
    """Whether an array library says that its device has no room, each in its own words."""
    text = f"{type(error).__name__}: {error}".lower()
    return isinstance(error, MemoryError) or NO_ROOM.search(text) is not None


def in_halves(work: Callable[[np.ndarray], np.ndarray], items: np.ndarray, name: str = "columns") -> np.ndarray:
    """``work(items)``, an array with a row per item; in two halves, and so on, where the device has no room."""
    try:
        return work(items)
    except Exception as error:
        if not is_out_of_memory(error) or len(items) == 1:
            raise
    # outside the handler: the traceback would keep the arrays of the failed work alive
    log.warning("The device is out of memory; going on with %d %s at a time.", -(-len(items) // 2), name)
    return np.concatenate([in_halves(work, half, name) for half in np.array_split(items, 2)])
