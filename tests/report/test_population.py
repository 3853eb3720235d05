"""Clusters, places, and numbers of the population."""

import numpy as np
import pandas as pd
import pytest
from made_results import made_results
from sklearn.metrics import adjusted_rand_score

from popglm.report.clusters import MOST_CLUSTERS, cluster_by_contribution
from popglm.report.kernel_fields import kernels_of
from popglm.report.packed import layout_of, pack, unpacked
from popglm.report.places import Place, place_of
from popglm.report.population import MEASURES, population_facts, population_fields, table_of_neurons
from popglm.report.writing import make_page

RNG = np.random.default_rng(0)


@pytest.fixture(scope="module")
def result():
    return made_results()["explained"]


@pytest.fixture(scope="module")
def table(result):
    return table_of_neurons(result)


@pytest.fixture(scope="module")
def facts(result, table):
    part = result.part("contributions")
    clusters = cluster_by_contribution(part["fraction_explained_deviance"].values, part["deviance_explained"].values)
    return population_facts(result, table, kernels_of(result), clusters)


@pytest.mark.parametrize("n_clusters", [2, 3, 5])
def test_clusters_that_are_there_are_found(n_clusters):
    truth = np.arange(300) % n_clusters
    shares = np.clip(0.8 * np.eye(6)[truth] + RNG.normal(0, 0.05, (300, 6)), 0, None)
    found = cluster_by_contribution(shares, np.full(300, 0.2))
    assert len(found.centers) == n_clusters
    assert adjusted_rand_score(truth, found.label) == 1
    assert sorted(found.order) == list(range(300))
    # cluster after cluster, the largest first
    assert (np.diff(found.label[found.order]) >= 0).all()
    assert (np.diff(np.bincount(found.label)) <= 0).all()
    for k in range(n_clusters):
        np.testing.assert_allclose(found.centers[k], np.clip(shares[found.label == k], 0, 1).mean(axis=0))


def test_what_has_no_clusters_is_one():
    shares = RNG.uniform(0, 1, (400, 8))
    found = cluster_by_contribution(shares, np.full(400, 0.2))
    assert len(found.centers) == 1
    assert np.isnan(found.silhouette)
    assert (found.label == 0).all()


def test_neurons_of_which_little_is_explained_are_in_none():
    shares = np.repeat(np.eye(2), 20, axis=0)
    shares[0, 0] = np.nan
    shares[1] = [-900, 800]
    explained = np.full(40, 0.1)
    explained[1] = 0.001
    found = cluster_by_contribution(shares, explained)
    assert found.label[:2].tolist() == [-1, -1]
    assert np.bincount(found.label[2:]).tolist() == [20, 18]


def test_too_few_neurons_or_variables_have_no_clusters():
    assert cluster_by_contribution(np.eye(2)[[0, 1] * 4], np.ones(8)) is None
    assert cluster_by_contribution(np.ones((50, 1)), np.ones(50)) is None
    alike = cluster_by_contribution(np.full((50, 3), 0.3), np.ones(50))
    assert len(alike.centers) == 1 <= MOST_CLUSTERS


@pytest.mark.parametrize(
    ("columns", "place"),
    [
        ({"med_y": [1.0, 2], "med_x": [3.0, 4]}, Place("med_x", "med_y")),
        ({"X": [1, 2], "Y": [3, 4], "depth": [5, 6]}, Place("X", "Y")),
        ({"cluster_depths": [1.0, 2]}, Place(None, "cluster_depths")),
        ({"ml": [0.5, 0.7], "ap": [1.0, 2], "area": ["V1", "PM"]}, Place("ml", "ap")),
        ({"depth": [5, 5]}, None),
        ({"x": ["left", "right"], "y": ["a", "b"], "quality": [1, 2]}, None),
    ],
)
def test_places_are_known_by_the_names_of_columns(columns, place):
    assert place_of(pd.DataFrame(columns)) == place


def test_numbers_of_all_neurons_come_back(result, table):
    fields = population_fields(result, table)
    found = unpacked(pack(fields)[0], layout_of(fields))
    for name in table:
        if name != "area":
            np.testing.assert_allclose(found[f"column {name}"], table[name].to_numpy(float), rtol=1 / 4096)
    assert np.isinf(found["column strength"]).any()
    for part, quantity, _ in MEASURES:
        expected = result.part(part)[quantity].values.T
        np.testing.assert_allclose(found[f"{part} {quantity}"], expected, rtol=1 / 4096)


def test_percentiles_and_pooled_contributions(result, facts):
    for measure in facts["measures"]:
        data = result.part(measure["part"])
        values = data[measure["quantity"]].values
        np.testing.assert_allclose(
            np.array(measure["percentiles"]).T, np.nanpercentile(values, [5, 25, 50, 75, 95], axis=0)
        )
    # pooled shares of explained deviance: the sum of what is carried over the sum of what is explained
    data, measure = result.part("contributions"), facts["measures"][0]
    explained = (data["null_deviance"] - data["full_deviance"]).values
    cap = np.maximum(explained, 0)[:, None]
    carried = np.minimum((data["reduced_deviance"] - data["full_deviance"].values[:, None]).values, cap)
    beyond = explained > 0
    np.testing.assert_allclose(measure["pooled"], carried[beyond].sum(axis=0) / explained[beyond].sum(), rtol=1e-6)
    assert measure["n"] == [int(beyond.sum())] * 3


def test_contributions_along_bins(result, facts):
    data = result.part("unique")
    one = next(
        one
        for one in facts["along"]
        if (one["part"], one["quantity"], one["axis"]) == ("unique", "fraction_null_deviance", "position")
    )
    here = data["axis"].values == "position"
    assert one["centers"] == data["center"].values[here].tolist()
    assert one["unit"] == "cm"
    null = data["null_deviance"].values
    values = data["binned_fraction_null_deviance"].values[:, :, here]
    known = np.isfinite(values).all(axis=(1, 2))
    expected = (null[known, None, None] * values[known]).sum(axis=0) / null[known].sum()
    np.testing.assert_allclose(one["pooled"], expected, rtol=1e-6)


def test_mean_kernels(result, facts):
    nodes = list(result.tree.children["kernels"].children.values())
    assert len(facts["mean_kernels"]) == len(nodes)
    for one, node in zip(facts["mean_kernels"], nodes, strict=True):
        np.testing.assert_allclose(one["mean"], node["mean_absolute"].values)
        assert one["in_use"] == int((np.abs(node["kernel"].values) > 0).any(axis=1).sum())


def test_long_texts_of_a_table_are_cut(result):
    tree = result.tree.copy()
    data = tree.children["neurons"].to_dataset(inherit=False)
    tree.children["neurons"].dataset = data.assign(note=("neuron", np.array(["long " * 100] * 24, object)))
    assert table_of_neurons(type(result)(tree))["note"].str.len().max() < 90
    assert "long long" in make_page(type(result)(tree))
