"""Classes of categorical responses: what users give as labels, numbered."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

import numpy as np
import pandas as pd
import xarray as xr

from popglm.checks import is_number
from popglm.engines import as_numpy
from popglm.estimators.splits import as_labels
from popglm.labels import Rows, neuron_order
from popglm.messages import listed, shown

__all__ = ["check_class_weight", "check_classes", "check_known_classes", "plain_classes", "weights_by_class"]

#: Classes that all responses may have together. A label per sample is no class.
MOST_CLASSES = 1000

#: Whole numbers of 64 bits end here, and further down those that a float tells from the next one.
LARGEST_LABEL: int = 2**63
LARGEST_FLOAT: int = 2**53


def check_classes(y: Any, n_samples: int, rows: Rows) -> tuple[np.ndarray, np.ndarray]:
    """Numbers of the classes of all samples, and the classes of all responses together, in order.

    Parameters
    ----------
    y : array-like, shape (n_samples,) or (n_samples, n_responses)
        Labels: text, whole numbers or flags; None or NaN, or a mask, where a response is not known.

    Returns
    -------
    codes : ndarray of int, shape (n_samples, n_responses)
        −1 where a response is not known.
    classes : ndarray, shape (n_classes,)
        Sorted; numbers stand apart from text.

    Raises
    ------
    TypeError
        If y is no table, or holds labels of another kind.
    ValueError
        If y has another shape, holds numbers that are no classes, or flags beside numbers.

    Examples
    --------
    >>> codes, classes = check_classes(["left", None, "right"], 3, Rows())
    >>> codes[:, 0], classes
    (array([ 0, -1,  1]), array(['left', 'right'], dtype='<U5'))
    """
    columns = _columns(y, n_samples, rows)
    found = [_factorized(column, j) for j, column in enumerate(columns)]
    _check_flags({type(kind): f"response {j}" for j, (_, kinds) in reversed([*enumerate(found)]) for kind in kinds})
    classes = _union([kinds for _, kinds in found])
    if len(classes) > MOST_CLASSES:
        raise ValueError(
            f"y has {len(classes):,} classes, of which {MOST_CLASSES:,} are the most; give one label per class, and "
            "activity or other numbers to a popglm.GLM."
        )
    place = {kind: k for k, kind in enumerate(classes)}
    codes = [np.append([place[kind] for kind in kinds], -1).astype(int)[own] for own, kinds in found]
    return np.stack(codes, axis=1), plain_classes(classes)


def check_known_classes(
    y: Any, n_samples: int, rows: Rows, fitted: Any, weights: np.ndarray | None = None
) -> np.ndarray:
    """Numbers of the classes of all samples, (n_samples, n_responses), which a fitted model must know.

    Samples whose ``weights``, (n_samples,) or (n_samples, n_responses), are 0 may have any label, as in `fit`; one
    that no response had there is −1.

    Raises
    ------
    ValueError
        If y has other responses than in the fit, or a label that a response did not have there.
    """
    order = neuron_order(y, fitted.neuron_names_, fitted.neurons_are_named_, "y", what="response")
    codes, classes = check_classes(y, n_samples, rows)
    if codes.shape[1] != len(fitted.neuron_names_):
        raise ValueError(
            f"y has {codes.shape[1]} responses; the model was fitted to {len(fitted.neuron_names_)}. Give a column for "
            "every response of the fit, None where it is not known."
        )
    codes = codes if order is None else codes[:, order]
    place = {kind: k for k, kind in enumerate(fitted.classes_.tolist())}
    number = np.append([place.get(kind, -2) for kind in classes.tolist()], -1).astype(int)
    found = number[codes]
    known = fitted.class_counts_ > 0
    strange = (found == -2) | ((found >= 0) & ~known[np.arange(found.shape[1]), np.maximum(found, 0)])
    if weights is not None:
        strange &= weights.reshape(n_samples, -1) > 0
    if strange.any():
        row, j = np.argwhere(strange)[0]
        label = classes.tolist()[codes[row, j]]
        had = listed(map(repr, fitted.classes_[known[j]].tolist()))
        raise ValueError(
            f"y holds the label {label!r} for response {fitted.neuron_names_[j]!r} in row {row}, which the fit did not "
            f"have: its classes are {had}. Leave these samples out, or give None there."
        )
    return np.maximum(found, -1)


def _columns(y: Any, n_samples: int, rows: Rows) -> list[Any]:
    """The columns of y as pandas can number them, in the order of the rows."""
    if y is None or isinstance(y, Mapping | str | bytes | bytearray | set | xr.Dataset):
        raise TypeError(f"y must be an array or a table with one column per response; found {type(y).__name__}.")
    if isinstance(y, Iterator):
        raise TypeError(f"y is a {type(y).__name__}, which can be read only once; give an array or a list(y).")
    order = rows.order(y, "y")
    columns = _columns_of_table(y)
    if not columns:
        raise ValueError("y has no columns; give one per response.")
    found = []
    for column in columns:
        labels = as_labels(column, "y")
        if labels.shape != (n_samples,):
            raise ValueError(
                f"X has {n_samples} samples and y has {len(labels)} (inconsistent numbers of samples); both need one "
                "row per sample."
            )
        found.append(labels if order is None else labels[order])
    return found


def _columns_of_table(y: Any) -> list[Any]:
    if np.ma.isMaskedArray(y):
        # what is masked is not known
        values = np.array(y.data, object)
        values[np.ma.getmaskarray(y)] = None
        y = values
    if isinstance(y, pd.DataFrame):
        return [y.iloc[:, j] for j in range(y.shape[1])]
    y = as_numpy(y)
    if isinstance(y, list | tuple):
        rows = [len(row) for row in y if isinstance(row, list | tuple | np.ndarray) and np.ndim(row) == 1]
        if len(rows) != len(y):
            return [list(y)]
        if len(set(rows)) > 1:
            raise ValueError(
                f"y has rows of {min(rows)} to {max(rows)} labels; give a label for every response in each."
            )
        return [[row[j] for row in y] for j in range(rows[0])] if rows else [[]]
    values = y if isinstance(y, pd.Series | pd.api.extensions.ExtensionArray) else np.asarray(getattr(y, "values", y))
    if values.ndim == 1:
        return [values]
    if values.ndim != 2:
        raise ValueError(f"y must have shape (n_samples,) or (n_samples, n_responses); it has {values.shape}.")
    return [values[:, j] for j in range(values.shape[1])]


def _factorized(column: Any, j: int) -> tuple[np.ndarray, list[Any]]:
    """Numbers of a response's labels by appearance, −1 where there is none, and the labels as Python has them."""
    try:
        codes, kinds = pd.factorize(column)
    except TypeError as error:
        raise ValueError(f"y must hold labels that can be compared, such as numbers or text: {error}.") from error
    kinds = pd.Index(kinds, tupleize_cols=False)
    if isinstance(kinds, pd.CategoricalIndex):
        kinds = kinds.astype(kinds.categories.dtype)
    found = []
    for k, kind in enumerate(kinds.tolist()):
        try:
            found.append(_plain_label(kind))
        except (TypeError, ValueError) as error:
            row = int(np.flatnonzero(codes == k)[0])
            unknown = "Unknown label type: continuous. " if isinstance(kind, float | np.floating) else ""
            raise type(error)(f"{unknown}y holds {kind!s} for response {j}, first in row {row}, {error}") from None
    if pd.api.types.is_object_dtype(column):
        # pandas numbers True and 1 as the same label
        _check_flags({type(v): f"response {j}" for v in column[codes >= 0]})
    return codes, found


def _plain_label(label: Any) -> str | bool | int:
    """A label as Python has it.

    Raises
    ------
    TypeError, ValueError
        If it is no text, flag or whole number; the sentence goes on from what holds it, and where.
    """
    if isinstance(label, str):
        return str.__str__(label)
    if isinstance(label, bool | np.bool_):
        return bool(label)
    if isinstance(label, int | np.integer):
        whole = int(label)
        if not -LARGEST_LABEL <= whole < LARGEST_LABEL:
            raise ValueError("which does not fit a whole number of 64 bits; give text: y.astype(str).")
        return whole
    if isinstance(label, float | np.floating):
        value = float(label)
        if not value.is_integer():
            raise ValueError("which is no class; give whole numbers, text or flags, and activity to a popglm.GLM.")
        if abs(value) > LARGEST_FLOAT:
            raise ValueError(
                "which is too large for floats to tell whole numbers apart; give whole numbers as int64, or text."
            )
        return int(value)
    raise TypeError(
        f"which is of type {type(label).__name__}; labels are text, whole numbers or flags. Give text: y.astype(str)."
    )


def _check_flags(where: Mapping[type, str]) -> None:
    """Complain of flags beside numbers; ``where`` has the place of each type."""
    flags = [place for kind, place in where.items() if issubclass(kind, bool | np.bool_)]
    numbers = [
        place
        for kind, place in where.items()
        if issubclass(kind, int | np.integer | float | np.floating) and not issubclass(kind, bool)
    ]
    if flags and numbers:
        raise ValueError(
            f"y holds flags in {flags[0]} and numbers in {numbers[0]}: True would be the same class as 1. Give one "
            "kind to all, such as y.astype(int), or text."
        )


def _union(each: list[list[Any]]) -> list[Any]:
    """Labels of all responses; those of a kind stand together, sorted."""
    by_kind: dict[Any, list[Any]] = {}
    for label in dict.fromkeys(label for labels in each for label in labels):
        by_kind.setdefault(type(label), []).append(label)
    return [label for labels in by_kind.values() for label in sorted(labels)]


def plain_classes(classes: list[Any]) -> np.ndarray:
    """Classes as one array: of numbers, text or flags where all are of that kind, else of objects."""
    kinds = {type(kind) for kind in classes}
    if len(kinds) == 1 and kinds <= {int, str, bool}:
        return np.array(classes)
    found = np.empty(len(classes), object)
    found[:] = classes
    return found


def check_class_weight(class_weight: Any) -> None:
    """Complain unless it is None, "balanced", or a mapping from labels to weights.

    Raises
    ------
    ValueError
    """
    if class_weight is None or (isinstance(class_weight, str) and class_weight == "balanced"):
        return
    if not isinstance(class_weight, Mapping):
        raise ValueError(
            f"class_weight={shown(class_weight)} must be None, 'balanced', or a mapping from labels to weights."
        )
    for label, weight in class_weight.items():
        if not is_number(weight) or weight <= 0:
            raise ValueError(
                f"class_weight of {label!r} is {shown(weight)}; it must be a finite number above 0. Samples that are "
                "not to count are for sample_weight."
            )


def weights_by_class(
    class_weight: Any, codes: np.ndarray, classes: np.ndarray, weights: np.ndarray | None
) -> np.ndarray | None:
    """Sample weights times those of the samples' classes, (n_samples,) or (n_samples, n_responses).

    Parameters
    ----------
    class_weight : "balanced", mapping, or None
        "balanced" gives all classes of a response the same sum of weights, that of its samples over their number.
    codes : ndarray of int, shape (n_samples, n_responses)
    weights : ndarray, shape (n_samples,) or (n_samples, n_responses), or None

    Raises
    ------
    ValueError
        If a mapping names a label that no response has.
    """
    if class_weight is None:
        return weights
    s = np.ones(codes.shape) if weights is None else np.broadcast_to(weights.reshape(len(codes), -1), codes.shape)
    if isinstance(class_weight, Mapping):
        place = {kind: k for k, kind in enumerate(classes.tolist())}
        strange = [label for label in class_weight if label not in place]
        if strange:
            raise ValueError(
                f"class_weight names {strange[0]!r}, which is no class of y ({shown(classes.tolist())}); leave it out."
            )
        each = np.ones(len(classes) + 1)
        for label, weight in class_weight.items():
            each[place[label]] = weight
        return s * each[codes]
    factor = np.ones(codes.shape)
    for j, own in enumerate(codes.T):
        known = own >= 0
        counts = np.bincount(own[known], s[known, j], len(classes))
        there = counts > 0
        factor[known, j] = np.where(there, counts.sum() / (there.sum() * np.where(there, counts, 1)), 1)[own[known]]
    return s * factor
