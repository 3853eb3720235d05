"""`SmoothGLM` as an xarray Dataset and in files, and back."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Self

import numpy as np
import pandas as pd
import xarray as xr

from popglm.estimators.smooth_penalties import check_penalties
from popglm.estimators.storage import Storage

__all__ = ["SmoothStorage"]


class SmoothStorage(Storage):
    """How a `SmoothGLM` becomes a Dataset or a file, and comes back."""

    penalties: Any
    smoothing: Any
    constraints: Any
    smoothing_: pd.DataFrame
    edf_: pd.DataFrame
    _kinds: list[tuple[np.ndarray, np.ndarray]]
    _penalties: list[tuple[int, str, np.ndarray]]
    _group_penalties: Callable[[], list[tuple[int, str, np.ndarray]]]

    def to_xarray(self) -> xr.Dataset:
        """Everything fitted as an `xarray.Dataset`, as of `GLM`, with dimensions ``curve_penalty`` and ``term`` too."""
        data, neuron = super().to_xarray(), ("neuron",)
        of_neurons = {name: (neuron, getattr(self, f"{name}_")) for name in ("criterion", "dispersion", "slope")}
        names = [f"{self.feature_group_names_[g]}: {name}" for g, name, _ in self._penalties]
        return data.assign(
            {
                "smoothing": (("neuron", "curve_penalty"), self.smoothing_.to_numpy()),
                "edf": (("neuron", "term"), self.edf_.to_numpy()),
                **of_neurons,
            }
        ).assign_coords(curve_penalty=np.array(names, str), term=np.array(self.feature_group_names_, str))

    def _description(self) -> dict[str, Any]:
        about = super()._description()
        given = check_penalties(self.penalties, self.feature_group_sizes_, self.feature_group_names_)
        matrices = {name: [S.tolist() for S in found] for name, found in given.items()}
        about["parameters"]["penalties"] = matrices or None
        about["parameters"]["constraints"] = None if self.constraints is None else {**self.constraints}
        if isinstance(self.smoothing, pd.DataFrame | pd.Series):
            # a file keeps no labels of arguments
            about["parameters"]["smoothing"] = self.smoothing_.to_numpy().tolist()
        kinds = [[own.tolist() for own in kind] for kind in self._kinds]
        return about | ({"columns": kinds[0][1]} if self.feature_mask_ is None else {"kinds": kinds})

    def restore(self, data: xr.Dataset, about: dict[str, Any]) -> Self:
        every = list(range(data.sizes["neuron"]))
        kinds = about.get("kinds") or [[every, about["columns"]]]
        self._kinds = [(np.array(neurons, int), np.array(columns, int)) for neurons, columns in kinds]
        super().restore(data, about)
        names = [(self.feature_group_names_[g], name) for g, name, _ in self._penalties]
        neurons = pd.Index(self.neuron_names_, name="neuron")
        columns = pd.MultiIndex.from_tuples(names, names=["group", "penalty"]) if names else None
        self.smoothing_ = pd.DataFrame(data["smoothing"].to_numpy(), index=neurons, columns=columns)
        self.edf_ = pd.DataFrame(data["edf"].to_numpy(), index=neurons, columns=list(self.feature_group_names_))
        for name in ("criterion", "dispersion", "slope"):
            setattr(self, f"{name}_", data[name].to_numpy())
        return self

    def _restored_penalty(self, about: dict[str, Any]) -> None:
        self._penalties = self._group_penalties()
