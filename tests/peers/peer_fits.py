"""What the tests of this folder share: fits to the last digits, and conditions of a minimum in plain NumPy."""

import numpy as np
import sklearn
from scipy.special import expit, xlogy
from sklearn.linear_model import LogisticRegression
from sklearn.utils.fixes import parse_version

from popglm import GLM

MEANS = {"gaussian": lambda eta: eta, "poisson": np.exp, "gamma": np.exp, "bernoulli": expit}
# minus ∂ℓ/∂η of the losses in docs/how_popglm_fits.rst, under the default inverse links
SCORES = {
    "gaussian": lambda y, mu: y - mu,
    "poisson": lambda y, mu: y - mu,
    "bernoulli": lambda y, mu: y - mu,
    "gamma": lambda y, mu: y / mu - 1,
}
DEVIANCES = {
    "gaussian": lambda y, mu: (y - mu) ** 2,
    "poisson": lambda y, mu: 2 * (xlogy(y, y) - xlogy(y, mu) - y + mu),
    "bernoulli": lambda y, mu: -2 * (xlogy(y, mu) + xlogy(1 - y, 1 - mu)),
    "gamma": lambda y, mu: 2 * (y / mu - 1 - np.log(y / mu)),
}


def exact(family, **settings):
    """A GLM with ten digits of its weights, so that a difference is one of the problem and not of the stop."""
    return GLM(family, **{"precision": "float64", "tol": 1e-13, "max_iter": 5_000, **settings})


def correlated(n, p, seed, correlation=0.6):
    """Columns (n, p) of which neighbours have a correlation, and weights (p,) of which one in five is not 0."""
    rng = np.random.default_rng(seed)
    X = rng.normal(size=(n, p))
    for j in range(1, p):
        X[:, j] = correlation * X[:, j - 1] + np.sqrt(1 - correlation**2) * X[:, j]
    w = rng.normal(size=p) * (rng.permutation(p) < max(1, p // 5))
    return X, w, rng


def activity(family, eta, rng):
    """A neuron's activity (n,) of a family, with the default inverse link."""
    mu = MEANS[family](eta)
    if family == "gaussian":
        return mu + rng.normal(size=len(mu))
    if family == "poisson":
        return rng.poisson(mu).astype(float)
    if family == "bernoulli":
        return rng.binomial(1, mu).astype(float)
    return rng.gamma(2, mu / 2)


def broken_conditions(family, X, y, model, lam, norms, index=0, weight=None):
    """How far weights of a group lasso are from the conditions of a minimum, over the weakest group's strength.

    ``norms`` has what λ is multiplied by for each feature group (√p_g and factors); groups are those of the model.
    """
    w, b = model.coef_path_[index].ravel(), float(np.squeeze(model.intercept_path_[index]))
    weight = np.ones(len(y)) if weight is None else weight
    score = SCORES[family](y, MEANS[family](X @ w + b)) * weight / weight.sum()
    off = [abs(score.sum())] if model.fit_intercept else []
    ends = np.cumsum(model.feature_group_sizes_)[:-1]
    for g, v, c in zip(np.split(X.T @ score, ends), np.split(w, ends), norms, strict=True):
        size = np.linalg.norm(v)
        off.append(np.linalg.norm(g - lam * c * v / size) if size else max(np.linalg.norm(g) - lam * c, 0.0))
    return max(off) / (lam * np.min(norms))


def logistic(**settings):
    """scikit-learn's logistic regression with an ``l1_ratio``; releases before 1.8 need the name of the penalty too."""
    named = {} if parse_version(sklearn.__version__) >= parse_version("1.8") else {"penalty": "elasticnet"}
    return LogisticRegression(**named, **settings)
