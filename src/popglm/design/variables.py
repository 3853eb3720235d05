"""A recording session as the terms read it: named 1-D variables and the trials they fall into."""

from __future__ import annotations

import difflib
from collections.abc import Iterable, Mapping
from functools import cached_property
from numbers import Real
from typing import Any

import numpy as np
import pandas as pd
import xarray as xr

from popglm.checks import LARGEST, check_names
from popglm.design.levels import as_text, factorize
from popglm.frames import as_pandas
from popglm.labels import Rows, check_order, times
from popglm.messages import shown

__all__ = ["SessionVariables"]


class SessionVariables:
    """Variables of one recording, checked as they are read.

    Parameters
    ----------
    data : DataFrame, mapping of 1-D arrays, xarray Dataset, or pynapple TsdFrame
        One value per variable and sample. A mapping may hold lists, arrays, Series, DataArrays or pynapple
        Tsd; those with an index or times are put in the order of the first of them.
    variables : iterable of str
        The variables that will be read; all others are ignored, whatever they hold.
    trial : str or None
        Variable that labels the trial of each sample; without it the session is one trial.
    is_fitted_to : bool
        Whether statistics of the variables are learned, which vanish where all values are tiny.

    Attributes
    ----------
    n_samples : int
    index : pandas.Index
        Row labels: those of a DataFrame or of the entries of a mapping, a coordinate of a Dataset, the times of
        pynapple objects, else 0, 1, 2, ...
    units : dict of str to str
        Of the variables whose entry is labelled with one, as xarray's "units" are.
    trial_starts, trial_stops : ndarray of int, shape (n_trials,)
        Trial i is the rows ``trial_starts[i]:trial_stops[i]``.
    run_starts, run_stops : ndarray of int, shape (n_runs,)
        The rows ``run_starts[i]:run_stops[i]`` follow each other in time within one trial: it has more than one run
        where the index has gaps.

    Raises
    ------
    TypeError
        If `data` is none of the above.
    ValueError
        If runs are asked for, as lags do, and the rows of a trial are not in order of the times in the index.
        If a variable is missing, not 1-D or of another length than the rest, or has labels of other rows; or if a
        trial label is missing or comes back after another trial.

    Examples
    --------
    >>> session = SessionVariables({"speed": [1.0, 2.0, 4.0], "trial": [7, 7, 8]}, ["speed"], trial="trial")
    >>> session.numeric("speed"), session.trial_starts, session.trial_stops
    (array([1., 2., 4.]), array([0, 2]), array([2, 3]))
    """

    def __init__(self, data: Any, variables: Iterable[str], trial: str | None = None, is_fitted_to: bool = False):
        self._is_fitted_to = is_fitted_to
        data = _as_mapping(data)
        names = list(dict.fromkeys(check_names("session", "variables", variables)))
        if not (trial is None or isinstance(trial, str)):
            raise TypeError(f"session: trial must be the name of a variable or None; found {shown(trial)}")
        if trial is not None and trial not in names:
            names.append(trial)
        if not names:
            raise ValueError("session: variables is empty; name at least one")
        # the index of a table holds for all of its columns; entries of a mapping bring their own
        rows = Rows(data.index if isinstance(data, pd.DataFrame) else None, "the session")
        self.units: dict[str, str] = {}
        self._columns: dict[str, pd.Series] = {}
        for name in names:
            found = _find(data, name)
            self._columns[name] = _in_order(found, name, rows)
            if _has_unit(found):
                self.units[name] = found.attrs["units"]
        first = names[0]
        self.n_samples = len(self._columns[first])
        for name, column in self._columns.items():
            if len(column) != self.n_samples:
                raise ValueError(
                    f"variables differ in length: {first!r} has {self.n_samples} samples but {name!r} has "
                    f"{len(column)}; give every variable one value per sample"
                )
        if self.n_samples == 0:
            raise ValueError(f"the session is empty: {first!r} has 0 samples")
        self.index = pd.RangeIndex(self.n_samples) if rows.labels is None else rows.labels
        self.trial_starts = np.array([0]) if trial is None else self._find_trials(trial)
        self.trial_stops = np.append(self.trial_starts[1:], self.n_samples)

    @cached_property
    def run_starts(self) -> np.ndarray:
        """First row of every run, shape (n_runs,)."""
        trial = np.repeat(np.arange(len(self.trial_starts)), self.trial_stops - self.trial_starts)
        check_order(self.index, "the session", "lags", trial)
        return np.union1d(self.trial_starts, find_gaps(self.index))

    @property
    def run_stops(self) -> np.ndarray:
        """The rows after the last of every run, shape (n_runs,)."""
        return np.append(self.run_starts[1:], self.n_samples)

    def column(self, variable: str) -> pd.Series:
        """Return the variable as it was given, shape (n_samples,)."""
        return self._columns[variable]

    def labels(self, variable: str) -> pd.Series:
        """Return a variable of categories or trials as it was given, shape (n_samples,).

        Raises
        ------
        ValueError
            If a label is infinite, which is no kind of anything.
        """
        column = self._columns[variable]
        infinite = column.isin([np.inf, -np.inf])
        if infinite.any():
            row = int(np.flatnonzero(infinite)[0])
            raise ValueError(
                f"variable {variable!r} is infinite in row {row}, which is no label; give a finite value there, or NaN "
                "where there is none"
            )
        return column

    def numeric(self, variable: str) -> np.ndarray:
        """Return the variable as float64, shape (n_samples,), NaN where missing.

        Raises
        ------
        ValueError
            If it holds anything but numbers, an infinite value, or values in a unit whose squares overflow or vanish.
        """
        column = self._columns[variable]
        if isinstance(column.dtype, pd.CategoricalDtype):
            column = column.astype(column.cat.categories.dtype if column.notna().all() else object)
        kind = column.dtype
        if pd.api.types.is_object_dtype(kind):
            strange = np.array([not (isinstance(v, (Real, np.bool_)) or _is_missing(v)) for v in column], dtype=bool)
        else:
            is_real = pd.api.types.is_numeric_dtype(kind) and not pd.api.types.is_complex_dtype(kind)
            strange = np.full(self.n_samples, not is_real)
        if strange.any():
            row = int(np.flatnonzero(strange)[0])
            raise ValueError(
                f"variable {variable!r} must be numeric, but row {row} holds {_plain(column, row)!r}; "
                f"convert it to numbers or use categories({variable!r})"
            )
        values = column.to_numpy(dtype=np.float64, na_value=np.nan)
        _check_sizes(variable, values, self._is_fitted_to)
        return values

    def _find_trials(self, trial: str) -> np.ndarray:
        """Return the first row of every trial."""
        return starts_of_trials(self.labels(trial), trial)


def starts_of_trials(labels: pd.Series, trial: str) -> np.ndarray:
    """The first row of every trial, given the label of each row.

    Parameters
    ----------
    labels : Series, shape (n_samples,)
    trial : str
        What the variable is called, for messages.

    Raises
    ------
    ValueError
        If a label is missing, or comes back after another one.

    Examples
    --------
    >>> starts_of_trials(pd.Series([4, 4, 2, 2, 2]), "trial")
    array([0, 2])
    """
    codes, uniques = factorize(labels)
    if (codes < 0).any():
        row = int(np.flatnonzero(codes < 0)[0])
        raise ValueError(f"trial variable {trial!r} is missing (NaN) in row {row}; label every sample or drop it")
    starts = np.flatnonzero(np.diff(codes, prepend=-1))
    if len(starts) > len(uniques):
        # codes count up in order of appearance, so a run that opens no new code is a return
        row = int(starts[codes[starts] != np.arange(len(starts))][0])
        found = f"trial variable {trial!r} is not contiguous: label {_plain(labels, row)!r} comes back in row {row}"
        if (np.bincount(codes[starts]) > 1).sum() > 1:
            raise ValueError(f"{found} after another trial; sort by trial and time, or give each run its own label")
        raise ValueError(f"{found} after another trial, and is the only one that does; {_without(_plain(labels, row))}")
    return starts


def _without(label: Any) -> str:
    """What to do with the label of what lies between trials."""
    drop = f"if {label!r} stands for no trial, drop its rows"
    if isinstance(label, int | float) and not isinstance(label, bool) and label % 1 == 0:
        drop += f", or give no_trial={int(label)} to Session.regrid"
    return f"{drop}; if not, sort by trial and time, or give each run its own label"


def _check_sizes(variable: str, values: np.ndarray, is_fitted_to: bool) -> None:
    """Complain of infinite values, and of units whose squares floating-point numbers do not hold; NaN is fine."""
    sizes = np.abs(values)
    largest = np.fmax.reduce(sizes, initial=0.0)
    if np.isinf(largest):
        row = int(np.flatnonzero(np.isinf(values))[0])
        raise ValueError(
            f"variable {variable!r} is infinite in row {row}; replace it by a finite value, or by NaN "
            "where the variable is unknown"
        )
    if largest > LARGEST:
        row = int(np.nanargmax(sizes))
        found = f"is {values[row]:g} in row {row}, above {LARGEST:g} in size: squares of such values overflow"
    elif is_fitted_to and 0 < largest < 1 / LARGEST:
        found = f"is {largest:g} at most in size, below {1 / LARGEST:g}: squares of such values vanish"
    else:
        return
    raise ValueError(f"variable {variable!r} {found}; give it in another unit")


def find_gaps(index: pd.Index) -> np.ndarray:
    """Return the rows that follow a gap: a step of more than 1.5 × the median step of labels that rise."""
    numbers = times(index)
    if numbers is None or len(index) < 3:
        return np.array([], dtype=int)
    steps = np.diff(numbers)
    if not (steps > 0).all():  # no times, or not in order
        return np.array([], dtype=int)
    return np.flatnonzero(steps > 1.5 * np.median(steps)) + 1


def _as_mapping(data: Any) -> pd.DataFrame | Mapping:
    data = as_pandas(data)
    if isinstance(data, (pd.DataFrame, Mapping)):  # an xarray Dataset is a Mapping of its variables
        return data
    # the columns of a lazy table cost a computation
    is_lazy = hasattr(type(data), "collect")
    if not is_lazy and all(hasattr(data, attribute) for attribute in ("columns", "values", "t")):  # pynapple TsdFrame
        return pd.DataFrame(np.asarray(data.values), index=np.asarray(data.t), columns=list(data.columns))
    raise TypeError(
        "a session must be a DataFrame, a mapping of 1-D arrays, an xarray Dataset or a pynapple TsdFrame, "
        f"whose variables have names; found {type(data).__name__}" + ("; call its collect() first" if is_lazy else "")
    )


def _find(data: pd.DataFrame | Mapping, name: str) -> Any:
    try:
        return data[name]
    except KeyError:
        known = [str(key) for key in data]
        near = difflib.get_close_matches(name, known, n=3) or known[:10]
        raise ValueError(
            f"variable {name!r} is not in the session; nearest names: {', '.join(map(repr, near)) or 'none'}"
        ) from None


def _has_unit(found: Any) -> bool:
    """Whether an entry is labelled with its unit."""
    return isinstance(found, xr.DataArray) and isinstance(found.attrs.get("units"), str) and found.attrs["units"] != ""


def _in_order(found: Any, name: str, rows: Rows) -> pd.Series:
    """The variable as a column whose rows stand as those of the other variables do."""
    column = _as_column(found, name)
    order = rows.order(found, f"variable {name!r}")
    return column if order is None else column.iloc[order]


def _as_column(found: Any, name: str) -> pd.Series:
    if isinstance(found, pd.DataFrame):
        raise ValueError(
            f"variable {name!r} must be 1-D with one value per sample; found {found.shape[1]} columns of that name; "
            "rename all but one"
        )
    if isinstance(found, xr.Dataset):
        raise ValueError(
            f"variable {name!r} must be 1-D with one value per sample; found {shown(found)}; give one of its variables"
        )
    if isinstance(found, pd.Series):
        return pd.Series(_native(found.to_numpy()), index=found.index) if _is_foreign(found.dtype) else found
    if isinstance(found, (list, tuple)):  # numpy would turn a list of strings and numbers into strings
        try:
            return pd.Series(found, dtype=None if len(found) else np.float64)
        except OverflowError:  # pandas 2 on whole numbers that no float holds
            return pd.Series(found, dtype=object)
    if isinstance(found, (pd.Index, pd.api.extensions.ExtensionArray)):
        return pd.Series(found)
    values = np.ma.getdata(found) if isinstance(found, np.ma.MaskedArray) else np.asarray(found)
    if values.ndim != 1:
        raise ValueError(
            f"variable {name!r} must be 1-D with one value per sample; found shape {np.shape(values)}"
            "; give each of its columns a name of its own"
        )
    column = pd.Series(_native(values), copy=False)
    return column.mask(np.ma.getmaskarray(found)) if np.ma.is_masked(found) else column


def _is_foreign(dtype: Any) -> bool:
    """Whether the values are of a kind that pandas does not compute with: another byte order, bytes."""
    return isinstance(dtype, np.dtype) and (dtype.kind == "S" or not dtype.isnative)


def _native(values: np.ndarray) -> np.ndarray:
    """Return values in the byte order of the machine, bytes as the text that they hold."""
    if values.dtype.kind == "S":
        return np.array([as_text(value) for value in values], dtype=object)
    return values if values.dtype.isnative else values.astype(values.dtype.newbyteorder("="))


def _plain(column: pd.Series, row: int) -> Any:
    """Return the value as Python's own type, which reads well in a message."""
    return column.iloc[[row]].tolist()[0]


def _is_missing(value: Any) -> bool:
    return value is None or value is pd.NA or value is pd.NaT
