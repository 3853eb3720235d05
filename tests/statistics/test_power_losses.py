"""Inverse Gaussian and Tweedie losses against scipy's distributions, scikit-learn's deviances and integrals."""

import numpy as np
import pytest
from scipy import stats
from scipy.integrate import quad
from scipy.special import gammaln, wright_bessel
from sklearn.metrics import mean_tweedie_deviance

from popglm.statistics.families import get_family

ETA, Y = (a.ravel() for a in np.meshgrid(np.linspace(-3, 3, 41), [0.0, 1e-3, 0.4, 1.0, 6.0]))
POWERS = [1.01, 1.2, 1.5, 1.8, 1.99]


@pytest.mark.parametrize("power", [*POWERS, 3.0])
def test_deviance_is_that_of_scikit_learn(power):
    family = get_family("inverse_gaussian") if power == 3 else get_family("tweedie", None, power)
    eta, y = (a[Y > 0] if power == 3 else a for a in (ETA, Y))
    found = family.deviance(eta, y).mean()
    np.testing.assert_allclose(found, mean_tweedie_deviance(y, np.exp(eta), power=power), rtol=1e-11)
    np.testing.assert_allclose(family.unit_deviance(y, np.exp(eta)).mean(), found, rtol=1e-11)
    at_ends = family.unit_deviance(np.array([1.0, 2.0]), np.array([0.0, np.inf]))
    # a mean far above an inverse Gaussian response says little
    np.testing.assert_array_equal(at_ends, [np.inf, 0.5 if power == 3 else np.inf])


def test_the_inverse_gaussian_loss_is_that_of_scipy():
    family = get_family("inverse_gaussian")
    eta, y = ETA[Y > 0], Y[Y > 0]
    for phi in (0.2, 1.0, 5.0):
        expected = stats.invgauss.logpdf(y, np.exp(eta) * phi, scale=1 / phi)
        np.testing.assert_allclose(family.log_density(eta, y, phi), expected, rtol=1e-9)
    # the dispersion of the largest likelihood is the deviance over the samples
    own = family.dispersion(eta, y, np.ones(len(y)))
    best = family.log_density(eta, y, own).sum()
    assert best > max(family.log_density(eta, y, own * by).sum() for by in (0.99, 1.01))


def test_tweedie_lies_between_poisson_and_gamma():
    weights = [get_family("tweedie", None, power).derivatives(np, ETA, Y) for power in (1 + 1e-9, 2 - 1e-9)]
    for (r, h), name in zip(weights, ("poisson", "gamma"), strict=True):
        expected = get_family(name).derivatives(np, ETA, Y)
        np.testing.assert_allclose(r, expected[0], rtol=1e-6, atol=1e-8)
        np.testing.assert_allclose(h, expected[1], rtol=1e-6)


@pytest.mark.thorough(keep=2)
@pytest.mark.parametrize("power", [1.2, 1.5, 1.8])
@pytest.mark.parametrize("phi", [0.3, 2.0])
def test_a_tweedie_density_has_its_mass_mean_and_variance(power, phi):
    family, mu = get_family("tweedie", None, power), 1.7
    zero = np.exp(family.log_density(np.log(mu), np.array(0.0), phi)).item()
    assert zero == pytest.approx(np.exp(-(mu ** (2 - power)) / (phi * (2 - power))))

    def moment(k):
        def f(u):
            # y = u³, since the density may go to infinity at 0
            y = np.array([u**3])
            return (y**k * np.exp(family.log_density(np.log(mu), y, phi)) * 3 * u**2).item()

        return quad(f, 0, 5, limit=400, epsabs=1e-11, epsrel=1e-10)[0]

    assert zero + moment(0) == pytest.approx(1, abs=1e-7)
    assert moment(1) == pytest.approx(mu, rel=1e-6)
    assert moment(2) - mu**2 == pytest.approx(phi * mu**power, rel=1e-6)


@pytest.mark.parametrize("power", [1.05, 1.2, 1.5, 1.8, 1.97])
def test_a_tweedie_series_is_its_sum(power):
    """Of few amounts and of many, all terms one by one; and Wright's function where that does not overflow."""
    family, a = get_family("tweedie", None, power), (2 - power) / (power - 1)
    j = np.arange(1, 60_000)
    for phi in (0.01, 0.4, 3.0):
        y = np.logspace(-3, 1, 9)
        log_x = a * np.log(y) - (1 + a) * np.log(phi) - a * np.log(power - 1) - np.log(2 - power)
        terms = j * log_x[:, None] - gammaln(j + 1) - gammaln(a * j)
        expected = np.logaddexp.reduce(terms, axis=1) - np.log(y)
        np.testing.assert_allclose(family.log_base(y, phi), expected, rtol=1e-12, atol=1e-10)
        if power == 1.5 and phi > 0.1:
            np.testing.assert_allclose(np.exp(expected) * y, wright_bessel(a, 0, np.exp(log_x)), rtol=1e-8)
    assert np.isfinite(family.log_base(np.array([1e-9, 1e9, 0.0]), 1e-4)).all()


def test_the_dispersion_of_tweedie_activity_is_pearsons():
    family = get_family("tweedie", None, 1.4)
    w = np.where(ETA > 0, 2.0, 0.5)
    mu = np.exp(ETA)
    assert family.dispersion(ETA, Y, w) == pytest.approx(w @ ((Y - mu) ** 2 / mu**1.4) / w.sum())


def test_what_few_amounts_are_worth():
    """A unit of log-likelihood in half the deviance is the dispersion, which follows from the zeros."""
    power, share, size = 1.4, 0.02, 3.0
    found = get_family("tweedie", None, power).deviance_of_event(np.array([size]), np.array([share]))
    mu = share * size
    assert found.item() * (2 - power) * share == pytest.approx(mu ** (2 - power))
    for name in ("poisson", "negative_binomial"):
        assert get_family(name).deviance_of_event(np.array([size]), np.array([share])).item() == size


@pytest.mark.parametrize(
    ("power", "words"),
    [
        (0, r"power=0 must lie between 1 and 2, both excluded; family='gaussian' has 0\."),
        (1, r"power=1 must .*; family='poisson' has 1\."),
        (2.0, r"power=2.0 must .*; family='gamma' has 2\."),
        (3, r"power=3 must .*; family='inverse_gaussian' has 3\."),
        (2.5, r"power=2.5 must .*; use 1.5 if unsure\."),
        (np.nan, "power=nan must be a finite number"),
        ("p", "power='p' must be a finite number"),
        (True, "power=True must be a finite number"),
    ],
)
def test_powers_that_cannot_be(power, words):
    with pytest.raises(ValueError, match=words):
        get_family("tweedie", None, power)


@pytest.mark.parametrize("name", ["gaussian", "poisson", "gamma", "inverse_gaussian"])
def test_other_families_have_no_choice_of_a_power(name):
    with pytest.raises(ValueError, match=rf"power=1.5 has no effect under family='{name}'; leave it None"):
        get_family(name, None, 1.5)


def test_a_power_is_part_of_the_loss():
    family = get_family("tweedie", None, 1.3)
    assert family == get_family("tweedie", "exp", np.float64(1.3)) != get_family("tweedie")
    assert type(family.power) is float


def test_responses():
    tried = np.array([-1.0, 0.0, 1e-300, 1.0, np.nan])
    np.testing.assert_array_equal(get_family("tweedie").is_outside(tried), [True, False, False, False, False])
    np.testing.assert_array_equal(get_family("inverse_gaussian").is_outside(tried), [True, True, False, False, False])
