"""What the public tests of pyglmnet assert, asked of popglm, with the same sizes and tolerances where it has them."""

import numpy as np
import pytest
from peer_fits import exact
from scipy.special import expit
from sklearn.datasets import make_regression
from sklearn.model_selection import GridSearchCV, KFold, cross_val_score
from sklearn.preprocessing import StandardScaler

from popglm import GLM, GLMCV

LINKS = [
    ("poisson", "softplus"),
    ("gaussian", "identity"),
    ("poisson", "exp"),
    ("bernoulli", "sigmoid"),
    ("gamma", "exp"),
]


def simulated(family, link, n=300, p=10, seed=0):
    rng = np.random.default_rng(seed)
    X = StandardScaler().fit_transform(rng.normal(size=(n, p)))
    w = rng.normal(size=p) / (p + 1)
    eta = X @ w + rng.normal() / (p + 1)
    mu = {"softplus": np.log1p(np.exp(eta)), "identity": eta, "exp": np.exp(eta), "sigmoid": expit(eta)}[link]
    y = {
        "poisson": lambda: rng.poisson(mu),
        "gaussian": lambda: rng.normal(mu),
        "bernoulli": lambda: rng.binomial(1, mu),
        "gamma": lambda: rng.gamma(2, mu / 2),
    }[family]()
    return X, y.astype(float), w


@pytest.mark.parametrize(("family", "link"), LINKS)
def test_weights_are_found_again(family, link):
    X, y, w = simulated(family, link)
    model = GLM(family, inverse_link=link, penalty="elastic_net", lambdas=[0.01]).fit(X, y)
    np.testing.assert_allclose(model.coef_, w, atol=0.5)
    assert np.corrcoef(model.coef_, w)[0, 1] > 0.5
    assert model.predict(X).shape == y.shape


@pytest.mark.parametrize(("family", "link"), LINKS)
def test_weights_are_found_again_by_cross_validation(family, link):
    X, y, w = simulated(family, link)
    model = GLMCV(family, inverse_link=link, penalty="elastic_net", n_lambdas=6, cv=3).fit(X, y)
    np.testing.assert_allclose(model.coef_, w, atol=0.5)


@pytest.mark.parametrize(("family", "link"), LINKS)
def test_no_difference_quotient_finds_a_lower_point(family, link):
    """pyglmnet compares its gradient with differences; here the minimum has differences of 0 along every weight."""
    X, y, _ = simulated(family, link, n=200)
    model = exact(family, inverse_link=link, penalty="ridge", lambdas=[0.1]).fit(X, y)

    def objective(at):
        eta = X @ at[1:] + at[0]
        mean = {"softplus": np.log1p(np.exp(eta)), "identity": eta, "exp": np.exp(eta), "sigmoid": expit(eta)}[link]
        loss = {
            "poisson": lambda: mean - y * np.log(mean), "gaussian": lambda: (y - mean) ** 2 / 2,
            "bernoulli": lambda: -y * np.log(mean) - (1 - y) * np.log1p(-mean),
            "gamma": lambda: y / mean + np.log(mean),
        }[family]()  # fmt: skip
        return loss.mean() + 0.1 * at[1:] @ at[1:] / 2

    at = np.r_[model.intercept_, model.coef_]
    slopes = [(objective(at + 1e-5 * e) - objective(at - 1e-5 * e)) / 2e-5 for e in np.eye(11)]
    np.testing.assert_allclose(slopes, 0, atol=1e-6)


def test_group_lasso_of_softplus_leaves_the_silent_group_out():
    rng = np.random.default_rng(0)
    w = np.repeat([0.3, 0.0, -0.3], 10) * rng.choice([-1, 1], 30)
    X = StandardScaler().fit_transform(rng.normal(size=(400, 30)))
    y = rng.poisson(np.log1p(np.exp(1 + X @ w))).astype(float)
    model = GLM(inverse_link="softplus", penalty="group_lasso", feature_groups=[10, 10, 10], lambdas=[0.05]).fit(X, y)
    used = [v.any() for v in np.split(model.coef_, 3)]
    assert used == [True, False, True]


def test_tools_of_scikit_learn_take_it():
    X, y = make_regression(random_state=0)
    model = GLM("gaussian", penalty="elastic_net", l1_ratio=0.01, lambdas=[0.1])
    scores = cross_val_score(model, X, y, cv=KFold(5))
    assert scores.shape == (5,)
    found = GridSearchCV(model, [{"l1_ratio": [0.2, 1.0]}], cv=KFold(5)).fit(X, y)
    assert found.best_params_["l1_ratio"] in (0.2, 1.0)
    assert np.isfinite(found.cv_results_["mean_test_score"]).all()


def test_an_x_of_three_dimensions_is_refused():
    X, y, _ = simulated("poisson", "softplus")
    with pytest.raises(ValueError, match="X"):
        GLM(inverse_link="softplus").fit(X[None, ...], y)


@pytest.mark.parametrize(("family", "link"), LINKS)
def test_scores_are_one_number_per_neuron(family, link):
    """``score_metric`` "deviance" and "pseudo_R2": the latter is the fraction of deviance explained."""
    X, y, _ = simulated(family, link)
    model = GLM(family, inverse_link=link, penalty="none").fit(X, y)
    scores = model.evaluate(X, y)
    assert scores.shape == (1, 3)
    explained = 1 - scores["deviance"] / scores["null_deviance"]
    assert scores["deviance_explained"].item() == pytest.approx(explained.item(), abs=1e-9)
    assert 0 < model.score(X, y) < 1
