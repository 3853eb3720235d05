"""Arguments of any function that are checked alike, each with one sentence."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sized
from itertools import islice
from numbers import Integral, Real
from typing import Any, Literal, TypeGuard, overload

import numpy as np
from sklearn.exceptions import NotFittedError

from popglm.engines.memory import memory_of_machine
from popglm.messages import shown

__all__ = [
    "LARGEST",
    "MOST_BINS",
    "MOST_COLUMNS",
    "MOST_DRAWS",
    "MOST_POINTS",
    "check_choice",
    "check_count",
    "check_count_of_columns",
    "check_fitted",
    "check_flag",
    "check_lag",
    "check_name",
    "check_names",
    "check_positive",
    "check_range",
    "check_room",
    "check_seed",
    "check_variable",
    "is_iterable",
    "is_number",
    "no_more_than",
]

#: Values beyond this, or all below its inverse, overflow where they are squared and cubed.
LARGEST = 1e35

#: Columns that one term may have. The products of that many columns with each other fill 40 GB in float32.
MOST_COLUMNS = 100_000

#: Samples that a term may look back or ahead. A longer lag is a slip of the unit: that is hours of a recording.
MOST_LAG = 1_000_000

#: Points of a grid along one axis: more than any picture has pixels.
MOST_POINTS = 100_000

#: Bins of a variable: more places than a recording visits.
MOST_BINS = 100_000

#: Resamples, or surrogates, of a test: beyond these a p-value has more digits than anybody reads.
MOST_DRAWS = 1_000_000


def is_iterable(value: object) -> TypeGuard[Iterable[Any]]:
    """Whether a value can be gone through; an array without dimensions says so of itself, and cannot.

    Examples
    --------
    >>> is_iterable([1]), is_iterable("a"), is_iterable(np.array("a")), is_iterable(1)
    (True, True, False, False)
    """
    return isinstance(value, Iterable) and getattr(value, "ndim", None) != 0


@overload
def is_number(value: object, whole: Literal[True]) -> TypeGuard[int]: ...


@overload
def is_number(value: object, whole: bool = False) -> TypeGuard[float]: ...


def is_number(value: object, whole: bool = False) -> TypeGuard[float]:
    """Whether a value is a finite real number, or a whole one, that NumPy holds; a bool is none.

    Examples
    --------
    >>> is_number(0.5), is_number(np.int64(3), whole=True), is_number(True), is_number("1"), is_number(10**30)
    (True, True, False, False, False)
    """
    if isinstance(value, bool | np.bool_) or not isinstance(value, Integral if whole else Real):
        return False
    return abs(int(value)) < 2**63 if isinstance(value, Integral) else math.isfinite(value)


def _is_whole(value: object) -> TypeGuard[int]:
    """Whether a value is a whole number of any size; a bool is none."""
    return isinstance(value, Integral) and not isinstance(value, bool | np.bool_)


def check_fitted(estimator: Any, attribute: str, who: str) -> None:
    """Complain unless an estimator has the attribute that its ``fit`` leaves.

    Raises
    ------
    sklearn.exceptions.NotFittedError
    """
    if not hasattr(estimator, attribute):
        name = type(estimator).__name__
        data = "session" if name == "Design" else "X, Y"
        raise NotFittedError(f"{who}: this {name} is not fitted yet; call fit({data}) first.")


def check_variable(maker: str, variable: object) -> None:
    if not isinstance(variable, str):
        raise TypeError(f"{maker}: variable must be the name of a variable (a string); found {shown(variable)}")


def check_names(maker: str, argument: str, names: object) -> tuple[str, ...]:
    """Return one or more names as a tuple; a single string is one name."""
    if isinstance(names, str):
        return (names,)
    if not is_iterable(names) or isinstance(names, bytes | bytearray):
        raise TypeError(f"{maker}: {argument} must be a name or a sequence of names (strings); found {shown(names)}")
    listed = tuple(no_more_than(maker, argument, names, each=""))
    for name in listed:
        if not isinstance(name, str):
            raise TypeError(f"{maker}: {argument} must be names (strings); found {shown(name)} among them")
    return listed


def check_name(maker: str, name: object) -> None:
    if not (name is None or isinstance(name, str)):
        raise TypeError(f"{maker}: name must be a string or None; found {shown(name)}")


def check_choice(maker: str, argument: str, found: object, choices: tuple[str, ...]) -> None:
    if not isinstance(found, str) or found not in choices:
        *others, last = map(repr, choices)
        raise ValueError(f"{maker}: {argument} must be {', '.join(others)} or {last}; found {shown(found)}")


def check_flag(maker: str, argument: str, found: object) -> None:
    if not isinstance(found, (bool, np.bool_)):
        raise TypeError(f"{maker}: {argument} must be True or False; found {shown(found)}")


def check_count(
    maker: str, argument: str, found: object, least: int, most: int | None = None, too_many: str = ""
) -> None:
    """Complain unless it is a whole number in that range; ``too_many`` is what a larger one would mean."""
    if not _is_whole(found) or found < least or (most is None and not is_number(found)):
        raise ValueError(f"{maker}: {argument} must be an integer >= {least}; found {shown(found)}")
    if most is not None and found > most:
        number = f"{int(found):,}" if found < 10**30 else shown(found)
        raise ValueError(f"{maker}: {argument} must be an integer from {least} to {most:,}; found {number}{too_many}")


def check_count_of_columns(maker: str, argument: str, found: object, least: int) -> None:
    """`check_count` of columns of one term, or of what costs as much."""
    too_many = ""
    if _is_whole(found) and found < 10**30:
        needed = 4e-9 * float(found) ** 2
        too_many = f", and the products of that many columns with each other alone would take {needed:,.0f} GB"
    check_count(maker, argument, found, least, MOST_COLUMNS, too_many)


def check_range(maker: str, low: object, high: object) -> None:
    if not (is_number(low) and is_number(high) and low < high):
        raise ValueError(
            f"{maker}: low and high must be finite numbers with low < high; found {shown(low)} and {shown(high)}"
        )
    if max(abs(low), abs(high)) > LARGEST or high - low < 1 / LARGEST:
        raise ValueError(
            f"{maker}: low and high must lie within ±{LARGEST:g}, and {1 / LARGEST:g} apart or more; found "
            f"{shown(low)} and {shown(high)}; give the variable in another unit"
        )


def check_positive(maker: str, argument: str, found: object) -> None:
    if not (is_number(found) and found > 0):
        raise ValueError(f"{maker}: {argument} must be a positive number; found {shown(found)}")
    if not 1 / LARGEST <= found <= LARGEST:
        raise ValueError(
            f"{maker}: {argument} must be a number from {1 / LARGEST:g} to {LARGEST:g}; found {shown(found)}; give it "
            "in another unit"
        )


def check_lag(maker: str, found: str, samples: float, dt: float | None) -> None:
    """Refuse a lag of more samples than `MOST_LAG` before anything is made of that size; ``found`` says what has it."""
    if samples > MOST_LAG:
        number = f"{samples:,.0f}" if samples < 1e15 else f"{samples:g}"
        unit, remedy = "", "in samples, or in seconds together with dt= (seconds per sample)"
        if dt is not None:
            unit, remedy = f" of dt={dt:g} s", "in seconds, and the dt of the recording (seconds per sample)"
        raise ValueError(f"{maker}: {found} {number} samples{unit}, but {MOST_LAG:,} are the most; give it {remedy}")


def check_seed(seed: object, who: str) -> None:
    """Complain unless ``numpy.random.default_rng`` can be seeded by it: a whole number from 0, or None.

    Raises
    ------
    ValueError
    """
    if seed is not None and not (_is_whole(seed) and seed >= 0):
        raise ValueError(f"{who}: seed={shown(seed)} must be a whole number, 0 or more.")


def no_more_than(
    maker: str, argument: str, values: Iterable, most: int = MOST_COLUMNS, each: str = ", one column each"
) -> list:
    """List the values, and refuse more than `most` before they fill the memory."""
    listed = list(islice(values, most + 1))
    if len(listed) > most:
        found = f"{len(values):,}" if isinstance(values, Sized) else "more"
        raise ValueError(f"{maker}: {argument} must have at most {most:,} entries{each}; found {found}")
    return listed


def check_room(what: str, n_bytes: float) -> None:
    """Refuse what is larger than the memory of the machine, where the system tells how large that is."""
    room = memory_of_machine()
    if n_bytes > room:
        raise ValueError(
            f"{what} would take {_gigabytes(n_bytes)}, but this machine has {_gigabytes(room)}; ask for less"
        )


def _gigabytes(n_bytes: float) -> str:
    n = n_bytes / 1e9
    return f"{n:,.0f} GB" if 10 <= n < 1e9 else f"{n:.2g} GB"
