"""The path that a fit leaves behind."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from popglm.solve.snapshot import Outcome
from popglm.solve.walk.problems import Problems

__all__ = ["Path", "empty_path"]


@dataclass
class Path(Outcome):
    """What fits leave behind, in solver coordinates; first axis: strengths.

    Attributes
    ----------
    W : ndarray, shape (n_lambdas, n_columns, n_features)
    b, gap, objective : ndarray, shape (n_lambdas, n_columns)
        Intercept, or those of all classes along another axis; certificate relative to the null deviance; penalised
        objective.
    parameters : ndarray, shape (n_lambdas, n_columns, n_parameters)
        Of the family.
    n_iter : ndarray of int, shape (n_lambdas, n_columns)
        Evaluations of loss and gradient (one pair of matrix products each).
    seconds : dict
        Time by phase.
    trace : list of list of float
        For every strength, the objective summed over the columns, at the start and after every iteration.
    """

    W: np.ndarray
    b: np.ndarray
    gap: np.ndarray
    objective: np.ndarray
    parameters: np.ndarray
    n_iter: np.ndarray
    seconds: dict[str, float] = field(default_factory=lambda: {"blocks": 0.0, "evaluate": 0.0})
    trace: list[list[float]] = field(default_factory=list)

    def record(self, fit: Problems, level: np.ndarray, columns: np.ndarray, lam: np.ndarray) -> None:
        """Keep the points of some columns at the strengths ``level``."""
        self.W[level, columns], self.b[level, columns] = fit.weights(columns), fit.at.b[columns]
        self.objective[level, columns] = fit.reported(columns, fit.value(columns, lam))
        self.parameters[level, columns] = fit.parameters[columns]

    @classmethod
    def empty(cls, n_lambdas: int, b: np.ndarray, parameters: np.ndarray, n_features: int, dtype: Any) -> Path:
        """Room for a path of columns that stand at weights 0, and these intercepts and parameters."""
        shape = n_lambdas, len(b)
        gap, objective = np.zeros(shape), np.zeros(shape)
        own = np.tile(parameters, (n_lambdas, 1, 1))
        W = np.zeros((*shape, n_features), dtype)
        return cls(W, np.tile(b, (n_lambdas, *[1] * b.ndim)), gap, objective, own, np.zeros(shape, int))

    def split(self, n_fits: int) -> list[Path]:
        """The paths of as many columns each, in the same memory, without traces; the first has the times of all."""
        names = ("W", "b", "gap", "objective", "parameters", "n_iter")
        parts = zip(*(np.split(getattr(self, name), n_fits, axis=1) for name in names), strict=True)
        found = [Path(*arrays) for arrays in parts]
        found[0].seconds = self.seconds
        return found

    def put(self, other: Path, columns: np.ndarray) -> None:
        """Take the path of some columns from one that has these alone."""
        for name in ("W", "b", "gap", "objective", "parameters", "n_iter"):
            getattr(self, name)[:, columns] = getattr(other, name)
        self.seconds, self.trace = other.seconds, other.trace

    @contextmanager
    def timed(self, phase: str) -> Iterator[None]:
        """Add the time of what is done inside to a phase."""
        began = time.perf_counter()
        yield
        self.seconds[phase] += time.perf_counter() - began


def empty_path(fit: Problems, n_lambdas: int) -> Path:
    """Room for ``n_lambdas`` strengths; problems that are not fitted are at the null model already."""
    return Path.empty(n_lambdas, fit.at.b, fit.parameters, fit.n_features, fit.model.engine.dtype)
