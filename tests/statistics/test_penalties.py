"""Penalties against loops over groups and against what their names promise."""

from itertools import pairwise

import numpy as np
import pytest

from popglm.statistics import norms
from popglm.statistics.blockwise import Blocks
from popglm.statistics.penalties import PENALTIES, Penalty
from popglm.statistics.roughness import smoothness_matrix

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


FACTORS, MASK = np.array([0.5, 2.0, 0.0, 3.0]), np.array([1, 1, 0, 1, 1, 1, 1, 0, 1, 1], bool)


@pytest.fixture(params=[("lasso", None), ("elastic_net", 0.4), ("group_lasso", None), ("group_lasso", 0.6)], ids=str)
def penalty(request):
    return Penalty.make(*request.param, 0.3, SIZES, FACTORS, MASK)


def norms_of(penalty, w):
    """Σ_b αcω‖w_b‖ by loops, ω of the columns that may have a weight."""
    total, groups = 0.0, np.split(np.where(MASK, w, 0), np.cumsum(SIZES)[:-1])
    for g, c, open_ in zip(groups, FACTORS, np.split(MASK, np.cumsum(SIZES)[:-1]), strict=True):
        single = len(penalty.block_sizes) == len(w)
        total += c * penalty.l1_ratio * (np.abs(g).sum() if single else np.sqrt(open_.sum()) * np.linalg.norm(g))
    return total


def test_the_prox_is_the_minimum(penalty, W):
    lam, step = np.array([0.1, 0.5, 1.0, 3.0]), np.full((4, len(penalty.block_sizes)), 0.7)
    rng = np.random.default_rng(1)
    for v, z, strength in zip(W, penalty.prox(W, step, lam), lam, strict=True):
        assert not z[~MASK].any()

        def objective(u, v=v, strength=strength):
            return 0.5 * ((u - np.where(MASK, v, 0)) ** 2).sum() + 0.7 * strength * norms_of(penalty, u)

        around = z + 10.0 ** rng.uniform(-6, 0, (200, 1)) * rng.standard_normal((200, len(z))) * MASK
        assert min(objective(u) for u in around) >= objective(z) - 1e-12


def test_the_dual_norm_is_the_largest_product_with_the_unit_ball(penalty, W):
    gradient = np.where(MASK & np.repeat(FACTORS > 0, SIZES), W, 0)
    found = penalty.dual_norm(W)
    np.testing.assert_allclose(penalty.dual_norm(gradient), found)
    rng = np.random.default_rng(2)
    for g, largest in zip(gradient, found, strict=True):
        # of points with one block alone, and of any others
        blocks = np.split(g, penalty.starts[1:-1])
        each = [np.concatenate([b * (i == k) for i, b in enumerate(blocks)]) for k in range(len(blocks))]
        products = [
            g @ w / norms_of(penalty, w) for w in [*each, *rng.standard_normal((200, 10))] if norms_of(penalty, w)
        ]
        np.testing.assert_allclose(max(products), largest)
    np.testing.assert_allclose(penalty.lambda_max(W), found)


def test_the_subgradient_distance_is_the_rate_of_steepest_descent(penalty, W):
    lam, gradient = np.array([0.1, 0.5, 1.0, 3.0]), np.random.default_rng(3).standard_normal(W.shape)
    W = np.where(MASK, W, 0)
    W[:, :3] = W[:, 5] = 0
    found = penalty.subgradient_distance(W, gradient, lam)
    size, starts = 1e-7, penalty.starts

    def rate(i, d):
        moved, here = (penalty.value(v[None], lam[[i]])[0] for v in (W[i] + size * d, W[i]))
        return -(gradient[i] @ d + (moved - here) / size)

    for i in range(4):
        # where a block is 0 its own gradient is the steepest way; elsewhere all is smooth
        slopes = -np.array([rate(i, e) for e in np.eye(10)])
        direction = np.zeros(10)
        for a, b in pairwise(starts):
            kink = not W[i, a:b].any()
            smooth = gradient[i, a:b] + penalty.smooth_gradient(W[[i]])[0, a:b]
            own = np.where(MASK[a:b], -smooth if kink else -slopes[a:b], 0)
            own = own / (np.linalg.norm(own) or 1)
            d = np.zeros(10)
            d[a:b] = own
            direction += max(rate(i, d), 0) * d
        # blocks add up to the steepest of all
        np.testing.assert_allclose(rate(i, direction / np.linalg.norm(direction)), found[i], rtol=1e-4)


def test_the_arithmetic_of_devices_is_that_of_the_host(penalty, W):
    of_column, n_blocks = penalty.block_of_column, len(penalty.block_sizes)
    device = Blocks(None if n_blocks == len(of_column) else np.eye(n_blocks)[of_column], of_column)
    tau = penalty.norm_strengths(np.array([0.1, 0.5, 1.0, 3.0]))
    V = W[::-1].copy()
    V[0, :3] = 0
    for function, arguments in (
        (norms.value, (W,)), (norms.change, (W, V)), (norms.shrink, (W,)), (norms.dual_scale, (W,)),
        (norms.least_subgradient, (V, W)),
    ):  # fmt: skip
        host, other = (np.array(function(np, b, *arguments, tau), object) for b in (penalty.blocks, device))
        np.testing.assert_allclose(host.astype(float), other.astype(float))


def test_evened_factors_are_those_of_other_units(penalty, W):
    variance = np.linspace(0.5, 2, 10)
    even, unit = penalty.evened(variance)
    lam = np.array([0.1, 0.5, 1.0, 3.0])
    W = np.where(MASK, W, 0)
    np.testing.assert_allclose(even.value(W * unit, lam), penalty.value(W, lam))
    plain = Penalty.make("elastic_net", 0.4, 0.0, SIZES)
    assert plain.evened(variance) == (plain, None)
