"""Shares of rows as actors on the workers of a Dask cluster: placed where there is room, asked directly."""

from __future__ import annotations

import contextlib
import logging
import math
import pickle
import time
import uuid
import weakref
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import dask
import distributed
import numpy as np

from popglm.scale.allocation import keep_freed_memory
from popglm.scale.row_sources import is_dask, is_readable
from popglm.solve.share import PIECE, Share

__all__ = ["DaskCarrier", "workers_of"]

log = logging.getLogger("popglm")

#: Bytes that a worker needs beside its rows.
BESIDE = 300e6
#: Seconds to wait for a worker to come back where no other has room; and between looks at who is there.
PATIENCE, LOOK = 60.0, 1.0
#: Workers that a share is tried on, one after the other.
MOST_TRIES = 4

#: Shares of this process, by name.
_here: weakref.WeakValueDictionary[str, WorkerShare] = weakref.WeakValueDictionary()


@dataclass(frozen=True)
class Worker:
    """A worker of a cluster.

    Attributes
    ----------
    address : str
    threads : int
    limit : float
        Bytes that it may hold before Dask pauses it; infinite without a limit.
    """

    address: str
    threads: int
    limit: float


def workers_of(client: Any) -> list[Worker]:
    """All workers, in the order of their addresses."""
    try:
        # some versions tell of five workers unless asked for all
        info = client.scheduler_info(n_workers=-1)
    except TypeError:
        info = client.scheduler_info()
    share = dask.config.get("distributed.worker.memory.pause", 0.8) or 1.0
    return [
        Worker(address, max(int(worker["nthreads"]), 1), share * (worker.get("memory_limit") or math.inf))
        for address, worker in sorted(info.get("workers", {}).items())
    ]


class WorkerShare(Share):
    """A `Share` in a worker's process.

    Parameters
    ----------
    name : str
    n_threads : int
    """

    def __init__(self, name: str, n_threads: int) -> None:
        super().__init__(n_threads)
        keep_freed_memory()
        _here[name] = self

    def call(self, method: str, arguments: tuple[Any, ...]) -> tuple[bool, Any]:
        """Whether a method returned, and what it returned or raised: anything else raised means a lost share."""
        try:
            return True, getattr(self, method)(*arguments)
        except Exception as error:
            try:
                pickle.loads(pickle.dumps(error))
            except Exception:
                return False, RuntimeError(f"{type(error).__name__}: {error}")
            return False, error


def hand_over(name: str, rows: Any, dtype: np.dtype) -> None:
    """Give a share of this process its next rows."""
    _here[name].add(rows, dtype)


class DaskCarrier:
    """Shares of the rows of an array on the workers of a cluster.

    Parameters
    ----------
    client : distributed.Client
    source : array-like, shape (n_samples, n_features)
        An array of Dask, one that workers read by themselves, or one in memory.
    edges : ndarray of int, shape (n_shares + 1,)
    dtype : dtype
        In which rows are held as they are read.
    """

    def __init__(self, client: Any, source: Any, edges: np.ndarray, dtype: np.dtype) -> None:
        self.client, self.source, self.edges, self.dtype = client, source, edges, dtype
        self.sizes = np.diff(edges) * source.shape[1] * np.dtype(source.dtype).itemsize
        self._direct: Any = None
        self._at: dict[int, str] = {}
        self._names: dict[int, str] = {}
        self._futures: dict[int, Any] = {}
        self._actors: dict[int, Any] = {}

    def fetched(self) -> Any:
        """An array that fetches rows as they are."""
        return _Fetched(self.client, self.source)

    def place(self, shares: list[int]) -> None:
        """See `popglm.solve.remote.shares.Carrier`."""
        gone, missing = {self._at.pop(share) for share in shares if share in self._at}, list(shares)
        for _ in range(MOST_TRIES):
            self._begin(missing, gone)
            loaded = self._load(missing)
            missing = [share for share in missing if share not in loaded]
            if not missing:
                return
            gone |= {self._at.pop(share) for share in missing}
        first, last = self._bounds(missing[0])
        raise RuntimeError(
            f"Every worker that read rows {first:,} to {last:,} of X was lost on the way, perhaps for want of memory. "
            "Give the workers more memory, or use more of them."
        )

    def ask(self, calls: dict[int, tuple[str, tuple[Any, ...]]]) -> tuple[dict[int, Any], list[int]]:
        """See `popglm.solve.remote.shares.Carrier`."""
        waiting: dict[int, Any] = {}
        for share, call in calls.items():
            # raised at once where the scheduler knows that the actor is gone
            with contextlib.suppress(Exception):
                waiting[share] = self._actors[share].call(*call)
        found: dict[int, Any] = {}
        raised: list[BaseException] = []
        for share, future in waiting.items():
            try:
                returned, value = self._answer(future, self._at[share])
            except Exception as error:
                log.debug("share %d: %r", share, error)
                continue
            if returned:
                found[share] = value
            else:
                raised.append(value)
        if raised:
            raise raised[0]
        return found, [share for share in calls if share not in found]

    def _answer(self, future: Any, address: str) -> Any:
        """What an actor returned; an error where its worker is gone."""
        while True:
            try:
                return future.result(timeout=LOOK)
            except TimeoutError:
                # where the scheduler learns of the loss first, distributed leaves the call without an answer
                if address not in self.client.nthreads():
                    raise

    def release(self) -> None:
        """See `popglm.solve.remote.shares.Carrier`."""
        with contextlib.suppress(Exception):
            self.ask(dict.fromkeys(self._actors, ("close", ())))
        for kept in (self._actors, self._futures, self._names, self._at):
            kept.clear()
        if self._direct is not None:
            self._direct.close()
            self._direct = None

    def _bounds(self, share: int) -> tuple[int, int]:
        return int(self.edges[share]), int(self.edges[share + 1])

    def _begin(self, shares: list[int], gone: set[str]) -> None:
        """Make shares without rows, on workers with room that are not ``gone``."""
        for share in shares:
            self._actors.pop(share, None)
            worker, name = self._room_for(share, gone), f"popglm-rows-{uuid.uuid4().hex}"
            self._at[share], self._names[share] = worker.address, name
            self._futures[share] = self.client.submit(
                WorkerShare, name, worker.threads, actor=True, key=name, workers=[worker.address], pure=False
            )
        if self._direct is None:
            # actors of this client are asked without a detour over the scheduler
            self._direct = distributed.Client(
                self.client.scheduler.address, security=self.client.security, set_as_default=False,
                direct_to_workers=True,
            )  # fmt: skip
        for share in shares:
            if self._arrives(self._futures[share], self._at[share]):
                with self._direct.as_current():
                    self._actors[share] = distributed.Actor(WorkerShare, self._at[share], self._names[share])
        there = [share for share in shares if share in self._actors]
        if there and self._direct.direct_to_workers and not self.ask(dict.fromkeys(there, ("not_finite", ())))[0]:
            log.warning("Workers cannot be reached directly from here; everything goes over the scheduler.")
            self._direct.direct_to_workers = False

    def _room_for(self, share: int, gone: set[str]) -> Worker:
        """The worker with the least to do that has room for a share."""
        need, began = self.sizes[share] + BESIDE, time.monotonic()
        while True:
            held: dict[str, float] = {}
            for other, address in self._at.items():
                held[address] = held.get(address, 0.0) + self.sizes[other]
            workers = [worker for worker in workers_of(self.client) if worker.address not in gone]
            able = [worker for worker in workers if held.get(worker.address, 0.0) + need <= worker.limit]
            if able:
                return min(able, key=lambda worker: held.get(worker.address, 0.0) / worker.threads)
            # one that is started again has another address
            if not gone or time.monotonic() - began > PATIENCE:
                break
            time.sleep(LOOK)
        first, last = self._bounds(share)
        most = max((worker.limit - held.get(worker.address, 0.0) for worker in workers), default=0.0)
        raise MemoryError(
            f"Rows {first:,} to {last:,} of X need {need / 1e9:.3g} GB on a worker; of {len(workers)} workers the one "
            f"with most room has {max(most, 0) / 1e9:.3g} GB. Start more workers, each of which then holds fewer rows, "
            "or workers with a larger memory_limit."
        )

    def _arrives(self, future: Any, address: str) -> bool:
        """Wait for a future that only one worker can make; whether it did."""
        while True:
            try:
                with self.client.as_current():
                    distributed.wait(future, timeout=LOOK)
            except TimeoutError:
                if address in self.client.nthreads():
                    continue
                return False
            if future.status == "error" and address in self.client.nthreads():
                future.result()
            return future.status == "finished"

    def _load(self, shares: list[int]) -> set[int]:
        """Have shares read their rows; returns those that did."""
        there = [share for share in shares if share in self._actors]
        if is_dask(self.source):
            return self._compute(there)
        if is_readable(self.source):
            return set(
                self.ask({share: ("read", (self.source, *self._bounds(share), self.dtype)) for share in there})[0]
            )
        return {share for share in there if self._send(share)}

    def _compute(self, shares: list[int]) -> set[int]:
        """Have chunks of a Dask array computed where they will lie, one of every share at a time."""
        give = dask.delayed(hand_over, pure=False)
        chunks = {share: self.source[slice(*self._bounds(share))].to_delayed()[:, 0] for share in shares}
        going = set(shares)
        for k in range(max(map(len, chunks.values()), default=0)):
            futures = {
                share: self.client.compute(
                    give(self._names[share], chunks[share][k], self.dtype), workers=[self._at[share]]
                )
                for share in sorted(going)
                if k < len(chunks[share])
            }
            for share, future in futures.items():
                sizes = self.source[slice(*self._bounds(share))].chunks[0]
                first = self._bounds(share)[0] + sum(sizes[:k])
                with _of_chunks(first, first + sizes[k]):
                    if not self._arrives(future, self._at[share]):
                        going.discard(share)
        return going

    def _send(self, share: int) -> bool:
        """Send rows from here; whether they arrived."""
        first, last = self._bounds(share)
        step = max(1, PIECE // (self.source.shape[1] * self.dtype.itemsize))
        for a in range(first, last, step):
            rows = np.asarray(self.source[a : min(a + step, last)])
            if not self.ask({share: ("add", (rows, self.dtype))})[0]:
                return False
        return True


@contextlib.contextmanager
def _of_chunks(first: int, last: int) -> Iterator[None]:
    """Say of an error that chunks of a Dask array raised it: what made them is not popglm's."""
    try:
        yield
    except Exception as error:
        raise RuntimeError(
            f"Rows {first:,} to {last:,} of X could not be computed; a chunk of this Dask array raised "
            f"{type(error).__name__}: {error}"
        ) from error


class _Fetched:
    """Rows of an array as they are, wherever it can be read."""

    def __init__(self, client: Any, source: Any) -> None:
        self.client, self.source = client, source
        self.shape, self.dtype = tuple(source.shape), np.dtype(source.dtype)
        self.chunks = getattr(source, "chunks", None)

    def __getitem__(self, rows: slice) -> np.ndarray:
        if is_dask(self.source):
            with _of_chunks(*rows.indices(self.shape[0])[:2]):
                return self.client.compute(self.source[rows]).result()
        if is_readable(self.source):
            return self.client.submit(_read, self.source, rows.start, rows.stop, pure=False).result()
        return np.asarray(self.source[rows])


def _read(source: Any, first: int, last: int) -> np.ndarray:
    return np.asarray(source[first:last])
