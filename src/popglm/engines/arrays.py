"""Arrays of any library to NumPy and back, by the name of their module: nothing is imported for it."""

from __future__ import annotations

from contextlib import nullcontext
from typing import Any

import numpy as np

__all__ = ["as_numpy", "library_of", "like"]


def library_of(a: Any) -> str | None:
    """``"torch"``, ``"tensorflow"`` or ``"jax"`` for an array of that library, else None.

    Examples
    --------
    >>> import numpy as np
    >>> library_of(np.zeros(3)) is None
    True
    """
    # a subclass, such as torch.nn.Parameter or one of the user's own, is one of its library's arrays too
    for kind in type(a).__mro__:
        module = kind.__module__.partition(".")[0]
        if module == "torch" and kind.__name__ == "Tensor":
            return "torch"
        if module == "tensorflow" and hasattr(a, "numpy") and hasattr(a, "dtype"):
            return "tensorflow"
        if module in ("jax", "jaxlib") and hasattr(a, "__array__"):
            return "jax"
    return None


def as_numpy(a: Any) -> Any:
    """An array of one of the three libraries as a NumPy array, sharing memory where it can; others as they are.

    Examples
    --------
    >>> as_numpy([1, 2])
    [1, 2]
    """
    match library_of(a):
        case "torch":
            a = a.detach()
            if str(a.dtype) == "torch.bfloat16":
                # NumPy has no such type
                a = a.float()
            return a.resolve_conj().resolve_neg().cpu().numpy()
        case "tensorflow":
            a = a.numpy()
        case "jax":
            a = np.asarray(a)
        case _:
            return a
    return a.astype(np.float32) if str(a.dtype) == "bfloat16" else a


def like(a: np.ndarray, template: Any, exact: bool = False) -> Any:
    """``a`` as an array of the library and on the device of ``template``, in its type where that is a real one.

    With ``exact`` it keeps the type of ``a``.
    """
    match library_of(template):
        case "torch":
            import torch

            dtype = template.dtype if template.dtype.is_floating_point and not exact else None
            # Apple's accelerators have no float64
            device = "cpu" if exact and template.device.type == "mps" else template.device
            return torch.from_numpy(np.ascontiguousarray(a)).to(device=device, dtype=dtype)
        case "tensorflow":
            import tensorflow as tf

            with tf.device(template.device):
                tensor = tf.convert_to_tensor(a)
                return tf.cast(tensor, template.dtype) if template.dtype.is_floating and not exact else tensor
        case "jax":
            import jax

            # a whole number has no room for a mean
            values = a.astype(template.dtype) if "float" in str(template.dtype) and not exact else a
            device = min(template.devices(), key=lambda device: device.id)
            with jax.enable_x64(True) if exact else nullcontext():
                return jax.device_put(values, device)
    return a
