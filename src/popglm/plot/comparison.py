"""Contributions of variables against each other: full and reduced models, model breakdown and model comparison."""

from __future__ import annotations

import numpy as np
import xarray as xr
from matplotlib.axes import Axes
from matplotlib.ticker import MaxNLocator

from popglm.messages import listed
from popglm.plot.contributions import LABELS, MAKER, Names, choose
from popglm.plot.labelled import check_dataset, check_quantity, count_neurons, pick, pick_neurons
from popglm.plot.style import NEURON, SEVERAL, axes_or_new, dots, entitle, legend_beside
from popglm.statistics.selection import fraction_explained

__all__ = ["breakdown_and_comparison", "full_and_reduced"]


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
        among = listed(repr(str(names[i])) for i in found)
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
        if (kind := data.attrs.get("kind", argument)) != argument:
            raise ValueError(f"{argument} must be what {maker} returns; found a {kind}")
        label = check_quantity(quantity, LABELS, data)
    shared = xr.align(breakdown[quantity], comparison[quantity], join="inner")
    for dim in ("neuron", "variable"):
        if not shared[0].sizes[dim]:
            raise ValueError(f"breakdown and comparison have no {dim} of the same name; make both from the same model")
    x, y = (choose(values.to_dataset(), variables, neurons)[quantity] for values in shared)
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
