"""Poisson activity: counts, or any activity of at least 0 whose variance grows with its mean."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from scipy.special import expit, gammaln, xlogy

from popglm.statistics.families.contract import Chunks, Family
from popglm.statistics.families.elementary import SMALL, exp_excess, log_softplus, sigmoid, softplus
from popglm.statistics.families.links import Exp, Identity, Relu, Sigmoid, Softplus
from popglm.statistics.families.units import Units

__all__ = ["POISSON"]

Array = Any


def poisson_excess(xp: Any, mu: Array, y: Array, factor: Array, exponent: Array) -> Array:
    """μ − y + y log(y/μ), with all its digits near μ = y; log μ is that of ``factor``, and ``exponent``."""
    events = y > 0
    safe = xp.where(events, y, xp.ones_like(y))
    rho = (mu - safe) / safe
    # ρ − log(1 + ρ)
    tail = 1 / 5 - rho * (1 / 6 - rho * (1 / 7 - rho * (1 / 8 - rho / 9)))
    near = rho * rho * (1 / 2 - rho * (1 / 3 - rho * (1 / 4 - rho * tail)))
    far = rho - xp.log(factor / safe) - exponent
    return xp.where(events, safe * xp.where(xp.abs(rho) < SMALL, near, far), mu)


@dataclass(frozen=True)
class Poisson(Family):
    """ℓ = μ − y log μ."""

    name = "poisson"
    valid_range = (0.0, np.inf)
    out_of_range = ("a negative value", "family='poisson' needs activity ≥ 0; use family='gaussian' for other.")
    has_events = True

    def saturated(self, y: np.ndarray) -> np.ndarray:
        y = np.asarray(y, float)
        return y - xlogy(y, y)

    def unit_deviance(self, y: np.ndarray, mu: np.ndarray) -> np.ndarray:
        y, mu = np.asarray(y, float), np.asarray(mu, float)
        with np.errstate(divide="ignore"):
            return np.maximum(2 * poisson_excess(np, mu, y, mu, np.zeros_like(mu)), 0)

    def log_base(self, y: np.ndarray, dispersion: float) -> np.ndarray:
        return -gammaln(y + 1)

    def variance(self, mu: np.ndarray) -> np.ndarray:
        return mu

    def draw(self, rng: np.random.Generator, mu: np.ndarray, dispersion: np.ndarray | float = 1.0) -> np.ndarray:
        return rng.poisson(mu).astype(float)

    def null(self, y: np.ndarray, mean: np.ndarray) -> np.ndarray:
        mean = np.where(mean > 0, mean, 1)
        events = y > 0
        return np.where(events, y * np.log(np.where(events, y / mean, 1)), 0) - (y - mean)

    def sides(self, y: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        # a count holds its rate where it is; only samples without events go down for ever
        return y > 0, np.ones(y.shape, bool)


@dataclass(frozen=True)
class PoissonExp(Poisson):
    """ℓ = exp(η) − yη."""

    is_convex = True
    is_canonical = True
    has_exp_sums = True
    can_separate = True
    # Σμ = Σy ends the way in one step; the sum of residuals keeps its digits there, where Σy/Σμ has none
    intercept_steps = "ratio"
    scale = "log"

    def value(self, xp: Any, eta: Array, y: Array) -> Array:
        return xp.exp(eta) - y * eta

    def excess(self, xp: Any, eta: Array, y: Array) -> Array:
        if xp is np:
            return _excess_of_events(eta, y)
        events = y > 0
        safe = xp.where(events, y, xp.ones_like(y))
        delta = eta - xp.log(safe)
        return xp.where(events, safe * exp_excess(xp, delta), xp.exp(delta))

    def derivatives(self, xp: Any, eta: Array, y: Array) -> tuple[Array, Array]:
        mu = xp.exp(eta)
        return mu - y, mu

    def offset_intercept(self, chunks: Chunks, inside: np.ndarray, total: np.ndarray) -> np.ndarray:
        # from the largest offset down, so that nothing overflows
        top = max((o.max() for _, _, o in chunks()), default=0.0)
        exposure = np.zeros(len(inside))
        for _, s, o in chunks():
            exposure += s @ np.exp(o - top)
        return np.log(inside * total) - np.log(np.where(exposure > 0, exposure, total)) - top

    def units(self, decade: float, shift: np.ndarray, has_norm: bool) -> Units:
        size = np.full(len(shift), 10.0**decade)
        return Units.of(len(size), size=size, intercept=np.log(size), loss=size, strength=size, per_mean=-np.log(size))


@dataclass(frozen=True)
class PoissonSoftplus(Poisson):
    """ℓ = softplus(η) − y log softplus(η)."""

    is_convex = True
    can_separate = True

    def value(self, xp: Any, eta: Array, y: Array) -> Array:
        return softplus(xp, eta) - y * log_softplus(xp, eta)

    def excess(self, xp: Any, eta: Array, y: Array) -> Array:
        return _excess_under_a_tail(self, xp, eta, y)

    def derivatives(self, xp: Any, eta: Array, y: Array) -> tuple[Array, Array]:
        # h'/h tends to 1 as both underflow; y·h'/h is kept finite by dividing first
        slope, mu = sigmoid(xp, eta), softplus(xp, eta)
        ratio = xp.where(eta < -35, xp.ones_like(eta), slope / xp.maximum(mu, 1e-30))
        return slope - y * ratio, slope * ratio

    def second_derivative(self, eta: np.ndarray, y: np.ndarray) -> np.ndarray:
        slope, mu = expit(eta), np.logaddexp(0, eta)
        # far below 0 softplus is e^η, whose logarithm is straight; the difference below would be rounding there
        low = eta < -15
        ratio = slope / np.where(low, 1, mu)
        return slope * (1 - slope) + y * np.where(low, slope / 2, ratio * (ratio - 1 + slope))


@dataclass(frozen=True)
class PoissonSigmoid(Poisson):
    """ℓ = μ − y log μ for a rate of at most one event per sample."""

    def value(self, xp: Any, eta: Array, y: Array) -> Array:
        return sigmoid(xp, eta) + y * softplus(xp, -eta)

    def excess(self, xp: Any, eta: Array, y: Array) -> Array:
        return _excess_under_a_tail(self, xp, eta, y)

    def derivatives(self, xp: Any, eta: Array, y: Array) -> tuple[Array, Array]:
        mu = sigmoid(xp, eta)
        return (mu - y) * (1 - mu), mu * (1 - mu) ** 2


@dataclass(frozen=True)
class PoissonRate(Poisson):
    """ℓ = η − y log η, of a rate that is its own predictor."""

    is_convex = True
    has_barrier = True

    def value(self, xp: Any, eta: Array, y: Array) -> Array:
        # an event needs a positive rate; without one a rate below 0 counts as 0, under the identity too:
        # linear there, the loss of a condition without events would fall without bound
        inside = eta > 0
        log_mu = xp.log(xp.where(inside, eta, xp.ones_like(eta)))
        barrier = xp.where(inside, y * log_mu, xp.where(y > 0, -np.inf * xp.ones_like(eta), 0 * eta))
        return xp.maximum(eta, 0) - barrier

    def excess(self, xp: Any, eta: Array, y: Array) -> Array:
        inside = eta > 0
        found = poisson_excess(xp, xp.maximum(eta, 0), y, xp.where(inside, eta, xp.ones_like(eta)), xp.zeros_like(eta))
        return xp.where(inside | (y <= 0), found, np.inf * xp.ones_like(found))

    def derivatives(self, xp: Any, eta: Array, y: Array) -> tuple[Array, Array]:
        slope = xp.where(eta > 0, xp.ones_like(eta), xp.zeros_like(eta))
        mu = xp.where(eta > 0, eta, xp.ones_like(eta))
        pull = xp.where(eta > 0, y / mu, 0 * eta)
        return slope - pull, slope / mu

    def second_derivative(self, eta: np.ndarray, y: np.ndarray) -> np.ndarray:
        return np.where(eta > 0, y / np.square(np.where(eta > 0, eta, 1)), 0)


def _excess_of_events(eta: np.ndarray, y: np.ndarray) -> np.ndarray:
    """`PoissonExp.excess` on NumPy's arrays: what events need is found for them alone, and most samples have none."""
    shape = np.broadcast_shapes(eta.shape, y.shape)
    found = np.empty(shape, np.result_type(eta, y))
    np.exp(eta, out=found)
    at = np.flatnonzero(np.broadcast_to(y > 0, shape))
    counts, here = (np.broadcast_to(a, shape).reshape(-1).take(at) for a in (y, eta))
    found.reshape(-1)[at] = counts * exp_excess(np, here - np.log(counts))
    return found


def _excess_under_a_tail(family: Poisson, xp: Any, eta: Array, y: Array) -> Array:
    """`Family.excess` under a link whose logarithm is η for η ≪ 0."""
    low, mu = eta < -35, family.link.mean(xp, eta)
    factor, exponent = xp.where(low, xp.ones_like(mu), mu), xp.where(low, eta, xp.zeros_like(eta))
    return poisson_excess(xp, mu, y, factor, exponent)


POISSON = (
    PoissonExp(Exp()),
    PoissonSoftplus(Softplus()),
    PoissonRate(Identity()),
    PoissonSigmoid(Sigmoid()),
    PoissonRate(Relu()),
)
