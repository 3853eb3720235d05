"""Folds that train on no sample of a neuron: what they would predict is of no unit, and so is not scored."""

import numpy as np
import pytest
from two_parts import TRIAL, N, a_model, quietly, recorded

import popglm as pg


@pytest.fixture(scope="module")
def recording():
    """Of the first neuron all amounts lie in one trial, of the second in two trials of two folds."""
    X, Y, _ = recorded()
    folds = pg.GLMCV("gaussian", n_lambdas=1, cv=3).fit(X, Y, groups=TRIAL).fold_
    first, other = (TRIAL[folds == fold][0] for fold in (0, 1))
    Y[first != TRIAL, 0] = 0
    Y[~np.isin(TRIAL, [first, other]), 1] = 0
    return X, Y, int(folds[first == TRIAL][0])


@pytest.fixture(scope="module")
def model(recording):
    X, Y, fold = recording
    with pytest.warns(
        pg.PopglmWarning, match=rf"^amounts: Some fold trains on no sample .* these: neuron0 \(fold {fold}\)"
    ):
        return a_model().fit(X, Y, groups=TRIAL)


def test_amounts_that_no_fold_has_learned_of_are_not_scored(recording, model):
    X, Y, fold = recording
    amounts, happened = model.amounts_, (Y[:, 0] > 0).astype(float)
    assert np.isnan(amounts.cv_deviance_[:, :, 0]).all()
    assert np.isnan(amounts.cv_deviance_explained_[0])
    assert (~amounts.cv_trained_).nonzero()[0].tolist() == [fold]
    assert model.events_.cv_trained_.all()
    # the events stand alone
    assert model.cv_deviance_explained_[0] == pytest.approx(model.events_.cv_deviance_explained_[0], rel=1e-12)
    # the fold predicts nothing of amounts, and all others what they have learned
    held_out, chance = model.predict_held_out(X)[:, 0], model.events_.predict_held_out(X)[:, 0]
    assert (held_out[model.fold_ == fold] == 0).all()
    other = model.fold_ != fold
    np.testing.assert_allclose(held_out[other], chance[other] * Y[happened > 0, 0].mean(), rtol=1e-4)
    assert np.isnan(amounts.predict_held_out(X)[model.fold_ == fold, 0]).all()
    # the fit to all rows has all of them
    np.testing.assert_allclose(np.exp(amounts.intercept_[0]), Y[happened > 0, 0].mean(), rtol=1e-5)


def test_what_is_told_of_them_depends_on_no_unit(recording, model):
    X, Y, _ = recording
    other = quietly(a_model().fit, X, 1000 * Y, groups=TRIAL)
    np.testing.assert_allclose(other.cv_deviance_explained_, model.cv_deviance_explained_, rtol=1e-5, atol=1e-6)


def test_what_explains_a_model_leaves_them_out_too(recording, model, tmp_path):
    X, Y, _ = recording
    model.save(tmp_path / "model.nc")
    loaded = pg.load(tmp_path / "model.nc")
    np.testing.assert_array_equal(loaded.amounts_.cv_trained_, model.amounts_.cv_trained_)
    for own in (model, loaded):
        found = quietly(pg.breakdown, own, X, Y)
        np.testing.assert_allclose(found.deviance_explained, model.cv_deviance_explained_, atol=1e-6)
    shares = quietly(pg.shapley, model, X, Y)
    np.testing.assert_allclose(shares.deviance_explained, model.cv_deviance_explained_, atol=1e-6)
    again = quietly(a_model().fit, X, Y, groups=TRIAL).select(X, Y)
    np.testing.assert_allclose(again.cv_deviance_explained_, model.cv_deviance_explained_, rtol=1e-9)


@pytest.mark.parametrize("more", [{}, {"family": "gaussian"}, {"patience": 1}, {"penalty": "lasso", "relaxed": True}])
def test_a_neuron_that_was_recorded_in_one_fold_alone(more):
    X, _, _ = recorded()
    Y = np.random.default_rng(1).poisson(np.exp(0.5 * X[:, :2] + 2)).astype(float)
    folds = np.arange(N) % 3
    Y[folds != 1, 0] = np.nan
    splits = [(np.flatnonzero(folds != k), np.flatnonzero(folds == k)) for k in range(3)]
    settings = {"n_lambdas": 4, "cv": splits} | more
    with pytest.warns(pg.PopglmWarning, match=r"neither predicts nor scores these: neuron0 \(fold 1\)"):
        model = pg.GLMCV(**settings).fit(X, Y)
    alone = quietly(pg.GLMCV(**settings).fit, X, Y[:, 1:])
    np.testing.assert_allclose(model.cv_deviance_[..., 1], alone.cv_deviance_[..., 0], rtol=1e-6)
    assert np.isnan(model.cv_deviance_[..., 0]).all()
    assert np.isnan(model.cv_deviance_explained_[0])
    assert np.isnan(model.predict_held_out(X)[folds == 1, 0]).all()
    assert np.isfinite(model.predict_held_out(X)[folds != 1]).all()
    found = quietly(pg.breakdown, model, X, Y)
    assert np.isnan(found.full_deviance[0])
    np.testing.assert_allclose(found.deviance_explained[1], model.cv_deviance_explained_[1], atol=1e-5)


def test_activity_in_two_parts_of_one_fold_alone_is_not_scored():
    X, Y, _ = recorded()
    Y = Y[:, :2].copy()
    Y[np.arange(N) % 3 != 1, 0] = np.nan
    splits = [(np.flatnonzero(np.arange(N) % 3 != k), np.flatnonzero(np.arange(N) % 3 == k)) for k in range(3)]
    model = quietly(a_model(cv=splits).fit, X, Y)
    assert np.isnan(model.cv_deviance_explained_).tolist() == [True, False]


def test_ranks_are_chosen_without_them():
    X, _, _ = recorded()
    rng = np.random.default_rng(2)
    Y = X[:, :1] * [1.0, 0.5, 0.3] + rng.standard_normal((N, 3)) + [100.0, 0, 0]
    folds = np.arange(N) % 3
    Y[folds != 1, 0] = np.nan
    splits = [(np.flatnonzero(folds != k), np.flatnonzero(folds == k)) for k in range(3)]
    settings = {"family": "gaussian", "low_rank": [0, 1], "lambdas": 0.01, "cv": splits}
    with pytest.warns(pg.PopglmWarning, match=r"neuron0 \(fold 1\)"):
        model = pg.LowRankGLM(**settings).fit(X, Y)
    # 10,000 for each sample of the first neuron would hide what ranks are worth to the others
    assert model.rank_ == 1
    assert np.isnan(model.cv_deviance_explained_[0])
    assert model.candidates_["deviance_explained"].max() > 0.1
