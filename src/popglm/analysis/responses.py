"""The responses of a classifier: variables of the session whose classes are told, in the place of activity."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd
import xarray as xr

__all__ = ["class_counts", "responses_of", "table_of_responses"]


def responses_of(data: xr.Dataset, names: list[str]) -> xr.DataArray:
    """Labels of every bin, shape (n_samples, n_responses); None where a response is not known.

    Parameters
    ----------
    data : Dataset
        The session on its grid.
    names : list of str
        Of variables: texts, flags, or whole numbers, which a grid may hold as floats.
    """
    labels = np.empty((data.sizes["time"], len(names)), object)
    for j, name in enumerate(names):
        labels[:, j] = [None if pd.isna(value) else value for value in data[name].values.tolist()]
    coords = {"time": data["time"].values, "neuron": np.array(names, object)}
    return xr.DataArray(labels, dims=("time", "neuron"), coords=coords, name="response")


def table_of_responses(names: list[str]) -> pd.DataFrame:
    """A row per response, as masks read a table of neurons."""
    return pd.DataFrame({"neuron": names})


def class_counts(responses: xr.DataArray) -> dict[str, str]:
    """By response how many bins each class has, in words."""
    found = {}
    for name in responses["neuron"].values.tolist():
        counts: dict[Any, int] = pd.Series(responses.sel(neuron=name).values).value_counts().to_dict()
        found[str(name)] = ", ".join(f"{_text(label)} {n:,}" for label, n in counts.items())
    return found


def _text(label: Any) -> str:
    """A label, whole numbers without a point."""
    return f"{label:g}" if isinstance(label, float) else str(label)
