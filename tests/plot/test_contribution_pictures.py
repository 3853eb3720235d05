"""Contributions of variables: over bins, over neurons, full against reduced, breakdown against comparison."""

import warnings
from itertools import pairwise

import numpy as np
import pytest
from labelled_results import POSITIONS, bands, contribution_dataset, labelled_line, scatters, segments
from numpy.testing import assert_allclose

from popglm.plot import (
    breakdown_and_comparison,
    contribution_distribution,
    contributions_over_bins,
    full_and_reduced,
    stacked_contributions,
)


def as_comparison(data):
    return data.assign_attrs(kind="comparison")


@pytest.mark.parametrize("pooled", [False, True])
@pytest.mark.parametrize("n_neurons", [2, 1000])
@pytest.mark.parametrize("quantity", ["fraction_null_deviance", "fraction_explained_deviance"])
def test_fractions_of_all_neurons_with_their_standard_errors(n_neurons, quantity, pooled):
    data = contribution_dataset(n_neurons)
    data["binned_" + quantity][0, 1, 5] = np.nan  # known of all neurons but one
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        ax = contributions_over_bins(data, axis="position", quantity=quantity, pooled=pooled)
        ax.figure.canvas.draw()
    whole = data["null_deviance"] - (data["full_deviance"] if "explained" in quantity else 0)
    weight = whole.values[:, None] if pooled else np.ones((n_neurons, 1))
    filled = np.arange(25) != 3
    for v, (x, low, high) in enumerate(bands(ax)):
        values = data["binned_" + quantity].values[:, v, :25][:, filled]
        n = np.isfinite(values).sum(axis=0)
        total = (weight * np.isfinite(values)).sum(axis=0)
        mean = np.nansum(weight * values, axis=0) / total
        squares = np.nansum(weight**2 * (values - mean) ** 2, axis=0)
        sem = np.sqrt(n / np.maximum(n - 1, 1) * squares) / total
        line = labelled_line(ax, ["cue", "speed"][v])
        assert_allclose(line.get_xdata(), POSITIONS)
        assert np.isnan(line.get_ydata()[3])
        assert_allclose(line.get_ydata()[filled], mean)
        banded = n > 1
        assert_allclose(x, POSITIONS[filled][banded])
        assert_allclose(low, (mean - sem)[banded])
        assert_allclose(high, (mean + sem)[banded])
    assert ax.get_xlabel() == "position (cm)"
    whole = "null" if "null" in quantity else "explained"
    assert ax.get_ylabel() == f"Fraction of {whole} deviance\nof the average sample"


def test_neurons_of_which_next_to_nothing_is_explained_do_not_make_the_picture():
    # 40 neurons whose contribution in every bin is a tenth of what is explained, and one at the edge of chance
    data = contribution_dataset(41, ["cue"])
    data["full_deviance"][0] = data["null_deviance"][0] * (1 - 1e-6)
    fractions = data["binned_fraction_explained_deviance"]
    fractions[:] = 0.1
    fractions[0] = 4000.0
    ax = contributions_over_bins(data, axis="position")
    assert_allclose(labelled_line(ax, "cue").get_ydata()[1:], 0.1, rtol=0.05)
    mean = contributions_over_bins(data, axis="position", pooled=False)
    assert labelled_line(mean, "cue").get_ydata().max() > 90
    assert mean.get_title() == "cue, 41 neurons, mean ± s.e.m."


def test_titles_count_the_neurons_that_are_drawn():
    data = contribution_dataset(20, ["cue"])
    for name in ("fraction_explained_deviance", "binned_fraction_explained_deviance"):
        data[name][3] = np.nan
    data["reduced_deviance"][5] = 1e6  # far below the others
    assert contributions_over_bins(data, axis="position").get_title() == "cue, 19 of 20 neurons, pooled ± s.e.m."
    drawn = contribution_distribution(data, quantity="fraction_explained_deviance")
    assert drawn.get_title() == "19 of 20 neurons"
    assert full_and_reduced(data).get_title() == "19 of 20 neurons"
    data["fraction_null_deviance"][:3] = [[np.nan], [-9.0], [-9.0]]
    assert breakdown_and_comparison(data, as_comparison(data)).get_title() == "cue, 17 of 20 neurons"
    lone = data.isel(neuron=[3])
    assert contributions_over_bins(lone, axis="position").get_title() == "cue, nothing known of neuron3"


def test_one_neuron_has_curves_without_bands():
    data = contribution_dataset(1)
    ax = contributions_over_bins(data, axis="time_from_choice", variables="cue", quantity="fraction_null_deviance")
    assert_allclose(labelled_line(ax, "cue").get_ydata(), data["binned_fraction_null_deviance"][0, 0, 25:])
    assert not bands(ax)
    assert ax.get_xlabel() == "time_from_choice (s)"
    assert ax.get_title() == "cue, neuron0"


def test_bins_are_drawn_in_order_of_their_centres():
    data = contribution_dataset(3).isel(bin=slice(24, None, -1))
    ax = contributions_over_bins(data, quantity="fraction_null_deviance")
    assert_allclose(labelled_line(ax, "cue").get_xdata(), POSITIONS)


def test_of_many_variables_the_largest_are_in_colour():
    names = [f"variable{i}" for i in range(21)]
    data = contribution_dataset(5, names)
    pooled = data["binned_fraction_null_deviance"][..., :25].weighted(data["null_deviance"]).mean("neuron")
    size = dict(zip(names, np.abs(pooled).mean("bin").values, strict=True))
    ax = contributions_over_bins(data, axis="position", quantity="fraction_null_deviance")
    assert set(ax.get_legend_handles_labels()[1]) == {*sorted(names, key=size.__getitem__)[-10:], "11 others"}


@pytest.mark.parametrize("n_neurons", [1, 12, 1000])
def test_every_neuron_has_a_dot_on_the_row_of_each_variable(n_neurons):
    data = contribution_dataset(n_neurons)
    ax = contribution_distribution(data)
    values = data["fraction_null_deviance"].values.T
    dots = scatters(ax)[0].reshape(2, n_neurons, 2)
    assert_allclose(dots[..., 0], values)
    assert_allclose(np.rint(dots[..., 1]), [[0] * n_neurons, [1] * n_neurons])
    assert [tick.get_text() for tick in ax.get_yticklabels()] == ["cue", "speed"]
    assert ax.get_ylim()[0] > ax.get_ylim()[1]  # the first variable on top
    assert ax.get_xlabel() == "Fraction of null deviance"
    if n_neurons > 1:
        assert_allclose(scatters(ax)[1], np.column_stack([np.median(values, axis=1), [0, 1]]))
        long, short = segments(ax)
        assert_allclose(long[:, :, 0], np.percentile(values, [5, 95], axis=1).T)
        assert_allclose(short[:, :, 0], np.percentile(values, [25, 75], axis=1).T)
    ax.figure.canvas.draw()


def test_unexplained_and_overfitted_neurons_leave_the_others_in_sight():
    data = contribution_dataset(30)
    data["fraction_explained_deviance"][3] = np.nan
    data["fraction_explained_deviance"][:, 1] = np.nan
    data["fraction_explained_deviance"][4, 0] = -1e6
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        ax = contribution_distribution(data, quantity="fraction_explained_deviance")
        ax.figure.canvas.draw()
    known = data["fraction_explained_deviance"][:, 0].dropna("neuron").values
    assert_allclose(scatters(ax)[1], [[np.median(known), 0]])
    assert -0.5 * known.max() < ax.get_xlim()[0] < 0
    assert ax.get_xlim()[1] > known.max()


@pytest.mark.parametrize("n_neurons", [1, 1000])
def test_full_against_reduced(n_neurons):
    data = contribution_dataset(n_neurons)
    ax = full_and_reduced(data, variable="speed")
    ((dots),) = scatters(ax)
    assert_allclose(dots[:, 0], 1 - data["reduced_deviance"][:, 1] / data["null_deviance"])
    assert_allclose(dots[:, 1], data["deviance_explained"])
    assert "without speed" in ax.get_xlabel()
    assert ax.get_xlim() == ax.get_ylim()
    assert ax.get_aspect() == 1
    ax.figure.canvas.draw()


@pytest.mark.parametrize("method", ["keep", "add"])
def test_a_model_with_one_variable_alone_is_labelled_so(method):
    ax = full_and_reduced(contribution_dataset(3, ["cue"], method=method))
    assert "by cue alone" in ax.get_xlabel()


def test_a_silent_neuron_is_explained_by_nothing():
    data = contribution_dataset(3, ["cue"])
    for name in ("null_deviance", "full_deviance", "reduced_deviance"):
        data[name][1] = 0.0
    assert_allclose(scatters(full_and_reduced(data))[0][1], [0, 0])


@pytest.mark.parametrize("n_neurons", [1, 1000])
def test_breakdown_against_comparison_by_name(n_neurons):
    breakdown = contribution_dataset(n_neurons)
    comparison = contribution_dataset(n_neurons, ["speed", "cue", "lick"], seed=1)
    ax = breakdown_and_comparison(breakdown, as_comparison(comparison).isel(neuron=slice(None, None, -1)))
    name = "fraction_null_deviance"
    for variable, dots in zip(ax.get_legend_handles_labels()[1], scatters(ax), strict=True):
        expected = [data[name].sel(variable=variable).values for data in (breakdown, comparison)]
        order = np.argsort(dots[:, 0])
        assert_allclose(dots[order].T, [values[np.argsort(expected[0])] for values in expected])
    assert set(ax.get_legend_handles_labels()[1]) == {"cue", "speed"}
    assert ax.get_xlabel() == "Fraction of null deviance\n(model breakdown)"
    assert ax.get_ylabel() == "Fraction of null deviance\n(model comparison)"
    assert ax.get_xlim() == ax.get_ylim()
    ax.figure.canvas.draw()


def test_more_variables_than_colours_are_dots_of_one_colour():
    data = contribution_dataset(4, [f"variable{i}" for i in range(21)])
    ax = breakdown_and_comparison(data, as_comparison(data))
    assert ax.get_legend() is None
    assert ax.get_title() == "21 variables, 4 neurons"
    assert (
        breakdown_and_comparison(data, as_comparison(data), variables="variable3").get_title() == "variable3, 4 neurons"
    )


def test_what_is_not_there_is_named_with_what_is():
    data = contribution_dataset(2)
    with pytest.raises(ValueError, match="variables: nothing is named 'sped'; did you mean 'speed'"):
        contribution_distribution(data, variables=["sped"])
    with pytest.raises(ValueError, match="neurons: nothing is named 'cell'; there is 'neuron0', 'neuron1'"):
        full_and_reduced(data, variable="cue", neurons="cell")
    with pytest.raises(ValueError, match="variable must name one variable to draw; there are 'cue', 'speed'"):
        full_and_reduced(data)
    with pytest.raises(ValueError, match=r"axis must say along what to draw: .* 'position', 'time_from_choice'"):
        contributions_over_bins(data)
    with pytest.raises(ValueError, match="axis: nothing is named 'lag'; there is 'position', 'time_from_choice'"):
        contributions_over_bins(data, axis="lag")
    with pytest.raises(
        ValueError, match=r"quantity must be one of those there: 'fraction_null_deviance', .*'deviance'"
    ):
        contribution_distribution(data, quantity="deviance")
    with pytest.raises(ValueError, match=r"no bins .* give by=popglm\.bins"):
        contributions_over_bins(data.drop_dims("bin"))
    with pytest.raises(ValueError, match="no neuron of the same name"):
        breakdown_and_comparison(data, as_comparison(data).assign_coords(neuron=["a", "b"]))
    with pytest.raises(ValueError, match="with 'null_deviance'"):
        full_and_reduced(data.drop_vars("null_deviance"))
    with pytest.raises(TypeError, match=r"popglm\.breakdown .* found dict"):
        contribution_distribution({})


@pytest.mark.parametrize("n_neurons", [2, 10, 11])
def test_quartiles_are_of_more_than_ten_neurons_and_explained(n_neurons):
    ax = contribution_distribution(contribution_dataset(n_neurons))
    assert bool(segments(ax)) == (n_neurons > 10)
    words = [text.get_text().replace("\n", " ") for text in ax.get_legend().get_texts()]
    bars = ["5th to 95th percentile", "quartiles"] if n_neurons > 10 else []
    assert words == ["neuron", *bars, "median"]


def test_numbers_on_the_horizontal_axis_have_room():
    data = contribution_dataset(1)
    data["fraction_null_deviance"][:] = 0.021
    ax = contribution_distribution(data)
    ax.figure.canvas.draw()
    left, right = ax.get_xlim()
    boxes = [
        label.get_window_extent()
        for label, at in zip(ax.get_xticklabels(), ax.get_xticks(), strict=True)
        if left <= at <= right
    ]
    assert len(boxes) > 2
    assert not any(a.overlaps(b) for a, b in pairwise(boxes))


def test_equal_axes_have_the_same_ticks():
    data = contribution_dataset(30)
    few = data.assign(fraction_null_deviance=0 * data["fraction_null_deviance"] + 0.029)
    for ax in (full_and_reduced(data, variable="cue"), breakdown_and_comparison(few, as_comparison(few))):
        ax.figure.canvas.draw()
        assert ax.get_xticks().tolist() == ax.get_yticks().tolist()


def test_one_neuron_of_several_has_no_error():
    data = contribution_dataset(3, ["cue"])
    data["binned_fraction_explained_deviance"][1:] = np.nan
    assert contributions_over_bins(data, axis="position").get_title() == "cue, 1 of 3 neurons"


@pytest.mark.parametrize("n_neurons", [1, 100])
def test_parts_of_a_bar_lie_on_each_other(n_neurons):
    data = contribution_dataset(n_neurons, ["cue", "speed", "lick"])
    ax = stacked_contributions(data)
    order = np.argsort(-data["deviance_explained"].values)
    values = data["fraction_null_deviance"].values[order]
    bars = np.array([[bar.get_y(), bar.get_height()] for bar in ax.patches]).reshape(3, n_neurons, 2)
    assert_allclose(bars[..., 1].T, values)
    for v in range(3):
        before = values[:, :v]
        same = np.where((before >= 0) == (values[:, [v]] >= 0), before, 0).sum(axis=1)
        assert_allclose(bars[v, :, 0], same, atol=1e-12)
    assert_allclose(labelled_line(ax, "explained").get_ydata(), data["deviance_explained"].values[order])
    assert ax.get_ylabel() == "Fraction of null deviance"
    ax.figure.canvas.draw()


def test_of_many_parts_the_smallest_are_one():
    data = contribution_dataset(5, [f"variable{i}" for i in range(13)])
    data["fraction_null_deviance"][2] = np.nan
    ax = stacked_contributions(data)
    names = ax.get_legend_handles_labels()[1]
    assert len(names) == 12
    assert "3 others" in names
    assert ax.get_title() == "4 of 5 neurons"
    total = sum(bar.get_height() for bar in ax.patches)
    assert_allclose(total, data["fraction_null_deviance"].sum())
