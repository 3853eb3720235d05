"""The penalised quadratic models of some neurons."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from itertools import pairwise
from typing import Any, NamedTuple, TypeVar

import numpy as np

from popglm.solve.curvature.compact import ModelArrays, Pairs, from_axes, inverse_middles, low_rank, middles, to_axes
from popglm.statistics.penalties import Penalty

__all__ = ["LocalModel", "parts_of_fits"]

Part = TypeVar("Part")


def parts_of_fits(parts: Sequence[Part], size: int, problems: np.ndarray) -> Iterator[tuple[Part, slice]]:
    """The part of every fit, of ``size`` problems each, and where its own are among some problems, which ascend."""
    firsts = np.searchsorted(problems, np.arange(1, len(parts)) * size).tolist()
    for part, (first, last) in zip(parts, pairwise([0, *firsts, len(problems)]), strict=True):
        if last > first:
            yield part, slice(first, last)


class GroupsAndBounds(NamedTuple):
    """What a penalty on single weights has beside their norms.

    Attributes
    ----------
    starts : ndarray of int, shape (n_groups + 1,)
        First column of every group whose norm is penalised too, and the number of columns; a single entry without any.
    lower, upper : ndarray, shape (n_neurons, n_features)
        Bounds of the weights, infinite for columns without; empty where no column has one.
    """

    starts: np.ndarray
    lower: np.ndarray
    upper: np.ndarray


@dataclass(eq=False)
class LocalModel:
    """The models of some neurons: gᵀd + ½dᵀBd with B = cG + pairs, and Σ τ_b‖w_b + d_b‖ + λ₂/2‖w + d‖².

    Attributes
    ----------
    product : callable
        Matrix product whose rows do not depend on each other.
    G : sequence of ndarray, shape (n_features, n_features), or None
        Gram matrices in the basis of the pairs; none where that is the basis of their eigenvectors.
    values, vectors, transposed : ndarray, shape (n_matrices, n_features) and twice (n_matrices, n_features, n_features)
        Eigendecompositions of the Gram matrices: of those that neurons share with their vectors' transposes, or of
        several without, of which every neuron has its own. Where some share one and some another, sequences.
    slots : ndarray of int, shape (n_neurons,)
        Which of these a neuron has; they ascend where some share one and some another.
    penalty : Penalty
    c, lam2 : ndarray, shape (n_neurons,)
    tau : ndarray, shape (n_neurons, n_blocks)
        Of columns and then of groups, where the penalty has norms of both.
    rows : ndarray of int, shape (n_neurons,)
        Of these neurons in ``pairs``.
    pairs : Pairs
        Of all neurons of a fit.
    lower, upper : ndarray, shape (n_neurons, n_features)
        Bounds of the weights in the units of the model, where the penalty has some; else no columns.
    K, middle : ndarray, shape (n_neurons, 2 * memory, 2 * memory)
        K in float64, and K⁻¹; see `middles`.
    """

    product: Callable
    G: Any
    values: np.ndarray
    vectors: Any
    transposed: Any
    slots: np.ndarray
    penalty: Penalty
    c: np.ndarray
    lam2: np.ndarray
    tau: np.ndarray
    rows: np.ndarray
    pairs: Pairs
    # made unless given
    lower: Any = None
    upper: Any = None
    K: Any = None
    middle: Any = None

    def __post_init__(self) -> None:
        """Make K and K⁻¹."""
        if self.lower is None:
            self.lower = self.upper = np.zeros((len(self.c), 0), self.pairs.S.dtype)
        if self.middle is None:
            self.K = middles(self.c, self.rows, self.pairs)
            self.middle = self.inverses(np.zeros((len(self.c), 0), self.pairs.S.dtype))

    @property
    def arrays(self) -> ModelArrays:
        """The arrays alone, for compiled functions."""
        return ModelArrays(*(getattr(self, name) for name in ModelArrays._fields))

    @property
    def spectra(self) -> np.ndarray:
        """Eigenvalues of the neurons' Gram matrices, (n_neurons, n_features), or (1, n_features) if all share one."""
        return self.values if len(self.values) == 1 else self.values[self.slots]

    def to_axes(self, X: np.ndarray) -> np.ndarray:
        """The rows of X along the eigenvectors of their neurons' Gram matrices."""
        if len(self.transposed):
            return self._products(X, self.vectors)
        return to_axes(X, self.vectors, self.slots, 0)

    def from_axes(self, X: np.ndarray) -> np.ndarray:
        """Rows along the eigenvectors, back in the columns."""
        if len(self.transposed):
            return self._products(X, self.transposed)
        return from_axes(X, self.vectors, self.transposed, self.slots, 0)

    @property
    def groups_and_bounds(self) -> GroupsAndBounds | None:
        """What the penalty has beside norms of single weights, if anything."""
        nested = self.penalty.blocks.nested
        if not nested and not self.lower.size:
            return None
        return GroupsAndBounds(self.penalty.starts if nested else np.zeros(1, int), self.lower, self.upper)

    def take(self, index: np.ndarray | slice) -> LocalModel:
        """Some of the neurons."""
        own = ("slots", "c", "lam2", "tau", "rows", "lower", "upper", "K", "middle")
        return replace(self, **{name: getattr(self, name)[index] for name in own})

    def times_B(self, X: np.ndarray) -> np.ndarray:
        """BX, row by row."""
        return self.c[:, None] * self._products(X, self.G) - self.low_rank(self.middle, X)

    @property
    def variances(self) -> np.ndarray:
        """Diagonals of the neurons' Gram matrices, (n_neurons, n_features), or (1, n_features) if all share one."""
        diagonals = np.stack([np.diag(G) for G in self.G])
        return diagonals if len(diagonals) == 1 else diagonals[self.slots]

    def by_matrix(self) -> Iterator[tuple[slice, LocalModel]]:
        """The neurons that share a Gram matrix, and their models alone, for every matrix."""
        if len(self.values) == 1:
            yield slice(None), self
            return
        matrices = list(zip(self.G, self.values, self.vectors, self.transposed, strict=True))
        for (G, values, vectors, transposed), at in parts_of_fits(matrices, 1, self.slots):
            yield at, replace(
                self.take(at), G=G[None], values=values[None], vectors=vectors[None], transposed=transposed[None],
                slots=np.zeros_like(self.slots[at]),
            )  # fmt: skip

    def _products(self, X: np.ndarray, matrices: Any) -> np.ndarray:
        """Rows of X times the matrices that their neurons share."""
        if len(matrices) == 1:
            return self.product(X, matrices[0])
        out = np.empty_like(X)
        for matrix, at in parts_of_fits(matrices, 1, self.slots):
            out[at] = self.product(X[at], matrix)
        return out

    def inverses(self, diagonal: np.ndarray) -> np.ndarray:
        """(K − Q diag(d) Qᵀ)⁻¹ for rows d of ``diagonal``, K⁻¹ where it has no columns."""
        return inverse_middles(self.c, self.rows, self.pairs, self.K, diagonal)

    def low_rank(self, M: np.ndarray, X: np.ndarray) -> np.ndarray:
        """QᵀMQX, row by row."""
        out = np.zeros_like(X)
        low_rank(self.c, self.rows, self.pairs, M, X, out)
        return out
