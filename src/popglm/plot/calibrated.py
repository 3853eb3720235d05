"""Observed activity over predicted."""

from __future__ import annotations

from typing import Any

import numpy as np
import xarray as xr
from matplotlib.axes import Axes
from matplotlib.collections import LineCollection

from popglm.plot.classes import CLASSES_OF, count_rows, of_response
from popglm.plot.labelled import check_dataset, check_unit, pick_neurons
from popglm.plot.style import MODEL, NEURON, SEVERAL, axes_or_new, curve, entitle, faint, legend_beside

__all__ = ["calibration"]

#: Predictions that differ by more than this factor are drawn by their logarithm.
WIDE = 20
NEEDED = ["predicted", "observed", "standard_error", "pooled_predicted", "pooled_slope"]


def calibration(
    calibration: xr.Dataset, ax: Axes | None = None, *, neurons: Any = None, unit: str = "per sample"
) -> Axes:
    """Draw observed over predicted activity; predictions that are right lie on the diagonal.

    Axes are logarithmic where predictions are positive and differ by more than a factor of twenty, as rates do, but not
    of probabilities of classes.
    A bin in which nothing was observed has no dot there.

    Parameters
    ----------
    calibration : Dataset
        What `popglm.calibration` returns.
    ax : matplotlib.axes.Axes, optional
        Where to draw; a new figure unless given.
    neurons : str or list of str, optional
        Names or shell patterns: curves of these neurons, dots ± standard error in colours for ten of them. Unless given
        the picture has all neurons, faint, and in red all of them together. Of a classifier: one response, whose
        classes are drawn.
    unit : str
        Of the activity, for the labels.

    Returns
    -------
    matplotlib.axes.Axes

    Raises
    ------
    TypeError, ValueError
        If `calibration` is not what that returns, a neuron is not there, or `ax` is not Axes.

    Examples
    --------
    >>> import numpy as np
    >>> import popglm as pg
    >>> X = np.random.default_rng(0).normal(size=(500, 2))
    >>> Y = np.random.default_rng(1).poisson(np.exp(X - 1))
    >>> found = pg.calibration(pg.GLMCV(n_lambdas=5).fit(X, Y), X, Y, bins=5)
    >>> ax = pg.plot.calibration(found)
    >>> ax.get_xlabel(), ax.get_ylabel()
    ('Predicted (per sample)', 'Observed (per sample)')
    """
    check_dataset(calibration, NEEDED, "calibration", "popglm.calibration")
    check_unit(unit)
    data = of_response(pick_neurons(calibration, neurons)).transpose("neuron", "bin")
    of_classes = CLASSES_OF in data.attrs
    unit, together = ("probability", False) if of_classes else (unit, neurons is None)
    ax = axes_or_new(ax, width=4.6 if together else 5.4, height=3.6)
    ends = data["predicted"].values[data["n_samples"].values > 0]
    limits = [ends.min(initial=np.inf), ends.max(initial=-np.inf)] if len(ends) else []
    ax.plot(limits, limits, color="0.6", linewidth=0.8, zorder=0)
    if together:
        _all_together(ax, data)
    else:
        _one_by_one(ax, data)
    if limits and limits[0] > 0 and limits[1] > WIDE * limits[0] and not of_classes:
        ax.set(xscale="log", yscale="log")
    known = data["observed"].notnull().any("bin").values
    entitle(ax, count_rows(data, data["neuron"].values, known))
    ax.set_xlabel(f"Predicted ({unit})")
    ax.set_ylabel(f"Observed ({unit})")
    legend_beside(ax)
    return ax


def _all_together(ax: Axes, data: xr.Dataset) -> None:
    """A faint curve for each neuron, and all neurons in their own bins."""
    n = data.sizes["neuron"]
    lines = np.stack([data["predicted"].values, data["observed"].values], axis=-1)
    ax.add_collection(LineCollection(list(lines), colors=NEURON, **faint(n), label="a neuron"))
    x, y, error = (data[f"pooled_{name}"].values for name in ("predicted", "observed", "standard_error"))
    slope = data["pooled_slope"].item()
    label = "all together" if np.isnan(slope) else f"all together,\nslope {slope:.2f}"
    ax.plot(x, y, color=MODEL, linewidth=0.8, zorder=3)
    curve(ax, x, y, y - error, y + error, points=True, color=MODEL, zorder=3, label=label)
    ax.autoscale_view()


def _one_by_one(ax: Axes, data: xr.Dataset) -> None:
    """A curve with standard errors for each neuron."""
    for j, name in enumerate(data["neuron"].values):
        own = data.isel(neuron=j)
        x, y, error = (own[part].values for part in ("predicted", "observed", "standard_error"))
        color = SEVERAL[j] if j < len(SEVERAL) else "0.8"
        slope = own["slope"].item()
        label = str(name) if np.isnan(slope) else f"{name}, slope {slope:.2f}"
        ax.plot(x, y, color=color, linewidth=0.8)
        curve(ax, x, y, y - error, y + error, points=True, color=color, label=label if j < len(SEVERAL) else None)
