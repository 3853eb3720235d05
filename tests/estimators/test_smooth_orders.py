"""Orders of curves where the session never was, and orders of differences that lines are too short for."""

import numpy as np
import pytest

import popglm as pg
from popglm.warnings import PopglmWarning


@pytest.mark.parametrize(("kind", "sign"), [("increasing", 1), ("decreasing", -1)])
def test_orders_hold_over_functions_that_were_never_visited(kind, sign):
    rng = np.random.default_rng(3)
    # neither the ends of the basis nor its middle
    speed = np.concatenate([rng.uniform(25, 35, 600), rng.uniform(65, 75, 600)])
    cue = rng.choice(["a", "b"], 1200)
    terms = [pg.bumps("speed", 16, 0, 100), pg.bumps("speed", 16, 0, 100, name="per cue") * pg.categories("cue")]
    Y = rng.poisson(np.exp(sign * (speed[:, None] - 50) / [30, 60]))
    session = {"speed": speed, "cue": cue}
    for term in terms:
        design = pg.Design([term], standardize=False, dtype="float64")
        X = design.fit_transform(session).to_numpy().copy()
        # a column that is a constant other than 0 is one that tells nothing, too
        constant = np.flatnonzero(X.std(axis=0) == 0)
        assert len(constant) >= 3
        X[:, constant[-1]] = 2.0
        own = {"feature_groups": [X.shape[1]], "feature_shapes": design.group_shapes_}
        model = pg.SmoothGLM(constraints={"group0": kind}, **own).fit(X, Y)
        curves = model.coef_.reshape(2, 16, -1)
        assert (sign * np.diff(curves, axis=1) > -1e-12).all()
        assert (model.coef_[:, constant] != 0).all()
        # the likelihood is that of the fit without these columns
        eta = X @ model.coef_.T + model.intercept_
        varies = np.setdiff1d(np.arange(X.shape[1]), constant)
        centred = X[:, varies] - X[:, varies].mean(axis=0)
        level = eta - centred @ model.coef_[:, varies].T
        np.testing.assert_allclose(level, np.broadcast_to(level[0], level.shape), atol=1e-10)
        # the intercept's condition: predictions add up to the activity
        np.testing.assert_allclose(model.predict(X).sum(axis=0), Y.sum(axis=0), rtol=1e-6)


def test_an_order_that_a_design_takes_away_is_told():
    rng = np.random.default_rng(4)
    session = {"speed": rng.uniform(45, 100, 1000)}
    Y = rng.poisson(np.exp(0.05 * session["speed"] - 4))
    term, model = pg.bumps("speed", 12, 0, 100), pg.SmoothGLM(constraints={"speed": "increasing"})
    with pytest.warns(PopglmWarning, match="carry no information"):
        X = pg.Design([term]).fit_transform(session)
    with pytest.warns(PopglmWarning, match="only where the session was. 4 of its 12 columns were never visited"):
        model.fit(X, Y)
    design = pg.Design([term], standardize=False, dtype="float64")
    # what it recommends holds for curves and predictions
    model.fit(design.fit_transform(session), Y)
    assert (np.diff(model.coef_) > -1e-12).all()
    rates = model.predict(design.transform({"speed": np.linspace(10, 90, 50)}))
    assert (np.diff(rates.ravel()) > -1e-9).all()


@pytest.mark.parametrize("kind", ["positive", "negative"])
def test_signs_leave_constant_columns_at_0(kind):
    rng = np.random.default_rng(6)
    values, Y = rng.standard_normal((400, 8)), rng.poisson(1, (400, 2))
    values[:, 0] = 0.0
    model = pg.SmoothGLM(constraints={"group0": kind}, feature_groups=[8]).fit(values, Y)
    assert (model.coef_[:, 0] == 0).all()
    assert (model.coef_ != 0).any()


def test_a_constant_is_fitted_where_there_is_no_intercept():
    rng = np.random.default_rng(5)
    x = rng.standard_normal((500, 1))
    y = 3 + x + rng.standard_normal((500, 1))
    Z = np.column_stack([np.ones(500), x])
    model = pg.SmoothGLM("gaussian", penalties={"group0": []}, feature_groups=[2], fit_intercept=False).fit(Z, y)
    np.testing.assert_allclose(model.coef_.ravel(), np.linalg.lstsq(Z, y[:, 0])[0], rtol=1e-8)


def test_short_lines_take_the_default_order():
    rng = np.random.default_rng(7)
    values, counts = rng.standard_normal((400, 2)), rng.poisson(1, (400, 2))
    assert np.isfinite(pg.SmoothGLM(feature_groups=[2]).fit(values, counts).coef_).all()
    with pytest.raises(ValueError, match="order=3 is too high for group 'group0', which has 2 columns"):
        pg.SmoothGLM(feature_groups=[2], order=3).fit(values, counts)
    assert np.isfinite(
        pg.SmoothGLM(feature_groups=[2], order=3, penalties={"group0": []}).fit(values, counts).coef_
    ).all()
