"""Locks on files: a folder is one process's at a time, and is free again when that process ends, however it ends."""

from __future__ import annotations

import contextlib
import errno
import os
from pathlib import Path
from typing import Any

fcntl: Any = None
with contextlib.suppress(ImportError):
    # Windows has no such locks
    import fcntl

__all__ = ["Lock", "held_lock"]


class Lock:
    """A lock that this process has until `close`.

    Parameters
    ----------
    handle : int, or None
        Of the open file; None where the system has no locks.
    """

    def __init__(self, handle: int | None) -> None:
        self._handle = handle

    @property
    def is_held(self) -> bool:
        """Whether others are kept out; they are not where the system has no locks."""
        return self._handle is not None

    def close(self) -> None:
        """Let others have it."""
        if self._handle is not None:
            # a process that was forked meanwhile has it open as well
            fcntl.flock(self._handle, fcntl.LOCK_UN)
            os.close(self._handle)
            self._handle = None

    def __enter__(self) -> Lock:
        """Hold it in a ``with`` statement."""
        return self

    def __exit__(self, *error: object) -> None:
        """Let others have it."""
        self.close()


def held_lock(path: Path, taken: str, make: bool = True) -> Lock:
    """Lock a file. Without locks in the system or its files, nobody is refused.

    Parameters
    ----------
    path : Path
    taken : str
        What to say where another has it.
    make : bool
        Whether the file is made where there is none.

    Raises
    ------
    OSError
        If another process, or another call of this one, has it (errno EBUSY, with the folder of the lock), or the file
        cannot be opened.

    Examples
    --------
    >>> import tempfile
    >>> with tempfile.TemporaryDirectory() as folder, held_lock(Path(folder, "lock"), "somebody works here"):
    ...     try:
    ...         held_lock(Path(folder, "lock"), "somebody works here")
    ...     except OSError as error:
    ...         print(error.strerror)
    somebody works here
    """
    if fcntl is None:
        return Lock(None)
    handle = os.open(path, os.O_RDWR | (os.O_CREAT if make else 0), 0o666)
    try:
        fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError as error:
        os.close(handle)
        raise OSError(errno.EBUSY, taken, str(path.parent)) from error
    except OSError:
        # a file system without locks
        os.close(handle)
        return Lock(None)
    return Lock(handle)
