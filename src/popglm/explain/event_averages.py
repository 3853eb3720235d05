"""Activity averaged around an event, as it was recorded and as a model predicts it."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd
import xarray as xr

from popglm.checks import is_number
from popglm.estimators.validation import check_responses, name_neurons
from popglm.explain.segments import segments
from popglm.explain.tuning_curves import as_rate, average_and_sem, check_predicted, label_column, split_levels
from popglm.labels import Rows, check_order, row_labels, step_back, times
from popglm.messages import shown
from popglm.numbers import shape_of

__all__ = ["psth"]


def psth(
    Y: Any,
    events: Any = None,
    *,
    before: float,
    after: float,
    dt: float | None = None,
    predicted: Any = None,
    split: Any = None,
    trial: Any = None,
    time: Any = None,
) -> xr.Dataset:
    """Average activity around an event: the peri-event time histogram (PSTH), recorded and predicted.

    A window never reaches into another trial or over a gap in time: an event counts at those distances at which its own
    stretch of samples has one.

    Parameters
    ----------
    Y : DataFrame or array-like, shape (n_samples, n_neurons) or (n_samples,)
        Activity. NaN where a neuron was not recorded: the sample drops out of that neuron's averages.
    events : array-like, shape (n_samples,), optional
        Numbers or bool, not 0 in the samples in which the event happened; NaN is none. The start of every trial
        unless given.
    before, after : float
        How far the window reaches, at least 0; in seconds with `dt`, else in samples.
    dt : float, optional
        Seconds per sample; averages are then per second, else per sample.
    predicted : array-like, shape of Y, optional
        Predicted means, such as ``model.predict_held_out()``. Samples without a prediction (NaN) drop out of the
        recorded averages, too, so that both are of the same samples.
    split : array-like of shape (n_samples,), or DataFrame of shape (n_samples, n_labels), optional
        What the events are told apart by, such as the cue: the label in the sample of the event. Events with a missing
        label are left out.
    trial : array-like, shape (n_samples,), optional
        Trial of every sample; the standard error is then over trials. Samples with a missing label are left out.
    time : array-like, shape (n_samples,), optional
        Time of every sample, numbers or dates that increase within each trial; steps above 1.5 × the median are gaps.
        The labels of Y's rows unless given, where these are numbers or dates.

    Returns
    -------
    xarray.Dataset
        - ``average`` (level, time_from_event, neuron): mean over the events.
        - ``sem`` (level, time_from_event, neuron): its standard error (ddof 1): over events, or with `trial` over
          trials, where the mean of each trial is one observation. NaN for a single observation.
        - ``predicted``, ``predicted_sem``, with `predicted`: the same of the predictions.
        - ``n_events`` (level, time_from_event): events that the average is of.

        The dimension ``level`` is as in `tuning`. ``time_from_event`` has the attributes ``units``, "s" or "samples",
        and ``long_name``, which names the event, and the Dataset that of the activity, "per second" or "per sample".

    Raises
    ------
    TypeError, ValueError
        If an argument is not as above, they differ in their number of samples or the labels of these, the rows of Y
        are not in order of time, or there is no event.

    Examples
    --------
    >>> import popglm as pg
    >>> lick = [0, 1, 0, 0, 0, 1, 0, 0]
    >>> activity = [0.0, 2.0, 1.0, 0.0, 0.0, 4.0, 3.0, 0.0]
    >>> around = pg.psth(activity, lick, before=0.1, after=0.2, dt=0.1)
    >>> around["average"].sel(neuron="neuron0").to_series().round(1)
    time_from_event
    -0.1     0.0
     0.0    30.0
     0.1    20.0
     0.2     0.0
    Name: average, dtype: float64
    >>> around.attrs["units"]
    'per second'
    """
    names = name_neurons(Y)
    shared = Rows(row_labels(Y), "Y")
    n_samples = shape_of(Y)[0] if shape_of(Y) else 0
    activity = as_rate("psth", check_responses(Y, n_samples, None, names), dt)
    parts = {"": activity}
    if predicted is not None:
        prediction = as_rate("psth", check_predicted(Y, predicted, activity.shape, shared), dt)
        unknown = np.isnan(activity) | np.isnan(prediction)
        parts = {"": np.where(unknown, np.nan, activity), "predicted": np.where(unknown, np.nan, prediction)}
    labels = None if trial is None else pd.factorize(label_column(trial, "trial", n_samples, shared))[0]
    lags = _lags(before, after, dt, n_samples)
    rows = _event_rows(events, labels, n_samples, shared)
    dim, levels, codes = split_levels(split, n_samples, shared)
    stretch = segments(n_samples, labels, _times(time, labels, n_samples, shared))

    tables = {name: pd.DataFrame(values) for name, values in parts.items()}
    shape = (len(levels), len(lags))
    averages, sems = ({name: np.empty((*shape, len(names))) for name in parts} for _ in range(2))
    n_events = np.empty(shape, int)
    for k in range(len(levels)):
        own = rows[codes[rows] == k]
        for i, lag in enumerate(lags):
            event = own[(own + lag >= 0) & (own + lag < n_samples)]
            event = event[(stretch[event + lag] == stretch[event]) & (stretch[event] >= 0)]
            n_events[k, i] = len(event)
            observations = None if labels is None else labels[event]
            for name, table in tables.items():
                averages[name][k, i], sems[name][k, i] = average_and_sem(table.iloc[event + lag], observations)

    dims = (dim, "time_from_event", "neuron")
    variables = {"average": (dims, averages[""]), "sem": (dims, sems[""]), "n_events": (dims[:2], n_events)}
    if predicted is not None:
        variables |= {"predicted": (dims, averages["predicted"]), "predicted_sem": (dims, sems["predicted"])}
    event = "start of trial" if events is None else "event"
    attrs = {"units": "samples" if dt is None else "s", "long_name": f"Time from {event}"}
    window = xr.Variable("time_from_event", lags * (dt or 1), attrs)
    result = xr.Dataset(
        variables,
        coords={dim: levels, "time_from_event": window, "neuron": names},
        attrs={"units": "per sample" if dt is None else "per second"},
    )
    return (
        result.isel({dim: 0}, drop=True)
        if split is None
        else result.isel({dim: np.unique(codes[rows][codes[rows] >= 0])})
    )


def _lags(before: float, after: float, dt: float | None, n_samples: int) -> np.ndarray:
    """Distances of the window in samples."""
    for name, reach in (("before", before), ("after", after)):
        if not is_number(reach) or reach < 0:
            raise ValueError(f"psth: {name} must be a number of at least 0; found {shown(reach)}.")
        if reach / (dt or 1) > n_samples:
            unit = "samples" if dt is None else "s"
            raise ValueError(f"psth: {name}={shown(reach)} {unit} reaches further than the {n_samples} samples of Y.")
    first, last = (round(float(reach) / (dt or 1)) for reach in (before, after))
    return np.arange(-first, last + 1)


def _event_rows(events: Any, trials: np.ndarray | None, n_samples: int, shared: Rows) -> np.ndarray:
    """Rows in which an event happened; the first row of every trial unless events are given."""
    if events is None:
        if trials is None:
            raise ValueError("psth: give events, or trial for the start of every trial.")
        return np.flatnonzero((trials >= 0) & (trials != np.concatenate([[-1], trials[:-1]])))
    column = label_column(events, "events", n_samples, shared)
    if not (pd.api.types.is_numeric_dtype(column.dtype) or pd.api.types.is_bool_dtype(column.dtype)):
        raise TypeError(
            f"psth: events must hold numbers or bool, not 0 where the event happened; found {column.dtype}."
        )
    values = column.to_numpy(dtype=float, na_value=np.nan)
    rows = np.flatnonzero(np.nan_to_num(values, nan=0.0))
    if not len(rows):
        raise ValueError("psth: events is 0 in all samples; there is no event to average around.")
    return rows


def _times(time: Any, trials: np.ndarray | None, n_samples: int, shared: Rows) -> np.ndarray | None:
    """Times of the samples: those given, else the labels of the rows if they can be times."""
    if time is None:
        return check_order(shared.labels, shared.owner, "psth", trials)
    labels = pd.Index(label_column(time, "time", n_samples, shared))
    found = times(labels)
    if found is None:
        raise TypeError(f"psth: time must hold numbers or dates; found {labels.dtype}.")
    row = step_back(found, trials)
    if row is not None:
        raise ValueError(f"psth: time must increase within a trial, without NaN; row {row} is not after row {row - 1}.")
    return found
