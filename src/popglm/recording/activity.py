"""Activity of neurons on a grid of time, read a block at a time."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import xarray as xr

from popglm.checks import check_room
from popglm.recording.clocks import longest_step, on_time, read_times
from popglm.recording.grid import Grid, held_at, interpolated_between, means
from popglm.recording.sources import FINE

__all__ = ["activity_on_grid", "spikes_on_grid"]

#: Bytes of a block of samples that is read at once.
BLOCK = 64_000_000


def spikes_on_grid(trains: xr.Dataset, grid: Grid) -> np.ndarray:
    """Spikes of each neuron per bin, float32 (n_bins, n_neurons); NaN where it was not recorded all the bin."""
    n_neurons = trains.sizes["neuron"]
    check_room(f"activity of {len(grid):,} bins × {n_neurons:,} neurons", 4.0 * len(grid) * n_neurons)
    counts = np.zeros((n_neurons, len(grid)), np.float32)
    stops = np.cumsum(trains["n_spikes"].values)
    n_read = max(BLOCK // 8, 1)
    times, first = np.zeros(0), 0
    for j, (start, stop) in enumerate(zip(stops - trains["n_spikes"].values, stops, strict=True)):
        if stop > first + len(times):
            # as many whole trains as fit into a block, and one at least
            last = max(int(stops[np.searchsorted(stops, start + n_read, side="right") - 1]), int(stop))
            times, first = np.asarray(trains["spike_time"][start:last].values, np.float64), int(start)
        bins = grid.find(times[start - first : stop - first])
        counts[j] = np.bincount(bins[bins >= 0], minlength=len(grid))
    if "observed" in trains:
        _forget_unobserved(counts, trains, grid)
    return counts.T


def _forget_unobserved(counts: np.ndarray, trains: xr.Dataset, grid: Grid) -> None:
    """NaN in bins that do not lie wholly in an interval in which the neuron was recorded."""
    bounds, n_observed = trains["observed"].values, trains["n_observed"].values
    slack = max(on_time(grid.starts), on_time(grid.stops), on_time(bounds))
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
        at = held_at(grid.starts, times, longest_step(times))
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
        out[:, columns] = interpolated_between(middle, times, values, longest_step(times))
    return out, 0.0


def _rows(traces: xr.DataArray, at: np.ndarray, kind: np.dtype) -> np.ndarray:
    """Samples ``at`` of the traces, NaN for -1."""
    out = np.empty((len(at), traces.sizes["neuron"]), kind)
    out[at < 0] = np.nan
    for columns, blocks in _strips(traces):
        for rows in blocks:
            here = (at >= rows.start) & (at < rows.stop)
            if here.any():
                # bins follow each other, so what is wanted of a block is nearly all of it
                values, wanted = traces[rows, columns].values, at[here] - rows.start
                places = np.flatnonzero(here)
                if len(wanted) == places[-1] - places[0] + 1 and (np.diff(wanted) == 1).all():
                    # every sample is a bin: no copy on the way
                    out[places[0] : places[-1] + 1, columns] = values[wanted[0] : wanted[-1] + 1]
                else:
                    out[here, columns] = values[wanted]
    return out


def _averaged(traces: xr.DataArray, bins: np.ndarray, n_bins: int, kind: np.dtype) -> np.ndarray:
    """The average of each bin's samples that are known, NaN where there are none; -1 is the bin of no sample."""
    out = np.full((n_bins, traces.sizes["neuron"]), np.nan, kind)
    for columns, blocks in _strips(traces):
        # the last bin of a block may go on in the next one
        open_bin, open_sums, open_counts = -1, np.zeros(0), np.zeros(0)
        for rows in blocks:
            own = bins[rows]
            inside = own >= 0
            if not inside.any():
                continue
            first, last = own[inside][[0, -1]]
            values = traces[rows, columns].values
            sums, counts = means(own[inside] - first, values if inside.all() else values[inside], last - first + 1)
            if first == open_bin:
                sums[0] += open_sums
                counts = counts.copy()
                counts[0] += open_counts
            open_bin, open_sums, open_counts = last, sums[-1].copy(), counts[-1].copy()
            with np.errstate(invalid="ignore"):
                out[first : last + 1, columns] = sums / counts
    return out


def _strips(traces: xr.DataArray) -> Iterator[tuple[slice, list[slice]]]:
    """Strips of neurons, and blocks of samples of about `BLOCK` bytes in each, along the chunks of the file."""
    n_samples, n_neurons = traces.shape
    chunk_rows, chunk_columns = _chunks(traces)
    width = n_neurons
    if chunk_columns < n_neurons and chunk_rows * n_neurons * 8 > 4 * BLOCK:
        # a chunk has a few neurons for a long time
        width = -(-max(BLOCK // (8 * chunk_rows), 1) // chunk_columns) * chunk_columns
    n_rows = -(-max(BLOCK // (8 * max(width, 1)), 1) // chunk_rows) * chunk_rows
    blocks = [slice(first, min(first + n_rows, n_samples)) for first in range(0, n_samples, n_rows)]
    for left in range(0, n_neurons, max(width, 1)):
        yield slice(left, min(left + width, n_neurons)), blocks


def _chunks(traces: xr.DataArray) -> tuple[int, int]:
    """Rows and columns of a chunk of the file; one row of all columns where it has none."""
    n_samples, n_neurons = traces.shape
    chunks = traces.variable.encoding.get("chunksizes") or (1, n_neurons)
    return max(min(int(chunks[0]), n_samples), 1), max(min(int(chunks[1]), n_neurons), 1)
