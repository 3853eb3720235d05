"""Which weights are of low rank, free, or 0; and where their columns lie for passes over samples."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

import numpy as np

from popglm.solve.snapshot import State

__all__ = ["Layout", "Weights"]

#: Share of the neurons from which on a free column is multiplied for all of them; others are gathered by neuron.
COMMON = 1 / 8
#: Columns of low rank up to which their principal axes are those of all; of more, those of each group by itself.
TOGETHER = 512

#: Of `Weights`.
_PARTS = ("A", "B", "common", "own", "b")


@dataclass
class Weights:
    """Weights of all neurons that are fitted, in float64.

    Attributes
    ----------
    A : ndarray, shape (n_low, rank)
    B : ndarray, shape (n_neurons, rank)
        Those of low rank are ABᵀ, but for pairs that are closed.
    common : ndarray, shape (n_neurons, n_common)
        Free weights of columns that many neurons have.
    own : ndarray, shape (n_neurons, n_gathered)
        Those of columns that few have.
    b : ndarray, shape (n_neurons,)
        Intercepts.
    """

    A: np.ndarray
    B: np.ndarray
    common: np.ndarray
    own: np.ndarray
    b: np.ndarray

    @property
    def rank(self) -> int:
        return self.A.shape[1]

    @property
    def parts(self) -> tuple[np.ndarray, ...]:
        return self.A, self.B, self.common, self.own, self.b

    def state(self) -> State:
        """All of them by name, not copied."""
        return dict(zip(_PARTS, self.parts, strict=True))

    @classmethod
    def of(cls, state: State) -> Weights:
        """Those that handed out a state."""
        return cls(*(state[name] for name in _PARTS))

    def vector(self) -> np.ndarray:
        """All of them in one vector."""
        return np.concatenate([part.ravel() for part in self.parts])

    def like(self, vector: np.ndarray) -> Weights:
        """Weights of these shapes from a vector."""
        stops = np.cumsum([part.size for part in self.parts])[:-1]
        pieces = np.split(vector, stops)
        return Weights(*(piece.reshape(part.shape) for piece, part in zip(pieces, self.parts, strict=True)))

    def with_factors(self, A: np.ndarray, B: np.ndarray) -> Weights:
        """The same with other factors."""
        return Weights(A, B, self.common, self.own, self.b)

    def factored(self) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """U, σ and V of ABᵀ = U diag(σ) Vᵀ, σ falling; directions of no size are left out."""
        QA, RA = np.linalg.qr(self.A)
        QB, RB = np.linalg.qr(self.B)
        U, size, Vt = np.linalg.svd(RA @ RB.T)
        some = size > np.finfo(np.float32).eps * size.max(initial=0)
        return (QA @ U)[:, some], size[some], (QB @ Vt.T)[:, some]

    def balanced(self) -> Weights:
        """The same weights, with the factors of the least sum of squares."""
        U, size, V = self.factored()
        return self.with_factors(U * np.sqrt(size), V * np.sqrt(size))


@dataclass(frozen=True)
class Layout:
    """Pairs of columns of X and neurons.

    Attributes
    ----------
    low : ndarray of int, shape (n_low,)
        Columns of the low-rank part, ascending.
    closed : ndarray of bool, shape (n_low, n_neurons)
        Pairs of these that have no part in it.
    free : ndarray of bool, shape (n_features, n_neurons)
        Pairs that have weights of their own.
    group : ndarray of int, shape (n_features,)
        Number of the feature group of each column.
    """

    low: np.ndarray
    closed: np.ndarray
    free: np.ndarray
    group: np.ndarray

    @property
    def n_neurons(self) -> int:
        return self.free.shape[1]

    def take(self, neurons: np.ndarray) -> Layout:
        """That of some neurons."""
        return Layout(self.low, self.closed[:, neurons], self.free[:, neurons], self.group)

    @cached_property
    def common(self) -> np.ndarray:
        """Columns whose free weights many neurons have."""
        return np.flatnonzero(self.free.sum(axis=1) > COMMON * self.n_neurons)

    @cached_property
    def common_open(self) -> np.ndarray:
        """Whether a neuron has the weight of a common column, shape (n_neurons, n_common)."""
        return self.free[self.common].T

    @cached_property
    def _gathered(self) -> np.ndarray:
        """Pairs (n_features, n_neurons) whose columns are gathered by neuron."""
        needed = self.free.copy()
        needed[self.common] = False
        needed[self.low] |= self.closed
        return needed

    @cached_property
    def columns(self) -> np.ndarray:
        """Gathered columns of every neuron, shape (n_neurons, n_gathered); column 0 where it has fewer."""
        counts = self._gathered.sum(axis=0)
        found = np.zeros((self.n_neurons, int(counts.max(initial=0))), int)
        neuron, column = np.nonzero(self._gathered.T)
        found[neuron, np.arange(len(neuron)) - np.repeat(np.cumsum(counts) - counts, counts)] = column
        return found

    @cached_property
    def counted(self) -> np.ndarray:
        """Which entries of `columns` are there, shape (n_neurons, n_gathered)."""
        return np.arange(self.columns.shape[1]) < self._gathered.sum(axis=0)[:, None]

    @cached_property
    def own_open(self) -> np.ndarray:
        """Which gathered columns have free weights."""
        free = self.free.copy()
        free[self.common] = False
        return self.counted & np.take_along_axis(free.T, self.columns, axis=1)

    @cached_property
    def low_blocks(self) -> list[np.ndarray]:
        """Places in `low` of the columns that have principal axes together."""
        numbers = np.zeros(len(self.low), int) if len(self.low) <= TOGETHER else self.group[self.low]
        return [np.flatnonzero(numbers == number) for number in np.unique(numbers)]

    @cached_property
    def blocks(self) -> list[np.ndarray]:
        """Sets of columns whose second moments are asked for: those of `low_blocks`, the common and the gathered ones.

        One set of gathered columns for every neuron.
        """
        return [*(self.low[places] for places in self.low_blocks), self.common, *self.columns]

    @cached_property
    def minus(self) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """Neurons, places among their gathered columns, and among `low`, of pairs without low-rank weights."""
        closed = np.zeros_like(self.free)
        closed[self.low] = self.closed
        taken = self.counted & np.take_along_axis(closed.T, self.columns, axis=1)
        neuron, place = np.nonzero(taken)
        return neuron, place, np.searchsorted(self.low, self.columns[neuron, place])

    def empty(self, intercept: np.ndarray) -> Weights:
        """No weights but intercepts."""
        q = self.n_neurons
        common, own = np.zeros((q, len(self.common))), np.zeros(self.columns.shape)
        return Weights(np.zeros((len(self.low), 0)), np.zeros((q, 0)), common, own, intercept.astype(float))

    def gathered_weights(self, weights: Weights) -> np.ndarray:
        """Weights of gathered columns: free ones less those of low rank that are closed, (n_neurons, n_gathered)."""
        found = weights.own.copy()
        neuron, place, row = self.minus
        found[neuron, place] -= np.einsum("ir,ir->i", weights.A[row], weights.B[neuron])
        return found

    def coef(self, weights: Weights) -> np.ndarray:
        """Weights of all columns, shape (n_neurons, n_features)."""
        found = np.zeros(self.free.T.shape)
        found[:, self.low] = np.where(self.closed.T, 0.0, weights.B @ weights.A.T)
        found[:, self.common] += np.where(self.common_open, weights.common, 0.0)
        neuron, place = np.nonzero(self.own_open)
        found[neuron, self.columns[neuron, place]] += weights.own[neuron, place]
        return found
