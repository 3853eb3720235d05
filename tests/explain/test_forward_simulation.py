"""Activity drawn forward in time, against predictions for it, closed forms, and the truth that it was drawn from."""

import re

import numpy as np
import pandas as pd
import pytest
import xarray as xr
from complaints import assert_complaint
from sklearn.exceptions import NotFittedError

import popglm as pg
from popglm.statistics.families import FAMILIES, get_family
from popglm.statistics.families.contract import Family

NAMES = ["a", "b", "c"]
N = 1_200


def a_session(seed=0, n=N):
    rng = np.random.default_rng(seed)
    table = pd.DataFrame({"speed": np.cos(np.arange(n) / 9), "trial": np.arange(n) // 60})
    return table.assign(**{name: rng.poisson(0.4, n) for name in NAMES})


def a_design(trial="trial"):
    lags = pg.log_bumps("lag", n=3, low=1, high=12)
    wide = pg.bumps("lag", n=2, low=0, high=7)
    terms = [pg.linear("speed"), *pg.coupling(NAMES, lags), pg.history("b", wide, name="b again")]
    return pg.Design(terms, trial=trial)


def a_design_of(variable):
    return pg.Design([pg.linear(variable)]).fit(a_session())


def fitted(session, family="poisson", **given):
    """A design of feedback of two bases, and a model whose weights are drawn."""
    design = a_design()
    X = design.fit_transform(session)
    Y = {"gamma": session[NAMES] + 0.5, "bernoulli": session[NAMES].clip(upper=1)}.get(family, session[NAMES])
    model = pg.GLM(family=family, lambdas=[0.05], **given).fit(X, Y)
    model.coef_ = np.random.default_rng(1).normal(0, 0.03 if family == "gamma" else 0.08, model.coef_.shape)
    return design, model


@pytest.mark.parametrize(
    "family", ["poisson", "bernoulli", "negative_binomial", "gamma", "gaussian", "censored_gaussian"]
)
def test_expected_activity_is_what_the_model_predicts_from_the_activity_before(family):
    session = a_session()
    design, model = fitted(session, family)
    has_dispersion = family in ("gaussian", "gamma")
    found = pg.simulate(model, design, session, n=2, dispersion=0.3 if has_dispersion else None, seed=4)
    assert found["activity"].sizes == {"repeat": 2, "sample": N, "neuron": 3}
    assert found["neuron"].values.tolist() == NAMES
    for repeat in range(2):
        drawn = found["activity"].isel(repeat=repeat).to_pandas()
        again = model.predict(design.transform(session.assign(**drawn)))
        np.testing.assert_allclose(found["expected"].isel(repeat=repeat), again, rtol=2e-5, atol=1e-6)
    assert not np.array_equal(*found["activity"].values)


def test_the_same_seed_draws_the_same_and_blocks_change_nothing_but_the_draws(monkeypatch):
    session = a_session()
    design, model = fitted(session)
    first, again = (pg.simulate(model, design, session, n=3, seed=1) for _ in range(2))
    xr.testing.assert_identical(first, again)
    assert not first["activity"].equals(pg.simulate(model, design, session, n=3, seed=2)["activity"])
    monkeypatch.setattr("popglm.explain.forward_simulation.AT_ONCE", 4 * 12 * 3)
    blocks = pg.simulate(model, design, session, n=3, seed=1)
    for repeat in range(3):
        drawn = blocks["activity"].isel(repeat=repeat).to_pandas()
        again = model.predict(design.transform(session.assign(**drawn)))
        np.testing.assert_allclose(blocks["expected"].isel(repeat=repeat), again, rtol=2e-5)


def test_nothing_is_fed_across_trials_and_gaps():
    session = a_session()
    session.index = np.arange(N) / 10.0
    session.index = session.index.where(np.arange(N) < 700, session.index + 50)
    design, model = fitted(session)
    found = pg.simulate(model, design, session)
    alone = model.predict(design.transform(session.assign(**dict.fromkeys(NAMES, 0.0))))
    starts = np.append(np.arange(0, N, 60), 700)
    np.testing.assert_allclose(found["expected"].values[0, starts], alone[starts], rtol=1e-5)
    before = starts[1:] - 1
    assert (found["expected"].values[0, before] != alone[before]).any(axis=1).all()
    np.testing.assert_array_equal(found["sample"], session.index)


def test_an_autoregression_has_its_stationary_variance():
    # y_t = 0.8 y_{t−1} + e has the variance 1 / (1 − 0.64) and the correlation 0.8 of successive samples
    n = 10_000
    table = pd.DataFrame({"a": np.random.default_rng(0).normal(size=n)})
    design = pg.Design([pg.history("a", pg.bumps("lag", n=1, low=0, high=2, width=1))], standardize=False)
    X = design.fit_transform(table)
    model = pg.GLM(family="gaussian", lambdas=[0.1]).fit(X, table)
    weight = design.terms_["a history"].grid()[1][0, 0]
    model.coef_, model.intercept_ = np.array([[0.8 / weight]]), np.array([0.0])
    drawn = pg.simulate(model, design, table, dispersion=1.0, seed=3)["activity"].values[0, :, 0]
    assert drawn.var() == pytest.approx(1 / (1 - 0.64), rel=0.05)
    assert np.corrcoef(drawn[1:], drawn[:-1])[0, 1] == pytest.approx(0.8, abs=0.01)


def test_a_fit_to_drawn_activity_finds_the_weights_again():
    session = a_session(n=15_000)
    design, model = fitted(session)
    drawn = pg.simulate(model, design, session, seed=5)["activity"].isel(repeat=0).to_pandas()
    X = design.transform(session.assign(**drawn))
    again = pg.GLM(penalty="none").fit(X, drawn)
    errors = pg.wald(again, X, drawn)["standard_error"].to_numpy().reshape(3, -1)
    z = (again.coef_ - model.coef_) / errors[:, -model.coef_.shape[1] :]
    assert np.abs(z).max() < 4
    assert 0.6 < z.std() < 1.4


def test_without_feedback_draws_are_of_the_predictions_and_an_offset_counts():
    session = a_session()
    design = pg.Design([pg.linear("speed")])
    X, offset = design.fit_transform(session), np.full(N, np.log(2.0))
    model = pg.GLM(lambdas=[0.01]).fit(X, session[NAMES], offset=offset)
    found = pg.simulate(model, design, session, n=400, offset=offset)
    np.testing.assert_allclose(found["expected"].values[0], model.predict(X, offset=offset), rtol=1e-5)
    mean = found["expected"].values[0].mean(axis=0)
    np.testing.assert_allclose(found["activity"].mean(("repeat", "sample")), mean, rtol=0.02)
    with pytest.raises(ValueError, match="simulate needs offset="):
        pg.simulate(model, design, session)


@pytest.mark.parametrize("family", FAMILIES)
def test_draws_have_the_mean_and_the_variance_of_the_family(family):
    loss: Family = get_family(family)
    loss = loss.given(*(0.7 for _ in loss.parameters))
    dispersion = 0.3 if loss.has_dispersion else 1.0
    mu = np.full(200_000, 0.4)
    drawn = loss.draw(np.random.default_rng(0), mu, dispersion)
    assert drawn.mean() == pytest.approx(0.4, rel=0.02)
    assert drawn.var() == pytest.approx(dispersion * loss.variance(np.array([0.4]))[0], rel=0.04)


def test_dispersions_go_by_the_names_of_the_neurons():
    session = a_session()
    design, model = fitted(session, "gaussian")
    by_name = {"c": 1e-6, "a": 9.0, "b": 1.0}
    expected = pg.simulate(model, design, session, dispersion=[9.0, 1.0, 1e-6])
    for dispersion in (by_name, pd.Series(by_name), xr.DataArray(pd.Series(by_name)), pd.Series([9.0, 1.0, 1e-6])):
        xr.testing.assert_identical(pg.simulate(model, design, session, dispersion=dispersion), expected)
    spread = (expected["activity"] - expected["expected"]).var(("repeat", "sample"))
    np.testing.assert_allclose(spread, [9.0, 1.0, 1e-6], rtol=0.2)
    # names that only count the neurons of an array bind nobody else
    unnamed = pg.GLM("gaussian", lambdas=[0.1]).fit(a_design_of("speed").transform(session), session[NAMES].to_numpy())
    counted = pd.Series([4.0, 1.0, 1e-6], ["neuron1", "neuron0", "neuron2"])
    for dispersion, wanted in ((counted, [1.0, 4.0, 1e-6]), (pd.Series(by_name), [1e-6, 9.0, 1.0])):
        found = pg.simulate(unnamed, a_design_of("speed"), session, dispersion=dispersion)
        spread = (found["activity"] - found["expected"]).var(("repeat", "sample"))
        np.testing.assert_allclose(spread, wanted, rtol=0.2)


@pytest.mark.parametrize(
    "dispersion",
    [
        "a", [1, "x"], {"a": 1.0, "b": 1.0, "q": 1.0}, {"a": 1.0}, {}, {"a": 1.0, "b": 1.0, "c": "x"}, True,
        {"a": True, "b": 1.0, "c": 1.0}, pd.Series({"a": 1.0, "b": 1.0, "q": 1.0}), pd.Series({"a": 1.0, "b": 1.0}),
        pd.Series([1.0, 1.0, 2.0], ["a", "a", "b"]), [1.0, 2.0], [[1.0], [1.0, 2.0]], np.nan, {1.0, 2.0, 3.0},
    ],
)  # fmt: skip
def test_dispersions_that_are_none_are_told(dispersion):
    session = a_session()
    design, model = fitted(session, "gaussian")
    assert_complaint("simulate: dispersion", lambda v: pg.simulate(model, design, session, dispersion=v), dispersion)


@pytest.mark.parametrize(("family", "inverse_link"), [("poisson", None), ("poisson", "softplus"), ("gaussian", None)])
def test_weights_of_the_fit_change_nothing_of_what_is_drawn(family, inverse_link):
    session = a_session()
    design = a_design_of("speed")
    weight = np.random.default_rng(0).uniform(0.5, 2, (N, 3))
    model = pg.GLM(family, inverse_link, lambdas=[0.01])
    model.fit(design.transform(session), session[NAMES], sample_weight=weight)
    given = {"dispersion": 0.5} if family == "gaussian" else {}
    drawn = pg.simulate(model, design, session, **given)
    for same in (weight, weight[:, 0], 1):
        xr.testing.assert_identical(pg.simulate(model, design, session, sample_weight=same, **given), drawn)
    # of another session, of which nobody has weights
    assert pg.simulate(model, design, session.iloc[:100], **given)["activity"].sizes["sample"] == 100


def test_sessions_of_every_kind_draw_the_same():
    session = a_session()
    design, model = fitted(session)
    whole = pg.simulate(model, design, session)["activity"].values
    without = session.drop(columns=NAMES)
    kinds = [without, {name: one.to_numpy() for name, one in without.items()}, xr.Dataset.from_dataframe(without)]
    for kind in [*kinds, session.assign(a=np.nan)]:
        np.testing.assert_array_equal(pg.simulate(model, design, kind)["activity"].values, whole)


def test_other_neurons_are_taken_as_they_were_recorded():
    session = a_session().assign(other=np.random.default_rng(3).poisson(1.0, N))
    lags = pg.bumps("lag", n=2, low=0, high=7)
    design = pg.Design([*pg.coupling(["a", "other"], lags)], trial="trial")
    model = pg.GLM(lambdas=[0.01]).fit(design.fit_transform(session), session[["a"]])
    model.coef_ = np.array([[0.1, -0.1, 0.2, 0.1]])
    found = pg.simulate(model, design, session)
    drawn = found["activity"].isel(repeat=0).to_pandas()
    again = model.predict(design.transform(session.assign(**drawn)))
    np.testing.assert_allclose(found["expected"].values[0], again, rtol=2e-5)


def test_running_away_is_told():
    session = a_session()
    design, model = fitted(session)
    model.coef_ = np.full(model.coef_.shape, 0.9)
    with pytest.raises(ValueError, match=r"runs away: neuron '[abc]' has an expected activity of .* in sample"):
        pg.simulate(model, design, session)
    with pytest.raises(ValueError, match=r"above 0\.05"):
        pg.simulate(*reversed(fitted(session)), session, highest=0.05)


def test_bad_input_is_told():
    session = a_session()
    design, model = fitted(session)
    unnamed = pg.GLM(lambdas=[0.1]).fit(design.transform(session), session[NAMES].to_numpy())
    squares = pg.Design([pg.linear("speed"), pg.splines("a", n=5)])
    of_activity = pg.GLM(lambdas=[0.1]).fit(squares.fit_transform(session), session[NAMES])
    gaussian = fitted(session, "gaussian")[1]
    for arguments, given, words in [
        ((model, design, session), {"n": 0}, "simulate: n must be an integer >= 1"),
        ((model, design, session), {"seed": -1}, "simulate: seed=-1 must be"),
        ((model, design, session), {"highest": 0}, "simulate: highest must be a number above 0"),
        ((model, design, session), {"dispersion": 1.0}, "a poisson response has no dispersion"),
        ((gaussian, design, session), {}, "a gaussian response needs its dispersion"),
        ((gaussian, design, session), {"dispersion": [1.0, -1.0, 1.0]}, "one for each of 3 neurons"),
        ((unnamed, design, session), {}, "is the past of 'b', which is none of the model's neurons"),
        ((of_activity, squares, session), {}, "term 'a' reads the activity of 'a', which is drawn"),
        ((model, a_design_of("speed"), session), {}, "X comes from another design"),
        ((model, design, session.drop(columns="speed")), {}, "variable 'speed' is not in the session"),
    ]:
        with pytest.raises(ValueError, match=re.escape(words)):
            pg.simulate(*arguments, **given)
    with pytest.raises(NotFittedError, match="simulate: this Design is not fitted yet; call fit"):
        pg.simulate(model, pg.Design([pg.linear("speed")]), session)
    with pytest.raises(TypeError, match="design must be the Design of the fit"):
        pg.simulate(model, "design", session)


@pytest.mark.parametrize("family", ["gaussian", "tweedie", "gamma", "inverse_gaussian"])
def test_the_advice_on_dispersions_finds_them(family):
    x = np.random.default_rng(0).normal(size=40_000) / 3
    design, session = pg.Design([pg.linear("x")]), {"x": x}
    X = design.fit_transform(session)
    model = pg.GLM(family, lambdas=[1e-3]).fit(X, np.exp(x[:, None]))
    Y = pg.simulate(model, design, session, dispersion=0.2)["activity"].values[0]
    with pytest.raises(ValueError, match="needs its dispersion") as told:
        pg.simulate(model, design, session)
    advice = re.search(r"such as (.*) with mu = (.*)$", str(told.value))
    mu = eval(advice[2], {"model": model, "X": X})
    assert eval(advice[1], {"Y": Y, "mu": mu}) == pytest.approx(0.2, rel=0.05)


def test_binomial_activity_is_drawn_from_its_trials():
    session = a_session()
    design = pg.Design([pg.linear("speed"), *pg.coupling(NAMES, pg.bumps("lag", n=2, low=0, high=7))], trial="trial")
    X, trials = design.fit_transform(session), 1 + np.arange(N) % 5
    shares = pd.DataFrame(
        np.random.default_rng(0).binomial(trials[:, None], 0.4, (N, 3)) / trials[:, None], columns=NAMES
    )
    model = pg.GLM("binomial", lambdas=[0.01]).fit(X, shares, sample_weight=trials)
    found = pg.simulate(model, design, session, n=50, sample_weight=trials)
    successes = found["activity"].values * trials[:, None]
    np.testing.assert_allclose(successes, np.rint(successes), atol=1e-9)
    assert successes.max() == 5
    off = found["activity"].values - found["expected"].values
    p = found["expected"].values
    np.testing.assert_allclose((off**2 * trials[:, None] / (p * (1 - p))).mean(axis=(0, 1)), 1, atol=0.03)
    with pytest.raises(ValueError, match="simulate needs sample_weight="):
        pg.simulate(model, design, session)
    with pytest.raises(ValueError, match="must hold whole numbers of trials"):
        pg.simulate(model, design, session, sample_weight=trials / 2)
