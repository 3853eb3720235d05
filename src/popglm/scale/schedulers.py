"""A client of Dask: of a scheduler that runs, of worker processes on this machine, or of jobs of SLURM."""

from __future__ import annotations

import difflib
import inspect
import shutil
import tempfile
import tomllib
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from importlib import import_module
from pathlib import Path
from typing import Any

from popglm.checks import memory_of_machine
from popglm.engines.threads import usable_cores
from popglm.messages import listed, shown
from popglm.scale.placement import RESOURCE

__all__ = ["client_of", "read_slurm", "slurm_cluster"]

#: Seconds within which a scheduler answers.
TIMEOUT = 20
#: Of the machine's memory, the share that local workers have together.
SHARE = 0.9
#: A file of SLURM's jobs is no longer than this (bytes), and asks for no more jobs.
LONGEST, MOST_JOBS = 100_000, 10_000
#: What such a file must say: without a time, Dask asks for half an hour, and a fit that takes longer never ends.
NEEDED = ("jobs", "cores", "memory", "walltime")
#: Arguments of SLURMCluster that no file can hold, or that are old names of others.
UNUSABLE = (
    *("self", "args", "kwargs", "base_class_kwargs", "job_kwargs", "scheduler", "name", "job_cls", "scheduler_cls"),
    *("loop", "asynchronous", "n_workers", "security", "config_name", "host", "dashboard_address", "silence_logs"),
    *("project", "extra", "job_extra", "env_extra", "header_skip"),
)


@contextmanager
def client_of(
    scheduler: str | None = None, local: int | None = None, slurm: str | Path | None = None
) -> Iterator[tuple[Any, int | None]]:
    """A client, and the threads of each of its tasks; what was started for it ends with it.

    Parameters
    ----------
    scheduler : str, optional
        The address of a scheduler, such as "tcp://node1:8786", or a scheduler file.
    local : int, optional
        Worker processes on this machine, which share its cores and memory.
    slurm : path-like, optional
        A TOML file of arguments of `dask_jobqueue.SLURMCluster`, and ``jobs``.

    Yields
    ------
    client : distributed.Client, or None
        None if none of the three is given: without Dask.
    threads : int, or None
        None where the default is right.

    Raises
    ------
    ValueError
        If more than one is given, or one of them says what it must not.
    ImportError
        If distributed, or dask-jobqueue, is not installed.
    OSError
        If no scheduler answers.
    """
    given = [
        name for name, value in (("scheduler", scheduler), ("local", local), ("slurm", slurm)) if value is not None
    ]
    if len(given) > 1:
        raise ValueError(f"give one of scheduler, local and slurm; found {' and '.join(given)}")
    with ExitStack() as stack:
        if scheduler is not None:
            yield stack.enter_context(_client(scheduler)), None
        elif local is not None:
            yield _local(local, stack)
        elif slurm is not None:
            jobs = read_slurm(slurm)
            if shutil.which("sbatch") is None:
                raise ValueError("there is no sbatch on this machine; run popglm where jobs of SLURM are submitted")
            cluster = stack.enter_context(slurm_cluster(jobs))
            cluster.scale(jobs=jobs.jobs)
            yield stack.enter_context(_client(cluster)), jobs.threads
        else:
            yield None, None


def _client(where: Any) -> Any:
    """A client of a cluster, of an address, or of what a scheduler file says."""
    distributed = _library("distributed", "dask")
    is_file = isinstance(where, str) and Path(where).is_file()
    if isinstance(where, str) and not is_file:
        if "://" not in where and (where.endswith(".json") or "/" in where or "\\" in where):
            raise FileNotFoundError(
                f"scheduler={shown(where)}: there is no such file; does the scheduler run, and write it?"
            )
        comm = import_module("distributed.comm")
        try:
            comm.parse_host_port(comm.parse_address(where)[1])
        except ValueError as error:
            raise ValueError(f"scheduler={shown(where)} is no address such as tcp://node1:8786: {error}") from None
    found = {"scheduler_file": where} if is_file else {"address": where}
    try:
        return distributed.Client(**found, timeout=TIMEOUT, set_as_default=False)
    except (OSError, TimeoutError) as error:
        raise ConnectionError(f"no scheduler of Dask answers at {where!r} within {TIMEOUT} s; does it run?") from error


def _local(n_workers: int, stack: ExitStack) -> tuple[Any, int]:
    """A client of worker processes of this machine, and the threads of each."""
    distributed = _library("distributed", "dask")
    # only where distributed is installed
    from popglm.scale.quiet import Uninterrupted, quiet

    cores = usable_cores()
    if not 1 <= n_workers <= cores:
        raise ValueError(f"local={n_workers} workers must be 1 to {cores}, the cores of this machine")
    memory = int(min(memory_of_machine(), 2**50) * SHARE / n_workers)
    stack.enter_context(quiet())
    # a worker that dies is replaced, however long that takes; after 15 s Dask would do without
    stack.enter_context(import_module("dask").config.set({"distributed.deploy.lost-worker-timeout": "1 hour"}))
    cluster = distributed.LocalCluster(
        n_workers=n_workers, threads_per_worker=1, processes=True, memory_limit=memory,
        resources={RESOURCE: memory}, host="127.0.0.1",
        dashboard_address="127.0.0.1:0",
        local_directory=stack.enter_context(tempfile.TemporaryDirectory(ignore_cleanup_errors=True)),
    )  # fmt: skip
    client = stack.enter_context(_client(stack.enter_context(cluster)))
    client.register_plugin(Uninterrupted())
    return client, cores // n_workers


@dataclass(frozen=True)
class SlurmJobs:
    """What a file says of SLURM's jobs.

    Attributes
    ----------
    jobs : int
        How many.
    arguments : dict
        Of `dask_jobqueue.SLURMCluster`.
    threads : int
        Of a fit: all that a worker process has.
    """

    jobs: int
    arguments: dict[str, Any]
    threads: int


def read_slurm(path: str | Path) -> SlurmJobs:
    """Read and check a TOML file of arguments of `dask_jobqueue.SLURMCluster`.

    ``jobs`` is the number of jobs. ``processes``, the workers of a job, is 1 unless given; each declares its share
    of the memory among its resources, and runs one fit at a time with its share of the cores.

    Raises
    ------
    FileNotFoundError
        If there is no such file.
    ValueError
        If it is no TOML, says what SLURMCluster does not know, or lacks what is needed.
    ImportError
        If dask-jobqueue is not installed.
    """
    path = Path(path)
    if not path.is_file():
        raise FileNotFoundError(f"there is no file {str(path)!r}; write one with jobs, cores, memory and walltime")
    if path.stat().st_size > LONGEST:
        raise ValueError(f"{path.name} has {path.stat().st_size:,} bytes, far more than arguments of SLURM's jobs take")
    try:
        found = tomllib.loads(path.read_text(encoding="utf-8-sig"))
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise ValueError(f"{path.name} is no TOML: {error}") from None
    known = ["jobs", *_arguments()]
    for name in found:
        if name not in known:
            near = difflib.get_close_matches(name, known, n=3, cutoff=0.5) or known
            raise ValueError(f"{path.name}: {name!r} is not known here; nearest names: {listed(map(repr, near))}")
    missing = [name for name in NEEDED if name not in found]
    if missing:
        raise ValueError(f"{path.name} lacks {' and '.join(missing)}; for example {EXAMPLE}")
    return _checked(path, found)


EXAMPLE = 'jobs = 20, cores = 4, memory = "16 GB", walltime = "08:00:00"'


def _checked(path: Path, found: dict[str, Any]) -> SlurmJobs:
    """The numbers of a file, and what workers declare."""
    arguments = {"processes": 1, **found}
    jobs = arguments.pop("jobs")
    for name, value, most in (
        ("jobs", jobs, MOST_JOBS),
        ("cores", arguments["cores"], MOST_JOBS),
        ("processes", arguments["processes"], arguments["cores"]),
    ):
        if not isinstance(value, int) or isinstance(value, bool) or not 1 <= value <= most:
            raise ValueError(f"{path.name}: {name} must be a whole number from 1 to {most:,}; found {shown(value)}")
    parse_bytes = _library("dask.utils", "slurm").parse_bytes
    try:
        memory = parse_bytes(arguments["memory"])
    except (ValueError, TypeError, AttributeError):
        raise ValueError(f'{path.name}: memory must be text such as "16 GB"; found {shown(found["memory"])}') from None
    extra = list(arguments.get("worker_extra_args", []))
    if "--resources" not in extra:
        extra += ["--resources", f"{RESOURCE}={memory // arguments['processes']}"]
    return SlurmJobs(jobs, arguments | {"worker_extra_args": extra}, arguments["cores"] // arguments["processes"])


def slurm_cluster(jobs: SlurmJobs) -> Any:
    """A cluster whose workers are jobs of SLURM; none is submitted before it is scaled."""
    return _library("dask_jobqueue", "slurm").SLURMCluster(**jobs.arguments)


def _arguments() -> list[str]:
    """Arguments of SLURMCluster that a file may give."""
    library = _library("dask_jobqueue", "slurm")
    core, slurm = import_module("dask_jobqueue.core"), import_module("dask_jobqueue.slurm")
    makers = (slurm.SLURMJob, core.Job, library.SLURMCluster, core.JobQueueCluster)
    names = dict.fromkeys(name for maker in makers for name in inspect.signature(maker.__init__).parameters)
    return [name for name in names if name not in UNUSABLE]


def _library(name: str, extra: str) -> Any:
    """A library that popglm does without."""
    try:
        return import_module(name)
    except ImportError as error:
        package = {"dask_jobqueue": "dask-jobqueue", "dask.utils": "dask"}.get(name, name)
        raise ImportError(f"this needs {package}, which is not installed; run pip install 'popglm[{extra}]'") from error
