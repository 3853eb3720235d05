"""The functions that a recipe's terms and model name, and the arguments that they take."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Mapping
from typing import Any

from popglm import design
from popglm.analysis.transformers import make_transformer
from popglm.estimators import GLMCV
from popglm.recording.grid import as_fraction

__all__ = ["EXPLAINED_BY_CODE", "MODEL_OPTIONS", "OF_NEURONS", "TERM_OPTIONS", "make_term", "required_of"]

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
#: Bases that read the activity of neurons, and the argument that says of which: of all unless it is given.
OF_NEURONS = {"history": "neuron", "coupling": "sources"}


def _options(make: Callable[..., Any]) -> dict[str, bool]:
    """Arguments by name, and whether each is needed."""
    found = inspect.signature(make).parameters.values()
    options = {_RENAMED.get(one.name, one.name): one.default is one.empty for one in found}
    return options | dict.fromkeys(set(options) & set(OF_NEURONS.values()), False)


#: Arguments of every basis; a history of many neurons has a name for each.
TERM_OPTIONS: dict[str, list[str]] = {
    name: [option for option in _options(make) if (name, option) != ("history", "name")]
    for name, make in _BASES.items()
}
#: Arguments of the model that come from elsewhere in a recipe, or cannot be written in it.
EXPLAINED_BY_CODE = ("feature_groups", "feature_mask", "verbose", "refit")
MODEL_OPTIONS = [name for name in inspect.signature(GLMCV).parameters if name not in EXPLAINED_BY_CODE]


def required_of(basis: str) -> list[str]:
    """Arguments that a basis cannot do without.

    Examples
    --------
    >>> required_of("bumps")
    ['variable', 'n', 'low', 'high']
    """
    return [name for name, needed in _options(_BASES[basis]).items() if needed]


def make_term(basis: str, options: Mapping[str, Any], dt: float | None = None) -> Any:
    """A term of the design; ``dt`` (s) is that of the samples, for terms of lags that do not say it.

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
    if dt is not None and "dt" in TERM_OPTIONS[basis]:
        arguments.setdefault("dt", dt)
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
