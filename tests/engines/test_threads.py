"""Fits that overlap leave the process with the BLAS threads that it had."""

import threading

from threadpoolctl import threadpool_info, threadpool_limits

from popglm.engines import NumpyEngine


def blas_threads():
    return {pool["num_threads"] for pool in threadpool_info() if pool["user_api"] == "blas"}


def test_sessions_that_overlap_in_two_threads():
    first_is_in, second_is_in, first_is_out = threading.Event(), threading.Event(), threading.Event()
    seen = {}

    def first():
        with NumpyEngine(n_workers=1).session():
            first_is_in.set()
            second_is_in.wait(30)
        seen["after the first"] = blas_threads()
        first_is_out.set()

    def second():
        first_is_in.wait(30)
        with NumpyEngine(n_workers=1).session():
            second_is_in.set()
            first_is_out.wait(30)

    with threadpool_limits(2, user_api="blas"):
        threads = [threading.Thread(target=work) for work in (first, second)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert seen["after the first"] == {1}
        assert blas_threads() == {2}
