"""One BLAS thread per worker while any fit runs, and the process's own number again afterwards."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from threading import Lock
from typing import Any

from threadpoolctl import threadpool_limits

__all__ = ["single_blas_thread"]


class _Limit:
    """The limit that all sessions of a process share: the number belongs to the process, not to a thread."""

    def __init__(self) -> None:
        self.lock, self.n_users, self.limits = Lock(), 0, None


_limit: Any = _Limit()


def _forget() -> None:
    # a forked child has none of the parent's sessions, and its lock may be held by a thread that is not there
    global _limit
    _limit = _Limit()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_forget)


@contextmanager
def single_blas_thread() -> Iterator[None]:
    """Limit BLAS to one thread until the last of the sessions that overlap has ended.

    If each session kept what it found, the last to end would put back the limit of the others for ever.
    """
    limit = _limit
    with limit.lock:
        if limit.n_users == 0:
            limit.limits = threadpool_limits(1, user_api="blas")
        limit.n_users += 1
    try:
        yield
    finally:
        with limit.lock:
            limit.n_users -= 1
            if limit.n_users == 0:
                limit.limits.restore_original_limits()
