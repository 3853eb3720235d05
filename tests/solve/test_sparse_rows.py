"""Products and sums of sparse rows are those of the centred dense matrix."""

import numpy as np
import pytest
from scipy.sparse import csr_array, random_array

from popglm.engines import NumpyEngine
from popglm.solve.objective.row_objective import RowObjective
from popglm.solve.passes.samples import Samples
from popglm.solve.sparse.rows import SparseRows
from popglm.statistics.families import get_family


@pytest.fixture
def A():
    rng = np.random.default_rng(0)
    X = random_array((100, 12), density=0.2, rng=rng).toarray()
    # one nearly full and far from 0, one full, one empty
    X[:, 3] = 1e4 + rng.standard_normal(100)
    X[5, 3] = 0
    X[:, 4], X[:, 5] = 7.0, 0
    return X


@pytest.fixture
def pair(A):
    """Rows of a fit, in another order, and the dense matrix that they stand for."""
    order, unit = np.random.default_rng(1).permutation(len(A)), np.linspace(1, 2, A.shape[1])
    center = A.mean(axis=0)
    return SparseRows(csr_array(A)).centred_for(order, center, np.float64, unit), (A[order] - center) / unit


def test_products(pair):
    X, dense = pair
    rng = np.random.default_rng(2)
    W, R = rng.standard_normal((5, 12)), rng.standard_normal((5, 40))
    block = X.window(30, 70)
    np.testing.assert_allclose(block.across(W), W @ dense[30:70].T, atol=1e-9)
    np.testing.assert_allclose(block.along(R), R @ dense[30:70], atol=1e-9)
    both = block.along_both(R)
    np.testing.assert_allclose(both[0], R @ dense[30:70], atol=1e-9)
    np.testing.assert_allclose(both[1], R @ dense[30:70] ** 2, rtol=1e-9, atol=1e-9)
    np.testing.assert_allclose(block.columns(np.array([3, 7])), dense[30:70][:, [3, 7]], atol=1e-9)
    np.testing.assert_allclose(X[10:20], dense[10:20], atol=1e-9)


def test_gram_and_its_diagonal(monkeypatch, pair):
    X, dense = pair
    s, ranges = np.random.default_rng(3).random(100), [(0, 30), (50, 100)]
    counted = np.r_[0:30, 50:100]
    XX, x = X.gram(s, ranges)
    own = dense[counted]
    np.testing.assert_allclose(x, s[counted] @ own, atol=1e-8)
    np.testing.assert_allclose(XX, (own * s[counted, None]).T @ own, rtol=1e-9, atol=1e-8)
    monkeypatch.setattr(SparseRows, "WIDE", 3)
    np.testing.assert_allclose(X.gram(s, ranges)[0], np.diag(XX), rtol=1e-9)


def test_the_largest_variance(pair):
    X, dense = pair
    s, free = np.random.default_rng(4).random(100), np.arange(12) == 3
    expected = np.linalg.eigvalsh(np.cov(dense[:, ~free].T, aweights=s, ddof=0))[-1]
    assert X.largest_variance(s, free) == pytest.approx(expected, rel=1e-5)


def test_a_column_far_from_zero_keeps_its_digits_in_float32(A):
    X = SparseRows(csr_array(A)).centred_for(np.arange(100), A.mean(axis=0), np.float32, None)
    W = np.zeros((1, 12), np.float32)
    W[0, 3] = 1
    far = X.window(6, 100).across(W)[0]
    np.testing.assert_allclose(far, (A[:, 3] - A[:, 3].mean())[6:], rtol=1e-6)


def test_sums_of_rows_as_they_are(A):
    X, s = SparseRows(csr_array(A)), np.random.default_rng(5).random(100)
    np.testing.assert_allclose(X.weighted_sum(s), s @ A)
    np.testing.assert_allclose(X.square_sum(A.mean(axis=0)), 100 * A.var(axis=0), rtol=1e-9, atol=1e-9)
    np.testing.assert_allclose(X.product64(A[:3]), A @ A[:3].T)


def test_weighted_variances_are_the_diagonals_of_weighted_grams(pair):
    X, dense = pair
    rng, engine = np.random.default_rng(6), NumpyEngine("float64", 1)
    Y, s, offset = rng.poisson(1.0, (3, 100)).astype(float), rng.random((3, 100)), rng.standard_normal(100)
    W, b, neurons = 0.1 * rng.standard_normal((3, 12)), rng.standard_normal(3), np.arange(3)
    # of the sample that lies far off, no rate overflows
    W[:, 3] = 0
    for fit_intercept in (True, False):
        given = get_family("poisson"), Samples(X, Y, s, offset), [[(0, 40), (60, 100)]], fit_intercept
        objective = RowObjective(engine, *given)
        h = s * np.exp(W @ dense.T + b[:, None] + offset)
        h[:, 40:60] = 0
        mean = h @ dense / h.sum(axis=1)[:, None] * fit_intercept
        expected = h @ dense**2 / h.sum(axis=1)[:, None] - mean**2
        np.testing.assert_allclose(objective.weighted_variances(neurons, W, b), expected, rtol=1e-9)
        grams = objective.weighted_grams(neurons, W, b)
        np.testing.assert_allclose(np.einsum("nii->ni", grams), expected, rtol=1e-9)


def test_columns_and_rows_are_taken(A, pair):
    X, dense = pair
    kept, rows = np.array([2, 3, 9]), np.array([7, 3, 3])
    np.testing.assert_allclose(X.with_columns(kept)[:], dense[:, kept], atol=1e-9)
    np.testing.assert_allclose(X.take(rows)[:], dense[rows], atol=1e-9)
    assert SparseRows(csr_array(A)).with_columns(np.zeros(0, int))[:].tolist() == [[0.0]] * 100
