"""Fits at their null models, in their own coordinates, for tests that walk them by themselves."""

from dataclasses import fields

import numpy as np

from popglm.solve.local_models.rotated import RotatedObjective
from popglm.solve.objective.fit_rows import FitRows
from popglm.solve.objective.row_objective import RowObjective
from popglm.solve.settings import Settings, begin
from popglm.solve.walk.fit import Fit
from popglm.statistics.penalties import Penalty
from popglm.statistics.responses import response_sums


def begun(rows: RowObjective, penalty: Penalty, kind: type[Fit] = Fit) -> list[Fit]:
    """A fit of this kind to each part of the rows of an objective; the columns of X have a mean of 0."""
    settings, center, found = Settings(rows.loss, penalty, None), rows.X.mean(axis=0, dtype=float), []
    for i, ranges in enumerate(rows.fits):
        inside = np.concatenate([np.arange(*each) for each in ranges])
        G = np.cov(rows.X[inside].T.astype(float), ddof=0)
        own = settings.coordinates(rows.engine, center, G)
        model = settings.model(rows.engine, own.rotate_matrix(G), own)
        sums = response_sums(rows.loss, rows.Y, None, ranges)
        fit = begin(settings, RotatedObjective(FitRows(rows, i), own), model, sums, np.ones(len(rows.Y), bool))
        found.append(kind(**{each.name: getattr(fit, each.name) for each in fields(fit)}))
    return found
