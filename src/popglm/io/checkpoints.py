"""Folders that keep a fit while it goes on: named arrays in files that are whole or not there.

A part of the fit has two files, written in turn, so that one of them is always whole, and a third for what it ended
with. What is fitted stands in a description, by which another fit is told.
"""

from __future__ import annotations

import contextlib
import errno
import json
import os
import re
import time
import zipfile
from collections.abc import Callable
from pathlib import Path
from threading import Lock as Guard
from typing import Any

import numpy as np

from popglm.io.files import write_whole
from popglm.io.locks import Lock, held_lock
from popglm.messages import listed, shown
from popglm.warnings import warn

__all__ = ["CheckpointFolder"]

#: Of the time that passes, the share that may go into writing; and the least seconds between two states of a part.
SHARE, LEAST_SECONDS = 0.02, 1.0
#: Bytes written in a second, until it is known better.
SPEED = 2e8

DESCRIPTION, LOCK = "popglm_checkpoint.json", "lock"
#: Parts in files, and what a process that was killed left of a file that it had not put in its place.
OWN = re.compile(r"fit[\w.]*\.(a|b|end)\.npz")
LEFT = re.compile(rf"\.({OWN.pattern}|{re.escape(DESCRIPTION)})\..*\.part")

State = dict[str, np.ndarray]


class CheckpointFolder:
    """A folder for one fit.

    Parameters
    ----------
    path : path-like
        A folder that is empty, or not there yet, or that holds the same fit.

    Raises
    ------
    TypeError
        If `path` is no path.
    ValueError
        If it is a file, holds something else, or its own folder does not exist.
    OSError
        If it cannot be made or written to.
    """

    def __init__(self, path: Any) -> None:
        if not isinstance(path, str | os.PathLike) or not str(path):
            raise TypeError(f"checkpoint must be the name of a folder, as text or a pathlib.Path; found {shown(path)}.")
        if "\0" in str(path):
            raise ValueError(f"checkpoint={str(path)!r} holds a null character, which no folder's name can have.")
        self.path = Path(path).absolute()
        if self.path.exists() and not self.path.is_dir():
            raise ValueError(f"checkpoint={str(path)!r} is a file; give the name of a folder.")
        if not self.path.parent.is_dir():
            raise ValueError(
                f"checkpoint={str(path)!r}: the folder {str(self.path.parent)!r} does not exist; make it first."
            )
        try:
            self.path.mkdir(exist_ok=True)
            names = set(os.listdir(self.path))
        except OSError as error:
            raise self._unwritable(error.errno) from error
        if not os.access(self.path, os.W_OK | os.X_OK):
            raise self._unwritable(errno.EACCES)
        others = sorted(name for name in names if name != LOCK and not LEFT.fullmatch(name))
        if others and DESCRIPTION not in names:
            raise ValueError(
                f"checkpoint={str(path)!r} holds {shown(others[0])} and no fit; give a folder of its own, empty or new."
            )
        self._lock: Lock | None = None
        self._ended: dict[str, State] = {}
        self._guard, self._next_end = Guard(), time.perf_counter() + LEAST_SECONDS
        self._has_failed, self.is_stopping = False, False

    def _unwritable(self, number: int | None) -> OSError:
        what = f"this folder cannot be made or written to ({os.strerror(number or 0)})"
        return OSError(number, f"checkpoint={str(self.path)!r}: {what}; give another one.")

    def open(self, about: dict[str, str]) -> KeptPart:
        """The whole fit; the folder is this process's alone until `close`.

        Parameters
        ----------
        about : dict of str to str
            What is fitted: texts that are equal for equal things. What stands after " #" is not shown.

        Raises
        ------
        ValueError
            If the folder holds the fit of something else, with what differs; or its description is damaged.
        OSError
            If another process has the folder, or it cannot be written to.
        """
        self._hold()
        try:
            self._begin(about)
        except (OSError, ValueError):
            self.close()
            raise
        return KeptPart(self, "fit")

    def _begin(self, about: dict[str, str]) -> None:
        """Tidy up, and compare the description with that of the folder, or write it."""
        for name in os.listdir(self.path):
            if LEFT.fullmatch(name):
                (self.path / name).unlink(missing_ok=True)
        target = self.path / DESCRIPTION
        if not target.exists():
            text = json.dumps(about, indent=1)
            write_whole(target, lambda beside: Path(beside).write_text(text, "utf-8"), len(text), "the checkpoint")
        elif found := _differences(self._description(), about):
            raise ValueError(
                f"checkpoint={str(self.path)!r} holds another fit, in which {listed(found, longest=200)}. Repeat its "
                "input to go on with it; for this fit give another folder, or delete that one."
            )

    def close(self) -> None:
        """Let other processes have the folder."""
        if self._lock is not None:
            self._lock.close()
            self._lock = None

    def stop(self) -> None:
        """Have the fit end at the next moment at which its state is whole."""
        self.is_stopping = True

    def _hold(self) -> None:
        try:
            self._lock = held_lock(
                self.path / LOCK, "another fit keeps its checkpoint here; wait for its end, or give another folder"
            )
        except OSError as error:
            if error.errno == errno.EBUSY:
                raise
            raise self._unwritable(error.errno) from error

    def _description(self) -> dict[str, str]:
        try:
            return dict(json.loads((self.path / DESCRIPTION).read_text("utf-8")))
        except (ValueError, TypeError) as error:
            raise ValueError(
                f"checkpoint={str(self.path)!r} is damaged: {DESCRIPTION} cannot be read ({error}). Delete the folder."
            ) from error

    def read(self, name: str) -> State | None:
        """The arrays of a file; None where there is none that is whole."""
        try:
            with np.load(self.path / name, allow_pickle=False) as file:
                return {key: file[key] for key in file.files}
        except (OSError, ValueError, EOFError, KeyError, zipfile.BadZipFile):
            return None

    def write(self, name: str, state: State) -> bool:
        """Write arrays to a file, whole or not at all; returns whether that went well, and warns where it did not."""

        def arrays(beside: str) -> None:
            with zipfile.ZipFile(beside, "w", allowZip64=True) as file:
                for key, array in state.items():
                    with file.open(f"{key}.npy", "w", force_zip64=True) as entry:
                        np.lib.format.write_array(entry, np.asarray(array), allow_pickle=False)

        try:
            write_whole(self.path / name, arrays, size_of(state), "the checkpoint")
        except OSError as error:
            if not self._has_failed:
                self._has_failed = True
                warn(
                    f"The fit goes on without being kept, and tries again later: {error.strerror}: {error.filename!r}."
                )
            return False
        return True

    def end(self, name: str, state: State) -> None:
        """Keep what a part ended with, at once or with the next that are due."""
        with self._guard:
            self._ended[name] = {key: np.array(array) for key, array in state.items()}
            if name != "fit" and time.perf_counter() < self._next_end:
                return
        self.write_ended()

    def write_ended(self) -> None:
        """Write what parts ended with, in place of their states."""
        with self._guard:
            began = time.perf_counter()
            for name in list(self._ended):
                if not self.write(f"{name}.end.npz", self._ended[name]):
                    break
                del self._ended[name]
                self._forget(name)
            self._next_end = _next(began, LEAST_SECONDS)

    def _forget(self, name: str) -> None:
        """Delete the states of a part, and all of its own parts."""
        for file in os.listdir(self.path):
            stem = file.rsplit(".", 2)[0]
            if OWN.fullmatch(file) and (stem.startswith(f"{name}.") or (stem == name and ".end." not in file)):
                with contextlib.suppress(OSError):
                    (self.path / file).unlink(missing_ok=True)


class KeptPart:
    """A `popglm.solve.snapshot.Checkpoint` in a folder.

    Parameters
    ----------
    folder : CheckpointFolder
    name : str
    """

    def __init__(self, folder: CheckpointFolder, name: str) -> None:
        self.folder, self.name = folder, name
        self._began = time.perf_counter()
        self._next, self._number = self._began + LEAST_SECONDS, 0

    def part(self, name: str) -> KeptPart:
        """See `popglm.solve.snapshot.Checkpoint`."""
        return KeptPart(self.folder, f"{self.name}.{name}")

    def last(self) -> State | None:
        """See `popglm.solve.snapshot.Checkpoint`: of two files the later one that is whole."""
        found = [state for letter in "ab" if (state := self.folder.read(f"{self.name}.{letter}.npz"))]
        if not found:
            return None
        latest = max(found, key=lambda state: int(state["number"]))
        self._number = int(latest["number"])
        return {key: array for key, array in latest.items() if key != "number"}

    def pause(self, state: Callable[[], State]) -> None:
        """See `popglm.solve.snapshot.Checkpoint`.

        Raises
        ------
        KeyboardInterrupt
            Where the folder was told to stop.
        """
        began = time.perf_counter()
        if self.folder.is_stopping:
            self.folder.write_ended()
            raise KeyboardInterrupt(self._stopped(self._write(state())))
        if began < self._next:
            return
        now = state()
        # the first of a large state waits until it is worth its while
        self._next = self._began + size_of(now) / SPEED / SHARE
        if self._number or began >= self._next:
            self.folder.write_ended()
            self._write(now)
            self._next = _next(began, LEAST_SECONDS)

    def result(self) -> State | None:
        """See `popglm.solve.snapshot.Checkpoint`."""
        return self.folder.read(f"{self.name}.end.npz")

    def finish(self, state: State) -> None:
        """See `popglm.solve.snapshot.Checkpoint`."""
        self.folder.end(self.name, state)

    def _write(self, state: State) -> bool:
        letter = "ab"[self._number % 2]
        done = self.folder.write(f"{self.name}.{letter}.npz", state | {"number": np.array(self._number + 1)})
        self._number += done
        return done

    def _stopped(self, kept: bool) -> str:
        where = repr(str(self.folder.path))
        if kept:
            return f"the fit is kept in {where} as it was when it was interrupted; the same call goes on from there."
        return f"the fit could not be kept as it was; the same call goes on from the last state in {where}."


def _next(began: float, least: float) -> float:
    """When to write again, after a writing that has just ended."""
    now = time.perf_counter()
    return now + max(least, (now - began) / SHARE)


def size_of(state: State) -> int:
    """Bytes of arrays."""
    return sum(array.nbytes for array in state.values())


def _differences(kept: dict[str, str], about: dict[str, str]) -> list[str]:
    """What was otherwise in the fit that was kept."""
    found = []
    for name in dict.fromkeys([*kept, *about]):
        before, now = str(kept.get(name, "unknown")), str(about.get(name, "unknown"))
        was, is_ = before.split(" #")[0], now.split(" #")[0]
        if before != now:
            verb = "were" if " and " in name else "was"
            found.append(f"{name} had other values" if was == is_ else f"{name} {verb} {was} (now {is_})")
    return found
