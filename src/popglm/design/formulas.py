"""Terms of a design from one line of text, in the notation of Wilkinson and Rogers."""

from __future__ import annotations

import ast
import difflib
from collections.abc import Callable
from functools import reduce
from operator import mul
from typing import Any

from popglm.checks import shown
from popglm.design.bsplines import CyclicSplines, Splines
from popglm.design.cosines import Bumps, LogBumps
from popglm.design.encoders import Categories
from popglm.design.lags import Kernel, Shifts
from popglm.design.past import history
from popglm.design.terms import Linear, Term

__all__ = ["formula"]

#: What a formula may call. ``C`` and ``bs`` are what formulas of R and patsy call categories and B-splines.
CALLS: dict[str, Callable[..., Any]] = {
    "bs": Splines,
    "bumps": Bumps,
    "C": Categories,
    "categories": Categories,
    "cyclic_splines": CyclicSplines,
    "history": history,
    "kernel": Kernel,
    "linear": Linear,
    "log_bumps": LogBumps,
    "shifts": Shifts,
    "splines": Splines,
}
LONGEST = 10_000


def formula(text: str) -> list[Term]:
    """Terms of a design from a formula.

    Parameters
    ----------
    text : str
        Terms with ``+`` between them: names of variables, taken as they are, or calls of `linear`, `categories` (also
        ``C``), `bumps`, `log_bumps`, `splines` (also ``bs``), `cyclic_splines`, `shifts`, `kernel` and `history` as in
        Python, where a name as first argument is a variable. ``a:b`` is the product of two terms, ``a * b`` stands for
        ``a + b + a:b``, and parentheses, ``-`` and ``**`` are as in R. Names that are no words stand in backticks.

    Returns
    -------
    list of Term
        For `Design`; products come after what they are made of.

    Raises
    ------
    ValueError
        If the text is no formula, has a left side or is about an intercept, or calls something else; or an argument is
        refused by the term.
    ImportError
        If formulaic is not installed.

    Notes
    -----
    The notation is parsed by formulaic. Nothing of the text is run as code: arguments are names, numbers, texts, lists
    of these, and other calls of the above.

    References
    ----------
    Wilkinson & Rogers, "Symbolic description of factorial models for analysis of variance", *Applied Statistics* 22
    (1973).

    Examples
    --------
    >>> import popglm as pg
    >>> terms = pg.formula("bumps(position, 20, 0, 250) * C(cue) + bs(speed, 7)")
    >>> pg.Design(terms).fit({"position": [0.0, 250], "cue": ["a", "b"], "speed": [0.0, 1]}).groups_
    ['position', 'cue', 'speed', 'position × cue']
    """
    if not isinstance(text, str) or not text.strip():
        raise ValueError(f"formula: give a text such as 'bumps(position, 20, 0, 250) + speed'; found {shown(text)}")
    if len(text) > LONGEST:
        raise ValueError(f"formula: the text has {len(text):,} characters, and {LONGEST:,} are the most")
    terms = []
    for factors in _parsed(text):
        if factors == ["1"]:
            continue
        terms.append(reduce(mul, [_term(factor, text) for factor in factors]))
    if not terms:
        raise ValueError(f"formula: {text!r} has no term")
    return terms


def _parsed(text: str) -> list[list[str]]:
    """Factors of every term."""
    try:
        from formulaic import Formula
        from formulaic.errors import FormulaParsingError
    except ImportError as error:
        raise ImportError("formula: the notation is parsed by formulaic; pip install 'popglm[formula]'") from error
    try:
        found = Formula(text)
    except (FormulaParsingError, SyntaxError) as error:
        raise ValueError(f"formula: {text!r} cannot be read: {str(error).splitlines()[0]}") from error
    if hasattr(found, "lhs") or (not isinstance(found, list) and hasattr(found, "rhs")):
        raise ValueError(f"formula: {text!r} has a left side; activity is given to fit, so leave out all up to '~'")
    terms = [[factor.expr for factor in term.factors] for term in found]
    if ["1"] not in terms:
        raise ValueError(f"formula: {text!r} takes the intercept away; leave that to the model, fit_intercept=False")
    return terms


def _term(factor: str, text: str) -> Any:
    """A term of one factor."""
    named: dict[str, str] = {}
    try:
        node = ast.parse(_without_backticks(factor, named), mode="eval").body
    except SyntaxError as error:
        raise ValueError(f"formula: {factor!r} in {text!r} cannot be read") from error
    found = _value(node, named, text)
    return Linear(found) if isinstance(found, str) else found


def _without_backticks(factor: str, named: dict[str, str]) -> str:
    """The factor with a word for every name in backticks; ``named`` says which."""
    parts = factor.split("`")
    for i in range(1, len(parts), 2):
        word = f"name{i}_in_backticks"
        named[word], parts[i] = parts[i], word
    return "".join(parts)


def _value(node: ast.AST, named: dict[str, str], text: str) -> Any:
    """What a name, a number, a list or a call stands for."""
    if isinstance(node, ast.Name):
        return named.get(node.id, node.id)
    if isinstance(node, ast.Call) and isinstance(node.func, ast.Name):
        make = CALLS.get(node.func.id)
        if make is None:
            near = difflib.get_close_matches(node.func.id, CALLS, 3) or list(CALLS)
            raise ValueError(f"formula: {node.func.id!r} in {text!r} is no term; there are {', '.join(near)}")
        given = [_value(one, named, text) for one in node.args]
        options = {str(one.arg): _value(one.value, named, text) for one in node.keywords}
        try:
            return make(*given, **options)
        except (TypeError, ValueError) as error:
            raise ValueError(f"formula: {ast.unparse(node)} in {text!r}: {error}") from error
    try:
        return ast.literal_eval(node)
    except ValueError as error:
        raise ValueError(
            f"formula: {ast.unparse(node)!r} in {text!r} is no name, number, text, list or term"
        ) from error
