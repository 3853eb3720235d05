"""Measured tuning: average activity over a variable, by type of trial."""

from __future__ import annotations

from collections.abc import Iterable

import xarray as xr
from matplotlib.axes import Axes

from popglm.plot.labelled import bins_along, check_dataset, mean_and_sem, pick_neurons
from popglm.plot.style import axes_or_new, legend_beside, named_curves

__all__ = ["tuning_curves"]


def tuning_curves(
    tuning: xr.Dataset,
    ax: Axes | None = None,
    *,
    axis: str | None = None,
    neurons: str | Iterable[str] | None = None,
    unit: str = "per sample",
) -> Axes:
    """Draw average activity over position or time, a curve per type of trial.

    One neuron: its average ± s.e.m. over trials (or samples), as `popglm.tuning` took it. Several: the mean of their
    averages ± s.e.m. over neurons.

    Parameters
    ----------
    tuning : Dataset
        What `popglm.tuning` returns.
    ax : matplotlib.axes.Axes, optional
        Where to draw; a new figure unless given.
    axis : str, optional
        Name of the bins, such as "position"; may be left out if there are bins along one axis only.
    neurons : str or list of str, optional
        Names or shell patterns of the neurons; all unless given.
    unit : str
        Unit of the activity, for the label of the vertical axis.

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
    check_dataset(tuning, ["average", "sem"], "tuning", "popglm.tuning")
    data, axis_label = bins_along(pick_neurons(tuning, neurons), axis)
    n_neurons = data.sizes["neuron"]
    levels = [str(dim) for dim in data["average"].dims if dim not in ("bin", "neuron")]
    if not levels:
        levels, data = ["level"], data.expand_dims("level").assign_coords(level=["all samples"])
    (split,) = levels

    ax = axes_or_new(ax, width=5.0 if data.sizes[split] > 1 else 4.0)
    curves = {}
    for i, level in enumerate(data[split].values):
        part = data.isel({split: i})
        # of one neuron the spread over its trials, of a population the spread over neurons
        if n_neurons == 1:
            average, sem = (part[name].isel(neuron=0).values for name in ("average", "sem"))
        else:
            average, sem = mean_and_sem(part["average"])
        curves[str(level)] = data["center"].values, average, sem
    named_curves(ax, curves)
    if len(curves) > 1:
        legend_beside(ax, title=None if split == "level" else split, alignment="left")
    ax.margins(x=0)
    ax.set_ylim(bottom=min(0.0, ax.get_ylim()[0]) if data["average"].min() < 0 else 0)
    ax.set_xlabel(axis_label)
    ax.set_ylabel(f"Activity ({unit})")
    ax.set_title(
        f"{n_neurons:,} neurons, mean ± s.e.m." if n_neurons > 1 else f"{data['neuron'].values[0]}, average ± s.e.m.",
        fontsize="medium",
    )
    return ax
