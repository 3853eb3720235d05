"""Recordings that can hardly be fitted, or not at all, get a sane fit; never NaN weights."""

import warnings

import numpy as np
import pandas as pd
import pytest
from recordings import COUNTS, ETA, EVENTS, WEIGHTS, N, X, assert_sane
from sklearn.preprocessing import SplineTransformer

import popglm as pg
from popglm import GLM, GLMCV, ConvergenceWarning, PopglmWarning

#: Activity that leaves nothing to fit, under Poisson.
HOPELESS = {
    "all NaN": np.full(N, np.nan),
    "constant": np.full(N, 2.0),
    "silent": np.zeros(N),
    "one spike": np.eye(1, N, 17)[0],
}


class TestNeuronsWithNothingToFit:
    @pytest.mark.parametrize("kind", HOPELESS)
    @pytest.mark.parametrize("cross_validate", [False, True])
    def test_null_with_one_warning_and_the_others_untouched(self, kind, cross_validate):
        def fit(Y):
            settings = {"n_lambdas": 6, "precision": "float64"}
            return (GLMCV(**settings, cv=3) if cross_validate else GLM(**settings)).fit(X, Y)

        bad = COUNTS.copy()
        bad[:, 2] = HOPELESS[kind]
        with pytest.warns(PopglmWarning) as caught:
            model = fit(bad)
        assert len(caught) == 1
        assert caught[0].filename == __file__
        assert "null model" in str(caught[0].message)
        assert str(caught[0].message).endswith(": neuron2.")
        assert model.null_fitted_.tolist() == [False, False, True, False]
        assert not model.coef_path_[:, 2].any()
        assert_sane(model)

        others = [0, 1, 3]
        healthy, without = fit(COUNTS), fit(COUNTS[:, others])
        for name in ("coef_path_", "intercept_path_", "loss_path_"):
            reached = getattr(model, name)[:, others]
            np.testing.assert_array_equal(reached, getattr(healthy, name)[:, others])
            np.testing.assert_array_equal(reached, getattr(without, name))
        if cross_validate:
            reached = model.cv_deviance_[:, :, others]
            np.testing.assert_array_equal(reached, healthy.cv_deviance_[:, :, others])
            assert np.array_equal(model.lambda_index_[others], without.lambda_index_)

    @pytest.mark.parametrize(
        ("family", "activity"),
        [("gaussian", np.full(N, -3.25)), ("bernoulli", np.zeros(N)), ("bernoulli", np.ones(N))],
    )
    def test_null_in_the_other_families(self, family, activity):
        Y = np.column_stack([EVENTS[:, 0], activity])
        with pytest.warns(PopglmWarning, match="null model.*: neuron1"):
            model = GLM(family=family, n_lambdas=4).fit(X, Y)
        assert not model.coef_path_[:, 1].any()
        assert_sane(model)
        assert abs(model.predict(X)[:, 1] - activity).max() < 0.01

    def test_names_come_from_the_columns(self):
        Y = pd.DataFrame({"cell 4": COUNTS[:, 0], "cell 9": np.zeros(N)})
        with pytest.warns(PopglmWarning, match="cell 9"):
            GLM(n_lambdas=3).fit(X, Y)

    def test_silent_in_a_fold(self):
        Y = COUNTS.copy()
        # every spike in the first fold, so that its training rows are silent
        Y[100:, 1] = 0
        with pytest.warns(PopglmWarning, match="null model in some fold.*: neuron1") as caught:
            model = GLMCV(n_lambdas=6, cv=3, penalty="lasso").fit(X, Y)
        assert len(caught) == 1
        assert not model.cv_coef_path_[0, :, 1].any()
        assert_sane(model)

    def test_half_event_rate_of_a_silent_neuron(self):
        with pytest.warns(PopglmWarning):
            model = GLM(n_lambdas=2).fit(X, np.column_stack([COUNTS[:, 0], np.zeros(N)]))
        np.testing.assert_allclose(np.exp(model.intercept_[1]), 0.5 / N)


PENALTIES = [
    {"penalty": "none"},
    {"penalty": "ridge"},
    {"penalty": "lasso"},
    {"penalty": "elastic_net"},
    {"penalty": "group_lasso"},
]


@pytest.mark.parametrize("settings", PENALTIES, ids=lambda s: s["penalty"])
class TestHardDesigns:
    @pytest.mark.parametrize("family", ["poisson", "gaussian"])
    def test_duplicated_columns(self, settings, family, quiet):
        twice = np.hstack([X, X])
        model = GLM(**settings, family=family, feature_groups=[3, 3, 3, 3], n_lambdas=6).fit(twice, COUNTS)
        assert_sane(model)

    @pytest.mark.parametrize("family", ["poisson", "gaussian"])
    def test_splines_that_sum_to_one(self, settings, family, quiet):
        basis = [SplineTransformer(5, degree=3).fit_transform(X[:, [k]]) for k in range(2)]
        np.testing.assert_allclose(basis[0].sum(axis=1), 1)
        model = GLM(**settings, family=family, feature_groups=[7, 7], n_lambdas=6).fit(np.hstack(basis), COUNTS)
        assert_sane(model)

    def test_more_features_than_samples(self, settings):
        wide = np.random.default_rng(3).standard_normal((40, 90))
        Y = np.random.default_rng(4).poisson(2.0, (40, 3))
        with warnings.catch_warnings():
            # without a penalty the data can be fitted exactly, at weights as large as the step limit allows
            warnings.simplefilter("ignore" if settings["penalty"] == "none" else "error", ConvergenceWarning)
            model = GLM(**settings, feature_groups=[30, 30, 30], n_lambdas=6, lambda_min_ratio=1e-2).fit(wide, Y)
        assert_sane(model, np.inf if settings["penalty"] == "none" else None)
        assert np.isfinite(model.predict(wide)).all()

    def test_predictor_constant_for_half_of_the_session(self, settings, quiet):
        half = X.copy()
        half[N // 2 :, 1] = half[N // 2, 1]
        # the second fold trains on the constant half alone
        model = GLMCV(**settings, feature_groups=list("abcdef"), n_lambdas=6, cv=2).fit(half, COUNTS)
        assert_sane(model)

    def test_constant_column_gets_no_weight(self, settings, quiet):
        flat = X.copy()
        flat[:, 4] = 3.0
        model = GLM(**settings, feature_groups=list("abcdef"), n_lambdas=4).fit(flat, COUNTS)
        assert_sane(model)
        assert not model.coef_path_[:, :, 4].any()

    @pytest.mark.parametrize("family", ["poisson", "gaussian"])
    def test_rates_of_a_million(self, settings, family, quiet):
        Y = 1e6 * np.exp(0.3 * ETA)
        model = GLM(**settings, family=family, feature_groups=list("abcdef"), n_lambdas=6).fit(X, Y)
        assert_sane(model)
        if settings["penalty"] == "none" and family == "poisson":
            np.testing.assert_allclose(model.coef_, 0.3 * WEIGHTS, atol=1e-2)
            np.testing.assert_allclose(model.intercept_, np.log(1e6), rtol=1e-3)


@pytest.mark.parametrize("penalty", ["none", "ridge"])
@pytest.mark.parametrize("precision", ["float32", "float64"])
def test_perfect_separation_stays_finite(penalty, precision):
    events = (X[:, :1] + 0.01 * X[:, 1:2] > 0).astype(float)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore" if penalty == "none" else "error", ConvergenceWarning)
        model = GLM(family="bernoulli", penalty=penalty, precision=precision, n_lambdas=6).fit(X, events)
    assert_sane(model, np.inf if penalty == "none" else None)
    assert (np.round(model.predict(X)) == events).mean() > 0.9
    assert model.score(X, events) > 0.5


def test_spikes_where_a_predictor_is_never_zero_stay_finite():
    # without any spike while the predictor is 1 the best unpenalised Poisson weight is −∞
    indicator = (np.arange(N) % 3 == 0).astype(float)
    counts = np.where(indicator == 1, 0.0, COUNTS[:, 0])
    model = GLM(penalty="none").fit(indicator[:, None], counts)
    assert np.isfinite(model.coef_).all()
    assert model.coef_[0] < -3


def test_offset_that_overflows_the_rate_is_survived():
    offset = np.zeros(N)
    offset[0] = 200.0
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", PopglmWarning)
        model = GLM(n_lambdas=3, precision="float64").fit(X, COUNTS, offset=offset)
    assert np.isfinite(model.coef_path_).all()
    assert np.isfinite(model.intercept_path_).all()


class TestPredictionsFarOutside:
    MODEL = GLMCV(lambdas=[0.01], cv=3).fit(pd.DataFrame(X).add_prefix("x"), COUNTS)

    @pytest.mark.parametrize("who", ["predict", "predict_held_out"])
    def test_infinite_means_stay_and_are_counted(self, who):
        far = X.copy()
        far[7, 2] = 1e6
        far[9, 1] = -1e6
        with pytest.warns(PopglmWarning) as caught:
            mean = getattr(self.MODEL, who)(pd.DataFrame(far).add_prefix("x"))
        infinite = np.isinf(mean)
        assert infinite.any()
        assert not infinite[np.delete(np.arange(N), [7, 9])].any()
        (warning,) = caught
        row, column = (7, "x2") if infinite[7].any() else (9, "x1")
        said = f"infinite in {infinite.any(axis=1).sum()} of {N} samples, for {infinite.any(axis=0).sum()} of"
        assert f"{who}: the mean is {said}" in str(warning.message)
        assert f"first in row {row} for" in str(warning.message)
        assert f"column {column!r} of X is {far[row, int(column[1])]:g}" in str(warning.message)

    def test_an_offset_that_does_it_is_named(self):
        with pytest.warns(PopglmWarning, match=rf"in {N} of {N} samples.*where the offset is 1e\+06"):
            self.MODEL.predict(pd.DataFrame(X).add_prefix("x"), offset=1e6)

    def test_no_warning_otherwise(self, quiet):
        self.MODEL.predict(pd.DataFrame(X).add_prefix("x"), offset=100.0)


class TestNothingRecorded:
    """A neuron without a sample that counts has no deviance; a silent one has, and explains 0 of it."""

    Y = COUNTS.astype(float)
    SOME = np.where(np.arange(COUNTS.shape[1]) == 1, np.nan, Y)

    def test_scores_are_nan_for_that_neuron_alone(self):
        model = GLM(lambdas=[0.1]).fit(X, self.Y)
        found, complete = model.evaluate(X, self.SOME), model.evaluate(X, self.Y)
        assert found.iloc[1].isna().all()
        pd.testing.assert_frame_equal(found.drop("neuron1"), complete.drop("neuron1"))
        assert model.score(X, self.SOME) == pytest.approx(complete["deviance_explained"].drop("neuron1").mean())
        assert np.isnan(model.score(X, np.nan * self.Y))
        weight = (np.arange(N) < 50).astype(float)
        late = np.where((np.arange(N) < 50)[:, None] & (np.arange(COUNTS.shape[1]) == 0), np.nan, self.Y)
        assert model.evaluate(X, late, sample_weight=weight)["deviance_explained"].isna().tolist()[:2] == [True, False]
        silent = model.evaluate(X, 0 * self.Y)
        assert (silent[["deviance_explained", "null_deviance"]] == 0).all(axis=None)

    def test_cross_validation_and_breakdown_alike(self):
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", PopglmWarning)
            model = GLMCV(lambdas=[0.1], cv=3).fit(X, self.SOME)
            again = GLM(lambdas=[0.1]).fit(X, self.Y).select(X, self.SOME)
        for found in (model.cv_deviance_explained_, pg.breakdown(model, X, self.SOME).deviance_explained.values):
            np.testing.assert_array_equal(np.isnan(found), np.arange(COUNTS.shape[1]) == 1)
        assert np.isfinite(model.summary()).sum() >= 8
        assert np.isinf(again.lambda_[1])
        assert np.isnan(again.deviance_explained_path_[0, 1])


def test_without_a_penalty_a_neuron_may_be_missing_in_the_training_rows_of_a_fold():
    rng = np.random.default_rng(0)
    X, rows = rng.standard_normal((120, 3)), np.arange(120)
    Y = rng.poisson(np.exp(0.3 * X[:, :2])).astype(float)
    Y[60:, 0] = np.nan
    settings = {"penalty": "none", "cv": [(rows[60:], rows[:60]), (rows[:60], rows[60:])]}
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        together, alone = (GLMCV(**settings).fit(X, y) for y in (Y, Y[:, 1]))
    np.testing.assert_allclose(together.cv_coef_path_[:, :, 1], alone.cv_coef_path_[:, :, 0], atol=1e-5)
    assert np.isfinite(together.coef_).all()
