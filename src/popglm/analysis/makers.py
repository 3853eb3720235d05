"""The functions that a recipe's terms name, and the arguments that they take."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Iterable, Mapping
from typing import Any

from popglm import design
from popglm.analysis.transformers import make_transformer
from popglm.checks import is_number
from popglm.recording.grid import as_fraction

__all__ = ["OF_NEURONS", "TERM_OPTIONS", "make_term", "missing_of"]

_BASES: dict[str, Callable[..., Any]] = {
    name: getattr(design, name)
    for name in (
        *("bumps", "log_bumps", "splines", "cyclic_splines", "linear", "categories", "transformed"),
        *("shifts", "kernel", "history", "coupling"),
    )
}
#: Bases that are made of another one, which a table of its own names.
_OF_A_BASIS = {"kernel": "basis", "shifts": "term", "history": "basis", "coupling": "basis"}
#: Arguments that a table cannot give: `kernel` calls its basis "of", since "basis" says what the term is.
_RENAMED = {"basis": "of", "term": "of"}
#: What a term may be given by in the place of another argument: `shifts` of a variable by its name.
_IN_PLACE_OF = {"shifts": {"variable": "of"}}
#: Bins of the longest lag where the width of bins is not known yet: lags of any recipe fall between these.
_FINE = 10_000
#: Bases that read the activity of neurons, and the argument that says of which: of all unless it is given.
OF_NEURONS = {"history": "neuron", "coupling": "sources"}


def _options(make: Callable[..., Any]) -> dict[str, bool]:
    """Arguments by name, and whether each is needed."""
    found = inspect.signature(make).parameters.values()
    options = {_RENAMED.get(one.name, one.name): one.default is one.empty for one in found}
    return options | dict.fromkeys(set(options) & set(OF_NEURONS.values()), False)


#: Arguments of every basis; a history of many neurons has a name for each.
TERM_OPTIONS: dict[str, list[str]] = {
    name: [
        *_IN_PLACE_OF.get(name, ()),
        *(option for option in _options(make) if (name, option) != ("history", "name")),
    ]
    for name, make in _BASES.items()
}


def missing_of(basis: str, given: Iterable[str]) -> list[str]:
    """Arguments that a basis cannot do without and that are not given, nor what may stand in their place.

    Examples
    --------
    >>> missing_of("bumps", ["variable", "n"]), missing_of("shifts", ["variable"]), missing_of("shifts", ["lags"])
    (['low', 'high'], ['lags'], ['variable or of'])
    """
    given, others = set(given), _IN_PLACE_OF.get(basis, {})
    missing = []
    for name, needed in _options(_BASES[basis]).items():
        ways = [*(other for other, replaced in others.items() if replaced == name), name]
        if needed and not given & set(ways):
            missing.append(" or ".join(ways))
    return missing


def make_term(basis: str, options: Mapping[str, Any], dt: float | None = None) -> Any:
    """A term of the design; ``dt`` (s) is that of the samples, for terms of lags that do not say it.

    Without either, lags in seconds are taken to fall on samples of some width or other.

    Raises
    ------
    ValueError, TypeError
        If its maker refuses the options.

    Examples
    --------
    >>> lick = {"variable": "lick", "of": {"basis": "bumps", "n": 3, "low": 0, "high": 1}}
    >>> make_term("linear", {"variable": "speed"}).name, make_term("kernel", lick).name
    ('speed', 'lick kernel')
    """
    arguments = dict(options)
    if isinstance(arguments.get("dt"), str):
        arguments["dt"] = float(as_fraction(arguments["dt"]))
    if "dt" in TERM_OPTIONS[basis]:
        arguments.setdefault("dt", _some_dt(arguments) if dt is None else dt)
    if "variable" in arguments and "variable" in _IN_PLACE_OF.get(basis, ()):
        if "of" in arguments:
            raise ValueError(f"{basis}: give variable or of, not both")
        arguments["of"] = arguments.pop("variable")
    if "of" in arguments:
        inner = arguments.pop("of")
        if isinstance(inner, Mapping):
            own = dict(inner)
            kind = own.pop("basis", None)
            if kind not in _BASES:
                raise ValueError(f"of.basis must be one of {', '.join(_BASES)}; found {kind!r}")
            inner = make_term(kind, own if basis == "shifts" else {"variable": "lag"} | own)
        arguments[_OF_A_BASIS[basis]] = inner
    if "transformer" in arguments:
        arguments["transformer"] = make_transformer(arguments["transformer"])
    return _BASES[basis](**arguments)


def _some_dt(arguments: Mapping[str, Any]) -> float | None:
    """A width of bins (s) at which the lags of a term are many bins apart; None where it has no lags."""
    inner = arguments.get("of")
    ends = [inner.get(name) for name in ("low", "high")] if isinstance(inner, Mapping) else []
    lags = arguments.get("lags")
    sizes = [abs(lag) for lag in [*ends, *(lags if isinstance(lags, list) else ())] if is_number(lag) and lag != 0]
    return max(sizes) / _FINE if sizes else None
