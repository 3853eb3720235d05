"""Terms of a design: what every term can do, a variable as it is, and products."""

from __future__ import annotations

from abc import ABC, abstractmethod
from dataclasses import dataclass
from typing import ClassVar

import numpy as np

from popglm.design.checks import check_variable
from popglm.design.session import Session

__all__ = ["Linear", "Product", "Term"]


class Term(ABC):
    """One group of columns of the design matrix, computed from variables of a session.

    A term holds its settings and, after `fit`, what it learned from a session (attributes that end in an
    underscore). `Design` fits copies, so a term can be used in many designs. ``term * term`` and ``term *
    "variable"`` are products (see `Product`).

    Attributes
    ----------
    name : str
        Name of the group.
    variables : tuple of str
        The variables that the term reads.
    axes : tuple of str
        What the columns of `grid` values are, one name per axis.
    common_scale : bool
        Whether all columns have the same natural scale, as the functions of a basis do.
    """

    name: str | None
    variables: tuple[str, ...]
    axes: tuple[str, ...]
    common_scale = True
    __array_ufunc__: ClassVar[None] = None  # numpy then leaves `numpy.str_("cue") * term` to the term

    def fit(self, session: Session) -> Term:
        """Learn from the session whatever the columns depend on; return self. Most terms learn nothing."""
        return self

    @abstractmethod
    def transform(self, session: Session) -> np.ndarray:
        """Return the columns, float64, shape (n_samples, n_columns); 0 where the variable is NaN."""

    @abstractmethod
    def feature_names(self) -> list[str]:
        """Return one name per column."""

    @abstractmethod
    def grid(self, n_points: int = 200) -> tuple[np.ndarray, np.ndarray]:
        """Evaluate the columns on a grid, before z-scoring.

        Parameters
        ----------
        n_points : int
            Points along each continuous axis; categories and lags have as many points as there are.

        Returns
        -------
        values : ndarray, shape (n_points,), or (n_points_total, n_axes) for a term with several axes
            Grid points in the variable's own units (`axes` names them); with several axes all combinations,
            the first axis slowest.
        basis : ndarray, shape (n_points_total, n_columns)
            The columns at those points.
        """

    def __mul__(self, other: Term | str) -> Product:
        return Product(self, other) if isinstance(other, (Term, str)) else NotImplemented

    def __rmul__(self, other: str) -> Product:
        return Product(self, other) if isinstance(other, str) else NotImplemented


@dataclass(eq=False)
class Linear(Term):
    """A variable as it is: one column, 0 where the variable is NaN.

    Parameters
    ----------
    variable : str
        Name of a numeric variable.
    name : str, optional
        Name of the group; the variable's name unless given.

    Examples
    --------
    >>> from popglm.design import Design, linear
    >>> Design([linear("speed")], standardize=False).fit_transform({"speed": [1.0, float("nan"), 3.0]})
    group    speed
    feature linear
    0          1.0
    1          0.0
    2          3.0
    """

    variable: str
    name: str | None = None

    def __post_init__(self):
        check_variable("linear", self.variable)
        self.name = self.name or self.variable
        self.variables = self.axes = (self.variable,)

    def fit(self, session: Session) -> Linear:
        self.low_, self.high_ = finite_range(session.numeric(self.variable))
        return self

    def transform(self, session: Session) -> np.ndarray:
        return np.nan_to_num(session.numeric(self.variable))[:, None]

    def feature_names(self) -> list[str]:
        return ["linear"]

    def grid(self, n_points: int = 200) -> tuple[np.ndarray, np.ndarray]:
        values = np.linspace(self.low_, self.high_, n_points)
        return values, values[:, None]


@dataclass(eq=False)
class Product(Term):
    """All pairwise products of the columns of two terms, in one group; usually written ``first * second``.

    Parameters
    ----------
    first, second : Term or str
        A name stands for `linear` of that variable. The columns of `first` vary slowest.
    name : str, optional
        Name of the group; "first × second" unless given.

    Notes
    -----
    With a `linear` factor the columns keep the names of the other factor, and the grid is that of the other
    factor with the linear variable held at +1. Otherwise the grid has the axes of both.

    Examples
    --------
    >>> from popglm.design import bumps, cyclic_splines, product
    >>> position = bumps("position", n=3, low=0, high=100)
    >>> (position * "cue").name, ("cue" * position).name, (position * "cue" * "choice").name
    ('position × cue', 'position × cue', 'position × cue × choice')
    >>> product(position, "cue", name="cued position").feature_names()
    ['bump0', 'bump1', 'bump2']
    >>> (position * cyclic_splines("heading", n=4)).feature_names()[3:5]
    ['bump0 × spline3', 'bump1 × spline0']
    """

    first: Term | str
    second: Term | str
    name: str | None = None

    def __post_init__(self):
        self.first, self.second = (as_term("product", factor) for factor in (self.first, self.second))
        self.name = self.name or f"{self.first.name} × {self.second.name}"
        self.variables = tuple(dict.fromkeys(self.first.variables + self.second.variables))
        # the factors that span the grid: a linear factor stands at +1, unless there is nothing else
        spanning = [f for f in (self.first, self.second) if not isinstance(f, Linear)]
        self._spanning = spanning or [self.first]
        self.common_scale = self.first.common_scale and self.second.common_scale
        self.axes = tuple(axis for factor in self._spanning for axis in factor.axes)

    def fit(self, session: Session) -> Product:
        self.first.fit(session)
        self.second.fit(session)
        return self

    def transform(self, session: Session) -> np.ndarray:
        return pairwise(self.first.transform(session), self.second.transform(session))

    def feature_names(self) -> list[str]:
        return cross_names(*(factor.feature_names() for factor in self._spanning))

    def grid(self, n_points: int = 200) -> tuple[np.ndarray, np.ndarray]:
        return cross_grids(*(factor.grid(n_points) for factor in self._spanning))


def pairwise(A: np.ndarray, B: np.ndarray) -> np.ndarray:
    """Row-wise products of all columns: (n, a), (n, b) -> (n, a·b), columns of A slowest."""
    return (A[:, :, None] * B[:, None, :]).reshape(len(A), -1)


def cross_names(names: list[str], *others: list[str]) -> list[str]:
    """Names of all combinations, the first slowest."""
    return [f"{a} × {b}" for a in names for b in cross_names(*others)] if others else names


def cross_grids(
    grid: tuple[np.ndarray, np.ndarray], *others: tuple[np.ndarray, np.ndarray]
) -> tuple[np.ndarray, np.ndarray]:
    """Grid of a product from those of its factors: all combinations of points, the first slowest."""
    if not others:
        return grid
    (a, A), (b, B) = grid, cross_grids(*others)
    parts = [np.repeat(a, len(b), axis=0), np.concatenate([b] * len(a))]
    if parts[0].dtype.kind != parts[1].dtype.kind:
        # categories beside numbers stay what they are
        parts = [part.astype(object) for part in parts]
    values = np.column_stack(parts)
    return values, np.kron(A, B)


def finite_range(values: np.ndarray) -> tuple[float, float]:
    """Smallest and largest value that is not NaN; (0, 0) when there is none."""
    known = values[~np.isnan(values)]
    return (float(known.min()), float(known.max())) if len(known) else (0.0, 0.0)


def as_term(maker: str, term: Term | str) -> Term:
    """Return the term; a name becomes `Linear`."""
    if isinstance(term, str):
        return Linear(term)
    if not isinstance(term, Term):
        raise TypeError(f"{maker}: expected a term or the name of a variable; found {term!r}")
    return term
