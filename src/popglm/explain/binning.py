"""Bins along a variable: where in space or time a statistic is taken."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import pandas as pd
import xarray as xr
from scipy import sparse

from popglm.checks import MOST_BINS, is_iterable, is_number, no_more_than
from popglm.labels import Rows, row_labels
from popglm.messages import listed, shown
from popglm.numbers import numbers_of
from popglm.warnings import PopglmWarning, warn

__all__ = ["BinAxis", "Bins", "bins", "check_bins"]


@dataclass(frozen=True, eq=False)
class Bins:
    """Which samples fall into which bins; made by `bins`.

    Attributes
    ----------
    name, unit : str
        Of the variable along which the bins lie.
    centers : ndarray, shape (n_bins,)
    half_width : float
    members : scipy.sparse.csr_array, shape (n_bins, n_samples)
        1 where the sample is in the bin.
    index : pandas.Index or None
        Labels of the samples, where the values had some.
    """

    name: str
    unit: str
    centers: np.ndarray
    half_width: float
    members: sparse.csr_array
    index: pd.Index | None = None

    @property
    def counts(self) -> np.ndarray:
        """Samples in every bin, shape (n_bins,)."""
        return np.diff(self.members.indptr)

    def __repr__(self) -> str:
        return f"Bins({self.name!r}, {len(self.centers)} bins, half width {self.half_width:g} {self.unit})".replace(
            " )", ")"
        )


def bins(values: Any, centers: Any, half_width: float, *, name: str | None = None, unit: str = "") -> Bins:
    """Bins of equal width along a variable; they may overlap.

    Parameters
    ----------
    values : array-like, shape (n_samples,)
        The variable at every sample; NaN is in no bin.
    centers : array-like, shape (n_bins,)
        In the units of `values`.
    half_width : float
        Sample t is in bin i when ``centers[i] - half_width <= values[t] < centers[i] + half_width``. With the distance
        between centres every sample is in two bins, with half of it in one.
    name : str, optional
        Of the variable; that of a pandas Series unless given, else "value".
    unit : str
        Of the variable, for labels.

    Returns
    -------
    Bins
        For ``by=`` of `breakdown`, `compare` and `tuning`.

    Raises
    ------
    TypeError
        If `name` or `unit` is no text.
    ValueError
        If `values` is not 1-D and numeric, or infinite, a centre is not finite, or `half_width` is not positive.

    Warns
    -----
    PopglmWarning
        If some bins hold no sample; results are NaN there.

    Examples
    --------
    >>> import popglm as pg
    >>> b = pg.bins([0.0, 4.0, 6.0, float("nan")], centers=[0, 5, 10], half_width=5, name="position", unit="cm")
    >>> b
    Bins('position', 3 bins, half width 5 cm)
    >>> b.counts
    array([2, 3, 1])
    """
    for argument, found in (("name", name), ("unit", unit)):
        if not isinstance(found, str) and not (argument == "name" and found is None):
            raise TypeError(f"bins: {argument} must be text, such as 'position' or 'cm'; found {shown(found)}.")
    name = name or (str(values.name) if isinstance(values, pd.Series) and values.name is not None else "value")
    index = row_labels(values)
    values, centers = numbers_of(values, "bins: values"), np.atleast_1d(numbers_of(centers, "bins: centers"))
    if values.ndim != 1 or not len(values):
        raise ValueError(f"bins: values must have shape (n_samples,), one value per sample; it has {values.shape}.")
    if np.isinf(values).any():
        row = int(np.flatnonzero(np.isinf(values))[0])
        raise ValueError(
            f"bins: values is infinite in row {row}; give a finite value there, or NaN for a sample in no bin."
        )
    if centers.ndim != 1 or not len(centers) or not np.isfinite(centers).all():
        raise ValueError(f"bins: centers must be one or more finite numbers; found {shown(centers.tolist())}.")
    if len(centers) > MOST_BINS:
        raise ValueError(
            f"bins: centers holds {len(centers):,} bins, but {MOST_BINS:,} are the most; give fewer, further apart."
        )
    if not (is_number(half_width) and half_width > 0):
        raise ValueError(
            f"bins: half_width must be a positive number in the units of values; found {shown(half_width)}."
        )
    inside = [np.flatnonzero((values >= c - half_width) & (values < c + half_width)) for c in centers]
    ends = np.cumsum([0, *(len(rows) for rows in inside)])
    members = sparse.csr_array((np.ones(ends[-1]), np.concatenate(inside), ends), shape=(len(centers), len(values)))
    empty = centers[np.diff(ends) == 0]
    if len(empty):
        warn(
            f"{len(empty)} of {len(centers)} bins of {name!r} hold no sample, and results there are NaN; centres: "
            f"{listed(f'{c:g}' for c in empty)}.",
            PopglmWarning,
        )
    return Bins(name, unit, centers, float(half_width), members, index)


@dataclass(frozen=True, eq=False)
class BinAxis:
    """Several `Bins` end to end along one dimension ``bin``."""

    parts: list[Bins]

    @property
    def n_bins(self) -> int:
        """Bins of all parts together."""
        return sum(len(part.centers) for part in self.parts)

    def sums(self, values: np.ndarray) -> np.ndarray:
        """Sum over each bin's samples, (n_samples, ...) -> (n_bins, ...)."""
        return np.concatenate([part.members @ values for part in self.parts])

    def coords(self) -> dict[str, xr.Variable]:
        """Coordinates of ``bin``: axis, center, unit, n_samples."""
        lengths = [len(part.centers) for part in self.parts]
        return {
            "axis": xr.Variable("bin", np.repeat([part.name for part in self.parts], lengths)),
            "center": xr.Variable("bin", np.concatenate([part.centers for part in self.parts])),
            "unit": xr.Variable("bin", np.repeat([part.unit for part in self.parts], lengths)),
            "n_samples": xr.Variable("bin", np.concatenate([part.counts for part in self.parts])),
        }


def check_bins(by: Bins | Iterable[Bins] | None, n_samples: int, rows: Rows | None = None) -> BinAxis | None:
    """The bins of ``by=`` as one axis, checked against the samples, in the order of ``rows``; None for None."""
    if by is None:
        return None
    if not is_iterable(by) and not isinstance(by, Bins):
        raise TypeError(f"by must be popglm.bins(...) or a list of them; found {type(by).__name__}.")
    parts = [by] if isinstance(by, Bins) else no_more_than("by", "the list of bins", by, MOST_BINS, each="")
    for part in parts:
        if not isinstance(part, Bins):
            raise TypeError(f"by must be popglm.bins(...) or a list of them; found {shown(part)}.")
        if part.members.shape[1] != n_samples:
            raise ValueError(
                f"by: the bins of {part.name!r} were made from {part.members.shape[1]} samples, but the data has "
                f"{n_samples}; make them from the same rows."
            )
    names = [part.name for part in parts]
    repeated = [name for k, name in enumerate(names) if name in names[:k]]
    if repeated or not parts:
        what = f"two sets of bins are named {repeated[0]!r}; give name= to bins()" if repeated else "it is empty"
        raise ValueError(f"by: {what}.")
    return BinAxis([_in_order(part, rows) for part in parts])


def _in_order(part: Bins, rows: Rows | None) -> Bins:
    order = None if rows is None else rows.order_of(part.index, f"by={part.name!r}")
    if order is None:
        return part
    members = part.members[:, order]
    members.sort_indices()
    return replace(part, members=members, index=None)
