"""What pictures say in words: names, counts, borders of trials, weights that are not there."""

from types import SimpleNamespace

import numpy as np
import pandas as pd
import pytest
from labelled_results import kernel_datasets
from matplotlib.collections import LineCollection
from matplotlib.colors import to_rgb
from matplotlib.patches import StepPatch

from popglm.plot import (
    deviance_histogram,
    deviance_over_strengths,
    explained_and_null_deviance,
    mean_absolute_kernels,
    predicted_and_recorded,
)


def words(ax):
    return [text.get_text() for text in ax.get_legend().get_texts()]


def test_the_curve_of_one_neuron_has_its_name():
    path = np.array([[0.1], [0.3], [0.2]])
    model = SimpleNamespace(
        lambdas_=np.array([1, 0.1, 0.01]), lambda_index_=[1], cv_deviance_explained_path_=path, neuron_names_=["a7"]
    )
    assert words(deviance_over_strengths(model)) == ["a7", "selected"]


@pytest.mark.parametrize(
    ("fractions", "title", "note"),
    [
        ([0.31], "1 of 1 neuron beats the null model", "0.310"),
        ([-0.05], "0 of 1 neuron beat the null model", "-0.050"),
        ([0.1, -0.05], "1 of 2 neurons beats the null model", "median 0.025"),
        ([0.1, 0.2], "2 of 2 neurons beat the null model", "median 0.150"),
    ],
)
def test_a_histogram_counts_in_sentences(fractions, title, note):
    ax = deviance_histogram(fractions)
    assert ax.get_title() == title
    assert [text.get_text() for text in ax.texts] == [note]


@pytest.mark.parametrize(("n", "word"), [(1, "fraction 0.500"), (2, "median fraction 0.500")])
def test_one_fraction_is_no_median(n, word):
    evaluation = pd.DataFrame({"deviance": [50.0] * n, "null_deviance": [100.0] * n})
    assert word in words(explained_and_null_deviance(evaluation))


@pytest.mark.parametrize("n_trials", [3, 100])
def test_borders_of_trials_differ_from_bars(n_trials):
    n = 5 * n_trials
    ax = predicted_and_recorded(np.ones(n), np.ones(n), trial=np.arange(n) // 5)
    assert words(ax) == ["trial begins", "recorded", "predicted"]
    (borders,) = (c for c in ax.collections if isinstance(c, LineCollection))
    (bars,) = (p for p in ax.patches if isinstance(p, StepPatch))
    assert len(borders.get_segments()) == n_trials - 1
    assert borders.get_linestyle()[0][1] is not None  # dashes
    assert to_rgb(bars.get_facecolor())[0] - to_rgb(borders.get_color()[0])[0] > 0.4
    assert bars.get_zorder() < borders.get_zorder() < ax.lines[0].get_zorder()
    assert words(predicted_and_recorded([1, 2], [1, 2], trial=[0, 0])) == ["recorded", "predicted"]


def test_groups_without_weights_are_noted():
    some = kernel_datasets(3)["position"]
    none = some.assign(kernel=0 * some["kernel"])
    assert [text.get_text() for text in mean_absolute_kernels(none).texts] == ["no weights"]
    assert not mean_absolute_kernels(some).texts
    unknown = some.assign(kernel=np.nan * some["kernel"])
    assert words(mean_absolute_kernels({"a": none, "b": some, "c": unknown})) == ["a (no weights)", "b", "c"]
