"""What goes wrong on a cluster, done on purpose to its workers: functions that are sent to them, and a plugin."""

from __future__ import annotations

import errno
import os
import signal
import threading
import time
from pathlib import Path
from typing import Any

from distributed import WorkerPlugin

from popglm.io import checkpoints, files
from popglm.scale import session_tasks
from popglm.solve.walk.walk import Walk

_whole: dict[str, Any] = {"round": Walk.accept_or_stay, "sync": files._sync}


def slow(seconds: float, notes: str) -> None:
    """Have every round of a fit take a while, note it in a file of the process, and keep a state after each."""

    def accept_or_stay(*arguments: Any, **more: Any) -> Any:
        time.sleep(seconds)
        with Path(notes, str(os.getpid())).open("a") as file:
            file.write(".")
        return _whole["round"](*arguments, **more)

    checkpoints.LEAST_SECONDS, checkpoints.SHARE = 0.0, float("inf")
    Walk.accept_or_stay = accept_or_stay


def full_disk(name: str) -> None:
    """Have no room for one file."""

    def sync(path: str) -> None:
        if f".{name}." in path:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        _whole["sync"](path)

    files._sync = sync


def mend() -> None:
    """All as it was."""
    Walk.accept_or_stay, files._sync = _whole["round"], _whole["sync"]
    checkpoints.LEAST_SECONDS, checkpoints.SHARE = 1.0, 0.02


class Deadly(WorkerPlugin):
    """Every worker, and every one in its place, is ended by the system where it fits one of the sessions."""

    name = "deadly"

    def __init__(self, session: str) -> None:
        self.session = session

    def setup(self, worker: Any) -> None:
        """Before the first task."""
        fit = session_tasks._fit

        def ending(task: Any, *arguments: Any) -> int:
            if task.name == self.session:
                os.kill(os.getpid(), signal.SIGKILL)
            return fit(task, *arguments)

        session_tasks._fit = ending


def rounds(notes: Path) -> dict[int, int]:
    """Rounds that each process has noted."""
    return {int(path.name): path.stat().st_size for path in notes.iterdir()}


class AtWork(threading.Thread):
    """Does something to the process that fits, once it has gone through some rounds."""

    def __init__(self, notes: Path, n_rounds: int, do: Any) -> None:
        super().__init__(daemon=True)
        self.notes, self.n_rounds, self.do, self.pid = notes, n_rounds, do, 0

    def run(self) -> None:
        """Wait for the rounds."""
        while not self.pid:
            time.sleep(0.01)
            self.pid = next((pid for pid, n in rounds(self.notes).items() if n >= self.n_rounds), 0)
        self.do(self.pid)
