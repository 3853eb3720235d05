"""The gamma loss against scipy's exponential distribution and scikit-learn's deviance."""

import numpy as np
import pytest
from scipy import stats
from scipy.special import digamma
from sklearn.metrics import mean_gamma_deviance

from popglm.statistics.families import get_family

FAMILY = get_family("gamma")
ETA, Y = (a.ravel() for a in np.meshgrid(np.linspace(-3, 3, 41), [1e-3, 0.4, 1.0, 6.0]))


def test_value_is_the_negative_log_likelihood_of_an_exponential_distribution():
    np.testing.assert_allclose(FAMILY.value(np, ETA, Y), -stats.expon.logpdf(Y, scale=np.exp(ETA)), rtol=1e-12)
    # of another shape it is a multiple of it, and a constant in y
    other = FAMILY.value(np, ETA, Y) + stats.gamma.logpdf(Y, 3.0, scale=np.exp(ETA) / 3) / 3
    for level in np.unique(Y):
        np.testing.assert_allclose(np.ptp(other[level == Y]), 0, atol=1e-11)


def test_deviance_is_that_of_scikit_learn():
    found = FAMILY.deviance(ETA, Y).mean()
    np.testing.assert_allclose(found, mean_gamma_deviance(Y, np.exp(ETA)), rtol=1e-12)
    np.testing.assert_allclose(FAMILY.unit_deviance(Y, np.exp(ETA)).mean(), found, rtol=1e-12)
    np.testing.assert_array_equal(FAMILY.unit_deviance(np.array([1.0, 1.0]), np.array([0.0, np.inf])), np.inf)


def test_null_deviance_of_a_gamma_distribution():
    # E[−log(y/μ)] = log k − ψ(k)
    y = stats.gamma.ppf((np.arange(200_000) + 0.5) / 200_000, 2.0, scale=7.0)
    np.testing.assert_allclose(FAMILY.null(y, y.mean()).mean(), np.log(2) - digamma(2.0), rtol=1e-4)


def test_a_response_must_be_positive():
    tried = np.array([-1.0, 0.0, 1e-300, 1.0, np.nan])
    np.testing.assert_array_equal(FAMILY.is_outside(tried), [True, True, False, False, False])
    # moved as far as the least recorded response, in whatever unit
    np.testing.assert_array_equal(
        FAMILY.into_range(np.array([-1.0, 0.0, 2e-9]), np.array([3e-9, 1e-9])), [1e-9, 1e-9, 2e-9]
    )
    with pytest.raises(ValueError, match=r"inverse_link='identity' .*gamma.*; use inverse_link='exp'\."):
        get_family("gamma", "identity")
