"""Which neurons have no finite weights that fit them best: a feature tells samples with events from those without.

Along such a direction of the weights the loss falls for ever (Albert & Anderson 1984): a condition without events, or a
feature that is higher in every sample with an event than in all others. A direction along which a weight meets a bound
ends there, and is none of these.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from scipy.optimize import linprog

from popglm.solve.stream import RowStream, read_rows
from popglm.statistics.families import Family

__all__ = ["separated"]

#: Samples times features up to which all combinations of features are tried; beyond, every feature, and the fit's own
#: combination of them.
MOST_ENTRIES = 2e5
#: A fit that expects fewer events in a sample, over its mean, or fewer failures, may be on its way to infinity.
SUSPECT = 1e-3


def separated(
    loss: Family,
    X: Any,
    Y: np.ndarray,
    counted: np.ndarray,
    coef: np.ndarray,
    fit_intercept: bool,
    allowed: np.ndarray | None = None,
    bounds: np.ndarray | None = None,
) -> np.ndarray:
    """Whether a direction separates a neuron's samples, shape (n_neurons,).

    Parameters
    ----------
    X : ndarray or RowStream, shape (n_samples, n_features)
    Y : ndarray, shape (n_samples, n_neurons)
    counted : ndarray of bool, shape (n_samples, n_neurons)
        Samples that are recorded and have weight.
    coef : ndarray, shape (n_neurons, n_features)
        Fitted weights.
    fit_intercept : bool
    allowed : ndarray of bool, shape (n_features, n_neurons), optional
        Columns that may explain each neuron; all unless given.
    bounds : ndarray, shape (2, n_features), optional
        Smallest and largest weight of every column, infinite for those without; in any unit.
    """
    upper, lower = (counted & side for side in loss.sides(Y))
    (n, p), q = X.shape, len(coef)
    endless = _endless(q, p, allowed, bounds)
    own = np.where(np.where(coef > 0, endless[0], endless[1]), coef, 0)
    # lowest and highest value over samples that must lie above and below, per neuron and direction
    low, high = np.full((2, 2, q, p + 1), np.inf), np.full((2, 2, q, p + 1), -np.inf)
    for first, last, rows in read_rows(X):
        for a in range(first, last, 4096):
            x = np.asarray(rows[a - first : a - first + 4096], float)
            for j in range(q):
                values = np.column_stack([x, x @ own[j]])
                for side, chosen in enumerate((upper, lower)):
                    part = values[chosen[a : a + len(x), j]]
                    if len(part):
                        low[0, side, j] = np.minimum(low[0, side, j], part.min(axis=0))
                        high[0, side, j] = np.maximum(high[0, side, j], part.max(axis=0))
    # and the same directions the other way round
    low[1], high[1] = -high[0], -low[0]
    goes = high[:, 1] <= low[:, 0]
    goes &= np.minimum(low[:, 0], low[:, 1]) < np.maximum(high[:, 0], high[:, 1])
    if not fit_intercept:
        goes &= (high[:, 1] <= 0) & (low[:, 0] >= 0)
    goes[..., :p] &= endless
    goes[1, :, p] &= (endless.all(axis=0) | (own == 0)).all(axis=1)
    found = np.logical_or.reduce(goes, axis=(0, 2))
    if isinstance(X, RowStream) or n * p > MOST_ENTRIES:
        return found
    for j in np.flatnonzero(~found).tolist():
        rows, columns = counted[:, j], endless[:, j].any(axis=0)
        eta = X[rows] @ coef[j]
        # a neuron may not have been recorded in the training rows of a fold at all
        if columns.any() and len(eta) and np.ptp(eta) > -np.log(SUSPECT):
            x = np.asarray(X[rows] if columns.all() else X[rows][:, columns], float)
            found[j] = _by_program(x, upper[rows, j], lower[rows, j], fit_intercept, endless[:, j, columns])
    return found


def _endless(q: int, p: int, allowed: np.ndarray | None, bounds: np.ndarray | None) -> np.ndarray:
    """Whether weights may rise, and fall, for ever, shape (2, n_neurons, n_features)."""
    endless = np.ones((2, q, p), bool)
    if allowed is not None:
        endless &= allowed.T
    if bounds is not None:
        # a weight rises for ever without an upper bound
        endless &= np.isinf(bounds[::-1])[:, None]
    return endless


def _by_program(X: np.ndarray, upper: np.ndarray, lower: np.ndarray, fit_intercept: bool, endless: np.ndarray) -> bool:
    """Whether any combination of columns separates, by a linear program (Konis 2007).

    Its columns rise, and fall, where they may do so for ever: ``endless`` (2, n_features).

    Columns are shifted to a value that they have and scaled by powers of two: values that are alike stay alike to the
    last bit. Splines that add up to 1 are collinear, and rounding errors along such directions may keep the program
    from an end.
    """
    deviation = X.std(axis=0)
    Z = X - np.quantile(X, 0.5, axis=0, method="lower") * fit_intercept
    Z /= 2 ** np.ceil(np.log2(np.where(deviation > 0, deviation, 1)))
    Z = np.column_stack([Z, np.full(len(Z), float(fit_intercept))])
    signed = np.concatenate([Z[upper], -Z[lower]])
    rises, falls = endless.astype(float)
    bounds = [*zip(-falls, rises, strict=True), (-Z.shape[1], Z.shape[1])]
    answer = linprog(-signed.mean(axis=0), A_ub=-signed, b_ub=np.zeros(len(signed)), bounds=bounds)
    return answer.status == 0 and -answer.fun * len(signed) > 1e-6
