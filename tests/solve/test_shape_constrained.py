"""Weights under signs and orders: against scipy's bounded least squares, and what holds at a constrained minimum."""

import numpy as np
import pytest
from scipy.optimize import lsq_linear, nnls

from popglm.solve.curves.penalised_newton import RowLikelihood, minimise
from popglm.solve.curves.shape_constrained import Cone, least_within, minimise_within
from popglm.statistics.families import get_family

P = 9


def samples(family, n=200, seed=0):
    rng = np.random.default_rng(seed)
    Z = np.column_stack([np.ones(n), rng.uniform(0, 1, (n, P - 1))])
    w = rng.normal(0, 0.6, P)
    eta = Z @ w
    mu = 1 / (1 + np.exp(-eta)) if family == "bernoulli" else np.exp(eta)
    y = {
        "gaussian": eta + rng.normal(0, 1, n), "poisson": rng.poisson(mu), "gamma": mu * rng.gamma(2, 0.5, n),
        "bernoulli": rng.random(n) < mu,
    }[family].astype(float)  # fmt: skip
    return Z, y, rng.uniform(0.5, 2, n)


def cone(kind):
    """Free intercept; signs, an order, or an order that falls, with units that differ."""
    unit = np.linspace(0.5, 2, P - 1)
    T, bounded = np.eye(P), np.r_[False, np.ones(P - 1, bool)]
    if kind == "positive":
        T[1:, 1:] = np.diag(unit)
    else:
        sign = 1 if kind == "increasing" else -1
        T[1:, 1:] = sign * unit[:, None] * np.tril(np.ones((P - 1, P - 1)))
        bounded[1] = False
    return Cone(T, bounded)


@pytest.mark.parametrize("kind", ["positive", "increasing", "decreasing"])
@pytest.mark.parametrize("seed", range(4))
def test_gaussian_fits_are_bounded_least_squares(kind, seed):
    Z, y, s = samples("gaussian", seed=seed)
    S, own = 0.7 * np.eye(P), cone(kind)
    S[0, 0] = 0
    found = minimise_within(
        RowLikelihood(get_family("gaussian"), Z, y, s, np.zeros(200)).moments(None), S, np.zeros(P), own
    )
    root = np.sqrt(s)
    A = np.vstack([root[:, None] * Z, np.sqrt(S)]) @ own.T
    low = np.where(own.bounded, 0, -np.inf)
    exact = lsq_linear(A, np.r_[root * y, np.zeros(P)], (low, np.full(P, np.inf)), method="bvls", tol=1e-14)
    np.testing.assert_allclose(found.w, own.T @ exact.x, atol=1e-9)
    assert found.left <= 1e-10
    assert 1 <= (exact.x[own.bounded] < 1e-12).sum() < P - 1


def test_least_within_is_nnls_where_all_are_bounded():
    rng = np.random.default_rng(1)
    A, b = rng.standard_normal((30, 7)), rng.standard_normal(30)
    found = least_within(A.T @ A, A.T @ b, np.ones(7, bool))
    np.testing.assert_allclose(found, nnls(A, b)[0], atol=1e-12)
    free = least_within(A.T @ A, A.T @ b, np.zeros(7, bool))
    np.testing.assert_allclose(free, np.linalg.lstsq(A, b)[0], atol=1e-12)


@pytest.mark.parametrize("family", ["poisson", "bernoulli", "gamma"])
@pytest.mark.parametrize("kind", ["positive", "increasing", "decreasing"])
def test_the_conditions_of_a_minimum_hold(family, kind):
    Z, y, s = samples(family)
    loss, own, S = get_family(family), cone(kind), 0.3 * np.eye(P)
    found = minimise_within(RowLikelihood(loss, Z, y, s, np.full(200, 0.1)), S, np.zeros(P), own)
    u = np.linalg.solve(own.T, found.w)
    residual = s * loss.derivatives(np, Z @ found.w + 0.1, y)[0]
    g = own.T.T @ (Z.T @ residual + S @ found.w)
    assert (u[own.bounded] > -1e-12).all()
    assert np.abs(g[~own.bounded]).max() < 1e-4
    assert (g[own.bounded] > -1e-4).all()
    assert np.abs(g * u)[own.bounded].max() < 1e-4
    assert (np.abs(u[own.bounded]) < 1e-9).any()
    # where every constraint is slack it is the fit without them
    wide = minimise(RowLikelihood(loss, Z, y, s, np.full(200, 0.1)), S, np.zeros(P))
    slack = Cone(np.diag(np.sign(wide.w)), np.ones(P, bool))
    same = minimise_within(RowLikelihood(loss, Z, y, s, np.full(200, 0.1)), S, np.zeros(P), slack)
    np.testing.assert_allclose(same.w, wide.w, atol=1e-5)
    degrees = np.trace(np.linalg.solve(wide.H + S, wide.H))
    np.testing.assert_allclose(same.degrees.sum(), degrees, rtol=1e-4)
    assert found.degrees.sum() < degrees
