"""B-splines of one variable, on a line or on a circle."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from sklearn.preprocessing import QuantileTransformer, SplineTransformer

from popglm.design.checks import check_count, check_range, check_variable
from popglm.design.session import Session
from popglm.design.terms import Term, finite_range

__all__ = ["CyclicSplines", "Splines"]


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
    On new data the columns are 0 outside the range of the fitted session; with quantiles, values beyond it
    count as its smallest or largest value. The splines of a row sum to 1, so their columns are collinear with
    an intercept.

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

    def __post_init__(self):
        maker = f"splines({self.variable!r})"
        check_variable("splines", self.variable)
        check_count(maker, "degree", self.degree, least=0)
        check_count(maker, "n", self.n, least=self.degree + 1)
        if not isinstance(self.quantiles, (bool, np.bool_)):
            check_count(maker, "quantiles", self.quantiles, least=2)
        self.name = self.name or self.variable
        self.variables = self.axes = (self.variable,)

    def fit(self, session: Session) -> Splines:
        x = session.numeric(self.variable)
        known = x[~np.isnan(x), None]
        self.low_, self.high_ = finite_range(x)
        if self.low_ == self.high_:  # nothing to lay knots over: the columns stay 0
            return self
        self.quantile_ = None
        if self.quantiles is not False:
            n_quantiles = min(1000 if self.quantiles is True else self.quantiles, len(known))
            self.quantile_ = QuantileTransformer(n_quantiles=n_quantiles, subsample=None).fit(known)
            known = self.quantile_.transform(known)
        self.spline_ = SplineTransformer(n_knots=self.n - self.degree + 1, degree=self.degree).fit(known)
        return self

    def transform(self, session: Session) -> np.ndarray:
        return self._evaluate(session.numeric(self.variable))

    def _evaluate(self, x: np.ndarray) -> np.ndarray:
        out = np.zeros((len(x), self.n))
        if self.low_ == self.high_:
            return out
        inside = ~np.isnan(x) if self.quantile_ else (x >= self.low_) & (x <= self.high_)
        if inside.any():
            known = x[inside, None]
            out[inside] = self.spline_.transform(self.quantile_.transform(known) if self.quantile_ else known)
        return out

    def feature_names(self) -> list[str]:
        return [f"spline{i}" for i in range(self.n)]

    def grid(self, n_points: int = 200) -> tuple[np.ndarray, np.ndarray]:
        values = np.linspace(self.low_, self.high_, n_points)
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

    def __post_init__(self):
        maker = f"cyclic_splines({self.variable!r})"
        check_variable("cyclic_splines", self.variable)
        check_count(maker, "degree", self.degree, least=1)
        check_count(maker, "n", self.n, least=self.degree + 1)
        check_range(maker, self.low, self.high)
        self.name = self.name or self.variable
        self.variables = self.axes = (self.variable,)

    def transform(self, session: Session) -> np.ndarray:
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

    def grid(self, n_points: int = 200) -> tuple[np.ndarray, np.ndarray]:
        values = np.linspace(self.low, self.high, n_points)
        return values, self._evaluate(values)
