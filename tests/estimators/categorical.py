"""Choices to fit, and their objective by the definition."""

import warnings

import numpy as np
from scipy.optimize import minimize
from scipy.special import log_softmax, softmax

import popglm as pg

#: Fits that other numbers are compared with.
EXACT = {"precision": "float64", "tol": 1e-12, "engine": "numpy"}
SIZES = [2, 3, 3]


def choices(n=600, n_classes=4, seed=0, labels=None):
    """X (n, 8) in groups of `SIZES`, of which the second drives nothing, and labels (n,) of which the last is rare."""
    rng = np.random.default_rng(seed)
    X = rng.standard_normal((n, 8)) @ (np.eye(8) + 0.3 * rng.standard_normal((8, 8))) + rng.normal(0, 0.5, 8)
    W = 0.7 * rng.standard_normal((8, n_classes))
    W[2:5] = 0
    eta = X @ W + np.append(np.zeros(n_classes - 1), -2.0) + rng.gumbel(size=(n, n_classes))
    codes = eta.argmax(axis=1)
    return X, codes if labels is None else np.asarray(labels)[codes]


def quietly(model, *args, **kwargs):
    """A fit whose warnings of few samples are not looked at."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", pg.PopglmWarning)
        return model.fit(*args, **kwargs)


def loss(coef, intercept, X, codes, s=None, offset=0.0):
    """Mean loss of weights (n_classes, n_features), and the forces (n_classes, n_features) on them."""
    s = np.ones(len(X)) if s is None else s
    eta, one = X @ coef.T + intercept + offset, np.eye(len(coef))[codes]
    R = s[:, None] * (softmax(eta, axis=1) - one) / s.sum()
    return -s @ (log_softmax(eta, axis=1) * one).sum(axis=1) / s.sum(), R.T @ X, R.sum(axis=0)


def minimum(X, codes, n_classes, penalty, s=None, offset=0.0):
    """Weights and intercepts, without a mean over classes, of least loss and ``penalty(V) -> (value, gradient)``."""
    p = X.shape[1]

    def objective(theta):
        V, b = theta[: n_classes * p].reshape(n_classes, p), theta[n_classes * p :]
        value, G, g = loss(V, b, X, codes, s, offset)
        more, slope = penalty(V)
        return value + more, np.append(G + slope, g)

    options = {"maxiter": 20_000, "maxfun": 40_000, "ftol": 1e-16, "gtol": 1e-11}
    found = minimize(objective, np.zeros(n_classes * (p + 1)), jac=True, method="L-BFGS-B", options=options)
    V, b = found.x[: n_classes * p].reshape(n_classes, p), found.x[n_classes * p :]
    return V, b - b.mean(), found.fun


def centred(b):
    return b - b.mean(axis=-1, keepdims=True)
