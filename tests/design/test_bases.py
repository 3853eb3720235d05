"""The bases against formulas written out by hand and against scikit-learn called directly."""

import math
import warnings

import numpy as np
import pandas as pd
import pytest
from sklearn.preprocessing import PolynomialFeatures, QuantileTransformer, SplineTransformer, StandardScaler

from popglm.design import (
    Design,
    bumps,
    categories,
    cyclic_splines,
    linear,
    log_bumps,
    product,
    splines,
    transformed,
)
from popglm.design.variables import SessionVariables
from popglm.warnings import PopglmWarning


def columns(term, session, fitted_on=None):
    """Raw float64 columns of one term."""
    design = Design([term], standardize=False, dtype="float64").fit(session if fitted_on is None else fitted_on)
    return design.transform(session).to_numpy()


def fitted(term, session):
    return Design([term], standardize=False).fit(session).terms_[term.name]


@pytest.fixture
def x():
    return np.random.default_rng(0).gamma(2.0, size=3001)


@pytest.mark.parametrize(("n", "low", "high", "width"), [(20, 10.0, 250.0, None), (5, -1.0, 1.0, 0.7), (1, 0, 4, 3.0)])
def test_bumps_follow_the_formula(n, low, high, width):
    x = np.random.default_rng(1).uniform(1.5 * low - high, 1.5 * high - low, size=60)
    x[[0, 1, 2, 3]] = low, high, np.nan, (low + high) / 2
    centers = [low + i * (high - low) / (n - 1) for i in range(n)] if n > 1 else [(low + high) / 2]
    full = 4 * (high - low) / (n - 1) if width is None else width

    def bump(value, center):
        inside = abs(value - center) < full / 2
        return 0.5 * math.cos(2 * math.pi * (value - center) / full) + 0.5 if inside else 0.0

    expected = [[bump(value, center) for center in centers] for value in x]
    found = columns(bumps("x", n, low, high, width), {"x": x})
    np.testing.assert_allclose(found, expected, atol=1e-14)
    assert (found[2] == 0).all()  # NaN


def test_bumps_of_default_width_sum_to_two_in_the_interior():
    inner = np.linspace(1, 9, 57)  # second to last but one centre
    np.testing.assert_allclose(columns(bumps("x", 11, 0, 10), {"x": inner}).sum(axis=1), 2)


def test_log_bumps_are_pillows():
    low, high, n, c = 0.0, 3.0, 6, 0.2
    t = np.append(np.linspace(0, 8, 400), [np.nan, -0.1, -0.2, -5])
    # Pillow 2005: ½ cos(a log(t + c) − φ) + ½ within π of φ, the φ being π/2 apart; the first bump peaks at low, and
    # the last, whose phase is π short of the end, is 0 from high on
    a = (n + 1) * (np.pi / 2) / np.log((high + c) / c)
    expected = np.zeros((len(t), n))
    for j in range(n):
        phi = a * math.log(low + c) + j * np.pi / 2
        for i, value in enumerate(t):
            if value + c > 0 and abs(a * math.log(value + c) - phi) < np.pi:
                expected[i, j] = 0.5 * math.cos(a * math.log(value + c) - phi) + 0.5
    term = log_bumps("t", n, low, high, offset=c)
    np.testing.assert_allclose(columns(term, {"t": t}), expected, atol=1e-13)
    np.testing.assert_allclose(columns(term, {"t": term.peaks}).diagonal(), 1)
    assert term.support[1] == high
    assert (columns(term, {"t": [high, 1.001 * high, 3 * high]}) == 0).all()
    assert columns(term, {"t": [0.99 * high]})[0, -1] > 0
    np.testing.assert_allclose(columns(term, {"t": [term.support[0] - 1e-9]}), 0, atol=1e-12)


@pytest.mark.parametrize("n", [2, 5, 12])
def test_log_bumps_have_the_ends_of_nemos(n):
    """Its RaisedCosineLogEval of width 2 and time scaling 50, as its documentation writes it, on a window of 100."""
    t = np.linspace(0, 100, 501)
    warped = np.log(50 * t / 100 + 1) / np.log(51)
    peaks = np.linspace(0, 1 - 2 / (n + 2 - 1), n)
    spacing = peaks[1] - peaks[0]
    phase = np.clip(np.pi * (warped[:, None] - peaks) / (spacing * 2), -np.pi, np.pi)
    np.testing.assert_allclose(columns(log_bumps("t", n, 0, 100), {"t": t}), 0.5 * (np.cos(phase) + 1), atol=1e-12)


def test_log_bumps_start_at_low_wherever_it_is(x):
    here, there = log_bumps("x", 5, 0, 3, offset=3 / 50), log_bumps("x", 5, 100, 103)  # 3 / 50 is the default
    np.testing.assert_allclose(columns(here, {"x": x}), columns(there, {"x": x + 100}), atol=1e-9)


def test_splines_are_scikit_learns_and_stay_constant_outside(x):
    new = np.concatenate([x[:50], [x.min(), x.max(), x.min() - 1e-6, x.max() + 1, np.nan]])
    with pytest.warns(PopglmWarning, match=r"3.64% of the samples of 'x' lie outside 0.0194163 to 9.74395") as caught:
        found = columns(splines("x", n=7), {"x": new}, fitted_on={"x": x})
    assert len(caught) == 1
    reference = SplineTransformer(n_knots=5, degree=3, extrapolation="constant").fit(x[:, None])
    np.testing.assert_allclose(found[:-1], reference.transform(new[:-1, None]), atol=1e-15)
    np.testing.assert_array_equal(found[-3:-1], found[-5:-3])  # the two beyond the ends are the ends
    np.testing.assert_allclose(found[:-1].sum(axis=1), 1)
    assert (found[-1] == 0).all()  # NaN: no spline is active


@pytest.mark.parametrize("quantiles", [True, 40])
def test_splines_of_quantiles_clip_beyond_the_fitted_range(x, quantiles):
    new = np.concatenate([x[:50], [x.min() - 5, x.max() + 5, np.nan]])
    quantile = QuantileTransformer(n_quantiles=1000 if quantiles is True else 40, subsample=None).fit(x[:, None])
    uniform = quantile.transform(new[:-1, None])
    knots = np.linspace(0, 1, 5)[:, None]
    expected = SplineTransformer(knots=knots, degree=3).fit(knots).transform(uniform)
    found = columns(splines("x", n=7, quantiles=quantiles), {"x": new}, fitted_on={"x": x})
    np.testing.assert_allclose(found[:-1], expected, atol=1e-14)
    assert (found[-1] == 0).all()
    ends = columns(splines("x", n=7, quantiles=quantiles), {"x": [x.min(), x.max()]}, fitted_on={"x": x})
    np.testing.assert_array_equal(found[-3:-1], ends)


def test_quantiles_never_outnumber_the_samples(x):
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        term = fitted(splines("x", n=4, degree=1, quantiles=True), {"x": x[:12]})
    assert term.quantile_.n_quantiles_ == 12


def test_splines_of_a_constant_variable_are_zero():
    found = columns(splines("x"), {"x": np.full(9, 3.0)})
    assert found.shape == (9, 7)
    assert (found == 0).all()
    assert (columns(splines("x"), {"x": np.full(9, np.nan)}) == 0).all()


def test_cyclic_splines_wrap_around():
    angle = np.linspace(0, 360, 73)
    term = cyclic_splines("angle", n=9, low=0, high=360)
    found = columns(term, {"angle": angle})
    np.testing.assert_allclose(columns(term, {"angle": angle + 720}), found, atol=1e-12)
    np.testing.assert_allclose(found[0], found[-1], atol=1e-12)
    np.testing.assert_allclose(found.sum(axis=1), 1)
    # all splines are one shape, turned: a step of one knot permutes the columns
    turned = columns(term, {"angle": angle + 40})
    np.testing.assert_allclose(np.roll(found, 1, axis=1), turned, atol=1e-12)
    # the cubic cardinal B-spline by its closed form: 1/6, 4/6, 1/6 at the knots
    at_knot = np.sort(found[0])[::-1]
    np.testing.assert_allclose(at_knot[:4], [4 / 6, 1 / 6, 1 / 6, 0], atol=1e-12)
    assert (columns(term, {"angle": [np.nan, 10.0]})[0] == 0).all()


def test_categories_are_one_hot_and_zero_when_unknown():
    train = {"side": ["right", "left", None, "left"]}
    found = columns(categories("side"), {"side": ["left", "right", "up", None]}, fitted_on=train)
    np.testing.assert_array_equal(found, [[1, 0], [0, 1], [0, 0], [0, 0]])
    assert fitted(categories("side"), train).feature_names() == ["left", "right"]
    chosen = categories("n", levels=[3, 1])
    np.testing.assert_array_equal(columns(chosen, {"n": np.array([1, 2, 3])}), [[0, 1], [0, 0], [1, 0]])
    typed = pd.DataFrame({"side": pd.Categorical(["b", "a", "b"])})
    np.testing.assert_array_equal(columns(categories("side"), typed), [[0, 1], [1, 0], [0, 1]])


def test_any_transformer_becomes_a_term(x):
    y = x[::-1].copy()
    y[3] = np.nan
    session = {"x": x, "y": y}
    poly = PolynomialFeatures(2, interaction_only=True, include_bias=False)
    found = columns(transformed(["x", "y"], poly), session)
    expected = np.column_stack([x, y, x * y])
    expected[3] = 0
    np.testing.assert_allclose(found, expected)
    transformed("x", poly).fit(SessionVariables({"x": x}, ["x"]))
    assert not hasattr(poly, "n_output_features_")  # a clone was fitted
    term = fitted(transformed(["x", "y"], poly), session)
    assert term.feature_names() == ["x", "y", "x y"]
    values, basis = term.grid(4)
    assert values.shape == (16, 2)
    np.testing.assert_allclose(basis, np.column_stack([values, values.prod(axis=1)]))
    scaled = columns(transformed("x", StandardScaler()), {"x": x[:9]}, fitted_on={"x": x})
    np.testing.assert_allclose(scaled[:, 0], (x[:9] - x.mean()) / x.std())


def test_products_multiply_every_pair_of_columns(x):
    session = {"x": x, "cue": np.where(x > 1, 1.0, -1.0), "side": np.where(x > 2, "left", "right")}
    position, side = bumps("x", 4, 0, 4), categories("side")
    P, S, cue = columns(position, session), columns(side, session), session["cue"][:, None]
    np.testing.assert_array_equal(columns(position * "cue", session), P * cue)
    np.testing.assert_array_equal(columns("cue" * position, session), P * cue)
    np.testing.assert_array_equal(columns(linear("cue") * position, session), P * cue)
    expected = np.column_stack([P[:, i] * S[:, j] for i in range(4) for j in range(2)])
    np.testing.assert_array_equal(columns(position * side, session), expected)
    np.testing.assert_array_equal(columns(position * side * "cue", session), expected * cue)


def test_terms_name_themselves():
    position = bumps("position", 3, 0, 1)
    assert position.name == "position"
    for cued in (position * "cue", "cue" * position, np.str_("cue") * position):
        assert cued.name == "position × cue"
    assert (linear("cue") * position).name == "cue × position"
    assert bumps("position", 3, 0, 1, name="place").name == "place"
    assert product(position, "cue", name="cued place").name == "cued place"
    assert (position * "cue" * "choice").variables == ("position", "cue", "choice")
    with pytest.raises(TypeError):
        position * 3


def test_grids_are_in_the_units_of_the_variable_and_equal_the_columns_there(x):
    session = {"x": x, "cue": np.sign(x - 1), "side": np.where(x > 2, "left", "right")}
    for term in (
        bumps("x", 4, 0, 4),
        log_bumps("x", 4, 0, 4),
        splines("x"),
        splines("x", quantiles=True),
        cyclic_splines("x"),
        linear("x"),
        transformed("x", PolynomialFeatures(2)),
    ):
        fit = fitted(term, session)
        values, basis = fit.grid(n_points=31)
        assert values.shape == (31,)
        assert fit.axes == ("x",)
        here = Design([term], standardize=False, dtype="float64").fit(session).transform({"x": values})
        np.testing.assert_array_equal(basis, here)
        along = fitted(term * "cue", session)
        np.testing.assert_array_equal(along.grid(31)[1], basis)  # the linear variable at +1
    values, _ = fitted(splines("x", quantiles=True), session).grid()
    assert (values[0], values[-1], len(values)) == (x.min(), x.max(), 200)
    values, basis = fitted(categories("side"), session).grid()
    assert values.tolist() == ["left", "right"]
    np.testing.assert_array_equal(basis, np.eye(2))


def test_the_grid_of_two_bases_has_all_combinations(x):
    session = {"x": x, "side": np.where(x > 2, "left", "right")}
    term = fitted(bumps("x", 4, 0, 4) * categories("side"), session)
    values, basis = term.grid(5)
    assert term.axes == ("x", "side")
    assert values.shape == (10, 2)
    points = {"x": values[:, 0].astype(float), "side": values[:, 1]}
    here = Design([bumps("x", 4, 0, 4) * categories("side", ["left", "right"])], standardize=False, dtype="float64")
    np.testing.assert_array_equal(basis, here.fit_transform(points))
