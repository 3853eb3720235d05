"""Clocks: the times of a part in seconds, where they stop for a while, and those that cannot be right."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd
import xarray as xr

from popglm.recording.parts import Parts

__all__ = ["Fault", "clock_faults", "longest_step", "on_time", "read_times"]

#: Steps beyond so many median steps of a regular clock are gaps.
GAP = 1.5
#: A clock is regular when no more than this share of its steps are half a median step off the median, or a single one.
IRREGULAR = 0.1
#: Spans of clocks of one recording differ by no more than this factor.
MOST_RATIO = 100.0
#: Attribute of a part whose clock somebody has mended, or said to be right.
VOUCHED = "clock_is_vouched_for"
#: Sampling rates of common acquisition boards (Hz), and names of units smaller than a second.
BOARDS = (2_000, 2_500, 5_000, 10_000, 12_500, 20_000, 24_414.0625, 25_000, 30_000, 32_000, 40_000, 44_100, 48_000)
UNITS = {1e3: "milliseconds", 1e6: "microseconds", 1e9: "nanoseconds"}


@dataclass(frozen=True)
class Fault:
    """A clock that cannot be right.

    Attributes
    ----------
    part : str
        Name of the activity, signal, events or intervals.
    sentence : str
        What was found, and its likely cause.
    remedy : str
        The line of a recipe that mends it; empty where the file itself must be mended.
    """

    part: str
    sentence: str
    remedy: str = ""

    def __str__(self) -> str:
        """Both in one sentence."""
        return self.sentence + (f"; if so, mend it with the line {self.remedy}" if self.remedy else "")


def on_time(times: np.ndarray) -> float:
    """How far below an edge a time may lie and still count as on it: four units in the last place.

    Times that are a sum of a start and a multiple of a period are off by as much.

    Examples
    --------
    >>> on_time(np.array([0.0, 3600.0])) < 2e-12
    True
    """
    largest = np.abs(times[np.isfinite(times)]).max(initial=0.0)
    return float(4 * np.spacing(largest))


def read_times(part: xr.DataArray | xr.Dataset, name: str) -> tuple[np.ndarray, np.ndarray]:
    """The times of a series in seconds, and which of its samples they belong to.

    Samples that lost their time, NaN, have no place and are left out.

    Parameters
    ----------
    part : DataArray or Dataset
        With a coordinate "time".
    name : str
        For the complaint.

    Returns
    -------
    times : ndarray, shape (n_known,)
    known : ndarray of int, shape (n_known,)

    Raises
    ------
    ValueError
        If times are infinite, decline, or stand still.

    Examples
    --------
    >>> from popglm.recording import signal
    >>> read_times(signal([1.0, 2.0, 3.0], [0.0, np.nan, 0.2]), "speed")
    (array([0. , 0.2]), array([0, 2]))
    """
    times = np.asarray(part["time"].values, dtype=np.float64)
    if np.isinf(times).any():
        row = int(np.flatnonzero(np.isinf(times))[0])
        raise ValueError(f"times of {name!r} are infinite in sample {row:,}; mend the file, or mend_clock its rate")
    known = np.flatnonzero(~np.isnan(times))
    times = times[known]
    steps = np.diff(times)
    if (steps <= 0).any():
        at = int(np.flatnonzero(steps <= 0)[0])
        what = "stand still" if steps[at] == 0 else "go back"
        likely = _disorder(steps)
        raise ValueError(
            f"times of {name!r} {what} at sample {known[at + 1]:,}: {times[at]:.9g} s, then {times[at + 1]:.9g} s; "
            f"{likely}; mend it with the line clock_order.{_key(name)} = \"sort\", which puts samples in order and "
            "keeps the first of those at one time"
        )  # fmt: skip
    return times, known


def _disorder(steps: np.ndarray) -> str:
    """What is likely behind times that do not rise."""
    if (steps < 0).all():
        return "all of them decline, as if the series was stored backwards"
    n_back, n_still = int((steps < 0).sum()), int((steps == 0).sum())
    if n_back == 0:
        return f"{n_still:,} times come twice, as when a camera or a game reports faster than its clock ticks"
    return f"{n_back:,} steps are backward, as when several runs or files were joined"


def longest_step(times: np.ndarray) -> float:
    """The longest step between samples of one stretch; ∞ for a clock that is driven by events.

    Examples
    --------
    >>> round(longest_step(np.array([0.0, 0.1, 0.2, 0.9, 1.0])), 3), longest_step(np.array([0.0, 0.1, 5.0]))
    (0.15, inf)
    """
    steps = np.diff(times)
    if not len(steps):
        return np.inf
    median = float(np.median(steps))
    n_unusual = int((np.abs(steps - median) > 0.5 * median).sum())
    return GAP * median if n_unusual <= max(1, IRREGULAR * len(steps)) else np.inf


def clock_faults(session: Parts, names: set[str] | None = None) -> list[Fault]:
    """Clocks of a session that cannot be right, by their ends alone; all parts, or those that are named.

    A span is compared with that of the trials, or where there are none with the median of all parts.
    """
    faults, spans = [], {}
    for name, part in _parts(session):
        if part.attrs.get(VOUCHED):
            continue
        fault = _rate_fault(name, part)
        if fault is not None:
            faults.append(fault)
        else:
            spans[name] = _span(part)
    trials = session.trials
    known = {name: span for name, span in spans.items() if span is not None and span[1] > span[0]}
    if trials is not None and len(trials) > 1:
        reference, whose = (trials["start_time"].min(), trials["stop_time"].max()), "the trials"
    elif len(known) > 1:
        middle = sorted(known.items(), key=lambda item: item[1][1] - item[1][0])[len(known) // 2]
        reference, whose = middle[1], repr(middle[0])
    else:
        known, reference, whose = {}, (0.0, 0.0), ""
    parts = dict(_parts(session))
    length = max(reference[1] - reference[0], np.finfo(float).tiny)
    # series of a recording last about as long as each other, and longer than its trials
    alike = [end - start for name, (start, end) in known.items() if name not in session.events]
    usual = max([length, *(own for own in alike if length <= own <= MOST_RATIO * length)])
    for name, span in known.items():
        rate = parts[name]["time"].attrs.get("rate", np.inf) if "time" in parts[name].coords else np.inf
        # as the period that it may be, a rate gives a span that is shorter by its square
        if rate < 1 and span[1] - span[0] > MOST_RATIO * length >= MOST_RATIO * (span[1] - span[0]) * rate**2 / 3:
            faults.append(_period_fault(name, parts[name]["time"].size, rate))
        else:
            faults += _span_fault(name, span, reference, whose, usual, name in session.events)
    return [fault for fault in faults if names is None or fault.part in names]


def _parts(session: Parts) -> Iterator[tuple[str, Any]]:
    """Every part with a clock, but the intervals."""
    for parts in (session.activity, session.signals, session.events):
        yield from parts.items()


def _rate_fault(name: str, part: Any) -> Fault | None:
    """A rate that cannot be one."""
    attrs = part["time"].attrs if "time" in part.coords else {}
    if "rate" not in attrs:
        return None
    rate, n = attrs["rate"], part["time"].size
    if not np.isfinite(rate) or rate <= 0:
        return Fault(name, f"{name!r} has a rate of {rate:g} Hz", f"clock_rate.{_key(name)} = <its rate in Hz>")
    if rate < 0.1 and n > 1_000:
        return _period_fault(name, n, rate)
    return None


def _period_fault(name: str, n: int, rate: float) -> Fault:
    """A rate that is a period."""
    sentence = f"{name!r} has {n:,} samples at a rate of {rate:g} Hz, {n / rate / 3600:,.3g} hours; the rate is likely "
    return Fault(
        name, f"{sentence}the period, and the true rate {1 / rate:g} Hz", f"clock_rate.{_key(name)} = {1 / rate:g}"
    )


def _span(part: Any) -> tuple[float, float] | None:
    """First and last time of a part, read from its ends; of spike trains from the ends of some of them."""
    if isinstance(part, xr.Dataset) and "spike_time" in part:
        stops = np.cumsum(part["n_spikes"].values)
        firing = np.flatnonzero(part["n_spikes"].values)
        some = firing[np.linspace(0, len(firing) - 1, min(len(firing), 32)).astype(int)] if len(firing) else firing
        at = [place for j in some for place in (int(stops[j] - part["n_spikes"].values[j]), int(stops[j] - 1))]
        spikes = part["spike_time"].variable
        ends = np.array([float(spikes[place : place + 1].values[0]) for place in at])
    elif part["time"].size < 2:
        return None
    else:
        # times at the very ends may be lost
        clock = part["time"]
        ends = np.concatenate([np.asarray(clock[:16].values, float), np.asarray(clock[-16:].values, float)])
    ends = ends[np.isfinite(ends)]
    return (float(ends.min()), float(ends.max())) if len(ends) > 1 else None


def _span_fault(
    name: str, span: tuple[float, float], reference: tuple[float, float], whose: str, usual: float, few: bool
) -> list[Fault]:
    """A span that is another's a hundred times over, or nowhere near it; few events may well span little.

    ``usual`` is how long series of the recording are that are not at fault (s).
    """
    ratio = (span[1] - span[0]) / max(reference[1] - reference[0], np.finfo(float).tiny)
    found = (
        f"{name!r} lasts from {span[0]:.6g} to {span[1]:.6g} s, but {whose} from {reference[0]:.6g} to "
        f"{reference[1]:.6g} s"
    )
    if ratio > MOST_RATIO:
        scale, cause = _likely_unit((span[1] - span[0]) / usual)
        sentence, remedy = f"its times are likely in {cause}", f"clock_scale.{_key(name)} = {scale:.9g}"
    elif ratio < 1 / MOST_RATIO and not few:
        scale, cause = _likely_unit(usual / max(span[1] - span[0], np.finfo(float).tiny))
        sentence = f"it is in another unit than {whose}, which are likely in {cause}"
        remedy = f"clock_scale.{_key(name)} = {1 / scale:.9g}"
    elif span[1] < reference[0] or span[0] > reference[1]:
        sentence = "which do not overlap; they likely count from another start"
        remedy = f"clock_shift.{_key(name)} = {reference[0] - span[0]:.9g}"
    else:
        return []
    return [Fault(name, f"{found}; {sentence}", remedy)]


def _likely_unit(ratio: float) -> tuple[float, str]:
    """Seconds per unit, and its name, for a span that is so many times too long."""
    units = UNITS | {rate: f"samples of a board at {rate:g} Hz" for rate in BOARDS}
    nearest = min(units, key=lambda factor: abs(np.log(ratio / factor)))
    return 1 / nearest, units[nearest]


def _key(name: str) -> str:
    """A name as TOML writes it."""
    return name if name.replace("_", "").replace("-", "").isalnum() and name.isascii() else f'"{name}"'


def sorted_clock(part: xr.DataArray) -> xr.DataArray:
    """A series in the order of its times, and of those at one time the first; what has no time stays at the end."""
    times = np.asarray(part["time"].values, dtype=np.float64)
    order = np.argsort(times, kind="stable")
    keep = np.append(True, np.diff(times[order]) != 0)
    return part.isel(sample=order[keep])


def mended(part: Any, scale: float, shift: float, rate: float | None, order: str | None) -> Any:
    """A part whose times are scale × time + shift, or follow from a rate, in order."""
    if rate is not None:
        n = part["time"].size
        start = float(part["time"].attrs.get("start", 0.0))
        clock = xr.Variable(
            part["time"].dims, start + np.arange(n) / rate, {"units": "s", "rate": rate, "start": start}
        )
        part = part.assign_coords(xr.Coordinates({"time": clock}, indexes={}))
    if scale != 1 or shift != 0:
        if isinstance(part, xr.Dataset) and "spike_time" in part:
            part = part.assign(spike_time=part["spike_time"] * scale + shift)
            if "observed" in part:
                part = part.assign(observed=part["observed"] * scale + shift)
        else:
            old = part["time"].variable
            clock = xr.Variable(old.dims, np.asarray(old.values, float) * scale + shift, {"units": "s"})
            part = part.assign_coords(xr.Coordinates({"time": clock}, indexes={}))
            if isinstance(part, xr.Dataset) and "stop_time" in part:
                part = part.assign(stop_time=part["stop_time"] * scale + shift)
    return (sorted_clock(part) if order == "sort" else part).assign_attrs({VOUCHED: 1})


def mended_table(table: pd.DataFrame, scale: float, shift: float) -> pd.DataFrame:
    """Intervals whose times are scale × time + shift: start, stop, and every column called a time."""
    names = [name for name in table if str(name).endswith("_time") and pd.api.types.is_numeric_dtype(table[name])]
    return table.assign(**{name: table[name] * scale + shift for name in names})
