"""Penalties of the curves and maps of a `SmoothGLM`, from the axes of its groups or as users give them."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from typing import Any

import numpy as np
import pandas as pd

from popglm.engines import as_numpy
from popglm.estimators.arguments import check_group_names
from popglm.labels import is_counted, neuron_order
from popglm.messages import listed, shown
from popglm.numbers import numbers_of
from popglm.shapes import Shape
from popglm.statistics.curve_penalties import CurvePenalty, curve_penalties

__all__ = [
    "check_order",
    "check_penalties",
    "check_smoothing",
    "group_penalties",
    "kinds_of_mask",
    "live_penalties",
    "penalty_on",
]

#: How far a matrix may be from symmetric, or hold a direction by less than nothing, in shares of what it holds most.
ROUNDING = 1e-8


#: Of differences, unless users ask for another: lines that are too short for it have steps alone.
DEFAULT_ORDER = 2


def check_order(order: int, shapes: Sequence[Shape], groups: Sequence[str], given: Collection[str]) -> None:
    """Complain of an order above the default that a line is too short for; groups in ``given`` have own penalties.

    Raises
    ------
    ValueError
    """
    for group, shape in zip(groups, shapes, strict=True):
        shortest = min((n for kind, n in shape.axes if kind == "line" and n > 1), default=order + 1)
        if order > DEFAULT_ORDER and shortest <= order and group not in given:
            raise ValueError(
                f"order={order} is too high for group {group!r}, which has {shortest} columns along its line, and "
                f"differences of order {shortest - 1} at most. Give a lower order, the basis more columns, or the "
                f"group a matrix of its own by penalties={{{group!r}: [S]}}."
            )


def check_penalties(given: Any, sizes: np.ndarray, groups: Sequence[str]) -> dict[str, list[np.ndarray]]:
    """Matrices that users give for some groups, by their names.

    Raises
    ------
    ValueError
        If a name is no group, or a matrix is not symmetric, positive semidefinite and of the group's columns.
    """
    if given is None:
        return {}
    if not isinstance(given, Mapping):
        raise ValueError(
            f"penalties={shown(given)} must be a mapping from names of feature groups to lists of matrices, such as "
            "{'speed': [S]}; an empty list is for a group without a penalty."
        )
    check_group_names("penalties", given, groups, "matrices")
    found = {}
    for name, matrices in given.items():
        size = int(sizes[list(groups).index(str(name))])
        matrices = [matrices] if np.ndim(as_numpy(matrices)) == 2 else list(matrices)
        found[str(name)] = [_check_matrix(S, size, f"penalties of group {str(name)!r}") for S in matrices]
    return found


def _check_matrix(given: Any, size: int, who: str) -> np.ndarray:
    S = numbers_of(given, who).astype(float)
    if S.shape != (size, size):
        raise ValueError(f"{who} must have shape ({size}, {size}), a row per column of the group; it has {S.shape}.")
    largest = np.abs(S).max()
    if not np.isfinite(largest) or largest == 0:
        raise ValueError(f"{who} must be finite, and not 0 throughout; give an empty list for no penalty.")
    if np.abs(S - S.T).max() > ROUNDING * largest:
        raise ValueError(f"{who} must be symmetric: wᵀSw is what is penalised.")
    if np.linalg.eigvalsh(S)[0] < -ROUNDING * largest:
        raise ValueError(
            f"{who} has a negative eigenvalue, and would reward some weights; give a positive one, as DᵀD."
        )
    return (S + S.T) / 2


def group_penalties(
    shapes: Sequence[Shape], groups: Sequence[str], given: Mapping[str, list[np.ndarray]], order: int, shrink: bool
) -> list[tuple[int, str, np.ndarray]]:
    """Number of the group, name and matrix of every penalty."""
    found = []
    for g, (group, shape) in enumerate(zip(groups, shapes, strict=True)):
        if group in given:
            found += [(g, f"penalty {k + 1}", S) for k, S in enumerate(given[group])]
        else:
            found += [(g, name, S) for name, S in curve_penalties(shape, order, shrink).items()]
    return found


def live_penalties(
    penalties: Sequence[tuple[int, str, np.ndarray]], sizes: np.ndarray, columns: np.ndarray
) -> np.ndarray:
    """Numbers of the penalties whose groups have some of the columns."""
    there = np.isin(np.arange(len(sizes)), np.repeat(np.arange(len(sizes)), sizes)[columns])
    return np.array([k for k, (g, _, _) in enumerate(penalties) if there[g]], int)


def kinds_of_mask(
    mask: np.ndarray | None, names: Sequence[str], n_features: int
) -> list[tuple[np.ndarray, np.ndarray]]:
    """Numbers of the neurons that have the same open columns, and these columns, bool (n_features,).

    Raises
    ------
    ValueError
        If a neuron has none.
    """
    if mask is None:
        return [(np.arange(len(names)), np.ones(n_features, bool))]
    if (closed := ~mask.any(axis=0)).any():
        raise ValueError(
            f"feature_mask closes all features for neuron {names[int(closed.argmax())]!r}; leave it out, or open one."
        )
    patterns, kind = np.unique(mask.T, axis=0, return_inverse=True)
    return [(np.flatnonzero(kind.ravel() == k), own) for k, own in enumerate(patterns)]


def penalty_on(
    penalties: Sequence[tuple[int, str, np.ndarray]], sizes: np.ndarray, scale: np.ndarray, columns: np.ndarray
) -> CurvePenalty:
    """The penalty of weights of some columns (their numbers, ascending), which were divided by ``scale`` (n_features,).

    A curve is a sum of functions of a basis as they were before z-scoring: their weights are those over the scales.
    Columns that are left out have a weight of 0.
    """
    stops = np.cumsum(sizes)
    matrices = []
    for g, _, S in penalties:
        inside = (columns >= stops[g] - sizes[g]) & (columns < stops[g])
        own = columns[inside] - (stops[g] - sizes[g])
        first = int(np.flatnonzero(inside)[0]) if inside.any() else 0
        unit = scale[columns[inside]]
        matrices.append((slice(first, first + len(own)), S[np.ix_(own, own)] / np.outer(unit, unit)))
    return CurvePenalty(matrices, len(columns))


def check_smoothing(
    given: Any, penalties: Sequence[tuple[str, str]], asked: np.ndarray, fitted: Any
) -> np.ndarray | None:
    """Strengths (n_neurons, n_penalties) that users give, by their labels where they have some; None to choose them.

    Parameters
    ----------
    penalties : sequence of (group, penalty)
    asked : ndarray of bool, shape (n_neurons, n_penalties)
        Where a strength has an effect; elsewhere it may be NaN, as in `smoothing_`.
    fitted : SmoothGLM
        Its neurons have names.

    Raises
    ------
    ValueError
    """
    if given is None:
        return None
    order = None
    if isinstance(given, pd.DataFrame):
        order = neuron_order(given.T, fitted.neuron_names_, fitted.neurons_are_named_, "smoothing", "Y")
        given = given.iloc[:, _order_of_penalties(given.columns, penalties)]
    elif isinstance(given, pd.Series):
        given = given.iloc[_order_of_penalties(given.index, penalties)]
    found = numbers_of(given, "smoothing").astype(float)
    if found.shape not in ((), asked.shape[1:], asked.shape):
        raise ValueError(
            f"smoothing must be one number, or have shape ({asked.shape[1]},) or {asked.shape}, a column per penalty; "
            f"it has {found.shape}. None chooses strengths for each neuron."
        )
    each = np.broadcast_to(found if order is None else found[order], asked.shape)
    bad = asked & ~(np.isfinite(each) & (each > 0))
    if bad.any():
        j, k = np.argwhere(bad)[0]
        of_neuron = f" of neuron {fitted.neuron_names_[j]!r}" if found.ndim == 2 else ""
        raise ValueError(
            f"smoothing{of_neuron} for {penalties[k][1]!r} of group {penalties[k][0]!r} is {each[j, k]:g}; it must be "
            f"finite and above 0. penalties={{{penalties[k][0]!r}: []}} leaves that group without a penalty."
        )
    return np.where(asked, each, 1.0)


def _order_of_penalties(labels: pd.Index, penalties: Sequence[tuple[str, str]]) -> np.ndarray:
    """Where the penalties stand among some labels; labels that only count leave them where they are.

    Raises
    ------
    ValueError
        If labels are others, or repeat.
    """
    if is_counted(labels):
        return np.arange(len(labels))
    found = [tuple(map(str, label)) if isinstance(label, tuple) else label for label in labels]
    if sorted(map(str, found)) != sorted(map(str, penalties)):
        lacks = [label for label in penalties if label not in found]
        strange = [label for label in found if label not in penalties]
        twice = next((label for k, label in enumerate(found) if label in found[:k]), None)
        which = f"lacks {lacks[0]}" if lacks else f"has {strange[0]!r}" if strange else f"has {twice} twice"
        raise ValueError(
            f"smoothing {which}: its labels must be those of the penalties, (group, penalty) as in smoothing_, which "
            f"are {listed(map(str, penalties))}. An array without labels has them in that order."
        )
    return np.array([found.index(label) for label in penalties], int)
