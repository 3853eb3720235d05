"""Measured tuning by trial type, of one neuron and of a population."""

import warnings

import numpy as np
import pytest
from labelled_results import POSITIONS, bands, labelled_line, tuning_dataset
from matplotlib.collections import QuadMesh
from numpy.testing import assert_allclose

import popglm as pg
from popglm.plot import place_map, psth, tuning_curves

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


def test_levels_are_written_as_short_as_can_be():
    ax = tuning_curves(with_predictions(tuning_dataset(2, levels=(0.0, 0.25))), axis="position")
    assert [text.get_text() for text in ax.get_legend().get_texts()] == ["0", "0.25", "predicted"]


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


def with_predictions(data):
    return data.assign(predicted=data["average"] + 0.5, predicted_sem=data["sem"])


@pytest.mark.parametrize("n_neurons", [1, 30, 500])
def test_predictions_are_dashed_in_the_colour_of_what_was_recorded(n_neurons):
    data = with_predictions(tuning_dataset(n_neurons)).assign_attrs(units="per second")
    ax = tuning_curves(data, axis="position")
    dashed = [line for line in ax.lines if line.get_linestyle() == "--" and len(line.get_xdata())]
    for k, (level, line) in enumerate(zip(("-1", "1"), dashed, strict=True)):
        assert_allclose(line.get_ydata(), (data["predicted"][k, :25]).mean("neuron"))
        assert line.get_color() == labelled_line(ax, level).get_color()
    assert [text.get_text() for text in ax.get_legend().get_texts()] == ["-1", "1", "predicted"]
    assert ax.get_ylabel() == "Activity (per second)"
    ax.figure.canvas.draw()


def test_one_type_of_trial_is_recorded_and_predicted():
    data = with_predictions(tuning_dataset(1)).isel(cue=0, drop=True)
    ax = tuning_curves(data, axis="position")
    assert [text.get_text() for text in ax.get_legend().get_texts()] == ["recorded", "predicted"]
    assert_allclose(labelled_line(ax, "predicted").get_ydata(), data["predicted"][:25, 0])


def test_neurons_without_an_average_are_not_counted():
    data = tuning_dataset(12)
    data["average"][:, :, 4] = np.nan
    assert tuning_curves(data, axis="position").get_title() == "11 of 12 neurons, mean ± s.e.m."


@pytest.mark.parametrize("n_neurons", [1, 30])
def test_activity_around_an_event(n_neurons):
    rng = np.random.default_rng(0)
    activity, events = rng.poisson(1.0, (400, n_neurons)).astype(float), np.arange(400) % 20 == 10
    trial = np.arange(400) // 20
    data = pg.psth(activity, events, before=0.3, after=0.5, dt=0.1, trial=trial, predicted=np.ones((400, n_neurons)))
    ax = psth(data)
    windows = activity.reshape(20, 20, n_neurons)[:, 7:16] / 0.1
    line = labelled_line(ax, "recorded")
    assert_allclose(line.get_xdata(), np.arange(-3, 6) / 10)
    assert_allclose(line.get_ydata(), windows.mean(axis=(0, 2)))
    assert_allclose(labelled_line(ax, "predicted").get_ydata(), 10.0)
    ((_, low, high),) = bands(ax)
    spread = windows.mean(axis=0).std(axis=1, ddof=1) if n_neurons > 1 else windows[..., 0].std(axis=0, ddof=1)
    assert_allclose((high - low) / 2, spread / np.sqrt(n_neurons if n_neurons > 1 else 20))
    assert ax.get_xlabel() == "Time from event (s)"
    assert ax.get_ylabel() == "Activity (per second)"
    with pytest.raises(ValueError, match=r"psth must be what popglm\.psth returns, with 'n_events'"):
        psth(tuning_dataset(2))


def test_neurons_of_which_nothing_is_known_have_the_axis_of_their_neighbours():
    activity = np.column_stack([np.ones(60), np.full(60, np.nan)])
    around = pg.psth(activity, np.arange(60) % 20 == 10, before=3, after=5)
    limits = {psth(around, neurons=name).get_xlim() for name in ("neuron0", "neuron1")}
    ((left, right),) = limits
    assert -3.2 < left <= -3
    assert 5 <= right < 5.2
    assert psth(around, neurons="neuron1").get_title() == "nothing known of neuron1"
    data = tuning_dataset(2)
    data["average"][:, :10, 0] = np.nan
    data["sem"][:, :10, 0] = np.nan
    assert len({tuning_curves(data, axis="position", neurons=name).get_xlim() for name in ("neuron0", "neuron1")}) == 1


def test_the_axis_says_what_the_event_is():
    activity, lick = np.ones(20), np.arange(20) % 5 == 1
    window = {"before": 0, "after": 2}
    assert psth(pg.psth(activity, lick, **window)).get_xlabel() == "Time from event (samples)"
    started = psth(pg.psth(activity, trial=np.arange(20) // 5, dt=0.1, **window))
    assert started.get_xlabel() == "Time from start of trial (s)"


def test_a_bin_between_empty_ones_is_a_dot():
    data = tuning_dataset(1)
    data["average"][:, [5, 7]] = np.nan
    (dotted, _) = (line for line in tuning_curves(data, axis="position").lines if line.get_label() in ("-1", "1"))
    assert list(dotted.get_markevery()) == [4, 6]  # the fourth bin is empty, too
    assert dotted.get_marker() == "."


@pytest.mark.parametrize("n_neurons", [1, 30, 500])
def test_every_row_of_a_place_map_is_a_cell_up_to_its_peak(n_neurons):
    data = tuning_dataset(n_neurons, levels=(1,)).sel(cue=1, drop=True)
    ax = place_map(data, axis="position")
    image = next(artist for artist in ax.collections if isinstance(artist, QuadMesh))
    rates = data["average"].values[:25].T
    peaks = np.nanargmax(rates, axis=1)
    rows = np.argsort(peaks, kind="stable")
    expected = rates[rows] / np.nanmax(rates, axis=1)[rows, None]
    assert_allclose(np.ma.filled(image.get_array(), np.nan), expected)
    assert_allclose(image.get_clim(), [0, 1])
    assert_allclose(image.get_coordinates()[0, :, 0], np.linspace(5, 255, 26))
    labels = [label.get_text() for label in ax.get_yticklabels()]
    if n_neurons <= 30:
        assert labels == data["neuron"].values[rows].tolist()
    else:
        assert ax.get_ylabel() == "Cell, sorted by peak"
    assert ax.get_xlabel() == "position (cm)"
    assert ax.get_title() == ("neuron0" if n_neurons == 1 else f"{n_neurons} neurons")
    ax.figure.canvas.draw()


def test_a_place_map_in_the_order_of_another_and_cells_without_a_peak():
    data = with_predictions(tuning_dataset(5, levels=(1,)).sel(cue=1, drop=True))
    data["average"][:, 2] = 0.0
    data["predicted"][:] = data["predicted"].values[:, ::-1]
    ax = place_map(data, axis="position", quantity="predicted", order=data)
    labels = [label.get_text() for label in ax.get_yticklabels()]
    assert labels == [label.get_text() for label in place_map(data, axis="position").get_yticklabels()]
    assert labels[-1] == "neuron2"
    # a null model predicts one rate everywhere, those of several folds nearly one, and has no place
    data["predicted"][:, 0] = np.linspace(3.0, 3.1, data.sizes["bin"])
    ax = place_map(data, axis="position", quantity="predicted")
    assert ax.get_yticklabels()[-1].get_text() == "neuron0"
    image = next(artist for artist in ax.collections if isinstance(artist, QuadMesh))
    assert (np.ma.filled(image.get_array(), 0)[-1] == 0).all()
    with pytest.raises(ValueError, match=r"several types of trial along 'cue'; choose one, as with \.sel\(cue="):
        place_map(tuning_dataset(3))
    with pytest.raises(ValueError, match="order must be of the same bins"):
        place_map(data, axis="position", order=data.isel(bin=slice(0, 20)))
