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


def test_a_direction_that_bounds_stop_is_none():
    """Small problems with all kinds of bounds: what is found is what Farkas' lemma says, by another algorithm."""
    rng = np.random.default_rng(3)
    counts = {True: 0, False: 0}
    for trial in range(60):
        n, p = 14, 4
        X = rng.integers(-2, 3, (n, p)).astype(float)
        # the first half of the problems are separated by some direction, if no bound stops it
        direction = rng.integers(-1, 2, p)
        score = X @ direction if trial % 2 else rng.normal(size=n)
        y = (score > np.median(score)).astype(float)
        if not 0 < y.sum() < n:
            continue
        has = rng.random((2, p)) < 0.4
        bounds = np.where(has, [[-1.0], [1.0]], [[-np.inf], [np.inf]])
        fit_intercept = bool(rng.random() < 0.5)
        # weights along the direction, against it, or along none
        coef = 100.0 * direction[None] * (-1) ** (trial // 2) if trial % 3 else 100 * rng.normal(size=(1, p))
        found = separated(
            get_family("bernoulli"), X, y[:, None], np.full((n, 1), True), coef, fit_intercept, None, bounds
        )
        assert found[0] == separates_within(X, y > 0, has, fit_intercept)
        counts[bool(found[0])] += 1
    assert min(counts.values()) >= 10


def separates_within(X, events, has, fit_intercept):
    """Whether a direction that no bound stops separates: no positive multiples of samples and bounds add up to 0."""
    Z = np.column_stack([X, np.ones(len(X))]) if fit_intercept else X
    signed = np.where(events[:, None], Z, -Z)
    sides = np.eye(Z.shape[1])[: X.shape[1]]
    stops = np.concatenate([sides[has[0]], -sides[has[1]]])
    # multiples of samples are 1 at least, those of bounds 0 or more
    _, residual = nnls(np.concatenate([signed, stops]).T, -signed.sum(axis=0), maxiter=20_000)
    return residual > 1e-6
