"""Along which axes the columns of a feature group lie, as a `Design` notes it on its DataFrames and a model keeps it.

A place map of 12 × 10 columns has two axes: a column has neighbours along both, and the last column of a row of the map
is no neighbour of the first one of the next row.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from math import prod
from typing import Any

import numpy as np
import pandas as pd

from popglm.messages import shown

__all__ = ["Shape", "note_shapes", "noted_shapes", "read_shape"]

_KEY = "popglm.shapes"
#: Neighbours along a line; along a line whose ends meet; and no neighbours, as categories have none.
KINDS = ("line", "circle", "levels")


@dataclass(frozen=True)
class Shape:
    """The axes of a group of columns, the first one slowest.

    Attributes
    ----------
    axes : tuple of (str, int)
        Kind and length of every axis: "line", "circle" for a line whose ends meet, "levels" where none is another's
        neighbour.
    places : tuple of int, length n_columns, or None
        Which cell of the grid of all axes every column is; None for all cells in their order.

    Examples
    --------
    >>> place, cue = Shape.of("line", 3).times(Shape.of("circle", 4)), Shape.of("levels", 2)
    >>> place.axes, place.n_columns, place.times(cue).axes
    ((('line', 3), ('circle', 4)), 12, (('line', 3), ('circle', 4), ('levels', 2)))
    """

    axes: tuple[tuple[str, int], ...]
    places: tuple[int, ...] | None = None

    @classmethod
    def of(cls, kind: str, n: int) -> Shape:
        """One axis."""
        return cls(((kind, n),))

    @property
    def n_cells(self) -> int:
        """Cells of the grid."""
        return prod(n for _, n in self.axes)

    @property
    def n_columns(self) -> int:
        """Columns of the group."""
        return self.n_cells if self.places is None else len(self.places)

    @property
    def is_plain(self) -> bool:
        """Whether it is a line of all columns, or a single column: what a group is taken for that says nothing."""
        kinds = [kind for kind, n in self.axes if n > 1]
        return self.places is None and (not kinds or kinds == ["line"])

    def times(self, other: Shape) -> Shape:
        """The shape of all products of columns, those of the first one slowest; factors of one column add no axis."""
        axes = tuple(axis for axis in (*self.axes, *other.axes) if axis[1] > 1) or (("line", 1),)
        if self.places is None and other.places is None:
            return Shape(axes)
        mine, its = (np.arange(s.n_cells) if s.places is None else np.array(s.places) for s in (self, other))
        return Shape(axes, tuple((mine[:, None] * other.n_cells + its).ravel().tolist()))

    def ordered(self, order: Sequence[int]) -> Shape:
        """The shape of some of the columns, in the order of their numbers."""
        places = range(self.n_cells) if self.places is None else self.places
        kept = tuple(places[i] for i in order)
        return Shape(self.axes, None if kept == tuple(range(self.n_cells)) else kept)

    def plain(self) -> dict[str, Any]:
        """As JSON can hold it; `read_shape` reads it."""
        return {"axes": [list(axis) for axis in self.axes], "places": None if self.places is None else [*self.places]}


class Notes(tuple):
    """Entries of groups, which never change, so that a copy of them is themselves: pandas copies attributes often."""

    __slots__ = ()

    def __deepcopy__(self, memo: dict) -> Notes:
        return self


def note_shapes(X: pd.DataFrame, shapes: Mapping[str, Shape]) -> None:
    """Note on a DataFrame with columns (group, feature) what shape its groups have.

    Tuples, which pandas compares and writes to files.
    """
    features: dict[str, list[str]] = {}
    for group, feature in X.columns:
        features.setdefault(str(group), []).append(str(feature))
    X.attrs[_KEY] = Notes(
        (group, shape.axes, shape.places or (), tuple(features[group])) for group, shape in shapes.items()
    )


def noted_shapes(X: Any) -> dict[str, Shape]:
    """Shapes by the names of groups, as the columns of the DataFrame stand now; nothing of what is not noted.

    Columns of a group may have been left out or put in another order since.

    Examples
    --------
    >>> columns = pd.MultiIndex.from_product([["place"], ["a", "b", "c", "d"]])
    >>> X = pd.DataFrame(np.zeros((2, 4)), columns=columns)
    >>> note_shapes(X, {"place": Shape((("line", 2), ("line", 2)))})
    >>> noted_shapes(X)["place"].places, noted_shapes(X.iloc[:, [3, 0]])["place"].places
    (None, (3, 0))
    """
    if not (isinstance(X, pd.DataFrame) and isinstance(X.columns, pd.MultiIndex) and X.columns.nlevels == 2):
        return {}
    now: dict[str, list[str]] = {}
    for group, feature in X.columns:
        now.setdefault(str(group), []).append(str(feature))
    found = {}
    for group, axes, places, features in X.attrs.get(_KEY, ()):
        number = {feature: i for i, feature in enumerate(features)}
        if group in now and all(feature in number for feature in now[group]):
            # files keep lists where tuples were
            whole = Shape(tuple((str(kind), int(n)) for kind, n in axes), tuple(map(int, places)) or None)
            found[group] = whole.ordered([number[feature] for feature in now[group]])
    return found


def read_shape(given: Any, who: str) -> Shape:
    """A shape from what a user writes or a file holds.

    Parameters
    ----------
    given : Shape, int, or sequence of axes, or mapping of "axes" and "places"
        An axis is a number of columns along a line, or a pair of kind and number.
    who : str
        What it is the shape of, for the complaint.

    Raises
    ------
    ValueError
        If it is no shape.

    Examples
    --------
    >>> read_shape((12, ("circle", 8)), "place").axes
    (('line', 12), ('circle', 8))
    """
    if isinstance(given, Shape):
        return given
    places = None
    if isinstance(given, Mapping) and set(given) == {"axes", "places"}:
        given, places = given["axes"], given["places"]
    parts = [given] if _is_count(given) or _is_axis(given) else given
    if isinstance(parts, str | bytes | Mapping) or not isinstance(parts, Sequence | np.ndarray) or not len(parts):
        raise ValueError(_complaint(who, given))
    axes = []
    for part in parts:
        if _is_count(part):
            axes.append(("line", int(part)))
        elif _is_axis(part):
            axes.append((str(part[0]), int(part[1])))
        else:
            raise ValueError(_complaint(who, part))
    return Shape(tuple(axes), None if places is None else tuple(map(int, places)))


def _is_count(value: Any) -> bool:
    return isinstance(value, int | np.integer) and not isinstance(value, bool) and bool(value > 0)


def _is_axis(value: Any) -> bool:
    return isinstance(value, Sequence) and len(value) == 2 and value[0] in KINDS and _is_count(value[1])


def _complaint(who: str, found: Any) -> str:
    return (
        f"{who}: an axis must be a number of columns above 0, as in (12, 10), or a pair such as ('circle', 8) or "
        f"('levels', 2); found {shown(found)}."
    )
