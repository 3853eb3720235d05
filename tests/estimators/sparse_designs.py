"""A design of categories, some nearly full columns, and activity of every kind, sparse and dense."""

import numpy as np
from scipy import special
from scipy.sparse import csr_array

from popglm.estimators import sparse_features
from popglm.solve.sparse.rows import SparseRows

N, P, Q = 600, 36, 3


def kept_sparse(monkeypatch, wide=False):
    """Have small sparse designs stay sparse, and count as wide ones."""
    monkeypatch.setattr(sparse_features, "DENSE", 0)
    if wide:
        monkeypatch.setattr(SparseRows, "WIDE", 8)


def design(seed=0):
    """Three categories of ten levels, five columns that are nearly 0, and a full one far from 0; (N, P)."""
    rng = np.random.default_rng(seed)
    X = np.zeros((N, P))
    for first in (0, 10, 20):
        X[np.arange(N), first + rng.integers(10, size=N)] = 1
    X[:, 30:35] = rng.standard_normal((N, 5)) * (rng.random((N, 5)) < 0.1)
    X[:, 35] = 300 + rng.standard_normal(N)
    return X


def activity(X, family, seed=1):
    """Activity of a family at weights on half of the columns; (N, Q)."""
    rng = np.random.default_rng(seed)
    W = 0.4 * rng.standard_normal((Q, P)) * (rng.random((Q, P)) < 0.5)
    eta = (X - X.mean(axis=0)) @ W.T
    match family:
        case "poisson":
            return rng.poisson(np.exp(eta)).astype(float)
        case "bernoulli":
            return (rng.random(eta.shape) < 1 / (1 + np.exp(-eta))).astype(float)
        case "gaussian":
            return eta + 0.5 * rng.standard_normal(eta.shape)
        case "gamma":
            return rng.gamma(2.0, np.exp(eta) / 2)
    raise ValueError(family)


def objectives(model, family, X, Y, lam, l1_ratio, sizes):
    """What is minimised, by its formula, and half the mean null deviance, the unit of certificates; per neuron."""
    loss = {
        "gaussian": lambda eta: 0.5 * (Y - eta) ** 2,
        "poisson": lambda eta: np.exp(eta) - Y * eta,
        "bernoulli": lambda eta: np.logaddexp(0, eta) - Y * eta,
        "gamma": lambda eta: Y * np.exp(-eta) + eta,
    }[family]
    null = Y.mean(axis=0)
    null_eta = {"gaussian": null, "bernoulli": special.logit(null)}.get(family, np.log(np.abs(null)))
    saturated = {"poisson": Y - special.xlogy(Y, Y), "gamma": 1 + np.log(np.where(Y > 0, Y, 1))}.get(family, 0)
    W, starts = model.coef_.astype(float), np.concatenate([[0], np.cumsum(sizes)[:-1]])
    norm = np.sqrt(np.add.reduceat(W**2, starts, axis=1)) @ np.sqrt(sizes)
    value = loss(X @ W.T + model.intercept_).mean(axis=0) + lam * (
        l1_ratio * norm + (1 - l1_ratio) / 2 * (W**2).sum(axis=1)
    )
    return value, (loss(np.broadcast_to(null_eta, Y.shape)) - saturated).mean(axis=0)


def sparse(X):
    """X in compressed rows."""
    return csr_array(X)
