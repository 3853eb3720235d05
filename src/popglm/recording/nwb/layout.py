"""Which objects a file has, where they lie, and the shortest names that tell them apart."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import Any

from popglm.messages import listed

__all__ = ["Entry", "Layout", "layout_of", "matching", "natural", "path_of", "short_names", "without"]

#: Fields of an NWB file, and the folder of the file in which their objects lie.
FOLDERS = {
    "acquisition": "acquisition",
    "analysis": "analysis",
    "processing": "processing",
    "scratch": "scratch",
    "stimulus": "stimulus",
    "stimulus_template": "templates",
    "intervals": "intervals",
    "events": "events",
}


@dataclass(frozen=True)
class Entry:
    """An object of a file, where it lies, and what it is called."""

    path: tuple[str, ...]
    found: Any
    name: str

    def is_a(self, *types: str) -> bool:
        """Whether the object is of a type of NWB, or of one that extends it; types of extensions count by name."""
        return any(cls.__name__ in types for cls in type(self.found).__mro__)


@dataclass
class Layout:
    """The objects of a file that have times, or tables, and what was left out of the session, with the reason."""

    entries: list[Entry]
    left_out: dict[str, str] = field(default_factory=dict)
    #: For objects whose timestamps have two rows, by name: the row that has the times.
    time_rows: dict[str, int] = field(default_factory=dict)
    #: Series that hold their samples along the second axis.
    transposed: list[str] = field(default_factory=list)
    #: The open file, which stays open while an array of it is in use.
    file: Any = None

    def of(self, *types: str) -> list[Entry]:
        """Entries of one of the types."""
        return [entry for entry in self.entries if entry.is_a(*types)]


def layout_of(nwb: Any) -> Layout:
    """List the series, tables and events of a file, in the order of their paths."""
    folders = {
        id(one): folder
        for name, folder in FOLDERS.items()
        for one in (getattr(nwb, name, None) or {}).values()
    }  # fmt: skip
    found = [one for one in nwb.objects.values() if one.parent is not None and _has_times(one)]
    # tables of results that popglm wrote have no place in a recording
    found = [one for one in found if not (one.parent.name == "popglm" and hasattr(one, "colnames"))]
    paths = [path_of(one, folders) for one in found]
    names = short_names(paths, [type(one).__name__ for one in found])
    entries = [Entry(path, one, name) for path, one, name in zip(paths, found, names, strict=True)]
    return Layout(sorted(entries, key=lambda entry: [natural(part) for part in entry.path]))


def _has_times(one: Any) -> bool:
    """Whether an object is a series, a table, or events of an extension."""
    types = {cls.__name__ for cls in type(one).__mro__}
    return bool(types & {"TimeSeries", "DynamicTable"}) or hasattr(one, "timestamps")


def path_of(one: Any, folders: Mapping[int, str] = MappingProxyType({})) -> tuple[str, ...]:
    """Names from the folder of the file to the object; without folders, from what lies in one of them."""
    path = [one.name]
    while one.parent is not None and one.parent.parent is not None:
        one = one.parent
        path.insert(0, one.name)
    is_interval = any(cls.__name__ == "TimeIntervals" for cls in type(one).__mro__)
    folder = folders.get(id(one), "intervals" if is_interval else "")
    return (folder, *path) if folder else tuple(path)


def short_names(paths: Sequence[tuple[str, ...]], types: Sequence[str] = ()) -> list[str]:
    """The end of each path that no other one has.

    A name that only repeats the type of its object says nothing, so that the name of what contains it goes before.

    Examples
    --------
    >>> short_names([("behavior", "Position", "SpatialSeries"), ("behavior", "speed")], ["SpatialSeries", "TimeSeries"])
    ['Position/SpatialSeries', 'speed']
    >>> short_names([("Deconvolved", "plane0"), ("Neuropil", "plane0"), ("Deconvolved", "plane1")])
    ['Deconvolved/plane0', 'Neuropil/plane0', 'plane1']
    """
    counts = Counter(path[-k:] for path in paths for k in range(1, len(path) + 1))
    names = []
    for at, path in enumerate(paths):
        least = 2 if len(types) and path[-1] == types[at] and len(path) > 1 else 1
        alone = [k for k in range(least, len(path) + 1) if counts[path[-k:]] == 1]
        names.append("/".join(path[-(alone[0] if alone else len(path)) :]))
    return names


def matching(wanted: str, entries: Iterable[Entry]) -> list[Entry]:
    """Entries of a name: their own, the end of their path, or what contains them."""
    entries, parts = list(entries), tuple(wanted.strip("/").split("/"))
    for is_meant in (
        lambda entry: entry.name == wanted,
        lambda entry: entry.path[-len(parts) :] == parts,
        lambda entry: any(entry.path[k : k + len(parts)] == parts for k in range(len(entry.path))),
    ):
        if found := [entry for entry in entries if is_meant(entry)]:
            return found
    return []


def natural(text: str) -> list[Any]:
    """A key that sorts "plane_2" before "plane_10"."""
    return [(0, int(part), "") if part.isdigit() else (1, 0, part) for part in re.split(r"(\d+)", text) if part]


def without(layout: Layout, names: Iterable[str], argument: str) -> None:
    """Take the named objects out of a layout.

    Raises
    ------
    ValueError
        If there is none of that name.
    """
    for name in names:
        found = matching(name, layout.entries)
        if not found:
            raise ValueError(
                f"read_nwb: {argument} names {name!r}, which is not in the file; it has "
                f"{listed(entry.name for entry in layout.entries)}"
            )
        layout.entries = [entry for entry in layout.entries if entry not in found]
        layout.left_out |= {entry.name: "left out by the caller" for entry in found}
