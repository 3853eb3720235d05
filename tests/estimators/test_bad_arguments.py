"""Arguments that cannot be used get a sentence that names them and the place; numbers of any type are numbers."""

import numpy as np
import pandas as pd
import pytest
from complaints import assert_complaint
from recordings import COUNTS, EVENTS, TRIALS, N, X, assert_sane

from popglm import GLM, GLMCV
from popglm.solve.stream import RowStream


class TestFeatures:
    @pytest.mark.parametrize(("value", "word"), [(np.nan, "NaN"), (np.inf, "inf"), (-np.inf, "inf")])
    @pytest.mark.parametrize("estimator", [GLM(), GLMCV()])
    def test_not_finite_names_column_row_and_count(self, value, word, estimator):
        bad = X.copy()
        bad[[7, 9], 2] = value
        with pytest.raises(ValueError, match=rf"X contains {word} in column 2, first in row 7 \(2 such rows"):
            estimator.fit(bad, COUNTS)

    def test_dataframe_columns_are_named(self):
        frame = pd.DataFrame(X.copy(), columns=list("abcdef"))
        frame.iloc[3, 4] = np.nan
        with pytest.raises(ValueError, match=r"column 4 \('e'\), first in row 3"):
            GLM().fit(frame, COUNTS)

    def test_multiindex_columns_are_named(self):
        names = pd.MultiIndex.from_product([["position", "speed"], ["b0", "b1", "b2"]])
        frame = pd.DataFrame(X.copy(), columns=names)
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
        with pytest.raises(ValueError, match=r"text in column 0 \('speed'\), first in row 0: '1.0'.*categories"):
            GLM().fit(frame, COUNTS)
        with pytest.raises(ValueError, match="X holds text in column 0, first in row 0: 'a'"):
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

    @pytest.mark.parametrize("bad", [X[:, 0], [None], [1.0, None], (2, 3), [[[1.0]]], [[1, [2]], [3, 4]], [1, [2]]])
    def test_other_than_two_dimensions(self, bad):
        model = GLM(lambdas=[0.1]).fit(X, COUNTS)
        for use in (lambda x: GLM().fit(x, COUNTS), model.predict):
            assert_complaint("X must have shape (n_samples, n_features)", use, bad)

    @pytest.mark.parametrize("streamed", [False, True])
    def test_what_to_do_about_nan_is_no_advice_on_inf(self, streamed):
        for value, advice in ((np.nan, "Fill or drop .* an X without NaN"), (np.inf, "finite values there or drop")):
            bad = X.copy()
            bad[3, 1] = value
            with pytest.raises(ValueError, match=rf"in column 1, first in row 3.*{advice}") as caught:
                GLM(lambdas=[0.1]).fit(RowStream(bad) if streamed else bad, COUNTS)
            assert ("NaN" in str(caught.value)) == np.isnan(value)

    def test_other_columns_at_predict(self):
        model = GLM(lambdas=[0.1]).fit(X, COUNTS)
        with pytest.raises(ValueError, match="X has 5 features, but GLM is expecting 6"):
            model.predict(X[:, :5])


@pytest.mark.parametrize("bad", [True, [0.5, True], np.array([True]), pd.Series([True], dtype="boolean")])
@pytest.mark.parametrize("estimator", [GLM, GLMCV])
def test_flags_are_no_strengths(bad, estimator):
    assert_complaint("lambdas=", lambda v: estimator(lambdas=v).fit(X, COUNTS), bad)


class TestResponses:
    def test_negative_under_poisson(self):
        bad = COUNTS.copy()
        bad[11, 2] = -1
        with pytest.raises(ValueError, match=r"negative value for neuron 2 \('neuron2'\), first in row 11: -1"):
            GLM().fit(X, bad)

    @pytest.mark.parametrize("value", [-0.25, 2])
    def test_outside_the_unit_interval_under_bernoulli(self, value):
        bad = pd.DataFrame(EVENTS.copy(), columns=["a", "b", "c", "d"])
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


class TestSettings:
    @pytest.mark.parametrize(
        ("groups", "sentence"),
        [
            (None, "feature_groups is needed by penalty='group_lasso'"),
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

    @pytest.mark.parametrize(
        ("settings", "activity", "offset", "sentence"),
        [
            ({}, COUNTS, 1e300, r"offset must not exceed 1e\+35 in size; row 0 holds 1e\+300"),
            ({}, COUNTS, 1e14, r"offset is 1e\+14 in row 0, .*the logarithm of an exposure"),
            ({"family": "bernoulli"}, EVENTS, np.r_[0, -1e14, np.zeros(298)], r"offset is -1e\+14 in row 1,"),
            ({"family": "gaussian"}, COUNTS, 1e16, "beside which activity of .* at most is rounded away"),
            ({"fit_intercept": False}, COUNTS, 800.0, "offset is 800 in row 0, where the mean is infinite without"),
        ],
    )
    def test_offsets_that_nothing_adds_to(self, settings, activity, offset, sentence):
        with pytest.raises(ValueError, match=sentence):
            GLM(lambdas=[0.1], **settings).fit(X, activity, offset=offset)

    def test_an_offset_in_large_units_is_one_of_the_activity(self):
        fits = [GLM("gaussian", lambdas=[0.1]).fit(X, unit * COUNTS, offset=unit * X[:, 0]) for unit in (1.0, 2.0**80)]
        np.testing.assert_allclose(fits[1].coef_ / 2.0**80, fits[0].coef_, rtol=1e-5, atol=1e-6)

    def test_weights_whose_sums_overflow(self):
        with pytest.raises(ValueError, match=r"sample_weight must not exceed 1e\+35 in size; row 3 holds 1e\+306"):
            GLM().fit(X, COUNTS, sample_weight=np.where(np.arange(300) == 3, 1e306, 1.0))

    def test_rejected_predictions(self):
        with pytest.raises(ValueError, match="refit=False"):
            GLMCV(refit=False, n_lambdas=2).fit(X, COUNTS).predict(X)
