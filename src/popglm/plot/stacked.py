"""What each neuron is explained by, as parts of one bar."""

from __future__ import annotations

import numpy as np
import xarray as xr
from matplotlib.axes import Axes

from popglm.plot.contributions import LABELS, Names, choose
from popglm.plot.labelled import check_dataset, check_quantity, count_neurons
from popglm.plot.style import SEVERAL, axes_or_new, entitle, legend_beside

__all__ = ["stacked_contributions"]


def stacked_contributions(
    contributions: xr.Dataset,
    ax: Axes | None = None,
    *,
    variables: Names = None,
    neurons: Names = None,
    quantity: str = "fraction_null_deviance",
) -> Axes:
    """Draw a bar per neuron, in the order of what is explained, whose parts are the shares of the variables.

    Shares below 0 hang below the line. Of more than ten variables the ten with the largest shares have a colour, and
    the others are one grey part. A line shows what the model explains: Shapley values end there, but for what is
    explained without any of the variables.

    Parameters
    ----------
    contributions : Dataset
        What `popglm.shapley` returns. Contributions of `popglm.breakdown` or `popglm.compare` do not add up, and need
        not end at the line.
    ax : matplotlib.axes.Axes, optional
        Where to draw; a new figure unless given.
    variables, neurons : str or list of str, optional
        Names or shell patterns; all unless given. Neurons of which nothing is known are left out.
    quantity : {"fraction_null_deviance", "fraction_explained_deviance"}
        What the shares are fractions of.

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
    >>> from popglm.plot import stacked_contributions
    >>> shares = xr.Dataset(
    ...     {
    ...         "fraction_null_deviance": (("neuron", "variable"), [[0.1, 0.05], [0.2, 0.1]]),
    ...         "deviance_explained": ("neuron", [0.15, 0.3]),
    ...     },
    ...     coords={"neuron": ["neuron0", "neuron1"], "variable": ["cue", "speed"]},
    ... )
    >>> ax = stacked_contributions(shares)
    >>> [float(bar.get_height()) for bar in ax.patches[:2]]  # the neuron of which most is explained comes first
    [0.2, 0.1]
    """
    check_dataset(contributions, ["deviance_explained"], "contributions", "popglm.shapley")
    label = check_quantity(quantity, LABELS, contributions)
    data = choose(contributions, variables, neurons)
    values = data[quantity].transpose("variable", "neuron").values
    explained = data["deviance_explained"].values
    known = np.flatnonzero(np.isfinite(values).all(axis=0) & np.isfinite(explained))
    order = known[np.argsort(-explained[known], kind="stable")]
    parts = _parts(data["variable"].values.tolist(), values[:, order])

    ax = axes_or_new(ax, width=6.6)
    place, above, below = np.arange(len(order)) + 1, np.zeros(len(order)), np.zeros(len(order))
    for name, color, heights in parts:
        at = np.where(heights >= 0, above, below)
        ax.bar(place, heights, width=1.0 if len(order) > 40 else 0.8, bottom=at, color=color, label=name, linewidth=0)
        above, below = above + np.maximum(heights, 0), below + np.minimum(heights, 0)
    ax.axhline(0, color="0.6", linewidth=0.8)
    if quantity == "fraction_null_deviance":
        ax.plot(place, explained[order], color="black", linewidth=1, drawstyle="steps-mid", label="explained")
    legend_beside(ax, reverse=True)
    ax.set_xlabel("Neuron")
    ax.set_ylabel(label)
    ax.margins(x=0.01)
    drawn = np.isin(np.arange(data.sizes["neuron"]), known)
    entitle(ax, count_neurons(data["neuron"].values, drawn))
    return ax


def _parts(names: list[str], values: np.ndarray) -> list[tuple[str, str, np.ndarray]]:
    """Name, colour and heights (n_neurons,) of every part: the largest, and all others as one."""
    size = np.abs(values).sum(axis=1)
    largest = np.sort(np.argsort(-size, kind="stable")[: len(SEVERAL)])
    parts = [(str(names[v]), SEVERAL[k], values[v]) for k, v in enumerate(largest)]
    others = np.setdiff1d(np.arange(len(names)), largest)
    if len(others):
        parts.append((f"{len(others)} other{'s' * (len(others) > 1)}", "0.8", values[others].sum(axis=0)))
    return parts
