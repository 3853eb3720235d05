"""What a sparse X may be, what is told of bad ones, and that none is made dense."""

import tracemalloc
from functools import cache
from itertools import pairwise

import numpy as np
import pandas as pd
import pytest
from estimators.sparse_designs import activity, design, kept_sparse
from scipy import sparse

from popglm import GLM, GLMCV, breakdown, compare
from popglm.estimators.sparse_features import DENSE, canonical, stays_sparse
from popglm.solve.stream import RowStream


@pytest.fixture(params=[False, True], ids=["made dense", "kept"])
def kept(request, monkeypatch):
    if request.param:
        kept_sparse(monkeypatch)
    return request.param


@cache
def of_dense(n_columns):
    """The weights of the dense design's first columns."""
    return GLM(lambdas=[0.1]).fit(design()[:, :n_columns], activity(design(), "poisson")).coef_


@pytest.mark.parametrize("kind", ["csr", "csc", "coo", "dok", "lil", "bsr", "dia"])
@pytest.mark.parametrize("matrix", [False, True], ids=["array", "matrix"])
def test_every_format(kept, kind, matrix):
    X = design()
    Y = activity(X, "poisson")
    given = (sparse.csr_matrix if matrix else sparse.csr_array)(X).asformat(kind)
    model = GLM(lambdas=[0.1]).fit(given, Y)
    np.testing.assert_allclose(model.coef_, of_dense(36), atol=1e-3)
    assert model.predict(given).shape == Y.shape


@pytest.mark.parametrize("dtype", [bool, np.int8, np.int64, np.uint16, np.float32, np.float64])
def test_every_type_of_numbers(kept, dtype):
    X = design()[:, :30]
    Y = activity(design(), "poisson")
    found = GLM(lambdas=[0.1]).fit(sparse.csr_array(X.astype(dtype)), Y)
    np.testing.assert_allclose(found.coef_, of_dense(30), atol=1e-3)
    assert found.predict(sparse.csr_array(X.astype(dtype))).dtype == (np.float32 if dtype == np.float32 else float)


def test_disorder_duplicates_and_stored_zeros(kept):
    X = sparse.coo_array(design())
    Y = activity(design(), "poisson")
    rng = np.random.default_rng(0)
    turn = rng.permutation(2 * X.nnz + 5)
    # every number in halves, and zeros where there is none
    values = np.concatenate([X.data / 2, X.data / 2, np.zeros(5)])[turn]
    empty = np.argwhere(design() == 0)[::4000].T[:, :5]
    rows, columns = (np.concatenate([at, at, own])[turn] for at, own in zip(X.coords, empty, strict=True))
    messy = sparse.coo_array((values, (rows, columns)), X.shape)
    raw = sparse.csr_array(X.tocsr())
    raw.indices[: raw.indptr[1]] = raw.indices[: raw.indptr[1]][::-1].copy()
    raw.data[: raw.indptr[1]] = raw.data[: raw.indptr[1]][::-1].copy()
    raw.has_sorted_indices = False
    before = raw.indices.copy()
    expected = of_dense(36)
    for given in (messy, raw):
        clean = canonical(given)
        assert clean.nnz == np.count_nonzero(design())
        assert all((np.diff(clean.indices[a:b]) > 0).all() for a, b in pairwise(clean.indptr))
        np.testing.assert_allclose(GLM(lambdas=[0.1]).fit(given, Y).coef_, expected, atol=1e-3)
    np.testing.assert_array_equal(raw.indices, before)


@pytest.mark.parametrize(("value", "word"), [(np.nan, "NaN"), (np.inf, "inf"), (-np.inf, "inf")])
def test_what_is_not_finite_is_named(kept, value, word):
    X = design()
    X[17, 31] = X[400, 33] = value
    with pytest.raises(ValueError, match=rf"X contains {word} in column 31, first in row 17"):
        GLM().fit(sparse.csc_array(X), activity(design(), "poisson"))


def test_other_bad_designs(kept):
    X = design()
    Y = activity(X, "poisson")
    model = GLM(lambdas=[0.1]).fit(sparse.csr_array(X), Y)
    with pytest.raises(ValueError, match=r"complex128 \(Complex data not supported\)"):
        GLM().fit(sparse.csr_array(X.astype(complex)), Y)
    with pytest.raises(ValueError, match="X has 35 features, but GLM is expecting 36"):
        model.predict(sparse.csr_array(X[:, :35]))
    with pytest.raises(ValueError, match="X has 599 samples and Y has 600"):
        GLM().fit(sparse.csr_array(X[1:]), Y)
    with pytest.raises(ValueError, match="X is empty: found 0 sample"):
        GLM().fit(sparse.csr_array((0, 5)), Y)
    X[3, 2] = 1e200
    with pytest.raises(ValueError, match=r"X reaches 1e[+]200 in column 2"):
        GLM().fit(sparse.csr_array(X), Y)


def test_a_table_of_sparse_columns_keeps_its_names(kept):
    X = pd.DataFrame(design(), columns=[f"c{k}" for k in range(36)])
    Y = activity(design(), "poisson")
    table = X.astype(pd.SparseDtype(float, 0.0))
    model = GLM(lambdas=[0.1]).fit(table, Y)
    np.testing.assert_allclose(model.coef_, GLM(lambdas=[0.1]).fit(X, Y).coef_, atol=1e-3)
    assert list(model.feature_names_in_) == list(X.columns)
    np.testing.assert_allclose(model.predict(table.iloc[:, ::-1]), model.predict(table))
    if kept:
        with pytest.raises(ValueError, match="sparse columns that do not stand for zeros"):
            GLM().fit(X.astype(pd.SparseDtype(float, np.nan)), Y)


@pytest.mark.thorough(keep=1)
def test_explanations_read_a_sparse_x(kept):
    X = design()[:, :35]
    Y = activity(design(), "poisson")
    groups = np.repeat(["a", "b", "c", "d"], [10, 10, 10, 5]).tolist()
    model = GLMCV(penalty="ridge", lambdas=[0.1, 0.02], cv=3, feature_groups=groups, precision="float64", tol=1e-8)
    given = sparse.csr_array(X)
    found = compare(model.fit(given, Y), given, Y)
    parts = breakdown(model, given, Y)
    dense = model.fit(X, Y)
    for one, other in ((found, compare(dense, X, Y)), (parts, breakdown(dense, X, Y))):
        for name in other.data_vars:
            if other[name].dtype.kind == "f":
                np.testing.assert_allclose(one[name], other[name], atol=2e-4, rtol=2e-4)


def test_what_needs_all_rows_dense_says_so(monkeypatch):
    X = design()
    Y = activity(X, "poisson")
    model = GLM(lambdas=[0.1]).fit(X, Y)
    kept_sparse(monkeypatch)
    with pytest.raises(TypeError, match="shuffle' needs all rows of X at once, dense; this sparse X is large"):
        breakdown(model, sparse.csr_array(X), Y, method="shuffle", held_out=False)
    with pytest.raises(TypeError, match="source is a sparse matrix in memory; give it to fit as X itself"):
        RowStream(sparse.csr_array(X))


def test_small_ones_alone_are_made_dense():
    assert not stays_sparse(sparse.csr_array((DENSE // 100, 100)))
    assert stays_sparse(sparse.csr_array((DENSE // 100 + 1, 100)))
    assert stays_sparse(sparse.csr_array((10, 2001)))
    assert not stays_sparse(np.zeros((10, 2001)))


@pytest.mark.thorough(keep=1)
@pytest.mark.parametrize("n_features", [400, 3000], ids=["gram", "wide"])
def test_nothing_of_the_size_of_x_is_made(monkeypatch, n_features):
    rng, n = np.random.default_rng(0), 60_000 if n_features < 1000 else 20_000
    columns = rng.integers(n_features, size=(n, 3))
    X = sparse.csr_array((np.ones(3 * n, np.float32), columns.ravel(), np.arange(0, 3 * n + 1, 3)), (n, n_features))
    y = rng.poisson(0.5, n).astype(float)
    sizes, whole = [], n * n_features * 4

    def recorded(self, *args, **kwargs):
        found = plain(self, *args, **kwargs)
        sizes.append(found.nbytes)
        return found

    plain = sparse.csr_array.toarray
    monkeypatch.setattr(sparse.csr_array, "toarray", recorded)
    tracemalloc.start()
    model = GLMCV(penalty="lasso", lambdas=[1e-3, 3e-4], cv=2, tol=1e-2).fit(X, y)
    model.predict(X)
    model.predict_held_out(X)
    model.score(X, y)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert (model.gap_ <= 1e-2).all()
    assert max(sizes, default=0) < whole / 10
    assert peak < 0.6 * whole if n_features == 400 else peak < whole / 4
