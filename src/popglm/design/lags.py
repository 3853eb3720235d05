"""Terms over lags, trial by trial: a variable shifted in time, events or signals convolved with a basis."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Literal

import numpy as np

from popglm.design.checks import check_positive, check_variable
from popglm.design.cosines import Bumps, LogBumps
from popglm.design.session import Session
from popglm.design.terms import Linear, Term, as_term, cross_grids, cross_names

__all__ = ["Kernel", "Shifts"]


@dataclass(eq=False)
class Shifts(Term):
    """A variable, or a term, at other times of the same trial: one copy of its columns per lag.

    Parameters
    ----------
    term : Term or str
        What is shifted; a name stands for `linear` of that variable.
    lags : iterable of float
        A positive lag looks at the past (the column at t is the value at t − lag), a negative one at the
        future. In samples, or in seconds when `dt` is given, rounded to whole samples.
    dt : float, optional
        Seconds per sample.
    name : str, optional
        Name of the group; "<name of term> shifts" unless given.

    Raises
    ------
    TypeError, ValueError
        If an argument is not as above, or two lags fall on the same sample.

    Notes
    -----
    Nothing crosses a trial boundary: where t − lag is before the start or after the end of the trial the
    column is 0, as it is where the variable is NaN.

    Examples
    --------
    >>> from popglm.design import Design, shifts
    >>> design = Design([shifts("speed", lags=[0, 1, -1])], trial="trial", standardize=False)
    >>> design.fit_transform({"speed": [1.0, 2.0, 3.0, 4.0], "trial": [1, 1, 2, 2]})["speed shifts"]
    feature  lag0  lag1  lag-1
    0         1.0   0.0    2.0
    1         2.0   1.0    0.0
    2         3.0   0.0    4.0
    3         4.0   3.0    0.0
    """

    term: Term | str
    lags: Iterable[float]
    dt: float | None = None
    name: str | None = None

    def __post_init__(self):
        self.term = as_term("shifts", self.term)
        self.common_scale = self.term.common_scale
        maker = f"shifts({self.term.name!r})"
        self.lags = _check_lags(maker, self.lags, self.dt)
        self.name = self.name or f"{self.term.name} shifts"
        self.variables = self.term.variables
        self.axes = (_lag_axis(self.dt), *(() if isinstance(self.term, Linear) else self.term.axes))

    def fit(self, session: Session) -> Shifts:
        self.term.fit(session)
        return self

    def transform(self, session: Session) -> np.ndarray:
        values = self.term.transform(session)
        steps = _in_samples(self.lags, self.dt)
        out = np.zeros((session.n_samples, len(steps), values.shape[1]))
        lengths = session.trial_stops - session.trial_starts
        starts, stops = (np.repeat(ends, lengths) for ends in (session.trial_starts, session.trial_stops))
        for i, step in enumerate(steps):
            source = np.arange(session.n_samples) - step
            within = (source >= starts) & (source < stops)
            out[within, i] = values[source[within]]
        return out.reshape(session.n_samples, -1)

    def feature_names(self) -> list[str]:
        lags = [f"lag{lag:g}{'' if self.dt is None else 's'}" for lag in self.lags]
        return lags if isinstance(self.term, Linear) else cross_names(lags, self.term.feature_names())

    def grid(self, n_points: int = 200) -> tuple[np.ndarray, np.ndarray]:
        lags = self.lags, np.eye(len(self.lags))
        return lags if isinstance(self.term, Linear) else cross_grids(lags, self.term.grid(n_points))


@dataclass(eq=False)
class Kernel(Term):
    """Events or a signal convolved, trial by trial, with a basis over the lag: Σ_lag basis(lag) x(t − lag).

    Parameters
    ----------
    variable : str
        Name of a numeric variable: 0 but at the events (where it is 1, or the size of the event), or any
        signal.
    basis : Term
        ``bumps("lag", ...)`` or ``log_bumps("lag", ...)``, over the lag in samples, or in seconds when `dt`
        is given. Its variable is only a placeholder.
    side : {"causal", "anti-causal", "both"}
        "causal": lags ≥ 0, the response after an event. "anti-causal": the basis mirrored, lags ≤ 0, the
        activity that runs ahead of an event. "both": a basis with ``low`` < 0 spans the event; any other is
        laid on both sides of it, with twice as many columns, lag 0 with those after.
    dt : float, optional
        Seconds per sample.
    name : str, optional
        Name of the group; "<variable> kernel" unless given.

    Raises
    ------
    TypeError, ValueError
        If an argument is not as above, or the basis is 0 at every whole sample of the side.

    Notes
    -----
    Nothing crosses a trial boundary: what came before the first sample of a trial (or comes after its last)
    counts as 0, as do samples at which the variable is NaN.

    References
    ----------
    Pillow et al., Nature 454, 995-999 (2008); Park et al., Nat. Neurosci. 17, 1395-1403 (2014), eq. 2.

    Examples
    --------
    >>> from popglm.design import Design, bumps, kernel
    >>> response = kernel("lick", bumps("lag", n=2, low=0, high=2, width=3))
    >>> design = Design([response], trial="trial", standardize=False)
    >>> design.fit_transform({"lick": [1, 0, 0, 0, 1], "trial": [1, 1, 1, 1, 2]})["lick kernel"]
    feature  bump0  bump1
    0         1.00   0.00
    1         0.25   0.25
    2         0.00   1.00
    3         0.00   0.25
    4         1.00   0.00
    """

    variable: str
    basis: Bumps | LogBumps
    side: Literal["causal", "anti-causal", "both"] = "causal"
    dt: float | None = None
    name: str | None = None

    def __post_init__(self):
        check_variable("kernel", self.variable)
        maker = f"kernel({self.variable!r})"
        if not isinstance(self.basis, (Bumps, LogBumps)):
            raise TypeError(f"{maker}: basis must be bumps('lag', ...) or log_bumps('lag', ...); found {self.basis!r}")
        if self.side not in ("causal", "anti-causal", "both"):
            raise ValueError(f"{maker}: side must be 'causal', 'anti-causal' or 'both'; found {self.side!r}")
        if self.dt is not None:
            check_positive(maker, "dt", self.dt)
        self.name = self.name or f"{self.variable} kernel"
        self.variables = (self.variable,)
        self.axes = (_lag_axis(self.dt),)
        if not self._weights()[1].any():
            raise ValueError(
                f"{maker}: the basis is 0 at every whole sample with side={self.side!r}; check low, high and "
                "dt (it covers {:g} to {:g}, dt={:g})".format(*self.basis.support, self.dt or 1)
            )

    def transform(self, session: Session) -> np.ndarray:
        x = np.nan_to_num(session.numeric(self.variable))
        steps, weights = self._weights()
        out = np.zeros((session.n_samples, weights.shape[1]))
        for start, stop in zip(session.trial_starts, session.trial_stops, strict=True):
            if not x[start:stop].any():
                continue
            # entry 0 of the full convolution belongs to the time start + steps[0]
            now = slice(-steps[0], -steps[0] + stop - start)
            for j, weight in enumerate(weights.T):
                out[start:stop, j] = np.convolve(x[start:stop], weight)[now]
        return out

    def feature_names(self) -> list[str]:
        names = self.basis.feature_names()
        if self._mirrors:
            return [f"before_{name}" for name in names] + [f"after_{name}" for name in names]
        return names

    def grid(self, n_points: int = 200) -> tuple[np.ndarray, np.ndarray]:
        steps, weights = self._weights()
        return steps * (self.dt or 1.0), weights

    @property
    def _mirrors(self) -> bool:
        return self.side == "both" and self.basis.low >= 0

    def _weights(self) -> tuple[np.ndarray, np.ndarray]:
        """Return the lags in samples, ascending, 0 among them, and the basis there (n_lags, n_columns)."""
        dt = self.dt or 1.0
        low, high = self.basis.support
        # truncation towards 0 loses nothing: the basis is 0 at the ends of its support
        first, last = min(int(low / dt), 0), max(int(high / dt), 0)
        if self.side == "causal":
            steps = np.arange(last + 1)
        elif self.side == "anti-causal":
            steps = np.arange(-last, 1)
        else:
            steps = np.arange(-last if self._mirrors else first, last + 1)
        if self._mirrors:
            values = self.basis.evaluate(np.abs(steps) * dt)
            after = (steps >= 0)[:, None]
            return steps, np.hstack([values * ~after, values * after])
        return steps, self.basis.evaluate((-steps if self.side == "anti-causal" else steps) * dt)


def _in_samples(lags: np.ndarray, dt: float | None) -> np.ndarray:
    return np.rint(lags / (dt or 1.0)).astype(int)


def _lag_axis(dt: float | None) -> str:
    return "lag (samples)" if dt is None else "lag (s)"


def _check_lags(maker: str, lags: Iterable[float], dt: float | None) -> np.ndarray:
    if dt is not None:
        check_positive(maker, "dt", dt)
    try:
        lags = np.array(list(lags), dtype=np.float64)
    except (TypeError, ValueError):
        raise TypeError(f"{maker}: lags must be a sequence of numbers, such as range(1, 71); found {lags!r}") from None
    if lags.ndim != 1 or len(lags) == 0 or not np.isfinite(lags).all():
        raise ValueError(f"{maker}: lags must be one or more finite numbers; found {lags.tolist()!r}")
    if dt is None and (lags != np.rint(lags)).any():
        found = lags[lags != np.rint(lags)][0]
        raise ValueError(
            f"{maker}: lags must be whole samples unless dt= (seconds per sample) is given; found {found:g}"
        )
    steps, counts = np.unique(_in_samples(lags, dt), return_counts=True)
    if (counts > 1).any():
        raise ValueError(f"{maker}: two lags fall on the same sample ({steps[counts > 1][0]}); give each sample once")
    return lags
