"""Arrays of NumPy: in memory, in an archive, or a folder of files."""

from __future__ import annotations

import zipfile
import zlib
from collections.abc import Callable, Mapping
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

from popglm.recording.files import NOT_READ, NpyFile, OnDemand, path_of
from popglm.recording.named_arrays import NamedArrays
from popglm.recording.session import Session

__all__ = ["array_files", "read_arrays"]

READER = "read_arrays"


def read_arrays(
    source: Any,
    *,
    activity: Any = None,
    neurons: Any = None,
    signals: Any = None,
    events: Any = None,
    trials: Any = None,
    times: Any = None,
    rate: Any = None,
) -> Session:
    """Make a session of arrays, saying which is what.

    Parameters
    ----------
    source : path, or mapping of str to array-like
        An .npz file, a folder of .npy files (each is named as its file is), or arrays in memory.
    activity, neurons, signals, events, trials, times, rate
        As for `read_matlab`. A mapping of columns to arrays, or a DataFrame, is what a struct is there.

    Returns
    -------
    Session
        Arrays of .npy files are read when they are asked for.

    Raises
    ------
    TypeError
        If a part has neither times nor a rate, or both.
    ValueError
        If a file is damaged or holds pickled objects, which are never read; if there is no such array; or if lengths
        differ.
    FileNotFoundError
        If there is no such file or folder.

    Examples
    --------
    >>> spikes = np.random.default_rng(0).poisson(1, (60, 3))
    >>> arrays = {"spikes": spikes, "t": np.arange(60) / 30, "speed": np.ones(60), "reward": [0.5, 1.2]}
    >>> read_arrays(arrays, activity="spikes", signals="speed", events="reward", times="t")
    Session: activity spikes (60 samples × 3 neurons); signals speed; events reward (2)
    """
    attrs = {"format": "arrays"}
    if isinstance(source, Mapping):
        arrays = {str(name): value for name, value in source.items()}
        named = NamedArrays(READER, lambda: list(arrays), lambda name: _in_memory(_inside(arrays, name)))
    else:
        files = array_files(source, READER)
        named = NamedArrays(READER, lambda: list(files), lambda name: files[name]())
        attrs["source"] = str(source)
    return named.session(activity, neurons, signals, events, trials, times, rate, attrs)


def _inside(arrays: Mapping[str, Any], name: str) -> Any:
    """What has a name, or a name within a mapping, ``trials.start_time``."""
    if name in arrays:
        return arrays[name]
    first, _, rest = name.partition(".")
    if rest and isinstance(inner := arrays[first], Mapping):
        return _inside(inner, rest)
    if rest and hasattr(inner, "columns") and rest in inner.columns:
        return inner[rest]
    raise KeyError(name)


def _in_memory(value: Any) -> Any:
    """An array, a list of arrays, or a mapping."""
    if hasattr(value, "columns") and hasattr(value, "to_dict"):
        return {str(name): value[name].to_numpy() for name in value.columns}
    if isinstance(value, Mapping | OnDemand | str):
        return value
    if (
        isinstance(value, list | tuple)
        and any(np.ndim(one) for one in value)
        and len({np.shape(one) for one in value}) > 1
    ):
        return list(value)
    array = np.asarray(value)
    return list(array) if array.dtype == object and array.ndim == 1 and any(map(np.ndim, array)) else array


def array_files(source: Any, reader: str) -> dict[str, Callable[[], Any]]:
    """How to read each array of an archive or a folder, by name.

    Raises
    ------
    ValueError
        If the archive is damaged, or the folder holds no array.
    FileNotFoundError
        If nothing is there.
    """
    is_folder = isinstance(source, str | Path) and Path(source).expanduser().is_dir()
    path = path_of(source, reader, folder=is_folder)
    if is_folder:
        found = sorted(path.glob("*.npy"))
        if not found:
            raise ValueError(
                f"{reader}: {str(path)!r} holds no .npy file; give the folder of the arrays, or an .npz file"
            )
        return {file.stem: partial(NpyFile, file, reader) for file in found}
    if path.suffix == ".npy":
        return {path.stem: partial(NpyFile, path, reader)}
    try:
        with zipfile.ZipFile(path) as archive:
            names = [name.removesuffix(".npy") for name in archive.namelist() if name.endswith(".npy")]
    except (zipfile.BadZipFile, OSError, NotImplementedError) as error:
        what = "is empty" if path.stat().st_size == 0 else "is no archive of NumPy, or cut short"
        raise ValueError(f"{reader}: {path.name} {what}; save it again with np.savez") from error
    if not names:
        raise ValueError(f"{reader}: {path.name} holds no array of NumPy; save it with np.savez")
    return {name: partial(_member, path, name, reader) for name in names}


def _member(path: Path, name: str, reader: str) -> np.ndarray:
    """An array of an archive."""
    try:
        with np.load(path, allow_pickle=False) as archive:
            return archive[name]
    except ValueError as error:
        if "pickle" in str(error).lower() or "object" in str(error).lower():
            raise ValueError(
                f"{reader}: {name!r} in {path.name} holds pickled objects, which can run code when read; save plain "
                "arrays"
            ) from error
        raise ValueError(f"{reader}: {name!r} in {path.name} is damaged; save it again") from error
    except (zipfile.BadZipFile, zlib.error, LookupError, RuntimeError, *NOT_READ) as error:
        raise ValueError(f"{reader}: {name!r} in {path.name} is damaged; save it again") from error
