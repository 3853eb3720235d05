"""Inverse Gaussian activity: positive, its variance the cube of its mean; times of first passage are."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from popglm.statistics.families.elementary import SMALL, exp_excess
from popglm.statistics.families.links import Exp
from popglm.statistics.families.powers import PositivePower, positive

__all__ = ["INVERSE_GAUSSIAN"]

Array = Any


@dataclass(frozen=True)
class InverseGaussian(PositivePower):
    """ℓ = y/(2μ²) − 1/μ = y exp(−2η)/2 − exp(−η).

    Its excess is (1/μ − 1/y)² y/2: convex in 1/μ, and in η only where μ < 2y. A mean far above y costs no more than
    1/(2y). The canonical link, 1/μ² = η, would need predictors above 0.
    """

    power: float = 3.0

    name = "inverse_gaussian"
    out_of_range = (
        "a value that is not positive",
        "family='inverse_gaussian' needs activity > 0; use family='tweedie' where it can be 0, or family='gaussian'.",
    )
    other_links = "is not there for an inverse Gaussian response, whose mean must be positive"

    def value(self, xp: Any, eta: Array, y: Array) -> Array:
        # a product, since infinity less infinity is no number
        rate = xp.exp(-eta)
        return rate * (0.5 * y * rate - 1)

    def excess(self, xp: Any, eta: Array, y: Array) -> Array:
        y = xp.where(y > 0, y, xp.ones_like(y))
        growth = _growth(xp, xp.log(y) - eta)
        return 0.5 * growth * growth / y

    def derivatives(self, xp: Any, eta: Array, y: Array) -> tuple[Array, Array]:
        rate = xp.exp(-eta)
        return rate * (1 - y * rate), rate

    def second_derivative(self, eta: np.ndarray, y: np.ndarray) -> np.ndarray:
        rate = np.exp(-eta)
        return rate * (2 * y * rate - 1)

    def saturated(self, y: np.ndarray) -> np.ndarray:
        return -0.5 / positive(y)

    def unit_deviance(self, y: np.ndarray, mu: np.ndarray) -> np.ndarray:
        y, mu = positive(y), np.asarray(mu, float)
        with np.errstate(divide="ignore", over="ignore", invalid="ignore"):
            unit = np.square((y - mu) / mu) / y
        return np.where(mu > 0, np.where(mu < np.inf, unit, 1 / y), np.inf)

    def draw(self, rng: np.random.Generator, mu: np.ndarray, dispersion: np.ndarray | float = 1.0) -> np.ndarray:
        return rng.wald(mu, 1 / np.broadcast_to(dispersion, np.shape(mu)))

    def log_base(self, y: np.ndarray, dispersion: float) -> np.ndarray:
        y = positive(y)
        return -0.5 * (np.log(2 * np.pi * dispersion) + 3 * np.log(y) + 1 / (dispersion * y))


def _growth(xp: Any, delta: Array) -> Array:
    """exp(δ) − 1, with all its digits near 0."""
    return xp.where(xp.abs(delta) < SMALL, exp_excess(xp, delta) + delta, xp.exp(delta) - 1)


INVERSE_GAUSSIAN = (InverseGaussian(Exp()),)
