"""Smoothness over the axes of feature groups: normal equations, conditions of a minimum, a place map found again."""

import numpy as np
import pandas as pd
import pytest

import popglm as pg
from popglm.explain.data_of_fit import unfitted
from popglm.warnings import PopglmWarning

EXACT = {"precision": "float64", "tol": 1e-12, "max_iter": 1000}


def bounded(n):
    return 2 * np.eye(n) - np.eye(n, k=1) - np.eye(n, k=-1)


def closed(n):
    R = (4 - 2 * np.cos(np.pi / (n + 1))) * np.eye(n) - np.eye(n, k=1) - np.eye(n, k=-1)
    R[0, -1] = R[-1, 0] = -1
    return R


def kron_sum(A, B):
    return np.kron(A, np.eye(len(B))) + np.kron(np.eye(len(A)), B)


@pytest.fixture(scope="module")
def session():
    rng = np.random.default_rng(0)
    n = 1500
    return {
        "x": rng.uniform(0, 10, n),
        "y": rng.uniform(0, 10, n),
        "heading": rng.uniform(0, 2 * np.pi, n),
        "cue": rng.choice(["a", "b"], n),
    }


#: A term, its text in a formula, and its roughness.
CASES = {
    "place": (pg.bumps("x", 6, 0, 10) * pg.bumps("y", 5, 0, 10), "bumps(x, 6, 0, 10):bumps(y, 5, 0, 10)",
              kron_sum(bounded(6), bounded(5))),
    "place and heading": (pg.bumps("x", 5, 0, 10) * pg.cyclic_splines("heading", 6),
                          "bumps(x, 5, 0, 10):cyclic_splines(heading, 6)", kron_sum(bounded(5), closed(6))),
    "per cue": (pg.bumps("x", 7, 0, 10) * pg.categories("cue"), "bumps(x, 7, 0, 10):C(cue)",
                np.kron(bounded(7), np.eye(2))),
    "cue first": (pg.categories("cue") * pg.bumps("x", 7, 0, 10), "C(cue):bumps(x, 7, 0, 10)",
                  np.kron(np.eye(2), bounded(7))),
    "circle": (pg.cyclic_splines("heading", 8), "cyclic_splines(heading, 8)", closed(8)),
    "lags": (pg.shifts("x", [0, 2, 1]), "shifts(x, [0, 2, 1])", bounded(3)[np.ix_([0, 2, 1], [0, 2, 1])]),
}  # fmt: skip


def normal_equations(X, Y, lam, sigma, R):
    x, y = X - X.mean(axis=0), Y - Y.mean(axis=0)
    return np.linalg.solve(x.T @ x / len(x) + lam * np.eye(len(R)) + sigma * R, x.T @ y / len(x)).T


@pytest.mark.parametrize("name", CASES)
@pytest.mark.parametrize("given", ["terms", "formula", "array", "polars"])
def test_gaussian_fits_solve_the_normal_equations(session, name, given):
    term, text, R = CASES[name]
    if given == "formula":
        pytest.importorskip("formulaic")
    terms = pg.formula(text) if given == "formula" else [term]
    design = pg.Design([*terms, pg.linear("y")], dtype="float64")
    if given == "polars":
        pytest.importorskip("polars")
        design.set_output(transform="polars")
    X = design.fit_transform(session)
    values = np.asarray(X, float)
    R = np.block([[R, np.zeros((len(R), 1))], [np.zeros((1, len(R))), np.ones((1, 1))]])
    Y = values @ np.random.default_rng(1).standard_normal((len(R), 3)) + np.random.default_rng(2).normal(
        0, 3, (1500, 3)
    )
    sizes, shapes = design.group_sizes_, design.group_shapes_
    by_hand = {"feature_groups": sizes, "feature_shapes": shapes} if given in ("array", "polars") else {}
    model = pg.GLM("gaussian", smoothness=0.2, lambdas=[0.1, 0.01], **EXACT)
    model.set_params(**by_hand).fit(values if given == "array" else X, Y)
    for k, lam in enumerate(model.lambdas_):
        np.testing.assert_allclose(model.coef_path_[k], normal_equations(values, Y, lam, 0.2, R), rtol=1e-6, atol=1e-8)


@pytest.mark.parametrize("shapes", [{"place": (4, 3)}, [(4, 3), 1], {"place": [4, ("line", 3)]}])
def test_shapes_of_groups_made_by_hand(shapes):
    rng = np.random.default_rng(3)
    X, groups = rng.standard_normal((300, 13)), ["place"] * 12 + ["speed"]
    Y = X @ rng.standard_normal((13, 2)) + rng.standard_normal((300, 2))
    model = pg.GLM("gaussian", smoothness=0.3, lambdas=[0.1], feature_groups=groups, feature_shapes=shapes, **EXACT)
    R = np.eye(13)
    R[:12, :12] = kron_sum(bounded(4), bounded(3))
    np.testing.assert_allclose(model.fit(X, Y).coef_, normal_equations(X, Y, 0.1, 0.3, R), rtol=1e-7)


@pytest.mark.parametrize("penalty", ["ridge", "lasso", "group_lasso", "none"])
@pytest.mark.parametrize("schedule", ["host", "device"])
def test_other_fits_meet_the_conditions_of_a_minimum(session, penalty, schedule):
    pytest.importorskip("torch")
    design = pg.Design([CASES["circle"][0], CASES["place"][0]], dtype="float64")
    X = design.fit_transform(session)
    values = X.to_numpy()
    rate = np.exp(0.3 * np.sin(session["heading"]) - (session["x"] - 4) ** 2 / 20)
    Y = np.random.default_rng(4).poisson(np.column_stack([rate, 0.4 * rate]))
    options = {} if penalty == "none" else {"lambdas": [0.02]}
    engine = {"engine": "torch", "device": "cpu", "schedule": "device"} if schedule == "device" else {}
    model = pg.GLM(penalty=penalty, smoothness=0.01, **options, **engine, **EXACT | {"tol": 1e-9}).fit(X, Y)
    R = np.zeros((38, 38))
    R[:8, :8], R[8:, 8:] = closed(8), kron_sum(bounded(6), bounded(5))
    for w, b, y in zip(model.coef_, model.intercept_, Y.T, strict=True):
        gradient = values.T @ (np.exp(values @ w + b) - y) / len(y) + 0.01 * R @ w
        if penalty == "ridge":
            gradient += 0.02 * w
        for group, size in ((slice(0, 8), 8), (slice(8, 38), 30)):
            own, g = w[group], gradient[group]
            if penalty == "group_lasso":
                norm = np.linalg.norm(own)
                left = max(np.linalg.norm(g) - 0.02 * np.sqrt(size), 0) if norm == 0 else np.linalg.norm(
                    g + 0.02 * np.sqrt(size) * own / norm)  # fmt: skip
            elif penalty == "lasso":
                left = np.abs(np.where(own == 0, np.maximum(np.abs(g) - 0.02, 0), g + 0.02 * np.sign(own))).max()
            else:
                left = np.abs(g).max()
            assert left < 2e-5


def planted(session, seed):
    """Rates of three place fields, and a recording of them."""
    centers = np.array([[3.0, 6.0], [7.0, 2.0], [5.0, 8.0]])
    at = np.column_stack([session["x"], session["y"]])
    rate = 0.05 + 0.8 * np.exp(-((at[:, None] - centers) ** 2).sum(axis=2) / (2 * 1.5**2))
    return rate, np.random.default_rng(seed).poisson(rate)


def test_a_place_map_is_found_better_than_by_the_order_of_its_columns(session):
    design = pg.Design([pg.bumps("x", 12, 0, 10) * pg.bumps("y", 12, 0, 10)])
    X = design.fit_transform(session)
    rate, Y = planted(session, 5)

    def error(smoothness, shapes=None):
        model = pg.GLM(smoothness=smoothness, lambdas=[1e-3], feature_shapes=shapes, max_iter=500).fit(X, Y)
        return np.mean((np.log(model.predict(X)) - np.log(rate)) ** 2)

    strengths = 10.0 ** np.arange(-3, 0.5, 0.5)
    on_axes = min(error(s) for s in strengths)
    in_order = min(error(s, {"x × y": 144}) for s in strengths)
    assert on_axes < 0.7 * in_order
    assert on_axes < 0.2 * error(0.0)


def test_refits_of_parts_keep_the_shapes(session):
    design = pg.Design([pg.categories("cue"), CASES["place"][0]], dtype="float64")
    X = design.fit_transform(session)
    _, Y = planted(session, 6)
    settings = {"smoothness": 0.05, "lambdas": [0.01], "cv": 3, **EXACT}
    model = pg.GLMCV(**settings).fit(X, Y)
    reduced = pg.compare(model, X, Y, {"cue": "cue"})["reduced_deviance"].sel(variable="cue")
    alone = pg.GLMCV(**settings).fit(X[["x × y"]], Y)
    assert alone.feature_shapes_ == model.feature_shapes_[1:]
    np.testing.assert_allclose(reduced, alone.cv_deviance_[:, 0].sum(axis=0), rtol=1e-6)
    lines = pg.GLMCV(feature_shapes={"x × y": 30}, **settings).fit(X[["x × y"]], Y)
    assert (np.abs(lines.cv_deviance_.sum(axis=0) / alone.cv_deviance_.sum(axis=0) - 1) > 1e-3).all()


def test_estimators_made_again_keep_the_shapes_without_the_notes_of_a_table(session):
    X = pg.Design([CASES["place"][0]], dtype="float64").fit_transform(session)
    _, Y = planted(session, 10)
    model = pg.GLM(smoothness=0.05, lambdas=[0.01], **EXACT).fit(X, Y)
    again = unfitted(model, pg.GLM).fit(X.to_numpy(), Y)
    np.testing.assert_allclose(again.coef_, model.coef_, atol=1e-8)


def test_files_keep_shapes(session, tmp_path):
    design = pg.Design([CASES["place and heading"][0], CASES["lags"][0]])
    X = design.fit_transform(session)
    model = pg.GLM(smoothness=0.05, lambdas=[0.01]).fit(X, planted(session, 7)[1])
    model.save(tmp_path / "model.nc")
    again = pg.load(tmp_path / "model.nc")
    np.testing.assert_array_equal(again.penalty_.R, model.penalty_.R)
    assert again.feature_shapes_ == model.feature_shapes_ == design.group_shapes_
    # an estimator with the parameters of the file fits the same without the notes of a table
    again.set_params(feature_groups=design.group_sizes_).fit(X.to_numpy(), planted(session, 7)[1])
    np.testing.assert_array_equal(again.coef_, model.coef_)


def test_lines_are_what_nothing_is_known_of(session):
    design = pg.Design([pg.bumps("x", 6, 0, 10), pg.linear("y")])
    X = design.fit_transform(session)
    Y = planted(session, 8)[1]
    model = pg.GLM(smoothness=0.05, lambdas=[0.01]).fit(X, Y)
    assert model.feature_shapes_ is None
    plain = pg.GLM(smoothness=0.05, lambdas=[0.01], feature_groups=[6, 1]).fit(X.to_numpy(), Y)
    np.testing.assert_array_equal(plain.coef_, model.coef_)


def test_a_table_that_lost_the_shape_of_a_product_is_told_of(session):
    X = pg.Design([CASES["place"][0]]).fit_transform(session)
    bare = pd.DataFrame(X.to_numpy(), columns=X.columns)
    Y = planted(session, 9)[1]
    with pytest.warns(PopglmWarning, match="'x × y' look like products of two bases.*feature_shapes=design"):
        pg.GLM(smoothness=0.05, lambdas=[0.01]).fit(bare, Y)


@pytest.mark.parametrize(
    ("shapes", "complaint"),
    [
        ({"place": (4, 4)}, "group 'place' is 4 × 4, which makes 16 columns; the group has 12"),
        ({"map": (4, 3)}, "names 'map', which is no feature group"),
        ({"place": (4, "3")}, "an axis must be a number of columns"),
        ([(4, 3)], "has 1 shapes for 2 feature groups"),
        ("place", "must be a mapping from names of groups to shapes"),
        (12, "must be a mapping from names of groups to shapes"),
    ],
)
@pytest.mark.parametrize("smoothness", [0.0, 0.1])
def test_wrong_shapes_are_told(shapes, complaint, smoothness):
    rng = np.random.default_rng(3)
    X, groups = rng.standard_normal((30, 13)), ["place"] * 12 + ["speed"]
    model = pg.GLM(smoothness=smoothness, feature_groups=groups, feature_shapes=shapes)
    with pytest.raises(ValueError, match=complaint):
        model.fit(X, rng.poisson(1.0, 30))
