"""Steps of models under penalties with norms of single weights: the columns have unit variance there."""

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import NamedTuple

import numpy as np

from popglm.engines.protocol import Engine
from popglm.solve.curvature.curvature_memory import CurvatureMemory
from popglm.solve.curvature.local_model import LocalModel
from popglm.solve.step_solvers.splitting import split_steps
from popglm.statistics.penalties import Penalty

__all__ = ["Deviations", "SplitModel", "deviations"]


class Deviations(NamedTuple):
    """Units in which it does not matter what units columns were given in; the penalty's weights go with them.

    Attributes
    ----------
    columns : ndarray, shape (n_features,) or (n_neurons, n_features)
        Of the columns. Those that have a norm together share one.
    norms : ndarray, shape (n_norms,) or (n_neurons, n_norms)
        Of the penalty's norms.
    """

    columns: np.ndarray
    norms: np.ndarray


def deviations(variances: np.ndarray, penalty: Penalty) -> Deviations:
    """Units of columns with these variances (n_features,), the diagonal of a Gram matrix."""
    # of a model of its own, rounding may leave less than none
    variance = np.maximum(variances, 0)
    if penalty.blocks.nested:
        variance = np.bincount(penalty.block_of_column, variance) / penalty.block_sizes
    of_block = np.sqrt(np.where(variance > 0, variance, 1.0))
    each = of_block[penalty.block_of_column] if penalty.blocks.nested else of_block
    return Deviations(each, np.concatenate([each, of_block]) if penalty.blocks.nested else each)


class SplitModel(ABC):
    """What takes steps by `split_steps`, everything about it kept in the eigenbasis of its scaled Gram matrices."""

    engine: Engine
    penalty: Penalty

    @abstractmethod
    def deviations_of(self, neurons: np.ndarray) -> Deviations:
        """Units of some neurons' models."""

    @abstractmethod
    def local(self, at, memory: CurvatureMemory, neurons, c, tau, lam2) -> LocalModel:
        """The models of the rows ``at`` of ``neurons``."""

    @abstractmethod
    def share_out_splits(self, work, n: int) -> None:
        """Call ``work`` on parts of n rows."""

    def point(self, W, grad, c, tau, lam) -> tuple[np.ndarray, ...]:
        """W, grad, c, τ and λ₂ in the engine's precision."""
        lam2 = self.penalty.ridge_strength(lam)
        return tuple(np.ascontiguousarray(a, self.engine.dtype) for a in (W, grad, c, tau, lam2))

    def split_step(
        self,
        memory: CurvatureMemory,
        neurons: np.ndarray,
        W: np.ndarray,
        grad: np.ndarray,
        c: np.ndarray,
        lam: np.ndarray,
        most: np.ndarray | None,
    ) -> tuple[np.ndarray, np.ndarray]:
        """See `QuadraticModel.step`."""
        tau, unit_of = self.penalty.norm_strengths(lam, W, neurons), self.deviations_of(neurons)
        before, (W, grad, unit) = W, _scaled(W, grad, c, unit_of.columns)
        W, grad, c, tau, _ = self.point(W, grad, c, tau, lam)
        tau = tau / (unit_of.norms * unit).astype(tau.dtype)
        lam2 = self.penalty.ridge_strength(lam)[:, None] * np.broadcast_to(unit_of.columns, W.shape) ** -2.0
        least = lam2.min(axis=1)
        ridge, least = (lam2 - least[:, None]).astype(W.dtype), least.astype(W.dtype)
        D, promise = np.zeros(W.shape, W.dtype), np.zeros(len(W))
        most = np.zeros(len(W)) if most is None else most / unit[:, 0] ** 2
        bounds = None
        if self.penalty.bounds is not None:
            bounds = (self.penalty.bounds[:, None] * (unit_of.columns / unit)).astype(W.dtype)

        def split(at: np.ndarray) -> None:
            """Minimise the models of the rows ``at``."""
            model, rows = self.local(at, memory, neurons, c, tau, least), neurons[at]
            if bounds is not None:
                model.lower, model.upper = bounds[:, at]
            D[at], gained, left, memory.rho[rows] = split_steps(
                model, W[at], grad[at], memory.rho[rows], ridge[at], most[at]
            )
            promise[at] = gained + left

        self.share_out_splits(split, len(W))
        failed = np.flatnonzero(~np.isfinite(D).all(axis=1) | np.isnan(promise))
        if len(failed):
            # where rounding has made the pairs dependent, the neuron begins to collect them anew
            memory.forget(neurons[failed])
            split(failed)
        landed, D = W + D, D * (unit / unit_of.columns)
        self.penalty.close_blocks(before, D, landed)
        return D, promise * unit[:, 0] ** 2


def _scaled(
    W: np.ndarray, grad: np.ndarray, c: np.ndarray, deviation: np.ndarray
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Weights and gradients in columns of unit variance and a unit of the activity's (n_neurons, 1), and that."""
    W, grad = W * deviation, grad / deviation
    size = np.maximum(np.abs(W).max(axis=1), np.abs(grad).max(axis=1) / np.maximum(c, np.finfo(float).tiny))
    # a power of two: nothing is rounded
    unit = np.exp2(np.round(np.log2(np.where((size > 0) & np.isfinite(size), size, 1))))[:, None]
    return W / unit, grad / unit, unit
