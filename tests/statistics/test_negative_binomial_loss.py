"""The negative binomial loss against extended precision, and dispersions against direct maximisation."""

import numpy as np
import pytest
from scipy.optimize import minimize_scalar
from scipy.stats import nbinom

from popglm.statistics.families import get_family
from popglm.statistics.families.negative_binomial import TOGETHER


def exact_excess(eta, y, alpha):
    """The same in extended precision, from logarithms of the means."""
    eta, y, alpha = (np.asarray(a, np.longdouble) for a in (eta, y, alpha))
    mu, events = np.exp(eta), y > 0
    own = (y + 1 / alpha) * (np.log1p(alpha * mu) - np.log1p(alpha * y))
    return own - np.where(events, y * (eta - np.log(np.where(events, y, 1))), 0)


@pytest.mark.parametrize(("dtype", "digits"), [(np.float32, 1e-6), (np.float64, 1e-9)])
@pytest.mark.parametrize("alpha", [1e-3, 0.3, 4.0, 1e3])
def test_excess_has_its_digits_in_every_regime(dtype, digits, alpha):
    eta, y = (a.ravel() for a in np.meshgrid(np.linspace(-20, 15, 141) + 0.013, [0.0, 0.25, 1, 3, 40, 1000]))
    eta, y = eta.astype(dtype), y.astype(dtype)
    found = get_family("negative_binomial", "exp").given(dtype(alpha)).excess(np, eta, y)
    expected = exact_excess(eta, y, dtype(alpha))
    # a rounding of η is one of yη, which near the saturated point is all that there is
    reach = 4 * np.finfo(dtype).eps * (np.abs(y - np.exp(eta)) / (1 + alpha * np.exp(eta))) * (1 + np.abs(eta))
    assert found.dtype == dtype
    assert (np.abs(found - expected) <= digits * expected + reach).all()


def test_beyond_all_rates_the_loss_goes_on_in_a_line():
    family = get_family("negative_binomial", "exp").given(2.0)
    y = np.array([0.0, 3.0])
    for eta in (70.0, 90.0):
        step = family.excess(np, eta + 1 + 0 * y, y) - family.excess(np, eta + 0 * y, y)
        np.testing.assert_allclose(step, family.derivatives(np, eta + 0 * y, y)[0], rtol=1e-9)
    np.testing.assert_allclose(
        family.excess(np, -90 + 0 * y, y), [0, 3 * (90 + np.log(3)) - 3.5 * np.log(7)], atol=1e-9
    )


@pytest.mark.parametrize("weighted", [False, True])
def test_dispersions_are_those_of_the_largest_likelihood(weighted):
    """Of few and of many events, in more neurons than are worked on together, whose samples come in pieces."""
    rng = np.random.default_rng(0)
    alpha, n = np.array([0.2, 0.5, 1.0, 3.0, 0.05, 0.8, 0.4]), 1500
    assert len(alpha) > TOGETHER
    eta = rng.normal(0, 0.7, (len(alpha), n)) + np.array([0, 1, 2, 1, 4, 6.5, -1])[:, None]
    mu, size = np.exp(eta), 1 / alpha[:, None]
    y = rng.negative_binomial(size, size / (size + mu)).astype(float)
    assert (y[5] > 256).any()
    s = rng.choice([0.0, 1.0, 2.0], y.shape) if weighted else np.ones(y.shape)
    # what has no weight may hold anything
    y[s == 0], eta[s == 0] = 77.5, 800.0

    def samples(neurons):
        for rows in np.array_split(np.arange(n), 5):
            yield y[np.ix_(neurons, rows)], s[np.ix_(neurons, rows)], eta[np.ix_(neurons, rows)]

    family = get_family("negative_binomial", "exp")
    found = family.estimate(samples, np.zeros((len(alpha), 1)))[:, 0]
    again = family.estimate(samples, 3 * found[:, None])[:, 0]
    for i in range(len(alpha)):
        known = s[i] > 0
        counts, mean, weight = y[i, known], np.exp(eta[i, known]), s[i, known]

        def loss(x, counts=counts, mean=mean, weight=weight):
            size = np.exp(-x)
            return -(weight @ nbinom.logpmf(counts, size, size / (size + mean)))

        best = minimize_scalar(loss, bounds=(-8, 4), method="bounded", options={"xatol": 1e-9})
        np.testing.assert_allclose([found[i], again[i]], np.exp(best.x), rtol=2e-5)
