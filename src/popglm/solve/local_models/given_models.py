"""Models of problems that are known before a fit begins: the curvature of a fit that is near, of the same rows."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from itertools import pairwise
from typing import Any

import numpy as np

from popglm.solve.local_models.own import OwnModels, make_definite, n_axes, principal_blocks
from popglm.solve.passes.coordinates import Coordinates

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
    model_of : ndarray of int, optional
        Number of every neuron's model among these, where several neurons share some; else each has its own.
    """

    G: np.ndarray
    axes: list[np.ndarray]
    known: np.ndarray
    model_of: np.ndarray | None = None

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
        starts = np.cumsum([0, *(own.shape[-1] for own in self.axes)])
        out, V = np.zeros(C.shape, np.float32), np.zeros((len(C), n_axes(starts)), np.float32)
        principal_blocks(C, starts, np.arange(len(C)), out, V)
        for one in out:
            make_definite(one)
        self.G[fit, neurons], self.known[fit, neurons] = out, True
        first = 0
        for own in self.axes:
            last = first + own.shape[-1] ** 2
            own[fit, neurons] = V[:, first:last].reshape(len(V), *own.shape[2:])
            first = last

    def of(self, neurons: np.ndarray) -> GivenModels:
        """Those of some neurons, in any order and as often as they come."""
        return replace(self, model_of=self._numbers[neurons])

    def of_blocks(self, blocks: np.ndarray, columns: np.ndarray) -> GivenModels:
        """Those of some blocks alone, which have these columns."""
        own = self._numbers
        return GivenModels(
            self.G[:, own[:, None, None], columns[:, None], columns], [self.axes[b][:, own] for b in blocks],
            self.known[:, own],
        )  # fmt: skip

    @property
    def _numbers(self) -> np.ndarray:
        """Of the models of all neurons."""
        return np.arange(self.known.shape[1]) if self.model_of is None else self.model_of

    def give(self, fits: Sequence[Any], coordinates: Sequence[Coordinates]) -> None:
        """Have problems begin with theirs, where a `Fit` keeps such models and has room.

        Parameters
        ----------
        fits : sequence of Fit
            One for each set of models, or several that are joined.
        coordinates : sequence of Coordinates
            Those of each set.
        """
        for fit in fits:
            if isinstance(fit.together, OwnModels):
                # those that are given take no room of others
                room = fit.together.n_slots + int(self.known.sum(axis=1).max())
                fit.together = OwnModels(fit.model, len(fit.W), room * fit.together.n_bytes, fit.models)
        parts = [(fit, part) for fit in fits for part in range(fit.n_fits)]
        for number, ((fit, part), own) in enumerate(zip(parts, coordinates, strict=True)):
            if isinstance(fit.together, OwnModels):
                size = len(fit.W) // fit.n_fits
                neurons = fit.fittable[fit.fittable // size == part] % size
                self._give(fit.together, neurons[self.known[number, self._numbers[neurons]]], part * size, number, own)

    def _give(self, models: OwnModels, neurons: np.ndarray, first: int, number: int, coordinates: Coordinates) -> None:
        """Give those of one set to neurons of a fit, whose problems begin with ``first``; like ones have one place."""
        chosen, where, which = np.unique(self._numbers[neurons], return_index=True, return_inverse=True)
        problems = neurons[where] + first
        room = models.make_room(problems)
        self._fill(models, problems[room], number, chosen[room], coordinates)
        others = np.flatnonzero((where[which] != np.arange(len(which))) & room[which])
        models.share(neurons[others] + first, problems[which[others]])

    def _fill(
        self, models: OwnModels, problems: np.ndarray, number: int, chosen: np.ndarray, coordinates: Coordinates
    ) -> None:
        """Write the models of problems that have a place: those ``chosen`` of one set."""
        p, starts = self.G.shape[-1], np.cumsum([0, *(own.shape[-1] for own in self.axes)])
        blocks = list(zip(self.axes, pairwise(starts), strict=True))
        # a few at a time, so that what is in between stays small
        for first in range(0, len(problems), AT_A_TIME):
            own = chosen[first : first + AT_A_TIME]
            # coordinates turn every block by itself: a row has an axis of each
            rows = np.zeros((len(own), int(np.diff(starts).max()), p), np.float32)
            for axes, (lo, hi) in blocks:
                rows[:, : hi - lo, lo:hi] = axes[number, own].transpose(0, 2, 1)
            turned = coordinates.rotate(rows.reshape(-1, p)).reshape(rows.shape).transpose(0, 2, 1)
            V = [turned[:, lo:hi, : hi - lo].reshape(len(own), -1) for _, (lo, hi) in blocks]
            models.take(problems[first : first + AT_A_TIME], self.G[number, own], np.concatenate(V, axis=1))
