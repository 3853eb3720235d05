"""What fits of classifiers take as `GLM` does: X on disk or sparse, a start, a folder that keeps them."""

import numpy as np
import pandas as pd
import pytest
from categorical import EXACT, SIZES, choices, quietly
from scipy.sparse import csr_array
from sklearn.model_selection import KFold
from sparse_designs import kept_sparse

import popglm as pg
from popglm.io import checkpoints
from popglm.solve.remote.rows import RemoteRows
from popglm.solve.walk.walk import Walk

X, CODES = choices(n=360, n_classes=3)
TRIAL = np.arange(360) // 12
LABELS = np.array(["left", "none", "right"])[CODES]
#: A second response, which is not known everywhere.
TWO = pd.DataFrame({"choice": LABELS, "side": np.where(X[:, 0] + 0.5 * X[:, 7] > 0, "a", "b")}).astype(object)
TWO.iloc[:40, 1] = None
JOB = {"penalty": "group_lasso", "feature_groups": SIZES, "n_lambdas": 2, **EXACT, "tol": 1e-11}
PATHS = ("lambda_path_", "coef_path_", "intercept_path_", "cv_coef_path_", "cv_intercept_path_", "cv_deviance_")


def stream(rows=120):
    return pg.RowStream(X, memory=7 * rows * X[0].nbytes)


def agree(one, other, atol=1e-5):
    for name in PATHS:
        if hasattr(other, name):
            np.testing.assert_allclose(getattr(one, name), getattr(other, name), atol=atol, rtol=1e-6, err_msg=name)


class TestRowsOnDisk:
    @pytest.mark.thorough(keep=1)
    @pytest.mark.parametrize(
        ("cv", "more"),
        [
            (3, {}),
            (KFold(3, shuffle=True, random_state=0), {"penalty": "elastic_net", "feature_groups": None}),
            (3, {"penalty_factors": [1, 0, 1], "penalty": "ridge"}),
            ([(np.arange(240), np.arange(240, 360)), (np.arange(150, 360), np.arange(100))], {}),
        ],
    )
    def test_fits_are_those_of_the_array_in_memory(self, cv, more):
        job = {**JOB, **more, "cv": cv}
        groups = TRIAL if cv == 3 else None
        weights = np.random.default_rng(1).uniform(0.5, 2, 360)
        whole = quietly(pg.ClassifierGLMCV(**job), X, TWO, groups=groups, sample_weight=weights)
        on_disk = quietly(pg.ClassifierGLMCV(**job), stream(), TWO, groups=groups, sample_weight=weights)
        agree(on_disk, whole)
        np.testing.assert_array_equal(on_disk.lambda_index_, whole.lambda_index_)

    @pytest.mark.thorough
    @pytest.mark.filterwarnings("ignore:breakdown|The selected strength")
    def test_what_is_asked_of_a_fitted_model(self):
        model = quietly(pg.ClassifierGLMCV(**JOB, cv=3), X, TWO, groups=TRIAL)
        streamed = quietly(pg.ClassifierGLMCV(**JOB, cv=3), stream(), TWO, groups=TRIAL)
        np.testing.assert_allclose(model.predict_proba(stream()), model.predict_proba(X), rtol=1e-12)
        np.testing.assert_allclose(streamed.predict_proba_held_out(), model.predict_proba_held_out(), atol=1e-5)
        pd.testing.assert_frame_equal(model.evaluate(stream(), TWO), model.evaluate(X, TWO))
        for method in ("zero", "keep"):
            one, other = (pg.breakdown(model, rows, TWO, method=method) for rows in (stream(), X))
            np.testing.assert_allclose(one.reduced_deviance, other.reduced_deviance, rtol=1e-12)
        with pytest.raises(TypeError, match="method='shuffle' needs all rows of X at once"):
            pg.breakdown(model, stream(), TWO, method="shuffle")
        one, other = (quietly(pg.ClassifierGLM(**JOB), X, TWO).select(rows, TWO) for rows in (stream(), X))
        np.testing.assert_allclose(one.deviance_explained_path_, other.deviance_explained_path_, rtol=1e-12)

    @pytest.mark.parametrize("name", ["torch", "jax", "tensorflow"])
    def test_other_engines_read_it_too(self, name):
        pytest.importorskip(name)
        job = {**JOB, "lambdas": [0.05], "tol": 1e-9, "engine": name, "device": "cpu"}
        agree(quietly(pg.ClassifierGLM(**job), stream(150), LABELS), quietly(pg.ClassifierGLM(**job), X, LABELS), 1e-4)

    def test_separated_classes_are_named(self):
        y = np.where(X[:, 0] > 0, "a", "b")
        with pytest.warns(pg.PopglmWarning, match="no finite weights are best"):
            pg.ClassifierGLM(penalty="none", max_iter=60, tol=1e-3).fit(stream(), y)

    def test_rows_on_workers_are_refused(self, monkeypatch):
        rows = stream()
        rows.__class__ = RemoteRows
        monkeypatch.setattr(RemoteRows, "first_not_finite", lambda self: None)
        with pytest.raises(ValueError, match=r"rows on workers, and ClassifierGLM fits on one machine; give the array"):
            pg.ClassifierGLM().fit(rows, LABELS)

    def test_nan_is_found_block_by_block(self):
        bad = X.copy()
        bad[200, 3] = np.nan
        with pytest.raises(ValueError, match="X contains NaN in column 3, first in row 200"):
            pg.ClassifierGLM().fit(pg.RowStream(bad, memory=100_000), LABELS)


class TestSparseColumns:
    @pytest.mark.thorough(keep=2)
    @pytest.mark.parametrize("penalty", ["group_lasso", "ridge", "lasso"])
    @pytest.mark.parametrize("wide", [False, True])
    def test_fits_are_those_of_the_dense_array(self, monkeypatch, penalty, wide):
        rng = np.random.default_rng(0)
        dense = np.zeros((360, 12))
        dense[np.arange(0, 360, 2), rng.integers(10, size=180)] = 1
        dense[:, 10:] = X[:, :2] + 5
        groups = {"feature_groups": [10, 2]} if penalty == "group_lasso" else {}
        job = {**JOB, "penalty": penalty, "feature_groups": None, **groups, "lambdas": [0.1, 0.02], "cv": 2}
        whole = quietly(pg.ClassifierGLMCV(**job), dense, TWO, groups=TRIAL)
        kept_sparse(monkeypatch, wide)
        found = quietly(pg.ClassifierGLMCV(**job), csr_array(dense), TWO, groups=TRIAL)
        agree(found, whole, 2e-4)
        np.testing.assert_allclose(found.predict_proba(csr_array(dense)), whole.predict_proba(dense), atol=1e-4)
        np.testing.assert_allclose(found.predict_proba_held_out(), whole.predict_proba_held_out(), atol=1e-4)

    def test_groups_that_are_never_penalised(self, monkeypatch):
        job = {**JOB, "penalty_factors": [1, 0, 1], "penalty": "elastic_net", "tol": 1e-9}
        whole = quietly(pg.ClassifierGLM(**job), X, TWO)
        kept_sparse(monkeypatch, wide=True)
        monkeypatch.setattr(pg.RowStream, "WIDE", 4, raising=False)
        agree(quietly(pg.ClassifierGLM(**job), csr_array(X), TWO), whole, 2e-4)

    def test_what_needs_all_pairs_of_columns_is_refused(self, monkeypatch):
        kept_sparse(monkeypatch, wide=True)
        wide = csr_array(np.hstack([X, X]))
        with pytest.raises(ValueError, match="smoothness=1 is not supported"):
            pg.ClassifierGLM(smoothness=1.0, feature_groups=["a"] * 16).fit(wide, LABELS)
        with pytest.raises(ValueError, match="a fit without a penalty has no certificate"):
            pg.ClassifierGLM(lambdas=[0.1, 0.0]).fit(wide, LABELS)
        pytest.importorskip("torch")
        with pytest.raises(ValueError, match="fitted by NumPy alone"):
            pg.ClassifierGLM(engine="torch").fit(wide, LABELS)


def steps(model):
    return [int(model.n_iter_.sum()), *(model.cv_n_iter_.sum(axis=(1, 2)).tolist() if hasattr(model, "fold_") else [])]


class TestStarts:
    @pytest.mark.thorough(keep=1)
    @pytest.mark.parametrize("penalty", ["group_lasso", "lasso", "ridge"])
    def test_save_steps_and_change_nothing_else(self, penalty):
        job = {**JOB, "penalty": penalty, "lambdas": [0.1, 0.02, 0.004], "penalty_factors": [1, 0, 2]}
        if penalty == "lasso":
            job.pop("feature_groups"), job.pop("penalty_factors")
        cold = quietly(pg.ClassifierGLMCV(**job, cv=3), X, TWO, groups=TRIAL)
        again = quietly(pg.ClassifierGLMCV(**job, cv=3), X, TWO, groups=TRIAL, start=cold)
        assert all(few < 0.6 * many for few, many in zip(steps(again), steps(cold), strict=True))
        agree(again, cold)
        for start in (cold, cold.coef_path_):
            assert steps(quietly(pg.ClassifierGLM(**job), X, TWO, start=start))[0] < 0.6 * steps(cold)[0]

    def test_responses_features_and_classes_are_found_by_name(self):
        job = {**JOB, "penalty": "ridge", "feature_groups": None, "lambdas": [0.1, 0.02]}
        table = pd.DataFrame(X, columns=list("abcdefgh"))
        start = quietly(pg.ClassifierGLM(**job), table, TWO)
        cold = quietly(pg.ClassifierGLM(**job), table[list("hgfedcba")], TWO[["side"]])
        again = quietly(pg.ClassifierGLM(**job), table[list("hgfedcba")], TWO[["side"]], start=start)
        assert steps(again)[0] < 0.6 * steps(cold)[0]
        agree(again, cold)

    def test_one_strength_of_one_response_serves_all(self):
        job = {**JOB, "lambdas": [0.1, 0.09]}
        start = quietly(pg.ClassifierGLM(**job), X, LABELS)
        agree(quietly(pg.ClassifierGLM(**job), X, LABELS, start=start.coef_), start)

    def test_what_cannot_be_a_start(self):
        job = {**JOB, "lambdas": [0.1, 0.02]}
        crossed = quietly(pg.ClassifierGLMCV(**job, cv=3), X, LABELS, groups=TRIAL)
        one = quietly(pg.ClassifierGLM(**job), X, LABELS)

        def fit(start, model=None, y=LABELS, **more):
            return quietly(model or pg.ClassifierGLMCV(**job, cv=3), X, y, groups=TRIAL, start=start, **more)

        with pytest.raises(TypeError, match="a ClassifierGLMCV fitted to the same folds; found ndarray"):
            fit(one.coef_path_)
        with pytest.raises(ValueError, match="ClassifierGLMCV that knows its folds; this ClassifierGLM does not"):
            fit(one)
        with pytest.raises(ValueError, match="start was fitted to other folds"):
            fit(crossed, pg.ClassifierGLMCV(**job, cv=4))
        other = LABELS.copy()
        other[::3] = "none"
        with pytest.raises(ValueError, match=r"other labels or weights: the held-out deviance .* of response '.*' in"):
            fit(crossed, y=other)
        with pytest.raises(ValueError, match=r"lacks class 'up' of this fit"):
            quietly(pg.ClassifierGLM(**job), X, np.where(LABELS == "left", "up", LABELS), start=one)
        with pytest.raises(ValueError, match=r"shape \(2, 1, 3, 8\), for strengths, responses, classes and features"):
            quietly(pg.ClassifierGLM(**job), X, LABELS, start=np.zeros((3, 4)))
        with pytest.raises(TypeError, match=r"start must be a ClassifierGLM, .*; found GLM"):
            quietly(pg.ClassifierGLM(**job), X, LABELS, start=pg.GLM(lambdas=[0.1, 0.02]).fit(X, CODES))
        with pytest.raises(TypeError, match=r"start must be a GLM, a GLMCV or an array; found ClassifierGLM"):
            pg.GLM(lambdas=[0.1, 0.02]).fit(X, CODES, start=one)


class TestCheckpoints:
    @pytest.mark.thorough(keep=1)
    @pytest.mark.parametrize("number", [2, 20])
    def test_the_same_call_goes_on_with_the_same_bits(self, tmp_path, monkeypatch, number):
        monkeypatch.setattr(checkpoints, "LEAST_SECONDS", 0.0)
        monkeypatch.setattr(checkpoints, "SHARE", np.inf)
        job = {**JOB, "precision": "float32", "tol": 1e-4, "penalty_factors": [1, 0, 2], "n_lambdas": 2}

        def fit(checkpoint=None):
            return quietly(pg.ClassifierGLMCV(**job, cv=2), X, TWO, groups=TRIAL, checkpoint=checkpoint)

        plain, count, accept = fit(), [0], Walk.accept_or_stay

        def failing(self, *arguments):
            count[0] += 1
            if count[0] == number:
                raise RuntimeError
            return accept(self, *arguments)

        with monkeypatch.context() as patch:
            patch.setattr(Walk, "accept_or_stay", failing)
            with pytest.raises(RuntimeError):
                fit(tmp_path)
        again = fit(tmp_path)
        # the fit has ended: not one round of its paths is walked again
        ended = fit(tmp_path)
        for name, value in vars(plain).items():
            if isinstance(value, np.ndarray):
                np.testing.assert_array_equal(getattr(again, name), value, name)
                np.testing.assert_array_equal(getattr(ended, name), value, name)

    def test_other_input_is_refused(self, tmp_path):
        job = {**JOB, "class_weight": "balanced"}
        quietly(pg.ClassifierGLM(**job), X, LABELS, checkpoint=tmp_path)
        with pytest.raises(ValueError, match="sample_weight and class_weight"):
            quietly(pg.ClassifierGLM(**JOB), X, LABELS, checkpoint=tmp_path)
        with pytest.raises(ValueError, match="y had other values"):
            quietly(pg.ClassifierGLM(**job), X, LABELS[::-1], checkpoint=tmp_path)
