"""The models that a recipe may ask for, by the names of their classes, and the arguments that each of them takes."""

from __future__ import annotations

import inspect
from collections.abc import Mapping
from typing import Any

from popglm.checks import is_number
from popglm.estimators import (
    GLMCV,
    AdaptiveFactors,
    ClassifierGLMCV,
    FactorSearch,
    LowRankGLM,
    SmoothGLM,
    TwoPartGLM,
)
from popglm.messages import shown
from popglm.variables import resolve_variables

__all__ = ["KINDS", "Model", "check_options", "has_known_cost", "kind_of", "make_model", "of_fit", "shortened"]

Model = GLMCV | TwoPartGLM | SmoothGLM | LowRankGLM | ClassifierGLMCV
KINDS: dict[str, type[Model]] = {
    one.__name__: one for one in (GLMCV, TwoPartGLM, SmoothGLM, LowRankGLM, ClassifierGLMCV)
}
#: Arguments that come from elsewhere in a recipe, or cannot be written in it.
ELSEWHERE = ("feature_groups", "feature_shapes", "feature_mask", "verbose", "refit")
#: Arguments that are tables: objects in the place of ``penalty_factors``, and models of both parts.
_FACTORS: dict[str, type] = {"factor_search": FactorSearch, "adaptive_factors": AdaptiveFactors}
_PARTS = ("amounts", "events")


def kind_of(options: Mapping[str, Any]) -> str:
    """The name of the model's class that a table ``[model]`` asks for."""
    return str(options.get("kind", GLMCV.__name__))


def of_fit(kind: str) -> list[str]:
    """Arguments that the ``fit`` of a model takes."""
    return list(inspect.signature(KINDS[kind].fit).parameters)


def has_known_cost(options: Mapping[str, Any]) -> bool:
    """Whether what a fit takes was measured: of a `GLMCV` whose factors are not sought."""
    return kind_of(options) == "GLMCV" and not set(_FACTORS) & set(options)


def _options_of(kind: str) -> list[str]:
    """Arguments of a model that a recipe may give."""
    found = [name for name in inspect.signature(KINDS[kind]).parameters if name not in ELSEWHERE]
    factors = {"GLMCV": list(_FACTORS), "ClassifierGLMCV": ["adaptive_factors"]}
    return found + factors.get(kind, [])


def check_options(options: Mapping[str, Any], kind: str, above: str = "") -> None:
    """Complain of what is no argument of a model, or of a table among its arguments.

    Raises
    ------
    ValueError
        In the form that `popglm.analysis.recipe` makes a sentence of: "unknown|name|known|known …".
    """
    for option, value in options.items():
        known = _options_of(kind)
        if option == "feature_mask":
            raise ValueError("feature_mask is told by [masks]: the neurons that a feature group may explain")
        if option in ELSEWHERE:
            raise ValueError(f"{option} is told by the design, and has no place in a recipe")
        if option not in known:
            raise ValueError(f"unknown|{above}{option}|{'|'.join(known)}")
        if option in (*_FACTORS, *_PARTS):
            if not isinstance(value, Mapping):
                raise ValueError(f"{above}{option} must be a table, such as {option} = {{}}; found {shown(value)}")
            if option in _PARTS:
                check_options(value, "GLMCV", f"{option}.")
                continue
            own = list(inspect.signature(_FACTORS[option]).parameters)
            for name in value:
                if name not in own:
                    raise ValueError(f"unknown|{above}{option}.{name}|{'|'.join(own)}")
    several = [name for name in ("penalty_factors", *_FACTORS) if name in options]
    if len(several) > 1:
        raise ValueError(f"{above}{several[0]} and {several[1]} exclude each other; leave one of them out")


def make_model(options: Mapping[str, Any], groups: list[str], labels: list[Any], **more: Any) -> Model:
    """The model of a table ``[model]``, not yet fitted.

    Parameters
    ----------
    groups : list of str
        Feature groups of the design.
    labels : list
        Classes of the responses, for weights of classes, whose names are text in a recipe.
    **more
        What is not written in the table: ``feature_mask`` and ``verbose``, for those that take them.

    Raises
    ------
    KeyError
        With the keys of a penalty factor that fits no group, and the fault.
    TypeError, ValueError
        As of the model.
    """
    kind = kind_of(options)
    own = {name: value for name, value in options.items() if name != "kind"}
    if kind != "TwoPartGLM":
        return KINDS[kind](**_arguments(kind, own, groups, labels, more))
    amounts = {"family": "gamma", **own.get("amounts", {})}
    events = {"family": "bernoulli", **own.get("events", {})}
    # the settings of the amounts, but for those that are its own; of its factors there is one table
    factors = ("penalty_factors", *_FACTORS)
    apart = ("family", "inverse_link", "power", *(factors if set(factors) & set(events) else ()))
    events = {name: value for name, value in amounts.items() if name not in apart} | events
    parts = {}
    for name, table in (("amounts", amounts), ("events", events)):
        try:
            parts[name] = GLMCV(**_arguments("GLMCV", table, groups, labels, more))
        except KeyError as error:
            keys, fault = error.args
            raise KeyError((name, *keys), fault) from None
    return TwoPartGLM(**parts)


def shortened(options: Mapping[str, Any]) -> dict[str, Any]:
    """The same model with as few steps as can be, to see whether it can be fitted at all."""
    found = dict(options)
    if kind_of(options) == "TwoPartGLM":
        return found | {name: shortened(found.get(name, {})) for name in _PARTS if name in found or name == "amounts"}
    if "factor_search" in found:
        found["factor_search"] = {**found["factor_search"], "n_candidates": 1, "n_fitted": 1}
    given = found.get("max_iter", 1)
    # what is wrong has to be told
    return found | {"max_iter": 1 if is_number(given, whole=True) and given >= 1 else given}


def _arguments(
    kind: str, options: Mapping[str, Any], groups: list[str], labels: list[Any], more: Mapping[str, Any]
) -> dict[str, Any]:
    """Arguments of a model from those of a recipe, and those of ``more`` that it takes."""
    own = dict(options)
    for name, make in _FACTORS.items():
        if name in own:
            own["penalty_factors"] = make(**own.pop(name))
    for name in ("penalty_factors", "constraints"):
        if isinstance(own.get(name), Mapping):
            own[name] = _of_groups(name, own[name], groups)
    if isinstance(own.get("class_weight"), Mapping):
        by_text = {str(int(one) if is_number(one) and one == int(one) else one): one for one in labels}
        own["class_weight"] = {by_text.get(label, label): weight for label, weight in own["class_weight"].items()}
    taken = inspect.signature(KINDS[kind]).parameters
    return own | {name: value for name, value in more.items() if name in taken and value is not None}


def _of_groups(table: str, given: Mapping[str, Any], groups: list[str]) -> dict[str, Any]:
    """A table by names of groups, where a recipe has names or patterns of them; a name outdoes a pattern.

    Raises
    ------
    KeyError
        With the keys of what fits no group, or one that another pattern fits, too; and the fault.
    """
    by_pattern: dict[str, str] = {}
    for key in (key for key in given if key not in groups):
        try:
            fits = resolve_variables({key: key}, groups)[key]
        except ValueError as error:
            raise KeyError((table, key), str(error)) from None
        for group in fits:
            if group in by_pattern and group not in given:
                fault = f"{by_pattern[group]!r} and {key!r} both fit the group {group!r}; name one of them"
                raise KeyError((table, key), fault)
            by_pattern[group] = key
    return {group: given[by_pattern[group]] for group in by_pattern} | {
        group: one for group, one in given.items() if group in groups
    }
