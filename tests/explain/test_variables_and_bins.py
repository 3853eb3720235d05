"""Names to groups, values to bins, and what is said when they do not fit."""

import numpy as np
import pandas as pd
import pytest

import popglm as pg
from popglm.explain.binning import check_bins
from popglm.variables import group_columns, resolve_variables

GROUPS = ["position", "position × cue", "position × cho", "time × cue", "speed"]


@pytest.mark.parametrize(
    ("variables", "expected"),
    [
        (None, {group: [group] for group in GROUPS}),
        ("speed", {"speed": ["speed"]}),
        (["speed", "position"], {"speed": ["speed"], "position": ["position"]}),
        ({"cue": "* × cue"}, {"cue": ["position × cue", "time × cue"]}),
        ({"cue": ["time × cue", "position × cue"]}, {"cue": ["position × cue", "time × cue"]}),
        ({"products": lambda group: "×" in group}, {"products": GROUPS[1:4]}),
        (
            {"mixed": ["speed", "time*", lambda group: group == "position"]},
            {"mixed": ["position", "time × cue", "speed"]},
        ),
        (["* × cho"], {"* × cho": ["position × cho"]}),
    ],
)
def test_names_patterns_and_callables(variables, expected):
    assert resolve_variables(variables, GROUPS) == expected


def test_a_group_whose_name_looks_like_a_pattern_is_taken_literally():
    assert resolve_variables({"v": "a[0]"}, ["a[0]", "a0"]) == {"v": ["a[0]"]}


@pytest.mark.parametrize(
    ("variables", "kind", "message"),
    [
        ("sped", ValueError, "no group fits 'sped'. Did you mean 'speed'"),
        ({"cue": "position × ceu"}, ValueError, "Did you mean 'position × cue'"),
        ({"cue": "qqqq"}, ValueError, "The groups are 'position', "),
        (
            {"a": "position*", "b": ["speed", "* × cue"]},
            ValueError,
            "'a' and 'b' overlap: both hold the group 'position × cue'",
        ),
        ({}, ValueError, "variables is empty"),
        ({"a": []}, ValueError, "variables, 'a': it has no groups"),
        ({"a": [3]}, TypeError, "3 is neither the name of a group"),
        (7, TypeError, "variables must be a list of group names"),
    ],
)
def test_what_does_not_fit_is_named(variables, kind, message):
    with pytest.raises(kind) as caught:
        resolve_variables(variables, GROUPS)
    assert message in str(caught.value)


def test_columns_of_groups():
    np.testing.assert_array_equal(group_columns(["c", "a"], ["a", "b", "c"], [1, 2, 2]), [0, 3, 4])


def test_bins_are_half_open_may_overlap_and_leave_nan_out():
    values = pd.Series([0.0, 1.0, 1.999, 2.0, np.nan, 5.0], name="position")
    made = pg.bins(values, centers=[1, 2], half_width=1, unit="cm")
    assert (made.name, made.unit) == ("position", "cm")
    np.testing.assert_array_equal(made.members.toarray(), [[1, 1, 1, 0, 0, 0], [0, 1, 1, 1, 0, 0]])
    np.testing.assert_array_equal(made.counts, [3, 3])


def test_empty_bins_warn_once_and_name_their_centres():
    with pytest.warns(pg.PopglmWarning, match=r"2 of 3 bins of 'time' hold no sample.*: 7, 9") as caught:
        pg.bins([1.0, 1.2], centers=[1, 7, 9], half_width=0.5, name="time")
    assert len(caught) == 1
    assert caught[0].filename == __file__


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"values": [[1.0]], "centers": [1], "half_width": 1}, "shape (n_samples,)"),
        ({"values": ["a"], "centers": [1], "half_width": 1}, "must hold numbers"),
        ({"values": [1.0], "centers": [np.nan], "half_width": 1}, "finite numbers"),
        ({"values": [1.0], "centers": [], "half_width": 1}, "finite numbers"),
        ({"values": [1.0], "centers": [1], "half_width": 0}, "half_width must be a positive number"),
        ({"values": [1.0], "centers": [1], "half_width": [1, 2]}, "half_width must be a positive number"),
    ],
)
def test_bad_bins(arguments, message):
    with pytest.raises(ValueError) as caught:
        pg.bins(**arguments)
    assert message in str(caught.value)


def test_bins_that_do_not_go_with_the_data():
    made = pg.bins([1.0, 2.0], centers=[1], half_width=1)
    with pytest.raises(ValueError, match="made from 2 samples, but the data has 3"):
        check_bins(made, 3)
    with pytest.raises(ValueError, match="two sets of bins are named 'value'"):
        check_bins([made, made], 2)
    with pytest.raises(TypeError, match=r"by must be popglm.bins"):
        check_bins([np.ones(2)], 2)
    assert check_bins(None, 2) is None
