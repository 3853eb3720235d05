"""Negative binomial activity: counts whose variance grows faster than their mean."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from scipy.special import digamma, gammaln, polygamma, xlogy

from popglm.statistics.families.contract import Family, Parameter, Samples
from popglm.statistics.families.elementary import SMALL, log1p_over, sigmoid, softplus
from popglm.statistics.families.links import Exp
from popglm.statistics.families.units import Units

__all__ = ["NEGATIVE_BINOMIAL"]

Array = Any
#: The largest dispersion. Two events in one of a million samples, and no others, have less.
MOST = 1e6
#: Dispersions up to this one take log Γ and its derivatives at 1/α from Stirling's series, which has all digits there.
NEAR_POISSON = 1 / 32
#: Counts up to which sums over j < y take the place of log Γ; and neurons that are worked on together, in cache.
FEW, TOGETHER = 256, 8
#: Steps of an estimate at most; the step of log α that is the last, since it leaves about its square; the longest one.
MAX_STEPS, CLOSE, FURTHEST = 60, 1e-5, 3.0


@dataclass(frozen=True)
class NegativeBinomial(Family):
    """ℓ = (y + 1/α) log(1 + αμ) − yη: a Poisson count whose rate varies by itself, with the variance αμ².

    y has the variance μ + αμ². Given α, ℓ is convex in η = log μ, and its excess a Bregman divergence of the mean; for
    α = 0 they are those of Poisson. The canonical link, log μ − log(1 + αμ), could only be below 0.

    Attributes
    ----------
    alpha : float or array
        Dispersion, 1/θ of R's ``glm.nb``.
    """

    alpha: Any = 0.0

    name = "negative_binomial"
    parameters = (Parameter("alpha", 0.0, (0.0, MOST), power=-1.0),)
    valid_range = (0.0, np.inf)
    out_of_range = (
        "a negative value",
        "family='negative_binomial' needs counts, or activity ≥ 0; use family='gaussian' for other.",
    )
    other_links = "is not there for a negative binomial response, whose mean must be positive"
    is_convex = True
    has_events = True
    can_separate = True
    scale = "log"

    def value(self, xp: Any, eta: Array, y: Array) -> Array:
        far, x, _, v, alpha = self._parts(xp, eta)
        # log(1 + αμ) − log μ, without large terms
        rest = xp.where(far, softplus(xp, -x) + xp.log(alpha), xp.log1p(v) - eta)
        return self._silence(xp, eta) + y * rest

    def excess(self, xp: Any, eta: Array, y: Array) -> Array:
        events = y > 0
        safe = xp.where(events, y, xp.ones_like(y))
        of_events = _excess_of_events(xp, eta - xp.log(safe), safe, self.alpha)
        return xp.where(events, of_events, self._silence(xp, eta))

    def derivatives(self, xp: Any, eta: Array, y: Array) -> tuple[Array, Array]:
        far, x, mu, v, alpha = self._parts(xp, eta)
        w = xp.where(far, sigmoid(xp, -x), 1 / (1 + v))
        weight = xp.where(far, sigmoid(xp, x) / alpha, mu * w)
        return weight - y * w, weight

    def second_derivative(self, eta: np.ndarray, y: np.ndarray) -> np.ndarray:
        far, x, mu, v, alpha = self._parts(np, eta)
        w = np.where(far, sigmoid(np, -x), 1 / (1 + v))
        return np.where(far, sigmoid(np, x) / alpha, mu * w) * (1 + self.alpha * y) * w

    def _silence(self, xp: Any, eta: Array) -> Array:
        """ℓ of y = 0, log(1 + αμ)/α: μ for α = 0."""
        far, x, mu, v, alpha = self._parts(xp, eta)
        return xp.where(far, softplus(xp, x) / alpha, mu * log1p_over(xp, v))

    def _parts(self, xp: Any, eta: Array) -> tuple[Array, Array, Array, Array, Array]:
        """Whether αμ is above 1; log αμ; μ and αμ where it is not; α where it is. 0 or 1 elsewhere."""
        one, alpha = xp.ones_like(eta), self.alpha + xp.zeros_like(eta)
        positive = alpha > 1e-30
        x = xp.where(positive, eta + xp.log(xp.where(positive, alpha, one)), 0 * one)
        far = x > 0
        mu = xp.exp(xp.where(far, 0 * one, eta))
        return (
            far,
            x,
            mu,
            xp.where(positive & ~far, alpha * xp.where(positive, mu, one), 0 * one),
            xp.where(far, alpha, one),
        )

    def saturated(self, y: np.ndarray) -> np.ndarray:
        y = np.asarray(y, float)
        u = self.alpha * y
        return y * log1p_over(np, u) + y * np.log1p(u) - xlogy(y, y)

    def unit_deviance(self, y: np.ndarray, mu: np.ndarray) -> np.ndarray:
        y, mu, alpha = np.broadcast_arrays(np.asarray(y, float), np.asarray(mu, float), self.alpha)
        safe = np.where(y > 0, y, 1)
        with np.errstate(divide="ignore", over="ignore", invalid="ignore"):
            # log(μ/y): near μ = y from the difference, which is exact there
            rho = (mu - safe) / safe
            delta = np.where(np.abs(rho) < SMALL, np.log1p(rho), np.log(mu / safe))
            of_events = np.where(mu > 0, _excess_of_events(np, delta, safe, alpha), np.inf)
            return 2 * np.maximum(np.where(y > 0, of_events, mu * log1p_over(np, alpha * mu)), 0)

    def log_base(self, y: np.ndarray, dispersion: float) -> np.ndarray:
        return -self.normaliser(y) - gammaln(y + 1)

    def variance(self, mu: np.ndarray) -> np.ndarray:
        return mu + self.alpha * mu**2

    def draw(self, rng: np.random.Generator, mu: np.ndarray, dispersion: np.ndarray | float = 1.0) -> np.ndarray:
        alpha = np.broadcast_to(self.alpha, np.shape(mu))
        spread = np.where(alpha > 0, alpha, 1)
        # a count whose rate is itself drawn from a gamma distribution
        return rng.poisson(np.where(alpha > 0, rng.gamma(1 / spread, mu * spread), mu)).astype(float)

    def null(self, y: np.ndarray, mean: np.ndarray) -> np.ndarray:
        return super().null(y, np.where(mean > 0, mean, 1))

    def sides(self, y: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        # a count holds its rate where it is; only samples without events go down for ever
        return y > 0, np.ones(y.shape, bool)

    def units(self, decade: float, shift: np.ndarray, has_norm: bool) -> Units:
        # of ℓ for a given α; `estimate` is in the recording's unit, since the likelihood of counts knows no other
        size = np.full(len(shift), 10.0**decade)
        return Units.of(len(size), size=size, intercept=np.log(size), loss=size, strength=size, per_mean=-np.log(size))

    def normaliser(self, y: np.ndarray) -> np.ndarray:
        """−log of Γ(y + 1/α) α^y / Γ(1/α): the sum of −log(1 + αj) over j < y for counts."""
        every, alpha = np.broadcast_arrays(np.asarray(y, float), self.alpha)
        found, events = np.zeros(every.shape), every > 0
        y, alpha = every[events], alpha[events]
        near = alpha <= NEAR_POISSON
        a, u = alpha[near], (alpha * y)[near]
        # (y + t − ½) log(1 + u) − y for t = 1/α, and the rest of the series
        log, w = np.log1p(u), 1 / (1 + u)
        stirling = y[near] * (log + u * _log1p_rest(u)[0]) - log / 2 - a / 12 * (1 - w)
        total, t, c = np.zeros(len(y)), 1 / alpha[~near], y[~near]
        total[near] = stirling + a**3 / 360 * (1 - w**3) - a**5 / 1260 * (1 - w**5)
        total[~near] = gammaln(c + t) - gammaln(t) - c * np.log(t)
        found[events] = -total
        return found

    def estimate(self, samples: Samples, start: np.ndarray) -> np.ndarray:
        """α of the largest likelihood: 0 where ½ Σ s[(y − μ)² − y], its slope there, is not positive.

        Newton's method on log α for α · slope, which vanishes at both ends too; each neuron keeps a bracket, and halves
        it where a step would leave it.
        """
        everyone = np.arange(len(start))
        slope, square, events = np.zeros((3, len(start)))
        with np.errstate(over="ignore", invalid="ignore"):
            for y, s, eta in samples(everyone):
                mu = np.exp(eta)
                slope += np.where(s > 0, s * ((y - mu) ** 2 - y), 0).sum(axis=1)
                square += np.where(s > 0, s * mu * mu, 0).sum(axis=1)
                events += (s * y).sum(axis=1)
            # of a silent neuron nothing is known, and a mean that overflows says nothing
            usable = (slope > 0) & (events > 0) & np.isfinite(slope) & (square > 0)
            first = np.where(start[:, 0] > 0, start[:, 0], slope / square)
            x = np.log(np.clip(np.where(usable, first, 1), 1e-12, MOST))
            going = everyone[usable]
            below, above = np.full((2, len(start)), np.inf) * [[-1], [1]]
            for _ in range(MAX_STEPS):
                if not len(going):
                    break
                g, h = _slopes(samples, going, np.exp(x[going]))
                x[going], moving = _next(x[going], g, h, going, below, above)
                going = going[moving]
        return np.where(usable, np.minimum(np.exp(x), MOST), 0.0)[:, None]


def _next(
    x: np.ndarray, g: np.ndarray, h: np.ndarray, neurons: np.ndarray, below: np.ndarray, above: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """The next log α of some neurons, and which of them go on; ``below`` and ``above`` of all are brought up to date.

    g and h are the first and second derivative of the log-likelihood in log α.
    """
    below[neurons] = np.where(g > 0, x, below[neurons])
    above[neurons] = np.where(g > 0, above[neurons], x)
    low, high = below[neurons], above[neurons]
    step = np.where(h < 0, -g / np.where(h < 0, h, -1), np.sign(g) * FURTHEST)
    ahead = x + np.clip(step, -FURTHEST, FURTHEST)
    middle = np.where(np.isfinite(low) & np.isfinite(high), (low + high) / 2, ahead)
    ahead = np.where((ahead <= low) | (ahead >= high) | ~np.isfinite(ahead), middle, ahead)
    moving = (np.abs(ahead - x) > CLOSE) & ~((x >= np.log(MOST)) & (g > 0))
    return np.where(np.isfinite(ahead), ahead, x), moving & np.isfinite(ahead)


def _slopes(samples: Samples, neurons: np.ndarray, alpha: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """First and second derivative of the log-likelihood in log α, shape (n_neurons,)."""
    first, second = np.zeros((2, len(neurons)))
    for y, s, eta in samples(neurons):
        for rows in (slice(i, i + TOGETHER) for i in range(0, len(neurons), TOGETHER)):
            # −log(1 + αμ)/α − y log(1 + αμ), of all samples
            mu, a = np.exp(eta[rows]), alpha[rows, None]
            v, off = a * mu, mu - y[rows]
            w, (rest, bend) = 1 / (1 + v), _log1p_rest(v)
            known, weight = s[rows] > 0, s[rows]
            first[rows] += np.where(known, weight * mu * (mu * rest + off * w), 0).sum(axis=1)
            second[rows] += np.where(known, weight * mu * mu * (mu * bend - off * (w * w)), 0).sum(axis=1)
        # log Γ(y + 1/α) − log Γ(1/α) + y log α, of those with events
        row, column = np.nonzero((y > 0) & (s > 0))
        own, weight = y[row, column], s[row, column]
        few = (own <= FEW) & (own == np.floor(own))
        for ways, some in ((_few_slopes, few), (_gamma_slopes, ~few)):
            for total, each in zip((first, second), ways(own[some], row[some], alpha), strict=True):
                total += np.bincount(row[some], weight[some] * each, len(neurons))
    return alpha * first, alpha * first + alpha**2 * second


def _few_slopes(y: np.ndarray, row: np.ndarray, alpha: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """`_gamma_slopes` of counts, which are Σ j/(1 + αj) and −Σ j²/(1 + αj)² over j < y."""
    j = np.arange(y.max(initial=0))
    each = j / (1 + alpha[:, None] * j)
    counts = y.astype(int) - 1
    return np.cumsum(each, axis=1)[row, counts], -np.cumsum(each * each, axis=1)[row, counts]


def _gamma_slopes(y: np.ndarray, row: np.ndarray, alpha: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """First and second derivative of log Γ(y + 1/α) − log Γ(1/α) + y log α in α, for α of some rows."""
    first, second = np.zeros((2, len(y)))
    near = alpha[row] <= NEAR_POISSON
    a, c = alpha[row[near]], y[near]
    u = a * c
    w, (rest, bend) = 1 / (1 + u), _log1p_rest(u)
    first[near] = -c * c * rest - c * w / 2 - (1 - w**2) / 12 + a**2 / 120 * (1 - w**4) - a**4 / 252 * (1 - w**6)
    second[near] = -(c**3) * bend + c * c * w * w / 2 - c * w**3 / 6
    second[near] += a / 60 * (1 - w**4) + a**2 * c / 30 * w**5 - a**3 / 63 * (1 - w**6) - a**4 * c / 42 * w**7
    t, c = 1 / alpha[row[~near]], y[~near]
    psi, trigamma = digamma(c + t) - digamma(t), polygamma(1, c + t) - polygamma(1, t)
    first[~near] = c * t - t**2 * psi
    second[~near] = 2 * t**3 * psi + t**4 * trigamma - c * t**2
    return first, second


def _log1p_rest(v: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """(log(1 + v) − v)/v² and its derivative, for v ≥ 0; to 1e-9 at least."""
    small = v < 1e-3
    safe = np.where(small, 1, v)
    rest = (np.log1p(safe) - safe) / (safe * safe)
    bend = -(1 / (1 + safe) + 2 * rest) / safe
    if small.any():
        rest = np.where(small, -1 / 2 + v * (1 / 3 - v * (1 / 4 - v / 5)), rest)
        bend = np.where(small, 1 / 3 - v * (1 / 2 - v * (3 / 5 - v * 2 / 3)), bend)
    return rest, bend


def _excess_of_events(xp: Any, delta: Array, y: Array, alpha: Array) -> Array:
    """y/p · log(q + p exp(δ)) − yδ for y > 0 and δ = log(μ/y), with all its digits near 0; p = αy/(1 + αy) = 1 − q."""
    p, q = alpha * y / (1 + alpha * y), 1 / (1 + alpha * y)
    pq, skew = p * q, q - p
    # the cumulants of an event
    last = 1 - 30 * pq * (1 - 4 * pq) + delta / 7 * skew * (1 - 60 * pq * (1 - 6 * pq))
    tail = 1 - 6 * pq + delta / 5 * (skew * (1 - 12 * pq) + delta / 6 * last)
    near = 0.5 * q * delta * delta * (1 + delta / 3 * (skew + delta / 4 * tail))
    # log(1 + v)/p where v = p(exp(δ) − 1) keeps its digits; else δ/p and the rest, or the logarithm itself
    one, zero, size = xp.ones_like(delta), xp.zeros_like(delta), xp.abs(delta)
    z, turned = xp.exp(delta) - 1, q * (xp.exp(-delta) - 1)
    v = xp.where(p > 0, p * xp.where(p > 0, z, zero), zero)
    inside = (v > -0.5) & (v < 1)
    turns, low = ~inside & (turned > -0.5) & (turned < 1), delta < 0
    divisor = xp.where(inside, one, p)
    by_ratio = xp.where(inside, z, zero) * log1p_over(xp, xp.where(inside, v, zero)) - delta
    by_turn = (delta * q + xp.log1p(xp.where(turns, turned, zero))) / divisor
    terms = xp.where(low, q, p) + xp.where(low, p, q) * xp.exp(-size)
    by_terms = (xp.where(low, zero, delta) + xp.log(xp.where(inside, one, terms))) / divisor - delta
    far = xp.where(inside, by_ratio, xp.where(turns, by_turn, by_terms))
    return y * xp.where(size < SMALL, near, far)


NEGATIVE_BINOMIAL = (NegativeBinomial(Exp()),)
