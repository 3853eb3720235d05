"""A picture's complaint about an argument is one sentence of its own, and names the argument."""

import numpy as np
import pandas as pd
import pytest
from complaints import assert_complaint
from labelled_results import contribution_dataset, kernel_datasets, tuning_dataset

from popglm import plot as pp
from popglm.plot import (
    deviance_cumulative,
    deviance_histogram,
    explained_and_null_deviance,
    predicted_and_recorded,
)

TUNING, KERNELS, SHARES = tuning_dataset(3).isel(cue=0), kernel_datasets(3), contribution_dataset(3)
TWO_TRIALS = pd.DataFrame({"speed": np.arange(20.0), "trial": np.repeat([0, 1], 10)})
NO_NAMES = [np.array([1, 2]), pd.NA, pd.DataFrame(), 3, object()]
NO_NUMBERS = [object(), {"a": 1}, "text", 3, [pd.NA, object()]]


def wrong_calls():
    """(argument, call, wrong values)."""
    position = {"axis": "position"}
    yield "unit", lambda v: pp.tuning_curves(TUNING, **position, unit=v), NO_NAMES
    yield "unit", lambda v: predicted_and_recorded([0, 1], [0, 1], unit=v), NO_NAMES
    yield "axis", lambda v: pp.tuning_curves(TUNING, axis=v), NO_NAMES
    yield "quantity", lambda v: pp.kernel_curves(KERNELS, group="position", quantity=v), [*NO_NAMES, [], {}]
    yield "quantity", lambda v: pp.contribution_distribution(SHARES, quantity=v), [*NO_NAMES, [], {}]
    yield "pooled", lambda v: pp.contributions_over_bins(SHARES, **position, pooled=v), NO_NAMES
    yield "neuron", lambda v: pp.tuning_curves(v, **position), [TUNING.isel(neuron=[])]
    yield "bin", lambda v: pp.tuning_curves(v), [TUNING.isel(bin=[])]
    yield "neuron", lambda v: pp.kernel_image(v, group="position"), [{"position": KERNELS["position"].isel(neuron=[])}]
    yield "columns", lambda v: explained_and_null_deviance(v), [pd.DataFrame()]
    yield "columns", lambda v: deviance_histogram(v), [pd.DataFrame()]
    yield "values", lambda v: deviance_cumulative(v), [object(), "text", [], [pd.NA, object()]]
    flat = [np.zeros((3, 3, 3)), np.zeros((3, 1)), -1, True, [True, False], np.array([True])]
    yield "values must be fractions", lambda v: deviance_histogram(v), flat
    yield "values must be fractions", lambda v: deviance_cumulative({"test": v}), flat
    yield "recorded", lambda v: predicted_and_recorded(v, [0, 1]), NO_NUMBERS
    yield "predicted", lambda v: predicted_and_recorded([0, 1], v), NO_NUMBERS
    yield "time", lambda v: predicted_and_recorded([0, 1], [0, 1], v), NO_NUMBERS
    yield "trial", lambda v: predicted_and_recorded([0, 1], [0, 1], trial=v), [{"a": 1}, 3, TWO_TRIALS]
    yield "session", lambda v: pp.session_overview(v, np.ones(20)), [object(), None, 3]
    yield "activity", lambda v: pp.session_overview(TWO_TRIALS, v), [*NO_NUMBERS, np.zeros((0, 3)), np.zeros((20, 0))]
    yield "variables", lambda v: pp.session_overview(TWO_TRIALS, np.ones(20), variables=v), [object(), 3, [3], []]
    first = "give the session first, then the activity of the neurons"
    activity = pd.DataFrame(np.ones((20, 2)), columns=["n0", "n1"])
    yield first, lambda v: pp.session_overview(v, TWO_TRIALS), [np.ones((20, 2)), np.ones(20)]
    yield first, lambda v: pp.session_overview(v, TWO_TRIALS, trial="trial"), [activity, np.ones(20)]
    yield first, lambda v: pp.session_overview(activity, TWO_TRIALS, variables=v), ["speed", iter(["speed"])]
    yield "nearest names: 'speed'", lambda v: pp.session_overview(TWO_TRIALS, activity, variables=v), [["spee"]]


WRONG = [(name, call, value) for name, call, values in wrong_calls() for value in values]


@pytest.mark.parametrize(
    ("name", "call", "value"), WRONG, ids=[f"{k}-{name}-{type(v).__name__}" for k, (name, _, v) in enumerate(WRONG)]
)
def test_wrong_arguments_are_named_in_one_sentence_of_its_own(name, call, value):
    assert_complaint(name, call, value)
