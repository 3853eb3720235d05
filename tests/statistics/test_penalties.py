"""Penalties against loops over groups and against what their names promise."""

from itertools import pairwise

import numpy as np
import pytest

from popglm.statistics.penalties import PENALTIES, Penalty, smoothness_matrix

SIZES = [3, 1, 4, 2]


@pytest.fixture
def W():
    return np.random.default_rng(0).standard_normal((4, sum(SIZES)))


def by_hand(w, lam, kind, l1_ratio, sigma):
    groups = np.split(w, np.cumsum(SIZES)[:-1])
    l2, l1 = (w**2).sum() / 2, np.abs(w).sum()
    norm = sum(np.sqrt(len(g)) * np.linalg.norm(g) for g in groups)
    total = {
        "none": 0.0,
        "ridge": l2,
        "lasso": l1,
        "elastic_net": 0.5 * l1 + 0.5 * l2 if l1_ratio is None else l1_ratio * l1 + (1 - l1_ratio) * l2,
        "group_lasso": norm if l1_ratio is None else l1_ratio * norm + (1 - l1_ratio) * l2,
    }[kind]
    return lam * total + sigma / 2 * w @ smoothness_matrix(SIZES) @ w


@pytest.mark.parametrize("kind", PENALTIES)
@pytest.mark.parametrize("l1_ratio", [None, 0.0, 0.3, 1.0])
@pytest.mark.parametrize("sigma", [0.0, 0.7])
def test_value(kind, l1_ratio, sigma, W):
    if l1_ratio is not None and kind not in ("elastic_net", "group_lasso"):
        pytest.skip("no share to choose")
    # without a penalty the strength is 0
    lam = np.zeros(4) if kind == "none" else np.array([0.0, 0.1, 1.0, 3.0])
    penalty = Penalty.make(kind, l1_ratio, sigma, SIZES)
    expected = [by_hand(w, v, kind, l1_ratio, sigma) for w, v in zip(W, lam, strict=True)]
    np.testing.assert_allclose(penalty.value(W, lam), expected, rtol=1e-13)
    step = 1e-6
    numeric = [
        [
            (by_hand(w + step * e, 0, "none", None, sigma) - by_hand(w - step * e, 0, "none", None, sigma)) / (2 * step)
            for e in np.eye(len(w))
        ]
        for w in W
    ]
    np.testing.assert_allclose(penalty.smooth_gradient(W), numeric, atol=1e-8)


def test_smoothness_is_the_sum_of_squared_differences():
    w = np.array([0.5, -1.0, 2.0])
    expected = 0.5**2 + 1.5**2 + 3.0**2 + 2.0**2  # with a 0 beyond either end
    np.testing.assert_allclose(w @ smoothness_matrix([3]) @ w, expected)
    np.testing.assert_array_equal(smoothness_matrix([1, 1]), np.eye(2))
    R = smoothness_matrix(SIZES)
    edges = np.cumsum(SIZES)[:-1]
    assert all((R[:e, e:] == 0).all() for e in edges)
    assert (np.linalg.eigvalsh(R) > 0).all()


@pytest.mark.parametrize(
    ("kind", "l1_ratio"), [("lasso", None), ("elastic_net", 0.4), ("group_lasso", None), ("group_lasso", 0.4)]
)
def test_lambda_max_is_where_zero_stops_being_a_minimum(kind, l1_ratio, W):
    penalty = Penalty.make(kind, l1_ratio, 0.0, SIZES)
    gradient, top = W, penalty.lambda_max(W)
    sizes = SIZES if kind == "group_lasso" else [1] * W.shape[1]
    starts = np.cumsum([0, *sizes])
    for sign, lam in ((1, 1.001 * top), (-1, 0.999 * top)):
        # a short step against the gradient, one block at a time, goes up above λ_max and down in one block below
        best = np.full(len(W), np.inf)
        for a, b in pairwise(starts):
            d = np.zeros_like(W)
            d[:, a:b] = -1e-6 * gradient[:, a:b]
            best = np.minimum(best, np.einsum("ij,ij->i", gradient, d) + penalty.value(d, lam))
        assert (sign * best > 0).all()


@pytest.mark.parametrize("alpha", [0.0, 0.4])
def test_the_strongest_ridge_leaves_a_tenth_of_the_weights(alpha, W):
    penalty = Penalty.make("elastic_net", alpha, 0.0, SIZES)
    curvature, ridge = 3.0, 1 - alpha
    # a gradient in units so large that the norm hardly counts
    top = penalty.lambda_max(1e9 * W, curvature)
    np.testing.assert_allclose(curvature / (curvature + ridge * top), 1 / 11, rtol=1e-12)


def test_block_norms(W):
    grouped, single = Penalty.make("group_lasso", None, 0, SIZES), Penalty.make("lasso", None, 0, SIZES)
    expected = [np.linalg.norm(g, axis=1) for g in np.split(W, np.cumsum(SIZES)[:-1], axis=1)]
    np.testing.assert_allclose(grouped.block_norms(W), np.transpose(expected))
    np.testing.assert_array_equal(single.block_norms(W), np.abs(W))
    np.testing.assert_array_equal(grouped.block_weights, np.sqrt(SIZES))
