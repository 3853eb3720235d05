"""Cohorts that differ in their columns alone, fitted side by side: what their samples say is computed once for all.

A fit to few neurons spends most of its time on what does not depend on its columns: sums of the responses, null models,
and the calls that a pass over the rows takes. So cohorts walk together, and meet in each pass as folds do.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from hashlib import blake2b
from typing import Any

import numpy as np

from popglm.solve.cohorts import Cohort
from popglm.solve.fits.rows import RowFits, evaluate_fits
from popglm.solve.fits.shared_rows import RowsOfProblems, SharedRows
from popglm.solve.held_out import HeldOut
from popglm.solve.result import PopulationFit, merge
from popglm.solve.settings import Settings, guides, reporter
from popglm.solve.snapshot import Checkpoint
from popglm.solve.walk.fit import MAX_PROBLEMS
from popglm.solve.walk.path import Path
from popglm.solve.walk.rounds import LEAST_TOGETHER, finished_paths, run_walks
from popglm.solve.walk.walk import Walk

__all__ = ["MOST_TOGETHER", "SideBySide", "batches", "distinct"]

#: Problems of all fits that walk together, about: more save little, and take memory for weights and curvature pairs.
MOST_TOGETHER = 4 * MAX_PROBLEMS


@dataclass(frozen=True, eq=False)
class Member:
    """A cohort among others.

    Attributes
    ----------
    at : ndarray of int, shape (n_problems,)
        Which of the neurons of all cohorts its problems are.
    rows : RowsOfProblems
        Which of the shared rows.
    fits : RowFits
    """

    at: np.ndarray
    rows: RowsOfProblems
    fits: RowFits


@dataclass(eq=False)
class SideBySide:
    """Fits of several cohorts, in one descent.

    Attributes
    ----------
    members : list of Member
    shared : SharedRows
        Their rows.
    wanted : ndarray of bool, shape (1 + n_folds, n_neurons)
        Neurons that each fit has in one of the cohorts.
    """

    members: list[Member]
    shared: SharedRows
    wanted: np.ndarray
    refit: bool
    on_strength: Callable[..., Any] | None
    checkpoint: Checkpoint
    bare_fit: PopulationFit | None = None

    @property
    def settings(self) -> Settings:
        """Those of all cohorts, but for what depends on columns."""
        return self.shared.settings

    def fit(self, lambdas: np.ndarray) -> PopulationFit:
        """Every fit over all strengths (n_lambdas, n_neurons)."""
        numbers = self.members[0].fits.numbers
        walks = [self._walks(member, lambdas[:, member.at]) for member in self.members]
        report = reporter(self.on_strength, len(numbers), -int(self.refit))
        follow = None if report is None else lambda levels: report(np.concatenate(levels))
        # fit by fit, so that reports tell of whole ones
        run_walks([own[i] for i in range(len(numbers)) for own in walks], evaluate_fits, follow, None, self.checkpoint)
        paths = [[path for walk in own for path in finished_paths(walk)] for own in walks]
        deviance, result, first = self._deviance(paths), None, 0
        for member, own in zip(self.members, paths, strict=True):
            last = first + len(member.at)
            part = member.fits.collected(own, deviance[..., first:last], lambdas[:, member.at])
            result, first = merge(result, part, member.at, member.fits.wanted, lambdas.shape[1]), last
        assert result is not None
        return result

    def _walks(self, member: Member, lambdas: np.ndarray) -> list[Walk]:
        """The walks of all fits of a cohort."""
        fits, settings = member.fits, self.settings
        begun, coordinates = fits.begun(fits.numbers), [fits.coordinates[f] for f in fits.numbers]
        if fits.settings.models is not None:
            fits.settings.models.give(begun, coordinates)
        known = guides(fits.start, coordinates)
        near: list[Any] = [None] * len(begun) if known is None else known
        most = max(MAX_PROBLEMS // (len(begun) * len(self.members)), LEAST_TOGETHER)
        return [
            Walk(fit, lambdas, settings.tol, settings.max_iter, guide, most)
            for fit, guide in zip(begun, near, strict=True)
        ]

    def _deviance(self, paths: list[list[Path]]) -> np.ndarray:
        """Held-out deviance (n_folds, n_lambdas, n_problems), one cohort after the other, of the paths of each."""
        shared, n_lambdas = self.shared, len(paths[0][0].W)
        neurons = np.concatenate([member.rows.neurons for member in self.members])
        found = np.zeros((len(shared.tested), n_lambdas, len(neurons)))
        for fold, rows in enumerate(shared.tested):
            held_out = HeldOut(shared.engine, shared.settings.loss, rows.samples, rows.ranges)
            axes = [member.fits.coordinates[1 + fold] for member in self.members]
            of_fold = [own[fold + int(self.refit)] for own in paths]
            for k in range(n_lambdas):
                W = np.concatenate([own.unrotate(path.W[k]) for own, path in zip(axes, of_fold, strict=True)])
                b = np.concatenate([path.b[k] for path in of_fold])
                found[fold, k] = held_out.deviance_of(neurons, W, b)
        return found


def batches(cohorts: list[Cohort]) -> list[list[Cohort]]:
    """The cohorts in portions of about as many problems as walk together."""
    found: list[list[Cohort]] = []
    room = 0
    for cohort in cohorts:
        n = int(cohort.wanted.sum())
        if room < n:
            found.append([])
            room = MOST_TOGETHER
        found[-1].append(cohort)
        room -= n
    return found


def distinct(activity: np.ndarray, weights: np.ndarray | None) -> tuple[np.ndarray, np.ndarray]:
    """Neurons that are no copy of one before, and for every neuron which of these it is.

    Parameters
    ----------
    activity : ndarray, shape (n_neurons, n_samples)
    weights : ndarray, shape (n_neurons, n_samples), or None
    """
    seen: dict[bytes, int] = {}
    first: list[int] = []
    which = np.empty(len(activity), int)
    for j, y in enumerate(activity):
        told = blake2b(np.ascontiguousarray(y).data)
        if weights is not None:
            told.update(np.ascontiguousarray(weights[j]).data)
        which[j] = seen.setdefault(told.digest(), len(first))
        if which[j] == len(first):
            first.append(j)
    return np.array(first), which
