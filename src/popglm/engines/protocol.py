"""What the solver asks of an array library: the one interface that an engine has."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import AbstractContextManager
from typing import Any, ClassVar, Protocol

import numpy as np

__all__ = ["Engine"]

#: An array of the engine's library.
Array = Any


class Engine(Protocol):
    """One array library on one device.

    `popglm.engines.NumpyEngine` is an engine, and the other engines inherit from it what is NumPy under every library:
    worker threads and small products on the host.

    Attributes
    ----------
    name : str
        The value of ``engine=``.
    xp : module
        Array namespace: the part of the array-API standard that the solver uses.
    dtype : numpy.dtype
        Type of arrays over samples.
    fast : bool
        Whether products may be rounded to TF32 on the way to the certificate.
    device : str
        As in ``device=``.
    is_accelerator : bool
        Whether the device is not the CPU.
    n_workers, n_streams : int
        Worker threads; how many of them may each make a pass over samples.
    side_by_side : bool
        Whether `map` hands calls to the worker threads; a fit that is too small for it says so.
    window : int or None
        Rows of every call of a compiled pass, or None where calls may have any number of rows.
    """

    name: ClassVar[str]
    xp: Any
    dtype: np.dtype
    fast: bool
    device: str
    is_accelerator: bool
    n_workers: int
    n_streams: int
    side_by_side: bool
    window: int | None

    # the worker threads

    def session(self) -> AbstractContextManager[None]:
        """Hold threads or a device, and the arrays that were placed, while a fit runs."""

    def map(self, function: Callable[..., Any], arguments: list[tuple]) -> list[Any]:
        """Call ``function(*args)`` for every entry, in parallel; results in order."""

    def row_chunks(self, n_rows: int) -> list[tuple[int, int]]:
        """Ranges of rows that fit a cache; they depend on nothing but ``n_rows`` and the machine."""

    # small products on the host

    def pad(self, A: np.ndarray) -> np.ndarray:
        """Rows of A, the last one repeated, up to a number of rows that the library likes."""

    def keeps_bits(self, X: Any, n_rows: int, n_stacks: int) -> bool:
        """Whether up to ``n_rows`` rows of products with X and Xᵀ have the same bits alone, padded, as in a stack."""

    def product(self, A: np.ndarray, B: np.ndarray) -> np.ndarray:
        """AB of NumPy arrays, each row the same bits whatever other rows A has."""

    # placement

    def asarray(self, a: Any) -> Array:
        """``a`` in the library, on the device, in ``dtype``; without a copy where that is possible."""

    def index(self, a: np.ndarray) -> Array:
        """Whole numbers as an index of `Array`."""

    def to_numpy(self, a: Array) -> np.ndarray:
        """``a`` as a NumPy array."""

    def place(self, a: np.ndarray | None) -> Array:
        """`asarray`, once for every array of a session."""

    def displace(self, a: np.ndarray) -> None:
        """Let go of what `place` made of an array."""

    def synchronize(self) -> None:
        """Wait until the device has done what it was given."""

    # compilation

    @classmethod
    def compile(cls, function: Callable[..., Any], *static: Any) -> Callable[..., Any]:
        """``function`` with its first arguments bound, compiled where the library compiles."""

    def fuse(self, function: Callable[..., Any], *static: Any) -> Callable[..., Any]:
        """``function(ops, *static, …)`` of arrays of few shapes, compiled where that pays; ``ops`` is the class."""

    def exact_products(self) -> AbstractContextManager[None]:
        """Matrix products in the full precision of their arrays."""

    def fast_products(self) -> AbstractContextManager[None]:
        """Products in TF32, where that is asked for and the device can."""

    # kernels of compiled passes, which engines of a class share

    @staticmethod
    def exp(a: Array) -> Array:
        """exp(a), in place where the library can."""

    @staticmethod
    def block(a: Array, neurons: Array | None, start: Any, size: int) -> Array:
        """Rows ``start … start + size`` of the samples, the last axis of a, for some neurons (None: all)."""

    @staticmethod
    def rows(a: Array, start: Any, size: int) -> Array:
        """Rows ``start … start + size`` of a."""

    @staticmethod
    def sum64(a: Array, axis: int) -> Array:
        """Sum in float64, where the device has it."""

    @staticmethod
    def inverse(a: Array) -> Array:
        """Inverses of matrices (n, m, m), in float64 where the device has it; not finite where there is none."""
