"""How the terms of a design use one variable: which do, at which samples, and of which values they know nothing."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import numpy as np

from popglm.design.bsplines import Splines
from popglm.design.encoders import Categories
from popglm.design.lags import Kernel, Shifts
from popglm.design.past import Past
from popglm.design.terms import Product, Term
from popglm.design.variables import SessionVariables
from popglm.messages import listed

__all__ = ["looks_elsewhere", "takes_as_number", "terms_of", "unknown_values"]


def terms_of(terms: Iterable[Term], variable: str) -> list[Term]:
    """The terms that read a variable, whatever it holds.

    Examples
    --------
    >>> from popglm.design import categories, linear
    >>> [term.name for term in terms_of([linear("x"), linear("x") * "y", categories("z")], "y")]
    ['x × y']
    """
    return [term for term in terms if variable in term.variables]


def looks_elsewhere(term: Term, variable: str) -> bool:
    """Whether a column of a fitted term depends on the variable at other samples than its own.

    Examples
    --------
    >>> from popglm.design import linear, shifts
    >>> [looks_elsewhere(shifts("x", lags) * "y", "x") for lags in ([0], [0, 1])]
    [False, True]
    >>> looks_elsewhere(shifts("x", [1]) * "y", "y")
    False
    """
    if variable not in term.variables:
        return False
    match term:
        case Product():
            return any(looks_elsewhere(factor, variable) for factor in term.factors)
        case Shifts():
            return bool(term.steps.any()) or looks_elsewhere(term.shifted, variable)
        case Kernel() | Past():
            lags, basis = term.grid()
            return bool(basis[lags != 0].any())
    return False


def takes_as_number(term: Term, variable: str) -> bool:
    """Whether a term computes with the variable, rather than tell its values apart by name.

    Examples
    --------
    >>> from popglm.design import categories, linear
    >>> takes_as_number(categories("x") * linear("y"), "x"), takes_as_number(categories("x") * linear("x"), "x")
    (False, True)
    """
    return any(not isinstance(one, Categories) for one in _parts(term) if variable in one.variables)


def unknown_values(terms: Iterable[Term], variable: str, values: Any) -> tuple[np.ndarray, list[str]]:
    """Values of a variable outside the ranges of the fitted terms that read it, and why they are.

    Parameters
    ----------
    terms : iterable of Term
    variable : str
    values : array-like, shape (n_values,)

    Returns
    -------
    outside : ndarray of bool, shape (n_parts, n_values)
        A row for each part of a term that reads the variable: of those without a range, nothing is outside.
    reasons : list of str
        The values outside and what the part makes of them, for a message; "" where there are none.

    Examples
    --------
    >>> from popglm.design import bumps
    >>> outside, reasons = unknown_values([bumps("x", n=3, low=0, high=10)], "x", [-20.0, 5.0])
    >>> outside.tolist(), reasons
    ([[True, False]], ["-20 (the bumps of 'x' are 0 outside -10 to 20)"])
    """
    session = SessionVariables({variable: values}, [variable])
    rows, reasons = [np.zeros((0, session.n_samples), bool)], []
    for term in terms:
        for one in _parts(term):
            if variable not in one.variables:
                continue
            # a term of several variables has no range of one
            found = one.outside(session) if set(one.variables) == {variable} else None
            outside = np.zeros(session.n_samples, bool) if found is None else found
            rows.append(outside[None])
            strange = [
                f"{value:g}" if isinstance(value, float) else repr(value)
                for value in session.column(variable)[outside].tolist()
            ]
            reasons.append(f"{listed(strange)} ({_why(one)})" if strange else "")
    return np.concatenate(rows), reasons


def _parts(term: Term) -> list[Term]:
    """The terms of which a term is made."""
    match term:
        case Product():
            return [part for factor in term.factors for part in _parts(factor)]
        case Shifts():
            return _parts(term.shifted)
    return [term]


def _why(term: Term) -> str:
    """What a term makes of values outside its range."""
    if isinstance(term, Categories):
        return f"the categories of {term.name!r} are {listed(map(repr, term.levels_.tolist()))}"
    if isinstance(term, Splines):
        return f"the splines of {term.name!r} were fitted from {term.low_:g} to {term.high_:g} and end there"
    if reaches := term.reaches():
        low, high = reaches[0].support
        return f"the bumps of {term.name!r} are 0 outside {low:g} to {high:g}"
    return f"they lie outside the range of {term.name!r}"
