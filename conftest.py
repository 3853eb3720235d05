"""Doctests of an engine need its library; where that is absent, its files are left out of the collection."""

from importlib.util import find_spec

ENGINES = "src/popglm/engines"
NEEDS = {
    "jax_engine.py": ("jax",),
    "tensorflow_engine.py": ("tensorflow",),
    "tensorflow_namespace.py": ("tensorflow",),
    "torch_compile.py": ("torch",),
    "torch_engine.py": ("torch", "array_api_compat"),
    "torch_namespace.py": ("torch", "array_api_compat"),
}

collect_ignore = [
    f"{ENGINES}/{file}" for file, libraries in NEEDS.items() if any(find_spec(name) is None for name in libraries)
]
