"""Labels of every kind, and what is told of those that are none."""

import numpy as np
import pandas as pd
import pytest
import xarray as xr
from categorical import choices, quietly

import popglm as pg

X, CODES = choices(120, 3)
TEXT = np.array(["a", "b", "c"])[CODES]


def fit(y, **settings):
    return quietly(pg.ClassifierGLM(lambdas=[0.1], **settings), X, y)


@pytest.mark.parametrize(
    "y",
    [
        TEXT,
        TEXT.astype(object),
        TEXT.tolist(),
        pd.Series(TEXT),
        pd.Categorical(TEXT, categories=["c", "b", "a", "unused"]),
        pd.Series(TEXT, dtype="category"),
        pd.Series(TEXT, dtype="string"),
        xr.DataArray(TEXT, dims="time"),
    ],
    ids=["array", "objects", "list", "series", "categorical", "category", "string", "xarray"],
)
def test_text_of_any_kind_is_the_same(y):
    model = fit(y)
    assert model.classes_.tolist() == ["a", "b", "c"]
    np.testing.assert_array_equal(model.coef_, fit(TEXT).coef_)
    assert model.coef_.shape == (3, 8)


@pytest.mark.parametrize(
    "y",
    [CODES, CODES.astype(float), CODES.astype(np.int8), pd.Series(CODES, dtype="Int64"), CODES.tolist()],
    ids=["int", "float", "int8", "nullable", "list"],
)
def test_whole_numbers_of_any_kind_are_the_same(y):
    model = fit(y)
    assert model.classes_.tolist() == [0, 1, 2]
    assert model.classes_.dtype.kind == "i"
    np.testing.assert_array_equal(model.coef_, fit(TEXT).coef_)


@pytest.mark.parametrize(
    "y",
    [
        np.where(np.arange(120) < 20, None, TEXT),
        np.where(np.arange(120) < 20, np.nan, CODES),
        pd.Series(CODES, dtype="Int64").where(np.arange(120) >= 20),
        [None] * 20 + TEXT[20:].tolist(),
    ],
    ids=["None", "NaN", "NA", "list"],
)
def test_samples_without_a_label_drop_out(y):
    np.testing.assert_allclose(
        fit(y).coef_, quietly(pg.ClassifierGLM(lambdas=[0.1]), X[20:], TEXT[20:]).coef_, atol=2e-4
    )


def test_tables_of_responses_of_unlike_kinds():
    table = pd.DataFrame({"state": TEXT, "count": CODES})
    model = fit(table)
    assert model.neuron_names_ == ["state", "count"]
    assert model.classes_.tolist() == ["a", "b", "c", 0, 1, 2]
    assert fit(table.assign(count=CODES > 0)).classes_.tolist() == ["a", "b", "c", False, True]
    lists = fit([["a", 1], ["b", 0]] * 60)
    assert lists.coef_.shape == (2, 4, 8)
    tensor = pytest.importorskip("torch").tensor(CODES)
    np.testing.assert_array_equal(fit(tensor).predict(X), fit(CODES).predict(X))


@pytest.mark.parametrize(
    ("y", "error", "said"),
    [
        (None, ValueError, "requires y to be passed"),
        ("abc", TypeError, "found str"),
        ({"a": [1]}, TypeError, "found dict"),
        (np.linspace(0, 1, 120), ValueError, "Unknown label type: continuous.*0.0084"),
        (np.where(np.arange(120) == 7, np.inf, CODES), ValueError, "infinite in row 7"),
        (CODES[:50], ValueError, "120 samples and y has 50"),
        (np.zeros((120, 2, 2)), ValueError, r"it has \(120, 2, 2\)"),
        ([["a", "b"], ["a"]] * 60, ValueError, "rows of 1 to 2 labels"),
        ([None] * 120, ValueError, "no label at all"),
        (np.zeros((120, 0)), ValueError, "no columns"),
        ([{1: 2}] * 120, ValueError, "labels that can be compared"),
        ((label for label in TEXT), TypeError, "y is a generator, which can be read only once"),
        (pd.DataFrame([["a", "b"]] * 120, columns=["x", "x"]), ValueError, "y has the response 'x' more than once"),
    ],
)
def test_what_is_no_label(y, error, said):
    with pytest.raises(error, match=said):
        fit(y)


def test_what_is_masked_is_not_known():
    hidden = np.arange(120) < 20
    for labels in (CODES, TEXT, CODES.astype(float)):
        model = fit(np.ma.array(labels, mask=hidden))
        np.testing.assert_array_equal(model.coef_, fit(np.where(hidden, None, labels)).coef_)
    two = np.ma.array(np.stack([CODES, CODES], axis=1), mask=np.stack([CODES == 2, hidden], axis=1))
    model = fit(two)
    np.testing.assert_array_equal(model.has_class_, [[True, True, False], [True, True, True]])
    assert model.class_samples_.sum(axis=1).tolist() == [(CODES != 2).sum(), 100]


@pytest.mark.parametrize(
    ("labels", "error", "said"),
    [
        (np.array([1e20, 2e20]), ValueError, r"y holds 1e\+20 for response 0, first in row 0, .* too large for floats"),
        ([2**70, 1], ValueError, "does not fit a whole number of 64 bits"),
        (np.array([2**63, 1], np.uint64), ValueError, "does not fit a whole number of 64 bits"),
        (pd.interval_range(0, 2), TypeError, r"of type Interval; .*y\.astype\(str\)"),
        (pd.to_datetime(["2020", "2021"]), TypeError, "of type Timestamp"),
        (pd.to_timedelta([1, 2], unit="s"), TypeError, "of type Timedelta"),
        (np.array([1j, 2j]), TypeError, "of type complex"),
        (pd.Series([("a", 1), ("b", 2)]), TypeError, "of type tuple"),
        (np.array([0.5, "a"], object), ValueError, "continuous. y holds 0.5 for response 0, first in row 0"),
        (np.array([True, 3], object), ValueError, "flags in response 0 and numbers in response 0"),
        (np.array([1, True], object), ValueError, "flags in response 0 and numbers in response 0"),
        (pd.DataFrame({"a": [2, 1], "b": [True, False]}), ValueError, "flags in response 1 and numbers in response 0"),
    ],
)
def test_labels_that_would_become_others_are_refused(labels, error, said):
    n = 60
    y = labels.take(np.tile([0, 1], n)) if hasattr(labels, "take") else labels * n
    with pytest.raises(error, match=said):
        fit(y)


def test_whole_numbers_keep_their_value():
    labels = [2**63 - 1, -(2**63), 0]
    assert fit([labels[code] for code in CODES]).classes_.tolist() == sorted(labels)
    assert fit(np.where(CODES > 0, 2.0**53, 1)).classes_.tolist() == [1, 2**53]
    assert fit(pd.Series([2.0, "a"] * 60)).classes_.tolist() == [2, "a"]


def test_a_response_that_is_known_nowhere_has_no_prediction():
    y = pd.DataFrame({"seen": TEXT, "never": np.full(120, None)})
    for model in (fit(y), quietly(pg.ClassifierGLMCV(n_lambdas=3), X, y, groups=np.arange(120) // 10)):
        np.testing.assert_array_equal(model.has_class_, [[True] * 3, [False] * 3])
        assert np.isnan(model.predict_proba(X)[:, 1]).all()
        assert np.isnan(model.decision_function(X)[:, 1]).all()
        assert model.predict(X)[:, 1].tolist() == [None] * 120
        np.testing.assert_allclose(model.predict_proba(X)[:, 0].sum(axis=1), 1)
        assert set(model.predict(X)[:, 0]) <= set("abc")
        assert model.evaluate(X, y).loc["never"].isna().all()
        assert np.isfinite(model.evaluate(X, y).loc["seen"]).all()
    assert np.isnan(model.predict_proba_held_out(X)[:, 1]).all()
    assert np.isfinite(model.predict_proba_held_out(X)[:, 0]).all()


def test_a_label_per_sample_is_no_class():
    with pytest.raises(ValueError, match="2,000 classes, of which 1,000 are the most"):
        pg.ClassifierGLM().fit(np.zeros((2000, 1)), np.arange(2000))


@pytest.mark.parametrize(
    ("settings", "error", "said"),
    [
        ({"class_weight": "even"}, ValueError, "class_weight='even' must be None, 'balanced', or a mapping"),
        ({"class_weight": {"z": 1.0}}, ValueError, "class_weight names 'z', which is no class"),
        ({"class_weight": {"a": 0}}, ValueError, "class_weight of 'a' is 0"),
        ({"class_weight": {"a": "1"}}, ValueError, "class_weight of 'a' is '1'"),
        ({"penalty": "mcp"}, ValueError, "penalty='mcp' is not one that ClassifierGLM"),
        ({"penalty": "group_lasso"}, ValueError, "feature_groups is needed"),
        ({"penalty_factors": pg.FactorSearch()}, ValueError, "ClassifierGLM does not search for factors"),
        ({"device": ["cpu", "cpu"]}, ValueError, "ClassifierGLM works on one device"),
        ({"precision": "float16"}, ValueError, "precision='float16'"),
        ({"fit_intercept": "yes"}, ValueError, "fit_intercept='yes'"),
        ({"tol": 0}, ValueError, "tol=0 must be above 0"),
        (
            {"feature_mask": np.ones((2, 2), bool)},
            ValueError,
            "2 columns for 1 response; .* all classes of the resp",
        ),
        ({"penalty_factors": np.ones((8, 2))}, ValueError, "2 columns for 1 response; give one factor per group"),
    ],
)
def test_settings_that_cannot_be(settings, error, said):
    with pytest.raises(error, match=said):
        fit(TEXT, **settings)


def test_strengths_and_weights_have_a_column_per_response():
    with pytest.raises(ValueError, match="lambdas has 2 columns for 1 response; give one column per response"):
        quietly(pg.ClassifierGLM(lambdas=np.ones((2, 2))), X, TEXT)
    with pytest.raises(ValueError, match="one per sample and response"):
        quietly(pg.ClassifierGLM(lambdas=[0.1]), X, TEXT, sample_weight=np.ones((120, 2)))


def test_labels_that_the_fit_did_not_have():
    model = fit(pd.DataFrame({"state": TEXT, "side": np.where(CODES > 0, "l", "r")}))
    strange = pd.DataFrame({"state": TEXT, "side": np.where(CODES > 0, "l", "r")}).astype(object)
    strange.iloc[3, 0] = "zzz"
    with pytest.raises(ValueError, match=r"'zzz' for response 'state' in row 3, .* its classes are 'a', 'b', 'c'"):
        model.score(X, strange)
    strange.iloc[3, 0] = "l"  # a class of the other response
    with pytest.raises(ValueError, match="'l' for response 'state' in row 3"):
        model.evaluate(X, strange)
    with pytest.raises(ValueError, match="y has 1 responses; the model was fitted to 2"):
        model.score(X, TEXT)
    with pytest.raises(ValueError, match="lacks response 'side'"):
        model.score(X, strange.rename(columns={"side": "other"}))


def test_rows_are_found_by_their_labels():
    times = pd.Index(np.arange(120) / 10)
    table, y = pd.DataFrame(X, index=times), pd.Series(TEXT, index=times)
    model = fit(TEXT)
    other = quietly(pg.ClassifierGLM(lambdas=[0.1]), table, y.iloc[::-1])
    np.testing.assert_array_equal(other.coef_, model.coef_)
    with pytest.raises(ValueError, match="different row labels"):
        quietly(pg.ClassifierGLM(lambdas=[0.1]), table, y.set_axis(times + 0.05))


def test_models_that_are_not_fitted_say_so():
    for call in (
        lambda m: m.predict(X),
        lambda m: m.score(X, TEXT),
        lambda m: m.to_xarray(),
        lambda m: m.select(X, TEXT),
    ):
        with pytest.raises(ValueError, match="not fitted yet"):
            call(pg.ClassifierGLM())
    with pytest.raises(ValueError, match="not fitted yet"):
        pg.ClassifierGLMCV().predict_proba_held_out(X)
    with pytest.raises(AttributeError, match="has no predict_held_out; predict_proba_held_out has the probabilities"):
        pg.ClassifierGLMCV().predict_held_out(X)


def test_few_samples_of_a_class_are_counted():
    y = TEXT.astype(object)
    y[:3] = "rare"
    with pytest.warns(pg.PopglmWarning, match="1 class has fewer than 10 samples, such as rare of neuron0"):
        pg.ClassifierGLM(lambdas=[0.1]).fit(X, y)


def test_fits_that_end_too_early_are_named():
    with pytest.warns(pg.ConvergenceWarning, match=r"1 response \(neuron0"):
        pg.ClassifierGLM(tol=1e-9, max_iter=2, precision="float64").fit(X, TEXT)
