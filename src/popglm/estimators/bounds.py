"""Signs that the weights of some feature groups must have, and bounds that they must stay within."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import pandas as pd

from popglm.checks import is_number
from popglm.engines import as_numpy
from popglm.estimators.arguments import check_group_names
from popglm.messages import counted, shown
from popglm.statistics.concave import CONCAVE
from popglm.statistics.penalties import Penalty

__all__ = ["as_given", "check_bounded_fit", "check_bounds"]

SIGNS = {"positive": (0.0, np.inf), "negative": (-np.inf, 0.0)}
#: What may be given for a group.
KINDS = "'positive', 'negative' or a pair (lower, upper)"
#: How bounds are given that differ between the columns of a group.
BY_COLUMN = "([l1, l2], [u1, u2])"


def check_bounds(given: Any, groups: Sequence[str], sizes: np.ndarray) -> np.ndarray | None:
    """Smallest and largest weight of every column, shape (2, n_features), infinite for those without; None for all.

    Raises
    ------
    ValueError
        If ``given`` is no mapping, a name is no group, or what it says is no sign and no pair of bounds around 0.
    """
    if given is None:
        return None
    if not isinstance(given, Mapping):
        raise ValueError(f"constraints={shown(given)} must be a mapping from names of feature groups to {KINDS}.")
    check_group_names("constraints", given, groups, "constraints")
    bounds = np.tile([[-np.inf], [np.inf]], int(np.sum(sizes)))
    starts = np.cumsum([0, *sizes])
    for name, kind in given.items():
        g = list(groups).index(str(name))
        bounds[:, starts[g] : starts[g + 1]] = _of_group(str(name), kind, int(sizes[g]))
    return bounds if np.isfinite(bounds).any() else None


def _of_group(name: str, kind: Any, size: int) -> np.ndarray:
    """Bounds (2, size) of the columns of a group, from what was given for it."""
    whose = f"constraints of group {name!r}"
    if isinstance(kind, str):
        if kind not in SIGNS:
            raise ValueError(f"{whose} must be {KINDS}; found {shown(kind)}. A SmoothGLM has curves that rise or fall.")
        return np.repeat(np.array(SIGNS[kind])[:, None], size, axis=1)
    pair = as_numpy(kind)
    if _has_pairs(pair, size):
        raise ValueError(
            f"{whose} must have all lower bounds first and then all upper bounds, as in {BY_COLUMN} for two columns; "
            f"found what may be a pair for each column, {shown(kind)}."
        )
    if isinstance(pair, Mapping | set) or not hasattr(pair, "__len__") or len(pair) != 2:
        raise ValueError(f"{whose} must be {KINDS}; found {shown(kind)}.")
    lower, upper = pair
    found = np.stack([_side(whose, "lower", lower, size, -np.inf), _side(whose, "upper", upper, size, np.inf)])
    if (crossed := found[0] > found[1]).any():
        lower, upper = found[:, crossed][:, 0]
        raise ValueError(f"{whose}: the lower bound {lower:g} is above the upper bound {upper:g}; swap them.")
    for side, bounds, wrong in zip(("lower", "upper"), found, (found[0] > 0, found[1] < 0), strict=True):
        if wrong.any():
            raise ValueError(
                f"{whose}: the {side} bound is {bounds[wrong][0]:g}, which leaves no weight of 0; give bounds with 0 "
                "between them, or an offset for a part that is known."
            )
    return found


def _has_pairs(given: Any, size: int) -> bool:
    """Whether bounds of a group of ``size`` columns may have been given as a pair for each column, as SciPy has them.

    Two pairs for two columns may be either. Two lists are lower and upper bounds, as is a table of two rows; two tuples
    are pairs to most who write them.
    """
    entries = given.tolist() if isinstance(given, np.ndarray) else given
    if not isinstance(entries, list | tuple) or len(entries) != size:
        return False
    if not all(isinstance(entry, list | tuple) and len(entry) == 2 for entry in entries):
        return False
    return size != 2 or any(isinstance(entry, tuple) for entry in entries)


def _side(whose: str, side: str, given: Any, size: int, without: float) -> np.ndarray:
    """The lower or upper bounds (size,) of the columns of a group; ``without`` where there is none."""
    table = np.asarray(as_numpy(given), object)
    if table.ndim > 1 or isinstance(given, pd.Series):
        raise ValueError(
            f"{whose}: the {side} bound must be one number, or a list of one per column in their order; found "
            f"{shown(given)}."
        )
    if table.ndim and table.size != size:
        raise ValueError(
            f"{whose} has {counted(table.size, f'{side} bound')} for {counted(size, 'column')}; give one number, or "
            "one per column."
        )
    values = table.reshape(-1).tolist()
    for value in values:
        infinite = isinstance(value, float) and np.isinf(value)
        if value is not None and not infinite and not is_number(value):
            raise ValueError(
                f"{whose}: the {side} bound must be a number, or {without:g} where there is none; found {shown(value)}."
            )
    return np.broadcast_to([without if value is None else float(value) for value in values], (size,))


def as_given(constraints: Any) -> Any:
    """What a file has of constraints, as it was given: pairs are tuples."""
    if not isinstance(constraints, Mapping):
        return constraints
    return {name: tuple(kind) if isinstance(kind, list) else kind for name, kind in constraints.items()}


def check_bounded_fit(model: Any, penalty: Penalty, searched: bool) -> None:
    """Complain of what is not fitted within bounds; ``searched``: whether a `FactorSearch` finds penalty factors.

    Raises
    ------
    ValueError
    """
    why = None
    if model.smoothness > 0:
        why = "smoothness=0; a SmoothGLM has signs beside it"
    elif model.penalty in CONCAVE:
        why = "a convex penalty, such as 'lasso' or 'group_lasso'"
    elif searched:
        why = "given penalty_factors; a FactorSearch does not know of them"
    if why is not None:
        raise ValueError(f"constraints need {why}.")
    if penalty.free is None or penalty.bounds is None:
        return
    free = penalty.free & np.isfinite(penalty.bounds).any(axis=0)
    if free.any():
        group = np.repeat(model.feature_group_names_, model.feature_group_sizes_)[np.argmax(free)]
        raise ValueError(f"constraints of group {str(group)!r} need a penalty factor above 0.")
