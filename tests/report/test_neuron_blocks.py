"""Blocks of neurons against the arrays of the result."""

from dataclasses import replace

import numpy as np
import pandas as pd
import pytest
from made_results import SPEED, made_results

from popglm.report.kernel_fields import MOST_KERNELS, Kernels, kernels_of
from popglm.report.neuron_blocks import DETAILS, Detail, blocks_within, neuron_source
from popglm.report.packed import unpacked

#: So fine that nothing of the small result is thinned or put together.
FINEST = Detail(100_000, 1_000, 1_000, 1_000)


@pytest.fixture(scope="module")
def result():
    return made_results()["explained"]


@pytest.fixture(scope="module")
def kernels(result):
    return kernels_of(result)


@pytest.fixture(scope="module")
def source(result, kernels):
    return neuron_source(result, kernels)


@pytest.fixture(scope="module")
def fields(source):
    found = source.fields(np.arange(source.n_neurons), FINEST)
    return {field.name: np.asarray(field.values) for field in found}


@pytest.fixture(scope="module")
def decoded(source):
    blocks, layout, detail = blocks_within(source, 10**9)
    found = [unpacked(block, layout) for block in blocks]
    assert detail == DETAILS[0]
    return {name: np.stack([one[name] for one in found]) for name in found[0]}


@pytest.mark.thorough
def test_kernels_and_bands_are_those_of_the_result(result, source, decoded):
    described = source.described(DETAILS[0])["kernels"]
    nodes = result.tree.children["kernels"].children.values()
    assert [one["group"] for one in described] == [node.attrs["group"] for node in nodes]
    for one, node in zip(described, nodes, strict=True):
        axis = one["axes"][0]
        values = node[axis["name"]].values
        at = np.arange(len(values)) if axis["categories"] else np.searchsorted(values, np.array(axis["values"]) - 1e-9)
        found = decoded[one["field"]]
        for k, name in enumerate(("kernel", "lower", "upper")):
            expected = node[name].values[:, at]
            span = np.ptp(np.stack([node[part].values for part in ("kernel", "lower", "upper")]), axis=(0, 2))
            assert (np.abs(found[:, k] - expected) <= span[:, None] / 254 / 2 + 1e-6 * span.max()).all()
    # 90 points are thinned from end to end, categories are not
    assert [len(one["axes"][0]["values"]) for one in described] == [64, 64, 64, 2]
    assert described[-1]["axes"][0] == {"name": "cue", "unit": "", "values": ["-1", "1"], "categories": True}


def test_the_picture_is_the_activity_where_a_cell_is_a_sample(result, source, fields):
    grid = result.part("grid")
    trial, rank = np.unique(grid["trial"].values, return_inverse=True)
    since = np.rint(source.times.since * 6).astype(int)
    activity, predicted = grid["activity"].values, grid["predicted"].values
    picture = fields["picture"]
    assert picture.shape[1:3] == (2, len(trial))
    shown = since < picture.shape[3]
    known = np.isfinite(activity) & np.isfinite(predicted)
    top = np.nanpercentile(picture[:, 0].reshape(len(picture), -1), 99.9, axis=1)
    for k, values in enumerate((activity, predicted)):
        found = picture[:, k, rank[shown], since[shown]].T
        expected = np.where(known, values, np.nan)[shown]
        below = ~(expected >= 0.9 * top)
        np.testing.assert_allclose(found[below], expected[below], rtol=1e-5)
    # the largest cells have the last colour
    assert (np.nanmax(picture, axis=(1, 2, 3)) < np.nanmax(np.where(known, activity, 0), axis=0))[:3].all()


def test_trial_by_trial_is_the_mean_of_every_trial(result, fields):
    grid = result.part("grid")
    known = np.isfinite(grid["activity"].values) & np.isfinite(grid["predicted"].values)
    for k, name in enumerate(("activity", "predicted")):
        table = pd.DataFrame(np.where(known, grid[name].values, np.nan)).groupby(grid["trial"].values).mean()
        np.testing.assert_allclose(fields["trial by trial"][:, k].T, table.to_numpy(), rtol=1e-4, atol=1e-6)
    # neuron 5 was not recorded in the first trials
    assert np.isnan(fields["trial by trial"][5, :, 0]).all()


def test_averages_along_a_variable_are_those_of_pandas(result, source, fields):
    grid = result.part("grid")
    centers = source.along["position"][1]
    edges = np.concatenate([[centers[0] - 110 / 7], (centers[1:] + centers[:-1]) / 2, [centers[-1] + 110 / 7]])
    bins = pd.cut(grid["position"].values, edges, right=False, labels=False)
    frame = pd.DataFrame({"trial": grid["trial"].values, "bin": bins, "y": grid["activity"].values[:, 2]})
    table = frame.dropna().groupby(["trial", "bin"])["y"].mean().unstack("bin")
    found = fields["along position"][2]
    np.testing.assert_allclose(found[0], table.mean(), rtol=1e-4)
    np.testing.assert_allclose(found[1], table.sem(), rtol=1e-3)
    assert set(source.along) == set(result.part("contributions")["axis"].values)


def test_samples_without_a_prediction_are_left_out_of_both(result, source):
    tree = result.tree.copy(deep=True)
    tree.children["grid"]["predicted"].values[:500] = np.nan
    found = neuron_source(replace(result, tree=tree), None).fields(np.arange(2), FINEST)
    averages = {field.name: field.values for field in found}
    first = source.times.trial[499]
    single = averages["trial by trial"]
    assert np.isnan(single[:, :, :first]).all()
    rest = (source.times.trial == first) & (np.arange(3_000) >= 500)
    expected = [part[rest, :2].mean(axis=0) for part in (source.activity, source.predicted)]
    np.testing.assert_allclose(single[:, :, first].T, expected, rtol=1e-4)
    assert np.isfinite(averages["since the start"]).all()


def test_contributions_over_bins_and_the_path_are_those_of_the_result(result, decoded):
    data = result.part("contributions")
    for axis in ("position", SPEED):
        expected = data["binned_fraction_null_deviance"].values[:, :, data["axis"].values == axis]
        found = decoded[f"binned over {axis}"]
        span = np.nanmax(expected, axis=(1, 2)) - np.nanmin(expected, axis=(1, 2))
        known = np.isfinite(expected)
        assert (np.isfinite(found) == known).all()
        assert (np.abs(found - expected) <= span[:, None, None] / 254 / 2 + 1e-6)[known].all()
    model = result.part("model")
    np.testing.assert_allclose(decoded["path"].T, model["cv_deviance_explained_path"].values, atol=1e-4)
    np.testing.assert_allclose(decoded["strengths"].T, np.log10(model["lambdas"].values), atol=1e-3)


def test_less_room_gives_coarser_pictures(source):
    sizes = []
    for most in (10**9, 150_000, 110_000, 1):
        blocks, _, detail = blocks_within(source, most)
        sizes.append(sum(map(len, blocks)))
        assert sizes[-1] <= most or detail == DETAILS[-1]
    assert sizes == sorted(sizes, reverse=True)
    assert sizes[-1] < sizes[0]


def test_details_become_coarser():
    cells = [detail.n_cells for detail in DETAILS]
    assert cells == sorted(cells, reverse=True)


def test_of_very_many_kernels_the_largest_are_kept(kernels):
    group = kernels.groups[0]
    size = np.arange(MOST_KERNELS + 20)
    many = Kernels(
        [group.assign(kernel=group["kernel"] * 0 + k) for k in size],
        np.repeat(size[:, None], group.sizes["neuron"], axis=1).astype(float),
    )
    fields = many.fields(np.arange(3), 50)
    left_out = [np.isnan(field.values[:, 0]).all() for field in fields]
    assert left_out == [True] * 20 + [False] * MOST_KERNELS


def test_a_kernel_over_two_axes_is_thinned_and_one_over_three_is_not_drawn(kernels):
    group = kernels.groups[0]
    axis = group["kernel"].dims[1]
    two = group.drop_vars(["gain", "lower", "upper"]).expand_dims(second=np.arange(60.0), axis=-1)
    two = two.assign(kernel=two["kernel"].transpose("neuron", axis, "second"))
    three = two.expand_dims(third=np.arange(2.0))
    both = replace(kernels, groups=[two, three], largest=np.ones((2, group.sizes["neuron"])))
    (field,) = both.fields(np.arange(2), 48)
    assert field.shape == (1, 24, 24)
    assert [one["field"] for one in both.described(48)] == ["kernel 0", None]
    assert [len(one["values"]) for one in both.described(48)[0]["axes"]] == [24, 24]


def test_lags_in_any_order_are_put_in_order(result):
    tree = result.tree.copy(deep=True)
    node = tree.children["kernels"].children["000"]
    node.dataset = node.to_dataset(inherit=False).isel(position=slice(None, None, -1))
    turned = kernels_of(replace(result, tree=tree))
    assert (np.diff(turned.groups[0]["position"].values) > 0).all()
    np.testing.assert_array_equal(turned.groups[0]["kernel"].values, kernels_of(result).groups[0]["kernel"].values)
