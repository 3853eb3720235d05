"""Folders under the ALF naming convention, such as those of the International Brain Laboratory."""

from __future__ import annotations

import re
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import xarray as xr

from popglm.checks import check_names
from popglm.messages import listed
from popglm.recording.alf_files import (
    MOST_COLUMNS,
    AlfFile,
    as_columns,
    clock_of,
    objects_in,
    stored_signal,
    table_of,
    vector_of,
)
from popglm.recording.files import path_of
from popglm.recording.series import events, intervals, signal, spike_trains
from popglm.recording.session import Session
from popglm.recording.spikes_by_unit import by_unit
from popglm.warnings import warn

__all__ = ["read_alf"]

_Objects = dict[tuple[str, str], dict[str, AlfFile]]


def read_alf(folder: Any, *, collections: str | Iterable[str] | None = None) -> Session:
    """Read a session whose files follow the ALF naming convention.

    Parameters
    ----------
    folder : path
        A session, its folder ``alf``, or a folder in that.
    collections : str or sequence of str, optional
        Folders to read, such as "probe00/pykilosort", below ``alf`` where there is one; "" is the files beside them.
        All, unless given.

    Returns
    -------
    Session
        - Activity "spikes": all probes; with several, units are "probe00/12". Coordinates: the attributes of
          ``clusters``, the columns of ``clusters.metrics``, and those of ``channels`` at ``clusters.channels``.
        - Signals: objects with ``timestamps``, and cameras, "wheel_position", "leftCamera_dlc", read when asked for.
        - Events: objects with ``times`` ("licks").
        - Intervals: ``trials`` with all of their attributes, and other objects with ``intervals``.

        Of revisions (``#2024-05-06#``), the latest of each file. Times on another clock (``intervals_bpod``) are left
        out.

    Raises
    ------
    ValueError
        If files are damaged, spikes or clusters differ in length, or a probe was sorted more than once.
    FileNotFoundError
        If there is no such folder, or nothing in it follows the convention.
    ImportError
        If there are tables in Parquet, and pyarrow is not installed.

    Notes
    -----
    A ``timestamps`` file of two columns holds synchronisation points: a sample's number, counted from 0, and its time.
    All other times lie on straight lines through these points, as the convention says.

    References
    ----------
    https://int-brain-lab.github.io/ONE/alf_intro.html

    Examples
    --------
    >>> import tempfile
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     np.save(Path(folder, "spikes.times.npy"), [0.1, 0.2, 0.3])
    ...     np.save(Path(folder, "spikes.clusters.npy"), [1, 0, 1])
    ...     np.save(Path(folder, "_ibl_wheel.position.npy"), [0.0, 0.5, 1.0])
    ...     np.save(Path(folder, "_ibl_wheel.timestamps.npy"), [[0, 10.0], [2, 12.0]])
    ...     session = read_alf(folder)
    ...     times = session.signals["wheel_position"].time.values
    >>> session
    Session: activity spikes (3 spikes × 2 neurons); signals wheel_position
    >>> times
    array([10., 11., 12.])
    """
    root = path_of(folder, "read_alf", folder=True)
    below = root / "alf" if (root / "alf").is_dir() else root
    objects = objects_in(below)
    if not objects:
        raise FileNotFoundError(
            f"read_alf: nothing in {str(below)!r} is named object.attribute.npy, such as spikes.times.npy; give the "
            "folder of a session"
        )
    if collections is not None:
        objects = _chosen(objects, set(check_names("read_alf", "collections", collections)))
    parts: dict[str, Any] = {"signals": {}, "events": {}, "intervals": {}}
    names = _names(objects)
    for key, attributes in objects.items():
        _add(parts, key, names[key], attributes)
    spikes = _spikes(objects)
    activity = {} if spikes is None else {"spikes": spikes}
    return Session(activity=activity, **parts, attrs=_attrs(root, below))


def _chosen(objects: _Objects, wanted: set[str]) -> _Objects:
    """Objects of the collections that are asked for."""
    there = {collection for collection, _ in objects}
    if missing := sorted(wanted - there):
        raise ValueError(
            f"read_alf: there is no collection {missing[0]!r}; there are {listed(map(repr, sorted(there)))}"
        )
    return {key: attributes for key, attributes in objects.items() if key[0] in wanted}


def _names(objects: _Objects) -> dict[tuple[str, str], str]:
    """What parts are called: the object, behind its collection where several have it."""
    seen = [name for _, name in objects]
    return {
        (collection, name): name
        if seen.count(name) == 1 or not collection
        else f"{collection.replace('/', '_')}_{name}"
        for collection, name in objects
    }


def _attrs(root: Path, below: Path) -> dict[str, str]:
    """Where the session comes from; ALF folders are subject/date/number."""
    attrs = {"source": str(root), "format": "ALF"}
    session = below.parent if below.name == "alf" else below
    *_, subject, date, number = ("", "", "", *session.resolve().parts)
    if re.fullmatch(r"\d{4}-\d{2}-\d{2}", date) and re.fullmatch(r"\d{1,3}", number):
        attrs |= {"subject": subject, "session_id": f"{subject}/{date}/{number}"}
    return attrs


def _spikes(objects: _Objects) -> xr.Dataset | None:
    """Spike trains of all probes."""
    found = [collection for (collection, name), files in objects.items() if name == "spikes" and "times" in files]
    probes: dict[str, str] = {}
    for collection in sorted(found):
        parts = collection.split("/")
        probe = next((part for part in parts if part.startswith(("probe", "imec"))), collection)
        if probe in probes:
            raise ValueError(
                f"read_alf: {probe or 'the session'} was sorted more than once, in {probes[probe]!r} and "
                f"{collection!r}; name what to read with collections="
            )
        probes[probe] = collection
    trains = [_one_probe(probe, objects, collection, len(probes) > 1) for probe, collection in probes.items()]
    if not trains:
        return None
    times, counts, tables = zip(*trains, strict=True)
    return spike_trains(np.concatenate(times), np.concatenate(counts), neurons=pd.concat(tables))


def _one_probe(
    probe: str, objects: _Objects, collection: str, several: bool
) -> tuple[np.ndarray, np.ndarray, pd.DataFrame]:
    """Times of one unit after the other, spikes of each, and their table."""
    files = objects[collection, "spikes"]
    if "clusters" not in files:
        raise ValueError(f"read_alf: {collection or 'the folder'} has spikes.times without spikes.clusters; copy both")
    times, clusters = vector_of(files["times"]), vector_of(files["clusters"])
    if len(times) != len(clusters):
        raise ValueError(
            f"read_alf: spikes.times of {collection or 'the folder'} has {len(times):,} spikes, but spikes.clusters "
            f"has {len(clusters):,}; they are of different revisions, or one is cut short"
        )
    table = _cluster_table(objects, collection)
    units, times, counts = by_unit(times.astype(np.float64), clusters.astype(np.int64), table.index)
    if len(table) and len(units) > len(table):
        unknown = sorted(set(units) - set(table.index))
        raise ValueError(
            f"read_alf: spikes.clusters of {collection or 'the folder'} names cluster {unknown[0]}, but the attributes "
            f"of clusters have {len(table):,} rows; they are of different revisions"
        )
    table = table.reindex(units)
    if several:
        table = table.assign(probe=probe)
        table.index = pd.Index([f"{probe}/{unit}" for unit in units])
    return times, counts, table


def _cluster_table(objects: _Objects, collection: str) -> pd.DataFrame:
    """What is known of each cluster; row k is cluster k, except in tables with a column cluster_id."""
    files = objects.get((collection, "clusters"), {})
    tables = {name: table_of(file) for name, file in files.items() if file.is_table}
    arrays = {name: _rows(file) for name, file in files.items() if not file.is_table}
    columns = {column: values for name, array in arrays.items() for column, values in as_columns(name, array).items()}
    lengths = {name: len(array) for name, array in arrays.items()}
    lengths |= {name: len(table) for name, table in tables.items() if "cluster_id" not in table}
    if len(set(lengths.values())) > 1:
        (one, n), (other, m) = min(lengths.items(), key=lambda at: at[1]), max(lengths.items(), key=lambda at: at[1])
        raise ValueError(
            f"read_alf: clusters.{one} of {collection or 'the folder'} has {n:,} rows, but clusters.{other} has {m:,}; "
            "they are of different revisions, or one is cut short"
        )
    found = pd.DataFrame(columns, index=pd.RangeIndex(next(iter(lengths.values()), 0)))
    found = found.join(_channel_columns(objects, collection, found))
    for table in tables.values():
        one = table.set_index("cluster_id") if "cluster_id" in table else table
        new = one[[name for name in one if name not in found]]
        found = found.join(new, how="outer" if not lengths else "left")
    return found.rename_axis(index=None)


def _channel_columns(objects: _Objects, collection: str, clusters: pd.DataFrame) -> pd.DataFrame:
    """Attributes of channels at the channel of each cluster, such as where it lay in the brain."""
    files = objects.get((collection, "channels"), {})
    if "channels" not in clusters or not files:
        return pd.DataFrame(index=clusters.index)
    at = clusters["channels"].to_numpy().astype(np.int64)
    columns: dict[str, np.ndarray] = {}
    for name, file in files.items():
        rows = None if file.is_table else _rows(file)
        if rows is None or (len(at) and not 0 <= at.min() <= at.max() < len(rows)):
            continue
        columns |= {f"channel_{column}": values[at] for column, values in as_columns(name, rows).items()}
    return pd.DataFrame(columns, index=clusters.index)


def _rows(file: AlfFile) -> np.ndarray:
    """All values of an array; a wide one is not read, since only its length counts."""
    stored, _ = stored_signal(file)
    n_columns = int(np.prod(stored.shape[1:], dtype=np.int64))
    return stored.values if n_columns <= MOST_COLUMNS else np.broadcast_to(np.nan, (stored.shape[0], n_columns))


def _add(parts: dict[str, Any], key: tuple[str, str], name: str, files: dict[str, AlfFile]) -> None:
    """Add what an object is: a signal with its clock, events, or intervals."""
    thing = key[1]
    others = {attribute: file for attribute, file in files.items() if attribute not in ("times", "timestamps")}
    if thing in ("spikes", "clusters", "channels"):
        return
    if thing == "trials" or "intervals" in files:
        table = _interval_table(name, files)
        if table is not None:
            parts["intervals"][name] = table
    elif "timestamps" in files or ("times" in files and "camera" in thing.lower()):
        clock = files.get("timestamps", files.get("times"))
        for attribute, file in others.items():
            series = _series(file, clock, name)
            if series is not None:
                parts["signals"][f"{name}_{attribute}"] = series
    elif "times" in files:
        times = vector_of(files["times"])
        columns: dict[str, np.ndarray] = {}
        for attribute, file in others.items():
            columns |= _columns_of_length(name, attribute, file, len(times))
        parts["events"][name] = events(times.astype(np.float64), columns=columns)


def _series(file: AlfFile, clock: AlfFile | None, name: str) -> xr.DataArray | None:
    """A signal of an object, None where its clock has other samples."""
    values, columns = stored_signal(file)
    if clock is None or values.ndim > 2 or values.dtype.kind not in "biuf":
        return None
    times = clock_of(clock, values.shape[0])
    if times is None:
        warn(
            f"read_alf: {file.path.name} has {values.shape[0]:,} samples, but {clock.path.name} another number of "
            f"times, so which belongs to which is not known; {name}_{file.attribute} is left out"
        )
        return None
    return signal(values, times, columns=columns, steps=values.dtype.kind == "b")


def _interval_table(name: str, files: dict[str, AlfFile]) -> pd.DataFrame | None:
    """Intervals with all that is known of each; trials come in one table, attribute by attribute, or in both."""
    columns: dict[str, Any] = {}
    if "table" in files:
        table = table_of(files["table"])
        columns = {str(column): table[column].to_numpy() for column in table}
    elif "intervals" in files:
        bounds = _rows(files["intervals"])
        if bounds.ndim != 2 or bounds.shape[1] != 2:
            raise ValueError(
                f"read_alf: {files['intervals'].path.name} must have two columns, starts and stops; found shape "
                f"{bounds.shape}"
            )
        columns = {"intervals_0": bounds[:, 0], "intervals_1": bounds[:, 1]}
    if "intervals_0" not in columns:
        warn(f"read_alf: {name} have no intervals, so nothing says when each begins; left out")
        return None
    for attribute, file in files.items():
        if attribute not in ("table", "intervals"):
            new = _columns_of_length(name, attribute, file, len(columns["intervals_0"]))
            columns |= {column: values for column, values in new.items() if column not in columns}
    renamed = {"intervals_0": "start_time", "intervals_1": "stop_time"}
    return intervals(pd.DataFrame({renamed.get(column, column): values for column, values in columns.items()}))


def _columns_of_length(name: str, attribute: str, file: AlfFile, n_rows: int) -> dict[str, np.ndarray]:
    """Columns of an attribute, none where it has other rows."""
    if file.is_table:
        table = table_of(file)
        columns, n_found = {str(column): table[column].to_numpy() for column in table}, len(table)
    else:
        rows = _rows(file)
        columns, n_found = as_columns(attribute, rows), len(rows)
    if n_found != n_rows:
        warn(
            f"read_alf: {file.path.name} has {n_found:,} rows, but there are {n_rows:,} {name}, so which belongs to "
            "which is not known; left out"
        )
        return {}
    return columns
