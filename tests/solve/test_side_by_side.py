"""Cohorts that differ in their columns alone walk together: each ends where it ends alone, whoever walks beside it."""

import warnings
from types import SimpleNamespace

import numpy as np
import pytest

from popglm import GLM, GLMCV
from popglm.solve.cohorts import Cohort, kin
from popglm.solve.fits.side_by_side import MOST_TOGETHER, batches, distinct

N, P, SIZES = 150, 6, [2, 1, 3]
#: Neuron 0 three times, of other columns; 1 twice of the same; columns of part of a group; no column for the last.
NEURONS = np.array([0, 0, 1, 2, 1, 0, 2])
MASK = np.array(
    [
        [1, 1, 1, 0, 1, 1, 0],
        [1, 1, 1, 1, 1, 1, 0],
        [1, 0, 0, 1, 0, 1, 0],
        [0, 1, 1, 1, 1, 1, 0],
        [0, 1, 1, 1, 1, 1, 0],
        [0, 1, 1, 0, 1, 1, 0],
    ],
    bool,
)


@pytest.fixture(scope="module")
def data():
    rng = np.random.default_rng(5)
    X = rng.normal(size=(N, P)) + 0.5
    eta = X @ rng.normal(0, 0.4, (P, 3)) - 0.5
    return SimpleNamespace(
        X=X,
        poisson=rng.poisson(np.exp(eta)).astype(float),
        bernoulli=(rng.random(eta.shape) < 1 / (1 + np.exp(-eta))).astype(float),
        weight=rng.uniform(0.5, 2, N),
        weights=rng.uniform(0.5, 2, (N, 3)),
        offset=0.3 * rng.normal(size=N),
    )


def quietly(model, *args, **more):
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return model.fit(*args, **more)


def assert_as_alone(model, X, Y, mask, weight=None, atol=1e-6, **more):
    """Every neuron beside a fit to it alone, which has no cohort beside it."""
    together = quietly(model, X, Y, sample_weight=weight, **more)
    crossed = isinstance(model, GLMCV)
    for j in range(Y.shape[1]):
        own = weight if weight is None or weight.ndim == 1 else weight[:, [j]]
        alone = quietly(
            type(model)(**model.get_params() | {"feature_mask": mask[:, [j]]}), X, Y[:, [j]], sample_weight=own, **more
        )
        np.testing.assert_allclose(together.lambda_path_[:, j], alone.lambda_path_[:, 0], rtol=1e-6)
        for name in ("coef_path_", "intercept_path_", "gap_", *(["cv_coef_path_", "cv_deviance_"] if crossed else [])):
            axis = 2 if name.startswith("cv_") else 1
            found = getattr(together, name).take(j, axis=axis)
            np.testing.assert_allclose(found, getattr(alone, name).take(0, axis=axis), rtol=1e-5, atol=atol)
        assert not together.coef_path_[:, j, ~mask[:, j]].any()
    return together


@pytest.mark.thorough(keep=1)
@pytest.mark.parametrize("penalty", ["ridge", "group_lasso", "elastic_net"])
def test_copies_of_neurons_with_other_columns(data, penalty):
    settings = {"penalty": penalty, "feature_groups": SIZES, "n_lambdas": 2, "precision": "float64", "cv": 3}
    model = GLMCV(**settings, feature_mask=MASK)
    found = assert_as_alone(model, data.X, data.poisson[:, NEURONS], MASK, weight=data.weight, offset=data.offset)
    # the same neuron, by other columns
    assert not np.allclose(found.coef_path_[-1, 0], found.coef_path_[-1, 1])


def test_own_weights_and_missing_samples_tell_copies_apart(data):
    Y, weights = data.bernoulli[:, NEURONS].copy(), data.weights[:, NEURONS]
    weights[:, 1] = weights[:, 2]
    Y[20:40, 5] = np.nan
    model = GLM("bernoulli", lambdas=[0.1, 0.01], feature_mask=MASK, precision="float64", tol=1e-10)
    # the metric of a step is that of the weights on average, which are others alone
    found = assert_as_alone(model, data.X, Y, MASK, weight=weights, atol=1e-5)
    # of one activity and the same columns, but for missing samples or weights
    assert not np.allclose(found.coef_path_[-1, 1], found.coef_path_[-1, 5], atol=1e-4)


def test_without_an_intercept_and_with_a_smoothness(data):
    for more in ({"fit_intercept": False}, {"smoothness": 0.1}):
        model = GLM(lambdas=[0.1, 0.01], feature_groups=SIZES, feature_mask=MASK, precision="float64", **more)
        assert_as_alone(model, data.X, data.poisson[:, NEURONS], MASK)


def test_more_than_walk_together_come_in_portions(data):
    """As many neurons as need several descents, each with one of the masks."""
    rng = np.random.default_rng(0)
    q = MOST_TOGETHER // 3 + 40
    mask = MASK[:, rng.integers(0, 6, q)]
    Y = data.poisson[:, rng.integers(0, 3, q)]
    settings = {"lambdas": [0.02], "precision": "float64", "cv": 3}
    together = quietly(GLMCV(**settings, feature_mask=mask), data.X, Y)
    for j in (0, q // 2, q - 1):
        alone = quietly(GLMCV(**settings, feature_mask=mask[:, [j]]), data.X, Y[:, [j]])
        np.testing.assert_allclose(together.cv_coef_path_[:, :, j], alone.cv_coef_path_[:, :, 0], atol=1e-6)
        np.testing.assert_allclose(together.cv_deviance_[..., j], alone.cv_deviance_[..., 0], rtol=1e-6)
    assert together.coef_path_[0].any(axis=0).all()


def test_which_cohorts_are_kin_and_how_they_are_dealt_out():
    def cohort(n, closed, *, complete=True, far=False):
        wanted = np.zeros((4, 1000), bool)
        wanted[:, :n] = True
        return Cohort(wanted, complete, False, 0.0, far, np.array(closed, int))

    first, second, partial, far = (
        cohort(2, [0]),
        cohort(3, [1]),
        cohort(1, [0], complete=False),
        cohort(1, [], far=True),
    )
    assert kin([first, partial, second, far, far]) == [[first, second], [partial], [far], [far]]
    large = cohort(MOST_TOGETHER // 4 - 3, [2])
    assert batches([first, large, second, large]) == [[first, large], [second, large]]
    # a cohort that is too large walks by itself
    assert batches([cohort(1000, [0]), first])[1] == [first]


def test_copies():
    Y = np.array([[1.0, 2], [1, 2], [0, 2], [1, np.nan], [1, np.nan]])
    first, which = distinct(Y, None)
    assert first.tolist() == [0, 2, 3]
    assert which.tolist() == [0, 0, 1, 2, 2]
    first, which = distinct(Y, np.array([[1.0, 1], [1, 2], [1, 1], [1, 1], [1, 1]]))
    assert which.tolist() == [0, 1, 2, 3, 3]
