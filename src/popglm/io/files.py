"""Files that are whole or not there: written beside their place, and put there at the end."""

from __future__ import annotations

import contextlib
import errno
import os
import re
import shutil
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

from popglm.io.locks import Lock, held_lock
from popglm.messages import shown

__all__ = ["check_source", "check_target", "remove_abandoned", "reserve", "write_whole"]

#: Names of files that `write_whole` has not put in their place yet.
_UNFINISHED = re.compile(r"\..+\.\w{8}\.part")


def check_target(path: Any, such_as: str = "model.nc") -> Path:
    """A path that a file can be written to: in a folder that exists, a new file or a regular one to replace.

    Parameters
    ----------
    path : path-like
    such_as : str
        A name that a file could have, for the complaint about a folder.

    Raises
    ------
    TypeError
        If it is no path.
    ValueError
        If the folder does not exist, or something else than a regular file is there.
    OSError
        If the folder takes no new file.
    """
    path = _as_path(path)
    if path.exists() and not path.is_file():
        what = "a folder" if path.is_dir() else "no regular file"
        raise ValueError(f"path={str(path)!r} is {what}; give the name of a file to write, such as {such_as!r}.")
    # a link is followed, so that the file it points to is replaced and the link stays
    target = path.resolve()
    if not target.parent.is_dir():
        raise ValueError(f"path={str(path)!r}: the folder {str(target.parent)!r} does not exist; make it first.")
    # permissions do not tell of a folder that is read-only for everyone, or of the system
    handle, beside = _new_file(target)
    os.close(handle)
    Path(beside).unlink()
    return target


def check_source(path: Any) -> Path:
    """A path of a regular file that exists.

    Raises
    ------
    TypeError
        If it is no path.
    FileNotFoundError
        If nothing is there.
    ValueError
        If it is no regular file.
    """
    path = _as_path(path)
    if not path.exists():
        raise FileNotFoundError(errno.ENOENT, "there is no such file to load a popglm model from", str(path))
    if not path.is_file():
        raise ValueError(f"path={str(path)!r} holds no popglm model: it is no regular file.")
    return path


def write_whole(path: Path, write: Callable[[str], Any], n_bytes: int, what: str = "the file") -> None:
    """Have ``write`` make a file beside ``path``, then put it there; what was there before stays whole until then.

    Parameters
    ----------
    path : Path
        From `check_target`.
    write : callable
        Gets the name of a file to write.
    n_bytes : int
        Room that the file takes at most, for the complaint where there is none.
    what : str
        What is written, for the complaint.

    Raises
    ------
    OSError
        If the file cannot be written; nothing of it is left.
    """
    lock, beside = _beside(path)
    try:
        try:
            write(beside)
            _sync(beside)
        except (OSError, RuntimeError) as error:
            raise _complaint(error, path, n_bytes, what) from error
        os.chmod(beside, _mode(path))
        # HDF5 opens no file that another process has locked
        lock.close()
        os.replace(beside, path)
    finally:
        Path(beside).unlink(missing_ok=True)
        lock.close()
    if os.name == "posix":
        _sync(str(path.parent))


def _new_file(path: Path) -> tuple[int, str]:
    """An empty file beside ``path``, open."""
    try:
        return tempfile.mkstemp(suffix=".part", prefix=f".{path.name}.", dir=path.parent)
    except OSError as error:
        what = f"the folder {str(path.parent)!r} takes no new file ({os.strerror(error.errno or 0)})"
        raise OSError(error.errno, f"path={str(path)!r}: {what}; give another folder.") from error


def _beside(path: Path) -> tuple[Lock, str]:
    """A new file beside another, and the lock on it that tells `remove_abandoned` of a process at work."""
    while True:
        handle, beside = _new_file(path)
        os.close(handle)
        try:
            lock = held_lock(Path(beside), "it is being removed", make=False)
        except OSError as error:
            if error.errno not in (errno.EBUSY, errno.ENOENT):
                raise
            continue
        if os.path.exists(beside):
            return lock, beside
        lock.close()


def reserve(path: str, n_bytes: int) -> None:
    """Have room for a file before something is written that cannot bear to have none.

    Raises
    ------
    OSError
        If there is no room.
    """
    # other systems have no such call
    if hasattr(os, "posix_fallocate"):
        handle = os.open(path, os.O_RDWR)
        try:
            os.posix_fallocate(handle, 0, n_bytes)
        except OSError as error:
            if error.errno not in (errno.EOPNOTSUPP, errno.EINVAL):
                raise
        finally:
            os.close(handle)


def remove_abandoned(folder: Path) -> None:
    """Remove what processes that have ended left half written in a folder and those below it.

    Files whose process is at work are locked. Where a file system has no locks, nothing is removed.

    Examples
    --------
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     half = Path(folder, ".model.nc.a1b2c3d4.part")
    ...     _ = half.write_text("half")
    ...     remove_abandoned(Path(folder))
    ...     half.exists()
    False
    """
    for path in folder.rglob(".*.part"):
        if _UNFINISHED.fullmatch(path.name):
            # another process is at work on it, or has removed it
            with contextlib.suppress(OSError), held_lock(path, "it is being written", make=False) as lock:
                if lock.is_held:
                    path.unlink()


def _sync(path: str) -> None:
    """Wait until what was written is on the disk."""
    handle = os.open(path, os.O_RDONLY if os.name == "posix" else os.O_RDWR)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


def _mode(path: Path) -> int:
    """Permissions of the file that was there, else those of any new file."""
    if path.exists():
        return path.stat().st_mode & 0o777
    mask = os.umask(0)
    os.umask(mask)
    return 0o666 & ~mask


def _complaint(error: Exception, path: Path, n_bytes: int, what: str) -> OSError:
    """What went wrong in one sentence. HDF5 tells of a full disk in words of its own, without the number."""
    number = getattr(error, "errno", None)
    if number == errno.EFBIG:
        return OSError(
            number,
            f"{what} takes about {n_bytes / 1e6:.3g} MB, more than a file may have here (see ulimit -f); what was "
            "there before is unchanged",
            str(path),
        )
    free = shutil.disk_usage(path.parent).free
    if number in (errno.ENOSPC, errno.EDQUOT) or "No space left" in str(error) or free < n_bytes:
        return OSError(
            errno.ENOSPC,
            f"the disk is full: {what} takes about {n_bytes / 1e6:.3g} MB, and {free / 1e6:.3g} MB are free; what was "
            "there before is unchanged",
            str(path),
        )
    return OSError(
        number or errno.EIO, f"{what} cannot be written ({error}); what was there before is unchanged", str(path)
    )


def _as_path(path: Any) -> Path:
    if not isinstance(path, str | os.PathLike) or not str(path):
        raise TypeError(f"path must be the name of a file, as text or a pathlib.Path; found {shown(path)}.")
    if "\0" in str(path):
        raise ValueError(f"path={str(path)!r} holds a null character, which no file name can have.")
    return Path(path)
