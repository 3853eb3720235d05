"""Built pages need no other host: formulas are MathML, and nothing is fetched. Every plot function has its picture."""

import ast
import re
from pathlib import Path

import pytest

import popglm.plot

ROOT = Path(__file__).parents[2]
DOCS = ROOT / "docs"

PAGE = r"""
Formulas
========

A rate :math:`\mu_t = e^{b}` in a line, and

.. math:: \sqrt{\frac{n}{n - 1} \sum_j E_j^2 (f_j - F)^2}

on its own.
"""


@pytest.fixture(scope="module")
def page(tmp_path_factory):
    """The HTML of a small page, by the renderer and the theme of the documentation."""
    pytest.importorskip("latex2mathml")
    pytest.importorskip("pydata_sphinx_theme")
    application = pytest.importorskip("sphinx.application")
    conf = (DOCS / "conf.py").read_text(encoding="utf-8")
    renderer = re.search(r'^html_math_renderer = "(.*)"', conf, re.MULTILINE)[1]
    source = tmp_path_factory.mktemp("source")
    (source / "index.rst").write_text(PAGE, encoding="utf-8")
    theme = "pydata_sphinx_theme"
    (source / "conf.py").write_text(
        f"import sys\nsys.path.insert(0, {str(DOCS / '_ext')!r})\nextensions = ['mathml']\n"
        f"html_math_renderer = {renderer!r}\nhtml_theme = {theme!r}\n",
        encoding="utf-8",
    )
    out = source / "html"
    app = application.Sphinx(source, source, out, out / "doctrees", "html", status=None, warningiserror=True)
    app.build()
    return (out / "index.html").read_text(encoding="utf-8")


def test_formulas_are_mathml(page):
    inline, display = re.findall(r"<math .*?</math>", page, re.DOTALL)
    assert 'display="inline"' in inline
    assert "&#x003BC;" in inline or "μ" in inline
    assert 'display="block"' in display
    assert all(f"<{element}>" in display for element in ("msqrt", "mfrac", "msubsup"))
    assert "\\" not in inline + display


def test_nothing_is_fetched_from_a_host(page):
    assert not re.findall(r'<(?:script|link|img|iframe)[^>]*(?:src|href)="(?:https?:)?//[^"]*"', page)
    assert "mathjax" not in page.lower()


def formulas():
    """Every formula of the pages, the tutorials and the docstrings."""
    files = [*DOCS.rglob("*.rst"), *DOCS.rglob("plot_*.py"), *(ROOT / "src").rglob("*.py")]
    for file in files:
        if "generated" in file.parts:
            continue
        text = file.read_text(encoding="utf-8")
        if file.suffix == ".py" and "src" in file.parts:
            text = text.replace("\\\\", "\\")
        yield from re.findall(r":math:`([^`]+)`", text)
        yield from re.findall(r"\.\. math::\s*(.+?)(?=\n\s*\n|\Z)", text, re.DOTALL)


def test_every_formula_can_be_written_as_mathml():
    converter = pytest.importorskip("latex2mathml.converter")
    found = list(formulas())
    assert len(found) > 30
    for latex in found:
        assert "\\" not in converter.convert(latex.strip()), latex


@pytest.mark.parametrize("name", popglm.plot.__all__)
def test_each_plot_function_has_a_picture(name):
    # the build of the pages runs it
    path = DOCS / "pictures" / f"{name}.py"
    source = path.read_text(encoding="utf-8")
    calls = [node for node in ast.walk(ast.parse(source)) if isinstance(node, ast.Call)]
    assert f"plot.{name}" in {ast.unparse(call.func) for call in calls}
    template = (DOCS / "_templates" / "autosummary" / "base.rst").read_text(encoding="utf-8")
    assert '{% if module == "popglm.plot" %}\n.. plot:: pictures/{{ objname }}.py' in template
