"""Every kind of input that cannot be fitted, or hardly, gets a sentence or a sane fit; never NaN weights."""

import warnings

import numpy as np
import pandas as pd
import pytest
from sklearn.preprocessing import SplineTransformer

from popglm import GLM, GLMCV, ConvergenceWarning, PopglmWarning

RNG = np.random.default_rng(0)
N, P, Q = 300, 6, 4
X = RNG.standard_normal((N, P))
WEIGHTS = np.array([[0.5, 0, 0, 0, 0, 0], [0, -0.4, 0, 0, 0.2, 0], [0, 0, 0, 0.6, 0, 0], [0.3, 0, 0, 0, 0, -0.3]])
ETA = X @ WEIGHTS.T
COUNTS = RNG.poisson(np.exp(ETA)).astype(float)
EVENTS = (RNG.random(ETA.shape) < 1 / (1 + np.exp(-ETA))).astype(float)
TRIALS = np.repeat(np.arange(30), 10)


def assert_sane(model, tol=None):
    """Finite everywhere, and certified within ``tol`` (the model's own unless given)."""
    assert np.isfinite(model.coef_path_).all()
    assert np.isfinite(model.intercept_path_).all()
    assert np.isfinite(model.loss_path_).all()
    assert (model.gap_ <= (model.tol if tol is None else tol)).all()
    if isinstance(model, GLMCV):
        assert np.isfinite(model.cv_coef_path_).all()
        assert np.isfinite(model.cv_intercept_path_).all()
        # a neuron that was never recorded has no held-out deviance
        recorded = model.cv_null_deviance_ > 0
        assert np.isfinite(model.cv_deviance_[:, :, recorded]).all()
        assert np.isfinite(model.cv_deviance_explained_).all()


@pytest.fixture
def quiet():
    """A warning is a failure."""
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        yield


class TestFeatures:
    @pytest.mark.parametrize(("value", "word"), [(np.nan, "NaN"), (np.inf, "inf"), (-np.inf, "inf")])
    @pytest.mark.parametrize("estimator", [GLM(), GLMCV()])
    def test_not_finite_names_column_row_and_count(self, value, word, estimator):
        bad = X.copy()
        bad[[7, 9], 2] = value
        with pytest.raises(ValueError, match=rf"X contains {word} in column 2, first in row 7 \(2 such rows"):
            estimator.fit(bad, COUNTS)

    def test_dataframe_columns_are_named(self):
        frame = pd.DataFrame(X, columns=list("abcdef"))
        frame.iloc[3, 4] = np.nan
        with pytest.raises(ValueError, match=r"column 4 \('e'\), first in row 3"):
            GLM().fit(frame, COUNTS)

    def test_multiindex_columns_are_named(self):
        names = pd.MultiIndex.from_product([["position", "speed"], ["b0", "b1", "b2"]])
        frame = pd.DataFrame(X, columns=names)
        frame.iloc[5, 4] = np.inf
        with pytest.raises(ValueError, match=r"column 4 \('speed / b1'\), first in row 5"):
            GLM().fit(frame, COUNTS)

    def test_sum_that_overflows_without_a_bad_value_is_fine(self, quiet):
        tall = X.copy()
        tall[:, 0] *= 1e30
        assert_sane(GLM(precision="float64").fit(tall, COUNTS))

    def test_not_finite_at_predict_and_evaluate(self):
        model = GLM(lambdas=[0.1]).fit(X, COUNTS)
        bad = X.copy()
        bad[2, 1] = np.nan
        for use in (lambda: model.predict(bad), lambda: model.evaluate(bad, COUNTS)):
            with pytest.raises(ValueError, match="NaN in column 1, first in row 2"):
                use()

    def test_strings(self):
        frame = pd.DataFrame({"speed": ["1.0", "fast"] * (N // 2), "turn": np.zeros(N)})
        with pytest.raises(ValueError, match=r"text in column 0 \('speed'\), first in row 1: 'fast'.*categories"):
            GLM().fit(frame, COUNTS)
        with pytest.raises(ValueError, match="could not convert string to float"):
            GLM().fit(np.full((N, 2), "a", object), COUNTS)

    def test_complex(self):
        with pytest.raises(ValueError, match="Complex data"):
            GLM().fit(X + 1j, COUNTS)

    @pytest.mark.parametrize("dtype", [object, bool, np.int16, np.uint8, np.float16])
    def test_numbers_of_any_other_type_are_fitted_as_numbers(self, dtype, quiet):
        numbers = np.round(np.abs(X)).astype(dtype)
        model = GLM(lambdas=[0.1]).fit(numbers, COUNTS)
        expected = GLM(lambdas=[0.1]).fit(numbers.astype(float), COUNTS)
        np.testing.assert_allclose(model.coef_, expected.coef_, atol=1e-5)

    def test_one_dimension(self):
        with pytest.raises(ValueError, match=r"[Rr]eshape"):
            GLM().fit(X[:, 0], COUNTS)

    def test_other_columns_at_predict(self):
        model = GLM(lambdas=[0.1]).fit(X, COUNTS)
        with pytest.raises(ValueError, match="X has 5 features, but GLM is expecting 6"):
            model.predict(X[:, :5])


class TestResponses:
    def test_negative_under_poisson(self):
        bad = COUNTS.copy()
        bad[11, 2] = -1
        with pytest.raises(ValueError, match=r"negative value for neuron 2 \('neuron2'\), first in row 11: -1"):
            GLM().fit(X, bad)

    @pytest.mark.parametrize("value", [-0.25, 2])
    def test_outside_the_unit_interval_under_bernoulli(self, value):
        bad = pd.DataFrame(EVENTS, columns=["a", "b", "c", "d"])
        bad.iloc[4, 1] = value
        with pytest.raises(ValueError, match=rf"outside \[0, 1\] for neuron 1 \('b'\), first in row 4: {value}"):
            GLM(family="bernoulli").fit(X, bad)

    def test_infinite(self):
        bad = COUNTS.copy()
        bad[6, 3] = np.inf
        with pytest.raises(ValueError, match=r"infinite value.*for neuron 3.*first in row 6"):
            GLM().fit(X, bad)

    def test_lengths_differ(self):
        with pytest.raises(ValueError, match="X has 300 samples and Y has 299"):
            GLM().fit(X, COUNTS[:-1])

    @pytest.mark.parametrize(
        ("bad", "sentence"),
        [
            (COUNTS.astype(complex), "Y must hold numbers.*[Cc]omplex"),
            (np.full((N, 2), "spike"), "Y must hold numbers.*spike"),
            (COUNTS[:, :, None], r"Y must have shape \(n_samples, n_neurons\)"),
            (np.full((N, 2), np.nan), "Y holds no recorded sample"),
        ],
    )
    def test_wrong_type_or_shape(self, bad, sentence):
        with pytest.raises(ValueError, match=sentence):
            GLM().fit(X, bad)

    @pytest.mark.parametrize("dtype", [object, int, bool])
    def test_numbers_of_any_type(self, dtype, quiet):
        model = GLM(family="bernoulli", lambdas=[0.1]).fit(X, EVENTS.astype(dtype))
        np.testing.assert_array_equal(model.coef_, GLM(family="bernoulli", lambdas=[0.1]).fit(X, EVENTS).coef_)

    @pytest.mark.parametrize("name", ["sample_weight", "offset"])
    def test_vectors(self, name):
        bad = np.ones(N)
        bad[8] = np.nan
        with pytest.raises(ValueError, match=f"{name} must be finite.*row 8"):
            GLM().fit(X, COUNTS, **{name: bad})
        with pytest.raises(ValueError, match=rf"{name} must have shape \(300,\)"):
            GLM().fit(X, COUNTS, **{name: bad[:5]})


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


class TestSettings:
    @pytest.mark.parametrize(
        ("groups", "sentence"),
        [
            (None, "feature_groups is needed"),
            ([3, 2], "feature_groups has sizes that sum to 5, but X has 6 columns"),
            (["a"] * 5, "feature_groups has 5 labels, but X has 6 columns"),
            (["a", "b", "a", "a", "b", "b"], "group 'a' are not next to each other"),
            (6, "feature_groups must be a list"),
            ([7, -1], "feature_groups has sizes that sum to 6|feature_groups has .*positive"),
        ],
    )
    def test_groups_that_do_not_cover_the_columns(self, groups, sentence):
        with pytest.raises(ValueError, match=sentence):
            GLM(penalty="group_lasso", feature_groups=groups).fit(X, COUNTS)

    @pytest.mark.parametrize(
        ("lambdas", "sentence"),
        [
            ([], "lambdas must hold at least one strength"),
            ([1.0, 0.1, 0.5], r"must descend; entry 2 \(0.5\) is larger than entry 1 \(0.1\).*np.sort"),
            ([1.0, -0.1], "entry 1 is -0.1"),
            ([np.nan], "entry 0 is nan"),
            (np.ones((3, 2)), "lambdas has 2 columns for 4 neurons"),
            (["strong"], "lambdas must hold numbers"),
        ],
    )
    def test_grids(self, lambdas, sentence):
        with pytest.raises(ValueError, match=sentence):
            GLM(lambdas=lambdas).fit(X, COUNTS)

    @pytest.mark.parametrize(
        ("setting", "value"),
        [
            ("family", "binomial"), ("inverse_link", "logit"), ("penalty", "l1"), ("precision", "float16"),
            ("solver", "lbfgs"), ("tol", 0), ("tol", np.nan), ("max_iter", 0), ("max_iter", 1.5), ("n_lambdas", 0),
            ("lambda_min_ratio", 1.0), ("l1_ratio", 2), ("smoothness", -1.0), ("smoothness", "much"),
        ],
    )  # fmt: skip
    def test_unknown_values_are_named(self, setting, value):
        # the elastic net is where every one of them means something
        settings = {"penalty": "elastic_net", setting: value}
        with pytest.raises(ValueError, match=setting):
            GLM(**settings).fit(X, COUNTS)

    def test_bernoulli_mean_that_leaves_the_unit_interval(self):
        with pytest.raises(ValueError, match=r"inverse_link='exp'.*use inverse_link='sigmoid'"):
            GLM(family="bernoulli", inverse_link="exp").fit(X, EVENTS)

    def test_fewer_trials_than_folds(self):
        with pytest.raises(ValueError, match=r"cv=5.*number of trials in groups=3.*fewer folds"):
            GLMCV().fit(X, COUNTS, groups=np.repeat([0, 1, 2], 100))

    @pytest.mark.parametrize(
        ("cv", "sentence"),
        [
            (1, "cv=1 folds: at least 2"),
            ([], "cv holds no folds"),
            ("many", "cv='many' is neither"),
            ([(np.arange(200), np.arange(0))], "fold 0 has 200 training and 0 test samples"),
            ([(np.arange(200), np.arange(200, 301))], "row indices run from 200 to 300, outside 0…299"),
            (True, "cv=True"),
            (None, "cv=None"),
        ],
    )
    def test_folds(self, cv, sentence):
        with pytest.raises(ValueError, match=sentence):
            GLMCV(cv=cv).fit(X, COUNTS)

    @pytest.mark.parametrize(
        ("trials", "sentence"),
        [(TRIALS[:7], r"groups must have shape \(300,\)"), (np.where(TRIALS == 3, np.nan, TRIALS), "row 30")],
    )
    def test_trials(self, trials, sentence):
        with pytest.raises(ValueError, match=sentence):
            GLMCV().fit(X, COUNTS, groups=trials)

    def test_rejected_predictions(self):
        with pytest.raises(ValueError, match="refit=False"):
            GLMCV(refit=False, n_lambdas=2).fit(X, COUNTS).predict(X)


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
        model = GLMCV(**settings, feature_groups=[1] * 6, n_lambdas=6, cv=2).fit(half, COUNTS)
        assert_sane(model)

    def test_constant_column_gets_no_weight(self, settings, quiet):
        flat = X.copy()
        flat[:, 4] = 3.0
        model = GLM(**settings, feature_groups=[1] * 6, n_lambdas=4).fit(flat, COUNTS)
        assert_sane(model)
        assert not model.coef_path_[:, :, 4].any()

    @pytest.mark.parametrize("family", ["poisson", "gaussian"])
    def test_rates_of_a_million(self, settings, family, quiet):
        Y = 1e6 * np.exp(0.3 * ETA)
        model = GLM(**settings, family=family, feature_groups=[1] * 6, n_lambdas=6).fit(X, Y)
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
