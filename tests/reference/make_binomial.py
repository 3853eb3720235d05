"""Fit binomial models with statsmodels, and freeze the data and what it found.

Run in the environment of `make.py`::

    reference/bin/python tests/reference/make_binomial.py

It writes `binomial.npz`: successes and trials of three simulated neurons beside an offset, in blocks, and for each the
weights with the intercept last, their errors, those over blocks, and log-likelihood, AIC, BIC, deviance and Pearson's
χ² over the degrees of freedom.
"""

from pathlib import Path

import numpy as np
import statsmodels.api as sm

FILE = Path(__file__).parent / "binomial.npz"


def fit(X: np.ndarray, counts: np.ndarray, offset: np.ndarray, block: np.ndarray) -> np.ndarray:
    """Weights and intercept, errors, errors over blocks, and five numbers, in one row."""
    model = sm.GLM(counts, np.column_stack([X, np.ones(len(X))]), family=sm.families.Binomial(), offset=offset)
    options = {"tol": 1e-13, "maxiter": 200, "tol_criterion": "params"}
    found = model.fit(**options)
    over_blocks = model.fit(cov_type="cluster", cov_kwds={"groups": block}, **options)
    rest = [found.llf, found.aic, found.bic_llf, found.deviance, found.pearson_chi2 / found.df_resid]
    return np.concatenate([found.params, found.bse, over_blocks.bse, rest])


def main() -> None:
    """Write the file."""
    rng = np.random.default_rng(0)
    X = rng.standard_normal((120, 3)).astype(np.float32).astype(float)
    offset = rng.normal(0, 0.3, 120).astype(np.float32).astype(float)
    block = np.repeat(np.arange(30), 4)
    trials = rng.integers(1, 40, (120, 3))
    p = 1 / (1 + np.exp(-(X @ rng.normal(0, 0.6, (3, 3)) + [-1.0, 0.0, 1.5] + offset[:, None])))
    successes = rng.binomial(trials, p)
    found = [fit(X, np.column_stack([k, n - k]), offset, block) for k, n in zip(successes.T, trials.T, strict=True)]
    np.savez_compressed(FILE, X=X, offset=offset, block=block, trials=trials, successes=successes, found=found)


if __name__ == "__main__":
    main()
