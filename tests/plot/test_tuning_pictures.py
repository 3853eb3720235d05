"""Measured tuning by trial type, of one neuron and of a population."""

import warnings

import numpy as np
import pytest
from labelled_results import POSITIONS, bands, labelled_line, tuning_dataset
from numpy.testing import assert_allclose

from popglm.plot import tuning_curves

FILLED = np.arange(25) != 3


def check(ax, expected):
    """`expected`: (mean, sem) per curve."""
    for level, (x, low, high), (mean, sem) in zip(("-1", "1"), bands(ax), expected, strict=True):
        line = labelled_line(ax, level)
        assert_allclose(line.get_xdata(), POSITIONS)
        assert_allclose(line.get_ydata(), mean)
        assert_allclose(x, POSITIONS[FILLED])
        assert_allclose(low, (mean - sem)[FILLED])
        assert_allclose(high, (mean + sem)[FILLED])
    assert ax.get_legend().get_title().get_text() == "cue"
    assert ax.get_xlabel() == "position (cm)"


@pytest.mark.parametrize("n_neurons", [1, 5])
def test_one_neuron_has_its_own_average_and_error(n_neurons):
    data = tuning_dataset(n_neurons)
    ax = tuning_curves(data, axis="position", neurons="neuron0", unit="spikes/s")
    check(ax, [(data["average"][k, :25, 0].values, data["sem"][k, :25, 0].values) for k in range(2)])
    assert ax.get_ylabel() == "Activity (spikes/s)"
    ax.figure.canvas.draw()


@pytest.mark.parametrize("n_neurons", [2, 1000])
def test_a_population_has_its_mean_and_the_error_over_neurons(n_neurons):
    data = tuning_dataset(n_neurons)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        ax = tuning_curves(data, axis="position")
        ax.figure.canvas.draw()
    values = data["average"].values[:, :25]
    mean, sem = values.mean(axis=2), values.std(axis=2, ddof=1) / np.sqrt(n_neurons)
    check(ax, zip(mean, sem, strict=True))
    assert ax.get_title() == f"{n_neurons:,} neurons, mean ± s.e.m."


def test_without_trial_types_there_is_one_curve():
    data = tuning_dataset(3).isel(cue=0, drop=True)
    ax = tuning_curves(data, axis="time_from_choice")
    assert_allclose(ax.lines[-1].get_ydata(), data["average"].values[25:].mean(axis=1))
    assert ax.get_legend() is None
    assert ax.get_xlabel() == "time_from_choice (s)"


def test_negative_activity_is_in_the_picture():
    data = tuning_dataset(3) - 5
    ax = tuning_curves(data, axis="position")
    assert ax.get_ylim()[0] < -4
    assert tuning_curves(data + 9, axis="position").get_ylim()[0] == 0


def test_what_is_not_there_is_named_with_what_is():
    data = tuning_dataset(2)
    with pytest.raises(ValueError, match="neurons: nothing is named 'neuron9'; did you mean 'neuron"):
        tuning_curves(data, neurons="neuron9")
    with pytest.raises(ValueError, match="axis must say along what to draw"):
        tuning_curves(data)
    with pytest.raises(ValueError, match=r"what popglm\.tuning returns, with 'sem'"):
        tuning_curves(data.drop_vars("sem"))
