"""Each loss against what others say of it: scipy's distributions, exact limits, scikit-learn's deviances."""

import numpy as np
import pytest
from scipy import stats
from scipy.special import expit
from sklearn.metrics import log_loss, mean_poisson_deviance, mean_squared_error

from popglm.statistics.families import INVERSE_LINKS, get_family

PAIRS = [
    *(("gaussian", link) for link in INVERSE_LINKS),
    *(("poisson", link) for link in INVERSE_LINKS),
    ("bernoulli", "sigmoid"),
]
MEAN = {
    "identity": lambda eta: eta,
    "exp": np.exp,
    "sigmoid": expit,
    "softplus": lambda eta: np.logaddexp(0, eta),
    "relu": lambda eta: np.maximum(eta, 0),
}


def grid(family, link, low=-3.0, high=3.0):
    """η × y over the domain, away from kinks."""
    y = {"gaussian": [-1.0, 0.0, 2.5], "poisson": [0.0, 1.0, 7.0], "bernoulli": [0.0, 0.3, 1.0]}[family]
    positive = family == "poisson" and link in ("identity", "relu")
    eta = np.linspace(0.05 if positive else low, high, 40)
    return [a.ravel() for a in np.meshgrid(eta, y)]


@pytest.mark.parametrize(("family", "link"), PAIRS)
def test_value_is_the_negative_log_likelihood_up_to_a_constant_in_y(family, link):
    eta, y = grid(family, link)
    if family == "bernoulli":
        keep = np.isin(y, [0, 1])
        eta, y = eta[keep], y[keep]
    mu = MEAN[link](eta)
    log_likelihood = {
        "gaussian": lambda: stats.norm.logpdf(y, mu),
        "poisson": lambda: stats.poisson.logpmf(y, mu),
        "bernoulli": lambda: stats.bernoulli.logpmf(y, mu),
    }[family]()
    total = get_family(family, link).value(np, eta, y) + log_likelihood
    for level in np.unique(y):
        np.testing.assert_allclose(total[y == level], total[y == level][0], rtol=0, atol=1e-10)


@pytest.mark.parametrize("inverse", INVERSE_LINKS.values(), ids=list(INVERSE_LINKS))
def test_link_inverts_the_mean(inverse):
    mu = np.array([1e-6, 0.01, 0.3, 0.9] + ([] if inverse.means[1] == 1 else [4.0, 30.0]))
    np.testing.assert_allclose(inverse.mean(np, np.array([-2.0, 0.5])), MEAN[inverse.name](np.array([-2.0, 0.5])))
    np.testing.assert_allclose(inverse.mean(np, inverse.link(mu)), mu, rtol=1e-9)


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_bernoulli_far_from_zero(dtype):
    eta = np.array([-1e3, -80, 80, 1e3], dtype)
    loss = get_family("bernoulli")
    np.testing.assert_allclose(loss.value(np, eta, np.zeros(4, dtype)), [0, 0, 80, 1e3], atol=1e-6)
    np.testing.assert_allclose(loss.value(np, eta, np.ones(4, dtype)), [1e3, 80, 0, 0], atol=1e-6)
    residual, weight = loss.derivatives(np, eta, np.zeros(4, dtype))
    np.testing.assert_allclose(residual, [0, 0, 1, 1], atol=1e-6)
    assert (weight >= 0).all()


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_poisson_far_from_zero(dtype):
    eta, y = np.array([-1e3, -80, 80, 1e3], dtype), np.full(4, 2, dtype)
    with np.errstate(over="ignore"):
        value = get_family("poisson").value(np, eta, y)
        np.testing.assert_allclose(value, [2e3, 160, np.exp(80) - 160, np.inf], rtol=1e-5)
        softplus = get_family("poisson", "softplus")
        np.testing.assert_allclose(
            softplus.value(np, eta, y), [2e3, 160, 80 - 2 * np.log(80), 1e3 - 2 * np.log(1e3)], rtol=1e-5
        )
        residual, weight = softplus.derivatives(np, eta, y)
        np.testing.assert_allclose(residual, [-2, -2, 1 - 2 / 80, 1 - 2e-3], rtol=1e-5)
        np.testing.assert_allclose(weight, [0, 0, 1 / 80, 1e-3], rtol=1e-5, atol=1e-30)
        sigmoid = get_family("poisson", "sigmoid")
        np.testing.assert_allclose(sigmoid.value(np, eta, y), [2e3, 160, 1, 1], rtol=1e-5)
        np.testing.assert_allclose(sigmoid.derivatives(np, eta, y)[0], [-2, -2, 0, 0], atol=1e-6)


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_poisson_softplus_keeps_its_digits_where_the_rate_is_tiny(dtype):
    # against extended precision: softplus and its slope both shrink like exp(η), their ratio tends to 1
    eta = np.linspace(-40, -2, 400).astype(dtype)
    exact = eta.astype(np.longdouble)
    rate, slope = np.log1p(np.exp(exact)), 1 / (1 + np.exp(-exact))
    y = np.full_like(eta, 3)
    loss, digits = get_family("poisson", "softplus"), 8 * np.finfo(dtype).eps
    np.testing.assert_allclose(loss.value(np, eta, y), (rate - 3 * np.log(rate)).astype(float), rtol=digits)
    residual, weight = loss.derivatives(np, eta, y)
    np.testing.assert_allclose(residual, (slope - 3 * slope / rate).astype(float), rtol=digits)
    np.testing.assert_allclose(weight, (slope**2 / rate).astype(float), rtol=digits)


@pytest.mark.parametrize("link", ["identity", "relu"])
def test_an_event_at_rate_zero_is_impossible(link):
    loss, eta = get_family("poisson", link), np.array([-80.0, -1.0, 0.0, 1.0])
    np.testing.assert_array_equal(loss.value(np, eta, np.ones(4)), [np.inf, np.inf, np.inf, 1.0])
    residual, weight = loss.derivatives(np, eta, np.ones(4))
    assert np.isfinite(residual).all()
    assert np.isfinite(weight).all()


@pytest.mark.parametrize("link", ["identity", "relu"])
def test_no_event_at_a_rate_that_is_not_positive_is_certain(link):
    # a loss that fell below 0 there would have no minimum where a condition has no events
    loss, eta = get_family("poisson", link), np.array([-80.0, -1.0, 0.0, 1.0])
    np.testing.assert_array_equal(loss.value(np, eta, np.zeros(4)), [0, 0, 0, 1])
    np.testing.assert_array_equal(loss.derivatives(np, eta, np.zeros(4))[0], [0, 0, 0, 1])


@pytest.mark.parametrize("link", INVERSE_LINKS)
def test_gaussian_far_from_zero(link):
    eta, y = np.array([-1e3, -80.0, 80.0, 1e3]), np.full(4, 0.5)
    with np.errstate(over="ignore"):
        expected = 0.5 * (0.5 - MEAN[link](eta)) ** 2
        np.testing.assert_allclose(get_family("gaussian", link).value(np, eta, y), expected)


@pytest.mark.parametrize("link", INVERSE_LINKS)
def test_poisson_deviance_is_that_of_scikit_learn(link):
    eta, y = grid("poisson", link)
    found = get_family("poisson", link).deviance(eta, y).mean()
    np.testing.assert_allclose(found, mean_poisson_deviance(y, MEAN[link](eta)), rtol=1e-10)


@pytest.mark.parametrize("link", INVERSE_LINKS)
def test_gaussian_deviance_is_the_squared_error(link):
    eta, y = grid("gaussian", link)
    found = get_family("gaussian", link).deviance(eta, y).mean()
    np.testing.assert_allclose(found, mean_squared_error(y, MEAN[link](eta)), rtol=1e-12)


def test_bernoulli_deviance_is_twice_the_log_loss():
    eta, y = grid("bernoulli", "sigmoid")
    keep = np.isin(y, [0, 1])
    found = get_family("bernoulli").deviance(eta[keep], y[keep]).mean()
    np.testing.assert_allclose(found, 2 * log_loss(y[keep], expit(eta[keep])), rtol=1e-10)
    # a fractional event: the Kullback-Leibler divergence, which is 0 at its own probability
    mu = expit(eta)
    entropy = np.array([stats.entropy([a, 1 - a], [m, 1 - m]) for a, m in zip(y, mu, strict=True)])
    np.testing.assert_allclose(get_family("bernoulli").deviance(eta, y), 2 * entropy, rtol=1e-9, atol=1e-14)
