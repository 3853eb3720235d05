"""Gamma activity: positive, its standard deviation a share of its mean."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from scipy.special import gammaln

from popglm.statistics.families.elementary import exp_excess
from popglm.statistics.families.links import Exp
from popglm.statistics.families.powers import PositivePower, log_ratio, positive
from popglm.statistics.families.units import Units

__all__ = ["GAMMA"]

Array = Any


@dataclass(frozen=True)
class Gamma(PositivePower):
    """ℓ = y/μ + log μ = y exp(−η) + η, the same in any unit of y but for a shift of η.

    The canonical link, −1/η, would let means be negative. Under h = exp, r = 1 − y/μ is below 1, where ℓ* is finite
    for any θr with 0 ≤ θ ≤ 1; it is no plain residual, and χ² bounds no divergence.
    """

    name = "gamma"
    out_of_range = (
        "a value that is not positive",
        "family='gamma' needs activity > 0; use family='tweedie' where it can be 0, or family='gaussian'.",
    )
    other_links = "is not there for a gamma response, whose mean must be positive"
    is_convex = True

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
        return 1 + np.log(positive(y))

    def unit_deviance(self, y: np.ndarray, mu: np.ndarray) -> np.ndarray:
        mu = np.asarray(mu, float)
        with np.errstate(over="ignore", invalid="ignore"):
            unit = 2 * np.maximum(exp_excess(np, -log_ratio(mu, positive(y))), 0)
        return np.where((mu > 0) & (mu < np.inf), unit, np.inf)

    def log_base(self, y: np.ndarray, dispersion: float) -> np.ndarray:
        shape = 1 / dispersion
        return (shape - 1) * np.log(positive(y)) + shape * np.log(shape) - gammaln(shape)

    def draw(self, rng: np.random.Generator, mu: np.ndarray, dispersion: np.ndarray | float = 1.0) -> np.ndarray:
        return rng.gamma(1 / dispersion, mu * dispersion)

    def units(self, decade: float, shift: np.ndarray, has_norm: bool) -> Units:
        # log μ has the unit
        units = super().units(decade, shift, has_norm)
        return replace(units, level=units.intercept)


GAMMA = (Gamma(Exp(), power=2.0),)
