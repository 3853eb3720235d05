"""Best intercepts beside given predictors: the root that a bracketing solver finds, in few steps, from anywhere."""

import numpy as np
import pytest
from scipy.optimize import brentq
from scipy.special import expit

from popglm.engines.registry import get_engine
from popglm.solve.passes.row_sums import RowSums
from popglm.solve.passes.samples import Samples
from popglm.statistics.families import get_family
from popglm.statistics.intercepts import MAX_STEPS, InterceptSteps


def predictors(kind, n=2000, seed=0):
    rng = np.random.default_rng(seed)
    return {
        "even": np.zeros(n),
        "spread": rng.normal(0, 2, n),
        "rare": rng.normal(0, 1, n) - 7,
        "frequent": rng.normal(0, 1, n) + 7,
        # all samples saturate: the loss is flat in b for a long way
        "two sets": np.where(rng.random(n) < 0.3, 60.0, -60.0) + rng.normal(0, 5, n),
        "far": rng.normal(0, 90, n),
    }[kind]


def walk(eta, mean, start, dtype=np.float64):
    """The intercept reached, and the sums that were taken on the way."""
    n = len(eta)
    steps = InterceptSteps(
        get_family("bernoulli", None), np.dtype(dtype), np.array([start]), np.array([-np.inf]), np.array([mean]),
        np.array([float(n)]),
    )  # fmt: skip
    for i in range(MAX_STEPS):
        mu = expit(eta + steps.b[0])
        # Σ|r| of activity that is 0 or 1
        size = mean * np.sum(1 - mu) + (1 - mean) * np.sum(mu)
        steps.take(np.array([np.sum(mu - mean)]), np.array([np.sum(mu * (1 - mu))]), np.array([size]))
        if not steps.moving.any():
            return steps.b[0], i + 1
    return steps.b[0], MAX_STEPS


@pytest.mark.parametrize("start", [0.0, -200.0, 150.0])
@pytest.mark.parametrize("mean", [0.0008, 0.2, 0.97])
@pytest.mark.parametrize("kind", ["even", "spread", "rare", "frequent", "two sets", "far"])
def test_the_mean_probability_is_the_mean_activity(kind, mean, start):
    eta = predictors(kind)
    root = brentq(lambda b: expit(eta + b).mean() - mean, -500, 500, xtol=1e-13)
    found, n_sums = walk(eta, mean, start)
    assert found == pytest.approx(root, abs=1e-9)
    assert n_sums <= 25


@pytest.mark.parametrize("mean", [0.0005, 0.2])
def test_from_close_by_two_sums_are_enough_in_single_precision(mean):
    eta = predictors("spread") - 2
    root = brentq(lambda b: expit(eta + b).mean() - mean, -500, 500, xtol=1e-13)
    found, n_sums = walk(eta, mean, root + 0.05, np.float32)
    assert n_sums <= 2
    assert found == pytest.approx(root, abs=1e-6)


def test_every_column_stops_by_itself():
    eta = np.stack([predictors("far"), predictors("even"), predictors("rare")])
    mean, start = np.array([0.2, 0.3, 0.001]), np.array([90.0, 0.0, -3.0])
    alone = [walk(eta[j], mean[j], start[j])[0] for j in range(3)]
    n = np.full(3, float(eta.shape[1]))
    steps = InterceptSteps(get_family("bernoulli", None), np.dtype(float), start, np.full(3, -np.inf), mean, n)
    for _ in range(MAX_STEPS):
        mu = expit(eta + steps.b[:, None])
        size = (mean * (1 - mu).sum(axis=1)) + (1 - mean) * mu.sum(axis=1)
        steps.take((mu - mean[:, None]).sum(axis=1), (mu * (1 - mu)).sum(axis=1), size)
    assert list(steps.b) == alone


@pytest.mark.parametrize("mean", [0.0, 1.0])
def test_activity_without_a_best_intercept_stays(mean):
    found, n_sums = walk(predictors("spread"), mean, 0.3)
    assert np.isfinite(found)
    assert n_sums == 1


@pytest.mark.parametrize("kind", ["even", "rare", "frequent"])
def test_where_probabilities_are_alike_or_small_the_link_is_a_line(kind):
    eta = predictors(kind)
    assert walk(eta, 0.2, 15 * np.sign(-eta.mean()))[1] <= 6


@pytest.mark.parametrize("link", [None, "softplus"])
def test_steps_whose_weights_are_not_the_slope_learn_it(link):
    """Fisher weights leave a share of the way at every step, the slope between two steps hardly any."""
    rng = np.random.default_rng(0)
    family = get_family("poisson", link) if link else get_family("negative_binomial", None).given(2.0)
    eta = rng.normal(0, 1, 60)
    y = rng.poisson(rng.gamma(0.5, 2, 60) * family.link.mean(np, eta)).astype(float)

    def slope(b):
        return family.derivatives(np, eta + b, y)[0].sum()

    root = brentq(slope, -20, 20, xtol=1e-14)
    steps = InterceptSteps(
        family, np.dtype(float), np.array([root + 1]), np.array([-np.inf]), np.array([y.mean()]), np.array([60.0])
    )
    n_sums = 0
    while steps.moving.any():
        n_sums += 1
        r, h = family.derivatives(np, eta + steps.b[0], y)
        steps.take(np.array([r.sum()]), np.array([h.sum()]), np.array([np.abs(r).sum()]))
    assert steps.b[0] == pytest.approx(root, abs=1e-12)
    assert n_sums <= 8


@pytest.mark.parametrize("engine", ["numpy", "torch"])
def test_sums_of_intercepts_that_move_are_the_same_without_the_others(engine):
    pytest.importorskip(engine, reason=f"{engine} is not installed")
    rng = np.random.default_rng(0)
    X, Y = rng.normal(size=(90, 5)), rng.poisson(1.0, (8, 90)).astype(float)
    found = get_engine(engine, None, "float64")
    family = get_family("negative_binomial", None)
    sums = RowSums(found, family, Samples(X, Y), [[(0, 90)], [(0, 50)]])
    columns = np.array([0, 1, 2, 3, 4, 5, 6, 7, 9, 10])
    W, b, theta = rng.normal(0, 0.1, (10, 5)), rng.normal(size=10), rng.gamma(1, 1, (10, 1))
    batches = sums.batches(columns, W, theta)
    etas = sums.predict(batches, 10)
    everyone = sums.intercepts(batches, etas, b, np.ones(10, bool))
    for moving in ([3], [2, 5, 9], [8], list(range(9)), []):
        some = np.isin(np.arange(10), moving)
        for own, every in zip(sums.intercepts(batches, etas, b, some), everyone, strict=True):
            np.testing.assert_array_equal(own[some], every[some])
