"""Samples of one condition in several trials: what they share, and what differs between them."""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import cached_property

import numpy as np
from scipy import sparse

from popglm.statistics.families.contract import Family

__all__ = ["RepeatedSamples"]

#: Parts of the trials of which each is left out once, for standard errors.
PARTS = 20


@dataclass(frozen=True, eq=False)
class RepeatedSamples:
    """Activity of which every sample has a condition and a trial.

    Attributes
    ----------
    y : ndarray, shape (n_samples, n_neurons)
        0 where it is not known.
    known : ndarray of bool, shape (n_samples, n_neurons)
    condition, trial : ndarray of int, shape (n_samples,)
        Condition −1 is none.
    """

    y: np.ndarray
    known: np.ndarray
    condition: np.ndarray
    trial: np.ndarray

    @classmethod
    def make(cls, y: np.ndarray, condition: np.ndarray, trial: np.ndarray) -> RepeatedSamples:
        """Only those conditions count of which a neuron has samples of two trials; NaN is not known."""
        known = ~np.isnan(y) & (condition >= 0)[:, None]
        samples = cls(np.where(known, y, 0.0), known, condition, trial)
        return samples.among(samples.pairs[condition] > 0)

    def among(self, kept: np.ndarray) -> RepeatedSamples:
        """Those that are kept, shape (n_samples, n_neurons) or (n_samples, 1), and still have a second trial."""
        known = self.known & kept
        samples = replace(self, y=np.where(known, self.y, 0.0), known=known)
        alone = known & ~(samples.pairs[self.condition] > 0)
        if not alone.any():
            return samples
        return replace(self, y=np.where(known & ~alone, self.y, 0.0), known=known & ~alone)

    # sums over samples that share something: matrices of ones, (n_…, n_samples)

    @cached_property
    def _conditions(self) -> sparse.csr_array:
        return _members(self.condition)

    @cached_property
    def _trials(self) -> sparse.csr_array:
        return _members(self.trial)

    @cached_property
    def cell(self) -> np.ndarray:
        """Number of every sample's pair of condition and trial."""
        pairs = self.condition.astype(np.int64) * (self.trial.max(initial=0) + 1) + self.trial
        return np.unique(pairs, return_inverse=True)[1]

    @cached_property
    def _cells(self) -> sparse.csr_array:
        return _members(self.cell)

    def _squares(self, values: np.ndarray) -> np.ndarray:
        """Squared sums of the samples of a condition and trial, added up over trials: (n_conditions, n_neurons)."""
        condition_of_cell = np.full(self._cells.shape[0], -1)
        condition_of_cell[self.cell] = self.condition
        return _members(condition_of_cell, self._conditions.shape[0]) @ (self._cells @ values) ** 2

    @cached_property
    def n(self) -> np.ndarray:
        """Samples of every condition, shape (n_conditions, n_neurons)."""
        return self._conditions @ self.known.astype(float)

    @cached_property
    def pairs(self) -> np.ndarray:
        """Twice the pairs of samples of a condition from different trials, shape (n_conditions, n_neurons)."""
        return self.n**2 - self._squares(self.known.astype(float))

    @property
    def total(self) -> np.ndarray:
        """Samples, shape (n_neurons,)."""
        return self.n.sum(axis=0)

    @property
    def mean(self) -> np.ndarray:
        """Mean over samples, shape (n_neurons,)."""
        return self.y.sum(axis=0) / np.maximum(self.total, 1)

    def variance(self) -> np.ndarray:
        """Variance over samples (ddof 0), shape (n_neurons,); NaN of none."""
        with np.errstate(invalid="ignore"):
            return np.sum((self.y - self.mean) ** 2, axis=0, where=self.known) / _or_nan(self.total)

    def signal_variance(self) -> np.ndarray:
        """Variance of the conditions' means without what chance adds, shape (n_neurons,).

        Products of samples from different trials have no noise in their mean. With the shares p of samples in each
        condition, the variance Σp m² − (Σp m)² is Σp(1 − p) m² from products of one condition, less Σp p′ m m′ over
        two.
        """
        y = np.where(self.known, self.y - self.mean, 0.0)
        sums, ones = self._conditions @ y, self.known.astype(float)
        alike, pairs = sums**2 - self._squares(y), self.pairs
        every = y.sum(axis=0) ** 2 - ((self._trials @ y) ** 2).sum(axis=0)
        n_every = self.total**2 - ((self._trials @ ones) ** 2).sum(axis=0)
        share = self.n / _or_nan(self.total)
        same = np.sum(share * (1 - share) * alike / np.where(pairs > 0, pairs, 1), axis=0)
        other = (every - alike.sum(axis=0)) / _or_nan(n_every - pairs.sum(axis=0))
        return same - (1 - np.sum(share**2, axis=0)) * other

    def jackknife(self) -> np.ndarray:
        """Standard error of the signal's share of the variance, shape (n_neurons,).

        A part of the trials is left out at a time (the delete-a-group jackknife); NaN with fewer than three.
        """
        used = self.known.any(axis=1)
        trials, first = np.unique(self.trial[used], return_index=True)
        n_parts = min(PARTS, len(trials))
        if n_parts < 3:
            return np.full(self.y.shape[1], np.nan)
        # trials of like conditions are dealt out one by one
        order = np.argsort(self.condition[used][first], kind="stable")
        part = np.full(self.trial.max() + 1, -1)
        part[trials[order]] = np.arange(len(trials)) % n_parts
        without = [self.among(part[self.trial, None] != k) for k in range(n_parts)]
        with np.errstate(invalid="ignore", divide="ignore"):
            shares = np.array([samples.signal_variance() / samples.variance() for samples in without])
        return np.sqrt((n_parts - 1) * shares.var(axis=0))

    def deviance_of_means(self, family: Family) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """Deviance of the conditions' means: of all samples, of those of other trials, and between; (n_neurons,) each.

        Around the true mean m of a condition, the deviance of its own mean is too small by the share 1/N of its N
        samples, and that of means without the sample's trial too large by 1/(N − 1), exactly for squares and to second
        order for others. The third is the weighted mean of both in which that cancels.
        """
        sums, n = (self._conditions @ self.y)[self.condition], self.n[self.condition]
        own, n_own = (self._cells @ self.y)[self.cell], (self._cells @ self.known.astype(float))[self.cell]
        n_others = n - n_own
        means = sums / np.maximum(n, 1), family.inside((sums - own) / np.maximum(n_others, 1), np.maximum(n_others, 1))
        with np.errstate(invalid="ignore", divide="ignore"):
            seen, unseen = (np.where(self.known, family.unit_deviance(self.y, mean), 0.0) for mean in means)
            weight = n / (n + n_others)
            between = np.where(self.known, weight * seen + (1 - weight) * unseen, 0.0)
        none = np.where(self.total > 0, 0.0, np.nan)
        return seen.sum(axis=0) + none, unseen.sum(axis=0) + none, between.sum(axis=0) + none


def _members(number: np.ndarray, n: int | None = None) -> sparse.csr_array:
    """Ones where a sample has a number, shape (n, n_samples); none in samples of number −1."""
    rows = np.flatnonzero(number >= 0)
    shape = (int(number.max(initial=-1)) + 1 if n is None else n, len(number))
    return sparse.csr_array((np.ones(len(rows)), (number[rows], rows)), shape=shape)


def _or_nan(count: np.ndarray) -> np.ndarray:
    """A number of samples to divide by."""
    return np.where(count > 0, count, np.nan)
