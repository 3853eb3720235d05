"""The methods paragraph says what was done, and cites what was used and nothing else."""

import json
import re
from dataclasses import replace

import pytest
from made_results import made_results

from popglm.io.netcdf import ATTRIBUTE
from popglm.report.absent import absences
from popglm.report.clusters import cluster_by_contribution
from popglm.report.kernel_fields import kernels_of
from popglm.report.methods import methods_of
from popglm.report.population import table_of_neurons


@pytest.fixture(scope="module")
def result():
    return made_results()["explained"]


@pytest.fixture(scope="module")
def results():
    return made_results()


def with_parameters(result, **changed):
    """The result as if its model had other parameters."""
    tree = result.tree.copy()
    data = tree.children["model"].to_dataset(inherit=False)
    about = json.loads(data.attrs[ATTRIBUTE])
    about["parameters"] |= changed
    tree.children["model"].dataset = data.assign_attrs({ATTRIBUTE: json.dumps(about)})
    return replace(result, tree=tree)


@pytest.fixture(scope="module")
def clusters(result):
    part = result.part("contributions")
    return cluster_by_contribution(part["fraction_explained_deviance"].values, part["deviance_explained"].values)


@pytest.mark.thorough
def test_every_source_is_named_and_every_number_has_a_source(result, results, clusters):
    for paragraphs, sources in (methods_of(result, clusters), methods_of(results["bare"], None)):
        text = " ".join(paragraphs)
        named = [
            int(n)
            for found in re.findall(r"\[(\d+(?:, \d+)*)\]", text.replace("[0, 1]", ""))
            for n in found.split(", ")
        ]
        # in the order in which they are named first
        assert list(dict.fromkeys(named)) == list(range(1, len(sources) + 1))
        assert all(sentence.endswith(".") for sentence in paragraphs)


def test_what_was_done_is_said(result, clusters):
    paragraphs, sources = methods_of(result, clusters)
    text = " ".join(paragraphs)
    for said in (
        "24 neurons", "3,000 bins of 166.7 ms", "in 36 trials", "8 trials, drawn at random (seed 0)", "19 columns",
        "4 feature groups", "position × cue (6)", "A Poisson generalized linear model", "an exponential inverse link",
        "a group lasso", "6 strengths", "3-fold cross-validation", "best held-out deviance", "at most 0.001 of half",
        "columns are set to 0", "fitted again without it", "central 95 % of 4 fits", "k-means", "popglm 0.1.0",
        result.about["fingerprint"],
    ):  # fmt: skip
        assert said in text, said
    assert any("Tseng" in source for source in sources)
    assert any("Yuan" in source for source in sources)


def test_what_was_not_done_is_not_cited(results):
    paragraphs, sources = methods_of(results["bare"], None)
    text = " ".join([*paragraphs, *sources])
    for absent in ("Tseng", "bootstrap", "Rousseeuw", "Cochran", "kernel is", "k-means"):
        assert absent not in text


@pytest.mark.parametrize(
    ("changed", "said", "cited"),
    [
        ({"family": "gaussian", "penalty": "lasso"}, "an identity link", "Tibshirani R. (1996)"),
        ({"family": "bernoulli", "penalty": "ridge"}, "a logistic inverse link", "Hoerl"),
        ({"family": "negative_binomial", "penalty": "elastic_net", "l1_ratio": 0.3}, "L1 norm 0.3", "Zou"),
        ({"family": "poisson", "inverse_link": "softplus", "penalty": "none"}, "a softplus inverse link", "Nelder"),
        ({"family": "gamma"}, "A gamma generalized", "Yuan"),
        ({"family": "inverse_gaussian"}, "An inverse Gaussian generalized", "Yuan"),
        ({"family": "tweedie", "power": 1.3}, "A Tweedie (variance μ^1.3) generalized", "Yuan"),
        ({"se_fraction": 1.0}, "the strongest within 1 standard error of", "Yuan"),
        ({"smoothness": 0.25}, "penalised with 0.25", "Yuan"),
        (
            {"constraints": {"a": "positive", "b": [0, 0.5], "c": [None, 1.5], "d": [-1, None], "e": [0, [1, 2]]}},
            "a (positive), b (from 0 to 0.5), c (at most 1.5), d (at least -1), e (bounds of every column)",
            "Yuan",
        ),
    ],
)
def test_the_model_is_told_by_its_parameters(result, changed, said, cited):
    paragraphs, sources = methods_of(with_parameters(result, **changed), None)
    assert said in " ".join(paragraphs)
    assert any(cited in source for source in sources)


def test_what_is_absent_is_told_with_what_to_do(result, results):
    table = table_of_neurons(result)
    assert absences(result, table, kernels_of(result), None).keys() == {"clusters"}
    bare = absences(results["bare"], table.drop(columns=["x", "deviance_explained_test"]), None, None)
    assert bare.keys() == {"contributions", "along", "kernels", "places", "clusters", "neuron", "deviance"}
    assert all("popglm explain" in " ".join(bare[part]) for part in ("contributions", "along", "kernels", "clusters"))
    tree = result.tree.copy()
    contributions = tree.children["contributions"].to_dataset(inherit=False)
    tree.children["contributions"].dataset = contributions.drop_dims("bin")
    tree = tree.drop_nodes("unique")
    kernels = kernels_of(result)
    plain = replace(kernels, groups=[group.drop_vars(["lower", "upper"]) for group in kernels.groups])
    some = absences(replace(result, tree=tree), table, plain, None)
    assert "explain.by" in some["along"][0]
    assert "explain.compare" in some["contributions"][0]
    assert "explain.bootstrap" in some["bands"][0]


def test_relaxed_and_adaptive_fits_are_said(result):
    adaptive = with_parameters(result, penalty_factors={"exponent": 1.5, "first": None})
    assert "the norm of its weights in a first fit to the same samples, to the power of −1.5." in " ".join(
        methods_of(adaptive, None)[0]
    )
    tree = result.tree.copy()
    data = tree.children["model"].to_dataset(inherit=False)
    tree.children["model"].dataset = data.assign(gamma=("neuron", [0.5] * data.sizes["neuron"]))
    paragraphs, sources = methods_of(replace(result, tree=tree), None)
    assert "were fitted again without a penalty, and weights are blends of both fits" in " ".join(paragraphs)
    assert any("Best subset, forward stepwise or lasso?" in source for source in sources)
