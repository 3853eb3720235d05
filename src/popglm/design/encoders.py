"""One column per category, and the columns of any scikit-learn transformer."""

from __future__ import annotations

from collections.abc import Hashable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd
from scipy import sparse
from sklearn.base import clone

from popglm.checks import check_name, check_names, check_room, check_variable, is_iterable, no_more_than
from popglm.design.levels import as_levels, match_levels
from popglm.design.terms import Term, cross_grids, even_points, finite_range, where_known
from popglm.design.variables import SessionVariables
from popglm.messages import shown
from popglm.shapes import Shape

__all__ = ["Categories", "Transformed"]


@dataclass(eq=False)
class Categories(Term):
    """One column per category: 1 where the variable is that category, else 0.

    Categories are matched by value, whatever their type: True is 1 and 1.0, "1" is 1, a float32 is the float64 that
    it was rounded from, bytes are the string that they spell. A sample whose category was not in the fitted session
    (or is not in `levels`), or is missing, is unknown: it does not count in the mean and scale of the columns, which
    are 0 there after z-scoring, and without z-scoring. `Design` warns if no sample has a known category.

    Parameters
    ----------
    variable : str
        Name of a variable of strings, numbers or booleans.
    levels : sequence, optional
        The categories in the order of their columns; those of the fitted session, sorted, unless given.
    name : str, optional
        Name of the group; the variable's name unless given.

    Raises
    ------
    TypeError, ValueError
        If an argument is not as above, or the categories cannot be sorted.

    Examples
    --------
    >>> from popglm.design import Design, categories
    >>> design = Design([categories("odour")], standardize=False)
    >>> design.fit_transform({"odour": ["rose", "mint", "rose"]})["odour"]
    feature  mint  rose
    0         0.0   1.0
    1         1.0   0.0
    2         0.0   1.0
    """

    variable: str
    levels: Sequence[Any] | None = None
    name: str | None = None
    peak = 1.0

    def __post_init__(self):
        check_variable("categories", self.variable)
        maker = f"categories({self.variable!r})"
        check_name(maker, self.name)
        if self.levels is not None:
            _check_levels(maker, self.levels)
        self.name = self.name or self.variable
        self.variables = self.axes = (self.variable,)

    def fit(self, session: SessionVariables) -> Categories:
        if self.levels is not None:
            self.levels_ = as_levels(list(self.levels))
            return self
        found = as_levels(session.labels(self.variable).dropna().unique())
        no_more_than(f"categories({self.variable!r})", "the variable", found)
        try:
            self.levels_ = found.sort_values()
        except TypeError as error:
            raise TypeError(
                f"categories({self.variable!r}): categories of different types, {found[:5].tolist()!r}, "
                "have no order; convert them to strings or give levels="
            ) from error
        return self

    def transform(self, session: SessionVariables) -> np.ndarray:
        codes = match_levels(self.levels_, session.labels(self.variable))
        out = np.zeros((len(codes), len(self.levels_)))
        known = np.flatnonzero(codes >= 0)
        out[known, codes[known]] = 1
        return out

    def known(self, session: SessionVariables) -> np.ndarray | None:
        return where_known(match_levels(self.levels_, session.labels(self.variable)) >= 0)

    def outside(self, session: SessionVariables) -> np.ndarray | None:
        column = session.labels(self.variable)
        strange = (match_levels(self.levels_, column) < 0) & column.notna().to_numpy(dtype=bool)
        return strange if strange.any() else None

    def surprises(self, session: SessionVariables) -> list[str]:
        outside = self.outside(session)
        if outside is None or (match_levels(self.levels_, session.labels(self.variable)) >= 0).any():
            return []
        strange = session.labels(self.variable)[outside].unique()[:3].tolist()
        return [
            f"no sample of {self.variable!r} has a known category: it holds {', '.join(map(repr, strange))}, the known "
            f"ones are {', '.join(map(repr, self.levels_[:5].tolist()))}"
        ]

    def feature_names(self) -> list[str]:
        return [str(level) for level in self.levels_]

    def shape(self) -> Shape:
        return Shape.of("levels", len(self.levels_))

    def grid(self, n_points: int = 200) -> tuple[np.ndarray, np.ndarray]:
        n_levels = len(self.levels_)
        check_room(f"categories({self.variable!r}): a grid of {n_levels:,} levels", 8.0 * n_levels**2)
        return self.levels_.to_numpy(), np.eye(n_levels)


def _check_levels(maker: str, given: Sequence[Any]) -> None:
    if isinstance(given, (str, bytes)) or not is_iterable(given):
        raise ValueError(f"{maker}: levels must be a sequence of different categories; found {shown(given)}")
    listed = no_more_than(maker, "levels", given)
    levels = as_levels(listed if all(isinstance(level, Hashable) for level in listed) else [])
    if not len(levels) or pd.isna(levels).any() or levels.isin([np.inf, -np.inf]).any() or not levels.is_unique:
        raise ValueError(
            f"{maker}: levels must be one or more different categories, none of them missing or infinite; found "
            f"{shown(given)}"
        )


@dataclass(eq=False)
class Transformed(Term):
    """The columns that a scikit-learn transformer makes of one or more variables.

    Parameters
    ----------
    variables : str or sequence of str
        Names of numeric variables, in the order in which the transformer gets them.
    transformer : scikit-learn transformer
        Fitted on the samples at which no variable is NaN. The others are unknown: they do not count in the mean and
        scale of the columns, which are 0 there after z-scoring, and without z-scoring. The transformer itself is left
        as it is: a clone is fitted.
    name : str, optional
        Name of the group; the names of the variables joined by ", " unless given.

    Raises
    ------
    TypeError
        If `variables` are not names or `transformer` lacks ``fit`` or ``transform``.

    Examples
    --------
    >>> from sklearn.preprocessing import PolynomialFeatures
    >>> from popglm.design import Design, transformed
    >>> square = transformed("x", PolynomialFeatures(2, include_bias=False))
    >>> Design([square], standardize=False).fit_transform({"x": [1.0, 2.0, 3.0]})["x"]
    feature    x  x^2
    0        1.0  1.0
    1        2.0  4.0
    2        3.0  9.0
    """

    variables: Sequence[str]
    transformer: Any
    name: str | None = None

    def __post_init__(self):
        self.variables = self.axes = check_names("transformed", "variables", self.variables)
        if not self.variables:
            raise ValueError("transformed: variables is empty; name at least one")
        check_name(f"transformed({self.variables})", self.name)
        if not (hasattr(self.transformer, "fit") and hasattr(self.transformer, "transform")):
            raise TypeError(
                f"transformed({self.variables}): transformer must be a scikit-learn transformer (fit and "
                f"transform); found {shown(self.transformer)}"
            )
        self.name = self.name or ", ".join(self.variables)

    def fit(self, session: SessionVariables) -> Transformed:
        values = self._read(session)
        self.ranges_ = [finite_range(column) for column in values.T]
        known = values[~np.isnan(values).any(axis=1)]
        if len(known) == 0:
            raise ValueError(f"transformed({self.variables}): every sample is NaN; the transformer has no data to fit")
        self.transformer_ = clone(self.transformer).fit(known)
        self.n_columns_ = self._evaluate(known[:1]).shape[1]
        return self

    def transform(self, session: SessionVariables) -> np.ndarray:
        values = self._read(session)
        known = ~np.isnan(values).any(axis=1)
        out = np.zeros((len(values), self.n_columns_))
        if known.any():
            out[known] = self._evaluate(values[known])
        return out

    def known(self, session: SessionVariables) -> np.ndarray | None:
        return where_known(~np.isnan(self._read(session)).any(axis=1))

    def _read(self, session: SessionVariables) -> np.ndarray:
        return np.column_stack([session.numeric(variable) for variable in self.variables])

    def _evaluate(self, values: np.ndarray) -> np.ndarray:
        columns = self.transformer_.transform(values)
        return columns.toarray() if sparse.issparse(columns) else np.asarray(columns, dtype=np.float64)

    def feature_names(self) -> list[str]:
        if hasattr(self.transformer_, "get_feature_names_out"):
            return [str(name) for name in self.transformer_.get_feature_names_out(list(self.variables))]
        return [f"column{i}" for i in range(self.n_columns_)]

    def grid(self, n_points: int = 200) -> tuple[np.ndarray, np.ndarray]:
        axes = [even_points(low, high, n_points) for low, high in self.ranges_]
        values, _ = cross_grids(*((axis, np.ones((n_points, 1))) for axis in axes))
        return values, self._evaluate(values.reshape(len(values), -1))
