"""Names and checks of arguments; every complaint is one sentence that says what to do."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import ArrayLike

from popglm.checks import is_number
from popglm.labels import Rows, row_labels
from popglm.messages import shown
from popglm.numbers import numbers_of

__all__ = [
    "FACTORS",
    "FAMILIES",
    "LINKS",
    "UsageError",
    "as_features",
    "as_matrix",
    "check_flag",
    "check_initial",
    "check_lambda_series",
    "check_name",
    "check_number",
    "check_rows",
    "check_same_rows",
    "check_sizes",
    "check_whole",
]

#: activation and loss_type to popglm's names.
LINKS = {"linear": "identity", "exp": "exp", "sigmoid": "sigmoid", "relu": "relu", "softplus": "softplus"}
FAMILIES = {"gaussian": "gaussian", "poisson": "poisson", "binominal": "bernoulli", "binomial": "bernoulli"}
#: The objective of a loss_type over popglm's: the Gaussian loss has no ½ here.
FACTORS = {"gaussian": 2.0, "poisson": 1.0, "binominal": 1.0, "binomial": 1.0}


class UsageError(AssertionError, ValueError):
    """A wrong argument or a call out of order; an AssertionError too, for code that catches that."""


def as_floats(name: str, values: ArrayLike) -> np.ndarray:
    """An array of floats of any shape; float32 stays as it is."""
    if isinstance(values, np.ndarray) and values.dtype == np.float32:
        return values
    try:
        return numbers_of(values, name)
    except ValueError as error:
        raise UsageError(str(error)) from error


def as_matrix(name: str, values: ArrayLike) -> np.ndarray:
    """An array of floats with two axes; one column for 1-D."""
    array = as_floats(name, values)
    array = array[:, None] if array.ndim == 1 else array
    if array.ndim != 2:
        raise UsageError(f"{name} must have one or two axes, samples first; it has shape {array.shape}.")
    return array


def as_features(name: str, values: ArrayLike) -> np.ndarray:
    """`as_matrix` of finite numbers."""
    array = as_matrix(name, values)
    # the sum of a column is finite unless something in it is not
    with np.errstate(over="ignore", invalid="ignore"):
        bad = np.flatnonzero(~np.isfinite(array.sum(axis=0, dtype=float)))
    if bad.size:
        raise UsageError(f"{name} holds NaN or infinity in column {bad[0]}; fill or drop these samples.")
    return array


def check_initial(name: str, values: ArrayLike | None, shape: tuple[int, int]) -> None:
    if values is None:
        return
    array = as_floats(name, values)
    is_vector = array.ndim == 1 and 1 in shape and array.size == max(shape)
    if array.shape != shape and not is_vector:
        raise UsageError(f"{name} must have shape {shape}; it has {array.shape}.")
    if not np.isfinite(array).all():
        raise UsageError(f"{name} holds NaN or infinity; give finite numbers or leave it out.")


def check_sizes(sizes: Sequence[int]) -> list[int]:
    array = np.atleast_1d(as_floats("feature_group_size", sizes))
    if array.ndim != 1 or not array.size or not np.all((array >= 1) & (array % 1 == 0)):
        raise UsageError(f"feature_group_size must be a list of whole numbers of at least 1; it is {shown(sizes)}.")
    return array.astype(int).tolist()


def check_rows(name: str, folds: Mapping[int, ArrayLike] | None, fold: int, n_samples: int) -> np.ndarray:
    if not isinstance(folds, Mapping) or fold not in folds:
        raise UsageError(
            f"{name} has no fold {fold}; with auto_split=False give train_idx and val_idx as dicts with the rows of "
            "every fold, 0 … n_folds − 1."
        )
    rows = np.asarray(folds[fold])
    rows = np.flatnonzero(rows) if rows.dtype == bool else rows
    if rows.ndim != 1 or not rows.size or not np.issubdtype(rows.dtype, np.integer):
        raise UsageError(f"{name}[{fold}] must be a list of row numbers; it has shape {rows.shape}, type {rows.dtype}.")
    if rows.min() < 0 or rows.max() >= n_samples:
        raise UsageError(f"{name}[{fold}] runs from {rows.min()} to {rows.max()}; X has rows 0 … {n_samples - 1}.")
    return rows


def check_same_rows(name_X: str, X: ArrayLike, name_Y: str, Y: ArrayLike) -> None:
    """Complain of tables whose rows have different labels, or the same in another order."""
    try:
        order = Rows(row_labels(X), name_X).order(Y, name_Y)
    except ValueError as error:
        raise UsageError(str(error)) from error
    if order is not None:
        raise UsageError(
            f"{name_Y} has the row labels of {name_X} in another order; sort it, {name_Y}.loc[{name_X}.index], or give "
            "arrays where the order is right."
        )


def check_lambda_series(lambda_series: ArrayLike) -> np.ndarray:
    lambdas = np.atleast_1d(as_floats("lambda_series", lambda_series)).astype(float)
    if lambdas.ndim != 1 or not lambdas.size or not np.all(np.isfinite(lambdas) & (lambdas >= 0)):
        raise UsageError(f"lambda_series must be a list of finite numbers of at least 0; it is {shown(lambda_series)}.")
    strengths, counts = np.unique(lambdas, return_counts=True)
    if (counts > 1).any():
        raise UsageError(f"lambda_series holds {strengths[counts > 1][0]:g} more than once; give each strength once.")
    return strengths[::-1].copy()


def check_name(name: str, value: Any, allowed: Any) -> Any:
    if not isinstance(value, str) or value not in allowed:
        raise UsageError(f"{name}={shown(value)} is unknown; use one of {', '.join(allowed)}.")
    return value


def check_number(name: str, value: Any, low: float, high: float = np.inf) -> float:
    if not is_number(value) or not low <= value <= high:
        upper = f" and at most {high:g}" if high < np.inf else ""
        raise UsageError(f"{name}={shown(value)} must be a finite number of at least {low:g}{upper}.")
    return float(value)


def check_flag(name: str, value: Any) -> bool:
    if not isinstance(value, bool | np.bool_ | int) or value not in (0, 1):
        raise UsageError(f"{name}={shown(value)} must be True or False.")
    return bool(value)


def check_whole(name: str, value: Any) -> int:
    if check_number(name, value, 1) % 1:
        raise UsageError(f"{name}={shown(value)} must be a whole number.")
    return int(value)
