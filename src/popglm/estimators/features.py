"""Checks of X; every complaint names the column, the place and the remedy."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import date, timedelta
from typing import Any

import numpy as np
import pandas as pd
import xarray as xr
from scipy.sparse import issparse
from sklearn.utils.validation import check_array, validate_data

from popglm.checks import LARGEST
from popglm.engines import as_numpy
from popglm.estimators.sparse_features import canonical, is_sparse_table, stays_sparse
from popglm.labels import check_distinct, column_labels, column_order, column_text
from popglm.messages import listed, shown
from popglm.numbers import as_array, check_even, first_not_finite, is_date, remedy_for
from popglm.scaling import noted_scaling, of_other_session
from popglm.solve.remote.rows import RemoteRows
from popglm.solve.sparse.rows import SparseRows
from popglm.solve.stream import check_stream, is_streamed

__all__ = ["check_features", "check_on_one_machine"]


def check_features(estimator: Any, X: Any, reset: bool, who: str | None = None) -> Any:
    """X, of any library, as a float array (n_samples, n_features) of NumPy without NaN or inf, its rows contiguous.

    Columns with names are put in the order of the fit; ``who`` is what its columns are compared for. An array on disk
    that is larger than memory becomes a `popglm.solve.stream.RowStream`, and a large sparse one `SparseRows`.
    """
    _check_kind(X)
    if reset:
        estimator.feature_scaling_ = noted_scaling(X)
    if stays_sparse(X):
        return _check_sparse(estimator, X, reset, who)
    if issparse(X):
        X = canonical(X).toarray()
    if is_streamed(X):
        stream = check_stream(X)
        if not reset:
            _check_width(estimator, stream.shape[1])
        validate_data(estimator, stream, reset=reset, skip_check_array=True)
        if reset:
            vars(estimator).pop("feature_names_in_", None)
        return stream
    X = as_numpy(X)
    labels = column_labels(X)
    _check_numbers(X)
    order = _check_columns(estimator, labels, reset, who)
    # in float64 throughout where that is asked for, so that float32 of the same values gives the same bits
    kinds = [np.float64] if estimator.precision == "float64" else [np.float64, np.float32]
    try:
        values = check_array(as_array(X), dtype=kinds, ensure_all_finite=False, estimator=estimator, input_name="X")
    except (TypeError, ValueError) as error:
        raise type(error)(f"X must hold numbers: {error}") from error
    if not reset:
        _check_width(estimator, values.shape[1], labels)
        # models that were pickled by earlier revisions have none
        if complaint := of_other_session(getattr(estimator, "feature_scaling_", None), X, order):
            raise ValueError(f"{who or type(estimator).__name__}: {complaint}")
    # an array has no names, and those of a table were compared above
    names = vars(estimator).pop("feature_names_in_", None)
    validate_data(estimator, values, reset=reset, skip_check_array=True)
    if reset and labels is not None:
        names = np.empty(len(labels), object)
        names[:] = labels
    if names is not None and (labels is not None or not reset):
        estimator.feature_names_in_ = names
    # one layout in memory, so that a table and the same array give the same bits
    values = np.ascontiguousarray(values if order is None else values[:, order])
    if found := first_not_finite(values):
        what, column, rows = found
        given = column if order is None else int(order[column])
        raise ValueError(
            f"X contains {what} in {_column_name(X, given)}, first in row {rows[0]} ({len(rows)} such rows in that "
            f"column). {remedy_for(what)}"
        )
    _check_size(X, values, order, reset)
    return values


def check_on_one_machine(values: Any, who: str) -> None:
    """Refuse checked features whose rows are on workers, where ``who`` fits.

    Raises
    ------
    ValueError
    """
    if isinstance(values, RemoteRows):
        raise ValueError(
            f"X has its rows on workers, and {who} fits on one machine; give the array on disk itself, which is read "
            "block by block."
        )


def _check_sparse(estimator: Any, X: Any, reset: bool, who: str | None) -> SparseRows:
    """`check_features` of a sparse X that stays sparse."""
    labels = column_labels(X) if is_sparse_table(X) else None
    order = _check_columns(estimator, labels, reset, who)
    A = canonical(X)
    if not reset:
        _check_width(estimator, A.shape[1], labels)
    names = vars(estimator).pop("feature_names_in_", None)
    values = SparseRows(A)
    validate_data(estimator, values, reset=reset, skip_check_array=True)
    if reset and labels is not None:
        names = np.empty(len(labels), object)
        names[:] = labels
    if names is not None and (labels is not None or not reset):
        estimator.feature_names_in_ = names
    if found := values.first_not_finite():
        what, column, row = found
        raise ValueError(f"X contains {what} in {_column_name(X, column)}, first in row {row}. {remedy_for(what)}")
    largest = np.zeros(A.shape[1])
    np.maximum.at(largest, A.indices, np.abs(A.data))
    _check_largest(X, largest, None, reset)
    return values if order is None else values.with_columns(order)


def _column_name(X: Any, column: int) -> str:
    labels = column_labels(X)
    return f"column {column}" if labels is None else f"column {column} ({column_text(labels[column])!r})"


def _check_size(X: Any, values: np.ndarray, order: np.ndarray | None, reset: bool) -> None:
    """Complain of columns in a unit that floating-point numbers do not hold."""
    _check_largest(X, np.maximum(values.max(axis=0), -values.min(axis=0)).astype(float), order, reset)


def _check_largest(X: Any, largest: np.ndarray, order: np.ndarray | None, reset: bool) -> None:
    """`_check_size` of the largest value of every column, without sign."""
    if largest.max() > LARGEST:
        column = int(largest.argmax())
        found = f"{largest[column]:g} in {_column_name(X, column if order is None else int(order[column]))}"
    elif reset and 0 < largest.max() < 1 / LARGEST:
        found = f"at most {largest.max():g}"
    else:
        return
    raise ValueError(
        f"X reaches {found}, which lies outside {1 / LARGEST:g} to {LARGEST:g}: sums of its squares are lost. Give X "
        "in another unit; popglm.Design standardises columns."
    )


def _check_kind(X: Any) -> None:
    """Complain of what is no matrix at all."""
    # a dictionary of keys is a sparse matrix, too
    kinds = Mapping | str | bytes | bytearray | set | xr.Dataset | pd.Series | pd.Index
    if X is None or (isinstance(X, kinds) and not issparse(X)):
        raise TypeError(
            f"X must be a matrix of shape (n_samples, n_features); found {type(X).__name__}. Reshape your data, or let "
            "popglm.Design(...).fit_transform make X of a session's variables."
        )
    shape = _shape_of_list(X) if isinstance(X, list | tuple) else getattr(X, "shape", None)
    if shape is None and not hasattr(X, "__array__") and not hasattr(X, "__len__"):
        raise TypeError(
            f"X must be a matrix of shape (n_samples, n_features); found {type(X).__name__}. Reshape your data to two "
            "dimensions."
        )
    if shape is not None and len(shape) != 2:
        raise ValueError(
            f"X must have shape (n_samples, n_features); it has {tuple(shape)}. Reshape your data to two dimensions, "
            "with np.reshape(X, (-1, 1)) for a single feature."
        )
    if shape is not None and 0 in shape:
        # scikit-learn's words, which its checks of estimators look for
        lacks = "sample" if shape[0] == 0 else "feature"
        raise ValueError(
            f"X is empty: found 0 {lacks}(s) (shape={tuple(shape)}) while a minimum of 1 is required. Look at how its "
            f"{'rows' if shape[0] == 0 else 'columns'} were selected."
        )


def _shape_of_list(X: list | tuple) -> tuple[int, ...]:
    check_even(X, "X has")
    try:
        return np.shape(X)
    except ValueError:
        kinds = sorted({type(row).__name__ for row in X})
        raise ValueError(
            f"X must have shape (n_samples, n_features), but its {len(X)} rows ({listed(kinds)}) are not of one "
            "length. Give a number for every feature in every row, NaN where there is none."
        ) from None


def _check_numbers(X: Any) -> None:
    """Complain of columns that hold no real numbers: text, dates, complex numbers."""
    table = X if isinstance(X, pd.DataFrame) else as_array(X)
    if getattr(table, "ndim", 0) != 2 or (isinstance(table, np.ndarray) and table.dtype.kind in "fiub"):
        return
    for k in range(table.shape[1]):
        column = table.iloc[:, k] if isinstance(table, pd.DataFrame) else pd.Series(table[:, k])
        dtype = column.dtype
        if is_date(dtype):
            what, where, remedy = "dates or durations", f" ({dtype})", ", such as seconds"
        elif pd.api.types.is_complex_dtype(dtype):
            what, where, remedy = "complex numbers", " (Complex data not supported)", ", such as their absolute values"
        elif pd.api.types.is_numeric_dtype(dtype) or pd.api.types.is_bool_dtype(dtype):
            continue
        else:
            # text of digits, too: a design takes it for a category
            bad = np.array([isinstance(value, str | bytes | date | timedelta | np.datetime64) for value in column])
            if not bad.any():
                continue
            row = int(np.flatnonzero(bad)[0])
            is_text = isinstance(column.iloc[row], str | bytes)
            what = "text" if is_text else "dates or durations"
            where = f", first in row {row}: {shown(column.iloc[row])}"
            remedy = ", for example with popglm.categories in a Design" if is_text else ", such as seconds"
        raise ValueError(f"X holds {what} in {_column_name(X, k)}{where}. Make numbers of it first{remedy}.")


def _check_width(estimator: Any, n_features: int, labels: list | None = None) -> None:
    """Complain of another number of columns than in the fit."""
    expected = getattr(estimator, "n_features_in_", n_features)
    if n_features != expected:
        # scikit-learn's words, which its checks of estimators look for
        raise ValueError(
            f"X has {n_features} features, but {type(estimator).__name__} is expecting {expected} features as input: "
            f"the columns of the fit, in the same order.{_other_columns(estimator, labels)}"
        )


def _other_columns(estimator: Any, labels: list | None) -> str:
    """Which named columns are too many or too few, as a sentence."""
    fitted = getattr(estimator, "feature_names_in_", None)
    if labels is None or fitted is None:
        return ""
    found, wanted = ([column_text(label) for label in some] for some in (labels, fitted))
    lacking, new = (
        sorted(set(some) - set(others), key=some.index) for some, others in ((wanted, found), (found, wanted))
    )
    parts = [f"{has} {listed(map(repr, names))}" for has, names in (("lacks", lacking), ("adds", new)) if names]
    return f" X {' and '.join(parts)}." if parts else ""


def _check_columns(estimator: Any, labels: list | None, reset: bool, who: str | None) -> np.ndarray | None:
    """The order that puts columns with names where those of the fit stand."""
    if labels is None:
        return None
    if reset:
        check_distinct([column_text(label) for label in labels], "X", "column")
        return None
    fitted = getattr(estimator, "feature_names_in_", None)
    if fitted is None and set(labels) == set(range(getattr(estimator, "n_features_in_", 0))):
        # columns that are merely counted have no names, but these are the same numbers in another order
        fitted = range(len(labels))
    if fitted is None or len(labels) != len(fitted):
        return None
    return column_order(labels, list(fitted), who or type(estimator).__name__)
