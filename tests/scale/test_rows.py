"""One session whose rows lie on the workers of a Dask cluster, beside the same fit in one process."""

from __future__ import annotations

import os
import signal
import threading
import time

import numpy as np
import pytest

import popglm as pg

distributed = pytest.importorskip("distributed", reason="distributed is not installed: pip install 'popglm[dask]'")

from popglm.scale import row_carrier  # noqa: E402
from popglm.scale.row_sources import row_edges  # noqa: E402
from popglm.scale.rows import rows_on_workers  # noqa: E402

N, P, Q = 900, 6, 3


@pytest.fixture(scope="module")
def recording() -> dict[str, np.ndarray]:
    rng = np.random.default_rng(0)
    X = rng.standard_normal((N, P)).astype(np.float32) + 2
    eta = (X - 2) @ rng.normal(0, 0.3, (P, Q))
    return {
        "X": X,
        "poisson": rng.poisson(np.exp(eta)).astype(float),
        "gaussian": eta + rng.normal(size=eta.shape),
        "bernoulli": (rng.random(eta.shape) < 1 / (1 + np.exp(-eta))).astype(float),
        "negative_binomial": rng.negative_binomial(2, 1 / (1 + np.exp(eta) / 2)).astype(float),
        "censored_gaussian": np.maximum(eta + rng.normal(size=eta.shape), 0),
    }


def fit(X, Y, family="poisson", penalty="group_lasso", **more):
    beside = {name: more.pop(name) for name in ("sample_weight", "offset", "checkpoint") if name in more}
    settings = {"feature_groups": [2, 2, 2], "n_lambdas": 3, "cv": 3, "tol": 1e-7, "precision": "float64"} | more
    model = pg.GLMCV(family, penalty=penalty, **settings)
    return model.fit(X, Y, groups=np.arange(len(Y)) // 10, **beside)


def assert_same(found, expected):
    assert np.nanmax(found.gap_) <= found.tol
    assert np.nanmax(found.cv_gap_) <= found.tol
    np.testing.assert_allclose(found.lambda_path_, expected.lambda_path_, rtol=1e-9 if found.tol < 1e-6 else 1e-5)
    # a gap is in shares of the null loss, which is about 1 here
    np.testing.assert_allclose(found.loss_path_, expected.loss_path_, atol=max(1e-6, found.tol), rtol=1e-6)
    np.testing.assert_allclose(found.cv_deviance_, expected.cv_deviance_, rtol=1e-3)
    np.testing.assert_allclose(found.coef_path_, expected.coef_path_, atol=2e-3)


def in_memory(X, folder, client):
    return X


def as_stream(X, folder, client):
    return pg.RowStream(X, memory=50_000)


def as_map(X, folder, client):
    # a slice of a larger file, whose own attribute offset is that of the file
    whole = np.memmap(folder / "X.bin", X.dtype, "w+", shape=(N + 7, P))
    whole[7:] = X
    whole.flush()
    return np.memmap(folder / "X.bin", X.dtype, "r", shape=(N + 7, P))[7:]


def as_zarr(X, folder, client):
    zarr = pytest.importorskip("zarr")
    stored = zarr.open(str(folder / "X.zarr"), mode="w", shape=X.shape, chunks=(130, P), dtype=X.dtype)
    stored[:] = X
    return zarr.open(str(folder / "X.zarr"), mode="r")


def as_hdf5(X, folder, client):
    h5py = pytest.importorskip("h5py")
    with h5py.File(folder / "X.h5", "w") as file:
        file.create_dataset("design/X", data=X, chunks=(64, P))
    return h5py.File(folder / "X.h5", "r")["design/X"]


def as_dask(X, folder, client):
    array = pytest.importorskip("dask.array")
    return array.from_array(X, chunks=((100, 50, 333, 417), (4, 2)))


def as_persisted(X, folder, client):
    array = pytest.importorskip("dask.array")
    return client.persist(array.from_array(X, chunks=(250, P)))


def as_dask_of_zarr(X, folder, client):
    array = pytest.importorskip("dask.array")
    return array.from_zarr(as_zarr(X, folder, client))


SOURCES = [in_memory, as_stream, as_map, as_zarr, as_hdf5, as_dask, as_persisted, as_dask_of_zarr]


@pytest.mark.parametrize("source", SOURCES)
def test_any_source_gives_the_fit_of_one_process(recording, client, tmp_path, source):
    X = rows_on_workers(source(recording["X"], tmp_path, client), client)
    assert len(X.shares) == 2
    model = fit(X, recording["poisson"])
    assert_same(model, fit(recording["X"], recording["poisson"]))
    # the rows that are fetched afterwards are those of the source
    np.testing.assert_array_equal(X[140:160], recording["X"][140:160])
    np.testing.assert_allclose(model.predict(X), model.predict(recording["X"]), rtol=1e-5)
    assert model.predict_held_out().shape == (N, Q)


@pytest.mark.parametrize(
    ("family", "penalty", "more", "n_shares"),
    [
        ("gaussian", "lasso", {}, 3),
        ("bernoulli", "group_lasso", {}, 3),
        ("negative_binomial", "ridge", {}, 3),
        ("censored_gaussian", "ridge", {}, 3),
        ("poisson", "none", {}, 3),
        ("poisson", "none", {}, 1),
        ("poisson", "lasso", {"precision": "float32", "tol": 1e-4, "engine": "torch"}, 3),
    ],
)
def test_families_with_missing_values_weights_and_offset(recording, client, family, penalty, more, n_shares):
    if more.get("engine") == "torch":
        pytest.importorskip("torch")
    rng, Y = np.random.default_rng(1), recording[family].copy()
    Y[50:90, 0] = np.nan
    beside = {"sample_weight": rng.uniform(0.2, 2, N), "offset": rng.normal(0, 0.2, N)}
    found = fit(rows_on_workers(recording["X"], client, n_shares), Y, family, penalty, **more, **beside)
    assert_same(found, fit(recording["X"], Y, family, penalty, **more, **beside))


def settle(client, condition):
    """Wait until a cluster has done what it does in the background."""
    for _ in range(300):
        if condition():
            return
        time.sleep(0.1)
    raise AssertionError("the cluster has not settled")


def shares_held(client):
    return sum(client.run(_held).values())


def _held():
    from popglm.scale.row_carrier import _here

    return len(_here)


def test_workers_let_go_of_the_rows_after_a_fit_and_after_an_error(recording, client):
    X = rows_on_workers(recording["X"], client)
    fit(X, recording["poisson"])
    settle(client, lambda: shares_held(client) == 0)
    with pytest.raises(ValueError, match="solver='auto'"):
        fit(X, recording["poisson"], solver="adam")
    settle(client, lambda: shares_held(client) == 0)


@pytest.mark.parametrize("at", [3, 9, 25], ids=["as it is read", "at the start", "amid steps"])
def test_a_killed_worker_leaves_no_trace(recording, client, monkeypatch, at):
    X, Y = rows_on_workers(recording["X"], client), recording["negative_binomial"]
    expected = fit(X, Y, "negative_binomial", tol=1e-4)
    settle(client, lambda: len(client.nthreads()) == 2)
    ask, calls = row_carrier.DaskCarrier.ask, []

    def kill_once(self, asked):
        calls.append(asked)
        if len(calls) == at:
            address = self._at[min(asked)]
            os.kill(client.run(os.getpid, workers=[address])[address], signal.SIGKILL)
        return ask(self, asked)

    monkeypatch.setattr(row_carrier.DaskCarrier, "ask", kill_once)
    found = fit(X, Y, "negative_binomial", tol=1e-4)
    np.testing.assert_array_equal(found.coef_path_, expected.coef_path_)
    np.testing.assert_array_equal(found.cv_deviance_, expected.cv_deviance_)
    settle(client, lambda: len(client.nthreads()) == 2)


def test_checkpoints_know_the_rows_and_their_shares(recording, client, tmp_path):
    Y, kept = recording["poisson"], tmp_path / "kept"
    first = fit(rows_on_workers(recording["X"], client), Y, checkpoint=kept)
    again = fit(rows_on_workers(recording["X"], client), Y, checkpoint=kept)
    np.testing.assert_array_equal(first.coef_path_, again.coef_path_)
    with pytest.raises(ValueError, match="X"):
        fit(rows_on_workers(recording["X"], client, n_shares=3), Y, checkpoint=kept)
    with pytest.raises(ValueError, match="X"):
        fit(rows_on_workers(recording["X"] + 1, client), Y, checkpoint=kept)


def test_too_little_memory_is_said_before_rows_are_read(recording, client, monkeypatch):
    monkeypatch.setattr(row_carrier, "BESIDE", 1e15)
    with pytest.raises(MemoryError, match=r"Rows 0 to 450 of X need 1e\+06 GB on a worker; of 2 workers"):
        fit(rows_on_workers(recording["X"], client), recording["poisson"])


def test_a_corrupt_source_is_its_own_error(recording, client, tmp_path):
    X = rows_on_workers(as_map(recording["X"], tmp_path, client), client)
    (tmp_path / "X.bin").unlink()
    with pytest.raises(FileNotFoundError, match=r"X\.bin"):
        fit(X, recording["poisson"])


def test_an_error_of_a_chunk_is_told_as_one(recording, client):
    array = pytest.importorskip("dask.array")

    def read(block, block_id=None):
        if block_id[0] == 1:
            raise KeyError("plane 3")
        return block

    chunks = array.from_array(recording["X"], chunks=(300, P)).map_blocks(read, dtype=np.float32, meta=np.empty((0, 0)))
    words = r"Rows 300 to 600 of X could not be computed; a chunk of this Dask array raised KeyError: 'plane 3'"
    X = rows_on_workers(chunks, client, n_shares=1)
    with pytest.raises(RuntimeError, match=words):
        fit(X, recording["poisson"])
    with pytest.raises(RuntimeError, match=words):
        X.source[300:600]


def test_a_worker_that_stands_still_leaves_no_trace(recording, client, monkeypatch):
    X, Y = rows_on_workers(recording["X"], client), recording["poisson"]
    expected = fit(X, Y, tol=1e-4)
    ask, calls, stopped = row_carrier.DaskCarrier.ask, [], []

    def stop_once(self, asked):
        calls.append(asked)
        if len(calls) == 9:
            address = self._at[min(asked)]
            stopped.append(client.run(os.getpid, workers=[address])[address])
            os.kill(stopped[0], signal.SIGSTOP)
            # longer than a look at who is there
            threading.Timer(4, os.kill, (stopped[0], signal.SIGCONT)).start()
        return ask(self, asked)

    monkeypatch.setattr(row_carrier.DaskCarrier, "ask", stop_once)
    began = time.monotonic()
    found = fit(X, Y, tol=1e-4)
    assert time.monotonic() - began >= 4
    np.testing.assert_array_equal(found.coef_path_, expected.coef_path_)
    np.testing.assert_array_equal(found.cv_deviance_, expected.cv_deviance_)
    # the worker itself went on
    assert stopped[0] in client.run(os.getpid).values()


def test_bad_arguments(recording, client):
    array = pytest.importorskip("dask.array")
    with pytest.raises(ValueError, match="There is no Dask client"):
        rows_on_workers(recording["X"])
    with pytest.raises(TypeError, match="found str"):
        rows_on_workers(recording["X"], "tcp://127.0.0.1:8786")
    with pytest.raises(ValueError, match=r"n_shares=0\.5 must be a whole number"):
        rows_on_workers(recording["X"], client, n_shares=0.5)
    unknown = array.from_array(recording["X"], chunks=(300, P))
    with pytest.raises(ValueError, match="compute_chunk_sizes"):
        rows_on_workers(unknown[unknown[:, 0] > 0], client)
    bad = recording["X"].copy()
    bad[700, 2] = np.inf
    with pytest.raises(ValueError, match="column 2, first in row 700"):
        fit(rows_on_workers(bad, client), recording["poisson"])
    with pytest.raises(ValueError, match="schedule='device'"):
        fit(rows_on_workers(recording["X"], client), recording["poisson"], schedule="device")


def test_shares_begin_with_chunks_that_are_near():
    assert row_edges(100, [1, 1], None).tolist() == [0, 50, 100]
    assert row_edges(100, [2, 1, 1], 24).tolist() == [0, 48, 72, 100]
    # far from any chunk: of even size
    assert row_edges(100, [1, 1], (10, 90)).tolist() == [0, 50, 100]
    assert row_edges(3, [1] * 8, None).tolist() == [0, 1, 2, 3]
