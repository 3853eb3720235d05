"""Arrays on disk, read in blocks, against the same arrays in memory."""

import threading
import tracemalloc

import numpy as np
import pytest
from sklearn.model_selection import KFold

from popglm import GLM, GLMCV
from popglm.solve.stream import MEMORY as LARGE
from popglm.solve.stream import RowStream, check_stream, is_streamed, read_rows

N, SIZES, TRIAL = 3_000, [4, 1, 5], 75
P = sum(SIZES)
#: Bytes that hold about a tenth of the rows.
MEMORY = N * P * 4 // 10
SPLITS = {
    "trials": 4,  # ranges of rows
    "shuffled": KFold(3, shuffle=True, random_state=0),  # a count per row
    "overlapping": [(np.arange(0, 2_000), np.arange(2_000, N)), (np.arange(1_200, N), np.arange(0, 1_000))],
}


def recording(family="poisson", q=3, seed=0):
    """Columns with means far from 0, so that centring matters; responses; trials."""
    rng = np.random.default_rng(seed)
    X = (rng.standard_normal((N, P)) + np.linspace(-8, 8, P)).astype(np.float32)
    eta = (X - X.mean(axis=0)) @ rng.normal(0, 0.3, (P, q)) - 0.5
    if family == "gaussian":
        Y = eta + rng.standard_normal((N, q))
    else:
        Y = rng.poisson(np.exp(eta)) if family == "poisson" else rng.random((N, q)) < 1 / (1 + np.exp(-eta))
    return X, Y.astype(float), np.arange(N) // TRIAL


class Recorded:
    """An array that remembers which rows were asked for, by which threads."""

    def __init__(self, X, chunks=None):
        self.X, self.shape, self.dtype, self.chunks = X, X.shape, X.dtype, chunks
        self.reads, self.threads = [], set()

    def __getitem__(self, rows):
        self.reads.append((rows.start, rows.stop))
        self.threads.add(threading.get_ident())
        return self.X[rows].copy()


def settings(family, penalty, **more):
    sizes = {"feature_groups": SIZES} if penalty == "group_lasso" else {}
    return {"family": family, "penalty": penalty, "n_lambdas": 3, "tol": 1e-8, "precision": "float64", **sizes, **more}


def agree(streamed, whole, atol):
    for name in ("lambdas_", "coef_path_", "intercept_path_", "cv_coef_path_", "cv_intercept_path_"):
        if hasattr(whole, name):
            np.testing.assert_allclose(getattr(streamed, name), getattr(whole, name), rtol=0, atol=atol, err_msg=name)
    if hasattr(whole, "cv_deviance_"):
        np.testing.assert_allclose(streamed.cv_deviance_, whole.cv_deviance_, rtol=atol)
        np.testing.assert_array_equal(streamed.lambda_index_, whole.lambda_index_)


# sums of outer products serve Gaussian activity, passes over the samples all else
@pytest.mark.thorough(keep=2)
@pytest.mark.parametrize(
    ("family", "penalty", "splits"),
    [
        *(("poisson", "group_lasso", splits) for splits in SPLITS),
        *(("gaussian", "ridge", splits) for splits in SPLITS),
        ("gaussian", "group_lasso", "shuffled"),
        ("bernoulli", "elastic_net", "shuffled"),
    ],
)
def test_cross_validation_is_that_of_the_array_in_memory(family, penalty, splits):
    X, Y, trial = recording(family)
    groups = trial if splits == "trials" else None
    weights = np.random.default_rng(1).uniform(0.5, 2, N) if penalty == "ridge" else None
    job = settings(family, penalty, cv=SPLITS[splits])
    whole = GLMCV(**job).fit(X, Y, groups=groups, sample_weight=weights)
    streamed = GLMCV(**job).fit(RowStream(X, MEMORY), Y, groups=groups, sample_weight=weights)
    agree(streamed, whole, 1e-5)
    if splits != "overlapping":
        np.testing.assert_allclose(streamed.predict_held_out(), whole.predict_held_out(), rtol=1e-4)


def test_missing_samples_and_offset():
    X, Y, trial = recording()
    Y[:700, 1] = np.nan
    offset = np.sin(np.arange(N) / 50)
    job = settings("poisson", "group_lasso", cv=3)
    whole = GLMCV(**job).fit(X, Y, groups=trial, offset=offset)
    agree(GLMCV(**job).fit(RowStream(X, MEMORY), Y, groups=trial, offset=offset), whole, 1e-5)


def test_first_order_solver():
    X, Y, _ = recording()
    job = settings("poisson", "ridge", lambdas=[0.1], max_iter=2, solver="adam")
    agree(GLM(**job).fit(RowStream(X, MEMORY), Y), GLM(**job).fit(X, Y), 1e-5)


def arrays_on_disk(kind, X, folder):
    """X in a file, and what closes it."""
    if kind == "memmap":
        on_disk = np.memmap(folder / "X.bin", X.dtype, "w+", shape=X.shape)
        on_disk[:] = X
        return on_disk, lambda: None
    if kind == "zarr":
        zarr = pytest.importorskip("zarr", reason="zarr is an optional extra: pip install 'popglm[zarr]'")
        on_disk = zarr.open_array(str(folder / "X.zarr"), mode="w", shape=X.shape, chunks=(64, P), dtype=X.dtype)
        on_disk[:] = X
        return on_disk, lambda: None
    h5py = pytest.importorskip("h5py")
    file = h5py.File(folder / "X.h5", "w")
    return file.create_dataset("X", data=X, chunks=(50, P)), file.close


@pytest.mark.parametrize("kind", ["memmap", "zarr", "hdf5"])
def test_files(kind, tmp_path):
    X, Y, trial = recording()
    file, close = arrays_on_disk(kind, X, tmp_path)
    on_disk = RowStream(file, MEMORY)
    job = settings("poisson", "group_lasso", cv=3, precision="float32", tol=1e-6)
    one = GLMCV(**job).fit(on_disk, Y[:, 0], groups=trial)
    whole = GLMCV(**job).fit(X, Y[:, 0], groups=trial)
    agree(one, whole, 2e-3)
    assert one.coef_.shape == (P,)
    np.testing.assert_allclose(one.predict(on_disk), one.predict(X), rtol=1e-5)
    np.testing.assert_allclose(one.predict_held_out(), one.predict_held_out(X), rtol=1e-5)
    assert one.score(on_disk, Y[:, 0]) == pytest.approx(one.score(X, Y[:, 0]))
    chosen = GLM(**{k: v for k, v in job.items() if k != "cv"}).fit(on_disk, Y).select(on_disk, Y)
    assert chosen.deviance_explained_path_.shape == (3, 3)
    close()


def large_on_disk(kind, shape, folder):
    """An array that takes no room on disk, and what closes it."""
    if kind == "memmap":
        return np.memmap(folder / "X.bin", np.int8, "w+", shape=shape), lambda: None
    if kind == "zarr":
        zarr = pytest.importorskip("zarr", reason="zarr is an optional extra: pip install 'popglm[zarr]'")
        path, chunks = str(folder / f"{shape[0]}.zarr"), (10_000, P)
        return zarr.open_array(path, mode="w", shape=shape, chunks=chunks, dtype=np.int8), lambda: None
    h5py = pytest.importorskip("h5py")
    file = h5py.File(folder / "X.h5", "w")
    return file.create_dataset("X", shape, np.int8, chunks=(10_000, P)), file.close


@pytest.mark.parametrize("kind", ["memmap", "zarr", "hdf5"])
def test_files_that_are_larger_than_the_memory_are_streamed(kind, tmp_path):
    # in float32, whatever they hold
    n = LARGE // 4 // P
    on_disk, close = large_on_disk(kind, (n + 1, P), tmp_path)
    assert is_streamed(on_disk)
    close()
    on_disk, close = large_on_disk(kind, (n, P), tmp_path)
    # small enough to be read whole
    assert not is_streamed(on_disk)
    close()


def test_what_is_in_memory_is_not_streamed(tmp_path):
    shape = LARGE // 4 // P + 1, P
    on_disk, _ = large_on_disk("memmap", shape, tmp_path)
    assert is_streamed(on_disk[:])
    assert not is_streamed(on_disk[1:])  # small enough to be read whole
    assert not is_streamed(on_disk + np.int8(1))
    assert not is_streamed(on_disk.copy())
    X = np.broadcast_to(np.int8(0), shape)
    assert not is_streamed(X)
    pd = pytest.importorskip("pandas")
    assert not is_streamed(pd.DataFrame(X))
    torch = pytest.importorskip("torch")
    assert not is_streamed(torch.zeros((), dtype=torch.int8).expand(shape))


@pytest.mark.thorough
def test_a_fit_never_holds_the_whole_of_such_a_file(tmp_path):
    p, known, rng = 200, 1_000, np.random.default_rng(0)
    n = LARGE // 4 // p + 1
    on_disk = np.memmap(tmp_path / "X.bin", np.float32, "w+", shape=(n, p))
    # further down both are 0
    on_disk[:known], y = rng.standard_normal((known, p)), np.zeros(n)
    y[:known] = rng.standard_normal(known)
    tracemalloc.start()
    model = GLM("gaussian", lambdas=[1e-3]).fit(on_disk, y)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    # what windows of several threads hold varies; a copy would be all of it
    assert peak < 0.9 * on_disk.nbytes
    X = np.array(on_disk[:known], float)
    mean, both = X.sum(axis=0) / n, X.T @ X / n
    ridge = np.linalg.solve(both - np.outer(mean, mean) + 1e-3 * np.eye(p), X.T @ y[:known] / n - mean * y.mean())
    np.testing.assert_allclose(model.coef_, ridge, rtol=0, atol=1e-2 * np.abs(ridge).max())


@pytest.mark.parametrize(("value", "what"), [(np.nan, "NaN"), (-np.inf, "inf")])
def test_a_hole_far_inside_is_named(value, what):
    X, Y, _ = recording()
    X[2_741, 6] = value
    with pytest.raises(ValueError, match=f"X contains {what} in column 6, first in row 2741"):
        GLM().fit(RowStream(X, MEMORY), Y)
    # a sum beyond the largest number is no hole
    X[2_741, 6] = 1.0
    X[:2, 0] = 3e38
    assert check_stream(RowStream(X, MEMORY)).shape == X.shape


def test_other_columns_than_in_fit():
    X, Y, _ = recording()
    model = GLM(lambdas=[0.1]).fit(RowStream(X, MEMORY), Y)
    assert model.n_features_in_ == P
    with pytest.raises(ValueError, match="expecting 10 features"):
        model.predict(RowStream(X[:, :7], MEMORY))


def test_rows_are_read_ahead_once_and_in_order():
    X = recording()[0]
    source = Recorded(X)
    stream = RowStream(source, MEMORY)
    for first, last, rows in read_rows(stream):
        np.testing.assert_array_equal(rows, X[first:last])
        # the next block was asked for before this one was worked on
        assert last == N or last // stream.block_rows in stream._blocks
    assert source.reads == [(a, min(a + stream.block_rows, N)) for a in range(0, N, stream.block_rows)]
    assert source.threads.isdisjoint({threading.get_ident()})
    assert len(source.threads) == 1
    np.testing.assert_array_equal(stream[120:1_500], X[120:1_500])
    pick = np.array([0, 1, 2, 700, 2_998, 2_999])
    np.testing.assert_array_equal(stream[pick], X[pick])
    stream.close()


def test_blocks_are_whole_chunks_of_the_file():
    stream = RowStream(Recorded(recording()[0], chunks=(17, P)), MEMORY)
    assert stream.block_rows % 17 == 0


def test_centring_keeps_the_digits_of_a_column_far_from_zero():
    rng = np.random.default_rng(0)
    X = (rng.standard_normal((500, 3)) * [1, 1e-3, 1] + [0, 1e3, -7.3]).astype(np.float32)
    center = X.astype(float).mean(axis=0) + 1e-9
    exact = X - center
    rows = RowStream(X, 100_000).centred(center, "float32", 2)[0:500]
    assert rows.dtype == np.float32
    np.testing.assert_allclose(rows, exact, rtol=3e-7, atol=1e-12)


def test_memory_stays_within_the_budget():
    n, p = 40_000, 100
    X = np.random.default_rng(0).standard_normal((n, p), np.float32)
    y = np.random.default_rng(1).poisson(np.exp(0.5 * X[:, 0])).astype(float)
    source, memory = Recorded(X), X.nbytes // 16
    job = {"lambdas": [0.05], "cv": 2, "tol": 1e-3}
    GLMCV(**job).fit(X[:500], y[:500])
    tracemalloc.start()
    GLMCV(**job).fit(RowStream(source, memory), y)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    largest = max(last - first for first, last in source.reads) * p * 4
    assert largest * 6 <= memory
    # beside the blocks: some fifteen vectors over samples, and chunks of the workers
    assert peak < memory + 16 * y.nbytes
    assert peak < X.nbytes / 2


def test_bad_sources():
    X, Y, _ = recording()
    with pytest.raises(ValueError, match=r"shape \(n_samples, n_features\); it has \(3000,\)"):
        RowStream(X[:, 0])
    with pytest.raises(ValueError, match="real numbers; the array on disk has dtype complex64"):
        RowStream(X.astype(np.complex64))
    with pytest.raises(ValueError, match=r"memory=100 bytes are too few .* use at least 240"):
        RowStream(X, memory=100)
    with pytest.raises(TypeError, match="never whole"):
        np.asarray(RowStream(X))
    whole_numbers = X.astype(np.int16)
    model = GLM(lambdas=[0.1]).fit(RowStream(whole_numbers, MEMORY), Y)
    np.testing.assert_allclose(model.predict(RowStream(whole_numbers, MEMORY)), model.predict(whole_numbers))
