"""`torch.compile` for functions that are called over and over with arrays of few shapes.

Compiled are the passes over samples, where the many elementwise operations between two matrix products become one or
two kernels, and the steps of a model, where small kernels become fewer. The matrix products stay those of the vendor's
library: searching for better ones ("max-autotune") takes minutes for each shape, and would fix TF32 at compile time.
CUDA graphs ("reduce-overhead") are not used: results would lie in memory that the next call overwrites, and the state
of the solver is such results, kept from call to call.
"""

from __future__ import annotations

import warnings
from collections.abc import Callable
from functools import lru_cache, partial
from types import FunctionType
from typing import Any

import torch

__all__ = ["Fused", "fused"]


class Fused:
    """A function of tensors, tuples of tensors and None, compiled once for all calls with the same shapes.

    Parameters
    ----------
    function : callable
    static : tuple
        Its first arguments.
    compiler : str or callable
        The ``backend`` of `torch.compile`.

    Attributes
    ----------
    plain : callable
        The function as it is.
    """

    def __init__(self, function: Callable[..., Any], static: tuple, compiler: Any) -> None:
        self.plain, self.compiler = partial(function, *static), compiler
        self._function, self._static = function, static
        self._compiled: dict[Any, Callable[..., Any]] = {}

    def __call__(self, *arrays: Any) -> Any:
        arrays = _distinct(arrays, set())
        shapes = _shapes(arrays)
        if shapes in self._compiled:
            return self._compiled[shapes](*arrays)
        compiled = torch.compile(self._copy(), backend=self.compiler, dynamic=False, fullgraph=True)
        with warnings.catch_warnings():
            # advice to allow TF32, which is what precision= is for
            warnings.simplefilter("ignore")
            found = compiled(*arrays)
        self._compiled[shapes] = compiled
        return found

    def _copy(self) -> Callable[..., Any]:
        """The function with code of its own: PyTorch compiles no piece of code for more than a few shapes."""
        function, static = self._function, self._static

        def call(*arrays: Any) -> Any:
            return function(*static, *arrays)

        code = call.__code__.replace(co_name=function.__name__)
        return FunctionType(code, call.__globals__, function.__name__, closure=call.__closure__)


@lru_cache(maxsize=256)
def fused(function: Callable[..., Any], static: tuple, compiler: Any) -> Fused:
    """The `Fused` function, one for all engines and fits."""
    return Fused(function, static, compiler)


def _shapes(a: Any) -> Any:
    if isinstance(a, tuple):
        return tuple(map(_shapes, a))
    return None if a is None else (a.shape, a.stride(), a.dtype, a.device)


def _distinct(a: Any, seen: set[int]) -> Any:
    """A tensor that was met before as a copy: what is compiled for one tensor in two places does not serve for two."""
    if isinstance(a, tuple):
        parts = [_distinct(one, seen) for one in a]
        return a._make(parts) if hasattr(a, "_make") else tuple(parts)
    if a is not None and id(a) in seen:
        return a.clone()
    seen.add(id(a))
    return a
