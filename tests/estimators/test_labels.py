"""Rows, columns and neurons are matched by their labels on every way in; arrays go by position."""

import pickle

import numpy as np
import pandas as pd
import pytest
import xarray as xr
from labelled import (
    BINS,
    COLUMNS,
    FLAT,
    GIVEN,
    MODEL,
    OFFSET,
    SHUFFLED,
    TIMES,
    TRIAL,
    WEIGHT,
    N,
    X,
    Y,
    fit,
)

import popglm as pg
from popglm import GLM, GLMCV


@pytest.fixture(scope="module")
def model():
    return fit(X, Y)


def assert_same(one, other):
    for name in ("coef_path_", "cv_coef_path_", "cv_deviance_", "fold_", "lambda_index_"):
        np.testing.assert_array_equal(getattr(one, name), getattr(other, name))


class TestColumns:
    @pytest.mark.parametrize("table", [X, FLAT], ids=["groups", "flat"])
    def test_another_order_is_put_right(self, table):
        fitted = fit(table, Y)
        other = table.iloc[:, [2, 0, 1]]
        for use in (
            lambda data: fitted.predict(data, OFFSET),
            lambda data: fitted.predict_held_out(data, OFFSET),
            lambda data: fitted.evaluate(data, Y, WEIGHT, OFFSET).to_numpy(),
            lambda data: pg.breakdown(fitted, data, Y, **GIVEN).reduced_deviance.values,
            lambda data: pg.compare(fitted, data, Y, **GIVEN).reduced_deviance.values,
        ):
            np.testing.assert_array_equal(use(other), use(table))

    @pytest.mark.parametrize("back", [lambda m, p: m, lambda m, p: pickle.loads(pickle.dumps(m)), "file"])
    def test_names_survive(self, model, back, tmp_path):
        if back == "file":
            model.save(tmp_path / "m.nc")
            again = pg.load(tmp_path / "m.nc")
        else:
            again = back(model, tmp_path)
        assert list(again.feature_names_in_) == list(COLUMNS)
        assert again.fitted_with_offset_
        np.testing.assert_array_equal(again.predict(X.iloc[:, ::-1], OFFSET), model.predict(X, OFFSET))
        np.testing.assert_array_equal(
            again.predict_held_out(X.iloc[SHUFFLED], OFFSET), model.predict_held_out(X, OFFSET)
        )
        with pytest.raises(ValueError, match=r"X lacks column 'cue / right'"):
            again.predict(X.rename(columns={"right": "up"}), OFFSET)
        with pytest.raises(ValueError, match="needs offset="):
            again.predict_held_out(X)

    def test_other_columns_are_refused(self, model):
        other = X.set_axis(pd.MultiIndex.from_tuples([("pupil", "x"), *COLUMNS[1:]]), axis=1)
        for use in (lambda: model.predict(other, 0), lambda: model.evaluate(other, Y, offset=0)):
            with pytest.raises(ValueError, match=r"lacks column 'speed / speed'.*has column 'pupil / x'"):
                use()

    def test_counted_columns_in_another_order(self):
        counted = pd.DataFrame(X.to_numpy())
        model = GLM(lambdas=[0.1]).fit(counted, Y)
        expected = model.predict(counted)
        for other in (counted.iloc[:, ::-1], counted.iloc[:, [2, 0, 1]]):
            np.testing.assert_array_equal(model.predict(other), expected)

    def test_groups_by_column(self):
        groups = pd.Series(["a", "b", "b"], index=FLAT.columns)
        lasso = {"penalty": "group_lasso", "lambdas": [0.1]}
        expected = GLM(feature_groups=groups, **lasso).fit(FLAT, Y)
        found = GLM(feature_groups=groups.iloc[::-1], **lasso).fit(FLAT, Y)
        assert found.feature_group_sizes_.tolist() == [1, 2]
        np.testing.assert_array_equal(found.coef_, expected.coef_)

    def test_twice(self):
        with pytest.raises(ValueError, match="X has the column 'speed' more than once"):
            GLM().fit(FLAT.set_axis(["speed", "speed", "x"], axis=1), Y)

    def test_arrays_go_by_position(self, model, recwarn):
        np.testing.assert_array_equal(model.predict(X.to_numpy(), OFFSET), model.predict(X, OFFSET))
        assert not recwarn.list


class TestNeurons:
    def test_another_order_is_put_right(self, model):
        other = Y[["b", "a"]]
        for use in (
            lambda data: model.evaluate(X, data, offset=OFFSET).to_numpy(),
            lambda data: pg.breakdown(model, X, data, **GIVEN).reduced_deviance.values,
            lambda data: pg.compare(model, X, data, test=(X, data, OFFSET), **GIVEN).reduced_deviance.values,
        ):
            np.testing.assert_array_equal(use(other), use(Y))

    def test_strengths_by_neuron(self):
        grid = pd.DataFrame({"b": [0.5, 0.05], "a": [0.2, 0.02]})
        for lambdas in (grid, xr.DataArray(grid, dims=("strength", "neuron"), coords={"neuron": ["b", "a"]})):
            np.testing.assert_array_equal(GLM(lambdas=lambdas).fit(X, Y).lambda_, [0.02, 0.05])
        with pytest.raises(ValueError, match="lambdas lacks neuron 'a' of the fit and has neuron 'c'"):
            GLM(lambdas=grid.rename(columns={"a": "c"})).fit(X, Y)

    def test_strengths_taken_by_neuron(self):
        path, by_name = GLM(lambdas=[0.3, 0.01]).fit(X, Y), {"b": 1, "a": 0}
        for index in (by_name, pd.Series(by_name), xr.DataArray(pd.Series(by_name)), [0, 1]):
            np.testing.assert_array_equal(path.take_strengths(index).lambda_index_, [0, 1])
        for index in ({"a": 1}, pd.Series({"a": 1})):
            with pytest.raises(ValueError, match="lambda_index lacks neuron 'b' of the fit"):
                path.take_strengths(index)
        with pytest.raises(ValueError, match="lambda_index must hold numbers, not True or False"):
            path.take_strengths({"a": True, "b": 0})

    def test_select_of_a_path(self):
        path = GLM(lambdas=[0.3, 0.01]).fit(X, Y)
        expected = path.select(X, Y).deviance_explained_path_
        np.testing.assert_array_equal(path.select(X, Y[["b", "a"]]).deviance_explained_path_, expected)

    def test_others_are_refused(self, model):
        for use in (
            lambda data: model.evaluate(X, data, offset=OFFSET),
            lambda data: pg.breakdown(model, X, data, **GIVEN),
        ):
            with pytest.raises(ValueError, match="Y lacks neuron 'b' of the fit and has neuron 'c'"):
                use(Y.rename(columns={"b": "c"}))

    @pytest.mark.parametrize("saved", [False, True])
    def test_names_that_look_like_a_count(self, saved, tmp_path):
        """As simulated sessions have them: they are names all the same."""
        named = Y.set_axis(["neuron0", "neuron1"], axis=1)
        fitted = GLMCV(lambdas=[0.3, 0.01], cv=3).fit(X, named)
        if saved:
            fitted.save(tmp_path / "m.nc")
            fitted = pg.load(tmp_path / "m.nc")
        expected, turned = fitted.evaluate(X, named), named[["neuron1", "neuron0"]]
        pd.testing.assert_frame_equal(fitted.evaluate(X, turned), expected)
        one, other = (pg.breakdown(fitted, X, y).reduced_deviance.values for y in (named, turned))
        np.testing.assert_array_equal(other, one)
        curve, mixed = (pg.predicted_tuning(fitted, X, y, BINS).average.values for y in (named, turned))
        np.testing.assert_array_equal(mixed, curve)
        with pytest.raises(ValueError, match="Y lacks neuron 'neuron0' of the fit"):
            fitted.evaluate(X, Y)

    def test_a_count_of_an_array_binds_nobody(self):
        fitted = GLM(lambdas=[0.3, 0.01]).fit(X, Y.to_numpy())
        expected = fitted.evaluate(X, Y.to_numpy()).to_numpy()
        np.testing.assert_array_equal(fitted.evaluate(X, Y).to_numpy(), expected)
        turned = Y.set_axis(["neuron0", "neuron1"], axis=1)[["neuron1", "neuron0"]]
        np.testing.assert_array_equal(fitted.evaluate(X, turned).to_numpy(), expected)

    def test_twice(self):
        with pytest.raises(ValueError, match="Y has the neuron 'a' more than once"):
            GLM().fit(X, Y.set_axis(["a", "a"], axis=1))

    def test_xarray(self):
        labelled = xr.DataArray(Y, dims=("time", "unit"), coords={"time": TIMES, "unit": ["a", "b"]})
        assert fit(X, labelled).neuron_names_ == ["a", "b"]
        assert_same(fit(X, labelled.isel(time=SHUFFLED)), fit(X, Y))


class TestRows:
    @pytest.mark.parametrize("argument", ["Y", "trial", "weight", "offset"])
    def test_another_order_is_put_right_in_fit(self, model, argument):
        given = {"Y": Y, "trial": TRIAL, "weight": WEIGHT, "offset": OFFSET}
        given[argument] = given[argument].iloc[SHUFFLED]
        found = fit(X, **given)
        np.testing.assert_array_equal(found.fold_, model.fold_)
        np.testing.assert_allclose(found.cv_coef_path_, model.cv_coef_path_, rtol=1e-5, atol=1e-6)

    def test_a_count_beside_the_same_numbers_shuffled(self):
        plain, counted = X.reset_index(drop=True), Y.reset_index(drop=True)
        expected = GLM(lambdas=[0.1]).fit(plain, counted).coef_
        shuffled = counted.sample(frac=1, random_state=0)
        np.testing.assert_array_equal(GLM(lambdas=[0.1]).fit(plain, shuffled).coef_, expected)
        # a count says nothing beside labels of another kind, and an array never does
        np.testing.assert_array_equal(GLM(lambdas=[0.1]).fit(X, counted).coef_, expected)
        np.testing.assert_array_equal(GLM(lambdas=[0.1]).fit(X.to_numpy(), Y).coef_, expected)

    @pytest.mark.parametrize("argument", ["Y", "trial", "weight", "offset"])
    def test_other_labels_are_refused(self, argument):
        given = {"Y": Y, "trial": TRIAL, "weight": WEIGHT, "offset": OFFSET}
        given[argument] = given[argument].set_axis(TIMES + 3)
        with pytest.raises(ValueError, match=r"different row labels: row 0 is np\.float64\(3\.5\)|row 0 is 3\.5"):
            fit(X, **given)

    def test_labels_that_repeat(self):
        twice = np.r_[TIMES[: N // 2], TIMES[: N // 2]]
        GLM(lambdas=[0.1]).fit(X.set_axis(twice), Y.set_axis(twice))
        with pytest.raises(ValueError, match="labels repeat"):
            GLM().fit(X.set_axis(twice), Y.set_axis(twice).iloc[::-1])

    def test_masks_of_folds(self):
        first = pd.Series(np.arange(N) < N // 2, index=TIMES)
        folds = [GLMCV(lambdas=[0.1], cv=[(~mask, mask)]).fit(X, Y).fold_ for mask in (first, first.iloc[SHUFFLED])]
        np.testing.assert_array_equal(*folds)

    def test_times_may_differ_by_rounding(self, model):
        assert_same(fit(X, Y.set_axis(TIMES + 1e-12)), model)

    def test_everywhere_else(self, model):
        rows = GIVEN
        other = {"sample_weight": WEIGHT.iloc[::-1], "offset": OFFSET.iloc[::-1]}
        moved, activity, trial = X.iloc[SHUFFLED], Y.iloc[SHUFFLED[::-1]], TRIAL.iloc[::-1]
        speed = pd.Series(X["speed"].iloc[:, 0].to_numpy(), TIMES)
        bins = pg.bins(speed.iloc[SHUFFLED], [-1, 1], 1.0, name="speed")
        for explain in (pg.breakdown, pg.compare):
            expected = explain(model, X, Y, by=BINS, **rows)
            xr.testing.assert_allclose(explain(model, moved, activity, by=bins, **other), expected)
        np.testing.assert_array_equal(
            model.evaluate(moved, activity, **other), model.evaluate(moved, Y.loc[moved.index], **rows)
        )
        np.testing.assert_array_equal(
            model.predict_held_out(moved, OFFSET.iloc[::-1]), model.predict_held_out(offset=OFFSET)
        )
        xr.testing.assert_equal(
            pg.significance(model, moved, activity, trial=trial, n_shifts=9, **other),
            pg.significance(model, X, Y, trial=TRIAL, n_shifts=9, **rows),
        )
        xr.testing.assert_equal(
            pg.tuning(Y, bins, trial.rename("kind") % 2, trial=trial),
            pg.tuning(Y, BINS, TRIAL.rename("kind") % 2, trial=TRIAL),
        )

    def test_bootstrap(self):
        session = {"speed": FLAT["speed"].to_numpy(), "left": FLAT["left"].to_numpy()}
        design = pg.Design([pg.linear("speed"), pg.linear("left")])
        features = design.fit_transform(session).set_axis(TIMES)
        fitted = GLM(lambdas=[0.01]).fit(features, Y)
        run = {"n_resamples": 3, "n_points": 4}
        expected = pg.bootstrap(fitted, design, features, Y, trial=TRIAL, **run)
        found = pg.bootstrap(fitted, design, features, Y.iloc[SHUFFLED][["b", "a"]], trial=TRIAL.iloc[::-1], **run)
        for group in expected:
            xr.testing.assert_equal(found[group], expected[group])

    def test_other_rows_in_explain(self, model):
        late = X.set_axis(TIMES + 9)
        for use in (
            lambda: pg.breakdown(model, late, Y, **GIVEN),
            lambda: pg.breakdown(model, X, Y.set_axis(TIMES + 9), **GIVEN),
            lambda: pg.breakdown(model, X, Y, by=pg.bins(pd.Series(np.zeros(N), TIMES + 9), [0], 1.0), **GIVEN),
            lambda: model.predict_held_out(late, 0),
            lambda: pg.significance(model, X, Y, trial=TRIAL.set_axis(TIMES + 9), n_shifts=9, **GIVEN),
        ):
            with pytest.raises(ValueError, match="different row labels"):
                use()

    def test_pynapple(self, model):
        nap = pytest.importorskip("pynapple")
        activity = nap.TsdFrame(t=TIMES, d=Y.to_numpy(), columns=["a", "b"])
        assert_same(fit(X, activity, trial=nap.Tsd(t=TIMES, d=TRIAL.to_numpy())), model)
        with pytest.raises(ValueError, match="Y and X have different row labels"):
            fit(X, nap.TsdFrame(t=TIMES + 5, d=Y.to_numpy(), columns=["a", "b"]))


class TestOrderOfTime:
    MOVED = X.iloc[SHUFFLED]

    def test_blocks_are_of_samples_that_follow_each_other(self):
        expected = GLMCV(**MODEL.get_params()).fit(X, Y).fold_
        for data in (self.MOVED, X.iloc[::-1], self.MOVED.set_axis(pd.to_timedelta(self.MOVED.index, unit="s"))):
            activity = Y.loc[self.MOVED.index].to_numpy() if data is not self.MOVED else Y
            found = pd.Series(GLMCV(**MODEL.get_params()).fit(data, activity).fold_, data.index).sort_index()
            np.testing.assert_array_equal(found, expected)

    def test_significance_refuses_trials_out_of_order(self):
        within = np.concatenate([np.arange(k, k + 10)[::-1] for k in range(0, N, 10)])
        model = GLMCV(**MODEL.get_params()).fit(X.iloc[within], Y, groups=TRIAL)
        with pytest.raises(ValueError, match=r"significance: the row labels of the fit do not increase: row 1"):
            pg.significance(model, X, Y, trial=TRIAL, n_shifts=9)

    @pytest.mark.parametrize("order", [SHUFFLED, np.arange(N)[::-1]])
    @pytest.mark.parametrize("index", [TIMES, np.arange(N), pd.to_timedelta(TIMES, unit="s")])
    def test_lags_refuse_rows_out_of_order(self, order, index):
        table = FLAT.set_axis(pd.Index(index)).iloc[order]
        basis = pg.log_bumps("lag", n=2, low=1, high=5)
        for term in (pg.shifts("speed", [1]), pg.kernel("left", basis), pg.history("right", basis)):
            with pytest.raises(ValueError, match="lags: the row labels of the session do not increase: row 1 has"):
                pg.Design([term]).fit(table)
        # what looks at no other row may stand in any order
        pg.Design([pg.linear("speed")]).fit(table)

    def test_lags_of_sessions_one_after_the_other(self):
        twice = pd.concat([FLAT, FLAT]).assign(session=np.repeat([1, 2], N))
        lags = [pg.shifts("speed", [1])]
        found = pg.Design(lags, trial="session", standardize=False).fit_transform(twice)
        alone = pg.Design(lags, standardize=False).fit_transform(FLAT)
        np.testing.assert_array_equal(found, np.tile(alone, (2, 1)))
        # the label of a session is no time
        found = pg.Design(lags, trial="session", standardize=False).fit_transform(twice.set_index(twice["session"]))
        np.testing.assert_array_equal(found, np.tile(alone, (2, 1)))
        with pytest.raises(ValueError, match="give trial= where recordings follow each other"):
            pg.Design(lags).fit(twice)

    def test_pictures(self):
        from popglm.plot import predicted_and_recorded, session_overview

        recorded, drawn = Y["a"], FLAT["speed"].abs()
        kwargs = {"time": pd.Series(TIMES, TIMES), "trial": TRIAL}
        lines = [
            predicted_and_recorded(recorded, values.iloc[order], **{k: v.iloc[order] for k, v in kwargs.items()})
            .lines[0]
            .get_xydata()
            for values, order in ((drawn, slice(None)), (drawn, SHUFFLED))
        ]
        np.testing.assert_array_equal(*lines)
        images = [session_overview(FLAT, data).images[0].get_array() for data in (Y, Y.iloc[SHUFFLED])]
        np.testing.assert_array_equal(*images)
        with pytest.raises(ValueError, match="activity and the session have different row labels"):
            session_overview(FLAT, Y.set_axis(TIMES + 9))


class TestAveragesOfPredictions:
    ROWS = pd.Index([f"row {k}" for k in range(60)])
    ORDER = np.random.default_rng(2).permutation(60)

    @pytest.fixture
    def parts(self):
        rng = np.random.default_rng(1)
        X = pd.DataFrame(rng.standard_normal((60, 2)), self.ROWS, ["u", "v"])
        Y = pd.DataFrame(rng.poisson(np.exp(0.5 * X.to_numpy())), self.ROWS, ["a", "b"])
        return GLMCV(lambdas=[0.1], cv=3).fit(X, Y), X, Y, pd.Series(np.arange(60) // 6, self.ROWS)

    def test_predicted_tuning(self, parts):
        model, X, Y, trial = parts
        by = pg.bins(X["u"], [-0.5, 0.5], 0.8)
        expected = pg.predicted_tuning(model, X, Y, by, trial % 2, trial=trial)
        mixed = [part.iloc[self.ORDER] for part in (X[["v", "u"]], Y[["b", "a"]], trial % 2, trial)]
        # an array's bins have no labels, and stand in the order of X
        for bins in (by, pg.bins(mixed[0]["u"].to_numpy(), [-0.5, 0.5], 0.8, name="u")):
            found = pg.predicted_tuning(model, *mixed[:2], bins, mixed[2], trial=mixed[3])
            xr.testing.assert_allclose(found, expected)
        with pytest.raises(ValueError, match=r"split and .* have different row labels"):
            pg.predicted_tuning(model, X, Y, by, (trial % 2).set_axis(self.ROWS + "x"))

    def test_psth(self, parts):
        model, _, Y, trial = parts
        predicted = pd.DataFrame(model.predict_held_out(), self.ROWS, ["a", "b"])
        events = pd.Series(np.arange(60) % 6 == 2, self.ROWS)
        time = pd.Series(np.arange(60.0), self.ROWS)
        window = {"before": 1, "after": 2}
        expected = pg.psth(Y, events, predicted=predicted, split=trial % 2, trial=trial, time=time, **window)
        events, split, trial, time = (part.iloc[self.ORDER] for part in (events, trial % 2, trial, time))
        predicted = predicted.iloc[self.ORDER][["b", "a"]]
        found = pg.psth(Y, events, predicted=predicted, split=split, trial=trial, time=time, **window)
        xr.testing.assert_equal(found, expected)
        with pytest.raises(ValueError, match="predicted and Y have different row labels"):
            pg.psth(Y, trial=trial, predicted=predicted.set_axis(self.ROWS + "x"), **window)
        with pytest.raises(ValueError, match="predicted lacks neuron 'b'"):
            pg.psth(Y, trial=trial, predicted=predicted.rename(columns={"b": "c"}), **window)
