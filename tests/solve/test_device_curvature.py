"""Curvature pairs on a device: the matrix of the BFGS updates, one after the other, and its inverse."""

import numpy as np
import pytest

from popglm.engines import NumpyEngine
from popglm.solve.device.curvature import (
    Order,
    Pairs,
    compact_form,
    diagonal_of,
    keep_pairs,
    times_pairs,
    two_loop_step,
)
from popglm.solve.device.proximal import resolvent

P, SIZE, ROWS = 6, 4, 3


@pytest.fixture
def problem():
    """G with its spectrum, the pairs of three problems (two of them with room left) and their dense B."""
    rng = np.random.default_rng(0)
    root = rng.normal(size=(30, P))
    G, c = root.T @ root / 30, np.array([0.7, 1.0, 2.5])
    pairs = Pairs(*[np.zeros((ROWS, SIZE, P))] * 3)
    B = c[:, None, None] * G
    for k in range(6):
        H = rng.normal(size=(ROWS, 20, P))
        s = rng.normal(size=(ROWS, P))
        y = np.einsum("ntp,ntq,nq->np", H, H, s) / 20
        # a ring of four: the last problem keeps the newest four of six, the first two have room left
        chosen = np.array([k < 2, k < 3, True])
        pairs = keep_pairs(np, 1e-10, pairs, s, y, chosen, G)
    for j in range(ROWS):
        for s, y in zip(pairs.S[j], pairs.Y[j], strict=True):
            if s.any():
                Bs = B[j] @ s
                B[j] += np.outer(y, y) / (y @ s) - np.outer(Bs, Bs) / (s @ Bs)
    order = Order(np.tril(np.ones((SIZE, SIZE)), -1), np.eye(2 * SIZE))
    return G, c, pairs, B, *compact_form(np, pairs, c, order)


def test_the_compact_form_is_that_of_the_updates(problem):
    G, c, (S, Y, _), B, Q, K = problem
    M, x = NumpyEngine.inverse(K), np.random.default_rng(1).normal(size=(ROWS, P))
    found = c[:, None] * (x @ G) - times_pairs(np, Q, M, x)
    np.testing.assert_allclose(found, np.einsum("npq,nq->np", B, x), rtol=1e-9)
    diagonal = np.outer(c, np.diag(G)) - diagonal_of(np, Q, M)
    np.testing.assert_allclose(diagonal, np.einsum("npp->np", B), rtol=1e-9)
    # the newest pair fulfils the secant equation
    for j in range(ROWS):
        newest = max(i for i in range(SIZE) if S[j, i].any())
        np.testing.assert_allclose(B[j] @ S[j, newest], Y[j, newest], rtol=1e-9)
    assert [int(s.any(axis=1).sum()) for s in S] == [2, 3, 4]


def test_the_resolvent_inverts_it(problem):
    _, c, *_ = problem
    rng = np.random.default_rng(2)
    # in an eigenbasis G is diagonal
    values, shift = rng.uniform(0.5, 2, P), np.array([0.1, 0.0, 3.0])
    s, y = rng.normal(size=(2, ROWS, 1, P))
    y = s + 0.3 * y * np.sign(np.einsum("nkp,nkp->nk", s, y))[..., None]
    Q, K = compact_form(np, Pairs(s, y, s * values), c, Order(np.zeros((1, 1)), np.eye(2)))
    inverse, core = resolvent(NumpyEngine, c, shift, values, Q, K)
    r = rng.normal(size=(ROWS, P))
    scaled = r * inverse
    found = scaled + inverse * times_pairs(np, Q, core, scaled)
    for j in range(ROWS):
        dense = np.diag(c[j] * values) - Q[j].T @ np.linalg.solve(K[j], Q[j]) + shift[j] * np.eye(P)
        np.testing.assert_allclose(dense @ found[j], r[j], rtol=1e-8)


def test_the_two_loop_step_is_newtons_for_its_matrix(problem):
    G, c, pairs, B, *_ = problem
    values, vectors = np.linalg.eigh(G)
    grad = np.random.default_rng(3).normal(size=(ROWS, P))
    d = two_loop_step(np, grad, c, np.zeros(ROWS), pairs, (values, vectors), None)
    np.testing.assert_allclose(np.einsum("npq,nq->np", B, d), -grad, rtol=1e-8, atol=1e-10)
