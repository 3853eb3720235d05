"""The quadratic model of every problem of a batch on the device: its step, its certificate and its curvature pairs."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np

from popglm.engines.protocol import Engine
from popglm.solve.device import kernels, proximal
from popglm.solve.device.arrays import vector
from popglm.solve.device.batch import Batch
from popglm.solve.device.curvature import Order, Pairs
from popglm.solve.local_models.quadratic import PAIRS, QuadraticModel
from popglm.solve.passes.coordinates import principal_axes
from popglm.statistics.blockwise import Blocks

__all__ = ["BatchModel", "Strength"]

Array = Any

#: Compiled calls of `proximal.STEPS` steps for one model, at most, and the share of problems that must be done before.
MOST_CALLS, DONE_SHARE = 40, 0.98
#: A model is solved when it can decrease by no more than this share of what it has, by an estimate that holds where
#: primal and dual residual are below the second number (with ρ far off everything stands still).
MODEL_ACCURACY, RESIDUAL = 0.1, 1e-2


@dataclass
class Strength:
    """λ of every problem of a batch, and its ridge and norm parts on the device.

    Attributes
    ----------
    lam : ndarray, shape (n_rows,)
    ridge : array, shape (n_rows,)
        λ₂.
    tau : array, shape (n_rows, n_blocks)
        Weights of the norms.
    """

    lam: np.ndarray
    ridge: Array
    tau: Array


class BatchModel:
    """What problems share, placed on the device.

    Parameters
    ----------
    engine : engine
    model : QuadraticModel
        Its G and its penalty, in solver coordinates.

    Attributes
    ----------
    first_bound : float
        Where the `Batch.bound` of a problem starts.
    """

    def __init__(self, engine: Engine, model: QuadraticModel) -> None:
        """Place the arrays; the spectrum of G where steps need it."""
        self.engine, self.penalty = engine, model.penalty
        put, penalty = engine.asarray, model.penalty
        G = np.diag(model.G) if model.G.ndim == 1 else model.G
        p, n_blocks = len(G), len(penalty.block_sizes)
        self.normed = penalty.has_norm
        of_column, (lower, upper) = penalty.block_of_column, self._placed_bounds(1.0)
        self.blocks = Blocks(
            None if n_blocks == p else put(np.eye(n_blocks)[of_column]),
            engine.index(of_column),
            put(np.ones(p)) if penalty.blocks.nested else None,
            lower,
            upper,
        )
        self.G = put(G)
        self.R = None if penalty.R is None else put(penalty.smoothness * penalty.R)
        diagonal = np.zeros(p) if penalty.R is None else penalty.smoothness * np.diag(penalty.R)
        self.diagonals = kernels.Diagonals(put(np.diag(G).copy()), put(diagonal))
        self.norm_weights = put(penalty.norm_weights)
        self.split = self.normed and penalty.R is None
        self.spectrum: Any = None
        self.units: Any = None
        if self.split:
            # in blocks of unit variance, whatever units they were given in; the penalty's weights go with them
            variance = np.bincount(of_column, np.diag(G)) / penalty.block_sizes
            of_block = np.sqrt(np.where(variance > 0, variance, 1))
            each = of_block[of_column]
            self.units = kernels.Units(
                put(each), put(of_block), put(np.concatenate([each, of_block]) if penalty.blocks.nested else of_block),
                *self._placed_bounds(each),
            )  # fmt: skip
            self.spectrum = tuple(put(a) for a in principal_axes(G / np.outer(each, each)))
        elif not self.normed:
            self.spectrum = self._placed(*model.eigen(penalty.smoothness, 0.0))
            self.free = self.spectrum if penalty.R is not None else self._placed(*model.eigen(0.0, None))
        self.order = Order(put(np.tril(np.ones((PAIRS, PAIRS)), -1)), put(np.eye(2 * PAIRS)))
        # largest eigenvalue of G in its own diagonal's metric: what a step bound starts from
        variance = np.diag(G)
        scale = np.where(variance > 0, 1 / np.sqrt(np.where(variance > 0, variance, 1)), 0)
        self.first_bound = (
            0.0 if self.split else max(1.0, 1.02 * float(np.linalg.eigvalsh(G * np.outer(scale, scale))[-1]))
        )

    def _placed_bounds(self, unit: np.ndarray | float) -> tuple[Array, Array]:
        """Bounds of weights times a unit of each column, on the device; None where there are none."""
        lower, upper = self.penalty.rebounded(unit).limits
        return (None, None) if lower is None else (self.engine.asarray(lower), self.engine.asarray(upper))

    def _placed(self, values: np.ndarray, vectors: np.ndarray | None) -> tuple[Array, Array | None]:
        """A spectrum on the device."""
        return self.engine.asarray(values), None if vectors is None else self.engine.asarray(vectors)

    def _call(self, function: Callable[..., Any], *arguments: Any, constants: tuple = ()) -> Any:
        """The compiled ``function(class of the engine, *constants, *arguments)``."""
        return self.engine.compile(function, type(self.engine), *constants)(*arguments)

    def _host(self, values: Array) -> np.ndarray:
        """Numbers in float64 on the host."""
        return np.asarray(self.engine.to_numpy(values), float)

    def no_pairs(self, W: Array) -> Pairs:
        """Room for the curvature pairs of every row of W."""
        return Pairs(*(self.engine.xp.stack([0 * W] * PAIRS, axis=1),) * 3)

    def _point(self, batch: Batch, at: Strength) -> kernels.Point:
        """Where a batch stands, as the kernels read it."""
        return kernels.Point(batch.W, batch.grad, at.ridge, at.tau if self.normed else None)

    def strength(self, lam: np.ndarray) -> Strength:
        """λ of every problem as the model needs it."""
        alpha = self.penalty.l1_ratio
        tau = vector(self.engine, alpha * lam)[:, None] * self.norm_weights[None, :]
        return Strength(lam, vector(self.engine, self.penalty.ridge_strength(lam)), tau)

    def penalty_value(self, W: Array, at: Strength) -> np.ndarray:
        """The penalty of every row of W."""
        return self._host(self._call(kernels.penalty_value, self.blocks, W, at.ridge, at.tau, self.R))

    def gap_sums(self, batch: Batch, at: Strength) -> np.ndarray:
        """See `popglm.solve.walk.certificate.gap_sums`."""
        return self._host(self._call(kernels.gap_parts, self.blocks, self._point(batch, at), self.R))

    def decrement(self, batch: Batch, c: np.ndarray, at: Strength) -> np.ndarray:
        """Squared KKT residual in the metric of G, shape (n_rows,)."""
        point, c = self._point(batch, at), vector(self.engine, c)
        return self._host(self._call(kernels.decrement, self.blocks, point, c, self.diagonals.G, self.spectrum, self.R))

    def moved(self, batch: Batch, d: Array, at: Strength, active: np.ndarray) -> tuple[Array, np.ndarray]:
        """See `popglm.solve.device.kernels.moved`; one row per sum."""
        point = kernels.Point(batch.W, batch.grad, at.ridge, at.tau)
        rounding = 8 * float(np.finfo(self.engine.dtype).eps)
        W, sums = self._call(
            kernels.moved, self.blocks, point, d, self.R, vector(self.engine, active), constants=(rounding,)
        )
        return W, self._host(sums).T

    def mean_slope(self, batch: Batch, W: Array, grad: Array) -> np.ndarray:
        """Change of the loss from the gradients at both ends of a step, shape (n_rows,)."""
        return self._host(self._call(kernels.mean_slope, W, batch.W, grad, batch.grad))

    def keep_step(self, batch: Batch, W: Array, grad: Array, chosen: np.ndarray) -> None:
        """Remember the curvature pairs of steps to W, where the gradient is ``grad``."""
        least = 1e-4 * float(np.sqrt(np.finfo(self.engine.dtype).eps))
        batch.pairs = self._call(
            kernels.keep_step, batch.pairs, (batch.W, batch.grad), (W, grad), vector(self.engine, chosen),
            *((self.spectrum, self.units.of_column) if self.split else ((self.G, None), None)), constants=(least,),
        )  # fmt: skip

    def forget(self, batch: Batch, chosen: np.ndarray) -> None:
        """Begin to collect the pairs of chosen rows anew."""
        batch.pairs = self._call(kernels.forget, vector(self.engine, chosen), batch.pairs)

    def accept(self, batch: Batch, W: Array, grad: Array, accepted: np.ndarray) -> None:
        """Take weights and gradients of accepted rows."""
        batch.W, batch.grad = self._call(kernels.choose, vector(self.engine, accepted), W, grad, batch.W, batch.grad)

    def step(
        self, batch: Batch, active: np.ndarray, c: np.ndarray, at: Strength, most: np.ndarray
    ) -> tuple[Array, np.ndarray]:
        """Minimiser of every problem's model, and the decrease that it promises with what the steps left over.

        Steps end early where no more than ``most`` is promised: the problem is certified. Where rounding has made
        pairs dependent, the step is not finite or its model has no minimum that is found: the promise is NaN then, and
        the problem begins to collect pairs anew.
        """
        c = vector(self.engine, c)
        if self.split:
            d, promise, failed = self._split_step(batch, active, c, at, most)
        elif self.normed:
            d, promise = self._proximal_step(batch, active, c, at, most)
            failed = np.isnan(promise)
        else:
            d, promise = self._smooth_step(batch, c, at)
            failed = np.isnan(promise)
        failed &= active
        if failed.any():
            self.forget(batch, failed)
        return d, np.where(failed, np.nan, promise)

    def _smooth_step(self, batch: Batch, c: Array, at: Strength) -> tuple[Array, np.ndarray]:
        """`step` without a norm in the penalty."""

        def by(spectrum: tuple[Array, Array | None]) -> tuple[Array, Array]:
            """The step and its promise with one of the two spectra."""
            return self._call(kernels.smooth_step, self._point(batch, at), c, batch.pairs, spectrum, self.R)

        # without a penalty the units of the columns do not matter, and no column may fall below rounding by them
        free = at.lam == 0
        d, promise = by(self.free if free.all() else self.spectrum)
        if free.any() and not free.all() and self.free is not self.spectrum:
            other, promised = by(self.free)
            d, _ = self._call(kernels.choose, vector(self.engine, free), other, other, d, d)
            return d, np.where(free, self._host(promised), self._host(promise))
        return d, self._host(promise)

    def _proximal_step(
        self, batch: Batch, active: np.ndarray, c: Array, at: Strength, most: np.ndarray
    ) -> tuple[Array, np.ndarray]:
        """`step` with norms and a smoothness."""
        model, now = self._call(
            kernels.open_model, self.blocks, self._point(batch, at), c, batch.bound, batch.pairs,
            (self.diagonals, self.R), self.order,
        )  # fmt: skip
        steps = self.engine.fuse(proximal.proximal_steps, 10 * float(np.finfo(self.engine.dtype).eps))
        last, left = np.zeros(len(active)), np.full(len(active), np.inf)
        with self.engine.fast_products():
            for _ in range(MOST_CALLS):
                now, value = steps(self.blocks, model, self.G, self.R, now)
                value = self._host(value)
                # steps converge at a steady rate: half the gain of a call, or more, is what is left
                left, last = np.abs(last - value), value
                if _enough(active, value, left, most):
                    break
        batch.bound = self._call(kernels.finite_or, 0.95 * now[5], constants=(self.first_bound,))
        return now[0], np.maximum(-last, 0) + left

    def _split_step(
        self, batch: Batch, active: np.ndarray, c: Array, at: Strength, most: np.ndarray
    ) -> tuple[Array, np.ndarray, np.ndarray]:
        """`step` with norms alone; the problems whose pairs rounding has made dependent too."""
        model, unit, now = self._call(
            kernels.open_split, self._point(batch, at), c, batch.pairs, self.units, self.spectrum[0], self.order,
            batch.bound,
        )  # fmt: skip
        size = self._host(unit)
        with np.errstate(over="ignore"):
            most = most / size**2
        steps = self.engine.fuse(proximal.split_steps)
        for call in range(MOST_CALLS):
            with self.engine.fast_products():
                d, sums, missing, now = steps(self.blocks, model, self.spectrum, now)
            value, left, residual = self._host(sums).T
            failed = np.isnan(value) | (left < 0)
            left = np.where((residual <= RESIDUAL) & (left >= 0), left, np.inf)
            if call < MOST_CALLS - 1 and not _enough(active, value, left, most):
                continue
            # a promise that ends a strength is made with a bound
            ends = active & (np.maximum(-value, 0) + left <= most)
            if not ends.any():
                break
            bound = self._call(proximal.decrement, missing, model, self.spectrum[0])
            left = np.where(ends, self._host(bound), left)
            failed |= left < 0
            if _few(active, ends & ~(np.maximum(-value, 0) + left <= most)):
                break
        promise = np.maximum(-value, 0) + left
        if call == MOST_CALLS - 1:
            failed |= ~np.isfinite(promise)
        # what failed begins anew with its ρ too
        bound = self._call(kernels.choose_numbers, vector(self.engine, failed), self.first_bound + 0 * c, now[2])
        batch.bound = self._call(kernels.finite_or, bound, constants=(self.first_bound,))
        return self._call(kernels.in_columns, d, unit, self.units.of_column), promise * size**2, failed


def _enough(active: np.ndarray, value: np.ndarray, left: np.ndarray, most: np.ndarray) -> bool:
    """Whether few models of active problems can still decrease by what is worth a call."""
    gained = np.maximum(-value, 0)
    return _few(active, active & ~(left <= np.maximum(MODEL_ACCURACY * gained, most - gained)))


def _few(active: np.ndarray, open_: np.ndarray) -> bool:
    """Whether no more than the share of the active problems that may stay open is open."""
    return bool(np.count_nonzero(open_) <= (1 - DONE_SHARE) * np.count_nonzero(active))
