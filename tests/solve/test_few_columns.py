"""Fits to few columns side by side: gradients of 0, least squares, and linear programs that say what has a minimum."""

import numpy as np
import pytest
from scipy.optimize import linprog
from scipy.special import expit

from popglm.engines import get_engine
from popglm.solve.fits.few_columns import Few, fit_few
from popglm.solve.passes.samples import FitData
from popglm.solve.settings import Settings
from popglm.statistics.families import get_family
from popglm.statistics.penalties import Penalty

N, P = 200, 6
MEAN = {"gaussian": lambda eta: eta, "poisson": np.exp, "bernoulli": expit}


def settings(family, smoothness=0.0, fit_intercept=True):
    penalty = Penalty.make("lasso", None, smoothness, [P])
    return Settings(get_family(family), penalty, None, fit_intercept=fit_intercept, tol=1e-12)


def recorded(family):
    rng = np.random.default_rng(3)
    X = rng.normal(size=(N, P)) + 2
    eta = (X - 2) @ (0.5 * rng.normal(size=(P, 3)))
    Y = {
        "gaussian": eta + rng.normal(size=(N, 3)) + 100,
        "poisson": rng.poisson(np.exp(eta)).astype(float),
        "bernoulli": (rng.random((N, 3)) < expit(eta)).astype(float),
    }[family]
    Y[rng.random(N) < 0.1, 1] = np.nan
    return X, Y, rng.uniform(0, 2, N), 0.3 * rng.normal(size=N)


def gradient(family, X, y, s, offset, own):
    known = ~np.isnan(y)
    s = s[known] / s[known].sum()
    eta = X[known] @ own.w + own.b + offset[known]
    return np.column_stack([X[known], np.ones(known.sum())]).T @ (s * (MEAN[family](eta) - y[known]))


@pytest.mark.parametrize("family", MEAN)
@pytest.mark.parametrize("smoothness", [0.0, 0.1])
def test_minima_of_every_set(family, smoothness):
    X, Y, s, offset = recorded(family)
    # columns that add up to another say nothing new
    X[:, 5] = X[:, 0] + X[:, 1]
    sets = [[0, 1], [0, 1, 2, 5], [3, 4], list(range(P))]
    few = [Few(j, np.isin(np.arange(P), own), np.zeros(P), 0.0) for j in range(3) for own in sets]
    rows = np.arange(20, N)
    made = settings(family, smoothness)
    data = FitData(get_engine("numpy", None, "float64"), X, Y, s, offset, [(rows, rows[:0])])
    fit_few(data, made, few)
    R = made.penalty.R if smoothness else np.zeros((P, P))
    for own in few:
        assert own.ended
        assert own.bounded
        assert own.gap <= 1e-12
        assert not own.w[~own.columns].any()
        g = gradient(family, X[rows], Y[rows, own.neuron], s[rows], offset[rows], own)
        g[:P] += smoothness * R @ own.w
        np.testing.assert_allclose(g[np.append(own.columns, True)], 0, atol=1e-6)


def test_least_squares_without_an_intercept():
    X, Y, s, _ = recorded("gaussian")
    columns = np.array([1, 0, 1, 0, 0, 1], bool)
    own = Few(0, columns, np.zeros(P), 0.0)
    data = FitData(get_engine("numpy", None, "float64"), X, Y, s, None, [])
    fit_few(data, settings("gaussian", fit_intercept=False), [own])
    root = np.sqrt(s)
    wanted = np.linalg.lstsq(X[:, columns] * root[:, None], Y[:, 0] * root, rcond=None)[0]
    np.testing.assert_allclose(own.w[columns], wanted, rtol=1e-8)
    assert own.b == 0


@pytest.mark.thorough(keep=2)
@pytest.mark.parametrize("precision", ["float32", "float64"])
@pytest.mark.parametrize("family", ["poisson", "bernoulli"])
def test_only_what_no_direction_separates_is_known_to_have_a_minimum(family, precision):
    rng = np.random.default_rng(0)
    n_separated = 0
    for seed in range(30):
        X = np.random.default_rng(seed).normal(size=(40, 4))
        X[:, 0] = np.arange(40) < 8
        eta = X[:, 1] - 1
        y = rng.poisson(np.exp(eta)).astype(float) if family == "poisson" else (rng.random(40) < expit(eta)) * 1.0
        if seed % 2:
            # silent in a place
            y[:8] = 0
        Z = np.column_stack([X, np.ones(40)])
        upper, lower = (y > 0, np.ones(40, bool)) if family == "poisson" else (y == 1, y == 0)
        signed = np.concatenate([Z[upper], -Z[lower]])
        found = linprog(-signed.sum(axis=0), A_ub=-signed, b_ub=np.zeros(len(signed)), bounds=[(-1, 1)] * 5)
        separated = -found.fun > 1e-6
        few = [Few(0, np.ones(4, bool), np.zeros(4), 0.0), Few(0, np.array([0, 1, 1, 0], bool), np.zeros(4), 0.0)]
        made = Settings(get_family(family), Penalty.make("lasso", None, 0.0, [1] * 4), None, tol=1e-5)
        fit_few(FitData(get_engine("numpy", None, precision), X, y[:, None], None, None, []), made, few)
        assert not (separated and few[0].bounded)
        assert separated or few[0].bounded
        assert few[1].bounded >= few[0].bounded
        n_separated += separated
    assert 10 < n_separated < 30
