"""The objective of one fit among those whose rows are read together."""

from __future__ import annotations

from typing import Any

import numpy as np

from popglm.solve.evaluation import Evaluation
from popglm.solve.free_columns import Projections, project
from popglm.solve.nuisance import Nuisance
from popglm.solve.objective import RowObjective

__all__ = ["FitRows"]


class FitRows:
    """One of the fits of a `RowObjective`, whose columns are the neurons.

    Parameters
    ----------
    rows : RowObjective
    fit : int
    """

    def __init__(self, rows: RowObjective, fit: int = 0) -> None:
        self.rows, self.fit = rows, fit
        self.by_sums = rows.by_sums[self.columns(np.arange(len(rows.Y)))]

    @property
    def nuisance(self) -> Nuisance | None:
        """Parameters of the family in this fit."""
        every, q = self.rows.nuisance, len(self.rows.Y)
        return None if every is None else every.of(slice(self.fit * q, (self.fit + 1) * q))

    def columns(self, neurons: np.ndarray) -> np.ndarray:
        """Columns of `RowObjective` that are neurons of this fit."""
        return self.fit * len(self.rows.Y) + neurons

    def evaluate(self, neurons: np.ndarray, W: np.ndarray, b: np.ndarray) -> Evaluation:
        """See `RowObjective`."""
        return self.rows.evaluate(self.columns(neurons), W, b)

    def weighted_grams(self, neurons: np.ndarray, W: np.ndarray, b: np.ndarray) -> np.ndarray:
        """See `RowObjective`."""
        return self.rows.weighted_grams(self.columns(neurons), W, b)

    def weighted_variances(self, neurons: np.ndarray, W: np.ndarray, b: np.ndarray) -> np.ndarray:
        """See `RowObjective`."""
        return self.rows.weighted_variances(self.columns(neurons), W, b)

    def project(self, neurons: np.ndarray, *point: Any) -> Projections:
        """See `popglm.solve.free_columns.project`."""
        return project(self.rows, self.fit, neurons, *point)

    def derivatives(self, neuron: int, w: np.ndarray, b: float) -> tuple[np.ndarray, np.ndarray]:
        """See `RowObjective`."""
        return self.rows.derivatives(int(self.columns(np.array([neuron]))[0]), w, b)

    def sampled_gradient(
        self, neurons: np.ndarray, W: np.ndarray, b: np.ndarray, size: int | None, rng: np.random.Generator
    ) -> Evaluation:
        """See `RowObjective`."""
        return self.rows.sampled_gradient(self.columns(neurons), W, b, size, rng)
