"""Loss and gradient of many fits to the same rows at once: rows of X are held once, each fit counts its own.

The arithmetic of `popglm.solve.objective.RowObjective`, for columns that are (fit, neuron) pairs, in fixed shapes.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np

from popglm.model.losses import Loss
from popglm.solve.objective import LEAST_WEIGHT
from popglm.solve.responses import ResponseSums

__all__ = ["BatchRows", "Columns", "Point", "compiled", "is_out_of_memory", "sums_of_fits"]

Array = Any
log = logging.getLogger("popglm")

#: Bytes that the arrays over (columns, rows of a chunk) may take where the engine cannot tell what is free.
CHUNK_BYTES = 2**30
#: Such arrays at a time, about.
LIVE_ARRAYS = 6
#: Rows come in multiples of this, and chunks are never smaller.
TILE = 256


def is_out_of_memory(error: BaseException) -> bool:
    """Whether an array library says that its device has no room, each in its own words."""
    text = f"{type(error).__name__}: {error}".lower()
    return isinstance(error, MemoryError) or any(
        words in text for words in ("out of memory", "outofmemory", "resource_exhausted", "resourceexhausted", "oom ")
    )


def compiled(engine: Any, function: Callable[..., Any], *constants: Any) -> Callable[..., Any]:
    """``function(xp, *constants, *arrays)`` as a compiled function of the arrays, shared by all fits."""
    return engine.compile(function, engine.xp, *constants)


@dataclass
class Columns:
    """Some (fit, neuron) pairs.

    Attributes
    ----------
    neuron, fit : array of int, shape (n_columns,)
        On the device.
    YX : array, shape (n_columns, n_features)
        Σsyx/Σs, on the device.
    total, y_mean, y_offset : ndarray, shape (n_columns,)
        Σs, Σsy/Σs and Σsy·offset/Σs.
    """

    neuron: Array
    fit: Array
    YX: Array
    total: np.ndarray
    y_mean: np.ndarray
    y_offset: np.ndarray


@dataclass
class Point:
    """What `Evaluation` says, for columns: scalars in float64 on the host, the gradient on the device."""

    loss: np.ndarray
    b: np.ndarray
    curvature: np.ndarray
    chi2: np.ndarray
    spread: np.ndarray
    smooth: np.ndarray
    wyx: np.ndarray
    grad: Array

    SCALARS = ("loss", "b", "curvature", "chi2", "spread", "smooth", "wyx")


class BatchRows:
    """Rows on one device, in chunks of equal shape.

    Parameters
    ----------
    engine : engine
    loss : Loss
    X : ndarray, shape (n_samples, n_features)
        In solver coordinates.
    Y : ndarray, shape (n_neurons, n_samples)
    weights : ndarray, shape (n_samples,) or (n_neurons, n_samples), or None
    offset : ndarray, shape (n_samples,), or None
    counts : ndarray, shape (n_fits, n_samples)
        How often a fit counts a row: 0 where it is held out.
    fit_intercept : bool
    n_columns : int
        At most evaluated at a time.
    chunk_rows : int, optional
        Rows per chunk; from the device's memory unless given.
    """

    def __init__(
        self,
        engine: Any,
        loss: Loss,
        X: np.ndarray,
        Y: np.ndarray,
        weights: np.ndarray | None,
        offset: np.ndarray | None,
        counts: np.ndarray,
        fit_intercept: bool,
        n_columns: int,
        chunk_rows: int | None = None,
    ) -> None:
        self.engine, self.loss, self.fit_intercept = engine, loss, fit_intercept
        self.X, self.Y, self.weights, self.offset, self.counts = X, Y, weights, offset, counts
        self.n_columns, self.resident, self._placed = n_columns, True, []
        if chunk_rows is None:
            free = getattr(engine, "free_memory", None)
            budget = CHUNK_BYTES if free is None else max(free() // 4, 2**26)
            chunk_rows = budget // (LIVE_ARRAYS * n_columns * np.dtype(engine.dtype).itemsize)
        self._split(chunk_rows)

    def _split(self, chunk_rows: int) -> None:
        n = len(self.X)
        tiles = -(-n // TILE)
        n_chunks = -(-tiles // max(1, min(tiles, int(chunk_rows) // TILE)))
        self.chunk_rows = TILE * -(-tiles // n_chunks)
        self._placed = []

    def give_way(self) -> bool:
        """Need less memory: smaller chunks, then rows that are copied for every pass; False when all is done."""
        if self.chunk_rows > 4 * TILE or (not self.resident and self.chunk_rows > TILE):
            self._split(self.chunk_rows // 2)
            log.warning("The device is out of memory; going on with chunks of %d rows.", self.chunk_rows)
            return True
        if self.resident:
            self.resident, self._placed = False, []
            log.warning("The device has no room for all rows; copying them chunk by chunk in every pass.")
            return True
        return False

    def _place(self, first: int) -> tuple[Array, ...]:
        rows = slice(first, first + self.chunk_rows)
        missing = max(0, first + self.chunk_rows - len(self.X))

        def put(array: np.ndarray | None, axis: int) -> Array:
            if array is None:
                return None
            part = array[rows] if axis == 0 else array[..., rows]
            if missing:
                # rows of count 0, so that all chunks have one shape
                width = [(0, 0)] * part.ndim
                width[axis] = (0, missing)
                part = np.pad(part, width)
            return self.engine.asarray(np.ascontiguousarray(part, dtype=self.engine.dtype))

        return put(self.X, 0), *(put(a, -1 if a is not None else 0) for a in self._others())

    def _others(self) -> tuple[np.ndarray | None, ...]:
        return self.Y, self.counts, self.weights, self.offset

    def chunks(self) -> Iterator[tuple[Array, ...]]:
        """X, Y, counts, weights and offset of one chunk after the other."""
        firsts = range(0, len(self.X), self.chunk_rows)
        for i, first in enumerate(firsts):
            if i < len(self._placed):
                yield self._placed[i]
                continue
            placed = self._place(first)
            if self.resident:
                self._placed.append(placed)
            yield placed

    def guarded(self, work: Callable[[], Any]) -> Any:
        """``work()``, again with less memory for as long as there is a way to need less."""
        while True:
            try:
                return work()
            except Exception as error:
                if not is_out_of_memory(error):
                    raise
                problem = error
            # outside the handler: the traceback would keep the arrays of the failed pass alive
            problem.__traceback__ = None
            if not self.give_way():
                raise problem

    def columns(self, neuron: np.ndarray, fit: np.ndarray) -> Columns:
        """Moments of (fit, neuron) pairs, by one pass over the rows."""
        engine = self.engine
        pairs = engine.index(neuron), engine.index(fit)
        part = compiled(engine, _moments)

        def work() -> tuple[np.ndarray, Array]:
            sums, YX = 0.0, None
            for X, *others in self.chunks():
                some, YX_part = part(*pairs, X, *others)
                sums = sums + np.asarray(engine.to_numpy(some), float)
                YX = YX_part if YX is None else YX + YX_part
            return sums, YX

        sums, YX = self.guarded(work)
        total = np.where(sums[:, 0] > 0, sums[:, 0], 1)
        YX = YX / self.vector(total)[:, None]
        return Columns(*pairs, YX, sums[:, 0], sums[:, 1] / total, sums[:, 2] / total)

    def vector(self, values: np.ndarray) -> Array:
        """Host scalars, one per column, on the device."""
        return self.engine.asarray(np.ascontiguousarray(values, dtype=self.engine.dtype))

    def evaluate(self, at: Columns, W: Array, b: np.ndarray, wyx: np.ndarray, reference: np.ndarray) -> Point:
        """Loss and gradient at the best intercepts; not finite points have loss +inf.

        Parameters
        ----------
        W : array, shape (n_columns, n_features)
        b : ndarray, shape (n_columns,)
            Where the search for the intercept starts.
        wyx : ndarray, shape (n_columns,)
            Wᵀ(YX), which the caller keeps in float64.
        reference : ndarray, shape (n_columns,)
            About the mean curvature weight there; small weights count as a share of it in ``spread``.
        """
        closed = self.loss.closed_form_intercept and self.fit_intercept
        with np.errstate(all="ignore"):
            point = self.guarded(lambda: (self._poisson_exp if closed else self._general)(at, W, b, wyx, reference))
        bad = ~(np.isfinite(point.loss) & np.isfinite(point.b))
        point.loss[bad] = np.inf
        return point

    def _sum(self, part: Callable[..., Any], arguments: tuple) -> tuple[np.ndarray, Array]:
        """Sums over chunks: scalars in float64 on the host, the product with X on the device.

        Transfers wait until every chunk is under way.
        """
        scalars, product = [], None
        for chunk in self.chunks():
            some, more = part(*arguments, *chunk)
            scalars.append(some)
            product = more if product is None else product + more
        return sum(np.asarray(self.engine.to_numpy(some), float) for some in scalars), product

    def _poisson_exp(self, at: Columns, W: Array, b: np.ndarray, wyx: np.ndarray, reference: np.ndarray) -> Point:
        # see RowObjective._poisson_exp: every sum at the best intercept is κ times the one taken here
        dtype = self.engine.dtype
        arguments = (W, self.vector(b), self.vector(reference), at.neuron, at.fit)
        sums, MX = self._sum(compiled(self.engine, _poisson_exp_chunk), arguments)
        mu_sum, chi, inverse = sums.T[:3]
        kappa = at.y_mean * at.total / mu_sum
        b_best = b.astype(dtype).astype(float) + np.log(kappa)
        loss = at.y_mean - wyx - b_best * at.y_mean - at.y_offset
        grad = MX * self.vector(kappa / at.total)[:, None] - at.YX
        spread = mu_sum / at.total * inverse / at.total
        return Point(
            loss, b_best, at.y_mean.copy(), chi / (kappa * at.total) - at.y_mean, spread, np.ones(len(b), bool), wyx,
            grad,
        )  # fmt: skip

    def _general(self, at: Columns, W: Array, b: np.ndarray, wyx: np.ndarray, reference: np.ndarray) -> Point:
        engine, dtype = self.engine, self.engine.dtype
        pairs = at.neuron, at.fit
        predict = compiled(engine, _eta_chunk)
        n_chunks = -(-len(self.X) // self.chunk_rows)
        # η is kept between the Newton steps of the intercept where it fits; else its product is taken again
        kept: list[Array] | None = [] if n_chunks <= LIVE_ARRAYS else None
        if kept is not None:
            kept += [predict(W, X, offset) for X, _, _, _, offset in self.chunks()]

        def eta() -> Iterator[tuple[Array, tuple]]:
            for i, chunk in enumerate(self.chunks()):
                yield (predict(W, chunk[0], chunk[4]) if kept is None else kept[i]), chunk

        def total_of(part: Callable[..., Any], *arguments: Array) -> np.ndarray:
            found = [part(*arguments, values, *pairs, *chunk[1:4]) for values, chunk in eta()]
            return np.stack([np.asarray(engine.to_numpy(v), float) for v in found])

        if self.fit_intercept:
            b = self._best_intercept(at, b, total_of)
        b32 = b.astype(dtype)
        part = compiled(engine, _loss_chunk, self.loss, float(np.finfo(dtype).tiny))
        scalars, grad = 0.0, None
        for values, chunk in eta():
            some, product = part(values, self.vector(b32), self.vector(reference), *pairs, *chunk[:4])
            scalars = scalars + np.asarray(engine.to_numpy(some), float)
            grad = product if grad is None else grad + product
        loss, weight, chi, inverse, beyond = scalars.T / at.total
        smooth = beyond == 0 if self.loss.barrier else np.ones(len(b), bool)
        grad = grad / self.vector(at.total)[:, None]
        return Point(loss, b32.astype(float), weight, chi, weight * inverse, smooth, wyx, grad)

    def _best_intercept(self, at: Columns, b: np.ndarray, total_of: Callable[..., np.ndarray]) -> np.ndarray:
        """1-D Newton of every column, as `RowObjective._best_intercept`; sums on the device, steps on the host."""
        eps, b = np.finfo(self.engine.dtype).eps, b.copy()
        lowest = np.full(len(b), -np.inf)
        if self.loss.barrier:
            lowest = -total_of(compiled(self.engine, _lowest_chunk)).min(axis=0)[:, 0]
            b = np.maximum(b, lowest + 1e-3 * np.maximum(np.abs(lowest), at.y_mean))
        part = compiled(self.engine, _newton_chunk, self.loss)
        limit = np.inf if self.loss.inverse_link in ("identity", "relu") else 2.0
        for _ in range(50):
            gradient, curvature, size = total_of(part, self.vector(b)).sum(axis=0).T
            open_ = np.abs(gradient) > 8 * eps * size
            step = np.where(open_ & (curvature > 0), gradient / np.where(curvature > 0, curvature, 1), 0.0)
            moving = np.abs(step) > 4 * eps * np.maximum(np.abs(b), 1e-300)
            if not moving.any():
                break
            b = np.where(moving, np.maximum(b - np.clip(step, -limit, limit), 0.5 * (b + lowest)), b)
        return b


def _sum_rows(xp: Any, A: Array) -> Array:
    """Sums over samples in two levels, so that rounding grows with the length of a tile alone."""
    return xp.sum(xp.sum(xp.reshape(A, (A.shape[0], -1, TILE)), axis=2), axis=1)


def _count(xp: Any, neuron: Array, fit: Array, counts: Array, weights: Array) -> Array:
    s = xp.take(counts, fit, axis=0)
    if weights is None:
        return s
    return s * (weights[None, :] if len(weights.shape) == 1 else xp.take(weights, neuron, axis=0))


def _eta_chunk(xp: Any, W: Array, X: Array, offset: Array) -> Array:
    eta = xp.matmul(W, xp.matrix_transpose(X))
    return eta if offset is None else eta + offset[None, :]


def _moments(
    xp: Any, neuron: Array, fit: Array, X: Array, Y: Array, counts: Array, weights: Array, offset: Array
) -> tuple[Array, Array]:
    s = _count(xp, neuron, fit, counts, weights)
    sy = s * xp.take(Y, neuron, axis=0)
    with_offset = 0 * sy if offset is None else sy * offset[None, :]
    return xp.stack([_sum_rows(xp, v) for v in (s, sy, with_offset)], axis=1), xp.matmul(sy, X)


def _poisson_exp_chunk(
    xp: Any, W: Array, b: Array, reference: Array, neuron: Array, fit: Array,
    X: Array, Y: Array, counts: Array, weights: Array, offset: Array,
) -> tuple[Array, Array]:  # fmt: skip
    mu = xp.exp(_eta_chunk(xp, W, X, offset) + b[:, None])
    y, s = xp.take(Y, neuron, axis=0), _count(xp, neuron, fit, counts, weights)
    on = s > 0
    counted = xp.where(on, s * mu, 0 * s)
    chi = xp.where(on, s * (y * (y / mu)), 0 * s)
    inverse = xp.where(on, s / (mu + LEAST_WEIGHT * reference[:, None]), 0 * s)
    return xp.stack([_sum_rows(xp, v) for v in (counted, chi, inverse)], axis=1), xp.matmul(counted, X)


def _loss_chunk(
    xp: Any, loss: Loss, tiny: float, eta: Array, b: Array, reference: Array, neuron: Array, fit: Array,
    X: Array, Y: Array, counts: Array, weights: Array,
) -> tuple[Array, Array]:  # fmt: skip
    eta = eta + b[:, None]
    y, s = xp.take(Y, neuron, axis=0), _count(xp, neuron, fit, counts, weights)
    value = loss.value(xp, eta, y)
    r, h = loss.derivatives(xp, eta, y)
    chi = r * r / xp.where(h > tiny, h, tiny + 0 * h)
    floor = LEAST_WEIGHT * reference[:, None] + h
    inverse = 1 / xp.where(floor > tiny, floor, tiny + 0 * floor)
    beyond = xp.where(eta <= 0, xp.ones_like(eta), 0 * s)
    # a sample of weight 0 may hold anything, an infinite loss too
    value, r, h, chi, inverse, beyond = (xp.where(s > 0, s * v, 0 * s) for v in (value, r, h, chi, inverse, beyond))
    return xp.stack([_sum_rows(xp, v) for v in (value, h, chi, inverse, beyond)], axis=1), xp.matmul(r, X)


def _newton_chunk(
    xp: Any, loss: Loss, b: Array, eta: Array, neuron: Array, fit: Array, Y: Array, counts: Array, weights: Array
) -> Array:
    r, h = loss.derivatives(xp, eta + b[:, None], xp.take(Y, neuron, axis=0))
    s = _count(xp, neuron, fit, counts, weights)
    r, h = xp.where(s > 0, s * r, 0 * s), xp.where(s > 0, s * h, 0 * s)
    return xp.stack([_sum_rows(xp, v) for v in (r, h, xp.abs(r))], axis=1)


def _lowest_chunk(xp: Any, eta: Array, neuron: Array, fit: Array, Y: Array, counts: Array, weights: Array) -> Array:
    """Smallest η of samples with events."""
    events = (xp.take(Y, neuron, axis=0) > 0) & (_count(xp, neuron, fit, counts, weights) > 0)
    return xp.min(xp.where(events, eta, np.inf * xp.ones_like(eta)), axis=1)[:, None]


def sums_of_fits(loss: Loss, Y: np.ndarray, weights: np.ndarray | None, counts: np.ndarray) -> list[ResponseSums]:
    """What `response_sums` gives for every fit, each row of Y (n_neurons, n_samples) looked at once.

    Parameters
    ----------
    weights : ndarray, shape (n_samples,) or (n_neurons, n_samples), or None
    counts : ndarray, shape (n_fits, n_samples)
    """
    q, shape = len(Y), (len(Y), len(counts))
    sums = np.zeros((7, *shape))
    low, high = np.full(shape, np.inf), np.full(shape, -np.inf)
    for a in range(0, Y.shape[1], 4096):
        y, count = np.asarray(Y[:, a : a + 4096], float), counts[:, a : a + 4096].astype(float)
        s = np.broadcast_to(1.0 if weights is None else np.asarray(weights[..., a : a + 4096], float), y.shape)
        seen, used = (s > 0).astype(float), (count > 0).astype(float).T
        parts = (seen, seen * (y > 0), seen * (y < 1)), (s, s * y, s * loss.saturated(y), s * y * y)
        sums += np.stack([v @ used for v in parts[0]] + [v @ count.T for v in parts[1]])
        for fit in range(len(counts)):
            rows = used[:, fit] > 0
            if rows.any():
                inside = seen[:, rows] > 0
                low[:, fit] = np.minimum(low[:, fit], np.where(inside, y[:, rows], np.inf).min(axis=1))
                high[:, fit] = np.maximum(high[:, fit], np.where(inside, y[:, rows], -np.inf).max(axis=1))
    n, events, non_events, total, y_sum, saturated, square = sums
    safe = np.where(total > 0, total, 1)
    mean = y_sum / safe
    match loss.family:
        case "gaussian":
            null = 0.5 * np.maximum(square / safe - mean**2, 0)
        case family:
            null = loss.saturated(mean if family == "poisson" else np.clip(mean, 0, 1))
    fields = (
        n.astype(int),
        events.astype(int),
        non_events.astype(int),
        total,
        mean,
        saturated / safe,
        null,
        ~(high > low),
    )
    return [ResponseSums(*(field[:, fit] for field in fields)) for fit in range(shape[1])] if q else []
