"""Working coordinates: columns centred, each penalised block rotated to its principal axes.

Centring moves only the intercept. A rotation inside a block leaves ‖w_b‖₂ as it is and makes the block's
part of G = XᵀX/n diagonal, so that block descent solves each block by one scalar equation (design §5).
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from itertools import pairwise
from typing import Any

import numpy as np

from popglm.engines.protocol import Engine
from popglm.solve.sparse.rows import SparseRows

#: A variance below this share of the largest, times the number of features, is rounding.
FLAT = 1e-14
#: Columns up to which one product with all axes takes less time than one for each block.
MOST_AT_ONCE = 200

__all__ = ["MOST_AT_ONCE", "Coordinates", "gram", "principal_axes", "product64", "row_sums"]


@dataclass(frozen=True)
class Coordinates:
    """Affine map between the user's columns and the solver's.

    Attributes
    ----------
    engine : engine
    center : ndarray, shape (n_features,)
    rotation : list of (columns, ndarray) for what is rotated: blocks, and the columns that are never penalised
    still : ndarray of int, or None
        Columns that do not vary and get no weight, not even by rounding.
    """

    engine: Engine
    center: np.ndarray
    rotation: list[tuple[slice | np.ndarray, np.ndarray]]
    still: np.ndarray | None = None
    _kept: dict[str, Any] = field(default_factory=dict, repr=False, compare=False)

    @classmethod
    def fit(
        cls,
        engine: Engine,
        center: np.ndarray,
        G: np.ndarray,
        block_sizes: np.ndarray,
        still: np.ndarray | None = None,
        free: np.ndarray | None = None,
    ) -> Coordinates:
        """Principal axes of every block of the centred Gram matrix G; and of the columns ``free`` together.

        Nothing holds these along axes that the rows leave undetermined: there they stay 0.
        """
        stops = np.cumsum(block_sizes)
        rotation: list[tuple[slice | np.ndarray, np.ndarray]] = []
        for start, stop in zip(stops - block_sizes, stops, strict=True):
            if stop - start > 1 and not (free is not None and free[start]):
                rotation.append((slice(int(start), int(stop)), np.linalg.eigh(G[start:stop, start:stop])[1]))
        if free is not None:
            columns = np.flatnonzero(free)
            rotation.append((columns, determined_axes(G[np.ix_(columns, columns)])[1]))
        return cls(engine, center, rotation, still)

    @classmethod
    def principal(cls, engine: Engine, center: np.ndarray, G: np.ndarray) -> tuple[Coordinates, np.ndarray]:
        """Principal axes of all columns at once, and the variance along each, shape (n_features,)."""
        values, vectors = determined_axes(G)
        return cls(engine, center, [(slice(0, len(G)), vectors)]), values

    @property
    def _turns_at_once(self) -> bool:
        """Whether one product with all axes takes less time than one for each block."""
        return len(self.rotation) > 1 and len(self.center) <= MOST_AT_ONCE

    def _axes(self, dtype: Any) -> np.ndarray:
        """All axes as one matrix (n_features, n_features)."""
        key = np.dtype(dtype).char
        if key not in self._kept:
            whole = np.eye(len(self.center), dtype=dtype)
            for columns, V in self.rotation:
                at = np.arange(len(whole))[columns]
                whole[np.ix_(at, at)] = V
            self._kept[key] = whole
        return self._kept[key]

    def _stacks(self, dtype: Any) -> list[tuple[slice | np.ndarray, np.ndarray]]:
        """Columns and axes, (n_blocks, size, size) of neighbours of one size: what is multiplied by one call."""
        key = np.dtype(dtype).char + "stacks"
        if key not in self._kept:
            stacks: list[tuple[slice | np.ndarray, list[np.ndarray]]] = []
            for columns, V in self.rotation:
                if stacks and isinstance(columns, slice):
                    last, held = stacks[-1]
                    if isinstance(last, slice) and last.stop == columns.start and held[0].shape == V.shape:
                        stacks[-1] = slice(last.start, columns.stop), [*held, V]
                        continue
                stacks.append((columns, [V]))
            self._kept[key] = [(columns, np.stack(axes).astype(dtype)) for columns, axes in stacks]
        return self._kept[key]

    def _turned(self, A: np.ndarray, back: bool) -> np.ndarray:
        """Rows of A to the solver's columns, or ``back``."""
        padded = self.engine.pad(A)
        out = padded.copy() if padded is A else padded
        for columns, V in self._stacks(A.dtype):
            k, size = V.shape[:2]
            parts = padded[:, columns].reshape(len(padded), k, size).swapaxes(0, 1)
            turned = parts @ (V.swapaxes(1, 2) if back else V)
            out[:, columns] = turned.swapaxes(0, 1).reshape(len(padded), k * size)
        return out[: len(A)]

    def rotate(self, A: np.ndarray) -> np.ndarray:
        """Rows of A, in the user's columns, to the solver's (a rotation alone); A is changed in place."""
        if self.still is not None:
            A[:, self.still] = 0
        if self._turns_at_once:
            A[:] = self.engine.product(A, self._axes(A.dtype))
            return A
        A[:] = self._turned(A, False)
        return A

    def rotate_matrix(self, M: np.ndarray) -> np.ndarray:
        """A symmetric (n_features, n_features) matrix to the solver's columns."""
        if self.still is None and not self.rotation:
            return M.copy()
        return self.rotate(np.ascontiguousarray(self.rotate(M.copy()).T))

    def unrotate_matrix(self, M: np.ndarray) -> np.ndarray:
        """A symmetric (n_features, n_features) matrix to the user's columns."""
        return self.unrotate(np.ascontiguousarray(self.unrotate(M).T))

    def unrotate(self, W: np.ndarray) -> np.ndarray:
        """Rows of W, in the solver's columns, to the user's (a rotation alone)."""
        at_once = self._turns_at_once
        W = self.engine.product(W, self._axes(W.dtype).T).copy() if at_once else self._turned(W, True)
        if self.still is not None:
            W[:, self.still] = 0
        return W

    def weights(self, W: np.ndarray, b: np.ndarray, dtype: Any) -> tuple[np.ndarray, np.ndarray]:
        """Coefficients (n_neurons, n_features) in ``dtype`` and intercepts (n_neurons,) in the user's columns.

        The intercepts are those of the rounded coefficients: where a column's mean is large against its deviation,
        rounding of its coefficient alone would move the predictions far.
        """
        W = self.unrotate(W).astype(dtype)
        return W, b - np.einsum("ij,j->i", W.astype(float), self.center)


def product64(X: Any, W: np.ndarray) -> np.ndarray:
    """XWᵀ in float64, shape (n_samples, n_neurons), some rows at a time; X (n_samples, n_features)."""
    if isinstance(X, SparseRows):
        return X.product64(W)
    W = W.astype(float)
    parts = [X[a : a + 4096].astype(float, copy=False) @ W.T for a in range(0, len(X), 4096)]
    return np.concatenate(parts) if parts else np.zeros((0, len(W)))


def principal_axes(G: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Variances (n_features,) along the eigenvectors of G, and those in columns."""
    values, vectors = np.linalg.eigh(G)
    # a column without variance has no part in any of them, not even by rounding
    vectors[np.diag(G) == 0] = 0
    return np.maximum(values, 0), vectors


def determined_axes(G: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """`principal_axes`, 0 where the rows leave an axis undetermined: not even the rounding of a gradient goes there."""
    values, vectors = principal_axes(G)
    flat = values <= FLAT * len(G) * values.max(initial=0)
    values[flat], vectors[:, flat] = 0, 0
    return values, vectors


def gram(
    engine: Engine,
    X: Any,
    weights: np.ndarray | None,
    ranges: list[tuple[int, int]],
    dtype: Any = float,
) -> tuple[np.ndarray, np.ndarray]:
    """Σ_t s_t x_t x_tᵀ and Σ_t s_t x_t over row ranges, from products in a precision; sums of these are in float64.

    In float32 rounding bends directions without variance downwards, and a Gaussian fit at a weak strength runs off: see
    `sums.gram_precision`. The diagonal is in float64 always. Of wide `SparseRows` the first is that alone.
    """
    if isinstance(X, SparseRows) and X.has_sparse_gram:
        return X.gram(weights, ranges)

    def part(take: Callable[[np.ndarray], np.ndarray]) -> tuple[np.ndarray, ...]:
        if weights is None:
            x = take(X).astype(dtype, copy=False)
            return *squares(x), x.sum(axis=0, dtype=float)
        s = take(weights)
        # rows of other folds may be many
        root = np.sqrt(s[s > 0]).astype(dtype)
        x = take(X)[s > 0].astype(dtype, copy=False) * root[:, None]
        return *squares(x), np.einsum("t,tk->k", root, x, dtype=float)

    def squares(x: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        # a product with itself takes half the multiplications: NumPy sees that it is one
        XX = x.T @ x
        return XX, np.diag(XX) if XX.dtype == float else np.einsum("ij,ij->j", x, x, dtype=float)

    XX, diagonal, x_sum = row_sums(engine, part, X, ranges)
    np.fill_diagonal(XX, diagonal)
    return XX, x_sum


def row_sums(
    engine: Engine, part: Callable[[Callable[[Any], np.ndarray]], tuple], X: Any, ranges: list[tuple[int, int]]
) -> tuple:
    """Sum in float64 of what ``part(take)`` returns over chunks of row ranges of X.

    ``take(array)`` gives the rows of a chunk.
    """
    # no chunk larger than what a stream reads at once
    step = min(2048, getattr(X, "block_rows", 2048))
    chunks = _chunks(ranges, step)

    def run_of(own: list[tuple[tuple[int, int], ...]]) -> list[np.ndarray]:
        totals: list[np.ndarray] = []
        for rows in own:

            def take(array: Any, rows: tuple[tuple[int, int], ...] = rows) -> np.ndarray:
                parts = [array[first:last] for first, last in rows]
                return parts[0] if len(parts) == 1 else np.concatenate(parts)

            values = part(take)
            if not totals:
                totals = [np.zeros(np.shape(value)) for value in values]
            for total, value in zip(totals, values, strict=True):
                total += value
        return totals

    # one contiguous run of chunks per worker: sums have a fixed order, and rows are read in theirs
    bounds = np.linspace(0, len(chunks), engine.n_workers + 1).astype(int)
    runs = engine.map(run_of, [(chunks[a:b],) for a, b in pairwise(bounds) if b > a])
    return tuple(sum(totals) for totals in zip(*runs, strict=True))


def _chunks(ranges: list[tuple[int, int]], step: int) -> list[tuple[tuple[int, int], ...]]:
    """Long ranges in pieces of ``step`` rows; neighbouring short ones together where they lie as close as that."""
    chunks: list[list[tuple[int, int]]] = []
    for first, last in ranges:
        for a in range(first, last, step):
            b = min(a + step, last)
            if chunks and 0 <= b - chunks[-1][0][0] <= step:
                chunks[-1].append((a, b))
            else:
                chunks.append([(a, b)])
    return [tuple(chunk) for chunk in chunks]
