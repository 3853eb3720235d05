"""The compact form of B = cG and the BFGS updates of its curvature pairs (Byrd, Nocedal & Schnabel 1994).

B = cG − QᵀK⁻¹Q with the rows of Q the vectors cGs and y, in any basis in which s, y and Gs are given.
"""

from __future__ import annotations

import numpy as np
from numba import njit

__all__ = ["middle_matrices", "middle_matrix", "subtract_low_rank"]

_JIT = {"nogil": True, "cache": True, "error_model": "numpy", "fastmath": {"reassoc", "contract", "nsz", "arcp"}}


@njit(**_JIT)
def middle_matrix(c, count, S, Y, GS):
    """K = [[c SᵀGS, L], [Lᵀ, −D]] of one neuron, in float64: L the part of SᵀY with s newer than y, D its diagonal."""
    held = len(S)
    SG, SY = np.dot(S, GS.T), np.dot(S, Y.T)
    K = np.zeros((2 * held, 2 * held))
    for a in range(held):
        K[held + a, held + a] = -SY[a, a]
        for b in range(held):
            K[a, b] = c * 0.5 * (SG[a, b] + SG[b, a])
            # slots fill in order; in a full ring the oldest pair lies at count % held
            if (a - count) % held > (b - count) % held:
                K[a, held + b] = K[held + b, a] = SY[a, b]
    return K


@njit(**_JIT)
def middle_matrices(c, rows, S, Y, GS, count, middle):
    """K⁻¹ of every neuron into ``middle``, the rows and columns of its two parts ``memory`` apart."""
    memory = S.shape[1]
    for j in range(len(c)):
        i = rows[j]
        held = min(count[i], memory)
        if held == 0:
            continue
        K = middle_matrix(c[j], count[i], S[i, :held], Y[i, :held], GS[i, :held])
        try:
            inverse = np.linalg.inv(K)
        except Exception:
            # pairs that rounding has made dependent, or overflow: the step is then not finite, and no step
            inverse = np.full_like(K, np.nan)
        for a in range(held):
            for b in range(held):
                middle[j, a, b] = inverse[a, b]
                middle[j, a, memory + b] = inverse[a, held + b]
                middle[j, memory + a, b] = inverse[held + a, b]
                middle[j, memory + a, memory + b] = inverse[held + a, held + b]


@njit(**_JIT)
def subtract_low_rank(c, rows, GS, Y, middle, X, BX):
    """BX −= QᵀK⁻¹QX for every neuron."""
    memory = GS.shape[1]
    for j in range(len(c)):
        i = rows[j]
        inner = np.concatenate((c[j] * np.dot(GS[i], X[j]), np.dot(Y[i], X[j])))
        outer = np.dot(middle[j], inner)
        BX[j] -= np.dot(c[j] * outer[:memory], GS[i]) + np.dot(outer[memory:], Y[i])
