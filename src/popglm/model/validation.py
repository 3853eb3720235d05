"""Checks of what users hand in; every complaint names the argument, the place and the remedy."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from numbers import Real
from typing import Any

import numpy as np
import pandas as pd
import xarray as xr
from sklearn.model_selection import GroupKFold, KFold
from sklearn.utils.validation import check_array, validate_data

from popglm.engines import as_numpy
from popglm.model.labels import Rows, check_distinct, column_labels, column_order, column_text, neuron_order
from popglm.solve.stream import check_stream, is_streamed
from popglm.warnings import PopglmWarning, warn

__all__ = [
    "as_labels",
    "as_numbers",
    "check_features",
    "check_folds",
    "check_labels",
    "check_lambdas",
    "check_offset",
    "check_responses",
    "check_rule",
    "check_seed",
    "check_vector",
    "check_verbose",
    "feature_group_sizes",
    "name_neurons",
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
        validate_data(estimator, stream, reset=reset, skip_check_array=True)
        if reset:
            vars(estimator).pop("feature_names_in_", None)
        return stream
    X = as_numpy(X)
    labels = column_labels(X)
    if isinstance(X, pd.DataFrame):
        _check_text(X)
    order = _check_columns(estimator, labels, reset, who)
    # in float64 throughout where that is asked for, so that float32 of the same values gives the same bits
    kinds = [np.float64] if estimator.precision == "float64" else [np.float64, np.float32]
    values = check_array(
        _as_array(X), dtype=kinds, ensure_all_finite=False, ensure_min_samples=1, estimator=estimator, input_name="X"
    )
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
    return values


def _check_kind(X: Any) -> None:
    """Complain of what is no matrix at all."""
    if hasattr(X, "tocsr"):
        # scikit-learn's own sentence says that sparse matrices are not supported
        return
    if X is None or isinstance(X, Mapping | str | bytes | bytearray | set | xr.Dataset | pd.Series | pd.Index):
        raise TypeError(
            f"X must be a matrix of shape (n_samples, n_features); found {type(X).__name__}. Reshape your data, or let "
            "popglm.Design(...).fit_transform make X of a session's variables."
        )
    shape = getattr(X, "shape", None)
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


def _check_text(X: pd.DataFrame) -> None:
    for k, dtype in enumerate(X.dtypes):
        if not (pd.api.types.is_numeric_dtype(dtype) or pd.api.types.is_bool_dtype(dtype)):
            column = X.iloc[:, k]
            bad = pd.to_numeric(column, errors="coerce").isna() & column.notna()
            if bad.any():
                row = int(np.flatnonzero(bad)[0])
                raise ValueError(
                    f"X holds text in {_column_name(X, k)}, first in row {row}: {X.iloc[row, k]!r}. Make "
                    "numbers of it first, for example with popglm.categories in a Design."
                )


def _check_columns(estimator: Any, labels: list | None, reset: bool, who: str | None) -> np.ndarray | None:
    """The order that puts columns with names where those of the fit stand."""
    if labels is None:
        return None
    if reset:
        check_distinct([column_text(label) for label in labels], "X", "column")
        return None
    fitted = getattr(estimator, "feature_names_in_", None)
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
    numbers = np.asarray(_as_array(as_numpy(values)))
    if np.iscomplexobj(numbers):
        raise ValueError("Complex data not supported")
    return numbers.astype(float)


def shape_of(values: Any) -> tuple[int, ...]:
    """Shape of an array or a table of any library."""
    values = as_numpy(values)
    return tuple(values.shape) if hasattr(values, "shape") else np.asarray(values).shape


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
    values = values if order is None else values[order]
    return np.ascontiguousarray(values if neurons is None else values[:, neurons])


def check_vector(
    values: Any, name: str, n_samples: int, non_negative: bool = False, rows: Rows | None = None
) -> np.ndarray | None:
    """A vector with one finite number per sample, or None; a single number stands for all samples."""
    if values is None:
        return None
    order = None if rows is None else rows.order(values, name)
    try:
        vector = as_numbers(values)
    except (TypeError, ValueError) as error:
        raise ValueError(f"{name} must hold numbers: {error}.") from error
    if vector.ndim == 0:
        vector = np.full(n_samples, float(vector))
    if vector.shape != (n_samples,):
        raise ValueError(f"{name} must have shape ({n_samples},), one value per sample; it has {vector.shape}.")
    bad = ~np.isfinite(vector) | ((vector < 0) if non_negative else False)
    if bad.any():
        row = int(np.flatnonzero(bad)[0])
        raise ValueError(f"{name} must be finite{' and ≥ 0' if non_negative else ''}; row {row} holds {vector[row]:g}.")
    if non_negative and not (vector > 0).any():
        raise ValueError(f"{name} is zero in every row; at least one sample must count.")
    return vector if order is None else vector[order]


def check_offset(model: Any, offset: Any, n_samples: int, rows: Rows | None, who: str) -> np.ndarray | None:
    """`check_vector` of an offset, which a model that was fitted with one cannot do without.

    A single number is the offset of all samples: 0 asks for none on purpose.
    """
    if offset is None and getattr(model, "fitted_with_offset_", False):
        raise ValueError(
            f"{who} needs offset=: the model was fitted with an offset, and without it the predictions are of another "
            "size. Give the offset of these rows, or offset=0 for the prediction without one."
        )
    return check_vector(offset, "offset", n_samples, rows=rows)


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
    column = as_labels(as_numpy(labels))
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
    codes = codes if order is None else codes[order]
    if (codes < 0).any():
        row = int(np.flatnonzero(codes < 0)[0])
        raise ValueError(f"{name} has no label in row {row}; every sample needs a trial.")
    return codes, kinds


def as_labels(labels: Any) -> Any:
    """Labels as pandas can number them, (n_samples,)."""
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
    if not isinstance(labels, pd.Index | pd.api.extensions.ExtensionArray):
        labels = np.asarray(labels)
        if labels.dtype.kind in "iufcbmM":
            labels = labels.astype(labels.dtype.newbyteorder("="), copy=False)
            labels = labels.astype(np.float32) if labels.dtype == np.float16 else labels
        elif labels.dtype.kind == "S":
            labels = np.char.decode(labels, "utf-8", "replace")
        if labels.dtype.kind == "U":
            labels = labels.astype(object)
    return labels


def check_lambdas(lambdas: Any, n_neurons: int) -> np.ndarray:
    """Strengths as (n_lambdas, n_neurons), descending."""
    try:
        grid = as_numbers(lambdas)
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
    labels = _group_labels(feature_groups)
    if not labels:
        raise ValueError(f"feature_groups must be a list of sizes or a label per column, not {_shown(feature_groups)}.")
    integers = all(isinstance(v, int | np.integer) and not isinstance(v, bool) for v in labels)
    sizes = integers and sum(labels) == n_features and min(labels) > 0
    if sizes and len(labels) == n_features and n_features > 1:
        raise ValueError(
            f"feature_groups={_shown(labels)} means {n_features} groups of one column as sizes, and one group as "
            "labels of columns. Give sizes that say which: ["
            + str(n_features)
            + "] for one group of all columns, or names as "
            "labels, such as list('abc') for a group per column."
        )
    if sizes:
        return np.asarray(labels, int), [f"group{g}" for g in range(len(labels))]
    if len(labels) == n_features:
        return _runs(labels)
    found = f"sizes that sum to {sum(labels)}" if integers else f"{len(labels)} labels"
    raise ValueError(
        f"feature_groups has {found}, but X has {n_features} columns; the groups must cover every column once."
    )


def _group_labels(feature_groups: Any) -> list | None:
    feature_groups = as_numpy(feature_groups)
    if isinstance(feature_groups, pd.Series | xr.DataArray):
        feature_groups = feature_groups.values
    if isinstance(feature_groups, str | bytes) or not isinstance(
        feature_groups, Sequence | np.ndarray | pd.Index | pd.api.extensions.ExtensionArray
    ):
        return None
    if getattr(feature_groups, "ndim", 1) != 1:
        return None
    labels = list(feature_groups)
    missing = [k for k, label in enumerate(labels) if not isinstance(label, tuple | list) and pd.isna(label)]
    if missing:
        raise ValueError(f"feature_groups has no label for column {missing[0]}; every column belongs to a group.")
    return labels


def _runs(labels: list) -> tuple[np.ndarray, list[str]]:
    starts = [k for k in range(len(labels)) if k == 0 or labels[k] != labels[k - 1]]
    names = [labels[k] for k in starts]
    repeated = [name for k, name in enumerate(names) if name in names[:k]]
    if repeated:
        raise ValueError(
            f"feature_groups: the columns of group {repeated[0]!r} are not next to each other; sort them by group."
        )
    return np.diff([*starts, len(labels)]), [str(name) for name in names]


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
        n_units = n_samples if codes is None else len(kinds)
        if n_units < cv:
            unit = "n_samples" if codes is None else "number of trials in groups"
            raise ValueError(f"cv={cv} folds need at least as many units: {unit}={n_units}. Use fewer folds.")
        splitter = KFold(int(cv)) if codes is None else GroupKFold(int(cv))
        splits = splitter.split(np.zeros(n_samples), groups=codes)
    elif hasattr(cv, "split") and not isinstance(cv, str | bytes):
        splits = _split(cv, n_samples, codes, kinds, responses)
    else:
        splits = cv
    try:
        pairs = [(train, test) for train, test in splits]
    except (TypeError, ValueError) as error:
        raise ValueError(
            f"cv={_shown(cv)} is neither an integer, a scikit-learn splitter, nor an iterable of (train, test) row "
            "indices."
        ) from error
    pairs = [(_row_index(train, n_samples), _row_index(test, n_samples)) for train, test in pairs]
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
        raise ValueError(f"cv={cv!r} cannot split these samples: {error}{hint}") from error


def _shown(value: Any) -> str:
    """A value in a message, cut where it is long."""
    text = repr(value)
    return text if len(text) <= 80 else f"{text[:77]}..."


def _row_index(rows: Any, n_samples: int) -> np.ndarray:
    rows = np.asarray(rows)
    if rows.ndim != 1 or (len(rows) and rows.dtype.kind not in "biu"):
        raise ValueError(
            f"cv must hold pairs of training and test row indices; found {rows.dtype} of shape {rows.shape}."
        )
    rows = np.flatnonzero(rows) if rows.dtype == bool else rows.astype(int)
    if len(rows) and (rows.min() < 0 or rows.max() >= n_samples):
        raise ValueError(f"cv: row indices run from {rows.min()} to {rows.max()}, outside 0…{n_samples - 1}.")
    return rows


def check_rule(se_fraction: Any, min_lambda: Any) -> None:
    """Complain unless strengths can be selected by both.

    Raises
    ------
    ValueError
    """
    for name, value in (("se_fraction", se_fraction), ("min_lambda", min_lambda)):
        number = isinstance(value, Real) and not isinstance(value, bool | np.bool_)
        if not number or not np.isfinite(value) or value < 0:
            raise ValueError(f"{name}={_shown(value)} must be a finite number of at least 0.")


def check_verbose(verbose: Any) -> None:
    """Complain unless it is a whole number."""
    if not isinstance(verbose, int | np.integer | np.bool_):
        raise ValueError(f"verbose={_shown(verbose)} must be 0, 1 or 2.")


def check_seed(seed: Any, who: str) -> None:
    """Complain unless ``numpy.random.default_rng`` can be seeded by it: a whole number from 0, or None.

    Raises
    ------
    ValueError
    """
    whole = isinstance(seed, int | np.integer) and not isinstance(seed, bool | np.bool_)
    if seed is not None and not (whole and seed >= 0):
        raise ValueError(f"{who}: seed={_shown(seed)} must be a whole number, 0 or more.")


def warn_neurons(what: str, neurons: np.ndarray, names: list[str], category: type = PopglmWarning) -> None:
    """One warning that names the neurons (the first ten of them)."""
    if len(neurons):
        shown = ", ".join(names[j] for j in neurons[:10])
        more = f" and {len(neurons) - 10} more" if len(neurons) > 10 else ""
        warn(f"{what}: {shown}{more}.", category)
