"""Sums over the responses that a fit needs before it starts: means, the null model, and who can be fitted."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, fields
from itertools import pairwise
from typing import NamedTuple

import numpy as np

from popglm.statistics.families import Family, Samples, Units
from popglm.statistics.intercepts import MAX_STEPS, InterceptSteps
from popglm.statistics.nuisance import estimate_parameters, first_parameters, mean_levels

__all__ = ["ResponseSums", "response_sums", "sums_of_parts"]

Ranges = list[tuple[int, int]]

#: Rows that are worked on at a time.
CHUNK = 4096
#: Rounds in which the intercept of a null model beside an offset and the parameters of its family find each other, and
#: the relative change of a parameter that ends them.
ROUNDS, SETTLED = 20, 1e-9


@dataclass
class ResponseSums:
    """Per neuron, over the rows that count.

    Attributes
    ----------
    n, n_events, n_non_events : ndarray of int, shape (n_neurons,)
        Recorded samples of positive weight; events and others, as the family counts them.
    total, mean : ndarray, shape (n_neurons,)
        Σs and Σsy/Σs.
    saturated, null : ndarray, shape (n_neurons,)
        Mean loss of the saturated model; how far the null model's lies above it, from terms that vanish where the null
        model is right.
    intercept : ndarray, shape (n_neurons,)
        Of the null model, which has the offset too.
    constant : ndarray of bool, shape (n_neurons,)
    parameters : ndarray, shape (n_neurons, n_parameters)
        The family's, estimated at the null model.
    normaliser : ndarray, shape (n_neurons,)
        Mean of `Family.normaliser` there, in the recording's units.
    variance : ndarray, shape (n_neurons,)
        Σs(y − mean)²/Σs; 0 for families that are not exponential.
    """

    n: np.ndarray
    n_events: np.ndarray
    n_non_events: np.ndarray
    total: np.ndarray
    mean: np.ndarray
    saturated: np.ndarray
    null: np.ndarray
    intercept: np.ndarray
    constant: np.ndarray
    parameters: np.ndarray
    normaliser: np.ndarray
    variance: np.ndarray

    @staticmethod
    def join(parts: list[ResponseSums]) -> ResponseSums:
        """Those of several fits, one after the other."""
        return ResponseSums(*(np.concatenate([getattr(part, f.name) for part in parts]) for f in fields(ResponseSums)))

    def take(self, neurons: np.ndarray | slice) -> ResponseSums:
        """Those of some neurons."""
        return ResponseSums(*(getattr(self, f.name)[neurons] for f in fields(ResponseSums)))

    def fittable(self, loss: Family) -> np.ndarray:
        """Whether anything beyond the null model can be estimated."""
        return loss.fittable(self.n, self.n_events, self.n_non_events, self.constant)


@dataclass(frozen=True)
class _Samples:
    """The rows that count, in chunks of float64."""

    Y: np.ndarray
    weights: np.ndarray | None
    offset: np.ndarray | None
    ranges: Ranges

    def chunks(self) -> Iterator[tuple[np.ndarray, np.ndarray, np.ndarray]]:
        """y and s, shape (n_neurons, n_rows), and the offset, shape (n_rows,)."""
        for first, last in self.ranges:
            for a in range(first, last, CHUNK):
                rows = slice(a, min(a + CHUNK, last))
                y = self.Y[:, rows].astype(float)
                s = np.ones(y.shape[1]) if self.weights is None else np.asarray(self.weights[..., rows], float)
                o = np.zeros(y.shape[1]) if self.offset is None else np.asarray(self.offset[rows], float)
                yield y, np.broadcast_to(s, y.shape), o

    def around(self, intercept: np.ndarray) -> Samples:
        """Samples of some neurons beside the predictors of null models with these intercepts."""

        def some(neurons: np.ndarray) -> Iterator[tuple[np.ndarray, np.ndarray, np.ndarray]]:
            for y, s, o in self.chunks():
                eta = intercept[neurons, None]
                yield y[neurons], s[neurons], eta if self.offset is None else eta + o

        return some


def response_sums(
    loss: Family,
    Y: np.ndarray,
    weights: np.ndarray | None,
    ranges: Ranges,
    offset: np.ndarray | None = None,
    units: Units | None = None,
    parameters: np.ndarray | None = None,
) -> ResponseSums:
    """Sums over row ranges of Y (n_neurons, n_samples).

    Parameters
    ----------
    weights : ndarray, shape (n_samples,) or (n_neurons, n_samples), or None
    ranges : list of (first, last)
    offset : ndarray, shape (n_samples,), or None
        Part of the null model.
    units : Units, optional
        Of Y, where these are not the recording's: they say the size of an event, half of which a silent neuron is taken
        to have, and parameters of the family are estimated in the recording's.
    parameters : ndarray, shape (n_neurons, n_parameters), optional
        Those of the family, which are then not estimated; without an offset.
    """
    samples = _Samples(Y, weights, offset, ranges)
    return _concluded(loss, samples, _Counts.of(loss, samples), units, parameters)


def sums_of_parts(
    loss: Family,
    Y: np.ndarray,
    weights: np.ndarray | None,
    parts: Sequence[Ranges],
    offset: np.ndarray | None = None,
    units: Units | None = None,
) -> list[ResponseSums]:
    """`response_sums` over each of several parts of the rows, such as folds' training rows, reading each row once.

    What is summed around a mean is a Bregman divergence d (`Family.null`): Σ s d(y, m) over a part is the sum over its
    pieces of Σ s d(y, m_i) + d(m_i, m) Σs, with m_i the mean of the piece (Banerjee et al. 2005, theorem 1). So no part
    hears of rows outside. Beside an offset, and where a family has parameters, every part is read by itself.

    Parameters
    ----------
    parts : sequence of lists of (first, last)
        In each, no row twice. For the others see `response_sums`.
    """
    alike = loss.is_exponential and not loss.parameters and offset is None
    if not alike or len(parts) < 2:
        return [response_sums(loss, Y, weights, ranges, offset, units) for ranges in parts]
    edges = sorted({edge for ranges in parts for piece in ranges for edge in piece})
    members = [[any(a <= first < b for a, b in ranges) for ranges in parts] for first in edges[:-1]]
    pieces = [
        _Piece.of(loss, _Samples(Y, weights, None, [rows])) if any(inside) else None
        for rows, inside in zip(pairwise(edges), members, strict=True)
    ]
    found = []
    for i, ranges in enumerate(parts):
        own = [piece for piece, inside in zip(pieces, members, strict=True) if piece is not None and inside[i]]
        counts, *around = _joined(loss, own, len(Y))
        found.append(_concluded(loss, _Samples(Y, weights, None, ranges), counts, units, None, around))
    return found


@dataclass(frozen=True)
class _Counts:
    """What is added up before a mean is known, per neuron; see `ResponseSums`."""

    n: np.ndarray
    events: np.ndarray
    total: np.ndarray
    y_sum: np.ndarray
    low: np.ndarray
    high: np.ndarray

    @classmethod
    def of(cls, loss: Family, samples: _Samples) -> _Counts:
        """Those of some samples."""
        q = len(samples.Y)
        n, events, total, y_sum = np.zeros(q, int), np.zeros((2, q)), np.zeros(q), np.zeros(q)
        low, high = np.full(q, np.inf), np.full(q, -np.inf)
        for y, s, _ in samples.chunks():
            counted = s > 0
            n += counted.sum(axis=1)
            events += loss.events(y, s)
            total += s.sum(axis=1)
            y_sum += np.einsum("ij,ij->i", s, y)
            every = samples.weights is None or counted.all()
            low = np.minimum(low, (y if every else np.where(counted, y, np.inf)).min(axis=1))
            high = np.maximum(high, (y if every else np.where(counted, y, -np.inf)).max(axis=1))
        return cls(n, events, total, y_sum, low, high)

    @classmethod
    def joined(cls, pieces: list[_Counts], q: int) -> _Counts:
        """Those of several pieces, for ``q`` neurons."""
        n, events, total, y_sum = np.zeros(q, int), np.zeros((2, q)), np.zeros(q), np.zeros(q)
        low, high = np.full(q, np.inf), np.full(q, -np.inf)
        for piece in pieces:
            n, events, total, y_sum = n + piece.n, events + piece.events, total + piece.total, y_sum + piece.y_sum
            low, high = np.minimum(low, piece.low), np.maximum(high, piece.high)
        return cls(n, events, total, y_sum, low, high)

    @property
    def safe(self) -> np.ndarray:
        """Σs, 1 where that is 0."""
        return np.where(self.total > 0, self.total, 1)

    @property
    def mean(self) -> np.ndarray:
        """Σsy/Σs; 0 where nothing counts."""
        # rounding must not make the mean of a neuron that fires in every sample one that it could have with others
        return np.where(self.n > 0, np.clip(self.y_sum / self.safe, self.low, self.high), 0.0)


class _Piece(NamedTuple):
    """Sums over some rows: their counts, and what `_around` says of their mean."""

    counts: _Counts
    around: np.ndarray
    variance: np.ndarray

    @classmethod
    def of(cls, loss: Family, samples: _Samples) -> _Piece:
        """Those of some samples."""
        counts = _Counts.of(loss, samples)
        return cls(counts, *_around(loss, samples, counts.mean))


def _joined(loss: Family, pieces: list[_Piece], q: int) -> _Piece:
    """The sums over the rows of all pieces, for ``q`` neurons; see `sums_of_parts`."""
    counts = _Counts.joined([piece.counts for piece in pieces], q)
    mean, around, variance = counts.mean, np.zeros(q), np.zeros(q)
    for own, its_around, its_variance in pieces:
        # a piece of no samples has no mean
        with np.errstate(invalid="ignore"):
            apart = own.total * loss.null(own.mean[:, None], mean[:, None])[:, 0]
        around += its_around + np.where(own.total > 0, apart, 0)
        variance += its_variance + own.total * (own.mean - mean) ** 2
    return _Piece(counts, around, variance)


def _around(known: Family, samples: _Samples, mean: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Σ s d(y, mean) with d = `Family.null`, and Σ s (y − mean)², shape (n_neurons,) each."""
    around, variance = np.zeros((2, len(mean)))
    for y, s, _ in samples.chunks():
        around += np.einsum("ij,ij->i", s, known.null(y, mean[:, None]))
        y = y - mean[:, None]
        variance += np.einsum("ij,ij,ij->i", s, y, y)
    return around, variance


def _concluded(
    loss: Family,
    samples: _Samples,
    counts: _Counts,
    units: Units | None,
    parameters: np.ndarray | None,
    around: Sequence[np.ndarray] | None = None,
) -> ResponseSums:
    """The sums of some samples from their counts; ``around`` as `_around` returns it, where that is known."""
    q, beside = len(counts.n), samples.offset is not None or not loss.is_exponential
    # sums of shares times trials are whole but for rounding
    events, non_events = np.rint(counts.events).astype(int)
    n, safe, mean, constant = counts.n, counts.safe, counts.mean, ~(counts.high > counts.low)
    if parameters is None:
        intercept, parameters = _null_models(loss, samples, mean, n, safe, units)
    else:
        intercept = loss.start_intercept(mean, n)
        if not loss.is_exponential:
            intercept = _intercept(loss, parameters, samples, mean, n, safe, 1.0)
    normaliser = np.zeros(q)
    if loss.parameters:
        normaliser = mean_levels(loss, samples.around(intercept), parameters, units)[1]
    known = loss.at(parameters)
    if around is None:
        around = _around(known, samples, mean) if loss.is_exponential else (np.zeros(q), np.zeros(q))
    null, variance = np.where(constant, 0.0, around[0] / safe), around[1] / safe
    saturated = loss.of_neurons(parameters).saturated_mean(mean, null)
    if beside:
        null = np.zeros(q)
        with np.errstate(over="ignore", invalid="ignore"):
            for y, s, o in samples.chunks():
                null += np.where(s > 0, s * known.excess(np, intercept[:, None] + o, y), 0).sum(axis=1)
        null = np.where(constant & (samples.offset is None), 0.0, null / safe)
    return ResponseSums(
        n, events, non_events, counts.total, mean, saturated, null, intercept, constant, parameters, normaliser,
        variance,
    )  # fmt: skip


def _null_models(
    loss: Family, samples: _Samples, mean: np.ndarray, n: np.ndarray, total: np.ndarray, units: Units | None
) -> tuple[np.ndarray, np.ndarray]:
    """Intercepts and parameters of the null models, each best beside the other."""
    event = 1.0 if units is None else 1 / units.size
    parameters, intercept = first_parameters(loss, len(mean)), loss.start_intercept(mean, n, event)
    if samples.offset is not None:
        intercept = _intercept(loss, parameters, samples, mean, n, total, event)
    moving = np.ones(len(mean), bool)
    for _ in range(ROUNDS if loss.parameters else 0):
        found = estimate_parameters(loss, samples.around(intercept), parameters, units, with_intercept=True)
        # each neuron by itself, however long the others take
        moved = moving & ~np.isclose(found, parameters, rtol=SETTLED, atol=0).all(axis=1)
        parameters = np.where(moving[:, None], found, parameters)
        if (samples.offset is None and loss.is_exponential) or not moved.any():
            break
        beside = _intercept(loss, parameters, samples, mean, n, total, event)
        moving, intercept = moved, np.where(moved, beside, intercept)
    return intercept, parameters


def _intercept(
    loss: Family,
    parameters: np.ndarray,
    samples: _Samples,
    mean: np.ndarray,
    n: np.ndarray,
    total: np.ndarray,
    event: np.ndarray | float,
) -> np.ndarray:
    """Intercept of a null model that the mean does not tell: beside an offset, or of no exponential family."""
    inside, known = loss.inside(mean, n, event), loss.at(parameters)
    closed = known.offset_intercept(samples.chunks, inside, total)
    if closed is not None:
        return closed
    start = loss.of_neurons(parameters).link.link(inside)
    found = _by_steps(known, samples, start, inside, np.where(inside == mean, np.nan, inside), total)
    # of responses that are all alike another family's best constant has not that mean
    return found if loss.is_exponential else np.where(inside == mean, found, start)


def _by_steps(
    loss: Family, samples: _Samples, start: np.ndarray, mean: np.ndarray, instead: np.ndarray, total: np.ndarray
) -> np.ndarray:
    """See `InterceptSteps`, from predictors ``start``; ``instead`` of their responses some neurons have a constant."""
    level, lowest = np.zeros(len(start)), np.full(len(start), -np.inf)
    for y, s, o in samples.chunks():
        level += s @ o
        if loss.has_barrier:
            lowest = np.maximum(lowest, np.where((s > 0) & (y > 0), -o, -np.inf).max(axis=1))
    start = start - level / total
    steps = InterceptSteps(loss, np.dtype(float), start, lowest, mean, total)
    for _ in range(MAX_STEPS):
        slope, curvature, size = np.zeros((3, len(start)))
        with np.errstate(over="ignore", invalid="ignore"):
            for y, s, o in samples.chunks():
                known = np.where(np.isnan(instead)[:, None], y, instead[:, None])
                r, h = loss.derivatives(np, steps.b[:, None] + o, known)
                r = np.where(s > 0, s * r, 0)
                slope += r.sum(axis=1)
                size += np.abs(r).sum(axis=1)
                curvature += np.where(s > 0, s * h, 0).sum(axis=1)
        steps.take(slope, curvature, size)
        if not steps.moving.any():
            break
    return np.where(np.isfinite(steps.b), steps.b, start)
