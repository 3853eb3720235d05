"""Problems whose weights are the rows of one product with X: those of one fit, or of fits that count the same rows."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

import numpy as np

__all__ = ["Stack", "stacked"]


@dataclass
class Stack:
    """Problems of one fit, or of several, one fit below the other.

    Attributes
    ----------
    fits : tuple of int
    sizes, counts : tuple of int
        Rows of each fit, and those of them that are not its last one repeated to a size that the engine likes.
    at : ndarray of int
        Positions of the rows among the evaluated problems.
    neurons : index of the engine, or None
        Their rows of Y; None for all in order.
    W : array of the engine, shape (len(at), n_features)
    theta : array of the engine, shape (len(at), n_parameters), or None
        Parameters of the family, where it has some.
    kinds : ndarray of bool, shape (n_kinds,)
        Kinds of windows that these fits count, and no others that are evaluated with them in one stack.
    """

    fits: tuple[int, ...]
    sizes: tuple[int, ...]
    counts: tuple[int, ...]
    at: np.ndarray
    neurons: Any
    W: Any
    theta: Any
    kinds: np.ndarray

    @property
    def places(self) -> dict[int, np.ndarray]:
        """Positions of the problems among those evaluated, fit by fit."""
        firsts = np.cumsum(self.sizes) - self.sizes
        return {fit: self.at[first : first + n] for fit, first, n in zip(self.fits, firsts, self.counts, strict=True)}

    def narrowed(self, rows: np.ndarray, index: Any) -> Stack:
        """Some rows of the problems of one fit; ``index`` says which in the engine's library."""
        at, n = self.at[rows], (len(rows),)
        neurons = index if self.neurons is None else self.neurons[index]
        theta = None if self.theta is None else self.theta[index]
        return replace(self, sizes=n, counts=n, at=at, neurons=neurons, W=self.W[index], theta=theta)

    def by_fit(self, sums: tuple[Any, ...]) -> dict[int, tuple[Any, ...]]:
        """Arrays with a row per problem, fit by fit."""
        if len(self.fits) == 1:
            return {self.fits[0]: sums}
        ends = np.cumsum(self.sizes)
        return {
            fit: tuple(v[end - size : end] for v in sums)
            for fit, size, end in zip(self.fits, self.sizes, ends, strict=True)
        }


def stacked(some: list[Stack], n_neurons: int, kinds: np.ndarray) -> Stack:
    """The problems of several fits of a family without parameters, one fit below the other."""
    neurons = [np.arange(n_neurons) if own.neurons is None else own.neurons for own in some]
    at, W = (np.concatenate([getattr(own, name) for own in some]) for name in ("at", "W"))
    fits, sizes, counts = (sum((getattr(own, name) for own in some), ()) for name in ("fits", "sizes", "counts"))
    return Stack(fits, sizes, counts, at, np.concatenate(neurons), W, None, kinds)
