"""Results of models as tables: points of grids, variables and bins as rows, and vectors with an entry per neuron."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import pandas as pd
import xarray as xr

from popglm.labels import check_distinct, column_text, is_counted, row_labels, times
from popglm.messages import listed, shown
from popglm.warnings import warn

__all__ = ["ResultTable", "Results", "results_of"]

#: What variables of results are.
MEANING = {
    "neuron": "Name of the neuron",
    "kernel": "What the term adds to the linear predictor",
    "total": "The kernel and all other terms that depend on no other variables",
    "gain": "exp(kernel), a factor on the rate",
    "total_gain": "exp(total), a factor on the rate",
    "mean_absolute": "Mean over neurons of the absolute kernel",
    "mean_absolute_sem": "Standard error of the mean over neurons of the absolute kernel",
    "baseline": "Mean of the linear predictor",
    "null_deviance": "Deviance of the null model",
    "full_deviance": "Deviance of the full model",
    "reduced_deviance": "Deviance without the variable",
    "deviance_explained": "Fraction of the null deviance that the model explains",
}


@dataclass
class ResultTable:
    """A table: columns of numbers or text, or of a vector per row, each with what it means."""

    name: str
    description: str
    columns: dict[str, tuple[np.ndarray, str]] = field(default_factory=dict)


@dataclass
class Results:
    """All results of a model.

    Parameters
    ----------
    neurons : ResultTable
        A row per neuron.
    predictions : dict of str to tuple
        Values, shape (n_samples, n_neurons), NaN for neurons without; times in seconds; the unit.
    tables : list of ResultTable
    """

    neurons: ResultTable
    predictions: dict[str, tuple[np.ndarray, np.ndarray, str]]
    tables: list[ResultTable]

    @property
    def nbytes(self) -> int:
        """Bytes of all arrays."""
        columns = [values for table in (self.neurons, *self.tables) for values, _ in table.columns.values()]
        return sum(one.nbytes for one in columns) + sum(values.nbytes for values, _, _ in self.predictions.values())


def results_of(predictions: Any, kernels: Any, contributions: Any) -> Results:
    """Bring results of all kinds to the same neurons.

    Raises
    ------
    TypeError, ValueError
        If nothing is given, or something of another kind, or a neuron twice in one result.

    Warns
    -----
    PopglmWarning
        If results are of different neurons.
    """
    if predictions is None and kernels is None and contributions is None:
        raise ValueError("to_nwb: give predictions, kernels or contributions; found none of them")
    named = {
        "predictions": _by_name(predictions, "predictions", (pd.DataFrame, xr.DataArray)),
        "kernels": _by_name(kernels, "kernels", (xr.Dataset,)),
        "contributions": _by_name(contributions, "contributions", (xr.Dataset, pd.DataFrame)),
    }
    arrays = {name: _prediction(name, one) for name, one in named["predictions"].items()}
    datasets = {
        name: _dataset(one) for part in ("kernels", "contributions") for name, one in named[part].items()
    }  # fmt: skip
    results = {name: values for name, (values, _, _) in arrays.items()} | datasets
    labels = _shared_labels({name: one for name, one in results.items() if _has_neurons(one)})
    index = pd.Index(dict.fromkeys(label for own in labels.values() for label in own), dtype=object)
    neurons = ResultTable(
        "neurons", "The neurons of the models", {"neuron": (index.to_numpy(object), MEANING["neuron"])}
    )
    tables: list[ResultTable] = []
    for name, data in datasets.items():
        tables += _tables(name, data, labels.get(name), index, neurons)
    aligned = {
        name: (values.set_axis(labels[name], axis=1).reindex(columns=index).to_numpy(), when, unit)
        for name, (values, when, unit) in arrays.items()
    }
    return Results(neurons, aligned, tables)


def _by_name(found: Any, argument: str, kinds: tuple[type, ...]) -> dict[str, Any]:
    """One result under the name of its argument, or several, each after the name of the argument."""
    if found is None:
        return {}
    several = isinstance(found, Mapping) and not isinstance(found, xr.Dataset)
    named = {f"{argument} {name}": one for name, one in found.items()} if several else {argument: found}
    for name, one in named.items():
        if not isinstance(one, kinds):
            wanted = " or ".join(kind.__name__ for kind in kinds)
            raise TypeError(f"to_nwb: {name} must be a {wanted} with labels; found {shown(one)}")
    return named


def _prediction(name: str, found: pd.DataFrame | xr.DataArray) -> tuple[pd.DataFrame, np.ndarray, str]:
    """Predicted activity as a table of samples × neurons, its times and its unit."""
    labels, unit = row_labels(found), ""
    if isinstance(found, xr.DataArray):
        if found.ndim != 2:
            raise ValueError(f"to_nwb: {name} must be samples × neurons; found shape {found.shape}")
        unit = str(found.attrs.get("units", ""))
        columns = found.indexes.get(found.dims[1], pd.RangeIndex(found.shape[1]))
        if "time" in found.coords and found.coords["time"].dims == found.dims[:1]:
            labels = pd.Index(found.coords["time"].values)
        found = pd.DataFrame(found.values, columns=columns)
    elif isinstance(labels, pd.MultiIndex) and "time" in labels.names:
        labels = labels.get_level_values("time")
    when = None if isinstance(labels, pd.RangeIndex | pd.DatetimeIndex | pd.MultiIndex) else times(labels)
    if when is None or not np.isfinite(when).all():
        raise ValueError(f"to_nwb: {name} must have the times of its rows in seconds as index; found {shown(labels)}")
    return found, when.astype(np.float64), unit


def _dataset(found: xr.Dataset | pd.DataFrame) -> xr.Dataset:
    """A table with a row per neuron as a Dataset."""
    if isinstance(found, xr.Dataset):
        return found
    columns = {str(name): ("neuron", found[name].to_numpy()) for name in found}
    return xr.Dataset(columns, coords={"neuron": found.index.to_flat_index()})


def _has_neurons(found: pd.DataFrame | xr.Dataset) -> bool:
    """Whether a result has values of single neurons."""
    return isinstance(found, pd.DataFrame) or "neuron" in found.sizes


def _shared_labels(results: Mapping[str, pd.DataFrame | xr.Dataset]) -> dict[str, list[str]]:
    """Names of the neurons of each result, as texts, which all results of a fit have.

    Neurons that are merely counted, as those of an array are, take the names of a result with as many.
    """
    labels: dict[str, list[str]] = {}
    worth: dict[str, int] = {}
    for name, one in results.items():
        if isinstance(one, pd.DataFrame):
            found = one.columns
        else:
            found = one.indexes.get("neuron", pd.RangeIndex(one.sizes["neuron"]))
        own = labels[name] = [column_text(label) for label in found.tolist()]
        check_distinct(own, f"to_nwb: {name}", "neuron")
        # counted by pandas, by a fit to an array, or named by the data
        worth[name] = 0 if is_counted(found) else 1 if own == [f"neuron{j}" for j in range(len(own))] else 2
    for name, own in list(labels.items()):
        others = [other for other in labels if len(labels[other]) == len(own) and worth[other] > worth[name]]
        if others and not any(set(own) == set(labels[other]) for other in others):
            labels[name] = labels[max(others, key=worth.__getitem__)]
    if labels:
        _warn_of_others(labels)
    return labels


def _warn_of_others(labels: Mapping[str, list[str]]) -> None:
    """Tell which results have neurons that others lack: for these the file holds NaN."""
    first, *others = labels
    for other in others:
        here, there = labels[first], labels[other]
        alone = {
            first: [label for label in here if label not in set(there)],
            other: [label for label in there if label not in set(here)],
        }
        if any(alone.values()):
            parts = [f"{name} alone has {listed(map(repr, own))}" for name, own in alone.items() if own]
            warn(
                f"to_nwb: {first} and {other} are of different neurons, {len(here) - len(alone[first]):,} of them "
                f"shared: {'; '.join(parts)}. What a result does not know of a neuron is NaN in the file. Give all "
                "results the names of the same neurons if they are of one model."
            )
            return


def _tables(
    name: str, data: xr.Dataset, labels: list[str] | None, index: pd.Index, neurons: ResultTable
) -> list[ResultTable]:
    """A table for each set of dimensions besides the neurons; what has none goes to the table of neurons."""
    if labels is not None:
        data = data.assign_coords(neuron=pd.Index(labels, dtype=object)).reindex(neuron=index)
    sets: dict[tuple[str, ...], list[str]] = {}
    for variable in data.data_vars:
        sets.setdefault(tuple(str(d) for d in data[variable].dims if d != "neuron"), []).append(str(variable))
    tables = []
    for dims, variables in sets.items():
        if not dims:
            for variable in variables:
                _add_per_neuron(name, variable, data[variable], len(index), neurons)
            continue
        title = name if len(dims) == max(map(len, sets)) else f"{name} by {', '.join(dims)}"
        table = ResultTable(title, f"{name}: rows are {' × '.join(dims)}", _of_rows(data, dims))
        for variable in variables:
            one = data[variable].transpose(*dims, *(["neuron"] if "neuron" in data[variable].dims else []))
            values, meaning = _values(one), MEANING.get(variable, variable.replace("_", " "))
            by_neuron = "; a column per row of the table 'neurons'" if "neuron" in one.dims else ""
            n_rows = int(np.prod([data.sizes[d] for d in dims]))
            table.columns[variable] = values.reshape(n_rows, *values.shape[len(dims) :]), f"{meaning}{by_neuron}"
        tables.append(table)
    return tables


def _of_rows(data: xr.Dataset, dims: tuple[str, ...]) -> dict[str, tuple[np.ndarray, str]]:
    """What tells the rows of a table apart: the coordinates along its dimensions."""
    shape, columns = {d: data.sizes[d] for d in dims}, {}
    own = {d: data.coords[d] if d in data.coords else xr.DataArray(np.arange(data.sizes[d]), dims=d) for d in dims}
    others = {str(c): one for c, one in data.coords.items() if c not in own and one.dims and set(one.dims) <= set(dims)}
    for label, one in (own | others).items():
        values = _values(xr.DataArray(_values(one), dims=one.dims).broadcast_like(xr.DataArray(
            np.empty(tuple(shape.values())), dims=dims)).transpose(*dims))  # fmt: skip
        unit = one.attrs.get("units") or one.attrs.get("unit")
        columns[label] = values.reshape(-1), f"{label.replace('_', ' ')}{f' in {unit}' if unit else ''}"
    return columns


def _add_per_neuron(name: str, variable: str, one: xr.DataArray, n_neurons: int, neurons: ResultTable) -> None:
    """A column of the table of neurons; one that is there already under that name goes by its whole name."""
    values = _values(one if one.dims else one.expand_dims(neuron=n_neurons))
    known = neurons.columns.get(variable)
    if known is not None:
        same = known[0].shape == values.shape and pd.Series(known[0]).equals(pd.Series(values))
        if same:
            return
        variable = f"{variable} of {name}"
    neurons.columns[variable] = values, MEANING.get(variable, variable.replace("_", " "))


def _values(one: xr.DataArray) -> np.ndarray:
    """Values that a file can hold: numbers, truth values, or text."""
    values = np.asarray(one.values)
    if values.dtype.kind in "biuf":
        return values
    texts = ["" if one is None or (isinstance(one, float) and np.isnan(one)) else str(one) for one in values.ravel()]
    return np.array(texts, dtype=object).reshape(values.shape)
