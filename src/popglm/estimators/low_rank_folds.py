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
    """Ranks, ascending, and strengths, descending; every pair is one, the smallest ranks first."""

    ranks: list[int]
    strengths: np.ndarray

    def __len__(self) -> int:
        return len(self.ranks) * len(self.strengths)

    def at(self, number: int) -> tuple[int, int]:
        """Numbers of the rank and of the strength of a candidate."""
        return divmod(number, len(self.strengths))

    def table(self) -> pd.DataFrame:
        """A row for each, with ``low_rank`` and ``lambda``."""
        ranks = np.repeat(self.ranks, len(self.strengths))
        return pd.DataFrame({"low_rank": ranks, "lambda": np.tile(self.strengths, len(self.ranks))})


@dataclass(frozen=True)
class HeldOutFits:
    """Fits of all folds.

    Attributes
    ----------
    fits : list of dict
        Of each fold, by the numbers of rank and strength.
    deviance : ndarray, shape (n_folds, n_candidates, n_neurons)
        Of held-out samples, summed; NaN where there are none.
    """

    fits: list[dict[tuple[int, int], LowRankFit]]
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
            found = LowRankFits(own, loss, layout, _rows_of_data(data, train), start, settings).walk(
                candidates.ranks, candidates.strengths
            )
        for number in range(len(candidates)):
            fit = found[candidates.at(number)]
            deviance[fold, number] = held_out_deviance(loss, null.cv_parameters[fold], fit, held)
        fits.append(found)
    return HeldOutFits(fits, deviance)
