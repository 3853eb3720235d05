"""Events, and trials, whose times are likely in another unit because few of them lie in the recording they belong to.

Other clocks last about as long as each other. Events need not: a single reward is as good as a thousand licks. So their
times are looked at one by one, beside the series and trials that last.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pandas as pd

from popglm.recording.odd_clocks import LARGER, NEAR, Extent, Fault, scale_line, seconds, shift_line, unless

__all__ = ["are_in_own_trials", "odd_events", "odd_times_of_trials"]

#: Times are doubted where more than this share of them lie outside of the recording, or of their own trials. They are
#: read in another unit where they then reach over as much of the recording, or the second share lie in their trials.
MOSTLY, NEARLY_ALL = 0.5, 0.9
#: Fewer times than this tell nothing of their unit.
FEWEST = 10


def odd_events(one: Extent, times: np.ndarray, lasting: Sequence[Extent]) -> Fault | None:
    """What cannot be right about the times of events, or of the starts of trials.

    Parameters
    ----------
    one : Extent
        Of kind "events" or "trials".
    times : ndarray, shape (n_events,)
    lasting : sequence of Extent
        Series and trials that agree with each other; without any, nothing is doubted.
    """
    times = times[np.isfinite(times)]
    if not lasting or not len(times):
        return None
    start, stop = min(other.start for other in lasting), max(other.stop for other in lasting)
    outside = (times < start) | (times > stop)
    what = f"events of {one.part!r}" if one.kind == "events" else "trials"
    found = f"{int(outside.sum()):,} of {len(times):,} {what} lie outside of the recording, {_span(start, stop)}"
    if not one.vouched and (fault := _likely_unit(one, times, lasting, found)):
        return fault
    if one.kind == "trials" or outside.mean() <= MOSTLY:
        return None
    doubt = "they count from another start, or are in another unit"
    return Fault(one.part, f"{found}; {doubt}{unless(one.part)}", shift_line(one.part))


def _likely_unit(one: Extent, times: np.ndarray, lasting: Sequence[Extent], found: str) -> Fault | None:
    """The fault of times that fill the recording in minutes or hours, or as numbers of samples of a series."""
    start, stop = min(other.start for other in lasting), max(other.stop for other in lasting)
    length, first, last = stop - start, float(times.min()), float(times.max())
    if len(times) < FEWEST or not length > 0:
        return None
    for factor, name in LARGER.items():
        fits = first * factor >= start - NEAR * length and last * factor <= stop + NEAR * length
        if one.kind == "events" and fits and (last - first) * factor >= MOSTLY * length:
            found = (
                f"all {len(times):,} events of {one.part!r} lie between {seconds(first)} and {seconds(last)} s of a "
                f"recording {_span(start, stop)}; times are likely in {name}"
            )
            return Fault(one.part, found + unless(one.part), scale_line(one.part, factor))
    if ((times < start) | (times > stop)).mean() <= MOSTLY or first < 0:
        return None
    # the series with the fewest samples that has so many
    for other in sorted(lasting, key=lambda other: other.n):
        rate = (other.n - 1) / other.length if other.n > 1 else np.inf
        if last <= other.n and (last - first) / rate >= MOSTLY * length:
            sentence = f"{found}; they are likely numbers of samples of {other.part!r}, {rate:.9g} a second"
            if abs(other.start) > 1 / rate:
                sentence += (
                    f", the first at {seconds(other.start)} s: add that with {shift_line(one.part, other.start)}"
                )
            return Fault(one.part, sentence + unless(one.part), scale_line(one.part, 1 / rate))
    return None


def odd_times_of_trials(source: str, times: np.ndarray, trials: pd.DataFrame, series: Sequence[Extent]) -> str | None:
    """What cannot be right about the times in a column of the trials; None where nothing is known to be wrong.

    Something is where hardly any lies in its own trial, and all do in another unit, or counted from its trial's start.

    Parameters
    ----------
    source : str
        What the column is called.
    times : ndarray, shape (n_trials,)
    trials : DataFrame
        With "start_time" and "stop_time".
    series : sequence of Extent
        Those whose samples the times may be numbers of.
    """
    known = np.isfinite(times)
    starts, stops = (trials[name].to_numpy(np.float64)[known] for name in ("start_time", "stop_time"))
    times = times[known]
    inside = are_in_own_trials(times, starts, stops)
    if len(times) < 2 or inside.mean() > MOSTLY:
        return None
    readings = {f"in {name}": times * factor for factor, name in {**LARGER, 1e-3: "milliseconds"}.items()}
    if (times % 1 == 0).all():
        of_series = {one.part: one.start + times * one.length / (one.n - 1) for one in series if one.n > 1}
        readings |= {f"numbers of samples of {part!r}": others for part, others in of_series.items()}
    # in short recordings times in minutes are as small as lags
    readings["counted from the start of each trial"] = starts + times
    for reading, others in readings.items():
        if are_in_own_trials(others, starts, stops).mean() >= NEARLY_ALL:
            return (
                f"{source!r} holds times of which {(~inside).sum():,} of {len(times):,} lie outside of their own "
                f"trials; they are likely {reading}: make them seconds on the clock of the trials in the file"
            )
    return None


def are_in_own_trials(times: np.ndarray, starts: np.ndarray, stops: np.ndarray) -> np.ndarray:
    """Which times lie in their own trials; a trial that is not known to end goes on."""
    return (times >= starts) & ~(times > stops)


def _span(start: float, stop: float) -> str:
    """From when to when a recording lasts."""
    return f"which lasts from {seconds(start)} to {seconds(stop)} s"
