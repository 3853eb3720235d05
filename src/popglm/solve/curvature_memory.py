"""Curvature pairs of every problem, and the step that they give where there is no norm."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from popglm.solve.compact import Pairs, row_dots
from popglm.statistics.penalties import Penalty

__all__ = ["CurvatureMemory", "plain_step"]


class CurvatureMemory:
    """Rings of curvature pairs (s, y) of the loss, and Gs, for every neuron.

    Attributes
    ----------
    pairs : Pairs
    rho : ndarray, shape (n_neurons,)
        What `split_steps` ended with; 0 before.
    """

    def __init__(self, n_neurons: int, size: int, n_features: int, dtype: Any) -> None:
        """Empty rings of ``size`` pairs."""
        S, Y, GS = (np.zeros((n_neurons, size, n_features), dtype) for _ in range(3))
        self.pairs, self.rho = Pairs(S, Y, GS, np.zeros(n_neurons, np.int64)), np.zeros(n_neurons, dtype)

    def push(self, neurons: np.ndarray, s: np.ndarray, y: np.ndarray, product_with_G: Callable) -> None:
        """Keep the pairs that show positive curvature beyond rounding; others would spoil the model."""
        S, Y, GS, kept = self.pairs
        sy = row_dots(s, y)
        size = np.sqrt(row_dots(s, s) * row_dots(y, y))
        with np.errstate(invalid="ignore"):
            keep = np.isfinite(sy) & (sy > 1e-4 * np.sqrt(np.finfo(S.dtype).eps) * size)
        if not keep.any():
            return
        rows, s, y = neurons[keep], s[keep], y[keep]
        slot = kept[rows] % S.shape[1]
        # scaled to unit curvature: float32 neither under- nor overflows, and no formula depends on the scale
        scale = 1 / np.sqrt(sy[keep])[:, None]
        S[rows, slot], Y[rows, slot] = s * scale, y * scale
        GS[rows, slot] = product_with_G(rows, s * scale)
        kept[rows] += 1

    def forget(self, neurons: np.ndarray) -> None:
        """Begin anew."""
        for array in self.pairs:
            array[neurons] = 0


def plain_step(
    penalty: Penalty,
    memory: CurvatureMemory,
    neurons: np.ndarray,
    gradient: np.ndarray,
    lam2: np.ndarray,
    solve: Callable[[np.ndarray], np.ndarray],
) -> tuple[np.ndarray, np.ndarray]:
    """Step (n_neurons, n_features) under a penalty without a norm, and the decrease that the model promises.

    ``gradient`` is that of loss and penalty, ``lam2`` (n_neurons,) the ridge's strength; ``solve`` as for `two_loops`.
    """

    def more(s: np.ndarray) -> np.ndarray:
        return lam2[:, None] * s + penalty.smooth_gradient(s)

    d = two_loops(memory, neurons, gradient, more, solve)
    return d, -0.5 * row_dots(d, gradient)


def two_loops(
    memory: CurvatureMemory,
    neurons: np.ndarray,
    gradient: np.ndarray,
    more: Callable[[np.ndarray], np.ndarray],
    solve: Callable[[np.ndarray], np.ndarray],
) -> np.ndarray:
    """−B⁻¹∇ by the two-loop recursion, for neurons in rows.

    Parameters
    ----------
    gradient : ndarray, shape (n_neurons, n_features)
    more : callable
        What a smooth penalty adds to y, given s.
    solve : callable
        The inverse of what B is before its pairs, times rows.
    """
    S, Y, _, kept = memory.pairs
    size, kept = S.shape[1], kept[neurons]
    held = np.minimum(kept, size)
    r = gradient.copy()
    past = []
    for age in range(int(held.max(initial=0))):
        slot = (kept - 1 - age) % size
        s = S[neurons, slot].astype(float)
        y = Y[neurons, slot] + more(s)
        with np.errstate(divide="ignore"):
            rho = np.where(age < held, 1 / row_dots(s, y), 0.0)
        alpha = rho * row_dots(s, r)
        r -= alpha[:, None] * y
        past.append((s, y, rho, alpha))
    d = solve(r)
    for s, y, rho, alpha in reversed(past):
        beta = rho * row_dots(y, d)
        d += (alpha - beta)[:, None] * s
    return -d
