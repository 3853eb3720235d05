"""Held-out errors of ridges with any penalty factors and strengths, from sums over the rows of a fold.

With factors c, a ridge of the columns over √c has a plain penalty, so that one decomposition of their covariance serves
all strengths and neurons (Nunez-Elizalde, Huth & Gallant 2019; Dupré la Tour et al. 2022).
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
from scipy.linalg import eigh

from popglm.engines.protocol import Engine
from popglm.solve.passes.samples import Rows
from popglm.solve.passes.sums import FeatureSums, response_products

__all__ = ["FoldMoments"]

#: Numbers (strengths × neurons × features) that are held at once: 32 MB.
BLOCK = 2**22
#: Variances along axes below this share of the largest are rounding: no weight lies there without a penalty.
LEAST_VARIANCE = 1e-13


@dataclass(frozen=True)
class FoldMoments:
    """Sums over the rows of a fold, about the means of its training rows, in float64.

    Attributes
    ----------
    G : ndarray, shape (n_features, n_features)
        Covariance of the features in the training rows, with what else penalises weights at every strength.
    C : ndarray, shape (n_neurons, n_features)
        That of responses and features.
    H : ndarray, shape (n_features, n_features)
        Sums of products of features in the held-out rows.
    K : ndarray, shape (n_neurons, n_features)
        Those of responses and features.
    yy : ndarray, shape (n_neurons,)
        Sums of squares of the responses.
    curvature, scale, level : ndarray, shape (n_neurons,)
        A strength over the curvature is the strength here; an error times the scale, plus the level, is a deviance.
    """

    G: np.ndarray
    C: np.ndarray
    H: np.ndarray
    K: np.ndarray
    yy: np.ndarray
    curvature: np.ndarray
    scale: np.ndarray
    level: np.ndarray

    @classmethod
    def of(
        cls, engine: Engine, parts: tuple[Rows, Rows], features: tuple[FeatureSums, FeatureSums], intercept: bool
    ) -> FoldMoments:
        """Those of training and held-out rows, whose sums over features are known; errors are deviances."""
        (train, test), (known, held) = parts, features
        total, mean, x = known.s, _means(train), known.mean(intercept)
        if not intercept:
            mean = np.zeros_like(mean)
        _, YX = response_products(engine, train.X, train.Y, train.weights, mean, train.ranges)
        yy, K = response_products(engine, test.X, test.Y, test.weights, mean, test.ranges)
        C = YX / total
        # about the means of the training rows: ΣyxT − (Σy)xT, of responses that have no mean there
        s_y = _sums(test, mean)
        K = K - np.outer(s_y, x)
        H = held.XX - np.outer(held.x, x) - np.outer(x, held.x) + held.s * np.outer(x, x)
        one = np.ones(len(yy))
        return cls(known.covariance(intercept), C, H, K, yy, one, one, np.zeros(len(yy)))

    def of_neurons(self, neurons: np.ndarray) -> FoldMoments:
        """Those of some neurons."""
        own = {name: getattr(self, name)[neurons] for name in ("C", "K", "yy", "curvature", "scale", "level")}
        return replace(self, **own)

    def closed(self, columns: np.ndarray) -> FoldMoments:
        """The same where some columns have no weight."""
        G, C = self.G.copy(), self.C.copy()
        G[columns], G[:, columns], C[:, columns] = 0, 0, 0
        return replace(self, G=G, C=C)

    def deviances(self, factors: np.ndarray, lambdas: np.ndarray) -> np.ndarray:
        """Of held-out rows, shape (n_lambdas, n_neurons), for factors (n_features,) at strengths of that shape."""
        root = 1 / np.sqrt(factors)
        variance, axes = eigh(self.G * np.outer(root, root), overwrite_a=True, check_finite=False, driver="evd")
        variance = np.maximum(variance, 0)
        axes *= root[:, None]
        C, K, H = self.C @ axes, self.K @ axes, axes.T @ self.H @ axes
        least = LEAST_VARIANCE * variance.max(initial=0)
        found = np.empty(lambdas.shape)
        width = max(1, BLOCK // max(len(lambdas) * len(root), 1))
        for first in range(0, len(C), width):
            own = slice(first, first + width)
            held = variance + (lambdas[:, own] / self.curvature[own])[..., None]
            W = np.where(held > least, C[own] / np.where(held > least, held, 1), 0)
            flat = W.reshape(-1, len(root))
            square = np.einsum("ij,ij->i", flat @ H, flat).reshape(W.shape[:2])
            found[:, own] = self.yy[own] - 2 * np.einsum("kjp,jp->kj", W, K[own]) + square
        return self.scale * np.maximum(found, 0) + self.level


def _sums(rows: Rows, mean: np.ndarray) -> np.ndarray:
    """Σs(y − mean) over rows, shape (n_neurons,)."""
    total = np.zeros(len(mean))
    for a, b in rows.ranges:
        y = rows.Y[:, a:b] - mean[:, None]
        total += y.sum(axis=1) if rows.weights is None else y @ rows.weights[a:b]
    return total


def _means(rows: Rows) -> np.ndarray:
    """Mean responses, shape (n_neurons,)."""
    counts = (b - a if rows.weights is None else rows.weights[a:b].sum() for a, b in rows.ranges)
    return _sums(rows, np.zeros(len(rows.Y))) / max(float(sum(counts)), np.finfo(float).tiny)
