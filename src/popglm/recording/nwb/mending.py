"""Keep a file readable for pynwb, which refuses all of it where a single object breaks the schema."""

from __future__ import annotations

import warnings
from collections.abc import Iterator
from typing import Any

import numpy as np

__all__ = ["read_what_can_be"]


def read_what_can_be(io: Any) -> tuple[Any, dict[int, tuple[Any, Any]], dict[str, str]]:
    """Read a file, its arrays left in it, without the objects that pynwb refuses.

    Parameters
    ----------
    io : hdmf.backends.io.HDMFIO
        Open for reading.

    Returns
    -------
    pynwb.NWBFile
    dict of int to tuple
        Timestamps of two dimensions: what stands in their place, by its identity, and the array in the file.
    dict of str to str
        Paths of the objects that were refused, with the reason.

    Raises
    ------
    Exception
        As pynwb has it, if what remains is no file.
    """
    from hdmf.build.errors import ConstructError

    wide, refused = _wide_timestamps(io.read_builder()), dict[str, str]()
    with warnings.catch_warnings():
        # of lengths, orientations and versions of namespaces: what matters of it is checked by the reader
        warnings.simplefilter("ignore")
        while True:
            try:
                return io.read(), wide, refused
            except ConstructError as error:
                builder, reason = error.args
                if builder.parent is None or builder.path in refused:
                    raise
                refused[builder.path.removeprefix("root/")] = str(reason).rpartition(" object due to: ")[2]
                siblings = builder.parent.groups if builder.name in builder.parent.groups else builder.parent.datasets
                if siblings.pop(builder.name, None) is None:
                    raise


def _wide_timestamps(root: Any) -> dict[int, tuple[Any, Any]]:
    """Put a list of the right length in the place of all timestamps of two dimensions, and return what was there."""
    wide = {}
    for builder in _groups(root):
        times = builder.datasets.get("timestamps")
        shape = getattr(getattr(times, "data", None), "shape", None)
        if shape is not None and len(shape) == 2:
            place = np.broadcast_to(np.nan, max(shape))
            wide[id(place)] = place, times.data
            # as an entry, since the attribute of that name is set once; other series may link to it
            times["data"] = place
    return wide


def _groups(builder: Any) -> Iterator[Any]:
    """All groups of a file."""
    yield builder
    for group in builder.groups.values():
        yield from _groups(group)
