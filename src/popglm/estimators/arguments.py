"""Checks of the settings of estimators and of explanations."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import numpy as np
import pandas as pd
import xarray as xr

from popglm.checks import is_number
from popglm.engines import as_numpy
from popglm.labels import column_labels, column_text, is_counted, neuron_order, row_labels, vector_order
from popglm.messages import counted, shown
from popglm.numbers import holds_flags, numbers_of

__all__ = [
    "check_feature_mask",
    "check_group_names",
    "check_lambdas",
    "check_penalty_factors",
    "check_rule",
    "check_strength_index",
    "check_verbose",
    "feature_group_sizes",
    "numbers_by_neuron",
]

#: Beyond, a group has no weight at any strength, and strengths for the others are out of the numbers' reach.
LARGEST_FACTOR = 1e20


def check_lambdas(lambdas: Any, names: Sequence[str], given: bool, what: str = "neuron") -> np.ndarray:
    """Strengths as (n_lambdas, n_neurons), descending; columns with the names of neurons are put in their order.

    For ``given`` and ``what`` see `popglm.labels.neuron_order`.
    """
    n_neurons = len(names)
    if holds_flags(lambdas):
        raise ValueError(f"lambdas={shown(lambdas)} must be numbers, not True or False; give strengths such as 0.1.")
    grid = numbers_of(lambdas, "lambdas")
    order = neuron_order(lambdas, names, given, "lambdas", "Y", what) if grid.ndim == 2 else None
    if grid.ndim == 0:
        grid = grid[None]
    if grid.ndim > 2 or grid.size == 0:
        raise ValueError(
            f"lambdas must hold at least one strength: shape (n_lambdas,), or (n_lambdas, n_{what}s) for a column per "
            f"{what}; it has shape {grid.shape}."
        )
    if grid.ndim == 2 and grid.shape[1] != n_neurons:
        raise ValueError(
            f"lambdas has {grid.shape[1]} columns for {counted(n_neurons, what)}; give one column per {what}."
        )
    grid = grid if grid.ndim == 2 else np.repeat(grid[:, None], n_neurons, axis=1)
    grid = grid if order is None else grid[:, order]
    bad = ~np.isfinite(grid) | (grid < 0)
    if bad.any():
        k = int(np.argwhere(bad)[0][0])
        raise ValueError(f"lambdas must be finite and ≥ 0; entry {k} is {grid[tuple(np.argwhere(bad)[0])]:g}.")
    rising = np.argwhere(np.diff(grid, axis=0) > 0)
    if len(rising):
        k = int(rising[0][0])
        raise ValueError(
            f"lambdas must descend; entry {k + 1} ({grid[k + 1, rising[0][1]]:g}) is larger than entry {k} "
            f"({grid[k, rising[0][1]]:g}). Sort them: np.sort(lambdas)[::-1]."
        )
    # a column per neuron may be filled up by repeating a strength
    again = np.flatnonzero((np.diff(grid, axis=0) == 0).all(axis=1))
    if len(again) and np.ndim(as_numpy(lambdas)) < 2:
        raise ValueError(
            f"lambdas holds {grid[again[0], 0]:g} twice, in entries {again[0]} and {again[0] + 1}; give each strength "
            "once."
        )
    return grid


def check_feature_mask(mask: Any, X: Any, sizes: np.ndarray, groups: Sequence[str], fitted: Any) -> np.ndarray | None:
    """Which features may explain each neuron, shape (n_features, n_neurons); None for all.

    Parameters
    ----------
    mask : array-like or DataFrame of bool, with a row per feature or group and a column per neuron
    X : array-like
        The design matrix, whose columns may have names.
    sizes, groups : feature groups, by size and name
    fitted : estimator
        Its neurons have names.
    """
    if mask is None:
        return None
    names, n_features, what = fitted.neuron_names_, int(np.sum(sizes)), fitted.noun
    order = neuron_order(mask, names, fitted.neurons_are_named_, "feature_mask", "Y", what)
    table = np.asarray(as_numpy(mask))
    if table.ndim != 2 or not (table.dtype == bool or _are_flags(table.astype(object))):
        raise ValueError(
            f"feature_mask must be True or False for every feature (or feature group) and {what}, of shape "
            f"(n_features, n_{what}s) or (n_groups, n_{what}s); found {table.dtype.name} of shape {table.shape}."
        )
    table = table.astype(bool)
    if table.shape[1] != len(names):
        raise ValueError(
            f"feature_mask has {table.shape[1]} columns for {counted(len(names), what)}; give one column per {what}."
            f"{' It closes a feature for all classes of the response.' * (what == 'response')}"
        )
    table = table if order is None else table[:, order]
    by_group = len(table) == len(sizes)
    labels = row_labels(mask)
    if labels is not None and not is_counted(labels):
        place, by_group = _rows_of_mask(
            [*map(column_text, labels)], groups, [*map(column_text, column_labels(X) or [])]
        )
        table = table[place]
    if not by_group and len(table) != n_features:
        raise ValueError(
            f"feature_mask has {len(table)} rows, but X has {n_features} columns in {len(sizes)} feature groups; give "
            "a row per column or per group."
        )
    return np.repeat(table, sizes, axis=0) if by_group else table


def _are_flags(values: np.ndarray) -> bool:
    """Whether all values are true or false, or 1 or 0, and none is missing."""
    return not pd.isna(values).any() and bool(np.isin(np.unique(values), [0, 1]).all())


def _rows_of_mask(labels: list[str], groups: Sequence[str], columns: list[str]) -> tuple[list[int], bool]:
    """Where the rows of a mask stand of all feature groups, or of all columns of X; and whether they are groups."""
    by_group = set(labels) <= set(groups) or not set(labels) <= set(columns)
    of_groups, of_columns = (groups, "feature group", "feature groups"), (columns, "column of X", "columns of X")
    owners, kind, kinds = of_groups if by_group else of_columns
    strange = [label for label in labels if label not in {*groups, *columns}]
    if strange or not set(labels) <= set(owners):
        raise ValueError(
            f"feature_mask has rows {shown(strange or labels)}, which are neither the feature groups "
            f"({shown(list(groups))}) nor the columns of X; give a row for each of the one or the other."
        )
    _check_once("feature_mask", labels, kind)
    missing = [owner for owner in owners if owner not in set(labels)]
    if missing:
        raise ValueError(
            f"feature_mask lacks row {shown(missing[0])} ({len(missing)} missing of {len(owners)} {kinds}); give a row "
            f"for every {kind}, in any order."
        )
    return [labels.index(owner) for owner in owners], by_group


def check_penalty_factors(factors: Any, groups: Sequence[str], penalty: str, fitted: Any) -> np.ndarray | None:
    """What the strength of every feature group is multiplied by, shape (n_groups,) or (n_groups, n_neurons).

    Parameters
    ----------
    factors : mapping, Series, DataFrame, DataArray or array-like of float
        By the names of groups, those that are not named having 1, or one for each in order; with a column for every
        neuron where they differ.
    groups : names of the feature groups
    fitted : estimator
        Its neurons have names.

    Returns
    -------
    ndarray, or None for factors of 1
    """
    if factors is None:
        return None
    if penalty == "none":
        raise ValueError("penalty_factors has no effect under penalty='none'; leave it None or choose a penalty.")
    if isinstance(factors, type):
        raise ValueError(
            f"penalty_factors is the class {factors.__name__} itself; call it: penalty_factors={factors.__name__}(...)."
        )
    if isinstance(factors, xr.DataArray) and factors.ndim in (1, 2):
        # coordinates are names as those of pandas are
        factors = factors.to_pandas()
    if isinstance(factors, pd.Series) and not is_counted(factors.index):
        _check_once("penalty_factors", list(factors.index), "feature group")
        factors = factors.to_dict()
    if isinstance(factors, Mapping):
        factors = _factors_by_name(factors, groups)
    if isinstance(factors, str | bytes | set) or np.ndim(as_numpy(factors)) == 0:
        raise ValueError(
            f"penalty_factors={shown(factors)} must be a factor for every feature group, or a mapping from their names."
        )
    if holds_flags(factors):
        raise ValueError(
            "penalty_factors must be numbers, not True or False; a factor of 0 is for a group that is never penalised."
        )
    found = numbers_of(factors, "penalty_factors").astype(float)
    if found.ndim == 2:
        found = _factors_by_neuron(factors, found, groups, fitted)
    elif found.shape != (len(groups),):
        raise ValueError(
            f"penalty_factors has shape {found.shape} for {len(groups)} feature groups ({shown(list(groups))}); give "
            "one factor per group, in their order, or a mapping from their names."
        )
    bad = np.argwhere(~(found >= 0) | (found > LARGEST_FACTOR))
    if len(bad):
        whose = f" of {fitted.neuron_names_[bad[0][1]]}" if found.ndim == 2 else ""
        raise ValueError(
            f"penalty_factors must lie between 0 and {LARGEST_FACTOR:g}; that of group {groups[bad[0][0]]!r}{whose} is "
            f"{found[tuple(bad[0])]:g}. Groups that may not explain a neuron are for feature_mask."
        )
    return found


def _check_once(argument: str, names: list[Any], kind: str) -> None:
    """Complain of what an argument names twice."""
    if len(set(names)) < len(names):
        twice = next(name for k, name in enumerate(names) if name in names[:k])
        what = "factor" if argument == "penalty_factors" else "row"
        raise ValueError(f"{argument} names {shown(twice)} more than once; give one {what} per {kind}.")


def check_group_names(argument: str, names: Iterable[Any], groups: Sequence[str], what: str) -> None:
    """Complain of names in an argument that no feature group has; ``what`` says what to give for groups.

    Raises
    ------
    ValueError
    """
    strange = [name for name in names if str(name) not in set(groups)]
    if strange:
        raise ValueError(
            f"{argument} names {shown(strange[0])}, which is no feature group ({shown(list(groups))}); give {what} for "
            "these. feature_groups=list(X.columns) makes a group of every column of a plain DataFrame."
        )


def _factors_by_name(factors: Mapping, groups: Sequence[str]) -> list[Any]:
    """The factor of every feature group in order, of those that are named."""
    given = {str(name): factor for name, factor in factors.items()}
    check_group_names("penalty_factors", given, groups, "factors")
    for name, factor in given.items():
        if not isinstance(factor, float | np.floating | bool | np.bool_) and not is_number(factor):
            raise ValueError(
                f"penalty_factors of group {name!r} must be one number, 0 for a group that is never penalised; "
                f"found {shown(factor)}."
            )
    return [given.get(name, 1.0) for name in groups]


def _factors_by_neuron(factors: Any, found: np.ndarray, groups: Sequence[str], fitted: Any) -> np.ndarray:
    """Factors (n_groups, n_neurons) in the order of groups and neurons."""
    names, what = fitted.neuron_names_, fitted.noun
    order = neuron_order(factors, names, fitted.neurons_are_named_, "penalty_factors", "Y", what)
    if found.shape[1] != len(names):
        raise ValueError(
            f"penalty_factors has {found.shape[1]} columns for {counted(len(names), what)}; give one factor per group, "
            f"or a column of them per {what}."
        )
    found = found if order is None else found[:, order]
    if isinstance(factors, pd.DataFrame) and not is_counted(factors.index):
        _check_once("penalty_factors", list(factors.index), "feature group")
        rows = [str(name) for name in factors.index]
        check_group_names("penalty_factors", rows, groups, "factors")
        given, found = found, np.ones((len(groups), len(names)))
        found[[list(groups).index(name) for name in rows]] = given
    elif len(found) != len(groups):
        raise ValueError(
            f"penalty_factors has {len(found)} rows for {len(groups)} feature groups ({shown(list(groups))}); give one "
            "row per group, in their order, or a DataFrame with their names."
        )
    mixed = np.flatnonzero((found == 0).any(axis=1) & (found > 0).any(axis=1))
    if len(mixed):
        j = int((found[mixed[0]] == 0).argmax())
        raise ValueError(
            f"penalty_factors of group {groups[mixed[0]]!r} is 0 for {names[j]} and above 0 for other {what}s; a group "
            f"is never penalised for all {what}s or for none."
        )
    return found


def check_strength_index(index: Any, n_lambdas: int, fitted: Any) -> np.ndarray:
    """Which strength each neuron of a fitted model takes, shape (n_neurons,); ``n_lambdas`` for the null model.

    Raises
    ------
    ValueError
    """
    names, what = fitted.neuron_names_, fitted.noun
    found = numbers_by_neuron(index, "lambda_index", fitted)
    if (found != np.round(found)).any() or (found < 0).any() or (found > n_lambdas).any():
        raise ValueError(
            f"lambda_index={shown(index)} must hold whole numbers from 0 to {n_lambdas}: rows of lambda_path_, and "
            f"{n_lambdas} for the null model."
        )
    if found.ndim and found.shape != (len(names),):
        raise ValueError(
            f"lambda_index must be one number, or have shape ({len(names)},), one per {what}; it has {found.shape}."
        )
    found = found.astype(int)
    return np.full(len(names), found) if found.ndim == 0 else found


def numbers_by_neuron(values: Any, name: str, fitted: Any) -> np.ndarray:
    """Numbers of an argument that has one for all neurons of a model, or one for each, in their order.

    A mapping, or a Series or DataArray with labels, goes by the names of the neurons. Shapes are for others to check.

    Raises
    ------
    ValueError
        If something is no number, or the names are not those of the neurons.
    """
    order = vector_order(values, fitted.neuron_names_, fitted.neurons_are_named_, name, what=fitted.noun)
    values = list(values.values()) if isinstance(values, Mapping) else values
    if holds_flags(values):
        raise ValueError(f"{name} must hold numbers, not True or False; found {shown(values)}.")
    found = numbers_of(values, name)
    return found if order is None else found[order]


def feature_group_sizes(
    feature_groups: Any, X: Any, n_features: int, needed_by: str | None = None
) -> tuple[np.ndarray, list[str]]:
    """Sizes and names of consecutive feature groups.

    Parameters
    ----------
    feature_groups : None, sequence of int, or sequence of labels
        None reads them from MultiIndex columns of X (first level); a list of sizes; or a label per column.
    needed_by : str, optional
        The argument that has no meaning without groups, where there is one.
    """
    if feature_groups is None:
        if isinstance(X, pd.DataFrame) and isinstance(X.columns, pd.MultiIndex):
            return _runs(list(X.columns.get_level_values(0)))
        if needed_by is not None:
            raise ValueError(
                f"feature_groups is needed by {needed_by}: give a list of sizes or a label per column, or an X with "
                "(group, feature) columns as popglm.Design makes it."
            )
        return np.ones(n_features, int), [f"feature{k}" for k in range(n_features)]
    labels = _group_labels(feature_groups, X)
    if not labels:
        raise ValueError(f"feature_groups must be a list of sizes or a label per column, not {shown(feature_groups)}.")
    integers = all(isinstance(v, int | np.integer) and not isinstance(v, bool) for v in labels)
    sizes = integers and sum(labels) == n_features and min(labels) > 0
    if sizes and len(labels) == n_features and n_features > 1:
        raise ValueError(
            f"feature_groups={shown(labels)} means {n_features} groups of one column as sizes, and one group as "
            "labels of columns. Give sizes that say which: ["
            + str(n_features)
            + "] for one group of all columns, or names as "
            "labels, such as list('abc') for a group per column."
        )
    if sizes:
        return np.asarray(labels, int), [f"group{g}" for g in range(len(labels))]
    if len(labels) == n_features:
        return _runs(labels)
    found = f"sizes that sum to {sum(labels)}" if integers else f"{len(labels)} labels"
    raise ValueError(
        f"feature_groups has {found}, but X has {n_features} columns; the groups must cover every column once."
    )


def _group_labels(feature_groups: Any, X: Any) -> list | None:
    feature_groups = as_numpy(feature_groups)
    columns = column_labels(X)
    if isinstance(feature_groups, pd.Series) and columns is not None and len(feature_groups) == len(columns):
        found = list(feature_groups.index)
        if not is_counted(feature_groups.index) and set(found) == set(columns):
            # a label per column, in another order than theirs
            feature_groups = feature_groups.iloc[[found.index(column) for column in columns]]
    if isinstance(feature_groups, pd.Series | xr.DataArray):
        feature_groups = feature_groups.values
    if isinstance(feature_groups, str | bytes) or not isinstance(
        feature_groups, Sequence | np.ndarray | pd.Index | pd.api.extensions.ExtensionArray
    ):
        return None
    if getattr(feature_groups, "ndim", 1) != 1:
        return None
    labels = list(feature_groups)
    missing = [k for k, label in enumerate(labels) if not isinstance(label, tuple | list) and pd.isna(label)]
    if missing:
        raise ValueError(f"feature_groups has no label for column {missing[0]}; every column belongs to a group.")
    return labels


def _runs(labels: list) -> tuple[np.ndarray, list[str]]:
    starts = [k for k in range(len(labels)) if k == 0 or labels[k] != labels[k - 1]]
    names = [labels[k] for k in starts]
    repeated = [name for k, name in enumerate(names) if name in names[:k]]
    if repeated:
        raise ValueError(
            f"feature_groups: the columns of group {repeated[0]!r} are not next to each other; sort them by group."
        )
    return np.diff([*starts, len(labels)]), [str(name) for name in names]


def check_rule(se_fraction: Any, min_lambda: Any, n_folds: int | None = None) -> None:
    """Complain unless strengths can be selected by both, among those of some folds once these are known.

    Raises
    ------
    ValueError
    """
    for name, value in (("se_fraction", se_fraction), ("min_lambda", min_lambda)):
        if not is_number(value) or value < 0:
            raise ValueError(f"{name}={shown(value)} must be a finite number of at least 0.")
    if n_folds == 1 and se_fraction > 0:
        raise ValueError(
            f"se_fraction={shown(se_fraction)} asks for standard errors over folds, and cv has a single one; give it "
            "more, or se_fraction=0."
        )


def check_verbose(verbose: Any) -> None:
    """Complain unless it is one of the numbers that say how much is shown."""
    if not isinstance(verbose, int | np.integer | np.bool_) or verbose not in (0, 1, 2):
        raise ValueError(f"verbose={shown(verbose)} must be 0, 1 or 2.")
