"""What the public tests of grpreg (R) assert of its group lasso, asked of popglm.

Its tests draw their data anew each time and compare with R's ``lm``, ``glm`` and ``glmnet``; these draw them once. It
makes the columns of a group orthonormal before it penalises them, which popglm does not: strengths compare where they
are orthonormal already, and the end of the path, without a penalty, always.
"""

import numpy as np
import pytest
from peer_fits import activity, broken_conditions, correlated, exact, logistic
from sklearn.linear_model import Lasso

from popglm import GLM, GLMCV, goodness_of_fit

GROUPS = np.repeat(["a", "b", "c", "d"], [4, 3, 2, 1])


def drawn(family, n=100, p=10, seed=0):
    """Columns (n, p) and activity of a family (n,)."""
    X, w, rng = correlated(n, p, seed, correlation=0)
    return X, activity(family, 0.5 * X @ np.clip(w, -1, 1), rng)


@pytest.mark.parametrize("family", ["gaussian", "bernoulli", "poisson"])
def test_the_end_of_the_path_has_no_penalty(family):
    X, y = drawn(family)
    weak = exact(family, penalty="group_lasso", feature_groups=GROUPS, lambdas=[0.1, 1e-3, 1e-10]).fit(X, y)
    none = exact(family, penalty="none").fit(X, y)
    np.testing.assert_allclose(weak.coef_, none.coef_, atol=1e-6)
    np.testing.assert_allclose(weak.predict(X), none.predict(X), atol=1e-6)


def test_a_strength_of_0_alone_is_least_squares():
    X, y = drawn("gaussian")
    model = exact("gaussian", penalty="group_lasso", feature_groups=GROUPS, lambdas=[0.0]).fit(X, y)
    expected = np.linalg.lstsq(np.column_stack([X, np.ones(100)]), y, rcond=None)[0]
    np.testing.assert_allclose(np.r_[model.coef_, model.intercept_], expected, atol=1e-6)


@pytest.mark.parametrize("family", ["gaussian", "bernoulli"])
def test_groups_of_one_column_are_a_lasso(family):
    X, y = drawn(family, n=50)
    y = y - y.mean() if family == "gaussian" else y
    model = exact(
        family, penalty="group_lasso", feature_groups=list("abcdefghij"), lambdas=[0.05], fit_intercept=False
    ).fit(X, y)
    if family == "gaussian":
        other = Lasso(alpha=0.05, fit_intercept=False, tol=1e-12).fit(X, y).coef_
    else:
        settings = {"solver": "saga", "fit_intercept": False, "tol": 1e-10, "max_iter": 20_000, "random_state": 0}
        other = logistic(l1_ratio=1, C=1 / (50 * 0.05), **settings).fit(X, y).coef_[0]
    assert 0 < np.count_nonzero(other) < 10
    np.testing.assert_allclose(model.coef_, other, atol=1e-6)


def test_orthonormal_groups_are_shrunken_by_a_factor_each():
    """With XᵀX/n = 1 group g is (1 − λ√p_g/‖z_g‖)₊ z_g, z = Xᵀ(y − ȳ)/n: what grpreg has for any columns."""
    rng = np.random.default_rng(1)
    X = rng.normal(size=(100, 10))
    X = np.linalg.qr(X - X.mean(axis=0))[0] * 10
    y = X @ np.r_[np.full(4, 0.5), np.zeros(3), 0.3, -0.3, 0.2] + rng.normal(size=100)
    z, lam = X.T @ (y - y.mean()) / 100, 0.2
    model = exact("gaussian", penalty="group_lasso", feature_groups=GROUPS, lambdas=[lam]).fit(X, y)
    expected = [max(1 - lam * np.sqrt(len(v)) / np.linalg.norm(v), 0) * v for v in np.split(z, [4, 7, 9])]
    assert not all(v.any() for v in expected)
    np.testing.assert_allclose(model.coef_, np.concatenate(expected), atol=1e-10)


@pytest.mark.parametrize("still", [[4], [7, 8]], ids=["a column", "a group"])
def test_constant_columns_have_no_weight(still):
    X, y = drawn("gaussian", n=50)
    X[:, still] = 0
    model = exact("gaussian", penalty="group_lasso", feature_groups=GROUPS, lambdas=[1e-9]).fit(X, y)
    moving = np.setdiff1d(np.arange(10), still)
    expected = np.linalg.lstsq(np.column_stack([X[:, moving], np.ones(50)]), y, rcond=None)[0]
    np.testing.assert_array_equal(model.coef_[still], 0)
    np.testing.assert_allclose(model.coef_[moving], expected[:-1], atol=1e-5)


def test_twins_share_their_weight():
    X, y = drawn("gaussian", n=50)
    X[:, 6] = X[:, 5]
    model = exact("gaussian", penalty="group_lasso", feature_groups=GROUPS, lambdas=[1e-7]).fit(X, y)
    expected = np.linalg.lstsq(np.column_stack([np.delete(X, 6, axis=1), np.ones(50)]), y, rcond=None)[0]
    np.testing.assert_allclose(model.coef_[5], model.coef_[6], rtol=1e-4)
    np.testing.assert_allclose(2 * model.coef_[5], expected[5], atol=1e-4)


def test_groups_in_any_order():
    """popglm wants the columns of a group side by side, and says so of others; sorted, they are the same fit."""
    X, y = drawn("gaussian", n=50)
    shuffled = np.random.default_rng(0).permutation(10)
    settings = {"penalty": "group_lasso", "lambdas": [0.1]}
    model = exact("gaussian", feature_groups=GROUPS, **settings).fit(X, y)
    with pytest.raises(ValueError, match="group"):
        exact("gaussian", feature_groups=GROUPS[shuffled], **settings).fit(X[:, shuffled], y)
    order = np.argsort(GROUPS[shuffled], kind="stable")
    other = exact("gaussian", feature_groups=GROUPS[shuffled][order], **settings).fit(X[:, shuffled][:, order], y)
    np.testing.assert_allclose(other.coef_, model.coef_[shuffled][order], atol=1e-7)


def test_names_or_sizes_of_groups():
    X, y = drawn("poisson", n=50)
    one = exact("poisson", penalty="group_lasso", feature_groups=GROUPS, lambdas=[0.1]).fit(X, y)
    other = exact("poisson", penalty="group_lasso", feature_groups=[4, 3, 2, 1], lambdas=[0.1]).fit(X, y)
    np.testing.assert_array_equal(one.coef_, other.coef_)


@pytest.mark.parametrize("family", ["gaussian", "bernoulli", "poisson"])
def test_own_grid_given_again_is_the_same_path(family):
    X, y = drawn(family, n=50)
    settings = {
        "penalty": "group_lasso",
        "feature_groups": GROUPS,
        "n_lambdas": 8,
        "precision": "float64",
        "tol": 1e-10,
    }
    one = GLM(family, **settings).fit(X, y)
    other = GLM(family, **settings, lambdas=one.lambdas_.ravel()).fit(X, y)
    np.testing.assert_allclose(other.coef_path_, one.coef_path_, atol=1e-6)


@pytest.mark.parametrize("family", ["gaussian", "poisson"])
def test_multipliers_of_groups(family):
    """``group.multiplier`` takes the place of √p_g there; here a factor goes before it."""
    X, y = drawn(family, n=80)
    multipliers = np.array([1.0, 2, 3, 1.5])
    factors, lam = multipliers / np.sqrt([4, 3, 2, 1]), 0.05 if family == "gaussian" else 0.2
    model = exact(
        family, penalty="group_lasso", feature_groups=GROUPS, lambdas=[lam], penalty_factors=factors
    ).fit(X, y)  # fmt: skip
    norms = [np.linalg.norm(v) for v in np.split(model.coef_, [4, 7, 9])]
    assert 0 in norms
    assert max(norms) > 0
    assert broken_conditions(family, X, y, model, lam, multipliers) < 1e-5


@pytest.mark.parametrize("family", ["gaussian", "bernoulli", "poisson"])
def test_likelihood_and_aic_at_the_end_are_those_of_glm(family):
    X, y = drawn(family, n=80)
    weak = exact(family, penalty="group_lasso", feature_groups=GROUPS, lambdas=[1e-9]).fit(X, y)
    none = exact(family, penalty="none").fit(X, y)
    found, expected = (goodness_of_fit(model, X, y).iloc[0] for model in (weak, none))
    for name in ("log_likelihood", "aic", "bic"):
        assert found[name] == pytest.approx(expected[name], abs=1e-3)
    assert expected["degrees_of_freedom"] == pytest.approx(11 + (family == "gaussian"))


@pytest.mark.parametrize("family", ["gaussian", "bernoulli", "poisson"])
def test_more_columns_than_samples_are_cross_validated(family):
    rng = np.random.default_rng(5)
    X = rng.normal(size=(75, 200))
    y = rng.poisson(np.exp(X[:, :10].sum(axis=1) / 3)).astype(float)
    y = (y > 0).astype(float) if family == "bernoulli" else y
    model = GLMCV(family, penalty="group_lasso", feature_groups=[10] * 20, n_lambdas=6, lambda_min_ratio=0.05, cv=5)
    model.fit(X, y)
    assert np.isfinite(model.cv_deviance_).all()
    assert model.cv_deviance_explained_ > 0
    assert np.linalg.norm(model.coef_[:10]) > np.linalg.norm(model.coef_[10:20])
