"""What Dask tells of workers that end is told by popglm: a worker's death by its session, Ctrl-C by the command."""

from __future__ import annotations

import logging
import signal
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any

from distributed import WorkerPlugin

__all__ = ["Uninterrupted", "quiet"]

#: Parts of lines, by the logger that writes them: in the process of the command, and in that of a worker.
TOLD_OTHERWISE = {
    "distributed.nanny": ("Restarting worker", "Worker process still alive after"),
    "distributed.scheduler": ("marked as failed because", "which was not found on the scheduler"),
}
#: Of worker processes, whose scheduler ends with the command.
OF_THE_END = {
    "distributed.worker": ("Failed to communicate with scheduler during heartbeat",),
    "distributed.worker.state_machine": ("ended with CancelledError",),
}


@contextmanager
def quiet() -> Iterator[None]:
    """Leave out lines that popglm tells otherwise; what Dask says of memory and of errors stays."""
    added = _add_filters(TOLD_OTHERWISE)
    try:
        yield
    finally:
        for place, left_out in added:
            place.removeFilter(left_out)


def _add_filters(told_otherwise: Mapping[str, tuple[str, ...]]) -> list[tuple[logging.Filterer, logging.Filter]]:
    """What got a filter, and the filter: the loggers of these lines, and the handlers of all that Dask says.

    Dask itself leaves out lines below warnings only until a cluster, or a worker, begins to end: connections that
    close after that would be told.
    """
    added: list[tuple[logging.Filterer, logging.Filter]] = [
        (logging.getLogger(name), _LeftOut(parts)) for name, parts in told_otherwise.items()
    ]
    added += [(handler, _BelowWarnings()) for handler in logging.getLogger("distributed").handlers]
    for place, left_out in added:
        place.addFilter(left_out)
    return added


class _BelowWarnings(logging.Filter):
    """Leaves out records that are no warnings or errors."""

    def filter(self, record: logging.LogRecord) -> bool:
        return record.levelno >= logging.WARNING


class _LeftOut(logging.Filter):
    """Leaves out records with one of these parts."""

    def __init__(self, parts: tuple[str, ...]) -> None:
        super().__init__()
        self.parts = parts

    def filter(self, record: logging.LogRecord) -> bool:
        message = record.getMessage()
        return not any(part in message for part in self.parts)


class Uninterrupted(WorkerPlugin):
    """Workers of a terminal, which sends Ctrl-C to all of its processes: the one that started them ends them."""

    name = "popglm-uninterrupted"

    def setup(self, worker: Any) -> None:
        """In the main thread of the worker's process."""
        signal.signal(signal.SIGINT, signal.SIG_IGN)
        _add_filters(OF_THE_END)
