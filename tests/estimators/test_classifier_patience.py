"""Responses of classifiers that go down no further once their held-out deviance has turned."""

import warnings

import numpy as np
import pytest

import popglm as pg
from popglm.io import checkpoints
from popglm.solve.walk.walk import Walk
from popglm.statistics.selection import fitted_strengths

N, TRIAL = 300, np.arange(300) // 10
RNG = np.random.default_rng(0)
#: Many columns for few samples, so that weak strengths overfit.
X = RNG.standard_normal((N, 25))
DRIVE = np.column_stack([X[:, 0], X[:, 1], 0 * X[:, 0]]) + RNG.gumbel(size=(N, 3))
SIDE = np.where(2 * X[:, 2] + RNG.logistic(size=N) > 0, "a", "d")
Y = np.column_stack([np.array(["a", "b", "c"])[DRIVE.argmax(axis=1)], SIDE]).astype(object)
Y[:30, 1] = None
JOB = {"penalty": "ridge", "lambdas": 10.0 ** np.linspace(0, -4, 7), "cv": 3, "precision": "float64", "tol": 1e-7}


def fitted(y=Y, rows=X, **more):
    given = {name: more.pop(name) for name in ("start", "checkpoint") if name in more}
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", pg.PopglmWarning)
        return pg.ClassifierGLMCV(**JOB | more).fit(rows, y, groups=TRIAL, **given)


@pytest.fixture(scope="module")
def full():
    return fitted()


@pytest.mark.thorough(keep=1)
@pytest.mark.parametrize(("patience", "more"), [(1, {}), (2, {"refit": False}), (3, {"penalty_factors": [0, 1]})])
def test_it_is_the_whole_path_down_to_its_turn(patience, more):
    if "penalty_factors" in more:
        more = more | {"feature_groups": ["a"] * 2 + ["b"] * 23}
    full, cut = fitted(**more), fitted(patience=patience, **more)
    turned = fitted_strengths(full.cv_deviance_, patience)
    assert (turned < 7).any()
    np.testing.assert_array_equal(cut.n_lambdas_fitted_, turned)
    np.testing.assert_array_equal(full.n_lambdas_fitted_, 7)
    np.testing.assert_array_equal(cut.lambda_index_, full.lambda_index_)
    names = ["cv_coef_path_", "cv_intercept_path_", "cv_gap_", "cv_n_iter_", "cv_deviance_"]
    names += ["coef_path_", "intercept_path_", "gap_", "n_iter_", "loss_path_"] if cut.refit else []
    for name in names:
        axis = 1 if name.startswith("cv") else 0
        ours, theirs = (np.moveaxis(getattr(m, name), [axis, axis + 1], [0, 1]) for m in (cut, full))
        for r, n in enumerate(turned):
            np.testing.assert_allclose(ours[:n, r], theirs[:n, r], rtol=1e-7, atol=1e-9, err_msg=name)
            if "coef" in name or "intercept" in name:
                np.testing.assert_array_equal(ours[n:, r], np.broadcast_to(ours[n - 1, r], ours[n:, r].shape))
            elif "n_iter" in name:
                assert not ours[n:, r].any()
            else:
                assert np.isnan(ours[n:, r]).all()
    np.testing.assert_allclose(cut.cv_deviance_explained_, full.cv_deviance_explained_, rtol=1e-9)
    np.testing.assert_array_equal(np.isnan(cut.cv_deviance_explained_path_), np.arange(7)[:, None] >= turned)


def test_it_saves_steps():
    full, cut = fitted(tol=1e-4), fitted(tol=1e-4, patience=1)
    assert cut.cv_n_iter_.sum() < 0.8 * full.cv_n_iter_.sum()


def test_it_stops_on_disk_and_from_a_start_too(full):
    stream = pg.RowStream(X, memory=60 * 7 * X[0].nbytes)
    for cut in (fitted(rows=stream, patience=2), fitted(start=full, patience=2)):
        np.testing.assert_array_equal(cut.n_lambdas_fitted_, fitted_strengths(full.cv_deviance_, 2))
        np.testing.assert_allclose(cut.cv_deviance_explained_, full.cv_deviance_explained_, rtol=1e-5)


def test_files_and_explanations_know_where_it_ended(full, tmp_path):
    cut = fitted(patience=2)
    cut.save(tmp_path / "model.nc")
    again = pg.load(tmp_path / "model.nc")
    assert again.patience == 2
    np.testing.assert_array_equal(again.n_lambdas_fitted_, cut.n_lambdas_fitted_)
    np.testing.assert_array_equal(again.cv_deviance_explained_path_, cut.cv_deviance_explained_path_)
    np.testing.assert_array_equal(again.select(se_fraction=1.0).lambda_, cut.select(se_fraction=1.0).lambda_)
    cut.select(se_fraction=0.0)
    one, other = (pg.compare(model, X, Y, {"first": ["feature0"]}, reselect=False) for model in (cut, full))
    np.testing.assert_allclose(one["reduced_deviance"], other["reduced_deviance"], rtol=1e-6)


@pytest.mark.parametrize("number", [5, 25])
def test_it_goes_on_from_a_folder_with_the_same_bits(tmp_path, monkeypatch, number):
    monkeypatch.setattr(checkpoints, "LEAST_SECONDS", 0.0)
    monkeypatch.setattr(checkpoints, "SHARE", np.inf)
    job = {"y": Y[:, 1], "patience": 1, "tol": 1e-4, "cv": 2}
    plain, count, accept = fitted(**job), [0], Walk.accept_or_stay

    def failing(self, *arguments):
        count[0] += 1
        if count[0] == number:
            raise RuntimeError
        return accept(self, *arguments)

    with monkeypatch.context() as patch:
        patch.setattr(Walk, "accept_or_stay", failing)
        with pytest.raises(RuntimeError):
            fitted(checkpoint=tmp_path, **job)
    for again in (fitted(checkpoint=tmp_path, **job), fitted(checkpoint=tmp_path, **job)):
        for name, value in vars(plain).items():
            if isinstance(value, np.ndarray):
                np.testing.assert_array_equal(getattr(again, name), value, name)


def test_responses_of_one_class_and_folds_that_lack_one():
    y = Y.copy()
    y[:, 1] = "only"
    y[(TRIAL >= 8) | (np.arange(N) % 2 == 0), 0] = "b"
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", pg.PopglmWarning)
        folds = [(np.arange(80, N), np.arange(80)), (np.arange(220), np.arange(220, N))]
        model = pg.ClassifierGLMCV(**JOB | {"cv": folds}, patience=1).fit(X, y)
    assert model.n_lambdas_fitted_[1] == 7
    assert model.null_fitted_.tolist() == [False, True]
    assert np.isfinite(model.coef_).all()


@pytest.mark.parametrize("patience", [0, 1.5, "two"])
def test_wrong_numbers_are_told(patience):
    with pytest.raises(ValueError, match="patience="):
        fitted(patience=patience)
