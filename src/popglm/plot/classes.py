"""Results of a classifier's response, with its classes in the place of neurons."""

from __future__ import annotations

from typing import Any

import numpy as np
import xarray as xr

from popglm.messages import listed
from popglm.plot.labelled import count_neurons

__all__ = ["CLASSES_OF", "count_rows", "of_response"]

#: Attribute of kernels whose neurons are classes: of which response.
CLASSES_OF = "classes_of"


def of_response(data: xr.Dataset) -> xr.Dataset:
    """Results of a response with its classes in the place of neurons; of a class that was chosen, with both names.

    Others are as they are.

    Raises
    ------
    ValueError
        If there are several responses.
    """
    if "of_classes" not in data.attrs:
        return data
    if "class" not in data.dims:
        chosen = data["class"].item()
        return data.assign_coords(neuron=[f"{name}: {chosen}" for name in data["neuron"].values])
    names = [str(name) for name in data["neuron"].values]
    if len(names) > 1:
        raise ValueError(f"neurons must name one response of a classifier to draw; there are {listed(names)}")
    own = data.isel(neuron=0, drop=True).rename({"class": "neuron"})
    known = own["baseline"].notnull() if "baseline" in own else own["n_samples"].sum("bin") > 0
    return own.isel(neuron=np.flatnonzero(known)).assign_attrs({CLASSES_OF: names[0]})


def count_rows(data: xr.Dataset, names: Any, drawn: np.ndarray | None = None) -> str:
    """How many neurons are drawn, or of what there are classes."""
    return data.attrs[CLASSES_OF] if CLASSES_OF in data.attrs else count_neurons(names, drawn)
