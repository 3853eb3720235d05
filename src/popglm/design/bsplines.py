"""B-splines of one variable, on a line or on a circle."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from scipy.interpolate import BSpline
from sklearn.preprocessing import QuantileTransformer, SplineTransformer

from popglm.checks import check_count, check_count_of_columns, check_name, check_range, check_room, check_variable
from popglm.design.cosines import beyond
from popglm.design.terms import Term, even_points, finite_range
from popglm.design.variables import SessionVariables
from popglm.shapes import Shape

__all__ = ["CyclicSplines", "Splines"]

#: Of the polynomials; the columns of much higher ones are rounding.
MOST_DEGREE = 20


def _check_degree(maker: str, degree: int, least: int) -> None:
    check_count(maker, "degree", degree, least=least)
    if degree > MOST_DEGREE:
        raise ValueError(
            f"{maker}: degree must be an integer from {least} to {MOST_DEGREE}; found {degree:,}. Higher polynomials "
            "are no smoother to the eye, and lose their digits; use degree=3 and a larger n"
        )


def _peak(degree: int) -> float:
    """Return the value in the middle of a B-spline over knots that are evenly spaced."""
    return float(BSpline.basis_element(np.arange(degree + 2.0))((degree + 1) / 2))


@dataclass(eq=False)
class Splines(Term):
    """B-splines with uniform knots over the range of the variable in the fitted session.

    Parameters
    ----------
    variable : str
        Name of a numeric variable.
    n : int
        Number of splines; there are n − degree + 1 knots (5 for 7 cubic splines).
    degree : int
        Degree of the polynomials.
    quantiles : bool or int
        Replace the variable by its quantile in the fitted session first, so that every spline covers equally
        many samples: interpolated between that many quantiles (True: 1,000), at most one per sample.
    name : str, optional
        Name of the group; the variable's name unless given.

    Raises
    ------
    TypeError, ValueError
        If an argument is not as above.

    Notes
    -----
    On new data a value beyond the range of the fitted session counts as its smallest or largest value. `Design` warns
    of it and says at which share of the samples, unless the splines are over quantiles, whose ends are few samples
    wide. Where the variable is NaN no spline is active: all columns are 0 before z-scoring. The splines of a row sum
    to 1, so their columns are collinear with an intercept.

    See Also
    --------
    sklearn.preprocessing.SplineTransformer, sklearn.preprocessing.QuantileTransformer

    Examples
    --------
    >>> import numpy as np
    >>> from popglm.design import Design, splines
    >>> design = Design([splines("pitch", n=4, degree=1)], standardize=False)
    >>> design.fit_transform({"pitch": np.array([0.0, 1.5, 3.0])})["pitch"]
    feature  spline0  spline1  spline2  spline3
    0            1.0      0.0      0.0      0.0
    1            0.0      0.5      0.5      0.0
    2            0.0      0.0      0.0      1.0
    """

    variable: str
    n: int = 7
    degree: int = 3
    quantiles: bool | int = False
    name: str | None = None
    natural_zero = True

    def __post_init__(self):
        maker = f"splines({self.variable!r})"
        check_variable("splines", self.variable)
        check_name(maker, self.name)
        _check_degree(maker, self.degree, least=0)
        check_count_of_columns(maker, "n", self.n, least=self.degree + 1)
        check_room(f"{maker}: the coefficients of n={self.n:,} splines", 8.0 * self.n**2)
        if not isinstance(self.quantiles, (bool, np.bool_)):
            check_count_of_columns(maker, "quantiles", self.quantiles, least=2)
        self.name = self.name or self.variable
        self.variables = self.axes = (self.variable,)

    def fit(self, session: SessionVariables) -> Splines:
        x = session.numeric(self.variable)
        known = x[~np.isnan(x), None]
        self.low_, self.high_ = finite_range(x)
        self.quantile_, self.peak = None, 0.0
        if self.low_ == self.high_:  # nothing to lay knots over: the columns stay 0
            return self
        if self.quantiles is not False:
            n_quantiles = min(1000 if self.quantiles is True else self.quantiles, len(known))
            self.quantile_ = QuantileTransformer(n_quantiles=n_quantiles, subsample=None).fit(known)
            known = self.quantile_.transform(known)
        self.spline_ = SplineTransformer(n_knots=self.n - self.degree + 1, degree=self.degree).fit(known)
        # the outermost splines are largest at the ends of the range, beyond which they stay as they are
        self.peak = self.spline_.transform(np.linspace(known.min(), known.max(), 1001)[:, None]).max(axis=0)
        return self

    def transform(self, session: SessionVariables) -> np.ndarray:
        return self._evaluate(session.numeric(self.variable))

    def outside(self, session: SessionVariables) -> np.ndarray | None:
        return beyond(session.numeric(self.variable), self.low_, self.high_)

    def surprises(self, session: SessionVariables) -> list[str]:
        outside = None if self.quantile_ or self.low_ == self.high_ else self.outside(session)
        if outside is None:
            return []
        return [
            f"{outside.mean():.2%} of the samples of {self.variable!r} lie outside {self.low_:g} to {self.high_:g}, "
            "the range that its splines were fitted to, and are given the value at its nearer end"
        ]

    def _evaluate(self, x: np.ndarray) -> np.ndarray:
        out = np.zeros((len(x), self.n))
        known = ~np.isnan(x)
        if self.low_ < self.high_ and known.any():
            values = x[known, None]  # both transformers keep to the ends of what they were fitted to
            out[known] = self.spline_.transform(self.quantile_.transform(values) if self.quantile_ else values)
        return out

    def feature_names(self) -> list[str]:
        return [f"spline{i}" for i in range(self.n)]

    def grid(self, n_points: int = 200) -> tuple[np.ndarray, np.ndarray]:
        values = even_points(self.low_, self.high_, n_points)
        return values, self._evaluate(values)


@dataclass(eq=False)
class CyclicSplines(Term):
    """B-splines on a circle: the value at `high` is the value at `low`, and so are the slopes.

    Parameters
    ----------
    variable : str
        Name of a numeric variable, such as head direction or the phase of a rhythm. Any value is wrapped
        around.
    n : int
        Number of splines, at least degree + 1, evenly spaced around the circle.
    low, high : float
        Ends of one turn, in the units of the variable; 0 to 2π unless given.
    degree : int
        Degree of the polynomials, at least 1.
    name : str, optional
        Name of the group; the variable's name unless given.

    Raises
    ------
    TypeError, ValueError
        If an argument is not as above.

    See Also
    --------
    sklearn.preprocessing.SplineTransformer : with ``extrapolation="periodic"``

    Examples
    --------
    >>> from popglm.design import Design, cyclic_splines
    >>> design = Design([cyclic_splines("heading", n=4, low=0, high=360, degree=1)], standardize=False)
    >>> design.fit_transform({"heading": [0.0, 45.0, 360.0]})["heading"]
    feature  spline0  spline1  spline2  spline3
    0            1.0      0.0      0.0      0.0
    1            0.5      0.5      0.0      0.0
    2            1.0      0.0      0.0      0.0
    """

    variable: str
    n: int = 7
    low: float = 0.0
    high: float = 2 * np.pi
    degree: int = 3
    name: str | None = None
    natural_zero = True

    def __post_init__(self):
        maker = f"cyclic_splines({self.variable!r})"
        check_variable("cyclic_splines", self.variable)
        check_name(maker, self.name)
        _check_degree(maker, self.degree, least=1)
        check_count_of_columns(maker, "n", self.n, least=self.degree + 1)
        check_room(f"{maker}: the coefficients of n={self.n:,} splines", 8.0 * self.n**2)
        check_range(maker, self.low, self.high)
        self.name = self.name or self.variable
        self.peak = _peak(self.degree)
        self.variables = self.axes = (self.variable,)

    def transform(self, session: SessionVariables) -> np.ndarray:
        return self._evaluate(session.numeric(self.variable))

    def _evaluate(self, x: np.ndarray) -> np.ndarray:
        knots = np.linspace(self.low, self.high, self.n + 1)[:, None]
        spline = SplineTransformer(degree=self.degree, knots=knots, extrapolation="periodic").fit(knots)
        out = np.zeros((len(x), self.n))
        known = ~np.isnan(x)
        if known.any():
            out[known] = spline.transform(x[known, None])
        return out

    def feature_names(self) -> list[str]:
        return [f"spline{i}" for i in range(self.n)]

    def shape(self) -> Shape:
        return Shape.of("circle", self.n)

    def grid(self, n_points: int = 200) -> tuple[np.ndarray, np.ndarray]:
        values = even_points(self.low, self.high, n_points)
        return values, self._evaluate(values)
