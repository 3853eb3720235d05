"""The part of the array-API standard that the solver uses, in TensorFlow's words."""

from __future__ import annotations

from typing import Any

import tensorflow as tf

__all__ = [
    "abs", "arange", "asarray", "concat", "exp", "inf", "isfinite", "log", "log1p", "matmul",
    "matrix_transpose", "max", "maximum", "min", "minimum", "nan", "ones_like", "reshape", "sqrt", "stack", "sum",
    "take", "where", "zeros_like",
]  # fmt: skip

inf, nan = float("inf"), float("nan")
abs = tf.abs
arange = tf.range
exp = tf.exp
isfinite = tf.math.is_finite
log = tf.math.log
log1p = tf.math.log1p
matrix_transpose = tf.linalg.matrix_transpose
maximum = tf.maximum
minimum = tf.minimum
ones_like = tf.ones_like
reshape = tf.reshape
sqrt = tf.sqrt
stack = tf.stack
where = tf.where
zeros_like = tf.zeros_like


def asarray(a: Any, copy: bool | None = None) -> tf.Tensor:
    """A tensor; tensors are never written to, so that a copy is never needed."""
    return tf.convert_to_tensor(a)


def matmul(a: tf.Tensor, b: tf.Tensor) -> tf.Tensor:
    """Matrix product; ``b`` may be a vector."""
    return tf.linalg.matvec(a, b) if len(b.shape) == 1 else tf.linalg.matmul(a, b)


def concat(arrays: list[tf.Tensor], axis: int = 0) -> tf.Tensor:
    """Arrays one after the other along an axis."""
    return tf.concat(arrays, axis=axis)


def take(a: tf.Tensor, indices: tf.Tensor, axis: int = 0) -> tf.Tensor:
    """Entries at indices along an axis."""
    return tf.gather(a, indices, axis=axis)


def sum(a: tf.Tensor, axis: int | None = None, keepdims: bool = False) -> tf.Tensor:
    """Sum over an axis."""
    return tf.reduce_sum(a, axis=axis, keepdims=keepdims)


def max(a: tf.Tensor, axis: int | None = None, keepdims: bool = False) -> tf.Tensor:
    """Largest entry along an axis."""
    return tf.reduce_max(a, axis=axis, keepdims=keepdims)


def min(a: tf.Tensor, axis: int | None = None, keepdims: bool = False) -> tf.Tensor:
    """Smallest entry along an axis."""
    return tf.reduce_min(a, axis=axis, keepdims=keepdims)
