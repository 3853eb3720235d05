"""The softmax loss: scipy's log_softmax, finite differences, and numbers that overflow elsewhere."""

import numpy as np
import pytest
from scipy.special import log_softmax, softmax

from popglm.statistics.categorical import centred, class_counts, log_frequencies, null_loss, terms


@pytest.fixture
def samples():
    rng = np.random.default_rng(0)
    eta, y = 3 * rng.standard_normal((4, 50)), rng.integers(4, size=50)
    return eta, y, (np.arange(4)[:, None] == y).astype(float)


def test_loss_and_derivatives_are_those_of_scipys_softmax(samples):
    eta, y, own = samples
    found, p = terms(np, eta, own), softmax(eta, axis=0)
    np.testing.assert_allclose(found.loss, -log_softmax(eta, axis=0)[y, np.arange(50)], rtol=1e-13)
    np.testing.assert_allclose(found.residual, p - own, atol=1e-15)
    np.testing.assert_allclose(found.curvature, 1 - (p**2).sum(axis=0), atol=1e-15)
    of_class = p[y, np.arange(50)]
    np.testing.assert_allclose(found.chi2, ((p - own) ** 2 / p).sum(axis=0), rtol=1e-12)
    np.testing.assert_allclose(found.chi2, (1 - of_class) / of_class, rtol=1e-12)


def test_what_is_nearly_certain_keeps_its_digits():
    own = np.array([[1.0], [0.0], [0.0]])
    right = terms(np, np.array([[60.0], [0.0], [1.0]]), own)
    rest = np.exp(-60) + np.exp(-59)
    np.testing.assert_allclose([right.loss[0], -right.residual[0, 0]], rest, rtol=1e-12)
    with np.errstate(divide="ignore"):
        wrong = terms(np, np.array([[-900.0], [0.0], [-5.0]]), own)
    np.testing.assert_allclose(wrong.loss, 900 + np.log1p(np.exp(-5)), rtol=1e-14)
    np.testing.assert_allclose(wrong.residual[0], -1)


def test_the_null_model_has_the_classes_frequencies():
    codes, weights = np.array([0, 2, 2, -1, 0, 2]), np.array([1.0, 1, 1, 5, 2, 1])
    counts = class_counts(codes, weights, 4)
    np.testing.assert_array_equal(counts, [3, 0, 3, 0])
    b = log_frequencies(counts)
    np.testing.assert_allclose(softmax(b), [0.5, 0, 0.5, 0])
    np.testing.assert_allclose(null_loss(counts), np.log(2))
    np.testing.assert_array_equal(log_frequencies(np.zeros(3)), 0)
    np.testing.assert_array_equal(null_loss(np.zeros((2, 3))), 0)


def test_intercepts_are_centred_over_classes_that_occur():
    found = centred(np.array([[1.0, 3.0, -np.inf], [2.0, 2.0, 5.0]]))
    np.testing.assert_allclose(found, [[-1, 1, -np.inf], [-1, -1, 2]])
