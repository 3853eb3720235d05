"""Datasets with a description, in netCDF files."""

from __future__ import annotations

import io
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import xarray as xr
from xarray.backends import H5NetCDFStore

from popglm.io.files import check_source, check_target, write_whole
from popglm.labels import is_counted

__all__ = [
    "damaged",
    "described",
    "description_of",
    "index_of",
    "plain_label",
    "read_described",
    "storable",
    "variables_of_index",
    "write_described",
    "write_netcdf",
]

#: The attribute of a Dataset that holds the description.
ATTRIBUTE = "popglm_model"


#: The group of a result's file that holds its model.
GROUP = "model"


def described(data: xr.Dataset, about: dict[str, Any]) -> xr.Dataset:
    """A Dataset that carries its description.

    Examples
    --------
    >>> description_of(described(xr.Dataset(), {"class": "GLM"}), "here")
    {'class': 'GLM'}
    """
    return data.assign_attrs({ATTRIBUTE: json.dumps(about)})


def description_of(data: xr.Dataset, where: str | Path) -> dict[str, Any]:
    """The description that a Dataset carries.

    Raises
    ------
    ValueError
        If it carries none, or one that cannot be read.
    """
    if ATTRIBUTE not in data.attrs:
        raise ValueError(f"{where} holds no popglm model.")
    try:
        return dict(json.loads(data.attrs[ATTRIBUTE]))
    except (ValueError, TypeError) as error:
        raise damaged(where, f"its description cannot be read ({error!r})") from error


def write_described(path: str | Path, data: xr.Dataset, about: dict[str, Any]) -> None:
    """Write a Dataset and its description to a netCDF file, whole or not at all.

    The file is written beside ``path`` and takes its place at the end, so that a file that was there before stays whole
    until then, whatever happens.

    Parameters
    ----------
    path : path-like
        A new file, or one to replace.
    data : Dataset
    about : dict
        What JSON can hold.

    Raises
    ------
    TypeError
        If `path` is no path.
    ValueError
        If its folder does not exist, or it names something that is no regular file.
    OSError
        If the file cannot be written, for lack of room or of permission.
    """
    target = check_target(path)
    data = described(data, about)
    write_netcdf(target, {"/": data})


def write_netcdf(
    target: Path, parts: Mapping[str, xr.Dataset], encoding: Mapping[str, Mapping[str, dict[str, Any]]] | None = None
) -> None:
    """Write Datasets into the groups of one netCDF file, whole or not at all.

    How a variable was stored in the file that it comes from says nothing of the new one: texts may be longer now.

    Parameters
    ----------
    target : Path
        From `check_target`.
    parts : dict of str to Dataset
        By the names of their groups, such as "/" and "/kernels/000".
    encoding : dict of str to dict, optional
        By group and variable, as xarray takes it.

    Raises
    ------
    OSError
        If the file cannot be written, for lack of room or of permission.
    """
    # fits need no HDF5: it takes 10 MB
    import h5netcdf

    # HDF5 ends the process where a write to the disk fails
    image = io.BytesIO()
    with h5netcdf.File(image, "w") as file:
        for name, data in parts.items():
            group = file if name == "/" else file.create_group(name)
            own = (encoding or {}).get(name, {})
            data.drop_encoding().dump_to_store(H5NetCDFStore(group), encoding=own)
    content = image.getbuffer()
    write_whole(target, lambda beside: Path(beside).write_bytes(content), len(content))


def read_described(path: str | Path, part: str | None = None) -> tuple[xr.Dataset, dict[str, Any]]:
    """Read what `write_described` wrote, or the model in a result: the Dataset, in memory, and the description.

    Parameters
    ----------
    path : path-like
    part : str, optional
        Group of the file that holds a part of a model, in place of the model.

    Raises
    ------
    TypeError
        If `path` is no path.
    FileNotFoundError
        If there is no such file.
    ValueError
        If the file holds something else, or is damaged.
    """
    import h5py

    source = check_source(path)
    try:
        with h5py.File(source) as file:
            group = part or (GROUP if GROUP in file and ATTRIBUTE not in file.attrs else None)
        data = xr.load_dataset(source, engine="h5netcdf", group=group)
    except (OSError, KeyError, RuntimeError, ValueError, TypeError, AttributeError) as error:
        raise ValueError(f"{source} holds no popglm model that can be read: {error}.") from error
    return data, description_of(data, source)


def damaged(path: str | Path, what: str) -> ValueError:
    """The complaint of a file that lacks what it should hold."""
    return ValueError(f"{path} holds a damaged popglm model: {what}.")


def variables_of_index(name: str, dimension: str, labels: pd.Index | None) -> dict[str, tuple[str, np.ndarray]]:
    """Labels along a dimension as variables ``name_0``, ``name_1`` …, one for every level.

    Labels that merely count, and levels with a gap, say nothing and are left out.

    Examples
    --------
    >>> variables_of_index("time", "sample", pd.Index([0.5, 0.6]))
    {'time_0': ('sample', array([0.5, 0.6]))}
    """
    if labels is None or is_counted(labels):
        return {}
    levels = [labels.get_level_values(k) for k in range(labels.nlevels)]
    return {f"{name}_{k}": (dimension, _as_stored(level)) for k, level in enumerate(levels) if not level.hasnans}


def index_of(name: str, data: xr.Dataset) -> pd.Index | None:
    """The labels that `variables_of_index` made variables of; None where there are none.

    Examples
    --------
    >>> index_of("time", xr.Dataset({"time_0": ("sample", [0.5, 0.6])}))
    Index([0.5, 0.6], dtype='float64')
    """
    names = sorted(str(found) for found in data if str(found).startswith(f"{name}_"))
    levels = [pd.Index(data[found].to_numpy()) for found in names]
    if not levels:
        return None
    return levels[0] if len(levels) == 1 else pd.MultiIndex.from_arrays(levels)


def plain_label(label: Any) -> Any:
    """A column's name as JSON can hold it: text where it is neither text nor a number; a list for a tuple.

    Examples
    --------
    >>> plain_label(("speed", np.int64(3)))
    ['speed', 3]
    """
    if isinstance(label, tuple):
        return [plain_label(part) for part in label]
    label = label.item() if isinstance(label, np.generic) else label
    return label if label is None or isinstance(label, bool | int | float | str) else str(label)


def _as_stored(level: pd.Index) -> np.ndarray:
    values = level.to_numpy()
    return values if values.dtype.kind in "iufmM" else np.array([str(value) for value in values], object)


def storable(data: xr.Dataset) -> xr.Dataset:
    """A Dataset of what a netCDF file can hold: texts for mixed objects, 0 and 1 for booleans, lists of texts.

    What is missing among texts becomes an empty one.

    Examples
    --------
    >>> data = xr.Dataset({"side": ("trial", np.array(["left", None], object)), "hit": ("trial", [True, False])})
    >>> storable(data)["side"].values.tolist(), storable(data)["hit"].values.tolist()
    (['left', ''], [1, 0])
    """
    data = data.reset_index([name for name, index in data.indexes.items() if getattr(index, "nlevels", 1) > 1])
    # a slash would be a group of the file
    every = {*map(str, data.variables), *map(str, data.sizes)}
    plain = {name: name.replace("/", "_") for name in every if "/" in name}
    data = data.rename(plain)
    for given, other in plain.items():
        if other in data.variables:
            # the copy alone is named
            data[other] = data[other].copy(deep=False)
            data[other].attrs["long_name"] = given
    changed: dict[Any, Any] = {}
    for name, one in data.variables.items():
        if one.dtype.kind in "OU" or not isinstance(one.dtype, np.dtype):
            texts = np.array(["" if pd.isna(value) else str(value) for value in one.values.ravel()], dtype=object)
            changed[name] = (one.dims, texts.reshape(one.shape), one.attrs)
        elif one.dtype.kind == "b":
            changed[name] = (one.dims, one.values.astype(np.int8), {**one.attrs, "is_boolean": 1})
    # HDF5 holds no empty list, and no text of no characters as an attribute that others can read
    attrs = {
        name: list(map(str, value)) if isinstance(value, list | tuple) else value
        for name, value in data.attrs.items()
        if not isinstance(value, str | list | tuple) or len(value)
    }
    data = data.assign(changed)
    data.attrs = attrs
    return data
