"""Queries over a table's columns: comparisons joined by and, or and not, and nothing that could run code."""

from __future__ import annotations

import ast
import difflib
import operator
import re
from collections.abc import Callable
from typing import Any

import numpy as np
import pandas as pd

from popglm.messages import listed, shown

__all__ = ["select"]

LONGEST_QUERY = 2_000
_COMPARISONS: dict[type, Callable[[Any, Any], Any]] = {
    ast.Eq: operator.eq,
    ast.NotEq: operator.ne,
    ast.Lt: operator.lt,
    ast.LtE: operator.le,
    ast.Gt: operator.gt,
    ast.GtE: operator.ge,
}


def select(table: pd.DataFrame, query: str) -> np.ndarray:
    """Rows of a table that meet a query.

    Parameters
    ----------
    table : DataFrame
    query : str
        Comparisons of columns and values (chained ones too), ``in`` and ``not in`` lists, columns of booleans by
        themselves, joined by ``and``, ``or``, ``not`` and brackets. A name that is no Python name stands in backticks.

    Returns
    -------
    ndarray of bool, shape (n_rows,)
        A missing value meets no comparison but ``!=``, and none as a boolean.

    Raises
    ------
    ValueError
        If the query is none, names no column, or compares what cannot be.

    Examples
    --------
    >>> units = pd.DataFrame({"quality": ["good", "mua", "good"], "depth": [100.0, 250.0, np.nan]})
    >>> select(units, "quality == 'good' and depth < 300")
    array([ True, False, False])
    >>> select(units, "quality in ['mua', 'noise'] or not depth > 0")
    array([False,  True,  True])
    """
    if not isinstance(query, str) or not query.strip():
        raise ValueError(f"a query must be text such as \"quality == 'good'\"; found {shown(query)}")
    if len(query) > LONGEST_QUERY:
        raise ValueError(f"a query has at most {LONGEST_QUERY:,} characters; found {len(query):,}")
    quoted: dict[str, str] = {}

    def name(found: re.Match) -> str:
        """A Python name for one in backticks."""
        key = f"quoted_{len(quoted)}"
        quoted[key] = found[1]
        return key

    try:
        tree = ast.parse(re.sub(r"`([^`]+)`", name, query.strip()), mode="eval")
    except (SyntaxError, ValueError, RecursionError, MemoryError) as error:
        raise ValueError(f"the query {shown(query)} cannot be read: {error}") from None
    return _Query(table, query, quoted).rows(tree.body)


class _Query:
    """A parsed query and the table that it is asked of."""

    def __init__(self, table: pd.DataFrame, query: str, quoted: dict[str, str]) -> None:
        self.table, self.query, self.quoted = table, query, quoted

    def rows(self, node: ast.expr) -> np.ndarray:
        """Which rows meet a condition."""
        if isinstance(node, ast.BoolOp):
            join = np.logical_and if isinstance(node.op, ast.And) else np.logical_or
            return join.reduce([self.rows(part) for part in node.values])
        if isinstance(node, ast.UnaryOp) and isinstance(node.op, ast.Not):
            return ~self.rows(node.operand)
        if isinstance(node, ast.Compare):
            sides = [node.left, *node.comparators]
            each = [self.compare(sides[k], op, sides[k + 1]) for k, op in enumerate(node.ops)]
            return np.logical_and.reduce(each)
        if isinstance(node, ast.Name):
            return self.as_condition(self.value(node), self.column_name(node))
        if isinstance(node, ast.Constant) and isinstance(node.value, bool):
            return np.full(len(self.table), node.value)
        raise self.refuse(node)

    def compare(self, left: ast.expr, op: ast.cmpop, right: ast.expr) -> np.ndarray:
        """One comparison, row by row; a missing value meets none but ``!=``."""
        if isinstance(op, ast.In | ast.NotIn):
            if not isinstance(right, ast.List | ast.Tuple | ast.Set):
                raise self.refuse(right)
            column, entries = self.value(left), [self.constant(entry) for entry in right.elts]
            for entry in entries:
                self.check_kinds(column, entry)
            found = pd.Series(column).isin(entries).to_numpy()
            return ~found if isinstance(op, ast.NotIn) else found
        if type(op) not in _COMPARISONS:
            raise self.refuse(left)
        one, other = self.value(left), self.value(right)
        self.check_kinds(one, other)
        self.check_kinds(other, one)
        try:
            met = _COMPARISONS[type(op)](one, other)
        except TypeError as error:
            raise ValueError(f"the query {shown(self.query)} compares what cannot be compared: {error}") from None
        if not isinstance(met, pd.Series):
            return np.full(len(self.table), bool(met))
        missing = met.isna().to_numpy()
        return np.where(missing, isinstance(op, ast.NotEq), met.fillna(False).to_numpy(dtype=bool))

    def check_kinds(self, column: Any, value: Any) -> None:
        """Refuse to compare text with a number: no row would meet that, whatever its text says."""
        if not isinstance(column, pd.Series):
            return
        if isinstance(value, int | float) and _is_text(column):
            raise ValueError(
                f"the query {shown(self.query)} compares text with the number {value!r}; write it in quotes"
            )
        if isinstance(value, str) and pd.api.types.is_numeric_dtype(column.dtype) and column.notna().any():
            is_flag = pd.api.types.is_bool_dtype(column.dtype)
            held, instead = ("truth values", "True or False") if is_flag else ("numbers", "a number")
            raise ValueError(
                f"the query {shown(self.query)} compares {held} with the text {value!r}; write {instead}, without "
                "quotes"
            )

    def value(self, node: ast.expr) -> Any:
        """A column, or a constant."""
        if isinstance(node, ast.Name):
            return self.table[self.column_name(node)].reset_index(drop=True)
        return self.constant(node)

    def column_name(self, node: ast.Name) -> str:
        """The column that a name stands for."""
        name = self.quoted.get(node.id, node.id)
        if name in self.table:
            return name
        known = list(map(str, self.table.columns))
        near = difflib.get_close_matches(name, known, n=3) or known
        raise ValueError(
            f"the query {shown(self.query)} asks for {name!r}, which is no column; nearest names: "
            f"{listed(map(repr, near)) or 'none'}"
        )

    def constant(self, node: ast.expr) -> Any:
        """A text, a number or a boolean."""
        if isinstance(node, ast.Constant) and isinstance(node.value, str | int | float | bool):
            return node.value
        if isinstance(node, ast.UnaryOp) and isinstance(node.op, ast.USub | ast.UAdd):
            value = self.constant(node.operand)
            if not isinstance(value, str):
                return -value if isinstance(node.op, ast.USub) else value
        raise self.refuse(node)

    def as_condition(self, column: pd.Series, name: str) -> np.ndarray:
        """A column of booleans, or of 0 and 1, as a condition."""
        values = column.dropna()
        is_flag = column.isna().all() or values.isin([0, 1]).all()
        if not is_flag:
            raise ValueError(
                f"the query {shown(self.query)} takes {name!r} for a condition, but it holds "
                f"{shown(values[~values.isin([0, 1])].iloc[0])}; compare it with a value"
            )
        return column.map(lambda value: not pd.isna(value) and bool(value)).to_numpy(dtype=bool)

    def refuse(self, node: ast.AST) -> ValueError:
        """The complaint of what has no place in a query."""
        return ValueError(
            f"the query {shown(self.query)} holds {ast.unparse(node)!r}, which has no place there; write comparisons "
            "of columns with values, joined by and, or and not"
        )


def _is_text(column: pd.Series) -> bool:
    """Whether a column holds text, and nothing else that is known."""
    known = column.dropna()
    return bool(len(known)) and known.map(lambda value: isinstance(value, str)).all()
