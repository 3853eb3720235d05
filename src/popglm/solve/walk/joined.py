"""Several fits as one: their problems walk in one batch, so that a round of few problems is not one for each fit.

Nothing of a fit depends on the others all the same. What is done to arrays is done row by row; what belongs to a fit,
its coordinates, its Gram matrix and the rows that it counts, each problem has from its own.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np

from popglm.solve.curvature.local_model import parts_of_fits
from popglm.solve.local_models.rotated import RotatedObjective
from popglm.solve.objective.evaluation import Evaluation, GramObjective
from popglm.solve.objective.nuisance import Nuisance
from popglm.solve.passes.free_columns import Projections
from popglm.solve.walk.fit import Fit
from popglm.statistics.penalties import Penalty

__all__ = ["join"]


def join(fits: Sequence[Fit]) -> list[Fit]:
    """The fits as one, at their null models, or as they are where each has a penalty in coordinates of its own."""
    first = fits[0]
    over_rows = isinstance(first.objective, RotatedObjective)
    alike = len({id(fit.objective.objective.rows) for fit in fits} if over_rows else "") <= 1
    if len(fits) == 1 or first.model.diagonal or first.model.penalty.R is not None or not alike:
        return list(fits)
    q = len(first.W)
    objective = (JoinedRows if over_rows else JoinedGrams)([fit.objective for fit in fits])
    penalty = first.model.penalty.joined([fit.model.penalty for fit in fits])
    for fit in fits:
        fit.model.penalty = penalty
    arrays: dict[str, Any] = {
        name: np.concatenate([getattr(fit, name) for fit in fits])
        for name in ("scale", "magnitude", "unit", "level", "damping", "n_samples", "W")
    }
    return [Fit(
        loss=first.loss, objective=objective, model=first.model, models=[fit.model for fit in fits],
        fittable=np.concatenate([fit.fittable + i * q for i, fit in enumerate(fits)]),
        at=Evaluation.join([fit.at for fit in fits]),
        memory=first.model.memory(len(fits) * q, first.memory.pairs.S.shape[1]),
        **arrays,
    )]  # fmt: skip


class _Joined:
    """Objectives of several fits; problem i·q + j is problem j of fit i."""

    def __init__(self, parts: Sequence[Any], size: int) -> None:
        self.parts, self.size = parts, size

    def of_fits(self, problems: np.ndarray) -> Iterator[tuple[Any, slice]]:
        """The objective of every fit, and where its own are among some problems, which ascend."""
        return parts_of_fits(self.parts, self.size, problems)

    def of_one(self, problems: np.ndarray) -> tuple[Any, np.ndarray]:
        """The objective of the fit that some problems are of, and their numbers there."""
        return self.parts[int(problems[0]) // self.size], problems % self.size


class JoinedRows(_Joined):
    """`RotatedObjective` of several fits to rows that are read together."""

    def __init__(self, parts: Sequence[RotatedObjective]) -> None:
        of_rows = [part.objective for part in parts]
        super().__init__(parts, len(of_rows[0].neurons))
        self.rows = of_rows[0].rows
        self.columns = np.concatenate([own.columns(np.arange(self.size)) for own in of_rows])
        self.by_sums = np.concatenate([own.by_sums for own in of_rows])

    @property
    def nuisance(self) -> Nuisance | None:
        """Parameters of the family, where it has some: then the problems are neighbours among those of the rows."""
        every = self.rows.nuisance
        return None if every is None else every.of(slice(self.columns[0], self.columns[-1] + 1))

    def evaluate(self, problems: np.ndarray, W: np.ndarray, b: np.ndarray) -> Evaluation:
        """See `RowObjective`."""
        parts, X = list(self.of_fits(problems)), np.empty_like(W)
        for own, at in parts:
            X[at] = own.coordinates.unrotate(W[at])
        found = self.rows.evaluate(self.columns[problems], X, b)
        for own, at in parts:
            own.coordinates.rotate(found.grad[at])
        return found

    def weighted_grams(self, problems: np.ndarray, W: np.ndarray, b: np.ndarray) -> np.ndarray:
        """See `RowObjective`; the problems are of one fit."""
        own, neurons = self.of_one(problems)
        return own.weighted_grams(neurons, W, b)

    def project(
        self, problems: np.ndarray, W: np.ndarray, b: np.ndarray, grad: np.ndarray, penalty: Penalty
    ) -> Projections:
        """See `popglm.solve.passes.free_columns.project`; the problems are of one fit."""
        own, neurons = self.of_one(problems)
        return own.project(neurons, W, b, grad, penalty)

    def derivatives(self, problem: int, w: np.ndarray, b: float) -> tuple[np.ndarray, np.ndarray]:
        """See `RowObjective`."""
        own, (neuron,) = self.of_one(np.array([problem]))
        return own.derivatives(int(neuron), w, b)


class JoinedGrams(_Joined, GramObjective):
    """`GramObjective` of several fits."""

    def __init__(self, parts: Sequence[GramObjective]) -> None:
        _Joined.__init__(self, parts, len(parts[0].C))
        C, y_variance, y_mean = (
            np.concatenate([getattr(part, name) for part in parts]) for name in ("C", "y_variance", "y_mean")
        )
        GramObjective.__init__(self, parts[0].engine, parts[0].G, C, y_variance, y_mean)

    def times_G(self, problems: np.ndarray, W: np.ndarray) -> np.ndarray:
        """See `GramObjective`."""
        found = np.empty_like(W)
        for part, at in self.of_fits(problems):
            found[at] = part.times_G(problems[at], W[at])
        return found
