"""What is no number, is no unit, or is beyond what numbers hold: one sentence each, and no warning of NumPy's."""

import warnings

import numpy as np
import pandas as pd
import pytest

import popglm as pg
from popglm import GLM, GLMCV
from popglm.plot import session_overview
from popglm.warnings import PopglmWarning

RNG = np.random.default_rng(11)
N = 240
X = RNG.standard_normal((N, 2))
Y = RNG.poisson(np.exp(X @ [[0.5, 0.0], [0.0, -0.5]])).astype(float)
HOURS = pd.date_range("2026-01-01", periods=N, freq="h")


def fit(X=X, Y=Y, **given):
    return GLM(lambdas=[0.1]).fit(X, Y, **given)


class TestNoNumbers:
    @pytest.mark.parametrize(
        ("X", "sentence"),
        [
            (pd.DataFrame({"clock": HOURS}), r"X holds dates or durations in column 0 \('clock'\) \(datetime64"),
            (pd.DataFrame({"a": X[:, 0], "t": HOURS - HOURS[0]}), r"durations in column 1 \('t'\) \(timedelta64"),
            (pd.DataFrame({"t": HOURS.tz_localize("UTC")}), r"durations in column 0 \('t'\) \(datetime64\[\w+, UTC"),
            (pd.DataFrame({"t": HOURS}, dtype=object), r"first in row 0: 2026-01-01 00:00:00\. .* such as seconds"),
            (np.repeat(HOURS.to_numpy()[:, None], 2, axis=1), r"dates or durations in column 0 \(datetime64"),
            (np.array([["1", "a"]] * N), r"X holds text in column 0, first in row 0: '1'\. .*popglm\.categories"),
            ([["a", "b"]] * N, r"X holds text in column 0, first in row 0: 'a'"),
            (X * 1j, r"X holds complex numbers in column 0 \(Complex data not supported\)"),
        ],
    )
    def test_in_X(self, X, sentence):
        with pytest.raises(ValueError, match=sentence):
            fit(X)
        if np.shape(X)[1] == 2:
            with pytest.raises(ValueError, match=sentence):
                fit().predict(X)

    @pytest.mark.parametrize("name", ["Y", "sample_weight", "offset"])
    @pytest.mark.parametrize("values", [HOURS, (HOURS - HOURS[0]).to_numpy(), pd.Series(HOURS)])
    def test_dates_elsewhere(self, name, values):
        with pytest.raises(ValueError, match=rf"{name} must hold numbers.* found dates or durations; make numbers"):
            fit(**{name: values})

    def test_a_table_of_dates_and_bins_of_dates(self):
        with pytest.raises(ValueError, match=r"Y must hold numbers.* found dates"):
            fit(Y=pd.DataFrame({"a": Y[:, 0], "b": HOURS}))
        with pytest.raises(ValueError, match="bins: values must hold numbers: found dates"):
            pg.bins(HOURS, [0], 1.0)

    def test_another_number_of_columns(self):
        model = fit()
        for other in (X[:, :1], np.ones((N, 5)), pg.RowStream(np.ones((N, 5)))):
            with pytest.raises(ValueError, match=r"expecting 2 features as input: the columns of the fit"):
                model.predict(other)

    @pytest.mark.parametrize("units", [{"x": 5}, {3: "cm"}, {"x": None}])
    def test_units_are_text(self, units):
        session = {"x": X[:, 0]}
        design = pg.Design([pg.linear("x")])
        model = fit(design.fit_transform(session))
        activity = pd.DataFrame(Y)
        for use in (
            lambda: pg.kernels(model, design, units=units),
            lambda: session_overview(pd.DataFrame(session), activity, units=units),
        ):
            with pytest.raises(TypeError, match=r"units must map names of variables to units, both text"):
                use()

    @pytest.mark.parametrize("given", [{"unit": 5}, {"name": 5}])
    def test_names_and_units_of_bins_are_text(self, given):
        with pytest.raises(TypeError, match=rf"bins: {next(iter(given))} must be text.* found 5"):
            pg.bins(X[:, 0], [0], 1.0, **given)

    def test_values_are_shown_as_python_writes_them(self):
        for use in (
            lambda: pg.bumps("x", n=3, low=np.float64(2), high=np.float64(1)),
            lambda: GLM(tol=np.float64(-1)).fit(X, Y),
            lambda: GLM(l1_ratio=np.float64(2)).fit(X, Y),
            lambda: pg.bins(X[:, 0], [0], np.float64(-1)),
            lambda: GLMCV(se_fraction=np.float64(-1)).fit(X, Y),
            lambda: pg.psth(Y, X[:, 0], before=np.float64(-1), after=1),
            lambda: pg.shifts("x", [np.float64(np.nan)]),
            lambda: pg.FirstOrder(learning_rate=np.float64(-1)),
            lambda: fit(pd.DataFrame(X, np.arange(N) / 2), pd.DataFrame(Y, np.arange(N) / 2 + 7)),
        ):
            with pytest.raises(ValueError, match=r"^((?!np\.).)*$"):
                use()


@pytest.mark.filterwarnings("error::RuntimeWarning")
class TestSizes:
    @pytest.mark.parametrize("kwargs", [{}, {"penalty": "lasso"}, {"inverse_link": "softplus"}, {"family": "gaussian"}])
    def test_units_that_numbers_hold(self, kwargs):
        expected = GLMCV(n_lambdas=3, cv=3, **kwargs).fit(X, Y)
        for scale in (1e-25, 1e25):
            model = GLMCV(n_lambdas=3, cv=3, **kwargs).fit(X * scale, Y)
            np.testing.assert_allclose(model.cv_deviance_explained_, expected.cv_deviance_explained_, rtol=5e-3)
            np.testing.assert_allclose(model.predict(X * scale), expected.predict(X), rtol=5e-2, atol=1e-2)

    @pytest.mark.parametrize("scale", [1e-40, 1e40])
    def test_units_beyond(self, scale):
        with pytest.raises(ValueError, match=r"X reaches .* outside 1e-35 to 1e\+35: .* another unit"):
            fit(X * scale)
        with pytest.raises(ValueError, match=r"Y holds (no|a) value above 1e.35 in size for neuron 0 .* another unit"):
            fit(Y=Y * scale)
        if scale > 1:
            with pytest.raises(ValueError, match="X reaches"):
                fit().predict(X * scale)

    def test_predictions_that_overflow(self):
        model = GLMCV(lambdas=[0.01], cv=3).fit(X, Y)
        far = X * 1e5
        assert np.isneginf(model.evaluate(far, Y)["deviance_explained"]).all()
        assert np.isnan(pg.breakdown(model, far, Y, held_out=False).fraction_null_deviance).any()
        by = pg.bins(X[:, 0], [0], 1.0)
        pg.breakdown(model, far, Y, by=by, held_out=False)
        with pytest.raises(ValueError, match=r"an infinite mean is predicted for neuron .neuron0., first in row \d+"):
            pg.predicted_tuning(model, far, Y, by, held_out=False)

    def test_categories_that_match_nothing(self):
        session = {"odour": ["rose", "mint"] * 10}
        with pytest.warns(PopglmWarning, match="no sample of 'odour' has a known category"):
            found = pg.Design([pg.categories("odour", levels=["a", "b"])]).fit_transform(session)
        assert (found == 0).all(axis=None)


class TestNothingInside:
    SESSION = {"position": np.linspace(0, 100, 50), "cue": np.resize([-1.0, 1.0], 50)}  # noqa: RUF012

    @pytest.mark.parametrize("standardize", [True, False])
    def test_bumps_whose_range_no_sample_visits(self, standardize):
        far = pg.bumps("position", n=4, low=1000, high=2000)
        near = pg.log_bumps("position", n=3, low=500, high=600, name="near")
        design = pg.Design([far * "cue", pg.shifts(near, [1])], standardize=standardize)
        with pytest.warns(PopglmWarning) as caught:
            design.fit(self.SESSION)
        assert len(caught) == 1
        for low, high in ((1000, 2000), (500, 600)):
            said = (
                f"no sample of 'position' is inside [{low}, {high}], the range of its bumps: the samples run from 0 to"
            )
            assert f"{said} 100" in str(caught[0].message)

    def test_in_new_data(self):
        design = pg.Design([pg.bumps("position", n=4, low=0, high=100)]).fit(self.SESSION)
        metres = {"position": self.SESSION["position"] * 1000 + 500}
        with pytest.warns(PopglmWarning, match=r"differ .* no sample of 'position' is inside \[0, 100\].* from 500"):
            design.transform(metres)
        with warnings.catch_warnings():
            warnings.simplefilter("error")
            design.transform({"position": np.append(metres["position"], 50.0)})
            design.transform({"position": np.full(3, np.nan)})


class TestSelection:
    def test_a_floor_above_the_grid_is_told(self):
        said = r"min_lambda=5 lies above all strengths, the largest of which is 0\.1,.*: neuron0, neuron1\."
        with pytest.warns(PopglmWarning, match=said):
            model = GLMCV(lambdas=[0.1, 0.01], cv=3, min_lambda=5).fit(X, Y)
        with pytest.warns(PopglmWarning, match=said):
            model.select(min_lambda=5)
        with pytest.warns(PopglmWarning, match=said):
            GLM(lambdas=[0.1, 0.01]).fit(X, Y).select(X, Y, min_lambda=5)

    def test_no_weights_without_a_refit(self):
        model = GLMCV(lambdas=[0.1], cv=3).fit(X, Y)
        # those of an earlier fit are gone
        model.set_params(refit=False).fit(X, Y)
        for name in ("coef_", "intercept_"):
            assert not hasattr(model, name)
            with pytest.raises(AttributeError, match=rf"refit=False.* in cv_{name}path_; use refit=True"):
                getattr(model, name)
        with pytest.raises(AttributeError, match="'GLM' object has no attribute 'coef_'"):
            _ = GLM().coef_

    def test_who_complains(self):
        model = GLMCV(lambdas=[0.1], cv=3).fit(X, Y, offset=X[:, 0])
        with pytest.raises(ValueError, match=r"^score needs offset="):
            model.score(X, Y)
        with pytest.raises(ValueError, match=r"^score: this model was fitted with refit=False"):
            model.set_params(refit=False).fit(X, Y).score(X, Y)


@pytest.mark.parametrize("family", ["poisson", "gaussian", "bernoulli"])
@pytest.mark.filterwarnings("error::RuntimeWarning")
def test_a_neuron_that_was_never_recorded_alone_is_as_among_others(family):
    y, never = (Y[:, 0] > 0).astype(float), np.full(N, np.nan)
    among = GLMCV(family=family, n_lambdas=3, cv=3).fit(X, np.column_stack([y, never]))
    with pytest.warns(PopglmWarning, match="Fitted as the null model, since their activity is missing"):
        alone = GLMCV(family=family, n_lambdas=3, cv=3).fit(X, never)
    assert (alone.coef_ == 0).all()
    assert alone.intercept_ == among.intercept_[1]
    assert np.isinf(alone.lambda_)
    assert np.isnan(alone.cv_deviance_explained_)
    np.testing.assert_array_equal(alone.predict(X), among.predict(X)[:, 1])
    assert among.evaluate(X, np.column_stack([never, never]))["deviance_explained"].isna().all()
