"""The objective of one fit among those whose rows are read together."""

from __future__ import annotations

from typing import Any

import numpy as np

from popglm.solve.objective.evaluation import Evaluation
from popglm.solve.objective.nuisance import Nuisance
from popglm.solve.objective.row_objective import RowObjective
from popglm.solve.passes.free_columns import Projections, project

__all__ = ["FitRows"]


class FitRows:
    """One of the fits of a `RowObjective`, whose columns are the neurons.

    Parameters
    ----------
    rows : RowObjective
    fit : int
    neurons : ndarray of int, shape (n_problems,), optional
        Rows of Y that are the problems, each as often as it is wanted: all unless given. For families without
        parameters, of which every problem has its own.
    """

    def __init__(self, rows: RowObjective, fit: int = 0, neurons: np.ndarray | None = None) -> None:
        self.rows, self.fit = rows, fit
        self.neurons = np.arange(len(rows.Y)) if neurons is None else neurons
        self.by_sums = rows.by_sums[self.columns(np.arange(len(self.neurons)))]
        #: The null models of all rows of Y, where they are known.
        self.null: Evaluation | None = None

    @property
    def nuisance(self) -> Nuisance | None:
        """Parameters of the family in this fit."""
        every, q = self.rows.nuisance, len(self.rows.Y)
        return None if every is None else every.of(slice(self.fit * q, (self.fit + 1) * q))

    def columns(self, neurons: np.ndarray) -> np.ndarray:
        """Columns of `RowObjective` that are problems of this fit."""
        return self.fit * len(self.rows.Y) + self.neurons[neurons]

    def evaluate(self, neurons: np.ndarray, W: np.ndarray, b: np.ndarray) -> Evaluation:
        """See `RowObjective`."""
        return self.rows.evaluate(self.columns(neurons), W, b)

    def of_problems(self, neurons: np.ndarray) -> FitRows:
        """The same fit with ``neurons`` (n_problems,) for its problems."""
        found = FitRows(self.rows, self.fit, self.neurons[neurons])
        found.null = self.null
        return found

    def at_null(self, neurons: np.ndarray, b: np.ndarray) -> Evaluation:
        """Where the weights are 0, from intercepts (n_neurons,)."""
        if self.null is not None:
            return self.null.take(self.neurons[neurons])
        return self.evaluate(neurons, np.zeros((len(neurons), self.rows.X.shape[1])), b)

    def weighted_grams(self, neurons: np.ndarray, W: np.ndarray, b: np.ndarray) -> np.ndarray:
        """See `RowObjective`."""
        return self.rows.weighted_grams(self.columns(neurons), W, b)

    def weighted_variances(self, neurons: np.ndarray, W: np.ndarray, b: np.ndarray) -> np.ndarray:
        """See `RowObjective`."""
        return self.rows.weighted_variances(self.columns(neurons), W, b)

    def project(self, neurons: np.ndarray, *point: Any) -> Projections:
        """See `popglm.solve.passes.free_columns.project`."""
        return project(self.rows, self.fit, self.neurons[neurons], *point)

    def derivatives(self, neuron: int, w: np.ndarray, b: float) -> tuple[np.ndarray, np.ndarray]:
        """See `RowObjective`."""
        return self.rows.derivatives(int(self.columns(np.array([neuron]))[0]), w, b)

    def sampled_gradient(
        self, neurons: np.ndarray, W: np.ndarray, b: np.ndarray, size: int | None, rng: np.random.Generator
    ) -> Evaluation:
        """See `RowObjective`."""
        return self.rows.sampled_gradient(self.columns(neurons), W, b, size, rng)
