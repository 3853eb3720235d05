"""One neuron's activity as it was recorded and as a model predicts it."""

from __future__ import annotations

import numpy as np
from matplotlib.axes import Axes
from numpy.typing import ArrayLike

from popglm.plot.style import MODEL, RECORDED, axes_or_new

__all__ = ["predicted_and_recorded"]


def predicted_and_recorded(
    recorded: ArrayLike,
    predicted: ArrayLike,
    time: ArrayLike | None = None,
    ax: Axes | None = None,
    *,
    trial: ArrayLike | None = None,
    unit: str = "per sample",
) -> Axes:
    """Draw one neuron's recorded activity (grey) and its prediction (red) over time.

    Parameters
    ----------
    recorded, predicted : array_like, shape (n_samples,)
        Activity and predicted mean in the same unit. Gaps (NaN) in `recorded` stay empty.
    time : array_like, shape (n_samples,), optional
        Time of every sample in seconds, increasing; unless given the axis counts samples.
    ax : matplotlib.axes.Axes, optional
        Where to draw; a new figure unless given.
    trial : array_like, shape (n_samples,), optional
        Trial of every sample: a thin line marks where a new trial begins, and the prediction breaks there.
    unit : str
        Unit of the activity, for the label of the vertical axis.

    Returns
    -------
    matplotlib.axes.Axes

    Raises
    ------
    TypeError, ValueError
        If the arrays are not 1-D of one length, or `ax` is not Axes.

    Examples
    --------
    >>> from popglm.plot import predicted_and_recorded
    >>> ax = predicted_and_recorded([0, 2, 1, 0], [0.3, 1.4, 1.2, 0.2], time=[0, 0.1, 0.2, 0.3])
    >>> ax.get_xlabel(), ax.get_ylabel()
    ('Time (s)', 'Activity (per sample)')
    """
    recorded = np.asarray(recorded, dtype=float)
    x = np.arange(len(recorded)) if time is None else np.asarray(time, dtype=float)
    predicted = np.asarray(predicted, dtype=float)
    trial = np.zeros(len(recorded)) if trial is None else np.asarray(trial)
    for name, values in (("recorded", recorded), ("predicted", predicted), ("time", x), ("trial", trial)):
        if values.ndim != 1 or len(values) != len(recorded):
            raise ValueError(
                f"{name} must be 1-D, one value per sample of one neuron, as long as recorded; "
                f"found shape {values.shape} beside {recorded.shape}"
            )

    ax = axes_or_new(ax, width=7.0, height=2.0)
    starts = np.flatnonzero(trial[1:] != trial[:-1]) + 1
    ax.vlines(x[starts], 0, 1, transform=ax.get_xaxis_transform(), color="0.85", linewidth=0.8, zorder=0)
    ax.fill_between(x, 0, recorded, step="mid", color=RECORDED, linewidth=0, label="recorded")
    for i, rows in enumerate(np.split(np.arange(len(x)), starts)):
        ax.plot(x[rows], predicted[rows], color=MODEL, linewidth=1.3, label="predicted" if i == 0 else None)
    ax.margins(x=0)
    ax.set_ylim(bottom=min(0.0, np.nanmin(recorded, initial=0), predicted.min(initial=0)))
    ax.set_xlabel("Sample" if time is None else "Time (s)")
    ax.set_ylabel(f"Activity ({unit})")
    return ax
