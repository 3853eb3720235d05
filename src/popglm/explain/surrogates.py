"""Activity as it could have been without the effect: shifted in time, or exchanged or flipped by trials."""

from __future__ import annotations

from dataclasses import dataclass, field
from itertools import pairwise, permutations, product
from math import factorial, prod

import numpy as np
from scipy.fft import irfft, rfft

__all__ = ["CircularShifts", "TrialPermutations", "TrialSigns", "draw_offsets"]

#: As many runs of trials at least, where there are as many trials.
FEWEST_RUNS = 10
#: Fluctuations that last longer than so many trials are slow.
SLOW = 4


def draw_offsets(n: int, longest: int, n_shifts: int, n_neurons: int, seed: int) -> np.ndarray:
    """Offsets (n_shifts, n_neurons) between ``longest`` and ``n − longest``, all different within a neuron."""
    n_safe = n - 2 * longest + 1
    if n_safe < n_shifts:
        raise ValueError(
            f"significance: {n} held-out samples with a longest trial of {longest} have {max(n_safe, 0)} trial-safe "
            f"offsets, fewer than n_shifts={n_shifts}; use fewer shifts, or a longer recording."
        )
    rng = np.random.default_rng(seed)
    draws = [rng.choice(n_safe, n_shifts, replace=False) for _ in range(n_neurons)]
    return longest + np.stack(draws, axis=1)


@dataclass(eq=False)
class CircularShifts:
    """The residuals of a neuron, moved in time around the whole recording, and every other time turned around.

    Shifts by about as much are about alike, so a short recording of slow activity has few shifts that differ, and their
    ranks are coarse. Backwards, activity has the same autocorrelation and no moment in common with X: as many more.

    Attributes
    ----------
    offsets : ndarray of int, shape (n_draws, n_neurons)
    """

    offsets: np.ndarray
    complete: bool = field(default=False, init=False)

    def __len__(self) -> int:
        return len(self.offsets)

    def apply(self, values: np.ndarray, neuron: int, draws: slice, order: np.ndarray) -> np.ndarray:
        """Surrogates of a series (n_samples,), shape (n_draws, n_samples), the samples in ``order``."""
        n, ways = len(values), (np.concatenate([values, values]), np.concatenate([values, values])[::-1])
        numbers = range(len(self))[draws]
        return np.stack([ways[k % 2][order + (n - self.offsets[k, neuron])] for k in numbers])

    def known(self, values: np.ndarray, neuron: int, draws: slice, order: np.ndarray) -> np.ndarray:
        """Where the surrogates are known."""
        return self.apply(values, neuron, draws, order)


@dataclass(eq=False)
class TrialPermutations:
    """The residuals of whole trials, exchanged within strata; the same permutations for all neurons.

    Trials of one length are exchanged sample by sample. Between trials of different lengths, what can be exchanged is
    a trial's mean residual, in units of its standard error: enough for variables that are constant within trials, whose
    scores depend on nothing else.

    Parameters
    ----------
    trial : ndarray of int, shape (n_samples,)
        Trials in order of time, each in one piece.
    strata : ndarray of int, shape (n_trials,)
    n_draws : int
        As many are drawn, or all that there are if these are no more.
    seed : int
    means : bool
        Exchange means alone.

    Attributes
    ----------
    complete : bool
        Whether the draws are all permutations but the identity.
    """

    trial: np.ndarray
    strata: np.ndarray
    n_draws: int
    seed: int
    means: bool
    complete: bool = field(init=False)

    def __post_init__(self) -> None:
        self.length = np.bincount(self.trial)
        self.first = np.concatenate([[0], np.cumsum(self.length)[:-1]])
        n, members = len(self.length), [np.flatnonzero(self.strata == code) for code in np.unique(self.strata)]
        # a product of factorials soon has more digits than are worth counting
        count = prod(factorial(len(own)) if len(own) < 13 else 10**10 for own in members)
        self.complete = count - 1 <= self.n_draws
        if self.complete:
            each = [list(permutations(own)) for own in members]
            orders = np.tile(np.arange(n), (count, 1))
            for row, chosen in zip(orders, product(*each), strict=True):
                for own, where in zip(members, chosen, strict=True):
                    row[own] = where
            self.orders = orders[(orders != np.arange(n)).any(axis=1)]
            return
        rng = np.random.default_rng(self.seed)
        self.orders = np.tile(np.arange(n), (self.n_draws, 1))
        for own in members:
            self.orders[:, own] = rng.permuted(self.orders[:, own], axis=1)

    def __len__(self) -> int:
        return len(self.orders)

    def apply(self, values: np.ndarray, neuron: int, draws: slice, order: np.ndarray) -> np.ndarray:
        """See `CircularShifts`."""
        trial = self.trial[order]
        if self.means:
            sums = np.bincount(self.trial, values)
            mean, root = sums / self.length, np.sqrt(self.length)
            moved = (mean * root)[self.orders[draws]] / root - mean
            return values[order] + moved[:, trial]
        place = order - self.first[trial]
        return np.stack([values[self.first[where][trial] + place] for where in self.orders[draws]])

    def known(self, values: np.ndarray, neuron: int, draws: slice, order: np.ndarray) -> np.ndarray:
        """Where the surrogates are known."""
        if self.means:
            return np.broadcast_to(values[order], (len(self.orders[draws]), len(order)))
        return self.apply(values, neuron, draws, order)


@dataclass(eq=False)
class TrialSigns:
    """The residuals of runs of trials with a random sign each; the same signs for all neurons.

    Runs are of some √n trials, as blocks are in block bootstraps (Künsch 1989), since neighbours may depend on each
    other: activity that ends a trial high begins the next one high. Where a run ends that is lost, so runs are few.
    What is so slow that it goes on through several trials would be torn at every end; see `without_slow`.

    Parameters
    ----------
    trial : ndarray of int, shape (n_samples,)
    n_draws : int
        As many are drawn, or all that there are if these are no more. The sign of all trials together is of no
        consequence: the first trial keeps its own then.
    seed : int
    """

    trial: np.ndarray
    n_draws: int
    seed: int
    complete: bool = field(init=False)

    def __post_init__(self) -> None:
        n_trials = int(self.trial.max()) + 1
        n = max(min(n_trials, FEWEST_RUNS), round(n_trials**0.5))
        self.run = np.arange(n_trials) * n // n_trials
        rng = np.random.default_rng(self.seed)
        self.complete = n - 1 < 40 and 2 ** (n - 1) - 1 <= self.n_draws
        if n - 1 >= 40:
            self.signs = rng.choice([1.0, -1.0], (self.n_draws, n))
            return
        # each at most once, and never all trials with one sign, which is the activity itself
        n_all = 2 ** (n - 1) - 1
        drawn = 1 + (np.arange(n_all) if self.complete else rng.choice(n_all, self.n_draws, replace=False))
        self.signs = np.where(drawn[:, None] >> np.arange(n)[::-1] & 1, -1.0, 1.0)

    def __len__(self) -> int:
        return len(self.signs)

    def without_slow(self, residuals: np.ndarray, X: np.ndarray) -> np.ndarray:
        """Residuals without fluctuations slower than `SLOW` trials, for the neurons whose runs are more alike then.

        Columns that are the same in every trial say nothing on slow fluctuations, and activity that goes on from trial
        to trial brings next to nothing of them into its average over trials. With a sign that changes between two
        trials it would. Where trials are pieces of a recording with something between them, their levels jump, a slow
        curve through them fits badly, and residuals stay as they are. The choice does not depend on signs of runs.

        Parameters
        ----------
        residuals : ndarray, shape (n_samples, n_neurons)
        X : ndarray, shape (n_samples, n_columns)
            What is tested.

        Returns
        -------
        ndarray, shape (n_samples, n_neurons)
        """
        spectrum = rfft(residuals, axis=0)
        spectrum[1 : -(-len(self.run) // SLOW)] = 0
        fast = irfft(spectrum, len(residuals), axis=0)
        return np.where(self._spread(fast, X) < self._spread(residuals, X), fast, residuals)

    def _spread(self, residuals: np.ndarray, X: np.ndarray) -> np.ndarray:
        """Sum over runs of their squared products with the columns, shape (n_neurons,)."""
        centred, run = X - X.mean(axis=0, dtype=float), self.run[self.trial]
        ends = np.searchsorted(run, np.arange(run[-1] + 2))
        return sum(((centred[a:b].T @ residuals[a:b]) ** 2).sum(axis=0) for a, b in pairwise(ends))

    def apply(self, values: np.ndarray, neuron: int, draws: slice, order: np.ndarray) -> np.ndarray:
        """See `CircularShifts`."""
        return self.signs[draws][:, self.run[self.trial[order]]] * values[order]

    def known(self, values: np.ndarray, neuron: int, draws: slice, order: np.ndarray) -> np.ndarray:
        """Where the surrogates are known."""
        return np.broadcast_to(values[order], (len(self.signs[draws]), len(order)))
