"""Activity of neurons on a grid of time, read a block at a time."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from itertools import pairwise
from typing import TypeVar

import numpy as np
import xarray as xr

from popglm.checks import check_room
from popglm.recording.clocks import longest_step, read_times
from popglm.recording.grid import Grid, held_at, interpolated_between, means
from popglm.recording.sources import FINE

__all__ = ["SpikeTimes", "activity_on_grid", "spikes_on_grid"]

#: Bytes of a block of samples that is read at once, and of one that still lies in a core's cache when it is binned.
BLOCK, PIECE = 64_000_000, 4_000_000
#: Threads that read and bin.
THREADS = 2

T = TypeVar("T")
U = TypeVar("U")


@dataclass(frozen=True)
class SpikeTimes:
    """What was seen of the times of spikes.

    Attributes
    ----------
    first, last : float
        Of all neurons (s); ∞ and −∞ without a spike that has a time.
    n, n_unknown : int
        Spikes, and those whose time is NaN or infinite.
    """

    first: float = np.inf
    last: float = -np.inf
    n: int = 0
    n_unknown: int = 0

    def __add__(self, other: SpikeTimes) -> SpikeTimes:
        """What was seen of both."""
        return SpikeTimes(
            min(self.first, other.first), max(self.last, other.last), self.n + other.n, self.n_unknown + other.n_unknown
        )


def _seen(times: np.ndarray) -> SpikeTimes:
    """What there is to see of some times."""
    first, last = (float(end) for end in (times.min(initial=np.inf), times.max(initial=-np.inf)))
    if np.isfinite(first) and np.isfinite(last):
        return SpikeTimes(first, last, len(times))
    known = times[np.isfinite(times)]
    first, last = float(known.min(initial=np.inf)), float(known.max(initial=-np.inf))
    return SpikeTimes(first, last, len(times), len(times) - len(known))


def spikes_on_grid(trains: xr.Dataset, grid: Grid) -> tuple[np.ndarray, SpikeTimes]:
    """Spikes of each neuron per bin, float32 (n_bins, n_neurons), and what was seen of their times.

    Bins in which a neuron was not recorded all the time are NaN.
    """
    n_neurons = trains.sizes["neuron"]
    check_room(f"activity of {len(grid):,} bins × {n_neurons:,} neurons", 4.0 * len(grid) * n_neurons)
    counts = np.empty((n_neurons, len(grid)), np.float32)
    spikes, stops = trains["spike_time"].variable, np.cumsum(trains["n_spikes"].values)

    def count_spikes(own: slice) -> SpikeTimes:
        begins = np.append(stops[own.start - 1] if own.start else 0, stops[own])
        times = np.asarray(spikes[begins[0] : begins[-1]].values, np.float64)
        bins = grid.find(times)
        for j, (first, last) in zip(range(own.start, own.stop), pairwise(begins - begins[0]), strict=True):
            train = bins[first:last]
            counts[j] = np.bincount(train if train.min(initial=0) >= 0 else train[train >= 0], minlength=len(grid))
        return _seen(times)

    # whole trains, of about as many spikes together
    part = stops // (PIECE // 32)
    cuts = [0, *(np.flatnonzero(np.diff(part)) + 1).tolist(), n_neurons] if n_neurons else []
    seen = sum(_in_threads(count_spikes, [slice(*cut) for cut in pairwise(cuts)]), SpikeTimes())
    if "observed" in trains:
        _forget_unobserved(counts, trains, grid)
    return counts.T, seen


def _forget_unobserved(counts: np.ndarray, trains: xr.Dataset, grid: Grid) -> None:
    """NaN in bins that do not lie wholly in an interval in which the neuron was recorded."""
    bounds, n_observed = trains["observed"].values, trains["n_observed"].values
    slack = grid.slack(bounds)
    first = 0
    for j, n in enumerate(n_observed):
        if n < 0:
            continue
        own = bounds[first : first + n]
        first += n
        inside = np.zeros(len(grid), bool)
        for begin, end in own:
            at = slice(*np.searchsorted(grid.starts, [begin - slack, end]))
            inside[at] |= grid.stops[at] <= end + slack
        counts[j, ~inside] = np.nan


def activity_on_grid(traces: xr.DataArray, name: str, grid: Grid, is_own_clock: bool) -> tuple[np.ndarray, float]:
    """Traces on a grid, (n_bins, n_neurons), and the largest time (s) by which a value was moved to its bin's start.

    On a grid of about their own rate, values are those of the latest sample at or before the start of a bin; faster
    traces are averaged, slower ones interpolated.
    """
    times, known = read_times(traces, name)
    n_neurons = traces.sizes["neuron"]
    kind = traces.dtype if traces.dtype.kind == "f" and traces.dtype.itemsize <= 8 else np.dtype(np.float32)
    check_room(f"activity of {len(grid):,} bins × {n_neurons:,} neurons", float(kind.itemsize) * len(grid) * n_neurons)
    step = float(np.median(np.diff(times))) if len(times) > 1 else grid.width
    if is_own_clock or FINE * grid.width <= step <= grid.width / FINE:
        at = held_at(grid.starts, times, longest_step(times), grid.slack(times))
        out = _rows(traces, np.where(at < 0, -1, known[np.maximum(at, 0)] if len(known) else -1), kind)
        shifts = (grid.starts - times[np.maximum(at, 0)])[at >= 0] if len(times) else np.zeros(0)
        return out, float(shifts.max(initial=0.0))
    if step < grid.width:
        bins = np.full(traces.sizes["sample"], -1)
        bins[known] = grid.find(times)
        return _averaged(traces, bins, len(grid), kind), 0.0
    out = np.empty((len(grid), n_neurons), kind)
    middle = (grid.starts + grid.stops) / 2
    for columns, _ in _strips(traces):
        values = np.asarray(traces[:, columns].values, np.float64)[known]
        out[:, columns] = interpolated_between(middle, times, values, longest_step(times), grid.slack(times))
    return out, 0.0


def _rows(traces: xr.DataArray, at: np.ndarray, kind: np.dtype) -> np.ndarray:
    """Samples ``at`` of the traces, NaN for -1."""
    out = np.empty((len(at), traces.sizes["neuron"]), kind)
    out[at < 0] = np.nan
    # bins and samples are both in the order of time
    filled = np.flatnonzero(at >= 0)
    samples = at[filled]

    def copy(part: tuple[slice, slice]) -> None:
        rows, columns = part
        begin, end = np.searchsorted(samples, [rows.start, rows.stop])
        if begin == end:
            return
        places, wanted = filled[begin:end], samples[begin:end]
        if np.ptp(places) == end - begin - 1 and (np.diff(wanted) == 1).all():
            # every sample is a bin: no copy on the way
            out[places[0] : places[-1] + 1, columns] = traces[wanted[0] : wanted[-1] + 1, columns].values
        else:
            out[places, columns] = traces[rows, columns].values[wanted - rows.start]

    for _ in _in_threads(copy, _parts(traces)):
        pass
    return out


def _averaged(traces: xr.DataArray, bins: np.ndarray, n_bins: int, kind: np.dtype) -> np.ndarray:
    """The average of each bin's samples that are known, NaN where there are none; -1 is the bin of no sample."""
    out = np.empty((n_bins, traces.sizes["neuron"]), kind)
    out[np.bincount(bins[bins >= 0], minlength=n_bins) == 0] = np.nan

    def average(part: tuple[slice, slice]) -> tuple[slice, slice, np.ndarray, np.ndarray] | None:
        rows, columns = part
        inside = bins[rows] >= 0
        own = bins[rows][inside]
        if not len(own):
            return None
        values = traces[rows, columns].values
        here = slice(own[0], own[-1] + 1)
        known = values if len(own) == len(inside) else values[inside]
        sums, counts = means(own - own[0], known, here.stop - here.start)
        _divide(sums, counts, out[here, columns])
        return here, columns, sums[[0, -1]], np.broadcast_to(counts, sums.shape)[[0, -1]]

    open_bin, open_columns, open_sum, open_count = -1, slice(0), np.zeros(0), np.zeros(0)
    for ends in _in_threads(average, _parts(traces)):
        if ends is None:
            continue
        here, columns, sums, counts = ends
        if (here.start, columns) == (open_bin, open_columns):
            # the last bin of a part goes on in the next one
            with np.errstate(invalid="ignore"):
                sums[0] += open_sum
            sums[0, np.isnan(sums[0])] = np.inf  # ∞ and −∞
            counts[0] += open_count
            _divide(sums[:1], counts[:1], out[here.start : here.start + 1, columns])
        last = 0 if here.stop - here.start == 1 else 1
        open_bin, open_columns, open_sum, open_count = here.stop - 1, columns, sums[last], counts[last]
    return out


def _divide(sums: np.ndarray, counts: np.ndarray, out: np.ndarray) -> None:
    """Means of bins, NaN where nothing is known, in the precision of ``out``."""
    with np.errstate(invalid="ignore"):
        np.divide(sums, counts, out=out, casting="same_kind")


def _in_threads(work: Callable[[T], U], parts: list[T]) -> Iterator[U]:
    """What a function returns for each of some parts, in their order."""
    with ThreadPoolExecutor(THREADS, "popglm-bins") as pool:
        yield from pool.map(work, parts)


def _parts(traces: xr.DataArray) -> list[tuple[slice, slice]]:
    """Samples and neurons of every block of `_strips`."""
    return [(rows, columns) for columns, blocks in _strips(traces) for rows in blocks]


def _strips(traces: xr.DataArray) -> Iterator[tuple[slice, list[slice]]]:
    """Strips of neurons, and blocks of samples in each, along the chunks of the file.

    A block has about `PIECE` bytes where the file is known to be read well in such parts, else `BLOCK`.
    """
    n_samples, n_neurons = traces.shape
    chunk_rows, chunk_columns = _chunks(traces)
    width = n_neurons
    if chunk_columns < n_neurons and chunk_rows * n_neurons * 8 > 4 * BLOCK:
        # a chunk has a few neurons for a long time
        width = -(-max(BLOCK // (8 * chunk_rows), 1) // chunk_columns) * chunk_columns
    size = min(PIECE, BLOCK) if traces.variable.encoding.get("chunksizes") and chunk_columns == n_neurons else BLOCK
    n_rows = -(-max(size // (8 * max(width, 1)), 1) // chunk_rows) * chunk_rows
    blocks = [slice(first, min(first + n_rows, n_samples)) for first in range(0, n_samples, n_rows)]
    for left in range(0, n_neurons, max(width, 1)):
        yield slice(left, min(left + width, n_neurons)), blocks


def _chunks(traces: xr.DataArray) -> tuple[int, int]:
    """Rows and columns of a chunk of the file; one row of all columns where it has none."""
    n_samples, n_neurons = traces.shape
    chunks = traces.variable.encoding.get("chunksizes") or (1, n_neurons)
    return max(min(int(chunks[0]), n_samples), 1), max(min(int(chunks[1]), n_neurons), 1)
