"""Reading the labelled results of `popglm.explain`: choosing by name, averaging over neurons, axes and their units."""

from __future__ import annotations

from collections.abc import Hashable, Iterable, Mapping, Sequence
from difflib import get_close_matches
from fnmatch import fnmatchcase
from typing import Any

import numpy as np
import xarray as xr
from matplotlib.axes import Axes
from matplotlib.axis import Axis
from matplotlib.ticker import MaxNLocator
from numpy.typing import ArrayLike

from popglm.checks import is_iterable, no_more_than
from popglm.messages import listed, shown

__all__ = [
    "along",
    "bins_along",
    "by_peak",
    "check_dataset",
    "check_quantity",
    "check_unit",
    "count_neurons",
    "edges",
    "label_axis",
    "mean_and_sem",
    "name_columns",
    "name_rows",
    "pick",
    "pick_neurons",
    "pooled_and_sem",
    "with_unit",
]


#: What draws the results that have these variables.
_DRAWN_BY = (
    (("average", "time_from_event"), "popglm.plot.psth draws what popglm.psth returns"),
    (("average", "axis"), "popglm.plot.tuning_curves and place_map draw what popglm.tuning returns"),
    (("sends", "hears"), "popglm.plot.latent_couplings draws what popglm.latent_couplings returns"),
    (("net", "peak"), "popglm.plot.connectivity draws what popglm.connectivity returns"),
    (("kernel",), "popglm.plot.kernel_curves and kernel_image draw what popglm.kernels returns"),
    (
        ("reduced_deviance",),
        "popglm.plot.contribution_distribution and contributions_over_bins draw what popglm.breakdown returns",
    ),
)


def pick(asked: str | Iterable[str] | None, known: Iterable[Any], argument: str) -> list[int]:
    """Positions in `known` of the names or shell patterns that were asked for, in that order; None is all of them.

    Examples
    --------
    >>> pick(["time", "position*"], ["position", "position × cue", "time"], "groups")
    [2, 0, 1]
    """
    names = [str(name) for name in known]
    if asked is None:
        return list(range(len(names)))
    if not is_iterable(asked):
        raise TypeError(f"{argument} must be a name, a shell pattern or a list of these; found {shown(asked)}")
    asked = [asked] if isinstance(asked, str) else no_more_than("plot", argument, asked, each="")
    if not asked:
        raise ValueError(f"{argument} is empty; {_offer(names)}")
    chosen: dict[int, None] = {}
    for name in map(str, asked):
        # a name is taken literally before it is a pattern
        found = [i for i, there in enumerate(names) if there == name]
        found = found or [i for i, there in enumerate(names) if fnmatchcase(there, name)]
        if not found:
            near = get_close_matches(name, names, n=3)
            hint = f"did you mean {' or '.join(map(repr, near))}?" if near else _offer(names)
            raise ValueError(f"{argument}: nothing is named {name!r}; {hint}")
        chosen.update(dict.fromkeys(found))
    return list(chosen)


def pick_neurons(data: xr.Dataset, neurons: str | Iterable[str] | None) -> xr.Dataset:
    """The Dataset with the neurons that were asked for, by name or shell pattern; all unless given."""
    return data.isel(neuron=pick(neurons, data["neuron"].values, "neurons"))


def _offer(names: list[str]) -> str:
    return f"there is {listed(map(repr, names))}"


def check_dataset(data: Any, needed: Sequence[str], argument: str, maker: str) -> None:
    """Complain unless `data` is a Dataset with the variables that `maker` gives it."""
    if not isinstance(data, xr.Dataset):
        raise TypeError(f"{argument} must be the Dataset that {maker} returns; found {type(data).__name__}")
    missing = [name for name in needed if name not in data]
    if missing:
        there = listed(map(repr, data)) or "nothing"
        raise ValueError(
            f"{argument} must be what {maker} returns, with {missing[0]!r}; it has {there}{_drawn_by(data)}"
        )
    empty = [str(dim) for dim, size in data.sizes.items() if size == 0]
    if empty:
        raise ValueError(f"{argument} has no {empty[0]} to draw")


def _drawn_by(data: xr.Dataset) -> str:
    """Which results the Dataset is like, and what draws them."""
    found = next((drawn for names, drawn in _DRAWN_BY if all(name in data for name in names)), None)
    return "" if found is None else f": {found}"


def check_quantity(quantity: str, labels: Mapping[str, str], there: Iterable[Hashable]) -> str:
    """The label of a quantity, if it is one of `labels` and is there."""
    offers = [name for name in labels if name in set(there)]
    if not isinstance(quantity, str) or quantity not in offers:
        offered = ", ".join(map(repr, offers))
        raise ValueError(f"quantity must be one of those there: {offered or 'none'}; found {shown(quantity)}")
    return labels[quantity]


def count_neurons(names: Sequence[Any] | np.ndarray, drawn: ArrayLike | None = None) -> str:
    """How many neurons are drawn, for a title: "neuron3", "12 neurons", or "11 of 12 neurons".

    ``drawn`` says of each whether it is in the picture; all are unless given.
    """
    n_drawn = len(names) if drawn is None else int(np.count_nonzero(drawn))
    if len(names) == 1:
        return str(names[0]) if n_drawn else f"nothing known of {names[0]}"
    return f"{len(names):,} neurons" if n_drawn == len(names) else f"{n_drawn:,} of {len(names):,} neurons"


def mean_and_sem(values: xr.DataArray) -> tuple[np.ndarray, np.ndarray]:
    """Mean over neurons and its standard error (std with ddof 1 / √n), without NaN; the s.e.m. of one is NaN."""
    n, mean = values.count("neuron"), values.mean("neuron")
    n = n.where(n > 1)
    variance = ((values - mean) ** 2).sum("neuron") / (n - 1)
    return mean.values, np.sqrt((variance / n).values)


def pooled_and_sem(values: xr.DataArray, weight: xr.DataArray) -> tuple[np.ndarray, np.ndarray]:
    """Σ weight · value / Σ weight over neurons whose value is known, and its standard error, that of a ratio."""
    n = values.count("neuron")
    total = weight.where(values.notnull()).sum("neuron")
    pooled = (weight * values).sum("neuron") / total.where(total > 0)
    squares = (weight**2 * (values - pooled) ** 2).sum("neuron")
    sem = (n / (n - 1).where(n > 1) * squares) ** 0.5 / total.where(total > 0)
    return pooled.values, sem.values


def bins_along(data: xr.Dataset, axis: str | None) -> tuple[xr.Dataset, str]:
    """The bins of one axis in order of their centres, and the axis's label with its unit."""
    names = list(dict.fromkeys(data["axis"].values.tolist()))
    if axis is None and len(names) > 1:
        raise ValueError(f"axis must say along what to draw: the bins lie along {listed(map(repr, names))}")
    if axis is not None and not isinstance(axis, str):
        raise TypeError(f"axis must be the name of one, as text; found {shown(axis)}")
    chosen = pick(names[0] if axis is None else axis, names, "axis")[0]
    part = data.isel(bin=np.flatnonzero(data["axis"].values == names[chosen]))
    part = part.isel(bin=np.argsort(part["center"].values, kind="stable"))
    return part, with_unit(names[chosen], str(part["unit"].values[0]))


def along(data: xr.DataArray, dim: str) -> tuple[xr.DataArray, np.ndarray, list[str] | None]:
    """Values in order of a coordinate, where they stand on its axis, and tick labels if it holds categories.

    A coordinate of a single value is one category: there is nothing to join it to.
    """
    number = np.issubdtype(data[dim].dtype, np.number) and "categories" not in data[dim].attrs
    if number and data.sizes[dim] > 1:
        data = data.sortby(dim)  # lags may come in any order
        return data, data[dim].values.astype(float), None
    levels = [f"{level:g}" if number else str(level) for level in data[dim].values]
    return data, np.arange(data.sizes[dim], dtype=float), levels


def by_peak(values: np.ndarray, flat: float = 1e-6) -> tuple[np.ndarray, np.ndarray]:
    """Rows (n_neurons, n_points) in the order of their peaks, and which have one.

    Those that vary by less than the share ``flat`` of their largest size, as zeros do, and those of which nothing is
    known come last.
    """
    known = ~np.isnan(values)
    high = values.max(axis=1, initial=-np.inf, where=known)
    low = values.min(axis=1, initial=np.inf, where=known)
    peaked = high - low > flat * np.maximum(np.abs(high), np.abs(low))
    place = np.where(known, values, -np.inf).argmax(axis=1)
    rank = np.where(peaked, place, values.shape[1] + ~known.any(axis=1))
    return np.argsort(rank, kind="stable"), peaked


def label_axis(axis: Axis, data: xr.Dataset, dim: str, x: np.ndarray, levels: list[str] | None) -> None:
    """Name and unit of a coordinate on its axis, and its categories if it holds any."""
    axis.set_label_text(with_unit(dim, data[dim].attrs.get("units")))
    if levels:
        axis.set_ticks(x, levels)


def name_rows(ax: Axes, names: Sequence[Any], otherwise: str) -> None:
    """Name the rows 1, 2, … of an image if their names have room; else say in one label what they are."""
    ax.tick_params(axis="y", length=0)
    size = 7.5
    points = ax.get_window_extent().height / ax.figure.dpi * 72  # of the Axes, in typographic points
    if len(names) * 1.1 * size <= points:
        ax.set_yticks(np.arange(len(names)) + 1.0, list(map(str, names)), fontsize=size)
    else:
        ax.tick_params(axis="y", length=3)
        ax.set_ylabel(otherwise)
        ax.yaxis.set_major_locator(MaxNLocator(5, integer=True, min_n_ticks=1))


def name_columns(ax: Axes, names: Sequence[Any]) -> None:
    """Name the columns 1, 2, … of an image if their names have room, upright where they are too wide; else count."""
    ax.tick_params(axis="x", length=0)
    size = 7.5
    points = ax.get_window_extent().width / ax.figure.dpi * 72
    if len(names) * 1.1 * size <= points:
        # a letter is about 0.6 of its size wide
        wide = max(len(str(name)) for name in names) * 0.6 * size > 0.9 * points / len(names)
        turn = 90 if wide else 0
        ax.set_xticks(np.arange(len(names)) + 1.0, list(map(str, names)), fontsize=size, rotation=turn)
    else:
        ax.tick_params(axis="x", length=3)
        ax.xaxis.set_major_locator(MaxNLocator(5, integer=True, min_n_ticks=1))


def check_unit(unit: Any) -> None:
    """Complain of a unit that is no text."""
    if not isinstance(unit, str | None):
        raise TypeError(f"unit must be text, such as 'cm'; found {shown(unit)}")


def with_unit(name: str, unit: str | None) -> str:
    """``"name (unit)"``, or the name alone where it has no unit or ends in it already, as "lag (s)" does."""
    check_unit(unit)
    return f"{name} ({unit})" if unit and not name.endswith(f"({unit})") else name


def edges(centers: np.ndarray) -> np.ndarray:
    """Half-way between neighbouring points, and as far beyond the outer ones."""
    if len(centers) == 1:
        return centers[0] + np.array([-0.5, 0.5])
    middle = (centers[1:] + centers[:-1]) / 2
    return np.r_[2 * centers[0] - middle[0], middle, 2 * centers[-1] - middle[-1]]
