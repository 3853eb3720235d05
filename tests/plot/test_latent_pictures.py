"""The picture of latent signals: two columns each, in shares of their largest entry, and a row for every neuron."""

import numpy as np
import pytest
from complaints import assert_complaint
from matplotlib.collections import QuadMesh
from numpy.testing import assert_allclose
from statistics_results import latent_dataset

from popglm.plot import latent_couplings


def image(ax):
    return next(artist for artist in ax.collections if isinstance(artist, QuadMesh)).get_array().filled(np.nan)


def test_a_signal_has_two_columns_and_a_neuron_one_row():
    found = latent_dataset(4, rank=3)
    ax = latent_couplings(found)
    ax.figure.canvas.draw()
    names = [f"neuron{j}" for j in range(5)]
    assert [label.get_text() for label in ax.get_yticklabels()] == names
    columns = [f"{k} {what}" for k in (1, 2, 3) for what in ("sends", "hears")]
    assert [label.get_text() for label in ax.get_xticklabels()] == columns
    values = image(ax)
    for k in range(3):
        sends, hears = found["sends"].values[k], found["hears"].values[k]
        assert_allclose(values[:-1, 2 * k], sends / np.abs(sends).max())
        assert_allclose(values[1:, 2 * k + 1], hears / np.abs(hears).max())
    assert np.isnan(values[-1, ::2]).all()
    assert np.isnan(values[0, 1::2]).all()
    assert ax.get_title().replace("\n", " ") == "3 latent signals, 5 neurons, grey: not in the fit"
    assert ax.get_ylim() == (5.5, 0.5)


def test_neurons_are_chosen_by_name_and_hundreds_are_counted():
    ax = latent_couplings(latent_dataset(4, rank=1), neurons=["neuron3", "neuron1"])
    assert [label.get_text() for label in ax.get_yticklabels()] == ["neuron3", "neuron1"]
    assert ax.get_title().replace("\n", " ") == "1 latent signal, 2 neurons"
    assert latent_couplings(latent_dataset(200)).get_ylabel() == "Neuron"


@pytest.mark.parametrize("rank", [1, 2])
def test_a_signal_that_nobody_hears_is_white(rank):
    found = latent_dataset(3, rank)
    assert_allclose(image(latent_couplings(found * 0))[1:-1], 0)


def test_complaints():
    found = latent_dataset(3)
    assert_complaint("latent_couplings", latent_couplings, found["sends"])
    assert_complaint("latent_couplings", latent_couplings, found.drop_vars("hears"))
    assert_complaint("neurons", lambda v: latent_couplings(found, neurons=v), "cell")
