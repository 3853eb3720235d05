"""One grid of time for series with different clocks, and the rules that put them on it.

A bin is [t, t + Δt). A time that lies below an edge by rounding alone counts as on it: see `Grid.slack`.
"""

from __future__ import annotations

from dataclasses import dataclass
from fractions import Fraction
from functools import cached_property

import numpy as np

from popglm.checks import check_room, is_number
from popglm.messages import shown
from popglm.recording.clocks import GAP, longest_step
from popglm.recording.time_rounding import CUT, decimal_unit, is_more_than_chance, on_time

__all__ = ["Grid", "as_fraction", "count", "grid_of_clock", "held_at", "interpolated_between", "means", "regular_grid"]

#: Denominators up to this one are taken for what a period was meant to be: 1/30 for 0.0333….
LARGEST_DENOMINATOR = 1_000_000
#: No time moves by more than this share of a bin to its edge.
MOST = 1 / 8
#: Times that tell whether they follow a grid.
MANY = 100_000
#: Arrays of a number per bin that a grid needs room for.
ARRAYS = 20


@dataclass(frozen=True)
class Grid:
    """Bins of time.

    Attributes
    ----------
    starts, stops : ndarray, shape (n_bins,)
        In seconds. A bin ends where the next begins, but where the clock has a gap: there it is as wide as most.
    width : float
        Of most bins (s).
    """

    starts: np.ndarray
    stops: np.ndarray
    width: float

    def __len__(self) -> int:
        """How many bins."""
        return len(self.starts)

    def find(self, times: np.ndarray, slack: float | None = None) -> np.ndarray:
        """The bin that each time falls into, -1 for none; ``slack`` is that of the times unless given.

        Examples
        --------
        >>> regular_grid(0.0, 1.0, 0.25).find(np.array([-0.1, 0.0, 0.5, 0.99, 1.0]))
        array([-1,  0,  2,  3, -1])
        """
        if not len(self):
            return np.full(len(times), -1)
        slack = self.slack(times) if slack is None else slack
        if self._even_edges is not None:
            return self._find_by_arithmetic(times, self._even_edges - slack)
        bins = np.searchsorted(self.starts - slack, times, side="right") - 1
        beyond = times >= self.stops[bins] - slack
        return np.where(beyond | (bins < 0) | np.isnan(times), -1, bins)

    def slack(self, times: np.ndarray) -> float:
        """How far below an edge one of some times may lie and still count as on it (s): by what both were rounded.

        Few decimals alone do not tell: a lick 1 ms before an edge is before it. Only where more times are that near to
        edges than would be by chance, since the one clock follows the other, those below them were rounded down.
        """
        rounding = self.rounding(times)
        if not self.width > 0:
            return rounding
        unit = self.unit(times)
        if unit and self._follows(times, unit):
            rounding = max(rounding, CUT * unit)
        return min(rounding, MOST * self.width)

    def rounding(self, times: np.ndarray) -> float:
        """What the last places of times and edges, or their many decimals, leave open (s)."""
        return self._rounding + on_time(times)

    def unit(self, times: np.ndarray) -> float:
        """The decimal that times or edges were rounded to, if bins are much wider; else 0."""
        unit = max(decimal_unit(times), self._unit)
        return unit if unit <= MOST * self.width else 0.0

    @cached_property
    def _unit(self) -> float:
        """The decimal that edges were rounded to."""
        return decimal_unit(self.starts)

    def _follows(self, times: np.ndarray, unit: float) -> bool:
        """Whether times are on edges, but for a rounding to a unit, more often than by chance."""
        inside = times[(times > self.starts[0] - unit) & (times < self.stops[-1])][:MANY]
        after = np.clip(np.searchsorted(self.starts, inside), 1, max(len(self) - 1, 1))
        near = np.abs(inside - self.starts[after - 1]) < unit
        if len(self) > 1:
            near |= np.abs(inside - self.starts[after]) < unit
        return is_more_than_chance(int(near.sum()), len(inside), 2 * unit / self.width)

    @cached_property
    def _rounding(self) -> float:
        """How exactly the edges are known (s)."""
        return max(on_time(self.starts), on_time(self.stops))

    def _find_by_arithmetic(self, times: np.ndarray, edges: np.ndarray) -> np.ndarray:
        """What `find` does where edges are even: no edge is off by more than an eighth of a bin."""
        inside = (times >= edges[0]) & (times < edges[-1])
        all_inside = bool(inside.all())
        if not all_inside:
            times = np.where(inside, times, edges[0])
        # the right bin or the one before, for a quarter of a bin is taken off
        bins = ((times - (edges[0] + self.width / 4)) * (1 / self.width)).astype(np.int64)
        bins += times >= edges[bins + 1]
        return bins if all_inside else np.where(inside, bins, -1)

    @cached_property
    def _even_edges(self) -> np.ndarray | None:
        """Where every bin begins and the last one ends, if all are about as wide and follow each other."""
        if not self.width > 0 or (self.stops[:-1] < self.starts[1:]).any():
            return None
        off = self.starts - (self.starts[0] + np.arange(len(self)) * self.width)
        if np.abs(off).max() > self.width / 8:
            return None
        return np.append(self.starts, self.stops[-1])

    def take(self, rows: np.ndarray) -> Grid:
        """Some of the bins."""
        return Grid(self.starts[rows], self.stops[rows], self.width)


def as_fraction(dt: float | Fraction | str) -> Fraction:
    """A period in seconds as the fraction that it was meant to be.

    Examples
    --------
    >>> as_fraction(1 / 30), as_fraction("1/60"), as_fraction(0.025)
    (Fraction(1, 30), Fraction(1, 60), Fraction(1, 40))
    """
    try:
        exact = Fraction(dt)
    except (TypeError, ValueError, OverflowError, ZeroDivisionError):
        exact = Fraction(0)
    if exact <= 0 or isinstance(dt, bool):
        raise ValueError(f"regrid: dt must be a period above 0 s, such as 1/30; found {shown(dt)}")
    near = exact.limit_denominator(LARGEST_DENOMINATOR)
    return near if is_number(dt) and near > 0 and float(near) == float(exact) else exact


def regular_grid(first: float, last: float, dt: float | Fraction | str) -> Grid:
    """Whole bins of width dt from ``first`` to ``last`` (s); edges come from integers, so no rounding adds up.

    Examples
    --------
    >>> regular_grid(0.0, 3600.0, 1 / 60).starts[-1] - 215_999 / 60
    np.float64(0.0)
    """
    period = as_fraction(dt)
    # a last bin that is short by rounding alone is whole
    n_bins = int((Fraction(last) - Fraction(first) + Fraction(on_time(np.array([first, last])))) // period)
    # some arrays of as many numbers are made on the way, beside the activity
    check_room(f"a grid of {max(n_bins, 0):,} bins", 8.0 * ARRAYS * max(n_bins, 0))
    edges = first + np.arange(max(n_bins, 0) + 1) * float(period.numerator) / float(period.denominator)
    return Grid(edges[:-1], edges[1:], float(period))


def grid_of_clock(times: np.ndarray) -> Grid:
    """A bin for every sample of a clock, up to the next; before a gap and at the end as wide as the median.

    Examples
    --------
    >>> grid = grid_of_clock(np.array([0.0, 1.0, 2.0, 7.0]))
    >>> grid.starts, grid.stops
    (array([0., 1., 2., 7.]), array([1., 2., 3., 8.]))
    """
    steps = np.diff(times)
    width = float(np.median(steps)) if len(steps) else 0.0
    stops = np.append(times[1:], times[-1:] + width)
    gap = np.append(steps > longest_step(times), False) if len(times) else np.zeros(0, bool)
    return Grid(times, np.where(gap, times + width, stops), width)


def count(grid: Grid, times: np.ndarray) -> np.ndarray:
    """How many times fall into each bin, int (n_bins,)."""
    bins = grid.find(times)
    return np.bincount(bins[bins >= 0], minlength=len(grid))


def means(bins: np.ndarray, values: np.ndarray, n_bins: int) -> tuple[np.ndarray, np.ndarray]:
    """Sums of the known values per bin, and how many there are.

    What is infinite stays so, whatever else is in its bin: else nobody would hear of it.

    Parameters
    ----------
    bins : ndarray of int, shape (n_samples,)
        In order; none is -1.
    values : ndarray, shape (n_samples, n_columns)
    n_bins : int

    Returns
    -------
    sums : ndarray, shape (n_bins, n_columns)
    counts : ndarray, shape (n_bins, n_columns) or, where all values are known, (n_bins, 1)
    """
    if not len(bins):
        return np.zeros((n_bins, values.shape[1])), np.zeros((n_bins, 1))
    firsts = np.flatnonzero(np.diff(bins, prepend=-1))
    sums = _sums_of_runs(values, firsts)
    counts = np.diff(firsts, append=len(bins)).astype(np.float64)[:, None]
    if not np.isfinite(sums.sum()):
        # one value at least is unknown
        known = ~np.isnan(values)
        sums, counts = _sums_of_runs(np.where(known, values, 0), firsts), _sums_of_runs(known, firsts)
        sums[np.isnan(sums)] = np.inf  # ∞ and −∞
    if len(firsts) == n_bins:
        return sums, counts
    every = np.zeros((n_bins, sums.shape[1])), np.zeros((n_bins, counts.shape[1]))
    every[0][bins[firsts]], every[1][bins[firsts]] = sums, counts
    return every


@np.errstate(invalid="ignore")  # ∞ − ∞
def _sums_of_runs(values: np.ndarray, firsts: np.ndarray) -> np.ndarray:
    """Sums of rows from each of ``firsts`` up to the next, in float64, (n_runs, n_columns)."""
    lengths = np.diff(firsts, append=len(values))
    longest = int(lengths.max())
    if longest == lengths.min():
        return values.reshape(len(firsts), longest, -1).sum(axis=1, dtype=np.float64)
    if longest > values.shape[1]:
        return np.add.reduceat(values, firsts, axis=0, dtype=np.float64)
    # runs are short and rows are long: whole rows are added, the k-th of every run together
    sums = values[firsts].astype(np.float64)
    for k in range(1, longest):
        has = np.flatnonzero(lengths > k)
        if len(has) == len(sums):
            sums += values[firsts + k]
        else:
            sums[has] += values[firsts[has] + k]
    return sums


def interpolated_between(
    at: np.ndarray, times: np.ndarray, values: np.ndarray, longest: float, slack: float | None = None
) -> np.ndarray:
    """Values at times between samples, on the straight line; NaN outside, across gaps and beside an unknown value.

    Beside an infinite value they are infinite.

    Parameters
    ----------
    at : ndarray, shape (n,)
    times : ndarray, shape (n_samples,)
    values : ndarray, shape (n_samples, n_columns)
    longest : float
        The longest step that is bridged (s).
    slack : float, optional
        How far a sample may be off a time and still be at it (s): by rounding alone unless given.

    Returns
    -------
    ndarray, shape (n, n_columns)

    Examples
    --------
    >>> values = np.array([[0.0], [2.0], [8.0]])
    >>> interpolated_between(np.array([0.5, 1.0, 3.0]), np.array([0.0, 1.0, 5.0]), values, longest=2.0).T
    array([[ 1.,  2., nan]])
    """
    out = np.full((len(at), values.shape[1]), np.nan)
    if not len(times):
        return out
    slack = on_time(times) + on_time(at) if slack is None else slack
    before = np.searchsorted(times - slack, at, side="right") - 1
    inside = (before >= 0) & (at <= times[-1] + slack)
    before = np.clip(before, 0, len(times) - 1)
    after = np.minimum(before + 1, len(times) - 1)
    step = times[after] - times[before]
    share = np.clip(np.where(step > 0, (at - times[before]) / np.where(step > 0, step, 1), 0), 0, 1)
    on_sample = at - times[before] <= slack
    share[on_sample] = 0
    good = inside & (on_sample | (step <= longest))
    lower, upper = values[before[good]], values[after[good]]
    weight = share[good][:, None]
    # on a sample its neighbour does not count, known or not
    with np.errstate(invalid="ignore"):
        between = lower * (1 - weight) + upper * weight
    if np.isnan(between).any():
        between[np.isnan(between) & ~np.isnan(lower) & ~np.isnan(upper)] = np.inf  # ∞ and −∞
    out[good] = np.where(weight == 0, lower, between)
    return out


def held_at(at: np.ndarray, times: np.ndarray, longest: float, slack: float | None = None) -> np.ndarray:
    """The sample at or before each time, -1 where there is none or where it does not last for so long.

    A sample lasts until the next. Before a gap and at the end it lasts for one usual step.

    Parameters
    ----------
    at : ndarray, shape (n,)
    times : ndarray, shape (n_samples,)
    longest : float
        The longest step that is bridged (s), as `longest_step` has it.
    slack : float, optional
        How far a sample may be off a time and still be at it (s): by rounding alone unless given.

    Examples
    --------
    >>> held_at(np.array([-1.0, 0.0, 0.5, 1.0, 2.0, 9.0]), np.array([0.0, 1.0]), 1.5)
    array([-1,  0,  0,  1, -1, -1])
    """
    if not len(times):
        return np.full(len(at), -1)
    slack = on_time(times) + on_time(at) if slack is None else slack
    before = np.searchsorted(times - slack, at, side="right") - 1
    lasting = np.diff(times, append=np.inf)
    lasting = np.where(lasting > longest, longest / GAP, lasting)[np.maximum(before, 0)]
    return np.where(at - times[np.maximum(before, 0)] >= lasting - slack, -1, before)
