"""Counts with known dispersions, and their likelihood by scipy."""

import warnings

import numpy as np
from scipy.optimize import minimize_scalar
from scipy.special import gammaln
from scipy.stats import nbinom

import popglm as pg


def counts():
    """X, Y and weights: neurons without and with more and more dispersion."""
    rng = np.random.default_rng(0)
    X = rng.standard_normal((600, 8)) @ (np.eye(8) + 0.3 * rng.standard_normal((8, 8))) + rng.normal(0, 0.5, 8)
    W = 0.3 * rng.standard_normal((8, 4)) * (rng.random((8, 4)) < 0.6)
    alpha = np.array([1e-6, 0.2, 1.0, 4.0])
    mu = np.exp(X @ W + 0.3)
    return X, rng.poisson(mu * rng.gamma(1 / alpha, alpha, mu.shape)).astype(float), rng.uniform(0.2, 2, 600)


def quietly(call, *args, **kwargs):
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", pg.PopglmWarning)
        return call(*args, **kwargs)


def mean_loss(y, mu, alpha, s=None):
    """Mean negative log-likelihood by scipy, less the factorials of counts."""
    with np.errstate(divide="ignore"):
        return np.average(-nbinom.logpmf(y, 1 / alpha, 1 / (1 + alpha * mu)) - gammaln(y + 1), weights=s)


def best_alpha(y, mu, s=None):
    """The dispersion of the largest likelihood, by bounded search."""
    found = minimize_scalar(
        lambda x: mean_loss(y, mu, np.exp(x), s), bounds=(-12, 5), method="bounded", options={"xatol": 1e-10}
    )
    return np.exp(found.x)


def mean_excess(y, mean, alpha, s):
    """Mean excess of a constant mean, by its definition."""
    with np.errstate(divide="ignore", invalid="ignore"):
        term = np.where(y > 0, y * np.log(y / mean), 0) - (y + 1 / alpha) * np.log((1 + alpha * y) / (1 + alpha * mean))
    return np.average(term, weights=s)
