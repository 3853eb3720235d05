"""The number of BLAS threads of the process, while sessions of several threads overlap."""

import sys
from threading import current_thread
from types import ModuleType

import numpy as np
import pytest
from threadpoolctl import ThreadpoolController, threadpool_limits

import popglm as pg
from popglm.engines import NumpyEngine, threads
from popglm.engines.numpy_engine import WORKER
from popglm.solve import population


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


@pytest.mark.thorough(keep=2)
@pytest.mark.parametrize(
    ("family", "more"),
    [
        ("poisson", {"penalty": "group_lasso", "feature_groups": [3, 3]}),
        ("poisson", {"penalty": "lasso", "schedule": "device"}),
        ("bernoulli", {"penalty": "elastic_net", "feature_mask": np.arange(18).reshape(6, 3) % 4 > 0}),
        ("gaussian", {"penalty": "ridge"}),
        ("negative_binomial", {"penalty": "ridge"}),
    ],
)
def test_fits_that_are_too_small_for_threads_have_the_bits_of_those_that_share_them(monkeypatch, family, more):
    rng = np.random.default_rng(0)
    X = rng.standard_normal((240, 6))
    Y = rng.poisson(np.exp(0.5 * X[:, :3]))
    Y = np.minimum(Y, 1) if family == "bernoulli" else Y
    names, handed = set(), NumpyEngine.map

    def watched(self, function, arguments):
        def call(*args):
            names.add(current_thread().name.startswith(WORKER))
            return function(*args)

        return handed(self, call, arguments)

    monkeypatch.setattr(NumpyEngine, "map", watched)
    monkeypatch.setattr(threads, "usable_cores", lambda: 3)
    monkeypatch.setattr("popglm.engines.numpy_engine.usable_cores", lambda: 3)
    found = []
    for least, has_threads in ((2**20, False), (0, True)):
        names.clear()
        monkeypatch.setattr(population, "LEAST_SHARED", least)
        model = pg.GLMCV(family, lambdas=[0.1, 0.01], cv=3, **more).fit(X, Y)
        assert (True in names) == has_threads
        found.append(model)
    for name, value in vars(found[0]).items():
        if isinstance(value, np.ndarray):
            np.testing.assert_array_equal(value, getattr(found[1], name), name)
