"""Elementary functions in forms that neither overflow nor lose digits, for any array namespace ``xp``."""

from __future__ import annotations

from typing import Any

import numpy as np

__all__ = ["SMALL", "exp_excess", "log1p_over", "log_softplus", "row_totals", "scaled_erfc", "sigmoid", "softplus"]

Array = Any
#: Parts of a row that `row_totals` adds up side by side.
LANES = 8
#: Relative deviations below this are taken by a series: a difference would lose digits.
SMALL = 0.1
#: (1 + 2t) exp(t²) erfc(t) as a polynomial of (t − 4)/(t + 4), lowest power first: its Chebyshev series, cut off where
#: float64 ends (the form of Shepherd & Laframboise, "Chebyshev approximation of (1 + 2x) exp(x²) erfc x", 1981).
ERFC = (
    1.2329951186255526, -0.1396211168405572, 0.015379652102610473, 0.06809705425421975, -0.10103906603586531,
    0.09373283501077742, -0.06633036582031154, 0.03716751538635946, -0.016197733981455194, 0.005031971002298884,
    -0.0007577737070638249, -0.00019926095315041177, 0.00015062309720018625, -2.4387790857590532e-05,
    -1.1225101875659128e-05, 5.689537732302795e-06, 2.9801353803025345e-07, -8.020193766521907e-07,
    7.115337800589934e-08, 9.295292277973132e-08, -1.6371779763587154e-08, -6.9926126813381916e-09,
    1.5738283774229926e-09,
)  # fmt: skip


def sigmoid(xp: Any, eta: Array) -> Array:
    """1/(1 + exp(−η))."""
    # full relative precision for small rates; the floor keeps exp from overflowing in float32
    return 1 / (1 + xp.exp(-xp.maximum(eta, -80)))


def softplus(xp: Any, eta: Array) -> Array:
    """log(1 + exp(η))."""
    return xp.maximum(eta, 0) + xp.log1p(xp.exp(-xp.abs(eta)))


def log_softplus(xp: Any, eta: Array) -> Array:
    """log log(1 + exp(η))."""
    # for η ≪ 0, softplus(η) = exp(η)(1 − exp(η)/2 + …): its logarithm is η to float64 precision
    low = eta < -35
    return xp.where(low, eta, xp.log(softplus(xp, xp.where(low, 0 * eta, eta))))


def exp_excess(xp: Any, delta: Array) -> Array:
    """exp(δ) − 1 − δ, with all its digits near 0."""
    tail = 1 + delta / 5 * (1 + delta / 6 * (1 + delta / 7 * (1 + delta / 8)))
    near = delta * delta * 0.5 * (1 + delta / 3 * (1 + delta / 4 * tail))
    return xp.where(xp.abs(delta) < SMALL, near, xp.exp(delta) - 1 - delta)


def log1p_over(xp: Any, v: Array) -> Array:
    """log(1 + v)/v, 1 for v = 0."""
    known = xp.abs(v) > 1e-30
    return xp.where(known, xp.log1p(v) / xp.where(known, v, xp.ones_like(v)), xp.ones_like(v))


def scaled_erfc(xp: Any, t: Array) -> Array:
    """exp(t²) erfc(t) for t ≥ 0, to a few units in the last digit."""
    t = xp.minimum(t, 1e15)
    u = (t - 4) / (t + 4)
    found = ERFC[-1] * u + ERFC[-2]
    for coefficient in ERFC[-3::-1]:
        found = found * u + coefficient
    return found / (1 + 2 * t)


def row_totals(values: np.ndarray) -> np.ndarray:
    """Sums along rows, in an order that zeros at the end of a row leave as it is, with all bits."""
    n, size = values.shape
    if size % LANES:
        values = np.concatenate([values, np.zeros((n, -size % LANES))], axis=1)
    # each lane term after term, where NumPy's own sums depend on the length of a row
    return np.einsum("imk->ik", values.reshape(n, -1, LANES)).sum(axis=1)
