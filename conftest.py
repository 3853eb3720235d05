"""What is collected and compiled before any test runs, and which worker runs it.

Doctests are looked for in every file; those that need a library which is absent are left out of the collection.
"""

import gc
import os
import subprocess
import sys
from importlib.util import find_spec
from pathlib import Path

import pytest

NEEDS = {
    "src/popglm/engines/jax_engine.py": ("jax",),
    "src/popglm/engines/tensorflow_engine.py": ("tensorflow",),
    "src/popglm/engines/tensorflow_namespace.py": ("tensorflow",),
    "src/popglm/engines/torch_compile.py": ("torch",),
    "src/popglm/engines/torch_engine.py": ("torch", "array_api_compat"),
    "src/popglm/engines/torch_namespace.py": ("torch", "array_api_compat"),
    "src/popglm/io/nwb_results.py": ("pynwb",),
    "src/popglm/maze_nwb.py": ("pynwb",),
    "src/popglm/recording/nwb/reader.py": ("pynwb",),
    "tests/recording/nwb_files.py": ("pynwb",),
    "src/popglm/recording/pynapple_objects.py": ("pynapple",),
    "src/popglm/scale/row_carrier.py": ("distributed",),
    "src/popglm/scale/quiet.py": ("distributed",),
    "src/popglm/scale/rows.py": ("distributed",),
    "src/popglm/scale/spreading.py": ("distributed",),
    "tests/scale/faults.py": ("distributed",),
    "tests/scale/killed_workers.py": ("distributed",),
    "tests/properties/lowest.py": ("hypothesis",),
    "tests/properties/random_problems.py": ("hypothesis",),
    "tests/soak.py": ("hypothesis",),
}

collect_ignore = [file for file, libraries in NEEDS.items() if any(find_spec(name) is None for name in libraries)]


def pytest_addoption(parser):
    """A switch for the tests that repeat a check, with more families, penalties, kinds of input or models."""
    parser.addoption(
        "--thorough", action="store_true", help="run all cases of tests marked thorough, as .ci/matrix does"
    )
    parser.addoption("--each", action="store_true", help="run a case of each of them at least, as .ci/run does")


def pytest_configure(config):
    """Fill numba's cache before several workers start, each of which would compile the kernels for itself."""
    # each process that a test starts would compile popglm anew; numba keeps its kernels beside the sources, too
    os.environ.pop("PYTHONDONTWRITEBYTECODE", None)
    sys.dont_write_bytecode = False
    # a second device, for fits that share out neurons
    os.environ.setdefault("JAX_NUM_CPU_DEVICES", "2")
    if hasattr(config, "workerinput"):
        return
    # who names files or tests wants all of them; workers are told
    config.option.thorough |= config.args_source is pytest.Config.ArgsSource.ARGS
    if not getattr(config.option, "numprocesses", None):
        return
    # threads of OpenBLAS and of PyTorch wait busily, for cores that another worker has
    os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")
    os.environ.setdefault("OMP_WAIT_POLICY", "passive")
    script = Path(__file__).parent / "tests" / "compile_kernels.py"
    compilers = [subprocess.Popen([sys.executable, script, precision]) for precision in ("float32", "float64")]
    for compiler in compilers:
        compiler.wait()


#: Array libraries that take seconds to import, and compile what they run.
LIBRARIES = ("tensorflow", "jax", "torch")
#: Parts of the names of tests that come first, so that nothing long is left for the end.
FIRST = (*LIBRARIES, "tests/properties", "tests/test_examples")


def work_unit(test: str) -> str:
    """What one of several workers runs by itself: the tests of a library, which share what is compiled, or a file."""
    return next((name for name in LIBRARIES if name in test), test.split("::")[0])


def thorough(items, at_least):
    """Items of tests marked thorough, but for as many of each test's cases as the mark keeps, evenly among all."""
    cases = {}
    for item in items:
        if mark := item.get_closest_marker("thorough"):
            keep = max(mark.kwargs.get("keep", 0), at_least)
            cases.setdefault((item.path, item.nodeid.split("[")[0], keep), []).append(item)
    return {
        item
        for (*_, keep), same in cases.items()
        for k, item in enumerate(same)
        # the first of every len(same) / keep
        if k * keep % len(same) >= keep
    }


def pytest_collection_modifyitems(config, items):
    """Leave thorough tests out unless they are asked for; let workers begin with what takes longest."""
    if not config.option.thorough:
        left_out = thorough(items, at_least=int(config.option.each))
        config.hook.pytest_deselected(items=[item for item in items if item in left_out])
        items[:] = [item for item in items if item not in left_out]
    if hasattr(config, "workerinput"):
        items.sort(key=lambda item: not any(name in item.nodeid for name in FIRST))


def pytest_collection_finish(session):
    """Leave the tests themselves, of which there are thousands, out of every search for garbage."""
    gc.collect()
    gc.freeze()


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_make_scheduler(config, log):
    """Hand out work units, unless ``--dist`` asks for something else."""
    if config.getvalue("dist") != "load":
        return None
    from xdist.scheduler import LoadScopeScheduling

    class Units(LoadScopeScheduling):
        def _split_scope(self, nodeid: str) -> str:
            return work_unit(nodeid)

    config.option.loadscopereorder = False
    return Units(config, log)
