"""Terms over lags, trial by trial: a variable shifted in time, events or signals convolved with a basis.

Nothing crosses from one trial to another, nor a gap in time.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Literal

import numpy as np

from popglm.checks import (
    check_choice,
    check_lag,
    check_name,
    check_positive,
    check_room,
    check_variable,
    is_iterable,
    no_more_than,
)
from popglm.design.cosines import Bumps, LogBumps
from popglm.design.terms import (
    Linear,
    Reach,
    Term,
    as_term,
    check_columns,
    cross_grids,
    cross_names,
    peaks,
    typical_size,
)
from popglm.design.variables import SessionVariables
from popglm.messages import shown
from popglm.shapes import Shape

__all__ = ["Kernel", "Shifts", "check_basis", "check_lags_of_basis", "convolve_trials", "known_share", "lag_axis"]


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
        If an argument is not as above, two lags fall on the same sample, or one is longer than 1,000,000 samples.

    Notes
    -----
    Nothing crosses a trial boundary or a gap in time. Where t − lag is before the start or after the end of the
    trial the value is unknown, as it is where the variable is NaN: such samples do not count in the mean and the
    scale of the column, which is 0 there after z-scoring. Of a term with a natural zero, such as `bumps` or
    `splines`, the trial counts as everything that there was: its columns are 0 beyond it, before z-scoring.

    Examples
    --------
    >>> from popglm.design import Design, shifts
    >>> session = {"speed": [1.0, 2.0, 3.0, 4.0], "trial": [1, 1, 2, 2]}
    >>> lags = shifts("speed", lags=[0, 1, -1])
    >>> Design([lags], trial="trial", standardize=False).fit_transform(session)["speed shifts"]
    feature  lag0  lag1  lag-1
    0         1.0   0.0    2.0
    1         2.0   1.0    0.0
    2         3.0   0.0    4.0
    3         4.0   3.0    0.0
    >>> Design([lags], trial="trial").fit_transform(session)["speed shifts"].round(2)
    feature  lag0  lag1  lag-1
    0       -1.34   0.0   -1.0
    1       -0.45  -1.0    0.0
    2        0.45   0.0    1.0
    3        1.34   1.0    0.0
    """

    term: Term | str
    lags: Iterable[float]
    dt: float | None = None
    name: str | None = None

    def __post_init__(self):
        self.term = shifted = self.shifted
        maker = f"shifts({shifted.name!r})"
        check_name(maker, self.name)
        self.lags = _check_lags(maker, self.lags, self.dt)
        self.name = self.name or f"{shifted.name} shifts"
        self.variables = shifted.variables
        self.axes = (lag_axis(self.dt), *(() if isinstance(shifted, Linear) else shifted.axes))

    @property
    def shifted(self) -> Term:
        """`term` as a term, where it was given by name."""
        return as_term("shifts", self.term)

    def fit(self, session: SessionVariables) -> Shifts:
        term = self.shifted.fit(session)
        check_columns(self, session.n_samples)
        self.natural_zero = term.natural_zero
        self.peak = None if term.peak is None else np.tile(peaks(term, session), len(self._lags()))
        return self

    def transform(self, session: SessionVariables) -> np.ndarray:
        return self._shift(session, self.shifted.transform(session))

    def known(self, session: SessionVariables) -> np.ndarray | None:
        term = self.shifted
        if term.natural_zero:
            return None
        known = term.known(session)
        n_columns = len(term.feature_names())
        return self._shift(session, np.broadcast_to(1.0 if known is None else known, (session.n_samples, n_columns)))

    def outside(self, session: SessionVariables) -> np.ndarray | None:
        return self.shifted.outside(session)

    def surprises(self, session: SessionVariables) -> list[str]:
        return self.shifted.surprises(session)

    def reaches(self) -> list[Reach]:
        return self.shifted.reaches()

    @property
    def steps(self) -> np.ndarray:
        """The lags in whole samples."""
        return _in_samples(self._lags(), self.dt)

    def _lags(self) -> np.ndarray:
        return np.array(list(self.lags), np.float64)

    def _shift(self, session: SessionVariables, values: np.ndarray) -> np.ndarray:
        """Lay copies of the values at all lags side by side; 0 beyond the trial."""
        steps = self.steps
        out = np.zeros((session.n_samples, len(steps), values.shape[1]))
        lengths = session.run_stops - session.run_starts
        starts, stops = (np.repeat(ends, lengths) for ends in (session.run_starts, session.run_stops))
        for i, step in enumerate(steps):
            source = np.arange(session.n_samples) - step
            within = (source >= starts) & (source < stops)
            out[within, i] = values[source[within]]
        return out.reshape(session.n_samples, -1)

    def feature_names(self) -> list[str]:
        lags = [f"lag{lag:g}{'' if self.dt is None else 's'}" for lag in self.lags]
        return lags if isinstance(self.shifted, Linear) else cross_names(lags, self.shifted.feature_names())

    def n_columns(self) -> int:
        return len(self._lags()) * self.shifted.n_columns()

    def shape(self) -> Shape:
        # neighbours in time, in whatever order the lags were given
        places = np.argsort(np.argsort(self._lags())).tolist()
        return Shape.of("line", len(places)).ordered(places).times(self.shifted.shape())

    def grid(self, n_points: int = 200) -> tuple[np.ndarray, np.ndarray]:
        lags = self._lags(), np.eye(self._lags().size)
        return lags if isinstance(self.shifted, Linear) else cross_grids(lags, self.shifted.grid(n_points))


@dataclass(eq=False)
class Kernel(Term):
    """Events or a signal convolved, trial by trial, with a basis over the lag: Σ_lag basis(lag) x(t − lag).

    It reaches as far as its basis does: ``bumps`` to high + 2 × spacing, ``log_bumps`` to `high`.

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
    events : bool, optional
        Whether the variable marks events: it is 0 unless something happened, so nothing happened before the trial
        began or where the variable is NaN. Otherwise it is a signal, and there it is unknown. Unless given, a
        variable that is 0 in more than half of the samples of the fitted session is taken for events.
    name : str, optional
        Name of the group; "<variable> kernel" unless given.

    Raises
    ------
    TypeError, ValueError
        If an argument is not as above, the basis has ``low`` < 0 on one side alone, is 0 at every whole sample of the
        side, or reaches further than 1,000,000 samples.

    Notes
    -----
    Nothing crosses a trial boundary or a gap in time. What came before the first sample of a trial (or comes after
    its last) counts as 0 for events. A signal counts as its mean there, so that only the known lags move the column,
    which is 0 after z-scoring where no lag is known; without z-scoring such samples count as 0.

    Lag 0 belongs to both sides, since a stimulus can act within its own sample. For the past of a neuron itself, or
    of other neurons, use `history` and `coupling`, whose lags start at one sample.

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
    events: bool | None = None

    def __post_init__(self):
        check_variable("kernel", self.variable)
        maker = f"kernel({self.variable!r})"
        check_basis(maker, self.basis, self.dt)
        check_choice(maker, "side", self.side, ("causal", "anti-causal", "both"))
        if not (self.events is None or isinstance(self.events, (bool, np.bool_))):
            raise TypeError(f"{maker}: events must be True, False or None; found {shown(self.events)}")
        check_name(maker, self.name)
        if self.basis.low < 0 and self.side != "both":
            remedy = ", or side='anti-causal' with low ≥ 0" if self.side == "causal" else "; this side mirrors lags ≥ 0"
            raise ValueError(
                f"{maker}: lags below 0 need side='both'{remedy}; found low={self.basis.low:g} with side={self.side!r}"
            )
        check_lags_of_basis(maker, self.basis, *self._ends(), self.dt)
        self.name = self.name or f"{self.variable} kernel"
        self.variables = (self.variable,)
        self.axes = (lag_axis(self.dt),)
        if not self._weights()[1].any():
            raise ValueError(
                f"{maker}: the basis is 0 at every whole sample with side={self.side!r}; check low, high and "
                "dt (it covers {:g} to {:g}, dt={:g})".format(*self.basis.support, self.dt or 1)
            )

    def fit(self, session: SessionVariables) -> Kernel:
        x = session.numeric(self.variable)
        recorded = x[~np.isnan(x)]
        self.events_ = bool((recorded == 0).sum() * 2 > len(recorded) if self.events is None else self.events)
        self.natural_zero = self.events_
        self.peak = typical_size(recorded) * self._weights()[1].max(axis=0) if self.events_ else None
        return self

    def transform(self, session: SessionVariables) -> np.ndarray:
        return convolve_trials(session, np.nan_to_num(session.numeric(self.variable)), *self._weights())

    def known(self, session: SessionVariables) -> np.ndarray | None:
        if self.events_:
            return None
        return known_share(session, session.numeric(self.variable), *self._weights())

    def feature_names(self) -> list[str]:
        names = self.basis.feature_names()
        if self._mirrors:
            return [f"before_{name}" for name in names] + [f"after_{name}" for name in names]
        return names

    def shape(self) -> Shape:
        # before and after an event the basis counts from lag 0: two lines, of which no end goes on as the other
        sides, basis = Shape.of("levels", 2 if self._mirrors else 1), Shape.of("line", self.basis.n)
        return sides.times(basis)

    def grid(self, n_points: int = 200) -> tuple[np.ndarray, np.ndarray]:
        steps, weights = self._weights()
        return steps * (self.dt or 1.0), weights

    @property
    def _mirrors(self) -> bool:
        return self.side == "both" and self.basis.low >= 0

    def _ends(self) -> tuple[float, float]:
        """Return the lags between which the basis is not 0, in samples, 0 among them."""
        low, high = (float(end) / (self.dt or 1.0) for end in self.basis.support)
        first, last = min(low, 0.0), max(high, 0.0)
        if self.side == "causal":
            return 0.0, last
        if self.side == "anti-causal":
            return -last, 0.0
        return -last if self._mirrors else first, last

    def _weights(self) -> tuple[np.ndarray, np.ndarray]:
        """Return the lags in samples, ascending, 0 among them, and the basis there (n_lags, n_columns)."""
        dt = self.dt or 1.0
        # truncation towards 0 loses nothing: the basis is 0 at the ends of its support
        first, last = (int(end) for end in self._ends())
        steps = np.arange(first, last + 1)
        if self._mirrors:
            values = self.basis.evaluate(np.abs(steps) * dt)
            after = (steps >= 0)[:, None]
            return steps, np.hstack([values * ~after, values * after])
        return steps, self.basis.evaluate((-steps if self.side == "anti-causal" else steps) * dt)


def check_basis(maker: str, basis: object, dt: object) -> None:
    if not isinstance(basis, (Bumps, LogBumps)):
        raise TypeError(f"{maker}: basis must be bumps('lag', ...) or log_bumps('lag', ...); found {shown(basis)}")
    if dt is not None:
        check_positive(maker, "dt", dt)


def check_lags_of_basis(maker: str, basis: Bumps | LogBumps, first: float, last: float, dt: float | None) -> None:
    """Refuse a basis with more lags, from first to last in samples, than a term may have or memory holds."""
    check_lag(
        maker, f"basis, with low={basis.low:g} and high={basis.high:g}, reaches to lags of", max(-first, last), dt
    )
    n_lags = int(last) - int(first) + 1
    check_room(f"{maker}: a basis of {n_lags:,} lags × n={basis.n:,} functions", 8.0 * n_lags * basis.n)


def convolve_trials(session: SessionVariables, x: np.ndarray, steps: np.ndarray, weights: np.ndarray) -> np.ndarray:
    """Σ_lag weights(lag) x(t − lag) within each trial, and not across gaps.

    Parameters
    ----------
    session : SessionVariables
        Says where trials and gaps are.
    x : ndarray, shape (n_samples,)
    steps : ndarray of int, shape (n_lags,)
        Successive lags in samples.
    weights : ndarray, shape (n_lags, n_columns)

    Returns
    -------
    ndarray, shape (n_samples, n_columns)
    """
    out = np.zeros((session.n_samples, weights.shape[1]))
    for start, stop in zip(session.run_starts, session.run_stops, strict=True):
        if not x[start:stop].any():
            continue
        # lags longer than the trial look at nothing in it; entry 0 of the full convolution is at start + first lag
        near = np.abs(steps) < stop - start
        if not near.any():
            continue
        first = steps[near][0]
        for j, weight in enumerate(weights[near].T):
            whole = np.convolve(x[start:stop], weight)
            low, high = max(first, 0), min(first + len(whole), stop - start)
            out[start + low : start + high, j] = whole[low - first : high - first]
    return out


def known_share(session: SessionVariables, x: np.ndarray, steps: np.ndarray, weights: np.ndarray) -> np.ndarray:
    """Share of each column's weights that falls on known samples of x, shape (n_samples, n_columns)."""
    total = weights.sum(axis=0)
    share = convolve_trials(session, (~np.isnan(x)).astype(np.float64), steps, weights / np.where(total > 0, total, 1))
    # a basis function that is 0 at all whole lags has a column of zeros, whatever was recorded
    return np.where(total > 0, np.round(share, 12), 1.0)


def _in_samples(lags: np.ndarray, dt: float | None) -> np.ndarray:
    return np.rint(lags / (dt or 1.0)).astype(int)


def lag_axis(dt: float | None) -> str:
    return "lag (samples)" if dt is None else "lag (s)"


def _check_lags(maker: str, lags: Iterable[float], dt: float | None) -> np.ndarray:
    if dt is not None:
        check_positive(maker, "dt", dt)
    if not is_iterable(lags) or isinstance(lags, str | bytes | bytearray):
        raise TypeError(f"{maker}: lags must be a sequence of numbers, such as range(1, 71); found {shown(lags)}")
    listed = no_more_than(maker, "lags", lags)
    try:
        found = np.array(listed, dtype=np.float64)
    except (TypeError, ValueError):
        raise TypeError(
            f"{maker}: lags must be a sequence of numbers, such as range(1, 71); found {shown(lags)}"
        ) from None
    except OverflowError:  # a whole number beyond all floats
        found = np.array([np.inf])
    if found.ndim != 1 or len(found) == 0 or not np.isfinite(found).all():
        raise ValueError(f"{maker}: lags must be one or more finite numbers; found {shown(found.tolist())}")
    longest = float(found[np.abs(found).argmax()])
    check_lag(maker, f"lags holds {longest:g}, a lag of", abs(longest) / (dt or 1.0), dt)
    between = found[found != np.rint(found)]
    if dt is None and len(between):
        raise ValueError(
            f"{maker}: lags must be whole samples unless dt= (seconds per sample) is given; found {between[0]:g}"
        )
    steps, counts = np.unique(_in_samples(found, dt), return_counts=True)
    if (counts > 1).any():
        step = steps[counts > 1][0]
        same = ", ".join(f"{lag:g}" for lag in found[_in_samples(found, dt) == step][:4])
        rounded = (
            "give each sample once"
            if dt is None
            else f"in units of dt={dt:g} s the lags {same} s are rounded to it; give lags that are multiples of dt, or "
            "the dt of the recording (seconds per sample)"
        )
        raise ValueError(f"{maker}: two lags fall on the same sample ({step}); {rounded}")
    return found
