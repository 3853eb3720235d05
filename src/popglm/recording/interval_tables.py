"""Tables of trials, or of other intervals, in CSV and Parquet: a row per interval."""

from __future__ import annotations

from typing import Any

from popglm.messages import shown
from popglm.recording.files import path_of
from popglm.recording.series import intervals
from popglm.recording.session import Session
from popglm.recording.table_files import Table

__all__ = ["read_intervals"]

READER = "read_intervals"


def read_intervals(
    path: Any,
    name: str = "trials",
    start: str = "start_time",
    stop: str = "stop_time",
    *,
    separator: str | None = None,
    decimal: str = ".",
) -> Session:
    """Read a table with a row per trial, or per other interval, in CSV or Parquet.

    Parameters
    ----------
    path : path
        A .parquet, .pqt, .csv or .tsv file; CSV may be compressed (.csv.gz).
    name : str, optional
        What the session calls the intervals; those called "trials" are the trials.
    start : str, optional
        The column of starts, which becomes "start_time": numbers (s), or dates or durations as of `read_table`. Other
        columns of these are in seconds as well.
    stop : str, optional
        The column of stops (s), which becomes "stop_time". A table without a column "stop_time" has no stops, unless
        another column is given: each interval ends where the next one starts.
    separator, decimal : str, optional
        As for `read_table`.

    Returns
    -------
    Session
        The intervals alone, in order of their starts, with all other columns of the table. ``session.joined`` puts them
        beside the activity of another session.

    Raises
    ------
    TypeError
        If a name is no text.
    ValueError
        If the file is damaged, empty, or separated by another character; a column is not there, or holds no times; a
        start is missing; or an interval ends before it begins.
    FileNotFoundError
        If there is no such file.
    ImportError
        If the file is in Parquet, and pyarrow is not installed.

    Warns
    -----
    PopglmWarning
        If stops are missing.

    See Also
    --------
    read_table : Read a table with a row per sample.

    Examples
    --------
    >>> import tempfile
    >>> from pathlib import Path
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     path = Path(folder, "trials.csv")
    ...     _ = path.write_text("onset,offset,cue\\n0.5,1.5,left\\n2.0,3.5,right\\n")
    ...     session = read_intervals(path, start="onset", stop="offset")
    >>> session.trials
       start_time  stop_time    cue
    0         0.5        1.5   left
    1         2.0        3.5  right
    """
    for argument, given in (("name", name), ("start", start), ("stop", stop)):
        if not isinstance(given, str):
            raise TypeError(f"{READER}: {argument} must be a string; found {shown(given)}")
    if start == stop:
        raise ValueError(f"{READER}: start and stop must be two columns; found {start!r} for both")
    table = Table(path_of(path, READER), READER, separator, decimal)
    columns = {start: "start_time"}
    table.times(start, "start")
    if stop in table.kinds or stop != "stop_time":
        table.times(stop, "stop")
        columns[stop] = "stop_time"
    for given, meant in columns.items():
        if given != meant and meant in table.kinds and meant not in columns:
            raise ValueError(
                f"{READER}: column {given!r} becomes {meant!r}, but {table.path.name} has another column of that name; "
                "give that one, or rename it in the file"
            )
    rows = table.in_seconds().rename(columns=columns)
    try:
        found = intervals(rows, repr(name))
    except ValueError as error:
        raise ValueError(f"{READER}: {table.path.name} is no table of intervals: {error}") from error
    return Session(intervals={name: found}, attrs={"source": str(path), "format": "intervals"})
