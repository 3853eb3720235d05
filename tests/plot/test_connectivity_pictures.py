"""The matrix of couplings: its colours are the numbers, 0 is in their middle, and names stand where they have room."""

from itertools import pairwise

import matplotlib.pyplot as plt
import numpy as np
import pytest
from complaints import assert_complaint
from matplotlib.collections import QuadMesh
from numpy.testing import assert_allclose
from statistics_results import connectivity_dataset

from popglm.plot import connectivity


def mesh(ax):
    return next(artist for artist in ax.collections if isinstance(artist, QuadMesh))


def others(values):
    """Of different neurons, where they are known."""
    apart = values[~np.eye(len(values), dtype=bool)]
    return apart[~np.isnan(apart)]


@pytest.mark.parametrize("quantity", ["net", "norm", "peak", "gain"])
def test_a_row_is_a_source_and_a_column_a_target(quantity):
    found = connectivity_dataset(5)
    ax = connectivity(found, quantity=quantity)
    ax.figure.canvas.draw()
    assert_allclose(mesh(ax).get_array().filled(np.nan), found[quantity].values)
    assert (ax.get_ylabel(), ax.get_xlabel()) == ("Source neuron", "Target neuron")
    for labels in (ax.get_xticklabels(), ax.get_yticklabels()):
        assert [label.get_text() for label in labels] == [f"neuron{j}" for j in range(5)]
    assert ax.get_ylim() == (5.5, 0.5)  # the first source on top
    assert ax.get_title().replace("\n", " ") == "5 neurons, grey: left out"


def test_no_coupling_is_white_and_what_neurons_do_to_themselves_may_lie_beyond():
    found = connectivity_dataset(5)
    image = mesh(connectivity(found))
    assert_allclose(image.get_clim(), np.array([-1, 1]) * np.abs(others(found["net"].values)).max())
    assert image.colorbar.extend == "min"
    assert_allclose(image.to_rgba(0.0)[:3], 1, atol=0.05)
    factors = mesh(connectivity(found, quantity="gain"))
    assert_allclose(np.log(factors.get_clim()), np.array([-1, 1]) * np.abs(others(found["peak"].values)).max())
    assert_allclose(factors.to_rgba(1.0)[:3], 1, atol=0.05)
    bar = mesh(connectivity(found, quantity="norm")).colorbar
    assert bar.ax.get_ylim()[0] == 0
    assert bar.extend == "max"


def test_few_couplings_among_hundreds_of_neurons_have_colours():
    found = connectivity_dataset(300)
    found["net"] = found["net"] * (np.random.default_rng(1).random((300, 300)) < 0.005)
    ax = connectivity(found)
    ax.figure.canvas.draw()
    some = others(found["net"].values)
    assert_allclose(mesh(ax).get_clim()[1], np.quantile(np.abs(some[some != 0]), 0.99))
    for axis, side in ((ax.xaxis, "width"), (ax.yaxis, "height")):
        assert_allclose(axis.get_ticklocs(), np.rint(axis.get_ticklocs()))
        assert 3 <= len(axis.get_ticklocs()) <= 10
        assert getattr(ax.get_window_extent(), side) >= 300  # a pixel for each neuron


def test_names_do_not_overlap():
    for n_neurons in (12, 30):
        ax = connectivity(connectivity_dataset(n_neurons))
        ax.figure.canvas.draw()
        for labels, ends in ((ax.get_xticklabels(), ("x0", "x1")), (ax.get_yticklabels(), ("y0", "y1"))):
            assert len(labels) == n_neurons
            spans = sorted(tuple(getattr(label.get_window_extent(), end) for end in ends) for label in labels)
            assert all(before[1] <= after[0] for before, after in pairwise(spans))
    _, small = plt.subplots(figsize=(2.5, 2.0))
    assert "neuron11" not in [
        label.get_text() for label in connectivity(connectivity_dataset(30), small).get_xticklabels()
    ]


def test_chosen_neurons_and_labels():
    found = connectivity_dataset(12, rated=False)
    ax = connectivity(found, sources=["neuron3", "neuron1"], targets="neuron1*")
    assert_allclose(mesh(ax).get_array(), found["net"].sel(source=["neuron3", "neuron1"]).values[:, [1, 10, 11]])
    assert ax.get_title().replace("\n", " ") == "2 source and 3 target neurons"
    assert mesh(ax).colorbar.ax.get_ylabel().replace("\n", " ") == "Net coupling (change of linear predictor)"
    own = connectivity(found, sources="neuron3", targets="neuron3")
    assert_allclose(mesh(own).get_clim(), [-2, 2])
    assert own.get_title() == "neuron3"
    own.figure.canvas.draw()


def test_couplings_of_zero_are_white():
    ax = connectivity(connectivity_dataset(3).fillna(0) * 0)
    assert_allclose(mesh(ax).get_clim(), [-1, 1])
    assert ax.get_title() == "3 neurons"
    ax.figure.canvas.draw()


def test_wrong_arguments_are_named():
    found = connectivity_dataset(3)
    for value in (np.ones((3, 3)), found[["net"]], found.isel(source=[])):
        assert_complaint("connectivity", connectivity, value)
    assert_complaint("sources", lambda v: connectivity(found, sources=v), "cell")
    assert_complaint("targets", lambda v: connectivity(found, targets=v), 3)
    assert_complaint("quantity", lambda v: connectivity(found.drop_vars("gain"), quantity=v), "gain")
