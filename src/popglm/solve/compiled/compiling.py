"""How popglm's loops are compiled, and how compiled functions are kept on disk.

numba's own cache of a function numbers its files and keeps an index of them. Of two processes that compile the function
for different types at a time, both may take the same number. The index then names the code of the one for the types of
the other, for all processes to come: calls fail, or return wrong numbers. It also keeps code whose inner functions have
changed since. Here the name of a file says all that its code depends on, so that no index is needed.
"""

from __future__ import annotations

import hashlib
import os
import pickle
from collections.abc import Callable
from functools import cached_property
from pathlib import Path
from tempfile import NamedTemporaryFile
from types import CodeType, FunctionType
from typing import Any

import numba
from numba import njit
from numba.core.caching import FunctionCache
from numba.core.dispatcher import Dispatcher
from numba.core.serialize import dumps

from popglm.solve.compiled.linking import pipelines

__all__ = ["HAS_CACHE", "compiled", "for_python", "inner_compiled"]

#: Re-association lets the loops over columns vectorise; NaN and inf keep their meaning.
#: Loops over entries are compiled in a fraction of the time of assignments to slices and of NumPy's functions.
OPTIONS: dict[str, Any] = {
    "nogil": True,
    "error_model": "numpy",
    "fastmath": {"reassoc", "contract", "nsz", "arcp"},
    "no_cfunc_wrapper": True,
}
#: How functions are compiled that Python calls, and those that compiled functions alone call.
FOR_PYTHON, INNER = pipelines()


def compiled(function: Callable[..., Any]) -> Any:
    """Compile a function when it is first called with arguments of some types, or read its code from disk."""
    return _with_cache(njit(**FOR_PYTHON, **OPTIONS)(function))


def inner_compiled(function: Callable[..., Any]) -> Any:
    """As `compiled`, for functions that compiled ones call, and Python never: calls from there end the process.

    Its code is kept on disk within that of its callers.
    """
    return njit(**INNER, **OPTIONS)(function)


def for_python(inner: Any) -> Any:
    """What `inner_compiled` made of a function, as `compiled` makes it, for calls from Python."""
    return compiled(getattr(inner, "py_func", inner))


def fingerprint(function: FunctionType) -> str:
    """What the code of a function depends on but the types of its arguments, as hexadecimal digits.

    That is what its source says, the numbers and compiled functions that it names, the options, and numba's version.
    """
    options = sorted((name, sorted(value) if isinstance(value, set) else value) for name, value in OPTIONS.items())
    digest = hashlib.sha256(repr((numba.__version__, options)).encode())
    seen: set[FunctionType] = set()

    def add(function: FunctionType) -> None:
        if function not in seen:
            seen.add(function)
            add_code(function.__code__, function.__globals__)

    def add_code(code: CodeType, names: dict[str, Any]) -> None:
        digest.update(repr((code.co_code, code.co_names, code.co_varnames)).encode())
        for constant in code.co_consts:
            if isinstance(constant, CodeType):
                add_code(constant, names)
            else:
                digest.update(repr(constant).encode())
        for name in code.co_names:
            value = names.get(name)
            if isinstance(value, Dispatcher):
                add(value.py_func)
            elif isinstance(value, (int, float, str, tuple)):
                digest.update(repr((name, value)).encode())

    add(function)
    return digest.hexdigest()


class _Files:
    """The compiled functions of one source on disk: a file for each fingerprint, types of arguments and processor."""

    def __init__(self, folder: Path, name: str, function: FunctionType):
        self.folder = folder
        self.name = name
        self.function = function

    @cached_property
    def current(self) -> str:
        """How the names of files begin that hold the function as it now is; not asked before all it calls exists."""
        return f"{self.name}.{fingerprint(self.function)[:16]}."

    def path(self, key: Any) -> Path:
        """The file for numba's key: the types of arguments, the processor, and the function's own code."""
        return self.folder / f"{self.current}{hashlib.sha256(repr(key).encode()).hexdigest()[:16]}.nbc"

    def load(self, key: Any) -> Any:
        """The compiled function, or None if there is none."""
        try:
            return pickle.loads(self.path(key).read_bytes())
        except FileNotFoundError:
            return None

    def save(self, key: Any, data: Any) -> None:
        """Keep a compiled function, and remove those of earlier sources; other processes see whole files or none."""
        with NamedTemporaryFile(dir=self.folder, prefix=self.name, suffix=".part", delete=False) as file:
            file.write(dumps(data))
        os.replace(file.name, self.path(key))
        for path in self.folder.glob(f"{self.name}.*.nbc"):
            if not path.name.startswith(self.current):
                path.unlink(missing_ok=True)

    def flush(self) -> None:
        """Remove all that is kept of the function."""
        for path in self.folder.glob(f"{self.name}.*.nbc"):
            path.unlink(missing_ok=True)


class _Cache(FunctionCache):
    """numba's cache of a function, with `_Files` for its index and numbered files."""

    def __init__(self, function: Any):
        super().__init__(function)
        files = _Files(Path(self.cache_path), self._impl.filename_base, function)
        self._cache_file = files  # type: ignore[assignment]  # numba asks for load, save and flush alone


def _has_cache() -> bool:
    """Whether numba has a folder for compiled functions: NUMBA_CACHE_DIR, beside this file, or below the home."""
    try:
        _Cache(_has_cache)
    except (RuntimeError, OSError):
        return False
    return True


#: Whether compiled functions are kept for later processes.
HAS_CACHE = _has_cache()


def _with_cache(dispatcher: Any) -> Any:
    # with NUMBA_DISABLE_JIT it is the function itself
    if HAS_CACHE and isinstance(dispatcher, Dispatcher):
        dispatcher._cache = _Cache(dispatcher.py_func)  # type: ignore[attr-defined]  # its types do not know it
    return dispatcher
