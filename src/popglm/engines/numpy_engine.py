"""NumPy on a CPU: one worker thread per core, each with a single-threaded BLAS."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from itertools import pairwise
from typing import Any

import numpy as np
from threadpoolctl import threadpool_limits

__all__ = ["NumpyEngine"]


class NumpyEngine:
    """What the solver needs from an array library, done with NumPy.

    Parameters
    ----------
    precision : {"float32", "float64"}
        Type of every array with ``n_samples`` entries along an axis.
    n_workers : int, optional
        Threads; the number of usable cores unless given.

    Attributes
    ----------
    xp : module
        The array namespace.
    dtype : numpy.dtype
        Type of arrays over samples.

    Examples
    --------
    >>> from popglm.engines import NumpyEngine
    >>> engine = NumpyEngine("float64", n_workers=2)
    >>> with engine.session():
    ...     engine.map(lambda first, last: last - first, [(0, 3), (3, 7)])
    [3, 4]
    """

    xp = np

    def __init__(self, precision: str = "float32", n_workers: int | None = None) -> None:
        self.dtype = np.dtype(precision)
        self.n_workers = n_workers or _usable_cores()
        self._pool: ThreadPoolExecutor | None = None

    @contextmanager
    def session(self) -> Iterator[None]:
        """Hold the worker threads, and one BLAS thread for each, while a fit runs."""
        with threadpool_limits(1, user_api="blas"), ThreadPoolExecutor(self.n_workers) as pool:
            self._pool = pool
            try:
                yield
            finally:
                self._pool = None

    def map(self, function: Callable[..., Any], arguments: list[tuple]) -> list[Any]:
        """Call ``function(*args)`` for every entry, in parallel; results in order."""

        def call(args: tuple) -> Any:
            # NumPy's error state belongs to a thread; callers look at what is not finite themselves
            with np.errstate(all="ignore"):
                return function(*args)

        if self._pool is None or len(arguments) < 2:
            return [call(args) for args in arguments]
        return list(self._pool.map(call, arguments))

    def row_chunks(self, n_rows: int) -> list[tuple[int, int]]:
        """Split rows so that a chunk of a few hundred neurons fits in a core's cache.

        The edges depend on nothing else, so that the sums of one neuron do not depend on its company.
        """
        n_chunks = -(-n_rows // 1024)
        n_chunks = -(-n_chunks // self.n_workers) * self.n_workers if n_chunks > 1 else 1
        edges = np.linspace(0, n_rows, n_chunks + 1).astype(int).tolist()
        return [(a, b) for a, b in pairwise(edges) if b > a]

    @staticmethod
    def pad(A: np.ndarray) -> np.ndarray:
        """Rows of A, its last one repeated up to whole tiles of BLAS (4 rows in float32, 24 in float64).

        A row of a product then has the same bits whatever rows stand beside it; found by trial with OpenBLAS.
        """
        missing = -len(A) % (4 if A.dtype == np.float32 else 24)
        return A if not missing else np.concatenate([A, np.repeat(A[-1:], missing, axis=0)])

    def product(self, A: np.ndarray, B: np.ndarray) -> np.ndarray:
        """AB, each row the same bits whatever other rows A has."""
        return (self.pad(A) @ B)[: len(A)]


def _usable_cores() -> int:
    # a job scheduler may have given this process fewer than the machine has
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
