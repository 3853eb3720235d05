"""The objective that both sides are held to, in float64 and without either library."""

import numpy as np


def poisson_group_lasso_objective(X, y, sizes, lambdas, intercepts, coefs) -> np.ndarray:
    """(1/n) Σ [exp(η) − yη] + λ Σ_g √p_g ‖w_g‖ in float64, one value per strength."""
    eta = X @ coefs.T + intercepts
    loss = np.mean(np.exp(eta) - y[:, None] * eta, axis=0)
    starts = np.cumsum((0, *sizes[:-1]))
    norms = np.sqrt(np.add.reduceat(coefs**2, starts, axis=1))
    return loss + lambdas * (norms @ np.sqrt(sizes))
