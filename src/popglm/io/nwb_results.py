"""Results of models as a processing module of an NWB file: beside the recording that they explain."""

from __future__ import annotations

import io
import os
import shutil
import uuid
import warnings
from collections.abc import Iterator, Mapping
from datetime import UTC, datetime
from importlib.metadata import PackageNotFoundError, version
from importlib.util import find_spec
from itertools import count
from pathlib import Path
from typing import Any

import numpy as np
import xarray as xr

from popglm.io.files import check_target, reserve, write_whole
from popglm.io.result_tables import Results, ResultTable, results_of
from popglm.messages import shown
from popglm.recording import Session

__all__ = ["to_nwb", "write_new_nwb"]

#: Name of the processing module.
MODULE = "popglm"
#: Bytes of an NWB file without data, with its schema.
OVERHEAD = 1_000_000


def to_nwb(
    path: str | os.PathLike[str],
    source: str | os.PathLike[str] | None = None,
    *,
    session: Session | None = None,
    predictions: Any = None,
    kernels: Mapping[str, xr.Dataset] | xr.Dataset | None = None,
    contributions: Any = None,
) -> None:
    """Write predictions, kernels and contributions of a fitted model into a copy of an NWB file, or into a new one.

    They make up the processing module "popglm": the table "neurons" with a row per neuron and what is one number for
    each; a TimeSeries per kind of predictions; and tables whose rows are the points of a kernel's grid, or the
    variables and bins of contributions, with a column of vectors per result: an entry per neuron, in the order of the
    table "neurons". Results are brought together by the names of neurons, as texts: 3 and "3" are the same. Neurons
    without names take those of a result with as many.

    Parameters
    ----------
    path : str or path
        The file to write. It is written whole or not at all, and what was there is replaced; it must not be the source.
    source : str or path, optional
        The file of HDF5 to copy, which stays as it is. That of the session unless given, if it is a local one.
    session : Session, optional
        From `read_nwb` or another reader. Where there is no file to copy, a new one is made, with the session's
        identifier, start and subject if those are known.
    predictions : DataFrame or DataArray, shape (n_samples, n_neurons), or mapping of str to these, optional
        With the times of the rows (s) as index, or as coordinate "time", and the neurons as columns. `GLM.predict`
        gives an array: ``pd.DataFrame(model.predict(X), times, Y.columns)``. A mapping has several kinds,
        "full" and "held_out" say.
    kernels : mapping of str to Dataset, or Dataset, optional
        From `kernels` or `bootstrap`.
    contributions : Dataset, DataFrame with a row per neuron, or mapping of str to these, optional
        From `breakdown`, `compare` or `GLM.evaluate`.

    Raises
    ------
    ImportError
        If pynwb is not installed: ``pip install 'popglm[nwb]'``.
    FileNotFoundError
        If there is no such source.
    TypeError, ValueError
        If an argument is not as above: nothing is given to write; the file to write is the source; the source is no
        NWB file of HDF5, or has results already; predictions have no times; a result has a neuron twice.
    OSError
        If the file cannot be written, for lack of room or of permission.

    Warns
    -----
    PopglmWarning
        If results are of different neurons: what a result does not know of a neuron is NaN.

    See Also
    --------
    GLM.save : Keeps the whole model, for `load`.

    Examples
    --------
    >>> import tempfile
    >>> import numpy as np, pandas as pd, popglm as pg
    >>> mu = pd.DataFrame(np.ones((4, 2)), index=[0.0, 0.1, 0.2, 0.3], columns=["a", "b"])
    >>> folder = tempfile.TemporaryDirectory()
    >>> pg.to_nwb(f"{folder.name}/results.nwb", predictions=mu)
    >>> with pg.read_nwb(f"{folder.name}/results.nwb", activity=[]) as results:
    ...     results.signals["predictions"].sizes["sample"]
    4
    >>> folder.cleanup()
    """
    if find_spec("pynwb") is None:
        raise ImportError("to_nwb needs pynwb: pip install 'popglm[nwb]'")
    if session is not None and not isinstance(session, Session):
        raise TypeError(f"to_nwb: session must come from a reader of popglm; found {shown(session)}")
    results = results_of(predictions, kernels, contributions)
    target = check_target(path, "results.nwb")
    original = _source(source, session)
    n_bytes = OVERHEAD + results.nbytes
    if original is not None:
        if target.exists() and os.path.samefile(target, original):
            raise ValueError(f"to_nwb: path={str(path)!r} is the source, which is never changed; give another name")
        n_bytes += original.stat().st_size
    write_whole(target, lambda beside: _write(beside, original, session, results, n_bytes), n_bytes)


def _source(source: Any, session: Session | None) -> Path | None:
    """The file to copy, None where a new one is made."""
    if source is not None:
        if not isinstance(source, str | os.PathLike):
            raise TypeError(f"to_nwb: source must be the name of a file; found {shown(source)}")
        found = Path(source)
        if not found.exists():
            raise FileNotFoundError(f"to_nwb: there is no file {str(source)!r} to copy")
        if not _is_nwb(found):
            raise ValueError(f"to_nwb: source={str(source)!r} is no NWB file of HDF5; leave it out for a new file")
        return found
    known = None if session is None else session.attrs.get("source")
    return Path(known) if isinstance(known, str) and known and _is_nwb(Path(known)) else None


def _is_nwb(path: Path) -> bool:
    """Whether a path is that of an NWB file of HDF5."""
    import h5py

    if not path.is_file() or not h5py.is_hdf5(path):
        return False
    with h5py.File(path, "r") as file:
        return "nwb_version" in file.attrs


def write_new_nwb(beside: str, nwb: Any) -> None:
    """Write an object of pynwb as a new file; an error of the disk is one of Python."""
    import h5py
    from pynwb import NWBHDF5IO

    # HDF5 ends the process where a write to the disk fails
    image = io.BytesIO()
    with h5py.File(image, "w") as file, NWBHDF5IO(file=file, mode="w") as target:
        target.write(nwb)
    Path(beside).write_bytes(image.getbuffer())


def _write(beside: str, original: Path | None, session: Session | None, results: Results, n_bytes: int) -> None:
    """Write a whole file of so many bytes at most."""
    import h5py
    from pynwb import NWBHDF5IO

    with warnings.catch_warnings():
        # of what is in the source already, and of the name that the file has until it is whole
        warnings.simplefilter("ignore")
        if original is None:
            write_new_nwb(beside, _with_module(_new_file(session), results))
            return
        shutil.copyfile(original, beside)
        # a copy may be too large for memory; what is reserved and not used, HDF5 gives back
        reserve(beside, n_bytes)
        with h5py.File(beside, "r+", locking=False) as file, NWBHDF5IO(file=file, mode="a") as target:
            nwb = _read(target, original)
            if MODULE in nwb.processing:
                raise ValueError(f"to_nwb: {str(original)!r} has results of popglm already; give the file without them")
            target.write(_with_module(nwb, results))


def _with_module(nwb: Any, results: Results) -> Any:
    """A file with the module that holds all results."""
    module = nwb.create_processing_module(MODULE, f"Encoding models of neurons, fitted by popglm {_version()}")
    for one in _contents(results):
        module.add(one)
    return nwb


def _read(copy: Any, original: Path) -> Any:
    """The objects of the copy."""
    try:
        return copy.read()
    except Exception as error:
        why = (str(error).strip().splitlines() or [type(error).__name__])[0][:300]
        raise ValueError(
            f"to_nwb: pynwb cannot read {str(original)!r} ({why}); leave source and session out for a new file"
        ) from error


def _new_file(session: Session | None) -> Any:
    """A file with what a session knows of itself."""
    from pynwb import NWBFile
    from pynwb.file import Subject

    known = {} if session is None else dict(session.attrs)
    start = known.get("session_start_time")
    nwb = NWBFile(
        session_description=str(known.get("session_description") or "Results of popglm for a recording"),
        identifier=str(known.get("identifier") or uuid.uuid4()),
        # a file must have one
        session_start_time=start if isinstance(start, datetime) else datetime.now(UTC),
        session_id=str(known["session_id"]) if known.get("session_id") else None,
    )
    subject = known.get("subject")
    if isinstance(subject, Mapping) and subject:
        nwb.subject = Subject(**{name: value for name, value in subject.items() if name != "weight"})
    return nwb


def _version() -> str:
    """The version of popglm."""
    try:
        return version("popglm")
    except PackageNotFoundError:
        return "of unknown version"


def _contents(results: Results) -> Iterator[Any]:
    """The objects of the module."""
    from hdmf.backends.hdf5 import H5DataIO
    from pynwb import TimeSeries

    yield _table(results.neurons)
    for name, (values, times, unit) in results.predictions.items():
        rate = _rate(times)
        clock = {"timestamps": times} if rate is None else {"rate": rate, "starting_time": float(times[0])}
        yield TimeSeries(
            name=_plain(name), data=H5DataIO(values, compression="gzip"), unit=unit or "a.u.", **clock,
            description="Predicted activity; columns are the rows of the table 'neurons'.",
        )  # fmt: skip
    for table in results.tables:
        yield _table(table)


def _rate(times: np.ndarray) -> float | None:
    """Samples per second of times that a start and a rate give to a nanosecond, else None."""
    if len(times) < 2 or not times[-1] > times[0]:
        return None
    rate = (len(times) - 1) / (times[-1] - times[0])
    regular = times[0] + np.arange(len(times)) / rate
    return float(rate) if np.abs(regular - times).max() < 1e-9 else None


def _table(table: ResultTable) -> Any:
    """A table of results as one of NWB."""
    from hdmf.common import DynamicTable, VectorData

    taken = count(1)
    columns, names = [], set[str]()
    for label, (values, description) in table.columns.items():
        name = _plain(label)
        while name in names or name in ("id", "colnames", "description"):
            name = f"{_plain(label)}_{next(taken)}"
        names.add(name)
        data = values.tolist() if values.dtype.kind == "O" else values
        columns.append(VectorData(name=name, description=description, data=data))
    return DynamicTable(name=_plain(table.name), description=table.description, columns=columns)


def _plain(name: str) -> str:
    """A name without what separates the parts of a path."""
    return name.replace("/", " over ").replace(":", " ").replace("\\", " ").strip() or "unnamed"
