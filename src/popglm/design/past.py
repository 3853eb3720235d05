"""The past of a neuron and of its neighbours: spikes of earlier samples, convolved with a basis over the lag."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass
from difflib import get_close_matches

import numpy as np

from popglm.checks import check_name, check_names
from popglm.design.cosines import Bumps, LogBumps
from popglm.design.lags import check_basis, check_lags_of_basis, convolve_trials, known_share, lag_axis
from popglm.design.terms import Term, typical_size
from popglm.design.variables import SessionVariables
from popglm.messages import shown

__all__ = ["Past", "coupling", "history"]


@dataclass(eq=False)
class Past(Term):
    """What a neuron did in earlier samples: Σ_{lag ≥ 1 sample} basis(lag) y(t − lag). Made by `history` and `coupling`.

    Attributes
    ----------
    source : str
        The neuron whose past it is.
    basis : Term
        Over the lag, in samples or seconds.
    own : bool
        Whether it is there to explain the same neuron (`history`), or others (`coupling`).
    dt : float or None
        Seconds per sample.
    name : str
        Name of the group.
    """

    source: str
    basis: Bumps | LogBumps
    own: bool
    dt: float | None = None
    name: str | None = None

    def __post_init__(self):
        kind = "history" if self.own else "coupling"
        maker = f"{kind}({self.source!r})"
        check_basis(maker, self.basis, self.dt)
        check_name(maker, self.name)
        check_lags_of_basis(maker, self.basis, 1.0, self._last(), self.dt)
        self.name = self.name or f"{self.source} {kind}"
        self.variables = (self.source,)
        self.axes = (lag_axis(self.dt),)
        if not self._weights()[1].any():
            low, high = self.basis.support
            raise ValueError(
                f"{maker}: the basis is 0 at every lag of one sample or more; check low, high and dt (it covers "
                f"{low:g} to {high:g}, dt={self.dt or 1:g})"
            )

    @property
    def reach(self) -> float:
        """The longest lag that the term looks back to, in samples, or in seconds when `dt` is given."""
        steps, weights = self._weights()
        return steps[weights.any(axis=1)][-1].item() * (self.dt or 1)

    def fit(self, session: SessionVariables) -> Past:
        counts = session.numeric(self.source)
        self.peak = typical_size(np.nan_to_num(counts)) * self._weights()[1].max(axis=0)
        return self

    def transform(self, session: SessionVariables) -> np.ndarray:
        return convolve_trials(session, np.nan_to_num(session.numeric(self.source)), *self._weights())

    def known(self, session: SessionVariables) -> np.ndarray | None:
        return known_share(session, session.numeric(self.source), *self._weights())

    def feature_names(self) -> list[str]:
        return self.basis.feature_names()

    def grid(self, n_points: int = 200) -> tuple[np.ndarray, np.ndarray]:
        steps, weights = self._weights()
        return steps * (self.dt or 1.0), weights

    def _last(self) -> float:
        """Return the lag from which on the basis is 0, in samples, 1 at least."""
        return max(float(self.basis.support[1]) / (self.dt or 1.0), 1.0)

    def _weights(self) -> tuple[np.ndarray, np.ndarray]:
        """Return the lags in samples, 1, 2, ..., and the basis there (n_lags, n_columns)."""
        # truncation loses nothing: the basis is 0 at the end of its support
        steps = np.arange(1, int(self._last()) + 1)
        return steps, self.basis.evaluate(steps * (self.dt or 1.0))


def history(neuron: str, basis: Bumps | LogBumps, *, dt: float | None = None, name: str | None = None) -> Past:
    """A neuron's own past, convolved with a basis: refractoriness, bursts, adaptation.

    Only strictly earlier samples count: the lag is at least one sample, whatever the basis does at 0.

    Parameters
    ----------
    neuron : str
        Name of the variable of the session that holds its activity, such as spike counts per sample.
    basis : Term
        ``log_bumps("lag", ...)`` or ``bumps("lag", ...)``, over the lag in samples, or in seconds when `dt` is given.
        Its variable is only a placeholder.
    dt : float, optional
        Seconds per sample.
    name : str, optional
        Name of the group; "<neuron> history" unless given.

    Returns
    -------
    Past
        A term. Its ``reach`` is the longest lag: the last one at which the basis is not 0, before `high` for
        ``log_bumps`` and before high + 2 × spacing for ``bumps``.

    Raises
    ------
    TypeError, ValueError
        If an argument is not as above, or the basis is 0 at every lag of one sample or more, or reaches further than
        1,000,000 samples.

    Notes
    -----
    Nothing crosses a trial boundary or a gap in time. What was not recorded (before the trial, NaN) counts as the
    neuron's mean activity: only the known lags move a column, and it is 0 after z-scoring where none is known.
    Without z-scoring such samples count as 0.

    A group of history explains one neuron only. See `Design.for_neuron` for the columns that each neuron may use.

    References
    ----------
    Pillow et al., Nature 454, 995-999 (2008).

    Examples
    --------
    >>> from popglm.design import Design, bumps, history
    >>> past = history("n0", bumps("lag", n=2, low=1, high=2, width=2))
    >>> past.name, past.reach
    ('n0 history', 2)
    >>> Design([past], standardize=False).fit_transform({"n0": [1, 0, 0, 2]})["n0 history"]
    feature  bump0  bump1
    0          0.0    0.0
    1          1.0    0.0
    2          0.0    1.0
    3          0.0    0.0
    """
    if not isinstance(neuron, str):
        raise TypeError(f"history: neuron must be the name of a variable (a string); found {shown(neuron)}")
    return Past(neuron, basis, own=True, dt=dt, name=name)


def coupling(
    sources: str | Iterable[str],
    basis: Bumps | LogBumps,
    *,
    exclude: str | Iterable[str] = (),
    dt: float | None = None,
) -> list[Past]:
    """The population's past, convolved with a basis: one term, and so one group of columns, per source neuron.

    Only strictly earlier samples count: the lag is at least one sample, whatever the basis does at 0.

    Parameters
    ----------
    sources : str or iterable of str
        Names of the variables of the session that hold the activity of the source neurons.
    basis : Term
        ``log_bumps("lag", ...)`` or ``bumps("lag", ...)``, over the lag in samples, or in seconds when `dt` is given.
        Its variable is only a placeholder.
    exclude : str or iterable of str
        Sources to leave out: the neuron that is to be explained, whose own past is its `history`.
    dt : float, optional
        Seconds per sample.

    Returns
    -------
    list of Past
        Named "<source> coupling", in the order of `sources`; unpack it into the list of terms with ``*``. The
        ``reach`` of each is its longest lag, as in `history`.

    Raises
    ------
    TypeError, ValueError
        If an argument is not as above, a source is named twice, an excluded name is not among the sources, or the basis
        reaches further than 1,000,000 samples.

    Notes
    -----
    All neurons share X in one fit of the population. A neuron's own past then is among the columns of the coupling
    terms, as the group "<neuron> coupling" of the neuron itself. To keep it out, fit neuron by neuron with the
    columns of `Design.for_neuron`, which are taken from one X. Trials, gaps and missing samples are treated as in
    `history`.

    References
    ----------
    Pillow et al., Nature 454, 995-999 (2008).

    Examples
    --------
    >>> from popglm.design import coupling, log_bumps
    >>> terms = coupling(["n0", "n1", "n2"], log_bumps("lag", n=3, low=1, high=12), exclude="n0")
    >>> [(term.name, term.reach) for term in terms]
    [('n1 coupling', 11), ('n2 coupling', 11)]
    """
    sources = check_names("coupling", "sources", sources)
    excluded = check_names("coupling", "exclude", exclude)
    if not sources:
        raise ValueError("coupling: sources is empty; name at least one neuron")
    source, count = Counter(sources).most_common(1)[0]
    if count > 1:
        raise ValueError(f"coupling: sources names {source!r} {count} times; name each neuron once")
    for name in excluded:
        if name not in sources:
            near = get_close_matches(name, sources, n=3) or sources[:10]
            raise ValueError(
                f"coupling: exclude names {name!r}, which is not among the sources; nearest names: "
                f"{', '.join(map(repr, near))}"
            )
    return [Past(source, basis, own=False, dt=dt) for source in sources if source not in excluded]
