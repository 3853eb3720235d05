"""Variables of classifiers by fitting again and by Shapley values: as of Bernoulli models, and by their definitions."""

import warnings

import numpy as np
import pandas as pd
import pytest
from scipy.optimize import minimize
from scipy.special import log_softmax

import popglm as pg

N = 480
JOB = {"lambdas": [0.1, 0.03, 0.01, 0.003], "precision": "float64", "tol": 1e-9, "cv": 3}
TRIAL = np.arange(N) // 12
SHARES = ("fraction_explained_deviance", "fraction_null_deviance", "full_deviance", "null_deviance")


@pytest.fixture(scope="module")
def session():
    """Three states that follow place and speed, of which the second copies part of the first; two choices; trials."""
    rng = np.random.default_rng(0)
    X = rng.standard_normal((N, 5))
    X[:, 2] = 0.8 * X[:, 0] + 0.6 * X[:, 2]
    columns = [("place", "a"), ("place", "b"), ("speed", "x"), ("cue", "x"), ("noise", "x")]
    X = pd.DataFrame(X - X.mean(axis=0), columns=pd.MultiIndex.from_tuples(columns))
    drive = X.to_numpy() @ (rng.normal(0, 0.8, (5, 3)) * [[1], [1], [1], [0.3], [0]])
    state = np.array(["run", "rest", "groom"])[(drive + rng.gumbel(size=(N, 3))).argmax(axis=1)].astype(object)
    choice = (X.to_numpy() @ [0.5, 0, 0.5, 1, 0] + rng.logistic(size=N) > 0).astype(int)
    state[::9] = None
    return X, pd.DataFrame({"state": state}), choice


def fitted(model, X, Y, **more):
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", pg.PopglmWarning)
        return model.fit(X, Y, groups=TRIAL, **more)


@pytest.fixture(scope="module")
def pair(session):
    """A classifier of two classes, and the Bernoulli model that is the same."""
    X, _, choice = session
    classes = fitted(pg.ClassifierGLMCV("group_lasso", **JOB), X, choice)
    return classes, fitted(pg.GLMCV("bernoulli", penalty="group_lasso", **JOB), X, choice[:, None])


@pytest.fixture(scope="module")
def model(session):
    X, Y, _ = session
    return fitted(pg.ClassifierGLMCV("ridge", class_weight={"run": 2.0}, **JOB), X, Y)


@pytest.mark.thorough(keep=1)
@pytest.mark.parametrize(
    "more", [{}, {"method": "add"}, {"reselect": False}, {"variables": {"both": ["place", "speed"]}}]
)
def test_re_fits_of_two_classes_are_those_of_the_bernoulli_model(pair, session, more):
    X, _, choice = session
    ours, theirs = (pg.compare(model, X, choice, **more, weaker=None) for model in pair)
    for name in (*SHARES, "reduced_deviance", "selected_strength"):
        np.testing.assert_allclose(ours[name].values, theirs[name].values, rtol=1e-4, atol=1e-5, err_msg=name)


def test_re_fits_of_two_classes_are_scored_on_other_rows(pair, session):
    X, _, choice = session
    test = X[:100], choice[:100]
    by = pg.bins(X[("cue", "x")][:100].rename("cue"), [-2.0, 0.0, 2.0], 1.0)
    ours, theirs = (pg.compare(model, X, choice, ["cue"], by, test=test, weaker=None) for model in pair)
    for name in (*SHARES, "binned_fraction_null_deviance"):
        np.testing.assert_allclose(ours[name].values, theirs[name].values, rtol=1e-4, atol=1e-5, err_msg=name)


@pytest.mark.parametrize("method", ["ablation", "refit"])
def test_shapley_values_of_two_classes_are_those_of_the_bernoulli_model(pair, session, method):
    X, _, choice = session
    ours, theirs = (pg.shapley(model, X, choice, ["place", "cue", "speed"], method=method) for model in pair)
    for name in ("shapley", "rest", *SHARES):
        np.testing.assert_allclose(ours[name].values, theirs[name].values, rtol=1e-4, atol=2e-3, err_msg=name)


def test_re_fits_are_models_of_the_other_columns(model, session):
    X, Y, _ = session
    found = pg.compare(model, X, Y, ["place", "noise"])
    np.testing.assert_allclose(found.deviance_explained, model.cv_deviance_explained_, rtol=1e-9)
    for name in ("place", "noise"):
        alone = fitted(pg.ClassifierGLMCV("ridge", class_weight={"run": 2.0}, **JOB), X.drop(columns=name, level=0), Y)
        explained = 1 - found.reduced_deviance.sel(variable=name) / found.null_deviance
        np.testing.assert_allclose(explained, alone.cv_deviance_explained_, rtol=1e-5)
        np.testing.assert_allclose(found.selected_strength.sel(variable=name), alone.lambda_)


def of_subset(model, X, Y, chosen):
    """Held-out deviance with the weights of some groups alone, beside intercepts found by a general minimiser."""
    total, groups = 0.0, np.repeat(model.feature_group_names_, model.feature_group_sizes_)
    codes = pd.Index(model.classes_).get_indexer(Y["state"])
    weight = np.where(Y["state"] == "run", 2.0, 1.0) * (codes >= 0)
    for fold in range(3):
        held = model.fold_ == fold
        eta = X.to_numpy() @ (model.cv_coef_[fold, 0] * np.isin(groups, chosen)).T

        def loss(b, rows, eta=eta):
            return -weight[rows] @ log_softmax(eta + b, axis=1)[np.arange(N), codes][rows]

        b = minimize(loss, model.cv_intercept_[fold, 0], (~held,), "BFGS", options={"gtol": 1e-9}).x
        total += 2 * loss(b, held)
    return total


def test_shapley_values_are_mean_gains_over_all_orders(model, session):
    X, Y, _ = session
    found = pg.shapley(model, X, Y, ["place", "speed"])
    rest = ["cue", "noise"]
    none, place, speed, both = (
        of_subset(model, X, Y, rest + own) for own in ([], ["place"], ["speed"], ["place", "speed"])
    )
    expected = [(none - place + speed - both) / 2, (none - speed + place - both) / 2]
    np.testing.assert_allclose(found.shapley.values[0], expected, rtol=1e-5)
    np.testing.assert_allclose(found.full_deviance, both, rtol=1e-7)
    np.testing.assert_allclose(found.shapley.sum() + found.rest, found.null_deviance - found.full_deviance)


def test_pictures_take_the_results(model, session):
    X, Y, _ = session
    ax = pg.plot.stacked_contributions(pg.shapley(model, X, Y))
    assert ax.get_legend_handles_labels()[1] == ["explained", "place", "speed", "cue", "noise"]


def test_without_any_column_a_mask_leaves_the_frequencies_of_the_classes(session):
    X, _, choice = session
    mask = np.array([[True], [True], [False], [True], [True]])
    model = fitted(pg.ClassifierGLMCV("ridge", lambdas=[0.01], cv=3, feature_mask=mask), X, choice)
    found = pg.compare(model, X, choice, {"all": "*"})
    shares = [choice[model.fold_ != f].mean() for f in range(3)]
    p = np.array(shares)[model.fold_]
    alone = -2 * np.log(np.where(choice == 1, p, 1 - p)).sum()
    np.testing.assert_allclose(found.reduced_deviance, alone, rtol=1e-6)
    values = pg.shapley(model, X, choice, {"seen": ["place", "cue", "noise"], "closed": ["speed"]}, method="refit")
    np.testing.assert_allclose(values.shapley.sel(variable="closed"), 0, atol=0.01)
    np.testing.assert_allclose(values.shapley.sel(variable="seen"), alone - found.full_deviance, rtol=1e-3)


def test_labels_of_samples_that_do_not_count_need_not_be_known(model, session):
    X, _, choice = session
    plain, given = choice.astype(object), choice.astype(object)
    given[::7], weight = 2, np.where(np.arange(N) % 7, 1.0, 0.0)
    setting = {"lambdas": [0.01], "cv": 3}
    ours = fitted(pg.ClassifierGLMCV("ridge", **setting), X, given, sample_weight=weight)
    theirs = fitted(pg.ClassifierGLMCV("ridge", **setting), X, plain, sample_weight=weight)
    for name in ("compare", "breakdown", "calibration", "shapley"):
        more = {} if name == "calibration" else {"variables": ["cue"]}
        found, expected = (
            getattr(pg, name)(own, X, y, sample_weight=weight, **more) for own, y in ((ours, given), (theirs, plain))
        )
        found = found.sel({"class": expected["class"].values}) if "class" in found.dims else found
        for name in expected:
            np.testing.assert_allclose(found[name], expected[name], rtol=1e-5, atol=1e-5, err_msg=name)
    new = np.where(weight > 0, choice, 3)
    pd.testing.assert_frame_equal(ours.evaluate(X, new, weight), ours.evaluate(X, given, weight))
    assert ours.score(X, new, weight) == theirs.score(X, plain, weight)
    with pytest.raises(ValueError, match=r"label 3 for response .* which the fit did not have"):
        ours.evaluate(X, new)


def test_what_cannot_be(model, session, tmp_path):
    X, Y, choice = session
    other = Y.iloc[::-1].reset_index(drop=True)
    for explain in (pg.compare, pg.shapley):
        with pytest.raises(
            ValueError, match="X, Y, sample_weight or offset are not those of the fit: the held-out deviance"
        ):
            explain(model, X, other)
        with pytest.raises(ValueError, match=r"'hop' for response 'state' in row \d+, which the fit did not have"):
            explain(model, X, Y.replace({"state": {Y["state"][1]: "hop"}}))
        with pytest.raises(ValueError, match=r"needs a fitted popglm\.ClassifierGLMCV; found ClassifierGLM\."):
            explain(fitted_once(X, Y), X, Y)
        with pytest.raises(ValueError, match="has sample_weight=, but the model was fitted without"):
            explain(model, X, Y, sample_weight=np.arange(N) + 1.0)
    with pytest.raises(ValueError, match=r"test must be \(X_test, Y_test\) or \(X_test, Y_test, offset_test\); found"):
        pg.compare(model, X, Y, test=(X,))
    with pytest.raises(ValueError, match=r"compare has offset=, but"):
        pg.compare(model, X, Y, offset={"run": np.ones(N)})
    many = pd.DataFrame(np.random.default_rng(0).standard_normal((N, 11)), columns=[f"v{k}" for k in range(11)])
    wide = fitted(pg.ClassifierGLMCV("ridge", lambdas=[0.1], feature_groups=list(many), cv=2), many, choice)
    with pytest.raises(ValueError, match="variables must be 10 at most"):
        pg.shapley(wide, many, choice)


def fitted_once(X, Y):
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", pg.PopglmWarning)
        return pg.ClassifierGLM("ridge", lambdas=[0.1]).fit(X, Y)
