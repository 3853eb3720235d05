"""Contributions of variables: over position or time, and over neurons."""

from __future__ import annotations

from collections.abc import Iterable

import numpy as np
import xarray as xr
from matplotlib.axes import Axes

from popglm.checks import check_flag
from popglm.plot.labelled import (
    bins_along,
    check_dataset,
    check_quantity,
    count_neurons,
    mean_and_sem,
    pick,
    pick_neurons,
    pooled_and_sem,
)
from popglm.plot.style import (
    MODEL,
    SEVERAL,
    axes_or_new,
    dots,
    entitle,
    from_end_to_end,
    legend_beside,
    named_curves,
    spread,
)

__all__ = ["LABELS", "MAKER", "Names", "choose", "contribution_distribution", "contributions_over_bins"]

LABELS = {
    "fraction_null_deviance": "Fraction of null deviance",
    "fraction_explained_deviance": "Fraction of explained deviance",
}
MAKER = "popglm.breakdown or popglm.compare"
Names = str | Iterable[str] | None


def contributions_over_bins(
    contributions: xr.Dataset,
    ax: Axes | None = None,
    *,
    axis: str | None = None,
    variables: Names = None,
    neurons: Names = None,
    quantity: str = "fraction_explained_deviance",
    pooled: bool = True,
) -> Axes:
    """Draw what each variable contributes along position or time: of all neurons together, ± s.e.m.

    Pooled over neurons the fraction is the sum of their contributions over the sum of their explained (or null)
    deviances. A mean over neurons of their fractions is at the mercy of those of which next to nothing is explained:
    their fractions are ratios of two noises, and can be anything. Of more than ten variables the ten with the largest
    contributions have a colour; the others are grey.

    Parameters
    ----------
    contributions : Dataset
        What `popglm.breakdown` or `popglm.compare` returns with ``by=``.
    ax : matplotlib.axes.Axes, optional
        Where to draw; a new figure unless given.
    axis : str, optional
        Name of the bins, such as "position"; may be left out if there are bins along one axis only.
    variables, neurons : str or list of str, optional
        Names or shell patterns; all unless given. NaN (a bin without samples, a neuron of which nothing is explained)
        is left out; the title counts the neurons that are in the picture.
    quantity : {"fraction_explained_deviance", "fraction_null_deviance"}
        What the contribution in a bin, per sample, is a fraction of: the average over *all* samples, so that bins can
        be compared. Where much of what is explained comes from a few bins, these have more than 1.
    pooled : bool
        Whether to pool over neurons; else their fractions are averaged, each neuron counting the same.

    Returns
    -------
    matplotlib.axes.Axes

    Raises
    ------
    TypeError, ValueError
        If `contributions` has no bins, an axis, variable, neuron or quantity is not there, or `ax` is not Axes.

    Notes
    -----
    With the fraction :math:`f_j` of neuron :math:`j` in a bin and its explained (null) deviance :math:`E_j` over all
    samples, the pooled fraction is :math:`F = \\sum_j E_j f_j / \\sum_j E_j`, with the standard error of a ratio
    (Cochran 1977, section 2.11), :math:`\\sqrt{\\frac{n}{n - 1} \\sum_j E_j^2 (f_j - F)^2} / \\sum_j E_j`.

    References
    ----------
    Cochran, *Sampling Techniques*, 3rd edition (1977).

    Examples
    --------
    >>> import xarray as xr
    >>> from popglm.plot import contributions_over_bins
    >>> fractions = [[[0.1, 0.3]], [[0.2, 0.5]]]  # two neurons, one variable, two bins
    >>> contributions = xr.Dataset(
    ...     {
    ...         "binned_fraction_null_deviance": (("neuron", "variable", "bin"), fractions),
    ...         "null_deviance": ("neuron", [300.0, 100.0]),
    ...     },
    ...     coords={
    ...         "neuron": ["neuron0", "neuron1"],
    ...         "variable": ["cue"],
    ...         "axis": ("bin", ["position", "position"]),
    ...         "center": ("bin", [10.0, 20.0]),
    ...         "unit": ("bin", ["cm", "cm"]),
    ...     },
    ... )
    >>> ax = contributions_over_bins(contributions, quantity="fraction_null_deviance")
    >>> ax.get_xlabel(), ax.lines[-1].get_ydata()
    ('position (cm)', array([0.125, 0.35 ]))
    """
    check_dataset(contributions, [], "contributions", f"{MAKER} with by=")
    if "bin" not in contributions.dims:
        raise ValueError("contributions has no bins to draw along; give by=popglm.bins(...) to breakdown or compare")
    binned = [str(name).removeprefix("binned_") for name in contributions if str(name).startswith("binned_")]
    label = check_quantity(quantity, LABELS, binned)
    data, axis_label = bins_along(choose(contributions, variables, neurons), axis)
    values = data[f"binned_{quantity}"].transpose("neuron", "variable", "bin")
    x = data["center"].values
    check_flag("contributions_over_bins", "pooled", pooled)
    weight = _deviance_of(data, quantity) if pooled else None

    ax = axes_or_new(ax, width=6.0 if data.sizes["variable"] > 1 else 4.0)
    ax.axhline(0, color="0.6", linewidth=0.8, zorder=0)
    named_curves(
        ax,
        {
            str(variable): (
                x,
                *(
                    mean_and_sem(values.isel(variable=v))
                    if weight is None
                    else pooled_and_sem(values.isel(variable=v), weight)
                ),
            )
            for v, variable in enumerate(data["variable"].values)
        },
    )
    known = values.notnull().any(["variable", "bin"]).values
    what = [count_neurons(data["neuron"].values, known)]
    if known.sum() > 1:
        what.append(f"{'pooled' if pooled else 'mean'} ± s.e.m.")
    if data.sizes["variable"] > 1:
        legend_beside(ax)
    else:
        what.insert(0, str(data["variable"].values[0]))
    entitle(ax, *what)
    from_end_to_end(ax, x)
    ax.set_xlabel(axis_label)
    # bins in which more is explained than in others can hold more than 1
    ax.set_ylabel(f"{label}\nof the average sample")
    return ax


def contribution_distribution(
    contributions: xr.Dataset,
    ax: Axes | None = None,
    *,
    variables: Names = None,
    neurons: Names = None,
    quantity: str = "fraction_null_deviance",
) -> Axes:
    """Draw what each variable contributes overall: a dot per neuron, the quartiles (bar) and the median (red).

    The thin line reaches from the 5th to the 95th percentile; bar and line are drawn of more than ten neurons. Values
    far below 0 run out of the picture.

    Parameters
    ----------
    contributions : Dataset
        What `popglm.breakdown` or `popglm.compare` returns.
    ax : matplotlib.axes.Axes, optional
        Where to draw; a new figure unless given.
    variables, neurons : str or list of str, optional
        Names or shell patterns; all unless given. NaN (a neuron of which nothing is explained) is left out.
    quantity : {"fraction_null_deviance", "fraction_explained_deviance"}
        What the contribution is a fraction of.

    Returns
    -------
    matplotlib.axes.Axes

    Raises
    ------
    TypeError, ValueError
        If a variable, neuron or quantity is not there, or `ax` is not Axes.

    Examples
    --------
    >>> import xarray as xr
    >>> from popglm.plot import contribution_distribution
    >>> contributions = xr.Dataset(
    ...     {"fraction_null_deviance": (("neuron", "variable"), [[0.1, 0.0], [0.2, 0.05]])},
    ...     coords={"neuron": ["neuron0", "neuron1"], "variable": ["cue", "speed"]},
    ... )
    >>> ax = contribution_distribution(contributions)
    >>> [label.get_text() for label in ax.get_yticklabels()], ax.get_xlabel()
    (['cue', 'speed'], 'Fraction of null deviance')
    """
    check_dataset(contributions, [], "contributions", MAKER)
    label = check_quantity(quantity, LABELS, contributions)
    data = choose(contributions, variables, neurons)
    values = data[quantity].transpose("variable", "neuron").values
    n_variables, n_neurons = values.shape
    place = np.arange(n_variables)

    ax = axes_or_new(ax, width=6.6 if n_neurons > 1 else 5.0, height=max(2.0, 0.8 + 0.28 * n_variables))
    ax.axvline(0, color="0.6", linewidth=0.8, zorder=0)
    few = n_neurons <= len(SEVERAL)
    dots(
        ax, values.ravel(), (place[:, None] + (0.3 if few else 0.6) * spread(n_neurons)).ravel(), s=18 if few else 7,
        alpha=0.9 if n_neurons <= 100 else 0.4, rasterized=values.size > 2000, label="neuron",
    )  # fmt: skip
    if n_neurons > 1:
        known = np.flatnonzero(~np.isnan(values).all(axis=1))
        p5, p25, p50, p75, p95 = np.nanpercentile(values[known], [5, 25, 50, 75, 95], axis=1)
        if not few:
            ax.hlines(known, p5, p95, color="0.2", linewidth=1, label="5th to 95th\npercentile")
            ax.hlines(known, p25, p75, color="0.2", linewidth=4, label="quartiles")
        ax.scatter(p50, known, s=22, color=MODEL, edgecolor="white", linewidth=0.8, zorder=3, label="median")
        legend_beside(ax)
    finite = values[np.isfinite(values)]
    top = max(finite.max(initial=0), 0.02)
    ax.set_xlim(max(finite.min(initial=0), -0.3 * top) - 0.03 * top, 1.04 * top)
    ax.set_ylim(n_variables - 0.5, -0.5)
    ax.set_yticks(place, data["variable"].values.tolist(), fontsize="small")
    ax.tick_params(axis="y", length=0)
    ax.set_xlabel(label)
    in_sight = (values >= ax.get_xlim()[0]).any(axis=0)
    entitle(ax, count_neurons(data["neuron"].values, in_sight))
    return ax


def choose(contributions: xr.Dataset, variables: Names, neurons: Names) -> xr.Dataset:
    """The variables and neurons that were asked for."""
    found = pick(variables, contributions["variable"].values, "variables")
    return pick_neurons(contributions, neurons).isel(variable=found)


def _deviance_of(data: xr.Dataset, quantity: str) -> xr.DataArray:
    """What the fractions are of, summed over each neuron's samples."""
    needed = ["null_deviance", *(["full_deviance"] if quantity == "fraction_explained_deviance" else [])]
    check_dataset(data, needed, "contributions", MAKER)
    return data["null_deviance"] - (data["full_deviance"] if len(needed) == 2 else 0)
