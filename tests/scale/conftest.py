"""A cluster of two worker processes, which the tests of this folder share."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import suppress
from typing import Any

import pytest

with suppress(ImportError):
    import dask
    import distributed

    # workers are forked from a process that has imported what they need; else each imports it anew for three seconds.
    # Commands that tests start keep what users have
    dask.config.set({"distributed.worker.multiprocessing-method": "forkserver" if os.name == "posix" else "spawn"})
    if hasattr(distributed.utils, "get_mp_context") and os.name == "posix":
        # Dask's own list, which it sets once, comes before
        distributed.utils.get_mp_context().set_forkserver_preload(["distributed", "popglm.scale.session_tasks"])

ABSENT = "distributed is not installed: pip install 'popglm[dask]'"


@pytest.fixture(scope="session")
def cluster(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Any]:
    """Two processes of one thread each."""
    distributed = pytest.importorskip("distributed", reason=ABSENT)
    dask = pytest.importorskip("dask", reason=ABSENT)
    folder = str(tmp_path_factory.mktemp("dask"))
    with (
        # a worker whose restart takes longer than 15 s is otherwise closed for good, and a busy machine takes longer
        dask.config.set({"distributed.deploy.lost-worker-timeout": "10 minutes"}),
        distributed.LocalCluster(
            n_workers=2, threads_per_worker=1, processes=True, dashboard_address=None, local_directory=folder
        ) as made,
    ):
        yield made


@pytest.fixture
def client(cluster: Any) -> Iterator[Any]:
    """A client of the cluster."""
    distributed = pytest.importorskip("distributed", reason=ABSENT)
    with distributed.Client(cluster, set_as_default=False) as made:
        yield made
