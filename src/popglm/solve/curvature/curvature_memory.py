"""Curvature pairs of every problem, and the step that they give where there is no norm."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from popglm.solve.compiled.compiling import compiled
from popglm.solve.curvature.compact import Pairs, row_dots
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

    def __init__(self, n_neurons: int, size: int, n_features: int, dtype: Any, with_G: bool = True) -> None:
        """Empty rings of ``size`` pairs; ``with_G`` says whether Gs is kept: steps without a norm do without."""
        S, Y, GS = (np.zeros((n_neurons, size, n), dtype) for n in (n_features, n_features, with_G * n_features))
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
        if GS.shape[2]:
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

    ``gradient`` is that of loss and penalty, ``lam2`` (n_neurons,) the ridge's strength; ``solve`` takes rows to the
    inverse of what B is before its pairs, times them.
    """

    S, Y, _, kept = memory.pairs
    held = min(int(kept[neurons].max(initial=0)), S.shape[1])
    if held == 0:
        d = -solve(gradient)
        return d, -0.5 * row_dots(d, gradient)
    more = np.zeros((len(neurons), held, 0))
    if penalty.R is not None:
        own = S[neurons, :held].astype(float)
        more = penalty.smooth_gradient(own.reshape(-1, own.shape[-1])).reshape(own.shape)
    d, alpha = gradient.copy(), np.zeros(more.shape[:2])
    first_loop(S, Y, kept, neurons, lam2, more, d, alpha)
    d = solve(d)
    second_loop(S, Y, kept, neurons, lam2, more, d, alpha)
    return -d, 0.5 * row_dots(d, gradient)


@compiled
def first_loop(S, Y, kept, rows, lam2, more, R, alpha):
    """r ← r − Σ α_i y_i for rows r of R, newest pair first, with α_i = s_iᵀr / s_iᵀy_i, which is kept.

    To every y a smooth penalty adds λ₂s, and ``more`` where that has columns: the two-loop recursion (Nocedal & Wright
    2006, alg. 7.4), in float64.
    """
    for j in range(len(R)):
        i, r = rows[j], R[j]
        for age in range(min(kept[i], S.shape[1])):
            slot = (kept[i] - 1 - age) % S.shape[1]
            s, y, sr, sy = S[i, slot], Y[i, slot], 0.0, 0.0
            for k in range(len(r)):
                sr += s[k] * r[k]
                sy += s[k] * (y[k] + lam2[j] * s[k])
            for k in range(more.shape[2]):
                sy += s[k] * more[j, slot, k]
            share = sr / sy
            alpha[j, slot] = share
            for k in range(len(r)):
                r[k] -= share * (y[k] + lam2[j] * s[k])
            for k in range(more.shape[2]):
                r[k] -= share * more[j, slot, k]


@compiled
def second_loop(S, Y, kept, rows, lam2, more, D, alpha):
    """d ← d + Σ (α_i − β_i) s_i for rows d of D, oldest pair first, with β_i = y_iᵀd / s_iᵀy_i; see `first_loop`."""
    for j in range(len(D)):
        i, d = rows[j], D[j]
        for age in range(min(kept[i], S.shape[1]) - 1, -1, -1):
            slot = (kept[i] - 1 - age) % S.shape[1]
            s, y, yd, sy = S[i, slot], Y[i, slot], 0.0, 0.0
            for k in range(len(d)):
                full = y[k] + lam2[j] * s[k]
                yd += full * d[k]
                sy += full * s[k]
            for k in range(more.shape[2]):
                yd += more[j, slot, k] * d[k]
                sy += more[j, slot, k] * s[k]
            share = alpha[j, slot] - yd / sy
            for k in range(len(d)):
                d[k] += share * s[k]
