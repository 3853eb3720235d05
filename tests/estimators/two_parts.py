"""A recording whose events and amounts follow groups of their own, and two-part models of it."""

import warnings

import numpy as np

import popglm as pg

N, Q = 900, 3
TRIAL = np.arange(N) // 30


def quietly(call, *args, **kwargs):
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", pg.PopglmWarning)
        return call(*args, **kwargs)


def recorded():
    """X with two groups, events that follow the first and amounts that follow the second, and weights."""
    rng = np.random.default_rng(0)
    X = rng.standard_normal((N, 5))
    chance = 1 / (1 + np.exp(1.2 - 0.8 * X[:, :1] - 0.2 * X[:, 1:2] * np.arange(Q)))
    mean = np.exp(0.5 * X[:, 3:4] - 0.3 * X[:, 4:5] * np.arange(Q))
    Y = (rng.random((N, Q)) < chance) * rng.gamma(2.5, mean / 2.5)
    return X, Y, rng.uniform(0.3, 2, N)


def a_model(family="gamma", **more):
    settings = {"penalty": "group_lasso", "feature_groups": ["a", "a", "a", "b", "b"], "n_lambdas": 6, "cv": 3}
    return pg.TwoPartGLM(pg.GLMCV(family, **settings | more))
