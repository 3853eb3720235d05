"""Which weights of a `LowRankGLM` are of low rank, from the names of groups and neurons."""

from __future__ import annotations

from collections.abc import Sequence
from fnmatch import fnmatchcase
from typing import Any

import numpy as np

from popglm.checks import check_choice, check_names, is_number
from popglm.messages import listed, shown
from popglm.solve.low_rank.layout import Layout

__all__ = ["check_ranks", "check_ridges", "layout_of", "low_rank_columns"]

#: What becomes of weights from a neuron's past to itself.
OWN = ("free", "zero", "low_rank")
COUPLING, HISTORY = " coupling", " history"
#: What to do where groups have no names.
UNNAMED = (
    "X has no named groups: give it (group, feature) columns, as popglm.Design makes them, or name the group of every "
    "column with feature_groups."
)
#: Ranks that are tried, at most.
MOST_RANKS = 1000


def check_ranks(low_rank: Any) -> tuple[list[int], bool]:
    """Ranks, ascending, and whether one has to be chosen.

    Raises
    ------
    ValueError
    """
    single = isinstance(low_rank, int | np.integer) and not isinstance(low_rank, bool)
    found = [low_rank] if single else low_rank
    if isinstance(found, range | np.ndarray | list | tuple) and np.ndim(found) == 1 and 0 < len(found) <= MOST_RANKS:
        whole = [r for r in found if isinstance(r, int | np.integer) and not isinstance(r, bool | np.bool_) and r >= 0]
        if len(whole) == len(found) == len(set(whole)):
            return sorted(map(int, whole)), not single
    raise ValueError(
        f"low_rank={shown(low_rank)} must be a rank, such as 3, or different ranks to choose from, such as range(6); 0 "
        "is no coupling."
    )


def check_ridges(ridge: Any) -> np.ndarray:
    """Strengths of the ridge, descending.

    Raises
    ------
    ValueError
    """
    found = [ridge] if is_number(ridge) else ridge
    if isinstance(found, np.ndarray | list | tuple) and np.ndim(found) == 1 and 0 < len(found) <= MOST_RANKS:
        numbers = [float(one) for one in found if is_number(one) and one >= 0]
        if len(numbers) == len(found) == len(set(numbers)):
            return np.sort(numbers)[::-1]
    raise ValueError(
        f"ridge={shown(ridge)} must be a strength of at least 0, or different strengths to choose from, such as "
        "[0.1, 0.01]."
    )


def low_rank_columns(given: Any, groups: Sequence[str], sizes: np.ndarray, named: bool = True) -> np.ndarray:
    """Columns of the low-rank part, ascending.

    Parameters
    ----------
    given : str or sequence of str, or None
        Names or shell patterns of groups; None for those of `coupling`, or all where there are none.
    named : bool
        Whether groups have names of the user's, and are not just columns that are counted.

    Raises
    ------
    TypeError, ValueError
    """
    if given is None:
        chosen = np.array([name.endswith(COUPLING) for name in groups])
        chosen = chosen if chosen.any() else np.ones(len(groups), bool)
    else:
        chosen = np.zeros(len(groups), bool)
        for pattern in check_names("LowRankGLM", "low_rank_groups", given):
            found = np.array([name == pattern or fnmatchcase(name, pattern) for name in groups])
            if not found.any():
                raise ValueError(
                    f"low_rank_groups names {shown(pattern)}, which no feature group matches "
                    f"({listed(map(repr, groups))}); "
                    + ("give names or patterns of these, such as '* coupling'." if named else UNNAMED)
                )
            chosen |= found
        if not chosen.any():
            raise ValueError("low_rank_groups is empty; name groups whose weights are of low rank, or leave it out.")
    return np.flatnonzero(np.repeat(chosen, sizes))


def layout_of(model: Any, low: np.ndarray, mask: np.ndarray | None, own: Any) -> Layout:
    """Pairs of columns and neurons that are of low rank, free, or closed.

    Parameters
    ----------
    model : LowRankGLM
        With names of neurons and groups.
    low : ndarray of int
        Columns of the low-rank part.
    mask : ndarray of bool, shape (n_features, n_neurons), or None
        What the user allows.
    own : str

    Raises
    ------
    ValueError
    """
    check_choice("LowRankGLM", "own", own, OWN)
    groups, sizes, names = model.feature_group_names_, model.feature_group_sizes_, model.neuron_names_
    shape = int(np.sum(sizes)), len(names)
    allowed = np.ones(shape, bool) if mask is None else mask.copy()
    of_group = np.repeat(np.arange(len(groups)), sizes)
    history, coupling = np.zeros(shape, bool), np.zeros(shape, bool)
    number = {name: j for j, name in enumerate(names)}
    for g, j in _histories(model, number).items():
        # that of a neuron which Y does not hold is nobody's
        if j is not None:
            history[of_group == g, j] = True
        allowed[of_group == g] &= history[of_group == g]
    is_low = np.zeros(shape[0], bool)
    is_low[low] = True
    coupled = [g for g, group in enumerate(groups) if group.endswith(COUPLING) and is_low[of_group == g].all()]
    for g in coupled:
        if (j := number.get(groups[g].removesuffix(COUPLING))) is not None:
            coupling[of_group == g, j] = True
    if coupled and own != "low_rank" and not coupling.any() and not model.neurons_are_named_:
        raise ValueError(
            f"own={own!r}: Y has no names, so that nobody knows whose past {groups[coupled[0]]!r} is. Give Y as a "
            "DataFrame whose columns have the names of the neurons, or own='low_rank'."
        )
    if own == "zero":
        allowed &= ~(history | coupling)
    # a history stands in for the coupling
    itself = history | coupling & ~history.any(axis=0) if own == "free" else np.zeros(shape, bool)
    closed = ~allowed | (coupling | history if own == "free" else False)
    return Layout(low, closed[low], allowed & (itself | ~is_low[:, None]), of_group)


def _histories(model: Any, number: dict[str, int]) -> dict[int, int | None]:
    """Groups that are a neuron's history, by number, with the number of that neuron; None if Y does not hold it.

    Raises
    ------
    ValueError
        If Y holds none of these neurons.
    """
    groups = model.feature_group_names_
    sources = {g: group.removesuffix(HISTORY) for g, group in enumerate(groups) if group.endswith(HISTORY)}
    # whoever sends to others is a neuron; "reward history" may be of anything
    senders = set(groups)
    found = {g: number.get(one) for g, one in sources.items() if one in number or f"{one}{COUPLING}" in senders}
    if found and all(j is None for j in found.values()):
        first = groups[next(iter(found))]
        raise ValueError(
            f"X has {first!r}, and Y {_holds(model)}: nobody knows whose past that is. Give Y as a DataFrame whose "
            f"columns have the names of the neurons, or take {listed([repr(groups[g]) for g in found])} out of X."
        )
    return found


def _holds(model: Any) -> str:
    """What Y has in place of the names that a history asks for."""
    return f"holds {listed(map(repr, model.neuron_names_))}" if model.neurons_are_named_ else "has no names"
