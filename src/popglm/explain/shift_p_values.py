"""p-values of circular shifts whose null distribution has a width that the recording itself has to tell."""

from __future__ import annotations

import numpy as np
from scipy.fft import rfft
from scipy.stats import norm
from scipy.stats import t as student

from popglm.explain.choice import spread

__all__ = ["degrees_of_freedom", "widened"]


def degrees_of_freedom(X: np.ndarray, Y: np.ndarray, scale: np.ndarray | None = None) -> np.ndarray:
    """Those of the width that Σ x y has over circular shifts, for every column of Y, shape (n_neurons,).

    Over shifts, Σ x y has the variance Σ_k a_k with a_k = |X_k|² |Y_k|² at frequencies k. Every |Y_k|² is the spectrum
    of Y times half a χ² of two degrees, so the sum varies from recording to recording like a χ² of
    ν = 2 (Σ E a)² / Σ (E a)² degrees (Satterthwaite 1946, Biometrics Bulletin 2, 110-114). Both sums are estimated
    without bias, from E a² = 2 (E a)². The power of X is that of all its columns together, each over its ``scale``, so
    that units do not matter.

    Parameters
    ----------
    X : ndarray, shape (n_samples, n_columns)
    Y : ndarray, shape (n_samples, n_neurons)
        Zero where not known.
    scale : ndarray, shape (n_columns,), optional
        Standard deviations of the columns before others took away what they explain; those of X unless given.

    Returns
    -------
    ndarray, shape (n_neurons,)
        Infinite for columns that do not vary.

    Examples
    --------
    >>> rng = np.random.default_rng(0)
    >>> degrees_of_freedom(rng.standard_normal((1000, 1)), rng.standard_normal((1000, 200))).mean().round(-2)
    np.float64(500.0)
    >>> wave = np.cos(2 * np.pi * 3 * np.arange(1000) / 1000)[:, None]
    >>> degrees_of_freedom(wave, wave).round(3)
    array([2.])
    """
    scale = spread(X) if scale is None else scale
    power_of_X = np.zeros(len(X) // 2)
    for column, size in zip(X.T, scale, strict=True):
        power_of_X += _power(column / size) if size > 0 else 0
    found = np.full(Y.shape[1], np.inf)
    for j, column in enumerate(Y.T):
        a = power_of_X * _power(column)
        if (largest := a.max(initial=0.0)) > 0:
            a = a / largest
            found[j] = 4 * a.sum() ** 2 / (a @ a) - 2
    return found


def _power(values: np.ndarray) -> np.ndarray:
    """|Z_k|² at frequencies above 0."""
    return np.abs(rfft(values - values.mean(dtype=float))[1:]) ** 2


def widened(p: np.ndarray, dof: np.ndarray) -> np.ndarray:
    """Ranks among shifts as p-values, where these are as wide as a recording of ``dof`` degrees of freedom says.

    A score that is compared with a width estimated from few degrees of freedom follows Student's distribution, where
    one compared with the true width follows the normal distribution (Student 1908, Biometrika 6, 1-25).

    Examples
    --------
    >>> widened(np.array([0.05, 0.05, 0.001, 1.0]), np.array([np.inf, 10, 10, 10])).round(3)
    array([0.05 , 0.066, 0.006, 1.   ])
    """
    return student.sf(norm.isf(p), dof)
