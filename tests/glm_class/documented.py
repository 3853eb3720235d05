"""Small data, and the objective of `popglm.glm_class` as its documentation states it."""

from functools import cache

import numpy as np
from scipy.special import expit

from popglm import glm_class as glm

SIZES = [3, 1, 4]
LAMBDAS = 10.0 ** np.linspace(0, -3, 4)
PAIRS = [("gaussian", "linear"), ("poisson", "exp"), ("binominal", "sigmoid")]


def simulated(loss_type="poisson", n_samples=300, n_responses=3, seed=0):
    rng = np.random.default_rng(seed)
    X = rng.standard_normal((n_samples, sum(SIZES)))
    w = rng.normal(scale=0.4, size=(sum(SIZES), n_responses)) * (rng.random((sum(SIZES), 1)) < 0.7)
    eta = X @ w - 0.2
    match loss_type:
        case "gaussian":
            return X, eta + rng.standard_normal(eta.shape)
        case "poisson":
            return X, rng.poisson(np.exp(eta)).astype(float)
    return X, (rng.random(eta.shape) < expit(eta)).astype(float)


def second_differences(sizes):
    """R written out entry by entry."""
    R, start = np.zeros((sum(sizes), sum(sizes))), 0
    for size in sizes:
        for i in range(size):
            R[start + i, start + i] = 2 if size > 1 else 1
            if i + 1 < size:
                R[start + i, start + i + 1] = R[start + i + 1, start + i] = -1
        start += size
    return R


def objective(X, y, w0, w, lam, loss_type, penalty, smooth_strength=0.0):
    """The objective as it stands in the documentation, for one response."""
    eta = X @ w + w0
    loss = {
        "gaussian": lambda: np.sum((y - eta) ** 2) / len(y),
        "poisson": lambda: np.mean(np.exp(eta) - y * eta),
        "binominal": lambda: np.mean(np.logaddexp(0, eta) - y * eta),
    }[loss_type]()
    if penalty == "group_lasso":
        groups = np.split(w, np.cumsum(SIZES)[:-1])
        P = sum(np.sqrt(len(g)) * np.linalg.norm(g) for g in groups)
    else:
        P = penalty * np.abs(w).sum() + (1 - penalty) / 2 * np.sum(w**2)
    return loss + lam * P + smooth_strength * w @ second_differences(SIZES) @ w


def null_scale(y, loss_type):
    return glm.null_deviance(y, loss_type) / len(y)


@cache
def cross_validated_model():
    """X, Y and a fit to them, shared by tests that select strengths anew."""
    X, Y = simulated(n_samples=240, n_responses=8, seed=3)
    model = glm.GLM_CV(n_folds=4, lambda_series=10.0 ** np.linspace(1, -4, 11))
    model.fit(X, Y, group_idx=np.repeat(np.arange(24), 10), verbose=False)
    return X, Y, model
