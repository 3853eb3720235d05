"""A fit whose weights lie on one device, on several, or on one that is short of memory: shares of neurons."""

from __future__ import annotations

import logging
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import fields
from typing import Any

import numpy as np

from popglm.engines.memory import is_out_of_memory
from popglm.engines.protocol import Engine
from popglm.solve.snapshot import UNKEPT, Checkpoint
from popglm.solve.walk.path import Path

__all__ = ["walk_in_shares"]

log = logging.getLogger("popglm")

#: Walks some neurons (n,) on an engine, and is kept.
Solve = Callable[[Any, np.ndarray, Checkpoint], Path]


def walk_in_shares(engines: Sequence[Any], neurons: np.ndarray, solve: Solve, checkpoint: Checkpoint = UNKEPT) -> Path:
    """The path of neurons that are split over devices, each with an engine.

    A share of neurons that does not fit in a device's memory is split in two, which then take turns.
    """
    shares = [share for share in np.array_split(neurons, len(engines)) if len(share)]

    def within_memory(engine: Engine, share: np.ndarray) -> Path:
        """The path of a share, in halves where it does not fit."""
        kept = checkpoint.part(f"neurons{share[0]}to{share[-1]}")
        if kept.result() is None:
            try:
                return solve(engine, share, kept)
            except Exception as error:
                if not is_out_of_memory(error) or len(share) == 1:
                    raise
            # outside the handler: the traceback would keep the arrays of the failed share alive
            log.warning("The device is out of memory; going on with %d neurons at a time.", -(-len(share) // 2))
            # halves from now on, for how neurons are batched shows in last bits
            kept.finish({})
        return _join([within_memory(engine, half) for half in np.array_split(share, 2)])

    def on_device(engine: Engine, share: np.ndarray) -> Path:
        """The path of a share, in a session of its device."""
        # a session belongs to the thread that works in it
        with engine.session():
            return within_memory(engine, share)

    if len(engines) == 1:
        return within_memory(engines[0], neurons)
    with ThreadPoolExecutor(len(shares)) as pool:
        return _join(list(pool.map(on_device, engines[: len(shares)], shares)))


def _join(parts: list[Path]) -> Path:
    """Shares of neurons side by side; phases add up."""
    own = [f.name for f in fields(Path) if f.name not in ("seconds", "trace")]
    arrays: Any = {name: np.concatenate([getattr(path, name) for path in parts], axis=1) for name in own}
    seconds = {name: sum(path.seconds[name] for path in parts) for name in parts[0].seconds}
    trace = []
    for steps in zip(*(path.trace for path in parts), strict=True):
        length = max(map(len, steps))
        trace.append([sum(s[min(i, len(s) - 1)] for s in steps) for i in range(length)])
    return Path(**arrays, seconds=seconds, trace=trace)
