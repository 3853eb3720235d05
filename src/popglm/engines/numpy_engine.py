"""NumPy on a CPU: one worker thread per core, each with a single-threaded BLAS."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import AbstractContextManager, contextmanager
from functools import lru_cache, partial
from itertools import pairwise
from threading import current_thread
from typing import Any

import numpy as np

from popglm.engines.arrays import as_numpy
from popglm.engines.threads import single_blas_thread, usable_cores

__all__ = ["NumpyEngine", "inverses"]

WORKER = "popglm-worker"
#: Rows of whole tiles of BLAS, by bytes of a number; found by trial with OpenBLAS's kernels.
TILE = {4: 12, 8: 24}


class NumpyEngine:
    """What the solver needs from an array library, done with NumPy.

    The state of every neuron (weights, gradients, curvature pairs) is NumPy under every engine on a CPU; what an
    engine of another library adds is where the passes over samples run. So the other engines inherit the worker
    threads and the small products from this one, and replace the rest.

    Parameters
    ----------
    precision : {"float32", "tf32", "float64"}
        Type of every array with ``n_samples`` entries along an axis; "tf32" is float32 whose products may be rounded
        until the certificate where the device can do that.
    n_workers : int, optional
        Threads; the number of usable cores unless given.

    Attributes
    ----------
    xp : module
        The array namespace.
    dtype : numpy.dtype
        Type of arrays over samples.
    device : str
    is_accelerator : bool
        Whether the device is not the CPU.
    n_workers, n_streams : int
        Worker threads; how many of them may each make a pass over samples (the others' libraries have own threads).
    side_by_side : bool
        Whether `map` hands calls to the worker threads. A session begins so; a fit that is too small for it says so.
    window : int or None
        Rows of every call of a compiled pass, or None where calls may have any number of rows.

    Examples
    --------
    >>> from popglm.engines import NumpyEngine
    >>> engine = NumpyEngine("float64", n_workers=2)
    >>> with engine.session():
    ...     engine.map(lambda first, last: last - first, [(0, 3), (3, 7)])
    [3, 4]
    """

    name = "numpy"
    xp: Any = np
    device = "cpu"
    is_accelerator = False
    window: int | None = None
    side_by_side = True

    def __init__(self, precision: str = "float32", n_workers: int | None = None) -> None:
        self.fast = precision == "tf32"
        self.dtype = np.dtype("float32" if self.fast else precision)
        self.n_workers = n_workers or usable_cores()
        self.n_streams = self.n_workers
        self._pool: ThreadPoolExecutor | None = None
        self._placed: dict[int, tuple[Any, Any]] | None = None

    # the worker threads

    @contextmanager
    def session(self) -> Iterator[None]:
        """Hold the worker threads, one BLAS thread for each, and the arrays that were placed, while a fit runs."""
        workers = ThreadPoolExecutor(self.n_workers, WORKER, self._start_worker)
        with single_blas_thread(), workers as pool, self.exact_products():
            self._pool, self._placed, self.side_by_side = pool, {}, True
            try:
                yield
            finally:
                self._pool, self._placed = None, None

    def _start_worker(self) -> None:
        """What a worker thread does first."""

    def map(self, function: Callable[..., Any], arguments: list[tuple]) -> list[Any]:
        """Call ``function(*args)`` for every entry, in parallel; results in order."""

        def call(args: tuple) -> Any:
            # NumPy's error state belongs to a thread; callers look at what is not finite themselves
            with np.errstate(all="ignore"):
                return function(*args)

        # a worker that waited for others of its pool could wait for ever
        inside = current_thread().name.startswith(WORKER)
        if self._pool is None or len(arguments) < 2 or inside or not self.side_by_side:
            return [call(args) for args in arguments]
        return list(self._pool.map(call, arguments))

    def row_chunks(self, n_rows: int) -> list[tuple[int, int]]:
        """Split rows so that a chunk of a few hundred neurons fits in a core's cache.

        The edges depend on nothing else, so that the sums of one neuron do not depend on its company.
        """
        n_chunks = -(-n_rows // 1024)
        n_chunks = -(-n_chunks // self.n_workers) * self.n_workers if n_chunks > 1 else 1
        edges = np.linspace(0, n_rows, n_chunks + 1).astype(int).tolist()
        return [(a, b) for a, b in pairwise(edges) if b > a]

    # small products on the host

    @staticmethod
    def pad(A: np.ndarray) -> np.ndarray:
        """Rows of A, its last one repeated up to whole tiles of BLAS.

        A row of a product then has the same bits whatever rows stand beside it, but for small products of OpenBLAS's
        kernels for AVX-512, which are chosen by size.
        """
        missing = -len(A) % TILE[A.dtype.itemsize]
        return A if not missing else np.concatenate([A, np.repeat(A[-1:], missing, axis=0)])

    def keeps_bits(self, X: Any, n_rows: int, n_stacks: int) -> bool:
        """Whether rows of WXᵀ and RX have the same bits alone, padded, as in a stack: found by trial.

        Parameters
        ----------
        X : array, shape (n_samples, n_features)
        n_rows : int
            Of W and R at most, before they are padded.
        n_stacks : int
            How many of them lie in a stack.
        """
        tile = TILE[self.dtype.itemsize]
        n_tiles = max(1, n_stacks * -(-n_rows // tile))
        # up to the next power of two, so that fits of like sizes share one trial
        return _rows_keep_bits(X.shape[0], X.shape[1], self.dtype.name, tile, 2 ** (n_tiles - 1).bit_length())

    def product(self, A: np.ndarray, B: np.ndarray) -> np.ndarray:
        """AB, each row the same bits whatever other rows A has, where `pad` can see to that."""
        return (NumpyEngine.pad(A) @ B)[: len(A)]

    # placement

    def asarray(self, a: Any) -> Any:
        """``a`` in the engine's library, on its device, in its precision; without a copy where that is possible."""
        return np.asarray(as_numpy(a), dtype=self.dtype)

    def index(self, a: np.ndarray) -> Any:
        """Whole numbers ``a`` in the engine's library and on its device, as an index."""
        return a

    def to_numpy(self, a: Any) -> np.ndarray:
        """``a`` as a NumPy array, without a copy where that is possible."""
        return a if type(a) is np.ndarray else as_numpy(a)

    def place(self, a: np.ndarray | None) -> Any:
        """`asarray`, once for every array of a session: all folds use the arrays of the fit to all rows."""
        if a is None or self._placed is None:
            return None if a is None else self.asarray(a)
        if id(a) not in self._placed:
            # the array itself is held too, so that its id stays its own
            self._placed[id(a)] = a, self.asarray(a)
        return self._placed[id(a)][1]

    def displace(self, a: np.ndarray) -> None:
        """Let go of what `place` made of an array."""
        if self._placed is not None:
            self._placed.pop(id(a), None)

    def synchronize(self) -> None:
        """Wait until the device has done what it was given."""

    # compilation and kernels; the static ones serve compiled passes, which are shared by engines of a class

    @classmethod
    def compile(cls, function: Callable[..., Any], *static: Any) -> Callable[..., Any]:
        """``function`` with its first arguments bound to ``static``, compiled where the library compiles.

        With ``static`` (hashable) the compiled function is shared by all calls with the same arguments.
        """
        return partial(function, *static)

    def fuse(self, function: Callable[..., Any], *static: Any) -> Callable[..., Any]:
        """``function(ops, *static, …)`` of arrays alone, which come in few shapes, compiled where that pays at all.

        ``ops`` is the class of the engine.

        For what a fit does over and over: passes over samples, and the steps of a model.
        """
        return self.compile(function, type(self), *static)

    def exact_products(self) -> AbstractContextManager[None]:
        """Matrix products in the full precision of their arrays."""
        return self._products(rounded=False)

    def fast_products(self) -> AbstractContextManager[None]:
        """Products in TF32, where precision="tf32" and the device can do that."""
        return self._products(rounded=self.fast)

    @contextmanager
    def _products(self, rounded: bool) -> Iterator[None]:
        """Matrix products, in TF32 where they may be ``rounded`` and the device can do that."""
        yield

    @staticmethod
    def exp(a: np.ndarray) -> np.ndarray:
        """exp(a), in place where the library can."""
        return np.exp(a, out=a)

    @staticmethod
    def block(a: np.ndarray, neurons: np.ndarray | None, start: int, size: int) -> np.ndarray:
        """Rows ``start … start + size`` of the samples (the last axis of a) for some neurons (None: all)."""
        if a.ndim == 1:
            return a[start : start + size]
        return a[slice(None) if neurons is None else neurons, start : start + size]

    @staticmethod
    def rows(a: np.ndarray, start: int, size: int) -> np.ndarray:
        """Rows ``start … start + size`` of a."""
        return a[start : start + size]

    @staticmethod
    def sum64(a: np.ndarray, axis: int) -> np.ndarray:
        """Sum in float64, where the device has it."""
        return a.sum(axis=axis, dtype=float)

    @staticmethod
    def inverse(a: np.ndarray) -> np.ndarray:
        """Inverses of matrices (n, m, m), taken in float64 where the device has it; not finite where there is none."""
        return inverses(a.astype(float)).astype(a.dtype)


def inverses(A: np.ndarray) -> np.ndarray:
    """A⁻¹ (n, m, m); NaN where a matrix has none."""
    try:
        return np.linalg.inv(A)
    except np.linalg.LinAlgError:
        return np.concatenate([inverses(a) for a in A[:, None]]) if len(A) > 1 else np.full_like(A, np.nan)


@lru_cache(maxsize=256)
def _rows_keep_bits(n_samples: int, n_features: int, precision: str, tile: int, n_tiles: int) -> bool:
    """Whether rows of products with X (n_samples, n_features), and with Xᵀ, have the same bits anywhere in any stack.

    No library promises it, and kernels are chosen by size: so each size is tried that is twice the one before.
    """
    rng = np.random.default_rng(0)

    def numbers(*shape: int) -> np.ndarray:
        return rng.standard_normal(shape, dtype=np.float32).astype(precision)

    X = numbers(n_samples, n_features)
    for M in (X.T, X):
        A = numbers(n_tiles * tile, len(M))
        among = A @ M
        sizes = [tile * 2**k for k in range(n_tiles.bit_length() - 1)]
        if any((A[-size:] @ M != among[-size:]).any() for size in sizes):
            return False
        if (np.roll(A, -1, axis=0) @ M != np.roll(among, -1, axis=0)).any():
            return False
    return True
