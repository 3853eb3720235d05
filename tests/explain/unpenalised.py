"""Samples of every family, and fits to them without a penalty."""

import numpy as np

import popglm as pg


def samples():
    rng = np.random.default_rng(7)
    n = 400
    X = rng.normal(size=(n, 3))
    X[:, 2] += 0.5 * X[:, 0]
    trial = np.repeat(np.arange(40), 10)
    u = rng.normal(size=40) * 0.4
    eta = 0.2 + 0.4 * X[:, 0] - 0.3 * X[:, 1] + u[trial]
    y = {"poisson": rng.poisson(np.exp(eta))}
    y["bernoulli"] = (rng.random(n) < 1 / (1 + np.exp(-eta))).astype(float)
    y["gaussian"] = eta + rng.normal(size=n)
    y["gamma"] = rng.gamma(2, np.exp(eta) / 2)
    return X, {name: values[:, None] for name, values in y.items()}, trial


def fitted(X, Y, family="poisson", **options):
    options = {"penalty": "none", "tol": 1e-9, "precision": "float64", **options}
    return pg.GLM(family, **options).fit(X, Y)
