"""Ranks and strengths of a `LowRankGLM`: their fits in the folds of a cross-validation, and the choice among them."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd

from popglm.engines.protocol import Engine
from popglm.solve.low_rank.population import Data, LowRankFit, LowRankFits, Settings, held_out_deviance
from popglm.statistics.families import Family
from popglm.statistics.null import NullModels
from popglm.statistics.selection import mean_and_error

__all__ = ["Candidates", "HeldOutFits", "fit_folds"]


@dataclass(frozen=True)
class Candidates:
    """Ranks, ascending, and strengths of the low-rank part and of the ridge, descending; all combinations, in order."""

    ranks: list[int]
    strengths: np.ndarray
    ridges: np.ndarray

    @property
    def shape(self) -> tuple[int, int, int]:
        return len(self.ranks), len(self.strengths), len(self.ridges)

    def __len__(self) -> int:
        return int(np.prod(self.shape))

    def at(self, number: int) -> tuple[int, int, int]:
        """Numbers of the rank, of the strength and of the ridge of a candidate."""
        i, k, r = np.unravel_index(number, self.shape)
        return int(i), int(k), int(r)

    def up_to(self, number: int) -> Candidates:
        """The rank and the ridge of a candidate, with all strengths on the way to its own."""
        i, k, r = self.at(number)
        return Candidates([self.ranks[i]], self.strengths[: k + 1], self.ridges[[r]])

    def fitted_by(self, fits: LowRankFits) -> list[LowRankFit]:
        """The fits of all candidates."""
        found = [fits.walk(self.ranks, self.strengths, float(ridge)) for ridge in self.ridges]
        places = map(self.at, range(len(self)))
        return [found[r][i, k] for i, k, r in places]

    def table(self) -> pd.DataFrame:
        """A row for each, with ``low_rank``, ``lambda`` and ``ridge``."""
        columns = np.meshgrid(self.ranks, self.strengths, self.ridges, indexing="ij")
        return pd.DataFrame(dict(zip(("low_rank", "lambda", "ridge"), map(np.ravel, columns), strict=True)))


@dataclass(frozen=True)
class HeldOutFits:
    """Fits of all folds.

    Attributes
    ----------
    fits : list of list
        Of each fold, of all candidates.
    deviance : ndarray, shape (n_folds, n_candidates, n_neurons)
        Of held-out samples, summed; NaN where there are none.
    """

    fits: list[list[LowRankFit]]
    deviance: np.ndarray

    def choose(self, se_fraction: float) -> int:
        """The first candidate whose mean deviance of all neurons is within some standard errors of the best."""
        mean, error = (found[:, 0] for found in mean_and_error(np.nansum(self.deviance, axis=2)[:, :, None]))
        best = mean.argmin()
        return int((mean <= mean[best] + se_fraction * error[best]).argmax())


def _rows_of_data(data: Data, rows: np.ndarray) -> Data:
    """Some rows of X, Y, weights and offset."""
    X, Y, weights, offset = data
    some = None if weights is None else weights[rows], None if offset is None else offset[rows]
    return X[rows], Y[rows], *some


def fit_folds(
    engine: Callable[[], Engine],
    loss: Family,
    layout: Any,
    data: Data,
    splits: list[tuple[np.ndarray, np.ndarray]],
    null: NullModels,
    candidates: Candidates,
    settings: Settings,
) -> HeldOutFits:
    """Fit all candidates to the training rows of every fold, each from its own null model, and score the others."""
    q = data[1].shape[1]
    deviance, fits = np.full((len(splits), len(candidates), q), np.nan), []
    for fold, (train, test) in enumerate(splits):
        own, held = engine(), _rows_of_data(data, test)
        with own.session():
            start = null.cv_intercept[fold], null.cv_parameters[fold]
            fits_of_fold = LowRankFits(own, loss, layout, _rows_of_data(data, train), start, settings)
            found = candidates.fitted_by(fits_of_fold)
        for number, fit in enumerate(found):
            found_of_fold = held_out_deviance(loss, null.cv_parameters[fold], fit, held)
            # what nothing was trained on is not scored, nor is its null model
            deviance[fold, number] = np.where(np.isnan(null.cv_deviance[fold]), np.nan, found_of_fold)
        fits.append(found)
    return HeldOutFits(fits, deviance)
