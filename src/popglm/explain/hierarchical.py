"""Averages of many animals and how sure they are: animals, their sessions and their neurons are drawn again."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from itertools import combinations
from typing import Any

import numpy as np
import pandas as pd
import xarray as xr
from scipy import stats

from popglm.checks import MOST_DRAWS, check_count, check_seed, is_number
from popglm.explain.pooling import check_groups, check_levels, check_table
from popglm.messages import listed, shown

__all__ = ["hierarchical_bootstrap"]

STATISTICS: dict[str, Callable[..., Any]] = {"mean": np.nanmean, "median": np.nanmedian}


def hierarchical_bootstrap(
    table: pd.DataFrame,
    values: Any,
    by: str | None = None,
    *,
    levels: Any = ("animal", "session"),
    statistic: str = "mean",
    n_resamples: int = 4_000,
    level: float = 0.95,
    seed: int | None = None,
) -> xr.Dataset:
    r"""Averages over neurons by area or condition, their differences, and intervals over animals.

    Neurons of one session, and sessions of one animal, are alike. A test that takes them for independent finds effects
    that another animal would not show. Here animals are drawn with replacement, sessions within each animal that was
    drawn, and neurons within each session.

    Parameters
    ----------
    table : DataFrame
        A row per neuron, as of `pool_sessions`.
    values : str or list of str
        Columns of numbers, such as contributions of variables. Neurons with NaN are left out before any are drawn, of
        each column by itself.
    by : str, optional
        Column of groups that are compared, such as the area or the condition of a session.
    levels : str or list of str
        Columns that say what neurons belong to, the largest unit first. Sessions of two animals may have one name.
    statistic : {"mean", "median"}
        Over neurons.
    n_resamples : int
    level : float
        Of the intervals: percentiles of the resamples, further out with fewer animals.
    seed : int, optional
        Of the draws.

    Returns
    -------
    xarray.Dataset
        - ``estimate``, ``standard_error``, ``lower``, ``upper`` (value, group); ``n_neurons`` with a value, and
          ``n_units`` of the largest level, such as animals (value, group).
        - with two groups or more ``difference`` and the same of it (value, pair), the first group less the second; and
          ``p_value``, twice the share of resamples on the other side of 0 (with the +1 rule), taken further out, too.

    Raises
    ------
    TypeError, ValueError
        If a column is not there or not as above, a group has fewer than two of the largest units, or ``by`` is one of
        the values or the largest unit itself.

    Notes
    -----
    Units are drawn together with all their groups, so that areas that were recorded in the same animals are compared
    within animals. Where every unit is of one group, such as a genotype, and of neurons, as many are drawn of each
    group as there are. For a balanced table the variance of the bootstrapped mean is

    .. math:: \frac{\hat v_a}{n_a} + \frac{\hat v_s}{n_a n_s} + \frac{\hat v_n}{n_a n_s n_n} ,

    with the variances (ddof 0) of animals' means, of sessions' means within animals and of neurons within sessions. The
    first is the textbook's squared error of a mean of :math:`n_a` animals but for :math:`(n_a - 1)/n_a`, and
    percentiles are those of a normal distribution where Student's would be right. Hesterberg's expanded percentiles
    make up for both: those at :math:`\Phi(-\sqrt{n/(n - 1)} \, t)`, with the quantile t of :math:`n - 1` degrees of
    freedom, n the number of the largest units; of a difference between units, the smaller number.

    References
    ----------
    Saravanan, Berman & Sober, "Application of the hierarchical bootstrap to multi-level data in neuroscience",
    *Neurons, Behavior, Data Analysis and Theory* 3 (2020). Hesterberg, "What teachers should know about the bootstrap",
    *The American Statistician* 69 (2015).

    Examples
    --------
    >>> import numpy as np, pandas as pd
    >>> import popglm as pg
    >>> rng = np.random.default_rng(0)
    >>> animal = np.repeat(np.arange(6), 40)
    >>> area = np.where(np.arange(240) % 2, "V1", "PPC")
    >>> cue = 0.1 + 0.05 * (area == "PPC") + 0.05 * rng.normal(size=6)[animal] + 0.05 * rng.normal(size=240)
    >>> table = pd.DataFrame({"animal": animal, "area": area, "cue": cue})
    >>> found = pg.hierarchical_bootstrap(table, "cue", by="area", levels="animal", seed=0)
    >>> found["difference"].round(2).item(), bool(found["p_value"] < 0.05), found["pair"].item()
    (0.04, True, 'PPC − V1')
    """
    who = "hierarchical_bootstrap"
    table = check_table(who, table)
    values, levels = check_levels(who, table, "values", values, True), check_levels(who, table, "levels", levels)
    if not isinstance(statistic, str) or statistic not in STATISTICS:
        raise ValueError(f"{who}: statistic={shown(statistic)} must be mean or median.")
    check_count(who, "n_resamples", n_resamples, 10, MOST_DRAWS)
    check_seed(seed, who)
    if not is_number(level) or not 0 < level < 1:
        raise ValueError(f"{who}: level={shown(level)} must be a number between 0 and 1, such as 0.95.")
    group, groups = check_groups(who, table, by, values, levels)
    units = np.column_stack([pd.factorize(table[name])[0] for name in levels])
    _check_units(who, units[:, 0], group, groups, levels[0], by)
    numbers = table[values].to_numpy(float)
    estimate = _by_group(STATISTICS[statistic], numbers, group, len(groups))
    resampled = _resampled(STATISTICS[statistic], numbers, units, group, len(groups), n_resamples, seed)
    return _dataset(estimate, resampled, level, values, groups, _counts(numbers, group, units[:, 0], len(groups)))


def _check_units(who: str, unit: np.ndarray, group: np.ndarray, groups: list[str], name: str, by: str | None) -> None:
    """Complain of groups of which one unit is all that is known."""
    few = [groups[k] for k in range(len(groups)) if len(np.unique(unit[group == k])) < 2]
    if few and by is not None:
        raise ValueError(
            f"{who}: by: of the {len(groups):,} groups in column {by!r}, {listed(map(repr, few))} "
            f"{'has' if len(few) == 1 else 'have'} a single {name!r}, which says nothing of how much these differ; "
            "leave them out, give a column of other groups, or begin levels with a smaller unit."
        )
    if few:
        raise ValueError(
            f"{who}: levels: the table has a single {name!r}, which says nothing of how much these differ; begin with "
            "a smaller level."
        )


def _resampled(
    statistic: Callable[..., Any],
    numbers: np.ndarray,
    units: np.ndarray,
    group: np.ndarray,
    n_groups: int,
    n_resamples: int,
    seed: int | None,
) -> np.ndarray:
    """The statistic of every resample, (n_resamples, n_values, n_groups).

    Values that are known of the same neurons share draws. Neurons without a number are not drawn: units of such neurons
    alone would take the place of units that count.
    """
    found = np.full((n_resamples, numbers.shape[1], n_groups), np.nan)
    patterns, which = np.unique(~np.isnan(numbers), axis=1, return_inverse=True)
    for k, known in enumerate(patterns.T):
        if known.any():
            columns, at = np.flatnonzero(which.ravel() == k), group[known]
            own = numbers[np.ix_(known, columns)]
            # numbered as in a table of these neurons alone, so that the draws are the same
            of_units = np.column_stack([pd.factorize(column)[0] for column in units[known].T])
            draws = _Draws(of_units, at, np.random.default_rng(seed))
            found[:, columns] = [_by_group(statistic, own[rows], at[rows], n_groups) for rows in draws(n_resamples)]
    return found


class _Draws:
    """Rows of resamples: every level is drawn with replacement within the one before.

    A node is a list of strata, each a list of nodes; at the end each is an array of rows. Where the parts of a node are
    of one group each, as neurons are, as many are drawn of every group as there are: else a group whose neurons are
    drawn more often in one animal would differ from the others by what animals differ.
    """

    def __init__(self, units: np.ndarray, group: np.ndarray, rng: np.random.Generator) -> None:
        self.rng, self.group = rng, group
        self.root = self._node(units, np.arange(len(group)))

    def _node(self, units: np.ndarray, rows: np.ndarray) -> list:
        if not units.shape[1]:
            return [rows[self.group[rows] == k] for k in np.unique(self.group[rows])]
        own = [rows[units[rows, 0] == unit] for unit in np.unique(units[rows, 0])]
        kinds = [tuple(np.unique(self.group[part])) for part in own]
        kinds = kinds if all(len(kind) == 1 for kind in kinds) else [()] * len(own)
        return [
            [self._node(units[:, 1:], part) for part, found in zip(own, kinds, strict=True) if found == kind]
            for kind in sorted(set(kinds))
        ]

    def _draw(self, node: list, found: list[np.ndarray]) -> None:
        for stratum in node:
            chosen = self.rng.integers(len(stratum), size=len(stratum))
            if isinstance(stratum, np.ndarray):
                found.append(stratum[chosen])
            else:
                for k in chosen:
                    self._draw(stratum[k], found)

    def __call__(self, n: int) -> Iterator[np.ndarray]:
        for _ in range(n):
            found: list[np.ndarray] = []
            self._draw(self.root, found)
            yield np.concatenate(found)


def _by_group(statistic: Callable[..., Any], numbers: np.ndarray, group: np.ndarray, n_groups: int) -> np.ndarray:
    """The statistic of every value in every group, (n_values, n_groups); NaN where there is none."""
    found = np.full((numbers.shape[1], n_groups), np.nan)
    for k in range(n_groups):
        own = numbers[group == k]
        known = ~np.isnan(own).all(axis=0) if len(own) else np.zeros(numbers.shape[1], bool)
        found[known, k] = statistic(own[:, known], axis=0)
    return found


def _counts(numbers: np.ndarray, group: np.ndarray, unit: np.ndarray, n_groups: int) -> list[np.ndarray]:
    """Neurons, and units, that have a value: (n_values, n_groups) each."""
    known = [~np.isnan(numbers) & (group == k)[:, None] for k in range(n_groups)]
    units = [[len(np.unique(unit[own[:, v]])) for own in known] for v in range(numbers.shape[1])]
    return [np.stack([own.sum(axis=0) for own in known], axis=1), np.array(units)]


def _dataset(
    estimate: np.ndarray, resampled: np.ndarray, level: float, values: list[str], groups: list[str], counts: list
) -> xr.Dataset:
    """Estimates and intervals of groups and of their differences; ``resampled`` (n_resamples, n_values, n_groups)."""
    dims, of_pairs = ("value", "group"), ("value", "pair")
    n_neurons, n_units = counts
    parts = {
        "estimate": (dims, estimate),
        **{name: (dims, one) for name, one in _spread(resampled, n_units, level).items()},
        "n_neurons": (dims, n_neurons),
        "n_units": (dims, n_units),
    }
    pairs = list(combinations(range(len(groups)), 2))
    coords: dict[str, Any] = {"value": values, "group": groups}
    if pairs:
        first, second = (list(side) for side in zip(*pairs, strict=True))
        apart, fewer = resampled[..., first] - resampled[..., second], np.minimum(n_units[:, first], n_units[:, second])
        parts |= {
            "difference": (of_pairs, estimate[:, first] - estimate[:, second]),
            **{f"difference_{name}": (of_pairs, one) for name, one in _spread(apart, fewer, level).items()},
            "p_value": (of_pairs, _p_values(apart, fewer)),
        }
        coords["pair"] = [f"{groups[a]} − {groups[b]}" for a, b in pairs]
    return xr.Dataset(parts, coords=coords, attrs={"level": level, "n_resamples": len(resampled)})


def _spread(resampled: np.ndarray, n_units: np.ndarray, level: float) -> dict[str, np.ndarray]:
    """Standard error and the ends of the interval, over resamples in which there is a value."""
    parts = {name: np.full(n_units.shape, np.nan) for name in ("standard_error", "lower", "upper")}
    for at in np.argwhere((n_units > 1) & ~np.isnan(resampled).all(axis=0)):
        own, n = resampled[:, *at], n_units[*at]
        own = own[~np.isnan(own)]
        tail = stats.norm.cdf(np.sqrt(n / (n - 1)) * stats.t.ppf((1 - level) / 2, n - 1))
        ends = np.quantile(own, [tail, 1 - tail])
        for name, one in zip(parts, (np.std(own, ddof=1), *ends), strict=True):
            parts[name][*at] = one
    return parts


def _p_values(apart: np.ndarray, n_units: np.ndarray) -> np.ndarray:
    """Two-sided p-values of differences (n_resamples, n_values, n_pairs): the level of the interval that ends at 0."""
    n = (~np.isnan(apart)).sum(axis=0)
    side = np.minimum((apart <= 0).sum(axis=0), (apart >= 0).sum(axis=0))
    z = stats.norm.ppf(np.minimum((side + 1) / (n + 1), 0.5))
    units = np.where(n_units > 1, n_units, np.nan)
    return np.where(n > 0, 2 * stats.t.cdf(z * np.sqrt((units - 1) / units), units - 1), np.nan)
