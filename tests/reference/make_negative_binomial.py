"""Fit negative binomial models with statsmodels, and freeze the data and what it found.

Run in the environment of `make.py`::

    reference/bin/python tests/reference/make_negative_binomial.py

It writes `negative_binomial.npz`: three simulated neurons beside an offset, and for each the weights with the intercept
last, the dispersion, and the log-likelihood.
"""

from pathlib import Path

import numpy as np
import statsmodels.api as sm

FILE = Path(__file__).parent / "negative_binomial.npz"


def fit(X: np.ndarray, y: np.ndarray, offset: np.ndarray) -> np.ndarray:
    """Weights, intercept, dispersion and log-likelihood."""
    model = sm.NegativeBinomial(y, np.column_stack([X, np.ones(len(X))]), loglike_method="nb2", offset=offset)
    start = model.fit(method="bfgs", maxiter=500, disp=0).params
    found = model.fit(method="newton", start_params=start, maxiter=200, tol=1e-14, disp=0)
    assert np.abs(model.score(found.params)).max() < 1e-6
    return np.append(found.params, found.llf)


def main() -> None:
    """Write the file."""
    rng = np.random.default_rng(0)
    X = rng.standard_normal((500, 5)).astype(np.float32).astype(float)
    offset = rng.normal(0, 0.3, 500).astype(np.float32).astype(float)
    mu = np.exp(X @ rng.normal(0, 0.3, (5, 3)) + [0.5, -0.5, 1.5] + offset[:, None])
    alpha = np.array([0.2, 0.8, 2.5])
    Y = rng.poisson(mu * rng.gamma(1 / alpha, alpha, mu.shape)).astype(float)
    simulated = np.array([fit(X, y, offset) for y in Y.T])
    np.savez_compressed(FILE, X=X, Y=Y, offset=offset, found=simulated)


if __name__ == "__main__":
    main()
