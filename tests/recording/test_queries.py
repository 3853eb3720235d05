"""Queries: the rows that pandas finds, and nothing that could run code."""

import numpy as np
import pandas as pd
import pytest

from popglm.recording.neuron_query import select

UNITS = pd.DataFrame(
    {
        "quality": ["good", "mua", None, "good", "noise"],
        "depth": [100.0, np.nan, 300.0, -50.0, 0.0],
        "iscell": [True, False, True, True, False],
        "is_accepted": [1, 0, 1, 0, 1],
        "peak channel": [3, 5, 7, 9, 11],
    },
    index=["a", "b", "c", "d", "e"],
)


@pytest.mark.parametrize(
    "query",
    [
        "quality == 'good'",
        "depth < 100",
        "0 <= depth <= 100",
        "not depth < 100",
        "iscell and depth > 0",
        "iscell or (depth == 0 and is_accepted == 1)",
        "quality in ['good', 'mua']",
        "quality not in ('good', 'mua')",
        "`peak channel` >= 7",
        "depth != 100",
        "depth == -50",
        "depth < `peak channel`",
    ],
)
def test_rows_are_those_that_pandas_finds(query):
    np.testing.assert_array_equal(select(UNITS, query), UNITS.eval(query).to_numpy(dtype=bool, na_value=False))


def test_flags_count_by_themselves():
    assert select(UNITS, "is_accepted").tolist() == [True, False, True, False, True]
    assert select(UNITS.assign(iscell=[True, None, False, True, None]), "iscell").tolist() == [1, 0, 0, 1, 0]
    assert select(UNITS, "True").all()


def test_columns_of_pandas_own_types_leave_missing_values_out():
    table = UNITS.convert_dtypes()
    assert select(table, "quality == 'good'").tolist() == [True, False, False, True, False]
    assert select(table, "depth < 1000").tolist() == [True, False, True, True, True]


@pytest.mark.parametrize(
    "query",
    [
        "__import__('os').getcwd()",
        "quality.str.contains('g')",
        "UNITS['quality']",
        "(lambda: True)()",
        "[x for x in depth]",
        "depth + 1 > 0",
        "@depth > 0",
        "depth if iscell else 0",
        "f'{depth}' == 'a'",
        "depth := 1",
        "depth is None",
        "quality in depth",
        "'good'",
        "1",
        "",
        " ",
        "(",
        "a" * 3_000,
    ],
)
def test_what_is_no_comparison_is_refused(query):
    with pytest.raises(ValueError, match="query"):
        select(UNITS, query)


def test_an_unknown_column_is_told_with_its_nearest_name():
    with pytest.raises(ValueError, match="'qualty', which is no column; nearest names: 'quality'"):
        select(UNITS, "qualty == 'good'")


def test_a_column_that_is_no_flag_must_be_compared():
    with pytest.raises(ValueError, match=r"takes 'depth' for a condition, but it holds 100\.0"):
        select(UNITS, "depth")


def test_what_cannot_be_compared_is_told():
    with pytest.raises(ValueError, match="compares what cannot be compared"):
        select(UNITS, "depth < quality")


def test_a_text_is_no_number():
    with pytest.raises(ValueError, match="compares text with the number 3; write it in quotes"):
        select(UNITS, "quality == 3")
    with pytest.raises(ValueError, match="compares text with the number 3; write it in quotes"):
        select(UNITS, "quality in ['good', 3]")


@pytest.mark.parametrize("query", ["depth == '100'", "'100' != depth", "depth in [100, '100']"])
def test_a_number_is_no_text(query):
    with pytest.raises(ValueError, match="compares numbers with the text '100'; write a number, without quotes"):
        select(UNITS, query)
    with pytest.raises(ValueError, match="compares truth values with the text 'yes'; write True or False"):
        select(UNITS, "iscell == 'yes'")


def test_a_column_without_known_values_is_compared_with_anything():
    assert not select(pd.DataFrame({"area": [np.nan, np.nan]}), "area == 'CA1'").any()
