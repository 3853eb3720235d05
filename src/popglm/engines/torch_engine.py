"""PyTorch: plain tensor operations on the CPU's threads; on an accelerator compiled ones where they are repeated."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial
from typing import Any

import numpy as np
import torch
from threadpoolctl import threadpool_limits

from popglm.engines import torch_namespace
from popglm.engines.arrays import as_numpy
from popglm.engines.devices import absent, words
from popglm.engines.numpy_engine import NumpyEngine
from popglm.engines.torch_compile import Fused, fused

__all__ = ["TorchEngine"]

log = logging.getLogger("popglm")


class TorchEngine(NumpyEngine):
    """`NumpyEngine` with the arrays over samples in PyTorch.

    Parameters
    ----------
    precision : {"float32", "tf32", "float64"}
    device : str, optional
        As in `torch.device`; PyTorch's default device unless given.

    Attributes
    ----------
    compiler : str, callable or None
        The ``backend`` of `torch.compile` for what `fuse` takes: "inductor" on CUDA devices. Elsewhere, and where it
        has failed, None: such functions run as they are.

    Raises
    ------
    ValueError
        For a device that PyTorch does not know or that is not there, or that has no float64.
    """

    name = "torch"
    xp = torch_namespace

    def __init__(self, precision: str = "float32", device: str | None = None) -> None:
        super().__init__(precision)
        self._device = _find(device)
        self.device = str(self._device)
        self.is_accelerator = self._device.type != "cpu"
        if self._device.type == "mps" and self.dtype == np.float64:
            raise ValueError("precision='float64' is not to be had on device='mps'; use 'float32' or device='cpu'.")
        if self.is_accelerator:
            self.n_streams = 1
        self.compiler: Any = "inductor" if self._device.type == "cuda" else None

    def _start_worker(self) -> None:
        # one thread of PyTorch for each of ours: the number belongs to a thread, and the user's own keep theirs.
        # PyTorch sets it when a thread first asks, so that must be over before
        torch.get_num_threads()
        threadpool_limits(1, user_api="openmp")

    def row_chunks(self, n_rows: int) -> list[tuple[int, int]]:
        """As `NumpyEngine.row_chunks` on a CPU; long chunks on an accelerator."""
        if not self.is_accelerator:
            return super().row_chunks(n_rows)
        return [(a, min(a + 16384, n_rows)) for a in range(0, n_rows, 16384)]

    def keeps_bits(self, X: Any, n_rows: int, n_stacks: int) -> bool:
        """Never: the number of PyTorch's threads, and so the kernel, belongs to the calling thread."""
        return False

    def asarray(self, a: Any) -> torch.Tensor:
        """See `NumpyEngine.asarray`."""
        dtype = getattr(torch, self.dtype.name)
        if not isinstance(a, torch.Tensor):
            a = _tensor(np.asarray(as_numpy(a)))
        return self._to_device(a.detach(), dtype)

    def index(self, a: np.ndarray) -> torch.Tensor:
        """See `NumpyEngine.index`."""
        return self._to_device(_tensor(a))

    def _to_device(self, a: torch.Tensor, dtype: torch.dtype | None = None) -> torch.Tensor:
        # a copy to a GPU that may block waits until everything before it is done. From memory that is not pinned it is
        # staged before the call returns, so that the array may change or go afterwards
        return a.to(device=self._device, dtype=dtype, non_blocking=self._device.type == "cuda")

    def synchronize(self) -> None:
        """See `NumpyEngine.synchronize`."""
        if self._device.type == "cuda":
            torch.cuda.synchronize(self._device)
        elif self._device.type == "mps":
            torch.mps.synchronize()

    def fuse(self, function: Callable[..., Any], *static: Any) -> Callable[..., Any]:
        """See `NumpyEngine.fuse`."""
        if self.compiler is None:
            return super().fuse(function, *static)
        return partial(self._run, fused(function, (type(self), *static), self.compiler))

    def _run(self, function: Fused, *arrays: Any) -> Any:
        """Run it compiled; as it is, from now on, where that cannot be done."""
        if self.compiler is None:
            return function.plain(*arrays)
        try:
            return function(*arrays)
        except torch.cuda.OutOfMemoryError:
            raise
        except Exception as error:
            # what is wrong with the arrays, and no fault of the compiler, fails here too
            found = function.plain(*arrays)
            reason = f"{type(error).__name__}: {error}".splitlines()[0]
            log.warning(
                "PyTorch cannot compile for %s and goes on without, which takes longer (%s).", self.device, reason
            )
            self.compiler = None
            return found

    @contextmanager
    def _products(self, rounded: bool) -> Iterator[None]:
        # a setting of the whole process: it is put back, and touched only where it means something
        if self._device.type != "cuda":
            yield
            return
        products = torch.backends.cuda.matmul
        # PyTorch 2.9 has a switch of its own for these products, and complains where the one before was used beside it
        name: str = "allow_tf32"
        value: bool | str = rounded
        if hasattr(products, "fp32_precision"):
            name, value = "fp32_precision", "tf32" if rounded else "ieee"
        before = getattr(products, name)
        setattr(products, name, value)
        try:
            yield
        finally:
            setattr(products, name, before)

    @staticmethod
    def exp(a: torch.Tensor) -> torch.Tensor:
        """See `NumpyEngine.exp`."""
        return a.exp_()

    @staticmethod
    def sum64(a: torch.Tensor, axis: int) -> torch.Tensor:
        """See `NumpyEngine.sum64`."""
        return a.sum(dim=axis, dtype=None if a.device.type == "mps" else torch.float64)

    @staticmethod
    def inverse(a: torch.Tensor) -> torch.Tensor:
        """See `NumpyEngine.inverse`."""
        wide = a if a.device.type == "mps" else a.double()
        # `torch.linalg.inv` would wait for the device, to see whether there is one
        return torch.linalg.inv_ex(wide).inverse.to(a.dtype)


def _tensor(a: np.ndarray) -> torch.Tensor:
    # PyTorch warns of arrays that it could write to and NumPy could not, and has no negative strides
    return torch.from_numpy(a if a.flags.writeable and min(a.strides, default=1) >= 0 else a.copy())


def _find(device: str | None) -> torch.device:
    if device is None:
        return torch.get_default_device()
    try:
        found = torch.device(device)
        # whether it is there shows only in use
        torch.empty(1, device=found)
    except (RuntimeError, AssertionError, NotImplementedError) as error:
        there = ["cpu", *(words("cuda", k) for k in range(torch.cuda.device_count()))]
        if torch.backends.mps.is_available():
            there.append("mps")
        raise absent(device, "torch", "PyTorch", there) from error
    return found
