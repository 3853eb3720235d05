"""Open an NWB file, HDF5 or Zarr, at a path or a URL; what is no such file is told in one sentence."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from importlib.util import find_spec
from pathlib import Path
from typing import Any
from urllib.parse import unquote, urlsplit
from urllib.request import url2pathname

from popglm.messages import shown
from popglm.recording.nwb.arrays import first_line
from popglm.recording.nwb.mending import read_what_can_be

__all__ = ["damage_of", "open_nwb"]

#: Bytes that are fetched at once from a URL.
BLOCK = 2**20


class OpenFile:
    """A file that stays open while somebody reads from it.

    Parameters
    ----------
    nwb : pynwb.NWBFile
    wide : dict
        Its timestamps of two dimensions: see `read_what_can_be`.
    refused : dict of str to str
        Objects that pynwb refuses, with the reason.
    closers : list of callable
        What closes it, in that order.
    """

    def __init__(
        self, nwb: Any, wide: dict[int, tuple[Any, Any]], refused: dict[str, str], closers: list[Callable[[], Any]]
    ) -> None:
        self.nwb, self.wide, self.refused, self._closers = nwb, wide, refused, closers

    def close(self) -> None:
        """Close the file; a second time does nothing."""
        while self._closers:
            self._closers.pop(0)()


def open_nwb(source: Any) -> tuple[OpenFile, str]:
    """Open an NWB file.

    Parameters
    ----------
    source : str or path
        A file of HDF5, a folder of Zarr, or a URL of a file of HDF5.

    Returns
    -------
    OpenFile
    str
        The source as text.

    Raises
    ------
    FileNotFoundError
        If nothing is there.
    ImportError
        If pynwb, or what the kind of file needs, is not installed.
    TypeError, ValueError
        If it is no path, or no NWB file.
    """
    if not isinstance(source, str | os.PathLike) or not str(source):
        raise TypeError(f"read_nwb: path must be the name of a file or a URL, as text; found {shown(source)}")
    if find_spec("pynwb") is None:
        raise ImportError("read_nwb needs pynwb: pip install 'popglm[nwb]'")
    text = os.fspath(source)
    scheme = urlsplit(text).scheme.lower() if "://" in text else ""
    if scheme == "file":
        text = url2pathname(unquote(urlsplit(text).path))
    elif scheme:
        return _opened(*_remote(text, scheme), text), text
    path = Path(text)
    if not path.exists():
        raise FileNotFoundError(f"read_nwb: there is no file {text!r}")
    if path.is_dir():
        return _opened_zarr(path), text
    if path.stat().st_size == 0:
        raise ValueError(f"read_nwb: {text!r} is empty")
    return _opened(text, [], text), text


def _remote(url: str, scheme: str) -> tuple[Any, list[Callable[[], Any]]]:
    """A file behind a URL, of which parts are fetched as they are asked for, and what closes it."""
    if find_spec("fsspec") is None:
        raise ImportError("read_nwb needs fsspec for a URL: pip install 'popglm[nwb]'")
    import fsspec

    try:
        # public buckets ask for no name
        system, path = fsspec.core.url_to_fs(url, **({"anon": True} if scheme == "s3" else {}))
        remote = system.open(path, "rb", block_size=BLOCK, cache_type="background")
    except ImportError as error:
        raise ImportError(f"read_nwb: {scheme} URLs need another package: {error}") from error
    except FileNotFoundError as error:
        raise FileNotFoundError(f"read_nwb: there is no file at {url!r}") from error
    except ValueError as error:
        raise ValueError(f"read_nwb: {url!r} cannot be opened ({error})") from error
    if not getattr(remote, "size", None):
        remote.close()
        raise ValueError(f"read_nwb: the server of {url!r} does not give parts of a file; download it first")
    return remote, [remote.close]


def _opened(file: Any, closers: list[Callable[[], Any]], name: str) -> OpenFile:
    """A file of HDF5, by its path or as an open file of Python."""
    import h5py
    from pynwb import NWBHDF5IO

    try:
        hdf5 = h5py.File(file, "r")
    except OSError as error:
        _close_all(closers)
        raise ValueError(f"read_nwb: {_why_not_hdf5(str(error), name)}") from error
    closers = [hdf5.close, *closers]
    try:
        with damage_of(name):
            version = _version_of(hdf5, name)
            io = NWBHDF5IO(file=hdf5, mode="r", load_namespaces=True)
        return OpenFile(*_read(io, name, version), [io.close, *closers])
    except BaseException:
        _close_all(closers)
        raise


@contextmanager
def damage_of(name: str) -> Iterator[None]:
    """Say in one sentence that a file is damaged, where h5py, zarr or pynwb find that it is."""
    try:
        yield
    except (OSError, RuntimeError, KeyError, IndexError, UnicodeError) as error:
        raise ValueError(f"read_nwb: {name!r} cannot be read ({first_line(error)}); the file may be damaged") from error


def _close_all(closers: list[Callable[[], Any]]) -> None:
    """Close what is open."""
    for close in closers:
        close()


def _why_not_hdf5(error: str, name: str) -> str:
    """What HDF5's complaint means."""
    if "truncated file" in error:
        return f"{name!r} is cut short: its end is missing; copy or download it again"
    if "signature not found" in error:
        return f"{name!r} is no NWB file: it is not in the format HDF5"
    if "unable to lock" in error:
        return f"{name!r} is open for writing in another program; close it there first"
    return f"{name!r} cannot be opened ({error}); the file may be damaged"


def _version_of(hdf5: Any, name: str) -> str:
    """The version of NWB of a file; complains of a file that has none, or one before 2.0."""
    if "nwb_version" in hdf5:
        raise ValueError(f"read_nwb: {name!r} is of NWB 1, which pynwb does not read; convert it to NWB 2 first")
    if "nwb_version" not in hdf5.attrs:
        kind = "a MATLAB file" if "#refs#" in hdf5 else "a file of HDF5"
        raise ValueError(f"read_nwb: {name!r} is {kind}, but no NWB file: it has no attribute nwb_version")
    return str(hdf5.attrs["nwb_version"])


def _opened_zarr(folder: Path) -> OpenFile:
    """A folder of Zarr."""
    if not any((folder / name).exists() for name in (".zgroup", ".zmetadata", "zarr.json")):
        raise ValueError(f"read_nwb: {str(folder)!r} is a folder, but not of Zarr; give the NWB file in it")
    if find_spec("hdmf_zarr") is None:
        raise ImportError("read_nwb needs hdmf-zarr for a folder of Zarr: pip install 'popglm[nwb]'")
    from hdmf_zarr import NWBZarrIO

    try:
        io = NWBZarrIO(str(folder), mode="r", load_namespaces=True)
    except Exception as error:
        raise ValueError(f"read_nwb: {str(folder)!r} cannot be opened as an NWB file of Zarr ({error})") from error
    return OpenFile(*_read(io, str(folder), "2"), [io.close])


def _read(io: Any, name: str, version: str) -> tuple[Any, dict[int, tuple[Any, Any]], dict[str, str]]:
    """What `read_what_can_be` finds; complains in one sentence where that is nothing."""
    try:
        return read_what_can_be(io)
    except Exception as error:
        io.close()
        raise ValueError(
            f"read_nwb: pynwb cannot read {name!r} (NWB {version}): {first_line(error)}; the file may be damaged, or "
            "lack the schema of an extension that it uses: import that extension first"
        ) from error
