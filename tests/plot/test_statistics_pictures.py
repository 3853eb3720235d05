"""Pictures of statistics of fits, and of what is pooled over animals."""

import numpy as np
import pandas as pd
import pytest
import xarray as xr
from complaints import assert_complaint
from labelled_results import bands, labelled_line, scatters, segments
from matplotlib.collections import QuadMesh
from numpy.testing import assert_allclose
from statistics_results import (
    averages,
    calibration_dataset,
    ceiling_table,
    decoded_dataset,
    quantiles_dataset,
    types_dataset,
    wald_dataset,
)

from popglm import plot


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


@pytest.mark.parametrize("n_values", [1, 3, 12])
def test_averages_of_groups_with_their_intervals(n_values):
    data = averages(n_values)
    ax = plot.group_averages(data)
    for k, bars in enumerate(segments(ax)):
        assert_allclose(bars[:, :, 1], np.column_stack([data["lower"][k], data["upper"][k]]))
        assert_allclose(np.rint(bars[:, 0, 0]), [0, 1])
        assert_allclose(labelled_line(ax, f"value{k}").get_ydata(), data["estimate"][k])
    assert [tick.get_text() for tick in ax.get_xticklabels()] == ["PPC", "V1"]
    apart = plot.group_averages(data, differences=True, values="value0")
    assert_allclose(labelled_line(apart, "value0").get_ydata(), data["difference"][0])
    assert [text.get_text() for text in apart.texts] == ["*"]
    assert apart.get_title() == "value0, 95 % intervals"


def test_wrong_averages_are_told():
    assert_complaint("averages", plot.group_averages, None)
    assert_complaint("single group", lambda v: plot.group_averages(v, differences=True), averages(groups=("all",)))
    assert_complaint("differences", lambda v: plot.group_averages(averages(), differences=v), "yes")
    assert_complaint("values", lambda v: plot.group_averages(averages(), values=v), "touch")


def test_types_are_blocks_of_an_image():
    ax = plot.cell_types(types_dataset())
    assert_allclose(ax.images[0].get_array(), [[0.3, 0.0], [0.2, 0.0], [0.1, 0.0], [0.0, 0.4]])
    (border,) = segments(ax)
    assert_allclose(border[0, :, 1], 3.5)
    assert ax.get_title() == "4 neurons, 2 types"
    assert [text.get_text() for text in ax.texts] == ["0", "1"]
    ax.figure.canvas.draw()


def test_stability_over_the_number_of_types():
    ax = plot.type_stability(types_dataset())
    assert_allclose(labelled_line(ax, "neurons").get_ydata(), [1.0, 0.5])
    assert_allclose(labelled_line(ax, "chosen").get_xdata(), [2])
    for picture in (plot.cell_types, plot.type_stability):
        assert_complaint("types", picture, averages())


@pytest.mark.parametrize("n_neurons", [1, 3, 14])
def test_weights_with_their_intervals(n_neurons):
    data = wald_dataset(n_neurons)
    ax = plot.coefficients(data)
    bars = segments(ax)
    assert len(bars) == min(n_neurons, 10)
    for j, own in enumerate(reversed(bars)):
        assert_allclose(own[:, :, 0], np.column_stack([data["lower"][j, :-1], data["upper"][j, :-1]]))
        line = labelled_line(ax, f"neuron{j}")
        assert_allclose(line.get_xdata(), data["coef"][j, :-1])
        assert_allclose(np.rint(line.get_ydata()), [0, 1, 2])
    rings = [line for line in ax.lines if line.get_markerfacecolor() == "none"]
    assert_allclose(np.sort([ring.get_xdata()[0] for ring in rings]), np.sort(data["coef"][:10, -1]))
    assert [tick.get_text() for tick in ax.get_yticklabels()] == ["x0", "x1", "x2", "x3"]
    assert ax.get_title().endswith("90 % intervals")
    some = plot.coefficients(data, neurons="neuron0", features=["x2", "x0"])
    assert_allclose(labelled_line(some, "neuron0").get_xdata(), data["coef"][0, [2, 0]])


def test_rescaled_intervals_of_a_neuron_and_their_band():
    data = quantiles_dataset(3)
    ax = plot.time_rescaling(data, neurons="neuron1")
    assert_allclose(ax.lines[-1].get_xydata().T, [data["quantile"][1], data["probability"]])
    ((x, low, high),) = bands(ax)
    assert_allclose([low, high], [x - 0.15, x + 0.15])


def test_rescaled_intervals_of_many_are_in_units_of_their_limits():
    data = quantiles_dataset(4)
    data["limit"][2] = np.nan
    ax = plot.time_rescaling(data)
    (curves,) = segments(ax)
    kept = data.isel(neuron=[0, 1, 3])
    assert_allclose(curves[..., 0], kept["quantile"])
    assert_allclose(curves[..., 1].T, (kept["probability"] - kept["quantile"]) / kept["limit"])
    assert ax.get_title() == "3 of 4 neurons"


def test_posteriors_over_time_with_what_was_recorded():
    data = decoded_dataset()
    ax = plot.posterior(data, [0.0, 0.1, 0.2, 1.0, 1.1], unit="cm")
    (mesh,) = [one for one in ax.collections if isinstance(one, QuadMesh)]
    drawn = np.ma.filled(mesh.get_array().astype(float), np.nan).reshape(3, 6)
    assert np.isnan(drawn[:, 3]).all()  # the gap
    assert_allclose(np.delete(drawn, 3, axis=1), data["posterior"].T)
    assert_allclose(labelled_line(ax, "recorded").get_ydata(), data["recorded"])
    assert ax.get_ylabel() == "position (cm)"
    backwards = plot.posterior(data.isel(value=[2, 1, 0]))
    (other,) = [one for one in backwards.collections if isinstance(one, QuadMesh)]
    assert_allclose(np.asarray(other.get_array()).reshape(3, 5), data["posterior"].T)
    assert backwards.get_xlabel() == "Sample"


def test_posteriors_of_names():
    data = decoded_dataset(("gabor", "noise", "grey"))
    ax = plot.posterior(data)
    assert_allclose(labelled_line(ax, "recorded").get_ydata(), [0, 1, 1, 2, 0])
    assert [tick.get_text() for tick in ax.get_yticklabels()] == ["gabor", "noise", "grey"]


def test_wrong_statistics_are_told():
    assert_complaint("wald", plot.coefficients, averages())
    assert_complaint("features", lambda v: plot.coefficients(wald_dataset(2), features=v), "touch")
    assert_complaint("quantiles", plot.time_rescaling, pd.DataFrame())
    assert_complaint("decoded", plot.posterior, None)
    for value in ([0, 1], [0, 1, 1, 2, 3], np.ones((5, 2))):
        assert_complaint("time", lambda v: plot.posterior(decoded_dataset(), v), value)
