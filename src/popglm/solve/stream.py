"""Design matrices larger than memory: rows read in blocks, the next block while the current one is worked on."""

from __future__ import annotations

import hashlib
from collections import OrderedDict
from collections.abc import Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager
from threading import Lock
from typing import Any

import numpy as np
from scipy.sparse import issparse

from popglm.checks import is_number
from popglm.messages import shown
from popglm.numbers import first_not_finite, remedy_for

__all__ = ["MEMORY", "RowStream", "check_stream", "is_streamed", "read_rows", "released"]

#: Bytes that a stream may hold; arrays on disk that are smaller are read whole.
MEMORY = 2**28
#: Blocks per thread at work: the one in use, the next, and one more where a chunk lies across an edge.
BLOCKS_EACH = 3
#: Rows that are converted at once, so that they stay in cache.
PIECE = 256


class RowStream:
    """Rows of an array on disk, read in blocks by a thread of its own.

    A block is read once while neighbouring rows are asked for, and its successor is read ahead. All models that take an
    X on disk wrap ``np.memmap``, zarr and HDF5 arrays by themselves where they are larger than the default ``memory``;
    wrap them yourself to choose another.

    Parameters
    ----------
    source : array-like, shape (n_samples, n_features)
        Anything with ``shape``, ``dtype`` and slices of rows: ``np.memmap``, ``zarr.Array``, ``h5py.Dataset``, … It is
        read from one thread, in the order of its rows wherever possible.
    memory : int
        Bytes of rows that are held at a time.
    n_workers : int
        Threads that ask for rows of different places at the same time; they share ``memory``.

    Attributes
    ----------
    shape : tuple of int
    dtype : numpy.dtype
        float32 for a source in float32, else float64.
    block_rows : int
        Rows per block; whole storage chunks where the source has them.

    Raises
    ------
    ValueError
        If the source is not a matrix of real numbers, or ``memory`` does not hold a few rows.

    Examples
    --------
    >>> import tempfile
    >>> import numpy as np
    >>> from popglm import GLM
    >>> from popglm.solve.stream import RowStream
    >>> rng = np.random.default_rng(0)
    >>> with tempfile.NamedTemporaryFile() as file:
    ...     X = np.memmap(file, "float32", "w+", shape=(5_000, 4))
    ...     X[:] = rng.standard_normal(X.shape)
    ...     y = rng.poisson(np.exp(X[:, 0]))
    ...     model = GLM(lambdas=[0.01]).fit(RowStream(X, memory=50_000), y)
    ...     np.allclose(model.coef_, GLM(lambdas=[0.01]).fit(np.array(X), y).coef_, atol=1e-3)
    True
    """

    ndim = 2

    # the centre, and what float32 leaves out of it
    _coarse: np.ndarray
    _fine: np.ndarray

    def __init__(self, source: Any, memory: int = MEMORY, n_workers: int = 1) -> None:
        if issparse(source):
            raise TypeError("source is a sparse matrix in memory; give it to fit as X itself, which keeps it sparse.")
        shape, kind = getattr(source, "shape", None), getattr(source, "dtype", None)
        if shape is None or kind is None or not hasattr(source, "__getitem__"):
            raise TypeError(
                "source must be an array on disk with shape, dtype and slices of rows; found "
                f"{type(source).__name__}. Give it as np.memmap, zarr.Array or h5py.Dataset."
            )
        for name, value in (("memory", memory), ("n_workers", n_workers)):
            if not is_number(value) or value < 1:
                raise ValueError(f"{name}={shown(value)} must be a number of at least 1.")
        if len(source.shape) != 2 or 0 in source.shape:
            shape = tuple(source.shape)
            raise ValueError(f"source: X must have shape (n_samples, n_features); it has {shape}.")
        try:
            kind = np.dtype(kind)
        except TypeError as error:
            raise ValueError(f"X must hold real numbers; the array on disk has dtype {shown(kind)}.") from error
        if kind.kind not in "fiub":
            raise ValueError(f"X must hold real numbers; the array on disk has dtype {kind}.")
        self.source, self.memory, self.n_workers = source, memory, n_workers
        self.shape = tuple(int(k) for k in source.shape)
        self.dtype = np.dtype(np.float32 if kind == np.float32 else np.float64)
        self.center: np.ndarray | None = None
        self.unit: np.ndarray | None = None
        # each thread may hold the join of two blocks; the block being read may be there as stored and as handed on
        n_blocks = (BLOCKS_EACH + 1) * n_workers + 2
        row_bytes = max(1, self.shape[1]) * max(kind.itemsize, self.dtype.itemsize)
        rows = int(memory / (n_blocks * row_bytes))
        if rows < 1:
            raise ValueError(
                f"memory={shown(memory)} bytes are too few to read X of {self.shape[1]} columns in blocks; use at "
                f"least {n_blocks * row_bytes}."
            )
        stored = (getattr(source, "chunks", None) or (1,))[0]
        stored = stored[0] if isinstance(stored, tuple) else stored
        stored = stored if isinstance(stored, int) and stored <= rows else 1
        self.block_rows = min(rows - rows % stored, max(1, self.shape[0]))
        self._lock = Lock()
        self._blocks: OrderedDict[int, Future] = OrderedDict()
        self._reader: ThreadPoolExecutor | None = None

    def centred(
        self, center: np.ndarray | None, dtype: Any, n_workers: int, unit: np.ndarray | None = None
    ) -> RowStream:
        """The same rows less ``center`` in another type, for ``n_workers`` threads; subtracted in float64.

        Columns are then divided by ``unit`` (n_features,), unless that is None.
        """
        other = RowStream(self.source, self.memory, n_workers)
        other.center, other.dtype = center, np.dtype(dtype)
        other.unit = None if unit is None else unit.astype(dtype)
        if center is not None:
            other._coarse = center.astype(np.float32)
            other._fine = (center - other._coarse).astype(np.float32)
        return other

    def with_columns(self, kept: np.ndarray) -> RowStream:
        """The same rows with the columns ``kept`` alone; one of zeros for none."""
        columns = _Columns(self.source, kept)
        # of blocks with as many rows as before, since all columns of a block are read
        memory = -(-self.memory * columns.shape[1] // self.shape[1])
        return RowStream(columns, memory, self.n_workers)

    def __len__(self) -> int:
        return self.shape[0]

    def __getstate__(self) -> dict[str, Any]:
        raise TypeError(
            "A RowStream refers to an array on disk and cannot be pickled; open the array where it is used."
        )

    def __array__(self, dtype: Any = None, copy: bool | None = None) -> np.ndarray:
        raise TypeError("X is a RowStream, which is read in blocks and never whole; give rows of it, X[first:last].")

    def __getitem__(self, rows: slice | np.ndarray) -> np.ndarray:
        """Consecutive rows, or rows by ascending index; (n_rows, n_features)."""
        if not isinstance(rows, slice):
            runs = np.split(rows, np.flatnonzero(np.diff(rows) != 1) + 1)
            return np.concatenate([self._submit(int(run[0]), int(run[-1]) + 1).result() for run in runs])
        first, last, _ = rows.indices(len(self))
        if last <= first:
            return np.empty((0, self.shape[1]), self.dtype)
        size = self.block_rows
        parts = [
            self._block(k)[max(first - k * size, 0) : last - k * size] for k in range(first // size, -(-last // size))
        ]
        return parts[0] if len(parts) == 1 else np.concatenate(parts)

    def blocks(self) -> Iterator[tuple[int, int, np.ndarray]]:
        """(first, last, rows) of every block in turn; none is kept at the end."""
        for first in range(0, len(self), self.block_rows):
            last = min(first + self.block_rows, len(self))
            yield first, last, self[first:last]
        self.close()

    def first_not_finite(self) -> tuple[str, int, int] | None:
        """What is not finite: its name, its column, and its first row in the block; None for nothing."""
        for first, _, rows in self.blocks():
            if found := first_not_finite(rows):
                what, column, bad = found
                return what, int(column), first + int(bad[0])
        return None

    def digest(self) -> str:
        """Hash of the rows, read once, and how they are cut: another ``memory`` sums in another order."""
        running = hashlib.blake2b(digest_size=16)
        for _, _, rows in self.blocks():
            running.update(np.ascontiguousarray(rows).data)
        return f"in blocks of {self.block_rows} rows #{running.hexdigest()}"

    def close(self) -> None:
        """Let go of the rows held and of the reading thread; the stream can be used again."""
        with self._lock:
            self._blocks.clear()
            if self._reader is not None:
                self._reader.shutdown(cancel_futures=True)
                self._reader = None

    def release(self) -> None:
        """Let go of all that a fit had read."""
        self.close()

    def _block(self, k: int) -> np.ndarray:
        with self._lock:
            for wanted in (k, k + 1):
                first = wanted * self.block_rows
                if first >= len(self):
                    continue
                if wanted not in self._blocks:
                    self._blocks[wanted] = self._submit(first, min(first + self.block_rows, len(self)))
                # the block read ahead was asked for as lately as this one
                self._blocks.move_to_end(wanted)
            while len(self._blocks) > BLOCKS_EACH * self.n_workers:
                self._blocks.popitem(last=False)
            block = self._blocks[k]
        return block.result()

    def _submit(self, first: int, last: int) -> Future:
        if self._reader is None:
            # one thread: HDF5 has one lock anyway, and disks like their rows in order
            self._reader = ThreadPoolExecutor(1, "popglm-reader")
        return self._reader.submit(self._read, first, last)

    def _read(self, first: int, last: int) -> np.ndarray:
        stored = self.source[first:last]
        if hasattr(stored, "compute"):
            # a dask array: all of the block at once
            stored = stored.compute()
        rows = np.empty((last - first, self.shape[1]), self.dtype)
        for a in range(0, len(rows), PIECE):
            piece = np.asarray(stored[a : a + PIECE])
            into = rows[a : a + PIECE]
            if self.center is None:
                into[:] = piece
            elif piece.dtype == into.dtype == np.float32:
                # as good as a difference in float64, and several times as fast: what float32 cannot say of the center
                # is taken off when the large part is gone
                np.subtract(piece, self._coarse, out=into)
                into -= self._fine
            else:
                into[:] = piece - self.center
            if self.unit is not None:
                into /= self.unit
        return rows


class _Columns:
    """Some columns of an array on disk."""

    def __init__(self, source: Any, kept: np.ndarray) -> None:
        self.source, self.kept = source, kept
        self.shape, self.dtype = (source.shape[0], max(len(kept), 1)), source.dtype
        self.chunks = getattr(source, "chunks", None)

    def __getitem__(self, rows: slice) -> np.ndarray:
        stored = np.asarray(self.source[rows])
        return stored[:, self.kept] if len(self.kept) else np.zeros((len(stored), 1), self.dtype)


def is_streamed(X: Any) -> bool:
    """Whether X is read in blocks: a `RowStream`, or an array on disk larger than `MEMORY`.

    Parameters
    ----------
    X : object
        Arrays and tables in memory, of any library, are not.

    Returns
    -------
    bool

    Examples
    --------
    >>> import numpy as np
    >>> from popglm.solve.stream import is_streamed
    >>> is_streamed(np.zeros((10, 2)))
    False
    """
    if isinstance(X, RowStream):
        return True
    if isinstance(X, np.memmap):
        # the result of an operation on a map is of its class, and in memory
        on_disk = getattr(X, "_mmap", None) is not None
    else:
        # in memory: NumPy, PyTorch, JAX; TensorFlow; pandas, xarray; SciPy's sparse matrices
        marks = ("__array_interface__", "__dlpack__", "numpy", "to_numpy", "tocsr")
        on_disk = all(hasattr(X, name) for name in ("shape", "dtype", "__getitem__"))
        on_disk = on_disk and not any(hasattr(X, name) for name in marks)
    return on_disk and int(np.prod(X.shape, dtype=float)) * 4 > MEMORY


def read_rows(X: Any) -> Iterator[tuple[int, int, Any]]:
    """(first, last, rows) of a matrix in turn: blocks of a `RowStream`, all at once of anything else.

    Parameters
    ----------
    X : RowStream or array, shape (n_samples, n_features)

    Yields
    ------
    first, last : int
    rows : ndarray, shape (last - first, n_features)

    Examples
    --------
    >>> import numpy as np
    >>> from popglm.solve.stream import read_rows
    >>> [(first, last) for first, last, _ in read_rows(np.zeros((10, 2)))]
    [(0, 10)]
    """
    if isinstance(X, RowStream):
        yield from X.blocks()
    else:
        yield 0, len(X), X


@contextmanager
def released(X: Any) -> Iterator[None]:
    """Have a stream let go of what a fit had read, however that ends.

    Parameters
    ----------
    X : RowStream or array, shape (n_samples, n_features)

    Examples
    --------
    >>> import numpy as np
    >>> from popglm.solve.stream import RowStream, released
    >>> stream = RowStream(np.zeros((10, 2)))
    >>> with released(stream):
    ...     len(stream[:4])
    4
    """
    try:
        yield
    finally:
        if isinstance(X, RowStream):
            X.release()


def check_stream(X: Any) -> RowStream:
    """A stream of X without NaN or inf.

    Parameters
    ----------
    X : RowStream or array on disk, shape (n_samples, n_features)

    Returns
    -------
    RowStream

    Raises
    ------
    ValueError
        Naming the first column and row with NaN or inf.
    """
    stream = X if isinstance(X, RowStream) else RowStream(X)
    if found := stream.first_not_finite():
        what, column, row = found
        stream.close()
        raise ValueError(f"X contains {what} in column {column}, first in row {row}. {remedy_for(what)}")
    return stream
