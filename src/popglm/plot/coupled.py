"""Who drives whom: couplings between neurons as a matrix."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import numpy as np
import xarray as xr
from matplotlib.axes import Axes
from matplotlib.colors import LogNorm, Normalize

from popglm.plot.kernel_labels import factor_ticks, with_link
from popglm.plot.kernels import MOST_NAMED
from popglm.plot.labelled import check_dataset, check_quantity, count_neurons, name_columns, name_rows, pick
from popglm.plot.style import SEVERAL, axes_or_new, entitle, label_height

__all__ = ["connectivity"]

LABELS = {
    "net": "Net coupling (change of {})",
    "norm": "Norm of the coupling (change of {})",
    "peak": "Peak of the coupling (change of {})",
    "gain": "Gain at the peak (factor on the rate)",
}
#: Of pairs that were left out of the fit.
NOTHING = "0.82"


def connectivity(
    connectivity: xr.Dataset,
    ax: Axes | None = None,
    *,
    quantity: str = "net",
    sources: str | Iterable[str] | None = None,
    targets: str | Iterable[str] | None = None,
) -> Axes:
    """Draw couplings as a matrix: a row for every source neuron, a column for every target neuron.

    White is no coupling; red excites, blue inhibits. Pairs that were left out of the fit are grey. Colours end at the
    largest coupling between different neurons; of more than ten neurons at the 99th percentile of those that are not 0.
    What neurons do to themselves is often far stronger, and may lie beyond.

    Parameters
    ----------
    connectivity : Dataset
        What `popglm.connectivity` returns.
    ax : matplotlib.axes.Axes, optional
        Where to draw; a new figure unless given.
    quantity : {"net", "norm", "peak", "gain"}
    sources, targets : str or list of str, optional
        Names or shell patterns of the neurons in the rows and columns, in this order; all unless given.

    Returns
    -------
    matplotlib.axes.Axes

    Raises
    ------
    TypeError, ValueError
        If `connectivity` is not what that returns, a neuron or quantity is not there, or `ax` is not Axes.

    Examples
    --------
    >>> import xarray as xr
    >>> import popglm as pg
    >>> values = [[-2.0, 0.8], [0.1, -1.5]]
    >>> found = xr.Dataset(
    ...     {name: (("source", "target"), values) for name in ("net", "peak")},
    ...     coords={"source": ["a", "b"], "target": ["a", "b"]},
    ... )
    >>> ax = pg.plot.connectivity(found)
    >>> ax.get_title()
    '2 neurons'
    """
    check_dataset(connectivity, ["net", "peak"], "connectivity", "popglm.connectivity")
    label = with_link(check_quantity(quantity, LABELS, connectivity), connectivity)
    rows = pick(sources, connectivity["source"].values, "sources")
    columns = pick(targets, connectivity["target"].values, "targets")
    image = connectivity[quantity].transpose("source", "target")[rows, columns]
    sizes = np.abs(np.log(image.values) if quantity == "gain" else image.values)
    limit = _limit(sizes, image["source"].values[:, None] == image["target"].values)
    width, height = (5.4 if n > MOST_NAMED else max(3.2, 1.2 + 0.18 * n) for n in (len(columns), len(rows)))
    ax = axes_or_new(ax, width=width + 1.2, height=height)
    ax.set_facecolor(NOTHING)
    norm = LogNorm(np.exp(-limit), np.exp(limit)) if quantity == "gain" else Normalize(-limit, limit)
    edges = (np.arange(n + 1) + 0.5 for n in (len(columns), len(rows)))
    mesh = ax.pcolormesh(*edges, image.values, cmap="RdBu_r", norm=norm, rasterized=True)
    _colour_bar(ax, mesh, label, quantity, limit, image.values)
    ax.invert_yaxis()
    from_these, to_these = image["source"].values.tolist(), image["target"].values.tolist()
    name_rows(ax, from_these, "")
    name_columns(ax, to_these)
    ax.set_ylabel("Source neuron")
    ax.set_xlabel("Target neuron")
    grey = ["grey: left out"] if np.isnan(image.values).any() else []
    entitle(ax, _counts(from_these, to_these), *grey)
    return ax


def _counts(sources: list[str], targets: list[str]) -> str:
    """How many neurons are drawn."""
    alike = sources == targets
    return count_neurons(sources) if alike else f"{len(sources):,} source and {len(targets):,} target neurons"


def _limit(sizes: np.ndarray, own: np.ndarray) -> float:
    """Where the colours end: of couplings between different neurons, or of all where there are none."""
    for some in (sizes[~own], sizes):
        some = some[some > 0]
        if len(some):
            return float(np.quantile(some, 0.99 if max(sizes.shape) > len(SEVERAL) else 1))
    return 1.0


def _colour_bar(ax: Axes, mesh: Any, label: str, quantity: str, limit: float, values: np.ndarray) -> None:
    """A bar with points where colours end before the values do; of norms the upper half alone."""
    ends = np.exp([-limit, limit]) if quantity == "gain" else np.array([-limit, limit])
    below, above = bool((values < ends[0]).any()), bool((values > ends[1]).any())
    extend = {(False, False): "neither", (True, False): "min", (False, True): "max", (True, True): "both"}
    ticks = factor_ticks(limit) if quantity == "gain" else {}
    bar = ax.figure.colorbar(mesh, ax=ax, extend=extend[below, above], **ticks)
    bar.minorticks_off()
    if quantity == "norm":
        bar.ax.set_ylim(0, limit)
    label_height(bar.ax, label)
