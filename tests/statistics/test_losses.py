"""Losses against scipy's distributions, numerical derivatives, exact limits and scikit-learn's deviances."""

import numpy as np
import pytest
from scipy import stats
from scipy.special import expit
from sklearn.metrics import log_loss, mean_poisson_deviance, mean_squared_error

from popglm.statistics.losses import FAMILIES, INVERSE_LINKS, get_loss

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
    total = get_loss(family, link).value(np, eta, y) + log_likelihood
    for level in np.unique(y):
        np.testing.assert_allclose(total[y == level], total[y == level][0], rtol=0, atol=1e-10)


@pytest.mark.parametrize(("family", "link"), PAIRS)
def test_derivatives(family, link):
    eta, y = grid(family, link)
    loss = get_loss(family, link)
    residual, weight = loss.derivatives(np, eta, y)
    step = 1e-5
    numeric = (loss.value(np, eta + step, y) - loss.value(np, eta - step, y)) / (2 * step)
    np.testing.assert_allclose(residual, numeric, rtol=1e-6, atol=1e-6)
    # Fisher weight: h'² over the variance of a response with mean μ
    mu = MEAN[link](eta)
    slope = (MEAN[link](eta + step) - MEAN[link](eta - step)) / (2 * step)
    variance = {"gaussian": np.ones_like(mu), "poisson": mu, "bernoulli": mu * (1 - mu)}[family]
    np.testing.assert_allclose(weight, slope**2 / variance, rtol=1e-6, atol=1e-9)
    np.testing.assert_allclose(loss.link.slope(np, eta), slope, rtol=1e-6, atol=1e-9)
    np.testing.assert_allclose(loss.link.mean(np, eta), mu, rtol=1e-12)
    if loss.canonical:
        np.testing.assert_allclose(residual, mu - y, rtol=1e-12, atol=1e-12)


@pytest.mark.parametrize(("family", "link"), PAIRS)
def test_link_inverts_the_mean(family, link):
    mu = np.array([1e-6, 0.01, 0.3, 0.9] + ([] if link == "sigmoid" else [4.0, 30.0]))
    inverse = get_loss(family, link).link
    np.testing.assert_allclose(inverse.mean(np, inverse.link(mu)), mu, rtol=1e-9)


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_bernoulli_far_from_zero(dtype):
    eta = np.array([-1e3, -80, 80, 1e3], dtype)
    loss = get_loss("bernoulli")
    np.testing.assert_allclose(loss.value(np, eta, np.zeros(4, dtype)), [0, 0, 80, 1e3], atol=1e-6)
    np.testing.assert_allclose(loss.value(np, eta, np.ones(4, dtype)), [1e3, 80, 0, 0], atol=1e-6)
    residual, weight = loss.derivatives(np, eta, np.zeros(4, dtype))
    np.testing.assert_allclose(residual, [0, 0, 1, 1], atol=1e-6)
    assert (weight >= 0).all()


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_poisson_far_from_zero(dtype):
    eta, y = np.array([-1e3, -80, 80, 1e3], dtype), np.full(4, 2, dtype)
    with np.errstate(over="ignore"):
        value = get_loss("poisson").value(np, eta, y)
        np.testing.assert_allclose(value, [2e3, 160, np.exp(80) - 160, np.inf], rtol=1e-5)
        softplus = get_loss("poisson", "softplus")
        np.testing.assert_allclose(
            softplus.value(np, eta, y), [2e3, 160, 80 - 2 * np.log(80), 1e3 - 2 * np.log(1e3)], rtol=1e-5
        )
        residual, weight = softplus.derivatives(np, eta, y)
        np.testing.assert_allclose(residual, [-2, -2, 1 - 2 / 80, 1 - 2e-3], rtol=1e-5)
        np.testing.assert_allclose(weight, [0, 0, 1 / 80, 1e-3], rtol=1e-5, atol=1e-30)
        sigmoid = get_loss("poisson", "sigmoid")
        np.testing.assert_allclose(sigmoid.value(np, eta, y), [2e3, 160, 1, 1], rtol=1e-5)
        np.testing.assert_allclose(sigmoid.derivatives(np, eta, y)[0], [-2, -2, 0, 0], atol=1e-6)


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_poisson_softplus_keeps_its_digits_where_the_rate_is_tiny(dtype):
    # against extended precision: softplus and its slope both shrink like exp(η), their ratio tends to 1
    eta = np.linspace(-40, -2, 400).astype(dtype)
    exact = eta.astype(np.longdouble)
    rate, slope = np.log1p(np.exp(exact)), 1 / (1 + np.exp(-exact))
    y = np.full_like(eta, 3)
    loss, digits = get_loss("poisson", "softplus"), 8 * np.finfo(dtype).eps
    np.testing.assert_allclose(loss.value(np, eta, y), (rate - 3 * np.log(rate)).astype(float), rtol=digits)
    residual, weight = loss.derivatives(np, eta, y)
    np.testing.assert_allclose(residual, (slope - 3 * slope / rate).astype(float), rtol=digits)
    np.testing.assert_allclose(weight, (slope**2 / rate).astype(float), rtol=digits)


@pytest.mark.parametrize("link", ["identity", "relu"])
def test_an_event_at_rate_zero_is_impossible(link):
    loss, eta = get_loss("poisson", link), np.array([-80.0, -1.0, 0.0, 1.0])
    np.testing.assert_array_equal(loss.value(np, eta, np.ones(4)), [np.inf, np.inf, np.inf, 1.0])
    residual, weight = loss.derivatives(np, eta, np.ones(4))
    assert np.isfinite(residual).all()
    assert np.isfinite(weight).all()


@pytest.mark.parametrize("link", ["identity", "relu"])
def test_no_event_at_a_rate_that_is_not_positive_is_certain(link):
    # a loss that fell below 0 there would have no minimum where a condition has no events
    loss, eta = get_loss("poisson", link), np.array([-80.0, -1.0, 0.0, 1.0])
    np.testing.assert_array_equal(loss.value(np, eta, np.zeros(4)), [0, 0, 0, 1])
    np.testing.assert_array_equal(loss.derivatives(np, eta, np.zeros(4))[0], [0, 0, 0, 1])


@pytest.mark.parametrize("link", INVERSE_LINKS)
def test_gaussian_far_from_zero(link):
    eta, y = np.array([-1e3, -80.0, 80.0, 1e3]), np.full(4, 0.5)
    with np.errstate(over="ignore"):
        expected = 0.5 * (0.5 - MEAN[link](eta)) ** 2
        np.testing.assert_allclose(get_loss("gaussian", link).value(np, eta, y), expected)


@pytest.mark.parametrize("link", INVERSE_LINKS)
def test_poisson_deviance_is_that_of_scikit_learn(link):
    eta, y = grid("poisson", link)
    found = get_loss("poisson", link).deviance(eta, y).mean()
    np.testing.assert_allclose(found, mean_poisson_deviance(y, MEAN[link](eta)), rtol=1e-10)


@pytest.mark.parametrize("link", INVERSE_LINKS)
def test_gaussian_deviance_is_the_squared_error(link):
    eta, y = grid("gaussian", link)
    found = get_loss("gaussian", link).deviance(eta, y).mean()
    np.testing.assert_allclose(found, mean_squared_error(y, MEAN[link](eta)), rtol=1e-12)


def test_bernoulli_deviance_is_twice_the_log_loss():
    eta, y = grid("bernoulli", "sigmoid")
    keep = np.isin(y, [0, 1])
    found = get_loss("bernoulli").deviance(eta[keep], y[keep]).mean()
    np.testing.assert_allclose(found, 2 * log_loss(y[keep], expit(eta[keep])), rtol=1e-10)
    # a fractional event: the Kullback-Leibler divergence, which is 0 at its own probability
    mu = expit(eta)
    entropy = np.array([stats.entropy([a, 1 - a], [m, 1 - m]) for a, m in zip(y, mu, strict=True)])
    np.testing.assert_allclose(get_loss("bernoulli").deviance(eta, y), 2 * entropy, rtol=1e-9, atol=1e-14)


@pytest.mark.parametrize(("family", "link"), PAIRS)
def test_deviance_is_zero_at_the_observed_mean_only(family, link):
    loss = get_loss(family, link)
    y = np.array([0.2, 0.7]) if link == "sigmoid" else np.array([0.4, 3.0])
    eta = loss.link.link(y)
    np.testing.assert_allclose(loss.deviance(eta, y), 0, atol=1e-13)
    assert (loss.deviance(eta + 0.1, y) > 1e-5).all()


@pytest.mark.parametrize(("family", "link"), PAIRS)
def test_the_convexity_flag_is_true(family, link):
    loss = get_loss(family, link)
    y = {"gaussian": [-2.0, 0.0, 3.0], "poisson": [0.0, 1.0, 8.0], "bernoulli": [0.0, 0.4, 1.0]}[family]
    eta = np.linspace(-6, 6, 481)
    worst = np.inf
    for level in y:
        value = loss.value(np, eta, np.full_like(eta, level))
        with np.errstate(invalid="ignore"):
            bend = value[2:] - 2 * value[1:-1] + value[:-2]
        # inside the domain; a convex domain is an interval
        inside = np.isfinite(value)
        assert not (np.diff(np.flatnonzero(inside)) > 1).any()
        worst = min(worst, bend[inside[2:] & inside[1:-1] & inside[:-2]].min())
    assert (worst >= -1e-12) == loss.convex


def test_canonical_pairs_and_smoothness():
    assert {(f, link) for f, link in PAIRS if get_loss(f, link).canonical} == set(FAMILIES.items())
    assert {link for f, link in PAIRS if not get_loss(f, link).smooth} == {"relu"}
    assert [pair for pair in PAIRS if get_loss(*pair).closed_form_intercept] == [("poisson", "exp")]


def test_unknown_names_and_meaningless_pairs():
    with pytest.raises(ValueError, match="family='binomial' is unknown"):
        get_loss("binomial")
    with pytest.raises(ValueError, match="inverse_link='log' is unknown"):
        get_loss("poisson", "log")
    with pytest.raises(ValueError, match=r"leave \[0, 1\]"):
        get_loss("bernoulli", "exp")
