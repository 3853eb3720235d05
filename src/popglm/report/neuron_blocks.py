"""What a page shows of every neuron: one block of compressed numbers each, as fine as the room allows."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import xarray as xr

from popglm.analysis.result import Result
from popglm.report.kernel_fields import Kernels
from popglm.report.over_trials import (
    Cells,
    TrialTimes,
    average_over_trials,
    bins_of,
    blocks_of_neurons,
    mean_of_cells,
)
from popglm.report.packed import Field, layout_of, pack
from popglm.report.population import bins_in_order

__all__ = ["DETAILS", "Detail", "blocks_within", "neuron_source"]

#: Neurons that tell how much room all of them take.
_TRIED = 24
#: Levels of colour in pictures of trials; the share of cells that are below the last one.
_COLOURS, _BELOW = 62, 99.0


@dataclass(frozen=True)
class Detail:
    """How fine the pictures of a neuron are.

    Attributes
    ----------
    n_cells : int
        Cells of the picture of trials over time, at most.
    n_points : int
        Points of a kernel.
    n_rows : int
        Points of the activity trial by trial.
    n_columns : int
        Points of averages over trials.
    """

    n_cells: int
    n_points: int
    n_rows: int
    n_columns: int


#: From the finest on: the first that fits is taken, else the last.
DETAILS = (
    *(Detail(12_000, 64, 400, 120), Detail(6_000, 64, 300, 100), Detail(3_000, 50, 200, 80)),
    *(Detail(2_000, 50, 150, 60), Detail(1_500, 50, 120, 50), Detail(1_200, 40, 100, 50), Detail(900, 40, 100, 50)),
)


@dataclass(frozen=True, eq=False)
class NeuronSource:
    """Where the blocks of neurons are made from.

    Attributes
    ----------
    activity, predicted : ndarray, shape (n_samples, n_neurons)
        NaN in both where either is not known.
    times : TrialTimes
    along : dict of str to (ndarray of int, ndarray, str)
        By the name of a binned variable: the bin of every sample, the centers, the unit.
    kernels : Kernels or None
    contributions : Dataset or None
        The part "contributions".
    path : ndarray, shape (n_strengths, n_neurons)
        Held-out deviance explained at every strength.
    strengths : ndarray, shape (n_strengths, n_neurons)
    """

    activity: np.ndarray
    predicted: np.ndarray
    times: TrialTimes
    along: dict[str, tuple[np.ndarray, np.ndarray, str]]
    kernels: Kernels | None
    contributions: xr.Dataset | None
    path: np.ndarray
    strengths: np.ndarray

    @property
    def n_neurons(self) -> int:
        """Neurons of the result."""
        return self.activity.shape[1]

    def picture(self, detail: Detail) -> tuple[int, int]:
        """Rows and columns of the picture of trials, at most."""
        n_trials = len(self.times.labels)
        columns = min(detail.n_columns, max(20, int(np.sqrt(detail.n_cells))))
        return min(n_trials, max(1, detail.n_cells // columns)), columns

    def fields(self, neurons: np.ndarray, detail: Detail) -> list[Field]:
        """All fields of some neurons."""
        activity, predicted = self.activity[:, neurons], self.predicted[:, neurons]
        known = np.isfinite(activity)
        parts = (activity, predicted)
        with np.errstate(divide="ignore"):
            strengths = np.log10(self.strengths[:, neurons]).T
        fields = [
            Field("strengths", strengths, 65_534),
            Field("path", self.path[:, neurons].T, 65_534),
            *(self.kernels.fields(neurons, detail.n_points) if self.kernels else ()),
            *self._over_bins(neurons),
        ]
        most_rows, most_columns = self.picture(detail)
        rows, _ = self.times.rows(most_rows)
        columns, _ = self.times.columns(most_columns)
        cells = Cells(rows, columns, (int(rows.max()) + 1, int(columns.max()) + 1))
        picture = self._means(cells, parts, known)
        some = np.isfinite(picture).any(axis=2, keepdims=True)
        top = np.nanpercentile(np.where(some, picture, 0), _BELOW, axis=2).max(axis=0)
        picture = np.minimum(picture, top[:, None])
        fields.append(_by_neuron("picture", picture, cells.shape, _COLOURS, root=True))

        rows, _ = self.times.rows(detail.n_rows)
        single = Cells(rows, np.zeros_like(rows), (int(rows.max()) + 1, 1))
        fields.append(_by_neuron("trial by trial", self._means(single, parts, known), (single.shape[0],), 254))

        columns, _ = self.times.columns(detail.n_columns)
        fields.append(self._average("since the start", columns, int(columns.max()) + 1, parts, known))
        for name, (bins, centers, _) in self.along.items():
            fields.append(self._average(f"along {name}", bins, len(centers), parts, known))
        return fields

    def described(self, detail: Detail) -> dict[str, Any]:
        """What a page must know to draw the fields of a neuron."""
        most_rows, most_columns = self.picture(detail)
        picture_rows, picture_together = self.times.rows(most_rows)
        rows, together = self.times.rows(detail.n_rows)
        return {
            "kernels": self.kernels.described(detail.n_points) if self.kernels else [],
            "picture": {
                "shape": [int(picture_rows.max()) + 1, len(self.times.columns(most_columns)[1])],
                "together": picture_together,
                "width": self.times.column_width(most_columns),
            },
            "trials": {"n": len(self.times.labels), "rows": int(rows.max()) + 1, "together": together},
            "since": self.times.columns(detail.n_columns)[1].tolist(),
            "along": [
                {"name": name, "centers": centers.tolist(), "unit": unit}
                for name, (_, centers, unit) in self.along.items()
            ],
        }

    def _over_bins(self, neurons: np.ndarray) -> list[Field]:
        """What each variable contributes along every binned one: (n_neurons, n_variables, n_bins)."""
        data = self.contributions
        if data is None or "bin" not in data.dims:
            return []
        values = data["binned_fraction_null_deviance"].transpose("neuron", "variable", "bin").values
        return [Field(f"binned over {name}", values[neurons][:, :, bins]) for name, bins in bins_in_order(data).items()]

    def _means(self, cells: Cells, parts: tuple[np.ndarray, ...], known: np.ndarray) -> np.ndarray:
        """Recorded and predicted means of cells, shape (2, n_neurons, n_cells)."""
        members = cells.members
        return np.stack([mean_of_cells(members, values, known).T for values in parts])

    def _average(
        self, name: str, columns: np.ndarray, n_columns: int, parts: tuple[np.ndarray, ...], known: np.ndarray
    ) -> Field:
        """Mean over trials and its standard error, recorded and predicted: shape (n_neurons, 4, n_columns)."""
        shape = (len(self.times.labels), n_columns)
        members = Cells(self.times.trial, columns, shape).members
        found = [line for values in parts for line in average_over_trials(mean_of_cells(members, values, known), shape)]
        return Field(name, np.stack(found, axis=1).transpose(2, 1, 0), 254, smooth=True)


def _by_neuron(name: str, means: np.ndarray, shape: tuple[int, ...], levels: int, root: bool = False) -> Field:
    """A field of recorded and predicted means, given as (2, n_neurons, n_cells)."""
    return Field(name, means.transpose(1, 0, 2).reshape(means.shape[1], 2, *shape), levels, root=root)


def neuron_source(result: Result, kernels: Kernels | None) -> NeuronSource:
    """Read from a result what the blocks are made from."""
    grid, model = result.part("grid"), result.part("model")
    # a model without a path of strengths has one that is not known
    no_path = np.full((1, grid.sizes["neuron"]), np.nan)
    # in one piece: parts of compressed arrays would each be decompressed anew
    activity = np.array(grid["activity"].transpose("time", "neuron").values, np.float32)
    predicted = np.array(grid["predicted"].transpose("time", "neuron").values, np.float32)
    unknown = ~(np.isfinite(activity) & np.isfinite(predicted))
    activity[unknown], predicted[unknown] = np.nan, np.nan
    time = grid["time"].values
    width = float(grid.attrs["bin_width"])
    contributions = result.part("contributions").load() if "contributions" in result.tree.children else None
    return NeuronSource(
        activity,
        predicted,
        TrialTimes.of(grid["trial"].values, np.asarray(time, dtype=np.float64), width),
        _along(grid, contributions),
        kernels,
        contributions,
        model["cv_deviance_explained_path"].values if "cv_deviance_explained_path" in model else no_path,
        model["lambdas"].values if "cv_deviance_explained_path" in model else no_path,
    )


def _along(grid: xr.Dataset, contributions: xr.Dataset | None) -> dict[str, tuple[np.ndarray, np.ndarray, str]]:
    """The variables that contributions are binned over, with the bin of every sample."""
    found: dict[str, tuple[np.ndarray, np.ndarray, str]] = {}
    if contributions is None or "bin" not in contributions.dims:
        return found
    for name, bins in bins_in_order(contributions).items():
        if name in grid and grid[name].dims == ("time",) and grid[name].dtype.kind in "iufb":
            centers = contributions["center"].values[bins].astype(float)
            unit = str(contributions["unit"].values[bins[0]])
            found[name] = bins_of(grid[name].values.astype(float), centers), centers, unit
    return found


def blocks_within(source: NeuronSource, most_bytes: int) -> tuple[list[str], list[dict[str, Any]], Detail]:
    """The blocks of all neurons, their layout, and the detail that they have.

    Parameters
    ----------
    most_bytes : int
        Room for all blocks as text. The coarsest detail is taken where none fits.
    """
    tried = np.unique(np.linspace(0, source.n_neurons - 1, min(_TRIED, source.n_neurons)).astype(int))
    detail = DETAILS[-1]
    for detail in DETAILS:
        n_bytes = sum(map(len, pack(source.fields(tried, detail)))) / len(tried) * source.n_neurons
        if n_bytes <= most_bytes:
            break
    blocks: list[str] = []
    layout: list[dict[str, Any]] = []
    for some in blocks_of_neurons(len(source.activity), source.n_neurons):
        fields = source.fields(np.arange(some.start, some.stop), detail)
        layout = layout_of(fields)
        blocks += pack(fields)
    return blocks, layout, detail
