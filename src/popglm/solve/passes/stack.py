"""Problems whose weights are the rows of one product with X: those of one fit, or of fits that count the same rows."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any

import numpy as np

__all__ = ["Stack", "stacked"]

#: Problems whose losses are computed together: of a thousand rows, some twenty arrays fit in a core's cache.
PIECE = 24


@dataclass
class Stack:
    """Problems of one fit, or of several, one fit below the other, and the last one again up to whole tiles.

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
        return {fit: at for fit, at, _ in self.parts}

    @cached_property
    def runs(self) -> list[tuple[Any, slice]]:
        """Positions of neighbours among the problems evaluated, and their rows."""
        runs: list[tuple[Any, slice]] = []
        for _, at, rows in self.parts:
            first, last = int(at[0]), int(at[-1]) + 1
            before = runs[-1] if runs else None
            if last - first != len(at):
                runs.append((at, rows))
            elif before and isinstance(before[0], slice) and (before[0].stop, before[1].stop) == (first, rows.start):
                runs[-1] = slice(before[0].start, last), slice(before[1].start, rows.stop)
            else:
                runs.append((slice(first, last), rows))
        return runs

    @cached_property
    def parts(self) -> list[tuple[int, np.ndarray, slice]]:
        """Of every fit its number, the positions of its problems among those evaluated, and their rows."""
        firsts = (np.cumsum(self.sizes) - self.sizes).tolist()
        return [
            (fit, self.at[first : first + n], slice(first, first + n))
            for fit, first, n in zip(self.fits, firsts, self.counts, strict=True)
        ]

    def narrowed(self, rows: np.ndarray, index: Any) -> Stack:
        """Some rows of the problems of one fit; ``index`` says which in the engine's library."""
        at, n = self.at[rows], (len(rows),)
        neurons = index if self.neurons is None else self.neurons[index]
        theta = None if self.theta is None else self.theta[index]
        return replace(self, sizes=n, counts=n, at=at, neurons=neurons, W=self.W[index], theta=theta)

    def by_fit(self, sums: tuple[Any, ...]) -> dict[int, tuple[Any, ...]]:
        """Arrays with a row per problem, fit by fit."""
        if self.sizes == (len(self.at),):
            return {self.fits[0]: sums}
        return {fit: tuple(v[rows] for v in sums) for fit, _, rows in self.parts}

    def pieces(self) -> Iterator[tuple[slice, Any, Any]]:
        """Rows of one fit, their neurons and parameters: so few that what is computed of them stays in the cache."""
        for first in range(0, self.counts[0], PIECE):
            rows = slice(first, min(first + PIECE, self.counts[0]))
            neurons = rows if self.neurons is None else self.neurons[rows]
            yield rows, neurons, None if self.theta is None else self.theta[rows]


def stacked(some: list[Stack], n_neurons: int, kinds: np.ndarray, pad: Callable[[np.ndarray], np.ndarray]) -> Stack:
    """The problems of several fits, one fit below the other; the last one is repeated as ``pad`` repeats rows."""
    neurons = [np.arange(n_neurons) if own.neurons is None else own.neurons for own in some]
    fits, sizes, counts = (sum((getattr(own, name) for own in some), ()) for name in ("fits", "sizes", "counts"))
    W = pad(np.concatenate([own.W for own in some]))
    own = np.minimum(np.arange(len(W)), sum(sizes) - 1)
    at, which = (np.concatenate(parts)[own] for parts in ([one.at for one in some], neurons))
    theta = None if some[0].theta is None else np.concatenate([one.theta for one in some])[own]
    return Stack(fits, sizes, counts, at, which, W, theta, kinds)
