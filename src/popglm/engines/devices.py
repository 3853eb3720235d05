"""Devices in the words of ``device=``, the same for all libraries."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from popglm.engines.arrays import library_of

__all__ = ["absent", "device_of", "words"]

#: What JAX and TensorFlow call a graphics processor.
NAMES = {"gpu": "cuda"}


def device_of(a: Any) -> str | None:
    """The device of an array of one of the three libraries, in the words of ``device=``; None for other arrays."""
    match library_of(a):
        case "torch":
            return str(a.device)
        case "tensorflow":
            _, _, name = a.device.lower().rpartition("device:")
            kind, _, number = name.partition(":")
            return words(kind or "cpu", int(number or 0))
        case "jax":
            # an array that is spread over several devices counts as on the first
            first = min(a.devices(), key=lambda device: device.id)
            # the number within its kind: identifiers are unique over all kinds on some platforms
            return words(first.platform, getattr(first, "local_hardware_id", None) or first.id)
    return None


def words(kind: str, number: int) -> str:
    """A device in the words of ``device=``.

    Examples
    --------
    >>> words("gpu", 0), words("gpu", 1)
    ('cuda', 'cuda:1')
    """
    kind = NAMES.get(kind, kind)
    return kind if not number else f"{kind}:{number}"


def absent(device: str, engine: str, library: str, there: Iterable[str]) -> ValueError:
    """The complaint about a device that is not there; ``there`` are those that the library finds.

    Examples
    --------
    >>> absent("cuda", "torch", "PyTorch", ["cpu"])
    ValueError("device='cuda' cannot be used by engine='torch'; PyTorch finds cpu here.")
    """
    found = ", ".join(dict.fromkeys(there))
    return ValueError(f"device={device!r} cannot be used by engine={engine!r}; {library} finds {found} here.")
