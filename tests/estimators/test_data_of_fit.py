"""What uses the rows of the fit again asks for its weights and offset, its activity, its folds and its selection."""

import numpy as np
import pytest
import xarray as xr
from labelled import DESIGN, FEATURES, GIVEN, MODEL, OFFSET, SHUFFLED, TIMES, TRIAL, WEIGHT, N, X, Y, fit
from sklearn.model_selection import TimeSeriesSplit

import popglm as pg
from popglm import GLM, GLMCV

#: What fits the rows of the fit again, or scores its held-out predictions.
AGAIN = {
    "breakdown": lambda model, **given: pg.breakdown(model, X, Y, **given),
    "compare": lambda model, **given: pg.compare(model, X, Y, **given),
    "significance": lambda model, **given: pg.significance(model, X, Y, trial=TRIAL, n_shifts=9, **given),
    "bootstrap": lambda model, **given: pg.bootstrap(model, DESIGN, FEATURES, Y, trial=TRIAL, n_resamples=2, **given),
}


@pytest.fixture(scope="module")
def model():
    return fit(X, Y)


class TestWeightsAndOffset:
    @staticmethod
    def fitted(who, **given):
        features = FEATURES if who == "bootstrap" else X
        return GLMCV(**MODEL.get_params()).fit(features, Y, groups=TRIAL, **given)

    @pytest.mark.thorough(keep=2)
    @pytest.mark.parametrize("who", AGAIN)
    @pytest.mark.parametrize(("name", "file"), [("sample_weight", False), ("offset", True)])
    def test_go_with_the_fit(self, who, name, file, tmp_path):
        given = {name: GIVEN[name]}
        model = self.fitted(who, **given)
        if file:
            model.save(tmp_path / "model.nc")
            model = pg.load(tmp_path / "model.nc")
        use = AGAIN[who]
        use(model, **given)
        with pytest.raises(ValueError, match=rf"{who} needs {name}=: the model was fitted with"):
            use(model)
        none = {name: 1 if name == "sample_weight" else 0}
        if who == "breakdown":
            use(model, **none)
        else:
            with pytest.raises(ValueError, match=rf"{who} needs {name}=.* re-fits without are not comparable"):
                use(model, **none)

    @pytest.mark.parametrize("who", AGAIN)
    def test_are_not_added_later(self, who):
        model = self.fitted(who, sample_weight=np.full(N, 2.0), offset=0)
        for name, values in GIVEN.items():
            with pytest.raises(ValueError, match=rf"{who} has {name}=, but the model was fitted without"):
                AGAIN[who](model, **{name: values})
        # all alike is as good as none
        AGAIN[who](model, sample_weight=3, offset=np.zeros(N))

    @pytest.mark.parametrize("who", ["compare", "significance", "bootstrap"])
    def test_are_those_of_the_fit(self, who):
        model = self.fitted(who, **GIVEN)
        for name in GIVEN:
            other = GIVEN | {name: GIVEN[name].to_numpy()[::-1]}
            with pytest.raises(ValueError, match=rf"{who}: X, Y, sample_weight or offset are not those of the fit"):
                AGAIN[who](model, **other)

    def test_new_rows_need_no_weights(self):
        model = GLM(lambdas=[0.1]).fit(X, Y, sample_weight=WEIGHT)
        assert model.fitted_with_sample_weight_
        model.evaluate(X, Y)
        model.evaluate(X, Y, sample_weight=WEIGHT)
        assert pg.breakdown(model, X, Y, held_out=False).deviance_explained.shape == (2,)

    def test_a_file_of_an_earlier_revision_is_not_asked(self, tmp_path):
        model = self.fitted("compare")
        model.fitted_with_sample_weight_ = model.fitted_with_offset_ = None
        model.save(tmp_path / "model.nc")
        again = pg.load(tmp_path / "model.nc")
        assert again.fitted_with_sample_weight_ is None
        pg.breakdown(again, X, Y, **GIVEN)

    def test_an_offset_is_needed_where_the_fit_had_one(self, model):
        for use in (
            model.predict_held_out,
            lambda: model.predict(X),
            lambda: model.evaluate(X, Y),
            lambda: model.score(X, Y),
            lambda: pg.compare(model, X, Y, test=(X, Y), **GIVEN),
            lambda: GLM(lambdas=[0.1]).fit(X, Y, offset=OFFSET).select(X, Y),
        ):
            with pytest.raises(ValueError, match=r"needs offset=: the model was fitted with an offset"):
                use()

    def test_the_offset_of_test_rows_counts(self, model):
        tested = pg.compare(model, X, Y, ["speed"], test=(X, Y, OFFSET), **GIVEN)
        np.testing.assert_allclose(tested.full_deviance, model.evaluate(X, Y, offset=OFFSET)["deviance"])

    def test_a_number_is_that_of_all_samples(self, model):
        np.testing.assert_array_equal(model.predict(X, 0.5), model.predict(X, np.full(N, 0.5)))

    def test_zero_is_none(self):
        assert not GLM(lambdas=[0.1]).fit(X, Y, offset=np.zeros(N)).fitted_with_offset_


class TestDataOfTheFit:
    @pytest.mark.parametrize(
        "other", [Y * 2, Y.to_numpy()[::-1], Y[["b", "a"]].to_numpy(), Y.iloc[:50].reindex(Y.index)]
    )
    def test_another_activity_is_refused(self, other):
        model = GLMCV(**MODEL.get_params()).fit(X, Y, groups=TRIAL)
        for use in (
            lambda: pg.compare(model, X, other),
            lambda: pg.compare(model, X, other, test=(X, Y)),
            lambda: pg.significance(model, X, other, trial=TRIAL, n_shifts=9),
        ):
            with pytest.raises(ValueError, match="are not those of the fit: the held-out deviance explained of neuron"):
                use()
        # what only scores may take others, such as a part of the samples, and says so
        with pytest.warns(pg.PopglmWarning, match="breakdown: X and Y are not those of the fit"):
            assert pg.breakdown(model, X, other).deviance_explained.shape == (2,)

    def test_rows_in_another_order_draw_the_same_trials(self):
        model = GLMCV(**MODEL.get_params()).fit(FEATURES.set_axis(TIMES), Y, groups=TRIAL)
        moved = FEATURES.set_axis(TIMES).iloc[SHUFFLED]
        found, expected = (
            pg.bootstrap(model, DESIGN, data, Y, trial=TRIAL, n_resamples=3) for data in (moved, moved.sort_index())
        )
        for group in expected:
            xr.testing.assert_equal(found[group], expected[group])
        with pytest.raises(ValueError, match="X and the fit have different row labels"):
            pg.bootstrap(model, DESIGN, moved.set_axis(TIMES + 9), Y, trial=TRIAL, n_resamples=3)


def test_significance_of_folds_that_train_on_rows_that_none_holds_out():
    model = GLMCV(**MODEL.get_params()).set_params(cv=TimeSeriesSplit(3)).fit(X, Y)
    with pytest.raises(ValueError, match=r"fold 0 trains on rows that no fold holds out.* or use refit=False"):
        pg.significance(model, X, Y, trial=TRIAL, n_shifts=9)
    assert pg.significance(model, X, Y, trial=TRIAL, n_shifts=9, refit=False).p_value.shape == (2,)


def test_select_is_remembered():
    chosen = MODEL.fit(X, Y, groups=TRIAL).select(se_fraction=1.0)
    again = GLMCV(**MODEL.get_params()).set_params(se_fraction=1.0).fit(X, Y, groups=TRIAL)
    for explain in (
        lambda m: pg.compare(m, X, Y),
        lambda m: pg.significance(m, X, Y, trial=TRIAL, n_shifts=9),
    ):
        xr.testing.assert_equal(explain(chosen), explain(again))


@pytest.mark.parametrize("kind", ["int64", "uint8", "float32", "Fortran"])
def test_an_activity_that_is_fitted_as_it_is_given_has_the_same_bits(kind):
    rng = np.random.default_rng(0)
    features = rng.normal(size=(300, 4))
    counts = rng.poisson(np.exp(0.4 * features[:, :3]))
    given = np.asfortranarray(counts, np.float32) if kind == "Fortran" else counts.astype(kind)
    kept = given.copy()
    model = GLMCV(penalty="group_lasso", feature_groups=[2, 2], cv=3, n_lambdas=4)
    one, other = (pg.GLMCV(**model.get_params()).fit(features, y) for y in (counts.astype(float), given))
    for name in ("coef_path_", "cv_coef_path_", "gap_", "cv_deviance_", "cv_null_deviance_", "intercept_path_"):
        np.testing.assert_array_equal(getattr(one, name), getattr(other, name))
    np.testing.assert_array_equal(given, kept)
