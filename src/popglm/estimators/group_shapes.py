"""Which columns of each feature group are neighbours: as given, or as a `Design` noted it on X."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import pandas as pd

from popglm.estimators.arguments import check_group_names
from popglm.messages import shown
from popglm.shapes import Shape, noted_shapes, read_shape
from popglm.warnings import PopglmWarning, warn

__all__ = ["group_shapes", "read_shapes"]


def group_shapes(
    given: Any, X: Any, sizes: np.ndarray, groups: Sequence[str], is_asked_for: bool
) -> list[Shape] | None:
    """Shapes of the feature groups, None where all are lines.

    Parameters
    ----------
    given : mapping or sequence of shapes, or None
        By the names of groups, or one per group; None for what is noted on X.
    sizes, groups : feature groups, by size and name
    is_asked_for : bool
        Whether the penalty asks for neighbours; without that, nothing is read from X.

    Raises
    ------
    ValueError
        If a name is no group, or a shape does not have a group's columns.
    """
    lines = [Shape.of("line", int(n)) for n in sizes]
    if given is None:
        found = _noted(X, lines) if is_asked_for else lines
    elif isinstance(given, Mapping):
        check_group_names("feature_shapes", given, groups, "shapes")
        named = {str(name): read_shape(shape, _who(name)) for name, shape in given.items()}
        found = [named.get(name, line) for name, line in zip(groups, lines, strict=True)]
    else:
        found = read_shapes(given) or []
        if len(found) != len(groups):
            raise ValueError(
                f"feature_shapes has {len(found)} shapes for {len(groups)} feature groups ({shown(list(groups))}); "
                "give one per group, in their order, or a mapping from their names."
            )
    for shape, group, size in zip(found, groups, sizes, strict=True):
        if shape.n_columns != size:
            axes = " × ".join(str(n) for _, n in shape.axes)
            raise ValueError(
                f"feature_shapes of group {group!r} is {axes}, which makes {shape.n_columns} columns; the group has "
                f"{size}."
            )
    return None if all(shape.is_plain for shape in found) else found


def read_shapes(given: Any) -> list[Shape] | None:
    """One shape per group, from a list of what `read_shape` reads; None for None."""
    if given is None:
        return None
    if isinstance(given, str | bytes) or not isinstance(given, Sequence):
        raise ValueError(
            f"feature_shapes={shown(given)} must be a mapping from names of groups to shapes, such as "
            "{'place': (12, 10)}, or a list of one shape per group."
        )
    return [read_shape(shape, _who(number)) for number, shape in enumerate(given)]


def _who(group: Any) -> str:
    return f"feature_shapes of group {group!r}"


def _noted(X: Any, lines: list[Shape]) -> list[Shape]:
    """What is noted on X of groups that are its own; lines for others."""
    if not (isinstance(X, pd.DataFrame) and isinstance(X.columns, pd.MultiIndex)):
        return lines
    noted, owners, stop, found, lost = noted_shapes(X), X.columns.get_level_values(0).astype(str), 0, [], []
    for line in lines:
        start, stop = stop, stop + line.n_columns
        owner = str(owners[start])
        shape, is_whole = noted.get(owner, line), (owners[start:stop] == owner).all()
        found.append(shape if is_whole and shape.n_columns == line.n_columns else line)
        if is_whole and owner not in noted and _looks_crossed(X.columns[start:stop]):
            lost.append(owner)
    if lost:
        warn(
            f"Columns of group {lost[0]!r} look like products of two bases, but X has lost what popglm.Design noted of "
            "its shape, as where values are read from a file, and smoothness takes them for one line; give "
            "feature_shapes=design.group_shapes_.",
            PopglmWarning,
        )
    return found


def _looks_crossed(columns: pd.MultiIndex) -> bool:
    """Whether features are named as those of products are."""
    return all(" × " in str(feature) for feature in columns.get_level_values(-1))
