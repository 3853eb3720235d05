"""What a quadratic can still fall within bounds, against scipy's minimum of it."""

from functools import partial

import numpy as np
import pytest
from scipy.optimize import minimize

from popglm.solve.step_solvers.bounded_newton import decrement_of_gram, newton_within

P = 8


def problem(seed, n=40, near=False):
    """A root of H, a gradient, and weights between bounds, some of them at one; ``near`` the minimum, or not."""
    rng = np.random.default_rng(seed)
    X = rng.normal(size=(n, P)) @ (np.eye(P) + 0.5 * rng.normal(size=(P, P)))
    H, target = X.T @ X / n, rng.normal(size=P)
    lower, upper = -rng.uniform(0.2, 1, P), rng.uniform(0.2, 1, P)
    w = np.clip(2 * rng.normal(size=P), lower, upper)
    if near:
        w = fallen(H, H @ (w - target), w, lower, upper)[0]
        w = np.where(np.isclose(w, lower), lower, np.where(np.isclose(w, upper), upper, w))
    return X / np.sqrt(n), H, H @ (w - target), w, lower, upper


def _quadratic(H, g, d):
    return g @ d + d @ H @ d / 2, g + H @ d


def fallen(H, g, w, lower, upper):
    """The minimum of gᵀd + ½dᵀHd within bounds on w + d, and how far below 0 it is."""
    sides = list(zip(lower - w, upper - w, strict=True))
    tight = {"ftol": 1e-16, "gtol": 1e-12, "maxiter": 10_000}
    quadratic = partial(_quadratic, H, g)
    best = minimize(quadratic, np.zeros(P), jac=True, bounds=sides, method="L-BFGS-B", options=tight)
    return w + best.x, -best.fun


def pressed(w, g, lower, upper):
    return np.where((w == upper) & (g < 0), 1, np.where((w == lower) & (g > 0), -1, 0))


@pytest.mark.parametrize("n", [40, 5], ids=["full rank", "fewer samples than weights"])
@pytest.mark.parametrize("seed", range(5))
def test_a_decrement_bounds_the_fall_within_bounds(seed, n):
    R, H, g, w, lower, upper = problem(seed, n)
    held = pressed(w, g, lower, upper)
    assert held.any()
    _, decrement = newton_within(g, R, np.dtype(float), held)
    _, fall = fallen(H, g, w, lower, upper)
    assert decrement / 2 >= fall * (1 - 1e-9)
    assert decrement_of_gram(H, g, held) == pytest.approx(decrement, rel=1e-4)


@pytest.mark.parametrize("seed", range(4))
def test_near_a_minimum_the_bound_is_the_fall(seed):
    R, H, g, w, lower, upper = problem(seed, near=True)
    held = pressed(w, g, lower, upper)
    inside = (w > lower) & (w < upper)
    assert held.any()
    assert inside.any()
    moved = w + np.where(inside, 1e-4 * np.random.default_rng(seed).normal(size=P), 0)
    g = g + H @ (moved - w)
    step, decrement = newton_within(g, R, np.dtype(float), held)
    end, fall = fallen(H, g, moved, lower, upper)
    assert decrement / 2 == pytest.approx(fall, rel=1e-4)
    np.testing.assert_allclose(moved + step, end, atol=1e-7)
    # with every weight free to move the bound would say nothing
    assert newton_within(g, R, np.dtype(float), np.zeros(P))[1] > 100 * decrement


def test_a_weight_that_does_not_press_at_the_end_is_let_go():
    """Two columns that are nearly one: the first moves so far that the second wants to leave its bound."""
    R = np.linalg.cholesky([[1, 0.9], [0.9, 1]]).T
    g = np.array([-1.0, -0.1])
    step, decrement = newton_within(g, R, np.dtype(float), np.array([0, 1]))
    np.testing.assert_allclose(step, -np.linalg.solve(R.T @ R, g))
    assert decrement == pytest.approx(-g @ step)
    step, decrement = newton_within(g * [1, 20], R, np.dtype(float), np.array([0, 1]))
    np.testing.assert_allclose(step, [1, 0])
    assert decrement == pytest.approx(1)
