"""Inverses of a Gram matrix with a ridge on its diagonal, of any strength, from those of a few strengths.

With P = (G + s'I)⁻¹ for s' near s, (G + sI)⁻¹r solves (I + (s − s')P)x = Pr, whose eigenvalues lie between 1 and s/s':
a few products with P are enough, by Chebyshev's iteration. A factor of G takes a part of the time of its axes, so
that this pays where strengths are few. As many products are taken whatever r is, so the map is linear, symmetric
and positive definite, as the metric of a quasi-Newton step has to be.
"""

from __future__ import annotations

import numpy as np
from scipy.linalg import get_lapack_funcs

from popglm.engines.protocol import Engine

__all__ = ["MOST_STRENGTHS", "RidgeInverses"]

#: Ratio of neighbouring s': no s is further than its root from one.
RATIO = 16.0
#: How near a map is to the inverse, and what rounding may add to that, in relative terms.
ACCURACY, ROUNDING = 0.05, 0.02
#: Strengths of a path for which inverses take less time than axes.
MOST_STRENGTHS = 4
#: A ridge so many times the largest eigenvalue of G is all of the metric.
ALL = 100.0
#: Rows and columns that are turned at a time: they stay in the cache.
TILE = 128
#: Rows that a worker is given, at least: a product of fewer takes as long.
LEAST_ROWS = 24


class RidgeInverses:
    """(cG + λ₂I)⁻¹ for all c and λ₂ at which single inverses are good.

    Parameters
    ----------
    engine : engine
    G : ndarray, shape (n_features, n_features)
        Symmetric, without eigenvalues below 0 but for rounding.
    """

    def __init__(self, engine: Engine, G: np.ndarray) -> None:
        self.engine, self.G = engine, G
        # no eigenvalue is larger
        self.largest = float(np.abs(G).sum(axis=0).max(initial=0))
        # below, the rounding of P in the engine's precision, or of G, is more than a part of the metric
        self.least = self.largest * np.finfo(engine.dtype).eps / ROUNDING
        self._inverses: dict[int, np.ndarray | None] = {}

    def solve(self, r: np.ndarray, c: np.ndarray, lam2: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """(cG + λ₂I)⁻¹r for rows r (n_problems, n_features), nearly; and in which rows there is no such thing."""
        with np.errstate(over="ignore", divide="ignore", invalid="ignore"):
            s = lam2 / c
        strong = (lam2 > 0) & (s > ALL * self.largest)
        good = (s >= self.least) & ~strong & (lam2 > 0)
        level = np.full(len(s), np.inf)
        level[good] = np.round(np.log(s[good]) / np.log(RATIO))
        found, missing = np.zeros_like(r), ~strong
        found[strong] = r[strong] / lam2[strong, None]
        for one in np.unique(level[good]).astype(int).tolist():
            at = np.flatnonzero(level == one)
            P = self._inverse(one)
            if P is not None:
                parts = np.array_split(at, max(min(self.engine.n_workers, len(at) // LEAST_ROWS), 1))
                done = self.engine.map(self._near, [(P, r[own] / c[own, None], s[own], RATIO**one) for own in parts])
                found[at], missing[at] = np.concatenate(done), False
        return found, missing

    def _inverse(self, level: int) -> np.ndarray | None:
        """(G + s'I)⁻¹ in the engine's precision for s' = RATIO**level; None where it cannot be had."""
        if level not in self._inverses:
            M = self.G.astype(self.engine.dtype, order="C").T
            M[np.diag_indices(len(M))] += RATIO**level
            potrf, potri = get_lapack_funcs(("potrf", "potri"), (M,))
            # the lower triangle of a matrix by columns, as LAPACK has it, is the upper one of NumPy's
            M, failed = potrf(M, lower=True, clean=False, overwrite_a=True)
            if not failed:
                M, failed = potri(M, lower=True, overwrite_c=True)
            self._inverses[level] = None if failed else _whole(M.T)
        return self._inverses[level]

    def _near(self, P: np.ndarray, r: np.ndarray, s: np.ndarray, near: float) -> np.ndarray:
        """(G + sI)⁻¹r for rows, with P the inverse for ``near``; Saad 2003, algorithm 12.1."""
        q = s / near
        middle, half = (1 + q) / 2, np.abs(q - 1) / 2
        with np.errstate(divide="ignore"):
            sigma = middle / np.maximum(half, np.finfo(float).tiny)
        # products after which 1/T_n(σ) is within the accuracy
        n = np.ceil(np.arccosh(1 / ACCURACY) / np.arccosh(np.minimum(sigma, 1e9))).astype(int)
        left = self._times(P, r)
        d = left / middle[:, None]
        found, rho = d.copy(), 1 / sigma
        for k in range(1, int(n.max(initial=0))):
            on = np.flatnonzero(n > k)
            Pd = self._times(P, d[on])
            left[on] -= d[on] + (s[on] - near)[:, None] * Pd
            new = 1 / (2 * sigma[on] - rho[on])
            d[on] = (new * rho[on])[:, None] * d[on] + (2 * new / half[on])[:, None] * left[on]
            rho[on] = new
            found[on] += d[on]
        return found

    def _times(self, P: np.ndarray, A: np.ndarray) -> np.ndarray:
        """AP for rows A, in float64."""
        return self.engine.product(A.astype(P.dtype), P).astype(float)


def _whole(P: np.ndarray) -> np.ndarray:
    """The symmetric matrix whose upper triangle is known, in place."""
    for a in range(0, len(P), TILE):
        own = slice(a, a + TILE)
        P[a + TILE :, own] = P[own, a + TILE :].T
        P[own, own] = np.triu(P[own, own]) + np.triu(P[own, own], 1).T
    return P
