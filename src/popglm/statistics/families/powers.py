"""What families have in common whose variance is a power of the mean, μ^p with p > 1, under the exponential link.

ℓ = yμ^(1−p)/(p−1) + μ^(2−p)/(2−p) up to a constant, so r = μ^(1−p)(μ − y) and h = μ^(2−p). Another unit of y, c,
moves η by log c and multiplies ℓ by c^(2−p).
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from popglm.statistics.families.contract import Chunks, Family
from popglm.statistics.families.elementary import SMALL
from popglm.statistics.families.units import Units

__all__ = ["PositivePower", "PowerVariance", "log_ratio", "positive"]


@dataclass(frozen=True)
class PowerVariance(Family):
    """A family with the variance μ^p.

    Attributes
    ----------
    power : float
        p.
    """

    power: float = 2.0

    # Σr = Σs μ^(2−p) − Σsy μ^(1−p) is 0 after one step
    intercept_steps = "ratio"
    has_dispersion = True
    scale = "log"

    def variance(self, mu: np.ndarray) -> np.ndarray:
        return mu**self.power

    def null(self, y: np.ndarray, mean: np.ndarray) -> np.ndarray:
        return super().null(y, np.where(mean > 0, mean, 1))

    def offset_intercept(self, chunks: Chunks, inside: np.ndarray, total: np.ndarray) -> np.ndarray:
        # e^b = Σsy e^(o(1−p)) / Σs e^(o(2−p)), from offsets at which nothing overflows
        down, across = 1 - self.power, 2 - self.power
        least = min((o.min() for _, _, o in chunks()), default=0.0)
        start = max((o.max() for _, _, o in chunks()), default=0.0) if across > 0 else least
        seen, instead, exposure = np.zeros((3, len(inside)))
        for y, s, o in chunks():
            share = np.exp(down * (o - least))
            seen += (s * y) @ share
            instead += s @ share
            exposure += s @ np.exp(across * (o - start))
        known = exposure > 0
        # without an event the mean is `inside` in every sample
        top = np.where(seen > 0, seen, inside * np.where(known, instead, 1))
        return np.log(top) - np.log(np.where(known, exposure, 1)) + down * least - across * start

    def units(self, decade: float, shift: np.ndarray, has_norm: bool) -> Units:
        size = np.full(len(shift), 10.0**decade)
        loss = size ** (2 - self.power)
        return Units.of(len(size), size=size, intercept=np.log(size), loss=loss, strength=loss)


@dataclass(frozen=True)
class PositivePower(PowerVariance):
    """Such a family whose responses are above 0."""

    valid_range = (0.0, np.inf)

    def is_outside(self, y: np.ndarray) -> np.ndarray:
        return y <= 0

    def into_range(self, values: np.ndarray, y: np.ndarray) -> np.ndarray:
        # as small as any recorded response
        return np.maximum(values, np.min(y[y > 0], initial=np.inf))


def positive(y: np.ndarray) -> np.ndarray:
    """Responses in float64, and 1 for those that are not above 0."""
    y = np.asarray(y, float)
    return np.where(y > 0, y, 1.0)


def log_ratio(mu: np.ndarray, y: np.ndarray) -> np.ndarray:
    """log(μ/y) of positive responses, with all its digits near 0."""
    with np.errstate(divide="ignore", over="ignore", invalid="ignore"):
        rho = (mu - y) / y
        return np.where(np.abs(rho) < SMALL, np.log1p(rho), np.log(mu / y))
