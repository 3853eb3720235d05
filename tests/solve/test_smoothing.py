"""Criteria of smoothing against dense marginal likelihoods, integrals, difference quotients and formulas."""

import numpy as np
import pytest
from scipy.integrate import quad
from scipy.optimize import minimize

from popglm.shapes import Shape
from popglm.solve.curves.penalised_newton import RowLikelihood, minimise
from popglm.solve.curves.smoothing import Smoother
from popglm.statistics.curve_penalties import CurvePenalty, curve_penalties
from popglm.statistics.families import get_family

FAMILIES = [
    ("gaussian", None), ("poisson", None), ("poisson", "softplus"), ("bernoulli", None), ("gamma", None),
    ("tweedie", None),
]  # fmt: skip


class Problem:
    """A curve of eight columns and a map of 4 × 3, over weighted samples."""

    def __init__(self, family, link=None, n=250):
        rng = np.random.default_rng(0)
        x, y = rng.uniform(0, 1, n), rng.uniform(0, 1, (n, 2))

        def bump(at, m):
            return np.exp(-((at[:, None] * (m - 1) - np.arange(m)) ** 2))

        on_floor = bump(y[:, 0], 4)[:, :, None] * bump(y[:, 1], 3)[:, None, :]
        X = np.hstack([bump(x, 8), on_floor.reshape(n, 12)])
        self.X = X - X.mean(axis=0)
        self.Z = np.column_stack([np.ones(n), self.X])
        self.s, self.offset = rng.uniform(0.5, 2, n), rng.normal(0, 0.2, n)
        self.family = get_family(family, link)
        eta = np.sin(6 * x) + y[:, 0] - 0.5 + self.offset
        mu = np.log1p(np.exp(eta)) if link == "softplus" else np.exp(eta)
        events = rng.poisson(mu)
        self.y = {
            "gaussian": eta + rng.normal(0, 0.5, n),
            "poisson": events,
            "bernoulli": rng.random(n) < 1 / (1 + np.exp(-eta)),
            "gamma": mu * rng.gamma(3, 1 / 3, n),
            "tweedie": np.where(events > 0, rng.gamma(np.maximum(events, 1)), 0),
        }[family].astype(float)
        shapes = Shape.of("line", 8), Shape((("line", 4), ("line", 3)))
        self.matrices = [
            *((slice(0, 8), S) for S in curve_penalties(shapes[0], 2, True).values()),
            *((slice(8, 20), S) for S in curve_penalties(shapes[1], 2, True).values()),
        ]
        self.penalty = CurvePenalty(self.matrices, 20)

    def rows(self):
        return RowLikelihood(self.family, self.Z, self.y, self.s, self.offset)

    def smoother(self, method, data=None):
        start = np.zeros(21)
        start[0] = self.family.link.link(np.clip(np.average(self.y, weights=self.s), 0.01, 0.99))
        family = self.family
        if data is None and family.is_least_squares:
            data = self.rows().moments(None)
        data = self.rows() if data is None else data
        return Smoother(data, self.penalty, 1, method, family.has_dispersion, family.is_least_squares, start)


@pytest.mark.parametrize(("family", "link"), FAMILIES)
@pytest.mark.parametrize("method", ["reml", "gcv"])
def test_derivatives_are_those_of_the_criterion(family, link, method):
    problem = Problem(family, link)
    smoother = problem.smoother(method)
    at = smoother.even + np.random.default_rng(1).normal(0, 1, 5)
    _, slopes = smoother.criterion(at)
    step = 1e-3
    quotients = [
        (smoother.criterion(at + step * e)[0] - smoother.criterion(at - step * e)[0]) / (2 * step) for e in np.eye(5)
    ]
    np.testing.assert_allclose(slopes, quotients, rtol=1e-4, atol=2e-5)


def restricted(problem, strengths, dispersion):
    """Minus the restricted log-likelihood of Gaussian activity with weights of covariance φS⁻¹, by dense matrices."""
    S = problem.penalty.total(strengths)
    V = dispersion * (np.diag(1 / problem.s) + problem.X @ np.linalg.solve(S, problem.X.T))
    one, y = np.ones((len(V), 1)), problem.y - problem.offset
    L = np.linalg.cholesky(V)
    o, r = np.linalg.solve(L, one), np.linalg.solve(L, y)
    fixed = (o.T @ o).item()
    left = r @ r - (o.T @ r).item() ** 2 / fixed
    # a weight is a number of samples: that many more enter the density
    more = (problem.s.sum() - len(V)) * np.log(2 * np.pi * dispersion)
    return 0.5 * (left + 2 * np.log(np.diag(L)).sum() + np.log(fixed) + more)


def test_gaussian_strengths_are_those_of_the_dense_restricted_likelihood():
    problem = Problem("gaussian", n=80)
    smoother = problem.smoother("reml")
    found = smoother.choose(1e-5, 500)

    def dense(theta):
        return restricted(problem, np.exp(theta[:-1]), np.exp(theta[-1]))

    # the same function, but for a constant, where the dispersion is profiled
    values, profiles = [], []
    for shift in (0.0, 1.0, -2.0):
        at = smoother.even + shift * np.array([1, -0.5, 1, 0.3, -1])
        values.append(smoother.criterion(at)[0])
        profiles.append(dense(np.r_[at, np.log(smoother.dispersion)]))
    np.testing.assert_allclose(np.diff(values), np.diff(profiles), rtol=1e-6)
    # and an optimiser that knows none of the derivatives ends no lower, and at the same fit
    away = np.array([0.5, -0.5, 0.5, -0.5, 0.5])
    start = np.r_[np.log(found.strengths) + away, np.log(problem.y.var())]
    bounds = [*zip(smoother.even - 16, smoother.even + 20, strict=True), (-5, 5)]
    options = {"jac": "3-point", "options": {"maxfun": 3000, "ftol": 1e-13}}
    best = minimize(dense, start, method="L-BFGS-B", bounds=bounds, **options)
    mine = dense(np.r_[np.log(found.strengths), np.log(found.dispersion)])
    assert mine <= best.fun + 1e-4
    again = smoother.at(np.exp(best.x[:-1]))
    np.testing.assert_allclose(problem.Z @ again.w, problem.Z @ found.w, atol=0.01)
    np.testing.assert_allclose(found.dispersion, np.exp(best.x[-1]), rtol=1e-3)


def test_rows_and_moments_of_gaussian_activity_agree():
    problem = Problem("gaussian")
    for method in ("reml", "gcv"):
        one, other = problem.smoother(method), problem.smoother(method, problem.rows())
        for shift in (-3.0, 0.0, 3.0):
            (a, slopes_a), (b, slopes_b) = one.criterion(one.even + shift), other.criterion(one.even + shift)
            np.testing.assert_allclose(a, b, rtol=1e-9)
            np.testing.assert_allclose(slopes_a, slopes_b, rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize("family", ["poisson", "bernoulli", "gamma"])
def test_laplace_approximates_the_integral_over_a_weight(family):
    rng = np.random.default_rng(2)
    x = rng.standard_normal(400)
    loss = get_family(family)
    mu = 1 / (1 + np.exp(-0.3 * x)) if family == "bernoulli" else np.exp(0.3 * x)
    y = {"poisson": rng.poisson(mu), "bernoulli": rng.random(400) < mu, "gamma": mu * rng.gamma(2, 0.5, 400)}[family]
    y = y.astype(float)
    data = RowLikelihood(loss, x[:, None], y, np.ones(400), np.zeros(400))
    penalty = CurvePenalty([(slice(0, 1), np.eye(1))], 1)
    smoother = Smoother(data, penalty, 0, "reml", loss.has_dispersion, False, np.zeros(1))
    values, integrals = [], []
    for strength in (0.5, 5.0, 50.0):
        value, _ = smoother.criterion(np.log([strength]))
        phi, best = smoother.dispersion, smoother.w[0]
        center = data.value(np.array([best]))

        def density(w, strength=strength, phi=phi, center=center):
            excess = data.value(np.array([w])) - center + 0.5 * strength * w**2
            return np.exp(-excess / phi) * np.sqrt(strength / (2 * np.pi * phi))

        integral = quad(density, best - 1.5, best + 1.5, points=[best], limit=200)[0]
        base = data.log_base(phi) if loss.has_dispersion else 0.0
        values.append(value)
        integrals.append(center / phi - base - np.log(integral))
    np.testing.assert_allclose(values, integrals, atol=5e-3)
    assert np.ptp(integrals) > 0.2


@pytest.mark.parametrize("family", ["gaussian", "poisson"])
def test_gcv_and_ubre_are_their_formulas(family):
    problem = Problem(family)
    smoother = problem.smoother("gcv")
    at = smoother.even - 1
    value, _ = smoother.criterion(at)
    w, n = smoother.w, problem.s.sum()
    eta = problem.Z @ w + problem.offset
    deviance = problem.s @ problem.family.deviance(eta, problem.y)
    h = problem.s * (np.exp(eta) if family == "poisson" else 1)
    H, S = problem.Z.T @ (problem.Z * h[:, None]), np.zeros((21, 21))
    S[1:, 1:] = problem.penalty.total(np.exp(at))
    tau = np.trace(np.linalg.solve(H + S, H))
    expected = n * np.log(deviance / (n - tau) ** 2) if family == "gaussian" else deviance + 2 * tau
    np.testing.assert_allclose(value, expected, rtol=1e-9)
    np.testing.assert_allclose(smoother.at(np.exp(at)).degrees.sum(), tau, rtol=1e-9)


@pytest.mark.parametrize(("family", "link"), FAMILIES)
def test_minima_are_stationary(family, link):
    problem = Problem(family, link)
    S = np.zeros((21, 21))
    S[1:, 1:] = problem.penalty.total(np.full(5, 0.3))
    start = np.zeros(21)
    start[0] = 0.3
    found = minimise(problem.rows(), S, start)
    eta = problem.Z @ found.w + problem.offset
    left = problem.Z.T @ (problem.s * problem.family.derivatives(np, eta, problem.y)[0]) + S @ found.w
    assert np.abs(left).max() < 1e-4
    assert found.left <= 1e-15
