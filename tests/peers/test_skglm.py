"""What the public tests of skglm and celer assert, asked of popglm.

Both compare with scikit-learn and statsmodels, or with the conditions of a minimum, on columns that are correlated with
their neighbours. Weights of their penalties, w_g, are popglm's factors times √p_g.
"""

import numpy as np
import pytest
from peer_fits import DEVIANCES, MEANS, activity, broken_conditions, correlated, exact, logistic
from scipy.special import xlogy
from sklearn.exceptions import ConvergenceWarning
from sklearn.linear_model import ElasticNet, Lasso, LassoCV

from popglm import GLM, GLMCV

NAMES = [f"x{j}" for j in range(200)]


def sizes_of(p, groups, rng):
    """Sizes of consecutive groups that make up p columns."""
    cuts = np.sort(rng.choice(np.arange(1, p), groups - 1, replace=False))
    return np.diff(np.r_[0, cuts, p])


@pytest.mark.parametrize(("groups", "p"), [(10, 50), (17, 53)])
def test_the_largest_strength_leaves_no_weight(groups, p):
    X, w, rng = correlated(30, p, 1563)
    y, sizes = activity("gaussian", X @ w, rng), sizes_of(p, groups, rng)
    weights = np.abs(rng.normal(size=groups)) + 0.05
    norms = [np.linalg.norm(v) for v in np.split(X.T @ y / 30, np.cumsum(sizes)[:-1])]
    largest = np.max(norms / weights)
    settings = {
        "penalty": "group_lasso", "feature_groups": list(sizes), "penalty_factors": weights / np.sqrt(sizes),
        "fit_intercept": False,
    }  # fmt: skip
    assert not exact("gaussian", lambdas=[1.000001 * largest], **settings).fit(X, y).coef_.any()
    assert exact("gaussian", lambdas=[0.99 * largest], **settings).fit(X, y).coef_.any()


@pytest.mark.parametrize("penalty", ["lasso", "group_lasso"])
def test_weights_of_a_lasso_are_units_of_its_columns(penalty):
    X, w, rng = correlated(30, 50, 112)
    y, weights = activity("gaussian", X @ w, rng), rng.uniform(0.2, 2, 50)
    lam = np.max(np.abs(X.T @ y) / weights) / 30 / 20
    model = exact(
        "gaussian", penalty=penalty, lambdas=[lam], feature_groups=NAMES[:50], penalty_factors=weights,
        fit_intercept=False,
    ).fit(X, y)  # fmt: skip
    other = Lasso(alpha=lam, fit_intercept=False, tol=1e-14, max_iter=200_000).fit(X / weights, y).coef_ / weights
    assert 0 < np.count_nonzero(other) < 50
    np.testing.assert_allclose(model.coef_, other, atol=2e-6)


@pytest.mark.parametrize("fit_intercept", [False, True])
@pytest.mark.parametrize("share", [0.5, 0.1])
@pytest.mark.parametrize("family", ["gaussian", "bernoulli", "poisson"])
def test_weighted_groups_meet_the_conditions_of_a_minimum(family, share, fit_intercept):
    X, w, rng = correlated(60, 50, 42)
    y, sizes = activity(family, X @ np.clip(w, -0.5, 0.5), rng), sizes_of(50, 15, rng)
    weights = rng.uniform(0.3, 2, 15)
    gradient = X.T @ (y - (y.mean() if fit_intercept else MEANS[family](0.0)))
    norms = [np.linalg.norm(v) for v in np.split(gradient / 60, np.cumsum(sizes)[:-1])]
    lam = share * np.max(norms / weights)
    model = exact(
        family, penalty="group_lasso", feature_groups=list(sizes), penalty_factors=weights / np.sqrt(sizes),
        lambdas=[lam], fit_intercept=fit_intercept,
    ).fit(X, y)  # fmt: skip
    used = [v.any() for v in np.split(model.coef_, np.cumsum(sizes)[:-1])]
    assert 0 < sum(used) < 15
    assert broken_conditions(family, X, y, model, lam, weights) < 1e-5


@pytest.mark.parametrize("family", ["poisson", "gamma", "bernoulli"])
def test_lassos_with_more_columns_than_samples(family):
    X, w, rng = correlated(30, 60, 0)
    y = activity(family, X @ np.clip(w, -0.3, 0.3), rng)
    y = np.maximum(y, 0.1) if family == "gamma" else y
    score = y - 1 if family != "bernoulli" else y - 0.5
    lam = 0.2 * np.max(np.abs(X.T @ score)) / 30
    model = exact(family, penalty="lasso", lambdas=[lam], fit_intercept=False, feature_groups=NAMES[:60]).fit(X, y)
    assert 0 < np.count_nonzero(model.coef_) < 30
    assert broken_conditions(family, X, y, model, lam, np.ones(60)) < 1e-5


@pytest.mark.parametrize("fit_intercept", [True, False])
def test_whole_weights_are_repeated_samples(fit_intercept):
    X, w, rng = correlated(20, 100, 0)
    y, repeats = activity("gaussian", X @ w, rng), np.bincount(rng.choice(20, 60), minlength=20)
    rows = np.repeat(np.arange(20), repeats)
    settings = {"penalty": "lasso", "fit_intercept": fit_intercept, "lambdas": [0.2]}
    one = exact("gaussian", **settings).fit(X, y, sample_weight=repeats)
    other = exact("gaussian", **settings).fit(X[rows], y[rows])
    assert np.any(one.coef_)
    np.testing.assert_allclose(one.coef_, other.coef_, atol=1e-6)


@pytest.mark.parametrize("fit_intercept", [True, False])
@pytest.mark.parametrize("share", [0.5, 0.1])
def test_gaussian_lasso_and_elastic_net_are_those_of_scikit_learn(fit_intercept, share):
    X, w, rng = correlated(50, 60, 0)
    y = activity("gaussian", X @ w, rng)
    lam = share * np.abs(X.T @ y).max() / 50
    theirs = {"fit_intercept": fit_intercept, "tol": 1e-14, "max_iter": 500_000}
    lasso = exact("gaussian", penalty="lasso", lambdas=[lam], fit_intercept=fit_intercept).fit(X, y)
    np.testing.assert_allclose(lasso.coef_, Lasso(alpha=lam, **theirs).fit(X, y).coef_, atol=2e-6)
    net = exact("gaussian", penalty="elastic_net", l1_ratio=0.3, lambdas=[lam], fit_intercept=fit_intercept).fit(X, y)
    np.testing.assert_allclose(net.coef_, ElasticNet(alpha=lam, l1_ratio=0.3, **theirs).fit(X, y).coef_, atol=2e-6)


@pytest.mark.parametrize(("penalty", "strength", "ratio"), [("lasso", 0.01, 1), ("ridge", 1.0, 0)])
def test_logistic_fits_are_those_of_scikit_learn(penalty, strength, ratio):
    X, w, rng = correlated(100, 50, 0)
    y = activity("bernoulli", X @ np.clip(w, -1, 1), rng)
    model = exact("bernoulli", penalty=penalty, lambdas=[strength], fit_intercept=False).fit(X, y)
    other = logistic(
        l1_ratio=ratio, C=1 / (100 * strength), solver="saga", fit_intercept=False, tol=1e-9, max_iter=50_000,
        random_state=0,
    ).fit(X, y)  # fmt: skip
    np.testing.assert_allclose(model.coef_, other.coef_[0], atol=1e-5)


@pytest.mark.thorough(keep=3)
@pytest.mark.parametrize("family", ["gaussian", "bernoulli", "poisson"])
@pytest.mark.parametrize("penalty", ["lasso", "group_lasso"])
def test_gaps_along_the_path_are_below_the_tolerance_and_no_less_than_the_truth(family, penalty):
    X, w, rng = correlated(30, 50, 3)
    y = activity(family, X @ np.clip(w, -0.4, 0.4), rng)
    settings = {"penalty": penalty, "feature_groups": [5] * 10, "n_lambdas": 10, "lambda_min_ratio": 0.01}
    model = exact(family, tol=1e-6, **settings).fit(X, y)
    best = exact(family, tol=1e-13, **settings).fit(X, y)
    assert model.gap_.max() <= 1e-6
    null = DEVIANCES[family](y, np.full(30, y.mean())).mean() / 2
    assert ((model.loss_path_ - best.loss_path_) / null <= model.gap_ + 1e-12).all()


def test_objectives_of_the_path_are_what_they_say():
    X, w, rng = correlated(40, 12, 3)
    y = activity("poisson", X @ np.clip(w, -0.4, 0.4), rng)
    model = exact("poisson", penalty="group_lasso", feature_groups=[4, 4, 4], n_lambdas=5).fit(X, y)
    for k, lam in enumerate(model.lambdas_.ravel()):
        v = model.coef_path_[k].ravel()
        eta = X @ v + model.intercept_path_[k].item()
        norm = 2 * np.linalg.norm(v.reshape(3, 4), axis=1).sum()
        expected = np.mean(np.exp(eta) - y * eta) + lam * norm
        assert model.loss_path_[k].item() == pytest.approx(expected, rel=1e-9)
    assert np.isfinite(xlogy(y, y)).all()


def test_columns_of_zeros_have_no_weight():
    X, w, rng = correlated(60, 50, 4)
    X[:, :20] = 0
    y = activity("gaussian", X @ w, rng)
    lam = np.abs(X.T @ y).max() / 60 / 10
    model = exact("gaussian", penalty="lasso", lambdas=[lam]).fit(X, y)
    np.testing.assert_array_equal(model.coef_[:20], 0)
    assert model.coef_[20:].any()
    assert model.gap_.max() <= 1e-13


@pytest.mark.parametrize("family", ["gaussian", "bernoulli"])
def test_columns_of_infinite_weight_are_masked(family):
    X, w, rng = correlated(50, 100, 5)
    y = activity(family, X @ w, rng)
    mask = np.ones((100, 1), bool)
    mask[rng.choice(100, 10, replace=False)] = False
    lam = np.abs(X.T @ (y - y.mean())).max() / 50 / 10
    settings = {"penalty": "lasso", "lambdas": [lam]}
    model = exact(family, feature_mask=mask, **settings).fit(X, y[:, None])
    without = exact(family, **settings).fit(X[:, mask[:, 0]], y)
    np.testing.assert_array_equal(model.coef_[0, ~mask[:, 0]], 0)
    np.testing.assert_allclose(model.coef_[0, mask[:, 0]], without.coef_, atol=1e-6)


def test_far_above_the_largest_strength_nothing_is_to_do():
    X, w, rng = correlated(100, 50, 6)
    y = activity("poisson", X @ np.clip(w, -0.4, 0.4), rng)
    lam = 5 * np.abs(X.T @ (y - y.mean())).max() / 100
    model = exact("poisson", penalty="lasso", lambdas=[lam]).fit(X, y)
    np.testing.assert_array_equal(model.coef_, 0)
    assert model.n_iter_.item() <= 1


def test_held_out_errors_are_those_of_lasso_cv():
    X, w, rng = correlated(40, 30, 7)
    y = activity("gaussian", X @ w, rng)
    lambdas = np.geomspace(1, 0.05, 10)
    other = LassoCV(alphas=lambdas, cv=2, tol=1e-12, max_iter=200_000).fit(X, y)
    model = GLMCV("gaussian", penalty="lasso", lambdas=lambdas, cv=2, precision="float64", tol=1e-12).fit(X, y)
    np.testing.assert_allclose(model.cv_deviance_.reshape(2, 10).T / 20, other.mse_path_, rtol=1e-5)
    np.testing.assert_allclose(model.lambda_, other.alpha_)
    np.testing.assert_allclose(model.coef_, other.coef_, atol=1e-5)


def test_too_few_iterations_are_told():
    X, w, rng = correlated(30, 20, 8)
    y = activity("poisson", X @ np.clip(w, -0.4, 0.4), rng)
    with pytest.warns(ConvergenceWarning):
        GLM(penalty="lasso", lambdas=[1e-3], max_iter=1, tol=1e-12, precision="float64").fit(X, y)
