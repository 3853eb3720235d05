"""Gamma activity: positive, its standard deviation a share of its mean."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from scipy.special import gammaln

from popglm.statistics.families.contract import Chunks, Family
from popglm.statistics.families.elementary import SMALL, exp_excess
from popglm.statistics.families.links import Exp
from popglm.statistics.families.units import Units

__all__ = ["GAMMA"]

Array = Any


@dataclass(frozen=True)
class Gamma(Family):
    """ℓ = y/μ + log μ = y exp(−η) + η, the same in any unit of y but for a shift of η.

    The canonical link, −1/η, would let means be negative. Under h = exp, r = 1 − y/μ is below 1, where ℓ* is finite
    for any θr with 0 ≤ θ ≤ 1; it is no plain residual, and χ² bounds no divergence.
    """

    name = "gamma"
    valid_range = (0.0, np.inf)
    out_of_range = (
        "a value that is not positive",
        "family='gamma' needs activity > 0; use family='poisson' where it can be 0, or family='gaussian'.",
    )
    other_links = "is not there for a gamma response, whose mean must be positive"
    is_convex = True
    # Σr = Σs − Σsy exp(−η) is 0 after one step
    intercept_steps = "ratio"
    has_dispersion = True
    scale = "log"

    def value(self, xp: Any, eta: Array, y: Array) -> Array:
        return y * xp.exp(-eta) + eta

    def excess(self, xp: Any, eta: Array, y: Array) -> Array:
        # y/μ − 1 − log(y/μ)
        return exp_excess(xp, xp.log(xp.where(y > 0, y, xp.ones_like(y))) - eta)

    def derivatives(self, xp: Any, eta: Array, y: Array) -> tuple[Array, Array]:
        ratio = y * xp.exp(-eta)
        return 1 - ratio, xp.ones_like(ratio)

    def second_derivative(self, eta: np.ndarray, y: np.ndarray) -> np.ndarray:
        return y * np.exp(-eta)

    def saturated(self, y: np.ndarray) -> np.ndarray:
        return 1 + np.log(_positive(y))

    def unit_deviance(self, y: np.ndarray, mu: np.ndarray) -> np.ndarray:
        y, mu = _positive(y), np.asarray(mu, float)
        with np.errstate(divide="ignore", over="ignore", invalid="ignore"):
            # log(y/μ): near μ = y from the difference, which is exact there
            rho = (y - mu) / mu
            delta = np.where(np.abs(rho) < SMALL, np.log1p(rho), np.log(y / mu))
            unit = 2 * np.maximum(exp_excess(np, delta), 0)
        return np.where(mu > 0, unit, np.inf)

    def log_base(self, y: np.ndarray, dispersion: float) -> np.ndarray:
        shape = 1 / dispersion
        return (shape - 1) * np.log(_positive(y)) + shape * np.log(shape) - gammaln(shape)

    def variance(self, mu: np.ndarray) -> np.ndarray:
        return mu**2

    def null(self, y: np.ndarray, mean: np.ndarray) -> np.ndarray:
        return super().null(y, np.where(mean > 0, mean, 1))

    def offset_intercept(self, chunks: Chunks, inside: np.ndarray, total: np.ndarray) -> np.ndarray:
        # from the smallest offset up, so that nothing overflows
        least = min((o.min() for _, _, o in chunks()), default=0.0)
        seen = np.zeros(len(inside))
        for y, s, o in chunks():
            seen += (s * y) @ np.exp(least - o)
        return np.log(np.where(seen > 0, seen, inside * total)) - np.log(total) - least

    def is_outside(self, y: np.ndarray) -> np.ndarray:
        return y <= 0

    def into_range(self, values: np.ndarray, y: np.ndarray) -> np.ndarray:
        # as small as any recorded response
        return np.maximum(values, np.min(y[y > 0], initial=np.inf))

    def units(self, decade: float, shift: np.ndarray, has_norm: bool) -> Units:
        size = np.full(len(shift), 10.0**decade)
        return Units.of(len(size), size=size, intercept=np.log(size), level=np.log(size))


def _positive(y: np.ndarray) -> np.ndarray:
    """Responses in float64, and 1 for those that are not recorded."""
    y = np.asarray(y, float)
    return np.where(y > 0, y, 1.0)


GAMMA = (Gamma(Exp()),)
