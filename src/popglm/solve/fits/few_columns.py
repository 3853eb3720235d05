"""Fits without a penalty of many problems to few columns each, around second derivatives that a neuron's share.

The sets of columns that a neuron's strengths have chosen are fitted side by side. Second derivatives H₀ at one of its
points serve them all: a set has a submatrix A, whose inverse BFGS updates turn into that of the set's own. Where the
curvature weights h of the samples have fallen to no less than a share r of those of H₀, H ⪰ rA, and gᵀA⁻¹g/r bounds
Newton's decrement.

The residuals r of a minimum add up to Σ s r x = 0, and are of one sign in samples whose loss falls for ever one way. So
no direction separates the samples (see `separation`): such residuals, with that sum exactly 0, rule it out. Near the
minimum r + h∘Xd has that sum for d = −A⁻¹g, and the same signs where it is small.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from popglm.solve.passes.hessian import SAFETY
from popglm.solve.passes.samples import FitData
from popglm.solve.prepared import center_of
from popglm.solve.settings import Settings
from popglm.statistics.families import Family
from popglm.statistics.responses import response_sums

__all__ = ["Few", "fit_few", "is_eligible"]

#: Numbers (samples × problems) that are worked on at a time.
BLOCK = 2**21
#: Rows of which there is a copy in float64 at a time.
CHUNK = 2048
#: Steps at most, and those after which a problem that is not done gets second derivatives of its own.
MOST, RENEWALS = 16, (5, 9, 13)
#: Share of the promised decrease that a step must keep, what a step that does not is multiplied by, and its least.
ARMIJO, SHORTEN, SHORTEST = 1e-4, 0.25, 1e-6
#: A change of the loss below so many roundings is taken from the gradients.
FEW_ROUNDINGS = 32
#: Least pivot of a matrix in which every column has a curvature of 1: below, directions are left to fits that can tell
#: rounding from curvature.
LEAST = 1e-11
#: Predictors change by so much in a step at most, where a loss can go flat: from there no step leads back.
FARTHEST = 5.0
#: Share of a residual that may be missing to a sum of 0: all of some would be missing where samples are separated.
#: Where more is, a fit goes on to a share of the tolerance before it is asked again.
STEADY, CLOSER = 0.9, 1e-4


@dataclass
class Few:
    """A neuron fitted to some columns.

    Attributes
    ----------
    neuron : int
    columns : ndarray of bool, shape (n_features,)
    w, b : ndarray, shape (n_features,), and float
        Where the fit begins, and then where it ends.
    gap : float
        Certificate.
    ended, bounded : bool
        Whether it is within the tolerance, and whether it is known to have a minimum.
    """

    neuron: int
    columns: np.ndarray
    w: np.ndarray
    b: float
    gap: float = np.inf
    ended: bool = False
    bounded: bool = False

    def within(self, other: Few) -> bool:
        """Whether its columns are among another's."""
        return not (self.columns & ~other.columns).any()


@dataclass
class _Rows:
    """The rows of a fit: columns less their means and, last, the intercept's; activity and weights neurons first.

    Weights are shares of the neuron's, 0 where it was not recorded. ``one_sided`` are samples whose loss falls for
    ever in one direction.
    """

    loss: Family
    Z: np.ndarray
    Y: np.ndarray
    S: np.ndarray
    offset: np.ndarray | None
    one_sided: np.ndarray
    scale: np.ndarray
    smooth: np.ndarray | None
    tol: float


@dataclass
class _Points:
    """Where problems stand: loss (n,), gradient (n, n_columns), and of samples predictors, residuals and weights h."""

    f: np.ndarray
    g: np.ndarray
    eta: np.ndarray
    r: np.ndarray
    h: np.ndarray


@dataclass
class _Metric:
    """Second derivatives of a problem along its columns.

    Attributes
    ----------
    inverse, updated : ndarray, shape (n_columns, n_columns)
        Their inverse; and BFGS' update of it.
    h : ndarray, shape (n_samples,)
        Curvature weights that they were taken at.
    flat : ndarray, shape (n_columns, n_directions), or None
        Directions that it leaves alone, over the root of the curvature that they may have.
    """

    inverse: np.ndarray
    updated: np.ndarray
    h: np.ndarray
    flat: np.ndarray | None


def is_eligible(settings: Settings, X: Any) -> bool:
    """Whether fits of these settings to X can be made here."""
    loss = settings.loss
    return isinstance(X, np.ndarray) and loss.is_canonical and loss.is_convex and not loss.parameters


def fit_few(data: FitData, settings: Settings, problems: Sequence[Few]) -> None:
    """Fit problems in place; those that have not ``ended`` afterwards stand where they stood.

    Parameters
    ----------
    data : FitData
        To the training rows of its first split, or to all rows without one.
    settings : Settings
        For which `is_eligible` holds; of the penalty the smoothness alone counts.
    """
    rows, center = _rows_of(data, settings)
    by_neuron: dict[int, list[Few]] = {}
    for problem in problems:
        by_neuron.setdefault(problem.neuron, []).append(problem)
    batches: list[list[Few]] = [[]]
    for own in by_neuron.values():
        if batches[-1] and (len(batches[-1]) + len(own)) * len(rows.Z) > BLOCK:
            batches.append([])
        batches[-1] += own
    with np.errstate(all="ignore"):
        data.engine.map(lambda batch: _fit(rows, center, batch), [(batch,) for batch in batches if batch])


def _rows_of(data: FitData, settings: Settings) -> tuple[_Rows, np.ndarray]:
    """The rows of a fit, and what was taken from the columns."""
    counted: Any = data.splits[0][0] if data.splits else slice(None)
    X, Y = data.X[counted], data.Y[counted]
    weights, offset = (None if a is None else a[counted] for a in (data.weights, data.offset))
    dtype, loss, p = data.engine.dtype, settings.loss, X.shape[1]
    center = center_of(X, None, settings.fit_intercept)
    Z = np.empty((len(X), p + settings.fit_intercept), dtype)
    Z[:, :p] = X - center
    Z[:, p:] = 1
    known = ~np.isnan(Y.T)
    S = known * (1.0 if weights is None else weights.T)
    y = np.where(S > 0, np.nan_to_num(Y.T), 0.0)
    sums = response_sums(loss, y, S, [(0, len(X))], offset)
    total = S.sum(axis=1, keepdims=True)
    S = S / np.where(total > 0, total, 1)
    if loss.is_least_squares:
        # what the intercept and the offset say of it has no digits to lose
        y = y - (0.0 if offset is None else offset)
    one_sided = np.logical_xor(*loss.sides(y)) & (S > 0) if loss.can_separate else np.zeros(y.shape, bool)
    smooth = None
    if settings.penalty.R is not None:
        smooth = np.zeros((Z.shape[1], Z.shape[1]))
        smooth[:p, :p] = settings.penalty.smoothness * settings.penalty.R
        one_sided[:] = False
    shift = None if offset is None or loss.is_least_squares else offset.astype(dtype)
    scale = np.maximum(sums.null, np.finfo(float).tiny)
    kind = float if loss.is_least_squares else dtype
    return _Rows(loss, Z, y.astype(kind), S.astype(dtype), shift, one_sided, scale, smooth, settings.tol), center


def _evaluate(rows: _Rows, neurons: np.ndarray, W: np.ndarray) -> _Points:
    """The mean losses of some neurons at weights (n, n_columns), the intercept's last."""
    eta = W.astype(rows.Z.dtype) @ rows.Z.T
    if rows.offset is not None:
        eta += rows.offset
    y, s = rows.Y[neurons], rows.S[neurons]
    excess, r, h = rows.loss.excess_and_derivatives(np, eta, y)
    r = np.where(s > 0, r, 0)
    f = np.einsum("ij,ij->i", s, np.where(s > 0, excess, 0), dtype=float)
    g = ((s * r).astype(rows.Z.dtype) @ rows.Z).astype(float)
    if rows.smooth is not None:
        g += W @ rows.smooth
        f += 0.5 * np.einsum("ij,ij->i", W @ rows.smooth, W)
    return _Points(f, g, eta, r, h)


def _fit(rows: _Rows, center: np.ndarray, batch: list[Few]) -> None:
    """Fit some problems in place, all of each neuron's."""
    p, has_intercept = len(center), rows.Z.shape[1] > len(center)
    neurons = np.array([own.neuron for own in batch])
    columns = [np.flatnonzero(np.append(own.columns, [True] * has_intercept)) for own in batch]
    W = np.zeros((len(batch), rows.Z.shape[1]))
    for own, w in zip(batch, W, strict=True):
        w[:p] = np.where(own.columns, own.w, 0)
        w[p:] = own.b + w[:p] @ center
    at = _evaluate(rows, neurons, W)
    metrics = _metrics(rows, neurons, columns, at)
    gap = _descend(rows, neurons, columns, W, at, metrics, np.arange(len(W)), rows.tol)
    ended = np.flatnonzero((gap <= rows.tol) & np.isfinite(W).all(axis=1))
    sure = np.zeros(len(W), bool)
    sure[ended] = _bounded(rows, neurons, columns, at, metrics, ended)
    again = ended[~sure[ended]]
    gap[again] = _descend(rows, neurons, columns, W, at, metrics, again, CLOSER * rows.tol)[again]
    ended = np.flatnonzero((gap <= rows.tol) & np.isfinite(W).all(axis=1))
    sure[again] = _bounded(rows, neurons, columns, at, metrics, again)
    for m in ended.tolist():
        # the intercept is that of weights as they are kept
        own, w = batch[m], W[m, :p].astype(rows.Z.dtype).astype(float)
        own.ended, own.w, own.b, own.gap = True, w, float(W[m, p:].sum() - w @ center), float(gap[m])
        # what has a minimum among more columns has one among these
        others = [batch[i] for i in np.flatnonzero(sure & (neurons == own.neuron))]
        own.bounded = any(own.within(other) for other in others)


def _second(rows: _Rows, neuron: int, h: np.ndarray, columns: np.ndarray | slice = slice(None)) -> np.ndarray:
    """Second derivatives of a neuron's loss with curvature weights (n_samples,): in float64, for collinear columns."""
    weights = rows.S[neuron].astype(float) * h
    H: Any = 0.0
    for a in range(0, len(rows.Z), CHUNK):
        z = rows.Z[a : a + CHUNK, columns].astype(float)
        H = H + z.T @ (weights[a : a + CHUNK, None] * z)
    return H if rows.smooth is None else H + rows.smooth[columns][:, columns]


def _metrics(rows: _Rows, neurons: np.ndarray, columns: list[np.ndarray], at: _Points) -> list[_Metric]:
    """Every problem's metric, from where the one of its neuron with the most columns stands."""
    found: list[Any] = [None] * len(neurons)
    told = rows.Z.dtype.itemsize == 8
    sizes, shared = np.array([len(own) for own in columns]), None
    for j in np.unique(neurons):
        own = np.flatnonzero(neurons == j)
        h = at.h[own[sizes[own].argmax()]]
        if rows.loss.is_least_squares and (rows.S[j] == rows.S[neurons[0]]).all():
            shared = _second(rows, neurons[0], h) if shared is None else shared
            H = shared
        else:
            H = _second(rows, j, h)
        for m in own:
            found[m] = _metric(H[np.ix_(columns[m], columns[m])], h, told)
    return found


def _metric(A: np.ndarray, h: np.ndarray, told: bool) -> _Metric:
    """A metric that leaves directions alone whose curvature may be rounding, and says what these could be worth."""
    size = np.sqrt(np.maximum(np.diag(A), np.finfo(float).tiny))
    scaled = A / np.outer(size, size)
    values, vectors = np.linalg.eigh(scaled)
    kept = values > LEAST * values[-1]
    vectors = vectors / size[:, None]
    inverse = (vectors[:, kept] / values[kept]) @ vectors[:, kept].T
    flat = vectors[:, ~kept] / np.sqrt(LEAST * values[-1]) if told and not kept.all() else None
    return _Metric(inverse, inverse.copy(), h, flat)


def _gaps(rows: _Rows, neurons: np.ndarray, columns: list, at: _Points, metrics: list, which: np.ndarray) -> Iterator:
    """Certificates of some problems, from the decrement in their metric."""
    for m in which:
        own, g = metrics[m], at.g[m, columns[m]]
        counted = rows.S[neurons[m]] > 0
        kept = 1.0 if own.h is at.h[m] else float(np.min(at.h[m] / own.h, where=counted, initial=1.0))
        decrement = g @ own.inverse @ g
        if own.flat is not None:
            decrement += np.sum((g @ own.flat) ** 2)
        yield 0.5 * SAFETY * decrement / max(kept, 1e-300) / rows.scale[neurons[m]]


def _descend(
    rows: _Rows, neurons: np.ndarray, columns: list, W: np.ndarray, at: _Points, metrics: list[_Metric],
    which: np.ndarray, tol: float,
) -> np.ndarray:  # fmt: skip
    """Go down with some problems, W and ``at`` in place, until they are within a tolerance; returns certificates."""
    gap = np.fromiter(_gaps(rows, neurons, columns, at, metrics, np.arange(len(W))), float, len(W))
    length, told = np.ones(len(W)), rows.Z.dtype.itemsize == 8
    for step in range(1, MOST + 1):
        going = which[~(gap[which] <= tol) & (length[which] > SHORTEST)]
        if not len(going):
            break
        D = np.zeros((len(going), W.shape[1]))
        for d, m in zip(D, going, strict=True):
            d[columns[m]] = -length[m] * (metrics[m].updated @ at.g[m, columns[m]])
        found = _evaluate(rows, neurons[going], W[going] + D)
        slope = np.einsum("ij,ij->i", at.g[going], D)
        change, noise = (
            found.f - at.f[going],
            4 * np.finfo(rows.Z.dtype).eps * (at.f[going] + rows.scale[neurons[going]]),
        )
        mean_slope = slope + 0.5 * np.einsum("ij,ij->i", found.g - at.g[going], D)
        change = np.where(np.abs(change) < FEW_ROUNDINGS * noise, mean_slope, change)
        accepted, shorten = change <= ARMIJO * slope + noise, np.full(len(going), SHORTEN)
        if rows.loss.can_separate:
            moved = np.max(np.abs(found.eta - at.eta[going]), axis=1, where=rows.S[neurons[going]] > 0, initial=0)
            far = ~(moved <= FARTHEST)
            accepted &= ~far
            shorten[far & np.isfinite(moved)] = (FARTHEST / (moved + 1))[far & np.isfinite(moved)]
        length[going] = np.where(accepted, 1, shorten * length[going])
        for i in np.flatnonzero(accepted):
            own = columns[going[i]]
            _update(metrics[going[i]], D[i, own], (found.g[i] - at.g[going[i]])[own])
        moved = going[accepted]
        W[moved] += D[accepted]
        for name in ("f", "g", "eta", "r", "h"):
            getattr(at, name)[moved] = getattr(found, name)[accepted]
        if step in RENEWALS:
            for m in going:
                metrics[m] = _metric(_second(rows, neurons[m], at.h[m], columns[m]), at.h[m].copy(), told)
        gap[going] = np.fromiter(_gaps(rows, neurons, columns, at, metrics, going), float, len(going))
    return gap


def _update(metric: _Metric, s: np.ndarray, y: np.ndarray) -> None:
    """BFGS' update of an inverse after a step along which the gradient changed by y."""
    curvature = s @ y
    if not curvature > 0:
        return
    B, By = metric.updated, metric.updated @ y
    B += np.outer(s, s) * ((1 + (y @ By) / curvature) / curvature) - (np.outer(By, s) + np.outer(s, By)) / curvature


def _bounded(
    rows: _Rows, neurons: np.ndarray, columns: list, at: _Points, metrics: list[_Metric], which: np.ndarray
) -> np.ndarray:
    """Which of some problems are known to have a minimum, by the signs of residuals that add up to 0."""
    if not len(which) or not rows.one_sided.any():
        return np.ones(len(which), bool)
    # in float64: what silent samples add up to is rounding beside others, else
    g, D = np.zeros((2, len(which), rows.Z.shape[1]))
    pull = (rows.S[neurons[which]] * at.r[which]).astype(float)
    for a in range(0, len(rows.Z), CHUNK):
        g += pull[:, a : a + CHUNK] @ rows.Z[a : a + CHUNK].astype(float)
    for d, own, m in zip(D, g, which, strict=True):
        d[columns[m]] = metrics[m].inverse @ own[columns[m]]
    found = np.ones(len(which), bool)
    for a in range(0, len(rows.Z), CHUNK):
        part = slice(a, a + CHUNK)
        moved = np.abs(D @ rows.Z[part].astype(float).T) * np.stack([metrics[m].h[part] for m in which])
        steady = moved < STEADY * np.abs(at.r[which, part])
        found &= np.all(steady | ~rows.one_sided[neurons[which], part], axis=1)
    return found
