"""Variables as users speak of them: each a set of feature groups that are ablated, re-fitted and drawn together."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from difflib import get_close_matches
from fnmatch import fnmatchcase
from typing import Any

import numpy as np

from popglm.checks import is_iterable, no_more_than
from popglm.messages import listed, shown

__all__ = ["group_columns", "resolve_variables"]

Choice = str | Callable[[str], bool]
Variables = Mapping[str, Choice | Iterable[Choice]] | Iterable[str] | str | None


def resolve_variables(variables: Variables, groups: Sequence[str], argument: str = "variables") -> dict[str, list[str]]:
    """Feature groups of every variable.

    Parameters
    ----------
    variables : None, str, list of str, or mapping
        None: every group is a variable. A list (or one string) of group names or shell patterns: each entry is a
        variable of that name. A mapping from a variable's name to its groups: a name, a shell pattern (``"* × cue"``;
        a group's own name is taken literally), a callable from a group's name to bool, or a list of these.
    groups : sequence of str
        Names of the groups there are.
    argument : str
        What the user calls them, for the complaints.

    Returns
    -------
    dict of str to list of str
        Group names of every variable, in the order of `groups`.

    Raises
    ------
    TypeError
        If `variables` is none of the above.
    ValueError
        If an entry fits no group (the nearest names are offered), or a group belongs to two variables.

    Examples
    --------
    >>> groups = ["position", "position × cue", "time", "time × cue", "speed"]
    >>> resolve_variables({"cue": "* × cue", "running": ["speed"]}, groups)
    {'cue': ['position × cue', 'time × cue'], 'running': ['speed']}
    """
    groups = [str(group) for group in groups]
    if variables is None:
        variables = groups
    if isinstance(variables, str):
        variables = [variables]
    if not isinstance(variables, Mapping):
        try:
            names = no_more_than(argument, "the list", variables, each="")
        except TypeError:
            raise TypeError(
                f"{argument} must be a list of group names, or a mapping from {argument} to their groups; found "
                f"{shown(variables)}."
            ) from None
        strange = [name for name in names if not isinstance(name, str)]
        if strange:
            raise TypeError(
                f"{argument} must be names of groups or patterns, as text; found {shown(strange[0])} in the list."
            )
        variables = {name: name for name in names}
    if not variables:
        raise ValueError(f"{argument} is empty; name at least one, or give None for every group.")
    resolved = {str(name): _choose(str(name), choice, groups, argument) for name, choice in variables.items()}
    owner: dict[str, str] = {}
    more = ", or ask for them in two calls" if argument == "variables" else ""
    for name, chosen in resolved.items():
        for group in chosen:
            if group in owner:
                raise ValueError(
                    f"{argument} {owner[group]!r} and {name!r} overlap: both hold the group {group!r}. Give every "
                    f"group to one of the {argument}{more}."
                )
            owner[group] = name
    return resolved


def _choose(name: str, choice: Choice | Iterable[Choice], groups: list[str], argument: str) -> list[str]:
    parts = [choice] if isinstance(choice, str | bytes) or not is_iterable(choice) else list(choice)
    found: set[str] = set()
    for part in parts:
        if callable(part):
            fits = {group for group in groups if part(group)}
        elif not isinstance(part, str):
            raise TypeError(
                f"{argument}, {name!r}: {shown(part)} is neither the name of a group, a pattern, nor a callable."
            )
        elif part in groups:
            fits = {part}
        else:
            fits = {group for group in groups if fnmatchcase(group, part)}
        if not fits:
            raise ValueError(f"{argument}, {name!r}: no group fits {shown(part)}. {_nearest(part, groups)}")
        found |= fits
    if not found:
        raise ValueError(
            f"{argument}, {name!r}: it has no groups; give it at least one of {listed(map(repr, groups))}."
        )
    return [group for group in groups if group in found]


def _nearest(part: Choice, groups: list[str]) -> str:
    close = get_close_matches(part, groups, n=3, cutoff=0.4) if isinstance(part, str) else []
    if close:
        return f"Did you mean {' or '.join(map(repr, close))}?"
    return f"The groups are {listed(map(repr, groups))}."


def group_columns(chosen: Sequence[str], groups: Sequence[str], sizes: Any) -> np.ndarray:
    """Indices of the columns of the chosen groups.

    Examples
    --------
    >>> group_columns(["b"], ["a", "b"], [2, 3])
    array([2, 3, 4])
    """
    return np.flatnonzero(np.repeat(np.isin(list(groups), list(chosen)), sizes))
