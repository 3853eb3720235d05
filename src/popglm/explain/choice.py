"""Which surrogates suit a variable: by how its columns lie in the trials, and how slowly it and the activity change."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from scipy.fft import irfft, next_fast_len, rfft
from scipy.stats import f as f_distribution

__all__ = ["METHODS", "Layout", "Method", "drift_together", "independent_samples", "spread"]

METHODS = ("auto", "circular_shift", "trial_permutation", "time_in_trial")
#: What remains of a column's variance counts as rounding below this share.
ROUNDING = 1e-8
#: A test by trials needs as many for its p-values to go below .05 and for sums over trials to be nearly normal.
FEWEST_TRIALS = 10
#: Dependence between trials, as a factor on the variance of a score, that is no longer small.
MOST_DEPENDENCE = 1.5
#: A drift has far more power in its slowest waves over the recording than in some that are little faster: numbers of
#: waves, and the probability of such a ratio where power is even.
SLOWEST, FASTER, DRIFTS_BY_CHANCE = (1, 2), (4, 5, 6, 7, 8, 9, 10, 11, 12), 0.005


@dataclass(frozen=True)
class Method:
    """A way to make surrogates, and why it was taken."""

    name: str
    reason: str
    means: bool = False


@dataclass(eq=False)
class Layout:
    """Trials of a recording, and how columns lie in them.

    Parameters
    ----------
    trial : ndarray of int, shape (n_samples,)
        Trials in order of time, each in one piece.
    """

    trial: np.ndarray

    def __post_init__(self) -> None:
        self.length = np.bincount(self.trial)
        self.first = np.concatenate([[0], np.cumsum(self.length)[:-1]])
        self.equal = len(self.length) > 1 and bool((self.length == self.length[0]).all())

    def constant_in_trials(self, X: np.ndarray) -> np.ndarray:
        """Whether a column is the same throughout every trial, as all are in trials of one sample; (n_columns,)."""
        inside = X - self.means(X)[self.trial]
        return (inside**2).sum(axis=0) <= ROUNDING * self._variation(X)

    def locked_to_trials(self, X: np.ndarray) -> np.ndarray:
        """Whether a column is the same in every trial, sample by sample, shape (n_columns,)."""
        if not self.equal or self.length[0] == 1:
            return np.zeros(X.shape[1], bool)
        by_trial = X.reshape(len(self.length), self.length[0], -1)
        across = ((by_trial - by_trial.mean(axis=0)) ** 2).sum(axis=(0, 1))
        return across <= ROUNDING * self._variation(X)

    def means(self, X: np.ndarray) -> np.ndarray:
        """Mean of every trial, shape (n_trials, n_columns)."""
        return np.add.reduceat(X, self.first, axis=0) / self.length[:, None]

    @staticmethod
    def _variation(X: np.ndarray) -> np.ndarray:
        return ((X - X.mean(axis=0)) ** 2).sum(axis=0)

    def choose(self, X: np.ndarray, residuals: np.ndarray, what: str, activity: str = "activity") -> Method:
        """The method for some columns.

        Parameters
        ----------
        X : ndarray, shape (n_samples, n_columns)
        residuals : ndarray, shape (n_samples, n_neurons)
            What the columns are to explain.
        what : str
            Their name, for the reason.
        activity : str
            What the residuals are of, for the reason.
        """
        locked, constant = self.locked_to_trials(X), self.constant_in_trials(X)
        n = len(self.length)
        few = f", though {n} trials are few for it" if n < FEWEST_TRIALS else ""
        if (constant & ~locked).all():
            held = "trials have one sample each" if (self.length == 1).all() else f"{what} is constant within trials"
            dependence = serial_dependence(self.means(X), self.means(residuals))
            if dependence <= MOST_DEPENDENCE:
                return Method(
                    "trial_permutation",
                    f"{held}, and {activity} and {what} do not go on together from one trial to the next{few}",
                    means=not self.equal,
                )
            return Method(
                "circular_shift",
                f"{held}, but {activity} and {what} both change slowly over trials, which are therefore not "
                "exchangeable",
            )
        if locked.any():
            return Method("time_in_trial", f"trials have equal length and {what} holds time in trial{few}")
        return Method("circular_shift", f"{what} changes within trials and not alike in all of them")


def serial_dependence(X: np.ndarray, Y: np.ndarray) -> float:
    """Factor by which slow changes of both widen the variance of Σ x y over rows in order of time; median over Y.

    It is 1 + 2 Σ r_x(h) r_y(h) over lags h up to a quarter of the rows.

    Examples
    --------
    >>> alternating = np.tile([1.0, -1.0], 50)[:, None]
    >>> serial_dependence(alternating, np.random.default_rng(0).standard_normal((100, 200))).__round__()
    1
    """
    n = len(X)
    return float(np.median(n / independent_samples(X, Y, n // 4)))


def spread(X: np.ndarray) -> np.ndarray:
    """Standard deviations of columns, shape (n_columns,); 0 for those that do not vary but by rounding.

    Examples
    --------
    >>> spread(np.array([[1.0, 0.1], [3.0, 0.1], [1.0, 0.1]])).round(3)
    array([0.943, 0.   ])
    """
    deviation = X.std(axis=0, dtype=float)
    return np.where(deviation > 1e-12 * np.abs(X).max(axis=0, initial=0), deviation, 0)


def independent_samples(
    X: np.ndarray, Y: np.ndarray, n_lags: int | None = None, scale: np.ndarray | None = None
) -> np.ndarray:
    """Samples that Σ x y is worth where both fluctuate slowly, for every column of Y, shape (n_neurons,).

    n / (1 + 2 Σ_h (1 − h/n) r_x(h) r_y(h)), where r_x is the mean over columns of X, each weighted by its variance
    over ``scale``² (Bartlett 1935, Journal of the Royal Statistical Society 98, 536-543).

    Parameters
    ----------
    scale : ndarray, shape (n_columns,), optional
        Standard deviations of the columns before others took away what they explain; those of X unless given.
    """
    n = len(X)
    n_lags = n // 2 if n_lags is None else max(n_lags, 1)
    scale = spread(X) if scale is None else scale
    share = np.where(scale > 0, 1 / np.where(scale > 0, scale, 1) ** 2, 0)
    own, other = _autocovariance(X, n_lags) @ share, _autocovariance(Y, n_lags)
    with np.errstate(invalid="ignore", divide="ignore"):
        r = (own / own[0])[1:, None] * (other / other[0])[1:]
    weight = 1 - np.arange(1, len(r) + 1) / n
    return n / np.maximum(1 + 2 * np.nan_to_num(weight @ r), 1)


def drift_together(X: np.ndarray, Y: np.ndarray) -> np.ndarray:
    """Which columns of Y drift through the whole recording, if X does too, shape (n_neurons,).

    What drifts is unlike at all other times, so that no shift of it is a surrogate. A trend or a random walk of many
    samples has a power that falls with the square of the number of waves. Told by an F test of the slowest waves, for X
    corrected for the number of its columns (Bonferroni).

    Examples
    --------
    >>> rng = np.random.default_rng(0)
    >>> noise, time = rng.standard_normal((2000, 2)), np.linspace(-1, 1, 2000)[:, None]
    >>> drift_together(noise + time, noise + time * [0, 1])
    array([False,  True])
    >>> drift_together(noise, noise + time * [0, 1]).any()
    np.False_
    """
    if len(X) < 2 * FASTER[-1]:
        return np.zeros(Y.shape[1], bool)
    x, y = (_power(A, SLOWEST) / np.maximum(_power(A, FASTER), np.finfo(float).tiny) for A in (X, Y))
    most = f_distribution.isf(DRIFTS_BY_CHANCE / np.array([len(x), 1]), 2 * len(SLOWEST), 2 * len(FASTER))
    return (x > most[0]).any() & (y > most[1])


def _power(A: np.ndarray, waves: tuple[int, ...]) -> np.ndarray:
    """Mean power of some numbers of waves over the recording, for every column."""
    phases = np.exp(-2j * np.pi * np.outer(waves, np.arange(len(A))) / len(A))
    return (np.abs(phases @ (A - A.mean(axis=0, dtype=float))) ** 2).mean(axis=0)


def _autocovariance(A: np.ndarray, n_lags: int) -> np.ndarray:
    """At lags 0 … n_lags, shape (n_lags + 1, n_columns)."""
    centred, n = A - A.mean(axis=0, dtype=float), len(A)
    size = next_fast_len(n + n_lags + 1, real=True)
    found = np.empty((min(n_lags, n - 1) + 1, A.shape[1]))
    for j in range(A.shape[1]):
        spectrum = rfft(centred[:, j], size)
        found[:, j] = irfft(spectrum * np.conj(spectrum), size)[: len(found)] / n
    return found
