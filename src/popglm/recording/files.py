"""Arrays in files, opened for each read and closed again, and what is said of files that cannot be read."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Iterable
from difflib import get_close_matches
from importlib import import_module
from os import PathLike
from pathlib import Path
from tokenize import TokenError
from typing import Any

import h5py
import numpy as np

from popglm.messages import listed, shown
from popglm.recording.lazy import StoredArray

__all__ = [
    "NOT_READ",
    "Hdf5File",
    "NpyFile",
    "OnDemand",
    "StoredColumns",
    "nearest",
    "open_hdf5",
    "optional_library",
    "path_of",
    "read_npy",
]

#: What NumPy raises where bytes of an array are missing or wrong; its header is text of Python.
NOT_READ = (ValueError, TypeError, EOFError, OSError, SyntaxError, TokenError, OverflowError, MemoryError)


def path_of(path: Any, reader: str, folder: bool = False) -> Path:
    """The path of a file, or of a folder, that is there.

    Raises
    ------
    TypeError
        If it is no path.
    FileNotFoundError
        If nothing is there, or a folder where a file should be, or a file where a folder should be.
    """
    if not isinstance(path, str | PathLike):
        raise TypeError(f"{reader}: give the path of a {'folder' if folder else 'file'}; found {shown(path)}")
    found, kind = Path(path).expanduser(), "folder" if folder else "file"
    if not found.exists():
        raise FileNotFoundError(f"{reader}: there is no {kind} at {str(found)!r}; check the path")
    if found.is_dir() != folder:
        other = "file" if folder else "folder"
        raise FileNotFoundError(f"{reader}: {str(found)!r} is a {other}; give the path of a {kind}")
    return found


def nearest(name: str, names: Iterable[Any]) -> str:
    """What to say of a name that is not there: those like it, and all that are.

    Examples
    --------
    >>> nearest("qualty", ["quality", "depth"])
    "did you mean 'quality'? There are: quality, depth"
    """
    there = [str(one) for one in names]
    folded = {one.casefold(): one for one in reversed(there)}
    # a field of a struct may be meant by its own name
    folded |= {short: one for one in reversed(there) if (short := one.casefold().rpartition(".")[2]) not in folded}
    close = get_close_matches(name.casefold(), list(folded), n=3)
    alike = list(dict.fromkeys(folded[one] for one in close))
    known = f"here are: {listed(there)}" if there else "here are none"
    return f"did you mean {' or '.join(map(repr, alike))}? T{known}" if alike else f"t{known}"


def optional_library(module: str, extra: str, reader: str) -> Any:
    """Import a library that popglm does without.

    Raises
    ------
    ImportError
        If it is not installed.
    """
    try:
        return import_module(module)
    except ImportError as error:
        library = module.partition(".")[0]
        raise ImportError(
            f"{reader}: this file needs {library}, which is not installed; run pip install 'popglm[{extra}]'"
        ) from error


def read_npy(path: Path, reader: str) -> np.ndarray:
    """Map a .npy file into memory; never unpickles.

    Raises
    ------
    FileNotFoundError
    ValueError
        If it is cut short, holds pickled objects, or is of another kind.
    """
    try:
        array = np.load(path, mmap_mode="r", allow_pickle=False)
    except FileNotFoundError as error:
        raise FileNotFoundError(f"{reader}: {path.name} is missing in {str(path.parent)!r}") from error
    except NOT_READ as error:
        raise ValueError(f"{reader}: {path.name} {_what_is_wrong(path, str(error))}") from error
    if not isinstance(array, np.ndarray):
        raise ValueError(f"{reader}: {path.name} is an archive of arrays; rename it to {path.stem}.npz")
    return array


def _what_is_wrong(path: Path, error: str) -> str:
    """What keeps a .npy file from being read, and what to do."""
    if path.stat().st_size == 0:
        return "is empty; copy it again"
    with path.open("rb") as file:
        is_npy = file.read(6) == b"\x93NUMPY"
    if not is_npy:
        return "is not a file of NumPy; save the array again with np.save"
    if "objects" in error or "pickled" in error.lower():
        return "holds pickled objects, which can run code when read; save a plain array with np.save"
    return "is cut short or damaged; copy it again"


def open_hdf5(path: Path, reader: str) -> h5py.File:
    """Open an HDF5 file.

    Raises
    ------
    ValueError
        If it is of another kind, or cut short.
    """
    try:
        return h5py.File(path, "r")
    except OSError as error:
        if path.stat().st_size == 0:
            what = "is empty; copy it again"
        elif "truncated" in str(error):
            what = "is cut short; copy it again"
        elif "signature" in str(error):
            what = "is not an HDF5 file"
        else:
            what = f"cannot be opened ({str(error).splitlines()[0]})"
        raise ValueError(f"{reader}: {path.name} {what}") from error


class OnDemand(ABC):
    """An array whose file is open only while a part of it is read: sessions of many files leave none open."""

    shape: tuple[int, ...]
    dtype: np.dtype
    #: What is read together, at no more cost than a part of it; None where nothing is known of it.
    chunks: tuple[int, ...] | None = None

    @property
    def ndim(self) -> int:
        """How many dimensions it has."""
        return len(self.shape)

    @abstractmethod
    def __getitem__(self, key: Any) -> np.ndarray:
        """Read a part."""

    def stored(self, transpose: bool = False) -> StoredArray:
        """The array as what `lazily` takes."""
        return StoredArray(self, transpose=transpose)


class NpyFile(OnDemand):
    """An array in a .npy file.

    Parameters
    ----------
    path : Path
    reader : str
        Who reads, for messages.
    """

    def __init__(self, path: Path, reader: str) -> None:
        self.path, self.reader = path, reader
        array = read_npy(path, reader)
        self.shape, self.dtype = array.shape, array.dtype
        if array.ndim == 2:
            self.chunks = (1, array.shape[1]) if array.flags.c_contiguous else (array.shape[0], 1)

    def __getitem__(self, key: Any) -> np.ndarray:
        """Read a part."""
        return np.array(read_npy(self.path, self.reader)[key])


class Hdf5File(OnDemand):
    """An array in an HDF5 file.

    Parameters
    ----------
    path : Path
    name : str
        Of the dataset in it.
    reader : str
        Who reads, for messages.
    dtype : dtype, optional
        What its values mean, where the file stores them as something else.
    """

    def __init__(self, path: Path, name: str, reader: str, dtype: Any = None) -> None:
        self.path, self.name, self.reader = path, name, reader
        with open_hdf5(path, reader) as file:
            dataset = file[name]
            self.shape, self.dtype = tuple(dataset.shape), np.dtype(dataset.dtype if dtype is None else dtype)
            self.chunks = dataset.chunks

    def __getitem__(self, key: Any) -> np.ndarray:
        """Read a part."""
        with open_hdf5(self.path, self.reader) as file:
            try:
                return np.asarray(file[self.name][key]).astype(self.dtype, copy=False)
            except OSError as error:
                raise ValueError(
                    f"{self.reader}: {self.name} cannot be read from {self.path.name}; the file is damaged"
                ) from error


class StoredColumns(OnDemand):
    """Columns of a table side by side, read when they are asked for.

    Parameters
    ----------
    read : callable
        Given names, the columns as a 2-D array (n_rows, n_names).
    names : list of str
    n_rows : int
    dtype : dtype
        Of all of them.
    """

    def __init__(self, read: Callable[[list[str]], np.ndarray], names: list[str], n_rows: int, dtype: Any) -> None:
        self.read, self.names = read, names
        self.shape, self.dtype = (n_rows, len(names)), np.dtype(dtype)

    def __getitem__(self, key: Any) -> np.ndarray:
        """Read a part."""
        rows, columns = key
        names = self.names[columns]
        if isinstance(names, str):
            return self.read([names]).astype(self.dtype, copy=False)[rows, 0]
        return self.read(list(names)).astype(self.dtype, copy=False)[rows]


class Turned(OnDemand):
    """A matrix in a file with its axes exchanged."""

    def __init__(self, matrix: OnDemand) -> None:
        self.matrix, self.shape, self.dtype = matrix, matrix.shape[::-1], matrix.dtype
        self.chunks = None if matrix.chunks is None else matrix.chunks[::-1]

    def __getitem__(self, key: Any) -> np.ndarray:
        """Read a part."""
        return self.matrix[key[::-1] if isinstance(key, tuple) else key].T
