"""Fit generalized additive models with statsmodels at given strengths, and freeze the data and what it found.

Run in the environment of `make.py`::

    reference/bin/python tests/reference/make_smooth.py

It writes `smooth.npz`: the B-splines of two variables and their penalties, three responses, and for each family and
pair of strengths the weights with the intercept first, effective degrees of freedom by column, and deviance.
statsmodels penalises its log-likelihood by Σ α βᵀSβ, without a half.
"""

from pathlib import Path

import numpy as np
import statsmodels.api as sm
from statsmodels.gam.api import BSplines, GLMGam

FILE = Path(__file__).parent / "smooth.npz"
STRENGTHS = np.array([[1.0, 10.0], [0.1, 100.0]])


def main() -> None:
    """Write the file."""
    rng = np.random.default_rng(0)
    x = rng.uniform(0, 1, (200, 2))
    eta = np.sin(6 * x[:, 0]) + x[:, 1] ** 2 - 1
    smoother = BSplines(x, df=[8, 7], degree=[3, 3])
    activity = {
        "gaussian": eta + rng.normal(0, 0.5, 200),
        "poisson": rng.poisson(np.exp(eta)).astype(float),
        "bernoulli": (rng.random(200) < 1 / (1 + np.exp(-eta))).astype(float),
    }
    families = {
        "gaussian": sm.families.Gaussian(), "poisson": sm.families.Poisson(), "bernoulli": sm.families.Binomial()
    }  # fmt: skip
    found = {}
    for name, y in activity.items():
        rows = []
        for alpha in STRENGTHS:
            model = GLMGam(y, exog=np.ones((200, 1)), smoother=smoother, alpha=list(alpha), family=families[name])
            fit = model.fit(tol=1e-13, maxiter=500)
            rows.append(np.concatenate([fit.params, fit.edf, [fit.deviance]]))
        found[name] = np.array(rows)
    S = {f"S{i}": one.cov_der2 for i, one in enumerate(smoother.smoothers)}
    y = {f"y_{name}": one for name, one in activity.items()}
    np.savez_compressed(FILE, X=smoother.basis, strengths=STRENGTHS, **S, **y, **found)


if __name__ == "__main__":
    main()
