"""Signs and orders of the weights of a `SmoothGLM`, by feature group."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from popglm.messages import shown
from popglm.shapes import Shape
from popglm.solve.curves.shape_constrained import Cone

__all__ = ["check_constraints", "cone_on", "constrained_columns"]

KINDS = ("positive", "negative", "increasing", "decreasing")


def check_constraints(given: Any, shapes: Sequence[Shape], groups: Sequence[str]) -> dict[int, str]:
    """Kinds of constraint by the numbers of groups.

    Raises
    ------
    ValueError
        If a name is no group, a kind is none of `KINDS`, or the group has no axis along which weights could rise.
    """
    if given is None:
        return {}
    if not isinstance(given, Mapping):
        raise ValueError(
            f"constraints={shown(given)} must be a mapping from names of feature groups to one of {', '.join(KINDS)}."
        )
    found = {}
    for name, kind in given.items():
        if str(name) not in groups:
            raise ValueError(
                f"constraints names {shown(name)}, which is no feature group ({shown(list(groups))}); give constraints "
                "for these."
            )
        g = list(groups).index(str(name))
        if not isinstance(kind, str) or kind not in KINDS:
            raise ValueError(
                f"constraints of group {str(name)!r} must be one of {', '.join(KINDS)}; found {shown(kind)}."
            )
        axes = [kind for kind, n in shapes[g].axes if n > 1 and kind != "levels"]
        if kind in ("increasing", "decreasing") and shapes[g].n_columns > 1 and axes != ["line"]:
            has = "a circle" if "circle" in axes else "two axes or more" if axes else "categories alone"
            raise ValueError(
                f"constraints of group {str(name)!r} cannot be {kind!r}: it has {has}, where that has no meaning. "
                "Terms along one line can rise or fall, also within each category."
            )
        found[g] = kind
    return found


def constrained_columns(constraints: Mapping[int, str], sizes: np.ndarray) -> np.ndarray:
    """Whether a column belongs to a group with a constraint, bool (n_features,)."""
    return np.repeat([g in constraints for g in range(len(sizes))], sizes)


def cone_on(
    constraints: Mapping[int, str], shapes: Sequence[Shape], sizes: np.ndarray, scale: np.ndarray, columns: np.ndarray
) -> Cone:
    """The cone of weights of some columns (their numbers, ascending), which were divided by ``scale`` (n_features,).

    Weights before z-scoring are those over the scales.
    """
    T, bounded = np.eye(len(columns)), np.zeros(len(columns), bool)
    place = {int(column): i for i, column in enumerate(columns)}
    starts = np.cumsum(sizes) - sizes
    for g, kind in constraints.items():
        sign = 1 if kind in ("positive", "increasing") else -1
        for chain in _chains(shapes[g]):
            at = [place[starts[g] + c] for c in chain if starts[g] + c in place]
            is_order = kind in ("increasing", "decreasing") and shapes[g].n_columns > 1
            T[np.ix_(at, at)] = np.tril(np.ones((len(at), len(at)))) if is_order else np.eye(len(at))
            T[np.ix_(at, at)] *= sign * scale[columns[at]][:, None]
            bounded[at[1:] if is_order else at] = True
    return Cone(T, bounded)


def _chains(shape: Shape) -> list[list[int]]:
    """Columns of a group in the order of its line, for each combination of levels."""
    lengths = [n for _, n in shape.axes]
    line = next((k for k, (kind, n) in enumerate(shape.axes) if kind != "levels" and n > 1), 0)
    cells = np.arange(shape.n_cells) if shape.places is None else np.array(shape.places)
    along = np.array(np.unravel_index(cells, lengths))
    chains: dict[tuple[int, ...], list[tuple[int, int]]] = {}
    for column, cell in enumerate(along.T):
        chains.setdefault(tuple(np.delete(cell, line).tolist()), []).append((int(cell[line]), column))
    return [[column for _, column in sorted(chain)] for chain in chains.values()]
