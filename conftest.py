"""Doctests are looked for in every file; those that need a library which is absent are left out of the collection."""

from importlib.util import find_spec

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
