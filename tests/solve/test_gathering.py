"""Sums at nodes of predictors against sums over samples, and what is made of them."""

import numpy as np
import pytest

from popglm.engines import NumpyEngine
from popglm.solve.objective.distinct import MOST, DistinctResponses
from popglm.solve.objective.row_objective import RowObjective
from popglm.solve.passes.gathering import Bins
from popglm.solve.passes.samples import Samples
from popglm.statistics.families import get_family
from popglm.statistics.families.elementary import row_totals

N = 3000


def samples(n_problems=4, seed=0):
    """Predictors, responses and weights; what has no weight holds anything that lies among the predictors."""
    rng = np.random.default_rng(seed)
    spread = np.array([0.01, 0.5, 2.0, 30.0])[:n_problems, None]
    eta = (rng.normal(0, 1, (n_problems, N)) * spread - 1).astype(np.float32)
    y = rng.poisson(1.5, eta.shape).astype(np.float32)
    s = rng.choice([0.0, 0.5, 2.0], eta.shape).astype(np.float32)
    y[s == 0] = np.nan
    return eta, y, s


def nodes_of(eta, y, s, order=None):
    bins, problems = Bins.between(eta.min(axis=1).astype(float), eta.max(axis=1).astype(float)), np.arange(len(eta))
    moments = bins.empty()
    for rows in np.array_split(np.arange(eta.shape[1]), 3):
        bins.add(problems, eta[:, rows], y[:, rows], None if s is None else s[..., rows], moments)
    return bins.nodes(moments)


@pytest.mark.parametrize(
    ("f", "largest"),
    [(np.exp, 5e-12), (lambda x: np.exp(-2 * x), 2e-9), (lambda x: np.logaddexp(0, x), 1e-11), (np.tanh, 1e-9)],
    ids=["exp", "steep", "softplus", "tanh"],
)
@pytest.mark.parametrize("weighted", ["not", "rows", "samples"])
def test_sums_at_nodes_are_those_over_samples(f, largest, weighted):
    """Within the bound that is given for the interpolant, relative to the sum of sizes."""
    eta, y, s = samples()
    s = {"not": None, "rows": s[0], "samples": s}[weighted]
    if weighted != "samples":
        y = np.nan_to_num(y)
    own = np.ones(eta.shape) if s is None else np.broadcast_to(s, eta.shape).astype(float)
    nodes, values = nodes_of(eta, y, s), f(eta.astype(float))
    for weight, at in ((own, nodes.weight), (own * np.nan_to_num(y), nodes.response)):
        size = (weight * np.abs(values)).sum(axis=1)
        np.testing.assert_array_less(
            np.abs((at * f(nodes.eta)).sum(axis=1) - (weight * values).sum(axis=1)), largest * size
        )


def test_nodes_of_a_problem_do_not_depend_on_its_company():
    eta, y, s = samples()
    together = nodes_of(eta, y, s)
    for i in range(len(eta)):
        alone = nodes_of(eta[i : i + 1], y[i : i + 1], s[i : i + 1])
        n, loss = alone.eta.shape[1], get_family("negative_binomial").given(0.5)
        for name in ("eta", "weight", "response"):
            np.testing.assert_array_equal(getattr(together, name)[i, :n], getattr(alone, name)[0])
        assert not together.weight[i, n:].any()
        assert not together.response[i, n:].any()
        for found, expected in zip(together.derivatives(loss), alone.derivatives(loss), strict=True):
            assert found[i] == expected[0]


@pytest.mark.parametrize("name", ["bernoulli", "poisson", "gamma", "negative_binomial"])
def test_losses_at_nodes_are_those_of_samples(name):
    eta, y, s = samples(3)
    y = np.where(s > 0, np.minimum(y, 1) if name == "bernoulli" else y + (name == "gamma"), 0).astype(float)
    loss = get_family(name)
    loss = loss.given(*(np.full((3, 1), 0.7) for _ in loss.parameters)) if loss.parameters else loss
    nodes, every = nodes_of(eta, y, s), eta.astype(float)
    r, h = loss.derivatives(np, every, y)
    # a residual that cancels leaves what its parts are rounded by
    slope, curvature, size = nodes.derivatives(loss)
    np.testing.assert_allclose(slope, (s * r).sum(axis=1), rtol=1e-8, atol=1e-9 * np.abs(s * r).sum(axis=1).max())
    np.testing.assert_allclose(curvature, (s * h).sum(axis=1), rtol=1e-8)
    value = (s * (loss.value(np, every, y) - loss.constant(y))).sum(axis=1)
    np.testing.assert_allclose(nodes.loss(loss), value, rtol=1e-8)
    assert (size >= np.abs(slope)).all()
    # and with the bits that a problem has alone, whose row is shorter
    for j in range(3):
        alone = nodes.take(np.array([j]))
        assert alone.eta.shape[1] == nodes.size[j]
        np.testing.assert_array_equal(np.ravel(alone.derivatives(own_of(loss, j))), [slope[j], curvature[j], size[j]])


def own_of(loss, j):
    """The loss at the parameters of one problem."""
    values = [getattr(loss, parameter.name)[j : j + 1] for parameter in loss.parameters]
    return loss.given(*values) if values else loss


def test_row_totals_do_not_depend_on_zeros_at_the_end():
    rng = np.random.default_rng(0)
    for width in (0, 1, 7, 8, 300):
        values = rng.normal(size=(5, width))
        found = row_totals(values)
        np.testing.assert_allclose(found, values.sum(axis=1), rtol=1e-12, atol=1e-13)
        for zeros in (1, 8, 77):
            np.testing.assert_array_equal(row_totals(np.hstack([values, np.zeros((5, zeros))])), found)
            np.testing.assert_array_equal(row_totals(values[2:3]), found[2:3])


def test_predictors_too_far_apart_are_not_gathered():
    low = np.array([0.0, -300.0, np.nan, 0.0, np.inf])
    assert Bins.suit(low, np.array([1.0, 300.0, 1.0, np.inf, -np.inf])).tolist() == [True] + [False] * 4


@pytest.mark.parametrize("weighted", [False, True])
def test_dispersions_at_nodes_are_those_beside_samples(weighted):
    rng = np.random.default_rng(1)
    alpha = np.array([0.05, 0.5, 3.0, 1.0, 1.0, 1.0])
    eta = rng.normal(0, 1, (6, N)) + np.array([2.0, 0.0, -1.0, 3.0, 0.0, 0.0])[:, None]
    y = rng.poisson(np.exp(eta) * rng.gamma(1 / alpha[:, None], alpha[:, None], eta.shape)).astype(float)
    # one with many events at once, one of less variance than Poisson's, and a silent one
    y[3, :9] += 400
    y[4] = np.rint(np.exp(eta[4]))
    y[5] = 0
    s = rng.choice([0.0, 0.5, 2.0], eta.shape) if weighted else np.ones(eta.shape)
    family, start = get_family("negative_binomial"), np.zeros((6, 1))
    responses = DistinctResponses(y, s, [[(0, N)]])
    found = family.estimate_at_nodes(nodes_of(eta, y, s), responses.of(np.arange(6)), start)
    expected = family.estimate(lambda own: iter([(y[own], s[own], eta[own])]), start)
    np.testing.assert_allclose(found, expected, rtol=1e-8)
    assert (found[:4, 0] > 0).all()
    assert not found[4:].any()


def test_distinct_responses_carry_the_weights_of_their_samples():
    rng = np.random.default_rng(2)
    Y, s = rng.poisson([[0.5], [4.0]], (2, 900)).astype(np.float32), rng.random(900).astype(np.float32)
    fits = [[(0, 900)], [(100, 300), (500, 900)]]
    y, weight = DistinctResponses(Y, s, fits).of(np.array([3, 0]))
    for own, held, neuron, rows in ((y[0], weight[0], 1, np.r_[100:300, 500:900]), (y[1], weight[1], 0, np.r_[:900])):
        for value in np.unique(Y):
            expected = s[rows][Y[neuron, rows] == value].sum(dtype=float)
            assert held[own == value].sum() == pytest.approx(expected, rel=1e-6)


def test_of_many_different_responses_nodes_of_their_logarithms_are_taken():
    rng = np.random.default_rng(4)
    Y, s = rng.gamma(0.5, 3.0, (1, N)), rng.random(N)
    Y[0, ::5] = 0
    rows = np.r_[100:2000]
    y, weight = DistinctResponses(Y, s, [[(0, N)], [(100, 2000)]]).of(np.array([1]))
    assert y.shape[1] < MOST < (Y > 0).sum()
    family = get_family("negative_binomial").given(0.7)
    for of in (np.ones_like, family.saturated, family.normaliser, np.square):
        values = of(Y[0, rows])
        assert (weight * of(y)).sum() == pytest.approx(s[rows] @ values, abs=1e-9 * (s[rows] @ np.abs(values)))


@pytest.mark.parametrize(
    ("family", "link"),
    [("negative_binomial", "exp"), ("bernoulli", "sigmoid"), ("gamma", "exp"), ("poisson", "softplus")],
)
@pytest.mark.parametrize("kind", ["plain", "weights and offset", "no intercept", "far"])
def test_points_are_those_of_sums_over_samples(family, link, kind):
    """Loss, intercept, gradient and curvature, beside float64, where every sample is asked."""
    rng = np.random.default_rng(3)
    X = rng.normal(0, 1, (N, 5)).astype(np.float32)
    mean = np.exp(0.4 * X[:, :3].T)
    Y = {"gamma": rng.gamma(2.0, mean / 2), "bernoulli": rng.random(mean.shape) < 0.3 * mean}
    Y = Y.get(family, rng.poisson(mean * rng.gamma(1.5, 1 / 1.5, mean.shape))).astype(np.float32)
    extra = (None, None)
    if kind == "weights and offset":
        extra = rng.choice([0.0, 1.0, 3.0], Y.shape).astype(np.float32), rng.normal(0, 0.3, N).astype(np.float32)
    W = rng.normal(0, 0.4, (6, 5)) * (1 if kind != "far" else np.array([1, 1, 1, 1, 1, 400])[:, None])
    b, columns, points = rng.normal(0, 0.2, 6), np.arange(6), []
    for precision in ("float32", "float64"):
        given = get_family(family, link), Samples(X, Y, *extra), [[(0, N)], [(0, 900), (1700, N)]]
        objective = RowObjective(NumpyEngine(precision), *given, kind != "no intercept")
        assert objective.at_nodes.all() == (precision == "float32")
        if objective.nuisance is not None:
            objective.nuisance.due[:] = True
        level = objective.nuisance.level if objective.nuisance is not None else np.zeros(6)
        points.append((objective.evaluate(columns, W, b), objective.parameters(columns), level))
    (found, theta, level), (expected, known, exact) = points
    some = np.isfinite(expected.loss) & (np.abs(W).max(axis=1) < 50)
    assert some[:5].all()
    for name in ("loss", "b", "grad", "curvature", "chi2"):
        tolerance = {"rtol": 2e-5, "atol": 2e-6}
        np.testing.assert_allclose(getattr(found, name)[some], getattr(expected, name)[some], **tolerance, err_msg=name)
    if theta is not None:
        assert (known[some] > 0.1).all()
        np.testing.assert_allclose(theta[some], known[some], rtol=1e-5)
        np.testing.assert_allclose(level[some], exact[some], rtol=1e-5)
