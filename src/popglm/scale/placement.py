"""Where a task has room: what workers have, which of them can hold it, and into how many blocks a session is split."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise

from popglm.scale.estimates import Estimate

__all__ = ["RESOURCE", "Room", "blocks_of", "no_room", "rooms_of"]

#: What workers call their memory among their resources, in bytes: dask worker --resources "memory=64e9".
RESOURCE = "memory"
#: Blocks are of as many neurons, at least; a fit of fewer seconds is not split.
FEWEST_NEURONS, FEWEST_SECONDS = 8, 10.0


@dataclass(frozen=True)
class Room:
    """What a worker has.

    Attributes
    ----------
    address : str
    threads : int
        Tasks that Dask runs in it at a time.
    memory : float
        Bytes for one task: what it declares, else a share of its limit for each of its threads; infinite without limit.
    declared : bool
        Whether memory is among its resources, so that Dask counts it.
    """

    address: str
    threads: int
    memory: float
    declared: bool


def rooms_of(client: object) -> list[Room]:
    """What the workers of a Dask client have."""
    try:
        # some versions tell of five workers unless asked for all
        info = client.scheduler_info(n_workers=-1)  # type: ignore[attr-defined]  # a client of Dask has no types
    except TypeError:
        info = client.scheduler_info()  # type: ignore[attr-defined]
    if "workers" not in info:
        raise ConnectionError("the scheduler does not answer")
    rooms = []
    for address, worker in info["workers"].items():
        declared, threads = worker.get("resources", {}).get(RESOURCE), max(int(worker["nthreads"]), 1)
        limit = float(worker.get("memory_limit") or math.inf)
        rooms.append(Room(address, threads, limit / threads if declared is None else declared, declared is not None))
    return rooms


def no_room(name: str, memory: float, rooms: Sequence[Room]) -> str | None:
    """Why no worker can hold a task; None where one can."""
    largest = max((room.memory for room in rooms), default=math.inf)
    if memory <= largest:
        return None
    of_threads = max(room.threads for room in rooms) > 1 and not any(room.declared for room in rooms)
    remedy = (
        "start workers with one thread each, or with more memory" if of_threads else "start workers with more memory"
    )
    return (
        f"session {name!r} takes about {memory / 1e9:.3g} GB, and the largest of {len(rooms):,} workers has "
        f"{largest / 1e9:.3g} GB for a task; {remedy}, or "
        "give fewer neurons per task (neurons_per_task, --neurons-per-task)"
    )


def blocks_of(expected: Estimate, share: float, largest: float, neurons_per_task: int | None) -> list[tuple[int, int]]:
    """The blocks of neurons in which a session is fitted: one, unless it is long beside the others or too large.

    Parameters
    ----------
    expected : Estimate
    share : float
        Seconds that each place would take if all sessions could be divided at will.
    largest : float
        Bytes that some worker has for a task.
    neurons_per_task : int or None
        Of a block at most; None leaves it to the estimates.

    Returns
    -------
    list of (first, last)
        Of about the same size. More than one only if that makes a block small enough for a worker, or saves time.

    Examples
    --------
    >>> from popglm.analysis.cost import FitShape
    >>> from popglm.scale.estimates import of_shape
    >>> expected = of_shape(FitShape(n_samples=1_000_000, n_features=100, n_neurons=400))
    >>> blocks_of(expected, expected.seconds / 2, float("inf"), None)
    [(0, 200), (200, 400)]
    >>> blocks_of(expected, expected.seconds, float("inf"), 150)
    [(0, 133), (133, 266), (266, 400)]
    """
    q = expected.n_neurons
    if neurons_per_task is not None:
        n_blocks = -(-q // neurons_per_task)
    else:
        n_blocks = round(expected.seconds / max(share, FEWEST_SECONDS)) if share > 0 else 1
        n_blocks = max(min(n_blocks, q // FEWEST_NEURONS), 1)
        while n_blocks < q and expected.of_neurons(-(-q // n_blocks)).memory > largest:
            n_blocks += 1
        if expected.of_neurons(-(-q // n_blocks)).memory > largest:
            # what all blocks share is too large by itself
            n_blocks = 1
    edges = [q * k // max(n_blocks, 1) for k in range(max(n_blocks, 1) + 1)]
    return list(pairwise(edges))
