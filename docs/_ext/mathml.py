"""Formulas as MathML, which browsers draw by themselves: no script, no font and no request to another host."""

from __future__ import annotations

from docutils import nodes
from latex2mathml.converter import convert
from sphinx.application import Sphinx
from sphinx.util.math import wrap_displaymath
from sphinx.writers.html5 import HTML5Translator


def inline(translator: HTML5Translator, node: nodes.math) -> None:
    """Write a formula within a line."""
    translator.body.append(convert(node.astext()))
    raise nodes.SkipNode


def display(translator: HTML5Translator, node: nodes.math_block) -> None:
    """Write a formula on a line of its own; blank lines part those that are numbered."""
    latex = node.astext() if node["no-wrap"] else wrap_displaymath(node.astext(), None, False).strip()
    latex = latex.removeprefix(r"\begin{equation*}").removesuffix(r"\end{equation*}")
    latex = latex.replace(r"\begin{split}", "").replace(r"\end{split}", "")
    translator.body.append(translator.starttag(node, "div", CLASS="formula"))
    translator.body.append(convert(latex, display="block"))
    translator.body.append("</div>\n")
    raise nodes.SkipNode


def setup(app: Sphinx) -> dict[str, bool]:
    """Offer the renderer to ``html_math_renderer``."""
    app.add_html_math_renderer("mathml", (inline, None), (display, None))
    return {"parallel_read_safe": True, "parallel_write_safe": True}
