"""Block descent against accelerated proximal gradient on random quadratic models."""

import numpy as np
import pytest
from quadratics import curvature, fista

from popglm.solve.curvature.compact import Pairs
from popglm.solve.step_solvers.blocks import Limits, Metric, Norms, Places, block_descent


def gram(rng, sizes):
    """A Gram matrix that is diagonal inside each block."""
    p = sum(sizes)
    X = rng.standard_normal((60, p)) * rng.uniform(0.3, 2, p)
    G, V, start = X.T @ X / 60, np.zeros((p, p)), 0
    for size in sizes:
        cut = slice(start, start + size)
        V[cut, cut] = np.linalg.eigh(G[cut, cut])[1]
        start += size
    return V.T @ G @ V


@pytest.mark.parametrize("sizes", [[1] * 9, [3, 1, 4, 2], [9]], ids=str)
@pytest.mark.parametrize("n_pairs", [0, 2, 6])
@pytest.mark.parametrize("sigma", [0.0, 0.4])
@pytest.mark.parametrize("lam2", [0.0, 0.2])
def test_against_fista(sizes, n_pairs, sigma, lam2):
    rng = np.random.default_rng(n_pairs)
    p, q = sum(sizes), 4
    G = gram(rng, sizes)
    R = 2 * np.eye(p) - np.eye(p, k=1) - np.eye(p, k=-1) if sigma else np.zeros((0, 0))
    c, lam2 = rng.uniform(0.5, 2, q), np.full(q, lam2)
    S, Y, B = (np.array(a) for a in zip(*(curvature(rng, G, c[j], n_pairs) for j in range(q)), strict=True))
    starts = np.cumsum([0, *sizes])
    W = rng.standard_normal((q, p)) * np.repeat(rng.random((q, len(sizes))) < 0.5, sizes, axis=1)
    grad = 1.5 * rng.standard_normal((q, p))
    tau = rng.uniform(0.1, 1.5, (q, len(sizes))) * np.sqrt(sizes)
    tau[0] *= 100  # everything ends at zero
    # the second Gram matrix, and the pairs of neurons in reverse
    metric, places = Metric(np.stack([0 * G, G]), R, sigma, 0.0), Places(np.ones(q, int), np.arange(q)[::-1].copy())
    pairs = Pairs(*(a[::-1].copy() for a in (S, Y, S @ G)), np.full(q, n_pairs))
    D, slopes = block_descent(metric, Norms(starts, tau, lam2), pairs, places, c, W, grad, Limits(1e-17, 5000))
    for j in range(q):
        full = B[j] + (sigma * R if sigma else 0)
        exact = fista(full, grad[j], W[j], tau[j], lam2[j], sizes)
        np.testing.assert_allclose(D[j], exact, atol=1e-6)
        np.testing.assert_allclose(slopes[j], grad[j] + full @ D[j], atol=1e-9)
        # blocks at zero are exactly there
        z, found = (W[j] + exact), (W[j] + D[j])
        np.testing.assert_array_equal(found[z == 0], 0)
    assert (W[0] + D[0] == 0).all()
