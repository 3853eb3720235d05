"""Arrays of one row per problem: products row by row, in any namespace."""

from __future__ import annotations

from typing import Any

import numpy as np

from popglm.engines.protocol import Engine

__all__ = ["along", "combine", "dot", "rows", "vector"]

Array = Any


def rows(A: Array) -> Array:
    """One number per row, as a column (n_rows, 1)."""
    return A[:, None]


def dot(xp: Any, A: Array, B: Array) -> Array:
    """Σ_k a_k b_k, row by row."""
    return xp.sum(A * B, axis=1)


def along(xp: Any, pairs: Array, x: Array) -> Array:
    """Inner products of a row's vectors (n_rows, n_vectors, n_features) with x (n_rows, n_features)."""
    return xp.matmul(pairs, x[:, :, None])[:, :, 0]


def combine(xp: Any, coefficients: Array, pairs: Array) -> Array:
    """Sums of a row's vectors (n_rows, n_vectors, n_features), each times its coefficient (n_rows, n_vectors)."""
    return xp.matmul(coefficients[:, None, :], pairs)[:, 0, :]


def vector(engine: Engine, values: np.ndarray) -> Array:
    """Host scalars, one per row, on the device."""
    return engine.asarray(np.ascontiguousarray(values, dtype=engine.dtype))
