"""The page as text: it is one file, fetches nothing, and shows names as text."""

import base64
import json
import re
from hashlib import sha256
from html.parser import HTMLParser
from importlib.resources import files

import numpy as np
import pytest
from made_results import made_results
from typer.testing import CliRunner

import popglm
from popglm.analysis.result import open_result
from popglm.cli import app
from popglm.report.packed import unpacked
from popglm.report.writing import SCRIPTS, STYLES, json_in_html, make_page, write_report

#: Elements that have no end.
VOID = {"meta", "link", "input", "br", "img"}


@pytest.fixture(scope="module")
def result():
    return made_results()["explained"]


@pytest.fixture(scope="module")
def results():
    return made_results()


class Reader(HTMLParser):
    """Elements with their attributes and texts; complains of ends that do not match."""

    def __init__(self, text):
        super().__init__(convert_charrefs=True)
        self.found, self.open, self.ids = [], [], []
        self.feed(text)
        assert self.open == []

    def handle_starttag(self, tag, attrs):
        element = {"tag": tag, "attrs": dict(attrs), "text": ""}
        self.found.append(element)
        self.ids += [value for name, value in attrs if name == "id"]
        if tag not in VOID:
            self.open.append(element)

    def handle_endtag(self, tag):
        assert self.open.pop()["tag"] == tag

    def handle_data(self, data):
        for element in self.open:
            element["text"] += data

    def named(self, tag):
        return [one for one in self.found if one["tag"] == tag]


@pytest.fixture(scope="module")
def page(result):
    return make_page(result)


@pytest.fixture(scope="module")
def read(page):
    return Reader(page)


def script(read, name):
    return next(one["text"] for one in read.named("script") if one["attrs"].get("id") == name)


def test_nothing_is_fetched(page, read):
    for tag, attribute in (("script", "src"), ("link", "href"), ("img", "src"), ("iframe", "src"), ("a", "href")):
        for one in read.named(tag):
            assert one["attrs"].get(attribute, "#").startswith(("#", "data:"))
    assert not re.search(r"url\(|@import|fetch\(|XMLHttpRequest|WebSocket|importScripts|import\(", page)


def test_the_policy_allows_this_style_and_this_script_alone(read):
    (policy,) = (one["attrs"]["content"] for one in read.named("meta") if "http-equiv" in one["attrs"])
    rules = dict(rule.strip().split(" ", 1) for rule in policy.split(";"))
    assert rules["default-src"] == "'none'"
    assert rules["img-src"] == "data:"
    scripts = [one["text"] for one in read.named("script") if "type" not in one["attrs"]]
    for rule, (text,) in (("script-src", scripts), ("style-src", [one["text"] for one in read.named("style")])):
        assert rules[rule] == f"'sha256-{base64.b64encode(sha256(text.encode()).digest()).decode()}'"
    # no attribute is a script or a style
    for one in read.found:
        assert not any(name.startswith("on") or name == "style" for name in one["attrs"])


def test_scripts_never_read_texts_as_markup():
    folder = files("popglm.report").joinpath("page")
    for name in SCRIPTS:
        text = folder.joinpath(name).read_text(encoding="utf-8")
        assert not re.search(
            r"innerHTML|outerHTML|insertAdjacentHTML|document\.write|eval\(|new Function|DOMParser", text
        )
        assert len(text.splitlines()) < 400
    assert {path.name for path in folder.iterdir()} == {*SCRIPTS, *STYLES, "page.html"}


def test_names_are_texts(result, read):
    names = [str(name) for name in result.neurons.index]
    facts = json.loads(script(read, "facts"))
    assert facts["population"]["neurons"] == names
    assert facts["population"]["texts"]["area"][0] == "<i>V1</i>"
    assert not read.named("img")
    assert not read.named("i")
    assert not read.named("b")
    # the page's own, the facts, the block of the population, and one per neuron
    assert len(read.named("script")) == 3 + len(names)
    (recipe,) = read.named("pre")
    assert recipe["text"] == result.recipe_text
    assert "</pre><script>alert(3)</script>" in recipe["text"]


def test_every_element_is_named_once(read):
    assert len(read.ids) == len(set(read.ids))


def test_labels_headings_and_the_skip_link(read):
    ids = set(read.ids)
    for one in read.found:
        for attribute in ("aria-labelledby", "for"):
            assert one["attrs"].get(attribute) is None or one["attrs"][attribute] in ids
        if one["tag"] == "a":
            assert one["attrs"]["href"].removeprefix("#") in ids
    assert read.named("html")[0]["attrs"]["lang"] == "en"
    levels = [int(one["tag"][1]) for one in read.found if re.fullmatch(r"h[1-6]", one["tag"])]
    assert levels[0] == 1
    assert max(np.diff(levels)) == 1
    assert read.named("a")[0]["attrs"]["class"] == "skip"


def test_blocks_hold_the_neurons(result, read):
    facts = json.loads(script(read, "facts"))
    expected = result.part("model")["cv_deviance_explained_path"].values
    for k in (0, 7, 23):
        found = unpacked(script(read, f"neuron-{k}"), facts["neuron_layout"])
        np.testing.assert_allclose(found["path"], expected[:, k], atol=1e-4)


def test_bytes_per_neuron_and_of_the_rest(page, read):
    blocks = sum(len(one["text"]) for one in read.named("script") if one["attrs"].get("type") == "text/plain")
    own = [one for one in read.found if one["tag"] == "style" or (one["tag"] == "script" and not one["attrs"])]
    code = sum(len(one["text"]) for one in own)
    assert len(page.encode()) < 400_000
    assert blocks < 12_000 * 24
    assert code < 90_000


def test_json_cannot_end_its_element():
    value = {"</script>": ["<!--", "&amp;", "\u2028", float("inf"), 1 / 3, True, None, 12345678]}
    text = json_in_html(value)
    assert not set("<>&\u2028") & set(text)
    assert json.loads(text) == {"</script>": ["<!--", "&amp;", "\u2028", None, 0.33333, True, None, 12345678]}


def test_what_is_absent_is_said(results):
    text = make_page(results["bare"])
    assert "popglm explain adds them" in text
    assert "no contributions of variables yet" in text
    Reader(text)


@pytest.mark.thorough
def test_the_command_writes_the_page(result, tmp_path):
    file, page = tmp_path / "result.nc", tmp_path / "report.html"
    result.save(file)
    found = CliRunner().invoke(app, ["report", str(file), "-o", str(page)])
    assert found.exit_code == 0, found.output
    assert "report.html" in found.output
    assert page.read_text(encoding="utf-8").startswith("<!doctype html>")
    told = CliRunner().invoke(app, ["report", str(file), "-o", str(page), "--json"])
    assert json.loads(told.stdout) == {"path": str(page), "bytes": page.stat().st_size}


def test_a_page_is_whole_or_not_there(result, tmp_path, monkeypatch):
    page = tmp_path / "report.html"
    page.write_text("before")
    with pytest.raises(ValueError, match="does not exist"):
        write_report(result, tmp_path / "nowhere" / "report.html")

    def fails(*_):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("pathlib.Path.write_bytes", fails)
    with pytest.raises(OSError, match="disk is full"):
        write_report(result, page)
    assert [path.name for path in tmp_path.iterdir()] == ["report.html"]
    assert page.read_text() == "before"


def test_what_is_no_result_is_told_in_a_sentence(tmp_path):
    other = tmp_path / "other.nc"
    other.write_bytes(b"nothing")
    found = CliRunner().invoke(app, ["report", str(other), "-o", str(tmp_path / "report.html")])
    assert found.exit_code == 1
    assert "holds no result of popglm fit that can be read" in found.output
    assert not (tmp_path / "report.html").exists()


@pytest.mark.thorough
def test_the_same_result_makes_the_same_page(result, page, tmp_path):
    result.save(tmp_path / "result.nc")
    assert make_page(open_result(tmp_path / "result.nc")) == page
    assert popglm.__version__ in page
