"""What is collected and compiled before any test runs.

Doctests are looked for in every file; those that need a library which is absent are left out of the collection.
"""

import os
import subprocess
import sys
from importlib.util import find_spec
from pathlib import Path

NEEDS = {
    "src/popglm/engines/jax_engine.py": ("jax",),
    "src/popglm/engines/tensorflow_engine.py": ("tensorflow",),
    "src/popglm/engines/tensorflow_namespace.py": ("tensorflow",),
    "src/popglm/engines/torch_compile.py": ("torch",),
    "src/popglm/engines/torch_engine.py": ("torch", "array_api_compat"),
    "src/popglm/engines/torch_namespace.py": ("torch", "array_api_compat"),
    "tests/properties/lowest.py": ("hypothesis",),
    "tests/properties/random_problems.py": ("hypothesis",),
    "tests/soak.py": ("hypothesis",),
}

collect_ignore = [file for file, libraries in NEEDS.items() if any(find_spec(name) is None for name in libraries)]


def pytest_configure(config):
    """Fill numba's cache before several workers start, each of which would compile the kernels for itself."""
    if hasattr(config, "workerinput") or not getattr(config.option, "numprocesses", None):
        return
    # OpenBLAS's threads wait busily, for cores that another worker has
    os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")
    script = Path(__file__).parent / "tests" / "compile_kernels.py"
    compilers = [subprocess.Popen([sys.executable, script, precision]) for precision in ("float32", "float64")]
    for compiler in compilers:
        compiler.wait()
