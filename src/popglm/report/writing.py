"""The page: a result's numbers, styles and scripts in one HTML file that fetches nothing."""

from __future__ import annotations

import base64
import json
import math
from hashlib import sha256
from html import escape
from importlib.resources import files
from pathlib import Path
from string import Template
from typing import Any

import numpy as np
from matplotlib import colormaps

from popglm.analysis.result import Result
from popglm.io.files import check_target, write_whole
from popglm.report.absent import absences
from popglm.report.classes import Classes, words_of
from popglm.report.clusters import Clusters, cluster_by_contribution
from popglm.report.kernel_fields import kernels_of
from popglm.report.methods import methods_of
from popglm.report.neuron_blocks import blocks_within, neuron_source
from popglm.report.packed import layout_of, pack
from popglm.report.population import population_facts, population_fields, table_of_neurons

__all__ = ["make_page", "write_report"]

#: Room for the blocks of all neurons as text (bytes): with scripts and tables the page stays below 8 MB.
MOST_BYTES = 6_800_000
_CONFUSION = """<h3>Confusion</h3>
<p class="hint">Every held-out sample is told the class that is most probable to the fold that had not seen it.</p>
<div class="multiples" id="figure-confusions"></div>"""
#: In the order in which they stand in the page.
STYLES = ("page.css", "figures.css", "picker.css", "print.css")
SCRIPTS = (
    *("decode.js", "numbers.js", "shapes.js", "axes.js", "curves.js", "rows.js", "pictures.js", "figures.js"),
    *(
        "population.js",
        "confusion.js",
        "clusters.js",
        "picker.js",
        "neuron.js",
        "activity.js",
        "certificate.js",
        "start.js",
    ),
)


def write_report(result: Result, path: str | Path) -> int:
    """Write a result as one HTML page, whole or not at all.

    Parameters
    ----------
    path : path-like
        A new file, or one to replace.

    Returns
    -------
    int
        Bytes of the page.

    Raises
    ------
    TypeError, ValueError
        If it is no path of a file, or its folder does not exist.
    OSError
        If it cannot be written.
    """
    target = check_target(path, "report.html")
    page = make_page(result).encode("utf-8")
    write_whole(target, lambda beside: Path(beside).write_bytes(page), len(page))
    return len(page)


def make_page(result: Result) -> str:
    """A result as the text of an HTML page.

    Of a classifier it has a row for every class of every response in the place of a neuron.

    Notes
    -----
    The page holds its own styles and scripts and a policy that forbids any connection. Names of neurons and variables
    are shown as text, whatever is in them.
    """
    classes = Classes.of(result) if result.kind == "ClassifierGLMCV" else None
    shown, words = result if classes is None else classes.as_neurons(), words_of(result)
    kernels = kernels_of(shown)
    table = table_of_neurons(shown)
    clusters = _clusters(result) if classes is None else None
    source = neuron_source(shown, kernels)
    blocks, layout, detail = blocks_within(source, MOST_BYTES)
    fields = population_fields(shown, table)
    of_classes = {} if classes is None else {"first": classes.first, "confusions": classes.confusions()}
    facts = {
        "words": words,
        # of a response counts once, however many classes it has
        "population": population_facts(result, table, kernels, clusters) | of_classes,
        "population_layout": layout_of(fields),
        "neuron": source.described(detail),
        "neuron_layout": layout,
        "activity": _label_of_activity(result),
        "certificate": _certificate(result),
        "colours": {name: _colours(of) for name, of in (("even", "cividis"), ("around_zero", "RdBu_r"))},
    }
    style, script = _joined("style", STYLES), _joined("script", SCRIPTS)
    paragraphs, sources = methods_of(result, clusters)
    name = Path(str(result.about["data"])).name
    return Template(_read("page.html")).substitute(
        title=escape(f"popglm report: {name}"),
        name=escape(name),
        policy=_policy(style, script),
        score_of="held out in cross-validation" if result.is_held_out else "fitted",
        style=style,
        script=script,
        summary=_summary(result),
        methods="\n".join(f"<p>{escape(paragraph)}</p>" for paragraph in paragraphs),
        sources="\n".join(f"<li>{escape(one)}</li>" for one in sources),
        recipe=escape(result.recipe_text),
        notes=_notes(result),
        facts=json_in_html(facts),
        block=pack(fields)[0],
        blocks="\n".join(
            f'<script type="text/plain" id="neuron-{k}">{block}</script>' for k, block in enumerate(blocks)
        ),
        things=words["many"],
        Things=words["many"].capitalize(),
        thing=words["one"],
        everything=words["all"],
        gains=words["gains"],
        activity_of=words["activity"],
        of_neurons="" if classes is None else "hidden",
        confusion="" if classes is None else _CONFUSION,
        **_absent(absences(result, table, kernels, clusters)),
    )


def json_in_html(value: Any) -> str:
    """JSON that cannot end the element it stands in: <, > and & are written as escapes; NaN is null.

    Examples
    --------
    >>> json_in_html({"a": "</script>", "b": float("nan")})
    '{"a":"\\\\u003c/script\\\\u003e","b":null}'
    """
    text = json.dumps(_plain(value), ensure_ascii=False, separators=(",", ":"), allow_nan=False)
    for character in "<>&\u2028\u2029":
        text = text.replace(character, f"\\u{ord(character):04x}")
    return text


def _plain(value: Any) -> Any:
    """What JSON can hold, fractions to five digits."""
    if isinstance(value, dict):
        return {str(key): _plain(one) for key, one in value.items()}
    if isinstance(value, list | tuple):
        return [_plain(one) for one in value]
    if isinstance(value, float):
        return float(f"{value:.5g}") if math.isfinite(value) else None
    return value


def _clusters(result: Result) -> Clusters | None:
    """Clusters by the shares of explained deviance; none before `popglm explain`."""
    if "contributions" not in result.tree.children:
        return None
    part = result.part("contributions")
    shares = part["fraction_explained_deviance"].transpose("neuron", "variable").values
    return cluster_by_contribution(shares, part["deviance_explained"].values)


def _label_of_activity(result: Result) -> str:
    """What the vertical axis of activity is called."""
    if result.kind == "ClassifierGLMCV":
        return "Share of samples of the class"
    grid = result.part("grid")
    unit = grid["activity"].attrs.get("units")
    return f"Activity ({unit})" if unit else f"Activity per {1000 * float(grid.attrs['bin_width']):.3g} ms"


def _certificate(result: Result) -> dict[str, Any]:
    """What the certificate of a neuron bounds, and the column and value of what says that a fit is done."""
    of_what = {
        "SmoothGLM": "at the chosen strengths of smoothing ",
        "LowRankGLM": "of all neurons together, over weights of any rank, ",
        "TwoPartGLM": "of either part ",
        "ClassifierGLMCV": "of all classes of the response together ",
    }
    # what the tolerance of these bounds is another number than the certificate
    column = {"SmoothGLM": "slope", "LowRankGLM": None}.get(result.kind, "gap")
    return {"of": of_what.get(result.kind, ""), "column": column, "tolerance": float(result.parameters["tol"])}


def _colours(name: str) -> list[str]:
    """Sixty-four colours from end to end."""
    return ["".join(f"{round(255 * part):02x}" for part in colormaps[name](x)[:3]) for x in np.linspace(0, 1, 64)]


def _summary(result: Result) -> str:
    """A list of facts."""
    grid, neurons, models = result.part("grid"), result.neurons, words_of(result)["models"].capitalize()
    score = neurons["deviance_explained"]
    facts = {
        models: f"{len(neurons):,}",
        "Median deviance explained": f"{score.median():.3f}",
        "Best deviance explained": f"{score.max():.3f}",
        f"{models} beyond the null model": f"{int((score > 0).sum()):,}",
        "Trials": f"{len(np.unique(grid['trial'].values)):,}",
        "Bins": f"{grid.sizes['time']:,} of {1000 * float(grid.attrs['bin_width']):.4g} ms",
        "Columns of the design": f"{result.part('design').sizes['column']:,}",
        "Largest certificate": f"{neurons['gap'].max():.2g}",
    }
    if not result.is_held_out:
        facts["Deviance explained"] = "of the fitted samples themselves"
    return "\n".join(f"<div><dt>{escape(name)}</dt><dd>{escape(value)}</dd></div>" for name, value in facts.items())


def _notes(result: Result) -> str:
    """What was noted when the recording was put on its grid."""
    lines = [line for line in str(result.about["notes"]).splitlines() if line]
    if not lines:
        return ""
    return "<h3>Notes on the recording</h3>\n<ul>" + "".join(f"<li>{escape(line)}</li>" for line in lines) + "</ul>"


def _absent(said: dict[str, list[str]]) -> dict[str, str]:
    """Paragraphs for what is not there, by the name of their place in the page."""
    places = ("deviance", "strengths", "contributions", "along", "kernels", "bands", "places", "clusters", "neuron")
    return {
        f"absent_{place}": "\n".join(f'<p class="absent">{escape(sentence)}</p>' for sentence in said.get(place, ()))
        for place in places
    }


def _policy(style: str, script: str) -> str:
    """A Content-Security-Policy that lets this style and this script in, and no connection at all."""
    hashes = [base64.b64encode(sha256(text.encode("utf-8")).digest()).decode("ascii") for text in (style, script)]
    return (
        f"default-src 'none'; style-src 'sha256-{hashes[0]}'; script-src 'sha256-{hashes[1]}'; img-src data:; "
        "base-uri 'none'; form-action 'none'"
    )


def _joined(folder: str, names: tuple[str, ...]) -> str:
    """Files of the page one after the other; scripts share one scope of their own."""
    text = "\n".join(_read(name) for name in names)
    return f'"use strict";\n(() => {{\n{text}\n}})();\n' if folder == "script" else text


def _read(name: str) -> str:
    """A file of the page."""
    return files("popglm.report").joinpath("page", name).read_text(encoding="utf-8")
