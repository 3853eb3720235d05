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
from popglm.engines.devices import absent, words
from popglm.engines.windows import WindowedEngine

__all__ = ["TensorflowEngine"]


class TensorflowEngine(WindowedEngine):
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
        self.device, self._tf_device = _find(device)
        super().__init__(precision, not self.device.startswith("cpu"), window=4096)

    @contextmanager
    def session(self) -> Iterator[None]:
        """See `NumpyEngine.session`."""
        with tf.device(self._tf_device), super().session():
            yield

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
        # whether products may be rounded is decided where XLA compiles them
        return _compiled(function, static, tf.config.experimental.tensor_float_32_execution_enabled())

    @contextmanager
    def _products(self, rounded: bool) -> Iterator[None]:
        # a setting of the whole process: it is put back, and touched only where it means something
        if not self.is_accelerator:
            yield
            return
        settings = tf.config.experimental
        before = settings.tensor_float_32_execution_enabled()
        settings.enable_tensor_float_32_execution(rounded)
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
        part = tf.gather(a, start + tf.range(size), axis=-1)
        return part if neurons is None or len(a.shape) == 1 else tf.gather(part, neurons)

    @staticmethod
    def rows(a: tf.Tensor, start: Any, size: int) -> tf.Tensor:
        """See `NumpyEngine.rows`."""
        # of a slice XLA would make a new program for every place where it begins
        return tf.gather(a, start + tf.range(size))

    @staticmethod
    def sum64(a: tf.Tensor, axis: int) -> tf.Tensor:
        """See `NumpyEngine.sum64`."""
        return tf.reduce_sum(tf.cast(a, tf.float64), axis=axis)

    @staticmethod
    def inverse(a: tf.Tensor) -> tf.Tensor:
        """See `NumpyEngine.inverse`."""
        return tf.cast(tf.linalg.inv(tf.cast(a, tf.float64)), a.dtype)


@lru_cache(maxsize=256)
def _compiled(function: Callable[..., Any], static: tuple, rounded: bool) -> Callable[..., Any]:
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
        raise absent(device, "tensorflow", "TensorFlow", ["cpu", *(words("gpu", k) for k in range(len(gpus)))])
    return device, names[device]
