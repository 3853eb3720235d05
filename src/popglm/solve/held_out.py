"""Deviance of held-out rows, at the end of a path or along the way."""

from __future__ import annotations

from typing import Any

import numpy as np

from popglm.engines.memory import in_halves
from popglm.engines.protocol import Engine
from popglm.solve.passes.coordinates import Coordinates
from popglm.solve.passes.remote_sums import RemoteValues, values_together
from popglm.solve.passes.samples import Points, Samples
from popglm.solve.passes.window_passes import value_sums
from popglm.solve.passes.windows import Windows
from popglm.solve.remote.rows import RemoteRows
from popglm.solve.snapshot import Resumable
from popglm.solve.walk.path import Path
from popglm.statistics.ends import Ends
from popglm.statistics.families import Family

__all__ = ["EarlyStop", "HeldOut", "deviances"]

#: Neurons' deviances that are worth a matrix product.
BATCH = 32
#: Share of the neurons for whose deviances the others need not wait.
AT_ONCE = 1 / 4


class HeldOut:
    """Row ranges that some fits have not seen.

    Parameters
    ----------
    engine, loss, samples
        As for `RowObjective`.
    ranges : list of (first, last)
        Rows that count.
    coordinates : Coordinates, optional
        Those of the weights, where X is in the user's columns, centred.
    parameters : ndarray, shape (n_neurons, n_parameters), optional
        Of a family that has some.
    """

    def __init__(
        self,
        engine: Engine,
        loss: Family,
        samples: Samples,
        ranges: list[tuple[int, int]],
        coordinates: Coordinates | None = None,
        parameters: np.ndarray | None = None,
    ) -> None:
        self.engine, self.loss, self.coordinates = engine, loss, coordinates
        self.parameters = parameters if loss.parameters else None
        self.remote: RemoteValues | None = None
        if isinstance(samples.X, RemoteRows):
            self.remote = RemoteValues(loss, samples, ranges, self.parameters)
        else:
            self.windows = Windows(engine, samples, [ranges])

    def deviance(self, W: np.ndarray, b: np.ndarray) -> np.ndarray:
        """At every point of a path, shape (n_lambdas, n_neurons).

        Parameters
        ----------
        W : ndarray, shape (n_lambdas, n_neurons, n_features)
        b : ndarray, shape (n_lambdas, n_neurons)
        """
        n_lambdas, _, p = W.shape

        def values(k: np.ndarray) -> np.ndarray:
            return self.values(len(k), None, W[k].reshape(-1, p), b[k].reshape(-1))

        value = in_halves(values, np.arange(n_lambdas), "strengths")
        return np.maximum(2 * value, 0)

    def deviance_of(self, neurons: np.ndarray, W: np.ndarray, b: np.ndarray) -> np.ndarray:
        """At points of some neurons, shape (n_points,).

        Parameters
        ----------
        neurons : ndarray of int, shape (n_points,)
        W : ndarray, shape (n_points, n_features)
        b : ndarray, shape (n_points,)
        """
        return np.maximum(2 * self.values(1, neurons, W, b)[0], 0)

    def prepared(self, n_lambdas: int, neurons: np.ndarray | None, W: np.ndarray, b: np.ndarray) -> tuple[Any, ...]:
        """Arguments of `values` with weights in the coordinates of X, and in the engine's precision."""
        W = W if self.coordinates is None else self.coordinates.unrotate(W)
        return n_lambdas, neurons, W.astype(self.engine.dtype), b

    def values(self, n_lambdas: int, neurons: np.ndarray | None, W: np.ndarray, b: np.ndarray) -> np.ndarray:
        """Σ of the loss above the saturated model's, shape (n_lambdas, n_neurons).

        Parameters
        ----------
        neurons : ndarray of int, shape (n_points,), or None
            Those of the points, at one strength; None for all neurons at every strength.
        W : ndarray, shape (n_lambdas · n_neurons, n_features)
        b : ndarray, shape (n_lambdas · n_neurons,)
        """
        engine, n = self.engine, len(W)
        if self.remote is not None:
            return self.remote.values(*self.prepared(n_lambdas, neurons, W, b))
        W = self.prepared(n_lambdas, neurons, W, b)[2]
        windows, W = self.windows, engine.pad(W)

        def padded(a: np.ndarray) -> np.ndarray:
            return np.concatenate([a, np.repeat(a[-1:], len(W) - n, axis=0)])

        w, b = engine.asarray(W), engine.asarray(padded(b))
        theta = self.parameters
        if theta is not None:
            theta = engine.asarray(theta if neurons is None else padded(theta[neurons]))
        points = Points(None if neurons is None else engine.index(padded(neurons)), w, b, theta)

        def chunk(k: int) -> dict[int, tuple[Any]]:
            shape, window = windows.read(k)
            return {0: (engine.compile(value_sums, shape, self.loss, n_lambdas)(window, points),)}

        return windows.add_up(chunk)[0][0][:, : n // n_lambdas]


def deviances_of(held_out: list[HeldOut], asked: list[tuple[np.ndarray, np.ndarray, np.ndarray]]) -> list[np.ndarray]:
    """`HeldOut.deviance_of` of several folds."""
    return [np.maximum(2 * values[0], 0) for values in _values(held_out, [(1, *points) for points in asked])]


def deviances(held_out: list[HeldOut], asked: list[tuple[np.ndarray, np.ndarray]]) -> list[np.ndarray]:
    """`HeldOut.deviance` of several folds."""
    if not (held_out and held_out[0].remote):
        return [own.deviance(*path) for own, path in zip(held_out, asked, strict=True)]
    flat = [(len(W), None, W.reshape(-1, W.shape[2]), b.reshape(-1)) for W, b in asked]
    return [np.maximum(2 * values, 0) for values in _values(held_out, flat)]


def _values(held_out: list[HeldOut], asked: list[tuple[Any, ...]]) -> list[np.ndarray]:
    """`HeldOut.values` of several folds; workers take them all at once."""
    each = list(zip(held_out, asked, strict=True))
    if held_out and held_out[0].remote:
        return values_together([(own.remote, own.prepared(*points)) for own, points in each if own.remote])
    return [own.values(*points) for own, points in each]


class EarlyStop(Resumable):
    """Which neurons go no further, by the held-out deviance of their folds on the way.

    Fits go on until the deviances of enough neurons are due for a batch to be a matrix product. They wait where the
    ends say how many strengths are needed at once: then a neuron begins each further one when its deviance is known
    until there. Where it stops follows from its deviances alone; what it has beyond that is thrown away.

    Parameters
    ----------
    held_out : list of HeldOut
        Of every fold.
    scored : ndarray of bool, shape (n_folds, n_neurons)
        Whether a fold holds out anything of a neuron.
    n_lambdas : int
    ends : Ends

    Attributes
    ----------
    deviance : ndarray, shape (n_folds, n_lambdas, n_neurons)
        NaN where it is not known, or nothing is held out.
    known : ndarray of int, shape (n_neurons,)
        Strengths at which it is known, or not needed.
    limit : ndarray of int, shape (n_neurons,)
        Strengths that a fit may have behind it by now.
    """

    fixed = ("scored",)

    def __init__(self, held_out: list[HeldOut], scored: np.ndarray, n_lambdas: int, ends: Ends) -> None:
        self.held_out, self.scored, self.ends = held_out, scored, ends
        self.deviance = np.full((len(held_out), n_lambdas, scored.shape[1]), np.nan)
        self.known = np.zeros(scored.shape[1], int)
        self.waits = ends.at_once is not None
        self.limit = np.full(scored.shape[1], n_lambdas)
        if ends.at_once is not None:
            self.limit = np.minimum(ends.at_once, n_lambdas)

    def __call__(self, paths: list[Path], level: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Neurons that go no further, given how many strengths each fit (n_fits, n_neurons) has behind it; the limits.

        The fits of the folds are the last.
        """
        n_lambdas = self.deviance.shape[1]
        behind = level.min(axis=0)
        n_due, n_going = (behind - self.known).sum(), np.count_nonzero(self.known < n_lambdas)
        enough = min(BATCH, n_going * (AT_ONCE if self.waits else 1 / 2))
        if n_due == 0 or (n_due < enough and (level < self.limit).any()):
            return np.zeros(0, int), self.limit
        k = np.arange(n_lambdas)[:, None]
        k, neurons = np.nonzero((k >= self.known) & (k < behind))
        of_folds = paths[len(paths) - len(self.held_out) :]
        asked = [(neurons, path.W[k, neurons], path.b[k, neurons]) for path in of_folds]
        for fold, found in enumerate(deviances_of(self.held_out, asked)):
            self.deviance[fold, k, neurons] = np.where(self.scored[fold, neurons], found, np.nan)
        turned = self.ends(self.deviance) < n_lambdas
        stopped = np.flatnonzero(turned & (behind < n_lambdas))
        self.known = np.where(turned, n_lambdas, behind)
        if self.waits:
            self.limit = np.where(turned, n_lambdas, np.clip(behind + 1, self.limit, n_lambdas))
        return stopped, self.limit
