"""Arguments that several term makers share, each checked with one sentence."""

from __future__ import annotations

import numpy as np

__all__ = ["check_count", "check_positive", "check_range", "check_variable"]


def check_variable(maker: str, variable: object) -> None:
    if not isinstance(variable, str):
        raise TypeError(f"{maker}: variable must be the name of a variable (a string); found {variable!r}")


def check_count(maker: str, argument: str, found: object, least: int) -> None:
    if isinstance(found, bool) or not isinstance(found, (int, np.integer)) or found < least:
        raise ValueError(f"{maker}: {argument} must be an integer >= {least}; found {found!r}")


def check_range(maker: str, low: object, high: object) -> None:
    finite = all(isinstance(v, (int, float, np.number)) and np.isfinite(v) for v in (low, high))
    if not (finite and low < high):
        raise ValueError(f"{maker}: low and high must be finite numbers with low < high; found {low!r} and {high!r}")


def check_positive(maker: str, argument: str, found: object) -> None:
    if not (isinstance(found, (int, float, np.number)) and np.isfinite(found) and found > 0):
        raise ValueError(f"{maker}: {argument} must be a positive number; found {found!r}")
