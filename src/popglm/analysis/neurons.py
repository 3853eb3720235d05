"""The neurons of a recipe: whose past is a term, and which neurons each feature group may explain."""

from __future__ import annotations

import difflib
from collections.abc import Mapping
from typing import Any

import numpy as np
import pandas as pd
import xarray as xr

from popglm.analysis.makers import OF_NEURONS
from popglm.analysis.schema import Factor
from popglm.design import Design
from popglm.design.past import Past
from popglm.messages import listed, shown
from popglm.recording.neuron_query import select
from popglm.variables import resolve_variables

__all__ = ["mask_of", "neuron_table", "neurons_of_term", "with_activity_of"]

#: Stands for all neurons where there are no data yet.
ANY = "neuron"


def neuron_table(data: xr.Dataset) -> pd.DataFrame:
    """The neurons of a session on a grid, a row each, as queries read them: "neuron" and the columns of its table."""
    table = {"neuron": data["neuron"].values if "neuron" in data.coords else np.array([], object)}
    for name, column in data.coords.items():
        if column.dims == ("neuron",) and name != "neuron":
            # a column that a variable has the name of is called otherwise on the grid
            plain = str(name).removeprefix("neuron_")
            table[plain if plain in data.variables and plain != str(name) else str(name)] = column.values
    return pd.DataFrame(table)


def neurons_of_term(term: Factor, table: pd.DataFrame | None) -> list[dict[str, Any]]:
    """Arguments of the maker of a term of history or coupling; a history has a term for every neuron.

    Raises
    ------
    TypeError, ValueError
        If the neurons are not told by a query or a list of names, or there are none.
    """
    options = dict(term.model_extra or {})
    argument = OF_NEURONS[term.basis]
    for one in {argument, "exclude"} & set(options):
        _check_choice(one, options[one])
    chosen = _names(argument, options.pop(argument, None), table)
    if term.basis == "history":
        return [{**options, argument: name} for name in chosen]
    exclude = options.pop("exclude", [])
    left_out = set() if table is None else set(_names("exclude", exclude, table))
    kept = [name for name in chosen if name not in left_out]
    if not kept:
        raise ValueError("exclude leaves no source of coupling" if chosen else "there are no neurons to couple with")
    return [{**options, argument: kept}]


def _check_choice(argument: str, asked: Any) -> None:
    """Refuse what is neither a query nor a list of names."""
    if not isinstance(asked, str) and not (isinstance(asked, list) and all(isinstance(name, str) for name in asked)):
        raise TypeError(
            f"{argument} must be a query over the table of neurons, or a list of their names; found {shown(asked)}"
        )


def _names(argument: str, asked: str | list[str] | None, table: pd.DataFrame | None) -> list[str]:
    """Names of the neurons that an argument asks for: all, one by its name, those of a query or of a list."""
    if table is None:
        return [ANY]
    names = [str(name) for name in table["neuron"]]
    if asked is None:
        return names
    if isinstance(asked, str) and asked not in names:
        found = [names[j] for j in np.flatnonzero(select(table, asked))]
        if not found:
            raise ValueError(f"none of {len(names):,} neurons meets {argument} = {asked!r}")
        return found
    for name in (listed_names := [asked] if isinstance(asked, str) else asked):
        if name not in names:
            near = difflib.get_close_matches(name, names, n=3, cutoff=0.5) or names
            raise ValueError(
                f"{argument} names {name!r}, which is no neuron that is fitted; nearest names: "
                f"{listed(map(repr, near))}"
            )
    return listed_names


def with_activity_of(data: xr.Dataset, design: Design) -> xr.Dataset:
    """The session with the activity of every neuron whose past the design reads, as a variable of its name.

    Raises
    ------
    ValueError
        If a variable has the name of such a neuron.
    """
    sources = {term.source for term in design.terms if isinstance(term, Past)}
    taken = sorted(sources & set(map(str, data.variables)))
    if taken:
        raise ValueError(
            f"history and coupling: the neuron {taken[0]!r} has the name of a variable; give the variable another name "
            "in [variables]"
        )
    if not sources:
        # of a classifier there may be no activity at all
        return data
    activity = data["activity"].transpose("time", "neuron").values
    return data.assign(
        {name: ("time", activity[:, j]) for j, name in enumerate(map(str, data["neuron"].values)) if name in sources}
    )


def mask_of(masks: Mapping[str, str], design: Design, table: pd.DataFrame) -> pd.DataFrame | None:
    """Which neurons each feature group may explain, shape (n_groups, n_neurons); None where every group may all.

    A neuron's history explains that neuron alone, and coupling from it all others. A group that several lines of
    ``masks`` name may explain the neurons that meet all of them.

    Parameters
    ----------
    masks : mapping of str to str
        From names of groups, or patterns of them, to queries over the table.
    design : Design
        Fitted.
    table : DataFrame
        As of `neuron_table`.

    Raises
    ------
    KeyError
        With the key of the line that is wrong, and what is.
    """
    names = np.array([str(name) for name in table["neuron"]], dtype=object)
    allowed = np.ones((len(design.groups_), len(names)), bool)
    for row, term in zip(allowed, design.terms_.values(), strict=True):
        if isinstance(term, Past):
            row &= (names == term.source) == term.own
    for key, query in masks.items():
        try:
            groups = resolve_variables({key: key}, design.groups_)[key]
            met = select(table, query)
            if not met.any():
                raise ValueError(f"none of {len(names):,} neurons meets {query!r}, so that no neuron has {key!r}")
        except (ValueError, TypeError) as error:
            raise KeyError(key, str(error)) from None
        allowed[np.isin(design.groups_, groups)] &= met
    if allowed.all():
        return None
    return pd.DataFrame(allowed, index=design.groups_, columns=table["neuron"].to_numpy())
