"""Generalized additive models of a population: against statsmodels, the truth of simulations, and identities."""

from pathlib import Path

import numpy as np
import pandas as pd
import pytest

import popglm as pg
from popglm.solve.curves.smoothing import Smoother
from popglm.warnings import ConvergenceWarning, PopglmWarning

FROZEN = Path(__file__).parents[1] / "reference" / "smooth.npz"


@pytest.fixture(scope="module")
def session():
    rng = np.random.default_rng(0)
    n = 1200
    return {
        "phase": rng.uniform(0, 2 * np.pi, n),
        "speed": rng.uniform(0, 1, n),
        "x": rng.uniform(0, 10, n),
        "y": rng.uniform(0, 10, n),
    }


@pytest.fixture(scope="module")
def design(session):
    return pg.Design([pg.cyclic_splines("phase", n=10), pg.splines("speed", n=10), pg.linear("x")]).fit(session)


@pytest.fixture(scope="module")
def eta(session):
    """Tuned to the phase; to the speed along a straight line; to nothing."""
    return np.column_stack([np.sin(session["phase"]), 2 * session["speed"] - 1, np.zeros(1200)])


@pytest.fixture(scope="module")
def counts(eta):
    return np.random.default_rng(1).poisson(np.exp(eta - 0.5))


@pytest.fixture(scope="module")
def model(session, design, counts):
    return pg.SmoothGLM().fit(design.transform(session), counts)


@pytest.mark.parametrize("family", ["gaussian", "poisson", "bernoulli"])
def test_fits_at_given_strengths_are_those_of_statsmodels(family):
    frozen = np.load(FROZEN)
    X, y, sizes = frozen["X"], frozen[f"y_{family}"], [7, 6]
    penalties = {"a": frozen["S0"], "b": [frozen["S1"]]}
    for alpha, row in zip(frozen["strengths"], frozen[family], strict=True):
        params, edf, deviance = np.split(row, [14, 28])
        # Σ α βᵀSβ beside a summed log-likelihood there, ½σ βᵀSβ beside a mean here
        model = pg.SmoothGLM(
            family, feature_groups=["a"] * 7 + ["b"] * 6, penalties=penalties, smoothing=2 * alpha / len(y)
        ).fit(X, y)
        np.testing.assert_allclose(np.r_[model.intercept_, model.coef_], params, atol=2e-5)
        np.testing.assert_allclose(model.evaluate(X, y)["deviance"], deviance, rtol=1e-6)
        by_group = np.add.reduceat(edf[1:], np.cumsum([0, *sizes[:-1]]))
        np.testing.assert_allclose(model.edf_.iloc[0], by_group, atol=1e-4)


def test_curves_are_found_and_terms_that_explain_nothing_vanish(model, session, design, eta):
    X = design.transform(session)
    fitted = np.log(model.predict(X))
    error = np.sqrt(np.mean((fitted - (eta - 0.5)) ** 2, axis=0))
    assert (error < 0.1).all()
    edf = model.edf_.to_numpy()
    assert 2 < edf[0, 0] < 8
    # a straight line is one degree of freedom
    assert 0.8 < edf[1, 1] < 2.5
    assert (np.delete(edf.ravel(), [0, 4]) < 1.5).all()
    assert np.median(np.delete(edf.ravel(), [0, 4])) < 0.2
    assert (model.slope_ <= model.tol).all()
    assert (model.gap_ < 1e-10).all()


@pytest.mark.parametrize("method", ["reml", "gcv"])
def test_strengths_chosen_are_near_the_best_of_the_truth(session, design, method):
    f = np.sin(2 * session["phase"])
    X = design.transform(session)
    Y = f[:, None] + np.random.default_rng(2).normal(0, 1, (1200, 6))
    model = pg.SmoothGLM("gaussian", method=method).fit(X, Y)

    def errors(model):
        return np.mean((model.predict(X) - f[:, None]) ** 2, axis=0)

    at = model.smoothing_.to_numpy()
    for factor in (1e-3, 1e3):
        other = pg.SmoothGLM("gaussian", smoothing=factor * at).fit(X, Y)
        assert errors(other).mean() > 1.1 * errors(model).mean()
    np.testing.assert_allclose(model.dispersion_, 1, atol=0.15)


def test_place_maps_have_a_strength_for_each_axis(session):
    design = pg.Design([pg.bumps("x", 9, 0, 10) * pg.bumps("y", 8, 0, 10)])
    X = design.fit_transform(session)
    # bent along x alone
    rate = np.exp(np.cos(session["x"]))
    model = pg.SmoothGLM().fit(X, np.random.default_rng(3).poisson(rate[:, None] * np.ones(3)))
    assert [*model.smoothing_.columns] == [("x × y", part) for part in ("axis 1", "axis 2", "null space")]
    assert (model.smoothing_["x × y", "axis 2"] > 10 * model.smoothing_["x × y", "axis 1"]).all()
    error = np.sqrt(np.mean((np.log(model.predict(X)) - np.log(rate)[:, None]) ** 2))
    assert error < 0.15


def test_curves_are_smooth_before_z_scoring(session):
    """The same terms with and without z-scoring are the same model."""
    terms = [pg.splines("speed", n=8), pg.cyclic_splines("phase", n=6)]
    Y = np.random.default_rng(4).poisson(np.exp(np.sin(session["phase"]))[:, None])
    scored, plain = (
        pg.Design(terms, standardize=flag, dtype="float64").fit_transform(session) for flag in (True, False)
    )
    one, other = pg.SmoothGLM(tol=1e-5).fit(scored, Y), pg.SmoothGLM(tol=1e-5).fit(plain, Y)
    np.testing.assert_allclose(one.predict(scored), other.predict(plain), rtol=1e-4)
    np.testing.assert_allclose(one.edf_, other.edf_, atol=1e-3)


@pytest.mark.parametrize("family", ["poisson", "gaussian"])
def test_a_neuron_is_fitted_as_if_alone(session, design, counts, family):
    X = design.transform(session)
    Y = np.column_stack([counts, np.zeros(1200), np.full(1200, np.nan)]).astype(float)
    Y[300:500, 0] = np.nan
    with pytest.warns(PopglmWarning, match=r"Fitted as the null model.*neuron3, neuron4"):
        together = pg.SmoothGLM(family).fit(X, Y)
    assert together.null_fitted_.tolist() == [False, False, False, True, True]
    assert (together.coef_[3:] == 0).all()
    assert np.isfinite(together.intercept_).all()
    assert (together.edf_.iloc[3:] == 0).all(axis=None)
    assert together.smoothing_.iloc[3:].isna().all(axis=None)
    for j in (1, 2):
        alone = pg.SmoothGLM(family).fit(X, counts[:, j])
        np.testing.assert_allclose(together.coef_[j], alone.coef_, atol=1e-10)
        assert together.intercept_[j] == pytest.approx(alone.intercept_)
    known = np.r_[0:300, 500:1200]
    part = pg.SmoothGLM(family).fit(X.iloc[known], counts[known, 0])
    np.testing.assert_allclose(together.coef_[0], part.coef_, atol=1e-3)
    np.testing.assert_allclose(together.predict(X)[:, 0], part.predict(X), rtol=1e-3, atol=1e-3)


def test_a_neuron_whose_fit_breaks_down_is_named_and_the_others_stay(session, design, counts, monkeypatch):
    X, choose = design.transform(session), Smoother.choose

    def breaks(self, *arguments):
        if self.data.y.sum() == counts[:, 1].sum():
            raise np.linalg.LinAlgError("as if numbers overflowed")
        return choose(self, *arguments)

    whole = pg.SmoothGLM().fit(X, counts)
    monkeypatch.setattr(Smoother, "choose", breaks)
    with pytest.warns(PopglmWarning, match=r"numbers overflowed or the curvature vanished.*: neuron1\."):
        model = pg.SmoothGLM().fit(X, counts)
    assert model.null_fitted_.tolist() == [False, True, False]
    assert (model.coef_[1] == 0).all()
    np.testing.assert_allclose(model.predict(X)[:, 1], counts[:, 1].mean())
    np.testing.assert_array_equal(model.coef_[[0, 2]], whole.coef_[[0, 2]])


@pytest.mark.parametrize("family", ["poisson", "gaussian"])
def test_weights_are_numbers_of_samples(session, design, counts, family):
    X, weight = design.transform(session).iloc[:400], np.random.default_rng(5).integers(0, 3, 400)
    Y = counts[:400]
    many = pg.SmoothGLM(family, tol=1e-4).fit(X, Y, sample_weight=weight)
    again = np.repeat(np.arange(400), weight)
    repeated = pg.SmoothGLM(family, tol=1e-4).fit(X.iloc[again].reset_index(drop=True), Y[again])
    np.testing.assert_allclose(many.predict(X), repeated.predict(X), rtol=5e-3, atol=1e-3)
    np.testing.assert_allclose(many.criterion_, repeated.criterion_, rtol=1e-5)


def test_offsets_are_added(session, design, counts):
    X, offset = design.transform(session), np.random.default_rng(6).normal(0, 0.5, 1200)
    Y = np.random.default_rng(7).poisson(np.exp(np.sin(session["phase"]) + offset))
    model = pg.SmoothGLM().fit(X, Y, offset=offset)
    fitted = np.log(model.predict(X, offset=0))
    assert np.sqrt(np.mean((fitted - np.sin(session["phase"])) ** 2)) < 0.1
    assert model.fitted_with_offset_


def test_degrees_of_freedom_are_those_of_goodness_of_fit(model, session, design, counts):
    found = pg.goodness_of_fit(model, design.transform(session), counts)["degrees_of_freedom"]
    np.testing.assert_allclose(found, 1 + model.edf_.sum(axis=1), atol=1e-3)


def test_explanations_take_it(model, session, design, counts):
    X = design.transform(session)
    lost = pg.breakdown(model, X, counts, {"phase": "phase", "speed": "speed"}, held_out=False).fraction_null_deviance
    explained = model.evaluate(X, counts)["deviance_explained"]
    np.testing.assert_allclose(lost.sel(neuron="neuron0", variable="phase"), explained["neuron0"], rtol=0.2)
    np.testing.assert_allclose(lost.sel(neuron="neuron1", variable="speed"), explained["neuron1"], rtol=0.2)
    curve = pg.kernels(model, design)["phase"]
    assert float(np.corrcoef(curve["kernel"].values[0], np.sin(curve["phase"].values))[0, 1]) > 0.98
    assert model.score(X, counts) > 0.05


@pytest.mark.thorough(keep=1)
@pytest.mark.parametrize("penalties", [None, {"speed": [np.diag(np.arange(10.0))]}])
def test_files_keep_it(session, design, counts, penalties, tmp_path):
    X = design.transform(session)
    model = pg.SmoothGLM(penalties=penalties).fit(X, counts)
    model.save(tmp_path / "model.nc")
    again = pg.load(tmp_path / "model.nc")
    np.testing.assert_array_equal(again.predict(X), model.predict(X))
    pd.testing.assert_frame_equal(again.smoothing_, model.smoothing_)
    pd.testing.assert_frame_equal(again.edf_, model.edf_)
    for name in ("criterion_", "dispersion_", "slope_", "gap_", "n_iter_"):
        np.testing.assert_array_equal(getattr(again, name), getattr(model, name))
    np.testing.assert_array_equal(again.penalty_of(1).R, model.penalty_of(1).R)
    assert set(model.to_xarray()["edf"].dims) == {"neuron", "term"}
    refitted = again.fit(X, counts)
    np.testing.assert_array_equal(refitted.coef_, model.coef_)


def test_null_spaces_may_stay_free(session, counts):
    design = pg.Design([pg.splines("speed", n=8), pg.linear("x")], dtype="float64")
    X = design.fit_transform(session)
    model = pg.SmoothGLM(shrink=False, smoothing=1e6).fit(X, counts)
    # a straight line in the splines and one in x are left: a fit of two columns without a penalty
    line = pg.GLM(penalty="none", precision="float64", tol=1e-12).fit(
        np.column_stack([_line_of(design, session), session["x"]]), counts
    )
    np.testing.assert_allclose(model.edf_, [[1, 1]] * 3, atol=1e-3)
    np.testing.assert_allclose(
        model.predict(X), line.predict(np.column_stack([_line_of(design, session), session["x"]])), rtol=1e-3
    )


def _line_of(design, session):
    """The sum of the splines with weights along a straight line."""
    raw = pg.Design([pg.splines("speed", n=8)], standardize=False, dtype="float64").fit_transform(session)
    return raw.to_numpy() @ np.arange(8.0)


def test_groups_without_a_penalty_are_plain(session, design, counts):
    X = design.transform(session)[["x"]]
    model = pg.SmoothGLM(penalties={"x": []}).fit(X, counts)
    plain = pg.GLM(penalty="none", precision="float64", tol=1e-12).fit(X, counts)
    np.testing.assert_allclose(model.coef_, plain.coef_, atol=1e-6)
    np.testing.assert_allclose(model.edf_, 1, atol=1e-6)
    assert model.smoothing_.shape == (3, 0)


@pytest.mark.parametrize(
    ("options", "complaint"),
    [
        ({"method": "aic"}, "method"),
        ({"order": 0}, "order"),
        ({"order": 10}, "order=10 is too high for group 'speed', which has 10 columns along its line"),
        ({"tol": 0}, "tol"),
        ({"shrink": "yes"}, "shrink"),
        ({"family": "poisson", "inverse_link": "relu"}, "not convex and smooth everywhere; use .*GLMCV"),
        ({"family": "inverse_gaussian"}, "not convex.*; it fits gaussian, poisson, .*censored_gaussian. Or use GLMCV"),
        ({"inverse_link": "relu"}, "not convex and smooth everywhere; use inverse_link='exp', or GLMCV"),
        ({"penalties": {"spead": []}}, "names 'spead', which is no feature group"),
        ({"penalties": {"speed": np.eye(3)}}, r"must have shape \(10, 10\)"),
        ({"penalties": {"speed": np.triu(np.ones((10, 10)))}}, "must be symmetric"),
        ({"penalties": {"speed": -np.eye(10)}}, "negative eigenvalue"),
        ({"penalties": {"speed": np.zeros((10, 10))}}, "not 0 throughout"),
        ({"penalties": [np.eye(10)]}, "must be a mapping"),
        ({"smoothing": -1.0}, "above 0"),
        ({"smoothing": [1.0, 2.0]}, r"must be one number, or have shape \(5,\)"),
    ],
)
def test_wrong_settings_are_told(session, design, counts, options, complaint):
    with pytest.raises(ValueError, match=complaint):
        pg.SmoothGLM(**options).fit(design.transform(session), counts + 1)


def test_a_search_that_is_cut_short_is_told(session, design, counts):
    with pytest.warns(ConvergenceWarning, match="Strengths are not at a minimum.*neuron0"):
        pg.SmoothGLM(max_iter=1).fit(design.transform(session), counts)


def test_what_is_refused_names_other_models(model, session, design, counts):
    X = design.transform(session)
    with pytest.raises(ValueError, match=r"a SmoothGLM holds nothing out; give test=\(X_test, Y_test\)"):
        pg.compare(model, X, counts, {"phase": "phase"})
    with pytest.raises(ValueError, match="penalty='smooth'"):
        pg.wald(model, X, counts)


def test_a_search_does_not_end_where_the_criterion_is_flat():
    """A first step that goes too far makes a straight line of this curve."""
    rng = np.random.default_rng(0)
    session = {
        "speed": rng.uniform(0, 1, 600), "cue": rng.choice(["a", "b"], 600),
        "lick": (rng.random(600) < 0.1).astype(float),
    }  # fmt: skip
    lick, per_cue = pg.kernel("lick", pg.bumps("lag", 4, 0, 10)), pg.splines("speed", n=6, name="per cue")
    X = pg.Design([pg.splines("speed", n=9), lick, per_cue * pg.categories("cue")]).fit_transform(session)
    eta = np.column_stack([np.tanh(3 * session["speed"] - 1), np.sin(6 * session["speed"]), np.zeros(600)])
    model = pg.SmoothGLM().fit(X, rng.poisson(np.exp(eta))[:, 0])
    assert model.slope_[0] <= model.tol
    assert model.edf_["speed"].item() > 2


class TestConstraints:
    """Signs and orders of curves."""

    @pytest.fixture(scope="class")
    def data(self):
        rng = np.random.default_rng(8)
        n = 800
        session = {
            "speed": rng.uniform(0, 1, n),
            "cue": rng.choice(["a", "b"], n),
            "lick": (rng.random(n) < 0.1).astype(float),
            "heading": rng.uniform(0, 2 * np.pi, n),
        }
        design = pg.Design(
            [
                pg.splines("speed", n=8),
                pg.kernel("lick", pg.bumps("lag", 4, 0, 12)),
                pg.splines("speed", n=6, name="per cue") * pg.categories("cue"),
                pg.cyclic_splines("heading", n=6),
            ]
        )
        X = design.fit_transform(session)
        eta = np.column_stack([np.tanh(4 * session["speed"] - 2), -session["speed"], 0.2 * rng.standard_normal(n)])
        return session, design, X, rng.poisson(np.exp(eta))

    def test_curves_keep_to_them(self, data):
        _, design, X, Y = data
        constraints = {"speed": "increasing", "lick kernel": "positive", "per cue × cue": "decreasing"}
        model = pg.SmoothGLM(constraints=constraints).fit(X, Y)
        raw = model.coef_ / design.scales_
        # rounding of the sums of steps
        assert (np.diff(raw[:, :8], axis=1) > -1e-12).all()
        # a curve that rises may begin below 0
        assert raw[0, 0] < -0.1
        assert (raw[:, 8:12] > -1e-12).all()
        assert (np.diff(raw[:, 12:24].reshape(3, 6, 2), axis=1) < 1e-12).all()
        curves = pg.kernels(model, design)["speed"]["kernel"]
        assert (np.diff(curves, axis=1) > -1e-9).all()
        assert (model.gap_ < 1e-9).all()
        degrees = pg.goodness_of_fit(model, X, Y)["degrees_of_freedom"]
        np.testing.assert_allclose(degrees, 1 + model.edf_.sum(axis=1))
        free = pg.SmoothGLM().fit(X, Y)
        np.testing.assert_array_equal(free.smoothing_, model.smoothing_)
        # the second neuron falls with speed: its curve is flat, and takes no degree of freedom
        assert model.edf_["speed"].iloc[1] < 0.05 < free.edf_["speed"].iloc[1]
        assert np.corrcoef(curves[0], np.tanh(4 * curves["speed"].values - 2))[0, 1] > 0.98

    @pytest.mark.parametrize("kind", ["negative", "decreasing"])
    def test_the_other_way_is_the_fit_of_the_column_turned_round(self, data, kind):
        _, _, X, Y = data
        turned = X.copy()
        turned["speed"] *= -1
        other = {"negative": "positive", "decreasing": "increasing"}[kind]
        one = pg.SmoothGLM(constraints={"speed": kind}, smoothing=0.01).fit(X, Y)
        again = pg.SmoothGLM(constraints={"speed": other}, smoothing=0.01).fit(turned, Y)
        np.testing.assert_allclose(one.predict(X), again.predict(turned), rtol=1e-5)

    def test_lags_in_any_order_rise_in_time(self, data):
        session, _, _, Y = data
        design = pg.Design([pg.shifts("speed", [0, 3, 1, 2])], dtype="float64")
        X = design.fit_transform(session)
        model = pg.SmoothGLM(constraints={"speed shifts": "increasing"}, smoothing=0.01).fit(X, Y)
        raw = (model.coef_ / design.scales_)[:, [0, 2, 3, 1]]
        assert (np.diff(raw, axis=1) > -1e-12).all()

    def test_files_keep_them(self, data, tmp_path):
        _, _, X, Y = data
        model = pg.SmoothGLM(constraints={"speed": "increasing"}).fit(X, Y)
        model.save(tmp_path / "model.nc")
        again = pg.load(tmp_path / "model.nc")
        np.testing.assert_array_equal(again.coef_, model.coef_)
        assert again.constraints == {"speed": "increasing"}
        np.testing.assert_array_equal(again.fit(X, Y).coef_, model.coef_)

    @pytest.mark.parametrize(
        ("constraints", "complaint"),
        [
            ({"spead": "positive"}, "names 'spead', which is no feature group"),
            ({"speed": "rising"}, "must be one of positive, negative, increasing, decreasing; found 'rising'"),
            ({"speed": 1}, "must be one of positive"),
            ({"heading": "increasing"}, "cannot be 'increasing': it has a circle"),
            (["positive"], "must be a mapping"),
        ],
    )
    def test_wrong_ones_are_told(self, data, constraints, complaint):
        _, _, X, Y = data
        with pytest.raises(ValueError, match=complaint):
            pg.SmoothGLM(constraints=constraints).fit(X, Y)
