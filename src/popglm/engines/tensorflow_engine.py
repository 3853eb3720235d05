"""TensorFlow: passes over samples as graphs, in calls of one shape."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import lru_cache, partial
from typing import Any

import numpy as np
import tensorflow as tf

from popglm.engines import tensorflow_namespace
from popglm.engines.arrays import as_numpy
from popglm.engines.numpy_engine import NumpyEngine
from popglm.engines.windows import bucket, equal_chunks

__all__ = ["TensorflowEngine"]


class TensorflowEngine(NumpyEngine):
    """`NumpyEngine` with the arrays over samples in TensorFlow.

    Parameters
    ----------
    precision : {"float32", "tf32", "float64"}
    device : str, optional
        ``"cpu"``, ``"cuda"`` (TensorFlow's GPU), ``"cuda:1"``; the first GPU that TensorFlow sees, else the CPU, unless
        given.

    Raises
    ------
    ValueError
        For a device that is not there.
    """

    name = "tensorflow"
    xp = tensorflow_namespace

    def __init__(self, precision: str = "float32", device: str | None = None) -> None:
        super().__init__(precision)
        self.device, self._tf_device = _find(device)
        self.is_accelerator = not self.device.startswith("cpu")
        self.window = 16384 if self.is_accelerator else 4096
        # TensorFlow has threads of its own
        self.n_streams = 1

    @contextmanager
    def session(self) -> Iterator[None]:
        """See `NumpyEngine.session`."""
        with tf.device(self._tf_device), super().session():
            yield

    def row_chunks(self, n_rows: int) -> list[tuple[int, int]]:
        """Chunks of `window` rows, the last one of what is left."""
        return equal_chunks(n_rows, self.window)

    @staticmethod
    def pad(A: np.ndarray) -> np.ndarray:
        """Rows of A, its last one repeated up to the next of a few sizes, so that few shapes are traced.

        How TensorFlow sums a row may depend on the size: the last bits of a neuron can depend on how many others
        there are.
        """
        return bucket(A)

    def asarray(self, a: Any) -> tf.Tensor:
        """See `NumpyEngine.asarray`."""
        with tf.device(self._tf_device):
            if isinstance(a, tf.Tensor | tf.Variable):
                return tf.identity(tf.cast(a, self.dtype))
            return tf.convert_to_tensor(np.asarray(as_numpy(a), self.dtype))

    def index(self, a: np.ndarray) -> tf.Tensor:
        """See `NumpyEngine.index`."""
        # TensorFlow keeps 32-bit indices on the host of a GPU
        with tf.device(self._tf_device):
            return tf.convert_to_tensor(a.astype(np.int64 if self.is_accelerator else np.int32))

    def synchronize(self) -> None:
        """See `NumpyEngine.synchronize`."""
        tf.test.experimental.sync_devices()

    @classmethod
    def compile(cls, function: Callable[..., Any], *static: Any) -> Callable[..., Any]:
        """See `NumpyEngine.compile`."""
        return _compiled(function, static) if static else tf.function(function, autograph=False, jit_compile=True)

    @contextmanager
    def exact_products(self) -> Iterator[None]:
        """See `NumpyEngine.exact_products`."""
        with self._tf32(False):
            yield

    @contextmanager
    def fast_products(self) -> Iterator[None]:
        """See `NumpyEngine.fast_products`."""
        with self._tf32(self.fast):
            yield

    @contextmanager
    def _tf32(self, allowed: bool) -> Iterator[None]:
        # a setting of the whole process: it is put back, and touched only where it means something
        if not self.is_accelerator:
            yield
            return
        settings = tf.config.experimental
        before = settings.tensor_float_32_execution_enabled()
        settings.enable_tensor_float_32_execution(allowed)
        try:
            yield
        finally:
            settings.enable_tensor_float_32_execution(before)

    @staticmethod
    def exp(a: tf.Tensor) -> tf.Tensor:
        """See `NumpyEngine.exp`."""
        return tf.exp(a)

    @staticmethod
    def block(a: tf.Tensor, neurons: tf.Tensor | None, start: Any, size: int) -> tf.Tensor:
        """See `NumpyEngine.block`."""
        if len(a.shape) == 1:
            return tf.slice(a, [start], [size])
        part = tf.slice(a, [0, start], [a.shape[0], size])
        return part if neurons is None else tf.gather(part, neurons)

    @staticmethod
    def rows(a: tf.Tensor, start: Any, size: int) -> tf.Tensor:
        """See `NumpyEngine.rows`."""
        return tf.slice(a, [start, 0], [size, a.shape[1]])

    @staticmethod
    def sum64(a: tf.Tensor, axis: int) -> tf.Tensor:
        """See `NumpyEngine.sum64`."""
        return tf.reduce_sum(tf.cast(a, tf.float64), axis=axis)


@lru_cache(maxsize=256)
def _compiled(function: Callable[..., Any], static: tuple) -> Callable[..., Any]:
    return tf.function(partial(function, *static), autograph=False, jit_compile=True)


def _find(device: str | None) -> tuple[str, str]:
    """The device in the words of ``device=`` and in TensorFlow's."""
    gpus = tf.config.list_logical_devices("GPU")
    names = {"cpu": "/CPU:0", "cpu:0": "/CPU:0"}
    for k in range(len(gpus)):
        names[f"cuda:{k}"] = names[f"gpu:{k}"] = f"/GPU:{k}"
    if gpus:
        names["cuda"] = names["gpu"] = "/GPU:0"
    device = device or ("cuda" if gpus else "cpu")
    if device not in names:
        there = ", ".join(["cpu", *(f"cuda:{k}" for k in range(len(gpus)))])
        raise ValueError(f"device={device!r} cannot be used by engine='tensorflow'; TensorFlow finds {there} here.")
    return device, names[device]
