"""Activity averaged along variables and over kinds of trials, before any model."""

from __future__ import annotations

from collections.abc import Iterable
from numbers import Real
from typing import Any

import numpy as np
import pandas as pd
import xarray as xr

from popglm.explain.bins import Bins, check_bins
from popglm.model.validation import check_responses, name_neurons

__all__ = ["tuning"]

#: Names in the result that the dimension of the levels cannot have.
_RESERVED = ("neuron", "bin", "axis", "center", "unit", "average", "sem", "n_samples")


def tuning(
    Y: Any,
    by: Bins | Iterable[Bins],
    split: Any = None,
    *,
    trial: Any = None,
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

    Returns
    -------
    xarray.Dataset
        - ``average`` (level, bin, neuron): mean over the samples in the bin, in the units of Y.
        - ``sem`` (level, bin, neuron): its standard error (ddof 1): over samples, or with `trial` over trials, where
          the mean of each trial in the bin is one observation. NaN for a single observation.
        - ``n_samples`` (level, bin): samples in the bin, recorded or not.

        The dimension ``level`` is named like `split` if that is a named Series; for a DataFrame its labels are joined,
        "cue=1, cho=-1"; without `split` there is none. Levels are sorted. Coordinates of ``bin`` are ``axis``,
        ``center`` and ``unit``. What no sample falls into is NaN.

    Raises
    ------
    TypeError, ValueError
        If an argument is not as above, or they differ in their number of samples.

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
    n_samples = len(np.asarray(Y))
    activity = pd.DataFrame(check_responses(Y, n_samples, "gaussian", names), columns=range(len(names)))
    axis = check_bins(by, n_samples)
    if axis is None:
        raise TypeError("by must be popglm.bins(...) or a list of them; found None.")
    trial = None if trial is None else _label_column(trial, "trial", n_samples)
    dim, levels, codes = _levels(split, n_samples)

    rows_of_bins = [rows for part in axis.parts for rows in np.split(part.members.indices, part.members.indptr[1:-1])]
    shape = (len(levels), len(rows_of_bins))
    average, sem = np.empty((2, *shape, len(names)))
    n_in_bin = np.empty(shape, int)
    for k in range(len(levels)):
        for i, rows in enumerate(rows_of_bins):
            rows = rows[codes[rows] == k]
            # pandas leaves NaN out, neuron by neuron, of every mean and standard error
            inside = activity.iloc[rows]
            observations = inside if trial is None else inside.groupby(trial.iloc[rows].to_numpy()).mean()
            average[k, i], sem[k, i], n_in_bin[k, i] = inside.mean(), observations.sem(), len(rows)

    coords = axis.coords()
    coords.pop("n_samples")  # that of the levels together
    result = xr.Dataset(
        {
            "average": ((dim, "bin", "neuron"), average),
            "sem": ((dim, "bin", "neuron"), sem),
            "n_samples": ((dim, "bin"), n_in_bin),
        },
        coords={dim: levels, "neuron": names, **coords},
    )
    return result.isel({dim: 0}, drop=True) if split is None else result


def _levels(split: Any, n_samples: int) -> tuple[str, np.ndarray, np.ndarray]:
    """Name of the dimension, its sorted levels, and the level of every sample (−1: none)."""
    if split is None:
        return "level", np.array(["all"]), np.zeros(n_samples, int)
    if isinstance(split, pd.DataFrame):
        if len(split) != n_samples or not split.shape[1]:
            raise ValueError(f"split must have {n_samples} rows and at least one column; it has shape {split.shape}.")
        known = split.notna().all(axis=1).to_numpy()
        codes = np.full(n_samples, -1)
        codes[known], kinds = pd.MultiIndex.from_frame(split[known]).factorize(sort=True)
        levels = [
            ", ".join(f"{name}={_plain(value)}" for name, value in zip(split.columns, kind, strict=True))
            for kind in kinds
        ]
        return "level", np.array(levels, object), codes
    labels = _label_column(split, "split", n_samples)
    codes, levels = pd.factorize(labels, sort=True)
    dim = "level" if labels.name is None else str(labels.name)
    if dim in _RESERVED:
        raise ValueError(f"split is named {dim!r}, as is a part of the result; rename it.")
    return dim, np.asarray(levels), codes


def _label_column(labels: Any, name: str, n_samples: int) -> pd.Series:
    column = labels if isinstance(labels, pd.Series) else pd.Series(np.asarray(labels))
    if column.shape != (n_samples,):
        raise ValueError(f"{name} must have shape ({n_samples},), one label per sample; it has {column.shape}.")
    return column


def _plain(value: Any) -> str:
    return f"{value:g}" if isinstance(value, Real) and not isinstance(value, bool) else str(value)
