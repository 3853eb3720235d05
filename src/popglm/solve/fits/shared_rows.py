"""The rows of fits, and what they say of the responses, for one cohort or for several that differ in their columns."""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np

from popglm.engines.protocol import Engine
from popglm.solve.objective.evaluation import Evaluation
from popglm.solve.objective.fit_rows import FitRows
from popglm.solve.objective.row_objective import RowObjective
from popglm.solve.passes.samples import Rows
from popglm.solve.settings import Settings
from popglm.solve.walk.fit import MAX_PROBLEMS
from popglm.solve.walk.problems import at_rest
from popglm.statistics.responses import ResponseSums, sums_of_parts

__all__ = ["RowsOfProblems", "SharedRows", "objectives", "sums_of"]


@dataclass(eq=False)
class SharedRows:
    """The rows of several `RowFits`, whose problems are neurons of these in any number.

    Attributes
    ----------
    parts : list of Rows
        Of the fit to all rows, and of every fold's training rows.
    tested : list of Rows
        Those that folds hold out.
    sums : list of ResponseSums
        Of the parts.
    most : int
        Problems of a fit that are evaluated together, at most.
    """

    engine: Engine
    settings: Settings
    parts: list[Rows]
    tested: list[Rows]
    most: int
    sums: list[ResponseSums] = field(init=False)
    _objectives: dict[tuple[int, ...], list[FitRows]] = field(init=False, default_factory=dict)

    def __post_init__(self) -> None:
        self.sums = sums_of(self.settings, self.parts)

    def objectives(self, fits: list[int]) -> list[FitRows]:
        """The objectives of some fits to all neurons."""
        if tuple(fits) not in self._objectives:
            self._objectives[tuple(fits)] = self._made(fits)
        return self._objectives[tuple(fits)]

    def _made(self, fits: list[int]) -> list[FitRows]:
        """The objectives of some fits to all neurons, each with its null models."""
        made = objectives(self.engine, self.settings, [self.parts[f] for f in fits], [self.sums[f] for f in fits])
        for f, own in zip(fits, made, strict=True):
            sums = own.rows.rows
            sums.stacks = sums.stacks and sums.may_stack(self.most)
            own.null = self._null(f, own)
        return made

    def _null(self, f: int, rows: FitRows) -> Evaluation:
        """The null models of all neurons in a fit."""
        sums = self.sums[f]
        intercept = sums.intercept if self.settings.fit_intercept else np.zeros(len(sums.mean))
        found = at_rest(intercept, self.parts[f].X.shape[1])
        fittable = np.flatnonzero(sums.fittable(self.settings.loss))
        for first in range(0, len(fittable), MAX_PROBLEMS):
            some = fittable[first : first + MAX_PROBLEMS]
            found.put(some, rows.at_null(some, intercept[some]), np.ones(len(some), bool))
        return found


@dataclass(frozen=True, eq=False)
class RowsOfProblems:
    """Shared rows as the fits of one cohort see them.

    Attributes
    ----------
    shared : SharedRows
    neurons : ndarray of int, shape (n_problems,)
        Which of its neurons every problem is.
    """

    shared: SharedRows
    neurons: np.ndarray

    @property
    def sums(self) -> list[ResponseSums]:
        """Of the problems, in every part."""
        return [own.take(self.neurons) for own in self.shared.sums]

    def objectives(self, fits: list[int]) -> list[FitRows]:
        """The objectives of some fits."""
        return [own.of_problems(self.neurons) for own in self.shared.objectives(fits)]


def sums_of(settings: Settings, parts: list[Rows]) -> list[ResponseSums]:
    """Sums over the responses of each part."""
    loss, units = settings.loss, settings.units
    found: dict[int, ResponseSums] = {}
    for first, rows in enumerate(parts):
        if first not in found:
            # parts of the same arrays are read together
            alike = [i for i in range(first, len(parts)) if parts[i].shares_responses(rows)]
            arrays = loss, rows.Y, rows.weights, [parts[i].ranges for i in alike], rows.offset, units
            found |= dict(zip(alike, sums_of_parts(*arrays), strict=True))
    return [found[i] for i in range(len(parts))]


def objectives(engine: Engine, settings: Settings, parts: list[Rows], sums: list[ResponseSums]) -> list[FitRows]:
    """The loss over each part: of one objective where the arrays are the same, so that they are read once for all."""

    def over(some: list[Rows], own: list[ResponseSums]) -> RowObjective:
        ranges = [rows.ranges for rows in some]
        joined = ResponseSums.join(own)
        return RowObjective(
            engine, settings.loss, some[0].samples, ranges, settings.fit_intercept, joined, settings.units
        )

    if all(rows.X is parts[0].X and rows.weights is parts[0].weights for rows in parts):
        joint = over(parts, sums)
        return [FitRows(joint, i) for i in range(len(parts))]
    return [FitRows(over([rows], [own])) for rows, own in zip(parts, sums, strict=True)]
