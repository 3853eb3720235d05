"""The censored Gaussian loss against scipy's normal distribution, and σ against direct maximisation."""

import numpy as np
import pytest
from scipy.integrate import quad
from scipy.optimize import minimize
from scipy.special import erfcx, log_ndtr
from scipy.stats import norm

from popglm.statistics.families import get_family
from popglm.statistics.families.censored_gaussian import LEAST, TOGETHER, tail
from popglm.statistics.families.elementary import scaled_erfc
from popglm.statistics.responses import response_sums


def negative_log_likelihood(eta, sigma, y, s=1.0):
    """With the density of what is above 0, and the probability of 0."""
    return -np.sum(s * np.where(y > 0, norm.logpdf(y, eta, sigma), log_ndtr(-eta / sigma)))


@pytest.mark.parametrize(("dtype", "digits"), [(np.float32, 1e-6), (np.float64, 3e-15)])
def test_scaled_erfc_is_that_of_scipy(dtype, digits):
    t = np.concatenate([np.linspace(0, 12, 4001), np.geomspace(12, 1e12, 400)]).astype(dtype)
    found = scaled_erfc(np, t)
    assert found.dtype == dtype
    np.testing.assert_allclose(found, erfcx(t.astype(float)), rtol=digits)


@pytest.mark.parametrize(("dtype", "digits"), [(np.float32, 3e-5), (np.float64, 1e-12)])
def test_tail_has_its_digits_on_both_sides(dtype, digits):
    # further down the density underflows; a rounding of z is one of z²
    z = np.linspace(-12, 60, 1441).astype(dtype)
    loss, mills, bend = tail(np, z)
    exact = z.astype(float)
    expected = np.exp(norm.logpdf(exact) - log_ndtr(-exact))
    np.testing.assert_allclose(loss, -log_ndtr(-exact), rtol=digits)
    np.testing.assert_allclose(mills, expected, rtol=digits)
    if dtype is np.float64:
        np.testing.assert_allclose(bend, expected * (expected - exact), rtol=1e-8)


@pytest.mark.parametrize("sigma", [0.3, 1.0, 4.0])
def test_moments_are_those_of_integrals(sigma):
    family = get_family("censored_gaussian").given(sigma)
    for eta in np.array([-2.0, -1.0, 0.0, 0.7, 6.0]):

        def moment(k, eta=eta):
            return quad(lambda y: y**k * norm.pdf(y, eta, sigma), 0, eta + 12 * sigma, epsabs=1e-16, epsrel=1e-12)[0]

        first, second = moment(1), moment(2)
        mean = family.link.mean(np, eta)
        np.testing.assert_allclose(mean, first, rtol=1e-7)
        np.testing.assert_allclose(family.variance(mean), second - first**2, rtol=1e-6)
        np.testing.assert_allclose(family.link.link(mean), eta, rtol=1e-8, atol=1e-10)
    drawn = family.draw(np.random.default_rng(0), np.full(200_000, family.link.mean(np, 0.5)))
    np.testing.assert_allclose(drawn.mean(), family.link.mean(np, 0.5), rtol=0.02)
    np.testing.assert_allclose((drawn == 0).mean(), norm.cdf(-0.5 / sigma), rtol=0.02)


def test_means_of_all_sizes_have_a_predictor():
    family, mu = get_family("censored_gaussian").given(2.0), np.geomspace(1e-60, 1e6, 200)
    np.testing.assert_allclose(family.link.mean(np, family.link.link(mu)), mu, rtol=1e-11)
    assert family.link.link(np.array(0.0)) == -np.inf


def test_densities_are_those_of_scipy():
    rng = np.random.default_rng(1)
    eta, sigma = rng.normal(size=60), 0.8
    y = np.maximum(eta + sigma * rng.normal(size=60), 0)
    found = get_family("censored_gaussian").given(sigma).log_density(eta, y)
    np.testing.assert_allclose(found, np.where(y > 0, norm.logpdf(y, eta, sigma), log_ndtr(-eta / sigma)), rtol=1e-12)


def test_derivatives_in_sigma_are_numerical_ones():
    rng = np.random.default_rng(2)
    eta, sigma, step = rng.normal(size=40), 1.3, 1e-5
    y = np.maximum(eta + sigma * rng.normal(size=40), 0)
    family = get_family("censored_gaussian")

    def loss(eta, sigma):
        own = family.given(sigma)
        return own.value(np, eta, y) + own.normaliser(y)

    first, cross, own = family.given(sigma).parameter_derivatives(eta, y)
    np.testing.assert_allclose(first[:, 0], (loss(eta, sigma + step) - loss(eta, sigma - step)) / (2 * step), rtol=1e-6)

    def slope(sigma):
        return family.given(sigma).parameter_derivatives(eta, y)[0][:, 0]

    np.testing.assert_allclose(own[:, 0, 0], (slope(sigma + step) - slope(sigma - step)) / (2 * step), rtol=1e-6)
    above, below = (family.given(sigma + d).derivatives(np, eta, y)[0] for d in (step, -step))
    np.testing.assert_allclose(cross[:, 0], (above - below) / (2 * step), rtol=1e-6, atol=1e-9)


def some_neurons(weighted):
    """More neurons than are worked on together, from none to nearly all samples at 0."""
    rng = np.random.default_rng(3)
    level = np.array([4.0, 2, 1, 0.5, 0, -0.5, -1, -1.5, -1.8])
    assert len(level) > TOGETHER
    eta = rng.normal(0, 0.6, (len(level), 1500)) + level[:, None]
    y = np.maximum(eta + np.linspace(0.4, 2, len(level))[:, None] * rng.normal(size=eta.shape), 0)
    s = rng.choice([0.0, 1.0, 2.0], y.shape) if weighted else np.ones(y.shape)
    y[s == 0], eta[s == 0] = 77.5, np.inf
    return y, s, eta


def in_parts(y, s, eta):
    def samples(neurons):
        for rows in np.array_split(np.arange(y.shape[1]), 4):
            yield tuple(a[np.ix_(neurons, rows)] for a in (y, s, eta))

    return samples


@pytest.mark.thorough(keep=2)
@pytest.mark.parametrize("with_intercept", [False, True])
@pytest.mark.parametrize("weighted", [False, True])
def test_sigma_has_the_largest_likelihood(weighted, with_intercept):
    y, s, eta = some_neurons(weighted)
    family = get_family("censored_gaussian")
    starts = np.ones((len(y), 1)), np.full((len(y), 1), 300.0), np.full((len(y), 1), 1e-3)
    found = [family.estimate(in_parts(y, s, eta), start, with_intercept)[:, 0] for start in starts]
    for i in range(len(y)):
        known = s[i] > 0

        def loss(x, i=i, known=known):
            shift = x[1] if with_intercept else 0.0
            return negative_log_likelihood(eta[i, known] + shift, np.exp(x[0]), y[i, known], s[i, known])

        best = minimize(loss, [0.0, 0.0], method="Nelder-Mead", options={"xatol": 1e-8, "fatol": 1e-9, "maxiter": 4000})
        np.testing.assert_allclose([own[i] for own in found], np.exp(best.x[0]), rtol=1e-5)


def test_null_model_is_the_best_constant():
    y, s, _ = some_neurons(weighted=True)
    y[s == 0] = 0
    sums = response_sums(get_family("censored_gaussian"), y, s, [(0, y.shape[1])])
    for i in range(len(y)):

        def loss(x, i=i):
            return negative_log_likelihood(x[0], np.exp(x[1]), y[i], s[i])

        best = minimize(loss, [1.0, 0.0], method="Nelder-Mead", options={"xatol": 1e-8, "fatol": 1e-9, "maxiter": 4000})
        found = loss([sums.intercept[i], np.log(sums.parameters[i, 0])])
        assert found <= best.fun + 1e-6
        np.testing.assert_allclose(sums.intercept[i], best.x[0], rtol=1e-4, atol=1e-4)
        # all of the negative log-likelihood is in the parts that are reported
        whole = (sums.null[i] + sums.saturated[i] + sums.normaliser[i]) * sums.total[i]
        np.testing.assert_allclose(whole, found, rtol=1e-9)


def test_neurons_with_little_to_say_have_finite_numbers():
    """All zeros, one sample above 0, two alike, all alike, none at 0, and a tiny unit."""
    y = np.zeros((6, 50))
    y[1, 7], y[2, [3, 9]], y[3], y[4] = 2.0, 2.0, 5.0, np.linspace(1, 2, 50)
    y[5] = 1e-12 * np.maximum(np.linspace(-1, 1, 50), 0)
    for offset in (None, np.linspace(-0.5, 0.5, 50)):
        sums = response_sums(get_family("censored_gaussian"), y, None, [(0, 50)], offset)
        for part in (sums.intercept, sums.parameters, sums.null, sums.normaliser, sums.saturated):
            assert np.isfinite(part).all()
        assert (sums.parameters > 0).all()
    sums = response_sums(get_family("censored_gaussian"), y, None, [(0, 50)])
    # what is not seen to vary has no noise but the least
    np.testing.assert_allclose(sums.parameters[3], 5 * LEAST)
    np.testing.assert_allclose(sums.parameters[4], y[4].std(), rtol=1e-6)
    np.testing.assert_allclose(sums.intercept[4], y[4].mean(), rtol=1e-6)
    # a silent neuron is given half an event
    mean = get_family("censored_gaussian").given(sums.parameters[0, 0]).link.mean(np, sums.intercept[0])
    np.testing.assert_allclose(mean, 0.5 / 50, rtol=1e-6)
