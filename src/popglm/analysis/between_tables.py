"""What one table of a recipe asks for, and the model of another has not."""

from __future__ import annotations

import difflib
from typing import Any

from popglm.analysis.kinds import kind_of
from popglm.analysis.schema import Offsets, RecipeModel
from popglm.estimators.part_arguments import PARTS
from popglm.messages import listed

__all__ = ["fault_between_tables"]

#: What a model has not that ``[explain]`` may ask for, and where else it is found.
_NOT_EXPLAINED = {
    (
        "LowRankGLM",
        "compare",
    ): "compare fits a model again without each variable, which no LowRankGLM is; contributions "
    "by ablation are told without, or use kind = 'GLMCV'",
    (
        "LowRankGLM",
        "bootstrap",
    ): "bootstrap fits a model again to drawn trials, which no LowRankGLM is; leave it out, or use kind = 'GLMCV'",
}


def fault_between_tables(content: RecipeModel) -> tuple[tuple[Any, ...], str] | None:
    """The first table or line that the recipe's model cannot follow, by its keys, and a sentence of why; or None."""
    kind, fit, explain = kind_of(content.model), content.fit, content.explain
    if kind == "ClassifierGLMCV":
        if not fit.responses:
            return ("model", "kind"), (
                "a ClassifierGLMCV tells the classes of a variable in the place of activity; name it: "
                "fit.response = 'choice'"
            )
        for k, term in enumerate(content.terms):
            if term.basis == "history":
                return ("terms", k), (
                    "history is a neuron's own, and a classifier has responses in the place of neurons; coupling reads "
                    "the activity of all, and shifts the past of a variable"
                )
    elif fit.responses:
        return ("fit", "response"), (
            f"response is for [model] with kind = 'ClassifierGLMCV'; a {kind} is fitted to activity, which "
            "data.activity names"
        )
    if isinstance(fit.offset, str) and kind == "TwoPartGLM":
        return ("fit", "offset"), (
            "each part of a TwoPartGLM has an offset of its own; name the variable of one, or of both: "
            f"offset = {{amounts = {fit.offset!r}}}"
        )
    if isinstance(fit.offset, Offsets) and kind == "TwoPartGLM":
        for name in fit.offset.model_extra or {}:
            near = difflib.get_close_matches(name, PARTS, n=3, cutoff=0.5) or PARTS
            return ("fit", "offset", name), (f"{name!r} is not known here; nearest names: {listed(map(repr, near))}")
    if isinstance(fit.offset, Offsets) and kind not in ("TwoPartGLM", "ClassifierGLMCV"):
        first = next(iter(fit.offset.variables.values()))
        return ("fit", "offset"), f"a {kind} has no parts, and one offset: offset = {first!r}"
    if isinstance(fit.offset, str) and kind == "ClassifierGLMCV":
        return ("fit", "offset"), (
            "a ClassifierGLMCV has an offset for every class; name the variable of one, or of several: "
            f"offset = {{left = {fit.offset!r}}}"
        )
    for name in ("compare", "bootstrap"):
        if getattr(explain, name) and (kind, name) in _NOT_EXPLAINED:
            return ("explain", name), _NOT_EXPLAINED[kind, name]
    if kind == "SmoothGLM" and explain.compare and content.test is None:
        return ("explain", "compare"), (
            "compare scores a SmoothGLM, which holds nothing out, on test trials alone; keep some with a table [test], "
            "such as fraction = 0.15"
        )
    return None
