"""The number of BLAS threads of the process, while sessions of several threads overlap."""

import sys
from types import ModuleType

import numpy as np
from threadpoolctl import ThreadpoolController, threadpool_limits

from popglm.engines import NumpyEngine, threads


def blas_threads() -> set[int]:
    return {library["num_threads"] for library in ThreadpoolController().info() if library["user_api"] == "blas"}


def test_sessions_that_overlap_put_back_what_stood_before_the_first():
    np.ones((2, 2)) @ np.ones((2, 2))
    with threadpool_limits(2, user_api="blas"):
        before = blas_threads()
        first, second = NumpyEngine(n_workers=1).session(), NumpyEngine(n_workers=1).session()
        first.__enter__()
        second.__enter__()
        first.__exit__(None, None, None)
        assert blas_threads() == {1}
        second.__exit__(None, None, None)
        assert blas_threads() == before


def test_libraries_are_searched_anew_where_modules_were_imported(monkeypatch):
    searches = []

    def search():
        searches.append(1)
        return ThreadpoolController()

    with NumpyEngine().session():
        pass
    monkeypatch.setattr(threads, "ThreadpoolController", search)
    for n_searches in (0, 1, 1):
        with NumpyEngine().session():
            assert blas_threads() == {1}
        assert len(searches) == n_searches
        monkeypatch.setitem(sys.modules, "a_library", ModuleType("a_library"))
