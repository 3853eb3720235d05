"""Where each cell of a population is active: a row per cell, sorted along the variable."""

from __future__ import annotations

from collections.abc import Iterable

import numpy as np
import xarray as xr
from matplotlib.axes import Axes

from popglm.messages import shown
from popglm.plot.labelled import (
    bins_along,
    by_peak,
    check_dataset,
    check_quantity,
    count_neurons,
    edges,
    name_rows,
    pick_neurons,
)
from popglm.plot.style import axes_or_new, entitle

__all__ = ["place_map"]

#: A cell whose activity varies by less than this share of its peak has no place.
FLAT = 0.05
LABELS = {"average": "Activity / peak of the cell", "predicted": "Predicted activity / its peak"}


def place_map(
    tuning: xr.Dataset,
    ax: Axes | None = None,
    *,
    axis: str | None = None,
    neurons: str | Iterable[str] | None = None,
    quantity: str = "average",
    order: xr.Dataset | None = None,
) -> Axes:
    """Draw tuning as an image, a row per cell: from 0 to the peak of each, sorted by where the peak is.

    Sorting makes a diagonal of noise, too. To see fields that are there, sort by one half of the data and draw the
    other, or draw the predictions in the order of the recorded peaks: ``order=``.

    Parameters
    ----------
    tuning : Dataset
        What `popglm.tuning` or `popglm.predicted_tuning` returns. Of several types of trial choose one first, with
        ``.sel(cue=1)``.
    ax : matplotlib.axes.Axes, optional
        Where to draw; a new figure unless given.
    axis : str, optional
        Name of the bins, such as "position"; may be left out if there are bins along one axis only.
    neurons : str or list of str, optional
        Names or shell patterns of the neurons; all unless given.
    quantity : {"average", "predicted"}
        What to draw.
    order : Dataset, optional
        The tuning by whose peaks the neurons are sorted, of the same bins and neurons; `tuning` unless given.

    Returns
    -------
    matplotlib.axes.Axes

    Raises
    ------
    TypeError, ValueError
        If an axis, neuron or quantity is not there, there are several types of trial, `tuning` or `order` is of another
        kind, or `ax` is not Axes.

    Notes
    -----
    Cells that are active nowhere, or everywhere alike as a null model is (within 5 % of their largest activity), have
    no peak; they stand at the bottom and are drawn as 0. Activity below 0, as deconvolution may leave it, is drawn
    as 0, and what is not known (NaN) is empty.

    Examples
    --------
    >>> import popglm as pg
    >>> from popglm.plot import place_map
    >>> by = pg.bins([0, 5, 5, 0], centers=[0, 5], half_width=2.5, name="position", unit="cm")
    >>> ax = place_map(pg.tuning([[0.0, 3.0], [2.0, 1.0], [4.0, 0.0], [0.0, 3.0]], by))
    >>> [label.get_text() for label in ax.get_yticklabels()]
    ['neuron1', 'neuron0']
    """
    values, x, label = _rates(tuning, axis, neurons, quantity, "tuning")
    by = values
    if order is not None:
        by, x_order, _ = _rates(order, axis, list(map(str, values["neuron"].values)), "average", "order")
        if len(x_order) != len(x) or not np.allclose(x_order, x):
            raise ValueError("order must be of the same bins as tuning; make both from the same centers")
    rows, _ = by_peak(_above_zero(by), FLAT)
    values = values.isel(neuron=rows)
    rates = _above_zero(values)
    shades = rates / _peaks(rates)[:, None]

    n_neurons = len(values)
    ax = axes_or_new(ax, width=4.6, height=max(2.4, 1.0 + 0.18 * n_neurons) if n_neurons <= 30 else 5.0)
    image = ax.pcolormesh(edges(x), np.arange(n_neurons + 1) + 0.5, shades, cmap="viridis", vmin=0, vmax=1)
    image.set_rasterized(True)
    ax.figure.colorbar(image, ax=ax, label=LABELS[quantity], ticks=[0, 0.5, 1])
    ax.invert_yaxis()
    name_rows(ax, list(values["neuron"].values), "Cell, sorted by peak")
    ax.set_xlabel(label)
    known = values.notnull().any("bin").values
    entitle(ax, count_neurons(values["neuron"].values, known))
    return ax


def _rates(
    tuning: xr.Dataset, axis: str | None, neurons: str | Iterable[str] | None, quantity: str, argument: str
) -> tuple[xr.DataArray, np.ndarray, str]:
    """The quantity (neuron, bin), the centres of the bins and their label."""
    check_dataset(tuning, ["average", "axis", "center", "unit"], argument, "popglm.tuning or popglm.predicted_tuning")
    check_quantity(quantity, LABELS, tuning)
    levels = [str(dim) for dim in tuning[quantity].dims if dim not in ("bin", "neuron")]
    if levels:
        raise ValueError(
            f"{argument} has several types of trial along {shown(levels[0])}; choose one, as with "
            f".sel({levels[0]}={shown(tuning[levels[0]].values[0])})"
        )
    data, label = bins_along(pick_neurons(tuning, neurons), axis)
    return data[quantity].transpose("neuron", "bin"), data["center"].values, label


def _above_zero(values: xr.DataArray) -> np.ndarray:
    """A place is a peak above 0: what is below is as good as silence."""
    return np.maximum(values.values, 0.0)


def _peaks(rates: np.ndarray) -> np.ndarray:
    """Largest rate of every cell (n_neurons, n_bins); infinite where no bin stands out, so that the cell is dark."""
    largest = rates.max(axis=1, initial=0, where=~np.isnan(rates))
    return np.where(by_peak(rates, FLAT)[1], largest, np.inf)
