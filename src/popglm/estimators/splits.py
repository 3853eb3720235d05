"""Labels of samples, and the folds that a splitter or they make."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import pandas as pd
import xarray as xr
from sklearn.model_selection import KFold

from popglm.checks import is_iterable, no_more_than
from popglm.engines import as_numpy
from popglm.labels import Rows, times
from popglm.messages import shown

__all__ = ["as_labels", "check_folds", "check_labels", "deal_trials"]

#: Folds that are given as rows, at most: each is a fit of its own.
MOST_FOLDS = 10_000


def check_labels(labels: Any, name: str, n_samples: int, rows: Rows | None = None) -> tuple[np.ndarray, pd.Index]:
    """Number of every sample's label, by sorted labels where they can be sorted, and the labels.

    Parameters
    ----------
    labels : array-like, shape (n_samples,)
        Of any kind that can be told apart: numbers, text, dates, categories, tuples.

    Raises
    ------
    ValueError
        If it has another shape, or a sample has no label.

    Examples
    --------
    >>> check_labels(["b", "b", "a"], "groups", 3)[0]
    array([1, 1, 0])
    """
    order = None if rows is None else rows.order(labels, name)
    column = as_labels(as_numpy(labels), name)
    if column.shape != (n_samples,):
        raise ValueError(f"{name} must have shape ({n_samples},), one label per sample; it has {column.shape}.")
    try:
        codes, kinds = pd.factorize(column)
    except TypeError as error:
        raise ValueError(f"{name} must hold labels that can be compared, such as numbers or text: {error}.") from error
    kinds = pd.Index(kinds, tupleize_cols=False)
    try:
        by_size = np.argsort(kinds.to_numpy(), kind="stable")
    except TypeError:
        # labels that have no order, such as numbers beside text, stay in that of their appearance
        by_size = np.arange(len(kinds))
    rank = np.full(len(kinds) + 1, -1)
    rank[by_size] = np.arange(len(kinds))
    codes, kinds = rank[codes], kinds[by_size]
    if (codes < 0).any():
        row = int(np.flatnonzero(codes < 0)[0])
        raise ValueError(f"{name} has no label in row {row}; every sample needs a trial.")
    return (codes if order is None else codes[order]), kinds


def as_labels(labels: Any, name: str) -> Any:
    """Labels as pandas can number them, (n_samples,); ``name`` is that of the argument.

    Raises
    ------
    TypeError
        If it is a table or a mapping.
    ValueError
        If a label is infinite, which is no event, no time and no kind of trial.
    """
    labels = _plain_labels(labels, name)
    # whatever kind of labels: what infinity cannot equal is not compared with it
    infinite = pd.Series(labels).isin([np.inf, -np.inf]) if getattr(labels, "ndim", 1) == 1 else None
    if infinite is not None and infinite.any():
        row = int(np.flatnonzero(infinite)[0])
        raise ValueError(f"{name} is infinite in row {row}; give a finite value there, or NaN where there is none.")
    return labels


def _plain_labels(labels: Any, name: str) -> Any:
    if isinstance(labels, Mapping | xr.Dataset | pd.DataFrame):
        raise TypeError(f"{name} must hold one label per sample; found {type(labels).__name__}. Give one column of it.")
    if isinstance(labels, pd.MultiIndex):
        labels = labels.to_numpy()
    if isinstance(labels, pd.Series):
        labels = labels.array
    if isinstance(labels, xr.DataArray) or hasattr(labels, "time_support"):
        labels = labels.values
    if isinstance(labels, list | tuple):
        # numpy would make text of numbers beside text, and a matrix of tuples
        column = np.empty(len(labels), object)
        column[:] = labels
        labels = pd.Series(column).infer_objects().array if not any(isinstance(v, tuple) for v in labels) else column
    # pandas 2 takes its own wrapper of an array for no array
    wrapped = isinstance(labels, pd.arrays.NumpyExtensionArray)
    if wrapped or not isinstance(labels, pd.Index | pd.api.extensions.ExtensionArray):
        labels = np.asarray(labels)
        if labels.dtype.kind in "iufcbmM":
            labels = labels.astype(labels.dtype.newbyteorder("="), copy=False)
            labels = labels.astype(np.float32) if labels.dtype == np.float16 else labels
        elif labels.dtype.kind == "S":
            labels = np.char.decode(labels, "utf-8", "replace")
        if labels.dtype.kind == "U":
            labels = labels.astype(object)
    return labels


def check_folds(
    cv: Any, n_samples: int, groups: Any, rows: Rows | None = None, responses: np.ndarray | None = None
) -> list[tuple[np.ndarray, np.ndarray]]:
    """Splits as index arrays; an integer means trials dealt to folds, or contiguous blocks without trials.

    Parameters
    ----------
    responses : ndarray, shape (n_samples, n_neurons), optional
        Handed to splitters: (n_samples,) for a single neuron.
    """
    codes = kinds = None
    if groups is not None:
        codes, kinds = check_labels(groups, "groups", n_samples, rows)
    if isinstance(cv, int | np.integer) and not isinstance(cv, bool):
        if cv < 2:
            raise ValueError(f"cv={cv} folds: at least 2 are needed.")
        n_units = n_samples if kinds is None else len(kinds)
        if n_units < cv:
            unit = "n_samples" if codes is None else "number of trials in groups"
            raise ValueError(f"cv={cv} folds need at least as many units: {unit}={n_units}. Use fewer folds.")
        splits = KFold(int(cv)).split(np.zeros(n_samples)) if codes is None else deal_trials(codes, int(cv))
        if codes is None and (order := _order_of_time(rows)) is not None:
            # blocks are of samples that follow each other in time, wherever they stand
            splits = [(np.sort(order[train]), np.sort(order[test])) for train, test in splits]
    elif hasattr(cv, "split") and not isinstance(cv, str | bytes):
        splits = _split(cv, n_samples, codes, kinds, responses)
    else:
        splits = no_more_than("cv", "the folds", cv, MOST_FOLDS, each="") if is_iterable(cv) else cv
    try:
        pairs = [(train, test) for train, test in splits]
    except (TypeError, ValueError) as error:
        raise ValueError(
            f"cv={shown(cv)} is neither an integer, a scikit-learn splitter, nor an iterable of (train, test) row "
            "indices."
        ) from error
    pairs = [(_row_index(train, n_samples, rows), _row_index(test, n_samples, rows)) for train, test in pairs]
    if not pairs:
        raise ValueError("cv holds no folds; at least one (train, test) pair is needed.")
    for fold, (train, test) in enumerate(pairs):
        if not len(train) or not len(test):
            raise ValueError(f"cv: fold {fold} has {len(train)} training and {len(test)} test samples; both need some.")
        seen = np.isin(test, train)
        if seen.any():
            raise ValueError(
                f"cv: fold {fold} trains on {seen.sum()} of its {len(test)} test samples, the first in row "
                f"{test[seen][0]}; a score is held out only where training and test rows differ."
            )
    return pairs


def deal_trials(codes: np.ndarray, n_folds: int) -> list[tuple[np.ndarray, np.ndarray]]:
    """Training and test rows of folds by trial: the longest trial first, each to the fold with the fewest samples.

    These are the folds of scikit-learn's `GroupKFold` since 1.9. Before, folds of trials of equal length depended on
    how the processor sorts.

    Parameters
    ----------
    codes : ndarray of int, shape (n_samples,)
        Numbers of trials, from 0.

    Examples
    --------
    >>> [test.tolist() for _, test in deal_trials(np.array([0, 0, 1, 1, 1, 2]), 2)]
    [[2, 3, 4], [0, 1, 5]]
    """
    lengths = np.bincount(codes)
    fold, n_samples = np.zeros(len(lengths), int), np.zeros(n_folds, int)
    for trial in np.argsort(lengths, kind="stable")[::-1]:
        fold[trial] = n_samples.argmin()
        n_samples[fold[trial]] += lengths[trial]
    of_sample = fold[codes]
    return [(np.flatnonzero(of_sample != k), np.flatnonzero(of_sample == k)) for k in range(n_folds)]


def _order_of_time(rows: Rows | None) -> np.ndarray | None:
    """Rows in order of their labels where these are different times that do not increase already."""
    time = None if rows is None or rows.labels is None or not rows.labels.is_unique else times(rows.labels)
    if time is None or not (np.diff(time) < 0).any():
        return None
    return np.argsort(time, kind="stable")


def _split(cv: Any, n_samples: int, codes: np.ndarray | None, kinds: Any, responses: np.ndarray | None) -> list:
    """The folds of a scikit-learn splitter; what it complains of is told of cv."""
    y = responses if responses is None or responses.shape[1] > 1 else responses[:, 0]
    labels = codes
    if codes is not None and isinstance(kinds.dtype, np.dtype) and kinds.dtype.kind in "iufbM":
        # a splitter of the user's own may know the labels themselves
        labels = kinds.to_numpy()[codes]
    try:
        return list(cv.split(np.zeros((n_samples, 1)), y, labels))
    except (TypeError, ValueError, AttributeError) as error:
        hint = ""
        if y is not None and y.ndim == 2 and "y" in str(error).lower():
            hint = (
                f" It is given Y of {y.shape[1]} neurons; to stratify by one label per sample, use "
                "cv=list(splitter.split(X, label, groups))."
            )
        raise ValueError(f"cv={shown(cv)} cannot split these samples: {error}{hint}") from error


def _row_index(rows: Any, n_samples: int, labels: Rows | None) -> np.ndarray:
    is_mask = len(getattr(rows, "shape", ())) == 1 and len(rows) == n_samples and rows.dtype == bool
    # a mask has a value per sample, and may have the label of each
    order = labels.order(rows, "cv") if is_mask and labels is not None else None
    rows = np.asarray(rows) if order is None else np.asarray(rows)[order]
    if rows.ndim != 1 or (len(rows) and rows.dtype.kind not in "biu"):
        raise ValueError(
            f"cv must hold pairs of training and test row indices; found {rows.dtype} of shape {rows.shape}."
        )
    rows = np.flatnonzero(rows) if rows.dtype == bool else rows.astype(int)
    if len(rows) and (rows.min() < 0 or rows.max() >= n_samples):
        raise ValueError(f"cv: row indices run from {rows.min()} to {rows.max()}, outside 0…{n_samples - 1}.")
    return rows
