"""Tweedie activity: exactly 0 in some samples, positive in others, as the sum of a Poisson number of gamma amounts."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from scipy.special import gammaln

from popglm.checks import is_number
from popglm.messages import shown
from popglm.statistics.families.contract import Family
from popglm.statistics.families.elementary import exp_excess
from popglm.statistics.families.links import Exp
from popglm.statistics.families.powers import PowerVariance, log_ratio, positive

__all__ = ["TWEEDIE"]

Array = Any
#: The series of a density is summed term by term where its peak is at few amounts, or narrow. Else in steps of a share
#: of the width of the peak: for a smooth one that is the same sum, to rounding (Poisson's summation formula).
FEW, NARROW, STEP = 120, 1.5, 0.5
#: Out to so many widths.
WIDE = 10.0


@dataclass(frozen=True)
class Tweedie(PowerVariance):
    """ℓ = y exp((1−p)η)/(p−1) + exp((2−p)η)/(2−p), for 1 < p < 2.

    Both terms are convex in η. Between the ends lie Poisson (p = 1, amounts all alike) and gamma activity (p = 2). The
    canonical link would let means be negative.
    """

    power: float = 1.5

    name = "tweedie"
    valid_range = (0.0, np.inf)
    out_of_range = ("a negative value", "family='tweedie' needs activity ≥ 0; use family='gaussian' for other.")
    other_links = "is not there for a Tweedie response, whose mean must be positive"
    is_convex = True
    has_events = True
    can_separate = True

    def with_power(self, power: Any) -> Family:
        if not is_number(power):
            raise ValueError(f"power={shown(power)} must be a finite number.")
        if not 1 < power < 2:
            others = {0: "gaussian", 1: "poisson", 2: "gamma", 3: "inverse_gaussian"}
            of_another = next((f"family={name!r} has {known}" for known, name in others.items() if power == known), "")
            raise ValueError(
                f"power={shown(power)} must lie between 1 and 2, both excluded; {of_another or 'use 1.5 if unsure'}."
            )
        return replace(self, power=float(power))

    def value(self, xp: Any, eta: Array, y: Array) -> Array:
        fall, rise = self.power - 1, 2 - self.power
        # 0 times infinity is none
        ratio = y * xp.exp(xp.where(y > 0, -fall * eta, xp.zeros_like(eta)))
        return ratio / fall + xp.exp(rise * eta) / rise

    def excess(self, xp: Any, eta: Array, y: Array) -> Array:
        events = y > 0
        log_y = xp.log(xp.where(events, y, xp.ones_like(y)))
        return self._excess(xp, xp.where(events, eta - log_y, xp.zeros_like(eta)), events, log_y, eta)

    def _excess(self, xp: Any, delta: Array, events: Array, log_y: Array, log_mu: Array) -> Array:
        """The same from δ = log(μ/y) of events, and log y."""
        fall, rise = self.power - 1, 2 - self.power
        # terms of degree one in δ cancel
        of_events = exp_excess(xp, -fall * delta) / fall + exp_excess(xp, rise * delta) / rise
        return xp.where(events, xp.exp(rise * log_y) * of_events, xp.exp(rise * log_mu) / rise)

    def derivatives(self, xp: Any, eta: Array, y: Array) -> tuple[Array, Array]:
        fall, rise = self.power - 1, 2 - self.power
        weight = xp.exp(rise * eta)
        return weight - y * xp.exp(xp.where(y > 0, -fall * eta, xp.zeros_like(eta))), weight

    def second_derivative(self, eta: np.ndarray, y: np.ndarray) -> np.ndarray:
        fall, rise = self.power - 1, 2 - self.power
        return rise * np.exp(rise * eta) + fall * y * np.exp(np.where(y > 0, -fall * eta, 0))

    def saturated(self, y: np.ndarray) -> np.ndarray:
        fall, rise = self.power - 1, 2 - self.power
        return np.maximum(np.asarray(y, float), 0) ** rise / (fall * rise)

    def unit_deviance(self, y: np.ndarray, mu: np.ndarray) -> np.ndarray:
        y, mu = np.broadcast_arrays(np.asarray(y, float), np.asarray(mu, float))
        events, known = y > 0, (mu > 0) & (mu < np.inf)
        safe, inside = positive(y), np.where(known, mu, 1)
        with np.errstate(over="ignore", invalid="ignore"):
            unit = self._excess(np, log_ratio(inside, safe), events, np.log(safe), np.log(inside))
        return np.where(known, 2 * np.maximum(unit, 0), np.where((mu == 0) & ~events, 0.0, np.inf))

    def dispersion(self, eta: np.ndarray, y: np.ndarray, weight: np.ndarray) -> float:
        # Pearson's: with many zeros, the mean deviance is not near it
        mean = self.link.mean(np, eta)
        squares = np.where(weight > 0, weight * (y - mean) ** 2 / self.variance(mean), 0)
        return max(float(squares.sum() / weight.sum()), np.finfo(float).tiny)

    def deviance_of_event(self, size: np.ndarray, share: np.ndarray) -> np.ndarray:
        # the dispersion of an amount of that size in a share of the samples, 1/size of which are of the mean
        safe = np.where(share > 0, share, 1)
        return size ** (2 - self.power) * safe ** (1 - self.power) / (2 - self.power)

    def draw(self, rng: np.random.Generator, mu: np.ndarray, dispersion: np.ndarray | float = 1.0) -> np.ndarray:
        # a Poisson number of amounts from a gamma distribution
        fall, rise = self.power - 1, 2 - self.power
        n = rng.poisson(mu**rise / (dispersion * rise))
        return rng.gamma(n * rise / fall, dispersion * fall * mu**fall)

    def log_base(self, y: np.ndarray, dispersion: float) -> np.ndarray:
        """Of an event, the logarithm of its density's series over y (Dunn & Smyth 2005); 0 of none."""
        found, events = np.zeros(np.shape(y)), np.asarray(y) > 0
        log_y = np.log(np.asarray(y, float)[events])
        found[events] = self._log_series(log_y, np.log(dispersion)) - log_y
        return found

    def _log_series(self, log_y: np.ndarray, log_dispersion: float) -> np.ndarray:
        """log of Σ x^j / (j! Γ(ja)) over the numbers j ≥ 1 of amounts, each with the shape a."""
        a = (2 - self.power) / (self.power - 1)
        log_x = a * log_y - (1 + a) * log_dispersion - a * np.log(self.power - 1) - np.log(2 - self.power)

        def term(j: np.ndarray, log_x: np.ndarray) -> np.ndarray:
            return j * log_x - gammaln(j + 1) - gammaln(a * j)

        # the term that is about the largest, by Stirling's formula, and the width of a Gaussian around it
        peak = np.exp((log_x - a * np.log(a)) / (1 + a))
        width = np.sqrt(peak / (1 + a))
        found, each = np.empty(len(log_y)), (peak < FEW) | (width < NARROW)
        for own in (each, ~each):
            if not own.any():
                continue
            some, middle, size = log_x[own], peak[own], width[own]
            if own is each:
                middle, size, reach = np.maximum(np.round(middle), 1), np.ones(len(some)), WIDE * (size.max() + 1)
            else:
                size, reach = STEP * size, WIDE / STEP
            top, total = term(middle, some), np.zeros(len(some))
            for k in range(-int(reach), int(reach) + 1):
                j = middle + k * size
                total += np.where(j > 0, np.exp(term(np.where(j > 0, j, 1), some) - top), 0)
            found[own] = top + np.log(total * size)
        return found


TWEEDIE = (Tweedie(Exp()),)
