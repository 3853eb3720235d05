"""Kernels, gains and mean absolute kernels: curves, bands and colours are the numbers of the Datasets."""

import matplotlib.pyplot as plt
import numpy as np
import pytest
from labelled_results import POSITIONS, bands, kernel_datasets, labelled_line, one_kernel_dataset, scatters, segments
from matplotlib.collections import QuadMesh
from numpy.testing import assert_allclose

import popglm as pg
from popglm.plot import basis_functions, kernel_curves, kernel_image, mean_absolute_kernels


def mesh(ax):
    return next(artist for artist in ax.collections if isinstance(artist, QuadMesh))


def dots_of_curves(ax):
    return [line for line in ax.lines if line.get_marker() == "o"]


def spectrotemporal(n_neurons):
    kernel = np.random.default_rng(2).normal(size=(n_neurons, 4, 3))
    return one_kernel_dataset(
        kernel, "sound shifts", lag=("s", [0.0, 0.1, 0.2, 0.3]), frequency=("kHz", [1.0, 2.0, 4.0])
    )


@pytest.mark.parametrize("n_neurons", [1, 3])
def test_a_few_neurons_have_a_curve_each(n_neurons):
    kernels = kernel_datasets(n_neurons)
    ax = kernel_curves(kernels, group="position")
    for j in range(n_neurons):
        line = labelled_line(ax, f"neuron{j}")
        assert_allclose(line.get_xdata(), POSITIONS)
        assert_allclose(line.get_ydata(), kernels["position"]["kernel"][j])
    assert ax.get_xlabel() == "position (cm)"
    assert ax.get_ylabel() == "Kernel (change of log rate)"
    assert ax.get_title() == ("position, neuron0" if n_neurons == 1 else "position, 3 neurons")
    assert not bands(ax)
    ax.figure.canvas.draw()


def test_a_thousand_neurons_are_faint_with_their_mean():
    kernels = kernel_datasets(1000)
    ax = kernel_curves(kernels, group="position")
    (lines,) = segments(ax)
    assert_allclose(lines[:, :, 1], kernels["position"]["kernel"])
    assert_allclose(lines[0, :, 0], POSITIONS)
    assert_allclose(labelled_line(ax, "mean").get_ydata(), kernels["position"]["kernel"].values.mean(axis=0))
    assert ax.get_title() == "position, 1,000 neurons and their mean"
    ax.figure.canvas.draw()


def test_the_band_is_that_of_the_bootstrap_and_exp_of_it_for_the_gain():
    (data,) = kernel_datasets(2, ["position"]).values()
    data = data.assign(lower=data["kernel"] - 0.2, upper=data["kernel"] + 0.5)
    for quantity, scale in (("kernel", lambda values: values), ("gain", np.exp)):
        ax = kernel_curves(data, quantity=quantity, neurons="neuron1")
        ((x, low, high),) = bands(ax)
        assert_allclose(x, POSITIONS)
        assert_allclose(low, scale(data["lower"][1]))
        assert_allclose(high, scale(data["upper"][1]))
        assert_allclose(labelled_line(ax, "neuron1").get_ydata(), scale(data["kernel"][1]))
        assert ax.lines[0].get_ydata()[0] == scale(0.0)  # no effect
    assert ax.get_ylabel() == "Gain (factor on the rate)"


def test_totals_have_no_band_and_other_links_no_gain():
    (data,) = kernel_datasets(1, ["position × cue"]).values()
    data = data.assign(total=data["kernel"] + 1, lower=data["kernel"] - 1, upper=data["kernel"] + 1)
    ax = kernel_curves(data, quantity="total")
    assert_allclose(labelled_line(ax, "neuron0").get_ydata(), data["total"][0])
    assert not bands(ax)
    with pytest.raises(ValueError, match="quantity must be one of those there: 'kernel', 'total'; found 'gain'"):
        kernel_curves(data.drop_vars("gain"), quantity="gain")
    label = kernel_curves(data.drop_vars("gain")).get_ylabel()
    assert label.replace("\n", " ") == "Kernel (change of linear predictor)"


def test_lags_are_drawn_in_order():
    data = one_kernel_dataset(np.array([[1.0, 2.0, 3.0]]), "speed shifts", lag=("samples", [0, 1, -1]))
    line = labelled_line(kernel_curves(data), "neuron0")
    assert_allclose(line.get_xdata(), [-1, 0, 1])
    assert_allclose(line.get_ydata(), [3, 1, 2])
    assert kernel_curves(data).get_xlabel() == "lag (samples)"


@pytest.mark.parametrize("n_neurons", [1, 40])
def test_categories_are_points_with_their_names(n_neurons):
    kernel = np.random.default_rng(0).normal(size=(n_neurons, 2))
    data = one_kernel_dataset(kernel, "odour", odour=("", np.array(["mint", "rose"], object)))
    data = data.assign(lower=data["kernel"] - 0.2, upper=data["kernel"] + 0.5)
    ax = kernel_curves(data)
    assert [tick.get_text() for tick in ax.get_xticklabels()] == ["mint", "rose"]
    assert ax.get_xlabel() == "odour"
    if n_neurons == 1:
        assert_allclose(labelled_line(ax, "neuron0").get_ydata(), kernel[0])
        (bars,) = segments(ax)
        assert_allclose(bars[:, :, 1], np.column_stack([kernel[0] - 0.2, kernel[0] + 0.5]))
    else:
        (dots,) = scatters(ax)
        assert_allclose(np.rint(dots[:, 0]), np.tile([0, 1], (40, 1)).ravel())
        assert_allclose(dots[:, 1], kernel.ravel())
        assert not segments(ax)
        assert labelled_line(ax, "mean").get_linestyle() == "None"
    absolute = mean_absolute_kernels(data)
    assert_allclose(dots_of_curves(absolute)[0].get_ydata(), np.abs(kernel).mean(axis=0))
    assert bool(segments(absolute)) == (n_neurons > 1)  # error bars
    ax.figure.canvas.draw()


def test_a_band_need_not_hold_the_estimate():
    """Percentiles of re-fits lie around the mean re-fit, which may be elsewhere; for a curve they are drawn so, too."""
    kernel = np.array([[1.0, 2.0, 0.5]])
    low, high = kernel + np.array([0.1, -0.5, 0]), kernel + np.array([0.4, -0.2, 0])
    data = one_kernel_dataset(kernel, "odour", odour=("", np.array(["mint", "rose", "sage"], object)))
    data = data.assign(lower=(data["kernel"].dims, low), upper=(data["kernel"].dims, high))
    ax = kernel_curves(data)
    (bars,) = segments(ax)
    assert_allclose(bars[:, :, 1], [[1.1, 1.4], [1.5, 1.8], [0.5, 0.5]])
    assert_allclose(labelled_line(ax, "neuron0").get_ydata(), kernel[0])
    bottom, top = kernel_curves(data, quantity="gain").get_ylim()
    assert bottom < np.exp(0.5)
    assert top > np.exp(2.0)
    ax.figure.canvas.draw()


@pytest.mark.parametrize("n_neurons", [2, 10])
def test_categories_of_a_few_neurons_stand_side_by_side(n_neurons):
    kernel = np.zeros((n_neurons, 2))  # equal values would hide each other
    data = one_kernel_dataset(kernel, "odour", odour=("", np.array(["mint", "rose"], object)))
    ax = kernel_curves(data)
    x = np.array([dots.get_xdata() for dots in dots_of_curves(ax)])
    assert_allclose(np.rint(x), np.tile([0, 1], (n_neurons, 1)))
    ax.figure.canvas.draw()
    apart = np.diff(ax.transData.transform(np.column_stack([x[:, 0], x[:, 0]]))[:, 0]) / ax.figure.dpi * 72
    assert (apart > 5).all()  # as wide as a dot, in points
    groups = mean_absolute_kernels({f"group{i}": data for i in range(n_neurons)})
    assert len({dots.get_xdata()[0] for dots in dots_of_curves(groups)}) == n_neurons


def test_a_coordinate_of_a_single_value_is_a_category():
    data = one_kernel_dataset(np.array([[1.0], [2.0]]), "speed shifts", lag=("s", [0.05]))
    ax = kernel_curves(data)
    assert [tick.get_text() for tick in ax.get_xticklabels()] == ["0.05"]
    assert [dots.get_ydata().item() for dots in dots_of_curves(ax)] == [1.0, 2.0]


@pytest.mark.parametrize("n_neurons", [1, 30])
def test_levels_that_are_numbers_are_not_joined_by_lines(n_neurons):
    rng = np.random.default_rng(0)
    session = {"cue": rng.choice([-1, 1, 4], 300)}
    design = pg.Design([pg.categories("cue")])
    model = pg.GLM(lambdas=[0.1]).fit(design.fit_transform(session), rng.poisson(1.0, (300, n_neurons)))
    kernels = pg.kernels(model, design)
    for ax in (kernel_curves(kernels), mean_absolute_kernels(kernels), basis_functions(design)):
        assert [tick.get_text() for tick in ax.get_xticklabels()] == ["-1", "1", "4"]
        joined = [line for line in ax.lines if line.get_linestyle() != "None" and len(line.get_xdata()) == 3]
        assert not joined


def test_a_unit_is_written_once():
    lags = pg.shifts("speed", [0.0, 0.1], dt=0.1)
    assert basis_functions(lags, unit="s").get_xlabel() == "lag (s)"


def test_neurons_must_be_names():
    with pytest.raises(TypeError, match="neurons must be a name, a shell pattern or a list of these; found 10"):
        kernel_curves(kernel_datasets(2), group="position", neurons=10)


def test_one_axis_gives_an_image_with_neurons_sorted_by_peak():
    kernels = kernel_datasets(1000)
    ax = kernel_image(kernels, group="position")
    image = mesh(ax).get_array()
    expected = kernels["position"]["kernel"].values
    peaks = image.argmax(axis=1)
    assert (np.diff(peaks) >= 0).all()
    assert_allclose(np.sort(image, axis=0), np.sort(expected, axis=0))
    low, high = mesh(ax).get_clim()
    assert_allclose([-low, high], np.quantile(np.abs(expected), 0.99))
    corners = mesh(ax).get_coordinates()
    assert_allclose(corners[0, :, 0], np.linspace(5, 255, 26))
    assert ax.get_ylim()[0] > ax.get_ylim()[1]  # the first neuron on top
    colorbar = ax.figure.axes[1]
    assert colorbar.get_ylabel() == "Kernel (change of log rate)"


def test_kernels_without_a_peak_are_together_at_the_end():
    kernel = np.array([[0, 0, 0], [0, 0, 1], [0, 0, 0], [1, 0, 0], [np.nan] * 3, [0, 1, 0], [-1, -2, -2]], float)
    data = one_kernel_dataset(kernel, "position", position=("cm", [0.0, 1.0, 2.0]))
    for quantity in ("kernel", "gain"):
        names = [label.get_text() for label in kernel_image(data, quantity=quantity).get_yticklabels()]
        assert names == [f"neuron{j}" for j in (3, 6, 5, 1, 0, 2, 4)]


@pytest.mark.parametrize("n_neurons", [1, 5])
def test_two_axes_give_an_image_of_the_mean(n_neurons):
    field = spectrotemporal(n_neurons)
    ax = kernel_image(field)
    assert_allclose(mesh(ax).get_array(), field["kernel"].values.mean(axis=0))
    assert (ax.get_ylabel(), ax.get_xlabel()) == ("lag (s)", "frequency (kHz)")
    corners = mesh(ax).get_coordinates()
    assert_allclose(corners[0, :, 0], [0.5, 1.5, 3.0, 5.0])
    assert_allclose(corners[:, 0, 1], [-0.05, 0.05, 0.15, 0.25, 0.35])
    low, high = mesh(ax).get_clim()
    assert_allclose([-low, high], np.abs(field["kernel"].values.mean(axis=0)).max())


def test_gains_have_a_logarithmic_colour_scale_around_one():
    ax = kernel_image(spectrotemporal(1), quantity="gain")
    low, high = mesh(ax).get_clim()
    assert_allclose(low * high, 1)
    assert_allclose(high, np.exp(np.abs(spectrotemporal(1)["kernel"]).max()))
    assert ax.figure.axes[1].get_ylabel() == "Gain (factor on the rate)"
    ax.figure.canvas.draw()


def test_factors_on_a_colour_bar_can_be_told_apart():
    data = one_kernel_dataset(np.array([[-0.01, 0.09, 0.0]]), "position", position=("cm", [0.0, 1.0, 2.0]))
    ax = kernel_image(data, quantity="gain")
    ax.figure.canvas.draw()
    bar = ax.figure.axes[1]
    labels = [label.get_text() for label in bar.get_yticklabels()]
    assert len(set(labels)) == 5
    assert_allclose([float(label) for label in labels], bar.get_yticks(), rtol=0.01)


def test_colours_reach_the_largest_of_a_few_neurons():
    data = kernel_datasets(3)["position"]
    ax = kernel_image(data)
    assert_allclose(mesh(ax).get_clim()[1], np.abs(data["kernel"]).max())
    assert mesh(ax).colorbar.extend == "neither"
    assert mesh(kernel_image(kernel_datasets(30)["position"])).colorbar.extend == "both"


@pytest.mark.parametrize("quantity", ["kernel", "gain"])
def test_a_neuron_that_towers_above_hundreds_hides_nothing(quantity):
    kernels = kernel_datasets(500)["position"]
    kernels["kernel"][7] = -40.0
    kernels["kernel"][8] = 20.0
    kernels["gain"] = np.exp(kernels["kernel"])
    ax = kernel_curves(kernels, quantity=quantity)
    low, high = ax.get_ylim()
    others = kernels[quantity].drop_sel(neuron=["neuron7", "neuron8"]).values
    assert (low == 0) if quantity == "gain" else (-10 < low < np.median(others.min(axis=1)))
    assert np.median(others.max(axis=1)) < high < 2 * others.max()
    mean = kernels["kernel"].values.mean(axis=0)  # a mean of factors would be that of the largest alone
    assert_allclose(labelled_line(ax, "mean").get_ydata(), np.exp(mean) if quantity == "gain" else mean)


def test_kernels_of_one_size_are_all_in_the_picture():
    data = kernel_datasets(40)["position"]
    low, high = kernel_curves(data).get_ylim()
    assert low < data["kernel"].min()
    assert high > data["kernel"].max()


def test_a_long_title_is_in_lines_that_fit():
    name = "time_from_the_choice × previous_cue"
    ax = kernel_curves(kernel_datasets(500, [name]))
    ax.figure.canvas.draw()
    assert ax.get_title() == f"{name},\n500 neurons and their mean"
    box = ax.title.get_window_extent()
    assert box.x0 > 0
    assert box.x1 < ax.figure.bbox.width
    _, small = plt.subplots(figsize=(2.6, 2.0))
    assert kernel_curves(kernel_datasets(500, [name]), small).get_title().startswith("time_from_the_choice ×\nprevious")


def test_lags_in_samples_have_whole_ticks():
    lags = list(range(-3, 10))
    data = one_kernel_dataset(np.random.default_rng(0).normal(size=(75, 13)), "sound shifts", lag=("samples", lags))
    shifts = pg.shifts("sound", lags)
    for ax in (kernel_curves(data), kernel_image(data), mean_absolute_kernels(data), basis_functions(shifts)):
        assert_allclose(ax.get_xticks(), np.rint(ax.get_xticks()))


def test_long_labels_of_the_height_are_in_two_lines():
    data = kernel_datasets(3)["position"].drop_vars("gain")
    ax = mean_absolute_kernels(data)
    ax.figure.canvas.draw()
    assert ax.get_ylabel() == "Mean |kernel|\n(change of linear predictor)"
    box = ax.yaxis.label.get_window_extent()
    assert box.y0 > 0
    assert box.y1 < ax.figure.bbox.height


def test_a_single_neuron_and_a_kernel_of_zeros_have_an_image():
    zeros = one_kernel_dataset(np.zeros((1, 25)), "position", position=("cm", POSITIONS))
    for quantity in ("kernel", "gain"):
        ax = kernel_image(zeros, quantity=quantity)
        assert mesh(ax).get_coordinates()[:, 0, 1].tolist() == [0.5, 1.5]
        ax.figure.canvas.draw()


@pytest.mark.parametrize("n_neurons", [2, 1000])
def test_mean_absolute_kernels_with_their_standard_errors(n_neurons):
    kernels = kernel_datasets(n_neurons)
    ax = mean_absolute_kernels(kernels, groups="position*")
    for (group, data), (x, low, high) in zip(kernels.items(), bands(ax), strict=True):
        size = np.abs(data["kernel"].values)
        mean, sem = size.mean(axis=0), size.std(axis=0, ddof=1) / np.sqrt(n_neurons)
        assert_allclose(labelled_line(ax, group).get_ydata(), mean)
        assert_allclose(x, POSITIONS)
        assert_allclose(low, mean - sem)
        assert_allclose(high, mean + sem)
    assert ax.get_xlabel() == "position (cm)"
    assert ax.get_ylabel().replace("\n", " ") == "Mean |kernel| (change of log rate)"
    ax.figure.canvas.draw()


def test_one_neuron_has_a_mean_absolute_kernel_without_a_band():
    kernels = kernel_datasets(1)
    ax = mean_absolute_kernels(kernels, groups="position")
    assert_allclose(labelled_line(ax, "position").get_ydata(), np.abs(kernels["position"]["kernel"][0]))
    assert not bands(ax)


def test_of_many_groups_the_largest_are_in_colour():
    kernels = kernel_datasets(3, [f"group{i}" for i in range(25)])
    size = {group: np.abs(data["kernel"].values).mean() for group, data in kernels.items()}
    ax = mean_absolute_kernels(kernels)
    largest = sorted(size, key=size.__getitem__)[-10:]
    assert set(ax.get_legend_handles_labels()[1]) == {*largest, "15 others"}
    assert len(ax.lines) == 25


@pytest.mark.parametrize("draw", [kernel_curves, kernel_image])
def test_what_is_not_there_is_named_with_what_is(draw):
    kernels = kernel_datasets(2)
    with pytest.raises(ValueError, match="group: nothing is named 'positon'; did you mean 'position'"):
        draw(kernels, group="positon")
    with pytest.raises(ValueError, match="group must name one group to draw; there are 'position', 'position × cue'"):
        draw(kernels)
    with pytest.raises(ValueError, match="neurons: nothing is named 'cell7'; there is 'neuron0', 'neuron1'"):
        draw(kernels, group="position", neurons=["cell7"])
    with pytest.raises(ValueError, match="neurons is empty"):
        draw(kernels, group="position", neurons=[])
    with pytest.raises(TypeError, match=r"popglm\.kernels"):
        draw(np.zeros((2, 25)))


def test_groups_over_different_axes_are_not_drawn_together():
    kernels = {**kernel_datasets(2, ["position"]), "sound shifts": spectrotemporal(2)}
    with pytest.raises(
        ValueError, match=r"'position' has position \(cm\) and 'sound shifts' has lag \(s\) × frequency \(kHz\)"
    ):
        mean_absolute_kernels(kernels)
    lags = {unit: one_kernel_dataset(np.ones((2, 2)), unit, lag=(unit, [0.0, 1.0])) for unit in ("s", "samples")}
    with pytest.raises(ValueError, match=r"'s' has lag \(s\) and 'samples' has lag \(samples\)"):
        mean_absolute_kernels(lags)
    with pytest.raises(ValueError, match="draw them with kernel_image"):
        kernel_curves(kernels, group="sound shifts")
    ax = kernel_curves(spectrotemporal(2).sel(lag=0.1), neurons="neuron0")
    assert_allclose(labelled_line(ax, "neuron0").get_ydata(), spectrotemporal(2)["kernel"][0, 1])
