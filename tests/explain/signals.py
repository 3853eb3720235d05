"""Slow signals, and activity that follows them."""

import numpy as np
from scipy.signal import lfilter

PATH = 10.0 ** np.linspace(0, -3, 5)


def smooth(rng, n, q, tau):
    """Gaussian noise, variance 1, correlated over tau samples."""
    r = np.exp(-1 / tau)
    return lfilter([np.sqrt(1 - r * r)], [1, -r], rng.standard_normal((n + 10 * int(tau), q)), axis=0)[-n:]


def standardised(X):
    return (X - X.mean(axis=0)) / X.std(axis=0)


def activity(rng, family, eta):
    match family:
        case "gaussian":
            return eta + rng.standard_normal(eta.shape)
        case "poisson":
            return rng.poisson(np.exp(eta)).astype(float)
    return (rng.random(eta.shape) < 1 / (1 + np.exp(-eta))).astype(float)
