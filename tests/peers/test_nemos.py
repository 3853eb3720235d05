"""What the public tests of NeMoS assert, asked of popglm.

NeMoS compares itself with scikit-learn, statsmodels, scipy and a search by Nelder and Mead on data of its own; these
do so on other data. A strength is the same number there, but under its Gaussian loss, which has no ½.
"""

import numpy as np
import pytest
from peer_fits import activity, exact
from scipy import stats
from scipy.optimize import minimize
from sklearn.linear_model import GammaRegressor, PoissonRegressor, Ridge

from popglm import goodness_of_fit
from popglm.warnings import PopglmWarning


def counts(n=200, p=5, seed=111):
    rng = np.random.RandomState(seed)
    X = 0.5 * rng.normal(size=(n, p))
    w = rng.normal(size=p)
    w[1:4] = 0
    return X, rng.poisson(np.exp(X @ w)).astype(float)


@pytest.mark.parametrize("strength", [0.0, 0.1, 1.0])
@pytest.mark.parametrize(("family", "other"), [("poisson", PoissonRegressor), ("gamma", GammaRegressor)])
def test_ridges_are_those_of_scikit_learn(family, other, strength):
    X, y = counts()
    y = y + (family == "gamma") * 0.3
    model = exact(family, penalty="ridge", lambdas=[strength]).fit(X, y)
    theirs = other(alpha=strength, tol=1e-10, max_iter=1_000, solver="newton-cholesky").fit(X, y)
    np.testing.assert_allclose(model.coef_, theirs.coef_, atol=1e-6)
    np.testing.assert_allclose(model.intercept_, theirs.intercept_, atol=1e-6)


def test_a_gaussian_strength_is_half_of_that_of_nemos():
    """mean (y − μ)² + ½s‖w‖² has its minimum where ½ mean (y − μ)² + ½(s/2)‖w‖² has it."""
    X, y = counts()
    model = exact("gaussian", lambdas=[0.8 / 2]).fit(X, y)
    theirs = Ridge(alpha=len(y) * 0.8 / 2).fit(X, y)
    np.testing.assert_allclose(model.coef_, theirs.coef_, rtol=1e-7)


def lowest(objective, start):
    """Where a search without gradients ends, from several restarts of its simplex."""
    for _ in range(6):
        start = minimize(objective, start, method="Nelder-Mead", options={"xatol": 1e-10, "fatol": 1e-15}).x
    return start


@pytest.mark.parametrize("strength", [0.1, 0.5])
@pytest.mark.parametrize("l1_ratio", [0.2, 0.5, 1.0])
def test_elastic_nets_are_where_a_search_ends(strength, l1_ratio):
    X, y = counts(p=2)
    X, y = X[:, :2], counts(p=5)[1]
    model = exact("poisson", penalty="elastic_net", l1_ratio=l1_ratio, lambdas=[strength]).fit(X, y)

    def penalised(at):
        b, w = at[0], at[1:]
        eta = X @ w + b
        return np.mean(np.exp(eta) - y * eta) + strength * (l1_ratio * np.abs(w).sum() + (1 - l1_ratio) * w @ w / 2)

    np.testing.assert_allclose(np.r_[model.intercept_, model.coef_], lowest(penalised, np.zeros(3)), atol=1e-5)


def test_group_lasso_is_where_a_search_ends():
    rng = np.random.default_rng(123)
    X = rng.normal(size=(1_000, 3))
    y = rng.poisson(np.exp(X @ [-0.5, 0.25, 0.5])).astype(float)
    model = exact("poisson", penalty="group_lasso", feature_groups=[2, 1], lambdas=[0.2]).fit(X, y)

    def penalised(at):
        eta = X @ at[1:] + at[0]
        return np.mean(np.exp(eta) - y * eta) + 0.2 * (np.sqrt(2) * np.linalg.norm(at[1:3]) + abs(at[3]))

    np.testing.assert_allclose(np.r_[model.intercept_, model.coef_], lowest(penalised, [0, -0.5, 0.25, 0.5]), atol=1e-5)


@pytest.mark.parametrize("penalty", ["none", "ridge", "lasso"])
def test_a_population_is_its_neurons_one_by_one(penalty):
    X, _ = counts()
    rng = np.random.default_rng(0)
    Y = rng.poisson(np.exp(X @ rng.normal(size=(5, 3)))).astype(float)
    lambdas = None if penalty == "none" else [0.05]
    together = exact("poisson", penalty=penalty, lambdas=lambdas).fit(X, Y)
    for j in range(3):
        alone = exact("poisson", penalty=penalty, lambdas=lambdas).fit(X, Y[:, j])
        np.testing.assert_allclose(together.coef_[j], alone.coef_, atol=1e-7)
        np.testing.assert_allclose(together.intercept_[j], alone.intercept_, atol=1e-7)


@pytest.mark.parametrize("penalty", ["none", "ridge", "lasso", "group_lasso"])
def test_a_masked_population_is_a_loop_over_columns(penalty):
    X, _ = counts()
    rng = np.random.default_rng(0)
    Y = rng.poisson(np.exp(0.5 * X @ rng.normal(size=(5, 3)))).astype(float)
    mask = np.array([[0, 1, 1], [0, 1, 0], [1, 1, 1], [1, 0, 1], [0, 1, 0]], dtype=bool)
    settings = {"penalty": penalty, "lambdas": None if penalty == "none" else [0.02]}
    names = list("abcde")
    model = exact("poisson", feature_mask=mask, feature_groups=names, **settings).fit(X, Y)
    for j in range(3):
        own = mask[:, j]
        alone = exact("poisson", feature_groups=list(np.array(names)[own]), **settings).fit(X[:, own], Y[:, j])
        np.testing.assert_allclose(model.coef_[j, own], alone.coef_, atol=1e-6)
        np.testing.assert_array_equal(model.coef_[j, ~own], 0)


@pytest.mark.parametrize("penalty", ["none", "ridge", "lasso", "group_lasso", "elastic_net"])
@pytest.mark.parametrize("case", ["one neuron", "some silent", "all silent"])
def test_silent_neurons_are_named_and_stay_finite(penalty, case):
    """NeMoS lets their rates fall without end; popglm gives them half an event in the whole recording."""
    X = np.random.default_rng(632).normal(size=(40, 2))
    Y = np.zeros(40) if case == "one neuron" else np.zeros((40, 3))
    if case == "some silent":
        Y[:, 0] = np.tile([0.0, 1.0], 20)
    lambdas = None if penalty == "none" else [0.1]
    with pytest.warns(PopglmWarning, match="silent"):
        model = exact("poisson", penalty=penalty, lambdas=lambdas, feature_groups=[2]).fit(X, Y)
    rates = model.predict(X)
    assert np.isfinite(model.coef_).all()
    silent = rates if case != "some silent" else rates[:, 1:]
    np.testing.assert_allclose(silent, 0.5 / 40, rtol=1e-6)


@pytest.mark.parametrize(
    ("family", "link"),
    [("poisson", "exp"), ("poisson", "softplus"), ("bernoulli", "sigmoid"), ("gamma", "exp"), ("gaussian", "identity")],
)
def test_without_features_the_rate_is_the_mean(family, link):
    y = np.random.default_rng(4).uniform(0.05, 1, 60)
    inverse = {"exp": np.exp, "softplus": lambda b: np.log1p(np.exp(b)), "identity": lambda b: b}
    inverse["sigmoid"] = lambda b: 1 / (1 + np.exp(-b))
    columns = np.random.default_rng(5).normal(size=(60, 1))
    model = exact(family, inverse_link=link, penalty="lasso", lambdas=[100.0]).fit(columns, y)
    np.testing.assert_array_equal(model.coef_, 0)
    np.testing.assert_allclose(inverse[link](model.intercept_), y.mean(), rtol=1e-5)


@pytest.mark.parametrize("family", ["poisson", "bernoulli", "gamma", "negative_binomial"])
def test_likelihoods_are_those_of_scipy(family):
    X, w, rng = np.random.default_rng(6).normal(size=(300, 2)), np.array([0.6, -0.4]), np.random.default_rng(7)
    y = activity("gamma" if family == "gamma" else "bernoulli" if family == "bernoulli" else "poisson", X @ w, rng)
    if family == "negative_binomial":
        y = rng.poisson(rng.gamma(2.0, np.exp(X @ w) / 2.0)).astype(float)
    model = exact(family, penalty="none").fit(X, y)
    mu, fit = model.predict(X), goodness_of_fit(model, X, y).iloc[0]
    if family == "poisson":
        expected = stats.poisson(mu).logpmf(y)
    elif family == "bernoulli":
        expected = stats.bernoulli(mu).logpmf(y)
    elif family == "gamma":  # the scale is the deviance over n
        scale = 2 * np.mean(y / mu - 1 - np.log(y / mu))
        expected = stats.gamma(1 / scale, scale=mu * scale).logpdf(y)
    else:
        size = 1 / model.family_parameters_["alpha"].item()
        expected = stats.nbinom(size, size / (size + mu)).logpmf(y)
    assert fit["log_likelihood"] == pytest.approx(expected.sum(), rel=1e-7)
    assert 0 < fit["mcfadden"] < 1


@pytest.mark.parametrize("family", ["poisson", "bernoulli", "gaussian", "gamma"])
def test_the_null_model_explains_nothing(family):
    X, w, rng = np.random.default_rng(6).normal(size=(300, 2)), np.array([0.6, -0.4]), np.random.default_rng(7)
    y = activity(family, X @ w, rng)
    nothing = exact(family, penalty="lasso", lambdas=[1e4]).fit(X, y)
    assert nothing.score(X, y) == pytest.approx(0, abs=1e-9)
    assert goodness_of_fit(nothing, X, y)["mcfadden"].item() == pytest.approx(0, abs=1e-9)
    assert 0 < exact(family, penalty="none").fit(X, y).score(X, y) < 1
