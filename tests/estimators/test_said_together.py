"""Strengths that are selected again, activity of parts, and amounts that do not vary."""

import pickle

import numpy as np
import pandas as pd
import pytest
from two_parts import TRIAL, N, a_model, quietly, recorded

import popglm as pg

FAMILIES = ("gamma", "inverse_gaussian", "gaussian")


@pytest.fixture(scope="module")
def recording():
    return recorded()


@pytest.fixture(scope="module")
def fitted(recording):
    X, Y, s = recording
    return {family: quietly(a_model(family).fit, X, Y, groups=TRIAL, sample_weight=s) for family in FAMILIES}


TOGETHER = ("dispersion_", "cv_dispersion_", "cv_deviance_explained_", "cv_log_likelihood_", "deviance_dispersion_")


@pytest.mark.thorough
@pytest.mark.parametrize("family", ["gamma", "gaussian"])
def test_select_is_the_fit_that_had_the_rule(recording, tmp_path, family):
    X, Y, s = recording
    X, Y = pd.DataFrame(X, np.arange(N) / 10), pd.DataFrame(Y, np.arange(N) / 10, ["p", "q", "r"])
    model = quietly(a_model(family).fit, X, Y, groups=TRIAL, sample_weight=s)
    before, strengths = model.dispersion_, (model.events_.lambda_, model.amounts_.lambda_)
    ruled = quietly(a_model(family, se_fraction=2.0).fit, X, Y, groups=TRIAL, sample_weight=s)
    rows = np.random.default_rng(1).permutation(N)
    weight = pd.Series(s, X.index)
    assert quietly(model.select, X.iloc[rows], Y, se_fraction=2.0, sample_weight=weight) is model
    assert (model.amounts_.lambda_ > strengths[1]).any()
    assert (model.dispersion_ != before).any()
    model.save(tmp_path / "model.nc")
    for found in (model, pg.load(tmp_path / "model.nc")):
        for name in TOGETHER:
            np.testing.assert_allclose(getattr(found, name), getattr(ruled, name), rtol=1e-10)
        pd.testing.assert_frame_equal(found.evaluate(X, Y), ruled.evaluate(X, Y))
        np.testing.assert_array_equal(found.draw(X, seed=1), ruled.draw(X, seed=1))
    loaded = quietly(pg.load(tmp_path / "model.nc").select, X, Y, sample_weight=s)
    np.testing.assert_array_equal(loaded.dispersion_, before)
    with pytest.raises(ValueError, match=r"select: X, Y, sample_weight or offset are not those of the fit.*neuron"):
        model.select(X.to_numpy()[::-1], Y.to_numpy(), sample_weight=s)
    with pytest.raises(ValueError, match=r"select: X, Y, sample_weight or offset are not those of the fit"):
        model.select(X, Y)
    with pytest.raises(ValueError, match="899 rows"):
        model.select(X.to_numpy()[1:], Y, sample_weight=s)
    with pytest.raises(ValueError, match="se_fraction"):
        model.select(X, Y, se_fraction=-1, sample_weight=s)


def test_a_part_that_was_selected_alone_is_noticed(recording, tmp_path):
    X, Y, _ = recording
    model = quietly(a_model().fit, X, Y, groups=TRIAL)
    explained = model.cv_deviance_explained_
    quietly(model.amounts_.select, se_fraction=2.0)
    again = pickle.loads(pickle.dumps(model))
    for ask in (
        *(lambda name=name: getattr(model, name) for name in TOGETHER),
        *(lambda call=call: call(X) for call in (model.predict, model.draw, model.predict_held_out)),
        lambda: model.evaluate(X, Y),
        lambda: model.save(tmp_path / "model.nc"),
        lambda: pg.breakdown(again, X, Y),
        lambda: pg.compare(again, X, Y),
    ):
        with pytest.raises(ValueError, match=r"strengths were selected again on its own. Call select\(X, Y\)"):
            ask()
    np.testing.assert_array_equal(quietly(model.select, X, Y).cv_deviance_explained_, explained)


def test_split_gives_what_the_parts_were_fitted_to(recording, fitted):
    X, Y, s = recording
    for family, model in fitted.items():
        happened, amount = model.split(Y)
        np.testing.assert_array_equal(happened, Y > 0)
        with np.errstate(divide="ignore"):
            raw = np.log(Y) if family == "gaussian" else Y
        np.testing.assert_array_equal(amount, np.where(Y > 0, raw, np.nan))
        # the held-out deviance of the fit comes out, which breakdown would complain of otherwise
        found = quietly(pg.breakdown, model.amounts_, X, amount, ["b"], sample_weight=s)
        explained = 1 - found["full_deviance"] / found["null_deviance"]
        np.testing.assert_allclose(explained, model.amounts_.cv_deviance_explained_, rtol=1e-6)
    labelled = fitted["gaussian"].split(pd.DataFrame(Y, columns=["p", "q", "r"]))[1]
    assert labelled.columns.tolist() == ["p", "q", "r"]
    assert a_model("gaussian").split([0.0, 1.0])[1][1] == 0


@pytest.mark.parametrize("family", FAMILIES)
def test_amounts_that_do_not_vary_are_a_constant(recording, family):
    """All alike, alike but for rounding, one event, two alike; beside a neuron that varies."""
    X, Y, _ = recording
    happens = Y[:, 0] > 0
    once, twice = np.zeros((2, N))
    once[7], twice[[7, 500]] = 2.0, 2.0
    alike = np.column_stack([happens * 0.3, happens * np.where(X[:, 0] > 0, 0.1 + 0.2, 0.3), once, twice, Y[:, 0]])
    with np.errstate(divide="raise", invalid="raise"):
        model = quietly(a_model(family).fit, X, alike, groups=TRIAL)
        table = model.evaluate(X, alike)
    constant = np.array([0.3, 0.3, 2.0, 2.0])
    for phi in (model.dispersion_, model.deviance_dispersion_, model.cv_dispersion_[0]):
        assert (phi[:4] == 0).all()
        assert phi[4] > 0
    assert np.isfinite(model.cv_deviance_explained_).all()
    # the events alone
    np.testing.assert_array_equal(model.cv_deviance_explained_[:4], model.events_.cv_deviance_explained_[:4])
    np.testing.assert_array_equal(table["deviance_explained"][:4], table["events_deviance_explained"][:4])
    assert np.isnan(table["log_likelihood"]).tolist() == [True] * 4 + [False]
    assert np.isnan(model.cv_log_likelihood_).tolist() == [True] * 4 + [False]
    for one in (model.predict_parts(X)[1], model.predict_parts(X[:3])[1]):
        np.testing.assert_allclose(one[:, :4], np.broadcast_to(constant, one[:, :4].shape), rtol=1e-5)
    np.testing.assert_allclose(model.predict(X)[:, :3].mean(axis=0), alike[:, :3].mean(axis=0), rtol=1e-2)
    drawn = model.draw(X, 20, seed=0)
    for j, value in enumerate(constant):
        np.testing.assert_allclose(drawn[..., j][drawn[..., j] > 0], value, rtol=1e-5)
    assert len(np.unique(drawn[..., 4])) > N
    found = quietly(pg.breakdown, model, X, alike, ["a"])
    assert np.isfinite(found["full_deviance"]).all()
    assert np.isfinite(found["fraction_null_deviance"]).all()


def test_a_wrong_width_is_told_in_the_name_of_the_model(recording, fitted):
    X, Y, _ = recording
    model = fitted["gamma"]
    for ask in (model.predict, model.draw, lambda narrow: model.evaluate(narrow, Y)):
        with pytest.raises(ValueError, match="X has 4 features, but this TwoPartGLM is expecting 5"):
            ask(X[:, :4])


def test_statistics_say_to_give_a_part(recording):
    X, Y, _ = recording
    design = pg.Design([pg.linear("a"), pg.linear("b")])
    session = {"a": X[:, 0], "b": X[:, 1]}
    X = design.fit_transform(session)
    model = quietly(pg.TwoPartGLM(pg.GLMCV("gamma", n_lambdas=3, cv=3)).fit, X, Y)
    data, trials = (model, X, Y), {"trial": TRIAL}
    for ask in (
        *(lambda call=call: call(*data) for call in (pg.calibration, pg.goodness_of_fit, pg.wald)),
        *(lambda call=call: call(*data) for call in (pg.debiased, pg.likelihood_ratio)),
        *(lambda call=call: call(*data, **trials) for call in (pg.significance, pg.stability_selection)),
        lambda: pg.simulate(model, design, session),
        lambda: pg.predicted_tuning(model, design, session, by="a"),
    ):
        with pytest.raises(TypeError, match=r"takes one part of a TwoPartGLM.*events_ or model.amounts_.*split\(Y\)"):
            ask()
    with pytest.raises(TypeError, match=r"model\.draw draws of both"):
        pg.simulate(model, design, session)
    for part in (model.events_, model.amounts_):
        for ask in (pg.breakdown, pg.compare, pg.debiased, pg.goodness_of_fit):
            with pytest.raises(ValueError, match=r"part of a TwoPartGLM comes from its split\(Y\)"):
                ask(part, X, Y)
