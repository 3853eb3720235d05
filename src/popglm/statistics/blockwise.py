"""Blocks of columns: sums over the columns of each, on the host and in any array library."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np

__all__ = ["Blocks", "HostBlocks", "allowed", "block_norms"]

Array = Any


@dataclass(frozen=True)
class HostBlocks:
    """Columns that lie block by block, for NumPy.

    Attributes
    ----------
    starts : ndarray of int, shape (n_blocks,)
        First column of every block.
    of_column : ndarray of int, shape (n_features,)
    nested : bool
        Whether every column has a norm of its own beside that of its block.
    signs : ndarray, shape (n_features,), or None
        1 and −1 for columns that may have weights of this sign alone, 0 for others; None where there are none.
    """

    starts: np.ndarray
    of_column: np.ndarray
    nested: bool = False
    signs: np.ndarray | None = None

    @property
    def single(self) -> bool:
        """Whether every column is its own block."""
        return len(self.starts) == len(self.of_column)

    def sums(self, xp: Any, A: np.ndarray) -> np.ndarray:
        """Sums of columns by block, shape (n_rows, n_blocks)."""
        return A if self.single else np.add.reduceat(A, self.starts, axis=1)

    def spread(self, xp: Any, A: np.ndarray) -> np.ndarray:
        """A number per block, given to each of its columns, shape (n_rows, n_features)."""
        return A if self.single else A[:, self.of_column]


class Blocks(NamedTuple):
    """How columns form blocks, for a device, where a product with a matrix of zeros and ones is the fastest sum.

    Attributes
    ----------
    member : array, shape (n_features, n_blocks), or None
        1 where a column belongs to a block; None where every column is its own.
    of_column : array of int, shape (n_features,)
    columns : array, shape (n_features,), or None
        Something where every column has a norm of its own beside that of its block.
    signs : array, shape (n_features,), or None
        See `HostBlocks`.
    """

    member: Array
    of_column: Array
    columns: Array = None
    signs: Array = None

    @property
    def single(self) -> bool:
        """Whether every column is its own block."""
        return self.member is None

    @property
    def nested(self) -> bool:
        """Whether every column has a norm of its own beside that of its block."""
        return self.columns is not None

    def sums(self, xp: Any, A: Array) -> Array:
        """Sums of columns by block, shape (n_rows, n_blocks)."""
        return A if self.member is None else xp.matmul(A, self.member)

    def spread(self, xp: Any, A: Array) -> Array:
        """A number per block, given to each of its columns, shape (n_rows, n_features)."""
        return A if self.member is None else xp.take(A, self.of_column, axis=1)


def allowed(xp: Any, blocks: Blocks | HostBlocks, V: Array) -> Array:
    """Rows of V, 0 where a column may not have that sign."""
    return V if blocks.signs is None else xp.where(blocks.signs * V < 0, 0 * V, V)


def block_norms(xp: Any, blocks: Blocks | HostBlocks, W: Array) -> Array:
    """‖w_b‖₂, shape (n_rows, n_blocks)."""
    return xp.abs(W) if blocks.single else xp.sqrt(blocks.sums(xp, W * W))
