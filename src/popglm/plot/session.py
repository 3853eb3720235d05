"""A recording session at a glance: what the animal did over what the neurons did."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

import numpy as np
import pandas as pd
import xarray as xr
from matplotlib.axes import Axes
from numpy.typing import ArrayLike

from popglm.checks import check_names, is_iterable
from popglm.design.variables import SessionVariables
from popglm.estimators.validation import name_neurons
from popglm.explain.tuning_kernels import check_units
from popglm.labels import Rows
from popglm.numbers import numbers_of
from popglm.plot.labelled import with_unit
from popglm.plot.style import SEVERAL, axes_or_new, edges_of_samples, trial_marks, whole_times

__all__ = ["session_overview"]

MOST_NAMED = 20  # rows of activity with names of their own
MOST_STEPS = 10  # distinct values of a variable that is drawn as steps


def session_overview(
    session: Any,
    activity: pd.DataFrame | ArrayLike,
    ax: Axes | None = None,
    *,
    variables: Iterable[str] | None = None,
    time: str | None = None,
    trial: str | None = None,
    units: Mapping[str, str] | None = None,
) -> Axes:
    """Draw behavioural variables, one above the other, over the activity of all neurons.

    Each variable is scaled to its smallest and largest value, which stand at the right; each neuron's activity from
    its smallest value (white) to its 99th percentile (black). Where there are more samples or neurons than the picture
    has room for, neighbours share a pixel, which shows their average. Vertical lines, or marks
    at the top if there are more than sixty, show where trials begin. For a closer look give a stretch:
    ``session_overview(behavior[:600], activity[:600])``.

    Parameters
    ----------
    session : DataFrame, mapping of 1-D arrays, xarray Dataset, or pynapple TsdFrame
        One value per variable and sample, as for `popglm.Design`. Variables that are not numbers are drawn as steps
        between their sorted categories; numbers of at most ten distinct values as steps, too.
    activity : DataFrame or array_like, shape (n_samples, n_neurons) or (n_samples,)
        NaN, where a neuron was not recorded, stays empty.
    ax : matplotlib.axes.Axes, optional
        Where to draw; a new figure unless given.
    variables : list of str, optional
        The variables to draw, from top to bottom; all but `time` and `trial` unless given.
    time : str, optional
        Variable that holds the time of every sample in seconds, increasing. Gaps in it stay empty. Unless given the
        axis counts samples.
    trial : str, optional
        Variable that labels the trial of every sample.
    units : mapping from str to str, optional
        Units of the variables, such as ``{"position": "cm"}``.

    Returns
    -------
    matplotlib.axes.Axes

    Raises
    ------
    TypeError, ValueError
        If a variable is not in the session, activity and session differ in length, time does not increase, or `ax`
        is not Axes.

    Examples
    --------
    >>> from popglm.plot import session_overview
    >>> from popglm.simulated_maze import maze_session
    >>> session = maze_session(n_samples=300, n_neurons=5, n_task_variables=2)
    >>> ax = session_overview(
    ...     session.behavior, session.activity, variables=["position", "cue"], time="time", units={"position": "cm"}
    ... )
    >>> ax.get_xlabel(), [label.get_text() for label in ax.get_yticklabels()][:2]
    ('Time (s)', ['position (cm)', 'cue'])
    """
    units = check_units(units)
    variables = None if variables is None else check_names("session_overview", "variables", variables)
    _check_order(session, activity, [*(variables or ()), time, trial])
    if variables is None:
        if not is_iterable(session):
            raise TypeError(f"session must be a table or a mapping of variables; found {type(session).__name__}")
        # the Dataset of a session holds activity beside the variables
        whole = [name for name in session if session[name].ndim == 1] if isinstance(session, xr.Dataset) else session
        everything = list(whole.columns) if hasattr(whole, "columns") else list(whole)
        names = [str(name) for name in everything if not (isinstance(name, str) and name in (time, trial))]
    else:
        names = list(variables)
    # the activity's length is checked against that of a variable, so there must be one
    if not names:
        raise ValueError("session_overview: variables is empty; name at least one to draw")
    data = SessionVariables(session, [*names, *([] if time is None else [time])], trial)
    y, neurons = numbers_of(activity, "activity"), name_neurons(activity)
    if y.ndim not in (1, 2) or not y.size:
        raise ValueError(f"activity must have shape (n_samples, n_neurons) or (n_samples,); it has {y.shape}")
    if len(y) != data.n_samples:
        raise ValueError(f"activity has {len(y)} samples and the session has {data.n_samples}; both need the same rows")
    y = y.reshape(len(y), len(neurons))
    order = Rows(data.index, "the session").order(activity, "activity")
    y = y if order is None else y[order]
    t = np.arange(data.n_samples, dtype=float) if time is None else data.numeric(time)
    if not (np.diff(t) > 0).all():
        raise ValueError(f"time variable {time!r} must increase from sample to sample, without NaN")

    lanes = [_scaled(data.column(name)) for name in names]
    traces = np.column_stack([lane for lane, _ in lanes])
    edges, t_drawn, traces, y = _with_gaps(t, traces, y)
    starts = [] if trial is None else t[data.trial_starts[1:]]
    left_edges = edges[np.searchsorted(edges, starts) - 1]
    height = min(max(1.0, 0.5 * len(neurons)), 6.0)  # of the activity; a variable's lane is 1 high

    ax = axes_or_new(ax, width=8.0, height=1.0 + 0.32 * (len(names) + height))
    room = ax.get_window_extent()
    # names and ends of the variables take some of the width, and labels of the height
    columns, y = _pooled(edges, y, 0.7 * room.width)
    rows, shades = _pooled(
        np.linspace(height, 0, len(neurons) + 1), _shades(y).T, 0.9 * room.height * height / (height + len(names))
    )
    image = ax.pcolorfast(columns, rows, _shades(shades.T).T, cmap="Greys", vmin=0, vmax=1)
    image.set_rasterized(True)
    for i, (trace, (_, ends)) in enumerate(zip(traces.T, lanes, strict=True)):
        bottom = height + len(names) - 1 - i
        steps = len(np.unique(trace[~np.isnan(trace)])) <= MOST_STEPS
        ax.plot(
            t_drawn, bottom + 0.15 + 0.7 * trace, color=SEVERAL[i % len(SEVERAL)], linewidth=1,
            drawstyle="steps-mid" if steps else "default",
        )  # fmt: skip
        ax.annotate(
            ends, (1, bottom + 0.5), xycoords=("axes fraction", "data"), xytext=(4, 0), textcoords="offset points",
            va="center", fontsize="x-small", color="0.4",
        )  # fmt: skip
    if trial is not None:
        trial_marks(ax, left_edges, color="0.6", linewidth=0.5)
    ticks = [height + len(names) - 0.5 - i for i in range(len(names))]
    labels = [with_unit(name, units.get(name, data.units.get(name))) for name in names]
    if len(neurons) <= MOST_NAMED:
        ticks += list(height * (1 - (np.arange(len(neurons)) + 0.5) / len(neurons)))
        labels += neurons
    else:
        ticks, labels = [*ticks, height / 2], [*labels, f"activity of\n{len(neurons):,} neurons"]
    ax.set_yticks(ticks, labels, fontsize="small")
    ax.tick_params(axis="y", length=0)
    ax.spines["left"].set_visible(False)
    ax.set_xlim(edges[0], edges[-1])
    ax.set_ylim(0, height + len(names))
    whole_times(ax)
    ax.set_xlabel("Sample" if time is None else "Time (s)")
    return ax


def _check_order(session: Any, activity: Any, asked: list[str | None]) -> None:
    """Complain where the activity stands in the place of the session, and can be told by the names that it lacks."""
    there, beside = _names(session), _names(activity)
    lacking = [name for name in asked if name not in there and name in beside]
    if lacking:
        found = f"activity has the variable {lacking[0]!r}, and session lacks it"
    elif not there and beside and hasattr(session, "__array__"):
        found = f"session is {type(session).__name__} without names of variables, and activity has some"
    else:
        return
    raise ValueError(f"session_overview: {found}; give the session first, then the activity of the neurons")


def _names(data: Any) -> list[str]:
    """Names of the variables or neurons; none for arrays."""
    names = data if isinstance(data, Mapping) else getattr(data, "columns", [])
    return [name for name in names if isinstance(name, str)]


def _scaled(column: pd.Series) -> tuple[np.ndarray, str]:
    """A variable between 0 and 1, and its ends in words."""
    if pd.api.types.is_numeric_dtype(column.dtype):
        values = column.to_numpy(dtype=float, na_value=np.nan)
        values = np.where(np.isinf(values), np.nan, values)
    else:
        codes, levels = pd.factorize(column, sort=True)
        values = np.where(codes < 0, np.nan, codes)
    if np.isnan(values).all():
        return values, "no value"
    low, high = np.nanmin(values), np.nanmax(values)
    names = [f"{end:.3g}" for end in (low, high)] if pd.api.types.is_numeric_dtype(column.dtype) else levels[[0, -1]]
    if low == high:
        return np.where(np.isnan(values), np.nan, 0.5), str(names[0])
    return (values - low) / (high - low), f"{names[0]} to {names[1]}"


def _shades(y: np.ndarray) -> np.ndarray:
    """Activity (n_samples, n_neurons) from each neuron's smallest value, 0, to its 99th percentile, 1."""
    never = np.isnan(y).all(axis=0)
    low, high, top = np.nanpercentile(np.where(never, 0.0, y), [0, 99, 100], axis=0)
    span = np.where(high > low, high, top) - low  # a neuron may be active in fewer than 1 % of the samples
    return (y - low) / np.where(span > 0, span, 1)


def _with_gaps(t: np.ndarray, traces: np.ndarray, y: np.ndarray) -> tuple[np.ndarray, ...]:
    """Edges of the samples, and times, traces and activity with NaN wherever time is missing."""
    edges, after, _ = edges_of_samples(t)
    step = np.median(np.diff(t)) if len(t) > 1 else 1.0
    # steps end halfway to the next point: one on either side of a gap keeps them out of it
    beside = np.column_stack([t[after - 1] + step, t[after] - step]).ravel()
    twice = np.repeat(after, 2)
    return (
        edges,
        np.insert(t, twice, beside),
        np.insert(traces, twice, np.nan, axis=0),
        np.insert(y, after, np.nan, axis=0),
    )


def _pooled(edges: np.ndarray, values: np.ndarray, most: float) -> tuple[np.ndarray, np.ndarray]:
    """Edges and rows of values, at most about so many: neighbours are one row, the average of them."""
    step = int(np.ceil(len(values) / max(most, 1)))
    if step == 1:
        return edges, values
    empty = np.flatnonzero(np.isnan(values).all(axis=1))
    # what is empty, such as a gap, shares no row with what is not
    starts = np.unique(np.concatenate([np.arange(0, len(values), step), empty, empty + 1]))
    starts = starts[starts < len(values)]
    known = np.add.reduceat(~np.isnan(values), starts, axis=0, dtype=float)
    pooled = np.add.reduceat(np.nan_to_num(values), starts, axis=0) / np.where(known > 0, known, np.nan)
    return edges[np.append(starts, len(values))], pooled
