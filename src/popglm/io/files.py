"""Files that are whole or not there: written beside their place, and put there at the end."""

from __future__ import annotations

import errno
import os
import shutil
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

from popglm.messages import shown

__all__ = ["check_source", "check_target", "write_whole"]


def check_target(path: Any) -> Path:
    """A path that a file can be written to: in a folder that exists, a new file or a regular one to replace.

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
        raise ValueError(f"path={str(path)!r} is {what}; give the name of a file to write, such as 'model.nc'.")
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
    handle, beside = _new_file(path)
    os.close(handle)
    try:
        try:
            write(beside)
            _sync(beside)
        except (OSError, RuntimeError) as error:
            raise _complaint(error, path, n_bytes, what) from error
        os.chmod(beside, _mode(path))
        os.replace(beside, path)
    finally:
        Path(beside).unlink(missing_ok=True)
    if os.name == "posix":
        _sync(str(path.parent))


def _new_file(path: Path) -> tuple[int, str]:
    """An empty file beside ``path``, open."""
    try:
        return tempfile.mkstemp(suffix=".part", prefix=f".{path.name}.", dir=path.parent)
    except OSError as error:
        what = f"the folder {str(path.parent)!r} takes no new file ({os.strerror(error.errno or 0)})"
        raise OSError(error.errno, f"path={str(path)!r}: {what}; give another folder.") from error


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
