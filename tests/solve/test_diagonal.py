"""Models around a diagonal metric against accelerated proximal gradient, and against their matrices."""

import numpy as np
import pytest
from quadratics import MEMORY, curvature, fista

from popglm.engines import NumpyEngine
from popglm.solve.curvature.compact import Pairs
from popglm.solve.curvature.curvature_memory import CurvatureMemory
from popglm.solve.local_models.diagonal import DiagonalModels
from popglm.solve.local_models.quadratic import QuadraticModel
from popglm.solve.step_solvers.blocks import Limits, Norms
from popglm.solve.step_solvers.diagonal_descent import diagonal_descent
from popglm.statistics.penalties import Penalty


@pytest.mark.parametrize("sizes", [[1] * 9, [3, 1, 4, 2], [9]], ids=str)
@pytest.mark.parametrize("n_pairs", [0, 2, 6])
@pytest.mark.parametrize("lam2", [0.0, 0.2])
def test_against_fista(sizes, n_pairs, lam2):
    rng = np.random.default_rng(n_pairs)
    p, q = sum(sizes), 4
    G, c = rng.uniform(0.5, 3, (q, p)), rng.uniform(0.5, 2, q)
    S, Y, B = (np.array(a) for a in zip(*(curvature(rng, np.diag(G[j]), c[j], n_pairs) for j in range(q)), strict=True))
    W = rng.standard_normal((q, p)) * np.repeat(rng.random((q, len(sizes))) < 0.5, sizes, axis=1)
    grad = 1.5 * rng.standard_normal((q, p))
    tau = rng.uniform(0.1, 1.5, (q, len(sizes))) * np.sqrt(sizes)
    tau[0] *= 100  # everything ends at zero
    norms, lam2 = Norms(np.cumsum([0, *sizes]), tau, np.full(q, lam2)), np.full(q, lam2)
    # the pairs of neurons in reverse
    pairs = Pairs(*(a[::-1].copy() for a in (S, Y, S * G[:, None])), np.full(q, n_pairs))
    norms = (norms, *np.zeros((2, 0)))
    D, slopes = diagonal_descent(G, norms, pairs, np.arange(q)[::-1].copy(), c, W, grad, Limits(1e-17, 5000))
    for j in range(q):
        exact = fista(B[j], grad[j], W[j], tau[j], lam2[j], sizes)
        np.testing.assert_allclose(D[j], exact, atol=1e-6)
        np.testing.assert_allclose(slopes[j], grad[j] + B[j] @ D[j], atol=1e-8)
        np.testing.assert_array_equal((W[j] + D[j])[W[j] + exact == 0], 0)
    assert (W[0] + D[0] == 0).all()


@pytest.mark.parametrize("kind", ["ridge", "elastic_net"])
def test_steps_after_new_variances_are_those_of_the_matrix(kind):
    rng, p, q = np.random.default_rng(0), 7, 3
    variances, c, lam = rng.uniform(0.5, 2, p), rng.uniform(0.5, 2, q), np.full(q, 0.3)
    engine, penalty = NumpyEngine("float64", 1), Penalty.make(kind, None, 0.0, [1] * p)
    models = DiagonalModels(QuadraticModel(engine, variances, penalty, diagonal=True), q)
    memory = CurvatureMemory(q, MEMORY, p, np.dtype(float))
    H = np.diag(variances) + 0.3 * np.ones((p, p))
    pairs = rng.standard_normal((3, q, p))
    for s in pairs:
        models.remember(memory, np.arange(q), s, s @ H)
    new = rng.uniform(0.5, 2, (q, p))
    # what is not finite is not taken
    new[2, 0] = np.nan
    models.renew(np.arange(q), new, memory)
    new[2] = variances
    W, grad = rng.standard_normal((2, q, p))
    D, promise = models.step(memory, np.arange(q), W, grad, c, lam)
    for j in range(q):
        share = penalty.l1_ratio
        # without norms the pairs are of the loss and the penalty together
        more = (1 - share) * lam[j] * np.eye(p) if share == 0 else np.zeros((p, p))
        B = c[j] * np.diag(new[j]) + more
        for s in pairs[:, j]:
            y = (H + more) @ s
            B = B - np.outer(B @ s, B @ s) / (s @ B @ s) + np.outer(y, y) / (s @ y)
        B = B - more
        exact = fista(B, grad[j], W[j], np.full(p, share * lam[j]), (1 - share) * lam[j], [1] * p)
        np.testing.assert_allclose(D[j], exact, atol=2e-3)
        before, after = (
            share * lam[j] * np.abs(w).sum() + (1 - share) * lam[j] / 2 * w @ w for w in (W[j], W[j] + exact)
        )
        assert promise[j] == pytest.approx(before - after - grad[j] @ exact - exact @ B @ exact / 2, rel=1e-4)
