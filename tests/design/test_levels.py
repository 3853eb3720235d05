"""Categories are matched by value, whatever type the labels come in; no byte order or pandas type is a problem."""

import warnings

import numpy as np
import pandas as pd
import pytest

from popglm.design import Design, categories, linear, shifts
from popglm.warnings import PopglmWarning


def one_hot(fitted_on, seen, **options):
    design = Design([categories("c", **options)], standardize=False).fit({"c": fitted_on})
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        return design.transform({"c": seen}).to_numpy()


BOOLEANS = {
    "list": [True, False],
    "numpy": np.array([True, False]),
    "int": np.array([1, 0]),
    "big-endian": np.array([1, 0], ">i4"),
    "float": np.array([1.0, 0.0]),
    "float16": np.array([1, 0], np.float16),
    "boolean": pd.array([True, False], dtype="boolean"),
    "Int64": pd.array([1, 0], dtype="Int64"),
    "categorical": pd.Categorical([1, 0]),
    "object": np.array([True, 0], dtype=object),
    "spelled": ["1", "0"],
    "bytes": np.array([b"1", b"0"]),
}


@pytest.mark.parametrize("seen", BOOLEANS.values(), ids=BOOLEANS)
@pytest.mark.parametrize("fitted_on", BOOLEANS.values(), ids=BOOLEANS)
def test_true_is_one_in_every_type(fitted_on, seen):
    np.testing.assert_array_equal(one_hot(fitted_on, seen), [[0, 1], [1, 0]])


TENTHS = np.array([0.1, 0.3, 1 / 3])


@pytest.mark.parametrize("fitted_on", [np.float32, np.float64, ">f4", ">f8"])
@pytest.mark.parametrize("seen", [np.float16, np.float32, np.float64, ">f4", "Float32", "Float64"])
def test_floats_of_less_precision_match_the_level_that_rounds_to_them(fitted_on, seen):
    seen = pd.array(TENTHS, dtype=seen) if isinstance(seen, str) and seen[0] == "F" else TENTHS.astype(seen)
    np.testing.assert_array_equal(one_hot(TENTHS.astype(fitted_on), seen), np.eye(3))


def test_half_precision_levels_read_well():
    design = Design([categories("c")], standardize=False).fit({"c": np.array([0.1, 2.5], np.float16)})
    assert [float(level) for level in design.terms_["c"].feature_names()] == pytest.approx([0.1, 2.5])
    np.testing.assert_array_equal(design.transform({"c": [0.1, 2.5]}), np.eye(2))


TEXTS = {
    "list": ["left", "right"],
    "numpy": np.array(["left", "right"]),
    "bytes": np.array([b"left", b"right"]),
    "python bytes": [b"left", b"right"],
    "object": np.array([np.str_("left"), "right"], dtype=object),
    "string": pd.array(["left", "right"], dtype="string"),
    "categorical": pd.Categorical(["left", "right"]),
    "Index": pd.Index(["left", "right"]),
}


@pytest.mark.parametrize("seen", TEXTS.values(), ids=TEXTS)
@pytest.mark.parametrize("fitted_on", TEXTS.values(), ids=TEXTS)
def test_text_is_text_in_every_type(fitted_on, seen):
    np.testing.assert_array_equal(one_hot(fitted_on, seen), np.eye(2))
    np.testing.assert_array_equal(one_hot(fitted_on, seen, levels=["right", "left"]), np.eye(2)[::-1])


def test_values_that_could_be_two_levels_are_neither():
    fitted_on = np.array([1e9 + 1, 1e9 + 2])  # the same in float32
    design = Design([categories("c")], standardize=False).fit({"c": fitted_on})
    with pytest.warns(PopglmWarning, match="no sample of 'c' has a known category"):
        assert (design.transform({"c": fitted_on.astype(np.float32)}) == 0).all(axis=None)
    design = Design([categories("c", levels=["1", "1.0", "2"])], standardize=False).fit({"c": ["1"]})
    np.testing.assert_array_equal(design.transform({"c": [1, 2]}), [[0, 0, 0], [0, 0, 1]])
    large = np.array([2**60, 2**60 + 1])  # integers keep all their digits
    np.testing.assert_array_equal(one_hot(large, large[::-1]), np.eye(2)[::-1])


def test_no_known_category_is_worth_one_warning():
    design = Design([categories("c"), categories("c", name="again") * "v"]).fit(
        {"c": ["a", "b"] * 9, "v": np.arange(18)}
    )
    with pytest.warns(PopglmWarning) as caught:
        X = design.transform({"c": ["A", "B", None], "v": [1, 2, 3]})
    assert (X == 0).all(axis=None)
    assert [str(w.message) for w in caught] == [
        "samples that the design was not fitted to, of new data or kept for a test, differ from those of its fit: "
        "no sample of 'c' has a known category: it holds 'A', 'B', the known ones are 'a', 'b'"
    ]
    assert caught[0].filename == __file__
    report = design.report({"c": ["A", "b", None], "v": [1, 2, 3]})
    assert report.loc["c", ["unknown", "outside"]].tolist() == pytest.approx([2 / 3, 1 / 3])
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        design.transform({"c": ["A", "a"], "v": [1, 2]})
        design.transform({"c": [None, None], "v": [1, 2]})  # missing, and not of another kind


@pytest.mark.parametrize(
    "labels",
    [
        np.array([7, 7, 9, 9], ">i4"),
        np.array([7, 7, 9, 9], ">f8"),
        np.array([b"x", b"x", b"y", b"y"]),
        np.array([7, 7, 9, 9], np.float16),
        pd.array([7, 7, 9, 9], dtype="Int64"),
        pd.Categorical([9, 9, 7, 7]),
        pd.Series(np.array([7, 7, 9, 9], ">i8")),
    ],
    ids=lambda labels: str(labels.dtype),
)
def test_trials_and_numbers_of_any_type(labels):
    values = np.arange(4.0)
    for x in (
        values.astype(">f4"),
        values.astype(">i2"),
        values.astype(np.float16),
        pd.Categorical(values.astype(int)),
    ):
        design = Design([linear("x"), shifts("x", [1])], trial="t", standardize=False)
        X = design.fit_transform({"x": x, "t": labels})
        np.testing.assert_array_equal(X, [[0, 0], [1, 0], [2, 0], [3, 2]])
        frame = pd.DataFrame({"x": x, "t": labels})
        np.testing.assert_array_equal(design.fit_transform(frame), X)


def test_missing_labels_of_trials_are_named_in_every_type():
    for labels in (pd.array([1, None], dtype="Int64"), pd.Categorical(["a", None]), [1.0, np.nan]):
        with pytest.raises(ValueError, match=r"trial variable 't' is missing .* in row 1"):
            Design([linear("x")], trial="t").fit({"x": [1.0, 2.0], "t": labels})


@pytest.mark.parametrize("large", [2**128 - 1, 10**400], ids=["of 128 bits", "beyond floats"])
def test_whole_numbers_beyond_all_types_of_numpy_are_categories(large):
    labels = [large, large - 1, 7]
    np.testing.assert_array_equal(one_hot(labels, labels), [[0, 0, 1], [0, 1, 0], [1, 0, 0]])
    np.testing.assert_array_equal(one_hot(labels, [7, large - 1], levels=labels), [[0, 0, 1], [0, 1, 0]])
