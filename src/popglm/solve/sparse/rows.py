"""A sparse design in memory: centred in its products, never in what is stored."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import pairwise
from typing import Any, ClassVar

import numpy as np
from scipy.sparse import csc_array, csr_array
from scipy.sparse.linalg import LinearOperator, eigsh

from popglm.solve.sparse.kernels import CompressedRows, across, along, along_both
from popglm.solve.stream import MEMORY, RowStream, read_rows

__all__ = ["SparseBlock", "SparseRows", "parts_of", "rows_of", "some_rows", "times_rows"]

#: Share of a column that is stored from which all of it is, centred: the digits of a column that is nearly full and far
#: from 0 would cancel. Of others the mean is at most three deviations.
NEARLY_FULL = 0.9
#: Share of the entries from which a Gram matrix is cheaper by dense products of some rows at a time.
DENSE_GRAM = 0.05
#: Rows of a window of products: enough that adding up (n_neurons, n_features) sums is little beside them.
LEAST_WINDOW, MOST_WINDOW, PER_FEATURE = 1024, 16384, 16
#: Bytes of rows that are dense at a time, where nothing else will do.
BLOCK = 2**25
#: Rows that are predicted at a time.
PREDICTED = 4096

Ranges = list[tuple[int, int]]


class SparseRows(RowStream):
    """Rows of a sparse matrix in memory, less a mean per column that is taken into account in products alone.

    It is a `RowStream` too: what needs dense rows gets them block by block.

    Parameters
    ----------
    source : scipy.sparse.csr_array, shape (n_samples, n_features)
        With sorted indices, no duplicates, and finite numbers in float32 or float64.

    Examples
    --------
    >>> import numpy as np
    >>> from scipy.sparse import csc_array, csr_array
    >>> from popglm.solve.sparse.rows import SparseRows
    >>> X = SparseRows(csr_array(np.array([[0.0, 2.0], [1.0, 0.0]])))
    >>> X[1:]
    array([[1., 0.]])
    >>> X.weighted_sum(np.ones(2))
    array([1., 2.])
    """

    #: Columns beyond which no matrix of columns × columns is made: local models have a diagonal metric then.
    WIDE: ClassVar[int] = 2000

    source: csr_array

    def __init__(self, source: csr_array) -> None:
        # without a thread that reads, and of no rows at all, too
        self.source, self.memory, self.n_workers = source, MEMORY, 1
        self.shape, self.dtype, self.center, self.unit = source.shape, source.dtype, None, None
        self.block_rows = max(1, BLOCK // (self.dtype.itemsize * self.shape[1]))
        self.shift: np.ndarray | None = None

    @property
    def is_wide(self) -> bool:
        """Whether it has more columns than a matrix of columns × columns is made for."""
        return self.shape[1] > self.WIDE

    # rows as they are

    def close(self) -> None:
        """See `RowStream`: nothing was read."""

    def __getstate__(self) -> dict[str, Any]:
        return {"source": self.source, "shift": self.shift}

    def __setstate__(self, state: dict[str, Any]) -> None:
        SparseRows.__init__(self, state["source"])
        self.shift = state["shift"]

    def __getitem__(self, rows: slice | np.ndarray) -> np.ndarray:
        """Some rows, dense; (n_rows, n_features)."""
        found = self.source[rows].toarray()
        return found if self.shift is None else found - self.shift.astype(found.dtype)

    def take(self, rows: slice | np.ndarray) -> SparseRows:
        """Some rows, sparse."""
        other = SparseRows(self.source[rows])
        other.shift = self.shift
        return other

    def with_columns(self, kept: np.ndarray) -> SparseRows:
        """The same rows with the columns ``kept`` alone; one of zeros for none."""
        if not len(kept):
            return SparseRows(csr_array((len(self), 1), dtype=self.dtype))
        other = SparseRows(_csr(self.source[:, kept]))
        other.shift = None if self.shift is None else self.shift[kept]
        return other

    def first_not_finite(self) -> tuple[str, int, int] | None:
        """See `RowStream`."""
        bad = np.flatnonzero(~np.isfinite(self.source.data))
        if not len(bad):
            return None
        # of the first column with some, as in dense arrays
        columns = self.source.indices[bad]
        first = bad[columns == columns.min()][0]
        row = int(np.searchsorted(self.source.indptr, first, "right")) - 1
        return "NaN" if np.isnan(self.source.data[first]) else "inf", int(columns.min()), row

    def digest(self) -> str:
        """See `RowStream`."""
        running = hashlib.blake2b(digest_size=16)
        for array in (self.source.data, self.source.indices, self.source.indptr):
            running.update(np.ascontiguousarray(array).data)
        return f"sparse #{running.hexdigest()}"

    def weighted_sum(self, s: np.ndarray) -> np.ndarray:
        """Σsx of all columns, of rows as they are."""
        return self.source.T @ np.asarray(s, float)

    def square_sum(self, center: np.ndarray) -> np.ndarray:
        """Sum of squares of all columns about ``center``, of rows as they are."""
        p, indices = self.shape[1], self.source.indices
        stored = np.bincount(indices, np.square(self.source.data - center[indices]), p)
        return stored + (len(self) - np.bincount(indices, minlength=p)) * center**2

    def product64(self, W: np.ndarray) -> np.ndarray:
        """XWᵀ in float64, of rows as they are, shape (n_samples, n_neurons)."""
        return self.source @ np.ascontiguousarray(W.T, float)

    # rows of a fit

    def centred_for(self, order: np.ndarray, center: np.ndarray, dtype: Any, unit: np.ndarray | None) -> SparseRows:
        """Rows in ``order`` less ``center``, over ``unit`` unless that is None, in another type.

        Columns that are nearly full are stored in full, centred; of all others the mean stays apart.
        """
        A = self.source if np.array_equal(order, np.arange(len(self))) else self.source[order]
        full = np.bincount(A.indices, minlength=self.shape[1]) >= NEARLY_FULL * len(self)
        full &= center != 0
        if full.any():
            A = _filled(A, full)
        unit = np.ones(self.shape[1]) if unit is None else unit
        data = (A.data - np.where(full, center, 0)[A.indices]) / unit[A.indices]
        other = SparseRows(csr_array((data.astype(dtype), A.indices, A.indptr), A.shape))
        other.shift = np.where(full, 0, center) / unit
        return other

    def row_chunks(self, n_rows: int, n_workers: int) -> Ranges:
        """Split rows into windows; the edges depend on X and the machine alone."""
        per_row = max(self.source.nnz / max(len(self), 1), 1)
        size = int(np.clip(PER_FEATURE * self.shape[1] / per_row, LEAST_WINDOW, MOST_WINDOW))
        n = -(-n_rows // size)
        n = -(-n // n_workers) * n_workers if n > 1 else 1
        edges = np.linspace(0, n_rows, n + 1).astype(int).tolist()
        return [(a, b) for a, b in pairwise(edges) if b > a]

    def window(self, first: int, last: int) -> SparseBlock:
        """Rows for products."""
        return SparseBlock(self, first, last)

    def gram(self, s: np.ndarray | None, ranges: Ranges) -> tuple[np.ndarray, np.ndarray]:
        """Σsxxᵀ, of a wide X its diagonal alone, and Σsx, in float64 over row ranges; of a fit's rows."""
        p, total, x, XX = self.shape[1], 0.0, np.zeros(self.shape[1]), 0.0
        for first, last in ranges:
            A = self.source[first:last].astype(float)
            own = np.ones(last - first) if s is None else np.asarray(s[first:last], float)
            total, x = total + own.sum(), x + A.T @ own
            XX = XX + (A.power(2).T @ own if self.is_wide else (A.T @ A.multiply(own[:, None]).tocsr()).toarray())
        shift = np.zeros(p) if self.shift is None else self.shift
        if self.is_wide:
            return XX + shift * (total * shift - 2 * x), x - total * shift
        cross = np.outer(shift, x)
        return XX - cross - cross.T + total * np.outer(shift, shift), x - total * shift

    def moments(self, blocks: list[np.ndarray]) -> list[np.ndarray]:
        """Σxxᵀ of sets of columns, in float64; of more than `WIDE` the diagonal alone; of a fit's rows."""
        A, n = csc_array(self.source, dtype=float), len(self)
        shift, found = np.zeros(self.shape[1]) if self.shift is None else self.shift, []
        for columns in blocks:
            own, m = A[:, columns], shift[columns]
            x = own.T @ np.ones(n)
            if len(columns) > self.WIDE:
                found.append(own.power(2).T @ np.ones(n) + m * (n * m - 2 * x))
                continue
            cross = np.outer(m, x)
            found.append((own.T @ own).toarray() - cross - cross.T + n * np.outer(m, m))
        return found

    @property
    def has_sparse_gram(self) -> bool:
        """Whether sparse products make a Gram matrix in less time than dense ones."""
        return self.is_wide or self.source.nnz < DENSE_GRAM * len(self) * self.shape[1]

    def largest_variance(self, s: np.ndarray | None, free: np.ndarray | None) -> float:
        """Largest eigenvalue of the covariance of all columns but those that are ``free``; of a fit's rows.

        By Lanczos' method, from the same start always.
        """
        A = (self.source if free is None else self.source[:, np.flatnonzero(~free)]).astype(float)
        s = np.ones(len(self)) if s is None else np.asarray(s, float)
        total = s.sum()
        mean = A.T @ s / total

        def covariance(v: np.ndarray) -> np.ndarray:
            along = s * (A @ v - mean @ v)
            return (A.T @ along - mean * along.sum()) / total

        p = A.shape[1]
        start = np.random.default_rng(0).standard_normal(p)
        operator = LinearOperator((p, p), covariance, dtype=float)
        return float(eigsh(operator, 1, which="LA", v0=start, tol=1e-6, return_eigenvectors=False)[0])


@dataclass(frozen=True)
class SparseBlock:
    """Some rows of a fit, for products.

    Attributes
    ----------
    X : SparseRows
    first, last : int
    """

    X: SparseRows
    first: int
    last: int

    def across(self, W: np.ndarray) -> np.ndarray:
        """WXᵀ, shape (n_neurons, n_rows); W (n_neurons, n_features)."""
        out = np.empty((len(W), self.last - self.first), W.dtype)
        across(self._rows, np.ascontiguousarray(W.T), self._shift, out)
        return out

    def along(self, R: np.ndarray) -> np.ndarray:
        """RX, shape (n_neurons, n_features); R (n_neurons, n_rows)."""
        out = np.zeros((self.X.shape[1], len(R)), R.dtype)
        along(self._rows, np.ascontiguousarray(R), self._shift, out)
        return out.T

    def along_both(self, R: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """RX, and R times the squares of X, shape (n_neurons, n_features); R (n_neurons, n_rows)."""
        x, xx = np.zeros((2, self.X.shape[1], len(R)), R.dtype)
        along_both(self._rows, np.ascontiguousarray(R), self._shift, x, xx)
        return x.T, xx.T

    def columns(self, chosen: np.ndarray) -> np.ndarray:
        """Some columns, dense, shape (n_rows, n_chosen)."""
        found = self.X.source[self.first : self.last][:, chosen].toarray()
        return found - self._shift[chosen].astype(found.dtype)

    @property
    def _rows(self) -> CompressedRows:
        A = self.X.source
        return CompressedRows(A.data, A.indices, A.indptr, self.first, self.last)

    @property
    def _shift(self) -> np.ndarray:
        return np.zeros(self.X.shape[1]) if self.X.shift is None else self.X.shift


def some_rows(X: Any, rows: slice | np.ndarray) -> Any:
    """Rows by slice or index: sparse where X is."""
    return X.take(rows) if isinstance(X, SparseRows) else X[rows]


def parts_of(X: Any) -> Iterator[tuple[int, int, Any]]:
    """`popglm.solve.stream.read_rows`, in parts that stay sparse where X is."""
    if not isinstance(X, SparseRows):
        yield from read_rows(X)
        return
    for first in range(0, len(X), PREDICTED):
        last = min(first + PREDICTED, len(X))
        yield first, last, X.take(slice(first, last))


def rows_of(X: Any, first: int, last: int) -> Any:
    """Rows of a fit for products: a `SparseBlock` of `SparseRows`, the rows themselves of anything else."""
    return X.window(first, last) if isinstance(X, SparseRows) else X[first:last]


def times_rows(product: Any, R: np.ndarray, rows: Any) -> np.ndarray:
    """RX of what `rows_of` gives, by a ``product`` of matrices where the rows are dense."""
    return rows.along(R) if isinstance(rows, SparseBlock) else product(R, rows)


def _filled(A: csr_array, full: np.ndarray) -> csr_array:
    """A with all entries of the columns ``full`` stored."""
    n, p = A.shape
    row = np.repeat(np.arange(n), np.diff(A.indptr))
    own = full[A.indices]
    columns = np.flatnonzero(full)
    values = A[:, columns].toarray().ravel()
    at = np.repeat(np.arange(n), len(columns)), np.tile(columns, n)
    rows, indices = np.concatenate([row[~own], at[0]]), np.concatenate([A.indices[~own], at[1]])
    data = np.concatenate([A.data[~own], values])
    order = np.lexsort((indices, rows))
    indptr = np.concatenate([[0], np.cumsum(np.bincount(rows, minlength=n))])
    return csr_array((data[order], indices[order], indptr), (n, p))


def _csr(A: Any) -> csr_array:
    A = csr_array(A)
    A.sort_indices()
    return A
