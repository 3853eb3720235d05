"""Average activity over a variable or around an event, by type of trial: recorded, and predicted."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import numpy as np
import xarray as xr
from matplotlib.axes import Axes
from matplotlib.lines import Line2D

from popglm.plot.labelled import (
    bins_along,
    check_dataset,
    check_unit,
    count_neurons,
    mean_and_sem,
    pick_neurons,
    with_unit,
)
from popglm.plot.style import MODEL, axes_or_new, entitle, from_end_to_end, legend_beside, named_curves

__all__ = ["psth", "tuning_curves"]


def tuning_curves(
    tuning: xr.Dataset,
    ax: Axes | None = None,
    *,
    axis: str | None = None,
    neurons: str | Iterable[str] | None = None,
    unit: str | None = None,
) -> Axes:
    """Draw average activity over position or time, a curve per type of trial, and what a model predicts (dashed).

    One neuron: its average ± s.e.m. over trials (or samples), as `popglm.tuning` took it. Several: the mean of their
    averages ± s.e.m. over neurons.

    Parameters
    ----------
    tuning : Dataset
        What `popglm.tuning` or `popglm.predicted_tuning` returns.
    ax : matplotlib.axes.Axes, optional
        Where to draw; a new figure unless given.
    axis : str, optional
        Name of the bins, such as "position"; may be left out if there are bins along one axis only.
    neurons : str or list of str, optional
        Names or shell patterns of the neurons; all unless given.
    unit : str, optional
        Unit of the activity, for the label of the vertical axis; that of `tuning` unless given.

    Returns
    -------
    matplotlib.axes.Axes

    Raises
    ------
    TypeError, ValueError
        If an axis or neuron is not there, `tuning` is of another kind, or `ax` is not Axes.

    Examples
    --------
    >>> import xarray as xr
    >>> from popglm.plot import tuning_curves
    >>> dims = ("cue", "bin", "neuron")
    >>> tuning = xr.Dataset(
    ...     {"average": (dims, [[[1.0], [3.0]], [[2.0], [1.0]]]), "sem": (dims, [[[0.2], [0.4]], [[0.1], [0.3]]])},
    ...     coords={
    ...         "cue": [-1, 1],
    ...         "neuron": ["neuron0"],
    ...         "axis": ("bin", ["position", "position"]),
    ...         "center": ("bin", [10.0, 20.0]),
    ...         "unit": ("bin", ["cm", "cm"]),
    ...     },
    ... )
    >>> ax = tuning_curves(tuning)
    >>> ax.get_xlabel(), ax.get_legend_handles_labels()[1]
    ('position (cm)', ['-1', '1'])
    """
    check_dataset(tuning, ["average", "sem", "axis", "center", "unit"], "tuning", "popglm.tuning")
    data, axis_label = bins_along(pick_neurons(tuning, neurons), axis)
    return _draw(data, "bin", data["center"].values, axis_label, ax, unit)


def psth(
    psth: xr.Dataset, ax: Axes | None = None, *, neurons: str | Iterable[str] | None = None, unit: str | None = None
) -> Axes:
    """Draw average activity around an event, a curve per type of event, and what a model predicts (dashed).

    One neuron: its average ± s.e.m. over trials (or events), as `popglm.psth` took it. Several: the mean of their
    averages ± s.e.m. over neurons.

    Parameters
    ----------
    psth : Dataset
        What `popglm.psth` returns.
    ax : matplotlib.axes.Axes, optional
        Where to draw; a new figure unless given.
    neurons : str or list of str, optional
        Names or shell patterns of the neurons; all unless given.
    unit : str, optional
        Unit of the activity, for the label of the vertical axis; that of `psth` unless given.

    Returns
    -------
    matplotlib.axes.Axes

    Raises
    ------
    TypeError, ValueError
        If a neuron is not there, `psth` is of another kind, or `ax` is not Axes.

    Examples
    --------
    >>> import popglm as pg
    >>> from popglm.plot import psth
    >>> lick = [0, 1, 0, 0, 0, 1, 0, 0]
    >>> ax = psth(pg.psth([0, 2, 1, 0, 0, 4, 3, 0], lick, before=0.1, after=0.2, dt=0.1))
    >>> ax.get_xlabel(), ax.get_ylabel()
    ('Time from event (s)', 'Activity (per second)')
    """
    check_dataset(psth, ["average", "sem", "n_events", "time_from_event"], "psth", "popglm.psth")
    data = pick_neurons(psth, neurons)
    x = data["time_from_event"].values
    attrs = data["time_from_event"].attrs
    label = with_unit(attrs.get("long_name", "Time from event"), attrs.get("units"))
    ax = _draw(data, "time_from_event", x, label, ax, unit)
    ax.axvline(0, color="0.6", linewidth=0.8, zorder=0)
    return ax


def _draw(data: xr.Dataset, dim: str, x: np.ndarray, label: str, ax: Axes | None, unit: str | None) -> Axes:
    """Curves over ``dim``, one per level of the remaining dimension."""
    predicted = "predicted" in data
    levels = [str(other) for other in data["average"].dims if other not in (dim, "neuron")]
    if not levels:
        only = "recorded" if predicted else "all samples"
        levels, data = ["level"], data.expand_dims("level").assign_coords(level=[only])
    (split,) = levels
    several = data.sizes[split] > 1

    check_unit(unit)
    ax = axes_or_new(ax, width=5.0 if several or predicted else 4.0)
    curves = {
        _named(level): (x, *_average_and_sem(data.isel({split: i}), "average", "sem"))
        for i, level in enumerate(data[split].values)
    }
    named_curves(ax, curves)
    if predicted:
        _draw_predictions(ax, data, split, x)
    if several or predicted:
        legend_beside(ax, title=None if split == "level" else split, alignment="left")
    from_end_to_end(ax, x)
    lowest = min(data[name].min().item() for name in ("average", *(["predicted"] if predicted else [])))
    ax.set_ylim(bottom=min(0.0, ax.get_ylim()[0]) if lowest < 0 else 0)
    ax.set_xlabel(label)
    ax.set_ylabel(f"Activity ({unit or data.attrs.get('units', 'per sample')})")
    known = data["average"].notnull().any([split, dim]).values
    what = "average ± s.e.m." if data.sizes["neuron"] == 1 else "mean ± s.e.m."
    entitle(ax, count_neurons(data["neuron"].values, known), *([what] if known.any() else []))
    return ax


def _draw_predictions(ax: Axes, data: xr.Dataset, split: str, x: np.ndarray) -> None:
    """A dashed curve in the colour of each recorded one, and what the dashes mean in the legend."""
    recorded = {line.get_label(): line for line in ax.lines}
    for i, level in enumerate(data[split].values):
        if _named(level) not in recorded:  # one of many that are grey
            continue
        mean, _ = _average_and_sem(data.isel({split: i}), "predicted", "predicted_sem")
        color = recorded[_named(level)].get_color() if data.sizes[split] > 1 else MODEL
        label = "predicted" if data.sizes[split] == 1 else None
        ax.plot(x, mean, "--", color=color, linewidth=1.6, label=label, zorder=2.5)
    if data.sizes[split] > 1:
        ax.add_line(Line2D([], [], color="0.3", linestyle="--", linewidth=1.6, label="predicted"))


def _named(level: Any) -> str:
    return f"{level:g}" if isinstance(level, float) else str(level)


def _average_and_sem(part: xr.Dataset, average: str, sem: str) -> tuple[np.ndarray, np.ndarray]:
    """Of one neuron its average and the spread over its trials; of a population the mean and spread over neurons."""
    if part.sizes["neuron"] == 1:
        return part[average].isel(neuron=0).values, part[sem].isel(neuron=0).values
    return mean_and_sem(part[average])
