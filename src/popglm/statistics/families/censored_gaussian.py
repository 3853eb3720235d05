"""Censored Gaussian activity: Gaussian above 0, and 0 wherever it would be below (the tobit model)."""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np

from popglm.statistics.families.contract import Family, Parameter, Samples
from popglm.statistics.families.elementary import scaled_erfc
from popglm.statistics.families.links import InverseLink
from popglm.statistics.families.units import Units

__all__ = ["CENSORED_GAUSSIAN"]

Array = Any
ROOT_TWO, LOG_ROOT_TWO_PI = math.sqrt(2), 0.5 * math.log(2 * math.pi)
#: σ of an estimate is at least this share of the root mean square of the responses above 0: no fit is exact.
LEAST = 1e-4
#: Between which σ lies, in any unit.
RANGE = (1e-100, 1e100)
#: Neurons whose samples are worked on together in an estimate.
TOGETHER = 8
#: Newton steps of an estimate at most, the relative step that is the last, since it leaves about its square, and the
#: share of a value that is rounding.
MAX_STEPS, CLOSE, NOISE = 100, 1e-6, 1e-13


def tail(xp: Any, z: Array) -> tuple[Array, Array, Array]:
    """−log Φ(−z) with its first and second derivative in z, of the standard normal distribution Φ."""
    t = xp.abs(z) / ROOT_TWO
    scaled, square, below = scaled_erfc(xp, t), t * t, z < 0
    # Φ(−|z|), which is near 0 where one of the two forms keeps its digits
    far = 0.5 * xp.exp(-square) * scaled
    loss = xp.where(below, -xp.log1p(-far), square - xp.log(0.5 * scaled))
    mills = xp.where(below, xp.exp(-square) / (ROOT_TWO * np.pi**0.5 * (1 - far)), ROOT_TWO / np.pi**0.5 / scaled)
    return loss, mills, xp.maximum(mills * (mills - z), 0)


@dataclass(frozen=True)
class CensoredMean(InverseLink):
    """The mean of max(0, η + σε): ηΦ(η/σ) + σφ(η/σ), for a standard normal ε.

    η itself is the mean of the activity before it is censored, so that the link is the identity by name.

    Attributes
    ----------
    sigma : float or array
    """

    sigma: Any = 1.0

    name = "identity"
    means = (0.0, np.inf)
    in_units = True

    def mean(self, xp: Any, eta: Array) -> Array:
        z = eta / self.sigma
        t = xp.abs(z) / ROOT_TWO
        # max(z, 0) and what the other side adds, φ(z) − |z|Φ(−|z|)
        other = xp.exp(-t * t) / (ROOT_TWO * np.pi**0.5) * (1 - np.pi**0.5 * t * scaled_erfc(xp, t))
        return self.sigma * (xp.maximum(z, 0) + xp.maximum(other, 0))

    def slope(self, xp: Any, eta: Array) -> Array:
        z = eta / self.sigma
        t = xp.abs(z) / ROOT_TWO
        far = 0.5 * xp.exp(-t * t) * scaled_erfc(xp, t)
        return xp.where(z < 0, far, 1 - far)

    def link(self, mu: np.ndarray) -> np.ndarray:
        share, one = np.asarray(mu, float) / self.sigma, CensoredMean()
        target = np.log(np.where(share > 0, share, 1))
        # the logarithm of the mean is concave: Newton's method arrives from below, and below it is after one step
        z = np.where(share > 1, share, -np.sqrt(np.maximum(-2 * target, 0)))
        for _ in range(MAX_STEPS):
            mean = one.mean(np, z)
            step = np.where(mean > 0, (np.log(np.where(mean > 0, mean, 1)) - target) * mean / one.slope(np, z), 0.0)
            z = z - step
            if (np.abs(step) <= CLOSE * (1 + np.abs(z))).all():
                break
        return np.where(share > 0, z, -np.inf) * self.sigma


@dataclass(frozen=True)
class CensoredGaussian(Family):
    """ℓ = ((y − η)/σ)²/2 for y > 0, and −log Φ(−η/σ) for y = 0: max(0, η + σε) with a standard normal ε.

    Given σ, ℓ is convex in η. It is half the deviance: the saturated model has ℓ = 0, at η = y and at η = −∞.

    Tobin, "Estimation of relationships for limited dependent variables", *Econometrica* 26 (1958).

    Attributes
    ----------
    sigma : float or array
        Standard deviation of the activity before it is censored.
    """

    sigma: Any = 1.0

    name = "censored_gaussian"
    parameters = (Parameter("sigma", 1.0, RANGE, power=1.0),)
    valid_range = (0.0, np.inf)
    out_of_range = (
        "a negative value",
        "family='censored_gaussian' needs activity ≥ 0 that is 0 wherever it would be below; use family='gaussian' for "
        "other, such as dF/F.",
    )
    other_links = "has no meaning for a censored Gaussian response, which is linear before it is censored"
    is_exponential = False
    is_convex = True
    has_events = True
    can_separate = True
    can_collapse = True
    scale = "proportional"

    def given(self, *values: Array) -> CensoredGaussian:
        return CensoredGaussian(CensoredMean(*values), *values)

    def value(self, xp: Any, eta: Array, y: Array) -> Array:
        apart = (y - eta) / self.sigma
        return xp.where(y > 0, 0.5 * apart * apart, tail(xp, eta / self.sigma)[0])

    def excess(self, xp: Any, eta: Array, y: Array) -> Array:
        return self.value(xp, eta, y)

    def derivatives(self, xp: Any, eta: Array, y: Array) -> tuple[Array, Array]:
        events, z = y > 0, eta / self.sigma
        _, mills, bend = tail(xp, z)
        r = xp.where(events, (eta - y) / self.sigma, mills) / self.sigma
        return r, xp.where(events, xp.ones_like(z), bend) / self.sigma / self.sigma

    def saturated(self, y: np.ndarray) -> np.ndarray:
        return np.zeros_like(np.asarray(y, float))

    def saturated_mean(self, mean: np.ndarray, null: np.ndarray) -> np.ndarray:
        return np.zeros_like(mean)

    def unit_deviance(self, y: np.ndarray, mu: np.ndarray) -> np.ndarray:
        y, mu = np.broadcast_arrays(np.asarray(y, float), np.asarray(mu, float))
        known = mu > 0
        unit = self.deviance(self.link.link(np.where(known, mu, 1)), y)
        return np.where(known, unit, np.where((mu == 0) & (y <= 0), 0.0, np.inf))

    def normaliser(self, y: np.ndarray) -> np.ndarray:
        # a response of exactly 0 has a probability, others have a density
        return np.where(np.asarray(y) > 0, np.log(self.sigma) + LOG_ROOT_TWO_PI, 0.0)

    def log_base(self, y: np.ndarray, dispersion: float) -> np.ndarray:
        return -self.normaliser(y)

    def variance(self, mu: np.ndarray) -> np.ndarray:
        z = self.link.link(mu) / self.sigma
        share, mean = CensoredMean().slope(np, z), CensoredMean().mean(np, z)
        # E y² is Φ(z) + z E y
        return np.maximum(share + z * mean - mean**2, 0) * self.sigma**2

    def parameter_derivatives(self, eta: np.ndarray, y: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        events, z, u = y > 0, eta / self.sigma, (y - eta) / self.sigma
        _, mills, bend = tail(np, z)
        first = np.where(events, 1 - u * u, -z * mills) / self.sigma
        cross = np.where(events, 2 * u, -mills - z * bend) / self.sigma**2
        own = np.where(events, 3 * u * u - 1, z * (2 * mills + z * bend)) / self.sigma**2
        return first[:, None], cross[:, None], own[:, None, None]

    def deviance_of_event(self, size: np.ndarray, share: np.ndarray) -> np.ndarray:
        return np.ones_like(size)

    def draw(self, rng: np.random.Generator, mu: np.ndarray, dispersion: np.ndarray | float = 1.0) -> np.ndarray:
        return np.maximum(rng.normal(self.link.link(mu), self.sigma), 0)

    def sides(self, y: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        # a response above 0 holds its predictor where it is; only samples of 0 go down for ever
        return y > 0, np.ones(y.shape, bool)

    def units(self, decade: float, shift: np.ndarray, has_norm: bool) -> Units:
        # ℓ has no unit; a power of two, so that no digit changes
        size = np.full(len(shift), np.exp2(np.round(decade * np.log2(10))))
        return Units.of(len(size), size=size, weight=size, strength=1 / (size if has_norm else size**2))

    def estimate(self, samples: Samples, start: np.ndarray, with_intercept: bool = False) -> np.ndarray:
        """σ of the largest likelihood, which with an intercept beside it is a concave function of both.

        With h = 1/σ and the shift a of the predictor in units of σ, the negative logarithm is the sum of
        (h(y − η) − a)²/2 − log h over y > 0, and of −log Φ(−hη − a) over y = 0, convex in (h, a) (Olsen, "Note on the
        uniqueness of the maximum likelihood estimator for the tobit model", *Econometrica* 46, 1978).
        """
        found = start.copy()
        for own in np.split(np.arange(len(start)), range(TOGETHER, len(start), TOGETHER)):
            found[own, 0] = _largest_likelihood(_Beside.of(samples(own), len(own)), start[own, 0], with_intercept)
        return found


@dataclass(frozen=True)
class _Beside:
    """Samples of some neurons beside their predictors.

    Attributes
    ----------
    n, apart, square, size : ndarray, shape (n_neurons,)
        Of samples above 0: weighted sums of 1, y − η and (y − η)², and the root mean square of y; 0 of none.
    zeros : list of (s, eta)
        Weights and predictors of the others, shape (n_neurons, n_rows); 0 in place of what does not count.
    """

    n: np.ndarray
    apart: np.ndarray
    square: np.ndarray
    size: np.ndarray
    zeros: list[tuple[np.ndarray, np.ndarray]]

    @classmethod
    def of(cls, chunks: Any, n_neurons: int) -> _Beside:
        """Samples ``(y, s, eta)`` of the neurons."""
        sums, zeros = np.zeros((4, n_neurons)), []
        for y, s, eta in chunks:
            events, none = (y > 0) & (s > 0), (y <= 0) & (s > 0)
            weight, d = np.where(events, s, 0), np.where(events, y - eta, 0)
            for total, each in zip(sums, (np.ones_like(d), d, d * d, y * y), strict=True):
                total += np.einsum("ij,ij->i", weight, each)
            rest = np.where(none, s, 0)
            if eta.shape[1] == 1:
                rest, none = rest.sum(axis=1, keepdims=True), none.any(axis=1, keepdims=True)
            zeros.append((rest, np.where(none, eta, 0)))
        n, apart, square, power = sums
        return cls(n, apart, square, np.sqrt(power / np.where(n > 0, n, 1)), zeros)

    def value(self, h: np.ndarray, a: np.ndarray, some: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """Negative log-likelihood of some neurons, gradient (2, n) and second derivatives (3, n) in hh, ha, aa."""
        n, d, dd = self.n[some], self.apart[some], self.square[some]
        value = 0.5 * (h * h * dd - 2 * h * a * d + a * a * n) - n * np.log(h)
        first = np.array([h * dd - a * d - n / h, a * n - h * d])
        second = np.array([dd + n / h**2, -d, n])
        for s, eta in self.zeros:
            s, eta = s[some], eta[some]
            loss, mills, bend = tail(np, h[:, None] * eta + a[:, None])
            value = value + (s * loss).sum(axis=1)
            first += [(s * mills * eta).sum(axis=1), (s * mills).sum(axis=1)]
            second += [(s * bend * eta * eta).sum(axis=1), (s * bend * eta).sum(axis=1), (s * bend).sum(axis=1)]
        return value, first, second


def _largest_likelihood(beside: _Beside, start: np.ndarray, with_intercept: bool) -> np.ndarray:
    """σ of some neurons, shape (n_neurons,): Newton's method, each neuron with halved steps where it must."""
    usable = (beside.n > 0) & np.isfinite(beside.square) & (beside.size > 0)
    least = np.where(usable, LEAST * beside.size, start)
    h, a = 1 / np.maximum(start, least), np.zeros(len(start))
    for some, own in _descents(beside, np.flatnonzero(usable), h, a, 1 / least, with_intercept):
        h[some], a[some] = own
    return np.where(usable, 1 / h, start)


def _descents(
    beside: _Beside, going: np.ndarray, h: np.ndarray, a: np.ndarray, most: np.ndarray, with_intercept: bool
) -> Iterator[tuple[np.ndarray, np.ndarray]]:
    """The neurons that go on and where they are now, (2, n), step after step; ``most`` is the largest h of each."""
    at = np.array([h[going], a[going]])
    value, first, second = beside.value(at[0], at[1], going)
    for _ in range(MAX_STEPS):
        step = _newton_step(first, second, with_intercept)
        # h stays above 0, and below the largest
        share = np.minimum(np.where(step[0] < 0, 0.9 * at[0] / np.where(step[0] < 0, -step[0], 1), np.inf), 1.0)
        halved = np.zeros(len(going), bool)
        ahead = at + share * step
        ahead[0] = np.minimum(ahead[0], most[going])
        found = beside.value(ahead[0], ahead[1], going)
        for _ in range(MAX_STEPS):
            halved = ~(found[0] <= value + NOISE * np.abs(value)) & (share > 1e-12)
            if not halved.any():
                break
            share = np.where(halved, share / 2, share)
            ahead = at + share * step
            ahead[0] = np.minimum(ahead[0], most[going])
            found = beside.value(ahead[0], ahead[1], going)
        moved = np.abs(ahead - at) > CLOSE * np.array([ahead[0], 1 + np.abs(ahead[1])])
        at, (value, first, second) = ahead, found
        yield going, at
        kept = moved.any(axis=0)
        if not kept.any():
            return
        going, at, value, first, second = going[kept], at[:, kept], value[kept], first[:, kept], second[:, kept]


def _newton_step(first: np.ndarray, second: np.ndarray, with_intercept: bool) -> np.ndarray:
    """−H⁻¹g in h and a, or in h alone, shape (2, n)."""
    (hh, ha, aa), (gh, ga) = second, first
    if not with_intercept:
        return np.array([-gh / hh, np.zeros_like(gh)])
    determinant = np.maximum(hh * aa - ha * ha, np.finfo(float).eps * hh * aa)
    return np.array([(ha * ga - aa * gh) / determinant, (ha * gh - hh * ga) / determinant])


CENSORED_GAUSSIAN = (CensoredGaussian(CensoredMean()),)
