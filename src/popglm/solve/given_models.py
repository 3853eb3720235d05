"""Models of problems that are known before a fit begins: the curvature of a fit that is near, of the same rows."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from itertools import pairwise
from typing import Any

import numpy as np

from popglm.solve.coordinates import Coordinates
from popglm.solve.own import OwnModels, make_definite, principal_blocks

__all__ = ["GivenModels"]

#: Models that are given at a time.
AT_A_TIME = 8


@dataclass(frozen=True, eq=False)
class GivenModels:
    """Curvature-weighted covariances of the columns, each in axes in which its blocks are diagonal.

    They may come from nothing that has met what a fold holds out, and are worth their making where several fits share
    them: without some of the blocks a model is a part of the same matrix, in the same axes.

    Attributes
    ----------
    G : ndarray, shape (n_fits, n_neurons, n_features, n_features)
    axes : list of ndarray, shape (n_fits, n_neurons, size, size)
        Of every block, in columns.
    known : ndarray of bool, shape (n_fits, n_neurons)
        Which of the matrices are there.
    """

    G: np.ndarray
    axes: list[np.ndarray]
    known: np.ndarray

    @classmethod
    def empty(cls, n_fits: int, n_neurons: int, block_sizes: np.ndarray) -> GivenModels:
        """Room for models, in float32."""
        shape, p = (n_fits, n_neurons), int(np.sum(block_sizes))
        axes = [np.zeros((*shape, size, size), np.float32) for size in block_sizes]
        return cls(np.zeros((*shape, p, p), np.float32), axes, np.zeros(shape, bool))

    def put(self, fit: int, neurons: np.ndarray, C: np.ndarray) -> None:
        """Take covariances (n, n_features, n_features) of some neurons; those that are not finite are left out."""
        finite = np.isfinite(C).all(axis=(1, 2))
        neurons, C = neurons[finite], C[finite].astype(float)
        out, V = np.zeros((2, *C.shape), np.float32)
        starts = np.cumsum([0, *(own.shape[-1] for own in self.axes)])
        principal_blocks(C, starts, np.arange(len(C)), out, V)
        for one in out:
            make_definite(one)
        self.G[fit, neurons], self.known[fit, neurons] = out, True
        for own, (lo, hi) in zip(self.axes, pairwise(starts), strict=True):
            own[fit, neurons] = V[:, lo:hi, lo:hi]

    def of(self, neurons: np.ndarray) -> GivenModels:
        """Those of some neurons, which ascend."""
        if len(neurons) == self.known.shape[1]:
            return self
        return replace(
            self, G=self.G[:, neurons], axes=[own[:, neurons] for own in self.axes], known=self.known[:, neurons]
        )

    def of_blocks(self, blocks: np.ndarray, columns: np.ndarray) -> GivenModels:
        """Those of some blocks alone, which have these columns."""
        return replace(self, G=self.G[..., columns[:, None], columns], axes=[self.axes[b] for b in blocks])

    def give(self, fits: Sequence[Any], coordinates: Sequence[Coordinates]) -> None:
        """Have problems begin with theirs, where a `Fit` keeps such models and has room.

        Parameters
        ----------
        fits : sequence of Fit
            One for each set of models, or several that are joined.
        coordinates : sequence of Coordinates
            Those of each set.
        """
        parts = [(fit, part) for fit in fits for part in range(fit.n_fits)]
        for number, ((fit, part), own) in enumerate(zip(parts, coordinates, strict=True)):
            if isinstance(fit.together, OwnModels):
                size = len(fit.W) // fit.n_fits
                neurons = fit.fittable[fit.fittable // size == part] % size
                neurons = neurons[self.known[number, neurons]]
                problems = neurons + part * size
                room = fit.together.make_room(problems)
                self._fill(fit.together, problems[room], number, neurons[room], own)

    def _fill(
        self, models: OwnModels, problems: np.ndarray, number: int, neurons: np.ndarray, coordinates: Coordinates
    ) -> None:
        """Write the models of problems that have a place: those of some neurons of one set."""
        p = self.G.shape[-1]
        # a few at a time, so that what is in between stays small
        for first in range(0, len(problems), AT_A_TIME):
            at = slice(first, first + AT_A_TIME)
            axes = self._axes(number, neurons[at])
            turned = coordinates.rotate(axes.reshape(-1, p)).reshape(axes.shape)
            models.take(problems[at], self.G[number, neurons[at]], turned.transpose(0, 2, 1))

    def _axes(self, number: int, neurons: np.ndarray) -> np.ndarray:
        """The models' axes as rows, in the user's columns, shape (n, n_features, n_features)."""
        p, first = self.G.shape[-1], 0
        axes = np.zeros((len(neurons), p, p), np.float32)
        for own in self.axes:
            last = first + own.shape[-1]
            axes[:, first:last, first:last] = own[number, neurons].transpose(0, 2, 1)
            first = last
        return axes
