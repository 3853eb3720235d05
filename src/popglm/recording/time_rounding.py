"""How exactly times are known, and so which of them lie on an edge that they seem to miss."""

from __future__ import annotations

import numpy as np

__all__ = ["decimal_unit", "on_time"]

#: Times that tell how a series was rounded.
LOOKED_AT = 1_000
#: Times that were cut off after a microsecond are this much too early at most: of a whole one nothing was cut off.
CUT = 0.99e-6
#: The steps of a double at today's Unix times (s): what is left of them when their start has been subtracted.
UNIX_STEP = 2.0**-22
#: Multiples of this period may well be exact: clocks of 1,024 or 4,096 Hz.
DYADIC = 2.0**-13
#: Units of times that are as coarse as to matter to bins, and how many are in a second.
COARSE = {0.01: 1e2, 0.001: 1e3, 0.0001: 1e4, 0.00001: 1e5}
#: Fewer times may be multiples of a step by chance.
ENOUGH = 20


def on_time(times: np.ndarray) -> float:
    """How far below an edge a time may lie and still count as on it (s): as much as it was rounded by.

    Times that are a sum of a start and a multiple of a period are off by a few units in the last place. Those that were
    written with six decimals, or were seconds since 1970, are off by up to a microsecond; single precision is off by
    half a step of its own.

    Parameters
    ----------
    times : ndarray
        In seconds; NaN and infinite ones do not count.

    Returns
    -------
    float

    Examples
    --------
    >>> on_time(np.array([0.0, 3600.0])) < 2e-12
    True
    >>> on_time(np.round(np.arange(10) / 60, 6))
    9.9e-07
    """
    known = times[np.isfinite(times)]
    largest = max(float(known.max()), -float(known.min())) if known.size else 0.0
    rounding = float(4 * np.spacing(largest))
    some = known.ravel()[:: max(1, known.size // LOOKED_AT)]
    # nothing was cut off a whole millisecond, or the period of a clock
    if _are_multiples(some, 1e3, rounding) or _are_multiples(some, 1 / DYADIC, 0.0):
        return rounding
    if _are_multiples(some, 1e6, rounding):
        return max(rounding, CUT)
    if len(some) < ENOUGH:
        return rounding
    if (some == some.astype(np.float32)).all():
        return max(rounding, float(np.spacing(np.float32(largest))) / 2)
    return max(rounding, CUT) if _are_multiples(some, 1 / UNIX_STEP, 0.0) else rounding


def decimal_unit(times: np.ndarray) -> float:
    """The decimal that times were written to, if it is so coarse that it matters: 0.01 to 0.00001 s; 0 for others.

    Examples
    --------
    >>> decimal_unit(np.array([0.017, 0.033])), decimal_unit(np.arange(10) / 60), decimal_unit(np.arange(10.0))
    (0.001, 0.0, 0.0)
    """
    known = times[np.isfinite(times)]
    rounding = float(4 * np.spacing(np.abs(known).max(initial=0.0)))
    some = known.ravel()[:: max(1, known.size // LOOKED_AT)]
    if not _are_multiples(some, 1e5, rounding) or _are_multiples(some, 10.0, rounding):
        return 0.0
    return next(unit for unit, rate in COARSE.items() if _are_multiples(some, rate, rounding))


def _are_multiples(times: np.ndarray, rate: float, off: float) -> bool:
    """Whether times are whole multiples of 1/rate (s), but for what they are off by."""
    return bool((np.abs(np.rint(times * rate) / rate - times) <= off).all())
