"""Bernoulli activity: events (0 or 1), or probabilities of one."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from scipy.special import xlogy

from popglm.statistics.families.contract import Family
from popglm.statistics.families.elementary import SMALL, sigmoid, softplus
from popglm.statistics.families.links import Sigmoid

__all__ = ["BERNOULLI"]

Array = Any


def bernoulli_excess(xp: Any, eta: Array, y: Array) -> Array:
    """KL divergence of a probability y from sigmoid(η), with all its digits near equality."""
    inside = (y > 0) & (y < 1)
    p = xp.where(inside, y, 0.5 * xp.ones_like(y))
    q = 1 - p
    pq, skew, delta = p * q, q - p, eta - (xp.log(p) - xp.log1p(-p))
    # log(q + p exp(δ)) − pδ by the cumulants of an event
    tail = 1 - 6 * pq + delta / 5 * (skew * (1 - 12 * pq) + delta / 6 * (1 - 30 * pq * (1 - 4 * pq)))
    near = 0.5 * pq * delta * delta * (1 + delta / 3 * (skew + delta / 4 * tail))
    plain = softplus(xp, eta) - y * eta
    far = plain + p * xp.log(p) + q * xp.log1p(-p)
    return xp.where(inside, xp.where(xp.abs(delta) < SMALL, near, far), plain)


@dataclass(frozen=True)
class Bernoulli(Family):
    """ℓ = −y log μ − (1 − y) log(1 − μ) = softplus(η) − yη.

    Attributes
    ----------
    binary : bool
        All responses are 0 or 1: the saturated loss is 0 then, and the excess the loss itself.
    """

    binary: bool = False

    name = "bernoulli"
    valid_range = (0.0, 1.0)
    out_of_range = (
        "a value outside [0, 1]",
        "family='bernoulli' needs events (0/1) or probabilities; use family='poisson' for counts.",
    )
    other_links = "lets the mean of a bernoulli response leave [0, 1]"
    is_convex = True
    is_canonical = True
    has_events = True
    has_fractions = True
    can_separate = True
    intercept_steps = "logits"

    def value(self, xp: Any, eta: Array, y: Array) -> Array:
        return softplus(xp, eta) - y * eta

    def excess(self, xp: Any, eta: Array, y: Array) -> Array:
        return self.value(xp, eta, y) if self.binary else bernoulli_excess(xp, eta, y)

    def derivatives(self, xp: Any, eta: Array, y: Array) -> tuple[Array, Array]:
        mu = sigmoid(xp, eta)
        return mu - y, mu * (1 - mu)

    def saturated(self, y: np.ndarray) -> np.ndarray:
        y = np.asarray(y, float)
        return -xlogy(y, y) - xlogy(1 - y, 1 - y)

    def unit_deviance(self, y: np.ndarray, mu: np.ndarray) -> np.ndarray:
        y, mu = np.asarray(y, float), np.asarray(mu, float)
        # event by event, so that it is exactly 0 for μ = y
        unit = 2 * ((xlogy(y, y) - xlogy(y, mu)) + (xlogy(1 - y, 1 - y) - xlogy(1 - y, 1 - mu)))
        return np.maximum(unit, 0)

    def variance(self, mu: np.ndarray) -> np.ndarray:
        return mu * (1 - mu)

    def draw(self, rng: np.random.Generator, mu: np.ndarray, dispersion: np.ndarray | float = 1.0) -> np.ndarray:
        return (rng.random(np.shape(mu)) < mu).astype(float)

    def null(self, y: np.ndarray, mean: np.ndarray) -> np.ndarray:
        mean = np.where(mean > 0, mean, 1)
        rest = np.where(mean < 1, 1 - mean, 1)
        return xlogy(y, y / mean) + xlogy(1 - y, (1 - y) / rest)

    def saturated_mean(self, mean: np.ndarray, null: np.ndarray) -> np.ndarray:
        # a weighted mean of events can round to just above 1
        return super().saturated_mean(np.clip(mean, 0, 1), null)

    def fittable(
        self, n: np.ndarray, n_events: np.ndarray, n_non_events: np.ndarray, constant: np.ndarray
    ) -> np.ndarray:
        return super().fittable(n, n_events, n_non_events, constant) & (n_non_events >= 2)

    def of_events(self) -> Bernoulli:
        return replace(self, binary=True)

    def sides(self, y: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        return y > 0, y < 1


BERNOULLI = (Bernoulli(Sigmoid()),)
