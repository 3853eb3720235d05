"""Blocks of columns: sums over the columns of each, on the host and in any array library."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np

__all__ = ["NEAR", "Blocks", "HostBlocks", "block_norms", "from_zero", "settled", "unstopped", "within"]

Array = Any
#: A weight counts as at its bound where it is nearer than this share of itself.
NEAR = 1e-6


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
    lower, upper : ndarray, shape (n_features,), or None
        Bounds on the weights, infinite for columns without; None where there are none.
    """

    starts: np.ndarray
    of_column: np.ndarray
    nested: bool = False
    lower: np.ndarray | None = None
    upper: np.ndarray | None = None

    @property
    def single(self) -> bool:
        """Whether every column is its own block."""
        return len(self.starts) == len(self.of_column)

    @property
    def boxed(self) -> bool:
        """Whether columns whose block has a norm have bounds other than 0."""
        if not self.nested or self.lower is None or self.upper is None:
            return False
        return any(bool((np.isfinite(bound) & (bound != 0)).any()) for bound in (self.lower, self.upper))

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
    lower, upper : array, shape (n_features,) or (n_rows, n_features), or None
        See `HostBlocks`.
    """

    member: Array
    of_column: Array
    columns: Array = None
    lower: Array = None
    upper: Array = None

    @property
    def single(self) -> bool:
        """Whether every column is its own block."""
        return self.member is None

    @property
    def nested(self) -> bool:
        """Whether every column has a norm of its own beside that of its block."""
        return self.columns is not None

    @property
    def boxed(self) -> bool:
        """See `HostBlocks`: such blocks are not for devices."""
        return False

    def sums(self, xp: Any, A: Array) -> Array:
        """Sums of columns by block, shape (n_rows, n_blocks)."""
        return A if self.member is None else xp.matmul(A, self.member)

    def spread(self, xp: Any, A: Array) -> Array:
        """A number per block, given to each of its columns, shape (n_rows, n_features)."""
        return A if self.member is None else xp.take(A, self.of_column, axis=1)


def within(xp: Any, blocks: Blocks | HostBlocks, V: Array) -> Array:
    """Rows of V, at the bound where they are beyond it."""
    if blocks.lower is None:
        return V
    V = xp.where(blocks.lower > V, blocks.lower + 0 * V, V)
    return xp.where(blocks.upper < V, blocks.upper + 0 * V, V)


def settled(xp: Any, blocks: Blocks | HostBlocks, V: Array, D: Array, rounding: float) -> Array:
    """`within` for V = W + D of a step D, at the bound also where no more than the rounding of the step is between."""
    if blocks.lower is None:
        return V
    slack = rounding * (xp.abs(V) + xp.abs(D))
    V = xp.where(V - blocks.lower <= slack, blocks.lower + 0 * V, V)
    return xp.where(blocks.upper - V <= slack, blocks.upper + 0 * V, V)


def from_zero(xp: Any, blocks: Blocks | HostBlocks, F: Array) -> Array:
    """Forces F on weights, 0 where a weight of 0 is at a bound and may not go that way."""
    return unstopped(xp, blocks, F, 0 * F)


def unstopped(xp: Any, blocks: Blocks | HostBlocks, F: Array, W: Array) -> Array:
    """Forces F on weights W, 0 where these are at a bound and may not go that way."""
    if blocks.lower is None:
        return F
    near = NEAR * xp.abs(W)
    stopped = ((blocks.upper - W <= near) & (F > 0)) | ((W - blocks.lower <= near) & (F < 0))
    return xp.where(stopped, 0 * F, F)


def block_norms(xp: Any, blocks: Blocks | HostBlocks, W: Array) -> Array:
    """‖w_b‖₂, shape (n_rows, n_blocks)."""
    return xp.abs(W) if blocks.single else xp.sqrt(blocks.sums(xp, W * W))
