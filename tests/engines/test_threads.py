"""Fits that overlap leave the process with the BLAS threads that it had."""

from contextlib import ExitStack

from threadpoolctl import threadpool_info, threadpool_limits

from popglm.engines import NumpyEngine


def blas_threads():
    return {pool["num_threads"] for pool in threadpool_info() if pool["user_api"] == "blas"}


def test_sessions_that_overlap():
    with threadpool_limits(2, user_api="blas"):
        first, second = ExitStack(), ExitStack()
        first.enter_context(NumpyEngine(n_workers=1).session())
        second.enter_context(NumpyEngine(n_workers=1).session())
        first.close()
        assert blas_threads() == {1}
        second.close()
        assert blas_threads() == {2}
