"""What the public tests of glum assert, asked of popglm.

The digits are those that glum's ``tests/glm/test_distribution.py`` and ``test_glm_regressor.py`` quote from R's
``glm``, ``MASS``, ``statmod`` and ``glmnet``. A strength is the same number there.
"""

import numpy as np
import pytest
from peer_fits import exact, logistic
from scipy.special import expit
from sklearn.datasets import make_classification, make_regression
from sklearn.linear_model import ElasticNet, ElasticNetCV, Ridge

from popglm import GLMCV, goodness_of_fit, wald
from popglm.statistics.families import get_family

pytestmark = pytest.mark.filterwarnings("ignore:.*fewer than 10")

TINY = np.array([[-2, 0], [-1, 0], [1, 1], [2, 1]], dtype=float), np.array([0, 1, 1, 2], dtype=float)
SIX = np.array([[1, 2, 3, 4, 5, 6], [0, 0, 0, 0, 1, 1]], dtype=float).T


@pytest.mark.parametrize("weighted", [False, True])
@pytest.mark.parametrize(
    ("family", "values", "weight", "deviance", "dispersion", "log_likelihood"),
    [
        ("poisson", [0, 0, 1, 2, 3], 0.1823216, 7.176404, 1.416679, -7.390977),
        ("gamma", [1, 2, 2, 3, 4], 0.8754687, 1.012285, 0.2256944, -7.057068),
        ("gaussian", [-1, -1, 0, 1, 2], 0.2, 6.8, 1.7, -7.863404),
        ("tweedie", [0, 0, 1, 2, 3], 0.1823216, 10.64769, 1.293318, None),
        ("bernoulli", [0, 1, 0, 1, 0], -0.4054651, 6.730117, 1.25, -3.365058),
    ],
)
def test_a_constant_alone(family, values, weight, deviance, dispersion, log_likelihood, weighted):
    values, repeats = np.array(values, dtype=float), None
    if weighted:
        values, repeats = np.unique(values, return_counts=True)
        # a weight of a 0 or 1 is its number of trials: with two rows alone, one event is too few for "bernoulli"
        family = "binomial" if family == "bernoulli" else family
    x = np.ones((len(values), 1))
    model = exact(family, penalty="none", fit_intercept=False).fit(x, values, sample_weight=repeats)
    np.testing.assert_allclose(model.coef_, [weight], rtol=1e-6)
    found = model.evaluate(x, values, sample_weight=repeats)["deviance"].item()
    assert found == pytest.approx(deviance, rel=1e-6)
    if log_likelihood is not None:
        fit = goodness_of_fit(model, x, values, sample_weight=repeats)
        assert fit["log_likelihood"].item() == pytest.approx(log_likelihood, rel=1e-6)
    if family == "binomial":  # whose samples are the rows, not the trials
        return
    # Pearson's χ² over n − 1 widens the errors, whose square times the Fisher information it is
    information = {"poisson": 6.0, "bernoulli": 1.2, "gamma": 5.0, "gaussian": 5.0, "tweedie": 5 * 1.2**0.5}[family]
    error = wald(model, x, values, dispersion="pearson", sample_weight=repeats)["standard_error"].item()
    # glm of R stops a little before its minimum, so that its five digits are not all right
    assert error**2 * information == pytest.approx(dispersion, rel=1e-4)


def test_tweedie_likelihood_at_the_dispersion_of_the_deviance():
    """R's is at the deviance over n, `goodness_of_fit` at Pearson's χ² over n; the family takes either."""
    values = np.array([0, 0, 1, 2, 3], dtype=float)
    family = get_family("tweedie", power=1.5)
    found = family.log_likelihood(np.full(5, 0.1823216), values, np.ones(5), 10.64769 / 5)
    assert float(found) == pytest.approx(-8.35485, abs=1e-5)


def test_poisson_ridge_of_four_rows():
    X, y = TINY
    model = exact("poisson", lambdas=[1.0]).fit(X, y)
    np.testing.assert_allclose(model.intercept_, -0.12889386979, rtol=1e-5)
    np.testing.assert_allclose(model.coef_, [0.29019207995, 0.03741173122], rtol=1e-5)


def test_poisson_ridge_of_four_rows_with_scaled_columns():
    """``scale_predictors=True`` divides columns by their standard deviation, that of n, and weights afterwards."""
    X, y = TINY
    scale = X.std(axis=0)
    model = exact("poisson", lambdas=[1.0]).fit(X / scale, y)
    np.testing.assert_allclose(model.intercept_, -0.21002571120839675, rtol=1e-5)
    np.testing.assert_allclose(model.coef_ / scale, [0.16472093, 0.27051971], rtol=1e-5)


@pytest.mark.parametrize("scaled", [False, True])
def test_poisson_ridge_within_bounds(scaled):
    """Both weights lie at their upper bounds; digits of glmnet, which has bounds in the units of the columns too."""
    X, y = np.array([[-1, 0], [1, 0], [1, 1], [2, 1]], dtype=float), TINY[1]
    unit = X.std(axis=0) if scaled else np.ones(2)
    constraints = {f"feature{k}": (-0.1 * unit[k], 0.1 * unit[k]) for k in range(2)}
    model = exact("poisson", lambdas=[1.0], constraints=constraints).fit(X / unit, y)
    np.testing.assert_allclose(model.intercept_, -0.13568186971946633, rtol=1e-5)
    np.testing.assert_allclose(model.coef_ / unit, [0.1, 0.1], rtol=1e-12)


def test_poisson_elastic_net_of_four_rows():
    X, y = TINY
    model = exact("poisson", penalty="elastic_net", l1_ratio=0.5, lambdas=[1.0]).fit(X, y)
    np.testing.assert_allclose(model.intercept_, -0.03550978409, rtol=2e-6)
    np.testing.assert_allclose(model.coef_, [0.16936423283, 0.0], rtol=1e-6)


def test_inverse_gaussian_elastic_net_of_six_rows():
    y = np.array([0.2, 0.5, 0.8, 0.3, 0.9, 0.9])
    model = exact("inverse_gaussian", penalty="elastic_net", l1_ratio=0.5, lambdas=[1.0]).fit(SIX, y)
    np.testing.assert_allclose(model.intercept_, -1.028655076, rtol=1e-3)
    np.testing.assert_allclose(model.coef_, [0.123000467, 0.0], rtol=1e-3)


OFFSETS = [None, np.array([-0.1, 0, 0.1, 0, -0.2]), np.full(5, 0.1)]


@pytest.mark.parametrize("offset", OFFSETS, ids=["no offset", "offset", "constant offset"])
@pytest.mark.parametrize("fit_intercept", [False, True])
@pytest.mark.parametrize("family", ["poisson", "gamma", "inverse_gaussian", "tweedie", "negative_binomial"])
def test_activity_without_noise_gives_its_weights(family, fit_intercept, offset):
    x = np.arange(5.0)
    y = np.exp(0.2 - 0.1 * x + (0 if offset is None else offset))
    columns = x[:, None] if fit_intercept else np.column_stack([np.ones(5), x])
    model = exact(family, penalty="none", fit_intercept=fit_intercept).fit(columns, y, offset=offset)
    found = np.r_[model.intercept_, model.coef_] if fit_intercept else model.coef_
    np.testing.assert_allclose(found, [0.2, -0.1], rtol=8e-6)


@pytest.mark.parametrize("offset", OFFSETS, ids=["no offset", "offset", "constant offset"])
@pytest.mark.parametrize("fit_intercept", [False, True])
def test_a_straight_line_gives_its_weights_and_x_stays(fit_intercept, offset):
    x = np.arange(5.0)
    y = 1 + 2 * x + (0 if offset is None else offset)
    columns = x[:, None] if fit_intercept else np.column_stack([np.ones(5), x])
    before = columns.copy()
    model = exact("gaussian", penalty="none", fit_intercept=fit_intercept).fit(columns, y, offset=offset)
    found = np.r_[model.intercept_, model.coef_] if fit_intercept else model.coef_
    np.testing.assert_allclose(found, [1, 2], rtol=1e-6)
    np.testing.assert_array_equal(columns, before)


@pytest.mark.parametrize(("n", "p"), [(100, 10), (10, 100)])
@pytest.mark.parametrize("offset", [False, True])
def test_gaussian_ridge_is_that_of_scikit_learn(n, p, offset):
    X, y = make_regression(n_samples=n, n_features=p, n_informative=p - 2, noise=0.5, random_state=42)
    shift = np.random.default_rng(0).normal(size=n) * offset
    model = exact("gaussian", lambdas=[1.0]).fit(X, y + shift, offset=shift if offset else None)
    ridge = Ridge(alpha=n, solver="svd").fit(X, y)
    np.testing.assert_allclose(model.coef_, ridge.coef_, rtol=5e-5)
    np.testing.assert_allclose(model.intercept_, ridge.intercept_, rtol=1e-5)


def test_gaussian_elastic_net_is_that_of_scikit_learn():
    rng = np.random.RandomState(42)
    X = rng.randn(20, 2)
    y = 2 + X @ rng.randn(2) + rng.randn(20)
    model = exact("gaussian", penalty="elastic_net", l1_ratio=0.7, lambdas=[0.3]).fit(X, y)
    other = ElasticNet(alpha=0.3, l1_ratio=0.7, tol=1e-10).fit(X, y)
    np.testing.assert_allclose(model.intercept_, other.intercept_, rtol=2e-7)
    np.testing.assert_allclose(model.coef_, other.coef_, rtol=5e-5)


@pytest.mark.parametrize("lam", [0.01, 0.1, 1, 10])
def test_logistic_elastic_net_is_that_of_scikit_learn(lam):
    X, y = make_classification(
        n_samples=500, n_features=6, n_informative=5, n_redundant=0, random_state=np.random.RandomState(42)
    )
    model = exact("bernoulli", penalty="elastic_net", l1_ratio=0.5, lambdas=[lam], fit_intercept=False).fit(X, y)
    other = logistic(
        l1_ratio=0.5, C=1 / (500 * lam), solver="saga", fit_intercept=False, tol=1e-9, max_iter=5_000, random_state=0
    ).fit(X, y)  # fmt: skip
    np.testing.assert_allclose(model.coef_, other.coef_[0], rtol=1e-5, atol=1e-8)


@pytest.mark.parametrize(("penalty", "l1_ratio"), [("lasso", None), ("elastic_net", 0.5)])
@pytest.mark.parametrize("fit_intercept", [True, False])
@pytest.mark.parametrize("factors", [None, [2, 1, 0.5, 0.1, 0.01]])
def test_the_first_strength_leaves_no_weight_and_the_second_does(penalty, l1_ratio, fit_intercept, factors):
    rng = np.random.default_rng(1234)
    y = rng.choice([1.0, 2, 3, 4], size=100)
    X = rng.normal(size=(100, 5)) * [1, 5, 10, 25, 100]
    model = exact(
        "poisson", penalty=penalty, l1_ratio=l1_ratio, n_lambdas=10, fit_intercept=fit_intercept, tol=1e-8,
        feature_groups=list("abcde"), penalty_factors=factors,
    ).fit(X, y)  # fmt: skip
    np.testing.assert_array_equal(model.coef_path_[0], 0)
    assert np.any(model.coef_path_[1] != 0)


def test_ridge_of_columns_that_are_multiples():
    X = np.array([[1, 2, 1], [2, 4, 1], [3, 6, 1], [4, 8, 1], [5, 10, 1]], dtype=float)
    y = np.array([1.2, 2.1, 2.9, 4.2, 5.1])
    model = exact("gaussian", lambdas=[1.0], fit_intercept=False).fit(X, y)
    np.testing.assert_allclose(model.coef_, np.linalg.solve(X.T @ X / 5 + np.eye(3), X.T @ y / 5), rtol=1e-6)


def test_exposure_as_offset_or_as_weight():
    """A Poisson count with offset log e is the rate y/e of weight e, at the strength over the mean weight."""
    rng = np.random.default_rng(3)
    X, exposure = rng.normal(size=(300, 4)), rng.uniform(0.2, 3, 300)
    y = rng.poisson(exposure * np.exp(0.4 * X[:, 0] - 0.5))
    by_offset = exact("poisson", lambdas=[0.1]).fit(X, y, offset=np.log(exposure))
    by_weight = exact("poisson", lambdas=[0.1 / exposure.mean()]).fit(X, y / exposure, sample_weight=exposure)
    np.testing.assert_allclose(by_offset.coef_, by_weight.coef_, atol=1e-6)
    np.testing.assert_allclose(by_offset.intercept_, by_weight.intercept_, rtol=1e-6)


def test_gamma_activity_over_orders_of_magnitude():
    """The gradient at a weight of 0 is enormous; the answer is the logarithm of the mean."""
    y = np.exp(np.random.RandomState(1234).gamma(5, size=100))
    model = exact("gamma", penalty="none", fit_intercept=False).fit(np.ones((100, 1)), y)
    np.testing.assert_allclose(model.coef_, [np.log(y.mean())], rtol=1e-7)


@pytest.mark.parametrize("l1_ratio", [0.5, 1.0])
def test_held_out_errors_are_those_of_elastic_net_cv(l1_ratio):
    X, y = make_regression(n_samples=100, n_features=10, n_informative=8, noise=0.5, random_state=42)
    other = ElasticNetCV(l1_ratio=l1_ratio, alphas=[30.0, 3.0, 0.3], tol=1e-10, cv=5).fit(X, y)
    model = GLMCV(
        "gaussian", penalty="elastic_net", l1_ratio=l1_ratio, lambdas=[30, 3, 0.3], cv=5, precision="float64",
        tol=1e-13,
    ).fit(X, y)  # fmt: skip
    np.testing.assert_allclose(model.lambda_, other.alpha_)
    np.testing.assert_allclose(model.coef_, other.coef_, rtol=1e-5)
    squares = model.cv_deviance_.reshape(5, 3)  # summed over the 20 held-out rows
    np.testing.assert_allclose(squares.T / 20, other.mse_path_, rtol=1e-5)


def test_given_dispersion_of_negative_binomial_counts():
    """MASS's θ = 1 is α = 1 here. A fit estimates α; the family at a given one has R's deviance and likelihood."""
    y, eta = np.array([0, 1, 0, 1, 0], dtype=float), np.full(5, -0.9162907)
    family = get_family("negative_binomial").given(1.0)
    assert float(np.sum(family.deviance(eta, y))) == pytest.approx(2.830597, rel=1e-6)
    assert float(family.log_likelihood(eta, y, np.ones(5), 1.0)) == pytest.approx(-4.187887, rel=1e-6)


def test_wald_errors_of_a_logistic_fit():
    X, y = make_classification(n_samples=300, n_features=4, n_informative=3, n_redundant=0, random_state=0)
    model = exact("bernoulli", penalty="none").fit(X, y)
    columns = np.column_stack([np.ones(300), X])
    mu = expit(columns @ np.r_[model.intercept_, model.coef_])
    expected = np.sqrt(np.diag(np.linalg.inv(columns.T @ (columns * (mu * (1 - mu))[:, None]))))[1:]
    np.testing.assert_allclose(wald(model, X, y)["standard_error"].values.ravel(), expected, rtol=1e-6)
