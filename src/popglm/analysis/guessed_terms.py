"""Variables of a first recipe: what of a session is one, and the term that suits it."""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import pandas as pd

from popglm import toml_text
from popglm.analysis.naming import OPEN
from popglm.recording import Session
from popglm.recording.clocks import longest_step
from popglm.recording.regrid_notes import holds_events
from popglm.recording.series import CONTINUOUS
from popglm.recording.sources import all_variables, find_source, is_empty_text, signal_values
from popglm.recording.written_times import as_seconds, typed

__all__ = ["bin_lines", "kernel", "splines", "variable_lines"]

#: Variables of a first recipe at most; all others stand in it as comments.
MOST_VARIABLES = 12
#: A variable of so many values is taken for categories; samples of a signal that are looked at to tell.
FEW, LOOKED_AT = 6, 20_000
#: Names of so many values are taken for categories at most.
MOST_CATEGORIES = 50
#: A column of times is one if this share of them lie in their trials.
MOSTLY = 0.9
#: Times of the same events lie no further apart (s).
SAME = 1e-3
#: Names of variables along which contributions are told as well.
_PLACE = re.compile(r"position|(^|_)(pos|place|location|distance|heading|angle|phase)(_|$)", re.IGNORECASE)
#: Columns of trials that say when something was, not what.
_TIME = re.compile(r"(^|_)(time|times|start|stop|onset|offset|idx|index|id)(_|$)|_time")


@dataclass
class _Chosen:
    """Variables of a first recipe.

    Attributes
    ----------
    terms : dict
        By their names there, with their sources and the kinds of their terms.
    doubles : dict
        Events at the times of others that have a term: their sources, and the names of those others.
    left : list of str
        All other variables.
    """

    terms: dict[str, tuple[str, Any]] = field(default_factory=dict)
    doubles: dict[str, tuple[str, str]] = field(default_factory=dict)
    left: list[str] = field(default_factory=list)


def variable_lines(session: Session) -> list[str]:
    """Variables, and a term for each."""
    chosen = _chosen(session)
    lines = ["[variables]"]
    for name, (source, kind) in chosen.terms.items():
        is_counted = kind is kernel and source not in session.events
        lines.append(f"{_source_line(name, source, is_counted)}{'  # a guess: events' if is_counted else ''}")
    for name, (source, other) in chosen.doubles.items():
        lines.append(f"# {_source_line(name, source, source not in session.events)}  # the same times as {other!r}")
    lines += [f"# there is {name}" for name in chosen.left]
    for name, (_, kind) in chosen.terms.items():
        lines += ["", "[[terms]]  # a guess", *kind(name)]
    if not chosen.terms:
        lines += ["", "# no variable was found; name one", "[[terms]]", *_linear(OPEN)]
    return [*lines, ""]


def _source_line(name: str, source: str, is_counted: bool) -> str:
    """The line that says where a variable comes from."""
    where = toml_text.text(source)
    return f'{name} = {{source = {where}, rule = "count"}}' if is_counted else f"{name} = {where}"


def _chosen(session: Session) -> _Chosen:
    """Which variables have a term in a first recipe."""
    chosen, times_of = _Chosen(), dict[str, np.ndarray]()
    for name, variable in all_variables(session).items():
        kind = _kind(session, variable.source)
        times = _times_of_events(session, variable.source) if kind is kernel else None
        other = next((one for one, others in times_of.items() if times is not None and _are_same(times, others)), None)
        plain = _plain_name(name, {**chosen.terms, **chosen.doubles})
        if other is not None:
            chosen.doubles[plain] = variable.source, other
        elif kind is None or len(chosen.terms) >= MOST_VARIABLES:
            chosen.left.append(name)
        else:
            chosen.terms[plain] = variable.source, kind
            times_of |= {} if times is None else {plain: times}
    return chosen


def _times_of_events(session: Session, source: str) -> np.ndarray | None:
    """When events happened, in order; None for a signal of 0 and 1, whose samples lie between events too."""
    found = find_source(session, source)
    if found.kind == "trials":
        times = session.trials[found.column].to_numpy(np.float64, na_value=np.nan) if session.trials is not None else ()
    elif found.kind == "events":
        times = session.events[found.part]["time"].values
    elif np.isfinite(longest_step(times := np.asarray(session.signals[found.part]["time"].values, np.float64))):
        return None
    times = np.sort(np.asarray(times, np.float64))
    return times[~np.isnan(times)]


def _are_same(times: np.ndarray, others: np.ndarray) -> bool:
    """Whether events are those of another list of their times."""
    return len(times) == len(others) > 0 and bool((np.abs(times - others) <= SAME).all())


def bin_lines(session: Session) -> list[str]:
    """Bins along the first variable that is called like a place."""
    for name, (source, kind) in _chosen(session).terms.items():
        if kind is not splines or not _PLACE.search(name):
            continue
        found = find_source(session, source)
        part = session.signals[found.part]
        column = part if found.column is None else part.isel(column=list(part["column"].values).index(found.column))
        values = np.asarray(column[:LOOKED_AT].values, np.float64)
        low, high = (float(f"{end:.3g}") for end in np.percentile(values[np.isfinite(values)], (1, 99)))
        unit = part.attrs.get("units")
        return [
            "",
            f"[explain.by.{name}]  # a guess: bins in which contributions are told as well",
            f"low = {low}",
            f"high = {high}",
            "n = 20",
            *([f"unit = {toml_text.text(unit)}"] if unit else []),
        ]
    return []


def _plain_name(name: str, taken: Any) -> str:
    """A name that TOML and formulas can hold without quotes."""
    plain = re.sub(r"\W+", "_", name.rsplit("/", 1)[-1].removeprefix("trials.").removeprefix("frame_aligned_"))
    plain = plain.strip("_") or "variable"
    while plain in taken:
        plain += "_"
    return plain


def _kind(session: Session, source: str) -> Any:
    """The lines of a term that suits a variable; None for one that is no variable of a model."""
    found = find_source(session, source)
    if found.kind == "events":
        return kernel
    if found.kind == "trials":
        column = session.trials[found.column] if session.trials is not None else pd.Series()
        column = column[~is_empty_text(column.to_numpy())]
        if _are_times_of_trials(session.trials, found.column):
            return kernel
        if _TIME.search(str(found.column)) or column.isna().all() or column.nunique() < 2:
            return None
        return _categories if column.nunique() <= FEW else (_linear if pd.api.types.is_numeric_dtype(column) else None)
    part = session.signals[found.part]
    if re.search(r"trial|(^|_)(idx|index|id)(_|$)|timestamp", found.part.lower()):
        return None
    # a part is enough to tell a signal of a few values
    some = signal_values(part[:LOOKED_AT], found)
    if holds_events(some) or _is_one_at_events(some, part["time"][:LOOKED_AT].values):
        return kernel
    values = pd.Series(some[~is_empty_text(some)]).dropna().drop_duplicates()
    if len(values) < 2:
        return None
    is_text = any(isinstance(value, str) for value in values)
    if is_text and (len(values) > MOST_CATEGORIES or as_seconds(typed(values)) is not None):
        return None
    if len(values) <= FEW or is_text:
        return _categories
    return splines if part.attrs["between_samples"] == CONTINUOUS or len(values) > MOST_CATEGORIES else _categories


def _are_times_of_trials(trials: pd.DataFrame | None, column: str | None) -> bool:
    """Whether a column of the trials holds times of something that happened in each, such as "reward_time"."""
    if trials is None or not str(column).endswith("_time") or not pd.api.types.is_numeric_dtype(trials[column]):
        return False
    times = trials[column].to_numpy(np.float64, na_value=np.nan)
    known = ~np.isnan(times)
    # times since the start of each trial are none of the recording's clock
    inside = (times >= trials["start_time"].to_numpy()) & ~(times > trials["stop_time"].to_numpy())
    return bool(known.sum() > 1 and inside[known].mean() >= MOSTLY)


def _is_one_at_events(values: np.ndarray, times: np.ndarray) -> bool:
    """Whether a signal is 1 in all its samples, which were taken at no regular times: when something happened."""
    times = np.asarray(times, float)
    is_regular = np.isfinite(longest_step(times[~np.isnan(times)]))
    return values.dtype.kind in "biuf" and len(values) > 2 and bool((values == 1).all()) and not is_regular


def splines(name: str) -> list[str]:
    return ['basis = "splines"', f"variable = {toml_text.text(name)}", "n = 7", "quantiles = true"]


def _linear(name: str) -> list[str]:
    return ['basis = "linear"', f"variable = {toml_text.text(name)}"]


def _categories(name: str) -> list[str]:
    return ['basis = "categories"', f"variable = {toml_text.text(name)}"]


def kernel(name: str) -> list[str]:
    return [
        'basis = "kernel"  # one second after each event',
        f"variable = {toml_text.text(name)}",
        'of = {basis = "bumps", n = 5, low = 0, high = 1}',
    ]
