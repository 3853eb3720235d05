"""Whether a neuron's events are separated, where columns are collinear and the linear program is hard to end."""

import numpy as np
import pytest
from scipy.interpolate import BSpline
from scipy.optimize import nnls

from popglm.solve.separation import separated
from popglm.statistics.families import get_family


def splines(x: np.ndarray, n: int) -> np.ndarray:
    """`n` cubic B-splines on [0, 1), which add up to 1."""
    knots = np.r_[[0.0] * 3, np.linspace(0, 1, n - 2), [1.0] * 3]
    return BSpline.design_matrix(x, knots, 3).toarray()


@pytest.mark.parametrize("seed", [1, 50, 71])
@pytest.mark.parametrize("family", ["bernoulli", "poisson"])
def test_rare_events_beside_collinear_splines(seed, family):
    rng = np.random.default_rng(seed)
    n_samples, n_terms, n_functions = rng.integers(100, 1200), rng.integers(2, 8), rng.integers(6, 14)
    X = np.column_stack([splines(rng.random(n_samples) ** (1 + 3 * (seed % 3)), n_functions) for _ in range(n_terms)])
    X = X.astype(np.float32 if seed % 2 else float)
    events = rng.random(n_samples) < rng.choice([0.003, 0.01, 0.03])
    # weights that are not on their way to infinity are not asked about
    coef = np.full((1, X.shape[1]), 0.0)
    coef[0, 0] = 100.0
    found = separated(
        get_family(family), X, events[:, None].astype(float), np.full((n_samples, 1), True), coef, fit_intercept=True
    )
    # Gordan's theorem: no positive combination of the signed samples is 0 exactly where a direction separates
    Z = np.column_stack([X.astype(float), np.ones(n_samples)])
    both = events if family == "poisson" else np.zeros(n_samples, bool)
    signed = np.concatenate([Z[events], -Z[~events], -Z[both]])
    _, residual = nnls(signed.T, -signed.sum(axis=0), maxiter=20_000)
    assert found[0] == (residual > 1e-6)
