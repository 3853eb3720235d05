"""What Dask tells of workers that end is told by popglm: a worker's death by its session, Ctrl-C by the command."""

from __future__ import annotations

import logging
import signal
from collections.abc import Iterator
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
    added = []
    for name, parts in TOLD_OTHERWISE.items():
        logger, left_out = logging.getLogger(name), _LeftOut(parts)
        logger.addFilter(left_out)
        added.append((logger, left_out))
    try:
        yield
    finally:
        for logger, left_out in added:
            logger.removeFilter(left_out)


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
        for name, parts in OF_THE_END.items():
            logging.getLogger(name).addFilter(_LeftOut(parts))
