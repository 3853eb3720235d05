"""Terms of a design: what every term can do, a variable as it is, and products."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass
from typing import ClassVar

import numpy as np

from popglm.checks import MOST_COLUMNS, MOST_POINTS, check_count, check_name, check_room, check_variable
from popglm.design.variables import SessionVariables
from popglm.messages import shown
from popglm.shapes import Shape

__all__ = ["Linear", "Product", "Reach", "Term"]


@dataclass(frozen=True)
class Reach:
    """The values of a variable that bumps reach.

    Attributes
    ----------
    variable : str
    low, high : float
        As the bumps were given them.
    support : tuple of float
        All bumps are 0 below the first and above the second.
    """

    variable: str
    low: float
    high: float
    support: tuple[float, float]


class Term(ABC):
    """One group of columns of the design matrix, computed from variables of a session.

    A term holds its settings and, after `fit`, what it learned from a session (attributes that end in an
    underscore). `Design` fits copies, so a term can be used in many designs. ``term * term`` and ``term *
    "variable"`` are products (see `Product`).

    A term says of every value whether it is known. Some columns have a natural zero: no bump reaches a value outside
    its support, no function of a basis is active where its variable does not apply (NaN), no event happened where
    none was recorded. There the value is 0 and known. Other columns have none: a speed that was not measured is not
    0. There `transform` gives 0, `known` says 0, and `Design` leaves the sample out of the column's mean and scale
    and puts the column at its mean, which is 0 after z-scoring. Without z-scoring it stays 0.

    Attributes
    ----------
    name : str
        Name of the group.
    variables : sequence of str
        The variables that the term reads.
    axes : sequence of str
        What the columns of `grid` values are, one name per axis.
    natural_zero : bool
        Whether the columns are 0 beyond the ends of a trial, rather than unknown.
    peak : float, ndarray of shape (n_columns,), or None
        What a column reaches where a sample visits it fully, as at the centre of a bump; None for columns that are
        not visited here and there, such as those of `linear`.
    """

    name: str | None
    variables: Sequence[str]
    axes: Sequence[str]
    natural_zero: bool = False
    peak: float | np.ndarray | None = None
    __array_ufunc__: ClassVar[None] = None  # numpy then leaves `numpy.str_("cue") * term` to the term

    def fit(self, session: SessionVariables) -> Term:
        """Learn from the session whatever the columns depend on; return self. Most terms learn nothing."""
        return self

    @abstractmethod
    def transform(self, session: SessionVariables) -> np.ndarray:
        """Return the columns, float64, shape (n_samples, n_columns); 0 where they are unknown."""

    def known(self, session: SessionVariables) -> np.ndarray | None:
        """Return which part of each value is known, from 0 to 1; None where all of them are.

        A sum over lags of which the recording holds only some is known in part.

        Returns
        -------
        ndarray of float64, shape (n_samples, n_columns) or (n_samples, 1) for all columns alike; or None
        """
        return None

    def outside(self, session: SessionVariables) -> np.ndarray | None:
        """Return at which samples a variable lies outside the range of the term, bool (n_samples,); None if nowhere.

        That is the support of bumps (where they are 0), the fitted range of splines (where they stay at the value of
        the edge) and the levels of categories. Other terms have no range.
        """
        return None

    def reaches(self) -> list[Reach]:
        """Return what bumps of variables reach; nothing for other terms, whose ranges are those of the session."""
        return []

    @abstractmethod
    def feature_names(self) -> list[str]:
        """Return one name per column."""

    def n_columns(self) -> int:
        """Return how many columns a fitted term has."""
        return len(self.feature_names())

    def shape(self) -> Shape:
        """Return which columns of a fitted term are neighbours: each and the next one, unless there are other axes."""
        return Shape.of("line", self.n_columns())

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

    def surprises(self, session: SessionVariables) -> list[str]:
        """Return sentences on values for which the term was not made or not fitted, for a warning."""
        return []

    def __mul__(self, other: Term | str) -> Product:
        return Product(self, _check_factor(self, other))

    def __rmul__(self, other: str) -> Product:
        return Product(self, _check_factor(self, other))


@dataclass(eq=False)
class Linear(Term):
    """A variable as it is: one column, unknown where the variable is NaN.

    Parameters
    ----------
    variable : str
        Name of a numeric variable.
    name : str, optional
        Name of the group; the variable's name unless given.

    Notes
    -----
    Samples at which the variable is NaN do not count in the mean and the scale, and the column is 0 there after
    z-scoring: the mean of the known samples.

    Examples
    --------
    >>> from popglm.design import Design, linear
    >>> Design([linear("speed")]).fit_transform({"speed": [51.0, float("nan"), 53.0]})
    group    speed
    feature linear
    0         -1.0
    1          0.0
    2          1.0
    """

    variable: str
    name: str | None = None

    def __post_init__(self):
        check_variable("linear", self.variable)
        check_name(f"linear({self.variable!r})", self.name)
        self.name = self.name or self.variable
        self.variables = self.axes = (self.variable,)

    def fit(self, session: SessionVariables) -> Linear:
        self.low_, self.high_ = finite_range(session.numeric(self.variable))
        return self

    def transform(self, session: SessionVariables) -> np.ndarray:
        return np.nan_to_num(session.numeric(self.variable))[:, None]

    def known(self, session: SessionVariables) -> np.ndarray | None:
        return where_known(~np.isnan(session.numeric(self.variable)))

    def feature_names(self) -> list[str]:
        return ["linear"]

    def grid(self, n_points: int = 200) -> tuple[np.ndarray, np.ndarray]:
        values = even_points(self.low_, self.high_, n_points)
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

    A product is unknown where either factor is, unless the other factor is 0 there: 0 times anything is 0. So a bump
    times a variable is known wherever the bump is 0.

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
        self.first, self.second = first, second = self.factors
        check_name("product", self.name)
        self.name = self.name or f"{first.name} × {second.name}"
        self.variables = tuple(dict.fromkeys((*first.variables, *second.variables)))
        # the factors that span the grid: a linear factor stands at +1, unless there is nothing else
        spanning = [f for f in (first, second) if not isinstance(f, Linear)]
        self._spanning = spanning or [first]
        self.axes = tuple(axis for factor in self._spanning for axis in factor.axes)

    @property
    def factors(self) -> tuple[Term, Term]:
        """`first` and `second`, each as a term."""
        return as_term("product", self.first), as_term("product", self.second)

    def fit(self, session: SessionVariables) -> Product:
        factors = self.factors
        for factor in factors:
            factor.fit(session)
        check_columns(self, session.n_samples)
        self.natural_zero = any(factor.natural_zero for factor in factors)  # 0 times anything is 0
        if any(factor.peak is not None for factor in factors):
            first, second = (peaks(factor, session)[None] for factor in factors)
            self.peak = pairwise(first, second)[0]
        return self

    def transform(self, session: SessionVariables) -> np.ndarray:
        first, second = self.factors
        return pairwise(first.transform(session), second.transform(session))

    def known(self, session: SessionVariables) -> np.ndarray | None:
        factors = self.factors
        known = [factor.known(session) for factor in factors]
        if known[0] is None and known[1] is None:
            return None
        values = [factor.transform(session) for factor in factors]
        shares = [np.broadcast_to(1.0 if k is None else k, v.shape) for k, v in zip(known, values, strict=True)]
        # 0 times anything is 0
        zero = [(v == 0) & (s == 1) for s, v in zip(shares, values, strict=True)]
        either = pairwise(*(~z for z in zero)) == 0
        return np.where(either, 1.0, pairwise(*shares))

    def outside(self, session: SessionVariables) -> np.ndarray | None:
        first, second = self.factors
        return either_outside(first.outside(session), second.outside(session))

    def surprises(self, session: SessionVariables) -> list[str]:
        first, second = self.factors
        return first.surprises(session) + second.surprises(session)

    def reaches(self) -> list[Reach]:
        first, second = self.factors
        return first.reaches() + second.reaches()

    def feature_names(self) -> list[str]:
        return cross_names(*(factor.feature_names() for factor in self._spanning))

    def n_columns(self) -> int:
        first, second = self.factors
        return first.n_columns() * second.n_columns()

    def shape(self) -> Shape:
        first, second = self.factors
        return first.shape().times(second.shape())

    def grid(self, n_points: int = 200) -> tuple[np.ndarray, np.ndarray]:
        return cross_grids(*(factor.grid(n_points) for factor in self._spanning))


def check_columns(term: Term, n_samples: int) -> None:
    """Refuse a fitted term of more columns than `MOST_COLUMNS`, or than memory holds, before there are any."""
    n_columns = term.n_columns()
    if n_columns > MOST_COLUMNS:
        raise ValueError(
            f"term {term.name!r} would have {n_columns:,} columns, but {MOST_COLUMNS:,} are the most; use fewer "
            "levels, basis functions, lags or factors"
        )
    check_room(f"term {term.name!r}, {n_samples:,} samples × {n_columns:,} columns,", 8.0 * n_samples * n_columns)


def pairwise(A: np.ndarray, B: np.ndarray) -> np.ndarray:
    """Row-wise products of all columns: (n, a), (n, b) -> (n, a·b), columns of A slowest."""
    return (A[:, :, None] * B[:, None, :]).reshape(len(A), -1)


def where_known(known: np.ndarray) -> np.ndarray | None:
    """Return what `Term.known` does for samples that are known or not, bool (n_samples,)."""
    return None if known.all() else known[:, None].astype(np.float64)


def peaks(term: Term, session: SessionVariables) -> np.ndarray:
    """Peaks of the columns of a fitted term, or their typical sizes where it has none, shape (n_columns,)."""
    if term.peak is None:
        return typical_size(term.transform(session))
    return np.broadcast_to(term.peak, len(term.feature_names()))


def typical_size(values: np.ndarray) -> np.ndarray:
    """Root mean square, over the rows, of the values that are not 0; 0 where all are."""
    return np.sqrt((values**2).sum(axis=0) / np.maximum((values != 0).sum(axis=0), 1))


def either_outside(first: np.ndarray | None, second: np.ndarray | None) -> np.ndarray | None:
    """Samples at which one of two terms is outside its range; None stands for nowhere."""
    if first is None or second is None:
        return second if first is None else first
    return first | second


def even_points(low: float, high: float, n_points: int) -> np.ndarray:
    """Points of a grid, evenly spaced from low to high."""
    check_count("grid", "n_points", n_points, least=1, most=MOST_POINTS)
    return np.linspace(low, high, n_points)


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
    n_points, n_columns = len(A) * len(B), A.shape[1] * B.shape[1]
    check_room(f"a grid of {n_points:,} points × {n_columns:,} columns", 8.0 * n_points * n_columns)
    parts = [np.repeat(a, len(b), axis=0), np.concatenate([b] * len(a))]
    if parts[0].dtype.kind != parts[1].dtype.kind:
        # categories beside numbers stay what they are
        parts = [part.astype(object) for part in parts]
    values = np.column_stack(parts)
    return values, np.kron(A, B)


def all_outside(variable: str, values: np.ndarray, low: float, high: float, outside: np.ndarray | None) -> list[str]:
    """Return the sentence for `Term.surprises` where every known value lies outside; else none."""
    known = ~np.isnan(values)
    if outside is None or not known.any() or not outside[known].all():
        return []
    first, last = finite_range(values)
    return [
        f"no sample of {variable!r} is inside [{low:g}, {high:g}], the range of its bumps: the samples run from "
        f"{first:g} to {last:g}"
    ]


def finite_range(values: np.ndarray) -> tuple[float, float]:
    """Smallest and largest value that is not NaN; (0, 0) when there is none."""
    known = values[~np.isnan(values)]
    return (float(known.min()), float(known.max())) if len(known) else (0.0, 0.0)


def as_term(maker: str, term: Term | str) -> Term:
    """Return the term; a name becomes `Linear`."""
    if isinstance(term, str):
        return Linear(term)
    if not isinstance(term, Term):
        raise TypeError(f"{maker}: expected a term or the name of a variable; found {shown(term)}")
    return term


def _check_factor(term: Term, other: object) -> Term | str:
    if not isinstance(other, (Term, str)):
        raise TypeError(
            f"{term.name!r} can be multiplied by a term or by the name of a variable; found {type(other).__name__}: "
            "put the values into the session and multiply by their name there"
        )
    return other
