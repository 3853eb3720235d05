"""Recipes: TOML files that say which data are fitted by which model, and what of it is explained."""

from __future__ import annotations

import difflib
import json
import re
import tomllib
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pandas as pd
from pydantic import ValidationError

from popglm.analysis.between_tables import fault_between_tables
from popglm.analysis.makers import OF_NEURONS, make_term
from popglm.analysis.neurons import neurons_of_term
from popglm.analysis.schema import Factor, RecipeModel
from popglm.design import Design
from popglm.design.past import Past
from popglm.messages import listed, shown

__all__ = ["NAME", "Recipe", "line_of", "parse_recipe", "read_recipe"]

#: What stands for the name of a session in the paths of further files.
NAME = "{name}"
_PATH = re.compile(r"""(\bpath\s*=\s*)("(?:[^"\\]|\\.)*"|'[^']*')""")
#: A recipe is no longer than this (bytes): what is, is another file.
LONGEST = 1_000_000


@dataclass(frozen=True)
class Recipe:
    """A recipe, and the text that it was read from.

    Attributes
    ----------
    content : RecipeModel
    text : str
    path : Path
        Where it lies; paths in it count from its folder.
    """

    content: RecipeModel
    text: str
    path: Path

    @property
    def source(self) -> str:
        """The file or folder of the recording, or its URL."""
        path = self.content.data.path
        return path if "://" in path else str((self.path.parent / path).resolve())

    def design(self, dt: float | None = None, neurons: pd.DataFrame | None = None) -> Design:
        """The design, not yet fitted.

        Parameters
        ----------
        dt : float, optional
            Width of its samples (s), which lags are told in.
        neurons : DataFrame, shape (n_neurons, n_columns), optional
            The table of those that are fitted, with their names in "neuron": terms of history and coupling read their
            activity. Without it one that is called "neuron" stands for all of them.

        Raises
        ------
        ValueError
            If a term cannot be made; the message names its line.
        """
        terms: list[Any] = []
        for k, term in enumerate(self.content.terms):
            try:
                if term.basis in OF_NEURONS:
                    for options in neurons_of_term(term, neurons):
                        made = make_term(term.basis, options, dt)
                        terms += made if isinstance(made, list) else [made]
                    continue
                made = make_term(term.basis, term.model_extra or {}, dt)
                others = [_factor(other, dt) for other in term.times]
                terms += [*([made] if term.alone else []), *(made * other for other in others)]
            except (ValueError, TypeError) as error:
                raise ValueError(f"{self.place(('terms', k))}: {error}") from None
        return Design(terms, trial="trial", **self.content.design.model_dump())

    def with_recording(self, path: str, name: str) -> Recipe:
        """The recipe for another recording: its path, and its name where a further file is called by ``{name}``.

        Parameters
        ----------
        path : str
            From the recipe's folder on, or whole; or a URL.
        name : str
            Of letters, digits and what may stand in the name of a file.

        Raises
        ------
        ValueError
            If the path does not stand on one line of the recipe.
        """
        text = self.text.replace(NAME, name) if NAME in self.further_files() else self.text
        lines, line = text.splitlines(keepends=True), line_of(text, ("data", "path"))
        if line is not None:
            lines[line - 1] = _PATH.sub(
                lambda found: f"{found[1]}{json.dumps(path, ensure_ascii=False)}", lines[line - 1], count=1
            )
        changed = "".join(lines)
        wanted = tomllib.loads(text)
        wanted["data"]["path"] = path
        if tomllib.loads(changed) != wanted:
            raise ValueError(f'{self.place(("data", "path"))}: write the path on a line of its own, path = "…"')
        return parse_recipe(changed, self.path)

    def further_files(self) -> str:
        """Paths of the files beside the recording, a line each."""
        return "\n".join(one if isinstance(one, str) else one.path for one in self.content.data.also)

    def variables_read(self) -> list[str]:
        """Names of the variables that the design and the fit read, but for the activity of neurons."""
        terms = [term for term in self.design().terms if not isinstance(term, Past)]
        fit = [*self.content.fit.beside.values(), *self.content.fit.responses]
        return list(dict.fromkeys([*(variable for term in terms for variable in term.variables), *fit]))

    def place(self, keys: tuple[Any, ...]) -> str:
        """A part of the recipe as messages name it: "recipe.toml, line 12 (terms[0].n)"."""
        return _place(self.path.name, self.text, keys)


def read_recipe(path: str | Path) -> Recipe:
    """Read a recipe and check all of it that can be checked without its data.

    Parameters
    ----------
    path : path-like
        A TOML file.

    Returns
    -------
    Recipe

    Raises
    ------
    FileNotFoundError
        If there is no such file.
    ValueError
        If it is no TOML, or says what no recipe says: one line for each fault, with the line of the file and the
        nearest name.

    Examples
    --------
    >>> import tempfile
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     recipe = Path(folder) / "recipe.toml"
    ...     _ = recipe.write_text('data.path = "session.nwb"\\nterms = [{basis = "linear", variable = "speed"}]')
    ...     read_recipe(recipe).content.terms[0].basis
    'linear'
    """
    path = Path(path)
    if not path.is_file():
        raise FileNotFoundError(f"there is no recipe {str(path)!r}; write one with popglm init")
    if path.stat().st_size > LONGEST:
        raise ValueError(
            f"{path.name} has {path.stat().st_size:,} bytes, far more than a recipe; give the recipe's name"
        )
    try:
        # Windows puts a byte-order mark before a text, which is no part of it
        text = path.read_text(encoding="utf-8-sig")
    except UnicodeDecodeError:
        raise ValueError(f"{path.name} is no text in UTF-8, and so no recipe") from None
    return parse_recipe(text, path)


def parse_recipe(text: str, path: Path) -> Recipe:
    """A recipe from its text; ``path`` is where it lies, or lay.

    Raises
    ------
    ValueError
        As of `read_recipe`.
    """
    try:
        found = tomllib.loads(text)
    except tomllib.TOMLDecodeError as error:
        raise ValueError(f"{path.name} is no TOML: {error}") from None
    if waiting := list(_open_places(found)):
        raise ValueError("\n".join(f'{_place(path.name, text, keys)}: put the answer for "?"' for keys in waiting))
    try:
        content = RecipeModel.model_validate(found)
    except ValidationError as error:
        raise ValueError("\n".join(_faults(error, path.name, text, found))) from None
    recipe = Recipe(content, text, path.resolve())
    recipe.design()
    if fault := fault_between_tables(content):
        keys, sentence = fault
        raise ValueError(f"{recipe.place(keys)}: {sentence}")
    return recipe


def _open_places(found: Any, path: tuple[Any, ...] = ()) -> Iterator[tuple[Any, ...]]:
    """Places of a recipe at which a first recipe left a question."""
    if found == "?":
        yield path
    inner = found.items() if isinstance(found, dict) else enumerate(found) if isinstance(found, list) else ()
    for key, one in inner:
        yield from _open_places(one, (*path, key))


def _factor(other: str | Factor, dt: float | None) -> Any:
    """What a term is multiplied with: a variable, or another term."""
    return other if isinstance(other, str) else make_term(other.basis, other.model_extra or {}, dt)


def _faults(error: ValidationError, name: str, text: str, found: dict[str, Any]) -> list[str]:
    """A line for every fault, with its place in the file and what to do."""
    lines = []
    faults = error.errors()
    places = [fault["loc"] for fault in faults if fault["type"] != "string_type"]
    for fault in faults:
        # of two alternatives, text and a table, a table that is given is the one that is meant
        above = fault["loc"][:-1]
        meant = fault["type"] == "string_type" and isinstance(fault["input"], dict)
        if meant and any(place[: len(above)] == above for place in places):
            continue
        # pydantic names the alternatives among its keys, which the file does not have
        keys = tuple(key for key in fault["loc"] if isinstance(key, int) or key in _all_keys(found))
        message = fault["msg"].removeprefix("Value error, ")
        if fault["type"] == "extra_forbidden":
            known = _known_names(fault["loc"])
            message = _unknown(str(fault["loc"][-1]), known)
        elif message.startswith("unknown|"):
            _, unknown, *known = message.split("|")
            message = _unknown(unknown.rpartition(".")[2], known)
            # that of a table within has the names of those around it
            keys = (*keys, *(key for key in unknown.split(".") if key in _all_keys(found)))
        elif fault["type"] == "missing":
            message = f"{fault['loc'][-1]!r} is missing"
        elif not isinstance(fault["input"], dict):
            message = f"{message}; found {shown(fault['input'])}"
        lines.append(f"{_place(name, text, keys)}: {message}")
    return list(dict.fromkeys(lines))


def _unknown(name: str, known: list[str]) -> str:
    """The complaint of a name that means nothing."""
    near = difflib.get_close_matches(name, known, n=3, cutoff=0.5) or known
    return f"{name!r} is not known here; nearest names: {listed(map(repr, near))}"


def _known_names(place: tuple[Any, ...]) -> list[str]:
    """Names that may stand where an unknown one was found."""
    model: Any = RecipeModel
    for key in place[:-1]:
        fields = getattr(model, "model_fields", {})
        if key in fields:
            model = _model_in(fields[key].annotation)
    return list(getattr(model, "model_fields", {}))


def _model_in(annotation: Any) -> Any:
    """The table that an annotation holds, if any."""
    if hasattr(annotation, "model_fields"):
        return annotation
    for inner in getattr(annotation, "__args__", ()):
        if (found := _model_in(inner)) is not None:
            return found
    return None


def _all_keys(found: Any) -> set[Any]:
    """Every key of nested tables."""
    if isinstance(found, dict):
        return set(found) | {key for value in found.values() for key in _all_keys(value)}
    if isinstance(found, list):
        return {key for value in found for key in _all_keys(value)}
    return set()


def _place(name: str, text: str, keys: tuple[Any, ...]) -> str:
    """The file, the line and the keys of a part of a recipe."""
    line = line_of(text, keys)
    path = "".join(f"[{key}]" if isinstance(key, int) else f".{key}" for key in keys).lstrip(".")
    where = f" ({path})" if path else ""
    return f"{name}, line {line}{where}" if line else f"{name}{where}"


def line_of(text: str, keys: tuple[Any, ...]) -> int | None:
    """The line on which a part of a TOML text begins; that of the innermost table that is found.

    Examples
    --------
    >>> recipe = '[data]\\npath = "a"\\n\\n[[terms]]\\nbasis = "bumps"\\n\\n[[terms]]\\nn = 3\\n'
    >>> line_of(recipe, ("data", "path")), line_of(recipe, ("terms", 1, "n")), line_of(recipe, ("terms", 0, "n"))
    (2, 8, 4)
    """
    table: tuple[Any, ...] = ()
    counts: dict[str, int] = {}
    best: tuple[int, int] | None = None
    inline: tuple[tuple[Any, ...], int] | None = None
    for number, line in enumerate(text.splitlines(), 1):
        stripped = line.strip()
        heading = re.fullmatch(r"\[(\[)?\s*([^\[\]]+?)\s*\]\]?\s*(#.*)?", stripped)
        if heading:
            names = _split_key(heading[2])
            if heading[1]:
                joined = ".".join(names)
                counts[joined] = counts.get(joined, -1) + 1
                table = (*names, counts[joined])
            else:
                table = tuple(names)
            here, inline = table, None
        elif key := re.match(
            r"((?:[\w-]+|\"[^\"]*\"|'[^']*')(?:\s*\.\s*(?:[\w-]+|\"[^\"]*\"|'[^']*'))*)\s*=", stripped
        ):
            here = (*table, *_split_key(key[1]))
            inline = (here, -1) if stripped.rstrip("#").count("[") > stripped.count("]") else None
        elif inline and stripped.startswith("{"):
            inline = (inline[0], inline[1] + 1)
            here = (*inline[0], inline[1])
        else:
            continue
        # a table may be told by its dotted lines alone
        n_shared = min(len(here), len(keys))
        shared = n_shared if here[:n_shared] == keys[:n_shared] else 0
        if shared and (best is None or shared > best[0]):
            best = (shared, number)
    return None if best is None else best[1]


def _split_key(key: str) -> list[str]:
    """The parts of a dotted key."""
    return [part.strip("\"'") for part in re.findall(r"[\w-]+|\"[^\"]*\"|'[^']*'", key)]
