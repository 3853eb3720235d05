"""A result of a classifier as a page shows it: a row for every class of every response, and their confusion."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import xarray as xr

from popglm.analysis.result import Result
from popglm.explain.tuning_kernels import mean_absolute

__all__ = ["Classes", "words_of"]

#: What a page calls what it shows one by one, and what was fitted, for models of activity.
_NEURONS = {
    "one": "neuron", "many": "neurons", "model": "neuron", "models": "neurons", "all": "Population",
    "activity": "Recorded and predicted activity", "gains": "gains, factors on the rate",
}  # fmt: skip
#: The same for classifiers.
_CLASSES = {
    "one": "class", "many": "classes", "model": "response", "models": "responses", "all": "Responses",
    "activity": "Recorded classes and their probabilities", "gains": "gains, factors on the odds",
}  # fmt: skip


def words_of(result: Result) -> dict[str, str]:
    """How a page speaks of a result."""
    return _CLASSES if result.kind == "ClassifierGLMCV" else _NEURONS


@dataclass(frozen=True, eq=False)
class Classes:
    """The classes of all responses of a result, one after the other.

    Attributes
    ----------
    result : Result
    response, label : ndarray of int, shape (n_rows,)
        Numbers of a row's response, and of its class among those of all responses.
    code : ndarray of int, shape (n_samples, n_responses)
        Number of every label, −1 where it is not known.
    p : ndarray, shape (n_samples, n_responses, n_classes)
        Probabilities, NaN where there are none.
    """

    result: Result
    response: np.ndarray
    label: np.ndarray
    code: np.ndarray
    p: np.ndarray

    @classmethod
    def of(cls, result: Result) -> Classes:
        """Those that a response has."""
        grid = result.part("grid")
        has_class = result.part("model")["class_counts"].transpose("neuron", "class").values > 0
        p = grid["probability"].transpose("time", "neuron", "class").values
        code = grid["code"].transpose("time", "neuron").values.astype(int)
        response, label = np.nonzero(has_class)
        return cls(result, response, label, code, p)

    @property
    def names(self) -> list[str]:
        """Of the rows."""
        grid = self.result.part("grid")
        responses, classes = grid["neuron"].values, grid["class"].values
        return [f"{responses[r]}: {classes[k]}" for r, k in zip(self.response, self.label, strict=True)]

    @property
    def first(self) -> list[int]:
        """The first row of every response."""
        return [int(np.flatnonzero(self.response == r)[0]) for r in np.unique(self.response)]

    def confusions(self) -> list[dict[str, Any]]:
        """By response how many held-out samples of each class have which most probable class."""
        grid = self.result.part("grid")
        held, found = grid["fold"].values >= 0, []
        for r in np.unique(self.response):
            own = self.label[self.response == r]
            known = held & np.isin(self.code[:, r], own) & np.isfinite(self.p[:, r]).all(axis=1)
            place = np.searchsorted(own, self.code[known, r])
            most = self.p[known, r][:, own].argmax(axis=1) if known.any() else place
            counts = np.zeros((len(own), len(own)), int)
            np.add.at(counts, (place, most), 1)
            classes = [str(grid["class"].values[k]) for k in own]
            found.append({"response": str(grid["neuron"].values[r]), "classes": classes, "counts": counts.tolist()})
        return found

    def as_neurons(self) -> Result:
        """The result with a row in the place of a neuron, whose activity is whether a sample is of the class."""
        parts = self.result.tree.children
        names, rows = np.array(self.names, object), xr.DataArray(self.response, dims="neuron")
        own = {
            "/grid": self._grid(),
            "/model": self.result.part("model")[["cv_deviance_explained_path", "lambdas"]].isel(neuron=rows),
            "/neurons": self._table(),
        }
        for name in ("contributions", "unique"):
            if name in parts:
                own[f"/{name}"] = self.result.part(name).isel(neuron=rows)
        for name, node in parts["kernels"].children.items() if "kernels" in parts else ():
            own[f"/kernels/{name}"] = self._kernel(node.to_dataset(inherit=False).load())
        return self.result.with_parts({path: one.assign_coords(neuron=names) for path, one in own.items()})

    def _grid(self) -> xr.Dataset:
        """The grid with indicators and probabilities of the classes."""
        grid = self.result.part("grid")
        known = self.code[:, self.response] >= 0
        is_it = np.where(known, self.code[:, self.response] == self.label, np.nan)
        bare = grid.drop_vars(["code", "probability", "neuron", "class"], errors="ignore")
        dims = ("time", "neuron")
        return bare.assign(
            activity=(dims, is_it.astype(np.float32)), predicted=(dims, self.p[:, self.response, self.label])
        )

    def _table(self) -> xr.Dataset:
        """A row per class: its samples, how often it is found and rightly told; and what its response has."""
        of_response = self.result.part("neurons").isel(neuron=xr.DataArray(self.response, dims="neuron"))
        of_response = of_response.drop_vars("neuron", errors="ignore")
        grid = self.result.part("grid")
        sizes, found, right, accuracy = [], [], [], []
        for one in self.confusions():
            counts = np.array(one["counts"], float)
            with np.errstate(invalid="ignore", divide="ignore"):
                found += (np.diag(counts) / counts.sum(axis=1)).tolist()
                right += (np.diag(counts) / counts.sum(axis=0)).tolist()
                accuracy += [np.trace(counts) / counts.sum()] * len(counts)
            sizes += counts.sum(axis=1).tolist()
        columns = {
            "response": np.array([str(grid["neuron"].values[r]) for r in self.response], object),
            "class": np.array([str(grid["class"].values[k]) for k in self.label], object),
            "samples": np.array(sizes),
            "found": np.array(found),
            "rightly_told": np.array(right),
            "accuracy": np.array(accuracy),
        }
        table = xr.Dataset({name: ("neuron", values) for name, values in columns.items()})
        return table.merge(of_response)

    def _kernel(self, group: xr.Dataset) -> xr.Dataset:
        """A kernel of the rows, and its mean size over them."""
        rows = {"neuron": xr.DataArray(self.response, dims="row"), "class": xr.DataArray(self.label, dims="row")}
        found = group.isel(rows).drop_vars(["neuron", "class"], errors="ignore").rename(row="neuron")
        axes = [name for name in found["kernel"].dims if name != "neuron"]
        kernel = found["kernel"].transpose("neuron", *axes)
        flat = kernel.values.reshape(len(self.response), -1)
        for name, values in zip(("mean_absolute", "mean_absolute_sem"), mean_absolute(flat), strict=True):
            found[name] = axes, values.reshape(kernel.shape[1:])
        return found
