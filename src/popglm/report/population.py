"""What a page shows of the population: tables, quartiles, pooled contributions and mean kernels."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd
import xarray as xr

from popglm.analysis.result import Result
from popglm.plot.labelled import pooled_and_sem
from popglm.report.clusters import Clusters
from popglm.report.kernel_fields import Kernels, axes_of, described_axis
from popglm.report.packed import Field
from popglm.report.places import place_of

__all__ = ["MEASURES", "bins_in_order", "population_facts", "population_fields", "table_of_neurons"]

#: Measures of contributions: the part of the result, the quantity, and what they are called.
MEASURES = (
    ("contributions", "fraction_explained_deviance", "Share of explained deviance, by ablation"),
    ("contributions", "fraction_null_deviance", "Fraction of null deviance, by ablation"),
    ("unique", "fraction_explained_deviance", "Share of explained deviance, by fits without the variable"),
    ("unique", "fraction_null_deviance", "Fraction of null deviance, by fits without the variable"),
)
#: Percentiles that stand for a distribution.
PERCENTILES = (5, 25, 50, 75, 95)
#: Mean kernels that a page shows, those with the largest mean; texts of a table longer than this are cut.
MOST_KERNELS, LONGEST_TEXT = 40, 80


def measures_of(result: Result) -> list[tuple[str, str, str]]:
    """The measures of contributions that a result has."""
    return [measure for measure in MEASURES if measure[0] in result.tree.children]


def table_of_neurons(result: Result) -> pd.DataFrame:
    """The table of neurons as a page shows it: numbers, and texts that are not too long."""
    table = result.neurons
    table.index = table.index.map(str)
    for name in table:
        if not pd.api.types.is_numeric_dtype(table[name]):
            table[name] = [
                text if len(text) <= LONGEST_TEXT else text[:LONGEST_TEXT] + " …" for text in map(str, table[name])
            ]
    return table


def population_fields(result: Result, table: pd.DataFrame) -> list[Field]:
    """Numbers of all neurons as fields of one block: columns of the table, and contributions."""
    columns = [name for name in table if pd.api.types.is_numeric_dtype(table[name])]
    fields = [Field(f"column {name}", table[name].to_numpy(float)[None], 0) for name in columns]
    for part, quantity, _ in measures_of(result):
        values = result.part(part)[quantity].transpose("variable", "neuron").values
        fields.append(Field(f"{part} {quantity}", values[None], 0))
    return fields


def population_facts(
    result: Result, table: pd.DataFrame, kernels: Kernels | None, clusters: Clusters | None
) -> dict[str, Any]:
    """What a page must know of the population beside `population_fields`."""
    place = place_of(table)
    texts = [name for name in table if not pd.api.types.is_numeric_dtype(table[name])]
    measures = measures_of(result)
    return {
        "neurons": table.index.tolist(),
        "columns": [str(name) for name in table],
        "texts": {str(name): table[name].tolist() for name in texts},
        "place": None if place is None else {"across": place.across, "down": place.down},
        "measures": [
            {"part": part, "quantity": quantity, "label": label, **_spread(result.part(part), quantity)}
            for part, quantity, label in measures
        ],
        "along": [
            {"part": part, "quantity": quantity, **one}
            for part, quantity, _ in measures
            for one in _along_bins(result.part(part), quantity)
        ],
        "mean_kernels": _mean_kernels(kernels),
        "clusters": None
        if clusters is None
        else {
            "label": clusters.label.tolist(),
            "order": clusters.order.tolist(),
            "sizes": np.bincount(clusters.label[clusters.order]).tolist(),
            "centers": clusters.centers.tolist(),
            "silhouette": clusters.silhouette,
        },
    }


def _denominator(data: xr.Dataset, quantity: str) -> xr.DataArray:
    """What a fraction is a fraction of: the explained or the null deviance of every neuron."""
    # a neuron of which nothing is explained has no fraction of that, and so no weight
    explained = data["null_deviance"] - data["full_deviance"]
    return explained if quantity == "fraction_explained_deviance" else data["null_deviance"]


def _spread(data: xr.Dataset, quantity: str) -> dict[str, Any]:
    """Percentiles over neurons of every variable, and all neurons pooled."""
    values = data[quantity]
    pooled, sem = pooled_and_sem(values, _denominator(data, quantity))
    rows = values.transpose("variable", "neuron").values
    spread = [
        np.percentile(row[np.isfinite(row)], PERCENTILES).tolist() if np.isfinite(row).any() else [np.nan] * 5
        for row in rows
    ]
    return {
        "variables": [str(name) for name in data["variable"].values],
        "percentiles": spread,
        "pooled": pooled.tolist(),
        "sem": sem.tolist(),
        "n": np.isfinite(rows).sum(axis=1).tolist(),
    }


def bins_in_order(data: xr.Dataset) -> dict[str, np.ndarray]:
    """By the name of every binned variable its bins, in order of their centers."""
    axis, center = data["axis"].values, data["center"].values
    places = {str(name): np.flatnonzero(axis == name) for name in dict.fromkeys(axis.tolist())}
    return {name: bins[np.argsort(center[bins], kind="stable")] for name, bins in places.items()}


def _along_bins(data: xr.Dataset, quantity: str) -> list[dict[str, Any]]:
    """Contributions of all neurons together along every binned variable."""
    if "bin" not in data.dims:
        return []
    found = []
    weight = _denominator(data, quantity)
    for axis, bins in bins_in_order(data).items():
        part = data.isel(bin=bins)
        # (variable, bin)
        mean, sem = pooled_and_sem(part[f"binned_{quantity}"], weight)
        found.append(
            {
                "axis": axis,
                "unit": str(part["unit"].values[0]),
                "centers": part["center"].values.tolist(),
                "samples": part["n_samples"].values.tolist(),
                "pooled": mean.tolist(),
                "sem": sem.tolist(),
            }
        )
    return found


def _mean_kernels(kernels: Kernels | None) -> list[dict[str, Any]]:
    """The mean absolute kernel of every group along one axis, the largest groups of very many."""
    if kernels is None:
        return []
    single = [k for k, group in enumerate(kernels.groups) if len(axes_of(group)) == 1]
    size = {k: float(np.nanmax(kernels.groups[k]["mean_absolute"].values)) for k in single}
    shown = sorted(sorted(single, key=size.__getitem__, reverse=True)[:MOST_KERNELS])
    return [
        {
            "group": str(kernels.groups[k].attrs.get("group", k)),
            "axis": described_axis(kernels.groups[k][axes_of(kernels.groups[k])[0]]),
            "mean": kernels.groups[k]["mean_absolute"].values.tolist(),
            "sem": kernels.groups[k]["mean_absolute_sem"].values.tolist(),
            "in_use": int((kernels.largest[k] > 0).sum()),
        }
        for k in shown
    ]
