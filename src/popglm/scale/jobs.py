"""Jobs run one after the other in this process, or on the workers of a Dask client as places become free."""

from __future__ import annotations

import queue
import time
import uuid
from collections import deque
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from importlib.util import find_spec
from typing import Any

from popglm.messages import shown
from popglm.scale.placement import RESOURCE, Room, no_room, rooms_of

__all__ = ["DaskJobs", "HereJobs", "Job", "JobFailed", "SchedulerGone"]

#: Seconds for which jobs wait for a worker that can run them.
PATIENCE = 600.0
#: Seconds between two looks at the workers; seconds after which a scheduler that does not answer is gone.
EVERY, SILENCE = 2.0, 30.0
#: Jobs that are begun anew because they were lost on the way.
MOST_LOST = 1_000
NO_WORKERS = "the scheduler has no worker any more, and none came for 10 minutes"


class SchedulerGone(ConnectionError):
    """The scheduler cannot be reached any more."""


@dataclass(frozen=True)
class JobFailed:
    """What a job has for a result that could not be run to its end."""

    error: str


@dataclass(frozen=True, eq=False)
class Job:
    """A call of a function.

    Attributes
    ----------
    name : str
        Of the session, as messages tell it.
    function : callable
        Of a module, so that it can be sent to a worker.
    arguments : tuple
    memory : float
        Bytes that its process takes, about; 0 for a job that takes little.
    tag : object
        What the caller knows it by.
    """

    name: str
    function: Callable[..., Any]
    arguments: tuple
    memory: float = 0.0
    tag: Any = None


class HereJobs:
    """Jobs one after the other, in this process."""

    n_places, dashboard, largest = 1, None, float("inf")

    def run(self, jobs: deque[Job], ahead: int = 1) -> Iterator[tuple[Job, Any]]:
        """Results as they come; jobs may be added meanwhile."""
        while jobs:
            job = jobs.popleft()
            yield job, job.function(*job.arguments)


@dataclass(eq=False)
class _Sent:
    """A job that the scheduler has.

    Attributes
    ----------
    job : Job
    alone : bool
        Whether no other ran beside it when it was sent.
    only : tuple of str
        Addresses of the workers that can hold it; empty for all.
    stranded : float, or None
        Since when no worker can run it.
    """

    job: Job
    alone: bool
    only: tuple[str, ...] = ()
    stranded: float | None = None


class DaskJobs:
    """Jobs on the workers of a client, only as many at a time as there are places.

    When a worker dies, Dask suspects every job that was sent to it, and gives a job up at the fourth such death. So no
    job is sent before a place is free for it; and one that was given up is run once more with none beside it, since
    another may have been the cause.

    Parameters
    ----------
    client : distributed.Client
    threads : int
        Of every job.

    Raises
    ------
    TypeError
        If it is no client that waits for its answers.
    SchedulerGone
        If its scheduler does not answer.
    """

    def __init__(self, client: Any, threads: int = 1) -> None:
        if not callable(getattr(client, "submit", None)) or getattr(client, "asynchronous", False):
            raise TypeError(f"client must be a dask.distributed.Client with asynchronous=False; found {shown(client)}")
        self.client, self.threads = client, threads
        self.address = str(getattr(client.scheduler, "address", client))
        self._token, self._number = uuid.uuid4().hex[:8], 0
        self._ended: queue.SimpleQueue[Any] = queue.SimpleQueue()
        self._running: dict[Any, _Sent] = {}
        self._rooms: list[Room] = []
        self._looked, self._answered = -EVERY, time.monotonic()
        self._without_workers: float | None = None
        self._n_lost = 0
        self._refresh()

    @property
    def n_places(self) -> int:
        """Jobs that run at a time."""
        return max(sum(max(room.threads // self.threads, 1) for room in self._rooms), 1)

    @property
    def largest(self) -> float:
        """Bytes that some worker has for a job."""
        return max((room.memory for room in self._rooms), default=float("inf"))

    @property
    def dashboard(self) -> str | None:
        """The address of the dashboard; None where there is none."""
        # without bokeh the address answers, with no page
        has_one = find_spec("bokeh") is not None and "dashboard" in self.client.scheduler_info().get("services", {})
        return str(self.client.dashboard_link) if has_one else None

    def run(self, jobs: deque[Job], ahead: int = 1) -> Iterator[tuple[Job, Any]]:
        """Results as they come; jobs may be added meanwhile.

        Parameters
        ----------
        jobs : deque of Job
            Emptied from the left.
        ahead : int
            Jobs per place that the scheduler has at a time.

        Raises
        ------
        SchedulerGone
            If the scheduler does not answer any more.
        """
        suspects: deque[Job] = deque()
        try:
            while jobs or suspects or self._running:
                yield from self._send(jobs, self.n_places * ahead)
                if suspects and not jobs and not self._running:
                    yield from self._send(suspects, 1, alone=True)
                for sent, result in self._finished(jobs):
                    if isinstance(result, JobFailed) and not sent.alone:
                        suspects.append(sent.job)
                    else:
                        yield sent.job, result
                yield from self._stranded(jobs)
        finally:
            # what runs still, runs to its end: it is not waited for
            self._running.clear()

    def _send(self, jobs: deque[Job], n_places: int, alone: bool = False) -> Iterator[tuple[Job, Any]]:
        """Submit jobs while there are places; those that no worker can hold are refused."""
        while jobs and len(self._running) < n_places and self._rooms:
            job = jobs.popleft()
            refusal = no_room(job.name, job.memory, self._rooms)
            if refusal is not None:
                yield job, JobFailed(refusal)
            else:
                self._submit(job, alone)

    def _submit(self, job: Job, alone: bool) -> None:
        """Hand a job to the scheduler, for the workers that can hold it."""
        options: dict[str, Any] = {}
        able = tuple(room.address for room in self._rooms if room.memory >= job.memory)
        only = () if len(able) == len(self._rooms) else able
        if job.memory and any(room.declared for room in self._rooms):
            options["resources"], only = {RESOURCE: job.memory}, ()
        elif only:
            options["workers"] = list(only)
        self._number += 1
        key = f"{job.name}-{self._token}-{self._number}"
        try:
            future = self.client.submit(job.function, *job.arguments, key=key, pure=False, **options)
        except (OSError, RuntimeError, TimeoutError) as error:
            raise self._gone() from error
        self._running[future] = _Sent(job, alone, only)
        future.add_done_callback(self._ended.put)

    def _finished(self, jobs: deque[Job]) -> Iterator[tuple[_Sent, Any]]:
        """Jobs that have ended, after a while at the latest; those that were lost on the way are begun anew."""
        wait = EVERY if self._running or not self._rooms else 0.0
        while True:
            try:
                future = self._ended.get(timeout=wait)
            except queue.Empty:
                return
            wait = 0.0
            sent = self._running.pop(future, None)
            if sent is None:
                continue
            if future.status in ("cancelled", "lost"):
                # so are all futures of a connection that was lost
                self._refresh(at_once=True)
                self._n_lost += 1
                if self._n_lost > MOST_LOST:
                    raise SchedulerGone(f"the scheduler at {self.address} has lost jobs again and again")
                jobs.appendleft(sent.job)
            else:
                yield sent, _result(sent.job, future)

    def _stranded(self, jobs: deque[Job]) -> Iterator[tuple[Job, Any]]:
        """Jobs that no worker can run: sent anew where others can, given up after a while."""
        if not self._refresh():
            return
        now, here = time.monotonic(), {room.address for room in self._rooms}
        for future, sent in list(self._running.items()):
            fault = no_room(sent.job.name, sent.job.memory, self._rooms) if here else NO_WORKERS
            if fault is None and sent.only and here.isdisjoint(sent.only):
                del self._running[future]
                future.cancel()
                jobs.appendleft(sent.job)
            elif fault is None:
                sent.stranded = None
            elif now - (sent.stranded or now) < PATIENCE:
                sent.stranded = sent.stranded or now
            else:
                del self._running[future]
                future.cancel()
                yield sent.job, JobFailed(fault)
        self._without_workers = None if here else self._without_workers or now
        if not here and not self._running and now - (self._without_workers or now) >= PATIENCE:
            while jobs:
                yield jobs.popleft(), JobFailed(NO_WORKERS)

    def _refresh(self, at_once: bool = False) -> bool:
        """Look at the workers, if the last look is a while ago; returns whether it was."""
        now = time.monotonic()
        if not at_once and now - self._looked < EVERY:
            return False
        while True:
            try:
                self._rooms = rooms_of(self.client)
            except (OSError, RuntimeError, TimeoutError) as error:
                if self.client.status == "closed" or time.monotonic() - self._answered > SILENCE:
                    raise self._gone() from error
                time.sleep(EVERY / 4)
            else:
                self._looked = self._answered = time.monotonic()
                return True

    def _gone(self) -> SchedulerGone:
        return SchedulerGone(f"the scheduler at {self.address} is gone")


def _result(job: Job, future: Any) -> Any:
    """What a job returned; a sentence where it could not be run to its end."""
    if future.status == "finished":
        return future.result()
    error = future.exception()
    if type(error).__name__ == "KilledWorker":
        takes = f"; it takes about {job.memory / 1e9:.3g} GB" if job.memory else ""
        return JobFailed(
            f"session {job.name!r} ended its worker {error.allowed_failures + 1} times, the last time "
            f"{error.last_worker.address}{takes}. A process ends so where it needs more memory than there is, or by an "
            "error in a library; the worker's log says more"
        )
    return JobFailed(f"session {job.name!r} could not be run: {type(error).__name__}: {error}")
