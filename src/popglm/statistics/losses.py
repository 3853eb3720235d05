"""Negative log-likelihoods as functions of the linear predictor, one per family and inverse link.

Each is written in η, in forms that neither overflow nor take the logarithm of a clipped rate.
Constants in y are dropped from the loss (design: Poisson μ − y log μ) and kept in the deviance. The excess over the
saturated model is what fits work with: its terms vanish where the prediction is right, so that a sum of them keeps its
digits however large the counts are.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from scipy.special import xlogy

__all__ = ["FAMILIES", "INVERSE_LINKS", "Loss", "get_loss", "unit_deviance"]

Array = Any
#: Relative deviations below this are taken by a series: a difference would lose digits.
SMALL = 0.1


def _sigmoid(xp: Any, eta: Array) -> Array:
    # full relative precision for small rates; the floor keeps exp from overflowing in float32
    return 1 / (1 + xp.exp(-xp.maximum(eta, -80)))


def _softplus(xp: Any, eta: Array) -> Array:
    return xp.maximum(eta, 0) + xp.log1p(xp.exp(-xp.abs(eta)))


def _log_softplus(xp: Any, eta: Array) -> Array:
    # for η ≪ 0, softplus(η) = exp(η)(1 − exp(η)/2 + …): its logarithm is η to float64 precision
    low = eta < -35
    return xp.where(low, eta, xp.log(_softplus(xp, xp.where(low, 0 * eta, eta))))


def _exp_excess(xp: Any, delta: Array) -> Array:
    """exp(δ) − 1 − δ, with all its digits near 0."""
    tail = 1 + delta / 5 * (1 + delta / 6 * (1 + delta / 7 * (1 + delta / 8)))
    near = delta * delta * 0.5 * (1 + delta / 3 * (1 + delta / 4 * tail))
    return xp.where(xp.abs(delta) < SMALL, near, xp.exp(delta) - 1 - delta)


def _poisson_excess(xp: Any, mu: Array, y: Array, factor: Array, exponent: Array) -> Array:
    """μ − y + y log(y/μ), with all its digits near μ = y; log μ is that of ``factor``, and ``exponent``."""
    events = y > 0
    safe = xp.where(events, y, xp.ones_like(y))
    rho = (mu - safe) / safe
    # ρ − log(1 + ρ)
    tail = 1 / 5 - rho * (1 / 6 - rho * (1 / 7 - rho * (1 / 8 - rho / 9)))
    near = rho * rho * (1 / 2 - rho * (1 / 3 - rho * (1 / 4 - rho * tail)))
    far = rho - xp.log(factor / safe) - exponent
    return xp.where(events, safe * xp.where(xp.abs(rho) < SMALL, near, far), mu)


def _bernoulli_excess(xp: Any, eta: Array, y: Array) -> Array:
    """KL divergence of a probability y from sigmoid(η), with all its digits near equality."""
    inside = (y > 0) & (y < 1)
    p = xp.where(inside, y, 0.5 * xp.ones_like(y))
    q = 1 - p
    pq, skew, delta = p * q, q - p, eta - (xp.log(p) - xp.log1p(-p))
    # log(q + p exp(δ)) − pδ by the cumulants of an event
    tail = 1 - 6 * pq + delta / 5 * (skew * (1 - 12 * pq) + delta / 6 * (1 - 30 * pq * (1 - 4 * pq)))
    near = 0.5 * pq * delta * delta * (1 + delta / 3 * (skew + delta / 4 * tail))
    plain = _softplus(xp, eta) - y * eta
    far = plain + p * xp.log(p) + q * xp.log1p(-p)
    return xp.where(inside, xp.where(xp.abs(delta) < SMALL, near, far), plain)


@dataclass(frozen=True)
class InverseLink:
    """h(η), its derivative and its inverse (the latter for scalars, to start the intercept)."""

    name: str

    def mean(self, xp: Any, eta: Array) -> Array:
        """Mean response h(η)."""
        match self.name:
            case "identity":
                return eta
            case "exp":
                return xp.exp(eta)
            case "sigmoid":
                return _sigmoid(xp, eta)
            case "softplus":
                return _softplus(xp, eta)
            case "relu":
                return xp.maximum(eta, 0)
        raise AssertionError(self.name)

    def slope(self, xp: Any, eta: Array) -> Array:
        """Derivative h'(η)."""
        match self.name:
            case "identity":
                return xp.ones_like(eta)
            case "exp":
                return xp.exp(eta)
            case "sigmoid":
                mu = _sigmoid(xp, eta)
                return mu * (1 - mu)
            case "softplus":
                return _sigmoid(xp, eta)
            case "relu":
                return xp.where(eta > 0, xp.ones_like(eta), xp.zeros_like(eta))
        raise AssertionError(self.name)

    def link(self, mu: np.ndarray) -> np.ndarray:
        """Linear predictor at which the mean is ``mu`` (inside the link's open range)."""
        match self.name:
            case "exp":
                return np.log(mu)
            case "sigmoid":
                return np.log(mu) - np.log1p(-mu)
            case "softplus":
                return mu + np.log(-np.expm1(-mu))
            case _:
                return mu


@dataclass(frozen=True)
class Loss:
    """ℓ(y, η) of one family under one inverse link.

    Attributes
    ----------
    family, inverse_link : str
    convex : bool
        ℓ is convex in η; then a duality gap certifies a fit.
    smooth : bool
        ℓ has a continuous derivative in η.
    canonical : bool
        The residual dℓ/dη is μ − y.
    binary : bool
        All responses are 0 or 1: the saturated Bernoulli loss is 0 then, and the excess the loss itself.
    """

    family: str
    inverse_link: str
    convex: bool
    smooth: bool = True
    binary: bool = False

    @property
    def link(self) -> InverseLink:
        """The inverse link h."""
        return InverseLink(self.inverse_link)

    @property
    def barrier(self) -> bool:
        """Whether a sample with events needs η > 0 (a Poisson rate that is η itself); others have a kink there."""
        return self.family == "poisson" and self.inverse_link in ("identity", "relu")

    @property
    def canonical(self) -> bool:
        """Whether dℓ/dη is the plain residual μ − y."""
        return self.inverse_link == FAMILIES[self.family]

    @property
    def closed_form_intercept(self) -> bool:
        """Whether the best intercept follows from one sum over samples (Poisson-exp)."""
        return (self.family, self.inverse_link) == ("poisson", "exp")

    def value(self, xp: Any, eta: Array, y: Array) -> Array:
        """Loss per sample, +inf outside the domain of η."""
        match self.family, self.inverse_link:
            case "poisson", "exp":
                return xp.exp(eta) - y * eta
            case "poisson", "softplus":
                return _softplus(xp, eta) - y * _log_softplus(xp, eta)
            case "poisson", "sigmoid":
                return _sigmoid(xp, eta) + y * _softplus(xp, -eta)
            case "poisson", _:
                # an event needs a positive rate; without one a rate below 0 counts as 0, under the identity too:
                # linear there, the loss of a condition without events would fall without bound
                inside = eta > 0
                log_mu = xp.log(xp.where(inside, eta, xp.ones_like(eta)))
                barrier = xp.where(inside, y * log_mu, xp.where(y > 0, -np.inf * xp.ones_like(eta), 0 * eta))
                return xp.maximum(eta, 0) - barrier
            case "bernoulli", _:
                return _softplus(xp, eta) - y * eta
        return 0.5 * (y - self.link.mean(xp, eta)) ** 2

    def excess(self, xp: Any, eta: Array, y: Array) -> Array:
        """Loss above that of the saturated model, half the unit deviance, per sample; +inf outside the domain of η."""
        match self.family, self.inverse_link:
            case "poisson", "exp":
                events = y > 0
                safe = xp.where(events, y, xp.ones_like(y))
                delta = eta - xp.log(safe)
                return xp.where(events, safe * _exp_excess(xp, delta), xp.exp(delta))
            case "poisson", "softplus" | "sigmoid":
                # for η ≪ 0 the logarithm of both is η
                low, mu = eta < -35, self.link.mean(xp, eta)
                factor, exponent = xp.where(low, xp.ones_like(mu), mu), xp.where(low, eta, xp.zeros_like(eta))
                return _poisson_excess(xp, mu, y, factor, exponent)
            case "poisson", _:
                inside = eta > 0
                found = _poisson_excess(
                    xp, xp.maximum(eta, 0), y, xp.where(inside, eta, xp.ones_like(eta)), xp.zeros_like(eta)
                )
                return xp.where(inside | (y <= 0), found, np.inf * xp.ones_like(found))
            case "bernoulli", _ if not self.binary:
                return _bernoulli_excess(xp, eta, y)
        return self.value(xp, eta, y)

    def derivatives(self, xp: Any, eta: Array, y: Array) -> tuple[Array, Array]:
        """Residual dℓ/dη and Fisher weight E[d²ℓ/dη²], per sample."""
        match self.family, self.inverse_link:
            case "poisson", "exp":
                mu = xp.exp(eta)
                return mu - y, mu
            case "bernoulli", _:
                mu = _sigmoid(xp, eta)
                return mu - y, mu * (1 - mu)
            case "poisson", "softplus":
                # h'/h tends to 1 as both underflow; y·h'/h is kept finite by dividing first
                slope, mu = _sigmoid(xp, eta), _softplus(xp, eta)
                ratio = xp.where(eta < -35, xp.ones_like(eta), slope / xp.maximum(mu, 1e-30))
                return slope - y * ratio, slope * ratio
            case "poisson", "sigmoid":
                mu = _sigmoid(xp, eta)
                return (mu - y) * (1 - mu), mu * (1 - mu) ** 2
            case "poisson", _:
                slope = xp.where(eta > 0, xp.ones_like(eta), xp.zeros_like(eta))
                mu = xp.where(eta > 0, eta, xp.ones_like(eta))
                pull = xp.where(eta > 0, y / mu, 0 * eta)
                return slope - pull, slope / mu
        slope = self.link.slope(xp, eta)
        return (self.link.mean(xp, eta) - y) * slope, slope * slope

    def saturated(self, y: np.ndarray) -> np.ndarray:
        """Smallest loss that any prediction of y can have, ℓ(y, y), in float64."""
        y = np.asarray(y, float)
        match self.family:
            case "poisson":
                return y - xlogy(y, y)
            case "bernoulli":
                return -xlogy(y, y) - xlogy(1 - y, 1 - y)
        return np.zeros_like(y)

    def deviance(self, eta: np.ndarray, y: np.ndarray) -> np.ndarray:
        """Unit deviance 2[ℓ(y, η) − ℓ(y, saturated)] per sample, in float64."""
        eta, y = np.asarray(eta, float), np.asarray(y, float)
        # exp overflows to an infinite loss there, which is the truth
        with np.errstate(over="ignore", invalid="ignore"):
            return np.maximum(2 * self.excess(np, eta, y), 0)


#: Family to its canonical inverse link.
FAMILIES = {"gaussian": "identity", "poisson": "exp", "bernoulli": "sigmoid"}
INVERSE_LINKS = ("identity", "exp", "sigmoid", "softplus", "relu")

_PAIRS = {
    (loss.family, loss.inverse_link): loss
    for loss in (
        Loss("gaussian", "identity", convex=True),
        Loss("gaussian", "exp", convex=False),
        Loss("gaussian", "sigmoid", convex=False),
        Loss("gaussian", "softplus", convex=False),
        Loss("gaussian", "relu", convex=False, smooth=False),
        Loss("poisson", "exp", convex=True),
        Loss("poisson", "softplus", convex=True),
        Loss("poisson", "identity", convex=True),
        Loss("poisson", "sigmoid", convex=False),
        Loss("poisson", "relu", convex=True, smooth=False),
        Loss("bernoulli", "sigmoid", convex=True),
    )
}


def get_loss(family: str, inverse_link: str | None = None) -> Loss:
    """Loss of a family under an inverse link (the canonical one unless given).

    Raises
    ------
    ValueError
        For an unknown name, or a pair that has no meaning (a Bernoulli mean that can leave [0, 1]).

    Examples
    --------
    >>> get_loss("poisson").inverse_link
    'exp'
    """
    if family not in FAMILIES:
        raise ValueError(f"family={family!r} is unknown; use one of {', '.join(FAMILIES)}.")
    inverse_link = FAMILIES[family] if inverse_link is None else inverse_link
    if inverse_link not in INVERSE_LINKS:
        raise ValueError(f"inverse_link={inverse_link!r} is unknown; use one of {', '.join(INVERSE_LINKS)}.")
    if (family, inverse_link) not in _PAIRS:
        raise ValueError(
            f"inverse_link={inverse_link!r} lets the mean of a {family} response leave [0, 1]; "
            "use inverse_link='sigmoid'."
        )
    return _PAIRS[family, inverse_link]


def unit_deviance(family: str, y: np.ndarray, mu: np.ndarray) -> np.ndarray:
    """Deviance per sample of means μ inside the family's range, in float64; infinite where μ rules y out.

    `Loss.deviance` takes η instead, and is exact for rates that underflow too.

    Examples
    --------
    >>> unit_deviance("poisson", np.array([0.0, 1.0, 2.0]), np.array([0.5, 1.0, 0.0]))
    array([ 1.,  0., inf])
    """
    y, mu = np.asarray(y, float), np.asarray(mu, float)
    match family:
        case "poisson":
            with np.errstate(divide="ignore"):
                unit = 2 * _poisson_excess(np, mu, y, mu, np.zeros_like(mu))
        case "bernoulli":
            # event by event, so that it is exactly 0 for μ = y
            unit = 2 * ((xlogy(y, y) - xlogy(y, mu)) + (xlogy(1 - y, 1 - y) - xlogy(1 - y, 1 - mu)))
        case _:
            unit = (y - mu) ** 2
    return np.maximum(unit, 0)
