"""What a fit of a population leaves behind, in the user's columns; batches of neurons put together."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from itertools import zip_longest
from typing import Any

import numpy as np

from popglm.solve.passes.coordinates import Coordinates
from popglm.solve.snapshot import Outcome, State, inside
from popglm.solve.units import Units
from popglm.solve.walk.path import Path
from popglm.statistics.penalties import inward

__all__ = ["PopulationFit", "collect", "merge"]


@dataclass
class PopulationFit(Outcome):
    """Coefficients in the user's columns; axes: (fold,) strength, neuron, feature, or parameter of the family.

    ``n_fitted`` (n_neurons,) says how many strengths count. ``bare`` has the fits of the columns that are never
    penalised alone, at one strength, where there are any.
    """

    coef: np.ndarray
    intercept: np.ndarray
    gap: np.ndarray
    n_iter: np.ndarray
    objective: np.ndarray
    lambdas: np.ndarray
    fittable: np.ndarray
    cv_coef: np.ndarray
    cv_intercept: np.ndarray
    cv_gap: np.ndarray
    cv_n_iter: np.ndarray
    cv_deviance: np.ndarray
    cv_fittable: np.ndarray
    n_fitted: np.ndarray
    parameters: np.ndarray
    cv_parameters: np.ndarray
    trace: list[list[float]] = field(default_factory=list)
    seconds: dict[str, float] = field(default_factory=dict)
    bare: PopulationFit | None = None

    @classmethod
    def of(cls, state: State) -> PopulationFit:
        """See `popglm.solve.snapshot.Outcome`."""
        found, bare = super().of(state), inside("bare", state)
        if bare:
            found.bare = cls.of(bare)
        return found

    def widened(self, columns: np.ndarray) -> PopulationFit:
        """The same fits with a weight of 0 for all but ``columns`` (n_features,), which they have."""
        for name in ("coef", "cv_coef"):
            narrow = getattr(self, name)
            wide = np.zeros((*narrow.shape[:-1], len(columns)), narrow.dtype)
            wide[..., columns] = narrow
            setattr(self, name, wide)
        return self

    def translate(self, units: Units, offset: float, weight: float, powers: Sequence[float]) -> None:
        """From ``units`` to those of the recording, whose offset and weights were centred and scaled.

        ``powers`` are those of the activity's unit that the parameters of its family have.
        """
        for coef, intercept in ((self.coef, self.intercept), (self.cv_coef, self.cv_intercept)):
            coef *= units.weight[:, None].astype(coef.dtype)
            intercept *= units.weight
            intercept += units.intercept - offset
        if powers:
            for parameters in (self.parameters, self.cv_parameters):
                parameters *= units.size[:, None] ** np.array(powers)
        self.lambdas = self.lambdas * units.strength
        self.cv_deviance *= units.loss * weight

    def in_columns(self, unit: np.ndarray, center: np.ndarray) -> None:
        """From columns divided by ``unit`` (n_features,) to the user's, whose means are ``center``.

        The intercepts stay those of the rounded coefficients.
        """
        for coef, intercept in ((self.coef, self.intercept), (self.cv_coef, self.cv_intercept)):
            before = coef.astype(float) @ (center / unit)
            coef /= unit.astype(coef.dtype)
            intercept += before - coef.astype(float) @ center

    def keep_within(self, bounds: np.ndarray, center: np.ndarray) -> None:
        """Take back what the way to the user's columns has rounded beyond bounds (2, n_features); see `in_columns`."""
        for coef, intercept in ((self.coef, self.intercept), (self.cv_coef, self.cv_intercept)):
            before = coef.astype(float)
            np.clip(coef, *inward(bounds, coef.dtype).astype(coef.dtype), out=coef)
            intercept += (before - coef) @ center

    def cut(self, n_fitted: np.ndarray) -> None:
        """Forget what lies beyond the first ``n_fitted`` (n_neurons,) strengths, as if neurons had stopped there."""
        self.n_fitted = n_fitted
        for j in np.flatnonzero(n_fitted < len(self.lambdas)):
            n = n_fitted[j]
            paths = self.coef, self.intercept, self.parameters, *self.cv_coef, *self.cv_intercept, *self.cv_parameters
            for weights in paths:
                weights[n:, j] = weights[n - 1, j]
            for count in (self.n_iter, *self.cv_n_iter):
                count[n:, j] = 0
            for certified in (self.gap, self.objective, *self.cv_gap, *self.cv_deviance):
                certified[n:, j] = np.nan


def collect(
    full: Path | None,
    fold_paths: list[Path],
    coordinates: Sequence[Coordinates],
    lambdas: np.ndarray,
    fittable: np.ndarray,
    cv_fittable: np.ndarray,
) -> PopulationFit:
    """Paths in the user's columns, held-out deviance still 0.

    Parameters
    ----------
    coordinates : list of Coordinates
        Of the fit to all rows, then of each fold.
    cv_fittable : ndarray of bool, shape (n_folds, n_neurons)
    """
    paths = [full, *fold_paths]
    n_lambdas, q = lambdas.shape
    p = len(coordinates[0].center)
    coef = np.zeros((len(paths), n_lambdas, q, p), fold_paths[0].W.dtype if full is None else full.W.dtype)
    intercept, gap, objective = (np.full((len(paths), n_lambdas, q), np.nan) for _ in range(3))
    n_iter = np.zeros((len(paths), n_lambdas, q), int)
    parameters = np.zeros((len(paths), n_lambdas, q, max(path.parameters.shape[2] for path in paths if path)))
    seconds: dict[str, float] = {}

    def put(i: int, k: int) -> None:
        path = fitted[i]
        coef[i, k], intercept[i, k] = coordinates[i].weights(path.W[k].astype(np.float64), path.b[k], coef.dtype)

    fitted = {i: path for i, path in enumerate(paths) if path is not None}
    coordinates[0].engine.map(put, [(i, k) for i in fitted for k in range(n_lambdas)])
    for i, path in fitted.items():
        gap[i], n_iter[i], objective[i] = path.gap, path.n_iter, path.objective
        parameters[i] = path.parameters
        for name, value in path.seconds.items():
            seconds[name] = seconds.get(name, 0.0) + value
    cv_fittable = cv_fittable.reshape(len(fold_paths), q)
    return PopulationFit(
        coef[0], intercept[0], gap[0], n_iter[0], objective[0], lambdas, fittable,
        coef[1:], intercept[1:], gap[1:], n_iter[1:], np.zeros((len(fold_paths), n_lambdas, q)), cv_fittable,
        np.full(q, n_lambdas), parameters[0], parameters[1:], [] if full is None else full.trace, seconds,
    )  # fmt: skip


#: Position of the neuron axis in every array of a `PopulationFit`.
_NEURON_AXIS = {
    "coef": 1, "intercept": 1, "gap": 1, "n_iter": 1, "objective": 1, "lambdas": 1, "fittable": 0, "n_fitted": 0,
    "parameters": 1, "cv_parameters": 2,
    "cv_coef": 2, "cv_intercept": 2, "cv_gap": 2, "cv_n_iter": 2, "cv_deviance": 2, "cv_fittable": 1,
}  # fmt: skip


def merge(
    into: PopulationFit | None, part: PopulationFit, neurons: np.ndarray, wanted: np.ndarray, q: int
) -> PopulationFit:
    """Write what a batch of neurons found into the result for all ``q``.

    Parameters
    ----------
    neurons : ndarray of int, shape (n_own,)
        Those of the batch.
    wanted : ndarray of bool, shape (1 + n_folds, n_own)
        Which of them it has fitted to all rows and to each fold's training rows.
    """
    arrays: dict[str, Any] = {}
    for name, axis in _NEURON_AXIS.items():
        source = getattr(part, name)
        shape = list(source.shape)
        shape[axis] = q
        target = np.zeros(shape, source.dtype) if into is None else getattr(into, name)
        if name.startswith("cv_"):
            for new, old, own in zip(target, source, wanted[1:], strict=True):
                np.moveaxis(new, axis - 1, 0)[neurons[own]] = np.moveaxis(old, axis - 1, 0)[own]
        else:
            np.moveaxis(target, axis, 0)[neurons[wanted[0]]] = np.moveaxis(source, axis, 0)[wanted[0]]
        arrays[name] = target
    seconds = dict(into.seconds) if into is not None else {}
    for name, value in part.seconds.items():
        seconds[name] = seconds.get(name, 0.0) + value
    trace = _add_traces(into.trace if into is not None else [], part.trace)
    return PopulationFit(**arrays, trace=trace, seconds=seconds)


def _add_traces(first: list[list[float]], second: list[list[float]]) -> list[list[float]]:
    """Sum over the neurons of two batches, the shorter one resting at its last value."""
    added = []
    for a, b in zip_longest(first, second, fillvalue=[0.0]):
        length = max(len(a), len(b))
        added.append([x + y for x, y in zip(*(t + t[-1:] * (length - len(t)) for t in (a, b)), strict=True)])
    return added
