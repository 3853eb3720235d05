"""Checks of the arrays that users hand in; every complaint names the argument, the place and the remedy."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import date, timedelta
from typing import Any

import numpy as np
import pandas as pd
import xarray as xr
from scipy.sparse import issparse
from sklearn.utils.validation import check_array, validate_data

from popglm.engines import as_numpy
from popglm.labels import Rows, check_distinct, column_labels, column_order, column_text, neuron_order
from popglm.messages import shown
from popglm.model.losses import Loss
from popglm.solve.stream import check_stream, is_streamed
from popglm.warnings import PopglmWarning, warn

__all__ = [
    "as_numbers",
    "check_as_in_fit",
    "check_features",
    "check_offset",
    "check_reach",
    "check_responses",
    "check_vector",
    "far_from_zero",
    "has_effect",
    "name_neurons",
    "numbers_of",
    "shape_of",
]


def _column_name(X: Any, column: int) -> str:
    labels = column_labels(X)
    return f"column {column}" if labels is None else f"column {column} ({column_text(labels[column])!r})"


def check_features(estimator: Any, X: Any, reset: bool, who: str | None = None) -> Any:
    """X, of any library, as a float array (n_samples, n_features) of NumPy without NaN or inf, its rows contiguous.

    Columns with names are put in the order of the fit; ``who`` is what its columns are compared for. An array on disk
    that is larger than memory becomes a `popglm.solve.stream.RowStream`.
    """
    _check_kind(X)
    if is_streamed(X):
        stream = check_stream(X)
        if not reset:
            _check_width(estimator, stream.shape[1])
        validate_data(estimator, stream, reset=reset, skip_check_array=True)
        if reset:
            vars(estimator).pop("feature_names_in_", None)
        return stream
    _check_even(X, "X has")
    X = as_numpy(X)
    labels = column_labels(X)
    _check_numbers(X)
    order = _check_columns(estimator, labels, reset, who)
    # in float64 throughout where that is asked for, so that float32 of the same values gives the same bits
    kinds = [np.float64] if estimator.precision == "float64" else [np.float64, np.float32]
    try:
        values = check_array(_as_array(X), dtype=kinds, ensure_all_finite=False, estimator=estimator, input_name="X")
    except (TypeError, ValueError) as error:
        raise type(error)(f"X must hold numbers: {error}") from error
    if not reset:
        _check_width(estimator, values.shape[1])
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
    # the sum of a column is finite unless something in it is not; only then look closer
    with np.errstate(over="ignore", invalid="ignore"):
        suspect = np.flatnonzero(~np.isfinite(values.sum(axis=0, dtype=np.float64)))
    for column in suspect:
        rows = np.flatnonzero(~np.isfinite(values[:, column]))
        if len(rows):
            what = "NaN" if np.isnan(values[rows[0], column]) else "inf"
            given = int(column) if order is None else int(order[column])
            raise ValueError(
                f"X contains {what} in {_column_name(X, given)}, first in row {rows[0]} ({len(rows)} such rows "
                "in that column). Fill or drop these samples; popglm.Design turns a NaN of a variable into 0."
            )
    _check_size(X, values, order, reset)
    return values


#: Values beyond this, or all below its inverse, overflow where they are squared and cubed.
LARGEST = 1e35


def _check_size(X: Any, values: np.ndarray, order: np.ndarray | None, reset: bool) -> None:
    """Complain of columns in a unit that floating-point numbers do not hold."""
    largest = np.maximum(values.max(axis=0), -values.min(axis=0)).astype(float)
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
    if hasattr(X, "tocsr"):
        raise TypeError("X is a sparse matrix, which is not supported; its method toarray() makes a dense one.")
    if X is None or isinstance(X, Mapping | str | bytes | bytearray | set | xr.Dataset | pd.Series | pd.Index):
        raise TypeError(
            f"X must be a matrix of shape (n_samples, n_features); found {type(X).__name__}. Reshape your data, or let "
            "popglm.Design(...).fit_transform make X of a session's variables."
        )
    shape = np.shape(X) if isinstance(X, list | tuple) and not len(X) else getattr(X, "shape", None)
    if shape is None and not hasattr(X, "__array__") and not hasattr(X, "__len__"):
        raise TypeError(
            f"X must be a matrix of shape (n_samples, n_features); found {type(X).__name__}. Reshape your data to two "
            "dimensions."
        )
    if shape is not None and len(shape) != 2:
        raise ValueError(
            f"X must have shape (n_samples, n_features); it has {tuple(shape)}. Reshape your data to two dimensions, "
            "with X.reshape(-1, 1) for a single feature."
        )
    if shape is not None and 0 in shape:
        # scikit-learn's words, which its checks of estimators look for
        lacks = "sample" if shape[0] == 0 else "feature"
        raise ValueError(
            f"X is empty: found 0 {lacks}(s) (shape={tuple(shape)}) while a minimum of 1 is required. Look at how its "
            f"{'rows' if shape[0] == 0 else 'columns'} were selected."
        )


def _check_numbers(X: Any) -> None:
    """Complain of columns that hold no real numbers: text, dates, complex numbers."""
    table = X if isinstance(X, pd.DataFrame) else _as_array(X)
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
            bad = pd.to_numeric(column, errors="coerce").isna() & column.notna()
            bad &= np.array([isinstance(value, str | bytes | date | timedelta | np.datetime64) for value in column])
            if not bad.any():
                continue
            row = int(np.flatnonzero(bad)[0])
            is_text = isinstance(column.iloc[row], str | bytes)
            what = "text" if is_text else "dates or durations"
            where = f", first in row {row}: {shown(column.iloc[row])}"
            remedy = ", for example with popglm.categories in a Design" if is_text else ", such as seconds"
        raise ValueError(f"X holds {what} in {_column_name(X, k)}{where}. Make numbers of it first{remedy}.")


def is_date(dtype: Any) -> bool:
    """Whether values are dates, durations or periods, which are no numbers, though they can be read as nanoseconds."""
    if isinstance(dtype, np.dtype):
        return dtype.kind in "mM"
    return isinstance(dtype, pd.DatetimeTZDtype | pd.PeriodDtype) or getattr(dtype, "kind", "O") in "mM"


def _check_width(estimator: Any, n_features: int) -> None:
    """Complain of another number of columns than in the fit."""
    expected = getattr(estimator, "n_features_in_", n_features)
    if n_features != expected:
        # scikit-learn's words, which its checks of estimators look for
        raise ValueError(
            f"X has {n_features} features, but {type(estimator).__name__} is expecting {expected} features as input: "
            "the columns of the fit, in the same order."
        )


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


def _as_array(values: Any) -> Any:
    """Numbers of a table, nullable ones too, or of an array of objects; NaN where a value is missing."""
    if isinstance(values, pd.DataFrame):
        kinds = set(values.dtypes)
        if len(kinds) == 1 and isinstance(kind := kinds.pop(), np.dtype) and kind.kind in "fiubc":
            return values.to_numpy()
        try:
            return values.to_numpy(dtype=np.float64, na_value=np.nan)
        except (TypeError, ValueError):
            values = values.to_numpy(dtype=object)
    elif isinstance(values, pd.Series | pd.Index | pd.api.extensions.ExtensionArray):
        if isinstance(values.dtype, np.dtype) and values.dtype.kind in "fiubc":
            return values.to_numpy()
        try:
            return values.to_numpy(dtype=np.float64, na_value=np.nan)
        except (TypeError, ValueError):
            values = values.to_numpy(dtype=object)
    elif isinstance(values, xr.DataArray) or hasattr(values, "time_support"):
        return np.asarray(values.values)
    if isinstance(values, np.ma.MaskedArray):
        return np.ma.filled(values.astype(np.float64), np.nan) if np.ma.is_masked(values) else values.data
    if isinstance(values, list | tuple):
        values = np.asarray(values)
    if isinstance(values, np.ndarray) and values.dtype == object:
        missing = pd.isna(values)
        if missing.any():
            values = np.where(missing, np.nan, values)
    return values


def as_numbers(values: Any) -> np.ndarray:
    """Real numbers of any array or table as float64, NaN where a value is missing.

    Raises
    ------
    TypeError, ValueError
        If something is no real number.

    Examples
    --------
    >>> as_numbers(pd.array([1, None], "Int64"))
    array([ 1., nan])
    """
    if isinstance(values, Mapping | str | bytes | bytearray | set | xr.Dataset):
        raise TypeError(f"found {type(values).__name__}")
    values = as_numpy(values)
    if issparse(values):
        raise TypeError("found a sparse matrix; its method toarray() makes a dense one")
    _check_even(values)
    dtypes = values.dtypes if isinstance(values, pd.DataFrame) else [getattr(values, "dtype", None)]
    numbers = np.asarray(_as_array(values))
    if any(is_date(dtype) for dtype in [*dtypes, numbers.dtype]):
        raise ValueError("found dates or durations; make numbers of them first, such as seconds")
    if np.iscomplexobj(numbers):
        raise ValueError("found complex numbers (Complex data not supported)")
    return numbers.astype(float)


def numbers_of(values: Any, name: str) -> np.ndarray:
    """`as_numbers` of an argument, whose name the complaint has.

    Raises
    ------
    ValueError
    """
    try:
        return as_numbers(values)
    except (TypeError, ValueError) as error:
        raise ValueError(f"{name} must hold numbers: {str(error).rstrip('.')}.") from error


def _check_even(values: Any, what: str = "found") -> None:
    if isinstance(values, list | tuple):
        lengths = {len(row) for row in values if isinstance(row, list | tuple)}
        if len(lengths) > 1:
            raise ValueError(f"{what} rows of different lengths, from {min(lengths)} to {max(lengths)}.")


def shape_of(values: Any) -> tuple[int, ...]:
    """Shape of an array or a table of any library."""
    values = as_numpy(values)
    if hasattr(values, "shape"):
        return tuple(values.shape)
    _check_even(values, "Y has")
    return np.asarray(values).shape


def name_neurons(Y: Any) -> list[str]:
    """Column names of a DataFrame (or of xarray's, pynapple's), the name of a Series, else ``neuron0`` …

    Raises
    ------
    ValueError
        If two neurons have the same name.
    """
    _check_activity_kind(Y)
    if isinstance(Y, pd.Series) and Y.name is not None:
        return [column_text(Y.name)]
    labels = list(Y.columns) if isinstance(Y, pd.DataFrame) else column_labels(Y)
    if labels is None:
        shape = shape_of(Y)
        return [f"neuron{j}" for j in range(1 if len(shape) < 2 else shape[1])]
    names = [column_text(label) for label in labels]
    check_distinct(names, "Y", "neuron")
    return names


def _check_activity_kind(Y: Any) -> None:
    """Complain of what is no matrix at all."""
    if Y is None or isinstance(Y, Mapping | str | bytes | bytearray | set | xr.Dataset):
        raise TypeError(f"Y must be an array or a table with one column per neuron; found {type(Y).__name__}.")


def check_responses(
    Y: Any, n_samples: int, family: str, names: list[str], rows: Rows | None = None, fitted: list[str] | None = None
) -> np.ndarray:
    """Y as float64 (n_samples, n_neurons) in the family's range; NaN (not recorded) may stand anywhere.

    Parameters
    ----------
    rows : Rows, optional
        Labels that the samples are put in order by.
    fitted : list of str, optional
        Names of a model's neurons, in whose order the columns are put.
    """
    _check_activity_kind(Y)
    order = None if rows is None else rows.order(Y, "Y")
    neurons = None if fitted is None else neuron_order(Y, fitted)
    try:
        values = as_numbers(Y)
    except (TypeError, ValueError) as error:
        raise ValueError(f"Y must hold numbers, one column per neuron: {str(error).rstrip('.')}.") from error
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
    complain(
        np.abs(values) > LARGEST,
        f"a value above {LARGEST:g} in size",
        "Give the activity in another unit: squares of such values overflow.",
    )
    largest = np.abs(np.where(np.isnan(values), 0, values)).max(axis=0, initial=0)
    complain(
        (values != 0) & ~np.isnan(values) & (largest < 1 / LARGEST),
        f"no value above {1 / LARGEST:g} in size",
        "Give the activity in another unit: squares of such values vanish.",
    )
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
    values = values if order is None else values[order]
    return np.ascontiguousarray(values if neurons is None else values[:, neurons])


#: Share of the standard deviation of an activity by which rounding to float32 may move it.
ROUNDING = 1e-4


def far_from_zero(responses: np.ndarray) -> bool:
    """Whether rounding to float32 would move some neuron's activity by more than `ROUNDING` of its deviation.

    Examples
    --------
    >>> x = np.array([[0.0], [1.0], [np.nan]])
    >>> far_from_zero(x), far_from_zero(1e8 + x)
    (False, True)
    """
    recorded = responses[:, ~np.isnan(responses).all(axis=0)]
    with np.errstate(over="ignore", invalid="ignore"):
        mean, deviation = np.abs(np.nanmean(recorded, axis=0)), np.nanstd(recorded, axis=0)
        return bool(((deviation > 0) & (mean * np.finfo(np.float32).eps > ROUNDING * deviation)).any())


def check_vector(
    values: Any, name: str, n_samples: int, non_negative: bool = False, rows: Rows | None = None
) -> np.ndarray | None:
    """A vector with one finite number per sample, or None; a single number stands for all samples."""
    if values is None:
        return None
    order = None if rows is None else rows.order(values, name)
    vector = numbers_of(values, name)
    if vector.ndim == 0:
        vector = np.full(n_samples, float(vector))
    if vector.shape != (n_samples,):
        raise ValueError(f"{name} must have shape ({n_samples},), one value per sample; it has {vector.shape}.")
    bad = ~np.isfinite(vector) | ((vector < 0) if non_negative else False)
    if bad.any():
        row = int(np.flatnonzero(bad)[0])
        raise ValueError(f"{name} must be finite{' and ≥ 0' if non_negative else ''}; row {row} holds {vector[row]:g}.")
    if (np.abs(vector) > LARGEST).any():
        row = int(np.abs(vector).argmax())
        raise ValueError(f"{name} must not exceed {LARGEST:g} in size; row {row} holds {vector[row]:g}.")
    if non_negative and not (vector > 0).any():
        raise ValueError(f"{name} is zero in every row; at least one sample must count.")
    return vector if order is None else vector[order]


#: Share of the linear predictor's reach that may be rounded away beside an offset.
LOST = 1e-3
#: What a fit may have had beside X and Y: what it is called, what goes without it, and how to ask for none on purpose.
_BESIDE = {
    "offset": ("an offset", "without it the predictions are of another size", "offset=0"),
    "sample_weight": ("sample weights", "without them all samples count alike", "sample_weight=1"),
}


def has_effect(name: str, vector: np.ndarray | None) -> bool:
    """Whether an offset is other than 0, or sample weights are not all alike: else it is as good as none."""
    if vector is None:
        return False
    return bool(vector.any()) if name == "offset" else bool((vector != vector[0]).any())


def check_offset(model: Any, offset: Any, n_samples: int, rows: Rows | None, who: str) -> np.ndarray | None:
    """`check_vector` of an offset, which a model that was fitted with one cannot do without.

    A single number is the offset of all samples: 0 asks for none on purpose.
    """
    if offset is None and getattr(model, "fitted_with_offset_", False):
        raise _lacking(who, "offset", "Give the offset of these rows, or offset=0 for the prediction without one.")
    return check_vector(offset, "offset", n_samples, rows=rows)


def check_reach(offset: np.ndarray | None, responses: np.ndarray, loss: Loss, fit_intercept: bool) -> None:
    """Complain of a checked offset beside which float64 does not hold what the weights add, or whose mean is infinite.

    A fit finds a constant of any other size again in its intercept.
    """
    if offset is None:
        return
    # means of other links change where the predictor changes by 1, whatever the unit of the activity
    in_units = loss.link.name in ("identity", "relu")
    needed = np.nanmax(np.abs(responses), initial=0.0) if in_units else 1.0
    row = int(np.abs(offset).argmax())
    if np.abs(offset[row]) * np.finfo(float).eps > LOST * needed > 0:
        lost, remedy = "what the weights add", "give the logarithm of an exposure, not the exposure"
        if in_units:
            lost, remedy = f"activity of {needed:g} at most", "give both in the same unit"
        raise ValueError(f"offset is {offset[row]:g} in row {row}, beside which {lost} is rounded away; {remedy}.")
    if not fit_intercept:
        with np.errstate(over="ignore"):
            infinite = np.flatnonzero(np.isinf(loss.link.mean(np, offset)))
        if len(infinite):
            raise ValueError(
                f"offset is {offset[infinite[0]]:g} in row {infinite[0]}, where the mean is infinite without an "
                "intercept; use fit_intercept=True, or give the logarithm of an exposure, not the exposure."
            )


def check_as_in_fit(
    model: Any, sample_weight: Any, offset: Any, n_samples: int, rows: Rows | None, who: str, refits: bool
) -> tuple[np.ndarray | None, np.ndarray | None]:
    """`check_vector` of sample weights and offset of the rows of the fit: given as to the fit, or not as there.

    Parameters
    ----------
    refits : bool
        Whether the model is fitted again, and needs what it had. Else a single number asks on purpose for none.

    Raises
    ------
    ValueError
        If the fit had one that is not given, or one is given that the fit did not have.
    """
    found = {"offset": offset, "sample_weight": sample_weight}
    for name, values in found.items():
        vector = check_vector(values, name, n_samples, non_negative=name == "sample_weight", rows=rows)
        # files of earlier revisions do not say, and leave it at None
        fitted, given = getattr(model, f"fitted_with_{name}_", None), has_effect(name, vector)
        what, _, none = _BESIDE[name]
        if fitted and refits and not given:
            raise _lacking(who, name, f"Give {name} as in the fit: re-fits without are not comparable with the model.")
        if fitted and vector is None:
            raise _lacking(who, name, f"Give {name} as in the fit, or {none} to do without on purpose.")
        if fitted is False and given:
            raise ValueError(
                f"{who} has {name}=, but the model was fitted without {what}. Leave {name} out, or fit the model with "
                "it as well."
            )
        found[name] = vector
    return found["sample_weight"], found["offset"]


def _lacking(who: str, name: str, remedy: str) -> ValueError:
    what, without, _ = _BESIDE[name]
    return ValueError(f"{who} needs {name}=: the model was fitted with {what}, and {without}. {remedy}")


def warn_neurons(what: str, neurons: np.ndarray, names: list[str], category: type = PopglmWarning) -> None:
    """One warning that names the neurons (the first ten of them)."""
    if len(neurons):
        listed = ", ".join(names[j] for j in neurons[:10])
        more = f" and {len(neurons) - 10} more" if len(neurons) > 10 else ""
        warn(f"{what}: {listed}{more}.", category)
