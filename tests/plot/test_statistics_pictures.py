"""Pictures of statistics of fits: calibration, ceilings."""

import numpy as np
import pandas as pd
import pytest
import xarray as xr
from complaints import assert_complaint
from labelled_results import labelled_line, neuron_names, scatters, segments
from numpy.testing import assert_allclose

from popglm import plot


def calibration_dataset(n_neurons, low=0.1, seed=0):
    """What `popglm.calibration` returns."""
    rng = np.random.default_rng(seed)
    predicted = np.sort(rng.uniform(low, 1, (n_neurons, 6)), axis=1)
    predicted[:, 0] = low
    shapes = {"": (("neuron", "bin"), predicted), "pooled_": (("bin",), predicted[0])}
    of_bins = {}
    for prefix, (dims, values) in shapes.items():
        of_bins |= {
            prefix + "predicted": (dims, values),
            prefix + "observed": (dims, 1.2 * values),
            prefix + "standard_error": (dims, 0.1 * values),
            prefix + "n_samples": (dims, np.full(values.shape, 50)),
        }
    lines = {"slope": ("neuron", np.linspace(0.5, 1, n_neurons)), "pooled_slope": 0.876}
    return xr.Dataset(of_bins | lines, coords={"neuron": neuron_names(n_neurons)})


def test_calibration_of_a_population_is_that_of_all_together():
    data = calibration_dataset(40)
    ax = plot.calibration(data)
    dots = labelled_line(ax, "all together,\nslope 0.88")
    assert_allclose(dots.get_xydata().T, [data["pooled_predicted"], data["pooled_observed"]])
    curves, bars = segments(ax)
    assert curves.shape == (40, 6, 2)
    assert_allclose(bars[:, :, 1].T, [1.1 * data["pooled_predicted"], 1.3 * data["pooled_predicted"]])
    assert ax.get_title() == "40 neurons"
    assert ax.get_xscale() == "linear"
    # right predictions lie on the diagonal
    (diagonal,) = [line for line in ax.lines if line.get_color() == "0.6"]
    assert_allclose(*diagonal.get_data())


def test_calibration_of_some_neurons_by_name():
    data = calibration_dataset(30)
    data["slope"][1] = np.nan
    ax = plot.calibration(data, neurons=["neuron0", "neuron1"], unit="spikes/s")
    assert ax.get_legend_handles_labels()[1] == ["neuron0, slope 0.50", "neuron1"]
    assert_allclose(labelled_line(ax, "neuron1").get_xdata(), data["predicted"][1])
    assert ax.get_ylabel() == "Observed (spikes/s)"
    many = plot.calibration(data, neurons="*")
    assert len(many.get_legend_handles_labels()[1]) == 10


def test_rates_that_differ_much_are_drawn_by_their_logarithm():
    data = calibration_dataset(3, low=0.01)
    assert plot.calibration(data).get_xscale() == "log"
    data["predicted"][0, 0] = -0.01  # as a Gaussian model may
    assert plot.calibration(data).get_yscale() == "linear"
    empty = data.assign(n_samples=0 * data["n_samples"])
    plot.calibration(empty).figure.canvas.draw()


@pytest.mark.parametrize("value", [None, xr.Dataset({"predicted": 0.0}), calibration_dataset(1).isel(neuron=[])])
def test_calibration_wants_what_calibration_returns(value):
    assert_complaint("calibration", plot.calibration, value)


def ceiling_table(n_neurons, **columns):
    """What `popglm.noise_ceiling` returns."""
    ceiling = np.linspace(0.1, 0.5, n_neurons)
    table = {
        "explainable": ceiling,
        "explainable_error": 0.02,
        "variance_explained": 0.8 * ceiling,
        "deviance_ceiling": 0.9 * ceiling,
        "deviance_ceiling_low": 0.8 * ceiling,
        "deviance_ceiling_high": ceiling,
        "deviance_explained": 0.5 * ceiling,
    }
    return pd.DataFrame(table | columns, index=pd.Index(neuron_names(n_neurons), name="neuron"))


@pytest.mark.parametrize(("quantity", "label"), [("variance", "variance"), ("deviance", "deviance")])
def test_ceilings_over_what_is_explained(quantity, label):
    table = ceiling_table(20)
    table.iloc[3] = np.nan
    ax = plot.noise_ceiling(table, quantity=quantity)
    most, explained = {
        "variance": ("explainable", "variance_explained"), "deviance": ("deviance_ceiling", "deviance_explained")
    }[quantity]  # fmt: skip
    known = table.dropna()
    assert_allclose(scatters(ax)[0], known[[most, explained]])
    (bars,) = segments(ax)
    ends = [known["explainable"] - 0.02, known["explainable"] + 0.02]
    if quantity == "deviance":
        ends = [known["deviance_ceiling_low"], known["deviance_ceiling_high"]]
    assert_allclose(bars[:, :, 0].T, ends)
    assert ax.get_xlabel() == f"Fraction of {label}\nthat can be explained"
    assert ax.get_title() == "19 of 20 neurons"
    assert ax.get_xlim() == ax.get_ylim()


def test_ceilings_without_predictions_are_in_order():
    table = ceiling_table(6).drop(columns="variance_explained")
    table["explainable_error"] = np.nan
    ax = plot.noise_ceiling(table.sample(frac=1, random_state=0))
    assert_allclose(scatters(ax)[0].T, [np.arange(1, 7), np.linspace(0.5, 0.1, 6)])
    assert ax.get_xlabel() == "Neuron"


def test_wrong_ceilings_are_told():
    for value in (None, np.ones(3), pd.DataFrame({"a": [1.0]}), ceiling_table(0)):
        assert_complaint("ceiling", plot.noise_ceiling, value)
    assert_complaint("quantity", lambda v: plot.noise_ceiling(ceiling_table(3), quantity=v), "power")
    assert_complaint(
        "deviance_ceiling", lambda v: plot.noise_ceiling(v, quantity="deviance"), ceiling_table(3)[["explainable"]]
    )
