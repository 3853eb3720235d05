"""A sparse X as users give it: its checks, in the words of those of a dense one."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd
from scipy.sparse import csr_array, issparse

from popglm.checks import is_number
from popglm.messages import listed
from popglm.solve.sparse.rows import SparseRows

__all__ = ["canonical", "check_smoothness", "is_sparse_table", "stays_sparse"]

#: Entries up to which a sparse X is made dense: 128 MB in float64, with which everything else is faster.
DENSE = 2**24


def is_sparse_table(X: Any) -> bool:
    """Whether X is a table of pandas whose columns are all sparse."""
    return (
        isinstance(X, pd.DataFrame)
        and X.shape[1] > 0
        and all(isinstance(kind, pd.SparseDtype) for kind in X.dtypes.unique())
    )


def stays_sparse(X: Any) -> bool:
    """Whether X is sparse, and too large or too wide to be made dense.

    Examples
    --------
    >>> from scipy.sparse import csr_array
    >>> stays_sparse(csr_array((1000, 10))), stays_sparse(csr_array((100_000, 1_000)))
    (False, True)
    """
    if not (issparse(X) or is_sparse_table(X)) or len(X.shape) != 2:
        return False
    return X.shape[0] * X.shape[1] > DENSE or X.shape[1] > SparseRows.WIDE


def check_smoothness(values: Any, smoothness: Any) -> None:
    """Complain of a smoothness of so many sparse columns that no matrix of columns × columns is made.

    Raises
    ------
    ValueError
        Before that matrix is made.
    """
    if isinstance(values, SparseRows) and values.is_wide and is_number(smoothness) and smoothness > 0:
        raise ValueError(
            f"X is sparse and has {values.shape[1]:,} columns; with more than {values.WIDE:,} of them "
            f"smoothness={smoothness:g} is not supported. Use smoothness=0."
        )


def canonical(X: Any) -> csr_array:
    """X as rows in compressed form, in float32 or float64, without duplicates or stored zeros, columns in order.

    What was given is left alone.

    Raises
    ------
    ValueError
        If X holds no real numbers.
    """
    if isinstance(X, pd.DataFrame):
        kinds = {kind.subtype for kind in X.dtypes.unique()}
        _check_kinds(kinds)
        if any(kind.fill_value != 0 for kind in X.dtypes.unique()):
            raise ValueError(
                "X is a table of sparse columns that do not stand for zeros; use pandas.SparseDtype(dtype, 0) for all."
            )
        X = X.sparse.to_coo()
    _check_kinds({X.dtype})
    dtype = np.float32 if X.dtype == np.float32 else np.float64
    # a copy, since duplicates are added in place
    A = csr_array(X, dtype=dtype, copy=True)
    A.sum_duplicates()
    A.eliminate_zeros()
    if A.indices.dtype != np.int32 and A.shape[1] <= np.iinfo(np.int32).max:
        A.indices = A.indices.astype(np.int32)
    return A


def _check_kinds(kinds: set) -> None:
    """Complain of numbers that are not real."""
    bad = sorted(str(kind) for kind in kinds if np.dtype(kind).kind not in "fiub")
    if bad:
        hint = " (Complex data not supported)" if any("complex" in name for name in bad) else ""
        raise ValueError(f"X is sparse and holds {listed(bad)}{hint}. Make real numbers of them first.")
