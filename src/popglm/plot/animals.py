"""What is pooled over animals: averages by group with their intervals, and types of cells."""

from __future__ import annotations

import numpy as np
import xarray as xr
from matplotlib.axes import Axes
from matplotlib.ticker import MaxNLocator

from popglm.checks import check_flag
from popglm.plot.labelled import check_dataset, pick
from popglm.plot.style import MODEL, NEURON, SEVERAL, axes_or_new, entitle, legend_beside, side_by_side

__all__ = ["cell_types", "group_averages", "type_stability"]


def group_averages(
    averages: xr.Dataset, ax: Axes | None = None, *, values: str | list[str] | None = None, differences: bool = False
) -> Axes:
    """Draw averages of groups with their intervals, or the differences of groups.

    Parameters
    ----------
    averages : Dataset
        What `popglm.hierarchical_bootstrap` or `popglm.mixed_model` return.
    ax : matplotlib.axes.Axes, optional
        Where to draw; a new figure unless given.
    values : str or list of str, optional
        Names or shell patterns; all unless given.
    differences : bool
        Whether to draw each pair of groups instead, with a star where p < 0.05.

    Returns
    -------
    matplotlib.axes.Axes

    Raises
    ------
    TypeError, ValueError
        If `averages` is not what these return, a value is not there, there is one group and thus no difference, or `ax`
        is not Axes.

    Examples
    --------
    >>> import numpy as np, pandas as pd
    >>> import popglm as pg
    >>> rng = np.random.default_rng(0)
    >>> table = pd.DataFrame({"animal": np.arange(60) % 6, "area": np.arange(60) % 2, "cue": rng.normal(size=60)})
    >>> found = pg.hierarchical_bootstrap(table, "cue", "area", levels="animal", n_resamples=100, seed=0)
    >>> ax = pg.plot.group_averages(found)
    >>> [tick.get_text() for tick in ax.get_xticklabels()]
    ['0', '1']
    """
    check_flag("group_averages", "differences", differences)
    maker = "popglm.hierarchical_bootstrap or popglm.mixed_model"
    check_dataset(averages, ["estimate", "lower", "upper"], "averages", maker)
    if differences and "difference" not in averages:
        raise ValueError("averages has a single group, and no differences to draw; give by= to what made it")
    dim, middle, low, high = "group", "estimate", "lower", "upper"
    if differences:
        dim, middle, low, high = "pair", "difference", "difference_lower", "difference_upper"
    data = averages.isel(value=pick(values, averages["value"].values, "values"))
    names, n = data[dim].values.tolist(), data.sizes["value"]
    ax = axes_or_new(ax, width=max(3.0, 1.2 + 0.3 * n * len(names)) + (1.5 if n > 1 else 0))
    ax.axhline(0, color="0.6", linewidth=0.8, zorder=0)
    for k, value in enumerate(data["value"].values):
        own = data.isel(value=k)
        x = side_by_side(np.arange(len(names)), k, n)
        color = SEVERAL[k] if k < len(SEVERAL) else "0.7"
        ax.vlines(x, own[low], own[high], color=color, linewidth=1.5)
        ax.plot(x, own[middle], "o", color=color, markersize=5, label=str(value))
        if differences:
            for at in np.flatnonzero(own["p_value"].values < 0.05):
                ax.annotate(
                    "*", (x[at], own[high].values[at]), (0, 1), textcoords="offset points", ha="center", color=color
                )
    ax.set_xticks(np.arange(len(names)), names)
    ax.set_xlim(-0.5, len(names) - 0.5)
    ax.set_xlabel("Pair of groups" if differences else "Group")
    ax.set_ylabel("Difference" if differences else "Average")
    title = [f"{100 * data.attrs['level']:g} % intervals"]
    if n > 1:
        legend_beside(ax)
    else:
        title.insert(0, str(data["value"].values[0]))
    entitle(ax, *title)
    return ax


def cell_types(types: xr.Dataset, ax: Axes | None = None) -> Axes:
    """Draw the contributions of all neurons as an image, a row each, type by type.

    Parameters
    ----------
    types : Dataset
        What `popglm.cell_types` returns. Neurons without a type are left out.
    ax : matplotlib.axes.Axes, optional
        Where to draw; a new figure unless given.

    Returns
    -------
    matplotlib.axes.Axes

    Raises
    ------
    TypeError, ValueError
        If `types` is not what that returns, or `ax` is not Axes.

    Examples
    --------
    >>> import numpy as np, pandas as pd
    >>> import popglm as pg
    >>> table = pd.DataFrame({"cue": np.arange(20) // 10 * 0.5, "speed": 0.2 - np.arange(20) // 10 * 0.2})
    >>> ax = pg.plot.cell_types(pg.cell_types(table, ["cue", "speed"], 2, n_resamples=2))
    >>> [tick.get_text() for tick in ax.get_xticklabels()]
    ['cue', 'speed']
    """
    check_dataset(types, ["type", "contribution", "center"], "types", "popglm.cell_types")
    own = types["type"].values
    values = types["contribution"].transpose("neuron", "value").values
    # within a type by the largest contribution
    order = np.lexsort([-values.max(axis=1), own])
    order = order[own[order] >= 0]
    ax = axes_or_new(ax, width=1.8 + 0.6 * values.shape[1], height=4.0)
    far = np.nanmax(np.abs(values[order]), initial=1e-9)
    image = ax.imshow(
        values[order], aspect="auto", cmap="RdBu_r", vmin=-far, vmax=far, interpolation="nearest",
        extent=(-0.5, values.shape[1] - 0.5, len(order) + 0.5, 0.5),
    )  # fmt: skip
    counts = np.bincount(own[own >= 0])
    ends = np.cumsum(counts)
    ax.hlines(ends[:-1] + 0.5, -0.5, values.shape[1] - 0.5, color="black", linewidth=0.8)
    for k, (end, count) in enumerate(zip(ends, counts, strict=True)):
        ax.annotate(f"{k}", (1.0, end - count / 2 + 0.5), (4, 0), xycoords=("axes fraction", "data"),
                    textcoords="offset points", va="center", fontsize="small")  # fmt: skip
    ax.set_xticks(np.arange(values.shape[1]), types["value"].values.tolist(), rotation=30, ha="right")
    ax.yaxis.set_major_locator(MaxNLocator(5, integer=True, min_n_ticks=1))
    ax.set_xlabel("Variable")
    ax.set_ylabel("Neuron, by type")
    ax.figure.colorbar(image, ax=ax, label="Contribution", pad=0.12, shrink=0.8)
    entitle(ax, f"{len(order):,} neurons, {len(counts)} types")
    return ax


def type_stability(types: xr.Dataset, ax: Axes | None = None) -> Axes:
    """Draw how alike the types of subsamples are, over the number of types, beside chance.

    Parameters
    ----------
    types : Dataset
        What `popglm.cell_types` returns.
    ax : matplotlib.axes.Axes, optional
        Where to draw; a new figure unless given.

    Returns
    -------
    matplotlib.axes.Axes

    Raises
    ------
    TypeError, ValueError
        If `types` is not what that returns, or `ax` is not Axes.

    Examples
    --------
    >>> import xarray as xr
    >>> from popglm.plot import type_stability
    >>> types = xr.Dataset(
    ...     {name: ("n_types", [0.9, 0.5]) for name in ("stability", "chance", "chance_sd")},
    ...     coords={"n_types": [2, 3]},
    ...     attrs={"n_types": 2},
    ... )
    >>> type_stability(types).get_ylabel()
    'Adjusted Rand index'
    """
    check_dataset(types, ["stability", "chance", "chance_sd"], "types", "popglm.cell_types")
    ax = axes_or_new(ax, width=4.8)
    x = types["n_types"].values
    chance, sd = types["chance"].values, types["chance_sd"].values
    ax.errorbar(x, chance, 2 * sd, fmt="o-", color="0.6", markersize=4, label="shuffled columns\n± 2 s.d.")
    ax.plot(x, types["stability"], "o-", color=NEURON, markersize=4, label="neurons")
    best = types.attrs["n_types"]
    ax.plot(best, types["stability"].sel(n_types=best), "o", color=MODEL, label="chosen", zorder=3)
    ax.set_ylim(min(0, float(min(types["stability"].min(), (chance - 2 * sd).min()))), 1.05)
    ax.xaxis.set_major_locator(MaxNLocator(6, integer=True))
    ax.set_xlabel("Number of types")
    ax.set_ylabel("Adjusted Rand index")
    legend_beside(ax)
    return ax
