"""Penalties of weights that have bounds: steps, forces and strengths against searches by brute force."""

from dataclasses import replace

import numpy as np
import pytest
from scipy.optimize import minimize

from popglm.statistics import norms
from popglm.statistics.blockwise import Blocks, settled
from popglm.statistics.penalties import Penalty, inward
from popglm.statistics.sparse_groups import SparseGroupPenalty

P = 7
LOWER = np.array([-0.4, -np.inf, 0.0, -1.0, -np.inf, 0.0, -0.1])
UPPER = np.array([0.3, np.inf, np.inf, 0.0, 0.5, 2.0, 0.05])
TAU, LAM2 = 0.3, 0.7


def make(ratio=0.5, kind="elastic_net"):
    return replace(Penalty.make(kind, ratio, 0.0, np.ones(P, int)), bounds=np.stack([LOWER, UPPER]))


def grids():
    """Weights of every column from bound to bound, 0 among them, beyond all that matters where there is none."""
    ends = [(max(low, -8), min(high, 8)) for low, high in zip(LOWER, UPPER, strict=True)]
    return [np.unique(np.append(np.linspace(low, high, 160_001), 0)) for low, high in ends]


@pytest.fixture
def forces():
    return np.random.default_rng(2).normal(size=(5, P)) * [[0.2], [0.5], [1], [1], [3]]


def test_steps_are_the_best_points_within_bounds(forces):
    found = norms.shrink(np, make().blocks, forces, np.full((5, P), TAU), 1 / (1 + LAM2))
    for k, grid in enumerate(grids()):
        cost = 0.5 * (grid - forces[:, [k]]) ** 2 + TAU * np.abs(grid) + LAM2 / 2 * grid**2
        np.testing.assert_allclose(found[:, k], grid[cost.argmin(axis=1)], atol=1e-4)
    assert (found == LOWER).any()
    assert (found == UPPER).any()


def test_what_forces_gain_beside_a_ridge(forces):
    lam2 = np.full(5, LAM2)
    *_, over = norms.bounded_forces(np, make().blocks, 0 * forces, forces, np.full((5, P), TAU), lam2)
    gains = [
        np.max(forces[:, [k]] * grid - TAU * np.abs(grid) - LAM2 / 2 * grid**2, axis=1)
        for k, grid in enumerate(grids())
    ]
    np.testing.assert_allclose(over / (2 * LAM2), np.sum(gains, axis=0), atol=1e-6)


def test_what_forces_gain_on_their_way_to_a_bound(forces):
    """Both choices of a scale bound the distance to the dual: at theirs, no force gains more than they say."""
    W = np.clip(np.random.default_rng(3).normal(size=(5, P)), LOWER, UPPER)
    *choices, _ = norms.bounded_forces(np, make().blocks, W, forces, np.full((5, P), TAU), np.zeros(5))
    for theta, gain in choices:
        assert ((theta > 0) & (theta <= 1)).all()
        for k, grid in enumerate(grids()):
            best = np.max(theta[:, None] * forces[:, [k]] * grid - TAU * np.abs(grid), axis=1)
            np.testing.assert_allclose(gain[:, k], best, atol=1e-4)
    # forces on columns without a bound on their side alone decide the second; those that are not at theirs the first
    unbounded = np.isinf(np.where(forces > 0, UPPER, LOWER))
    inside = ~np.where(forces > 0, (W == UPPER) | (UPPER == 0), (W == LOWER) | (LOWER == 0))
    for (theta, _), held in zip(choices, (inside, unbounded), strict=True):
        largest = np.where(held, np.abs(forces), 0).max(axis=1)
        np.testing.assert_allclose(theta, np.minimum(1, TAU / np.maximum(largest, TAU)))


def test_the_steepest_way_down_stays_within(forces):
    W = np.clip(np.random.default_rng(4).normal(size=(5, P)), LOWER, UPPER)
    W[:, :2] = 0
    W[0] = np.where(np.isfinite(UPPER), UPPER, 0.2)
    penalty, lam = make(1.0, "lasso"), np.full(5, TAU)
    rates = []
    for direction in (1, -1):
        step = 1e-7 * direction
        allowed = (W + step >= LOWER) & (W + step <= UPPER)
        slope = (-forces * step + TAU * (np.abs(W + step) - np.abs(W))) / 1e-7
        rates.append(np.where(allowed, np.maximum(-slope, 0), 0))
    steepest = np.sqrt(np.sum(np.maximum(*rates) ** 2, axis=1))
    np.testing.assert_allclose(penalty.subgradient_distance(W, -forces, lam), steepest, rtol=1e-5)


def test_bounds_other_than_zero_do_not_move_the_first_strength(forces):
    free = Penalty.make("lasso", None, 0.0, np.ones(P, int))
    wide = replace(free, bounds=np.stack([np.where(LOWER < 0, LOWER, -1), np.where(UPPER > 0, UPPER, 1)]))
    np.testing.assert_array_equal(wide.lambda_max(forces), free.lambda_max(forces))
    # and one at 0 holds what pushes against it
    one = replace(free, bounds=np.stack([np.zeros(P), np.ones(P)]))
    np.testing.assert_array_equal(one.lambda_max(forces), np.maximum(-forces, 0).max(axis=1))


def test_factors_scale_the_bounds_with_the_weights():
    factors = np.array([1, 4, 1, 9, 1, 0.25, 1])
    penalty = replace(make(), factors=factors)
    even, unit = penalty.evened(np.ones(P))
    np.testing.assert_array_equal(unit, np.sqrt(factors))
    np.testing.assert_array_equal(even.bounds, penalty.bounds * unit)


def test_the_arithmetic_of_devices_is_that_of_the_host(forces):
    penalty = make()
    device = Blocks(None, np.arange(P), None, LOWER, UPPER)
    rows = Blocks(None, np.arange(P), None, np.tile(LOWER, (5, 1)), np.tile(UPPER, (5, 1)))
    W = np.clip(forces[::-1], LOWER, UPPER)
    tau = np.full((5, P), TAU)
    for blocks in (device, rows):
        for host, other in zip(
            norms.bounded_forces(np, penalty.blocks, W, forces, tau, np.ones(5)),
            norms.bounded_forces(np, blocks, W, forces, tau, np.ones(5)),
            strict=True,
        ):
            for a, b in zip(host, other, strict=True):
                np.testing.assert_array_equal(a, b)
        np.testing.assert_array_equal(
            norms.shrink(np, penalty.blocks, forces, tau), norms.shrink(np, blocks, forces, tau)
        )


def test_steps_end_at_a_bound_or_beside_it_and_never_beyond():
    blocks = make().blocks
    W = np.zeros((1, P))
    D = np.array([[0.3 - 1e-8, 5.0, -1e-9, -0.99, 0.4, 3.0, 0.05 + 1e-3]])
    found = settled(np, blocks, W + D, D, 1e-6)
    np.testing.assert_array_equal(found, [[0.3, 5.0, 0.0, -0.99, 0.4, 2.0, 0.05]])
    assert np.isnan(settled(np, blocks, np.full((1, P), np.nan), D, 1e-6)).all()


def test_bounds_of_a_precision_are_never_wider():
    bounds = np.array([[-0.1, -0.2, 0.0, -np.inf, -1e-50], [0.1, 0.7, 1e300, np.inf, 0.25]])
    found = inward(bounds, np.float32)
    assert (np.abs(found) <= np.abs(bounds)).all()
    np.testing.assert_array_equal(found, found.astype(np.float32))
    np.testing.assert_allclose(found[:, :2], bounds[:, :2], rtol=2e-7)
    np.testing.assert_array_equal(found[:, 3], bounds[:, 3])
    np.testing.assert_array_equal(inward(bounds, np.float64), bounds)


GROUPS = [3, 2, 2]


def grouped(ratio=1.0, share=0.4):
    made = SparseGroupPenalty.of_share(share, GROUPS)
    return replace(made, l1_ratio=ratio, bounds=np.stack([LOWER, UPPER]))


def best_of(cost, start):
    """The minimum of ½‖z − v‖² and the like within bounds, both signs of a weight a variable of their own."""
    sides = [*((0, u) for u in UPPER), *((0, -low) for low in LOWER)]
    tight = {"ftol": 1e-16, "gtol": 1e-12, "maxiter": 20_000, "maxfun": 10**6}
    found = minimize(
        lambda at: cost(at[:P] - at[P:], at[:P] + at[P:]), np.r_[start, start], bounds=sides, method="L-BFGS-B",
        options=tight,
    )  # fmt: skip
    return found.x[:P] - found.x[P:], found.fun


def test_steps_of_groups_are_the_best_points_within_bounds(forces):
    penalty, keep = grouped(), 1 / (1 + LAM2)
    own, of_group = 0.4 * TAU, 0.6 * TAU * np.sqrt(GROUPS)
    tau = np.tile(np.concatenate([np.full(P, own), of_group]), (5, 1))
    found = norms.shrink(np, penalty.blocks, forces, tau, keep)
    starts = np.cumsum([0, *GROUPS[:-1]])

    def cost(v, z, size):
        norm = np.sqrt(np.add.reduceat(z**2, starts) + 1e-18)
        return 0.5 * np.sum((z - v) ** 2) + own * size.sum() + of_group @ norm + LAM2 / 2 * z @ z

    for v, z in zip(forces, found, strict=True):
        _, least = best_of(lambda w, size, v=v: cost(v, w, size), np.full(P, 0.01))
        assert cost(v, z, np.abs(z)) <= least + 1e-8
    assert ((found >= LOWER) & (found <= UPPER)).all()
    assert (found == UPPER).any()
    assert (~np.add.reduceat(found != 0, starts, axis=1)).any()


@pytest.mark.parametrize("lam2", [0.0, LAM2])
def test_what_forces_on_groups_gain_is_bounded(forces, lam2):
    """max fw − Ω(w) within bounds, which none of 10⁵ random weights exceeds."""
    blocks, rng = grouped().blocks, np.random.default_rng(6)
    tau = np.tile(np.concatenate([np.full(P, 0.4 * TAU), 0.6 * TAU * np.sqrt(GROUPS)]), (5, 1))
    W = np.clip(forces, LOWER, UPPER)
    *choices, over = norms.bounded_forces(np, blocks, W, forces, tau, np.full(5, lam2))
    starts = np.cumsum([0, *GROUPS[:-1]])
    tried = np.clip(rng.normal(size=(100_000, P)) * rng.exponential(2, (100_000, 1)), LOWER, UPPER)
    # what forces lead to is among them
    tried = np.concatenate([tried, W, np.clip(5 * forces, LOWER, UPPER)])
    cost = 0.4 * TAU * np.abs(tried).sum(axis=1) + lam2 / 2 * np.sum(tried**2, axis=1)
    cost += np.sqrt(np.add.reduceat(tried**2, starts, axis=1)) @ (0.6 * TAU * np.sqrt(GROUPS))
    if lam2:
        best = (forces @ tried.T - cost).max(axis=1)
        assert (over / (2 * lam2) >= best - 1e-12).all()
        return
    for theta, gain in choices:
        assert ((theta > 0) & (theta <= 1)).all()
        best = (theta[:, None] * forces @ tried.T - cost).max(axis=1)
        assert (gain.sum(axis=1) >= best - 1e-12).all()


def test_what_forces_gain_where_they_are_in_balance_is_all_that_they_do():
    """At a minimum of Ω(w) − fw within bounds, what f gains is fw − Ω(w)."""
    W = np.array([[0.3, -0.2, 1.5, 0.0, 0.0, 2.0, -0.05]])
    own, of_group = 0.4 * TAU, 0.6 * TAU * np.sqrt(GROUPS)
    starts = np.cumsum([0, *GROUPS[:-1]])
    norm = np.sqrt(np.add.reduceat(W**2, starts, axis=1))
    each = np.repeat(of_group / np.where(norm > 0, norm, 1), GROUPS, axis=1)
    outwards = np.array([[0.8, 0, 0, 0, 0, 0.1, 0]])
    F = own * np.sign(W) + each * W + outwards
    tau = np.concatenate([np.full(P, own), of_group])[None]
    value = own * np.abs(W).sum() + norm[0] @ of_group
    for theta, gain in norms.bounded_forces(np, grouped().blocks, W, F, tau, np.zeros(1))[:1]:
        np.testing.assert_allclose(theta, 1, rtol=1e-12)
        np.testing.assert_allclose(gain.sum(), (F * W).sum() - value, rtol=1e-12)
