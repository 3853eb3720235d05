"""Few shapes for compiled passes: rows in windows of one size, neurons in a few sizes."""

from __future__ import annotations

from typing import Any

import numpy as np

from popglm.engines.numpy_engine import NumpyEngine

__all__ = ["WindowedEngine"]


class WindowedEngine(NumpyEngine):
    """`NumpyEngine` for a library that compiles for every shape, and that has threads of its own."""

    window: int

    def __init__(self, precision: str, on_accelerator: bool, window: int) -> None:
        super().__init__(precision)
        self.is_accelerator = on_accelerator
        self.window = 16384 if on_accelerator else window
        self.n_streams = 1

    def row_chunks(self, n_rows: int) -> list[tuple[int, int]]:
        """Chunks of `window` rows, the last one of what is left."""
        return equal_chunks(n_rows, self.window)

    def keeps_bits(self, X: Any, n_rows: int, n_stacks: int) -> bool:
        """Never: every size has a program of its own."""
        return False

    @staticmethod
    def pad(A: np.ndarray) -> np.ndarray:
        """Rows of A, its last one repeated up to the next of a few sizes, so that few shapes are compiled.

        How a library sums a row may depend on the size: the last bits of a neuron can depend on how many others there
        are.
        """
        return bucket(A)


def equal_chunks(n_rows: int, size: int) -> list[tuple[int, int]]:
    """Chunks of ``size`` rows, the last one of what is left.

    Examples
    --------
    >>> equal_chunks(5, 2)
    [(0, 2), (2, 4), (4, 5)]
    """
    return [(a, min(a + size, n_rows)) for a in range(0, n_rows, size)]


def bucket(A: np.ndarray) -> np.ndarray:
    """Rows of A, its last one repeated up to the next of 8, 12, 16, 24, 32, 48, 64, 96, 128, …

    Examples
    --------
    >>> bucket(np.zeros((50, 3))).shape
    (64, 3)
    """
    size = 8
    while size < len(A):
        # 8, 12, 16, 24, …: by a half and a third in turn
        size = size * 3 // 2 if size & (size - 1) == 0 else size * 4 // 3
    missing = size - len(A)
    return A if not missing else np.concatenate([A, np.repeat(A[-1:], missing, axis=0)])
