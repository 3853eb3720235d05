"""Compiled functions on disk: never those of other types or of earlier sources, however many processes write them."""

import gc
import importlib
import sys
import threading
from functools import partial

import numba
import numpy as np
import pytest

from popglm.solve.compiled import compiling, linking

INNER = """
from popglm.solve.compiled.compiling import inner_compiled
GAIN = {gain}
@inner_compiled
def inner(x):
    return {inner}
"""
OUTER = """
from popglm.solve.compiled.compiling import compiled
from inner_of_test import GAIN, inner
{comment}
@compiled
def outer(a):
    total = {start}
    for x in a:
        total += GAIN * inner(x)
    return total
"""


@pytest.fixture
def outer(tmp_path, monkeypatch):
    """The function of `OUTER` as a new process would import it from these sources."""
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.setattr(sys, "dont_write_bytecode", True)

    def load(gain="2", inner="x + 1", start="0.0", comment=""):
        (tmp_path / "inner_of_test.py").write_text(INNER.format(gain=gain, inner=inner))
        (tmp_path / "outer_of_test.py").write_text(OUTER.format(start=start, comment=comment))
        for name in ("inner_of_test", "outer_of_test"):
            sys.modules.pop(name, None)
        importlib.invalidate_caches()
        return importlib.import_module("outer_of_test").outer

    yield load
    for name in ("inner_of_test", "outer_of_test"):
        sys.modules.pop(name, None)


def files(tmp_path):
    return sorted(path.name for path in (tmp_path / "__pycache__").iterdir())


def test_later_processes_read_what_earlier_ones_compiled(outer, tmp_path):
    assert outer()(np.ones(3)) == 12
    kept = files(tmp_path)
    later = outer()
    assert later(np.ones(3)) == 12
    assert sum(later.stats.cache_hits.values()) == 1
    assert not later.stats.cache_misses
    assert files(tmp_path) == kept


@pytest.mark.parametrize(
    ("change", "expected"),
    [({"inner": "x + 2"}, 18), ({"gain": "30"}, 180), ({"start": "0.5"}, 12.5), ({"inner": "np_one(x)"}, None)],
    ids=["inner", "constant", "own", "broken"],
)
def test_changed_sources_are_compiled_anew(outer, tmp_path, change, expected):
    assert outer()(np.ones(3)) == 12
    before = len(files(tmp_path))
    changed = outer(**change)
    if expected is None:
        with pytest.raises(Exception, match="np_one"):
            changed(np.ones(3))
    else:
        assert changed(np.ones(3)) == expected
        assert len(files(tmp_path)) == before, "files of earlier sources stay"
    assert outer()(np.ones(3)) == 12


def test_types_have_files_of_their_own(outer, tmp_path):
    function = outer()
    for dtype in (np.float32, np.float64, np.int64):
        assert function(np.ones(3, dtype)) == 12
    assert function(np.ones(6)[::2]) == 12
    assert sum(name.startswith("outer_of_test.outer") for name in files(tmp_path)) == 4
    later = outer()
    assert later(np.ones(6)[::2]) == later(np.ones(3, np.float32)) == 12
    assert not later.stats.cache_misses


def test_comments_compile_nothing(outer):
    assert outer(comment="# why")(np.ones(3)) == 12
    later = outer(comment="# wherefore")
    assert later(np.ones(3)) == 12
    assert not later.stats.cache_misses


def test_two_processes_that_write_at_once(outer, tmp_path, monkeypatch):
    """numba's own files take one number for both here: one of the two is lost, or read for the types of the other."""
    function = outer().py_func
    here = threading.Barrier(2)

    def dumps(data):
        # each begins to write when the other does
        here.wait(10)
        return pickled(data)

    pickled = compiling.dumps
    monkeypatch.setattr(compiling, "dumps", dumps)
    stores = [compiling._Files(tmp_path, "outer", function) for _ in range(2)]
    writers = [threading.Thread(target=partial(store.save, key, key)) for store, key in zip(stores, "ab", strict=True)]
    for writer in writers:
        writer.start()
    for writer in writers:
        writer.join()
    assert [stores[0].load(key) for key in "abc"] == ["a", "b", None]


def test_flush(outer, tmp_path):
    function = outer()
    function(np.ones(3))
    function._cache.flush()
    assert not any(name.startswith("outer_of_test.outer") for name in files(tmp_path))


def test_without_compiling(outer, monkeypatch):
    monkeypatch.setattr(numba.config, "DISABLE_JIT", True)
    assert outer()(np.ones(3)) == 12


@pytest.mark.skipif(numba.version_info[:2] not in linking.TRIED, reason="numba compiles in its own way")
def test_inner_functions_have_no_machine_code_of_their_own(outer):
    """Their code is kept within that of their callers, for any types, and exceptions pass through."""
    function = outer(inner="x + 1")
    assert function(np.ones(3)) == function(np.ones(3, np.float32)) == 12
    inner = sys.modules["inner_of_test"].inner
    assert len(inner.overloads) == 2
    for made in inner.overloads.values():
        assert not made.library._object_caching_enabled
        with pytest.raises(ValueError, match="object caching"):
            made.library._get_compiled_object()


@pytest.mark.parametrize(("name", "value"), [("OVERRIDDEN", ("what_numba_has_no_more",)), ("TRIED", set())])
def test_a_numba_that_has_changed_compiles_all_in_its_own_way(outer, monkeypatch, name, value):
    monkeypatch.setattr(linking, name, value)
    plain, inner = linking.pipelines()
    assert (plain, inner) == ({}, {"no_cpython_wrapper": True})
    monkeypatch.setattr(compiling, "FOR_PYTHON", plain)
    monkeypatch.setattr(compiling, "INNER", inner)
    monkeypatch.setattr(compiling, "HAS_CACHE", False)
    assert outer(inner="x + 1")(np.ones(3)) == 12
    made = next(iter(sys.modules["inner_of_test"].inner.overloads.values()))
    assert made.library._get_compiled_object()


def test_garbage_is_collected_again_after_compiling(outer):
    assert gc.isenabled()
    assert outer(start="0.25")(np.ones(3)) == 12.25
    assert gc.isenabled()
    with pytest.raises(Exception, match="np_one"):
        outer(inner="np_one(x)")(np.ones(3))
    assert gc.isenabled()


def test_for_python(outer):
    outer()
    inner = sys.modules["inner_of_test"].inner
    assert compiling.for_python(inner)(2.0) == 3
