"""What Python's functions complain of, told of a recipe: with its line, and in its words."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from typing import Any

from popglm import toml_text
from popglm.analysis.recipe import Recipe
from popglm.analysis.schema import VariableOfRecipe
from popglm.messages import shown

__all__ = ["as_of_recipe"]

#: What is called otherwise in a recipe than in Python.
_WORDS = (
    (r"^regrid: ", ""),
    (r"session\.check\(\)", "popglm check"),
    (r"keep some of them with session\.where\(name, query\), in a recipe trials\.where", "keep some with trials.where"),
    (r"use categories\('[^']*'\)", 'give the term basis = "categories"'),
    (r"drop its rows, or give no_trial=(-?\d+) to Session\.regrid", r"say so with trials.none = \1"),
    (r"no_trial=(\S+) is for", r"trials.none = \1 is for"),
    (r"leave it out, or name one as trials$", "leave it out, or name one with trials.source"),
    (r"(in row [\d,]+)(?=,|;| holds| is|:)", r"\1 of those that are fitted"),
)
#: How complaints begin, and the part of a recipe that they are about.
_PLACES = (
    (r"there is no activity |none of [\d,]+ neurons of .* meets ", {"none of": ("neurons",), "": ("data", "activity")}),
    (r"there is no series |dt must be |give a period", {"": ("grid",)}),
    (r"trials\.none ", {"": ("trials", "none")}),
    (r"trial variable ", {"": ("trials", "source")}),
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
    if product := _product_with_text(recipe, message):
        term, entry = product
        return f"{recipe.place(('terms', term, 'times', entry))}: {_of_product(message)}"
    for pattern, words in _WORDS:
        message = re.sub(pattern, words, message)
    for name, source in sources.items():
        told = "|".join(re.escape(repr(one)) for one in (source, name))
        what = r";| is| must| holds| are| cannot| has [\d,]+ (columns|rows)"
        if re.match(rf"(the session has no variable |variable )?({told})({what})", message):
            return f"{recipe.place(_keys_of_variable(recipe, name))}: {message}"
    for query, keys in _queries(recipe):
        if message.startswith(f"the query {shown(query)} ") or (
            not query.strip() and "a query must be text" in message
        ):
            return f"{recipe.place(keys)}: {message}"
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


def _queries(recipe: Recipe) -> Iterator[tuple[str, tuple[Any, ...]]]:
    """Queries that a recipe asks of its recording, and where they stand."""
    content = recipe.content
    for name, variable in (content.variables or {}).items():
        if isinstance(variable, VariableOfRecipe) and variable.where is not None:
            yield variable.where, ("variables", name, "where")
    if content.neurons is not None:
        yield content.neurons, ("neurons",)


def _product_with_text(recipe: Recipe, message: str) -> tuple[int, int] | None:
    """The term, and the entry of its ``times``, that multiplies with the text that a message complains of."""
    found = re.match(r"variable '([^']*)' must be numeric, but row ", message)
    if found is None:
        return None
    for k, term in enumerate(recipe.content.terms):
        if found[1] in term.times:
            return k, term.times.index(found[1])
        # this term reads it as a number before any product does
        if term.basis != "categories" and found[1] in (term.model_extra or {}).values():
            return None
    return None


def _of_product(message: str) -> str:
    """The message of text in a product, with the line that makes it a product with each of its categories."""
    name = message.split("'")[1]
    written = f'times = [{{basis = "categories", variable = {toml_text.text(name)}}}]'
    return f"{message.partition(';')[0]}; for a term of each category give {written}"
