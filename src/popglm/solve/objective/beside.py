"""Where points are evaluated: what estimates and intercepts need of the predictors there.

`BesideSamples` asks every sample, in any library and wherever rows lie. `BesideNodes` asks `Nodes`.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np

from popglm.statistics.families import Family, Samples
from popglm.statistics.families.elementary import row_totals
from popglm.statistics.nodes import Nodes

__all__ = ["BesideNodes", "BesideSamples"]


class BesideSamples:
    """Columns of an objective with the predictors that its sums keep.

    Parameters
    ----------
    objective : RowObjective
    columns : ndarray of int, shape (n_columns,)
    batches, etas
        What the sums made of the columns, and their predictors less the intercepts.
    """

    def __init__(self, objective: Any, columns: np.ndarray, batches: Any, etas: Any) -> None:
        self.objective, self.columns, self.batches, self.etas = objective, columns, batches, etas
        self._parts: list[_Predictors] | None = None

    def intercepts(self, some: np.ndarray, b: np.ndarray) -> np.ndarray:
        """The best intercepts of ``some`` columns at their parameters, beside those of others."""
        objective, rows = self.objective, self.objective.rows
        if objective.nuisance is not None:
            rows.with_parameters(self.batches, objective.nuisance.values[self.columns])
        if not (objective.fit_intercept and len(some)):
            return b
        moving = np.isin(np.arange(len(b)), some)
        lowest = rows.floors(self.batches, self.etas, len(b)) if objective.loss.has_barrier else None

        def sums(b: np.ndarray, moving: np.ndarray) -> list[Any]:
            return rows.intercepts(self.batches, self.etas, b, moving)

        return objective.best_intercept(self.columns, sums, b, moving, lowest)

    def estimate(self, some: np.ndarray, b: np.ndarray) -> np.ndarray:
        """Take the best parameters of ``some`` columns, beside intercepts of all; returns those that still move."""
        objective, moves = self.objective, np.zeros(len(b), bool)

        def part(own: _Predictors) -> None:
            which = np.flatnonzero(np.isin(own.at, some))
            at, samples = own.at[which], own.samples(which, b)
            fit_intercept = objective.fit_intercept
            moves[at] = objective.nuisance.estimate(objective.loss, self.columns[at], samples, fit_intercept)

        self._map(part, some)
        return np.flatnonzero(moves)

    def levels(self, some: np.ndarray, b: np.ndarray) -> None:
        """Bring the saturated values of ``some`` columns up to date."""
        objective = self.objective

        def part(own: _Predictors) -> None:
            samples = own.samples(np.arange(len(own.at)), b)
            objective.nuisance.take_levels(objective.loss, self.columns[own.at], samples)

        self._map(part, some)

    def _map(self, function: Callable[[_Predictors], None], some: np.ndarray) -> None:
        """``function`` of the columns that were asked for first, part by part, where a part has ``some``."""
        engine = self.objective.engine
        if self._parts is None:
            fits = self.columns // len(self.objective.Y)
            places = {fit: np.flatnonzero(fits == fit) for fit in np.unique(fits).tolist()}
            self._parts = [
                self._predictors(fit, own, at)
                for fit, own in places.items()
                for at in np.array_split(own[np.isin(own, some)], engine.n_workers)
                if len(at)
            ]
        engine.map(function, [(own,) for own in self._parts if np.isin(own.at, some).any()])

    def _predictors(self, fit: int, places: np.ndarray, at: np.ndarray) -> _Predictors:
        own = self.objective.rows.predictors(self.etas, fit, np.searchsorted(places, at))
        return _Predictors(self.objective, at, self.columns[at] % len(self.objective.Y), own)


@dataclass
class _Predictors:
    """Samples of some columns of one fit, with their predictors less the intercepts, in the windows that count.

    Attributes
    ----------
    objective : RowObjective
    at : ndarray of int, shape (n_columns,)
        Positions of the columns among those that are evaluated.
    neurons : ndarray of int, shape (n_columns,)
        Their rows of Y.
    windows : list of ((first, last), eta)
    """

    objective: Any
    at: np.ndarray
    neurons: np.ndarray
    windows: list[tuple[tuple[int, int], np.ndarray]]

    def samples(self, some: np.ndarray, b: np.ndarray) -> Samples:
        """Those of some columns, by their numbers here, at intercepts (n_columns,) of all that are evaluated."""
        Y, weights = self.objective.Y, self.objective.weights

        def of(which: np.ndarray) -> Iterator[tuple[np.ndarray, np.ndarray, np.ndarray]]:
            own = some[which]
            neurons, intercept = self.neurons[own], b[self.at[own], None]
            for (first, last), eta in self.windows:
                y = Y[neurons, first:last].astype(float)
                s = np.ones(last - first)
                if weights is not None:
                    s = (weights if weights.ndim == 1 else weights[neurons])[..., first:last].astype(float)
                yield y, np.broadcast_to(s, y.shape), eta[own] + intercept

        return of


class BesideNodes:
    """Columns of an objective with nodes in the place of their samples.

    Parameters
    ----------
    objective : RowObjective
    columns : ndarray of int, shape (n_columns,)
    nodes : Nodes
        At predictors less the intercepts.
    """

    def __init__(self, objective: Any, columns: np.ndarray, nodes: Nodes) -> None:
        self.objective, self.columns, self.nodes = objective, columns, nodes
        self._responses: tuple[np.ndarray, np.ndarray] | None = None

    def intercepts(self, some: np.ndarray, b: np.ndarray) -> np.ndarray:
        """See `BesideSamples`."""
        if not (self.objective.fit_intercept and len(some)):
            return b
        columns, nodes = self.columns[some], self.nodes.take(some)

        def sums(b: np.ndarray, moving: np.ndarray) -> tuple[np.ndarray, ...]:
            if moving.all():
                return nodes.moved(b).derivatives(self._loss(columns))
            own, found = np.flatnonzero(moving), np.zeros((3, len(b)))
            found[:, own] = nodes.take(own).moved(b[own]).derivatives(self._loss(columns[own]))
            return tuple(found)

        found = b.copy()
        found[some] = self.objective.best_intercept(columns, sums, b[some])
        return found

    def estimate(self, some: np.ndarray, b: np.ndarray) -> np.ndarray:
        """See `BesideSamples`."""
        nuisance, nodes = self.objective.nuisance, self.nodes.take(some).moved(b[some])
        y, s = self.responses
        return some[nuisance.estimate_at_nodes(self.objective.loss, self.columns[some], nodes, (y[some], s[some]))]

    def levels(self, some: np.ndarray, b: np.ndarray) -> None:
        """See `BesideSamples`."""
        y, s = self.responses

        def samples(which: np.ndarray) -> Iterator[tuple[np.ndarray, np.ndarray, np.ndarray]]:
            own = some[which]
            yield y[own], s[own], np.zeros((len(own), 1))

        self.objective.nuisance.take_levels(self.objective.loss, self.columns[some], samples)

    def losses(self, b: np.ndarray) -> np.ndarray:
        """Sums of the loss above the saturated model's, shape (n_columns,)."""
        objective, loss = self.objective, self._loss(self.columns)
        value = self.nodes.moved(b).loss(loss)
        if objective.nuisance is None:
            return value - objective.total[self.columns] * objective.floor[self.columns]
        y, s = self.responses
        return value - row_totals(s * loss.saturated(y))

    @property
    def responses(self) -> tuple[np.ndarray, np.ndarray]:
        """As `DistinctResponses` has them."""
        if self._responses is None:
            self._responses = self.objective.distinct.of(self.columns)
        return self._responses

    def _loss(self, columns: np.ndarray) -> Family:
        """The loss at the parameters of some columns."""
        nuisance = self.objective.nuisance
        return self.objective.loss.at(None if nuisance is None else nuisance.values[columns])
