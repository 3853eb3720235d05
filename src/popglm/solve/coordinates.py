"""Working coordinates: columns centred, each penalised block rotated to its principal axes.

Centring moves only the intercept. A rotation inside a block leaves ‖w_b‖₂ as it is and makes the block's
part of G = XᵀX/n diagonal, so that block descent solves each block by one scalar equation (design §5).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

__all__ = ["Coordinates", "gram"]


@dataclass(frozen=True)
class Coordinates:
    """Affine map between the user's columns and the solver's.

    Attributes
    ----------
    engine : engine
    center : ndarray, shape (n_features,)
    rotation : list of (start, stop, ndarray) for the blocks that are rotated
    """

    engine: Any
    center: np.ndarray
    rotation: list[tuple[int, int, np.ndarray]]

    @classmethod
    def fit(cls, engine: Any, center: np.ndarray, G: np.ndarray, block_sizes: np.ndarray) -> Coordinates:
        """Principal axes of every block of the centred Gram matrix G."""
        stops = np.cumsum(block_sizes)
        rotation = []
        for start, stop in zip(stops - block_sizes, stops, strict=True):
            if stop - start > 1:
                rotation.append((int(start), int(stop), np.linalg.eigh(G[start:stop, start:stop])[1]))
        return cls(engine, center, rotation)

    def rotate(self, A: np.ndarray) -> np.ndarray:
        """Rows of A, in the user's columns, to the solver's (a rotation alone); A is changed in place."""
        for start, stop, V in self.rotation:
            A[:, start:stop] = self.engine.product(A[:, start:stop], V.astype(A.dtype, copy=False))
        return A

    def rotate_matrix(self, M: np.ndarray) -> np.ndarray:
        """A symmetric (n_features, n_features) matrix to the solver's columns."""
        return self.rotate(np.ascontiguousarray(self.rotate(M.copy()).T))

    def weights(self, W: np.ndarray, b: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Coefficients (n_neurons, n_features) and intercepts (n_neurons,) in the user's columns."""
        W = W.copy()
        for start, stop, V in self.rotation:
            W[:, start:stop] = self.engine.product(W[:, start:stop], V.T)
        return W, b - np.einsum("ij,j->i", W, self.center)


def gram(engine: Any, X: np.ndarray, weights: np.ndarray | None) -> tuple[np.ndarray, np.ndarray]:
    """Σ_t s_t x_t x_tᵀ and Σ_t s_t x_t in float64, summed over row chunks in the engine's precision."""

    def part(first: int, last: int) -> tuple[np.ndarray, np.ndarray]:
        x = X[first:last]
        sx = x if weights is None else x * weights[first:last, None].astype(x.dtype)
        return np.asarray(sx.T @ x, float), sx.sum(axis=0, dtype=float)

    p = X.shape[1]
    XX, x = np.zeros((p, p)), np.zeros(p)
    step = 8192
    bounds = [(a, min(a + step, len(X))) for a in range(0, len(X), step)]
    # a few chunks at a time: each returns a (p, p) matrix
    for k in range(0, len(bounds), engine.n_workers):
        for xx, sx in engine.map(part, bounds[k : k + engine.n_workers]):
            XX += xx
            x += sx
    return XX, x
