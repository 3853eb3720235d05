"""The pages say what is there: every public name has its place in the reference, and the guide's examples run."""

import csv
import doctest
import re
from pathlib import Path

import pytest

import popglm
import popglm.glm_class
import popglm.plot

DOCS = Path(__file__).parents[2] / "docs"


def names_in_the_reference():
    """Full name of every entry of the autosummaries in api.rst."""
    module, names = "", set()
    for line in (DOCS / "api.rst").read_text(encoding="utf-8").splitlines():
        if found := re.fullmatch(r"\.\. currentmodule:: (\S+)", line):
            module = found[1]
        elif found := re.fullmatch(r"   ([A-Za-z_][\w.]*)", line):
            names.add(f"{module}.{found[1]}")
    return names


@pytest.mark.parametrize(
    "module", [popglm, popglm.plot, popglm.recording, popglm.glm_class], ids=lambda module: module.__name__
)
def test_the_reference_has_every_public_name(module):
    known = names_in_the_reference()
    names = [name for name in module.__all__ if f"popglm.{name}" not in known]
    missing = {f"{module.__name__}.{name}" for name in names} - known
    assert not missing


#: Libraries of extras that the examples of a page need.
NEEDS = {"larger_than_memory": "distributed"}


@pytest.mark.parametrize("page", sorted((DOCS / "guide").glob("*.rst")), ids=lambda page: page.stem)
def test_the_examples_of_the_guide(page):
    if page.stem in NEEDS:
        pytest.importorskip(NEEDS[page.stem], reason=f"{NEEDS[page.stem]} is not installed")
    assert doctest.testfile(str(page), module_relative=False).failed == 0


def test_the_map_of_the_code_names_every_file_and_no_other():
    text = (DOCS / "development.rst").read_text(encoding="utf-8")
    text, changes = text[text.index("Files of ``solve/``") :].split("What a change touches")
    named = {Path(name).name for name in re.findall(r"``([a-z_/]+\.py)``", text)}
    rooms = (DOCS.parent / "src" / "popglm" / room for room in ("solve", "statistics"))
    assert named == {path.name for room in rooms for path in room.rglob("*.py") if path.stem != "__init__"}
    package = DOCS.parent / "src" / "popglm"
    for name in re.findall(r"``([a-z_]+/[a-z_/]*(?:\.py)?)``", changes):
        assert (package / name).exists(), name


def test_the_map_of_the_solver_has_every_folder_below_those_that_use_it():
    text = (DOCS / "development.rst").read_text(encoding="utf-8")
    text = text[text.index("Files of ``solve/``") : text.index("What a change touches")]
    table = re.findall(r"^   \* - ``([a-z_]+)/``$", text, re.M)
    solve = DOCS.parent / "src" / "popglm" / "solve"
    assert sorted(table) == sorted(path.parent.name for path in solve.glob("*/__init__.py"))
    assert sorted(table) == sorted(re.findall(r"^\*\*.+\*\* \(``([a-z_]+)/``\)$", text, re.M))
    for folder in table:
        code = "".join(path.read_text(encoding="utf-8") for path in (solve / folder).glob("*.py"))
        used = set(re.findall(r"^ *from popglm\.solve\.([a-z_]+)[. ]", code, re.M))
        assert not used.intersection(table[table.index(folder) + 1 :]), folder


def test_every_feature_is_shown_by_tests_that_exist():
    with (DOCS / "features.csv").open(encoding="utf-8", newline="") as file:
        rows = list(csv.DictReader(file))
    assert len(rows) > 30
    for row in rows:
        assert (row["popglm"] == "yes") == bool(row["shown by"]), row["feature"]
        assert not row["shown by"] or (DOCS.parent / row["shown by"].strip("`")).is_file(), row["shown by"]


def test_every_check_of_a_peer_is_shown_by_a_test_and_every_such_test_is_listed():
    with (DOCS / "peer_checks.csv").open(encoding="utf-8", newline="") as file:
        rows = list(csv.DictReader(file))
    shown = set()
    for row in rows:
        tests = re.findall(r"``([^`]+)``", row["shown by"])
        assert (row["popglm"], bool(tests)) in {("yes", True), ("no", False)}, row
        assert tests or row["how, or why not"], row
        for test in tests:
            path, _, name = test.partition("::")
            assert not name or f"def {name}(" in (DOCS.parent / path).read_text(encoding="utf-8"), test
            assert (DOCS.parent / path).is_file(), test
            shown.add(test)
    for path in sorted((DOCS.parent / "tests" / "peers").glob("test_*.py")):
        for name in re.findall(r"^def (test_\w+)\(", path.read_text(encoding="utf-8"), re.M):
            assert f"tests/peers/{path.name}::{name}" in shown, name
