"""Models of many problems, each around a Gram matrix of its own, for designs of few features: one array, one kernel."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise

import numpy as np

from popglm.solve.compiled.compiling import compiled
from popglm.solve.curvature.curvature_memory import CurvatureMemory
from popglm.solve.local_models.quadratic import QuadraticModel, decrease
from popglm.solve.local_models.slots import Slots
from popglm.solve.step_solvers.blocks import Places, descent

__all__ = ["OwnModels", "make_definite", "n_axes", "principal_blocks"]

#: Features up to which problems' own models are kept together; beyond, `newton_steps` is the cheaper way to a step
#: where nearly all of them are in use, although it holds Python's lock.
MAX_FEATURES = 400


class OwnModels(Slots):
    """Quadratic models of problems of one fit, each in coordinates of its own in which its blocks are diagonal.

    Parameters are those of `Slots`.

    Attributes
    ----------
    G : ndarray, shape (n_slots, n_features, n_features)
        Gram matrices in the models' coordinates.
    V : ndarray, shape (n_slots, n_axes)
        These coordinates: the axes of every block as columns of a matrix, row by row, block by block.
    """

    def __init__(
        self, model: QuadraticModel, n_problems: int, n_bytes: float, models: Sequence[QuadraticModel] = ()
    ) -> None:
        """Room for as many models as ``n_bytes`` hold, at least one; no problem has one yet."""
        super().__init__(model, n_problems, n_bytes, models)
        n, p, dtype = self.n_slots * len(self.models), len(model.G), self.engine.dtype
        # a slot takes memory when it is first written
        self.G, self.V = np.zeros((n, p, p), dtype), np.zeros((n, n_axes(self.penalty.starts)), dtype)

    @property
    def kept(self) -> dict[str, np.ndarray]:
        """See `Slots`."""
        return {"G": self.G, "V": self.V}

    @staticmethod
    def suit(model: QuadraticModel) -> bool:
        """Whether the problems with this shared model may have such models of their own."""
        penalty = model.penalty
        alike = model.split or model.diagonal or penalty.R is not None
        return penalty.has_norm and not alike and len(model.G) <= MAX_FEATURES

    def put(self, problems: np.ndarray, G: np.ndarray) -> None:
        """Give problems that have a place the Gram matrices G (n, n_features, n_features), in solver coordinates."""
        slots = self.slot[problems]

        def turn(at: np.ndarray) -> None:
            """Write the models of the rows ``at``."""
            principal_blocks(G[at], self.penalty.starts, slots[at], self.G, self.V)
            for slot in slots[at]:
                make_definite(self.G[slot])

        self._share_out(turn, len(problems))

    def take(self, problems: np.ndarray, G: np.ndarray, V: np.ndarray) -> None:
        """Give problems that have a place the Gram matrices G, and their coordinates V, as they are kept."""
        self.G[self.slot[problems]], self.V[self.slot[problems]] = G, V

    def remember(self, memory: CurvatureMemory, problems: np.ndarray, s: np.ndarray, y: np.ndarray) -> None:
        """Push curvature pairs, kept in the coordinates of the models."""

        def push(at: np.ndarray) -> None:
            """Push those of the rows ``at``."""
            slots = self.slot[problems[at]]
            moved, change = (rotated(a[at], self.V, slots, self.penalty.starts) for a in (s, y))
            memory.push(problems[at], moved, change, lambda rows, s: products(s, self.G, self.slot[rows]))

        self._share_out(push, len(problems))

    def step(
        self,
        memory: CurvatureMemory,
        problems: np.ndarray,
        W: np.ndarray,
        grad: np.ndarray,
        c: np.ndarray,
        lam: np.ndarray,
        most: np.ndarray | None = None,
    ) -> tuple[np.ndarray, np.ndarray]:
        """See `QuadraticModel.step`."""
        dtype, penalty, slots = self.engine.dtype, self.penalty, self.slot[problems]
        W = penalty.penalised(W) if penalty.l1_ratio < 1 else W
        tau = penalty.norm_strengths(lam, W, problems).astype(dtype)
        lam2, c = penalty.ridge_strength(lam).astype(dtype), c.astype(dtype)
        D, slope = np.empty((2, *W.shape))
        landed = np.empty(W.shape, dtype)
        minimise = descent(penalty, dtype)

        def descend(at: np.ndarray) -> None:
            """Minimise the models of the rows ``at``."""
            w, g = (rotated(a[at], self.V, slots[at], penalty.starts).astype(dtype) for a in (W, grad))
            places = Places(slots[at], problems[at])
            step, after = minimise(self.G, memory.pairs, places, w, g, c[at], tau[at], lam2[at])
            unrotated(step, self.V, slots[at], penalty.starts, at, D)
            landed[at] = w + step
            unrotated(after, self.V, slots[at], penalty.starts, at, slope)

        self._share_out(descend, len(problems))
        penalty.close_blocks(W, D, landed)
        return D, decrease(penalty, W, D, grad + slope, lam, problems)


def n_axes(starts: np.ndarray) -> int:
    """Numbers of the axes of all blocks."""
    return int(np.sum(np.diff(starts) ** 2))


def principal_blocks(G: np.ndarray, starts: np.ndarray, slots: np.ndarray, out: np.ndarray, V: np.ndarray) -> None:
    """Rotate every block of each G to its principal axes: VᵀGV into ``out[slot]``, the axes into ``V[slot]``.

    G is changed.
    """
    first, found = 0, []
    for lo, hi in pairwise(starts):
        axes = np.linalg.eigh(G[:, lo:hi, lo:hi])[1]
        last = first + (hi - lo) ** 2
        V[slots, first:last] = axes.reshape(len(axes), -1)
        # as they are kept
        found.append(V[slots, first:last].astype(float).reshape(axes.shape))
        G[:, :, lo:hi] = G[:, :, lo:hi] @ axes
        first = last
    for (lo, hi), axes in zip(pairwise(starts), found, strict=True):
        out[slots, lo:hi] = axes.transpose(0, 2, 1) @ G[:, lo:hi]


def make_definite(G: np.ndarray) -> None:
    """Raise the diagonal of a Gram matrix (n_features, n_features) that rounding has made indefinite.

    Its model would fall without end along the direction of negative curvature.
    """
    one, least = np.eye(len(G), dtype=G.dtype), np.finfo(G.dtype).eps * np.trace(G)
    try:
        np.linalg.cholesky(G + least * one)
    except np.linalg.LinAlgError:
        G += max(least - np.linalg.eigvalsh(G.astype(float))[0], 0) * one


@compiled
def rotated(A, V, slots, starts):
    """The rows of A in the coordinates of their models: Vᵀa, block by block."""
    out = np.zeros(A.shape, A.dtype)
    for j in range(len(A)):
        turn, i = V[slots[j]], 0
        for b in range(len(starts) - 1):
            for k in range(starts[b], starts[b + 1]):
                for m in range(starts[b], starts[b + 1]):
                    out[j, m] += turn[i] * A[j, k]
                    i += 1
    return out


@compiled
def unrotated(A, V, slots, starts, at, out):
    """Va, block by block, for the rows a of A; row ``at[j]`` of ``out`` is written for row j."""
    for j in range(len(A)):
        turn, i = V[slots[j]], 0
        for b in range(len(starts) - 1):
            for k in range(starts[b], starts[b + 1]):
                total = 0.0
                for m in range(starts[b], starts[b + 1]):
                    total += turn[i] * A[j, m]
                    i += 1
                out[at[j], k] = total


@compiled
def products(A, G, slots):
    """The rows of A times the Gram matrices of their models, in float64."""
    out = np.zeros(A.shape, A.dtype)
    for j in range(len(A)):
        for k in range(A.shape[1]):
            row, share = G[slots[j], k], A[j, k]
            for m in range(A.shape[1]):
                out[j, m] += share * row[m]
    return out
