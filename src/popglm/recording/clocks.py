"""Clocks: the times of a part in seconds, where they stop for a while, and those that cannot be right."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np
import pandas as pd
import xarray as xr

from popglm import toml_text
from popglm.recording.odd_clocks import Extent, Fault, odd_clocks, period_fault
from popglm.recording.odd_events import odd_events
from popglm.recording.parts import Parts

__all__ = ["Fault", "clock_faults", "longest_step", "read_times", "series_extents"]

#: Steps beyond so many median steps of a regular clock are gaps.
GAP = 1.5
#: A clock is regular when no more than this share of its steps are half a median step off the median, or a single one.
IRREGULAR = 0.1
#: Attribute of a part whose clock somebody has mended, or said to be right: its "unit", or "all" of it. One that is
#: right as it is may be an odd one, and is no measure for others.
VOUCHED = "clock_is_vouched_for"
AS_IT_IS = "as it is"


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
            f"{likely}; mend it with the line clock_order.{toml_text.key(name)} = \"sort\", which puts samples in "
            "order and keeps the first of those at one time"
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
    """Clocks of a session that cannot be right; all parts, or those that are named.

    Of series their ends alone are read, of events all times. Spans of all parts and of the trials are compared: see
    `odd_clocks`. Times of events and trials are compared with what then is the recording: see `odd_events`.
    """
    faults, extents = [], []
    for kind, name, part in _parts(session):
        fault = None if part.attrs.get(VOUCHED) else _rate_fault(name, part)
        if fault is not None:
            faults.append(fault)
        elif (extent := _extent(kind, name, part)) is not None:
            extents.append(extent)
    trials = session.trials
    if trials is not None and len(trials) > 1 and trials.attrs.get(VOUCHED) != AS_IT_IS:
        ends = float(trials["start_time"].min()), float(trials["stop_time"].max())
        extents.append(Extent("trials", *ends, "trials", str(trials.attrs.get(VOUCHED, ""))))
    odd = {fault.part: fault for fault in odd_clocks(extents)}
    # trials before events, since they are a part of the recording
    for one in sorted(extents, key=lambda one: one.kind == "events"):
        told = odd.get(one.part)
        is_asked = one.kind == "trials" or (one.kind == "events" and (names is None or one.part in names))
        if not is_asked or (told is not None and told.is_mendable):
            continue
        lasting = [other for other in extents if other.kind != "events" and other.part not in {*odd, one.part}]
        found = odd_events(one, _times_of(session, one), lasting)
        # no shift is looked for where another unit explains it
        if found is not None and (told is None or found.is_mendable):
            odd[one.part] = found
    faults += odd.values()
    return [fault for fault in faults if names is None or fault.part in names]


def series_extents(session: Parts) -> list[Extent]:
    """From when to when the series of a session last, whatever one thinks of their clocks."""
    found = (_extent(kind, name, part) for kind, name, part in _parts(session) if kind != "events")
    return [one for one in found if one is not None]


def _extent(kind: str, name: str, part: Any) -> Extent | None:
    """From when to when a part lasts; None where that tells nothing of other parts."""
    vouched = str(part.attrs.get(VOUCHED, ""))
    span = _span(part)
    if span is None or vouched == AS_IT_IS:
        return None
    clock = part["time"] if "time" in part.coords else None
    rate = np.inf if clock is None else clock.attrs.get("rate", np.inf)
    return Extent(name, *span, kind, vouched, rate, 0 if clock is None else clock.size)


def _times_of(session: Parts, one: Extent) -> np.ndarray:
    """All times of events, or the starts of all trials."""
    if one.kind == "trials":
        return session.intervals["trials"]["start_time"].to_numpy(np.float64)
    return np.asarray(session.events[one.part]["time"].values, np.float64)


def _parts(session: Parts) -> Iterator[tuple[str, str, Any]]:
    """Kind and name of every part with a clock, and the part; but the intervals."""
    for kind in ("activity", "signals", "events"):
        yield from ((kind, name, part) for name, part in getattr(session, kind).items())


def _rate_fault(name: str, part: Any) -> Fault | None:
    """A rate that cannot be one."""
    attrs = part["time"].attrs if "time" in part.coords else {}
    if "rate" not in attrs:
        return None
    rate, n = attrs["rate"], part["time"].size
    if not np.isfinite(rate) or rate <= 0:
        return Fault(
            name, f"{name!r} has a rate of {rate:g} Hz", f"clock_rate.{toml_text.key(name)} = <its rate in Hz>"
        )
    if rate < 0.1 and n > 1_000:
        return period_fault(name, n, rate)
    return None


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
    return (sorted_clock(part) if order == "sort" else part).assign_attrs({VOUCHED: _vouched(scale, shift, rate)})


def _vouched(scale: float, shift: float, rate: float | None) -> str:
    """What somebody says to be right who mends a clock so: its start only with a shift."""
    if shift != 0:
        return "all"
    return AS_IT_IS if scale == 1 and rate is None else "unit"


def mended_table(table: pd.DataFrame, scale: float, shift: float) -> pd.DataFrame:
    """Intervals whose times are scale × time + shift: start, stop, and every column called a time."""
    names = [name for name in table if str(name).endswith("_time") and pd.api.types.is_numeric_dtype(table[name])]
    table = table.assign(**{name: table[name] * scale + shift for name in names})
    table.attrs[VOUCHED] = _vouched(scale, shift, None)
    return table
