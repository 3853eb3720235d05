"""Levels of categories, matched by value whatever type they come in."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Iterable
from numbers import Real
from typing import Any

import numpy as np
import pandas as pd

__all__ = ["as_levels", "as_text", "factorize", "match_levels"]


def as_levels(values: Iterable) -> pd.Index:
    """Return different values as an Index: text for bytes, numbers of a type that an Index can hold."""
    dtype = getattr(values, "dtype", None)
    if dtype == np.float16:  # an Index cannot hold it: take the shortest number that rounds to it
        return pd.Index(np.array([str(value) for value in values], dtype=np.float32))
    listed = [_plain(value) for value in values] if dtype is None or dtype == np.dtype(object) else values
    try:
        return pd.Index(listed, tupleize_cols=False)
    except OverflowError:  # pandas 2 on whole numbers that no float holds
        return pd.Index(listed, tupleize_cols=False, dtype=object)


def factorize(column: pd.Series) -> tuple[np.ndarray, list]:
    """Return codes, -1 where missing, and the different values in order of appearance, as Python's own types."""
    if column.dtype == np.dtype(object):  # an Index of pandas 2 refuses whole numbers that no float holds
        codes, found = pd.factorize(column.to_numpy())
        return codes, [_plain(value) for value in found]
    codes, found = pd.factorize(column.astype(np.float32) if column.dtype == np.float16 else column)
    return codes, [_plain(value) for value in pd.Index(found).tolist()]


def match_levels(levels: pd.Index, column: pd.Series) -> np.ndarray:
    """Return the position in `levels` of every value of the column, -1 where there is none, shape (n_samples,).

    Equal values match, as in Python: True, 1 and 1.0. A number of less precision matches the one level that rounds to
    it, and a string the one level that is the number it spells, or the other way round.
    """
    codes, values = factorize(column)
    known = [_plain(level) for level in levels.tolist()]
    coarse = min(
        (_precision(levels.dtype), _precision(column.dtype)), key=lambda precision: np.dtype(precision).itemsize
    )
    exact = {level: i for i, level in enumerate(known)}
    rounded = _positions((coarse(level) if _is_number(level) else None) for level in known)
    spelled = _positions(_spelled(level) for level in known)
    numbers = _positions((float(level) if _is_number(level) else None) for level in known)

    def position(value: Any) -> int:
        if value in exact:
            return exact[value]
        if _is_number(value):
            return rounded.get(coarse(value), spelled.get(float(value), -1))
        return numbers.get(_spelled(value), -1)

    return np.array([*map(position, values), -1], dtype=np.intp)[codes]  # code -1 picks the last


def _positions(keys: Iterable) -> dict:
    """Positions of the keys that occur once; None is no key."""
    keys = list(keys)
    once = {key for key, count in Counter(keys).items() if count == 1 and key is not None}
    return {key: i for i, key in enumerate(keys) if key in once}


def _plain(value: Any) -> Any:
    """Return the value as Python's own type, bytes as the text that they hold."""
    if isinstance(value, (bytes, np.bytes_)):
        return as_text(bytes(value))
    return value.item() if isinstance(value, np.generic) and not isinstance(value, np.datetime64) else value


def as_text(value: bytes) -> str:
    """Decode UTF-8, or Latin-1 where it is none."""
    try:
        return value.decode()
    except UnicodeDecodeError:
        return value.decode("latin-1")


def _is_number(value: Any) -> bool:
    try:
        return isinstance(value, Real) and math.isfinite(value)
    except OverflowError:  # a whole number beyond all floats
        return False


def _spelled(value: Any) -> float | None:
    """Return the number that a string spells, or None."""
    try:
        return float(value) if isinstance(value, str) else None
    except ValueError:
        return None


def _precision(dtype: Any) -> type[np.floating]:
    """Return the type of float whose digits the values have; float64 for what are no floats of less."""
    dtype = getattr(dtype, "numpy_dtype", dtype)
    dtype = getattr(getattr(dtype, "categories", None), "dtype", dtype)
    coarse: dict[Any, type[np.floating]] = {np.dtype(np.float16): np.float16, np.dtype(np.float32): np.float32}
    return coarse.get(dtype, np.float64)
