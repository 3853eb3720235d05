"""The pictures: what is drawn is what was given, for one neuron and for many."""

from types import SimpleNamespace

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
import pytest
from labelled_results import contribution_dataset, kernel_datasets, labelled_line, scatters, tuning_dataset
from matplotlib.collections import LineCollection
from matplotlib.colors import to_rgb
from matplotlib.patches import StepPatch
from numpy.testing import assert_allclose
from seen_colours import BLINDNESS, least_distance, seen
from statistics_results import (
    averages,
    calibration_dataset,
    ceiling_table,
    connectivity_dataset,
    decoded_dataset,
    latent_dataset,
    quantiles_dataset,
    types_dataset,
    wald_dataset,
)

from popglm import maze_design, maze_session, psth
from popglm import plot as pp
from popglm.plot import (
    deviance_cumulative,
    deviance_histogram,
    deviance_over_strengths,
    explained_and_null_deviance,
    predicted_and_recorded,
)
from popglm.plot.style import SEVERAL


def model(n_neurons, lambdas=None):
    """The attributes of a fitted GLMCV, with a path that rises and falls."""
    lambdas = 10.0 ** np.linspace(-1, -4, 7) if lambdas is None else lambdas
    rng = np.random.default_rng(1)
    steps = np.arange(len(lambdas))[:, None]
    path = rng.uniform(0, 0.5, n_neurons) * np.sin(np.pi * steps / 7)
    return SimpleNamespace(lambdas_=lambdas, cv_deviance_explained_path_=path, lambda_index_=path.argmax(axis=0))


def drawn(ax, kind):
    return next(artist for artist in ax.get_children() if type(artist) is kind)


@pytest.mark.parametrize("n_neurons", [1, 12, 1000])
def test_every_neuron_has_its_path_and_its_selected_strength(n_neurons):
    fitted = model(n_neurons)
    ax = deviance_over_strengths(fitted)
    paths = np.array(drawn(ax, LineCollection).get_segments())
    assert paths.shape == (n_neurons, 7, 2)
    assert_allclose(paths[0, :, 0], fitted.lambdas_)
    assert_allclose(paths[:, :, 1].T, fitted.cv_deviance_explained_path_)

    dots = next(c for c in ax.collections if c.get_label() == "selected").get_offsets()
    assert_allclose(dots[:, 0], fitted.lambdas_[fitted.lambda_index_])
    assert_allclose(dots[:, 1], fitted.cv_deviance_explained_path_.max(axis=0))

    medians = [line for line in ax.lines if "median" in str(line.get_label())]
    assert len(medians) == (n_neurons > 1)
    for line in medians:
        assert_allclose(line.get_ydata(), np.median(fitted.cv_deviance_explained_path_, axis=1))
    ax.figure.canvas.draw()


def test_neurons_that_stopped_count_with_their_last_value():
    fitted = model(5)
    whole = fitted.cv_deviance_explained_path_.copy()
    fitted.cv_deviance_explained_path_[5:, :3] = np.nan
    whole[5:, :3] = whole[4, :3]
    ax = deviance_over_strengths(fitted)
    assert [len(path) for path in drawn(ax, LineCollection).get_segments()] == [5, 5, 5, 7, 7]
    (median,) = [line for line in ax.lines if "median" in str(line.get_label())]
    assert_allclose(median.get_ydata(), np.median(whole, axis=1))
    assert np.isfinite(ax.get_ylim()).all()


def test_strengths_weaken_from_left_to_right_and_all_are_in_the_picture():
    fitted = model(3)
    left, right = deviance_over_strengths(fitted).get_xlim()
    assert left > fitted.lambdas_[0]
    assert right < fitted.lambdas_[-1]


def test_own_strengths_are_drawn_relative_to_the_largest():
    shared = 10.0 ** np.linspace(0, -3, 7)
    fitted = model(4, lambdas=shared[:, None] * [0.1, 0.2, 0.5, 3.0])
    ax = deviance_over_strengths(fitted)
    assert_allclose(np.array(drawn(ax, LineCollection).get_segments())[:, :, 0], np.tile(shared, (4, 1)))
    assert "max" in ax.get_xlabel()


def test_no_penalty_has_a_place_on_the_axis():
    ax = deviance_over_strengths(model(3, lambdas=np.array([0.1, 0.01, 0.001, 0.0])))
    ax.figure.canvas.draw()
    left, right = ax.get_xlim()
    assert right <= 0 < 0.1 <= left


def test_an_overfitted_neuron_does_not_squeeze_the_others():
    fitted = model(5)
    fitted.cv_deviance_explained_path_[-1, 0] = -1e6
    bottom, top = deviance_over_strengths(fitted).get_ylim()
    assert -0.5 < bottom < 0
    assert top < 0.6


def test_a_model_without_cross_validation_is_told_so():
    with pytest.raises(TypeError, match="GLMCV after fit"):
        deviance_over_strengths(SimpleNamespace(lambdas_=[1.0]))


@pytest.mark.parametrize("n_neurons", [1, 30, 1000])
def test_the_histogram_counts_every_neuron_once(n_neurons):
    values = np.random.default_rng(0).uniform(0, 0.6, n_neurons)
    ax = deviance_histogram(pd.DataFrame({"deviance_explained": values, "deviance": 1.0}))
    assert sum(bar.get_height() for bar in ax.patches) == n_neurons
    assert f"{'median ' * (n_neurons > 1)}{np.median(values):.3f}" in [text.get_text() for text in ax.texts]
    assert ax.get_title().startswith(f"{n_neurons:,} of {n_neurons:,} ")


def test_the_histogram_parts_neurons_at_zero_and_keeps_the_very_bad_ones():
    ax = deviance_histogram([-1e29, -0.01, 0.0, 0.3, 1.0, np.nan])
    bars = [(bar.get_x(), bar.get_x() + bar.get_width(), bar.get_height()) for bar in ax.patches]
    assert sum(height for *_, height in bars) == 4
    assert sum(height for _, right, height in bars if right <= 1e-12) == 1
    assert "← 1 below -0.1" in [text.get_text() for text in ax.texts]
    assert all(right <= 1e-12 or left >= -1e-12 for left, right, _ in bars)
    assert ax.get_xlim()[0] > -0.5
    assert ax.get_title() == "2 of 5 neurons beat the null model"


@pytest.mark.parametrize(
    "values", [[-0.5, -3.0, -0.02], [-0.5, *[-0.09] * 9], [-0.5, *np.linspace(-0.09, 0.6, 30)], [0.1, *[0.6] * 9]]
)
def test_notes_in_the_histogram_hide_no_bar(values):
    ax = deviance_histogram(values)
    ax.figure.canvas.draw()
    bars = [bar.get_window_extent() for bar in ax.patches if bar.get_height()]
    notes = [note.get_window_extent() for note in ax.texts]
    assert not any(note.overlaps(bar) for note in notes for bar in bars)
    assert all(note.x0 >= 0 and note.x1 <= ax.figure.bbox.width for note in notes)
    assert not any(a.overlaps(b) for i, a in enumerate(notes) for b in notes[:i])


def test_a_histogram_without_a_neuron_in_sight():
    ax = deviance_histogram([-0.5, -3.0])
    assert sum(bar.get_height() for bar in ax.patches) == 0
    assert "← 2 below -0.1" in [text.get_text() for text in ax.texts]
    ax.figure.canvas.draw()
    assert "below" not in "".join(text.get_text() for text in deviance_histogram([-0.1, 0.2]).texts)


@pytest.mark.parametrize(
    ("values", "message"),
    [
        (pd.DataFrame({"deviance": [1.0]}), "column 'deviance_explained'.*found 'deviance'"),
        ([np.nan], "no neuron"),
        ([0.2, 3.0], "found 3 at neuron 1"),
    ],
)
def test_a_histogram_of_something_else(values, message):
    with pytest.raises(ValueError, match=message):
        deviance_histogram(values)


@pytest.mark.parametrize("draw", [deviance_histogram, deviance_cumulative])
def test_the_distribution_of_something_else(draw):
    with pytest.raises(ValueError, match="column 'deviance_explained'"):
        draw(pd.DataFrame({"deviance": [1.0]}))


@pytest.mark.parametrize("n_neurons", [1, 1000])
def test_the_cumulative_distribution_steps_up_by_one_neuron(n_neurons):
    values = np.random.default_rng(0).uniform(0, 0.6, n_neurons)
    ax = deviance_cumulative({"a": pd.DataFrame({"deviance_explained": values}), "b": np.r_[values / 2, np.nan]})
    for name, expected in (("a", values), ("b", values / 2)):
        line = labelled_line(ax, name)
        assert_allclose(line.get_xdata()[1:], np.sort(expected))
        assert_allclose(line.get_ydata(), np.arange(n_neurons + 1) / n_neurons)
    assert ax.get_xlabel() == "Fraction deviance explained"
    assert ax.get_ylabel() == "Cumulative fraction of neurons"
    ax.figure.canvas.draw()


def test_the_legend_of_cumulative_distributions_hides_none():
    ax = deviance_cumulative({"training": [0.33], "held out": [0.31]})
    ax.figure.canvas.draw()
    assert not ax.get_legend().get_window_extent().overlaps(ax.get_window_extent())


def test_the_cumulative_distribution_keeps_most_neurons_in_sight():
    left, right = deviance_cumulative([-1e29, -0.01, 0.3]).get_xlim()
    assert -0.2 < left < -0.1
    assert right > 0.3


@pytest.mark.parametrize("n_neurons", [1, 1000])
def test_explained_against_null_deviance(n_neurons):
    rng = np.random.default_rng(0)
    null = rng.lognormal(5, 1, n_neurons)
    fraction = np.r_[0.3, rng.uniform(-0.1, 0.6, n_neurons - 1)]
    data = pd.DataFrame({"deviance": null * (1 - fraction), "null_deviance": null})
    ax = explained_and_null_deviance(pd.concat([data, pd.DataFrame({"deviance": [0.0], "null_deviance": [0.0]})]))
    some = fraction > 0
    dots, *floor = scatters(ax)
    assert_allclose(dots, np.column_stack([null, fraction * null])[some])
    assert len(floor) == (n_neurons > 1)
    for triangles in floor:
        assert_allclose(triangles[:, 0], null[~some])
    line = labelled_line(ax, f"{'median ' * (n_neurons > 1)}fraction {np.median(fraction):.3f}")
    assert_allclose(line.get_ydata() / line.get_xdata(), np.median(fraction))
    left, right = ax.get_xlim()
    assert left < null.min() <= null.max() < right
    assert ax.get_xlabel() == "Null deviance (sum over samples)"
    ax.figure.canvas.draw()


def test_what_is_as_good_as_unexplained_does_not_stretch_the_axis():
    # a null model differs from the mean of the samples by rounding
    data = pd.DataFrame({"deviance": [60.0, 150.0, 80.0 - 1e-9], "null_deviance": [100.0, 200.0, 80.0]})
    ax = explained_and_null_deviance(data)
    assert ax.get_ylim()[0] == 10.0
    ax.figure.canvas.draw()
    legend = ax.get_legend().get_window_extent()
    assert legend.x0 >= 0
    assert legend.x1 <= ax.figure.bbox.width
    assert "below 0.1 % (1)" in ax.get_legend_handles_labels()[1]


def test_explained_deviance_needs_what_evaluate_returns():
    with pytest.raises(ValueError, match="column 'null_deviance', as evaluate returns it; found 'deviance'"):
        explained_and_null_deviance(pd.DataFrame({"deviance": [1.0]}))
    with pytest.raises(ValueError, match="no neuron with a null deviance above 0"):
        explained_and_null_deviance(pd.DataFrame({"deviance": [0.0], "null_deviance": [0.0]}))
    with pytest.raises(TypeError, match="found list"):
        explained_and_null_deviance([1.0])
    ax = explained_and_null_deviance(pd.DataFrame({"deviance": [3.0], "null_deviance": [2.0]}))
    assert "below 0.1 % (1)" in ax.get_legend_handles_labels()[1]
    ax.figure.canvas.draw()


def test_recorded_and_predicted_activity_over_trials():
    recorded, predicted = np.array([0.0, 2, 1, np.nan, 0, 3]), np.array([0.5, 1, 1, 1, 0.2, 2])
    time = np.arange(6) / 10
    ax = predicted_and_recorded(recorded, predicted, time, trial=[1, 1, 1, 2, 2, 2], unit="spikes per bin")
    (line,) = ax.lines
    assert_allclose(line.get_ydata(), np.insert(predicted, 3, np.nan))  # broken between the trials
    assert_allclose(np.delete(line.get_xdata(), 3), time)
    values, edges, _ = drawn(ax, StepPatch).get_data()
    assert_allclose(values, recorded)
    assert_allclose(edges, np.arange(7) / 10 - 0.05)
    boundary = drawn(ax, LineCollection).get_segments()
    assert [segment[0][0] for segment in boundary] == [0.3]
    assert ax.get_ylabel() == "Activity (spikes per bin)"
    assert [text.get_text() for text in ax.get_legend().get_texts()] == ["trial begins", "recorded", "predicted"]
    assert ax.get_ylim()[0] == 0
    ax.figure.canvas.draw()


def test_where_time_is_missing_nothing_is_drawn():
    # two test trials with eight seconds between them
    time = np.r_[0:2:0.1, 10:12:0.1]
    ax = predicted_and_recorded(np.full(40, 2.0), np.full(40, 1.0), time)
    values, edges, _ = drawn(ax, StepPatch).get_data()
    empty = np.flatnonzero(np.isnan(values))
    assert_allclose(edges[[*empty, *(empty + 1)]], [1.95, 9.95])
    (line,) = ax.lines
    assert np.flatnonzero(np.isnan(line.get_ydata())).tolist() == [20]
    ax.figure.canvas.draw()
    image = np.asarray(ax.figure.canvas.buffer_rgba())[..., :3]
    left, right = (ax.transData.transform((t, 0.5)).astype(int)[0] for t in (2.1, 9.8))
    row = image.shape[0] - ax.transData.transform((0, 0.5)).astype(int)[1]
    assert (image[row, left:right] == 255).all()
    assert (image[row, ax.transData.transform((1.0, 0))[0].astype(int)] < 255).all()


@pytest.mark.parametrize("n", [300, 2000, 20_000])
def test_no_event_is_lost_in_a_long_recording(n):
    recorded = np.zeros(n)
    events = np.linspace(0.05 * n, 0.95 * n, 14).astype(int)
    recorded[events] = 20
    ax = predicted_and_recorded(recorded, np.ones(n))
    ax.figure.canvas.draw()
    image = np.asarray(ax.figure.canvas.buffer_rgba())[..., :3]
    places = ax.transData.transform(np.column_stack([events, np.full(14, 10.0)]))
    row = image.shape[0] - int(places[0, 1])
    # grey 0.62 where an event is, or the two pixels that share its line; nothing half-way between two
    darkest = [image[row, int(x) - 1 : int(x) + 2].min() for x in places[:, 0]]
    assert max(darkest) < 215
    assert (image[row, ((places[1:, 0] + places[:-1, 0]) / 2).astype(int)] == 255).all()


def test_the_clock_of_a_day_is_written_out():
    time = 1_048_900 + np.arange(100) * 0.1
    ax = predicted_and_recorded(np.ones(100), np.ones(100), time)
    ax.figure.canvas.draw()
    assert ax.xaxis.get_offset_text().get_text() == ""
    labels = [float(label.get_text()) for label in ax.get_xticklabels()]
    assert_allclose(labels, ax.get_xticks())
    overview = pp.session_overview({"speed": np.ones(100), "t": time}, np.ones(100), time="t")
    overview.figure.canvas.draw()
    assert overview.xaxis.get_offset_text().get_text() == ""


def test_time_must_increase():
    with pytest.raises(ValueError, match="time must hold at least one sample and increase"):
        predicted_and_recorded([0, 1, 2], [0, 1, 2], [0.0, 0.2, 0.1])


def test_lengths_must_agree():
    with pytest.raises(ValueError, match=r"predicted must be 1-D.*\(4,\) beside \(3,\)"):
        predicted_and_recorded([0, 1, 2], [0, 1, 2, 3])
    with pytest.raises(ValueError, match=r"predicted must be 1-D.*\(3, 2\)"):
        predicted_and_recorded([0, 1, 2], np.zeros((3, 2)))


@pytest.mark.parametrize("blindness", BLINDNESS)
def test_colours_can_be_told_apart(blindness):
    lab = seen([to_rgb(color) for color in SEVERAL], blindness)
    assert least_distance(lab) > 20
    assert lab[:, 0].max() < 75  # on white, which is 100


SESSION = maze_session(n_samples=500, n_neurons=2, n_task_variables=1)
DESIGN = maze_design(1)
X = DESIGN.fit_transform(SESSION.behavior)
EVALUATION = pd.DataFrame({"deviance_explained": [0.1], "deviance": [90.0], "null_deviance": [100.0]})
PICTURES = {
    "basis_functions": lambda ax: pp.basis_functions(DESIGN, ax, group="yaw"),
    "breakdown_and_comparison": lambda ax: pp.breakdown_and_comparison(
        contribution_dataset(3), contribution_dataset(3).assign_attrs(kind="comparison"), ax
    ),
    "contribution_distribution": lambda ax: pp.contribution_distribution(contribution_dataset(3), ax),
    "contributions_over_bins": lambda ax: pp.contributions_over_bins(contribution_dataset(3), ax, axis="position"),
    "design_matrix": lambda ax: pp.design_matrix(X, ax),
    "deviance_cumulative": lambda ax: deviance_cumulative([0.1], ax),
    "deviance_histogram": lambda ax: deviance_histogram([0.1], ax),
    "deviance_over_strengths": lambda ax: deviance_over_strengths(model(2), ax),
    "explained_and_null_deviance": lambda ax: explained_and_null_deviance(EVALUATION, ax),
    "full_and_reduced": lambda ax: pp.full_and_reduced(contribution_dataset(3), ax, variable="cue"),
    "kernel_curves": lambda ax: pp.kernel_curves(kernel_datasets(3), ax, group="position"),
    "kernel_image": lambda ax: pp.kernel_image(kernel_datasets(3), ax, group="position"),
    "mean_absolute_kernels": lambda ax: pp.mean_absolute_kernels(kernel_datasets(3), ax),
    "place_map": lambda ax: pp.place_map(tuning_dataset(3).isel(cue=0), ax, axis="position"),
    "psth": lambda ax: pp.psth(psth(np.ones((20, 2)), before=0, after=2, trial=np.arange(20) // 5), ax),
    "predicted_and_recorded": lambda ax: predicted_and_recorded([0, 1], [0, 1], ax=ax),
    "session_overview": lambda ax: pp.session_overview(SESSION.behavior, SESSION.activity, ax),
    "tuning_curves": lambda ax: pp.tuning_curves(tuning_dataset(3), ax, axis="position"),
    "calibration": lambda ax: pp.calibration(calibration_dataset(2), ax=ax),
    "cell_types": lambda ax: pp.cell_types(types_dataset(), ax=ax),
    "connectivity": lambda ax: pp.connectivity(connectivity_dataset(3), ax),
    "latent_couplings": lambda ax: pp.latent_couplings(latent_dataset(3), ax),
    "coefficients": lambda ax: pp.coefficients(wald_dataset(2), ax=ax),
    "group_averages": lambda ax: pp.group_averages(averages(), ax=ax),
    "noise_ceiling": lambda ax: pp.noise_ceiling(ceiling_table(4), ax=ax),
    "posterior": lambda ax: pp.posterior(decoded_dataset(), ax=ax),
    "stacked_contributions": lambda ax: pp.stacked_contributions(contribution_dataset(3, ["cue", "speed"]), ax=ax),
    "time_rescaling": lambda ax: pp.time_rescaling(quantiles_dataset(3), ax=ax),
    "type_stability": lambda ax: pp.type_stability(types_dataset(), ax=ax),
}


@pytest.mark.parametrize("name", pp.__all__)
def test_axes_come_back_and_nothing_else_is_taken_for_axes(name):
    figure, ax = plt.subplots()
    assert PICTURES[name](ax) is ax
    assert plt.get_fignums() == [figure.number]
    assert ax.has_data()
    assert ax.get_xlabel()
    with pytest.raises(TypeError, match="ax must be matplotlib Axes or None; found Figure"):
        PICTURES[name](figure)
    assert PICTURES[name](None).figure is not figure
