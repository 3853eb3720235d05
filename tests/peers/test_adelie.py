"""What the public tests of adelie assert, asked of popglm.

adelie compares its group lasso path with a general convex solver on standard normal columns over √n, with random groups
and penalties; these take the conditions of the minimum, which no solver has to be asked for. Its penalty of group g is
popglm's factor times √p_g, and its Gaussian loss is a sum: λ there is λ here for columns and activity over √n.
"""

import numpy as np
import pytest
from peer_fits import activity, broken_conditions, correlated, exact
from scipy.special import expit, xlogy

from popglm import GLM


def problem(n, p, n_groups, seed=0):
    """Columns, activity, sizes of groups and their penalties, of which one in twenty is 0."""
    rng = np.random.default_rng(seed)
    cuts = np.sort(rng.choice(np.arange(1, p), n_groups - 1, replace=False))
    sizes = np.diff(np.r_[0, cuts, p])
    w = rng.normal(size=p) * (rng.random(p) < 0.05 + 2 / p)
    X = rng.normal(size=(n, p))
    penalties = rng.uniform(0.05, 1, n_groups)
    return X, X @ w + rng.normal(size=n), sizes, penalties / penalties.sum()


@pytest.mark.parametrize("fit_intercept", [True, False])
@pytest.mark.parametrize(("n", "p", "groups"), [(10, 4, 2), (10, 100, 10), (10, 100, 20), (100, 23, 4), (100, 100, 50)])
def test_group_lasso_paths_meet_the_conditions_of_a_minimum(n, p, groups, fit_intercept):
    X, y, sizes, penalties = problem(n, p, groups)
    norms = [np.linalg.norm(v) for v in np.split(X.T @ (y - fit_intercept * y.mean()) / n, np.cumsum(sizes)[:-1])]
    largest = np.max(norms / penalties)
    lambdas = largest * np.geomspace(0.9, 0.1, 6)
    model = exact(
        "gaussian", penalty="group_lasso", feature_groups=list(sizes), penalty_factors=penalties / np.sqrt(sizes),
        lambdas=lambdas, fit_intercept=fit_intercept,
    ).fit(X, y)  # fmt: skip
    assert np.any(model.coef_path_[0])
    for k, lam in enumerate(lambdas):
        assert broken_conditions("gaussian", X, y, model, lam, penalties, k) < 1e-4


def test_groups_without_a_penalty_are_in_from_the_start():
    """At the first strength of the own grid they alone have weights: those of a fit to them alone."""
    X, y, _, _ = problem(100, 23, 4)
    sizes, factors = [5, 6, 7, 5], [1.0, 0.0, 1.0, 1.0]
    model = exact("gaussian", penalty="group_lasso", feature_groups=sizes, penalty_factors=factors, n_lambdas=5)
    model.fit(X, y)
    alone = exact("gaussian", penalty="none").fit(X[:, 5:11], y)
    first = model.coef_path_[0].ravel()
    np.testing.assert_allclose(first[5:11], alone.coef_, atol=1e-6)
    np.testing.assert_array_equal(np.delete(first, np.arange(5, 11)), 0)
    assert np.count_nonzero(model.coef_path_[-1]) > 6


@pytest.mark.parametrize("family", ["gaussian", "bernoulli", "poisson"])
def test_a_weight_of_0_is_a_sample_that_is_not_there(family):
    X, w, rng = correlated(80, 6, 1)
    y, weight = activity(family, X @ np.clip(w, -0.5, 0.5), rng), rng.uniform(0.2, 1, 80)
    weight[rng.random(80) < 0.2] = 0
    kept = weight > 0
    settings = {"penalty": "group_lasso", "feature_groups": [3, 3], "lambdas": [0.02]}
    one = exact(family, **settings).fit(X, y, sample_weight=weight)
    other = exact(family, **settings).fit(X[kept], y[kept], sample_weight=weight[kept])
    np.testing.assert_allclose(one.coef_, other.coef_, atol=1e-7)
    np.testing.assert_allclose(one.loss_path_, other.loss_path_, rtol=1e-9)
    norms = np.sqrt([3.0, 3.0])
    assert broken_conditions(family, X, y, one, 0.02, norms, weight=weight) < 1e-5


@pytest.mark.parametrize("family", ["gaussian", "bernoulli", "poisson"])
def test_the_loss_lies_above_that_of_the_saturated_model_by_half_the_deviance(family):
    """``loss_full`` of adelie: ½y², 0 or −Σ y log y, and Σ y − y log y, without their signs."""
    X, w, rng = correlated(60, 3, 2)
    y = activity(family, X @ np.clip(w, -0.5, 0.5), rng)
    model = exact(family, penalty="none").fit(X, y)
    eta = X @ model.coef_ + model.intercept_
    mu = {"gaussian": eta, "bernoulli": expit(eta), "poisson": np.exp(eta)}[family]
    loss = {
        "gaussian": (y - mu) ** 2 / 2, "bernoulli": -xlogy(y, mu) - xlogy(1 - y, 1 - mu), "poisson": mu - y * eta,
    }[family].mean()  # fmt: skip
    saturated = {"gaussian": 0 * y, "bernoulli": -xlogy(y, y) - xlogy(1 - y, 1 - y), "poisson": y - xlogy(y, y)}[family]
    assert model.loss_path_.item() == pytest.approx(loss, rel=1e-9)
    half = model.evaluate(X, y)["deviance"].item() / 2 / 60
    assert loss - saturated.mean() == pytest.approx(half, rel=1e-9)


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_predictions_of_a_path_are_its_columns_times_weights(dtype):
    X, w, rng = correlated(40, 10, 3)
    Y = np.column_stack([activity("gaussian", X @ w, rng) for _ in range(3)])
    model = GLM("gaussian", penalty="lasso", lambdas=[0.5, 0.1], precision="float64").fit(X.astype(dtype), Y)
    at = model.coef_path_[-1] @ X.astype(dtype).T + model.intercept_path_[-1][:, None]
    np.testing.assert_allclose(model.predict(X.astype(dtype)), at.T, atol=1e-6)
