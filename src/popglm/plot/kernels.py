"""Kernels and gains: how each neuron is tuned, and how strongly the population is."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

import numpy as np
import xarray as xr
from matplotlib.axes import Axes
from matplotlib.colors import LogNorm, Normalize

from popglm.messages import listed, shown
from popglm.plot.classes import CLASSES_OF, count_rows, of_response
from popglm.plot.kernel_labels import factor_ticks, with_link
from popglm.plot.labelled import (
    along,
    by_peak,
    check_dataset,
    check_quantity,
    count_neurons,
    edges,
    label_axis,
    mean_and_sem,
    name_rows,
    pick,
    pick_neurons,
    with_unit,
)
from popglm.plot.style import (
    MODEL,
    SEVERAL,
    axes_or_new,
    curve,
    entitle,
    faint_curves,
    from_end_to_end,
    label_height,
    legend_beside,
    named_curves,
    side_by_side,
    whole_ticks,
)

__all__ = ["kernel_curves", "kernel_image", "mean_absolute_kernels"]

MOST_NAMED = 30  # rows for which a new figure grows

Kernels = xr.Dataset | Mapping[str, xr.Dataset]

LABELS = {
    "kernel": "Kernel (change of {})",
    "gain": "Gain (factor on the rate)",
    "total": "Total kernel (change of {})",
    "total_gain": "Total gain (factor on the rate)",
}


def kernel_curves(
    kernels: Kernels,
    ax: Axes | None = None,
    *,
    group: str | None = None,
    neurons: str | Iterable[str] | None = None,
    quantity: str = "kernel",
) -> Axes:
    """Draw kernels over one axis, a curve per neuron.

    Up to ten neurons have a colour and a place in the legend each, and the bands of `popglm.bootstrap` where
    there are any; more are drawn faint, with their mean in red (of gains the geometric mean, that of the kernels).
    Where a few of them tower above the others they run out of the picture.

    Parameters
    ----------
    kernels : Dataset or dict of Dataset
        What `popglm.kernels` or `popglm.bootstrap` returns, or the Dataset of one group. Of a classifier, whose kernels
        have a class, ``neurons`` names one response, and its classes stand in the place of neurons.
    ax : matplotlib.axes.Axes, optional
        Where to draw; a new figure unless given.
    group : str, optional
        Which group's kernels; may be left out if there is only one.
    neurons : str or list of str, optional
        Names or shell patterns of the neurons; all unless given.
    quantity : {"kernel", "gain", "total", "total_gain"}
        ``kernel`` is the change of the linear predictor, ``gain`` the factor on the rate that it makes; the totals
        are those of a product together with the terms of its variables alone.

    Returns
    -------
    matplotlib.axes.Axes

    Raises
    ------
    TypeError, ValueError
        If a group, neuron or quantity is not there, the kernels have more than one axis, or `ax` is not Axes.

    Examples
    --------
    >>> import xarray as xr
    >>> from popglm.plot import kernel_curves
    >>> position = xr.Variable("position", [0.0, 50.0, 100.0], {"units": "cm"})
    >>> kernels = xr.Dataset(
    ...     {"kernel": (("neuron", "position"), [[0.0, 1.2, 0.1]])},
    ...     coords={"neuron": ["neuron0"], "position": position},
    ...     attrs={"group": "position"},
    ... )
    >>> ax = kernel_curves(kernels)
    >>> ax.get_xlabel(), ax.get_title()
    ('position (cm)', 'position, neuron0')
    """
    data, values, name, label = _read(kernels, group, neurons, quantity)
    if values.ndim != 2:
        raise ValueError(
            f"kernel_curves draws kernels over one axis; those of {name!r} have {_axes_of(values)}: draw them with "
            "kernel_image, or choose a place on the others first with .sel"
        )
    (dim,) = _axes_of(values)
    values, x, levels = along(values, dim)

    n_neurons = len(values)
    several = 1 < n_neurons <= len(SEVERAL)
    ax = axes_or_new(ax, width=5.2 if several else 4.0)
    ax.axhline(1.0 if "gain" in quantity else 0.0, color="0.6", linewidth=0.8, zorder=0)
    points = levels is not None
    if n_neurons <= len(SEVERAL):
        low, high = _band(data, quantity, dim)
        for j, neuron in enumerate(values["neuron"].values):
            place = side_by_side(x, j, n_neurons) if points else x
            curve(ax, place, values.values[j], low[j], high[j], color=SEVERAL[j], label=str(neuron), points=points)
    else:
        faint_curves(ax, x, values.values, points=points)
        ax.set_ylim(_limits(values.values, 1.0 if "gain" in quantity else 0.0))
        mean = _mean(values, quantity).values
        ax.plot(x, mean, "o" if points else "-", color=MODEL, linewidth=2, zorder=3, label="mean")
    if several:
        legend_beside(ax)
    what = [count_rows(data, values["neuron"].values, values.notnull().any(dim).values)]
    if n_neurons > len(SEVERAL):
        what = [f"{what[0]} and their mean"]
    elif np.isfinite(low).any() and "level" in data.attrs:
        what.append(f"{100 * data.attrs['level']:g} % band")
    entitle(ax, name, *what)
    label_axis(ax.xaxis, data, dim, x, levels)
    _room_beside(ax, x, levels)
    label_height(ax, label)
    return ax


def kernel_image(
    kernels: Kernels,
    ax: Axes | None = None,
    *,
    group: str | None = None,
    neurons: str | Iterable[str] | None = None,
    quantity: str = "kernel",
) -> Axes:
    """Draw kernels as an image with a colour bar.

    Kernels over two axes, such as a spectro-temporal receptive field: the first axis up, the second to the right,
    the mean over the neurons if there are several (of gains the geometric mean). Kernels over one axis: a row per
    neuron, sorted by where the kernel peaks; those that are 0 everywhere are last. White is no effect; the colours of
    more than ten neurons end at the 99th percentile.

    Parameters
    ----------
    kernels, ax, group, neurons, quantity
        As for `kernel_curves`.

    Returns
    -------
    matplotlib.axes.Axes

    Raises
    ------
    TypeError, ValueError
        If a group, neuron or quantity is not there, the kernels have more than two axes, or `ax` is not Axes.

    Examples
    --------
    >>> import xarray as xr
    >>> from popglm.plot import kernel_image
    >>> lag = xr.Variable("lag", [0.0, 0.01, 0.02], {"units": "s"})
    >>> field = xr.Dataset(
    ...     {"kernel": (("neuron", "lag", "frequency"), [[[0.0, 0.1], [0.4, -0.3], [0.1, 0.0]]])},
    ...     coords={"neuron": ["neuron0"], "lag": lag, "frequency": [1.0, 2.0]},
    ...     attrs={"group": "sound shifts"},
    ... )
    >>> ax = kernel_image(field)
    >>> ax.get_ylabel(), ax.get_xlabel()
    ('lag (s)', 'frequency')
    """
    data, values, name, label = _read(kernels, group, neurons, quantity)
    dims = _axes_of(values)
    n_neurons = values.sizes["neuron"]
    if len(dims) > 2:
        raise ValueError(f"kernel_image draws one or two axes; kernels of {name!r} have {dims}: choose with .sel first")
    if len(dims) == 2:
        what = values["neuron"].values[0] if n_neurons == 1 else f"mean of {n_neurons:,} neurons"
        if CLASSES_OF in data.attrs:
            raise ValueError(
                f"kernel_image draws a single class of kernels over two axes; choose one of {data.attrs[CLASSES_OF]!r} "
                f"first with .sel(class=...): {listed(map(str, values['neuron'].values))}"
            )
        image, y, y_levels = along(_mean(values, quantity), dims[0])
        limit = np.abs(np.log(image) if "gain" in quantity else image).max().item()
        beyond = False
    else:
        what = count_rows(data, values["neuron"].values)
        order, _ = by_peak(along(values, dims[0])[0].values)
        image, y = values.isel(neuron=order), np.arange(n_neurons) + 1.0
        size = np.abs(np.log(values) if "gain" in quantity else values)
        limit = np.nanquantile(size, 0.99 if n_neurons > len(SEVERAL) else 1)
        beyond = (size > limit).any()
    image, x, x_levels = along(image, dims[-1])
    limit = limit or 1.0  # kernels that are 0 everywhere
    norm = LogNorm(np.exp(-limit), np.exp(limit)) if "gain" in quantity else Normalize(-limit, limit)

    rows = n_neurons if len(dims) == 1 and n_neurons <= MOST_NAMED else 0
    ax = axes_or_new(ax, width=4.6, height=max(3.2, 1.0 + 0.18 * rows))
    mesh = ax.pcolormesh(edges(x), edges(y), image.values, cmap="RdBu_r", norm=norm, rasterized=True)
    ticks = factor_ticks(limit) if "gain" in quantity else {}
    bar = ax.figure.colorbar(mesh, ax=ax, extend="both" if beyond else "neither", **ticks)
    bar.minorticks_off()
    label_height(bar.ax, label)
    whole_ticks(ax, x)
    label_axis(ax.xaxis, data, dims[-1], x, x_levels)
    if len(dims) == 2:
        label_axis(ax.yaxis, data, dims[0], y, y_levels)
    else:
        ax.invert_yaxis()
        name_rows(ax, [] if n_neurons == 1 else list(image["neuron"].values), "Neuron, sorted by peak")
    entitle(ax, name, str(what))
    return ax


def mean_absolute_kernels(
    kernels: Kernels,
    ax: Axes | None = None,
    *,
    groups: str | Iterable[str] | None = None,
    neurons: str | Iterable[str] | None = None,
) -> Axes:
    """Draw how strongly the population is tuned along an axis: mean absolute kernel over neurons ± s.e.m.

    Groups whose kernels are 0 everywhere are noted in the picture: the penalty left them no weights.

    Parameters
    ----------
    kernels : Dataset or dict of Dataset
        What `popglm.kernels` returns, or the Dataset of one group.
    ax : matplotlib.axes.Axes, optional
        Where to draw; a new figure unless given.
    groups : str or list of str, optional
        Names or shell patterns (``"position*"``) of the groups, a curve each; all unless given. They must share
        one axis.
    neurons : str or list of str, optional
        Names or shell patterns of the neurons that are averaged; all unless given.

    Returns
    -------
    matplotlib.axes.Axes

    Raises
    ------
    TypeError, ValueError
        If a group or neuron is not there, the groups do not share one axis, or `ax` is not Axes.

    Examples
    --------
    >>> import xarray as xr
    >>> from popglm.plot import mean_absolute_kernels
    >>> kernels = xr.Dataset(
    ...     {"kernel": (("neuron", "position"), [[0.0, 1.2], [0.4, -0.2]])},
    ...     coords={"neuron": ["neuron0", "neuron1"], "position": [0.0, 100.0]},
    ...     attrs={"group": "position"},
    ... )
    >>> mean_absolute_kernels(kernels).lines[0].get_ydata()
    array([0.2, 0.7])
    """
    kernels = _as_groups(kernels)
    if any("of_classes" in data.attrs for data in kernels.values()):
        raise ValueError(
            "mean_absolute_kernels averages over neurons, and responses of a classifier have unlike classes; use "
            "kernel_curves or kernel_image with neurons= one response"
        )
    chosen = [list(kernels)[i] for i in pick(groups, list(kernels), "groups")]
    values = {name: abs(pick_neurons(kernels[name], neurons)["kernel"]) for name in chosen}
    first = _axes_of(values[chosen[0]])
    for name, kernel in values.items():
        found = [
            [with_unit(dim, data[dim].attrs.get("units")) for dim in _axes_of(data)]
            for data in (values[chosen[0]], kernel)
        ]
        if len(first) != 1 or found[0] != found[1]:
            there = [" × ".join(dims) for dims in found]
            raise ValueError(
                "mean_absolute_kernels draws groups over one and the same axis; "
                f"{chosen[0]!r} has {there[0]} and {name!r} has {there[1]}: choose with groups="
            )

    ax = axes_or_new(ax, width=4.0 if len(chosen) == 1 else 6.0)
    curves = {}
    for name, absolute in values.items():
        absolute, x, levels = along(absolute, first[0])
        nothing = absolute.notnull().any() and not (absolute > 0).any()
        curves[f"{name} (no weights)" if nothing else name] = x, *mean_and_sem(absolute)
    named_curves(ax, curves, points=levels is not None)
    label_axis(ax.xaxis, kernels[chosen[0]], first[0], x, levels)
    _room_beside(ax, x, levels)
    ax.set_ylim(bottom=0)
    label_height(ax, with_link("Mean |kernel| (change of {})", kernels[chosen[0]]))
    several = values[chosen[0]].sizes["neuron"] > 1
    entitle(
        ax,
        *(chosen if len(chosen) == 1 else []),
        count_neurons(values[chosen[0]]["neuron"].values),
        *(["mean ± s.e.m."] if several else []),
    )
    if len(chosen) > 1:
        legend_beside(ax)
    elif nothing:
        ax.text(0.5, 0.5, "no weights", transform=ax.transAxes, ha="center", va="center", color="0.4")
    return ax


def _as_groups(kernels: Kernels) -> Mapping[str, xr.Dataset]:
    groups: Any = {str(kernels.attrs.get("group", "kernel")): kernels} if isinstance(kernels, xr.Dataset) else kernels
    if not isinstance(groups, Mapping) or not groups:
        raise TypeError(f"kernels must be what popglm.kernels returns, or one of its Datasets; found {shown(kernels)}")
    for data in groups.values():
        check_dataset(data, ["kernel"], "kernels", "popglm.kernels")
        if "part" in data["kernel"].dims:
            raise ValueError(
                "kernels are those of both parts of a TwoPartGLM, and a picture shows one; choose it first: "
                "{group: own.sel(part='events') for group, own in kernels.items()}, or 'amounts'"
            )
    return groups


def _read(
    kernels: Kernels, group: str | None, neurons: str | Iterable[str] | None, quantity: str
) -> tuple[xr.Dataset, xr.DataArray, str, str]:
    """The Dataset of one group and the neurons asked for, the quantity in it, the group's name, the label."""
    kernels = _as_groups(kernels)
    found = [list(kernels)[i] for i in pick(group, list(kernels), "group")]
    if len(found) > 1:
        raise ValueError(f"group must name one group to draw; there are {listed(map(repr, found))}")
    data = of_response(pick_neurons(kernels[found[0]], neurons))
    label = with_link(check_quantity(quantity, LABELS, data), data)
    return data, data[quantity].transpose("neuron", ...), found[0], label


def _band(data: xr.Dataset, quantity: str, dim: str) -> tuple[np.ndarray, np.ndarray]:
    """Limits of the bootstrap, which are those of the kernel; exp is monotone and takes them to the gain."""
    if "lower" not in data or quantity not in ("kernel", "gain"):
        nothing = np.full((data.sizes["neuron"], data.sizes[dim]), np.nan)
        return nothing, nothing
    low, high = (along(data[name].transpose("neuron", dim), dim)[0].values for name in ("lower", "upper"))
    return (np.exp(low), np.exp(high)) if quantity == "gain" else (low, high)


def _mean(values: xr.DataArray, quantity: str) -> xr.DataArray:
    """Mean over neurons; of gains, which are factors, the geometric one."""
    return np.exp(xr.apply_ufunc(np.log, values).mean("neuron")) if "gain" in quantity else values.mean("neuron")


def _limits(curves: np.ndarray, nothing: float) -> tuple[float, float]:
    """Limits of the vertical axis around curves (n_neurons, n_points), but for a few that tower above the others."""
    high = _without_outliers(np.nanmax(curves, axis=1, initial=nothing) - nothing)
    low = _without_outliers(nothing - np.nanmin(curves, axis=1, initial=nothing))
    margin = 0.05 * (high + low) or 0.05
    return (nothing - low - margin, nothing + high + margin) if nothing == 0 else (0.0, nothing + high + margin)


def _without_outliers(sizes: np.ndarray) -> float:
    """The largest of the sizes above 0, but three times their third quartile at most."""
    some = sizes[sizes > 0]
    return min(float(some.max()), 3 * float(np.quantile(some, 0.75))) if len(some) else 0.0


def _axes_of(values: xr.DataArray) -> tuple[str, ...]:
    return tuple(str(dim) for dim in values.dims if dim != "neuron")


def _room_beside(ax: Axes, x: np.ndarray, levels: list[str] | None) -> None:
    """Curves from end to end; categories with half a step of room on either side."""
    if levels:
        ax.set_xlim(x[0] - 0.5, x[-1] + 0.5)
    else:
        from_end_to_end(ax, x)
