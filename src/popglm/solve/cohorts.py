"""Cohorts: which neurons are fitted together, in each of the fits."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from popglm.solve.folds import Folds
from popglm.solve.settings import Settings
from popglm.solve.units import decades

__all__ = ["Cohort", "cohorts_of", "kin", "unheld"]


@dataclass(frozen=True)
class Cohort:
    """Neurons that are fitted together, each in some of the fits.

    Attributes
    ----------
    wanted : ndarray of bool, shape (1 + n_folds, n_neurons)
        Neurons that each fit has in this cohort.
    complete : bool
        Whether they are known in all rows of these fits.
    fractional : bool
        Whether a fit counts a response between 0 and 1.
    decade : float
        Their unit is ten to that power.
    closed : ndarray of int
        Columns in which they have no weight.
    far : bool
        Whether the mean of a Gaussian activity is to be taken from it; the cohort is of one fit then.
    """

    wanted: np.ndarray
    complete: bool
    fractional: bool
    decade: float
    far: bool
    closed: np.ndarray


def unheld(settings: Settings) -> np.ndarray:
    """Numbers of the columns that no penalty holds at 0."""
    penalty = settings.penalty
    plain = penalty.l1_ratio == 0 and settings.lambdas is not None and bool((settings.lambdas == 0).any())
    return np.arange(len(penalty.block_of_column)) if plain else penalty.free_columns


def cohorts_of(
    settings: Settings,
    Y: np.ndarray,
    missing: np.ndarray,
    weights: np.ndarray | None,
    folds: Folds,
    varying: np.ndarray | None,
    alike_weights: bool,
) -> list[Cohort]:
    """Every neuron of every fit, sorted by how it is fitted; a fit's own rows decide that alone.

    Parameters
    ----------
    Y, missing : ndarray, shape (n_neurons, n_samples)
    varying : ndarray of bool, shape (1 + n_folds, n_neurons, n_features), or None
        Columns that may have a weight in a fit, as far as that depends on its rows; all for None.
    alike_weights : bool
        Whether all neurons have the same weights of samples; else none shares sums over rows with the others.
    """
    q, n = Y.shape
    counts = folds.counts(n)
    alike = settings.ends is not None
    complete = _complete(missing, folds, alike) & alike_weights
    decade, far = decades(
        settings.loss, settings.penalty, settings.fit_intercept, Y, counts if weights is None else counts * weights
    )
    far &= ~complete | (settings.first_order is not None)
    fractional = np.zeros((len(counts), q), bool)
    if settings.loss.has_fractions and (between := (Y > 0) & (Y < 1)).any():
        fractional = np.stack([between[:, rows > 0].any(axis=1) for rows in counts])
    if alike:
        # all fits of a neuron share what the one to all rows has
        decade, far, fractional = (np.broadcast_to(a[:1], a.shape) for a in (decade, far, fractional))
    which = np.where(far & (not alike), 1 + np.arange(len(counts))[:, None], far)
    # neurons with the same features belong together
    masks, mask = np.zeros((1, 0), bool), np.zeros(complete.shape, int)
    if settings.allowed is not None or varying is not None:
        open_ = np.ones((1, 1, 1), bool) if settings.allowed is None else settings.allowed.T[None]
        if varying is not None:
            open_ = open_ & (varying[:1] if alike else varying)
        masks, inverse = np.unique(open_.reshape(-1, open_.shape[-1]), axis=0, return_inverse=True)
        mask = np.broadcast_to(inverse.reshape(open_.shape[:2]), complete.shape)
    kinds = np.stack([complete, fractional, decade, which, mask], axis=-1).reshape(-1, 5).astype(float)
    every, kind = np.unique(-kinds, axis=0, return_inverse=True)
    kind = kind.reshape(complete.shape)
    return [
        Cohort(
            kind == i, bool(-row[0]), bool(-row[1]), float(-row[2]), bool(-row[3]),
            np.flatnonzero(~masks[int(-row[4])]),
        )
        for i, row in enumerate(every)
    ]  # fmt: skip


def kin(cohorts: Sequence[Cohort]) -> list[list[Cohort]]:
    """Cohorts that differ in their columns alone, and in their neurons."""
    found: dict[Any, list[Cohort]] = {}
    for i, cohort in enumerate(cohorts):
        # what is far from 0 is centred by the rows of its own fit
        alike = i if cohort.far else (cohort.complete, cohort.fractional, cohort.decade)
        found.setdefault((cohort.far, alike), []).append(cohort)
    return list(found.values())


def _complete(missing: np.ndarray, folds: Folds, alike: bool) -> np.ndarray:
    """Neurons that are known in all rows of the fit to all rows and of each fold's, shape (1 + n_folds, n_neurons).

    A fold's rows decide alone how it is fitted, unless all fits of a neuron have to be ``alike``.

    Parameters
    ----------
    missing : ndarray of bool, shape (n_neurons, n_samples)
    """
    counts = folds.counts(missing.shape[1]) > 0
    known = np.stack([~missing[:, rows].any(axis=1) for rows in counts])
    return np.tile(known.all(axis=0), (len(known), 1)) if alike else known
