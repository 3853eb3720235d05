"""Elementary functions in forms that neither overflow nor lose digits, for any array namespace ``xp``."""

from __future__ import annotations

from typing import Any

__all__ = ["SMALL", "exp_excess", "log1p_over", "log_softplus", "sigmoid", "softplus"]

Array = Any
#: Relative deviations below this are taken by a series: a difference would lose digits.
SMALL = 0.1


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
