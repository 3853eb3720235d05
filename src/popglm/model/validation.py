"""Checks of what users hand in; every complaint names the argument, the place and the remedy."""

from __future__ import annotations

import warnings
from collections.abc import Sequence
from typing import Any

import numpy as np
import pandas as pd
from sklearn.model_selection import GroupKFold, KFold
from sklearn.utils.validation import validate_data

from popglm.engines import as_numpy
from popglm.solve.stream import check_stream, is_streamed
from popglm.warnings import PopglmWarning

__all__ = [
    "check_features",
    "check_folds",
    "check_lambdas",
    "check_responses",
    "check_vector",
    "feature_group_sizes",
    "name_neurons",
]


def _column_name(X: Any, column: int) -> str:
    if not isinstance(X, pd.DataFrame):
        return f"column {column}"
    label = X.columns[column]
    text = " / ".join(str(part) for part in label) if isinstance(label, tuple) else str(label)
    return f"column {column} ({text!r})"


def check_features(estimator: Any, X: Any, reset: bool) -> Any:
    """X, of any library, as a float array (n_samples, n_features) of NumPy without NaN or inf.

    An array on disk that is larger than memory becomes a `popglm.solve.stream.RowStream`.
    """
    if is_streamed(X):
        stream = check_stream(X)
        validate_data(estimator, stream, reset=reset, skip_check_array=True)
        return stream
    X = as_numpy(X)
    if isinstance(X, pd.DataFrame):
        for k, dtype in enumerate(X.dtypes):
            if not (pd.api.types.is_numeric_dtype(dtype) or pd.api.types.is_bool_dtype(dtype)):
                bad = pd.to_numeric(X.iloc[:, k], errors="coerce").isna() & X.iloc[:, k].notna()
                if bad.any():
                    row = int(np.flatnonzero(bad)[0])
                    raise ValueError(
                        f"X holds text in {_column_name(X, k)}, first in row {row}: {X.iloc[row, k]!r}. Make "
                        "numbers of it first, for example with popglm.categories in a Design."
                    )
    values = validate_data(
        estimator,
        X,
        reset=reset,
        dtype=[np.float64, np.float32],
        ensure_all_finite=False,
        ensure_min_samples=1,
    )
    # the sum of a column is finite unless something in it is not; only then look closer
    with np.errstate(over="ignore", invalid="ignore"):
        suspect = np.flatnonzero(~np.isfinite(values.sum(axis=0, dtype=np.float64)))
    for column in suspect:
        rows = np.flatnonzero(~np.isfinite(values[:, column]))
        if len(rows):
            what = "NaN" if np.isnan(values[rows[0], column]) else "inf"
            raise ValueError(
                f"X contains {what} in {_column_name(X, int(column))}, first in row {rows[0]} ({len(rows)} such rows "
                "in that column). Fill or drop these samples; popglm.Design turns a NaN of a variable into 0."
            )
    return values


def name_neurons(Y: Any) -> list[str]:
    """Column names of a DataFrame, the name of a Series, else ``neuron0`` …"""
    if isinstance(Y, pd.DataFrame):
        return [str(name) for name in Y.columns]
    if isinstance(Y, pd.Series) and Y.name is not None:
        return [str(Y.name)]
    shape = np.asarray(as_numpy(Y)).shape
    return [f"neuron{j}" for j in range(1 if len(shape) < 2 else shape[1])]


def check_responses(Y: Any, n_samples: int, family: str, names: list[str]) -> np.ndarray:
    """Y as float64 (n_samples, n_neurons) in the family's range; NaN (not recorded) may stand anywhere."""
    try:
        values = np.asarray(as_numpy(Y))
        if np.iscomplexobj(values):
            raise ValueError("Complex data not supported")
        values = values.astype(float)
    except (TypeError, ValueError) as error:
        raise ValueError(f"Y must hold numbers, one column per neuron: {error}.") from error
    if values.ndim == 1:
        values = values[:, None]
    if values.ndim != 2 or values.shape[1] == 0:
        raise ValueError(f"Y must have shape (n_samples, n_neurons) or (n_samples,); it has {values.shape}.")
    if len(values) != n_samples:
        raise ValueError(
            f"X has {n_samples} samples and Y has {len(values)} (inconsistent numbers of samples); both need one row "
            "per time point."
        )

    def complain(bad: np.ndarray, what: str, remedy: str) -> None:
        if bad.any():
            row, neuron = np.argwhere(bad)[0]
            raise ValueError(
                f"Y holds {what} for neuron {neuron} ({names[neuron]!r}), first in row {row}: "
                f"{values[row, neuron]:g}. {remedy}"
            )

    complain(
        np.isinf(values),
        "an infinite value (Input y contains infinity or a value too large for dtype('float64').)",
        "Use NaN for samples that were not recorded.",
    )
    if np.isnan(values).all():
        raise ValueError("Y holds no recorded sample: Input y contains NaN in every row of every neuron.")
    if family == "poisson":
        complain(
            values < 0,
            "a negative value",
            "family='poisson' needs activity ≥ 0; use family='gaussian' for other.",
        )
    if family == "bernoulli":
        complain(
            (values < 0) | (values > 1),
            "a value outside [0, 1]",
            "family='bernoulli' needs events (0/1) or probabilities; use family='poisson' for counts.",
        )
    return values


def check_vector(values: Any, name: str, n_samples: int, non_negative: bool = False) -> np.ndarray | None:
    """A vector with one finite number per sample, or None."""
    if values is None:
        return None
    try:
        vector = np.asarray(as_numpy(values), dtype=float)
    except (TypeError, ValueError) as error:
        raise ValueError(f"{name} must hold numbers: {error}.") from error
    if vector.ndim == 0 and name == "sample_weight":
        vector = np.full(n_samples, float(vector))
    if vector.shape != (n_samples,):
        raise ValueError(f"{name} must have shape ({n_samples},), one value per sample; it has {vector.shape}.")
    bad = ~np.isfinite(vector) | ((vector < 0) if non_negative else False)
    if bad.any():
        row = int(np.flatnonzero(bad)[0])
        raise ValueError(f"{name} must be finite{' and ≥ 0' if non_negative else ''}; row {row} holds {vector[row]:g}.")
    if non_negative and not (vector > 0).any():
        raise ValueError(f"{name} is zero in every row; at least one sample must count.")
    return vector


def check_lambdas(lambdas: Any, n_neurons: int) -> np.ndarray:
    """Strengths as (n_lambdas, n_neurons), descending."""
    try:
        grid = np.asarray(as_numpy(lambdas), dtype=float)
    except (TypeError, ValueError) as error:
        raise ValueError(f"lambdas must hold numbers: {error}.") from error
    if grid.ndim == 0:
        grid = grid[None]
    if grid.ndim > 2 or grid.size == 0:
        raise ValueError(
            "lambdas must hold at least one strength: shape (n_lambdas,), or (n_lambdas, n_neurons) for a column per "
            f"neuron; it has shape {grid.shape}."
        )
    if grid.ndim == 2 and grid.shape[1] != n_neurons:
        raise ValueError(f"lambdas has {grid.shape[1]} columns for {n_neurons} neurons; give one column per neuron.")
    grid = grid if grid.ndim == 2 else np.repeat(grid[:, None], n_neurons, axis=1)
    bad = ~np.isfinite(grid) | (grid < 0)
    if bad.any():
        k = int(np.argwhere(bad)[0][0])
        raise ValueError(f"lambdas must be finite and ≥ 0; entry {k} is {grid[tuple(np.argwhere(bad)[0])]:g}.")
    rising = np.argwhere(np.diff(grid, axis=0) > 0)
    if len(rising):
        k = int(rising[0][0])
        raise ValueError(
            f"lambdas must descend; entry {k + 1} ({grid[k + 1, rising[0][1]]:g}) is larger than entry {k} "
            f"({grid[k, rising[0][1]]:g}). Sort them: np.sort(lambdas)[::-1]."
        )
    return grid


def feature_group_sizes(feature_groups: Any, X: Any, n_features: int, required: bool) -> tuple[np.ndarray, list[str]]:
    """Sizes and names of consecutive feature groups.

    Parameters
    ----------
    feature_groups : None, sequence of int, or sequence of labels
        None reads them from MultiIndex columns of X (first level); a list of sizes; or a label per column.
    required : bool
        Whether the penalty has no meaning without groups.
    """
    if feature_groups is None:
        if isinstance(X, pd.DataFrame) and isinstance(X.columns, pd.MultiIndex):
            return _runs(list(X.columns.get_level_values(0)))
        if required:
            raise ValueError(
                "feature_groups is needed by penalty='group_lasso' or smoothness > 0: give a list of sizes or a label "
                "per column, or an X with (group, feature) columns as popglm.Design makes it."
            )
        return np.ones(n_features, int), [f"feature{k}" for k in range(n_features)]
    labels = list(feature_groups) if isinstance(feature_groups, Sequence | np.ndarray | pd.Index) else None
    if not labels:
        raise ValueError(f"feature_groups must be a list of sizes or a label per column, not {feature_groups!r}.")
    integers = all(isinstance(v, int | np.integer) and not isinstance(v, bool) for v in labels)
    # a list of ones for every column is the same either way
    if integers and sum(labels) == n_features and min(labels) > 0:
        return np.asarray(labels, int), [f"group{g}" for g in range(len(labels))]
    if len(labels) == n_features:
        return _runs(labels)
    found = f"sizes that sum to {sum(labels)}" if integers else f"{len(labels)} labels"
    raise ValueError(
        f"feature_groups has {found}, but X has {n_features} columns; the groups must cover every column once."
    )


def _runs(labels: list) -> tuple[np.ndarray, list[str]]:
    starts = [k for k in range(len(labels)) if k == 0 or labels[k] != labels[k - 1]]
    names = [labels[k] for k in starts]
    repeated = [name for k, name in enumerate(names) if name in names[:k]]
    if repeated:
        raise ValueError(
            f"feature_groups: the columns of group {repeated[0]!r} are not next to each other; sort them by group."
        )
    return np.diff([*starts, len(labels)]), [str(name) for name in names]


def check_folds(cv: Any, n_samples: int, groups: Any) -> list[tuple[np.ndarray, np.ndarray]]:
    """Splits as index arrays; an integer means trials dealt to folds, or contiguous blocks without trials."""
    if groups is not None:
        groups = np.asarray(as_numpy(groups))
        if groups.shape != (n_samples,):
            raise ValueError(
                f"groups must have shape ({n_samples},), one trial label per sample; it has {groups.shape}."
            )
        missing = pd.isna(groups)
        if missing.any():
            raise ValueError(
                f"groups has no label in row {int(np.flatnonzero(missing)[0])}; every sample needs a trial."
            )
    if isinstance(cv, int | np.integer) and not isinstance(cv, bool):
        if cv < 2:
            raise ValueError(f"cv={cv} folds: at least 2 are needed.")
        n_units = n_samples if groups is None else len(np.unique(groups))
        if n_units < cv:
            unit = "n_samples" if groups is None else "number of trials in groups"
            raise ValueError(f"cv={cv} folds need at least as many units: {unit}={n_units}. Use fewer folds.")
        splitter = KFold(int(cv)) if groups is None else GroupKFold(int(cv))
        splits = splitter.split(np.zeros(n_samples), groups=groups)
    elif hasattr(cv, "split") and not isinstance(cv, str):
        # a list, so that the splitter's own complaints pass as they are
        splits = list(cv.split(np.zeros(n_samples), groups=groups))
    else:
        splits = cv
    try:
        pairs = [(train, test) for train, test in splits]
    except (TypeError, ValueError) as error:
        raise ValueError(
            f"cv={cv!r} is neither an integer, a scikit-learn splitter, nor an iterable of (train, test) row indices."
        ) from error
    pairs = [(_row_index(train, n_samples), _row_index(test, n_samples)) for train, test in pairs]
    if not pairs:
        raise ValueError("cv holds no folds; at least one (train, test) pair is needed.")
    for fold, (train, test) in enumerate(pairs):
        if not len(train) or not len(test):
            raise ValueError(f"cv: fold {fold} has {len(train)} training and {len(test)} test samples; both need some.")
    return pairs


def _row_index(rows: Any, n_samples: int) -> np.ndarray:
    rows = np.asarray(rows)
    rows = np.flatnonzero(rows) if rows.dtype == bool else rows.astype(int)
    if len(rows) and (rows.min() < 0 or rows.max() >= n_samples):
        raise ValueError(f"cv: row indices run from {rows.min()} to {rows.max()}, outside 0…{n_samples - 1}.")
    return rows


def warn_neurons(what: str, neurons: np.ndarray, names: list[str], category: type = PopglmWarning) -> None:
    """One warning that names the neurons (the first ten of them)."""
    if len(neurons):
        shown = ", ".join(names[j] for j in neurons[:10])
        more = f" and {len(neurons) - 10} more" if len(neurons) > 10 else ""
        warnings.warn(f"{what}: {shown}{more}.", category, stacklevel=6)
