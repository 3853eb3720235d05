"""How many threads work: one of BLAS per worker while any fit runs, and no more workers than a task may have."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from functools import lru_cache
from threading import Lock
from typing import Any

from threadpoolctl import ThreadpoolController

__all__ = ["at_most_threads", "single_blas_thread", "usable_cores"]


@lru_cache(maxsize=1)
def _libraries(_n_modules: int) -> Any:
    """The thread pools of this process: a search of milliseconds, made anew where modules were imported since."""
    return ThreadpoolController()


class _Limit:
    """The limit that all sessions of a process share: the number belongs to the process, not to a thread."""

    def __init__(self) -> None:
        self.lock, self.n_users = Lock(), 0
        self.limits: Any = None

    @contextmanager
    def held(self, n_threads: int, **of: str) -> Iterator[None]:
        """Hold libraries to a number of threads until the last of those that overlap has ended.

        If each kept what it found, the last to end would put back the limit of the others for ever.
        """
        with self.lock:
            if self.n_users == 0:
                self.limits = _libraries(len(sys.modules)).limit(limits=n_threads, **of)
            self.n_users += 1
        try:
            yield
        finally:
            with self.lock:
                self.n_users -= 1
                if self.n_users == 0:
                    self.limits.restore_original_limits()


_fits: Any = _Limit()
_tasks: Any = _Limit()
#: Threads that the engines of a task may start; None for as many as there are cores.
_share: ContextVar[int | None] = ContextVar("share", default=None)


def _forget() -> None:
    # a forked child has none of the parent's sessions, and its lock may be held by a thread that is not there
    global _fits, _tasks
    _fits, _tasks = _Limit(), _Limit()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_forget)


@contextmanager
def single_blas_thread() -> Iterator[None]:
    """Limit BLAS to one thread until the last of the sessions that overlap has ended."""
    with _fits.held(1, user_api="blas"):
        yield


def usable_cores() -> int:
    """Cores that this process, or the task that runs here, may use.

    Examples
    --------
    >>> with at_most_threads(1):
    ...     usable_cores()
    1
    """
    share = _share.get()
    if share is not None:
        return share
    # a job scheduler may have given this process fewer than the machine has
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


@contextmanager
def at_most_threads(n_threads: int) -> Iterator[None]:
    """Give a task a number of threads: engines start as many workers, and BLAS, OpenMP and numba have no more.

    XLA asks the environment once, when it starts: its threads are held to the number of the first task of a process.
    """
    import numba

    if "jax" not in sys.modules:
        os.environ["NPROC"] = str(n_threads)
    most = getattr(numba.config, "NUMBA_NUM_THREADS")  # noqa: B009  # its types do not know it
    token, before = _share.set(n_threads), numba.get_num_threads()
    numba.set_num_threads(min(n_threads, most))
    try:
        with _tasks.held(n_threads):
            yield
    finally:
        numba.set_num_threads(before)
        _share.reset(token)
