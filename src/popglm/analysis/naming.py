"""What is what in a file of named arrays or columns: guesses by shapes, names and values."""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from popglm.recording.arrays import array_files
from popglm.recording.clocks import longest_step
from popglm.recording.file_contents import contents
from popglm.recording.mat_files import MatFile
from popglm.recording.table_files import Table

__all__ = ["OPEN", "guess_names"]

#: What a recipe has where its writer must say what belongs there.
OPEN = "?"
#: So few times look regular by chance; kinds of events that are told apart at most.
FEW_EVENTS, MOST_KINDS = 10, 12
_TIME = re.compile(r"^t$|^ts$|time|clock", re.IGNORECASE)
_TRIAL = re.compile(r"trial", re.IGNORECASE)
_NUMBERED = re.compile(r"^(.*?)\d+$")


@dataclass
class Named:
    """What a file holds, and what is likely what.

    Attributes
    ----------
    options : dict
        Of the reader; `OPEN` where nothing can be guessed.
    there_is : list of str
        Every name with its kind and shape.
    """

    options: dict[str, Any] = field(default_factory=dict)
    there_is: list[str] = field(default_factory=list)


def guess_names(path: str | Path, format: str) -> Named:
    """What is likely what in a file of arrays ("arrays", "matlab") or columns ("table").

    Activity is the largest matrix with a row, or a column, per time; signals are vectors with a value per time; events
    are other vectors whose values rise and lie within the times. Of a table, activity are columns that differ in a
    number; one column of times alone, or beside one of text, are events.

    Raises
    ------
    ValueError, FileNotFoundError
        If the file cannot be read.

    Examples
    --------
    >>> import tempfile
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     path = Path(folder, "session.npz")
    ...     np.savez(path, F=np.zeros((90, 3)), t=np.arange(90) / 30, speed=np.zeros(90), lick=[0.5, 1.2])
    ...     guess_names(path, "arrays").options
    {'activity': 'F', 'times': 't', 'signals': ['speed'], 'events': {'lick': 'lick'}}
    """
    table = contents(path)
    # a struct is told by its fields
    found = {str(name): (str(kind), shape) for name, kind, shape in table.itertuples() if kind != "struct"}
    there_is = [f"{name}: {kind}{' ' + _sizes(shape) if shape else ''}" for name, (kind, shape) in found.items()]
    if format == "table":
        columns = Table(Path(path), "read_table")
        return Named(_of_events(columns) or _of_columns(columns), there_is)
    shapes = {name: shape for name, (kind, shape) in found.items() if isinstance(shape, tuple) and _is_number(kind)}
    return Named(_of_arrays(shapes, _getter(path, format)), there_is)


def _sizes(shape: Any) -> str:
    return " × ".join(f"{n:,}" for n in shape)


def _is_number(kind: str) -> bool:
    try:
        return np.dtype(kind).kind in "biuf"
    except TypeError:
        return False


def _getter(path: str | Path, format: str) -> Callable[[str], np.ndarray]:
    """Gives the values of a vector."""
    if format == "matlab":
        file = MatFile(Path(path), "read_matlab")
        return lambda name: np.asarray(file.get(name)[...], np.float64).reshape(-1)
    files = array_files(path, "read_arrays")
    return lambda name: np.asarray(files[name]()[...], np.float64).reshape(-1)


def _of_arrays(shapes: dict[str, tuple[int, ...]], get: Callable[[str], np.ndarray]) -> dict[str, Any]:
    """Options of `read_arrays` and `read_matlab`."""
    matrices = {name: shape for name, shape in shapes.items() if len(shape) == 2 and min(shape) > 1}
    vectors = {
        name: int(max(shape)) for name, shape in shapes.items() if name not in matrices and max(shape, default=0) > 1
    }
    matrices = dict(sorted(matrices.items(), key=lambda one: -one[1][0] * one[1][1]))
    clocks = [name for name in vectors if _TIME.search(name.rpartition(".")[2]) and _rises(get(name))]
    pairs = [(name, clock) for name, shape in matrices.items() for clock in clocks if vectors[clock] in shape]
    if pairs:
        activity, times = pairs[0]
        n = vectors[times]
        turned = matrices[activity][0] != n
        options: dict[str, Any] = {"activity": f"{activity}.T" if turned else activity, "times": times}
    elif matrices:
        # samples are more than neurons
        activity, times = next(iter(matrices)), None
        n, turned = max(matrices[activity]), matrices[activity][0] < matrices[activity][1]
        options = {"activity": f"{activity}.T" if turned else activity, "rate": OPEN}
    else:
        return {"activity": OPEN, "times": next(iter(clocks), OPEN), "signals": [OPEN]}
    beside = [name for name, size in vectors.items() if size == n and name != times]
    trial = next((name for name in beside if _TRIAL.search(name)), None)
    if signals := [name for name in beside if name != trial]:
        options["signals"] = signals
    if trial is not None:
        options["trials"] = trial
    ends = get(times)[[0, -1]] if times is not None else None
    events = {
        name.rpartition(".")[2]: name
        for name, size in vectors.items()
        if size != n and ends is not None and _within(get(name), ends)
    }
    return options | ({"events": events} if events else {})


def _of_columns(table: Table) -> dict[str, Any]:
    """Options of `read_table`."""
    numbers = [name for name in table.names if table.kinds[name] in ("steps", "continuous")]
    dated = [name for name in table.names if table.kinds[name] == "times"]
    likely = [name for name in numbers if _TIME.search(name)] + dated
    times = next((name for name in likely if _rises(table.column(name))), None)
    alike: dict[str, list[str]] = {}
    for name in numbers:
        if numbered := _NUMBERED.match(name):
            alike.setdefault(numbered[1], []).append(name)
    prefix = max(alike, key=lambda one: len(alike[one]), default=None)
    trial = next((name for name in numbers if _TRIAL.search(name)), None)
    options: dict[str, Any] = {"activity": OPEN if prefix is None or len(alike[prefix]) < 2 else f"{prefix}*"}
    options |= {"rate": OPEN} if times is None else {"times": times}
    return options | ({} if trial is None else {"trials": trial})


def _of_events(table: Table) -> dict[str, Any] | None:
    """Options of `read_table` for times of events, and what each was; None for a table of something else."""
    times = [name for name in table.names if table.kinds[name] in ("steps", "continuous", "times")]
    texts = [name for name in table.names if table.kinds[name] == "text"]
    if len(times) != 1 or len(texts) > 1 or len(table.names) > len(times) + len(texts):
        return None
    (name,) = times
    when = pd.Series(table.column(name), dtype=float).dropna().to_numpy()
    is_time = table.kinds[name] == "times" or _TIME.search(name) is not None
    if not texts:
        stem = re.sub(r"\W+", "_", table.path.name.partition(".")[0]).strip("_") or "events"
        return {"events": {stem if is_time else name: name}} if is_time or _rises(when) else None
    # text that was sampled at a regular clock is a signal
    is_sampled = len(when) >= FEW_EVENTS and np.isfinite(longest_step(when))
    n_kinds = pd.Series(table.column(texts[0])).nunique()
    return {"events": name, "labels": texts[0]} if is_time and not is_sampled and n_kinds <= MOST_KINDS else None


def _rises(values: np.ndarray) -> bool:
    """Whether numbers rise from each to the next."""
    known = pd.Series(values, dtype=float).dropna().to_numpy()
    return len(known) > 1 and bool((np.diff(known) > 0).all())


def _within(values: np.ndarray, ends: np.ndarray) -> bool:
    """Whether numbers rise, and most lie between two times."""
    return _rises(values) and bool(((values >= ends[0]) & (values <= ends[1])).mean() > 0.5)
