"""Contributions of many sessions in one table, in which no two neurons have the same name."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import xarray as xr

from popglm.frames import as_pandas
from popglm.labels import check_distinct
from popglm.messages import listed, shown

__all__ = ["check_groups", "check_levels", "check_table", "pool_sessions"]

#: Columns of the pooled table.
SESSION, NEURON = "session", "neuron_in_session"


def pool_sessions(
    sessions: Any, about: Any = None, *, quantity: str = "fraction_explained_deviance", part: str = "contributions"
) -> pd.DataFrame:
    """One table of the neurons of many sessions, and what each variable contributes to them.

    Parameters
    ----------
    sessions : mapping of names to results, or SessionsResult
        By the name of the session: what `breakdown`, `compare` or `shapley` return; a table with a row per neuron, such
        as of `goodness_of_fit`; or the path of a store that `fit_sessions` or ``popglm fit`` has written. A
        `SessionsResult` has the stores of its sessions.
    about : DataFrame or mapping of names to mappings, optional
        What is known of every session, such as its animal and condition: a row for each, by its name.
    quantity : str
        What is taken of results with a dimension ``variable``.
    part : str
        What is taken of stores: "contributions", or "unique" for comparisons.

    Returns
    -------
    DataFrame
        A row per neuron. Its index ``neuron`` is the name of the session and of the neuron, "m1 neuron3", which no
        other has. Columns are ``session``; those of ``about``; ``neuron_in_session``; what the results know of neurons,
        such as the area; and the quantity of every variable, NaN where a session lacks the variable.

    Raises
    ------
    TypeError, ValueError
        If something else is given, two neurons of a session have one name, two columns have, a session has no row in
        ``about``, or a result has no such quantity or part.

    Examples
    --------
    >>> import pandas as pd
    >>> import popglm as pg
    >>> one = pd.DataFrame({"cue": [0.1, 0.2], "area": ["V1", "PPC"]}, index=["neuron0", "neuron1"])
    >>> animals = {"m1": {"animal": "a"}, "m2": {"animal": "b"}}
    >>> pg.pool_sessions({"m1": one, "m2": one}, animals)[["animal", "area", "cue"]]
               animal area  cue
    neuron...
    m1 neuron0      a   V1  0.1
    m1 neuron1      a  PPC  0.2
    m2 neuron0      b   V1  0.1
    m2 neuron1      b  PPC  0.2
    """
    # a SessionsResult, of a room that builds on this one
    if isinstance(table := getattr(sessions, "table", None), pd.DataFrame) and "path" in table:
        sessions = {str(name): path for name, path in table["path"].items() if path}
    if not isinstance(sessions, Mapping) or not len(sessions):
        raise TypeError(
            "pool_sessions: sessions must be a mapping of names of sessions to their results, or a SessionsResult with "
            f"a store; found {shown(sessions)}."
        )
    known = _about(about, [str(name) for name in sessions])
    if taken := [column for column in known if column in (SESSION, NEURON)]:
        raise ValueError(
            f"pool_sessions: about has a column {taken[0]!r}, as the table has of its own; rename it there."
        )
    tables = []
    for name, result in sessions.items():
        own = _table(str(name), result, quantity, part)
        check_distinct([str(neuron) for neuron in own.index], f"pool_sessions: session {str(name)!r}", "neuron")
        if taken := [column for column in own if column in {SESSION, NEURON, *known.columns}]:
            raise ValueError(
                f"pool_sessions: session {str(name)!r} has a column {taken[0]!r} of its own; rename it there or in "
                "about."
            )
        own = own.rename_axis(NEURON).reset_index()
        head = {SESSION: str(name), **{column: known.at[str(name), column] for column in known}}
        own.index = pd.Index([f"{name} {neuron}" for neuron in own[NEURON]], name="neuron")
        tables.append(pd.concat([pd.DataFrame(head, index=own.index), own], axis=1))
    pooled = pd.concat(tables)
    check_distinct(pooled.index.tolist(), "pool_sessions: sessions", "neuron")
    return pooled


def _about(about: Any, names: list[str]) -> pd.DataFrame:
    """A row for every session."""
    if about is None:
        return pd.DataFrame(index=names)
    if isinstance(about, Mapping):
        about = pd.DataFrame.from_dict({str(name): dict(row) for name, row in about.items()}, orient="index")
    if not isinstance(about, pd.DataFrame):
        raise TypeError(
            "pool_sessions: about must be a table with a row per session, or a mapping of their names to what is "
            f"known; found {shown(about)}."
        )
    about = about.set_axis(about.index.map(str))
    if missing := [name for name in names if name not in about.index]:
        raise ValueError(
            f"pool_sessions: about has no row for {listed(map(repr, missing))}; its rows are "
            f"{listed(map(repr, about.index))}."
        )
    if not about.index.is_unique:
        again = about.index[about.index.duplicated()][0]
        raise ValueError(f"pool_sessions: about has two rows for the session {again!r}; give one.")
    return about


def _table(name: str, result: Any, quantity: str, part: str) -> pd.DataFrame:
    """A row per neuron of a session."""
    if isinstance(result, pd.DataFrame):
        return result
    more: dict[str, Any] = {}
    if isinstance(result, str | Path):
        result, more = _of_store(name, Path(result), part)
    if not isinstance(result, xr.Dataset):
        raise TypeError(
            f"pool_sessions: session {name!r} must be a Dataset of breakdown, compare or shapley, a table, or the path "
            f"of a store; found {shown(result)}."
        )
    if quantity not in result or set(result[quantity].dims) != {"neuron", "variable"}:
        offers = [str(one) for one in result if set(result[one].dims) == {"neuron", "variable"}]
        raise ValueError(
            f"pool_sessions: session {name!r} has no quantity {shown(quantity)} of neurons and variables; it has "
            f"{listed(map(repr, offers)) or 'none'}."
        )
    values = result[quantity].transpose("neuron", "variable")
    index = pd.Index([str(neuron) for neuron in result["neuron"].values])
    known = {str(c): one.values for c, one in result.coords.items() if one.dims == ("neuron",) and c != "neuron"}
    table = pd.DataFrame(values.values, columns=[str(v) for v in values["variable"].values], index=index)
    return pd.concat([pd.DataFrame({**more, **known}, index=index), table], axis=1)


def _of_store(name: str, path: Path, part: str) -> tuple[xr.Dataset, dict[str, Any]]:
    """A part of a store, and what the recording says of its neurons."""
    if not path.exists():
        raise ValueError(f"pool_sessions: session {name!r} has no store at {str(path)!r}.")
    try:
        with xr.open_dataset(path, group=part, engine="h5netcdf") as found:
            result = found.load()
        with xr.open_dataset(path, group="neurons", engine="h5netcdf") as found:
            neurons = found.load().to_dataframe()
    except (OSError, KeyError, ValueError) as error:
        raise ValueError(
            f"pool_sessions: the store {str(path)!r} has no part {shown(part)}; `popglm explain` makes contributions, "
            "and unique ones where the recipe asks for them."
        ) from error
    neurons = neurons.set_axis(neurons.index.map(str)).reindex([str(one) for one in result["neuron"].values])
    texts = neurons.select_dtypes(exclude="number")
    return result, {str(column): texts[column].to_numpy() for column in texts}


def check_table(who: str, table: Any) -> pd.DataFrame:
    """A table with a row per neuron, as one of pandas.

    Raises
    ------
    TypeError, ValueError
    """
    table = as_pandas(table)
    if not isinstance(table, pd.DataFrame):
        raise TypeError(
            f"{who}: table must be a DataFrame with a row per neuron, as of pool_sessions; found {shown(table)}."
        )
    if not len(table):
        raise ValueError(f"{who}: table has no neuron.")
    return table


def check_levels(who: str, table: pd.DataFrame, argument: str, names: Any, numeric: bool = False) -> list[str]:
    """Columns by their names: one, or several.

    Raises
    ------
    TypeError, ValueError
        If one is not there, holds no numbers where it should, or has no label for a neuron.
    """
    names = [names] if isinstance(names, str) else names
    if not isinstance(names, list | tuple) or not names or not all(isinstance(name, str) for name in names):
        raise TypeError(f"{who}: {argument} must be the name of a column, or a list of names; found {shown(names)}.")
    for name in names:
        if name not in table:
            raise ValueError(
                f"{who}: {argument}: table has no column {name!r}; it has {listed(map(repr, table.columns))}."
            )
        column = table[name]
        if numeric and (not pd.api.types.is_numeric_dtype(column) or np.isinf(column.to_numpy(float)).any()):
            raise ValueError(
                f"{who}: {argument}: column {name!r} must hold finite numbers, NaN where nothing is known."
            )
        if not numeric and column.isna().any():
            raise ValueError(
                f"{who}: {argument}: column {name!r} has no label for {column.index[column.isna()][0]!r}; leave such "
                "neurons out."
            )
    return list(names)


def check_groups(
    who: str, table: pd.DataFrame, by: Any, values: list[str], levels: list[str]
) -> tuple[np.ndarray, list[str]]:
    """Group of every neuron, and the groups' names; all in one without a column ``by``.

    Raises
    ------
    TypeError, ValueError
        If the column is not there, has no label for a neuron, is one of the values, or is the larger unit itself.
    """
    if by is None:
        return np.zeros(len(table), int), ["all"]
    name = check_levels(who, table, "by", by)[0]
    if name in values:
        raise ValueError(f"{who}: by={name!r} is one of values; give a column of groups, such as the area.")
    if name == levels[0]:
        raise ValueError(
            f"{who}: by={name!r} is the largest of levels, and a single one says nothing of how much these differ; "
            "give a column of groups, such as the area or the genotype."
        )
    code, kinds = pd.factorize(table[name], sort=True)
    return code, [str(kind) for kind in kinds]
