"""Variables taken out of models of categorical responses: by hand, by bins, and against the simulated truth."""

import warnings

import numpy as np
import pandas as pd
import pytest
from scipy.special import log_softmax

import popglm as pg


@pytest.fixture(scope="module")
def session():
    """Three states that follow the position, two choices that follow the cue, both noisy; trials of 20 samples."""
    rng = np.random.default_rng(0)
    n = 1200
    X = pd.DataFrame(
        rng.standard_normal((n, 4)),
        columns=pd.MultiIndex.from_tuples([("place", "a"), ("place", "b"), ("cue", "side"), ("noise", "x")]),
    )
    state = np.column_stack([1.5 * X["place", "a"], 1.5 * X["place", "b"], np.zeros(n)]) + rng.gumbel(size=(n, 3))
    choice = np.where(2 * X["cue", "side"] + rng.logistic(size=n) > 0, "left", "right").astype(object)
    choice[::10] = None
    Y = pd.DataFrame({"state": np.array(["run", "rest", "groom"])[state.argmax(axis=1)], "choice": choice})
    return X, Y, np.arange(n) // 20


@pytest.fixture(scope="module")
def model(session):
    X, Y, trial = session
    settings = {"n_lambdas": 6, "lambda_min_ratio": 1e-2, "precision": "float64"}
    return pg.ClassifierGLMCV("group_lasso", **settings).fit(X, Y, groups=trial)


def by_hand(model, X, Y, response, columns, keep=False):
    """Held-out deviance of a response where some columns are 0 (or all others are)."""
    j = model.neuron_names_.index(response)
    values = X.to_numpy().copy()
    out = np.setdiff1d(np.arange(4), columns) if keep else columns
    values[:, out] = 0
    known = Y[response].notna().to_numpy()
    total = 0.0
    for fold in range(5):
        at = (model.fold_ == fold) & known
        there = model.has_class_[j]
        eta = values[at] @ model.cv_coef_[fold, j, there].T + model.cv_intercept_[fold, j, there]
        codes = pd.Index(model.classes_[there]).get_indexer(Y[response][at])
        total -= 2 * log_softmax(eta, axis=1)[np.arange(at.sum()), codes].sum()
    return total


@pytest.mark.parametrize("method", ["zero", "keep"])
def test_contributions_are_those_by_hand(model, session, method):
    X, Y, _ = session
    found = pg.breakdown(model, X, Y, method=method)
    for response in ("state", "choice"):
        own = found.sel(neuron=response)
        np.testing.assert_allclose(own.full_deviance, by_hand(model, X, Y, response, []), rtol=1e-9)
        shares = Y[response].value_counts(normalize=True)
        null = -2 * np.log(shares[Y[response].dropna()]).sum()
        np.testing.assert_allclose(own.null_deviance, null, rtol=1e-12)
        for variable, columns in {"place": [0, 1], "cue": [2], "noise": [3]}.items():
            reduced = by_hand(model, X, Y, response, columns, keep=method == "keep")
            np.testing.assert_allclose(own.reduced_deviance.sel(variable=variable), reduced, rtol=1e-9)
            carried = null - reduced if method == "keep" else reduced - own.full_deviance
            share = min(carried / (null - own.full_deviance), 1)
            np.testing.assert_allclose(own.fraction_explained_deviance.sel(variable=variable), share, rtol=1e-7)
    np.testing.assert_allclose(found.deviance_explained, model.cv_deviance_explained_, rtol=1e-9)


def test_what_drives_a_response_carries_it(model, session):
    X, Y, _ = session
    share = pg.breakdown(model, X, Y).fraction_explained_deviance.to_pandas()
    assert share.loc["state", "place"] > 0.95
    assert share.loc["choice", "cue"] > 0.95
    assert abs(share.loc["state", "cue"]) < 0.05
    shuffled = pg.breakdown(model, X, Y, method="shuffle", seed=0).fraction_explained_deviance.to_pandas()
    assert shuffled.loc["choice", "cue"] > 0.95
    together = pg.breakdown(model, X, Y, {"all": ["place", "cue", "noise"]})
    np.testing.assert_allclose(together.fraction_explained_deviance, 1, atol=0.02)


def test_bins_divide_the_deviance(model, session):
    X, Y, _ = session
    halves = pg.bins(np.arange(1200), [300, 900], 300, name="time")
    found = pg.breakdown(model, X, Y, by=halves)
    known = Y.notna().to_numpy()
    n = np.stack([known[:600].sum(axis=0), known[600:].sum(axis=0)], axis=1)
    # the bins meet in one sample
    total = (found.binned_full_deviance.to_numpy() * n).sum(axis=1)
    np.testing.assert_allclose(total, found.full_deviance, rtol=5e-3)
    assert found.binned_reduced_deviance.dims == ("neuron", "variable", "bin")


def test_other_rows_are_scored_by_the_fit_to_all(model, session):
    X, Y, _ = session
    some = pg.breakdown(model, X[:300], Y[:300], held_out=False)
    np.testing.assert_allclose(some.full_deviance, model.evaluate(X[:300], Y[:300])["deviance"], rtol=1e-9)
    np.testing.assert_allclose(some.null_deviance, model.evaluate(X[:300], Y[:300])["null_deviance"], rtol=1e-9)
    plain = pg.ClassifierGLM(lambdas=[0.01], precision="float64").fit(X, Y["state"])
    alone = pg.breakdown(plain, X, Y["state"], held_out=False)
    np.testing.assert_allclose(alone.full_deviance, plain.evaluate(X, Y["state"])["deviance"], rtol=1e-9)


def test_class_weights_count_as_in_the_fit(session):
    X, Y, trial = session
    model = pg.ClassifierGLMCV(lambdas=[0.01], class_weight="balanced", precision="float64").fit(X, Y, groups=trial)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        found = pg.breakdown(model, X, Y)
    np.testing.assert_allclose(found.deviance_explained, model.cv_deviance_explained_, rtol=1e-9)


@pytest.mark.parametrize("method", ["zero", "keep", "shuffle"])
def test_classes_that_a_fold_does_not_know_are_left_out(method):
    rng = np.random.default_rng(0)
    X = rng.standard_normal((300, 2))
    y = np.where(X[:, 0] + rng.logistic(size=300) / 3 > 0, "L", "R").astype(object)
    y[:5] = "Z"
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", pg.PopglmWarning)
        model = pg.ClassifierGLMCV(n_lambdas=4, precision="float64").fit(X, y, groups=np.arange(300) // 10)
        known = np.where(y == "Z", None, y)
        halves = pg.bins(np.arange(300), [75, 225], 75, name="time")
        found, without = (pg.breakdown(model, X, own, method=method, by=halves, seed=0) for own in (y, known))
    # the fold's own probabilities of the samples that it can score
    p = model.predict_proba_held_out()[5:][np.arange(295), np.searchsorted(model.classes_, y[5:].astype(str))]
    np.testing.assert_allclose(found.full_deviance[0], -2 * np.log(p).sum(), rtol=1e-9)
    np.testing.assert_allclose(found.deviance_explained, model.cv_deviance_explained_, rtol=1e-9)
    assert found.fraction_explained_deviance.sel(neuron="neuron0").to_numpy()[0] > 0.9
    for name in found:
        assert np.isfinite(found[name]).all(), name
        np.testing.assert_array_equal(found[name], without[name])


def test_pictures_take_the_result(model, session):
    X, Y, _ = session
    found = pg.breakdown(model, X, Y)
    axes = pg.plot.contribution_distribution(found)
    assert {label.get_text() for label in axes.get_yticklabels()} == {"place", "cue", "noise"}


def test_what_cannot_be_broken_down(model, session):
    X, Y, _ = session
    with pytest.raises(ValueError, match="not fitted yet"):
        pg.breakdown(pg.ClassifierGLMCV(), X, Y)
    with pytest.raises(ValueError, match=r"needs a fitted popglm\.ClassifierGLMCV, or held_out=False"):
        pg.breakdown(pg.ClassifierGLM(lambdas=[0.1]).fit(X, Y), X, Y)
    with pytest.raises(ValueError, match="X has 100 rows, but the model was cross-validated on 1200"):
        pg.breakdown(model, X[:100], Y[:100])
    with pytest.raises(ValueError, match="no group fits"):
        pg.breakdown(model, X, Y, ["speed"])
    with pytest.raises(ValueError, match="which the fit did not have"):
        pg.breakdown(model, X, Y.assign(state="other"))
    with pytest.warns(pg.PopglmWarning, match="X and Y are not those of the fit"):
        pg.breakdown(model, X, Y.assign(state=np.roll(Y["state"], 1)))


@pytest.mark.parametrize(
    ("name", "given", "instead"),
    [
        ("stability_selection", {"trial": 0}, "compare"),
        ("wald", {}, "compare"),
        ("debiased", {}, "compare"),
        ("likelihood_ratio", {}, "compare"),
        ("goodness_of_fit", {}, "its evaluate"),
        ("time_rescaling", {}, "its evaluate"),
        ("simulate", {}, "its predict_proba"),
    ],
)
def test_what_has_no_form_for_classes_names_what_has(model, session, name, given, instead):
    X, Y, trial = session
    given = dict.fromkeys(given, trial)
    said = f"{name} has no form for classes, and found a ClassifierGLMCV; use {instead}"
    with pytest.raises(TypeError, match=said):
        getattr(pg, name)(model, X, Y, **given)


def test_what_else_has_no_form_for_classes(model, session):
    X, Y, _ = session
    design = pg.Design([pg.linear("x")]).fit({"x": X["cue"]["side"]})
    for call, instead in (
        (lambda: pg.predicted_tuning(model, X, Y, pg.bins(X["cue"]["side"], [0.0], 1.0)), "its predict_proba"),
        (lambda: pg.decode(model, design, {"x": X["cue"]["side"]}, Y, "x", [0.0, 1.0]), "breakdown, compare, shapley"),
    ):
        with pytest.raises(TypeError, match=f"has no form for classes, and found a ClassifierGLMCV; use {instead}"):
            call()
