"""Contributions of variables: over position or time, over neurons, and one way of measuring them against another."""

from __future__ import annotations

from collections.abc import Iterable

import numpy as np
import xarray as xr
from matplotlib.axes import Axes
from matplotlib.ticker import MaxNLocator

from popglm.model.selection import fraction_explained
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
    NEURON,
    SEVERAL,
    axes_or_new,
    dots,
    entitle,
    from_end_to_end,
    legend_beside,
    named_curves,
    spread,
)

__all__ = ["breakdown_and_comparison", "contribution_distribution", "contributions_over_bins", "full_and_reduced"]

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
    data, axis_label = bins_along(_choose(contributions, variables, neurons), axis)
    values = data[f"binned_{quantity}"].transpose("neuron", "variable", "bin")
    x = data["center"].values
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
    data = _choose(contributions, variables, neurons)
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


def full_and_reduced(
    contributions: xr.Dataset, ax: Axes | None = None, *, variable: str | None = None, neurons: Names = None
) -> Axes:
    """Draw the deviance explained by the full model against that of the reduced model, a dot per neuron.

    Above the diagonal are neurons to whose prediction the variable contributes. Values far below 0 run out of the
    picture.

    Parameters
    ----------
    contributions : Dataset
        What `popglm.compare` (re-fitted without the variable) or `popglm.breakdown` returns. With ``method="add"``
        or ``"keep"`` the reduced model has the variable alone.
    ax : matplotlib.axes.Axes, optional
        Where to draw; a new figure unless given.
    variable : str, optional
        Which variable's reduced model; may be left out if there is only one.
    neurons : str or list of str, optional
        Names or shell patterns of the neurons; all unless given.

    Returns
    -------
    matplotlib.axes.Axes

    Raises
    ------
    TypeError, ValueError
        If the variable or a neuron is not there, or `ax` is not Axes.

    Examples
    --------
    >>> import xarray as xr
    >>> from popglm.plot import full_and_reduced
    >>> comparison = xr.Dataset(
    ...     {
    ...         "null_deviance": ("neuron", [10.0, 20.0]),
    ...         "full_deviance": ("neuron", [6.0, 10.0]),
    ...         "reduced_deviance": (("neuron", "variable"), [[8.0], [11.0]]),
    ...     },
    ...     coords={"neuron": ["neuron0", "neuron1"], "variable": ["cue"]},
    ...     attrs={"kind": "comparison", "method": "remove"},
    ... )
    >>> ax = full_and_reduced(comparison)
    >>> ax.get_xlabel().replace("\\n", " "), ax.get_ylabel().replace("\\n", " ")
    ('Fraction deviance explained without cue', 'Fraction deviance explained by the full model')
    """
    check_dataset(contributions, ["null_deviance", "full_deviance", "reduced_deviance"], "contributions", MAKER)
    names = contributions["variable"].values
    found = pick(variable, names, "variable")
    if len(found) > 1:
        among = ", ".join(repr(str(names[i])) for i in found)
        raise ValueError(f"variable must name one variable to draw; there are {among}")
    data = pick_neurons(contributions, neurons).isel(variable=found[0])
    null = data["null_deviance"].values
    full = fraction_explained(data["full_deviance"].values, null)
    reduced = fraction_explained(data["reduced_deviance"].values, null)

    ax = axes_or_new(ax, width=3.6, height=3.6)
    _diagonal(ax, reduced, full)
    dots(ax, reduced, full)
    alone = contributions.attrs.get("method") in ("keep", "add")
    name = str(names[found[0]])
    ax.set_xlabel(f"Fraction deviance explained\n{f'by {name} alone' if alone else f'without {name}'}")
    ax.set_ylabel("Fraction deviance explained\nby the full model")
    entitle(ax, count_neurons(data["neuron"].values, _in_sight(ax, reduced, full)))
    return ax


def breakdown_and_comparison(
    breakdown: xr.Dataset,
    comparison: xr.Dataset,
    ax: Axes | None = None,
    *,
    variables: Names = None,
    neurons: Names = None,
    quantity: str = "fraction_null_deviance",
) -> Axes:
    """Draw contributions by model comparison against those by model breakdown, a dot per neuron and variable.

    Below the diagonal are variables that carry what correlated variables take over when the model is fitted again
    without them. Up to ten variables have a colour each. Values far below 0 run out of the picture.

    Parameters
    ----------
    breakdown, comparison : Dataset
        What `popglm.breakdown` and `popglm.compare` return; neurons and variables in both are drawn.
    ax : matplotlib.axes.Axes, optional
        Where to draw; a new figure unless given.
    variables, neurons : str or list of str, optional
        Names or shell patterns; all unless given.
    quantity : {"fraction_null_deviance", "fraction_explained_deviance"}
        What the contribution is a fraction of.

    Returns
    -------
    matplotlib.axes.Axes

    Raises
    ------
    TypeError, ValueError
        If the two share no neuron or no variable, a variable, neuron or quantity is not there, or `ax` is not Axes.

    Examples
    --------
    >>> import xarray as xr
    >>> from popglm.plot import breakdown_and_comparison
    >>> breakdown = xr.Dataset(
    ...     {"fraction_null_deviance": (("neuron", "variable"), [[0.1], [0.2]])},
    ...     coords={"neuron": ["neuron0", "neuron1"], "variable": ["cue"]},
    ... )
    >>> ax = breakdown_and_comparison(breakdown, 0.5 * breakdown)
    >>> ax.get_ylabel()
    'Fraction of null deviance\\n(model comparison)'
    """
    for data, argument, maker in (
        (breakdown, "breakdown", "popglm.breakdown"),
        (comparison, "comparison", "popglm.compare"),
    ):
        check_dataset(data, [], argument, maker)
        label = check_quantity(quantity, LABELS, data)
    shared = xr.align(breakdown[quantity], comparison[quantity], join="inner")
    for dim in ("neuron", "variable"):
        if not shared[0].sizes[dim]:
            raise ValueError(f"breakdown and comparison have no {dim} of the same name; make both from the same model")
    x, y = (_choose(values.to_dataset(), variables, neurons)[quantity] for values in shared)
    names = x["variable"].values.tolist()

    colored = 1 < len(names) <= len(SEVERAL)
    ax = axes_or_new(ax, width=5.4 if colored else 3.6, height=3.6)
    _diagonal(ax, x.values, y.values)
    for v, name in enumerate(names):
        dots(
            ax, x.isel(variable=v).values, y.isel(variable=v).values,
            color=SEVERAL[v] if colored else NEURON, label=name,
        )  # fmt: skip
    if colored:
        legend_beside(ax, markerscale=2 if x.sizes["neuron"] > 100 else 1)
    ax.set_xlabel(f"{label}\n(model breakdown)")
    ax.set_ylabel(f"{label}\n(model comparison)")
    in_sight = _in_sight(ax, *(values.transpose("neuron", "variable").values for values in (x, y))).any(axis=1)
    of = [] if colored else [names[0] if len(names) == 1 else f"{len(names)} variables"]
    entitle(ax, *of, count_neurons(x["neuron"].values, in_sight))
    return ax


def _choose(contributions: xr.Dataset, variables: Names, neurons: Names) -> xr.Dataset:
    found = pick(variables, contributions["variable"].values, "variables")
    return pick_neurons(contributions, neurons).isel(variable=found)


def _deviance_of(data: xr.Dataset, quantity: str) -> xr.DataArray:
    """What the fractions are of, summed over each neuron's samples."""
    needed = ["null_deviance", *(["full_deviance"] if quantity == "fraction_explained_deviance" else [])]
    check_dataset(data, needed, "contributions", MAKER)
    return data["null_deviance"] - (data["full_deviance"] if len(needed) == 2 else 0)


def _in_sight(ax: Axes, x: np.ndarray, y: np.ndarray) -> np.ndarray:
    """Which dots lie within the limits of the Axes."""
    (left, right), (bottom, top) = ax.get_xlim(), ax.get_ylim()
    return (left <= x) & (x <= right) & (bottom <= y) & (y <= top)


def _diagonal(ax: Axes, x: np.ndarray, y: np.ndarray) -> None:
    """Equal axes around all values but those far below 0, with the diagonal and the zeros."""
    values = np.concatenate([np.ravel(x), np.ravel(y)])
    values = values[np.isfinite(values)]
    top = max(values.max(initial=0), 0.02)
    limits = max(values.min(initial=0), -0.3 * top) - 0.05 * top, 1.05 * top
    ax.axline((0, 0), slope=1, color="0.6", linewidth=0.8, zorder=0)
    for zero in (ax.axhline, ax.axvline):
        zero(0, color="0.85", linewidth=0.8, zorder=0)
    ax.set_xlim(limits)
    ax.set_ylim(limits)
    ax.set_aspect("equal")
    for axis in (ax.xaxis, ax.yaxis):  # the same limits have the same ticks
        axis.set_major_locator(MaxNLocator(5, steps=[1, 2, 2.5, 5, 10]))
