"""Arguments that several term makers share, each checked with one sentence."""

from __future__ import annotations

import os
from collections.abc import Iterable
from itertools import islice

import numpy as np

from popglm.messages import shown

__all__ = [
    "MOST_COLUMNS",
    "check_choice",
    "check_count",
    "check_flag",
    "check_name",
    "check_names",
    "check_positive",
    "check_range",
    "check_room",
    "check_variable",
    "no_more_than",
]

#: Columns that one term may have. The products of that many columns with each other fill 40 GB in float32.
MOST_COLUMNS = 100_000


def check_variable(maker: str, variable: object) -> None:
    if not isinstance(variable, str):
        raise TypeError(f"{maker}: variable must be the name of a variable (a string); found {variable!r}")


def check_names(maker: str, argument: str, names: object) -> tuple[str, ...]:
    """Return one or more names as a tuple; a single string is one name."""
    if isinstance(names, str):
        return (names,)
    if not isinstance(names, Iterable) or isinstance(names, bytes):
        raise TypeError(f"{maker}: {argument} must be a name or a sequence of names (strings); found {shown(names)}")
    names = tuple(names)
    for name in names:
        if not isinstance(name, str):
            raise TypeError(f"{maker}: {argument} must be names (strings); found {name!r} among them")
    return names


def check_name(maker: str, name: object) -> None:
    if not (name is None or isinstance(name, str)):
        raise TypeError(f"{maker}: name must be a string or None; found {name!r}")


def check_choice(maker: str, argument: str, found: object, choices: tuple[str, ...]) -> None:
    if not isinstance(found, str) or found not in choices:
        *others, last = map(repr, choices)
        raise ValueError(f"{maker}: {argument} must be {', '.join(others)} or {last}; found {shown(found)}")


def check_flag(maker: str, argument: str, found: object) -> None:
    if not isinstance(found, (bool, np.bool_)):
        raise TypeError(f"{maker}: {argument} must be True or False; found {shown(found)}")


def check_count(maker: str, argument: str, found: object, least: int, most: int | None = None) -> None:
    if isinstance(found, bool) or not isinstance(found, (int, np.integer)) or found < least:
        raise ValueError(f"{maker}: {argument} must be an integer >= {least}; found {shown(found)}")
    if most is not None and found > most:
        raise ValueError(
            f"{maker}: {argument} must be an integer from {least} to {most:,}; found {int(found):,}, and the "
            f"products of that many columns with each other alone would take {4e-9 * float(found) ** 2:,.0f} GB"
        )


def check_range(maker: str, low: object, high: object) -> None:
    finite = all(isinstance(v, (int, float, np.number)) and np.isfinite(v) for v in (low, high))
    if not (finite and low < high):
        raise ValueError(
            f"{maker}: low and high must be finite numbers with low < high; found {shown(low)} and {shown(high)}"
        )


def check_positive(maker: str, argument: str, found: object) -> None:
    if not (isinstance(found, (int, float, np.number)) and np.isfinite(found) and found > 0):
        raise ValueError(f"{maker}: {argument} must be a positive number; found {shown(found)}")


def no_more_than(maker: str, argument: str, values: Iterable, most: int = MOST_COLUMNS) -> list:
    """List the values, and refuse more than `most` before they fill the memory."""
    listed = list(islice(values, most + 1))
    if len(listed) > most:
        found = f"{len(values):,}" if hasattr(values, "__len__") else "more"
        raise ValueError(f"{maker}: {argument} must have at most {most:,} entries, one column each; found {found}")
    return listed


def check_room(what: str, n_bytes: float) -> None:
    """Refuse what is larger than the memory of the machine, where the system tells how large that is."""
    try:
        room = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    except (AttributeError, OSError, ValueError):
        return
    if n_bytes > room:
        raise ValueError(
            f"{what} would take {n_bytes / 1e9:,.0f} GB, but this machine has {room / 1e9:,.0f} GB; ask for less"
        )
