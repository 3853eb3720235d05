"""The objective that every library is held to, in float64 and with none of them.

All minimise, for each neuron, the mean loss plus λ times a penalty::

    gaussian   ½ (y − η)²           ridge        ½ ‖w‖²
    poisson    exp(η) − y η         lasso        ‖w‖₁
    bernoulli  log(1 + exp(η)) − yη elastic_net  α ‖w‖₁ + (1 − α)/2 ‖w‖²
                                    group_lasso  Σ_g √p_g ‖w_g‖₂
"""

import numpy as np
from scipy.special import xlogy

CHUNK = 4096  # rows at a time: η of a whole path need not fit in memory


def loss(family: str, eta: np.ndarray, y: np.ndarray) -> np.ndarray:
    """Loss of every sample, without the constants in y."""
    match family:
        case "gaussian":
            return 0.5 * (y - eta) ** 2
        case "poisson":
            return np.exp(eta) - y * eta
        case "bernoulli":
            return np.logaddexp(0, eta) - y * eta
    raise ValueError(f"family={family!r} is unknown.")


def penalty_value(penalty: str, W: np.ndarray, sizes: np.ndarray, l1_ratio: float) -> np.ndarray:
    """Penalty of the weights along the last axis of W, group by group."""
    match penalty:
        case "group_lasso":
            starts = np.cumsum((0, *sizes[:-1]))
            return np.sqrt(np.add.reduceat(W**2, starts, axis=-1)) @ np.sqrt(sizes)
        case "ridge" | "lasso" | "elastic_net":
            alpha = {"ridge": 0.0, "lasso": 1.0, "elastic_net": l1_ratio}[penalty]
            return alpha * np.abs(W).sum(axis=-1) + (1 - alpha) / 2 * (W**2).sum(axis=-1)
    raise ValueError(f"penalty={penalty!r} is unknown.")


def objective(
    X: np.ndarray,
    Y: np.ndarray,
    family: str,
    penalty: str,
    sizes: np.ndarray,
    lambdas: np.ndarray,
    intercept_path: np.ndarray,
    coef_path: np.ndarray,
    l1_ratio: float = 0.5,
) -> np.ndarray:
    """Objective of every strength and neuron.

    Parameters
    ----------
    X : ndarray, shape (n_samples, n_features)
    Y : ndarray, shape (n_samples, n_neurons)
    sizes : ndarray of int
        Columns of each group, in order.
    lambdas : ndarray, shape (n_lambdas,)
    intercept_path : ndarray, shape (n_lambdas, n_neurons)
    coef_path : ndarray, shape (n_lambdas, n_neurons, n_features)
        NaN where a library has no fit.

    Returns
    -------
    ndarray, shape (n_lambdas, n_neurons)
        NaN where a library has no fit.
    """
    W, b = coef_path.astype(float), intercept_path.astype(float)
    total = np.zeros(b.shape)
    for first in range(0, len(X), CHUNK):
        rows = slice(first, first + CHUNK)
        with np.errstate(invalid="ignore"):
            eta = W @ X[rows].T.astype(float) + b[..., None]
            total += loss(family, eta, Y[rows].T.astype(float)).sum(axis=-1)
    return total / len(X) + lambdas[:, None] * penalty_value(penalty, W, sizes, l1_ratio)


def half_null_deviance(Y: np.ndarray, family: str) -> np.ndarray:
    """Mean loss that a perfect model would save over the mean of each neuron: the unit of `gap_`."""
    y = Y.astype(float)
    m = y.mean(axis=0)
    match family:
        case "gaussian":
            return 0.5 * y.var(axis=0)
        case "poisson":
            return np.mean(xlogy(y, y / m) - (y - m), axis=0)
        case "bernoulli":
            return -xlogy(m, m) - xlogy(1 - m, 1 - m) + np.mean(xlogy(y, y) + xlogy(1 - y, 1 - y), axis=0)
    raise ValueError(f"family={family!r} is unknown.")
