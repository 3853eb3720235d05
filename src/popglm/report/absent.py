"""What a result does not hold, and how to get it: a sentence for each section of the page."""

from __future__ import annotations

import pandas as pd

from popglm.analysis.result import Result
from popglm.report.clusters import Clusters
from popglm.report.kernel_fields import Kernels, has_band
from popglm.report.places import place_of

__all__ = ["absences"]

#: Why there is no picture of strengths, by the kind of model.
_NO_STRENGTH = {
    "TwoPartGLM": "Each part has strengths of its own: the columns strength_events and strength_amounts of a neuron.",
    "SmoothGLM": "Strengths are of every neuron and term, and chosen without folds; the column degrees_of_freedom has "
    "what curves take in all.",
}


def absences(
    result: Result, table: pd.DataFrame, kernels: Kernels | None, clusters: Clusters | None
) -> dict[str, list[str]]:
    """Sentences by the part of the page that lacks something."""
    parts = result.tree.children
    said: dict[str, list[str]] = {}

    def tell(part: str, sentence: str) -> None:
        said.setdefault(part, []).append(sentence)

    if "contributions" not in parts:
        for part in ("contributions", "neuron"):
            tell(part, "This result has no contributions of variables yet: popglm explain adds them.")
        tell(
            "along", "Contributions over position or time come with popglm explain, where the recipe has [explain.by]."
        )
    elif "bin" not in parts["contributions"].dims:
        tell(
            "along",
            "Contributions were not binned: give the recipe a table such as [explain.by.position] with low, high and "
            "n, and run popglm explain with --recipe.",
        )
    if "strength" not in table:
        tell("strengths", _NO_STRENGTH[result.kind])
    if "contributions" in parts and "unique" not in parts:
        tell(
            "contributions",
            "What only a variable explains is not known: no LowRankGLM is fitted again without a variable.",
        ) if result.kind == "LowRankGLM" else tell(
            "contributions",
            "What only a variable explains is not known: set explain.compare = true in the recipe and run popglm "
            "explain with --recipe.",
        )
    if kernels is None:
        tell("kernels", "This result has no kernels yet: popglm explain adds them.")
    elif not any(map(has_band, kernels.groups)) and result.kind == "LowRankGLM":
        tell("bands", "Kernels have no bands: no LowRankGLM is fitted again to trials that were drawn.")
    elif not any(map(has_band, kernels.groups)):
        tell(
            "bands",
            "Kernels have no bands: set explain.bootstrap, to 200 resamples say, in the recipe and run popglm explain "
            "with --recipe.",
        )
    if place_of(table) is None:
        tell(
            "places", "The table of units or ROIs has no column that says where neurons lie, such as x and y, or depth."
        )
    if clusters is None and "contributions" in parts:
        tell("clusters", "There are too few neurons of which enough is explained, or too few variables, for clusters.")
    elif clusters is None:
        tell("clusters", "Clusters are made of contributions: popglm explain adds them.")
    if "deviance_explained_test" not in table:
        tell(
            "deviance", "No trials were kept as a test: a table [test] in the recipe, with fraction = 0.15, keeps some."
        )
    return said
