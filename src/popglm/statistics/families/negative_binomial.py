"""Negative binomial activity: counts whose variance grows faster than their mean."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
from scipy.special import digamma, gammaln, polygamma, xlogy

from popglm.statistics.families.contract import Family, Parameter, Samples
from popglm.statistics.families.elementary import SMALL, log1p_over, row_totals
from popglm.statistics.families.links import Exp
from popglm.statistics.families.units import Units

__all__ = ["NEGATIVE_BINOMIAL"]

Array = Any
#: Predictors beyond which the loss goes on in a line: αμ still has a float32 there.
REACH = 60.0
#: The largest dispersion. Two events in one of a million samples, and no others, have less.
MOST = 1e6
#: Dispersions up to this one take log Γ and its derivatives at 1/α from Stirling's series, which has all digits there.
NEAR_POISSON = 1 / 32
#: Counts up to which sums over j < y take the place of log Γ; neurons that are worked on together; and numbers of an
#: array of theirs, about, which is to stay in cache.
FEW, TOGETHER, PIECE = 256, 4, 2**15
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
        near, mu, w = self._parts(xp, eta)
        v = self.alpha * mu
        inside = mu * log1p_over(xp, v) + y * (xp.log1p(v) - near)
        return inside + (eta - near) * (mu - y) * w

    def excess(self, xp: Any, eta: Array, y: Array) -> Array:
        return self.excess_and_derivatives(xp, eta, y)[0]

    def derivatives(self, xp: Any, eta: Array, y: Array) -> tuple[Array, Array]:
        _, mu, w = self._parts(xp, eta)
        return (mu - y) * w, mu * w

    def excess_and_derivatives(self, xp: Any, eta: Array, y: Array) -> tuple[Array, Array, Array]:
        near, mu, w = self._parts(xp, eta)
        r = (mu - y) * w
        # where a silent sample lies far below, its slope is that of rounding
        return xp.maximum(self._from_saturated(xp, near, mu, y) + (eta - near) * r, 0), r, mu * w

    def _from_saturated(self, xp: Any, near: Array, mu: Array, y: Array) -> Array:
        """`_excess`; on the host the long formula is for samples with events alone, which are few as a rule."""
        events = y > 0
        if xp is not np:
            delta = xp.where(events, near - xp.log(xp.where(events, y, xp.ones_like(y))), xp.zeros_like(near))
            return _excess(xp, delta, mu, y, self.alpha)
        found = mu * log1p_over(np, self.alpha * mu)
        alpha, y, events = (np.broadcast_to(v, found.shape) for v in (self.alpha, y, events))
        at = np.nonzero(events)
        found[at] = _excess(np, near[at] - np.log(y[at]), mu[at], y[at], alpha[at])
        return found

    def second_derivative(self, eta: np.ndarray, y: np.ndarray) -> np.ndarray:
        _, mu, w = self._parts(np, eta)
        return mu * w * (1 + self.alpha * y) * w

    def _parts(self, xp: Any, eta: Array) -> tuple[Array, Array, Array]:
        """η within `REACH`, beyond which ℓ goes on in a line; μ and 1/(1 + αμ) there."""
        near = xp.minimum(xp.maximum(eta, -REACH), REACH)
        mu = xp.exp(near)
        return near, mu, 1 / (1 + self.alpha * mu)

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
            found = _excess(np, np.where(y > 0, delta, 0), mu, y, alpha)
            return 2 * np.maximum(np.where((y > 0) & (mu == 0), np.inf, found), 0)

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

    def estimate(self, samples: Samples, start: np.ndarray, with_intercept: bool = False) -> np.ndarray:
        """α of the largest likelihood: 0 where ½ Σ s[(y − μ)² − y], its slope there, is not positive.

        Newton's method on log α for α · slope, which vanishes at both ends too; each neuron keeps a bracket, and halves
        it where a step would leave it.
        """
        groups = np.split(np.arange(len(start)), range(TOGETHER, len(start), TOGETHER))
        with np.errstate(over="ignore", invalid="ignore"):
            found = [_largest_likelihood(_Beside.means(samples(own), len(own)), start[own, 0]) for own in groups]
        return np.concatenate(found)[:, None]

    def estimate_at_nodes(self, nodes: Any, responses: tuple[np.ndarray, np.ndarray], start: np.ndarray) -> np.ndarray:
        with np.errstate(over="ignore", invalid="ignore"):
            return _largest_likelihood(_Beside.at_nodes(nodes, *responses), start[:, 0])[:, None]


@dataclass
class _Beside:
    """Samples of some neurons beside their means, or nodes in their place.

    Attributes
    ----------
    pieces : list of (s, sy, mu)
        Arrays (n_neurons, n_rows); None for weights that are all 1. What has no weight has a mean of 0.
    squares : ndarray, shape (n_neurons,)
        Σsy².
    tails : ndarray, shape (n_neurons, n_few)
        Weight of the samples with more than 0, 1, … events, of those that have few.
    rare : (row, y, s)
        Neurons, events and weights of the other samples with events.
    """

    pieces: list[tuple[np.ndarray | None, np.ndarray, np.ndarray]]
    squares: np.ndarray
    tails: np.ndarray
    rare: tuple[np.ndarray, np.ndarray, np.ndarray]

    @classmethod
    def means(cls, chunks: Iterable[tuple[np.ndarray, np.ndarray, np.ndarray]], n_neurons: int) -> _Beside:
        """Samples ``(y, s, eta)`` of the neurons."""
        pieces: list[tuple[np.ndarray | None, np.ndarray, np.ndarray]] = []
        responses = []
        for some in _together(chunks, n_neurons):
            parts = zip(*(np.broadcast_arrays(*own) for own in some), strict=True)
            y, s, eta = (np.concatenate(arrays, axis=1) for arrays in parts)
            mu = np.exp(eta)
            if (s == 1).all():
                pieces.append((None, y, mu))
            else:
                # a sample of weight 0 may hold anything
                y, mu = np.where(s > 0, y, 0), np.where(s > 0, mu, 0)
                pieces.append((s, s * y, mu))
            responses.append((y, s))
        return cls._with(pieces, responses, n_neurons)

    @classmethod
    def at_nodes(cls, nodes: Any, y: np.ndarray, s: np.ndarray) -> _Beside:
        """`Nodes` of the neurons, and their responses with weights, each response once (n_neurons, n_responses)."""
        return cls._with([(nodes.weight, nodes.response, np.exp(nodes.eta))], [(y, s)], len(y))

    @classmethod
    def _with(cls, pieces: list[Any], responses: list[tuple[np.ndarray, np.ndarray]], n_neurons: int) -> _Beside:
        squares, counts, rare = np.zeros(n_neurons), np.zeros((n_neurons, FEW + 1)), []
        for y, s in responses:
            squares += row_totals(s * y * y)
            row, column = np.nonzero((y > 0) & (s != 0))
            events, weight = y[row, column], s[row, column]
            few = (events <= FEW) & (events == np.floor(events))
            number = row[few] * (FEW + 1) + events[few].astype(int)
            counts += np.bincount(number, weight[few], counts.size).reshape(counts.shape)
            rare.append((row[~few], events[~few], weight[~few]))
        tails = np.cumsum(counts[:, :0:-1], axis=1)[:, ::-1]
        row, events, weight = (np.concatenate(arrays) for arrays in zip(*rare, strict=True))
        tails = tails[:, : np.flatnonzero(tails.any(axis=0)).max(initial=-1) + 1]
        return cls(pieces, squares, tails, (row, events, weight))

    def sums(self, of: Callable[[np.ndarray], tuple[tuple[Any, Any], ...]], some: np.ndarray) -> np.ndarray:
        """Σ s·a(μ) + sy·d(μ) of some neurons, for pairs ``(a, d)`` that ``of(mu)`` has, shape (n_pairs, n_neurons)."""
        everyone, found = len(some) == len(self.tails), []
        for s, sy, mu in self.pieces:
            if not everyone:
                s, sy, mu = None if s is None else s[some], sy[some], mu[some]
            found.append([row_totals((a if s is None else s * a) + sy * d) for a, d in of(mu)])
        return np.sum(found, axis=0)

    def slopes(self, alpha: np.ndarray, some: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """First and second derivative of the log-likelihood of some neurons in log α, shape (n_neurons,)."""
        alphas = alpha[:, None]

        def of(mu: np.ndarray) -> tuple[tuple[np.ndarray, np.ndarray], ...]:
            # −log(1 + αμ)/α − y log(1 + αμ)
            v = alphas * mu
            w, (rest, bend) = 1 / (1 + v), _log1p_rest(v)
            share, square = mu * w, mu * mu
            return (square * (rest + w), -share), (square * mu * (bend - w * w), share * share)

        first, second = self.sums(of, some) + _few_slopes(self.tails[some], alphas)
        row, events, weight = self.rare
        if len(row):
            place = np.full(len(self.tails), -1)
            place[some] = np.arange(len(some))
            asked = place[row] >= 0
            own = place[row[asked]]
            for sums, each in zip((first, second), _gamma_slopes(events[asked], own, alpha), strict=True):
                sums += np.bincount(own, weight[asked] * each, len(some))
        return alpha * first, alpha * first + alpha**2 * second


def _together(chunks: Iterable[tuple[np.ndarray, ...]], n_neurons: int) -> Iterator[list[tuple[np.ndarray, ...]]]:
    """Chunks of rows, as many at a time as arrays of `PIECE` numbers hold."""
    waiting: list[tuple[np.ndarray, ...]] = []
    for chunk in chunks:
        waiting.append(chunk)
        if sum(own[0].shape[1] for own in waiting) * n_neurons >= PIECE:
            yield waiting
            waiting = []
    if waiting:
        yield waiting


def _largest_likelihood(beside: _Beside, start: np.ndarray) -> np.ndarray:
    """The dispersions of some neurons, shape (n_neurons,); see `NegativeBinomial.estimate`."""

    def of(mu: np.ndarray) -> tuple[tuple[Any, Any], ...]:
        return (0, 1), (mu * mu, 0), (mu * mu, -2 * mu - 1)

    events, square, slope = beside.sums(of, np.arange(len(start)))
    slope = beside.squares + slope
    # of a silent neuron nothing is known, and a mean that overflows says nothing
    usable = (slope > 0) & (events > 0) & np.isfinite(slope) & (square > 0)
    first = np.where(start > 0, start, slope / square)
    x = np.log(np.clip(np.where(usable, first, 1), 1e-12, MOST))
    going = np.flatnonzero(usable)
    below, above = np.full((2, len(start)), np.inf) * [[-1], [1]]
    for _ in range(MAX_STEPS):
        if not len(going):
            break
        g, h = beside.slopes(np.exp(x[going]), going)
        x[going], moving = _next(x[going], g, h, going, below, above)
        going = going[moving]
    return np.where(usable, np.minimum(np.exp(x), MOST), 0.0)


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


def _few_slopes(tails: np.ndarray, a: np.ndarray) -> np.ndarray:
    """Sums of `_gamma_slopes` over counts, each of which has Σ j/(1 + αj) and −Σ j²/(1 + αj)² over j < y."""
    j = np.arange(tails.shape[1])
    each = j / (1 + a * j)
    return np.array([row_totals(tails * each), -row_totals(tails * each * each)])


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


def _excess(xp: Any, delta: Array, mu: Array, y: Array, alpha: Array) -> Array:
    """(y + 1/α) log((1 + αμ)/(1 + αy)) − yδ, with all its digits; δ is log(μ/y), and 0 for y = 0.

    With q = 1/(1 + αy) and p = 1 − q, it is y/p · (log(q + p exp(δ)) − pδ). Of p and q the smaller is taken with its
    ratio of means, so that the logarithm is of at least ½.
    """
    u = alpha * y
    q = 1 / (1 + u)
    turns, change = u > 1, mu - y
    ratio = change / mu
    log = log1p_over(xp, q * xp.where(turns, -ratio, alpha * change))
    own = xp.where(turns, alpha, xp.ones_like(u))
    far = xp.where(turns, (delta - ratio * log) / own, change * log - y * delta)
    # the cumulants of an event
    p = u * q
    pq, skew = p * q, q - p
    last = 1 - 30 * pq * (1 - 4 * pq) + delta / 7 * skew * (1 - 60 * pq * (1 - 6 * pq))
    tail = 1 - 6 * pq + delta / 5 * (skew * (1 - 12 * pq) + delta / 6 * last)
    near = 0.5 * q * y * delta * delta * (1 + delta / 3 * (skew + delta / 4 * tail))
    return xp.where((xp.abs(delta) < SMALL) & (y > 0), near, far)


NEGATIVE_BINOMIAL = (NegativeBinomial(Exp()),)
