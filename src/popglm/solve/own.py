"""Models of many columns, each around a Gram matrix of its own, for designs of few features: one array, one kernel."""

from __future__ import annotations

from typing import Any

import numpy as np
from numba import njit

from popglm.solve.blocks import block_descent
from popglm.solve.compact import JIT
from popglm.solve.quadratic import MAX_SWEEPS, CurvatureMemory, QuadraticModel

__all__ = ["OwnModels"]

#: Features up to which columns' own models are kept together; beyond, `newton_steps` is the cheaper way to a step where
#: nearly all of them are in use, although it holds Python's lock.
MAX_FEATURES = 400


class OwnModels:
    """Quadratic models of columns of one fit, each in coordinates of its own in which its blocks are diagonal.

    Parameters
    ----------
    model : QuadraticModel
        The one that columns without a model of their own share: one for which `suit` holds.
    n_columns : int
        Columns of the fit.
    n_features : int
    n_bytes : float
        Memory for the models at most.

    Attributes
    ----------
    slot : ndarray of int, shape (n_columns,)
        Where a column's model lies; −1 for none.
    G, V : ndarray, shape (n_slots, n_features, n_features)
        Gram matrices in the models' coordinates; these coordinates, a rotation inside every block.
    """

    shares_out = True

    def __init__(self, model: QuadraticModel, n_columns: int, n_features: int, n_bytes: float) -> None:
        self.engine, self.penalty, self.n_parts = model.engine, model.penalty, model.n_parts
        dtype = self.engine.dtype
        size = 2 * dtype.itemsize * n_features**2
        n_slots = int(np.clip(n_bytes // size, 1, n_columns))
        self.slot, self._free = np.full(n_columns, -1), list(range(n_slots))[::-1]
        # a slot takes memory when it is first written
        self.G, self.V = (np.zeros((n_slots, n_features, n_features), dtype) for _ in range(2))

    @staticmethod
    def suit(model: QuadraticModel) -> bool:
        """Whether the columns with this shared model may have such models of their own."""
        penalty = model.penalty
        return penalty.l1_ratio > 0 and penalty.R is None and not model.split and len(model.G) <= MAX_FEATURES

    def has(self, columns: np.ndarray) -> np.ndarray:
        """Which columns have a model."""
        return self.slot[columns] >= 0

    def make_room(self, columns: np.ndarray) -> np.ndarray:
        """Reserve places, as far as there are; returns which of the columns have one."""
        for column in columns[~self.has(columns)][: len(self._free)]:
            self.slot[column] = self._free.pop()
        return self.has(columns)

    def put(self, columns: np.ndarray, G: np.ndarray) -> None:
        """Give columns that have a place the Gram matrices G (n, n_features, n_features), in solver coordinates."""
        slots = self.slot[columns]

        def turn(at: np.ndarray) -> None:
            principal_blocks(G[at], self.penalty.starts, slots[at], self.G, self.V)

        self._share_out(turn, len(columns))

    def drop(self, columns: np.ndarray) -> None:
        """Let go of the models of some columns."""
        columns = columns[self.has(columns)]
        self._free += self.slot[columns].tolist()
        self.slot[columns] = -1

    def portions(self, columns: np.ndarray) -> list[np.ndarray]:
        """All columns: they are shared out here."""
        return [columns]

    def remember(self, memory: CurvatureMemory, columns: np.ndarray, s: np.ndarray, y: np.ndarray) -> None:
        """Push curvature pairs, kept in the coordinates of the models."""
        slots = self.slot[columns]
        s, y = (rotated(a, self.V, slots, self.penalty.starts) for a in (s, y))
        memory.push(columns, s, y, lambda rows, s: products(s, self.G, self.slot[rows]))

    def step(
        self,
        memory: CurvatureMemory,
        columns: np.ndarray,
        W: np.ndarray,
        grad: np.ndarray,
        c: np.ndarray,
        lam: np.ndarray,
        most: np.ndarray | None = None,
    ) -> tuple[np.ndarray, np.ndarray]:
        """See `QuadraticModel.step`."""
        dtype, penalty, slots = self.engine.dtype, self.penalty, self.slot[columns]
        tau = (penalty.l1_ratio * lam[:, None] * penalty.block_weights).astype(dtype)
        lam2, c = ((1 - penalty.l1_ratio) * lam).astype(dtype), c.astype(dtype)
        D, slope = np.empty((2, *W.shape))
        rounding, accuracy = dtype.type(np.finfo(dtype).eps), dtype.type(1e-3 if dtype == np.float32 else 1e-6)

        def descend(at: np.ndarray) -> None:
            own_descent(
                self.G, self.V, slots[at], penalty.starts, W[at], grad[at], c[at], columns[at],
                memory.S, memory.Y, memory.GS, memory.count, tau[at], lam2[at],
                rounding, accuracy, MAX_SWEEPS, at, D, slope,
            )  # fmt: skip

        self._share_out(descend, len(columns))
        before, after = penalty.norm_value(W, lam), penalty.norm_value(W + D, lam)
        promise = before - after - 0.5 * np.einsum("ij,ij->i", D, grad + slope)
        return D, np.maximum(promise, 0)

    def _share_out(self, work: Any, n: int) -> None:
        size = max(-(-n // (2 * self.n_parts)), 8)
        self.engine.map(work, [(np.arange(a, min(a + size, n)),) for a in range(0, n, size)])


@njit(**JIT)
def principal_blocks(G, starts, slots, out, V):
    """Rotate every block of each G to its principal axes: VᵀGV into ``out[slot]``, the axes into ``V[slot]``."""
    p = G.shape[1]
    half = np.empty((p, p))
    for j in range(len(G)):
        own, turn = G[j], V[slots[j]]
        turn[:] = 0
        for b in range(len(starts) - 1):
            lo, hi = starts[b], starts[b + 1]
            axes = np.linalg.eigh(own[lo:hi, lo:hi].copy())[1]
            turn[lo:hi, lo:hi] = axes
            half[:, lo:hi] = np.dot(own[:, lo:hi].copy(), axes)
        for b in range(len(starts) - 1):
            lo, hi = starts[b], starts[b + 1]
            axes = turn[lo:hi, lo:hi].astype(np.float64)
            out[slots[j], lo:hi] = np.dot(axes.T.copy(), half[lo:hi])


@njit(**JIT)
def _rotate(x, V, starts, out):
    """out = Vᵀx, block by block."""
    for b in range(len(starts) - 1):
        lo, hi = starts[b], starts[b + 1]
        for m in range(lo, hi):
            out[m] = 0.0
        for k in range(lo, hi):
            for m in range(lo, hi):
                out[m] += V[k, m] * x[k]


@njit(**JIT)
def _unrotate(x, V, starts, out):
    """out = Vx, block by block."""
    for b in range(len(starts) - 1):
        lo, hi = starts[b], starts[b + 1]
        for k in range(lo, hi):
            total = 0.0
            for m in range(lo, hi):
                total += V[k, m] * x[m]
            out[k] = total


@njit(**JIT)
def rotated(A, V, slots, starts):
    """The rows of A in the coordinates of their models."""
    out = np.empty_like(A)
    for j in range(len(A)):
        _rotate(A[j], V[slots[j]], starts, out[j])
    return out


@njit(**JIT)
def products(A, G, slots):
    """The rows of A times the Gram matrices of their models, in float64."""
    out = np.zeros_like(A)
    for j in range(len(A)):
        for k in range(A.shape[1]):
            row, share = G[slots[j], k], A[j, k]
            for m in range(A.shape[1]):
                out[j, m] += share * row[m]
    return out


@njit(**JIT)
def own_descent(
    G, V, slots, starts, W, grad, c, rows, S, Y, GS, count, tau, lam2, rounding, accuracy, max_sweeps, at, D, slopes
):
    """`block_descent` for columns with models of their own; row ``at[j]`` of D and slopes is written for column j."""
    p, kind = W.shape[1], G.dtype
    R, zero = np.zeros((0, 0), kind), np.zeros(1, kind)[0]
    w, g, step, slope = np.empty((1, p), kind), np.empty((1, p), kind), np.empty((1, p), kind), np.empty((1, p), kind)
    for j in range(len(W)):
        own, turn, i = G[slots[j]], V[slots[j]], rows[j]
        _rotate(W[j], turn, starts, w[0])
        _rotate(grad[j], turn, starts, g[0])
        block_descent(
            own, R, starts, w, g, c[j : j + 1], S[i : i + 1], Y[i : i + 1], GS[i : i + 1], count[i : i + 1],
            tau[j : j + 1], lam2[j : j + 1], zero, rounding, accuracy, max_sweeps,
            step, slope,
        )  # fmt: skip
        _unrotate(step[0], turn, starts, D[at[j]])
        _unrotate(slope[0], turn, starts, slopes[at[j]])
