"""What a `LowRankGLM` chooses, predicts, says, keeps in files, and refuses."""

import numpy as np
import pandas as pd
import pytest
from estimators.low_rank import BASIS, TRIAL, N, Q, coupled, network, quietly
from sklearn.base import clone
from sklearn.model_selection import GroupKFold

import popglm as pg


@pytest.fixture(scope="module")
def recorded():
    counts = network(seed=1)
    X, design = coupled(counts)
    model = pg.LowRankGLM(low_rank=range(5), lambdas=[0.05, 0.02], cv=3).fit(X, counts, groups=TRIAL)
    return X, counts, design, model


def test_folds_choose_the_planted_rank_and_beat_a_ridge_of_all_weights(recorded):
    X, counts, _, model = recorded
    assert model.low_rank_ == model.rank_ == 2
    table = model.candidates_
    assert list(table["low_rank"]) == list(np.repeat(range(5), 2))
    assert table["deviance"].argmin() == model.candidate_
    ridge = pg.GLMCV(cv=model.splits_).fit(X, counts)
    held_out = np.nansum(model.cv_deviance_), np.nansum(ridge.cv_deviance_[:, ridge.lambda_index_, range(Q)])
    assert held_out[0] < held_out[1]
    later = network(seed=2)
    new = recorded[2].transform(later)
    assert model.score(new, later) > ridge.score(new, later)
    # the space of the sources is that of the two signals, through the basis at a lag of one sample
    near = np.linalg.qr(np.array([[1, 1, -1, 0, 0, 0, 0, 0], [0, 0, 0, 1, 1, 0, 0, -1.0]]).T)[0]
    raw = model.source_loadings_.to_numpy()[::2] / np.asarray(recorded[2].scales_)[::2, None]
    assert np.linalg.svd(near.T @ np.linalg.qr(raw)[0])[1].min() > 0.9


def test_held_out_deviances_are_those_of_fits_to_the_other_trials(recorded):
    X, counts, _, model = recorded
    train, test = model.splits_[1]
    number = 5
    rank, strength = model.candidates_.loc[number, ["low_rank", "lambda"]]
    alone = pg.LowRankGLM(low_rank=int(rank), lambdas=float(strength)).fit(X.iloc[train], counts.iloc[train])
    found = alone.evaluate(X.iloc[test], counts.iloc[test])["deviance"]
    np.testing.assert_allclose(model.cv_candidate_deviance_[1, number], found, rtol=2e-4)
    held_out = model.predict_held_out()
    y = counts.to_numpy()
    unit = 2 * (np.where(y > 0, y * np.log(np.where(y > 0, y, 1) / held_out), 0) - (y - held_out))
    np.testing.assert_allclose(unit.sum(axis=0), np.nansum(model.cv_deviance_, axis=(0, 1)), rtol=1e-4)


def test_standard_errors_choose_the_smallest_rank_within_them(recorded):
    X, counts, _, model = recorded
    table = model.candidates_
    lowest = table.loc[model.candidate_]
    some = table["deviance"] <= lowest["deviance"] + lowest["standard_error"]
    one = clone(model).set_params(se_fraction=1.0).fit(X, counts, groups=TRIAL)
    assert one.candidate_ == some.idxmax()
    few = clone(model).set_params(se_fraction=30.0, low_rank=[0, 2], lambdas=0.05).fit(X, counts, groups=TRIAL)
    assert few.low_rank_ == 0


def test_a_grid_of_strengths_begins_where_there_is_no_coupling(recorded):
    X, counts, *_ = recorded
    model = pg.LowRankGLM(low_rank=2, n_lambdas=3, lambda_min_ratio=0.1, cv=2).fit(X, counts)
    grid = model.candidates_["lambda"].to_numpy()
    np.testing.assert_allclose(grid[1:] / grid[:-1], 0.1**0.5)
    assert pg.LowRankGLM(low_rank=2, lambdas=1.01 * grid[0]).fit(X, counts).rank_ == 0
    assert pg.LowRankGLM(low_rank=2, lambdas=0.9 * grid[0]).fit(X, counts).rank_ > 0


def test_latent_signals_make_the_predictor(recorded):
    X, counts, _, _ = recorded
    model = pg.LowRankGLM(low_rank=2, lambdas=0.05, own="low_rank").fit(X, counts)
    signals = model.latent_signals(X)
    eta = signals @ (model.singular_values_[:, None] * model.target_loadings_.to_numpy().T) + model.intercept_
    np.testing.assert_allclose(np.exp(eta), model.predict(X), rtol=1e-4)
    more = pg.LowRankGLM(low_rank=6, lambdas=0.01, own="low_rank").fit(X, counts)
    for loadings in (more.source_loadings_, more.target_loadings_):
        np.testing.assert_allclose(loadings.T @ loadings, np.eye(6), atol=1e-6)
    assert (np.abs(more.target_loadings_).max() == more.target_loadings_.max()).all()
    assert list(model.source_loadings_.index) == list(X.columns)


@pytest.mark.thorough(keep=1)
@pytest.mark.parametrize("family", ["poisson", "negative_binomial"])
def test_files_keep_the_model(recorded, family, tmp_path):
    X, counts, *_ = recorded
    for low_rank in (1, [1, 2]):
        model = pg.LowRankGLM(family, low_rank=low_rank, lambdas=0.05, cv=2, feature_mask=np.ones((Q, Q), bool))
        quietly(model.fit, X, counts)
        model.save(tmp_path / "model.nc")
        again = pg.load(tmp_path / "model.nc")
        assert again.get_params() | {"feature_mask": None} == model.get_params() | {"feature_mask": None}
        for name in ("coef_", "intercept_", "singular_values_", "gap_", "lambda_", "null_intercept_"):
            np.testing.assert_array_equal(getattr(again, name), getattr(model, name))
        for name in ("source_loadings_", "target_loadings_", "candidates_"):
            pd.testing.assert_frame_equal(getattr(again, name), getattr(model, name))
        for name in ("rank_", "low_rank_", "ridge_", "slope_", "is_global_", "candidate_"):
            assert getattr(again, name) == getattr(model, name)
        np.testing.assert_array_equal(again.latent_signals(X), model.latent_signals(X))
        assert hasattr(again, "fold_") == isinstance(low_rank, list)
        if isinstance(low_rank, list):
            np.testing.assert_array_equal(again.predict_held_out(X), model.predict_held_out())
            pd.testing.assert_series_equal(again.summary(), model.summary())


def test_explanations_take_the_model_or_say_why_not(recorded):
    X, counts, design, model = recorded
    found = pg.connectivity(model, design)
    assert found["net"].sizes == {"source": Q, "target": Q}
    assert np.linalg.matrix_rank(found["net"].values, tol=1e-3) > 2  # own pasts stand beside
    drawn = pg.simulate(model, design, counts, n=1)["activity"]
    assert abs(drawn.mean() / counts.to_numpy().mean() - 1) < 0.1
    assert float(pg.breakdown(model, X, counts)["deviance_explained"].mean()) == pytest.approx(
        model.cv_deviance_explained_.mean(), abs=1e-4
    )
    assert pg.goodness_of_fit(model, X, counts)["aic"].isna().all()
    for refit in (pg.compare, pg.shapley):
        more = {} if refit is pg.compare else {"method": "refit"}
        with pytest.raises(TypeError, match=r"re-fits of a LowRankGLM are not made"):
            refit(model, X, counts, **more)
    with pytest.raises(TypeError, match="bootstrap: re-fits of a LowRankGLM"):
        pg.bootstrap(model, design, X, counts, trial=TRIAL)
    with pytest.raises(ValueError, match="penalty='low_rank'"):
        pg.wald(model, X, counts)
    with pytest.raises(TypeError, match="one strength; fit again"):
        model.take_strengths(0)
    zero = pg.LowRankGLM(low_rank=2, lambdas=0.05, own="zero").fit(X, counts)
    assert np.isnan(np.diag(pg.connectivity(zero, design)["net"])).all()
    with pytest.raises(ValueError, match=r"breakdown scores held-out.*LowRankGLM without folds.*is a sequence"):
        pg.breakdown(zero, X, counts)


def test_folds_choose_the_ridge_of_free_weights(recorded):
    X, counts, *_ = recorded
    model = pg.LowRankGLM(low_rank=1, lambdas=0.05, ridge=[0.003, 1.0, 0.03], cv=2)
    quietly(model.fit, X, counts)
    table = model.candidates_
    assert list(table["ridge"]) == [1.0, 0.03, 0.003]
    assert model.ridge_ == table["ridge"][table["deviance"].argmin()] < 1.0
    alone = pg.LowRankGLM(low_rank=1, lambdas=0.05, ridge=model.ridge_).fit(X, counts)
    np.testing.assert_allclose(model.coef_, alone.coef_, atol=1e-3)
    with pytest.warns(pg.PopglmWarning, match=r"the ridge 1 is at an end of those tried"):
        pg.LowRankGLM(low_rank=1, lambdas=0.05, ridge=[1.0, 100.0], cv=2).fit(X, counts)


def test_other_data_than_those_of_the_fit_are_told(recorded):
    X, counts, _, model = recorded
    with pytest.raises(ValueError, match="goodness_of_fit: X, Y, sample_weight or offset are not those of the fit"):
        pg.goodness_of_fit(model, X, counts[::-1].reset_index(drop=True))


def test_a_choice_at_an_end_is_told(recorded):
    X, counts, *_ = recorded
    with pytest.warns(pg.PopglmWarning, match=r"lies at an end: the rank 1 is the largest of low_rank;") as said:
        pg.LowRankGLM(low_rank=[0, 1], lambdas=0.05, cv=2).fit(X, counts)
    assert len(said) == 1
    with pytest.warns(pg.PopglmWarning, match=r"the strength 0\.2 is the smallest that was tried"):
        pg.LowRankGLM(low_rank=2, lambdas=[0.4, 0.2], cv=2).fit(X, counts)
    with pytest.warns(pg.PopglmWarning, match=r"the strength 0\.01 is the largest that was tried"):
        pg.LowRankGLM(low_rank=3, lambdas=[0.01, 1e-4], cv=2).fit(X, counts)


def test_splitters_make_folds_and_files_count_them(recorded, tmp_path):
    X, counts, *_ = recorded
    model = pg.LowRankGLM(low_rank=[1, 2], lambdas=0.05, cv=GroupKFold(3)).fit(X, counts, groups=TRIAL)
    model.save(tmp_path / "model.nc")
    assert pg.load(tmp_path / "model.nc").cv == 3
    model.set_params(low_rank=1).fit(X, counts)
    model.save(tmp_path / "model.nc")
    assert pg.load(tmp_path / "model.nc").cv == 5


def test_a_fit_without_folds_forgets_those_of_the_one_before(recorded):
    X, counts, *_ = recorded
    model = pg.LowRankGLM(low_rank=[1, 2], lambdas=0.05, cv=2).fit(X, counts)
    model.set_params(low_rank=1).fit(X, counts)
    assert not hasattr(model, "fold_")
    assert not hasattr(model, "cv_deviance_explained_")
    assert "held-out deviance explained, mean" not in model.summary()


BAD = {
    "low_rank=-1 must be a rank": {"low_rank": -1},
    r"low_rank=\[1, 1\] must be a rank": {"low_rank": [1, 1]},
    "low_rank=True must be a rank": {"low_rank": True},
    "low_rank=1.5 must be a rank": {"low_rank": 1.5},
    r"low_rank=\[\] must be a rank": {"low_rank": []},
    "own must be 'free', 'zero' or 'low_rank'; found 'none'": {"own": "none"},
    "low_rank_groups names 'n9', which no feature group": {"low_rank_groups": "n9"},
    "low_rank_groups is empty": {"low_rank_groups": []},
    "low_rank_groups must be a name": {"low_rank_groups": 3},
    "lambdas must descend": {"lambdas": [0.1, 0.2]},
    "lambdas must be finite": {"lambdas": -1.0},
    "lambdas must be a strength, or a sequence": {"lambdas": [[0.1, 0.2]]},
    "ridge=-1 must be a strength of at least 0": {"ridge": -1},
    r"ridge=\[0.1, 0.1\] must be": {"ridge": [0.1, 0.1]},
    "ridge=True must be": {"ridge": True},
    "lambda_min_ratio=1 must lie between": {"lambda_min_ratio": 1},
    "se_fraction=-1 must be": {"se_fraction": -1},
    "precision='half' is unknown": {"precision": "half"},
    "does not fit family='poisson' with inverse_link='identity'": {"inverse_link": "identity"},
    "max_iter=0 must be at least 1": {"max_iter": 0},
    "detours=-1 must be at least 0": {"detours": -1},
    "se_fraction=1 asks for standard errors over folds": {
        "low_rank": [1],
        "cv": [(range(600), range(600, N))],
        "se_fraction": 1,
    },
    "feature_mask has 3 columns": {"feature_mask": np.ones((Q, 3), bool)},
}


@pytest.mark.parametrize("said", BAD)
def test_bad_arguments_are_told(recorded, said):
    X, counts, *_ = recorded
    with pytest.raises((ValueError, TypeError), match=said):
        pg.LowRankGLM(**{"lambdas": 0.05, **BAD[said]}).fit(X, counts)


def test_activity_without_names_is_told_to_have_some(recorded):
    X, counts, *_ = recorded
    with pytest.raises(ValueError, match=r"own='free': Y has no names.*'n0 coupling'.*or own='low_rank'"):
        pg.LowRankGLM(lambdas=0.05).fit(X, counts.to_numpy())
    one = pg.LowRankGLM(lambdas=0.05, own="low_rank").fit(X, counts.to_numpy())
    other = pg.LowRankGLM(lambdas=0.05, own="low_rank").fit(X, counts)
    np.testing.assert_array_equal(one.coef_, other.coef_)
    # other neurons, of another area, have no past of their own in X
    targets = counts.rename(columns=lambda name: f"target {name}")
    pg.LowRankGLM(lambdas=0.05).fit(X, targets)


def test_one_fold_has_no_standard_error(recorded):
    X, counts, *_ = recorded
    model = pg.LowRankGLM(low_rank=[0, 1], lambdas=0.05, cv=[(range(600), range(600, N))], detours=0)
    table = quietly(model.fit, X, counts).candidates_
    assert table["standard_error"].isna().all()
    assert table["deviance"].notna().all()
    split = pg.GLMCV(lambdas=[0.1], cv=[(range(600), range(600, N))], tol=1e-2).fit(X, counts)
    sentence = "se_fraction=1 asks for standard errors over folds, and cv has a single one"
    with pytest.raises(ValueError, match=sentence):
        split.select(se_fraction=1)
    with pytest.raises(ValueError, match=sentence):
        split.set_params(se_fraction=1).fit(X, counts)


def test_models_without_folds_and_groups_without_names_are_told_how_to_get_them(recorded):
    X, counts, *_ = recorded
    model = pg.LowRankGLM(low_rank=1, lambdas=0.05, detours=0).fit(X, counts)
    with pytest.raises(
        ValueError, match=r"predict_held_out: this is a LowRankGLM without folds.*lambdas or ridge is a"
    ):
        model.predict_held_out()
    with pytest.raises(TypeError, match="compare: re-fits of a LowRankGLM are not made"):
        pg.compare(model, X, counts)
    for test in (pg.wald, pg.likelihood_ratio):
        with pytest.raises(ValueError, match=r"it a popglm.GLM with penalty='none' and no smoothness\.$"):
            test(model, X, counts)
    with pytest.raises(ValueError, match=r"the same order\. X lacks 'n0 coupling / bump0'\.$"):
        model.predict(X.iloc[:, 1:])
    flat = X.set_axis([f"c{k}" for k in range(X.shape[1])], axis=1)
    with pytest.raises(ValueError, match=r"matches \('feature0'.*give it \(group, feature\) columns.*feature_groups"):
        pg.LowRankGLM(low_rank_groups=["c0"], lambdas=0.05).fit(flat, counts)
    whole = pg.Design([pg.linear("n0"), pg.history("n1", BASIS)])
    other = pg.LowRankGLM(low_rank=1, lambdas=0, low_rank_groups="n0", max_iter=50)
    quietly(other.fit, whole.fit_transform(counts), counts[["n1", "n2"]])
    with pytest.raises(ValueError, match="low-rank part, only 'n0'; look at source_loadings_"):
        pg.latent_couplings(other, whole)


def test_what_is_not_fitted_is_told(recorded):
    X, counts, *_ = recorded
    with pytest.warns(pg.ConvergenceWarning, match=r"gradient is not within tol=0\.0001 after \d of max_iter=2"):
        pg.LowRankGLM(lambdas=0.05, max_iter=2).fit(X, counts)


def test_groups_without_coupling_are_all_of_low_rank():
    rng = np.random.default_rng(0)
    X, Y = rng.standard_normal((300, 4)), rng.standard_normal((300, 3))
    model = pg.LowRankGLM("gaussian", low_rank=1, lambdas=0).fit(X, Y)
    assert model.source_loadings_.shape == (4, 1)
    assert np.linalg.matrix_rank(model.coef_, tol=1e-6) == 1
