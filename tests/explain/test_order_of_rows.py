"""Rows with labels in another order than in the fit: arrays without labels stand beside X as it is given."""

import inspect
import warnings

import numpy as np
import pandas as pd
import pytest
import xarray as xr

import popglm as pg
from popglm import explain

N, LENGTH = 240, 10
RNG = np.random.default_rng(0)
P = RNG.permutation(N)
TRIAL = np.arange(N) // LENGTH
SESSION = {"speed": RNG.standard_normal(N), "touch": RNG.standard_normal(N)}
DESIGN = pg.Design([pg.linear(name) for name in SESSION]).fit(SESSION)
Y = RNG.poisson(np.exp(np.outer(SESSION["speed"], [0.6, 0.1]) + np.outer(SESSION["touch"], [0.1, 0.5]) - 0.3))
#: What stands beside X and Y without labels, by argument.
BESIDE = {
    "trial": TRIAL,
    "strata": TRIAL // 2 % 2,
    "split": TRIAL % 3,
    "sample_weight": RNG.uniform(0.5, 2.0, N),
    "offset": RNG.standard_normal(N) / 4,
}
PLACES = SESSION["speed"] + RNG.standard_normal(N) / 2
INDICES = {"text": pd.Index([f"sample {k:03}" for k in range(N)]), "numbers": pd.RangeIndex(N)}
#: Of every public function that takes X and Y of a fit again, what else it is called with.
OPTIONS = {
    "bootstrap": {"n_resamples": 2},
    "breakdown": {},
    "calibration": {"bins": 3},
    "compare": {},
    "debiased": {},
    "decode": {"variable": "speed", "values": np.linspace(-2, 2, 5), "step": 1.0},
    "goodness_of_fit": {},
    "likelihood_ratio": {},
    "predicted_tuning": {},
    "rescaled_quantiles": {},
    "shapley": {},
    "significance": {"n_shifts": 19, "method": "trial_permutation"},
    "stability_selection": {"n_pairs": 1, "n_false": 2},
    "time_rescaling": {},
    "wald": {},
}
UNPENALISED = ("likelihood_ratio", "wald")
WITHOUT_FOLDS = (
    "bootstrap", "debiased", "goodness_of_fit", "likelihood_ratio", "rescaled_quantiles", "stability_selection",
    "time_rescaling", "wald",
)  # fmt: skip
CASES = [(who, True) for who in OPTIONS] + [(who, False) for who in WITHOUT_FOLDS]


def parameters(who):
    return set(inspect.signature(getattr(pg, who)).parameters)


def table(values, index):
    return pd.DataFrame(values, index=index, columns=["a", "b"])


@pytest.fixture(scope="module")
def models():
    made = {}

    def get(who, folds, kind):
        takes = ("sample_weight", "offset") if who != "decode" else ("offset",)
        beside = tuple(name for name in takes if name in parameters(who))
        key = who in UNPENALISED, folds, kind, beside
        if key not in made:
            job = {"penalty": "none", "tol": 1e-8} if key[0] else {"penalty": "lasso", "lambdas": [0.1, 0.01]}
            model = pg.GLMCV(cv=3, **job) if folds else pg.GLM(**job)
            X = DESIGN.transform(pd.DataFrame(SESSION, index=INDICES[kind]))
            made[key] = model.fit(X, table(Y, INDICES[kind]), **{name: BESIDE[name] for name in beside})
        return made[key]

    return get


def use(who, model, kind, rows, plain_y=False, labelled=False):
    """The result of a function on rows in some order; what stands beside them has an index or not."""
    index, takes = INDICES[kind][rows], parameters(who)
    session = pd.DataFrame(SESSION, index=INDICES[kind]).iloc[rows]
    given = {name: values[rows] for name, values in BESIDE.items() if name in takes}
    if who == "decode":
        del given["sample_weight"]
    places = PLACES[rows]
    if labelled:
        given = {name: pd.Series(values, index) for name, values in given.items()}
        places = pd.Series(places, index)
    if "by" in takes:
        given["by"] = pg.bins(places, [-1.0, 0.0, 1.0], 0.5, name="place")
    y = Y[rows] if plain_y else table(Y[rows], index)
    given |= {"X": DESIGN.transform(session)} if "X" in takes else {"session": session}
    if "design" in takes:
        given["design"] = DESIGN
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", pg.PopglmWarning)
        return getattr(pg, who)(model, Y=y, **given, **OPTIONS[who])


def same(found, expected):
    if isinstance(expected, pd.DataFrame):
        pd.testing.assert_frame_equal(found, expected)
    elif isinstance(expected, xr.Dataset | xr.DataArray):
        xr.testing.assert_allclose(found, expected)
    else:
        assert list(found) == list(expected)
        for name, one in expected.items():
            same(found[name], one)


def test_every_function_is_here():
    public = {name: getattr(explain, name) for name in explain.__all__}
    taking = {name for name, one in public.items() if inspect.isfunction(one) and {"model", "Y"} <= parameters(name)}
    assert taking == set(OPTIONS)


@pytest.mark.parametrize("kind", ["text", pytest.param("numbers", marks=pytest.mark.thorough)])
@pytest.mark.parametrize(("who", "folds"), CASES)
def test_arrays_go_where_the_rows_of_X_go(models, who, folds, kind):
    model = models(who, folds, kind)
    expected = use(who, model, kind, np.arange(N))
    if who == "decode":
        # its result has a row for each of the session's
        expected = expected.isel(sample=P)
    for options in ({}, {"plain_y": True}, {"labelled": True}) if kind == "text" else ({},):
        same(use(who, model, kind, P, **options), expected)


@pytest.mark.parametrize("who", ["breakdown", "calibration", "decode", "predicted_tuning"])
def test_weights_of_all_rows(models, who, monkeypatch):
    monkeypatch.setitem(OPTIONS, who, OPTIONS[who] | {"held_out": False})
    model = models(who, True, "text")
    # a posterior with a random walk is of samples in their order
    monkeypatch.setitem(OPTIONS, "decode", OPTIONS["decode"] | {"step": None})
    expected = use(who, model, "text", np.arange(N))
    expected = expected.isel(sample=P) if who == "decode" else expected
    same(use(who, model, "text", P), expected)


def test_labels_that_come_after_X(models):
    # X and the fit only count; Y has labels of its own
    model = models("goodness_of_fit", False, "numbers")
    X = DESIGN.transform(pd.DataFrame(SESSION))
    named = table(Y[P], INDICES["text"][P])
    weight, offset = (BESIDE[name] for name in ("sample_weight", "offset"))
    expected = pg.goodness_of_fit(model, X, Y, sample_weight=weight, offset=offset)
    same(pg.goodness_of_fit(model, X.iloc[P], named, sample_weight=weight[P], offset=offset[P]), expected)
    by_label = pd.Series(offset, INDICES["text"])
    same(pg.goodness_of_fit(model, X.iloc[P], named, sample_weight=weight[P], offset=by_label), expected)


def test_held_out_predictions_have_the_order_of_the_fit(models):
    model = models("compare", True, "text")
    X = DESIGN.transform(pd.DataFrame(SESSION, index=INDICES["text"]))
    offset = BESIDE["offset"]
    expected = model.predict_held_out(X, offset)
    np.testing.assert_array_equal(model.predict_held_out(X.iloc[P], offset[P]), expected)
    np.testing.assert_array_equal(model.predict_held_out(X.iloc[P], pd.Series(offset, X.index)), expected)


def test_models_in_two_parts():
    amount = np.where(Y > 0, Y + RNG.uniform(0, 1, Y.shape), 0.0)
    X = DESIGN.transform(pd.DataFrame(SESSION, index=INDICES["text"]))
    weight, offset = BESIDE["sample_weight"], {"events": BESIDE["offset"], "amounts": BESIDE["offset"] / 2}
    moved = {name: values[P] for name, values in offset.items()}
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        model = pg.TwoPartGLM(pg.GLMCV("gamma", lambdas=[0.01], cv=3))
        model.fit(X, table(amount, X.index), sample_weight=weight, offset=offset)
        expected = pg.breakdown(model, X, amount, sample_weight=weight, offset=offset)
        same(pg.breakdown(model, X.iloc[P], amount[P], sample_weight=weight[P], offset=moved), expected)
        np.testing.assert_array_equal(model.predict_held_out(X.iloc[P], moved), model.predict_held_out(X, offset))


@pytest.mark.parametrize("as_mapping", [False, True])
def test_classifiers(as_mapping):
    choice = np.where(SESSION["speed"] + RNG.standard_normal(N) > 0, "left", "right")
    X = DESIGN.transform(pd.DataFrame(SESSION, index=INDICES["text"]))
    weight, bias = BESIDE["sample_weight"], BESIDE["offset"]

    def beside(rows):
        offset = {"left": bias[rows]} if as_mapping else np.column_stack([bias[rows], np.zeros(N)])
        return {"sample_weight": weight[rows], "offset": offset}

    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        model = pg.ClassifierGLMCV(lambdas=[0.01], cv=3).fit(X, choice, **beside(slice(None)))
        for call in (pg.breakdown, pg.calibration, pg.compare, pg.shapley):
            same(call(model, X.iloc[P], choice[P], **beside(P)), call(model, X, choice, **beside(slice(None))))
        trial = {"trial": TRIAL, "n_resamples": 2}
        expected = pg.bootstrap(model, DESIGN, X, choice, **trial, **beside(slice(None)))
        found = pg.bootstrap(model, DESIGN, X.iloc[P], choice[P], **trial | {"trial": TRIAL[P]}, **beside(P))
        same(found, expected)
    p = model.predict_proba_held_out(X, beside(slice(None))["offset"])
    np.testing.assert_array_equal(model.predict_proba_held_out(X.iloc[P], beside(P)["offset"]), p)


def test_models_of_curves():
    X = DESIGN.transform(pd.DataFrame(SESSION, index=INDICES["text"]))
    weight = BESIDE["sample_weight"]
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        model = pg.SmoothGLM("poisson").fit(X, Y, sample_weight=weight)
        expected = pg.goodness_of_fit(model, X, Y, sample_weight=weight)
        same(pg.goodness_of_fit(model, X.iloc[P], Y[P], sample_weight=weight[P]), expected)


def test_messages_name_the_trial_as_it_was_given():
    index = INDICES["text"]
    X = DESIGN.transform(pd.DataFrame(SESSION, index=index))
    model = pg.GLMCV(lambdas=[0.01], cv=3).fit(X, Y)
    torn = np.array([f"trial {k}" for k in TRIAL])
    torn[-1] = "trial 0"
    with pytest.raises(ValueError, match=f"trial trial 0 comes back in row {N - 1}"):
        pg.significance(model, X.iloc[P], Y[P], trial=torn[P], n_shifts=19)


def test_surrogates_that_are_fitted_again():
    X = DESIGN.transform(pd.DataFrame(SESSION, index=INDICES["text"]))
    model = pg.GLMCV(lambdas=[0.01], cv=3).fit(X, Y)
    job = {"variables": ["speed"], "n_shifts": 3, "refit": True}
    expected = pg.significance(model, X, Y, trial=TRIAL, **job)
    same(pg.significance(model, X.iloc[P], Y[P], trial=TRIAL[P], **job), expected)
