"""Signs and orders of the weights of a `SmoothGLM`, by feature group."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import numpy as np

from popglm.estimators.arguments import check_group_names
from popglm.messages import shown
from popglm.shapes import Shape
from popglm.solve.curves.shape_constrained import Cone
from popglm.warnings import PopglmWarning, warn

__all__ = ["check_constraints", "cone_on", "constrained_columns", "fill_orders", "warn_of_orders"]

KINDS = ("positive", "negative", "increasing", "decreasing")
ORDERS = KINDS[2:]
#: Falls of a curve that rises, in shares of its largest weight, that are rounding.
ROUNDING = 1e-9
#: Shapes of the groups, their numbers of columns, and what the columns were divided by (n_features,).
Layout = tuple[Sequence[Shape], np.ndarray, np.ndarray]


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
    check_group_names("constraints", given, groups, "constraints")
    found = {}
    for name, kind in given.items():
        g = list(groups).index(str(name))
        if not isinstance(kind, str) or kind not in KINDS:
            raise ValueError(
                f"constraints of group {str(name)!r} must be one of {', '.join(KINDS)}; found {shown(kind)}."
            )
        axes = [kind for kind, n in shapes[g].axes if n > 1 and kind != "levels"]
        if kind in ORDERS and shapes[g].n_columns > 1 and axes != ["line"]:
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
            is_order = kind in ORDERS and shapes[g].n_columns > 1
            T[np.ix_(at, at)] = np.tril(np.ones((len(at), len(at)))) if is_order else np.eye(len(at))
            T[np.ix_(at, at)] *= sign * scale[columns[at]][:, None]
            bounded[at[1:] if is_order else at] = True
    return Cone(T, bounded)


def fill_orders(coef: np.ndarray, constraints: Mapping[int, str], layout: Layout, columns: np.ndarray) -> None:
    """Give columns that were not fitted the weights of their neighbours, in place, where their group has an order.

    A column takes the weight before z-scoring of the one before it in its line that was fitted, and the first ones
    that of the first one that was. A line without any keeps its weights, and so does a column without a scale, which
    is 0 in all data.

    Parameters
    ----------
    coef : ndarray, shape (n_neurons, n_features)
    constraints : mapping of int to str
        As of `check_constraints`.
    layout : (shapes, sizes, scale)
    columns : ndarray of int
        Those that were fitted, ascending.
    """
    _, _, scale = layout
    fitted = np.isin(np.arange(coef.shape[1]), columns)
    for _, chain in _ordered_chains(constraints, layout):
        varies = np.flatnonzero(fitted[chain])
        if not len(varies):
            continue
        places = np.flatnonzero(~fitted[chain] & np.isfinite(scale[chain]))
        nearest = varies[np.maximum(np.searchsorted(varies, places) - 1, 0)]
        to, source = chain[places], chain[nearest]
        coef[:, to] = coef[:, source] / scale[source] * scale[to]


def warn_of_orders(coef: np.ndarray, constraints: Mapping[int, str], layout: Layout, groups: Sequence[str]) -> None:
    """Name groups that columns without a scale, whose weights stay 0, keep from their order in some neuron.

    Parameters
    ----------
    coef, constraints, layout
        As of `fill_orders`.
    groups : sequence of str
    """
    raw, without = coef / layout[2], ~np.isfinite(layout[2])
    broken: dict[int, int] = {}
    for g, chain in _ordered_chains(constraints, layout):
        rises = np.diff(raw[:, chain], axis=1) * (1 if constraints[g] == "increasing" else -1)
        largest = np.abs(raw[:, chain]).max(axis=1, keepdims=True)
        if without[chain].any() and (rises < -ROUNDING * largest).any():
            broken[g] = broken.get(g, 0) + int(without[chain].sum())
    for g, n in broken.items():
        warn(
            f"constraints: group {groups[g]!r} is {constraints[g]!r} only where the session was. {n} of its "
            f"{layout[1][g]} columns were never visited; the design sets them to 0 in all data, so their weights are "
            "0. Give its basis the range of the data, or make X by Design(..., standardize=False), where such columns "
            "take the weights of their neighbours.",
            PopglmWarning,
        )


def _ordered_chains(constraints: Mapping[int, str], layout: Layout) -> Iterator[tuple[int, np.ndarray]]:
    """Number of the group, and columns in the order of their line, wherever weights have to rise or fall."""
    shapes, sizes, _ = layout
    starts = np.cumsum(sizes) - sizes
    for g, kind in constraints.items():
        if kind in ORDERS and shapes[g].n_columns > 1:
            for chain in _chains(shapes[g]):
                yield g, starts[g] + np.array(chain)


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
