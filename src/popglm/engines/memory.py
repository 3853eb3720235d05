"""Devices that are short of memory: how they say so, and the same work in smaller parts."""

from __future__ import annotations

import logging
import os
import re
from collections.abc import Callable

import numpy as np

__all__ = ["in_halves", "is_out_of_memory", "memory_of_machine"]

log = logging.getLogger("popglm")

#: What errors say, in lower case, where a device has no room.
NO_ROOM = re.compile(r"out of memory|outofmemory|resource_exhausted|resourceexhausted|\boom\b")


def memory_of_machine() -> float:
    """Bytes of memory that this machine has in all; inf where the system does not say."""
    try:
        return float(os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES"))
    except (AttributeError, ValueError, OSError):
        return float("inf")


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
