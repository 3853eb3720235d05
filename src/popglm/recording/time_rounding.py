"""How exactly times are known, and so which of them lie on an edge that they seem to miss."""

from __future__ import annotations

import numpy as np
from scipy.special import bdtrc

__all__ = ["decimal_unit", "is_more_than_chance", "on_time"]

#: Times that tell how a series was rounded. They are taken at random: every second, say, looks exact at many rates.
LOOKED_AT = 1_000
#: Times that were cut off after a decimal are this share of its unit too early at most: of a whole one nothing was cut.
CUT = 0.99
#: The decimals that are so fine that a time within their unit of an edge is on it, whatever else is known.
FINE = range(6, 13)
#: The steps of a double at today's Unix times (s): what is left of them when their start has been subtracted.
UNIX_STEP = 2.0**-22
#: Multiples of this period may well be exact: clocks of 1,024 or 4,096 Hz.
DYADIC = 2.0**-13
#: Decimals that are so coarse that they matter to bins.
COARSE = (2, 3, 4, 5)
#: Fewer times may be multiples of a step by chance.
ENOUGH = 20
#: What is less likely than this is no chance.
CHANCE = 1e-3


def on_time(times: np.ndarray) -> float:
    """How far below an edge a time may lie and still count as on it (s): as much as it was rounded by.

    Times that are a sum of a start and a multiple of a period are off by a few units in the last place. Those that were
    written with six decimals or more are off by up to a unit of the last; those that were seconds since 1970 by a
    microsecond; single precision by half a step of its own. Of coarser times see `decimal_unit`.

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
    rounding, some = _last_place(known), _some(known)
    if _are_multiples(some, 10.0 ** COARSE[-1], rounding) or _are_multiples(some, 1 / DYADIC, 0.0):
        return rounding
    for digits in FINE:
        if CUT * 10.0**-digits > rounding and _are_multiples(some, 10.0**digits, rounding):
            return CUT * 10.0**-digits
    if len(some) < ENOUGH:
        return rounding
    if (some == some.astype(np.float32)).all():
        return max(rounding, float(np.spacing(np.float32(np.abs(known).max()))) / 2)
    return max(rounding, CUT * 1e-6) if _are_multiples(some, 1 / UNIX_STEP, 0.0) else rounding


def decimal_unit(times: np.ndarray) -> float:
    """The decimal that times were rounded to, if it is so coarse that it matters: 0.01 to 0.00001 s; 0 for others.

    Times that follow each other at one period were not rounded.

    Examples
    --------
    >>> decimal_unit(np.round(np.arange(9) / 60, 3)), decimal_unit(np.arange(9) / 60), decimal_unit(np.arange(9) / 100)
    (0.001, 0.0, 0.0)
    """
    known = times[np.isfinite(times)]
    rounding, some = _last_place(known), _some(known)
    if not _are_multiples(some, 10.0 ** COARSE[-1], rounding) or _are_multiples(some, 10.0, rounding):
        return 0.0
    steps = np.diff(known.ravel()[:LOOKED_AT])
    if len(steps) > 1 and np.ptp(steps) <= 2 * rounding:
        return 0.0
    return next(10.0**-digits for digits in COARSE if _are_multiples(some, 10.0**digits, rounding))


def is_more_than_chance(n_near: int, n: int, share: float) -> bool:
    """Whether more of n times are near an edge than would be, were they anywhere: a share of them.

    Examples
    --------
    >>> is_more_than_chance(3, 3, 0.06), is_more_than_chance(6, 100, 0.06)
    (True, False)
    """
    return n_near > 0 and float(bdtrc(n_near - 1, n, min(share, 1.0))) < CHANCE


def _last_place(known: np.ndarray) -> float:
    """Four units in the last place of the largest."""
    largest = max(float(known.max()), -float(known.min())) if known.size else 0.0
    return float(4 * np.spacing(largest))


def _some(known: np.ndarray) -> np.ndarray:
    """Some of the times, at random but always the same."""
    known = known.ravel()
    if len(known) <= LOOKED_AT:
        return known
    return known[np.random.default_rng(0).integers(0, len(known), LOOKED_AT)]


def _are_multiples(times: np.ndarray, rate: float, off: float) -> bool:
    """Whether times are whole multiples of 1/rate (s), but for what they are off by."""
    return bool((np.abs(np.rint(times * rate) / rate - times) <= off).all())
