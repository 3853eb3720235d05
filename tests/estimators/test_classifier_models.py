"""What is done with a model of categorical responses: folds, strengths, predictions, files, scikit-learn's tools."""

import pickle
import warnings

import numpy as np
import pandas as pd
import pytest
from categorical import EXACT, SIZES, choices, quietly
from scipy.special import log_softmax, softmax
from sklearn.base import clone
from sklearn.metrics import log_loss
from sklearn.model_selection import GridSearchCV, GroupKFold, StratifiedKFold, cross_val_score

import popglm as pg

SETTINGS = {"penalty": "group_lasso", "feature_groups": SIZES, "n_lambdas": 5, "lambda_min_ratio": 1e-2, **EXACT}


@pytest.fixture(scope="module")
def session():
    """X with names, two responses of unequal classes of which one is not known everywhere, and trials."""
    X, codes = choices(labels=["explore", "groom", "rest", "sleep"])
    side = np.where(X[:, 0] + np.random.default_rng(1).logistic(size=600) > 0, "right", "left").astype(object)
    side[::7] = None
    columns = pd.MultiIndex.from_tuples(
        [(f"g{g}", f"x{i}") for g, size in enumerate(SIZES) for i in range(size)], names=["group", "feature"]
    )
    return pd.DataFrame(X, columns=columns), pd.DataFrame({"state": codes, "side": side}), np.arange(600) // 12


@pytest.fixture(scope="module")
def model(session):
    X, Y, trial = session
    return quietly(pg.ClassifierGLMCV(**SETTINGS | {"feature_groups": None}), X, Y, groups=trial)


def test_classes_are_those_of_all_responses(model, session):
    X, Y, _ = session
    assert model.classes_.tolist() == ["explore", "groom", "left", "rest", "right", "sleep"]
    assert model.has_class_.tolist() == [[1, 1, 0, 1, 0, 1], [0, 0, 1, 0, 1, 0]]
    p = model.predict_proba(X)
    assert p.shape == (600, 2, 6)
    np.testing.assert_allclose(p.sum(axis=2), 1)
    assert not p[:, 1, [0, 1, 3, 5]].any()
    assert not model.coef_[1, [0, 1, 3, 5]].any()
    assert set(model.predict(X)[:, 1]) == {"left", "right"}
    np.testing.assert_array_equal(model.class_counts_.sum(axis=1), Y.notna().sum())


def test_every_response_is_fitted_as_if_it_were_alone(model, session):
    X, Y, trial = session
    known = Y["side"].notna().to_numpy()
    alone = pg.ClassifierGLM(**SETTINGS | {"lambdas": model.lambdas_[:, 1]}).fit(X.to_numpy()[known], Y["side"][known])
    np.testing.assert_allclose(alone.coef_path_[:, 0], model.coef_path_[:, 1, [2, 4]], atol=2e-6)
    state = quietly(pg.ClassifierGLMCV(**SETTINGS), X.to_numpy(), Y["state"], groups=trial)
    np.testing.assert_allclose(state.cv_deviance_[..., 0], model.cv_deviance_[..., 0], rtol=1e-9)
    np.testing.assert_allclose(state.coef_, model.coef_[0, [0, 1, 3, 5]], atol=1e-6)


def test_folds_are_fits_to_their_training_rows_alone(model, session):
    X, Y, _ = session
    codes = model.classes_.searchsorted(Y["state"])
    for fold, (train, test) in enumerate(model.splits_):
        path = {"lambdas": model.lambdas_[:, 0]}
        alone = quietly(pg.ClassifierGLM(**SETTINGS | path), X.to_numpy()[train], Y["state"].iloc[train])
        np.testing.assert_allclose(model.cv_coef_path_[fold, :, 0][:, [0, 1, 3, 5]], alone.coef_path_[:, 0], atol=2e-6)
        for k in range(5):
            eta = X.to_numpy()[test] @ model.cv_coef_path_[fold, k, 0].T + model.cv_intercept_path_[fold, k, 0]
            deviance = -2 * log_softmax(eta, axis=1)[np.arange(len(test)), codes[test]].sum()
            np.testing.assert_allclose(model.cv_deviance_[fold, k, 0], deviance, rtol=1e-6)
        shares = Y["state"].iloc[train].value_counts(normalize=True)
        null = -2 * np.log(shares[Y["state"].iloc[test]]).sum()
        np.testing.assert_allclose(model.cv_null_model_deviance_[fold, 0], null, rtol=1e-9)
    shares = Y["state"].value_counts(normalize=True)
    np.testing.assert_allclose(model.cv_null_deviance_[0], -2 * np.log(shares[Y["state"]]).sum(), rtol=1e-12)
    explained = 1 - model.cv_deviance_[..., 0].sum(axis=0) / model.cv_null_deviance_[0]
    np.testing.assert_allclose(model.cv_deviance_explained_path_[:, 0], explained)
    best = model.cv_deviance_.mean(axis=0).argmin(axis=0)
    np.testing.assert_array_equal(model.lambda_index_, best)
    assert (model.cv_deviance_explained_ > 0.1).all()


def test_rules_of_selection_are_taken_without_fitting(model):
    deviance = model.cv_deviance_
    error = deviance.std(axis=0) / np.sqrt(5)
    mean = deviance.mean(axis=0)
    best = mean.argmin(axis=0)
    want = [(mean[:, j] <= mean[best[j], j] + error[best[j], j]).argmax() for j in range(2)]
    other = pickle.loads(pickle.dumps(model)).select(se_fraction=1.0)
    np.testing.assert_array_equal(other.lambda_index_, want)
    np.testing.assert_array_equal(other.coef_[0], model.coef_path_[want[0], 0])
    with pytest.warns(pg.PopglmWarning, match="min_lambda=9 lies above all strengths"):
        np.testing.assert_array_equal(other.select(min_lambda=9.0).lambda_index_ % 5, 0)
    other.take_strengths(5)
    assert not other.coef_.any()
    np.testing.assert_array_equal(other.intercept_, model.null_intercept_)
    assert np.isinf(other.lambda_).all()


def test_held_out_probabilities_are_those_of_the_folds(model, session):
    X, *_ = session
    p = model.predict_proba_held_out()
    for fold in range(5):
        held = model.fold_ == fold
        eta = X.to_numpy()[held] @ model.cv_coef_[fold, 0].T + model.cv_intercept_[fold, 0]
        np.testing.assert_allclose(p[held, 0], softmax(eta, axis=1), atol=1e-12)
    shuffled = X.iloc[::-1]
    np.testing.assert_allclose(model.predict_proba_held_out(shuffled), p)


def test_validation_data_choose_a_strength(session):
    X, Y, _ = session
    first, last = slice(0, 400), slice(400, 600)
    model = quietly(pg.ClassifierGLM(**SETTINGS | {"feature_groups": None}), X[first], Y[first])
    model.select(X[last], Y[last])
    every = [model.take_strengths(k).evaluate(X[last], Y[last])["deviance_explained"] for k in range(5)]
    np.testing.assert_allclose(model.deviance_explained_path_, every)
    model.select(X[last], Y[last])
    np.testing.assert_array_equal(model.lambda_index_, np.argmax(every, axis=0))


def test_scores_are_scikit_learns_log_loss_and_accuracy(model, session):
    X, Y, _ = session
    found = model.evaluate(X, Y)
    known = Y["side"].notna().to_numpy()
    p = model.predict_proba(X)[known][:, 1][:, [2, 4]]
    side = Y["side"][known].astype(str)
    np.testing.assert_allclose(found.loc["side", "deviance"], 2 * log_loss(side, p, normalize=False), rtol=1e-6)
    np.testing.assert_allclose(found.loc["side", "accuracy"], (model.predict(X)[known, 1] == side).mean())
    np.testing.assert_allclose(found.loc["side", "null_accuracy"], side.value_counts(normalize=True).max())
    assert model.score(X, Y) == pytest.approx(found["deviance_explained"].mean())
    # columns, rows and responses are found by their names
    mixed = Y[["side", "state"]].iloc[::-1]
    pd.testing.assert_frame_equal(model.evaluate(X[X.columns[::-1]], mixed), found)
    nothing = model.evaluate(X, Y.assign(side=None))
    assert nothing.loc["side"].isna().all()


def test_models_come_back_from_files(model, session, tmp_path):
    X, *_ = session
    model.save(tmp_path / "model.nc")
    again = pg.load(tmp_path / "model.nc")
    assert isinstance(again, pg.ClassifierGLMCV)
    np.testing.assert_array_equal(again.predict_proba(X), model.predict_proba(X))
    np.testing.assert_array_equal(again.predict_proba_held_out(X), model.predict_proba_held_out(X))
    np.testing.assert_array_equal(again.classes_, model.classes_)
    assert [name for name in vars(model) if name not in vars(again)] == ["_X_fit"]
    assert again.select(se_fraction=1.0).lambda_index_.tolist() == model.select(se_fraction=1.0).lambda_index_.tolist()
    model.select(se_fraction=0.0)
    data = model.to_xarray()
    assert data.coef.dims == ("neuron", "class", "feature")
    np.testing.assert_array_equal(data.coef.sel({"neuron": "state", "class": "rest"}), model.coef_[0, 3])
    assert data.coef.group.values.tolist() == ["g0"] * 2 + ["g1"] * 3 + ["g2"] * 3


@pytest.mark.parametrize("labels", [[3, 5, 7, 9], [True, False, True, True], ["a", "b", "c", "ä"]])
def test_labels_keep_their_kind_in_files(labels, tmp_path):
    X, y = choices(200, labels=labels)
    model = quietly(pg.ClassifierGLM(lambdas=[0.1], class_weight={labels[0]: 2.0}), X, y)
    model.save(tmp_path / "model.nc")
    again = pg.load(tmp_path / "model.nc")
    assert again.classes_.dtype == model.classes_.dtype
    assert again.class_weight == {labels[0]: 2.0}
    np.testing.assert_array_equal(again.predict(X), model.predict(X))
    assert again.score(X, y) == model.score(X, y)


def test_damaged_files_are_told(model, tmp_path):
    data, about = model.described()
    from popglm.estimators.loading import model_of

    with pytest.raises(ValueError, match="lacks 'cv_class_counts'"):
        model_of(data.drop_vars("cv_class_counts"), about, "here.nc")
    del about["classes"]
    with pytest.raises(ValueError, match="lacks 'classes'"):
        model_of(data, about, "here.nc")


def test_a_fold_that_lacks_a_class_does_not_score_it():
    X, codes = choices(300, 3, labels=["a", "b", "a"])
    codes = codes.astype(object)
    codes[:4] = "rare"
    splits = [(np.arange(100, 300), np.arange(100)), (np.arange(150), np.arange(150, 300))]
    settings = SETTINGS | {"cv": splits}
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", pg.PopglmWarning)
        with pytest.warns(pg.PopglmWarning, match="no training sample of 1 class, .* rare of neuron0"):
            model = pg.ClassifierGLMCV(**settings).fit(X, codes)
    assert np.isfinite(model.cv_deviance_).all()
    p = model.predict_proba_held_out(X) if model.held_out_once_ else None
    assert p is not None
    assert not p[:100, 2].any()
    seen = np.arange(4, 100)
    eta = X[seen] @ model.cv_coef_path_[0, 2, 0, :2].T + model.cv_intercept_path_[0, 2, 0, :2]
    want = -2 * log_softmax(eta, axis=1)[np.arange(96), (codes[seen] == "b").astype(int)].sum()
    np.testing.assert_allclose(model.cv_deviance_[0, 2, 0], want, rtol=1e-6)
    # the penalty is that of the three classes of the response
    path = settings | {"lambdas": model.lambdas_[:, 0] * np.sqrt(3 / 2)}
    del path["cv"]
    alone = quietly(pg.ClassifierGLM(**path), X[100:], codes[100:])
    np.testing.assert_allclose(model.cv_coef_path_[0, :, 0, :2], alone.coef_path_[:, 0], atol=2e-6)
    shares = pd.Series(codes[np.r_[seen, 150:300]]).value_counts(normalize=True)
    want = -2 * np.log(shares[codes[np.r_[seen, 150:300]]]).sum()
    np.testing.assert_allclose(model.cv_null_deviance_, want, rtol=1e-12)


def test_responses_of_one_class_have_no_weights(quiet):
    X, codes = choices(200, 3)
    Y = pd.DataFrame({"constant": "x", "choice": np.where(codes > 0, "y", "z"), "unknown": None})
    with pytest.warns(pg.PopglmWarning, match="of one class, or known nowhere: constant, unknown"):
        model = pg.ClassifierGLMCV(**SETTINGS | {"cv": 3}).fit(X, Y)
    assert not model.coef_[[0, 2]].any()
    assert np.isfinite(model.coef_path_).all()
    assert model.null_fitted_.tolist() == [True, False, True]
    assert (model.predict(X)[:, 0] == "x").all()
    np.testing.assert_array_equal(model.predict_proba(X)[:, 0], [[1, 0, 0]] * 200)
    assert model.cv_deviance_explained_[0] == 0
    assert np.isnan(model.cv_deviance_explained_[2])
    assert model.cv_deviance_explained_[1] > 0
    alone = quietly(pg.ClassifierGLM(), X, ["same"] * 200)
    assert alone.score(X, ["same"] * 200) == 0


def test_what_nothing_drives_takes_the_null_model():
    rng = np.random.default_rng(0)
    model = pg.ClassifierGLMCV("group_lasso", feature_groups=[5, 5]).fit(
        rng.standard_normal((300, 10)), rng.integers(3, size=300)
    )
    assert model.lambda_index_[0] == 20
    assert not model.coef_.any()
    np.testing.assert_array_equal(model.intercept_, model.null_intercept_[0])
    assert model.cv_deviance_explained_[0] < 0


def test_scikit_learns_tools_take_it(session):
    X, Y, trial = session
    y = Y["state"]
    model = pg.ClassifierGLM("ridge", precision="float64", lambdas=[0.1])
    found = clone(model).set_params(lambdas=[0.01]).get_params()
    assert found["lambdas"] == [0.01]
    search = GridSearchCV(model, {"lambdas": [[1.0], [0.01]]}, cv=GroupKFold(3)).fit(X, y, groups=trial)
    assert search.best_params_ == {"lambdas": [0.01]}
    scores = cross_val_score(model, X, y, groups=trial, cv=GroupKFold(3), scoring="neg_log_loss")
    np.testing.assert_allclose(scores.mean(), -1, atol=0.35)
    side = Y["side"].dropna()
    auc = cross_val_score(model, X.loc[side.index], side, cv=3, scoring="roc_auc")
    assert (auc > 0.5).all()
    split = quietly(pg.ClassifierGLMCV(cv=StratifiedKFold(3), lambdas=[0.1]), X, y)
    assert split.cv_class_counts_[:, 0].std(axis=0).max() < 1


def test_without_an_intercept_classes_begin_even():
    X, codes = choices(300, 3)
    model = quietly(pg.ClassifierGLM("group_lasso", feature_groups=SIZES, fit_intercept=False, **EXACT), X, codes)
    assert not model.intercept_path_.any()
    assert not model.coef_path_[0].any()
    np.testing.assert_allclose(model.loss_path_[0, 0], np.log(3), rtol=1e-9)
    eta = X @ model.coef_.T
    force = (softmax(eta, axis=1) - np.eye(3)[codes]).T @ X / len(X)
    first = model.coef_[:, :2]
    pull = model.lambda_[0] * np.sqrt(6) * first / np.linalg.norm(first)
    np.testing.assert_allclose(force[:, :2], -pull, atol=1e-6)


def test_refit_false_leaves_the_folds_alone(session):
    X, Y, trial = session
    model = quietly(pg.ClassifierGLMCV(**SETTINGS | {"feature_groups": None, "refit": False}), X, Y, groups=trial)
    assert model.coef_path_ is None
    with pytest.raises(AttributeError, match="refit=False"):
        model.coef_  # noqa: B018
    with pytest.raises(ValueError, match="refit=False"):
        model.predict(X)
    assert model.predict_proba_held_out(X).shape == (600, 2, 6)


def test_strengths_at_an_end_of_their_grid_are_counted(session):
    X, Y, trial = session
    Y = Y.assign(noise=np.random.default_rng(2).choice(["a", "b"], 600))
    settings = {"feature_groups": None, "lambdas": [0.02, 0.01]}
    with pytest.warns(pg.PopglmWarning, match="an end of its grid: of 3 responses 2 took the weakest .smaller lambdas"):
        model = pg.ClassifierGLMCV(**SETTINGS | settings).fit(X, Y, groups=trial)
    assert model.summary()["responses at the weakest strength"] == 2
    assert model.summary()["responses at the strongest strength"] == 0
    with pytest.warns(pg.PopglmWarning, match="end of its grid: of 3 responses 2 took the weakest"):
        quietly(pg.ClassifierGLM(**SETTINGS | settings), X, Y).select(X, Y.assign(noise=None))
    far = pg.ClassifierGLMCV(**SETTINGS | settings | {"lambdas": [1e-4, 1e-9]})
    with pytest.warns(pg.PopglmWarning, match="2 took the strongest .larger lambdas may"):
        far.fit(X[:200], Y[["state", "side"]][:200], groups=trial[:200])


def test_predictions_are_tensors_where_X_is(session):
    torch = pytest.importorskip("torch")
    X, Y, _ = session
    plain = quietly(pg.ClassifierGLM(**SETTINGS), X.to_numpy(), Y["state"])
    for predict in (plain.predict_proba, plain.decision_function):
        found = predict(torch.tensor(X.to_numpy()))
        assert isinstance(found, torch.Tensor)
        np.testing.assert_array_equal(found.numpy(), predict(X.to_numpy()))
