"""Certificates beside columns that are never penalised, against their formulas with arrays over samples."""

import numpy as np
import pytest
from scipy.special import expit, xlogy

from popglm.engines import NumpyEngine
from popglm.solve.local_models.quadratic import QuadraticModel
from popglm.solve.local_models.rotated import RotatedObjective
from popglm.solve.objective.fit_rows import FitRows
from popglm.solve.objective.row_objective import RowObjective
from popglm.solve.passes.coordinates import Coordinates
from popglm.solve.passes.samples import Samples
from popglm.solve.walk.certificate import certificate
from popglm.statistics.families import get_family
from popglm.statistics.penalties import Penalty

N, SIZES, FACTORS = 300, [2, 3, 2], [0.0, 1.0, 2.0]
FREE = np.repeat(np.equal(FACTORS, 0), SIZES)
#: ℓ*, and the curvature of ℓ as a function of the mean.
CONJUGATE = {
    "poisson": lambda v, y: xlogy(v + y, v + y) - v - y,
    "bernoulli": lambda v, y: xlogy(v + y, v + y) + xlogy(1 - v - y, 1 - v - y),
}
MEAN = {"poisson": (np.exp, lambda m: m), "bernoulli": (expit, lambda m: m * (1 - m))}


@pytest.fixture(params=["poisson", "bernoulli"])
def point(request):
    """A point whose gradient along the free columns is not 0, of columns that go together."""
    family, rng = request.param, np.random.default_rng(0)
    X = rng.standard_normal((N, 7)) @ (np.eye(7) + 0.4 * rng.standard_normal((7, 7)))
    X -= X.mean(axis=0)
    truth = 0.3 * rng.standard_normal((1, 7))
    mean = MEAN[family][0](X @ truth[0] - 0.5)
    Y = (rng.poisson(mean) if family == "poisson" else rng.random(N) < mean).astype(float)[None]
    engine, s = NumpyEngine("float64"), rng.uniform(0.5, 2, N)
    rows = FitRows(RowObjective(engine, get_family(family), Samples(X, Y, s), [[(0, N)]]))
    G = (X * s[:, None]).T @ X / s.sum()
    penalty = Penalty.make("group_lasso", None, 0.0, SIZES, FACTORS)
    own = Coordinates.fit(engine, np.zeros(7), G, penalty.block_sizes, None, penalty.free)
    w = truth + 0.05 * rng.standard_normal((1, 7))
    return family, X, Y[0], s, penalty, RotatedObjective(rows, own), own, G, w


def test_the_gap_is_that_of_a_dual_point_orthogonal_to_the_free_columns(point):
    family, X, y, s, penalty, objective, own, G, w = point
    model = QuadraticModel(own.engine, own.rotate_matrix(G), penalty, coordinates=own)
    W = own.rotate(w.copy())
    at = objective.evaluate(np.arange(1), W, np.zeros(1))
    found = objective.project(np.arange(1), W, at.b, at.grad, penalty)
    # by hand, over the samples
    mean, curvature = MEAN[family]
    mu = mean(X @ w[0] + at.b)
    r, h = mu - y, s * curvature(mu)
    Z = np.column_stack([X[:, FREE], np.ones(N)])
    A, g = Z.T @ (Z * h[:, None]), Z.T @ (s * r)
    u = np.linalg.solve(A, g)
    np.testing.assert_allclose(own.unrotate(found.step)[0], np.concatenate([-u[:2], np.zeros(5)]), atol=1e-8)
    np.testing.assert_allclose(own.unrotate(found.shift)[0], X.T @ (h * (Z @ u)) / s.sum(), atol=1e-8)
    np.testing.assert_allclose(found.decrement, g @ u / s.sum(), rtol=1e-6)
    np.testing.assert_allclose(found.reach, np.abs(Z @ u).max(), rtol=1e-6)
    assert found.reach[0] < 1
    rho = r - h / s * (Z @ u)
    np.testing.assert_allclose(Z.T @ (s * rho), 0, atol=1e-9 * N)
    forces = [np.linalg.norm(g) for g in np.split(X.T @ (s * rho) / s.sum(), np.cumsum(SIZES)[:-1])]
    for lam in (0.3 * forces[1] / np.sqrt(3), 3 * max(forces)):
        tau = lam * penalty.norm_weights
        theta = min(1, *(t / f for t, f in zip(tau[1:], forces[1:], strict=True)))
        conjugate = CONJUGATE[family](theta * rho, y)
        loss = {"poisson": mu - y * np.log(mu), "bernoulli": -xlogy(y, mu) - xlogy(1 - y, 1 - mu)}[family]
        norms = [np.linalg.norm(g) for g in np.split(w[0], np.cumsum(SIZES)[:-1])]
        gap = s @ (loss + conjugate) / s.sum() + tau @ norms
        strength = np.array([lam])
        bound = certificate(objective.objective.rows.loss, model, W, at, strength, found.shift, found.decrement)
        # the sum over samples is bounded by χ², of an orthogonal point nearly tightly
        assert gap <= bound[0] * (1 + 1e-9)
        assert bound[0] <= 2.5 * gap


def test_free_columns_that_depend_on_each_other_get_no_weight_along_what_is_undetermined():
    rng = np.random.default_rng(0)
    X = np.column_stack([np.eye(3)[rng.integers(3, size=50)], rng.standard_normal(50)])
    X -= X.mean(axis=0)
    free = np.array([True, True, True, False])
    own = Coordinates.fit(NumpyEngine("float64"), np.zeros(4), X.T @ X / 50, np.array([2, 1, 1]), None, free)
    # their sum is constant
    np.testing.assert_allclose(own.unrotate(own.rotate(np.array([[1.0, 1, 1, 2]]))), [[0, 0, 0, 2]], atol=1e-12)
    w = np.array([[1.0, -3, 2, 5]])
    np.testing.assert_allclose(own.unrotate(own.rotate(w.copy())), w)
