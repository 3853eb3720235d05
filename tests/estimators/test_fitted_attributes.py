"""What a fit tells of itself, by public names, and what is chosen by hand."""

import pickle

import numpy as np
import pandas as pd
import pytest
from sklearn.base import clone
from sklearn.model_selection import GroupKFold, ShuffleSplit

import popglm
from popglm import GLM, GLMCV, Design, linear
from popglm.statistics.families import get_family

RNG = np.random.default_rng(6)
N = 200
SESSION = pd.DataFrame({"speed": RNG.standard_normal(N), "cue": RNG.integers(0, 2, N)}, index=np.arange(N) / 10)
X = Design([linear("speed"), linear("cue")]).fit_transform(SESSION)
Y = pd.DataFrame(RNG.poisson(np.exp(0.5 * X.to_numpy())), columns=["a", "b"])
TRIAL = np.arange(N) // 10
#: Attributes that `fit` sets, and those that only folds leave.
BOTH = ("lambda_path_", "loss_", "penalty_", "neurons_are_named_", "feature_scaling_", "sample_labels_")
OF_FOLDS = ("splits_", "held_out_once_", "selection_rule_", "cv_coef_", "cv_intercept_")


@pytest.fixture(scope="module")
def model():
    return GLMCV(penalty="lasso", n_lambdas=4, cv=GroupKFold(4)).fit(X, Y, groups=TRIAL)


def test_a_fit_sets_them_and_a_clone_has_none(model):
    for name in (*BOTH, *OF_FOLDS):
        assert hasattr(model, name), name
        assert not hasattr(clone(model), name), name
        assert hasattr(GLM(n_lambdas=2).fit(X, Y), name) == (name in BOTH), name


def test_they_say_how_the_model_was_fitted(model):
    expected = list(GroupKFold(4).split(X, groups=TRIAL))
    for pair, other in zip(model.splits_, expected, strict=True):
        np.testing.assert_array_equal(np.concatenate(pair), np.concatenate(other))
    assert model.lambda_path_.shape == (4, 2)
    assert model.loss_ == get_family("poisson")
    assert model.penalty_.l1_ratio == 1
    assert (model.neurons_are_named_, GLM(n_lambdas=2).fit(X, Y.to_numpy()).neurons_are_named_) == (True, False)
    np.testing.assert_allclose(model.feature_scaling_, [SESSION.mean(), SESSION.std(ddof=0)], rtol=1e-5)
    assert model.sample_labels_.equals(SESSION.index)
    assert GLM(n_lambdas=2).fit(X.to_numpy(), Y.to_numpy()).feature_scaling_ is None
    assert model.selection_rule_ == (0.0, 0.0)
    assert model.held_out_once_
    twice = GLMCV(n_lambdas=2, cv=ShuffleSplit(3, test_size=0.5, random_state=0)).fit(X, Y)
    assert not twice.held_out_once_


def test_weights_of_folds_are_those_that_predict_what_is_held_out(model):
    predicted = np.empty(Y.shape)
    for (_, test), coef, intercept in zip(model.splits_, model.cv_coef_, model.cv_intercept_, strict=True):
        predicted[test] = np.exp(X.to_numpy()[test] @ coef.T + intercept)
    np.testing.assert_allclose(model.predict_held_out(), predicted, rtol=1e-5)


def test_another_selection_renews_them(model):
    again = pickle.loads(pickle.dumps(model)).select(se_fraction=1e3)
    assert again.selection_rule_ == (1e3, 0.0)
    assert (again.lambda_index_ != model.lambda_index_).any()
    at = np.arange(2)
    chosen = np.where((again.lambda_index_ < 4)[:, None], again.cv_coef_path_[:, again.lambda_index_ % 4, at], 0)
    np.testing.assert_array_equal(again.cv_coef_, chosen)


def test_another_parameter_after_the_fit_does_not_change_it(model):
    again = pickle.loads(pickle.dumps(model))
    again.set_params(family="gaussian", penalty="ridge")
    np.testing.assert_array_equal(again.predict(X), model.predict(X))
    assert again.loss_ == get_family("poisson")


@pytest.mark.parametrize("family", ["poisson", "gaussian"])
def test_they_come_back_from_a_file_and_a_pickle(family, tmp_path):
    model = GLMCV(family, penalty="group_lasso", smoothness=0.1, n_lambdas=3, cv=3).fit(X, Y, groups=TRIAL)
    model.select(se_fraction=0.5)
    model.save(tmp_path / "model.nc")
    for again in (popglm.load(tmp_path / "model.nc"), pickle.loads(pickle.dumps(model))):
        for name in ("lambda_path_", "feature_scaling_", "cv_coef_", "cv_intercept_"):
            one, other = getattr(model, name), getattr(again, name)
            np.testing.assert_array_equal(one, other, err_msg=name)
            assert one.dtype == other.dtype, name
        for name in ("loss_", "neurons_are_named_", "held_out_once_", "selection_rule_"):
            assert getattr(model, name) == getattr(again, name), name
        assert again.sample_labels_.equals(model.sample_labels_)
        for pair, other in zip(model.splits_, again.splits_, strict=True):
            np.testing.assert_array_equal(np.concatenate(pair), np.concatenate(other))
        W = RNG.standard_normal((2, 2))
        np.testing.assert_array_equal(model.penalty_.value(W, np.ones(2)), again.penalty_.value(W, np.ones(2)))


def test_folds_that_a_file_does_not_tell_are_none(tmp_path):
    rows = np.arange(N)
    GLMCV(n_lambdas=2, cv=[(rows[50:150], rows[:50]), (rows[:150], rows[150:])]).fit(X, Y).save(tmp_path / "m.nc")
    assert popglm.load(tmp_path / "m.nc").splits_ is None


class TestTakeStrengths:
    def test_one_for_all_one_each_and_by_name(self, model):
        again = pickle.loads(pickle.dumps(model))
        for given, index in (
            (1, [1, 1]),
            ([2, 0], [2, 0]),
            (pd.Series({"b": 3, "a": 1}), [1, 3]),
        ):
            assert again.take_strengths(given) is again
            np.testing.assert_array_equal(again.lambda_index_, index)
            np.testing.assert_array_equal(again.lambda_, model.lambda_path_[index, [0, 1]])
            np.testing.assert_array_equal(again.coef_, model.coef_path_[index, [0, 1]])
            np.testing.assert_array_equal(again.cv_coef_, model.cv_coef_path_[:, index, [0, 1]])
            np.testing.assert_array_equal(again.cv_intercept_, model.cv_intercept_path_[:, index, [0, 1]])
            explained = model.cv_deviance_explained_path_[index, [0, 1]]
            np.testing.assert_array_equal(again.cv_deviance_explained_, explained)

    def test_the_null_model(self, model):
        again = pickle.loads(pickle.dumps(model)).take_strengths(4)
        assert np.isinf(again.lambda_).all()
        np.testing.assert_allclose(again.predict(X), np.broadcast_to(Y.mean(), Y.shape), rtol=1e-5)

    @pytest.mark.parametrize(
        ("index", "sentence"),
        [
            (5, "lambda_index=5 must hold whole numbers from 0 to 4"),
            (-1, "whole numbers"),
            (0.5, "whole numbers"),
            (True, "numbers, not True or False"),
            ([0, 1, 2], r"shape \(2,\), one per neuron; it has \(3,\)"),
            (pd.Series({"a": 1, "c": 0}), "lambda_index lacks neuron 'b' of the fit"),
            ("first", "lambda_index must hold numbers"),
        ],
    )
    def test_wrong_ones(self, model, index, sentence):
        with pytest.raises(ValueError, match=sentence):
            model.take_strengths(index)
