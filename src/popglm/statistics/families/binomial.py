"""Binomial activity: successes among a known number of trials."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from scipy.special import gammaln

from popglm.statistics.families.bernoulli import Bernoulli
from popglm.statistics.families.links import Sigmoid

__all__ = ["BINOMIAL"]


@dataclass(frozen=True)
class Binomial(Bernoulli):
    """Bernoulli's loss of every trial: a response is the share of successes, its weight the number of trials."""

    name = "binomial"
    out_of_range = (
        "a value outside [0, 1]",
        "family='binomial' needs the share of successes, successes / trials, and trials as sample_weight; use "
        "family='poisson' for counts without a known number of trials.",
    )
    other_links = "lets the mean of a binomial response leave [0, 1]"
    has_trials = True

    def events(self, y: np.ndarray, weight: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        # of trials: all successes of a neuron may be those of one condition
        weight = np.maximum(weight, 0)
        return (weight * y).sum(axis=-1), (weight * (1 - y)).sum(axis=-1)

    def draw(self, rng: np.random.Generator, mu: np.ndarray, dispersion: np.ndarray | float = 1.0) -> np.ndarray:
        # a share of n trials varies by 1/n of what one does
        n = np.rint(1 / np.broadcast_to(dispersion, np.shape(mu))).astype(int)
        return rng.binomial(n, mu) / n

    def log_likelihood(self, eta: np.ndarray, y: np.ndarray, weight: np.ndarray, dispersion: float = 1.0) -> float:
        # the successes may be any of the trials
        ways = gammaln(weight + 1) - gammaln(weight * y + 1) - gammaln(weight * (1 - y) + 1)
        return super().log_likelihood(eta, y, weight, dispersion) + float(ways.sum())


BINOMIAL = (Binomial(Sigmoid()),)
