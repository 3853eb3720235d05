"""Labels of rows, columns and neurons: what belongs together is found by them, and by position where there are none."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import pandas as pd
import xarray as xr

from popglm.messages import shown

__all__ = [
    "Rows",
    "check_distinct",
    "check_order",
    "column_labels",
    "column_order",
    "column_text",
    "is_counted",
    "neuron_labels",
    "neuron_order",
    "row_labels",
    "step_back",
    "times",
    "vector_order",
]


def row_labels(values: Any) -> pd.Index | None:
    """Labels of the samples: the index of a table, the times of a pynapple object, a coordinate of xarray's.

    Examples
    --------
    >>> row_labels(pd.Series([1.0, 2.0], index=[0.1, 0.2]))
    Index([0.1, 0.2], dtype='float64')
    >>> row_labels([1.0, 2.0]) is None
    True
    """
    if isinstance(values, pd.DataFrame | pd.Series):
        return values.index
    if isinstance(values, xr.DataArray):
        return values.indexes.get(values.dims[0]) if values.ndim else None
    if hasattr(values, "time_support") and hasattr(values, "t"):
        return pd.Index(np.asarray(values.t))
    return None


def column_labels(values: Any) -> list[Any] | None:
    """Labels of the columns; None for arrays and for columns that are merely counted."""
    if isinstance(values, pd.DataFrame):
        return None if is_counted(values.columns) else list(values.columns)
    if isinstance(values, xr.DataArray):
        labels = values.indexes.get(values.dims[1]) if values.ndim == 2 else None
        return None if labels is None or is_counted(labels) else list(labels)
    labels = getattr(values, "columns", None)
    if labels is None or not hasattr(values, "shape") or callable(labels):
        return None
    labels = list(labels)
    return None if labels == list(range(len(labels))) else labels


def column_text(label: Any) -> str:
    """A label as it is shown; that of a column in a group has both parts."""
    return " / ".join(str(part) for part in label) if isinstance(label, tuple) else str(label)


def check_distinct(names: Sequence[str], name: str, what: str) -> None:
    """Complain of a name that two columns of the argument ``name`` have.

    Raises
    ------
    ValueError
    """
    if len(set(names)) < len(names):
        again = next(label for k, label in enumerate(names) if label in names[:k])
        raise ValueError(f"{name} has the {what} {again!r} more than once; give every {what} its own name.")


def column_order(found: Sequence[Any], fitted: Sequence[Any], who: str) -> np.ndarray | None:
    """Where the columns of the fit stand among those found; None where they are the same.

    Raises
    ------
    ValueError
        If there are others, or some are missing.
    """
    found, fitted = [column_text(label) for label in found], [column_text(label) for label in fitted]
    return _order(found, fitted, "X", "column", who)


def neuron_labels(Y: Any) -> list[str] | None:
    """Names that Y gives its neurons; None for arrays and for columns that are merely counted."""
    if isinstance(Y, pd.Series):
        return None if Y.name is None else [column_text(Y.name)]
    labels = column_labels(Y)
    return None if labels is None else [column_text(label) for label in labels]


def neuron_order(
    Y: Any, names: Sequence[str], given: bool, name: str = "Y", owner: str = "the model", what: str = "neuron"
) -> np.ndarray | None:
    """Where the neurons of the fit stand among the columns of Y; None where they are the same, or have no names.

    Parameters
    ----------
    given : bool
        Whether the names are those of the data; others, which only count the neurons of an array, are found again where
        all are there, and bind nobody else.
    what : str
        What a column is to messages.

    Raises
    ------
    ValueError
        If Y has neurons of other names, or one of them twice.

    Examples
    --------
    >>> Y = pd.DataFrame([[1.0, 2.0]], columns=["neuron1", "neuron0"])
    >>> neuron_order(Y, ["neuron0", "neuron1"], given=False)
    array([1, 0])
    """
    found = neuron_labels(Y)
    if found is None or not (given or set(found) == set(names)):
        return None
    if len(found) != len(names) and not set(found) & set(names):
        # of another shape altogether, of which others complain
        return None
    return _order(found, list(names), name, what, owner)


def vector_order(
    values: Any, names: Sequence[str], given: bool, name: str, owner: str = "the model", what: str = "neuron"
) -> np.ndarray | None:
    """`neuron_order` of an argument that has one entry per neuron: a mapping, or a Series or DataArray with labels.

    The keys of a mapping are names on purpose, and have to be those of the neurons.

    Examples
    --------
    >>> vector_order({"b": 1.0, "a": 2.0}, ["a", "b"], True, "dispersion")
    array([1, 0])
    """
    if isinstance(values, Mapping):
        return _order([column_text(key) for key in values], list(names), name, what, owner)
    labels = row_labels(values) if isinstance(values, pd.Series | xr.DataArray) and values.ndim == 1 else None
    if labels is None or is_counted(labels):
        return None
    return neuron_order(pd.DataFrame(columns=labels), names, given, name, owner, what)


def _order(found: list[str], fitted: list[str], name: str, what: str, who: str) -> np.ndarray | None:
    if found == fitted:
        return None
    check_distinct(found, name, what)
    position = {label: k for k, label in enumerate(found)}
    missing = [label for label in fitted if label not in position]
    strange = [label for label in found if label not in set(fitted)]
    if missing or strange:
        parts = [f"lacks {what} {missing[0]!r} of the fit"] if missing else []
        parts += [f"has {what} {strange[0]!r}, which {who} was not fitted to"] if strange else []
        raise ValueError(
            f"{name} {' and '.join(parts)} ({len(missing)} missing, {len(strange)} unknown); give it those of the fit, "
            "in any order, or an array without names in the order of the fit."
        )
    return np.array([position[label] for label in fitted])


class Rows:
    """Labels of the samples that several arguments share.

    The first argument with labels sets them; every later one is put in that order. A plain count 0, 1, … from pandas
    is no label to an argument with labels of its own, unless these are the same numbers in another order. What has no
    labels stands beside the rows of X as these were given, and goes where they go.

    Parameters
    ----------
    labels : pandas.Index, optional
    owner : str
        Argument that they come from.

    Examples
    --------
    >>> rows = Rows(pd.Index(["a", "b", "c"]), "X")
    >>> rows.order(pd.Series([1, 2, 3], index=["c", "a", "b"]), "Y")
    array([1, 2, 0])
    """

    def __init__(self, labels: pd.Index | None = None, owner: str = "X") -> None:
        self.labels, self.owner = labels, owner
        #: Positions in X as it was given of the samples in their shared order; None where it stands in that already.
        self.given: np.ndarray | None = None

    @classmethod
    def of_fit(cls, fitted: pd.Index | None, X: Any, name: str = "X") -> Rows:
        """Samples in the order of a fit, whose labels are ``fitted``; in that of X where the fit had none.

        Raises
        ------
        ValueError
            As `order`, for X.

        Examples
        --------
        >>> rows = Rows.of_fit(pd.Index(["a", "b", "c"]), pd.Series([30, 10, 20], index=["c", "a", "b"]))
        >>> rows.order([3, 1, 2], "trial"), rows.order(pd.Series([1, 2, 3], index=["a", "b", "c"]), "trial")
        (array([1, 2, 0]), None)
        """
        if fitted is None:
            return cls(row_labels(X), name)
        rows = cls(fitted, "the fit")
        rows.given = rows.order(X, name)
        return rows

    def order(self, values: Any, name: str) -> np.ndarray | None:
        """Positions in ``values`` of the samples in their shared order; None where it stands in that already.

        Raises
        ------
        ValueError
            If ``values`` has labels of other samples, or labels that repeat, in another order.
        """
        return self.order_of(row_labels(values), name)

    def order_of(self, found: pd.Index | None, name: str) -> np.ndarray | None:
        """`order` of an argument with the labels ``found``; None for one that has none.

        Raises
        ------
        ValueError
        """
        if found is None:
            return self.given
        if self.labels is None:
            self.labels, self.owner = found, name
            return None
        if len(found) != len(self.labels) or _same(found, self.labels):
            return None
        if found.is_unique and self.labels.is_unique:
            order = found.get_indexer(self.labels)
            if (order >= 0).all():
                return order
        if is_counted(found):
            return self.given
        if is_counted(self.labels):
            self.labels, self.owner = found if self.given is None else found[self.given], name
            return self.given
        row = next(k for k, (a, b) in enumerate(zip(found, self.labels, strict=True)) if a != b)
        again = "" if found.is_unique and self.labels.is_unique else ", and labels repeat, so they cannot be sorted"
        raise ValueError(
            f"{name} and {self.owner} have different row labels: row {row} is {shown(found[row])} in {name} and "
            f"{shown(self.labels[row])} in {self.owner}{again}. Give both the same samples with the same index or "
            "times, or arrays without labels where the order is right."
        )


def _same(a: pd.Index, b: pd.Index) -> bool:
    """Whether labels are equal; times may differ by rounding."""
    if a.equals(b):
        return True
    if not all(isinstance(labels.dtype, np.dtype) and labels.dtype.kind in "iuf" for labels in (a, b)):
        return False
    x, y = a.to_numpy(float), b.to_numpy(float)
    if not (np.isfinite(x).all() and np.isfinite(y).all()):
        return False
    step = np.median(np.abs(np.diff(x))) if len(x) > 1 else 0.0
    return bool(np.allclose(x, y, rtol=0, atol=1e-6 * step))


def is_counted(labels: pd.Index) -> bool:
    """Whether labels only count the rows from 0, as pandas does unasked."""
    return isinstance(labels, pd.RangeIndex) and labels.start == 0 and labels.step == 1


def times(labels: pd.Index | None) -> np.ndarray | None:
    """Labels of rows as numbers where they can be times, numbers or dates; else None.

    Examples
    --------
    >>> times(pd.Index([0.5, 0.6]))
    array([0.5, 0.6])
    >>> times(pd.to_datetime(["2026-01-01 00:00", "2026-01-01 00:01"]).as_unit("s"))
    array([1767225600, 1767225660])
    >>> times(pd.Index(["a", "b"])) is None
    True
    """
    if isinstance(labels, pd.DatetimeIndex | pd.TimedeltaIndex | pd.PeriodIndex):
        return labels.asi8
    if labels is None or not pd.api.types.is_numeric_dtype(labels.dtype) or pd.api.types.is_bool_dtype(labels.dtype):
        return None
    return labels.to_numpy(dtype=np.float64, na_value=np.nan)


def check_order(labels: pd.Index | None, owner: str, who: str, trial: np.ndarray | None = None) -> np.ndarray | None:
    """Labels of rows as times, if they increase within every trial; None where they are no times.

    Parameters
    ----------
    trial : ndarray of int, shape (n_samples,), optional
        −1 for rows of no trial.

    Raises
    ------
    ValueError
        If a row comes before an earlier one, or at the same time.

    Examples
    --------
    >>> check_order(pd.Index([0.5, 0.6, 0.5]), "Y", "psth", np.array([0, 0, 1]))
    array([0.5, 0.6, 0.5])
    """
    time = times(labels)
    row = None if time is None else step_back(time, trial)
    if labels is None or time is None or row is None:
        return time
    if trial is not None and not np.diff(time)[trial[1:] == trial[:-1]].any():
        # each is the label of a whole trial
        return None
    raise ValueError(
        f"{who}: the row labels of {owner} do not increase: row {row} has {shown(labels[row])} after "
        f"{shown(labels[row - 1])}. Sort the rows by time, give trial= where recordings follow each other, or data "
        "without labels (reset_index(drop=True)) where these are no times."
    )


def step_back(time: np.ndarray, trial: np.ndarray | None = None) -> int | None:
    """First row of a trial that is not later than the row before; None where there is none.

    Examples
    --------
    >>> step_back(np.array([0, 1, 0, 1]), np.array([3, 3, 4, 4])), step_back(np.array([0, 1, 0, 1]))
    (None, 2)
    """
    back = ~(np.diff(time) > 0)
    if trial is not None:
        back &= (trial[1:] == trial[:-1]) & (trial[1:] >= 0)
    return int(back.argmax()) + 1 if back.any() else None
