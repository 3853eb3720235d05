"""A session out of an NWB file."""

from __future__ import annotations

import os
from collections.abc import Iterable, Mapping
from typing import Any

import numpy as np
import pandas as pd

from popglm.messages import listed, shown
from popglm.recording.nwb.candidates import choose, name_neurons
from popglm.recording.nwb.events import event_columns, read_events
from popglm.recording.nwb.imaging import roi_candidates, roi_tables
from popglm.recording.nwb.layout import Entry, Layout, layout_of, without
from popglm.recording.nwb.metadata import metadata_of
from popglm.recording.nwb.opening import damage_of, open_nwb
from popglm.recording.nwb.signals import read_signals
from popglm.recording.nwb.tables import UNREADABLE, Table, read_table
from popglm.recording.nwb.units import unit_candidates, unit_tables
from popglm.recording.series import intervals
from popglm.recording.session import Session
from popglm.warnings import warn

__all__ = ["read_nwb"]


def read_nwb(
    path: str | os.PathLike[str],
    *,
    activity: str | Iterable[str] | None = None,
    leave_out: Iterable[str] = (),
    time_rows: Mapping[str, int] | None = None,
    ragged: Iterable[str] = (),
) -> Session:
    """Read a session from an NWB file.

    Neural activity is found by its type, wherever it lies in the file and whatever it is called; so are variables,
    events and tables of intervals. Tables and times of trials are read; samples, spike times and long columns stay in
    the file until they are asked for.

    Parameters
    ----------
    path : str or path
        A file of HDF5, a folder of Zarr (written by hdmf-zarr), or a URL of a file of HDF5 (http, https, s3, file).
    activity : str or iterable of str, optional
        The activity to read, by the name that the session has it under, or by (part of) its path in the file:
        "Deconvolved" is all series in that container. All that can be used unless given, deconvolved activity and
        spikes first, then ΔF/F, then other series, neuropil last. ``[]`` reads a file without neural activity.
    leave_out : iterable of str, optional
        Series and tables that are not read.
    time_rows : mapping of str to int, optional
        For series whose timestamps have two rows, the row that has the times.
    ragged : iterable of str, optional
        Columns of the table of units with a number per spike, such as "spike_amplitudes": they become variables of the
        activity.

    Returns
    -------
    Session
        ``activity``: ROIs × samples as `traces`, units as `spike_trains`; the table of ROIs or units goes along as
        coordinates of the neurons, and so does what the electrodes of a unit say (location, group). A neuron is called
        by its ``roi_name``, or its id; by "plane_0/17" where ids of several planes or tables would collide, and by
        the number of its row where an id comes twice in one table.
        ``signals``, ``events``, ``intervals``: by the shortest end of the path in the file that is unambiguous; ragged
        columns of times in a table are events, "trials.lick_times". Vectors in a table become a column per entry.
        ``attrs``: what the file says of session and subject; "left_out" has what is in the file but not in the
        session, with the reason: images, voltages, series of more than 64 columns.

        The file stays open as long as the session, or an array of it, lives. ``session.close()``, or a ``with``
        statement, closes it.

    Raises
    ------
    FileNotFoundError
        If there is no such file.
    ImportError
        If pynwb is not installed: ``pip install 'popglm[nwb]'``.
    ValueError
        If it is no NWB file, or a damaged one; a named activity, series or column is not there or cannot be used; there
        is no neural activity, and none was asked for; timestamps have two rows; trials are no intervals.

    Warns
    -----
    PopglmWarning
        If a series has its samples along the second axis: it is transposed. If intervals have no stop: each ends where
        the next one starts. If a table is wrong and is left out. If an id stands for several neurons of a table.

    Notes
    -----
    Extensions of NWB need not be installed: their types are known from the file. Times are handed on as the file has
    them, wrong ones too; ``Session.check`` says which of them cannot be right. Values are data × conversion + offset.

    References
    ----------
    Rübel et al., "The Neurodata Without Borders ecosystem for neurophysiological data science", *eLife* 11:e78362
    (2022).

    Examples
    --------
    >>> import datetime, tempfile
    >>> from pathlib import Path
    >>> import pynwb
    >>> start = datetime.datetime(2024, 1, 1, tzinfo=datetime.UTC)
    >>> nwb = pynwb.NWBFile(session_description="maze", identifier="1", session_start_time=start)
    >>> for times in ([0.1, 0.5], [0.3]):
    ...     nwb.add_unit(spike_times=times)
    >>> nwb.add_trial(start_time=0.0, stop_time=1.0)
    >>> folder = tempfile.TemporaryDirectory()
    >>> file = Path(folder.name) / "session.nwb"
    >>> with pynwb.NWBHDF5IO(file, "w") as io:
    ...     io.write(nwb)
    >>> with read_nwb(file) as session:
    ...     print(session)
    ...     print(session.activity["units"].spike_time.values)
    Session: activity units (3 spikes × 2 neurons); intervals trials (1)
    [0.1 0.5 0.3]
    >>> folder.cleanup()
    """
    for argument, found in (("leave_out", leave_out), ("ragged", ragged)):
        if isinstance(found, str):
            raise TypeError(f"read_nwb: {argument} must be a list of names; found {shown(found)}")
    file, source = open_nwb(path)
    try:
        with damage_of(source):
            layout = layout_of(file.nwb)
        layout.file, layout.time_rows = file, _named_rows(time_rows or {}, layout)
        if file.refused:
            layout.left_out |= file.refused
            refused = [f"{name!r} ({why})" for name, why in file.refused.items()]
            warn(f"read_nwb: pynwb refuses {listed(refused, longest=300)}; left out")
        without(layout, leave_out, "leave_out")
        with damage_of(source):
            return _session(layout, source, activity, tuple(ragged))
    except BaseException:
        file.close()
        raise


def _named_rows(time_rows: Mapping[str, int], layout: Layout) -> dict[str, int]:
    """Rows of times by the names of their series."""
    unknown = [name for name in time_rows if name not in {entry.name for entry in layout.entries}]
    if unknown:
        raise ValueError(
            f"read_nwb: time_rows names {unknown[0]!r}, which is not in the file; it has "
            f"{listed(entry.name for entry in layout.entries)}"
        )
    return {name: int(row) for name, row in time_rows.items()}


def _session(layout: Layout, source: str, activity: Any, ragged: tuple[str, ...]) -> Session:
    """All parts of a session."""
    rois, units = roi_tables(layout), unit_tables(layout)
    unreadable = [f"{name!r} ({why})" for name, why in layout.left_out.items() if why.startswith(UNREADABLE)]
    if unreadable:
        warn(f"read_nwb: columns were left out: {listed(unreadable, longest=400)}")
    _check_ragged(ragged, [columns for columns, _ in units.values()])
    name_neurons([*rois.values(), *(neurons for _, neurons in units.values())])
    candidates = [*roi_candidates(layout, rois), *unit_candidates(layout, units, ragged)]
    chosen = choose(candidates, activity, source)
    layout.left_out |= {one.entry.name: str(one.problem) for one in candidates if one.problem is not None}
    signals, events = read_signals(layout), read_events(layout)
    tables = {}
    for entry in layout.of("TimeIntervals"):
        columns = read_table(entry, skip=("timeseries",))
        table = _intervals(entry, columns, layout)
        if table is not None:
            tables[entry.name] = table
            events |= event_columns(entry, columns.ragged, layout)
    activities = {one.entry.name: one.make() for one in chosen if one.make is not None}
    if layout.transposed:
        warn(
            f"read_nwb: samples are along the second axis of {listed(map(repr, layout.transposed))}, where NWB wants "
            "them along the first; transposed"
        )
    return Session(
        activity=activities,
        signals=signals,
        events=events,
        intervals=tables,
        attrs={"source": source, **metadata_of(layout.file.nwb), "left_out": layout.left_out},
        files=(layout.file,),
    )


def _check_ragged(ragged: tuple[str, ...], units: list[Table]) -> None:
    """Complain of a name that no table of units has a ragged column of."""
    known = sorted({name for columns in units for name in columns.ragged})
    for name in ragged:
        if name not in known:
            raise ValueError(f"read_nwb: ragged names {name!r}; the units have {listed(known) if known else 'none'}")


def _intervals(entry: Entry, columns: Table, layout: Layout) -> pd.DataFrame | None:
    """A table of intervals, text that comes in lists joined; None for one that is wrong and not that of the trials."""
    rows = columns.rows
    if "tags" in columns.ragged:
        index = columns.ragged.pop("tags")
        rows = rows.assign(tags=[", ".join(map(str, np.atleast_1d(index[k]))) for k in range(len(rows))])
    layout.left_out |= {f"{entry.name}.{name}": reason for name, reason in columns.left_out.items()}
    try:
        found = intervals(rows, repr(entry.name))
    except (ValueError, TypeError) as error:
        sentence = f"{entry.name!r} is no table of intervals: {error}"
        if entry.name == "trials":
            raise ValueError(f"read_nwb: {sentence}; leave_out=['trials'] reads the file without it") from error
        warn(f"read_nwb: {sentence}; it was left out")
        layout.left_out[entry.name] = str(error)
        return None
    return found
