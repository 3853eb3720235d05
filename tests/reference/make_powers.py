"""Fit inverse Gaussian and Tweedie models with statsmodels, and freeze the data and what it found.

Run in the environment of `make.py`::

    reference/bin/python tests/reference/make_powers.py

It writes `powers.npz`: simulated activity beside an offset and trials, and for each family the weights with the
intercept last, their standard errors and those over trials, Pearson's dispersion and the deviance.
"""

from pathlib import Path

import numpy as np
import statsmodels.api as sm

FILE = Path(__file__).parent / "powers.npz"
LOG = sm.families.links.Log()
POWERS = {"tweedie_12": 1.2, "tweedie_15": 1.5, "tweedie_18": 1.8}
FAMILIES = {
    "inverse_gaussian": sm.families.InverseGaussian(LOG),
    **{name: sm.families.Tweedie(LOG, var_power=power) for name, power in POWERS.items()},
}


def fit(X: np.ndarray, y: np.ndarray, offset: np.ndarray, trial: np.ndarray, family: sm.families.Family) -> np.ndarray:
    """Rows of weights and intercept, their errors, those over trials; and dispersion and deviance before zeros."""
    model = sm.GLM(y, np.column_stack([X, np.ones(len(X))]), family=family, offset=offset)
    options = {"tol": 1e-13, "maxiter": 500, "tol_criterion": "params"}
    found = model.fit(**options)
    over_trials = model.fit(cov_type="cluster", cov_kwds={"groups": trial}, **options)
    rest = np.zeros(len(found.params))
    rest[:2] = found.scale, found.deviance
    return np.array([found.params, found.bse, over_trials.bse, rest])


def amounts(rng: np.random.Generator, mu: np.ndarray, power: float, dispersion: float) -> np.ndarray:
    """Poisson numbers of gamma amounts, with the mean mu and the variance dispersion * mu ** power."""
    n = rng.poisson(mu ** (2 - power) / (dispersion * (2 - power)))
    shape = n * (2 - power) / (power - 1)
    return rng.gamma(np.where(n > 0, shape, 1)) * (n > 0) * dispersion * (power - 1) * mu ** (power - 1)


def main() -> None:
    """Write the file."""
    rng = np.random.default_rng(0)
    X = rng.standard_normal((400, 3)).astype(np.float32).astype(float)
    offset = rng.normal(0, 0.3, 400).astype(np.float32).astype(float)
    trial = np.repeat(np.arange(40), 10)
    mu = np.exp(X @ [0.4, -0.3, 0.1] + 0.5 + offset + 0.2 * rng.standard_normal(40)[trial])
    y = {"inverse_gaussian": rng.wald(mu, 3.0)}
    y |= {name: amounts(rng, mu, power, 0.8) for name, power in POWERS.items()}
    found = {f"found_{name}": fit(X, y[name], offset, trial, family) for name, family in FAMILIES.items()}
    np.savez_compressed(FILE, X=X, offset=offset, trial=trial, **y, **found)


if __name__ == "__main__":
    main()
