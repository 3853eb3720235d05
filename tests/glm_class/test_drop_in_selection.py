"""Strengths and folds, index by index from the stored deviances, and beside scikit-learn."""

import copy

import numpy as np
import pytest
from documented import LAMBDAS, PAIRS, cross_validated_model, simulated
from sklearn.metrics import mean_poisson_deviance
from sklearn.model_selection import GroupKFold, KFold

from popglm import PopglmWarning
from popglm import glm_class as glm


@pytest.fixture
def cross_validated():
    return cross_validated_model()


@pytest.mark.parametrize("min_lambda", [0.0, 0.05, 0.1, 5.0])
def test_selection_with_validation_data(min_lambda):
    X, Y = simulated(n_responses=6)
    Y[200:, 5] = 0  # silent in the validation data: all strengths explain nothing
    model = glm.GLM(lambda_series=LAMBDAS)
    model.fit(X[:200], Y[:200], verbose=False)
    model.select_model(X[200:], Y[200:], min_lambda, False)
    explained = np.array([glm.deviance(glm.make_prediction(X[200:], w, w0), Y[200:])[0] for w0, w in model.w_series])
    index = explained.argmax(axis=0)
    if min_lambda > 0:
        index = np.minimum(index, {0.05: 1, 0.1: 1, 5.0: 0}[min_lambda])
    else:
        assert len(set(index)) > 1
    np.testing.assert_array_equal(model.selected_lambda_ind, index)
    np.testing.assert_array_equal(model.selected_lambda, LAMBDAS[index])
    assert index[5] == 0
    assert model.selected_frac_dev_expl_val[5] == 0
    for j, k in enumerate(index):
        np.testing.assert_allclose(model.selected_frac_dev_expl_val[j], explained[k, j], rtol=1e-5, atol=1e-6)
        np.testing.assert_array_equal(model.selected_w[:, j], model.w_series[k][1][:, j])
        assert model.selected_w0[j] == model.w_series[k][0][0, j]
    assert model.selected_w.shape == (8, 6)
    assert model.selected_w0.shape == (6,)
    np.testing.assert_allclose(model.predict(X), np.exp(X @ model.selected_w + model.selected_w0), rtol=1e-6)


def test_bound_on_lambda_comes_after_the_choice():
    X, Y = simulated("gaussian")
    model = glm.GLM("linear", "gaussian", lambda_series=[1, 0.1, 0.01])
    model.fit(X, Y, verbose=False)
    w0, w = model.w_series[2]
    # explained best at the smallest λ, second best at the largest
    model.w_series = [[w0, 0.8 * w], [w0, 0.5 * w], [w0, w]]
    for min_lambda, index in ((0.0, 2), (0.01, 2), (0.05, 1), (0.1, 1), (0.5, 0)):
        model.select_model(X, Y, min_lambda, make_fig=False)
        assert (model.selected_lambda_ind == index).all()


@pytest.mark.parametrize("min_lambda", [0.0, 0.02, 0.1])
@pytest.mark.parametrize("se_fraction", [0.0, 0.5, 1.0])
def test_selection_over_folds(cross_validated, se_fraction, min_lambda):
    X, Y, model = cross_validated
    model.select_model(se_fraction, min_lambda, make_fig=False)
    for j, (index, best) in enumerate(by_hand(model, se_fraction, min_lambda)):
        assert model.selected_lambda_ind[j] == index
        assert model.selected_lambda[j] == model.lambda_series[index]
        assert (model.min_lambda_ind[j], model.min_lambda[j]) == (best, model.lambda_series[best])
        np.testing.assert_array_equal(model.selected_w[:, j], model.w_series_dict[4][index][1][:, j])
        assert model.selected_w0[j] == model.w_series[index][0][0, j]
    held_out = model.make_prediction_cv(X)
    explained, _, _ = glm.deviance(held_out, Y)
    np.testing.assert_allclose(model.selected_frac_dev_expl_cv, explained, atol=1e-5)


@pytest.mark.parametrize("seed", range(3))
@pytest.mark.parametrize(("se_fraction", "min_lambda"), [(0.0, 0.0), (0.0, 0.1), (1.0, 0.0), (1.0, 0.1), (0.3, 0.02)])
def test_selection_from_any_deviances(cross_validated, se_fraction, min_lambda, seed):
    """Deviances that go up and down over λ tell the bound after the rule from a bound before it."""
    model = copy.copy(cross_validated[2])
    model.all_deviance = list(np.random.default_rng(seed).uniform(size=(11, 4, 8)))
    model.select_model(se_fraction, min_lambda, make_fig=False)
    np.testing.assert_array_equal(
        np.c_[model.selected_lambda_ind, model.min_lambda_ind], by_hand(model, se_fraction, min_lambda)
    )


def by_hand(model, se_fraction, min_lambda):
    """Selected index, and index of the least average deviance, of every response."""
    deviance = np.stack(model.all_deviance)  # (n_lambdas, n_folds, n_responses)
    last = max(k for k, lam in enumerate(model.lambda_series) if lam >= min_lambda)
    picked = []
    for j in range(deviance.shape[2]):
        average, spread = deviance[:, :, j].mean(axis=1), deviance[:, :, j].std(axis=1)
        best = int(average.argmin())
        close = average <= average[best] + se_fraction * spread[best] / np.sqrt(deviance.shape[1])
        picked.append((min(int(np.flatnonzero(close)[0]), last), best))
    return picked


def test_all_deviance_and_all_prediction_are_of_the_folds_own_weights(cross_validated):
    X, Y, model = cross_validated
    assert sorted(model.w_series_dict) == [0, 1, 2, 3, 4]
    assert len(model.all_prediction) == len(model.all_deviance) == model.n_lambdas == 11
    for k in (0, 5, 10):
        assert model.all_prediction[k].shape == Y.shape
        assert model.all_deviance[k].shape == (4, 8)
        for fold in range(4):
            w0, w = model.w_series_dict[fold][k]
            assert (w0.shape, w.shape) == ((1, 8), (8, 8))
            rows = model.val_idx[fold]
            prediction = np.exp(X[rows] @ w + w0)
            np.testing.assert_allclose(model.all_prediction[k][rows], prediction, rtol=1e-6)
            deviance = [len(rows) * mean_poisson_deviance(Y[rows, j], prediction[:, j]) for j in range(8)]
            np.testing.assert_allclose(model.all_deviance[k][fold], deviance, rtol=1e-4)
    np.testing.assert_array_equal(model.Y_fit, Y)


def test_all_prediction_is_of_the_data_that_were_fitted():
    X, Y = simulated(n_samples=60)
    model = glm.GLM_CV(3, lambda_series=[0.1])
    model.fit(X, Y, group_idx=np.arange(60), verbose=False)
    model.select_model(make_fig=False)
    expected = model.make_prediction_cv(X.copy())
    X[:] = 0  # ablated in place, before anybody asked
    np.testing.assert_array_equal(model.all_prediction[0], expected)


def test_a_fold_is_a_fit_to_its_training_rows(cross_validated):
    X, Y, model = cross_validated
    alone = glm.GLM(lambda_series=model.lambda_series, convergence_tol=1e-10)
    alone.fit(X[model.train_idx[1]], Y[model.train_idx[1]], verbose=False)
    tight = glm.GLM_CV(n_folds=4, lambda_series=model.lambda_series, convergence_tol=1e-10)
    tight.fit(X, Y, group_idx=np.repeat(np.arange(24), 10), verbose=False)
    for (w0, w), (v0, v) in zip(tight.w_series_dict[1], alone.w_series, strict=True):
        np.testing.assert_allclose(w, v, atol=2e-4)
        np.testing.assert_allclose(w0, v0, atol=2e-4)


def test_folds_are_those_of_scikit_learn():
    X, Y = simulated(n_samples=120)
    trial = np.random.default_rng(1).integers(0, 20, 120)
    by_group = glm.GLM_CV(3, True, True, None, lambda_series=[0.1])
    by_group.fit(X, Y, None, None, trial, verbose=False)
    shuffled = glm.GLM_CV(3, split_by_group=False, split_random_state=42, lambda_series=[0.1])
    shuffled.fit(X, Y, verbose=False)
    for model, splits in (
        (by_group, GroupKFold(3).split(X, Y, trial)),
        (shuffled, KFold(3, shuffle=True, random_state=42).split(X)),
    ):
        for fold, (train, val) in enumerate(splits):
            np.testing.assert_array_equal(model.train_idx[fold], train)
            np.testing.assert_array_equal(model.val_idx[fold], val)
        assert sorted(model.train_idx) == [0, 1, 2, 3]
        assert sorted(model.val_idx) == [0, 1, 2]
        np.testing.assert_array_equal(model.train_idx[3], np.arange(120))
    assert shuffled.split_random_state == 42


@pytest.mark.parametrize(("loss_type", "activation"), PAIRS[:2])
def test_own_folds_may_overlap_and_leave_rows_out(loss_type, activation):
    X, Y = simulated(loss_type, n_samples=200)
    train = {0: np.arange(11, 120), 1: np.arange(60, 200)}
    val = {0: list(range(120, 160)), 1: np.arange(200) < 50}
    val[0] += [10]  # row 10 is held out twice
    model = glm.GLM_CV(2, False, activation=activation, loss_type=loss_type, lambda_series=LAMBDAS)
    model.fit(X, Y, train, val, verbose=False)
    assert 2 not in train
    np.testing.assert_array_equal(model.train_idx[2], np.arange(200))
    model.select_model(0.0, make_fig=False)
    prediction = model.make_prediction_cv(X)
    np.testing.assert_array_equal(np.isnan(prediction).all(axis=1), ~np.isin(np.arange(200), [*range(50), *val[0]]))
    for fold, rows in ((0, np.arange(120, 160)), (1, np.arange(50))):
        own = [model.w_series_dict[fold][k] for k in model.selected_lambda_ind]
        w = np.stack([own[j][1][:, j] for j in range(3)], axis=1)
        w0 = [own[j][0][0, j] for j in range(3)]
        np.testing.assert_allclose(prediction[rows], glm.make_prediction(X[rows], w, w0, activation), rtol=1e-6)
        ablated = model.make_prediction_cv(np.zeros_like(X))
        np.testing.assert_allclose(
            ablated[rows], glm.make_prediction(np.zeros((len(rows), 8)), w, w0, activation), rtol=1e-6
        )
    for k in range(4):
        w0, w = model.w_series_dict[0][k]
        rows = np.array(val[0])
        _, deviance, _ = glm.deviance(glm.make_prediction(X[rows], w, w0, activation), Y[rows], loss_type)
        np.testing.assert_allclose(model.all_deviance[k][0], deviance, rtol=1e-4)


def test_own_folds_under_auto_split_are_named_as_ignored():
    X, Y = simulated(n_samples=60)
    model = glm.GLM_CV(2, split_by_group=False, split_random_state=0, lambda_series=[0.1])
    with pytest.warns(PopglmWarning, match="no effect under auto_split=True"):
        model.fit(X, Y, {0: [0], 1: [1]}, {0: [1], 1: [0]}, verbose=False)
    assert [len(model.val_idx[fold]) for fold in range(2)] == [30, 30]
