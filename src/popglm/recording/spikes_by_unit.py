"""Spikes in order of their time, sorted into one train per unit."""

from __future__ import annotations

from collections.abc import Iterable

import numpy as np

__all__ = ["by_unit"]


def by_unit(times: np.ndarray, units: np.ndarray, listed: Iterable[int] = ()) -> tuple[np.ndarray, ...]:
    """Spike times one unit after the other.

    Parameters
    ----------
    times : ndarray, shape (n_spikes,)
        In seconds.
    units : ndarray of int, shape (n_spikes,)
        Whose spike each is.
    listed : iterable of int, optional
        Units that are kept without a spike.

    Returns
    -------
    ids : ndarray of int, shape (n_units,)
        Ascending.
    times : ndarray, shape (n_spikes,)
        Ascending within each unit.
    counts : ndarray of int, shape (n_units,)

    Examples
    --------
    >>> by_unit(np.array([0.1, 0.2, 0.4]), np.array([7, 3, 7]), listed=[5])
    (array([3, 5, 7]), array([0.2, 0.1, 0.4]), array([1, 0, 2]))
    """
    extra = np.fromiter(listed, dtype=np.int64)
    if np.any(np.diff(times) < 0):
        order = np.argsort(times, kind="stable")
        times, units = times[order], units[order]
    low = int(min(units.min(initial=0), extra.min(initial=0)))
    high = int(max(units.max(initial=0), extra.max(initial=0)))
    if high - low < 2**16:
        # the stable sort of 16-bit numbers is a radix sort, ten times as fast as that of longer ones
        codes = (units - low).astype(np.uint16)
        counts = np.bincount(codes, minlength=high - low + 1)
        is_unit = counts > 0
        is_unit[extra - low] = True
        ids = np.flatnonzero(is_unit)
        return ids + low, times[np.argsort(codes, kind="stable")], counts[ids]
    ids = np.union1d(units, extra)
    counts = np.bincount(np.searchsorted(ids, units), minlength=len(ids))
    return ids, times[np.argsort(units, kind="stable")], counts
