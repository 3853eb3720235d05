"""A random walk among the values of a variable, from sample to sample: what all samples of a trial say of each."""

from __future__ import annotations

import numpy as np
import pandas as pd

from popglm.explain.segments import gaps
from popglm.labels import check_order

__all__ = ["RandomWalk", "normalised", "steps_between"]


class RandomWalk:
    """Moves among some values, with a normal distribution around where the walk is.

    Parameters
    ----------
    values : ndarray, shape (n_values,)
        In order.
    step : float
        Standard deviation of the change within a sample.
    period : float, optional
        Of a circle that the values lie on.
    """

    def __init__(self, values: np.ndarray, step: float, period: float | None = None) -> None:
        apart = np.abs(values[:, None] - values)
        if period is not None:
            apart = np.minimum(apart, period - apart)
        #: Probabilities to go from a value (rows) to another in 1, 2, 4, … samples; more when they are needed.
        self._moves = [normalised(-0.5 * (apart / step) ** 2)]

    def posterior(self, logs: np.ndarray, prior: np.ndarray, steps: np.ndarray) -> np.ndarray:
        """Posteriors (n_samples, n_values) given all samples, by the forward-backward algorithm.

        Parameters
        ----------
        logs : ndarray, shape (n_samples, n_values)
            Logarithms of likelihoods, up to a constant for each sample; all alike where a sample says nothing.
        prior : ndarray, shape (n_values,)
            Of the first sample.
        steps : ndarray of int, shape (n_samples,)
            From the sample before to each; more than one where samples are missing.
        """
        likelihood = np.exp(logs - logs.max(axis=1, keepdims=True))
        forward, backward = np.empty_like(likelihood), np.ones_like(likelihood)
        now = prior
        for t, own in enumerate(likelihood):
            now = own * (now if t == 0 else self._onward(now, steps[t]))
            # no value is possible where the walk cannot reach what the activity says: it begins anew
            now = now / now.sum() if now.sum() > 0 else own / own.sum()
            forward[t] = now
        for t in range(len(likelihood) - 2, -1, -1):
            now = self._back(likelihood[t + 1] * backward[t + 1], steps[t + 1])
            backward[t] = now / now.sum() if now.sum() > 0 else 1.0
        found = forward * backward
        total = found.sum(axis=1, keepdims=True)
        return np.where(total > 0, found / np.where(total > 0, total, 1), forward)

    def _onward(self, now: np.ndarray, n: int) -> np.ndarray:
        """Probabilities n samples later."""
        for moves in self._powers(n):
            now = now @ moves
        return now

    def _back(self, later: np.ndarray, n: int) -> np.ndarray:
        """Likelihood of what is known n samples later."""
        for moves in self._powers(n):
            later = moves @ later
        return later

    def _powers(self, n: int) -> list[np.ndarray]:
        """Moves that make n samples together, as few as there are: those of powers of two."""
        if n == 1:
            return self._moves[:1]
        bits = [k for k, bit in enumerate(reversed(f"{n:b}")) if bit == "1"]
        while len(self._moves) <= bits[-1]:
            self._moves.append(self._moves[-1] @ self._moves[-1])
        return [self._moves[k] for k in bits]


def steps_between(labels: pd.Index | None, trial: np.ndarray, who: str) -> np.ndarray:
    """Samples from the one before to each, shape (n_samples,): more than 1 after a gap in labels that are times.

    Parameters
    ----------
    labels : pandas.Index, optional
        Of the rows, shape (n_samples,).
    trial : ndarray of int, shape (n_samples,)
    who : str
        Who asks, for the complaint.

    Raises
    ------
    ValueError
        If the labels are times and do not increase within a trial.

    Examples
    --------
    >>> steps_between(pd.Index([0.0, 0.1, 0.2, 0.7, 0.8]), np.zeros(5, int), "decode")
    array([1, 1, 1, 5, 1])
    """
    steps = np.ones(len(trial), int)
    time = check_order(labels, "the session", who, trial)
    if time is None or len(time) < 2:
        return steps
    after = gaps(time, trial)
    taken = np.diff(time)
    usual = np.median(taken[trial[1:] == trial[:-1]]) if len(after) else 1.0
    steps[after] = np.rint(taken[after - 1] / usual)
    return steps


def normalised(logs: np.ndarray) -> np.ndarray:
    """Probabilities of logarithms up to a constant for each row.

    Examples
    --------
    >>> normalised(np.log([[2.0, 6.0]]))
    array([[0.25, 0.75]])
    """
    found = np.exp(logs - logs.max(axis=1, keepdims=True))
    return found / found.sum(axis=1, keepdims=True)
