"""Raised-cosine bumps of one variable, evenly or logarithmically spaced."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from popglm.checks import check_count_of_columns, check_name, check_positive, check_range, check_variable
from popglm.design.terms import Reach, Term, all_outside, even_points
from popglm.design.variables import SessionVariables

__all__ = ["Bumps", "LogBumps"]


def raised_cosines(x: np.ndarray, centers: np.ndarray, width: float) -> np.ndarray:
    """½ cos(2π (x − c) / width) + ½ for |x − c| < width / 2, else (and at NaN) 0; shape (len(x), n)."""
    distance = x[:, None] - centers
    inside = np.abs(distance) < width / 2
    out = np.zeros(distance.shape)
    out[inside] = 0.5 * np.cos(2 * np.pi / width * distance[inside]) + 0.5
    return out


def beyond(x: np.ndarray, low: float, high: float) -> np.ndarray | None:
    """Return where x is below `low` or above `high`, bool (len(x),), or None if nowhere; NaN is neither."""
    out = (x < low) | (x > high)
    return out if out.any() else None


@dataclass(eq=False)
class Bumps(Term):
    """Raised cosines, evenly spaced: ½ cos(2π (x − c) / width) + ½ for ``|x − c| < width / 2``, else 0.

    With the default width they sum to 2 everywhere between the second and the last but one centre, and reach from
    low − 2 × spacing to high + 2 × spacing. Outside, and where the variable is NaN, all are 0: their natural zero.

    Parameters
    ----------
    variable : str
        Name of a numeric variable.
    n : int
        Number of bumps.
    low, high : float
        First and last centre c, in the units of the variable.
    width : float, optional
        Full width of a bump in the units of the variable; 4 × the distance between centres unless given.
        With ``n=1`` it must be given, and the centre is the middle of `low` and `high`.
    name : str, optional
        Name of the group; the variable's name unless given.

    Raises
    ------
    TypeError, ValueError
        If an argument is not as above.

    References
    ----------
    Pillow et al., Nature 454, 995-999 (2008), supplement: raised cosines as a basis of GLMs.

    Examples
    --------
    >>> from popglm.design import Design, bumps
    >>> design = Design([bumps("position", n=3, low=0, high=10)], standardize=False)
    >>> design.fit_transform({"position": [0.0, 7.5]})["position"].round(3)
    feature  bump0  bump1  bump2
    0        1.000  0.500  0.000
    1        0.146  0.854  0.854
    """

    variable: str
    n: int
    low: float
    high: float
    width: float | None = None
    name: str | None = None
    peak = 1.0
    natural_zero = True

    def __post_init__(self):
        maker = f"bumps({self.variable!r})"
        check_variable("bumps", self.variable)
        check_name(maker, self.name)
        check_count_of_columns(maker, "n", self.n, least=1)
        check_range(maker, self.low, self.high)
        if self.width is None and self.n == 1:
            raise ValueError(f"{maker}: a single bump (n=1) has no spacing to take its width from; give width=")
        if self.width is not None:
            check_positive(maker, "width", self.width)
        self.name = self.name or self.variable
        self.variables = self.axes = (self.variable,)

    @property
    def centers(self) -> np.ndarray:
        """Centres of the bumps, shape (n,)."""
        return np.linspace(self.low, self.high, self.n) if self.n > 1 else np.array([(self.low + self.high) / 2])

    @property
    def support(self) -> tuple[float, float]:
        """The bumps are 0 from here on, to both sides."""
        half = self._width / 2
        return self.centers[0] - half, self.centers[-1] + half

    @property
    def _width(self) -> float:
        return 4 * (self.high - self.low) / (self.n - 1) if self.width is None else self.width

    def evaluate(self, x: np.ndarray) -> np.ndarray:
        """Evaluate the bumps at x, shape (len(x), n)."""
        return raised_cosines(x, self.centers, self._width)

    def transform(self, session: SessionVariables) -> np.ndarray:
        return self.evaluate(session.numeric(self.variable))

    def outside(self, session: SessionVariables) -> np.ndarray | None:
        return beyond(session.numeric(self.variable), *self.support)

    def surprises(self, session: SessionVariables) -> list[str]:
        return all_outside(self.variable, session.numeric(self.variable), self.low, self.high, self.outside(session))

    def reaches(self) -> list[Reach]:
        return [Reach(self.variable, self.low, self.high, self.support)]

    def feature_names(self) -> list[str]:
        return [f"bump{i}" for i in range(self.n)]

    def grid(self, n_points: int = 200) -> tuple[np.ndarray, np.ndarray]:
        values = even_points(self.low, self.high, n_points)
        return values, self.evaluate(values)


@dataclass(eq=False)
class LogBumps(Term):
    """Raised cosines that widen with distance: evenly spaced in log(x − low + offset), width 4 × spacing.

    Fine next to `low` and coarse far from it, as is apt for the time since an event. The first bump peaks at `low`,
    and the last one ends at `high`: nothing reaches further. Outside, and where the variable is NaN, all are 0: their
    natural zero. Below `low` the first two bumps reach back by less than `offset`.

    Parameters
    ----------
    variable : str
        Name of a numeric variable.
    n : int
        Number of bumps, at least 2.
    low, high : float
        Peak of the first bump and end of the last one, in the units of the variable.
    offset : float, optional
        How far from `low` the spacing stays about even, in the units of the variable; the smaller, the more
        the bumps crowd at `low`. (high − low) / 50 unless given.
    name : str, optional
        Name of the group; the variable's name unless given.

    Raises
    ------
    TypeError, ValueError
        If an argument is not as above.

    References
    ----------
    Pillow et al., J. Neurosci. 25, 11003-11013 (2005) and Nature 454, 995-999 (2008), supplement:
    b_j(t) = ½ cos(a log(t + c) − φ_j) + ½ where a log(t + c) is within π of φ_j, and the φ_j are π/2 apart. The ends
    are those of ``RaisedCosineLogEval`` in NeMoS: peaks from the start of the window, all bumps 0 at its end.

    Examples
    --------
    >>> from popglm.design import log_bumps
    >>> log_bumps("time_since_cue", n=4, low=0, high=2, offset=0.1).peaks.round(2)
    array([0.  , 0.08, 0.24, 0.52])
    """

    variable: str
    n: int
    low: float
    high: float
    offset: float | None = None
    name: str | None = None
    peak = 1.0
    natural_zero = True

    def __post_init__(self):
        maker = f"log_bumps({self.variable!r})"
        check_variable("log_bumps", self.variable)
        check_name(maker, self.name)
        check_count_of_columns(maker, "n", self.n, least=2)
        check_range(maker, self.low, self.high)
        if self.offset is not None:
            check_positive(maker, "offset", self.offset)
        self.name = self.name or self.variable
        self.variables = self.axes = (self.variable,)

    @property
    def peaks(self) -> np.ndarray:
        """Where each bump is 1, shape (n,)."""
        return np.exp(self._log_centers) + self.low - self._offset

    @property
    def support(self) -> tuple[float, float]:
        """The bumps are 0 from here on, to both sides."""
        start, stop = np.log(self._offset), np.log(self.high - self.low + self._offset)
        before = np.exp(start - 2 * (stop - start) / (self.n + 1))
        return self.low + before - self._offset, self.high

    @property
    def _offset(self) -> float:
        return (self.high - self.low) / 50 if self.offset is None else self.offset

    @property
    def _log_centers(self) -> np.ndarray:
        # two more would peak beyond; the last of these n ends where the second of those peaks
        return np.linspace(np.log(self._offset), np.log(self.high - self.low + self._offset), self.n + 2)[: self.n]

    def evaluate(self, x: np.ndarray) -> np.ndarray:
        """Evaluate the bumps at x, shape (len(x), n)."""
        distance = np.where(x < self.high, x, np.nan) - self.low + self._offset
        u = np.log(distance, where=distance > 0, out=np.full(len(x), np.nan))
        centers = self._log_centers
        return raised_cosines(u, centers, 4 * (centers[1] - centers[0]))

    def transform(self, session: SessionVariables) -> np.ndarray:
        return self.evaluate(session.numeric(self.variable))

    def outside(self, session: SessionVariables) -> np.ndarray | None:
        return beyond(session.numeric(self.variable), *self.support)

    def surprises(self, session: SessionVariables) -> list[str]:
        return all_outside(self.variable, session.numeric(self.variable), self.low, self.high, self.outside(session))

    def reaches(self) -> list[Reach]:
        return [Reach(self.variable, self.low, self.high, self.support)]

    def feature_names(self) -> list[str]:
        return [f"bump{i}" for i in range(self.n)]

    def grid(self, n_points: int = 200) -> tuple[np.ndarray, np.ndarray]:
        values = even_points(self.low, self.high, n_points)
        return values, self.evaluate(values)
