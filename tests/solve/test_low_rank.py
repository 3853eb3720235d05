"""Descents in factors: gradients, where they begin, and layouts of columns."""

import numpy as np
import pytest

from popglm.engines import get_engine
from popglm.solve.low_rank.descent import fit_rank, leading
from popglm.solve.low_rank.layout import Layout, Weights
from popglm.solve.low_rank.objective import LowRankObjective, Samples
from popglm.statistics.families import get_family
from popglm.statistics.responses import response_sums

N, M, Q = 400, 6, 10


def layout():
    """Own pairs are free in the place of low rank; column 6 is for all, column 7 for the first neuron alone."""
    closed, free = np.zeros((M, Q), bool), np.zeros((M + 2, Q), bool)
    for j in range(M):
        closed[j, j] = free[j, j] = True
    free[6], free[7, 0], closed[2, 9] = True, True, True
    return Layout(np.arange(M), closed, free, np.array([0, 0, 0, 1, 1, 1, 2, 3]))


@pytest.fixture
def objective():
    rng = np.random.default_rng(0)
    X = rng.standard_normal((N, M + 2))
    Y = rng.poisson(np.exp(X[:, :M] @ np.outer(rng.normal(size=M), rng.normal(size=Q)) * 0.3)).T.astype(float)
    weights = rng.uniform(0, 2, (Q, N))
    loss, engine = get_family("poisson", None, None), get_engine("numpy", None, "float64")
    sums = response_sums(loss, Y, weights, [(0, N)])
    with engine.session():
        found = LowRankObjective(engine, loss, layout(), Samples(X, Y, weights, None), sums, True)
        found.strength, found.ridge = 0.05, 0.01
        yield found


def test_gradients_are_those_of_the_value(objective):
    rng, shape = np.random.default_rng(1), objective.layout
    w = Weights(
        rng.normal(0, 0.2, (M, 2)),
        rng.normal(0, 0.2, (Q, 2)),
        rng.normal(0, 0.2, (Q, 1)) * shape.common_open,
        rng.normal(0, 0.2, shape.columns.shape) * shape.own_open,
        rng.normal(0, 0.2, Q),
    )
    v, d, step = w.vector(), w.like(rng.normal(size=w.vector().size)), 1e-5
    d.own *= shape.own_open
    ends = [objective.evaluate(w.like(v + sign * step * d.vector())).value for sign in (1, -1)]
    slope = objective.evaluate(w).gradient.vector() @ d.vector()
    np.testing.assert_allclose((ends[0] - ends[1]) / (2 * step), slope, rtol=1e-6)
    # the same from the weights multiplied out
    coef, X, Y, s = shape.coef(w), objective.samples.X, objective.samples.Y, objective.samples.weights
    eta = coef @ X.T + objective.intercepts(w, coef)[:, None]
    plain = (s * (np.exp(eta) - Y * eta)).sum(axis=1) / s.sum(axis=1) - objective.sums.saturated
    np.testing.assert_allclose(objective.evaluate(w).losses, plain, rtol=1e-10)
    assert (coef[[0, 9, 3], [7, 2, 7]] != [0, 1, 1]).all()
    assert coef[9, 2] == coef[3, 7] == 0


@pytest.mark.thorough(keep=1)
@pytest.mark.parametrize("size", [1e-9, 1e-3, 1.0])
def test_where_factors_begin_does_not_matter_where_the_rank_does_not_bind(objective, size):
    best = fit_rank(objective, M, objective.start(), 1e-7, 1000)
    rng = np.random.default_rng(2)
    start = objective.start().with_factors(size * rng.normal(size=(M, 1)), size * rng.normal(size=(Q, 1)))
    found = fit_rank(objective, M, start, 1e-7, 1000)
    np.testing.assert_allclose(found.value, best.value, rtol=1e-7)
    assert max(best.gap, found.gap) <= 1e-7


def test_more_rank_is_never_worse(objective):
    values, found = [], None
    for rank in range(5):
        found = fit_rank(objective, rank, objective.start() if found is None else found.weights, 1e-6, 1000)
        values.append(found.value)
        assert found.weights.rank <= rank
    assert (np.diff(values) <= 1e-8).all()
    assert values[0] - values[1] > 0.01


def test_a_start_far_away_takes_new_variables(objective):
    rng = np.random.default_rng(2)
    best = fit_rank(objective, 1, objective.start(), 1e-7, 1000)
    start = objective.start().with_factors(2 * rng.normal(size=(M, 1)), rng.normal(size=(Q, 1)))
    assert objective.evaluate(start).value > 1e4 * best.value
    found = fit_rank(objective, 1, start, 1e-7, 1000)
    np.testing.assert_allclose(found.value, best.value, rtol=1e-7)
    assert found.slope <= 1e-7


@pytest.mark.parametrize("shape", [(9, 4), (4, 9), (5, 5), (3, 1)])
def test_leading_singular_vectors(shape):
    A = np.random.default_rng(0).normal(size=shape)
    U, sizes, V = leading(A, 2)
    np.testing.assert_allclose(sizes, np.linalg.svd(A)[1][:2])
    np.testing.assert_allclose(A @ V, U * sizes, atol=1e-12)


def test_factors_are_balanced_and_those_without_a_size_go():
    rng = np.random.default_rng(0)
    A, B = rng.normal(size=(7, 3)), rng.normal(size=(5, 3))
    A[:, 2] = A[:, 0]
    w = Weights(A, B, np.zeros((5, 0)), np.zeros((5, 0)), np.zeros(5))
    even = w.balanced()
    np.testing.assert_allclose(even.A @ even.B.T, A @ B.T)
    assert even.rank == 2
    size = np.linalg.svd(A @ B.T)[1][:2]
    np.testing.assert_allclose((even.A**2).sum(axis=0), size)
    np.testing.assert_allclose((even.B**2).sum(axis=0), size)
