"""Where a path of strengths ends, by held-out deviance."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

import numpy as np

from popglm.statistics.selection import fitted_strengths, mean_and_error

__all__ = ["ClearTurn", "Ends", "Patience", "strengths_to_last_fall", "turned_strengths"]

#: A rise of less than this share of the null model's deviance is no turn: the curve may be flat, and have its minimum
#: anywhere.
LEAST_RISE = 1e-3
#: A curve that falls again by more than the first share of the null model's deviance, and to less than the second share
#: above its minimum, has another valley.
LEAST_FALL, NEAR = 1e-4, 0.1


class Ends(Protocol):
    """Where the paths of neurons end.

    Attributes
    ----------
    at_once : ndarray of int, shape (n_neurons,), or None
        Strengths that a neuron needs whatever its deviance is, where no fit shall have many more in vain.
    """

    @property
    def at_once(self) -> np.ndarray | None: ...

    def __call__(self, deviance: np.ndarray) -> np.ndarray:
        """Number of strengths (n_neurons,) until the end; n_lambdas where that is not known yet, or comes never.

        ``deviance`` (n_folds, n_lambdas, n_neurons) is NaN in a fold that scored nothing of a neuron, and at strengths
        for which it is not known yet.
        """

    def of(self, neurons: np.ndarray, unit: np.ndarray) -> Ends:
        """The ends of some neurons, whose deviances are in ``unit`` (n_neurons,)."""


@dataclass(frozen=True)
class Patience:
    """At so many strengths in a row whose deviance is clearly not the best; see `fitted_strengths`."""

    strengths: int
    at_once = None

    def __call__(self, deviance: np.ndarray) -> np.ndarray:
        return fitted_strengths(deviance, self.strengths)

    def of(self, neurons: np.ndarray, unit: np.ndarray) -> Patience:
        return self


@dataclass(frozen=True, eq=False)
class ClearTurn:
    """Where the deviance has turned, in paths whose first strengths are known already; see `turned_strengths`.

    Attributes
    ----------
    before : ndarray, shape (n_folds, n_lambdas, n_neurons)
        Deviance at the strengths that are known, NaN at others.
    known, least : ndarray of int, shape (n_neurons,)
        How many of them are known, with which the paths in question go on; and how many there are at least.
    null : ndarray, shape (n_folds, n_neurons)
        Deviance of null models.
    """

    before: np.ndarray
    known: np.ndarray
    least: np.ndarray
    null: np.ndarray

    @property
    def at_once(self) -> np.ndarray:
        return np.maximum(self.least - self.known, 1)

    def __call__(self, deviance: np.ndarray) -> np.ndarray:
        n, n_lambdas = deviance.shape[1], self.before.shape[1]
        k = self.known + np.arange(n)[:, None]
        here, neurons = np.nonzero(k < n_lambdas)
        whole = self.before.copy()
        whole[:, k[here, neurons], neurons] = deviance[:, here, neurons]
        ends = turned_strengths(whole, self.least, self.null)
        return np.where(ends < n_lambdas, ends - self.known, n)

    @classmethod
    def joined(cls, parts: Sequence[ClearTurn]) -> ClearTurn:
        """The ends of all neurons of several, one after the other."""
        each = zip(*((own.before, own.known, own.least, own.null) for own in parts), strict=True)
        return cls(*(np.concatenate(arrays, axis=-1) for arrays in each))

    def of(self, neurons: np.ndarray, unit: np.ndarray) -> ClearTurn:
        return ClearTurn(
            self.before[..., neurons] / unit, self.known[neurons], self.least[neurons], self.null[:, neurons] / unit
        )


def turned_strengths(deviance: np.ndarray, least: np.ndarray, null: np.ndarray) -> np.ndarray:
    """Number of strengths until a neuron's held-out deviance has turned; all of them where it never does.

    It has turned where its mean over folds lies above the best one until then by more than 0.1 % of the null model's
    deviance, and by more than the standard error of that rise: the standard deviation of the folds' rises (ddof 0) over
    the square root of their number.

    Parameters
    ----------
    deviance : ndarray, shape (n_folds, n_lambdas, n_neurons)
        NaN in a fold that scored nothing of that neuron, and at strengths for which it is not known yet.
    least : ndarray of int, shape (n_neurons,)
        It turns at none of the first strengths, but for the last of so many.
    null : ndarray, shape (n_folds, n_neurons)
        Deviance of null models.

    Returns
    -------
    ndarray of int, shape (n_neurons,)

    Examples
    --------
    >>> deviance = np.array([[[3.0], [2.0], [2.3], [2.6]], [[3.2], [2.2], [2.1], [2.8]]])
    >>> null = np.array([[4.0], [4.0]])
    >>> turned_strengths(deviance, np.array([0]), null), turned_strengths(deviance[:, :3], np.array([0]), null)
    (array([4]), array([3]))
    """
    mean, _ = mean_and_error(deviance)
    n_lambdas, _ = mean.shape
    k = np.arange(n_lambdas)[:, None]
    is_best = mean < np.concatenate([np.full((1, mean.shape[1]), np.inf), np.minimum.accumulate(mean)[:-1]])
    best = np.maximum.accumulate(np.where(is_best, k, 0))
    with np.errstate(invalid="ignore"):
        rises = deviance - np.take_along_axis(deviance, best[None], axis=1)
    rise, error = mean_and_error(rises)
    known = ~np.isnan(deviance).all(axis=0)
    turned = known & (k + 1 >= least) & (rise > LEAST_RISE * mean_and_error(null)[0]) & (rise > error)
    return np.where(turned.any(axis=0), turned.argmax(axis=0) + 1, n_lambdas)


def strengths_to_last_fall(deviance: np.ndarray, null: np.ndarray) -> np.ndarray:
    """Number of strengths until the held-out deviance of a whole path falls for the last time, near its minimum.

    Parameters
    ----------
    deviance, null
        As in `turned_strengths`.

    Returns
    -------
    ndarray of int, shape (n_neurons,)
        0 where it never falls.

    Examples
    --------
    >>> deviance = np.array([[[3.0], [2.0], [2.4], [2.1], [2.2], [2.3]]])
    >>> strengths_to_last_fall(deviance, np.array([[4.0]]))
    array([4])
    """
    mean, level = mean_and_error(deviance)[0], mean_and_error(null)[0]
    with np.errstate(invalid="ignore"):
        falls = (mean[1:] - mean[:-1] < -LEAST_FALL * level) & (mean[1:] < mean.min(axis=0) + NEAR * level)
    k = np.arange(2, len(mean) + 1)[:, None]
    return np.where(falls, k, 0).max(axis=0, initial=0)
