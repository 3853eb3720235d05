"""Angles and other signals that come round again: averaged and interpolated on the circle."""

from __future__ import annotations

import numpy as np

from popglm.recording.grid import interpolated_between, means

__all__ = ["arc_between", "mean_directions"]

#: A mean resultant is shorter only by rounding: opposite directions have no mean.
LEAST_RESULTANT = 1e-9
#: Values beyond the ends of a turn by this share of it are there by rounding, as π in float32 is.
SLACK = 1e-6


def mean_directions(bins: np.ndarray, values: np.ndarray, n_bins: int, period: float) -> np.ndarray:
    """Mean direction per bin, shape (n_bins,); NaN where no value is known or the resultant vanishes.

    Parameters
    ----------
    bins : ndarray of int, shape (n_samples,)
        In order; none is -1.
    values : ndarray, shape (n_samples,)
    n_bins : int
    period : float
        A whole turn, in the unit of the values.

    References
    ----------
    Mardia & Jupp, Directional Statistics (2000), eq. 2.2.4.

    Examples
    --------
    >>> mean_directions(np.array([0, 0, 1, 1]), np.array([350.0, 20.0, 90.0, 270.0]), 2, 360.0).round(6)
    array([ 5., nan])
    """
    angles = values * (2 * np.pi / period)
    sums, counts = means(bins, np.column_stack([np.cos(angles), np.sin(angles)]), n_bins)
    vanishes = np.hypot(*sums.T) <= LEAST_RESULTANT * counts[:, 0]
    direction = np.arctan2(sums[:, 1], sums[:, 0]) * (period / (2 * np.pi))
    return _within(np.where(vanishes, np.nan, direction), _lowest(values, period), period)


def arc_between(
    at: np.ndarray, times: np.ndarray, values: np.ndarray, longest: float, period: float, slack: float | None = None
) -> np.ndarray:
    """Values at times between samples, along the shorter arc, shape (n,); NaN where `interpolated_between` says so.

    Between opposite directions no arc is shorter: NaN there, too.

    Examples
    --------
    >>> at, times = np.array([0.0, 0.25, 1.5]), np.array([0.0, 1.0, 2.0])
    >>> arc_between(at, times, np.array([350.0, 30.0, 210.0]), 1.0, 360.0)
    array([350.,   0.,  nan])
    """
    if not len(times):
        return np.full(len(at), np.nan)
    # where between which samples each time lies: unknown wherever a straight line would be
    place = np.where(np.isfinite(values), np.arange(len(values), dtype=float), np.nan)
    found = interpolated_between(at, times, place[:, None], longest, slack)[:, 0]
    known = np.isfinite(found)
    before = np.floor(found[known]).astype(int)
    share = found[known] - before
    turn = values[np.minimum(before + 1, len(values) - 1)] - values[before]
    turn = np.remainder(turn + period / 2, period) - period / 2
    opposite = period / 2 - np.abs(turn) <= LEAST_RESULTANT * period
    moved = values[before] + share * np.where(opposite, np.nan, turn)
    out = np.full(len(at), np.nan)
    out[known] = np.where(share == 0, values[before], moved)
    return _within(out, _lowest(values, period), period)


def _lowest(values: np.ndarray, period: float) -> float:
    """Where the turn of a signal begins: at 0, half a turn or a turn below it, whichever holds all values; else 0."""
    known = values[np.isfinite(values)]
    if not len(known):
        return 0.0
    low, high, slack = known.min(), known.max(), SLACK * period
    fitting = (
        start for start in (0.0, -period / 2, -period) if start - slack <= low and high <= start + period + slack
    )
    return next(fitting, 0.0)


def _within(values: np.ndarray, low: float, period: float) -> np.ndarray:
    """Values in [low, low + period); those that are there already stay as they are."""
    out = (values < low) | (values >= low + period)
    wrapped = low + np.remainder(values - low, period)
    # rounding may bring a value just below ``low`` to the end of the turn, which is its beginning
    return np.where(out, np.where(wrapped >= low + period, low, wrapped), values)
