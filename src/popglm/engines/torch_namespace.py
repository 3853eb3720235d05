"""The part of the array-API standard that the solver uses, in PyTorch's words: nothing in it waits for the device."""

from __future__ import annotations

import torch
from array_api_compat import torch as standard

__all__ = [
    "abs", "arange", "asarray", "concat", "exp", "inf", "isfinite", "log", "log1p", "matmul",
    "matrix_transpose", "max", "maximum", "min", "minimum", "nan", "ones_like", "reshape", "sqrt", "stack", "sum",
    "take", "where", "zeros_like",
]  # fmt: skip

inf, nan = standard.inf, standard.nan
abs = standard.abs
arange = standard.arange
asarray = standard.asarray
concat = standard.concat
exp = standard.exp
isfinite = standard.isfinite
log = standard.log
log1p = standard.log1p
matmul = standard.matmul
matrix_transpose = standard.matrix_transpose
max = standard.max
min = standard.min
ones_like = standard.ones_like
reshape = standard.reshape
sqrt = standard.sqrt
stack = standard.stack
sum = standard.sum
take = standard.take
where = standard.where
zeros_like = standard.zeros_like


def maximum(a: torch.Tensor, b: float) -> torch.Tensor:
    """The larger one of every entry and a number, which as a tensor would have to be copied to the device."""
    return torch.clamp(a, min=b)


def minimum(a: torch.Tensor, b: float) -> torch.Tensor:
    """The smaller one of every entry and a number."""
    return torch.clamp(a, max=b)
