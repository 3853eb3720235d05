"""Which library and which device: the arguments ``engine=`` and ``device=``, the arrays given, and the environment."""

from __future__ import annotations

import os
from importlib import import_module
from typing import Any

from popglm.engines.arrays import library_of
from popglm.engines.devices import device_of
from popglm.engines.numpy_engine import NumpyEngine
from popglm.messages import shown

__all__ = ["ENGINES", "choose_engine", "get_engine"]

#: The values of ``engine=`` besides "auto".
ENGINES = ("numpy", "torch", "tensorflow", "jax")
#: The environment variable that "auto" looks up.
VARIABLE = "POPGLM_ENGINE"


def choose_engine(name: str, *arrays: Any) -> str:
    """The library for ``engine=name``: "auto" takes that of the first array of another library than NumPy,
    else the one in ``POPGLM_ENGINE``, else NumPy.

    Raises
    ------
    ValueError
        For an unknown name.

    Examples
    --------
    >>> choose_engine("torch")
    'torch'
    """
    if not isinstance(name, str) or name not in ("auto", *ENGINES):
        raise ValueError(f"engine={shown(name)} is unknown; use one of auto, {', '.join(ENGINES)}.")
    if name != "auto":
        return name
    for array in arrays:
        found = library_of(array)
        if found is not None:
            return found
    wanted = os.environ.get(VARIABLE) or "auto"
    if wanted not in ("auto", *ENGINES):
        raise ValueError(f"{VARIABLE}={wanted!r} is unknown; use one of auto, {', '.join(ENGINES)}, or unset it.")
    return "numpy" if wanted == "auto" else wanted


def get_engine(name: str = "auto", device: str | None = None, precision: str = "float32", X: Any = None) -> Any:
    """An engine: one array library on one device.

    Parameters
    ----------
    name : {"auto", "numpy", "torch", "tensorflow", "jax"}
    device : str, optional
        ``"cpu"``, ``"cuda"``, ``"cuda:1"``, ``"mps"``, …; the device of X if X is an array of that library, else the
        one that the library itself puts new arrays on.
    precision : {"float32", "tf32", "float64"}
    X : array, optional
        The data, or a sequence of arrays: "auto" takes their library.

    Returns
    -------
    engine
        See `popglm.engines.NumpyEngine` for what it offers.

    Raises
    ------
    ValueError
        For an unknown name or a device that is not there.
    ImportError
        For a library that is not installed.

    Examples
    --------
    >>> get_engine("numpy", precision="float64").dtype
    dtype('float64')
    """
    arrays = X if isinstance(X, list | tuple) else [X]
    chosen = choose_engine(name, *arrays)
    if device is not None and not isinstance(device, str):
        raise ValueError(f"device={shown(device)} must be a string such as 'cpu' or 'cuda:1', or None.")
    if chosen == "numpy":
        if device not in (None, "cpu"):
            raise ValueError(
                f"device={device!r} is not for engine='numpy', which runs on the CPU; use engine='torch' or 'jax', or "
                "device=None."
            )
        return NumpyEngine(precision)
    if device is None:
        device = next((device_of(a) for a in arrays if library_of(a) == chosen), None)
    return _engine_class(chosen)(precision, device)


def _engine_class(name: str) -> Any:
    try:
        import_module(name)
        if name == "torch":
            import_module("array_api_compat")
    except ImportError as error:
        raise ImportError(
            f"engine={name!r} needs {error.name or name}, which cannot be imported ({error}); install it with: "
            f'pip install "popglm[{name}]"'
        ) from error
    return getattr(import_module(f"popglm.engines.{name}_engine"), f"{name.capitalize()}Engine")
