"""Sums over the responses that a fit needs before it starts: means, the null model, and who can be fitted."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, fields

import numpy as np

from popglm.statistics.families import Family, Samples, Units
from popglm.statistics.intercepts import MAX_STEPS, InterceptSteps
from popglm.statistics.nuisance import estimate_parameters, first_parameters, mean_levels

__all__ = ["ResponseSums", "response_sums"]

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
    ranges: list[tuple[int, int]]

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
    ranges: list[tuple[int, int]],
    offset: np.ndarray | None = None,
    units: Units | None = None,
    parameters: np.ndarray | None = None,
) -> ResponseSums:
    """Sums over row ranges of Y (n_neurons, n_samples).

    Parameters
    ----------
    weights : ndarray, shape (n_samples,) or (n_neurons, n_samples), or None
    offset : ndarray, shape (n_samples,), or None
        Part of the null model.
    units : Units, optional
        Of Y, where these are not the recording's: they say the size of an event, half of which a silent neuron is taken
        to have, and parameters of the family are estimated in the recording's.
    parameters : ndarray, shape (n_neurons, n_parameters), optional
        Those of the family, which are then not estimated; without an offset.
    """
    samples, q, beside = _Samples(Y, weights, offset, ranges), len(Y), offset is not None or not loss.is_exponential
    n, counts = np.zeros(q, int), np.zeros((2, q))
    total, y_sum = np.zeros(q), np.zeros(q)
    low, high = np.full(q, np.inf), np.full(q, -np.inf)
    for y, s, _ in samples.chunks():
        counted = s > 0
        n += counted.sum(axis=1)
        counts += loss.events(y, s)
        total += s.sum(axis=1)
        y_sum += np.einsum("ij,ij->i", s, y)
        low = np.minimum(low, np.where(counted, y, np.inf).min(axis=1))
        high = np.maximum(high, np.where(counted, y, -np.inf).max(axis=1))
    # sums of shares times trials are whole but for rounding
    events, non_events = np.rint(counts).astype(int)
    safe = np.where(total > 0, total, 1)
    mean, constant = y_sum / safe, ~(high > low)
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
    around, variance = np.zeros((2, q))
    for y, s, _ in samples.chunks() if loss.is_exponential else ():
        around += np.einsum("ij,ij->i", s, known.null(y, mean[:, None]))
        y = y - mean[:, None]
        variance += np.einsum("ij,ij,ij->i", s, y, y)
    around = np.where(constant, 0.0, around / safe)
    saturated, null = loss.of_neurons(parameters).saturated_mean(mean, around), around
    if beside:
        null = np.zeros(q)
        with np.errstate(over="ignore", invalid="ignore"):
            for y, s, o in samples.chunks():
                null += np.where(s > 0, s * known.excess(np, intercept[:, None] + o, y), 0).sum(axis=1)
        null = np.where(constant & (offset is None), 0.0, null / safe)
    return ResponseSums(
        n, events, non_events, total, mean, saturated, null, intercept, constant, parameters, normaliser,
        variance / safe,
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
