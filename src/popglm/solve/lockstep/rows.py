"""Loss and gradient of many fits to the same rows at once: rows of X are held once, each fit counts its own.

The arithmetic of `popglm.solve.objective.RowObjective`, for columns that are (fit, neuron) pairs, in fixed shapes.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np

from popglm.engines.memory import is_out_of_memory
from popglm.solve.lockstep import passes
from popglm.solve.lockstep.arrays import vector
from popglm.solve.lockstep.passes import TILE
from popglm.statistics.families import Family
from popglm.statistics.intercepts import MAX_STEPS, InterceptSteps, slope_at_kink

__all__ = ["BatchRows", "Columns", "Point"]

Array = Any
log = logging.getLogger("popglm")

#: Bytes that the arrays over (columns, rows of a chunk) may take; a device with less makes its chunks smaller.
CHUNK_BYTES = 2**30
#: Such arrays at a time, about.
LIVE_ARRAYS = 6


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
    floor : ndarray, shape (n_columns,)
        Mean loss of the saturated model, for losses that are taken from sums over samples.
    """

    neuron: Array
    fit: Array
    YX: Array
    total: np.ndarray
    y_mean: np.ndarray
    y_offset: np.ndarray
    floor: np.ndarray


@dataclass
class Point:
    """What `Evaluation` says, for columns: scalars in float64 on the host, the gradient on the device."""

    loss: np.ndarray
    b: np.ndarray
    curvature: np.ndarray
    chi2: np.ndarray
    spread: np.ndarray
    smooth: np.ndarray
    slope: np.ndarray
    wyx: np.ndarray
    grad: Array

    SCALARS = ("loss", "b", "curvature", "chi2", "spread", "smooth", "slope", "wyx")


class BatchRows:
    """Rows on one device, in chunks of equal shape.

    Parameters
    ----------
    engine : engine
    loss : Family
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
        Rows per chunk; as many as `CHUNK_BYTES` hold unless given.
    fine : bool
        Whether the losses of some columns are far below what they are differences of: they are then summed from terms
        that vanish where the prediction is right.
    """

    def __init__(
        self,
        engine: Any,
        loss: Family,
        X: np.ndarray,
        Y: np.ndarray,
        weights: np.ndarray | None,
        offset: np.ndarray | None,
        counts: np.ndarray,
        fit_intercept: bool,
        n_columns: int,
        chunk_rows: int | None = None,
        fine: bool = False,
    ) -> None:
        self.engine, self.loss, self.fit_intercept, self.fine = engine, loss, fit_intercept, fine
        self.X, self.Y, self.weights, self.offset, self.counts = X, Y, weights, offset, counts
        self.n_columns, self.resident, self._placed = n_columns, True, []
        if chunk_rows is None:
            chunk_rows = CHUNK_BYTES // (LIVE_ARRAYS * n_columns * np.dtype(engine.dtype).itemsize)
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
        part = engine.compile(passes.moments, engine.xp)

        def work() -> tuple[np.ndarray, Array]:
            sums, YX = 0.0, None
            for X, *others in self.chunks():
                some, YX_part = part(*pairs, X, *others)
                sums = sums + np.asarray(engine.to_numpy(some), float)
                YX = YX_part if YX is None else YX + YX_part
            return sums, YX

        sums, YX = self.guarded(work)
        total = np.where(sums[:, 0] > 0, sums[:, 0], 1)
        YX = YX / vector(self.engine, total)[:, None]
        return Columns(*pairs, YX, sums[:, 0], sums[:, 1] / total, sums[:, 2] / total, np.zeros(len(total)))

    def values(self, neuron: np.ndarray, fit: np.ndarray, W: Array, b: np.ndarray) -> np.ndarray:
        """Σsℓ of (fit, neuron) pairs, shape (n_columns,)."""
        engine = self.engine
        part = engine.compile(passes.value_chunk, type(engine), self.loss)
        arguments = W, vector(engine, b), engine.index(neuron), engine.index(fit)

        def work() -> np.ndarray:
            found = [part(*arguments, *chunk) for chunk in self.chunks()]
            return sum(np.asarray(engine.to_numpy(some), float) for some in found)

        return self.guarded(work)

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
        closed = self.loss.has_exp_sums and self.fit_intercept and not self.fine
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
        arguments = (W, vector(self.engine, b), vector(self.engine, reference), at.neuron, at.fit)
        sums, MX = self._sum(self.engine.fuse(passes.poisson_exp_chunk), arguments)
        mu_sum, chi, inverse = sums.T[:3]
        kappa = at.y_mean * at.total / mu_sum
        b_best = b.astype(dtype).astype(float) + np.log(kappa)
        loss = at.y_mean - wyx - b_best * at.y_mean - at.y_offset - at.floor
        grad = MX * vector(self.engine, kappa / at.total)[:, None] - at.YX
        spread = mu_sum / at.total * inverse / at.total
        chi2, n = chi / (kappa * at.total) - at.y_mean, len(b)
        return Point(loss, b_best, at.y_mean.copy(), chi2, spread, np.ones(n, bool), np.zeros(n), wyx, grad)

    def _general(self, at: Columns, W: Array, b: np.ndarray, wyx: np.ndarray, reference: np.ndarray) -> Point:
        engine, dtype = self.engine, self.engine.dtype
        pairs = at.neuron, at.fit
        predict = engine.compile(passes.eta_chunk, engine.xp)
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
        part = engine.fuse(passes.loss_chunk, self.loss, float(np.finfo(dtype).tiny))
        scalars, grad = 0.0, None
        for values, chunk in eta():
            some, product = part(values, vector(self.engine, b32), vector(self.engine, reference), *pairs, *chunk[:4])
            scalars = scalars + np.asarray(engine.to_numpy(some), float)
            grad = product if grad is None else grad + product
        loss, weight, chi, inverse, beyond, slope = scalars.T / at.total
        smooth = beyond == 0 if self.loss.has_barrier else np.ones(len(b), bool)
        grad = grad / vector(self.engine, at.total)[:, None]
        slope = slope_at_kink(self.loss, self.fit_intercept, slope, dtype)
        return Point(loss, b32.astype(float), weight, chi, weight * inverse, smooth, slope, wyx, grad)

    def _best_intercept(self, at: Columns, b: np.ndarray, total_of: Callable[..., np.ndarray]) -> np.ndarray:
        """See `popglm.statistics.intercepts`: sums on the device, steps on the host."""
        lowest = np.full(len(b), -np.inf)
        if self.loss.has_barrier:
            lowest = -total_of(self.engine.compile(passes.lowest_chunk, self.engine.xp)).min(axis=0)[:, 0]
        part = self.engine.fuse(passes.newton_chunk, self.loss)
        steps = InterceptSteps(self.loss, self.engine.dtype, b, lowest, at.y_mean, at.total)
        for _ in range(MAX_STEPS):
            steps.take(*total_of(part, vector(self.engine, steps.b)).sum(axis=0).T)
            if not steps.moving.any():
                break
        return steps.b
