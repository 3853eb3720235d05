"""One function for every format: it is told by the name of a file, or by what a folder holds."""

from __future__ import annotations

import re
from importlib import import_module
from inspect import signature
from pathlib import Path
from typing import Any

from popglm.messages import listed, shown
from popglm.recording.session import Session

__all__ = ["format_of", "read"]

#: The reader of every format.
FORMATS = {
    "nwb": "read_nwb",
    "suite2p": "read_suite2p",
    "kilosort": "read_kilosort",
    "caiman": "read_caiman",
    "alf": "read_alf",
    "matlab": "read_matlab",
    "arrays": "read_arrays",
    "table": "read_table",
    "intervals": "read_intervals",
}
_SUFFIXES = {
    ".nwb": "nwb",
    ".mat": "matlab",
    ".npz": "arrays",
    ".npy": "arrays",
    ".csv": "table",
    ".tsv": "table",
    ".csv.gz": "table",
    ".parquet": "table",
    ".pqt": "table",
    ".hdf5": "caiman",
    ".h5": "caiman",
}
#: What a folder of a format holds, as patterns from the folder on; the first that is found decides.
_HOLDS = (
    ("kilosort", "spike_times.npy"),
    # any of the traces will do
    ("suite2p", "plane*/F*.npy"),
    ("suite2p", "plane*/spks.npy"),
    ("suite2p", "suite2p/plane*/F*.npy"),
    ("suite2p", "suite2p/plane*/spks.npy"),
    ("suite2p", "F.npy"),
    ("nwb", "zarr.json"),
    ("nwb", ".zgroup"),
    ("alf", "**/spikes.times*.npy"),
    # files are called object.attribute.extension: a table called trials.csv is no object
    ("alf", "**/*trials.*.npy"),
    ("alf", "**/*trials.*.pqt"),
    ("alf", "**/*.times*.npy"),
    ("alf", "**/*.timestamps*.npy"),
)
#: What suite2p calls the folder of a plane, where any of its traces may be.
_PLANE = re.compile(r"plane\d+|combined")


def format_of(path: str | Path) -> str:
    """The format of a file or folder.

    Raises
    ------
    FileNotFoundError
        If nothing is there.
    ValueError
        If neither its name nor what it holds tells.

    Examples
    --------
    >>> format_of("https://example.org/session.nwb")
    'nwb'
    """
    name = Path(str(path).partition("?")[0]).name.lower()
    suffix = next((end for end in sorted(_SUFFIXES, key=len, reverse=True) if name.endswith(end)), Path(name).suffix)
    if "://" in str(path):
        if suffix in _SUFFIXES:
            return _SUFFIXES[suffix]
    elif not Path(path).exists():
        raise FileNotFoundError(f"there is no file or folder {str(path)!r}")
    elif Path(path).is_dir():
        if kind := _of_folder(Path(path), suffix):
            return kind
        inside = sorted(one.name for one in Path(path).iterdir() if _is_recording(one))
        if inside:
            raise ValueError(
                f"{str(path)!r} is no recording as a whole; give one of those in it, and name others of the same "
                f"recording in a recipe's also: {listed(inside)}"
            )
    elif suffix in _SUFFIXES:
        return _SUFFIXES[suffix]
    raise ValueError(f"{str(path)!r} is of no known format by its name; give format, one of {listed(FORMATS)}")


def _of_folder(path: Path, suffix: str) -> str | None:
    """The format that a folder is of, by what it holds and its name."""
    for kind, pattern in _HOLDS:
        if next(path.glob(pattern), None) is not None:
            return kind
    if _PLANE.fullmatch(path.resolve().name) and any(next(path.glob(one), None) for one in ("F*.npy", "spks.npy")):
        return "suite2p"
    return "nwb" if suffix == ".nwb" or path.name.lower().endswith(".nwb.zarr") else None


def _is_recording(path: Path) -> bool:
    """Whether a file or folder is of a known format."""
    if path.is_dir():
        return _of_folder(path, path.suffix.lower()) is not None
    return any(path.name.lower().endswith(end) for end in _SUFFIXES)


def read(path: str | Path, format: str | None = None, **options: Any) -> Session:
    """Read a session from a file or folder of any format that popglm knows.

    Parameters
    ----------
    path : path-like or str
        A file, a folder, or for NWB a URL.
    format : str, optional
        "nwb", "suite2p", "kilosort", "caiman", "alf", "matlab", "arrays", "table" or "intervals"; told by the name and
        the content unless given. A table has a row per sample unless the format is "intervals".
    **options
        Of the reader: see `read_nwb` and its relatives.

    Returns
    -------
    Session

    Raises
    ------
    FileNotFoundError
        If nothing is there.
    ValueError
        If the format is unknown, or the file cannot be read.
    TypeError
        If the reader has no such option.

    Examples
    --------
    >>> import tempfile, numpy as np
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     np.savez(f"{folder}/session.npz", F=np.ones((5, 2)))
    ...     print(format_of(f"{folder}/session.npz"))
    arrays
    """
    kind = format_of(path) if format is None else format
    if kind not in FORMATS:
        raise ValueError(f"read: format must be one of {listed(FORMATS)}; found {shown(format)}")
    # readers of other formats, and their libraries, are left alone
    reader = getattr(import_module("popglm.recording"), FORMATS[kind])
    known = list(signature(reader).parameters)[1:]
    for name in options:
        if name not in known:
            raise TypeError(f"{FORMATS[kind]} has no option {name!r}; it has {listed(known) if known else 'none'}")
    return reader(path, **options)
