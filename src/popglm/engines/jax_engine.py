"""JAX: passes over samples compiled by XLA, in calls of one shape."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import lru_cache, partial, wraps
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from popglm.engines.arrays import as_numpy, library_of
from popglm.engines.devices import absent, words
from popglm.engines.windows import WindowedEngine

__all__ = ["JaxEngine"]


class JaxEngine(WindowedEngine):
    """`NumpyEngine` with the arrays over samples in JAX.

    Double precision is switched on inside a session and inside compiled functions alone, for the calling thread.

    Parameters
    ----------
    precision : {"float32", "tf32", "float64"}
    device : str, optional
        A platform of JAX with or without a number, ``"cpu"``, ``"cuda"``, ``"cuda:1"``, ``"tpu"``; JAX's default
        device unless given.

    Raises
    ------
    ValueError
        For a device that is not there.
    """

    name = "jax"
    xp = jnp

    def __init__(self, precision: str = "float32", device: str | None = None) -> None:
        self._device = _find(device)
        super().__init__(precision, self._device.platform != "cpu", window=2048)
        self.device = device or words(self._device.platform, self._device.id)

    def asarray(self, a: Any) -> jax.Array:
        """See `NumpyEngine.asarray`."""
        with _double():
            if library_of(a) == "jax":
                return jax.device_put(a.astype(self.dtype), self._device)
            return jax.device_put(np.asarray(as_numpy(a), self.dtype), self._device)

    def index(self, a: np.ndarray) -> jax.Array:
        """See `NumpyEngine.index`."""
        return jax.device_put(a.astype(np.int32), self._device)

    def synchronize(self) -> None:
        """See `NumpyEngine.synchronize`."""
        jax.effects_barrier()
        jax.device_put(0, self._device).block_until_ready()

    @classmethod
    def compile(cls, function: Callable[..., Any], *static: Any) -> Callable[..., Any]:
        """See `NumpyEngine.compile`."""
        return _compiled(function, static)

    @contextmanager
    def _products(self, rounded: bool) -> Iterator[None]:
        # types are what they are, in double precision too
        with _double(), jax.default_matmul_precision("tensorfloat32" if rounded else "highest"):
            yield

    @staticmethod
    def exp(a: jax.Array) -> jax.Array:
        """See `NumpyEngine.exp`."""
        return jnp.exp(a)

    @staticmethod
    def block(a: jax.Array, neurons: jax.Array | None, start: Any, size: int) -> jax.Array:
        """See `NumpyEngine.block`."""
        part = jax.lax.dynamic_slice_in_dim(a, start, size, axis=a.ndim - 1)
        return part if neurons is None or a.ndim == 1 else jnp.take(part, neurons, axis=0)

    @staticmethod
    def rows(a: jax.Array, start: Any, size: int) -> jax.Array:
        """See `NumpyEngine.rows`."""
        return jax.lax.dynamic_slice_in_dim(a, start, size, axis=0)

    @staticmethod
    def sum64(a: jax.Array, axis: int) -> jax.Array:
        """See `NumpyEngine.sum64`."""
        return jnp.sum(a, axis=axis, dtype=jnp.float64)

    @staticmethod
    def inverse(a: jax.Array) -> jax.Array:
        """See `NumpyEngine.inverse`."""
        return jnp.linalg.inv(a.astype(jnp.float64)).astype(a.dtype)


def _double() -> Any:
    # for this thread and this block of code, not for the process
    return jax.enable_x64(True)


def _in_double(function: Callable[..., Any]) -> Callable[..., Any]:
    @wraps(function)
    def call(*args: Any) -> Any:
        with _double():
            return function(*args)

    return call


@lru_cache(maxsize=256)
def _compiled(function: Callable[..., Any], static: tuple) -> Callable[..., Any]:
    return _in_double(jax.jit(partial(function, *static)))


def _find(device: str | None) -> Any:
    if device is None:
        # honours jax.default_device()
        return next(iter(jnp.zeros(()).devices()))
    kind, _, number = device.partition(":")
    try:
        return jax.devices(kind)[int(number or 0)]
    except (RuntimeError, IndexError, ValueError) as error:
        there = [words(d.platform, d.id) for d in [*jax.devices(), *jax.devices("cpu")]]
        raise absent(device, "jax", "JAX", there) from error
