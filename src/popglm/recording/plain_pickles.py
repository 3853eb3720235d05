"""Pickled arrays of plain values, read without running code.

A pickle names functions to call, so reading one from somebody else can run anything. Here only what makes arrays,
scalars, built-in containers, dates and paths may be named; anything else is refused. The restriction is what Python's
documentation of ``pickle`` calls "restricting globals".
"""

from __future__ import annotations

import pickle
from collections import OrderedDict
from datetime import date, datetime, time, timedelta
from pathlib import Path, PurePosixPath, PureWindowsPath
from typing import Any

import numpy as np

__all__ = ["read_plain_pickle"]


class _Refused(pickle.UnpicklingError):
    """A pickle names something else."""


# Functions of our own, and types that cannot be changed, are all that a pickle gets hold of: it may set attributes of
# what it names.
def _bytes_of(text: str, encoding: str) -> bytes:
    """Bytes that old pickles hold as Latin-1 text."""
    if encoding != "latin1":
        raise _Refused(f"text in {encoding}")
    return text.encode("latin1")


def _from_buffer(buffer: Any, dtype: np.dtype, shape: tuple, order: Any) -> np.ndarray:
    """An array that pickles since protocol 5 hold as bytes."""
    return np.frombuffer(buffer, dtype=dtype).reshape(shape, order=order)


def _posix_path(*parts: str) -> PurePosixPath:
    return PurePosixPath(*parts)


def _windows_path(*parts: str) -> PureWindowsPath:
    return PureWindowsPath(*parts)


_MULTIARRAY = ("numpy.core.multiarray", "numpy._core.multiarray")
_CONTAINERS = (bool, bytearray, bytes, complex, dict, float, frozenset, int, list, set, slice, str, tuple, range)
_PATHS = {"PosixPath": _posix_path, "PurePosixPath": _posix_path, "WindowsPath": _windows_path,
          "PureWindowsPath": _windows_path}  # fmt: skip


def _functions_of_arrays() -> dict[tuple[str, str], Any]:
    """What pickles of NumPy's arrays and scalars call."""
    rebuild, scalar = np.zeros(1).__reduce__()[0], np.float64(0).__reduce__()[0]
    found = {(module, "_reconstruct"): rebuild for module in _MULTIARRAY}
    found |= {(module, "scalar"): scalar for module in _MULTIARRAY}
    return found | {(module, "_frombuffer"): _from_buffer for module in ("numpy.core.numeric", "numpy._core.numeric")}


#: What a pickle may name.
_ALLOWED: dict[tuple[str, str], Any] = (
    _functions_of_arrays()
    | {("numpy", "ndarray"): np.ndarray, ("numpy", "dtype"): np.dtype}
    | {(module, kind.__name__): kind for module in ("builtins", "__builtin__") for kind in _CONTAINERS}
    | {("datetime", kind.__name__): kind for kind in (date, datetime, time, timedelta)}
    | {(module, name): kind for module in ("pathlib", "pathlib._local") for name, kind in _PATHS.items()}
    | {("collections", "OrderedDict"): OrderedDict, ("_codecs", "encode"): _bytes_of}
)


class _PlainUnpickler(pickle.Unpickler):
    """Reads pickles that name nothing but what makes plain values."""

    def find_class(self, module: str, name: str) -> Any:
        """What a pickle names, if it may."""
        try:
            return _ALLOWED[module, name]
        except KeyError:
            raise _Refused(f"{module}.{name}") from None


def read_plain_pickle(path: Path, reader: str) -> Any:
    """Read a .npy file of pickled plain values; one of numbers as well.

    Parameters
    ----------
    path : Path
    reader : str
        Who reads, for messages.

    Returns
    -------
    ndarray
        A single object has no dimensions: ``.item()`` is it.

    Raises
    ------
    FileNotFoundError
    ValueError
        If the file is cut short, of another kind, or names anything but arrays, scalars, containers, dates and paths.
    """
    try:
        with path.open("rb") as file:
            version = np.lib.format.read_magic(file)
            header = np.lib.format.read_array_header_1_0 if version == (1, 0) else np.lib.format.read_array_header_2_0
            _, _, dtype = header(file)
            if dtype.hasobject:
                return np.asarray(_PlainUnpickler(file).load())
        return np.load(path, allow_pickle=False)
    except FileNotFoundError as error:
        raise FileNotFoundError(f"{reader}: {path.name} is missing in {str(path.parent)!r}") from error
    except _Refused as error:
        raise ValueError(
            f"{reader}: {path.name} holds {error}, which is none of arrays, numbers, text, containers, dates and "
            "paths; it is not read, since reading it could run code: save the file again without it"
        ) from error
    except (pickle.UnpicklingError, ValueError, EOFError, LookupError, TypeError, AttributeError, MemoryError) as error:
        raise ValueError(f"{reader}: {path.name} is cut short or damaged; copy it again") from error
