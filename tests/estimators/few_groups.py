"""A recording of which some activity is unknown, and few feature groups drive each neuron."""

import numpy as np
from scipy.special import expit

SIZES, Q = [3, 2, 4, 1], 4
GROUP = np.repeat(np.arange(4), SIZES)


def recorded(n, slope, seed):
    """X, activity of three families by ``slope`` times the same predictor, and the generator that drew them."""
    rng = np.random.default_rng(seed)
    X = rng.normal(size=(n, 10)) @ (np.eye(10) + 0.2 * rng.normal(size=(10, 10)))
    W = rng.normal(size=(10, Q)) * (np.array([[1, 0, 1, 0], [0, 1, 0, 0], [0, 0, 1, 0], [1, 0, 0, 0]])[GROUP] > 0)
    eta = slope * X @ W
    Y = {
        "gaussian": eta + rng.normal(size=(n, Q)) + 2,
        "poisson": rng.poisson(np.exp(np.clip(eta, -4, 2))).astype(float),
        "bernoulli": (rng.random((n, Q)) < expit(2 * eta - 0.5)).astype(float),
    }
    for one in Y.values():
        one[rng.random(n) < 0.1, 1] = np.nan
    return X, Y, rng
