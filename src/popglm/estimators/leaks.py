"""Columns of X that hold the activity that they are to explain."""

from __future__ import annotations

from typing import Any

import numpy as np

from popglm.estimators.validation import warn_neurons
from popglm.solve.sparse.rows import SparseRows
from popglm.solve.stream import read_rows

__all__ = ["find_copies", "warn_of_copies"]

#: Correlation, without sign, from which two variables are the same but for unit and rounding.
SAME = 1 - 1e-6
#: Samples in which candidates are looked for, in so many stretches.
SCREENED, STRETCHES = 2048, 8
#: Samples that must differ from the most common value; fewer may agree by chance.
LEAST_DIFFERENT = 10


def warn_of_copies(
    X: Any, values: Any, responses: np.ndarray, names: list[str], allowed: np.ndarray | None = None
) -> None:
    """Warn of neurons whose activity in a sample is a column of X in the same sample.

    Parameters
    ----------
    X : array-like or DataFrame
        As it was given; for the names of its columns.
    values : ndarray or RowStream, shape (n_samples, n_features)
    responses : ndarray, shape (n_samples, n_neurons)
        NaN where missing.
    names : list of str
    allowed : ndarray of bool, shape (n_features, n_neurons), optional
        Columns that may explain each neuron; all unless given.
    """
    copies = find_copies(values, responses, allowed)
    columns = list(getattr(X, "columns", range(values.shape[1])))
    listed = list(names)
    for j, k in copies.items():
        listed[j] = f"{names[j]} (column {columns[k]!r})"
    warn_neurons(
        "A column of X holds a neuron's own activity in the same sample, so that it predicts what it is given; let "
        "only earlier samples in, as popglm.history does, or leave the column out",
        np.array(sorted(copies), dtype=int),
        listed,
    )


def find_copies(values: Any, responses: np.ndarray, allowed: np.ndarray | None = None) -> dict[int, int]:
    """Return, by neuron, the column of X, among those allowed, whose correlation with the neuron's activity is 1 or -1.

    Candidates are found in some two thousand samples, and looked at in all samples.
    """
    rows = _screened_rows(len(responses))
    x = _screened(values, rows)
    y = np.concatenate([np.asarray(responses[part], dtype=np.float64) for part in rows])
    varied = np.flatnonzero([_varies(column) for column in y.T])
    if not len(varied):
        return {}
    r = np.abs(_correlations(x, y[:, varied]))
    r = r if allowed is None else np.where(allowed[:, varied], r, 0)
    candidates = {int(varied[i]): int(r[:, i].argmax()) for i in range(len(varied)) if r[:, i].max() > SAME}
    if not candidates:
        return {}
    columns = sorted(set(candidates.values()))
    if isinstance(values, SparseRows):
        x = values.with_columns(np.array(columns))[:].astype(np.float64)
    else:
        x = np.concatenate([np.asarray(block[:, columns], dtype=np.float64) for _, _, block in read_rows(values)])
    x -= x.mean(axis=0)
    return {
        j: k
        for j, k in candidates.items()
        if abs(_correlations(x[:, [columns.index(k)]], np.asarray(responses[:, [j]], dtype=np.float64))[0, 0]) > SAME
    }


def _screened_rows(n_samples: int) -> list[slice]:
    if n_samples <= SCREENED:
        return [slice(0, n_samples)]
    length = SCREENED // STRETCHES
    return [
        slice(start, start + length) for start in np.linspace(0, n_samples - length, STRETCHES).astype(int).tolist()
    ]


def _screened(values: Any, rows: list[slice]) -> Any:
    """Some rows of X in float64, less the mean of each column; sparse where X is."""
    if isinstance(values, SparseRows):
        some = values.take(np.concatenate([np.arange(len(values))[part] for part in rows]))
        mean = some.weighted_sum(np.ones(len(some))) / len(some)
        return some.centred_for(np.arange(len(some)), mean, np.float64, None)
    x = np.concatenate([np.asarray(values[part], dtype=np.float64) for part in rows])
    return x - x.mean(axis=0)


def _varies(y: np.ndarray) -> bool:
    known = y[~np.isnan(y)]
    if len(known) < 2 * LEAST_DIFFERENT:
        return False
    _, counts = np.unique(known, return_counts=True)
    return len(known) - counts.max() >= LEAST_DIFFERENT


def _correlations(x: Any, y: np.ndarray) -> np.ndarray:
    """Correlations of columns over the samples at which y is known, shape (n_features, n_neurons); 0 if constant.

    The columns have had their means taken from them.
    """
    known = ~np.isnan(y)
    weight = known / known.sum(axis=0)
    y = np.where(known, y - np.nansum(y * weight, axis=0), 0)
    if isinstance(x, SparseRows):
        whole = x.window(0, len(x))
        (mean, square), covariance = (a.T for a in whole.along_both(weight.T)), whole.along((y * weight).T).T
    elif known.all():
        # one product in place of three
        mean, square, covariance = np.zeros(1), np.square(x).mean(axis=0)[:, None], x.T @ (y * weight)
    else:
        mean, square, covariance = x.T @ weight, (x**2).T @ weight, x.T @ (y * weight)
    variance = square - mean**2
    scale = np.sqrt(np.where(variance > 1e-9 * square, variance, np.inf) * (y**2 * weight).sum(axis=0))
    return covariance / np.where(scale > 0, scale, np.inf)
