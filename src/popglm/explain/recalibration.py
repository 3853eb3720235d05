"""Recalibration: the line through linear predictors that describes the activity best."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from popglm.statistics.families.contract import Family

__all__ = ["NOT_FOUND", "Line", "recalibrate"]

#: Steps of Fisher scoring, and the share of the deviance that the last one may still gain.
MOST_STEPS, LEAST_GAIN = 100, 1e-14


class Line(NamedTuple):
    """Best intercept a and slope b of h(a + bη), and their standard errors."""

    intercept: float
    slope: float
    intercept_error: float
    slope_error: float


NOT_FOUND = Line(np.nan, np.nan, np.nan, np.nan)


def recalibrate(loss: Family, eta: np.ndarray, y: np.ndarray, s: np.ndarray, cluster: np.ndarray) -> Line | None:
    """Maximum likelihood of an intercept and a slope; None where no finite line is best.

    Parameters
    ----------
    loss : Family
        Its parameters, if it has some, are numbers or one for each sample.
    eta, y, s : ndarray, shape (n_samples,)
        Linear predictors, activity, and weights above 0.
    cluster : ndarray of int, shape (n_samples,)
        Samples of one cluster may depend on each other: errors are those of White's sandwich over clusters,
        and NaN with a single one, whose residuals sum to 0.
    """
    total = s.sum()
    center = s @ eta / total
    # overflow: predictors of one sample that are far outside of all others
    with np.errstate(over="ignore"):
        spread = np.sqrt(s @ (eta - center) ** 2 / total)
    if not 0 < spread < np.inf or _separated(loss, eta, y):
        return None
    Z = np.column_stack([np.ones_like(eta), (eta - center) / spread])
    # the predictions as they are, or the null model where that is better
    null = float(np.mean(loss.start_intercept(np.atleast_1d(s @ y / total), np.atleast_1d(len(y)))))
    starts = np.array([center, spread]), np.array([null, 0.0])
    with np.errstate(over="ignore", invalid="ignore"):
        b = min(starts, key=lambda start: np.nan_to_num(s @ loss.excess(np, Z @ start, y), nan=np.inf))
    if not _descend(loss, Z, y, s, b):
        return None
    r, h = loss.derivatives(np, Z @ b, y)[0], loss.second_derivative(Z @ b, y)
    bread = np.linalg.pinv(Z.T @ (Z * (s * h)[:, None]), hermitian=True)
    sums = np.stack([np.bincount(cluster, s * r * column) for column in Z.T])
    n = len(np.unique(cluster))
    # as in `wald`
    covariance = bread @ (sums @ sums.T) @ bread * (n / max(n - 1, 1)) * (total - 1) / max(total - 2, 1)
    back = np.array([[1, -center / spread], [0, 1 / spread]])
    errors = np.sqrt(np.maximum(np.diag(back @ covariance @ back.T), 0)) if n > 1 else np.full(2, np.nan)
    return Line(*map(float, back @ b), *map(float, errors))


def _separated(loss: Family, eta: np.ndarray, y: np.ndarray) -> bool:
    """Whether the loss falls for ever as a slope goes to infinity: a threshold tells events from all others."""
    if not loss.can_separate:
        return False
    not_down, not_up = loss.sides(y)
    return any(
        np.min(sign * eta, where=not_down, initial=np.inf) >= np.max(sign * eta, where=not_up, initial=-np.inf)
        for sign in (1, -1)
    )


def _descend(loss: Family, Z: np.ndarray, y: np.ndarray, s: np.ndarray, b: np.ndarray) -> bool:
    """Fisher scoring with halved steps, in place; whether it arrived."""
    value = start = float(s @ loss.excess(np, Z @ b, y))
    for _ in range(MOST_STEPS):
        r, h = loss.derivatives(np, Z @ b, y)
        gradient = Z.T @ (s * r)
        step = np.linalg.pinv(Z.T @ (Z * (s * h)[:, None]), hermitian=True) @ gradient
        if gradient @ step <= LEAST_GAIN * start:
            b -= step
            return True
        for _ in range(60):
            with np.errstate(over="ignore", invalid="ignore"):
                new = float(s @ loss.excess(np, Z @ (b - step), y))
            if new < value:
                break
            step = step / 2
        else:
            # rounding: nothing is left to gain
            return True
        b -= step
        value = new
    return False
