"""Predictions, deviances and groups, beside scikit-learn and matrices written out."""

import inspect

import numpy as np
import pytest
from documented import simulated
from sklearn.metrics import log_loss, mean_poisson_deviance

from popglm import glm_class as glm


@pytest.mark.parametrize("loss_type", ["gaussian", "poisson", "binominal", "binomial"])
def test_deviances_beside_scikit_learn(loss_type):
    _, y = simulated(loss_type, n_samples=50)
    rng = np.random.default_rng(2)
    prediction = rng.uniform(0.05, 0.95, y.shape)
    fraction, model, null = glm.deviance(prediction, y, loss_type)

    def summed(y, mu):
        if loss_type == "gaussian":
            return np.sum((y - mu) ** 2)
        if loss_type == "poisson":
            return len(y) * mean_poisson_deviance(y, mu)
        return 2 * log_loss(y, mu, normalize=False)

    np.testing.assert_allclose(model, [summed(a, b) for a, b in zip(y.T, prediction.T, strict=True)], rtol=1e-10)
    np.testing.assert_allclose(null, [summed(a, np.full(50, a.mean())) for a in y.T], rtol=1e-10)
    np.testing.assert_allclose(fraction, 1 - model / null)
    np.testing.assert_array_equal(glm.null_deviance(y, loss_type), null)
    point = glm.pointwise_deviance(y, prediction, loss_type)
    assert point.shape == y.shape
    np.testing.assert_allclose(point.sum(axis=0), model)
    np.testing.assert_allclose(glm.pointwise_null_deviance(y, loss_type).sum(axis=0), null)
    for j in range(3):
        np.testing.assert_allclose(glm.deviance(prediction[:, j], y[:, j], loss_type)[1], model[j])


def test_order_of_arguments():
    np.testing.assert_allclose(glm.deviance([[2.0]], [[0.0]])[1], [4.0])  # 2·ŷ where nothing happened
    np.testing.assert_allclose(glm.pointwise_deviance([[0.0]], [[2.0]]), [[4.0]])
    assert glm.deviance([[0.0]], [[2.0]])[1] == np.inf  # what was impossible happened


def test_deviance_without_events_or_recording():
    silent = np.zeros((4, 2))
    for loss_type in ("gaussian", "poisson", "binominal"):
        fraction, model, null = glm.deviance(silent, silent, loss_type)
        assert (fraction == 0).all()
        assert (model == 0).all()
        assert (null == 0).all()
        np.testing.assert_array_equal(glm.deviance(silent + 0.1, silent, loss_type)[0], 0)
        # a constant whose sum rounds has no deviance from itself either
        np.testing.assert_array_equal(glm.null_deviance(np.full((10, 1), 0.1), loss_type), 0)
    gaps = np.array([[1.0, 2.0], [np.nan, 4.0], [3.0, np.nan]])
    np.testing.assert_allclose(glm.null_deviance(gaps, "gaussian"), [2.0, 2.0])
    np.testing.assert_allclose(glm.deviance(np.ones((3, 2)), gaps, "gaussian")[1], [4.0, 10.0])


@pytest.mark.parametrize(
    ("activation", "h"),
    [
        ("linear", lambda x: x),
        ("exp", np.exp),
        ("sigmoid", lambda x: 1 / (1 + np.exp(-x))),
        ("relu", lambda x: x * (x > 0)),
        ("softplus", lambda x: np.log(1 + np.exp(x))),
    ],
)
def test_make_prediction(activation, h):
    rng = np.random.default_rng(0)
    X, w, w0 = rng.standard_normal((5, 3)), rng.standard_normal((3, 2)), rng.standard_normal(2)
    expected = h(X @ w + w0)
    for shape in ((2,), (1, 2)):
        np.testing.assert_allclose(glm.make_prediction(X, w, w0.reshape(shape), activation), expected)
    assert inspect.signature(glm.make_prediction).parameters["activation"].default == "exp"


def test_groups_from_feature_names():
    names = [
        *(f"fPos_bump{k}" for k in range(20)),
        *(f"cue_fPos_bump{k}" for k in range(12)),
        "speed",
        "bias",
        *(f"pitch_bump{k}" for k in range(7)),
    ]
    sizes, groups, index = glm.parse_group_from_feature_names(names)
    assert sizes == [20, 12, 1, 1, 7]
    assert groups == ["fPos", "cue_fPos", "speed", "bias", "pitch"]
    np.testing.assert_array_equal(index, [0] * 20 + [1] * 12 + [2, 3] + [4] * 7)
    assert glm.parse_group_from_feature_names(["speed", "speed"])[0] == [1, 1]
    with pytest.raises(glm.UsageError, match="'a_bump2' is not next to"):
        glm.parse_group_from_feature_names(["a_bump0", "a_bump1", "b", "a_bump2"])


def test_group_and_prior_matrices():
    np.testing.assert_array_equal(glm.make_group_matrix([2, 1]), [[1, 1, 0], [0, 0, 1]])
    np.testing.assert_array_equal(
        glm.make_prior_matrix([3, 1, 2]),
        [
            [2, -1, 0, 0, 0, 0],
            [-1, 2, -1, 0, 0, 0],
            [0, -1, 2, 0, 0, 0],
            [0, 0, 0, 1, 0, 0],
            [0, 0, 0, 0, 2, -1],
            [0, 0, 0, 0, -1, 2],
        ],
    )
