"""One neuron's activity as it was recorded and as a model predicts it."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from numpy.typing import ArrayLike

from popglm.estimators.splits import as_labels
from popglm.labels import Rows, row_labels
from popglm.numbers import numbers_of
from popglm.plot.labelled import check_unit
from popglm.plot.style import MODEL, RECORDED, axes_or_new, edges_of_samples, trial_marks, whole_times

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
        Activity and predicted mean in the same unit. What is NaN stays empty. Where arguments have row labels, they are
        put in the order of the first that has.
    time : array_like, shape (n_samples,), optional
        Time of every sample in seconds, increasing. Gaps in it (steps above 1.5 × the median) stay empty. Unless given
        the axis counts samples.
    ax : matplotlib.axes.Axes, optional
        Where to draw; a new figure unless given.
    trial : array_like, shape (n_samples,), optional
        Trial of every sample: a dashed line, or a mark at the top if there are more than sixty, shows where a new trial
        begins, and the prediction breaks there.
    unit : str
        Unit of the activity, for the label of the vertical axis.

    Returns
    -------
    matplotlib.axes.Axes

    Raises
    ------
    TypeError, ValueError
        If the arrays are not 1-D of one length or have labels of other rows, time does not increase, or `ax` is not
        Axes.

    Examples
    --------
    >>> from popglm.plot import predicted_and_recorded
    >>> ax = predicted_and_recorded([0, 2, 1, 0], [0.3, 1.4, 1.2, 0.2], time=[0, 0.1, 0.2, 0.3])
    >>> ax.get_xlabel(), ax.get_ylabel()
    ('Time (s)', 'Activity (per sample)')
    """
    check_unit(unit)
    rows = Rows(row_labels(recorded), "recorded")
    in_order: Iterator[Any] = (
        values if order is None else np.asarray(values)[order]
        for values, order in (
            (values, rows.order(values, name))
            for name, values in (("predicted", predicted), ("time", time), ("trial", trial))
        )
    )
    predicted, time, trial = in_order
    y, mean = numbers_of(recorded, "recorded"), numbers_of(predicted, "predicted")
    x = np.arange(y.size, dtype=float) if time is None else numbers_of(time, "time")
    trials = np.zeros(y.size) if trial is None else np.asarray(as_labels(trial, "trial"))
    for name, values in (("recorded", y), ("predicted", mean), ("time", x), ("trial", trials)):
        if values.ndim != 1 or values.shape != y.shape:
            raise ValueError(
                f"{name} must be 1-D, one value per sample of one neuron, as long as recorded; "
                f"found shape {values.shape} beside {y.shape}"
            )

    if not len(x) or not (np.diff(x) > 0).all() or np.isnan(x).any():
        raise ValueError("time must hold at least one sample and increase from sample to sample, without NaN")

    ax = axes_or_new(ax, width=7.0, height=2.2)
    edges, after, _ = edges_of_samples(x)
    starts = np.flatnonzero(trials[1:] != trials[:-1]) + 1
    # dashed and dark, over the bars, which are as thin and as grey as a solid line would be
    dashes = {"linestyle": (0, (4, 3)), "zorder": 1.5, "label": "trial begins"} if len(starts) else {}
    trial_marks(ax, x[starts], color="0.15", linewidth=0.8, **dashes)
    # the outline keeps an event in sight where a sample is narrower than a pixel; `color` alone would have none
    ax.stairs(
        np.insert(y, after, np.nan), edges, fill=True, facecolor=RECORDED, edgecolor=RECORDED, linewidth=0.8,
        label="recorded",
    )  # fmt: skip
    breaks = np.union1d(after, starts)
    ax.plot(
        np.insert(x, breaks, x[breaks]), np.insert(mean, breaks, np.nan), color=MODEL, linewidth=1.3,
        label="predicted",
    )  # fmt: skip
    ax.set_xlim(edges[0], edges[-1])
    known = np.concatenate([y, mean])
    ax.set_ylim(bottom=min(0.0, np.nanmin(known, initial=0)))
    ax.legend(frameon=False, fontsize="small", ncols=3, loc="lower right", bbox_to_anchor=(1.0, 0.98), borderpad=0)
    whole_times(ax)
    ax.set_xlabel("Sample" if time is None else "Time (s)")
    ax.set_ylabel(f"Activity ({unit})")
    return ax
