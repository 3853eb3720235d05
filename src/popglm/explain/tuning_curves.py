"""Activity averaged along variables and over kinds of trials: as recorded, and as a model predicts it."""

from __future__ import annotations

from collections.abc import Iterable
from numbers import Real
from typing import Any

import numpy as np
import pandas as pd
import xarray as xr

from popglm.checks import check_positive
from popglm.estimators.base import PopulationGLM
from popglm.estimators.splits import as_labels
from popglm.estimators.validation import check_offset, check_responses, name_neurons
from popglm.explain.binning import Bins, check_bins
from popglm.explain.contributions import check_design_matrix, rows_of, warn_of_other_data
from popglm.explain.given_models import check_activity
from popglm.labels import Rows, neuron_labels, neuron_order, row_labels
from popglm.numbers import shape_of
from popglm.statistics.families import Family

__all__ = [
    "as_rate",
    "average_and_sem",
    "check_predicted",
    "label_column",
    "predicted_tuning",
    "split_levels",
    "tuning",
]

#: Names in the result that the dimension of the levels cannot have.
_RESERVED = (
    *("neuron", "bin", "axis", "center", "unit", "average", "sem", "n_samples"),
    *("predicted", "predicted_sem", "n_events", "time_from_event"),
)


def tuning(
    Y: Any,
    by: Bins | Iterable[Bins],
    split: Any = None,
    *,
    trial: Any = None,
    dt: float | None = None,
) -> xr.Dataset:
    """Average activity per bin, and per kind of trial: tuning as recorded.

    Parameters
    ----------
    Y : DataFrame or array-like, shape (n_samples, n_neurons) or (n_samples,)
        Activity. NaN where a neuron was not recorded: the sample drops out of that neuron's averages.
    by : Bins or list of Bins
        From `bins`; several stand end to end along the dimension ``bin``.
    split : array-like of shape (n_samples,), or DataFrame of shape (n_samples, n_labels), optional
        What the samples are told apart by, such as the cue. Samples with a missing label are left out.
    trial : array-like, shape (n_samples,), optional
        Trial of every sample; the standard error is then over trials. Samples with a missing label are left out of it.
    dt : float, optional
        Seconds per sample; averages are then per second, else per sample.

    Returns
    -------
    xarray.Dataset
        - ``average`` (level, bin, neuron): mean over the samples in the bin, in the units of Y, per second with `dt`.
        - ``sem`` (level, bin, neuron): its standard error (ddof 1): over samples, or with `trial` over trials, where
          the mean of each trial in the bin is one observation. NaN for a single observation.
        - ``n_samples`` (level, bin): samples in the bin, recorded or not.

        The dimension ``level`` is named like `split` if that is a named Series; for a DataFrame its labels are joined,
        "cue=1, cho=-1"; without `split` there is none. Levels are sorted. Coordinates of ``bin`` are ``axis``,
        ``center`` and ``unit``. What no sample falls into is NaN. The attribute ``units`` is that of the averages, "per
        sample" or "per second".

    Raises
    ------
    TypeError, ValueError
        If an argument is not as above, or they differ in their number of samples or the labels of these.

    Notes
    -----
    Samples within a trial are correlated, so the standard error over samples is too small for most recordings.

    Examples
    --------
    >>> import pandas as pd
    >>> import popglm as pg
    >>> position = pg.bins([0, 0, 5, 5, 0, 5], centers=[0, 5], half_width=2.5, name="position", unit="cm")
    >>> cue = pd.Series([1, 1, 1, -1, -1, -1], name="cue")
    >>> pg.tuning([1.0, 3.0, 4.0, 6.0, 0.0, 8.0], position, cue)["average"].sel(neuron="neuron0").values
    array([[0., 7.],
           [2., 4.]])
    """
    names = name_neurons(Y)
    labels = Rows(row_labels(Y), "Y")
    n_samples = shape_of(Y)[0] if shape_of(Y) else 0
    values = as_rate("tuning", check_responses(Y, n_samples, None, names), dt)
    activity = pd.DataFrame(values, columns=range(len(names)))
    axis = check_bins(by, n_samples, labels)
    if axis is None:
        raise TypeError("by must be popglm.bins(...) or a list of them; found None.")
    trial = None if trial is None else label_column(trial, "trial", n_samples, labels)
    dim, levels, codes = split_levels(split, n_samples, labels)

    rows_of_bins = [rows for part in axis.parts for rows in np.split(part.members.indices, part.members.indptr[1:-1])]
    shape = (len(levels), len(rows_of_bins))
    average, sem = np.empty((2, *shape, len(names)))
    n_in_bin = np.empty(shape, int)
    for k in range(len(levels)):
        for i, rows in enumerate(rows_of_bins):
            rows = rows[codes[rows] == k]
            observations = None if trial is None else trial.iloc[rows].to_numpy()
            average[k, i], sem[k, i] = average_and_sem(activity.iloc[rows], observations)
            n_in_bin[k, i] = len(rows)

    coords = axis.coords()
    coords.pop("n_samples")  # that of the levels together
    result = xr.Dataset(
        {
            "average": ((dim, "bin", "neuron"), average),
            "sem": ((dim, "bin", "neuron"), sem),
            "n_samples": ((dim, "bin"), n_in_bin),
        },
        coords={dim: levels, "neuron": names, **coords},
        attrs={"units": "per sample" if dt is None else "per second"},
    )
    return result.isel({dim: 0}, drop=True) if split is None else result


def predicted_tuning(
    model: PopulationGLM,
    X: Any,
    Y: Any,
    by: Bins | Iterable[Bins],
    split: Any = None,
    *,
    trial: Any = None,
    dt: float | None = None,
    held_out: bool = True,
    offset: Any = None,
) -> xr.Dataset:
    """Tuning as a model predicts it beside tuning as recorded, in the same bins and of the same samples.

    The predictions of all samples in a bin are averaged as the activity is, so that both hold whatever else went on in
    these samples: the curves agree where the model is right, however correlated its variables are.

    Parameters
    ----------
    model : GLMCV, or GLM with ``held_out=False``
        Fitted.
    X : array-like, DataFrame, RowStream or sparse matrix, shape (n_samples, n_features)
        The rows of the fit, or any others with ``held_out=False``.
    Y : DataFrame or array-like, shape (n_samples, n_neurons) or (n_samples,)
        Their activity.
    by, split, trial, dt
        As in `tuning`.
    held_out : bool
        Predict each row by the weights of the fold that held it out; else by the weights of the fit to all rows, to
        which these samples may be known.
    offset : array-like, shape (n_samples,), optional
        As in the fit.

    Returns
    -------
    xarray.Dataset
        That of `tuning`, with ``predicted`` and ``predicted_sem``, the same of the predictions. Samples without
        activity, or that no fold held out, are in neither.

    Raises
    ------
    TypeError, ValueError
        If an argument is not as above or as in `tuning`, X or Y are not those of the model, or the model is not
        cross-validated (unless ``held_out=False``).

    Warns
    -----
    PopglmWarning
        If X and Y are as many samples as in the fit, but predicted worse or better than there.

    Examples
    --------
    >>> import numpy as np
    >>> import popglm as pg
    >>> rng = np.random.default_rng(0)
    >>> session = {"position": rng.uniform(0, 100, 3000), "trial": np.arange(3000) // 30}
    >>> Y = rng.poisson(np.exp(-((session["position"] - 60) ** 2) / 400))
    >>> design = pg.Design([pg.bumps("position", n=8, low=0, high=100)])
    >>> X = design.fit_transform(session)
    >>> model = pg.GLMCV(n_lambdas=8).fit(X, Y, groups=session["trial"])
    >>> by = pg.bins(session["position"], [20, 60], 10, name="position", unit="cm")
    >>> curves = pg.predicted_tuning(model, X, Y, by, dt=0.05).sel(neuron="neuron0")
    >>> curves["average"].round().values, curves["predicted"].round().values
    (array([ 1., 19.]), array([ 1., 19.]))
    """
    values = check_design_matrix(model, X, "predicted_tuning", held_out)
    labels = rows_of(model, X, held_out)
    activity = check_activity(model, Y, len(values), labels)
    offset = check_offset(model, offset, len(values), labels, "predicted_tuning")
    if held_out:
        warn_of_other_data(model, values, activity, None, offset, "predicted_tuning")
    predicted = model.predict_held_out(values, offset) if held_out else model.predict(values, offset)
    predicted = np.asarray(predicted, dtype=float).reshape(activity.shape)
    if np.isinf(predicted).any():
        row, j = np.argwhere(np.isinf(predicted))[0]
        raise ValueError(
            f"predicted_tuning: an infinite mean is predicted for neuron {model.neuron_names_[j]!r}, first in row "
            f"{row}: X or the offset there is far from all that it was fitted to. Leave out such rows."
        )
    unknown = np.isnan(activity) | np.isnan(predicted)
    # in the order of X as it was given, which is that of bins, labels of conditions and trials without an index
    rows = np.arange(len(values)) if labels.given is None else np.argsort(labels.given)
    index = None if labels.labels is None else labels.labels[rows]
    recorded, expected = (
        tuning(
            pd.DataFrame(np.where(unknown, np.nan, rates)[rows], columns=model.neuron_names_, index=index),
            by, split, trial=trial, dt=dt,
        )
        for rates in (activity, predicted)
    )  # fmt: skip
    return recorded.assign(predicted=expected["average"], predicted_sem=expected["sem"])


def as_rate(maker: str, activity: np.ndarray, dt: float | None) -> np.ndarray:
    """Activity per second if the seconds per sample are given, else as it is."""
    if dt is None:
        return activity
    check_positive(maker, "dt", dt)
    return activity / dt


def average_and_sem(inside: pd.DataFrame, trial: np.ndarray | None) -> tuple[pd.Series, pd.Series]:
    """Mean over samples, and its standard error over them or, with the trial of each, over the means of trials."""
    # pandas leaves NaN out, neuron by neuron, of every mean and standard error
    observations = inside if trial is None else inside.groupby(trial).mean()
    return inside.mean(), observations.sem()


def check_predicted(
    Y: Any, predicted: Any, shape: tuple[int, ...], rows: Rows, family: Family | None = None
) -> np.ndarray:
    """Predicted means in the order of the activity Y, whose values have that shape (n_samples, n_neurons).

    They have to be in the range of the family, if one is given.
    """
    names = name_neurons(Y)
    order, given = rows.order(predicted, "predicted"), neuron_labels(Y) is not None
    neurons = neuron_order(predicted, names, given, "predicted", "Y")
    if (found := shape_of(predicted)) not in (shape, shape[: 2 - (len(names) == 1)]):
        raise ValueError(f"predicted has shape {found}, but Y has {shape_of(Y)}; give them alike.")
    values = check_responses(predicted, shape[0], family, names, name="predicted")
    values = values if order is None else values[order]
    return values if neurons is None else values[:, neurons]


def split_levels(
    split: Any, n_samples: int, rows: Rows | None = None, argument: str = "split"
) -> tuple[str, np.ndarray, np.ndarray]:
    """Name of the dimension, its sorted levels, and the level of every sample (−1: none)."""
    if split is None:
        return "level", np.array(["all"]), np.zeros(n_samples, int)
    if isinstance(split, pd.DataFrame):
        for name, column in split.items():
            as_labels(column, f"{argument}: column {name!r}")
        if len(split) != n_samples or not split.shape[1]:
            raise ValueError(
                f"{argument} must have {n_samples} rows and at least one column; it has shape {split.shape}."
            )
        order = None if rows is None else rows.order(split, argument)
        split = split if order is None else split.iloc[order]
        known = split.notna().all(axis=1).to_numpy()
        codes = np.full(n_samples, -1)
        codes[known], kinds = pd.MultiIndex.from_frame(split[known]).factorize(sort=True)
        levels = [
            ", ".join(f"{name}={_plain(value)}" for name, value in zip(split.columns, kind, strict=True))
            for kind in kinds
        ]
        return "level", np.array(levels, object), codes
    labels = label_column(split, argument, n_samples, rows)
    codes, levels = pd.factorize(labels, sort=True)
    dim = "level" if labels.name is None else str(labels.name)
    if argument == "split" and dim in _RESERVED:
        raise ValueError(f"split is named {dim!r}, as is a part of the result; rename it.")
    return dim, np.asarray(levels), codes


def label_column(labels: Any, name: str, n_samples: int, rows: Rows | None = None) -> pd.Series:
    """Labels as a Series, one per sample, in the order of ``rows``."""
    column = as_labels(labels, name)
    if column.shape != (n_samples,):
        raise ValueError(f"{name} must have shape ({n_samples},), one label per sample; it has {column.shape}.")
    order = None if rows is None else rows.order(labels, name)
    column = pd.Series(column, name=getattr(labels, "name", None))
    return column if order is None else column.iloc[order].reset_index(drop=True)


def _plain(value: Any) -> str:
    return f"{value:g}" if isinstance(value, Real) and not isinstance(value, bool) else str(value)
