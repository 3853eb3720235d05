"""A recording with feature groups of unlike penalty factors, and how far a fit is from the minimum, by hand."""

import warnings

import numpy as np
import pytest
from scipy.special import expit
from scipy.stats import norm

import popglm as pg


def censored(eta, sigma):
    """σ²dℓ/dη of a response of 0."""
    return sigma * np.exp(norm.logpdf(eta / sigma) - norm.logsf(eta / sigma))


SIZES, Q, N = [3, 1, 4, 2], 3, 240
TRIAL = np.arange(N) // 24
#: Name, inverse link, and dℓ/dη of η, y and the parameters of the family.
FAMILIES = {
    "gaussian": (None, lambda eta, y: eta - y),
    "poisson": (None, lambda eta, y: np.exp(eta) - y),
    "softplus": ("softplus", lambda eta, y: expit(eta) * (1 - y / np.logaddexp(0, eta))),
    "bernoulli": (None, lambda eta, y: expit(eta) - y),
    "gamma": (None, lambda eta, y: 1 - y * np.exp(-eta)),
    "inverse_gaussian": (None, lambda eta, y: np.exp(-eta) * (1 - y * np.exp(-eta))),
    "tweedie": (None, lambda eta, y: np.exp(0.5 * eta) - y * np.exp(-0.5 * eta)),
    "negative_binomial": (None, lambda eta, y, alpha: (np.exp(eta) - y) / (1 + alpha * np.exp(eta))),
    "censored_gaussian": (None, lambda eta, y, sigma: np.where(y > 0, eta - y, censored(eta, sigma)) / sigma**2),
}
PENALTIES = [
    ("ridge", None, 0.0), ("ridge", None, 0.05), ("lasso", None, 0.0), ("elastic_net", 0.3, 0.0),
    ("group_lasso", None, 0.0), ("group_lasso", 0.6, 0.05),
]  # fmt: skip

#: Engines, each with a penalty.
ENGINES = [("torch", "ridge"), ("jax", "elastic_net"), ("tensorflow", "group_lasso")]


def recorded():
    """X, and activity of every family."""
    rng = np.random.default_rng(0)
    X = rng.normal(size=(N, 10)) @ (np.eye(10) + 0.2 * rng.normal(size=(10, 10))) + rng.normal(size=10)
    eta = 0.4 * (X - X.mean(axis=0)) @ rng.normal(size=(10, Q)) - 0.3
    rate = np.exp(np.clip(eta, -3, 2))
    counts = rng.poisson(rate).astype(float)
    return X, {
        "gaussian": eta + rng.normal(size=(N, Q)) + 3,
        "poisson": counts,
        "softplus": counts,
        "bernoulli": (rng.random((N, Q)) < expit(eta)).astype(float),
        "gamma": rate * rng.gamma(3, 1 / 3, (N, Q)),
        "negative_binomial": rng.poisson(rate * rng.gamma(1, 1, (N, Q))).astype(float),
        "inverse_gaussian": rng.wald(rate, 2.0),
        "tweedie": rate * rng.gamma(6, 1 / 6, (N, Q)) * (rng.random((N, Q)) < 0.9),
        "censored_gaussian": np.maximum(eta + rng.normal(size=(N, Q)), 0),
    }


def quietly(model, *data, **more):
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", pg.PopglmWarning)
        return model.fit(*data, **more)


def settings_of(name, penalty, l1_ratio=None, smoothness=0.0, **more):
    link = FAMILIES[name][0]
    family = {"family": "poisson" if name == "softplus" else name, "inverse_link": link}
    return {
        **family,
        "penalty": penalty,
        "l1_ratio": l1_ratio,
        "smoothness": smoothness,
        "feature_groups": SIZES,
        **more,
    }


def distance_from_stationary(name, penalty, l1_ratio, smoothness, factors, X, y, w, b, lam, *parameters):
    """Size of the least subgradient of the objective at (w, b), by loops over groups."""
    r = FAMILIES[name][1](X @ w + b, y, *parameters) / len(y)
    alpha = {"ridge": 0.0, "lasso": 1.0, "group_lasso": 1.0}.get(penalty) if l1_ratio is None else l1_ratio
    left, first = [abs(r.sum())], 0
    for size, factor in zip(SIZES, factors, strict=True):
        own = slice(first, first + size)
        padded = np.concatenate([[0], w[own], [0]])
        rough = 2 * w[own] - padded[:-2] - padded[2:] if size > 1 else w[own]
        g = r @ X[:, own] + lam * factor * (1 - alpha) * w[own] + smoothness * rough
        strength = lam * factor * alpha
        parts = (
            [(g, w[own], np.sqrt(size))]
            if penalty == "group_lasso"
            else [(g[[k]], w[own][[k]], 1) for k in range(size)]
        )
        for force, weights, omega in parts:
            norm = np.linalg.norm(weights)
            # a weight that rounding left beside 0 has the subgradients of 0
            if norm > 1e-6:
                left.append(np.linalg.norm(force + strength * omega * weights / norm))
            else:
                left.append(max(np.linalg.norm(force) - strength * omega, 0))
        first += size
    return max(left)


def assert_as_numpy(engine, penalty, factors, recording):
    """A Poisson fit with these factors is the same by another engine."""
    pytest.importorskip(engine)
    X, Y = recording[0], recording[1]["poisson"]
    given = settings_of("poisson", penalty, lambdas=[0.1, 0.01], tol=1e-6, penalty_factors=factors)
    ours, theirs = (pg.GLM(**given, engine=name).fit(X, Y) for name in ("numpy", engine))
    np.testing.assert_allclose(theirs.coef_path_, ours.coef_path_, atol=3e-3)
    np.testing.assert_allclose(theirs.loss_path_, ours.loss_path_, atol=1e-5)
