"""From samples to `Nodes`: moments of their predictors within bins, in one pass, and weights of nodes that have them.

A bin is half a unit of η wide and has eight Chebyshev nodes. Their weights Σs and Σsy have the moments 0 to 7 of the
samples in the bin, so that a sum of f(η) over the samples is that of f's interpolant through the nodes. For a sample it
is off by at most 2 (1/8)^8/8! = 3e-12 times the largest eighth derivative of f in the bin, the remainder of Chebyshev
interpolation (Davis, "Interpolation and Approximation", 1975, theorem 3.1.1 with the nodes of section 3.3). Relative to
f that is 5e-12 for exp(η), and 2e-9 for exp(2η); logistic functions of η and their integrals have less. A shift of
all η by an intercept is a shift of the nodes.
"""

from __future__ import annotations

import numpy as np
from numba import njit

from popglm.solve.compact import JIT
from popglm.statistics.nodes import Nodes

__all__ = ["WIDEST", "bins_of", "gather", "nodes_of"]

#: Bins in a unit of η, and nodes of a bin.
PER_UNIT, N_NODES = 2, 8
#: Predictors of a problem that reach further are not gathered.
WIDEST = 64.0
POINTS = np.cos(np.pi * (np.arange(N_NODES) + 0.5) / N_NODES)
#: Row j has the weight of node j by powers of the place in a bin, from −1 to 1.
WEIGHTS = np.linalg.inv(np.vander(POINTS, increasing=True)).T


def bins_of(low: np.ndarray, high: np.ndarray) -> tuple[np.ndarray, int, np.ndarray]:
    """Where the first bin of predictors between two numbers begins, the bins that all have, and who has too many.

    Parameters
    ----------
    low, high : ndarray, shape (n_problems,)
        Least and largest predictor; not finite where one of them is not.

    Returns
    -------
    first : ndarray, shape (n_problems,)
        A problem's own, whatever others there are.
    n_bins : int
    far : ndarray of bool, shape (n_problems,)
    """
    far = ~(high - low <= WIDEST)
    first = np.floor(np.where(far, 0.0, low) * PER_UNIT) / PER_UNIT
    n_bins = np.floor((np.where(far, 0.0, high) - first) * PER_UNIT).max(initial=0)
    return first, int(n_bins) + 1, far


@njit(**JIT)
def gather(eta, y, s, weighted, first, moments):
    """Add the moments of samples, (n, n_bins, 2·N_NODES): powers 0 to 7 of places in bins, with s and with sy.

    eta and y (n, n_rows); s like them where they are weighted, and anything of two axes elsewhere.
    """
    n_bins = moments.shape[1]
    for i in range(len(eta)):
        for t in range(eta.shape[1]):
            p = s[i, t] if weighted else 1.0
            if p > 0.0:
                u = (eta[i, t] - first[i]) * PER_UNIT
                k = min(max(int(u), 0), n_bins - 1)
                x, q, own = 2.0 * (u - k) - 1.0, p * y[i, t], moments[i, k]
                # written out: a loop over powers takes twice as long
                x2 = x * x
                x3, x4 = x * x2, x2 * x2
                x5, x6, x7 = x * x4, x2 * x4, x3 * x4
                own[0] += p
                own[1] += p * x
                own[2] += p * x2
                own[3] += p * x3
                own[4] += p * x4
                own[5] += p * x5
                own[6] += p * x6
                own[7] += p * x7
                own[8] += q
                own[9] += q * x
                own[10] += q * x2
                own[11] += q * x3
                own[12] += q * x4
                own[13] += q * x5
                own[14] += q * x6
                own[15] += q * x7


def nodes_of(moments: np.ndarray, first: np.ndarray) -> Nodes:
    """The nodes that have the ``moments`` (n_problems, n_bins, 2·N_NODES) of bins from ``first`` (n_problems,) on."""
    n, n_bins, _ = moments.shape
    powers = moments.reshape(n, n_bins, 2, N_NODES)
    # term by term: of a product of matrices the bits would depend on their size
    weights = np.zeros(powers.shape)
    for m in range(N_NODES):
        weights += powers[..., m, None] * WEIGHTS[:, m]
    place = (np.arange(n_bins)[:, None] + (POINTS + 1) / 2) / PER_UNIT
    return Nodes(first[:, None] + place.ravel(), *(weights[:, :, i].reshape(n, -1) for i in range(2)))
