"""The objective of the design written out once more, in μ and in float64, sharing no line with popglm."""

import numpy as np
from scipy.special import expit, xlogy

LINKS = {
    "identity": lambda eta: eta,
    "exp": np.exp,
    "sigmoid": expit,
    "softplus": lambda eta: np.logaddexp(0, eta),
    "relu": lambda eta: np.maximum(eta, 0),
}
CONVEX = [
    ("gaussian", "identity"),
    ("poisson", "exp"),
    ("poisson", "softplus"),
    ("poisson", "identity"),
    ("bernoulli", "sigmoid"),
]
#: Names of penalties and their share of the norm.
PENALTIES = [("ridge", None), ("lasso", None), ("elastic_net", 0.3), ("group_lasso", None), ("group_lasso", 0.6)]


def unit_loss(family, link, eta, y):
    """ℓ(y, h(η)) per sample."""
    mu = LINKS[link](eta)
    if family == "gaussian":
        return (y - mu) ** 2 / 2
    if family == "poisson":
        return mu - xlogy(y, mu)
    return -xlogy(y, mu) - xlogy(1 - y, expit(-eta))


def penalty_value(w, lam, penalty, l1_ratio, smoothness, sizes):
    """λP(w) + (σ/2)wᵀRw by loops over groups."""
    alpha = {"none": 0.0, "ridge": 0.0, "lasso": 1.0, "group_lasso": 1.0}.get(penalty, 0.5)
    alpha = alpha if l1_ratio is None else l1_ratio
    groups = np.split(w, np.cumsum(sizes)[:-1])
    norm = sum(np.sqrt(len(g) * (g @ g)) for g in groups) if penalty == "group_lasso" else np.abs(w).sum()
    rough = 0.0
    for g in groups:
        # Σ over all neighbours, with zeros beyond both ends: the quadratic form of [−1, 2, −1]
        rough += g[0] ** 2 if len(g) == 1 else (np.diff(np.concatenate([[0], g, [0]])) ** 2).sum()
    return lam * (alpha * norm + (1 - alpha) / 2 * (w @ w)) + smoothness / 2 * rough


def objective(X, y, b, w, lam, family, link, penalty, l1_ratio=None, smoothness=0.0, sizes=None, s=None, offset=0.0):
    """Penalised mean loss of one neuron; NaN in y drops out."""
    s = np.ones(len(y)) if s is None else s
    kept = ~np.isnan(y)
    eta = (X @ w + b + offset)[kept]
    loss = s[kept] @ unit_loss(family, link, eta, y[kept]) / s[kept].sum()
    return loss + penalty_value(w, lam, penalty, l1_ratio, smoothness, [1] * len(w) if sizes is None else sizes)


def half_null_deviance(y, family, s=None):
    """Mean loss of the null model above the saturated one."""
    s = np.ones(len(y)) if s is None else s
    mean = s @ y / s.sum()
    if family == "gaussian":
        return s @ (y - mean) ** 2 / 2 / s.sum()
    kl = xlogy(y, y) - xlogy(y, mean)
    kl += mean - y if family == "poisson" else xlogy(1 - y, 1 - y) - xlogy(1 - y, 1 - mean)
    return s @ kl / s.sum()


def population(family, link, n=240, sizes=(3, 1, 4, 2), q=3, seed=0):
    """Correlated columns of unlike scale and mean, and responses that depend on some of them."""
    rng = np.random.default_rng(seed)
    p = sum(sizes)
    X = rng.standard_normal((n, p)) @ (np.eye(p) + 0.4 * rng.standard_normal((p, p)) / np.sqrt(p))
    X = X * rng.uniform(0.5, 2, p) + rng.normal(0, 0.5, p)
    W = rng.standard_normal((q, p)) * (rng.random((q, p)) < 0.6) / np.sqrt(p)
    eta = X @ W.T * (0.8 if link == "exp" else 1.0)
    if link in ("identity", "relu") and family == "poisson":
        eta = 2 + 0.3 * np.tanh(eta)
    mu = LINKS[link](eta)
    if family == "gaussian":
        return X, mu + 0.3 * rng.standard_normal((n, q))
    return X, (rng.poisson(mu) if family == "poisson" else rng.random((n, q)) < mu).astype(float)
