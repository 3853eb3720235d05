"""What Python's functions complain of, told of a recipe: with its line, and in its words."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from typing import Any

from popglm.analysis.recipe import Recipe

__all__ = ["as_of_recipe"]

#: What is called otherwise in a recipe than in Python.
_WORDS = (
    (r"^regrid: ", ""),
    (r"session\.check\(\)", "popglm check"),
    (r"keep some of them with session\.where\(name, query\), in a recipe trials\.where", "keep some with trials.where"),
    (r"use categories\('[^']*'\)", 'give the term basis = "categories"'),
    (r"(in row [\d,]+)(?=,|;| holds| is|:)", r"\1 of those that are fitted"),
)
#: How complaints begin, and the part of a recipe that they are about.
_PLACES = (
    (r"there is no activity |none of [\d,]+ neurons of .* meets ", {"none of": ("neurons",), "": ("data", "activity")}),
    (r"there is no series |dt must be |give a period", {"": ("grid",)}),
    (r"trials |no bin lies in any trial", {"": ("trials",)}),
)


def as_of_recipe(recipe: Recipe, error: Exception, sources: Mapping[str, str]) -> str:
    """The message of an error of a recipe's data, with the line that it is about where that can be told.

    Parameters
    ----------
    sources : mapping of str to str
        The source of every variable, by its name.
    """
    message = str(error)
    for pattern, words in _WORDS:
        message = re.sub(pattern, words, message)
    for name, source in sources.items():
        told = "|".join(re.escape(repr(one)) for one in (source, name))
        what = r";| is| must| holds| are| cannot| has [\d,]+ (columns|rows)"
        if re.match(rf"(the session has no variable |variable )?({told})({what})", message):
            return f"{recipe.place(_keys_of_variable(recipe, name))}: {message}"
    for pattern, places in _PLACES:
        if re.match(pattern, message):
            keys = next(keys for start, keys in places.items() if message.startswith(start))
            return f"{recipe.place(keys)}: {message}"
    return message


def _keys_of_variable(recipe: Recipe, name: str) -> tuple[Any, ...]:
    """Where a recipe names a variable: in its table of variables, or else where it is used first."""
    content = recipe.content
    if name in (content.variables or {}):
        return "variables", name
    used = {"terms": [{"basis": None, **term.model_dump(exclude={"basis"})} for term in content.terms]}
    return next(_paths({**used, "fit": content.fit.model_dump()}, name), ("terms",))


def _paths(found: Any, value: str, path: tuple[Any, ...] = ()) -> Iterator[tuple[Any, ...]]:
    """Paths of a value within nested tables and lists."""
    if found == value:
        yield path
    inner = found.items() if isinstance(found, dict) else enumerate(found) if isinstance(found, list) else ()
    for key, one in inner:
        yield from _paths(one, value, (*path, key))
