"""From samples to `Nodes`: moments of their predictors within bins, in one pass, and weights of nodes that have them.

A bin is half a unit of η wide and has eight Chebyshev nodes. Their weights Σs and Σsy have the moments 0 to 7 of the
samples in the bin, so that a sum of f(η) over the samples is that of f's interpolant through the nodes. For a sample it
is off by at most 2 (1/8)^8/8! = 3e-12 times the largest eighth derivative of f in the bin, the remainder of Chebyshev
interpolation (Davis, "Interpolation and Approximation", 1975, theorem 3.1.1 with the nodes of section 3.3). Relative to
f that is 5e-12 for exp(η), and 2e-9 for exp(2η); logistic functions of η and their integrals have less. A shift of
all η by an intercept is a shift of the nodes.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from popglm.solve.compiled.compiling import compiled
from popglm.statistics.nodes import Nodes

__all__ = ["Bins"]

#: Bins in a unit of η, and nodes of a bin.
PER_UNIT, N_NODES = 2, 8
#: Predictors of a problem that reach further are not gathered.
WIDEST = 512.0
POINTS = np.cos(np.pi * (np.arange(N_NODES) + 0.5) / N_NODES)
#: Row j has the weight of node j by powers of the place in a bin, from −1 to 1.
WEIGHTS = np.linalg.inv(np.vander(POINTS, increasing=True)).T


@dataclass(frozen=True)
class Bins:
    """The bins of some problems, in one row: each has those from its least to its largest predictor.

    Attributes
    ----------
    first : ndarray, shape (n_problems,)
        Where its first bin begins.
    start, size : ndarray of int, shape (n_problems,)
        Which of all bins that is, and how many it has.
    """

    first: np.ndarray
    start: np.ndarray
    size: np.ndarray

    @classmethod
    def between(cls, low: np.ndarray, high: np.ndarray) -> Bins:
        """Those of predictors between two numbers, (n_problems,)."""
        first = np.floor(low * PER_UNIT) / PER_UNIT
        size = np.floor((high - first) * PER_UNIT).astype(int) + 1
        return cls(first, np.cumsum(size) - size, size)

    @staticmethod
    def suit(low: np.ndarray, high: np.ndarray) -> np.ndarray:
        """Whether predictors between two numbers can be gathered, shape (n_problems,): not where one is not finite."""
        return (low <= high) & (high - low <= WIDEST)

    def empty(self) -> np.ndarray:
        """Moments of no samples."""
        return np.zeros((self.size.sum(), 2 * N_NODES))

    def add(
        self, problems: np.ndarray, eta: np.ndarray, y: np.ndarray, s: np.ndarray | None, moments: np.ndarray
    ) -> None:
        """Add samples of some problems, arrays (n_problems, n_rows); s may be (n_rows,), or None for 1."""
        weight = y if s is None else np.array(np.broadcast_to(s, y.shape))
        gather(eta, y, weight, s is not None, self.first[problems], self.start[problems], moments)

    def nodes(self, moments: np.ndarray) -> Nodes:
        """The nodes with these moments, in the bins that have samples."""
        used = np.flatnonzero(moments[:, 0] > 0)
        # term by term: of a product of matrices the bits would depend on their size
        powers = moments[used].reshape(-1, 2, N_NODES)
        weights = np.zeros(powers.shape)
        for m in range(N_NODES):
            weights += powers[..., m, None] * WEIGHTS[:, m]
        problem = np.repeat(np.arange(len(self.size)), self.size)[used]
        left = self.first[problem] + (used - self.start[problem]) / PER_UNIT
        each = np.bincount(problem, minlength=len(self.size))
        place = np.arange(len(used)) - (np.cumsum(each) - each)[problem]
        found = np.zeros((3, len(self.size), each.max(initial=0), N_NODES))
        found[0] = self.first[:, None, None]
        found[0, problem, place] = left[:, None] + (POINTS + 1) / (2 * PER_UNIT)
        found[1:, problem, place] = weights.swapaxes(0, 1)
        eta, weight, response = found.reshape(3, len(self.size), -1)
        return Nodes(eta, weight, response, N_NODES * each)


@compiled
def gather(eta, y, s, weighted, first, start, moments):
    """Add the moments of samples to those of all bins, (n_bins, 2·N_NODES): powers 0 to 7 of places, with s and sy.

    eta, y and, where they are weighted, s: (n, n_rows).
    """
    for i in range(len(eta)):
        for t in range(eta.shape[1]):
            p = s[i, t] if weighted else 1.0
            if p > 0.0:
                u = (eta[i, t] - first[i]) * PER_UNIT
                k = int(u)
                x, q, own = 2.0 * (u - k) - 1.0, p * y[i, t], moments[start[i] + k]
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
