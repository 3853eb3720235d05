"""The page of a classifier: a row per class, its confusions beside counts by hand, and the page in a browser."""

import json
import re
import warnings
from dataclasses import replace
from functools import cache
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from browsing import MISSING, Opened, a_browser

import popglm as pg
from popglm.analysis import running
from popglm.analysis.explaining import explain_result
from popglm.analysis.recipe import parse_recipe
from popglm.analysis.result import make_result
from popglm.recording import Session, intervals, signal
from popglm.report.classes import Classes
from popglm.report.methods import methods_of
from popglm.report.packed import unpacked
from popglm.report.writing import make_page

#: What a page that reads names as markup would run.
EVIL = "<img src=x onerror=alert(1)>"
N, LENGTH = 900, 15
RECIPE = """
data.path = "session.nwb"

[[terms]]
basis = "splines"
variable = "contrast"
n = 4

[[terms]]
basis = "categories"
variable = "previous"

[model]
kind = "ClassifierGLMCV"
penalty = "group_lasso"
n_lambdas = 5
cv = 3
class_weight = "balanced"

[fit]
response = ["choice", "state"]

[test]
fraction = 0.2

[explain]
compare = true
bootstrap = 3
n_points = 9

[explain.by.contrast]
low = -0.8
high = 0.8
n = 5
"""


def recording():
    """A choice of three that follows contrast and the choice before, and a state that follows nothing much."""
    rng, time = np.random.default_rng(2), np.arange(N) / 10
    contrast, previous = rng.uniform(-1, 1, N), rng.choice(["up", "down"], N)
    drive = np.column_stack([-3 * contrast, 3 * contrast, np.full(N, -0.5)])
    drive[:, 1] += 1.0 * (previous == "up")
    choice = np.array(["left", "right", EVIL], object)[(drive + rng.gumbel(size=(N, 3))).argmax(axis=1)]
    state = np.where(contrast + rng.logistic(size=N) > 0, "go", "stay").astype(object)
    starts = time[::LENGTH]
    trials = pd.DataFrame({"start_time": starts, "stop_time": starts + LENGTH / 10})
    signals = {"contrast": contrast, "previous": previous.astype(object), "choice": choice, "state": state}
    return Session(
        signals={name: signal(values, time) for name, values in signals.items()},
        intervals={"trials": intervals(trials)},
    )


@cache
def made():
    """The result before and after it was explained, and what was fitted."""
    text = RECIPE + "\n[grid]\ndt = 0.1\n"
    recipe = parse_recipe(text, Path("recipe.toml"))
    with pytest.MonkeyPatch.context() as patch, warnings.catch_warnings():
        warnings.simplefilter("ignore", pg.PopglmWarning)
        patch.setattr(running, "read", lambda path, *_, **__: recording())
        data = running.grid_of(recipe, running.session_of(recipe))
        matrices = running.build(recipe, data)
        bare = make_result(recipe, data, matrices, running.fit_recipe(recipe, matrices), None)
        return {"bare": bare, "explained": explain_result(recipe, bare)}, matrices


@pytest.fixture(scope="module")
def result():
    return made()[0]["explained"]


@pytest.fixture(scope="module")
def page(result):
    return make_page(result)


def facts_of(page):
    return json.loads(re.search(r'<script type="application/json" id="facts">(.*?)</script>', page, re.S)[1])


def block_of(page, name, layout):
    return unpacked(re.search(rf'<script type="text/plain" id="{name}">(.*?)</script>', page, re.S)[1], layout)


def test_a_row_for_every_class_of_every_response(result, page):
    names = facts_of(page)["population"]["neurons"]
    assert names == [f"choice: {EVIL}", "choice: left", "choice: right", "state: go", "state: stay"]
    assert facts_of(page)["population"]["first"] == [0, 3]
    assert f"choice: {EVIL}" not in page
    assert "<h3>Confusion</h3>" in page
    assert "<dt>Responses</dt><dd>2</dd>" in page
    assert "multinomial logistic (softmax) model" in page
    assert "all classes of a response have the same sum of weights" in page


def test_confusions_are_those_of_held_out_labels(result, page):
    model, matrices = result.model, made()[1]
    p = model.predict_proba_held_out(matrices.X)
    for r, one in enumerate(facts_of(page)["population"]["confusions"]):
        told = model.classes_[p[:, r].argmax(axis=1)]
        truth = matrices.Y.values[:, r]
        by_hand = pd.crosstab(truth, told).reindex(index=one["classes"], columns=one["classes"], fill_value=0)
        np.testing.assert_array_equal(one["counts"], by_hand)
    # what the table has of every class
    table = Classes.of(result).as_neurons().neurons
    counts = pd.crosstab(matrices.Y.values[:, 0], model.classes_[p[:, 0].argmax(axis=1)])
    assert table.loc["choice: left", "found"] == pytest.approx(counts.loc["left", "left"] / counts.loc["left"].sum())
    assert table.loc["choice: left", "rightly_told"] == pytest.approx(counts.loc["left", "left"] / counts["left"].sum())
    assert table.loc["choice: left", "accuracy"] == pytest.approx(np.trace(counts) / len(truth))
    assert table.loc["state: go", "deviance_explained"] == result.neurons.loc["state", "deviance_explained"]


def test_blocks_hold_indicators_probabilities_and_kernels(result, page):
    facts, matrices = facts_of(page), made()[1]
    block = block_of(page, "neuron-1", facts["neuron_layout"])
    kernel = pg.kernels(result.model, matrices.design, n_points=9)["contrast"].kernel
    own = kernel.sel(neuron="choice", **{"class": "left"}).values
    np.testing.assert_allclose(block["kernel 0"][0], own, atol=np.ptp(block["kernel 0"]) / 250)
    grid = result.part("grid")
    left = grid["class"].values.tolist().index("left")
    is_left = grid["code"].values[:, 0] == left
    trial = grid["trial"].values
    by_trial = pd.Series(is_left).groupby(trial).mean()
    np.testing.assert_allclose(block["trial by trial"][0], by_trial, atol=0.01)
    probable = pd.Series(grid["probability"].values[:, 0, left]).groupby(trial).mean()
    np.testing.assert_allclose(block["trial by trial"][1], probable, atol=0.01)


def test_a_response_counts_once_over_responses(result, page):
    facts = facts_of(page)["population"]
    shares = result.part("contributions")["fraction_explained_deviance"].transpose("variable", "neuron").values
    measure = next(one for one in facts["measures"] if one["part"] == "contributions")
    np.testing.assert_allclose([five[2] for five in measure["percentiles"]], np.nanmedian(shares, axis=1), rtol=1e-4)
    assert measure["n"] == [2, 2]
    whole = block_of(page, "block", facts_of(page)["population_layout"])
    np.testing.assert_allclose(whole["contributions fraction_explained_deviance"][:, 1], shares[:, 0], rtol=1e-3)


def test_methods_say_that_the_past_of_neurons_explains_responses(result):
    coupling = '[[terms]]\nbasis = "coupling"\nof = {basis = "bumps", n = 3, low = 0.1, high = 0.5}\n'
    masks = """[masks]\ncontrast = "neuron == 'choice'"\n"""
    tree = result.tree.copy()
    tree.attrs["recipe"] = result.recipe_text.replace("[model]", f"{coupling}\n{masks}\n[model]")
    said = " ".join(methods_of(replace(result, tree=tree), None)[0])
    assert "Coupling from a neuron, which is its past activity, could explain all responses." in said
    assert "all neurons but itself" not in said
    assert "could explain the responses of the rule" in said


@pytest.mark.skipif(bool(MISSING), reason=MISSING)
def test_shares_are_not_read_as_numbers_of_samples_and_few_cells_are_small(tmp_path):
    page = make_page(made()[0]["bare"])
    before, facts, after = re.split(r'(?<=id="facts">)(.*?)(?=</script>)', page, maxsplit=1, flags=re.S)
    told = json.loads(facts)
    told["population"]["confusions"] = [
        {"response": "rare", "classes": ["no", "yes"], "counts": [[1999, 0], [1, 0]]},
        {"response": "one", "classes": ["only"], "counts": [[40]]},
        {"response": "thirds", "classes": ["a", "b", "c"], "counts": [[1, 0, 0], [0, 0, 1], [1, 0, 0]]},
    ]
    file = tmp_path / "few.html"
    file.write_text(before + json.dumps(told).replace("<", r"\u003c") + after, encoding="utf-8")
    with a_browser() as browser:
        tab = Opened(browser, file).tab
        words = tab.locator("#figure-confusions").inner_text()
        assert "rare: 99.95 % of held-out samples are told rightly, 99.95 % by naming" in words
        assert "one: 100 % of held-out samples" in words
        assert "thirds: 33.3 % of held-out samples are told rightly, 33.3 % by naming" in words
        description = tab.locator("#figure-confusions svg[role=img]").first.get_attribute("aria-label")
        assert description.endswith("no found in 100 %, yes found in 0 %")
        for cell in tab.locator("#figure-confusions svg[role=img] rect").all():
            assert cell.bounding_box()["width"] <= 160
        # letters are as large as the page sets them, and no larger
        heights = [text.bounding_box()["height"] for text in tab.locator("#figure-confusions svg[role=img] text").all()]
        assert 10 < max(heights[-3:]) < 24


@pytest.mark.skipif(bool(MISSING), reason=MISSING)
@pytest.mark.parametrize("name", ["explained", "bare"])
def test_the_page_in_a_browser(name, tmp_path):
    file = tmp_path / "classes.html"
    file.write_text(make_page(made()[0][name]), encoding="utf-8")
    with a_browser() as browser:
        opened = Opened(browser, file, fragment="#neuron=choice%3A%20left")
        tab = opened.tab
        assert tab.locator("#neuron-name").inner_text() == "choice: left"
        assert tab.locator("#figure-confusions figure").count() == 2
        assert tab.locator("#figure-confusions rect").count() == 9 + 4
        words = tab.locator("main").inner_text()
        assert "Where neurons lie" not in words
        assert not re.search(r"\bneurons?\b", words.split("Methods")[0])
        assert opened.complaints == []
        assert opened.requests == [opened.url]
