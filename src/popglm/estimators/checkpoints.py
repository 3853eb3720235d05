"""Fits that are kept in a folder while they go on: what tells one from another, and how one is ended early."""

from __future__ import annotations

import contextlib
import hashlib
import signal
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from importlib.metadata import PackageNotFoundError, version
from typing import Any

import numpy as np

from popglm.checks import is_number
from popglm.engines.protocol import Engine
from popglm.io.checkpoints import CheckpointFolder
from popglm.messages import counted
from popglm.solve.snapshot import UNKEPT, Checkpoint
from popglm.solve.stream import RowStream

__all__ = ["about_arrays", "about_folds", "about_settings", "kept_in"]

#: Bytes of an array that are hashed at a time; it is part of what the hash is.
PIECE = 2**22
#: Packages whose arithmetic a fit is made of.
LIBRARIES = ("popglm", "numpy", "scipy", "numba")
#: Parameters of estimators that tell nothing of the fit itself, or that stand there in another form.
ELSEWHERE = (
    *("verbose", "cv", "se_fraction", "min_lambda", "engine", "device", "schedule"),
    *("feature_groups", "feature_shapes", "feature_mask", "penalty_factors", "lambdas", "l1_ratio", "smoothness"),
    *("inverse_link", "power", "class_weight", "penalties", "smoothing"),
)


@contextmanager
def kept_in(folder: CheckpointFolder | None, about: Callable[[], dict[str, str]]) -> Iterator[Checkpoint]:
    """The `Checkpoint` of a fit in a folder, which is this process's meanwhile; one that keeps nothing for None.

    The first Ctrl-C ends the fit where its state is whole, the second at once.

    Parameters
    ----------
    folder : CheckpointFolder or None
    about : callable
        What is fitted, as texts; only called with a folder.

    Raises
    ------
    KeyboardInterrupt
        With how to go on.
    """
    if folder is None:
        yield UNKEPT
        return
    try:
        with _gentle_interrupts(folder):
            yield folder.open(about())
        if folder.is_stopping:
            raise KeyboardInterrupt(f"the fit has ended and is kept in {str(folder.path)!r}: the same call returns it.")
    except KeyboardInterrupt as error:
        if error.args:
            raise
        message = f"what {str(folder.path)!r} kept of the fit is whole; the same call goes on from there."
        raise KeyboardInterrupt(message) from error
    finally:
        folder.close()


@contextmanager
def _gentle_interrupts(folder: CheckpointFolder) -> Iterator[None]:
    """Have the first Ctrl-C tell the folder to stop, where Python's own handler would raise at once."""
    here = threading.current_thread() is threading.main_thread()
    if not here or signal.getsignal(signal.SIGINT) is not signal.default_int_handler:
        yield
        return

    def handle(number: int, frame: Any) -> None:
        if folder.is_stopping:
            signal.default_int_handler(number, frame)
        folder.stop()
        # what is written to at this moment cannot be written to
        with contextlib.suppress(RuntimeError):
            print("The fit ends as soon as it can be kept; press Ctrl-C again to end it at once.", file=sys.stderr)

    signal.signal(signal.SIGINT, handle)
    try:
        yield
    finally:
        signal.signal(signal.SIGINT, signal.default_int_handler)


def about_arrays(engine: Engine, arrays: dict[str, Any]) -> dict[str, str]:
    """Type, shape and hash (BLAKE2b) of every array or stream, "none" for None; hashed by the engine's workers.

    Streams are read once, and their blocks count: another ``memory`` sums in another order.

    Examples
    --------
    >>> from popglm.engines import NumpyEngine
    >>> about_arrays(NumpyEngine(), {"X": np.zeros((2, 3)), "offset": None})
    {'X': 'float64 (2, 3) #0ae09d9b45a0291e4e64260ba1e6ad1c', 'offset': 'none'}
    """
    return {name: _about(engine, array) for name, array in arrays.items()}


def about_folds(engine: Engine, splits: list[tuple[np.ndarray, np.ndarray]]) -> dict[str, str]:
    """How many folds there are, and a hash of their rows.

    Examples
    --------
    >>> from popglm.engines import NumpyEngine
    >>> found = about_folds(NumpyEngine(), [(np.array([0, 1]), np.array([2])), (np.array([2]), np.array([0, 1]))])
    >>> found["the folds (cv and groups)"].split(" #")[0]
    '2 folds'
    """
    rows = np.concatenate([np.zeros(0, int), *(np.r_[len(own), own] for pair in splits for own in pair)])
    return {"the folds (cv and groups)": f"{counted(len(splits), 'fold')} #{_about(engine, rows).split(' #')[1]}"}


def _about(engine: Engine, array: Any) -> str:
    if array is None:
        return "none"
    if isinstance(array, RowStream):
        return f"{array.dtype} {array.shape} {array.digest()}"
    array = np.asarray(array)
    rows = np.atleast_1d(array)
    size = max(PIECE // max(rows[:1].nbytes, 1), 1)

    def digest(first: int) -> bytes:
        return hashlib.blake2b(np.ascontiguousarray(rows[first : first + size]).data, digest_size=16).digest()

    pieces = engine.map(digest, [(first,) for first in range(0, len(rows), size)])
    return f"{array.dtype} {array.shape} #{hashlib.blake2b(b''.join(pieces), digest_size=16).hexdigest()}"


def about_settings(estimator: Any, loss: Any, engine: Engine, n_devices: int, **more: Any) -> dict[str, str]:
    """Parameters of a fit, and the versions of what makes its last bits, as texts.

    Parameters
    ----------
    loss : Family
    n_devices : int
        That share the neurons out.
    **more
        Parameters in the form in which the fit has them.
    """
    values = {name: value for name, value in estimator.get_params(deep=False).items() if name not in ELSEWHERE}
    values |= {
        **more,
        "kind of model": type(estimator).__name__,
        "schedule": estimator.schedule,
        "engine": engine.name,
        "device": engine.device,
        "number of devices": max(n_devices, 1),
        "number of workers": engine.n_workers,
    }
    if hasattr(loss, "link"):
        values["inverse_link"] = loss.link.name
    if hasattr(loss, "power"):
        values["power"] = loss.power
    for name in (*LIBRARIES, *(() if engine.name == "numpy" else (engine.name,))):
        with contextlib.suppress(PackageNotFoundError):
            values[f"version of {name}"] = version(name)
    return {name: _plain(value) for name, value in values.items()}


def _plain(value: Any) -> str:
    """A parameter as text, equal for equal numbers."""
    if isinstance(value, bool | np.bool_):
        return str(bool(value))
    if not is_number(value):
        return str(value)
    return repr(int(value) if int(value) == value else float(value))
