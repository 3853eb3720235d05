"""Arrays of one row per (fit, neuron) pair: blocks of their columns, and products row by row, in any namespace."""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np

__all__ = ["Blocks", "along", "block_norms", "combine", "dot", "rows", "vector"]

Array = Any


class Blocks(NamedTuple):
    """How columns form blocks.

    Attributes
    ----------
    member : array, shape (n_features, n_blocks), or None
        1 where a column belongs to a block; None where every column is its own.
    of_column : array of int, shape (n_features,)
    """

    member: Array
    of_column: Array

    def sums(self, xp: Any, A: Array) -> Array:
        """Sums of columns by block, shape (n_rows, n_blocks)."""
        return A if self.member is None else xp.matmul(A, self.member)

    def spread(self, xp: Any, A: Array) -> Array:
        """A number per block, given to each of its columns, shape (n_rows, n_features)."""
        return A if self.member is None else xp.take(A, self.of_column, axis=1)


def block_norms(xp: Any, blocks: Blocks, W: Array) -> Array:
    """‖w_b‖₂, shape (n_rows, n_blocks)."""
    return xp.abs(W) if blocks.member is None else xp.sqrt(blocks.sums(xp, W * W))


def rows(A: Array) -> Array:
    return A[:, None]


def dot(xp: Any, A: Array, B: Array) -> Array:
    return xp.sum(A * B, axis=1)


def along(xp: Any, pairs: Array, x: Array) -> Array:
    """Inner products of a row's vectors (n_rows, n_vectors, n_features) with x (n_rows, n_features)."""
    return xp.matmul(pairs, x[:, :, None])[:, :, 0]


def combine(xp: Any, coefficients: Array, pairs: Array) -> Array:
    return xp.matmul(coefficients[:, None, :], pairs)[:, 0, :]


def vector(engine: Any, values: np.ndarray) -> Array:
    """Host scalars, one per row, on the device."""
    return engine.asarray(np.ascontiguousarray(values, dtype=engine.dtype))
