"""The nuisance parameters of a family in the problems of some fits, and their estimates between strengths."""

from __future__ import annotations

from dataclasses import dataclass, fields
from typing import Any

import numpy as np

from popglm.solve.snapshot import Resumable
from popglm.statistics.families import Family, Samples, Units
from popglm.statistics.nodes import Nodes
from popglm.statistics.nuisance import estimate_at_nodes, estimate_parameters, mean_levels
from popglm.statistics.responses import ResponseSums

__all__ = ["Nuisance", "renew_parameters"]

#: Estimates at a point, each with the best intercept beside the last, at most; and the relative change that ends them.
ROUNDS, SETTLED = 10, 1e-7
#: Where an estimate changes by more than the first share of what the last one at this strength did, a parameter goes on
#: to where a geometric series of changes ends (Aitken 1926), by as many of them as the second number at most. Without,
#: strengths that let much in would take dozens of estimates, and others of their kind more.
SLOW, FURTHEST = 0.2, 30.0


@dataclass
class Nuisance(Resumable):
    """Parameters of the family, for the problems of one fit or of several, one after the other.

    A problem that is due gets new ones where it is evaluated next: there its predictors are at hand.

    Attributes
    ----------
    values : ndarray, shape (n_problems, n_parameters)
        In the units in which problems are fitted.
    level : ndarray, shape (n_problems,)
        Mean loss of the saturated model, as in `Units.saturated`.
    due : ndarray of bool, shape (n_problems,)
    change : ndarray, shape (n_problems, n_parameters)
        By the last estimate at this strength, NaN where there was none to compare with the next.
    low, high : ndarray, shape (n_problems, n_parameters)
        Values from which estimates at this strength went up, and down: what it ends at lies between them.
    exact : ndarray of bool, shape (n_problems,)
        Whether the values are estimates, and not ahead of them.
    units : Units or None
        Of the problems.
    """

    values: np.ndarray
    level: np.ndarray
    due: np.ndarray
    change: np.ndarray
    low: np.ndarray
    high: np.ndarray
    exact: np.ndarray
    units: Units | None

    @classmethod
    def of_null_models(cls, sums: ResponseSums, units: Units | None) -> Nuisance:
        """Those of null models; ``units`` are of the neurons, of which every fit has all."""
        n = len(sums.n)
        level = (units or Units.plain(n)).saturated(sums)
        if units is not None:
            units = units.take(np.arange(n) % len(units.size))
        values = sums.parameters.copy()
        change, low, high = (np.full(values.shape, np.nan) for _ in range(3))
        return cls(values, level, np.zeros(n, bool), change, low, high, np.ones(n, bool), units)

    def of(self, problems: slice) -> Nuisance:
        """Those of some problems, in the same memory."""
        units = None if self.units is None else self.units.take(np.arange(len(self.due))[problems])
        arrays: Any = {f.name: getattr(self, f.name)[problems] for f in fields(Nuisance) if f.name != "units"}
        return Nuisance(**arrays, units=units)

    def forget(self, problems: np.ndarray) -> None:
        """Compare the next estimates of problems that come to another strength with none before."""
        for own in (self.change, self.low, self.high):
            own[problems] = np.nan

    def estimate(
        self,
        loss: Family,
        problems: np.ndarray,
        samples: Samples,
        with_intercept: bool,
    ) -> np.ndarray:
        """Take the best parameters of some problems beside the predictors of their samples; returns who still moves."""
        units = None if self.units is None else self.units.take(problems)
        return self._take(problems, estimate_parameters(loss, samples, self.values[problems], units, with_intercept))

    def estimate_at_nodes(
        self, loss: Family, problems: np.ndarray, nodes: Nodes, responses: tuple[np.ndarray, np.ndarray]
    ) -> np.ndarray:
        """The same beside `Nodes`, of responses and weights as `DistinctResponses` has them."""
        units = None if self.units is None else self.units.take(problems)
        return self._take(problems, estimate_at_nodes(loss, nodes, responses, self.values[problems], units))

    def _take(self, problems: np.ndarray, found: np.ndarray) -> np.ndarray:
        """Take estimates of some problems where they are finite; returns who still moves."""
        before = self.values[problems]
        self.values[problems] = np.where(np.isfinite(found), found, before)
        return ~np.isclose(self.values[problems], before, rtol=SETTLED, atol=0).all(axis=1)

    def go_ahead(self, loss: Family, problems: np.ndarray, before: np.ndarray) -> np.ndarray:
        """Go on from the estimates of some problems where these change slowly; returns who did.

        ``before`` (n, n_parameters) is what they had at their last points.
        """
        found = self.values[problems]
        change = found - before
        low = np.where(change > 0, np.fmax(self.low[problems], before), self.low[problems])
        high = np.where(change < 0, np.fmin(self.high[problems], before), self.high[problems])
        self.low[problems], self.high[problems] = low, high
        with np.errstate(divide="ignore", invalid="ignore"):
            ratio = change / self.change[problems]
            slow = (ratio > SLOW) & (ratio < 1)
            ahead = found + change * np.minimum(np.where(slow, ratio / (1 - ratio), 0), FURTHEST)
        least, most = np.array([own.range for own in loss.parameters]).T
        low, high = np.fmax(low, least), np.fmin(high, most)
        # half the way to what is too far
        ahead = np.where(ahead <= low, (found + low) / 2, np.where(ahead >= high, (found + high) / 2, ahead))
        self.values[problems] = np.where(slow, ahead, found)
        # after each of these an estimate as it is
        self.change[problems] = np.where(slow.any(axis=1, keepdims=True), np.nan, change)
        self.exact[problems] = ~slow.any(axis=1)
        return slow.any(axis=1)

    def take_levels(self, loss: Family, problems: np.ndarray, samples: Samples) -> None:
        """Bring the saturated values of some problems up to date."""
        units = None if self.units is None else self.units.take(problems)
        self.level[problems] = mean_levels(loss, samples, self.values[problems], units).sum(axis=0)


def renew_parameters(objective: Any, columns: np.ndarray, beside: Any, b: np.ndarray) -> np.ndarray:
    """Estimate the parameters of columns that are due, each with the best intercept beside them; returns intercepts.

    Parameters
    ----------
    objective : RowObjective
    columns : ndarray of int, shape (n_columns,)
    beside : BesideSamples or BesideNodes
        Where they are; its parameters are brought up to date.
    b : ndarray, shape (n_columns,)
    """
    nuisance = objective.nuisance
    # a batch of a fixed shape may have columns more than once
    first = np.isin(np.arange(len(columns)), np.unique(columns, return_index=True)[1])
    due = np.flatnonzero(nuisance.due[columns] & first)
    before, moving = nuisance.values[columns], due
    nuisance.due[columns] = False
    for _ in range(ROUNDS):
        moving = beside.estimate(moving, b)
        if not (objective.fit_intercept and len(moving)):
            break
        b = beside.intercepts(moving, b)
    ahead = due[nuisance.go_ahead(objective.loss, columns[due], before[due])]
    b = beside.intercepts(ahead, b)
    beside.levels(due, b)
    return b
