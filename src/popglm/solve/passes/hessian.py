"""Newton's step and decrement of one neuron with its own second derivatives, in float64.

Without a penalty nothing but the loss says where its minimum lies, and a direction may have any part of the curvature
that cG gives it. With the true Hessian H the decrement gᵀH⁻¹g says how far the loss can fall: half of it is the fall of
a quadratic; e^−w, the loss of a condition without events, falls by all of it, and 1/w, that of events which a feature
separates, by twice that.
"""

from __future__ import annotations

from collections.abc import Iterable

import numpy as np
from scipy.linalg import qr, svd

from popglm.statistics.families import Family

__all__ = ["SAFETY", "derivative_sums", "derivatives", "newton"]

#: The loss is taken to fall by no more than this many times half the decrement.
SAFETY = 10.0
#: Directions with less than this share of the root of the curvature, in units in which every column has as much, hold
#: rounding alone: that of X, by the bytes of its numbers.
LEAST = {8: 1e-11, 4: 1e-6}


def derivative_sums(
    loss: Family, rows: Iterable[tuple[np.ndarray, ...]], w: np.ndarray, b: float, fit_intercept: bool
) -> tuple[float, np.ndarray, np.ndarray]:
    """Σs, and what `derivatives` makes of it: Σ of the gradient (n_features + 1,), and a root of Σ of H.

    Parameters
    ----------
    rows : iterable of (X, y, weights, offset)
        In float64; weights and offset per sample.
    w : ndarray, shape (n_features,)
    """
    n = len(w) + 1
    total, g, R = 0.0, np.zeros(n), np.zeros((0, n))
    with np.errstate(over="ignore", invalid="ignore"):
        for X, y, s, offset in rows:
            # a sample of weight 0 may hold anything
            X, y, offset, s = X[s > 0], y[s > 0], offset[s > 0], s[s > 0]
            eta = X @ w + b + offset
            X = np.column_stack([X, np.full(len(X), float(fit_intercept))])
            g += (s * loss.derivatives(np, eta, y)[0]) @ X
            part = np.vstack([R, np.sqrt(s * loss.second_derivative(eta, y))[:, None] * X])
            if not np.isfinite(part).all():
                return 1.0, np.full(n, np.nan), np.zeros((n, n))
            if not len(part):
                # LAPACK of some builds takes no matrix without rows
                continue
            R = qr(part, mode="r", overwrite_a=True, check_finite=False)[0][:n]
            total += s.sum()
    return total, g, R


def derivatives(total: float, g: np.ndarray, R: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Gradient (n_features + 1,) of a neuron's mean loss in its weights and, last, its intercept; and a root of H.

    The root is a triangle R with RᵀR = H: it keeps directions whose curvature is rounding beside that of others.
    Arguments as `derivative_sums` returns them.
    """
    return g / total, R / np.sqrt(total)


def newton(g: np.ndarray, R: np.ndarray, dtype: np.dtype) -> tuple[np.ndarray, float]:
    """Newton's step −H⁻¹g and the decrement gᵀH⁻¹g for H = RᵀR; inf where a derivative is not finite.

    ``dtype`` is that in which X was held.
    """
    if not np.isfinite(g).all():
        return np.zeros(len(g)), np.inf
    size = np.sqrt(np.einsum("ij,ij->j", R, R))
    size = np.where(size > 0, size, 1)
    _, values, vectors = svd(R / size, full_matrices=False)
    has = values > LEAST[np.dtype(dtype).itemsize] * values[0]
    force = np.where(has, vectors @ (g / size) / np.where(has, values, 1), 0)
    moved = np.where(has, force / np.where(has, values, 1), 0)
    return -(moved @ vectors) / size, float(force @ force)
