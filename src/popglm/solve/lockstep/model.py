"""The quadratic model of every column of a batch on the device: its step, its certificate and its curvature pairs."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np

from popglm.solve.coordinates import principal_axes
from popglm.solve.lockstep import kernels, proximal
from popglm.solve.lockstep.arrays import Blocks, vector
from popglm.solve.lockstep.batch import Batch
from popglm.solve.quadratic import QuadraticModel

__all__ = ["BatchModel", "Strength"]

Array = Any

#: Curvature pairs that are kept.
MEMORY = 10
#: Compiled calls of `proximal.STEPS` steps for one model, at most, and the share of columns that must be done before.
MOST_CALLS, DONE_SHARE = 40, 0.98
#: A model is solved when it can decrease by no more than this share of what it has, by an estimate that holds where
#: primal and dual residual are below the second number (with ρ far off everything stands still).
MODEL_ACCURACY, RESIDUAL = 0.1, 1e-2


@dataclass
class Strength:
    """λ of every column of a batch, and its ridge and norm parts; those on the device are copied there once.

    Attributes
    ----------
    lam, lam2 : ndarray, shape (n_columns,)
        λ and λ₂.
    ridge : array, shape (n_columns,)
        λ₂ on the device.
    tau : array, shape (n_columns, n_blocks)
        Weights of the norms, on the device.
    """

    lam: np.ndarray
    lam2: np.ndarray
    ridge: Array
    tau: Array


class BatchModel:
    """What columns share, placed on the device.

    Parameters
    ----------
    engine : engine
    model : QuadraticModel
        Its G and its penalty, in solver coordinates.

    Attributes
    ----------
    first_bound : float
        Where the `Batch.bound` of a column starts.
    """

    def __init__(self, engine: Any, model: QuadraticModel) -> None:
        self.engine, self.penalty = engine, model.penalty
        put, penalty = engine.asarray, model.penalty
        p, n_blocks = len(model.G), len(penalty.block_sizes)
        self.normed = penalty.l1_ratio > 0
        of_column = penalty.block_of_column
        self.blocks = Blocks(None if n_blocks == p else put(np.eye(n_blocks)[of_column]), engine.index(of_column))
        self.G, self.diagonal_of_G = put(model.G), put(np.diag(model.G).copy())
        self.R = None if penalty.R is None else put(penalty.smoothness * penalty.R)
        diagonal = np.zeros(p) if penalty.R is None else penalty.smoothness * np.diag(penalty.R)
        self.diagonal_of_R = put(diagonal)
        self.split = self.normed and penalty.R is None
        self.spectrum = self.deviation = None
        if self.split:
            # in blocks of unit variance, whatever units they were given in; the penalty's weights go with them
            variance = np.bincount(of_column, np.diag(model.G)) / penalty.block_sizes
            of_block = np.sqrt(np.where(variance > 0, variance, 1))
            each = of_block[of_column]
            self.of_block, self.deviation = put(of_block), put(each)
            self.spectrum = tuple(put(a) for a in principal_axes(model.G / np.outer(each, each)))
        elif not self.normed:
            self.spectrum = tuple(put(a) for a in model._eigen(penalty.smoothness, 0.0))
            self.free = self.spectrum if penalty.R is not None else tuple(put(a) for a in model._eigen(0.0, None))
        # with these signs Σuuᵀ − Σvvᵀ is one sum
        signs = np.tile([1.0, -1.0], MEMORY)
        self.signs, self.sign_matrix = put(signs), put(np.diag(signs))
        # largest eigenvalue of G in its own diagonal's metric: what a step bound starts from
        variance = np.diag(model.G)
        scale = np.where(variance > 0, 1 / np.sqrt(np.where(variance > 0, variance, 1)), 0)
        self.first_bound = (
            0.0 if self.split else max(1.0, 1.02 * float(np.linalg.eigvalsh(model.G * np.outer(scale, scale))[-1]))
        )

    def _call(self, function: Callable[..., Any], *arguments: Any, constants: tuple = ()) -> Any:
        return self.engine.compile(function, self.engine.xp, *constants)(*arguments)

    def _host(self, values: Array) -> np.ndarray:
        return np.asarray(self.engine.to_numpy(values), float)

    def no_pairs(self, W: Array) -> tuple[Array, Array, Array]:
        """Room for the curvature pairs of every row of W."""
        return (self.engine.xp.stack([0 * W] * MEMORY, axis=1),) * 3

    def strength(self, lam: np.ndarray) -> Strength:
        """λ of every column as the model needs it."""
        lam2 = (1 - self.penalty.l1_ratio) * lam
        tau = np.outer(self.penalty.l1_ratio * lam, self.penalty.block_weights)
        return Strength(lam, lam2, vector(self.engine, lam2), self.engine.asarray(tau))

    def penalty_value(self, W: Array, at: Strength) -> np.ndarray:
        """The penalty of every row of W."""
        return self._host(self._call(kernels.penalty_value, self.blocks, W, at.ridge, at.tau, self.R))

    def certificate_parts(self, batch: Batch, at: Strength) -> np.ndarray:
        """See `popglm.solve.lockstep.kernels.certificate_parts`; one row per part."""
        parts = self._call(
            kernels.certificate_parts, self.blocks, batch.W, batch.point.grad,
            vector(self.engine, batch.point.curvature), at.ridge, at.tau, self.diagonal_of_G, self.R, self.spectrum,
            constants=(self.normed,),
        )  # fmt: skip
        return self._host(parts).T

    def moved(self, batch: Batch, d: Array, at: Strength, active: np.ndarray) -> tuple[Array, np.ndarray]:
        """See `popglm.solve.lockstep.kernels.moved`; one row per sum."""
        W, sums = self._call(
            kernels.moved, self.blocks, batch.W, d, batch.point.grad, batch.at.YX, at.ridge, at.tau, self.R,
            vector(self.engine, active),
        )  # fmt: skip
        return W, self._host(sums).T

    def keep_step(self, batch: Batch, W: Array, grad: Array, chosen: np.ndarray) -> None:
        """Remember the curvature pairs of steps to W, where the gradient is ``grad``."""
        least = 1e-4 * float(np.sqrt(np.finfo(self.engine.dtype).eps))
        batch.pairs = self._call(
            kernels.keep_step, *batch.pairs, W, batch.W, grad, batch.point.grad, vector(self.engine, chosen),
            *(self.spectrum if self.split else (self.G, None)), self.deviation, constants=(least,),
        )  # fmt: skip

    def accept(self, batch: Batch, W: Array, grad: Array, accepted: np.ndarray) -> None:
        """Take weights and gradients of accepted columns."""
        batch.W, batch.point.grad = self._call(
            kernels.choose, vector(self.engine, accepted), W, grad, batch.W, batch.point.grad
        )

    def step(
        self, batch: Batch, active: np.ndarray, c: np.ndarray, at: Strength, most: np.ndarray
    ) -> tuple[Array, np.ndarray]:
        """Minimiser of every column's model, and the decrease that it promises with what the steps left over.

        Steps end early where no more than ``most`` is promised: the column is certified.
        """
        c = vector(self.engine, c)
        if self.split:
            return self._split_step(batch, active, c, at, most)
        if self.normed:
            return self._proximal_step(batch, active, c, at, most)
        d, promise = self._call(
            kernels.smooth_step,
            batch.W,
            batch.point.grad,
            c,
            at.ridge,
            *batch.pairs[:2],
            self.spectrum if at.lam2.any() else self.free,
            self.R,
        )
        return d, self._host(promise)

    def _proximal_step(
        self, batch: Batch, active: np.ndarray, c: Array, at: Strength, most: np.ndarray
    ) -> tuple[Array, np.ndarray]:
        grad, vectors, D, now = self._call(
            kernels.open_model, self.blocks, batch.W, batch.point.grad, c, batch.bound, *batch.pairs,
            self.diagonal_of_G, self.diagonal_of_R, self.R, self.signs,
        )  # fmt: skip
        steps = self.engine.fuse(proximal.proximal_steps, 10 * float(np.finfo(self.engine.dtype).eps))
        model = (self.blocks, batch.W, grad, c, at.ridge, at.tau, vectors, self.signs, D, self.G, self.R)
        last, left = np.zeros(len(active)), np.full(len(active), np.inf)
        with self.engine.fast_products():
            for _ in range(MOST_CALLS):
                now, value = steps(*model, now)
                value = self._host(value)
                # steps converge at a steady rate: half the gain of a call, or more, is what is left
                left, last = np.abs(last - value), value
                if _enough(active, value, left, most):
                    break
        batch.bound = now[5] * 0.95
        return now[0], np.maximum(-last, 0) + left

    def _split_step(
        self, batch: Batch, active: np.ndarray, c: Array, at: Strength, most: np.ndarray
    ) -> tuple[Array, np.ndarray]:
        W, grad, unit, lam2, ridge, tau, vectors, now = self._call(
            kernels.open_split, batch.W, batch.point.grad, c, at.ridge, at.tau, self.deviation, self.of_block,
            *batch.pairs, self.spectrum[0], self.signs, batch.bound,
        )  # fmt: skip
        size = self._host(unit)
        with np.errstate(over="ignore"):
            most = most / size**2
        steps = self.engine.fuse(proximal.split_steps)
        model = (self.blocks, W, grad, c, lam2, ridge, tau, vectors, self.sign_matrix, self.spectrum)
        for call in range(MOST_CALLS):
            with self.engine.fast_products():
                d, sums, missing, now = steps(*model, now)
            value, left, residual = self._host(sums).T
            left = np.where((residual <= RESIDUAL) & (left >= 0), left, np.inf)
            if call < MOST_CALLS - 1 and not _enough(active, value, left, most):
                continue
            # a promise that ends a strength is made with a bound
            ends = active & (np.maximum(-value, 0) + left <= most)
            if not ends.any():
                break
            bound = self._call(proximal.decrement, missing, c, lam2, vectors, self.sign_matrix, self.spectrum[0])
            left = np.where(ends, self._host(bound), left)
            if _few(active, ends & ~(np.maximum(-value, 0) + left <= most)):
                break
        # where curvature pairs have become dependent nothing is finite: ρ begins anew
        batch.bound = self._call(kernels.finite_or_zero, now[2])
        return self._call(kernels.in_columns, d, unit, self.deviation), (np.maximum(-value, 0) + left) * size**2


def _enough(active: np.ndarray, value: np.ndarray, left: np.ndarray, most: np.ndarray) -> bool:
    gained = np.maximum(-value, 0)
    return _few(active, active & ~(left <= np.maximum(MODEL_ACCURACY * gained, most - gained)))


def _few(active: np.ndarray, open_: np.ndarray) -> bool:
    return np.count_nonzero(open_) <= (1 - DONE_SHARE) * np.count_nonzero(active)
