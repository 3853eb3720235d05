"""Re-fits that explain a model, spread over the workers of a Dask client."""

from __future__ import annotations

import pickle
from collections import deque
from collections.abc import Callable, Iterable
from functools import partial
from typing import Any

from popglm.checks import check_count
from popglm.engines.threads import at_most_threads
from popglm.scale.allocation import keep_freed_memory
from popglm.scale.jobs import DaskJobs, Job, JobFailed

__all__ = ["dask_map"]


def dask_map(client: Any, *, threads_per_task: int = 1) -> Callable[..., list[Any]]:
    """What does the work of Python's ``map`` on the workers of a Dask client, for what explains a model.

    Parameters
    ----------
    client : distributed.Client
    threads_per_task : int
        Of each re-fit.

    Returns
    -------
    callable
        For ``map=`` of `compare`, `significance` and `bootstrap`. What all re-fits share, such as X, is sent to every
        worker once.

    Raises
    ------
    TypeError, ValueError
        If the client is none, or the number of threads no whole number from 1.
    ConnectionError
        When it is called: if the scheduler is gone, or the workers die that have what the re-fits share.
    RuntimeError
        When it is called: if a re-fit ends its workers again and again.

    Examples
    --------
    >>> import distributed
    >>> import numpy as np
    >>> import popglm as pg
    >>> rng = np.random.default_rng(0)
    >>> X = rng.normal(size=(600, 2))
    >>> Y = rng.poisson(np.exp(0.5 * X[:, :1]))
    >>> model = pg.GLMCV(penalty="ridge", n_lambdas=4, cv=3).fit(X, Y)
    >>> with distributed.Client(processes=False, n_workers=1, dashboard_address=None) as client:
    ...     spread = pg.compare(model, X, Y, ["feature0", "feature1"], map=pg.dask_map(client))
    >>> abs(spread.fraction_explained_deviance[0].values).round(1)
    array([1., 0.])
    """
    check_count("dask_map", "threads_per_task", threads_per_task, least=1, most=1_000_000)
    jobs = DaskJobs(client, threads_per_task)
    return partial(_mapped, jobs)


def _mapped(jobs: DaskJobs, function: Callable[..., Any], *arguments: Iterable[Any]) -> list[Any]:
    """Results of all calls, in order."""
    try:
        shared = jobs.client.scatter(pickle.dumps(function, protocol=5), broadcast=True, hash=False)
    except (pickle.PicklingError, AttributeError, TypeError) as error:
        raise TypeError(f"dask_map: what the re-fits share cannot be sent to workers: {error}") from error
    calls = list(zip(*arguments, strict=True))
    waiting = deque(
        Job(f"re-fit-{number}", _called, (shared, call, jobs.threads), tag=number) for number, call in enumerate(calls)
    )
    results: dict[int, Any] = {}
    for job, found in jobs.run(waiting):
        if isinstance(found, JobFailed):
            raise RuntimeError(found.error.replace("session 're-fit", "the call 're-fit"))
        if isinstance(found, Exception):
            raise found
        results[job.tag] = found
    return [results[number] for number in range(len(calls))]


def _called(function: bytes, arguments: tuple, threads: int) -> Any:
    """What a call returns, or the error that it raises."""
    try:
        keep_freed_memory()
        with at_most_threads(threads):
            return pickle.loads(function)(*arguments)
    except Exception as error:
        return error
