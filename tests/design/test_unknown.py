"""Unknown samples: statistics over the known ones, 0 after z-scoring; what held-out deviance that saves."""

import numpy as np
import pandas as pd
import pytest
from sklearn.preprocessing import PolynomialFeatures

import popglm as pg
from popglm.warnings import PopglmWarning

N, LENGTH = 4000, 20
TRIAL = np.repeat(np.arange(N // LENGTH), LENGTH)


@pytest.fixture
def rng():
    return np.random.default_rng(0)


def z_scored(term, session):
    return pg.Design([term], trial="trial" if "trial" in session else None, dtype="float64").fit_transform(session)


def held_out(X, y):
    model = pg.GLMCV(lambdas=10.0 ** np.linspace(-1, -4, 7)).fit(X, y, groups=TRIAL)
    return model.cv_deviance_explained_.item()


def explained_by(known, predictor, y):
    """The same fit to a column that a hand put to 0 where it is unknown."""
    column = np.where(known, predictor - predictor[known].mean(), 0) / predictor[known].std()
    return held_out(column[:, None], y)


def test_a_missing_pupil_costs_its_own_samples_only(rng):
    z = rng.normal(size=N)
    y = rng.poisson(np.exp(0.5 * z - 0.5))
    pupil = 50 + 2 * z
    pupil[rng.random(N) < 0.02] = np.nan
    found = held_out(z_scored(pg.linear("p"), {"p": pupil}), y)
    assert found == pytest.approx(0.13, abs=0.005)
    assert found == pytest.approx(explained_by(~np.isnan(pupil), z, y), abs=1e-4)


@pytest.mark.parametrize("level", [0, 50, 5e4])
def test_lags_before_a_trial_do_not_depend_on_the_level_of_the_variable(rng, level):
    z = rng.normal(size=N)
    ago = pd.Series(z).groupby(TRIAL).shift(3)
    y = rng.poisson(np.exp(0.5 * ago.fillna(0) - 0.5))
    session = {"p": level + 2 * z, "trial": TRIAL}
    identity = pg.bumps("lag", n=5, low=0, high=4, width=2)  # one bump per lag
    right = explained_by(ago.notna().to_numpy(), ago.to_numpy(), y)
    assert right > 0.11
    for term in (pg.shifts("p", range(5)), pg.kernel("p", identity)):
        X = z_scored(term, session)
        # four more columns that say nothing
        assert held_out(X, y) == pytest.approx(right, abs=0.004)
        np.testing.assert_allclose(X.iloc[:, 3], ((ago - ago.mean()) / ago.std(ddof=0)).fillna(0), atol=1e-7)


def test_every_term_without_a_natural_zero_takes_its_statistics_over_known_samples(rng):
    session = pd.DataFrame({"v": 50 + rng.normal(size=60), "w": rng.normal(size=60), "c": rng.choice(["a", "b"], 60)})
    holes = session.copy()
    holes.loc[::7, ["v", "c"]] = np.nan
    known = holes["v"].notna()
    for term in (
        pg.linear("v"),
        pg.transformed(["v", "w"], PolynomialFeatures(2, include_bias=False)),
        pg.linear("w") * "v",
        pg.categories("c"),
        pg.categories("c") * "w",
    ):
        design = pg.Design([term], dtype="float64").fit(holes)
        complete = pg.Design([term], dtype="float64").fit_transform(session[known].reset_index(drop=True))
        X = design.transform(holes)
        np.testing.assert_allclose(X[known], complete, atol=1e-9)
        assert (X[~known] == 0).all(axis=None)
        raw = pg.Design([term], standardize=False).fit_transform(holes)
        assert (raw[~known] == 0).all(axis=None)
        assert design.report_["unknown"].item() == pytest.approx(9 / 60)


def test_what_has_a_natural_zero_is_zero_before_z_scoring(rng):
    x = rng.uniform(0, 10, 400)
    x[:100] = np.nan
    lick = (rng.random(400) < 0.1).astype(float)
    session = {"x": x, "lick": lick, "trial": np.repeat(np.arange(20), 20)}
    for term in (
        pg.bumps("x", 4, 0, 10),
        pg.log_bumps("x", 4, 0, 12),
        pg.splines("x"),
        pg.kernel("lick", pg.bumps("lag", 3, 0, 4)),
        pg.shifts(pg.bumps("x", 4, 0, 10), [0, 3]),
    ):
        raw = pg.Design([term], trial="trial", standardize=False, dtype="float64").fit_transform(session).to_numpy()
        design = pg.Design([term], trial="trial", dtype="float64").fit(session)
        np.testing.assert_allclose(design.means_, raw.mean(axis=0))
        np.testing.assert_allclose(design.scales_, raw.std(axis=0))
        assert design.report_["unknown"].item() == 0


def test_zero_times_an_unknown_value_is_zero(rng):
    x, v = rng.uniform(0, 10, 500), 50 + rng.normal(size=500)
    v[::5] = np.nan
    design = pg.Design([pg.bumps("x", 5, 0, 10) * "v"], dtype="float64").fit({"x": x, "v": v})
    bump = pg.bumps("x", 5, 0, 10).evaluate(x)
    for k in range(5):
        known = (bump[:, k] == 0) | ~np.isnan(v)
        product = bump[known, k] * np.nan_to_num(v[known])
        assert design.means_[k] == pytest.approx(product.mean())
        assert design.scales_[k] == pytest.approx(product.std())


def test_a_kernel_takes_what_is_mostly_zero_for_events_unless_told(rng):
    event = np.zeros(300)
    event[rng.integers(0, 300, 20)] = 1
    basis, trial = pg.bumps("lag", 3, 0, 4), np.repeat(np.arange(30), 10)

    def unknown(x, **options):
        design = pg.Design([pg.kernel("x", basis, **options)], trial="trial").fit({"x": x, "trial": trial})
        return design.report_["unknown"].item()

    assert unknown(event) == 0
    assert unknown(50 + rng.normal(size=300)) > 0
    assert unknown(event, events=False) > 0
    assert unknown(50 + rng.normal(size=300), events=True) == 0


def test_no_lag_crosses_a_gap_in_the_times_of_the_rows(rng):
    times = np.r_[0:10, 25:40] * 0.1
    x = rng.normal(size=25)
    for index in (
        pd.Index(times),
        pd.to_timedelta(times, unit="s"),
        pd.Timestamp("2024-01-01") + pd.to_timedelta(times, unit="s"),
    ):
        frame = pd.DataFrame({"x": x, "side": np.ones(25)}, index=index)
        design = pg.Design([pg.shifts("x", [1, 2]), pg.history("x", pg.bumps("lag", 1, 1, 2, width=4))])
        X = design.set_params(standardize=False, dtype="float64").fit_transform(frame)
        np.testing.assert_array_equal(X["x shifts"]["lag1"], np.r_[0, x[:9], 0, x[10:24]])
        assert (X["x history"].iloc[[0, 10]] == 0).all(axis=None)
    with pytest.raises(ValueError, match="do not increase: row 10 has 3 after 9"):
        design.fit_transform(pd.DataFrame({"x": x}, index=np.r_[0:10, 3:18]))


@pytest.mark.parametrize("edge", [1, -1])
def test_splines_predict_beyond_their_range_what_they_predict_at_its_end(rng, edge):
    x = rng.uniform(-1, 1, 8000)
    y = rng.poisson(np.exp(np.sin(2 * edge * x) - 0.5))
    design = pg.Design([pg.splines("x", n=6)])
    model = pg.GLM(lambdas=[1e-4]).fit(design.fit_transform({"x": x}), y)
    with pytest.warns(
        PopglmWarning, match=r"^samples that .* differ from those of its fit: 50.00% of the samples of 'x' lie outside"
    ):
        rates = model.predict(design.transform({"x": edge * np.array([0.995, 1.1])}))
    assert rates == pytest.approx(np.exp(np.sin(2) - 0.5), rel=0.1)
    assert rates[1] == pytest.approx(rates[0], rel=0.02)


@pytest.mark.parametrize(
    "term", [pg.bumps("x", n=4, low=0, high=1), pg.splines("x", n=4), pg.bumps("x", n=4, low=0, high=1) * "y"]
)
def test_a_variable_that_is_never_known_is_no_constant(term):
    session = {"x": np.full(50, np.nan), "y": np.arange(50.0)}
    with pytest.warns(PopglmWarning) as caught:
        X = pg.Design([term, pg.linear("y")]).fit_transform(session)
    assert str(caught[0].message) == f"no sample is known (NaN) of 1 term(s), which are set to 0: {term.name}"
    assert (X[term.name] == 0).all(axis=None)
