"""Tables in CSV and Parquet: a row per sample, or per event."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

import pandas as pd
import xarray as xr

from popglm.checks import check_name, is_number
from popglm.messages import shown
from popglm.recording.files import path_of
from popglm.recording.lazy import lazily
from popglm.recording.series import events as events_at
from popglm.recording.series import signal, traces
from popglm.recording.session import Session
from popglm.recording.sources import is_empty_text
from popglm.recording.table_files import Table
from popglm.warnings import warn

__all__ = ["read_table"]

READER = "read_table"
#: Kinds of columns that become signals where none are named.
SIGNALS = ("steps", "continuous", "text")


def read_table(
    path: Any,
    *,
    activity: str | Iterable[str] | None = None,
    signals: str | Iterable[str] | None = None,
    steps: str | Iterable[str] = (),
    trials: str | None = None,
    times: str | None = None,
    rate: float | None = None,
    events: str | Iterable[str] | Mapping[str, str] | None = None,
    labels: str | None = None,
    separator: str | None = None,
    decimal: str = ".",
) -> Session:
    """Read a table with a row per sample, or per event, in CSV or Parquet.

    Parameters
    ----------
    path : path
        A .parquet, .pqt, .csv or .tsv file; CSV may be compressed (.csv.gz).
    activity : str or list of str, optional
        Columns of the neurons: their names, or patterns such as "neuron_*".
    signals : str or list of str, optional
        Columns of variables, by name or pattern. All other columns of numbers or text, unless given. Dates and
        durations are in seconds.
    steps : str or list of str, optional
        Those of the signals whose values hold until the next sample. Others do if they are not of floating-point
        numbers.
    trials : str, optional
        The column with the trial number of each sample: a signal whose values hold.
    times : str, optional
        The column of times: numbers (s), dates, which become seconds since 1970 (UTC), or durations, which become
        seconds. In text, dates are in ISO 8601 with a time of day, such as ``2024-03-01T10:00:00.25+01:00``; those
        without an offset are in UTC.
    rate : float, optional
        Samples per second, in place of times.
    events : str, list of str, or mapping of names to columns, optional
        Columns of the times at which something happened, each events of its own; NaN where nothing did. They hold what
        ``times`` may hold. Rows of a table of events alone have no common clock: give neither times nor rate.
    labels : str, optional
        The column that says what each event was, where one column has the times of them all: events are called by their
        labels, those of a mapping ``NAME.LABEL``. Rows without a label are left out.
    separator : str, optional
        The character between values in text: a tab in a .tsv file, a comma in others, unless given.
    decimal : str, optional
        The character before the decimals of numbers in text.

    Returns
    -------
    Session
        Activity "activity", a neuron per column, a signal per variable, and events. Of Parquet, the columns of neurons
        are read when they are asked for.

    Raises
    ------
    TypeError
        If neither times nor a rate is given, or both; or labels without one column of events.
    ValueError
        If the file is damaged, empty, or separated by another character; a column is not there; one of neurons holds
        no numbers; or one of times neither numbers nor dates or durations.
    FileNotFoundError
        If there is no such file.
    ImportError
        If the file is in Parquet, and pyarrow is not installed.

    Examples
    --------
    >>> import tempfile
    >>> from pathlib import Path
    >>> table = pd.DataFrame({"t": [0.0, 0.1, 0.2], "n_1": [0, 1, 0], "n_2": [2, 0, 0], "speed": [1.0, 1.5, 2.0]})
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     table.to_csv(Path(folder, "session.csv"), index=False)
    ...     session = read_table(Path(folder, "session.csv"), activity="n_*", times="t")
    >>> session
    Session: activity activity (3 samples × 2 neurons); signals speed
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     path = Path(folder, "events.csv")
    ...     _ = path.write_text("time,what\\n0.5,lick\\n0.7,reward\\n1.2,lick\\n")
    ...     read_table(path, events="time", labels="what")
    Session: events lick (2), reward (1)

    See Also
    --------
    read_intervals : Read a table with a row per trial, or per other interval.
    """
    table = Table(path_of(path, READER), READER, separator, decimal)
    if not table.n_rows:
        raise ValueError(f"{READER}: {table.path.name} has names of columns, but no rows; save it again")
    is_sampled = steps != () or any(one is not None for one in (activity, signals, trials, times, rate))
    if (is_sampled or events is None) and (times is None) == (rate is None):
        raise TypeError(
            f"{READER}: give times= (the column of times in s) or rate= (samples per second); found "
            f"{'neither' if times is None else 'both'}. Of a table with a row per event, give events= alone"
        )
    if rate is not None and not is_number(rate):
        raise TypeError(f"{READER}: rate must be a number; found {shown(rate)}")
    check_name(f"{READER}: times", times)
    check_name(f"{READER}: trials", trials)
    told = _events_of(table, events, labels)
    parts: dict[str, Any] = {"events": told.parts}
    if is_sampled:
        parts |= _sampled(table, activity, signals, steps, trials, times, rate, told.columns)
    return Session(**parts, attrs={"source": str(path), "format": "table"})


def _sampled(
    table: Table, activity: Any, signals: Any, steps: Any, trials: str | None, times: str | None, rate: float | None,
    taken: set[str],
) -> dict[str, Any]:  # fmt: skip
    """Activity and signals of a table with a row per sample, but for columns that are taken."""
    neurons = table.matching("activity", activity)
    reserved = {*neurons, *taken, *(name for name in (times, trials) if name is not None)}
    variables = table.matching("signals", signals)
    if signals is None:
        variables = [name for name in table.names if name not in reserved and table.kinds[name] in SIGNALS]
    held = set(table.matching("steps", steps)) | ({trials} if trials is not None else set())
    variables += [name for name in table.names if name in held and name not in variables]
    clock: dict[str, Any] = {"rate": rate}
    if times is not None:
        clock = {"times": table.times(times, "times")}
    if trials is not None:
        table.check("trials", [trials])
    found: dict[str, Any] = {}
    if neurons:
        values = lazily(("sample", "neuron"), table.numbers(neurons, "activity").stored())
        found["activity"] = traces(values, **clock, neurons=neurons)
    holds = {name: name in held or table.kinds[name] != "continuous" for name in variables}
    series = {name: signal(table.column(name), **clock, steps=holds[name]) for name in variables}
    return {"activity": found, "signals": series}


@dataclass(frozen=True)
class _Events:
    """Events by name, and the columns that they are made of."""

    parts: dict[str, xr.Dataset]
    columns: set[str]


def _events_of(table: Table, given: Any, labels: str | None) -> _Events:
    """Events of columns of times; with a column of labels, those of each label by themselves."""
    if isinstance(given, Mapping):
        names = {str(name): column for name, column in given.items()}
        for name, column in names.items():
            if not isinstance(column, str):
                raise TypeError(f"{READER}: events[{name!r}] must be the name of a column; found {shown(column)}")
    else:
        names = {name: name for name in table.matching("events", given)}
    times = {name: table.times(column, "events") for name, column in names.items()}
    check_name(f"{READER}: labels", labels)
    if labels is None:
        return _Events({name: events_at(one) for name, one in times.items()}, set(names.values()))
    if len(times) != 1:
        raise TypeError(f"{READER}: labels are of one column of times; give it as events=, found {shown(given)}")
    table.check("labels", [labels])
    ((name, when),) = times.items()
    kinds = pd.Series(table.column(labels))
    kinds = kinds.mask(is_empty_text(kinds.to_numpy()))
    if kinds.isna().any():
        warn(f"{READER}: {kinds.isna().sum():,} of {len(kinds):,} rows have no {labels!r}, and are left out")
    prefix = f"{name}." if isinstance(given, Mapping) else ""
    each = {f"{prefix}{_as_name(kind)}": (kinds == kind).to_numpy() for kind in kinds.dropna().unique()}
    return _Events({kind: events_at(when[rows]) for kind, rows in each.items()}, {names[name], labels})


def _as_name(label: Any) -> str:
    """A label as text; whole numbers became fractions where one is missing."""
    return f"{label:g}" if isinstance(label, float) else str(label)
