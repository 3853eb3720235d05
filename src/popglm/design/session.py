"""A recording session as the terms read it: named 1-D variables and the trials they fall into."""

from __future__ import annotations

import difflib
from collections.abc import Iterable, Mapping
from numbers import Real
from typing import Any

import numpy as np
import pandas as pd

__all__ = ["Session"]


class Session:
    """Variables of one recording, checked as they are read.

    Parameters
    ----------
    data : DataFrame, mapping of 1-D arrays, xarray Dataset, or pynapple TsdFrame
        One value per variable and sample. A mapping may hold lists, arrays, Series, DataArrays or pynapple
        Tsd.
    variables : iterable of str
        The variables that will be read; all others are ignored, whatever they hold.
    trial : str or None
        Variable that labels the trial of each sample; without it the session is one trial.

    Attributes
    ----------
    n_samples : int
    index : pandas.Index
        Row labels: those of a DataFrame, the times of a TsdFrame, else 0, 1, 2, ...
    trial_starts, trial_stops : ndarray of int, shape (n_trials,)
        Trial i is the rows ``trial_starts[i]:trial_stops[i]``.

    Raises
    ------
    TypeError
        If `data` is none of the above.
    ValueError
        If a variable is missing, not 1-D or of another length than the rest, or if a trial label is missing
        or comes back after another trial.

    Examples
    --------
    >>> session = Session({"speed": [1.0, 2.0, 4.0], "trial": [7, 7, 8]}, ["speed"], trial="trial")
    >>> session.numeric("speed"), session.trial_starts, session.trial_stops
    (array([1., 2., 4.]), array([0, 2]), array([2, 3]))
    """

    def __init__(self, data: Any, variables: Iterable[str], trial: str | None = None):
        data = _as_mapping(data)
        names = [*dict.fromkeys(variables), *([] if trial is None else [trial])]
        self._columns = {name: _read(data, name) for name in names}
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
        self.index = data.index if isinstance(data, pd.DataFrame) else pd.RangeIndex(self.n_samples)
        self.trial_starts, self.trial_stops = (
            (np.array([0]), np.array([self.n_samples])) if trial is None else self._find_trials(trial)
        )

    def column(self, variable: str) -> pd.Series:
        """Return the variable as it was given, shape (n_samples,)."""
        return self._columns[variable]

    def numeric(self, variable: str) -> np.ndarray:
        """Return the variable as float64, shape (n_samples,), NaN where missing.

        Raises
        ------
        ValueError
            If it holds anything but numbers, or an infinite value.
        """
        column = self._columns[variable]
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
        if np.isinf(values).any():
            row = int(np.flatnonzero(np.isinf(values))[0])
            raise ValueError(
                f"variable {variable!r} is infinite in row {row}; replace it by a finite value, or by NaN "
                "where the variable is unknown"
            )
        return values

    def _find_trials(self, trial: str) -> tuple[np.ndarray, np.ndarray]:
        labels = self._columns[trial]
        codes, uniques = pd.factorize(labels)
        if (codes < 0).any():
            row = int(np.flatnonzero(codes < 0)[0])
            raise ValueError(f"trial variable {trial!r} is missing (NaN) in row {row}; label every sample or drop it")
        starts = np.flatnonzero(np.diff(codes, prepend=-1))
        if len(starts) > len(uniques):
            # codes count up in order of appearance, so a run that opens no new code is a return
            run = int(np.flatnonzero(codes[starts] != np.arange(len(starts)))[0])
            row = int(starts[run])
            raise ValueError(
                f"trial variable {trial!r} is not contiguous: label {_plain(labels, row)!r} comes back in "
                f"row {row} after another trial; sort by trial and time, or give each run its own label"
            )
        return starts, np.append(starts[1:], self.n_samples)


def _as_mapping(data: Any) -> pd.DataFrame | Mapping:
    if isinstance(data, (pd.DataFrame, Mapping)):  # an xarray Dataset is a Mapping of its variables
        return data
    if all(hasattr(data, attribute) for attribute in ("columns", "values", "t")):  # pynapple TsdFrame
        return pd.DataFrame(np.asarray(data.values), index=np.asarray(data.t), columns=list(data.columns))
    raise TypeError(
        "a session must be a DataFrame, a mapping of 1-D arrays, an xarray Dataset or a pynapple TsdFrame, "
        f"whose variables have names; found {type(data).__name__}"
    )


def _read(data: pd.DataFrame | Mapping, name: str) -> pd.Series:
    try:
        found = data[name]
    except KeyError:
        known = [str(key) for key in data]
        near = difflib.get_close_matches(name, known, n=3) or known[:10]
        raise ValueError(
            f"variable {name!r} is not in the session; nearest names: {', '.join(map(repr, near)) or 'none'}"
        ) from None
    if isinstance(found, pd.Series):
        return found
    if isinstance(found, (list, tuple)):  # numpy would turn a list of strings and numbers into strings
        return pd.Series(found, dtype=None if len(found) else np.float64)
    values = found.array if isinstance(found, pd.Index) else np.asarray(found)
    if values.ndim != 1:
        raise ValueError(
            f"variable {name!r} must be 1-D with one value per sample; found shape {np.shape(values)}"
            "; give each of its columns a name of its own"
        )
    return pd.Series(values, copy=False)


def _plain(column: pd.Series, row: int) -> Any:
    """Return the value as Python's own type, which reads well in a message."""
    return column.iloc[[row]].tolist()[0]


def _is_missing(value: Any) -> bool:
    return value is None or value is pd.NA or value is pd.NaT
