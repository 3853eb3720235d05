"""Notes of what lies outside of a recording and is left out: events, spikes without a time, and trials."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import pandas as pd

from popglm.recording.activity import SpikeTimes
from popglm.recording.odd_clocks import seconds
from popglm.recording.odd_events import are_in_own_trials
from popglm.recording.parts import Parts
from popglm.recording.sources import Variable, find_source, times_of_trials

__all__ = ["note_of_spikes", "notes_of_events", "notes_of_trials"]

#: Times of trials are told where fewer than this share of them lie in their own trials.
MOSTLY = 0.5


def notes_of_events(session: Parts, wanted: Mapping[str, Variable], recorded: tuple[float, float]) -> list[str]:
    """What to say of events, and of counted times of trials: how many have no time, or one outside of the recording.

    Parameters
    ----------
    recorded : tuple of float
        From when to when there is activity (s).
    """
    notes = []
    for variable in wanted.values():
        found = find_source(session, variable.source)
        if found.kind == "events":
            times = np.asarray(session.events[found.part]["time"].values, np.float64)
            what, without = f"events of {variable.source!r}", int((~np.isfinite(times)).sum())
            if without:
                notes.append(f"{without:,} of {len(times):,} {what} have no time, and are left out")
        elif found.kind == "trials" and variable.rule == "count":
            times = times_of_trials(session, found.column, variable)
            what = f"times of {variable.source!r}"
            notes += _outside_of_trials(times, session.trials, what)
        else:
            continue
        notes += _outside(times[np.isfinite(times)], recorded, what)
    # one source may be several variables
    return list(dict.fromkeys(notes))


def _outside(times: np.ndarray, recorded: tuple[float, float], what: str) -> list[str]:
    """How many times lie outside of the recording."""
    start, stop = recorded
    outside = int(((times < start) | (times >= stop)).sum())
    if not outside:
        return []
    return [
        f"{outside:,} of {len(times):,} {what} lie outside of the recording ({seconds(start)} to {seconds(stop)} s)"
    ]


def _outside_of_trials(times: np.ndarray, trials: pd.DataFrame | None, what: str) -> list[str]:
    """Whether most times lie outside of the trials that they are of."""
    known = np.isfinite(times)
    if trials is None or not known.any():
        return []
    inside = are_in_own_trials(times, *(trials[name].to_numpy(np.float64) for name in ("start_time", "stop_time")))
    if inside[known].mean() >= MOSTLY:
        return []
    return [
        f"{(~inside[known]).sum():,} of {known.sum():,} {what} lie outside of their own trials: are they seconds on "
        "the clock of the trials?"
    ]


def note_of_spikes(name: str, seen: SpikeTimes) -> list[str]:
    """How many spikes have no time."""
    if not seen.n_unknown:
        return []
    return [f"{seen.n_unknown:,} of {seen.n:,} spikes of {name!r} have no time, and are left out"]


def notes_of_trials(
    trials: pd.DataFrame, row: np.ndarray, recorded: tuple[float, float], spikes: SpikeTimes | None
) -> list[str]:
    """What to say of trials without a bin, and of those in which spikes cannot be known to be recorded.

    Parameters
    ----------
    trials : DataFrame
        What `table_of_trials` returns.
    row : ndarray of int, shape (n_bins,)
        Of that table, the index of the trial of each bin.
    recorded : tuple of float
        From when to when there is activity (s).
    spikes : SpikeTimes, optional
        Of all neurons, where spikes are the activity.
    """
    starts, stops = trials["start_time"].to_numpy(np.float64), trials["stop_time"].fillna(np.inf).to_numpy(np.float64)
    outside = (stops <= recorded[0]) | (starts >= recorded[1])
    notes = []
    if outside.any():
        span = f"({seconds(recorded[0])} to {seconds(recorded[1])} s)"
        notes.append(f"{outside.sum():,} of {len(trials):,} trials lie outside of the recording {span}")
    short = (~np.isin(trials.index, row) & ~outside).sum()
    if short:
        notes.append(f"{short:,} trials have no bin: they are shorter than a bin, or lie in a gap")
    if spikes is not None:
        silent = (stops <= spikes.first) | (starts >= spikes.last)
        if silent.any():
            notes.append(
                f"{silent.sum():,} of {len(trials):,} trials lie before the first or after the last spike of all "
                f"neurons ({seconds(spikes.first)} to {seconds(spikes.last)} s), and count as silence; if nothing was "
                "recorded then, leave them out"
            )
    return notes
