"""The lockstep schedule on one device, on several, and on one that is short of memory: shares of neurons."""

from __future__ import annotations

import logging
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import numpy as np

from popglm.engines.memory import is_out_of_memory
from popglm.solve.lockstep.walk import Lockstep
from popglm.solve.path import Path
from popglm.solve.quadratic import QuadraticModel
from popglm.solve.units import Units
from popglm.statistics.families import Family

__all__ = ["walk_lockstep"]

log = logging.getLogger("popglm")


def walk_lockstep(
    engines: Any, loss: Family, model: QuadraticModel, X: np.ndarray, Y: np.ndarray, weights: np.ndarray | None,
    offset: np.ndarray | None, counts: np.ndarray, lambdas: np.ndarray, tol: float, max_iter: int,
    fit_intercept: bool = True, on_strength: Callable[[int, int], Any] | None = None,
    guides: list[np.ndarray] | None = None, first_fit: int = 0, units: Units | None = None,
) -> tuple[list[Path], np.ndarray]:  # fmt: skip
    """Fit every neuron to the rows of every fit, on one device or with the neurons split over several.

    A share of neurons that does not fit in a device's memory is split in two, which then take turns.

    Parameters
    ----------
    engines : engine or list of engine
        One per device.
    lambdas : ndarray, shape (n_lambdas, n_neurons)
        Descending.
    loss, model, X, Y, weights, offset, counts, fit_intercept, units : see `Lockstep`
    tol, max_iter, on_strength, guides, first_fit : see `Lockstep.walk`
        With several shares ``on_strength`` follows the first.

    Returns
    -------
    paths : list of Path
        One per fit.
    fittable : ndarray of bool, shape (n_fits, n_neurons)
    """
    engines = list(engines) if isinstance(engines, list | tuple) else [engines]
    shares = [share for share in np.array_split(np.arange(len(Y)), len(engines)) if len(share)]

    def solve(engine: Any, share: np.ndarray) -> tuple[list[Path], np.ndarray]:
        own = weights if weights is None or weights.ndim == 1 else weights[share]
        near = None if guides is None else [g[:, share] for g in guides]
        follow = on_strength if share[0] == 0 else None
        try:
            part = None if units is None else units.take(share)
            fits = Lockstep(engine, loss, model, X, Y[share], own, offset, counts, fit_intercept, units=part)
            return fits.walk(lambdas[:, share], tol, max_iter, follow, near, first_fit), fits.fittable
        except Exception as error:
            if not is_out_of_memory(error) or len(share) == 1:
                raise
        # outside the handler: the traceback would keep the arrays of the failed share alive
        log.warning("The device is out of memory; going on with %d neurons at a time.", -(-len(share) // 2))
        return _join([solve(engine, half) for half in np.array_split(share, 2)])

    def on_device(engine: Any, share: np.ndarray) -> tuple[list[Path], np.ndarray]:
        # a session belongs to the thread that works in it
        with engine.session():
            return solve(engine, share)

    if len(shares) == 1:
        return solve(engines[0], shares[0])
    with ThreadPoolExecutor(len(shares)) as pool:
        return _join(list(pool.map(on_device, engines[: len(shares)], shares)))


def _join(parts: list[tuple[list[Path], np.ndarray]]) -> tuple[list[Path], np.ndarray]:
    """Shares of neurons side by side; phases add up."""
    paths = []
    for own in zip(*(paths for paths, _ in parts), strict=True):
        arrays = (np.concatenate([getattr(path, name) for path in own], axis=1) for name in _PATH_ARRAYS)
        seconds = {name: sum(path.seconds[name] for path in own) for name in own[0].seconds}
        trace = []
        for steps in zip(*(path.trace for path in own), strict=True):
            length = max(map(len, steps))
            trace.append([sum(s[min(i, len(s) - 1)] for s in steps) for i in range(length)])
        paths.append(Path(*arrays, seconds, trace))
    return paths, np.concatenate([fittable for _, fittable in parts], axis=1)


_PATH_ARRAYS = ("W", "b", "gap", "objective", "n_iter")
