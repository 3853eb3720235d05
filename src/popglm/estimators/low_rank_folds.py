"""Ranks and strengths of a `LowRankGLM`: their fits in the folds of a cross-validation, and the choice among them."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from functools import partial

import numpy as np
import pandas as pd

from popglm.engines.protocol import Engine
from popglm.solve.low_rank.layout import Layout
from popglm.solve.low_rank.population import Data, LowRankFit, LowRankFits, Settings, held_out_deviances
from popglm.solve.snapshot import Checkpoint, State, concluded, inside, under
from popglm.statistics.families import Family
from popglm.statistics.null import NullModels
from popglm.statistics.selection import mean_and_error

__all__ = ["Candidates", "ChosenFit", "Population"]


@dataclass(frozen=True)
class Candidates:
    """Ranks, ascending, and strengths of the low-rank part and of the ridge, descending; all combinations, in order.

    Where there are no strengths yet, ``ratios`` are what they will be over the largest.
    """

    ranks: list[int]
    strengths: np.ndarray
    ridges: np.ndarray
    ratios: np.ndarray

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
        return replace(self, ranks=[self.ranks[i]], strengths=self.strengths[: k + 1], ridges=self.ridges[[r]])

    def fitted_by(self, fits: LowRankFits, kept: Checkpoint) -> list[LowRankFit]:
        """The fits of all candidates, kept while they go on."""
        found = [
            fits.walk(self.ranks, self.strengths, float(ridge), kept.part(f"ridge{r}"))
            for r, ridge in enumerate(self.ridges)
        ]
        places = map(self.at, range(len(self)))
        return [found[r][i, k] for i, k, r in places]

    def table(self) -> pd.DataFrame:
        """A row for each, with ``low_rank``, ``lambda`` and ``ridge``."""
        columns = np.meshgrid(self.ranks, self.strengths, self.ridges, indexing="ij")
        return pd.DataFrame(dict(zip(("low_rank", "lambda", "ridge"), map(np.ravel, columns), strict=True)))


@dataclass(frozen=True)
class FoldFits:
    """The fits of a fold, of all candidates.

    Attributes
    ----------
    fits : list of LowRankFit
    deviance : ndarray, shape (n_candidates, n_neurons)
        Of held-out samples, summed; NaN where there are none.
    """

    fits: list[LowRankFit]
    deviance: np.ndarray

    def state(self) -> State:
        """All of it as arrays, not copied."""
        found = {"deviance": self.deviance}
        for number, fit in enumerate(self.fits):
            found |= under(str(number), fit.state())
        return found

    @classmethod
    def of(cls, state: State) -> FoldFits:
        """The one that handed out a state."""
        numbers = range(len(state["deviance"]))
        return cls([LowRankFit.of(inside(str(number), state)) for number in numbers], state["deviance"])


@dataclass(frozen=True)
class ChosenFit:
    """What a `LowRankGLM` ends with.

    Attributes
    ----------
    strengths : ndarray, shape (n_strengths,)
        Of the candidates.
    folds : list of FoldFits
    number : int
        The candidate that was taken.
    fit : LowRankFit
        To all rows.
    fittable : ndarray of bool, shape (n_neurons,)
    """

    strengths: np.ndarray
    folds: list[FoldFits]
    number: int
    fit: LowRankFit
    fittable: np.ndarray

    def state(self) -> State:
        """All of it as arrays, not copied."""
        found = {"strengths": self.strengths, "number": np.array(self.number), "fittable": self.fittable}
        found |= under("fit", self.fit.state()) | {"n_folds": np.array(len(self.folds))}
        for number, fold in enumerate(self.folds):
            found |= under(f"fold{number}", fold.state())
        return found

    @classmethod
    def of(cls, state: State) -> ChosenFit:
        """The one that handed out a state."""
        folds = [FoldFits.of(inside(f"fold{number}", state)) for number in range(state["n_folds"].item())]
        fit = LowRankFit.of(inside("fit", state))
        return cls(state["strengths"], folds, state["number"].item(), fit, state["fittable"])

    @property
    def deviance(self) -> np.ndarray:
        """Of held-out samples, summed, shape (n_folds, n_candidates, n_neurons); NaN where there are none."""
        return np.stack([fold.deviance for fold in self.folds])


@dataclass(frozen=True)
class Population:
    """A population of which some rows are fitted at a time.

    Parameters
    ----------
    engine : callable
        Makes an engine for each fit: what it places is let go with it.
    loss, layout, settings
        As of `LowRankFits`.
    data : Data
    null : NullModels
    """

    engine: Callable[[], Engine]
    loss: Family
    layout: Layout
    data: Data
    null: NullModels
    settings: Settings

    def choose(
        self, candidates: Candidates, splits: list[tuple[np.ndarray, np.ndarray]], se_fraction: float, kept: Checkpoint
    ) -> ChosenFit:
        """Fit all candidates to the training rows of every fold, and the best of them to all rows.

        Without strengths these are a grid from the one on from which there is no coupling. Of the candidates within
        some standard errors of the best mean deviance of all neurons the first is taken; the only one where there are
        no folds.
        """
        if not len(candidates.strengths):
            grid = self._grid(candidates, kept.part("grid"))
            candidates = replace(candidates, strengths=grid)
        folds = [
            concluded(own, FoldFits, partial(self._fold, fold, split, candidates, own))
            for fold, split in enumerate(splits)
            for own in [kept.part(f"fold{fold}")]
        ]
        number = 0
        if folds:
            each = np.stack([np.nansum(fold.deviance, axis=1) for fold in folds])
            mean, error = (found[:, 0] for found in mean_and_error(each[:, :, None]))
            number = int((mean <= mean.min() + se_fraction * error[mean.argmin()]).argmax())
        start = self.null.intercept, self.null.parameters
        with self._fits(self.data, start) as fits:
            fit = candidates.up_to(number).fitted_by(fits, kept.part("all"))[-1]
            return ChosenFit(candidates.strengths, folds, number, fit, fits.fittable)

    @contextmanager
    def _fits(
        self, data: Data, start: tuple[np.ndarray, np.ndarray], own: Engine | None = None
    ) -> Iterator[LowRankFits]:
        """Fits to some rows, from the null models of these, in a session."""
        own = own or self.engine()
        with own.session():
            fits = LowRankFits(own, self.loss, self.layout, data, start, self.settings)
            try:
                yield fits
            finally:
                fits.close()

    def _grid(self, candidates: Candidates, kept: Checkpoint) -> np.ndarray:
        """Strengths from the one on from which there is no coupling."""
        found = kept.result()
        if found is None:
            with self._fits(self.data, (self.null.intercept, self.null.parameters)) as fits:
                largest = fits.largest_strength(float(candidates.ridges[0])) or 1.0
            found = {"strengths": largest * candidates.ratios}
            kept.finish(found)
        return found["strengths"]

    def _fold(
        self, fold: int, split: tuple[np.ndarray, np.ndarray], candidates: Candidates, kept: Checkpoint
    ) -> FoldFits:
        """Fits to the training rows of a fold, from its own null model, and what they say of the others."""
        (train, test), null, own = split, self.null, self.engine()
        with self._fits(self.data.rows(train, own), (null.cv_intercept[fold], null.cv_parameters[fold]), own) as fits:
            found = candidates.fitted_by(fits, kept)
        deviance = held_out_deviances(self.loss, null.cv_parameters[fold], found, self.data, test)
        # what nothing was trained on is not scored, nor is its null model
        return FoldFits(found, np.where(np.isnan(null.cv_deviance[fold]), np.nan, deviance))
