"""Kernels of all neurons as fields of their blocks, thinned to as many points as a picture shows."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import xarray as xr

from popglm.analysis.result import Result
from popglm.report.packed import Field

__all__ = ["Kernels", "axes_of", "described_axis", "has_band", "kernels_of"]

#: Kernels of a neuron that a page keeps: the largest.
MOST_KERNELS = 40
#: Levels of colour of a kernel over two axes.
_COLOURS = 62


@dataclass(frozen=True, eq=False)
class Kernels:
    """The kernels of a result, group by group.

    Attributes
    ----------
    groups : list of Dataset
        In the order of the design, each axis in increasing order.
    largest : ndarray, shape (n_groups, n_neurons)
        The largest absolute value of every kernel.
    """

    groups: list[xr.Dataset]
    largest: np.ndarray

    @property
    def kept(self) -> np.ndarray:
        """Which kernels a page keeps of every neuron, shape (n_groups, n_neurons)."""
        rank = np.argsort(np.argsort(-np.nan_to_num(self.largest), axis=0, kind="stable"), axis=0, kind="stable")
        return rank < MOST_KERNELS

    def fields(self, neurons: np.ndarray, n_points: int) -> list[Field]:
        """A field per group that can be drawn: the kernel, and the limits of its band where there is one."""
        kept = self.kept
        fields = []
        for k, group in enumerate(self.groups):
            axes = axes_of(group)
            if not 1 <= len(axes) <= 2:
                continue
            thin = group.isel({axis: _thinned(group[axis], n_points, len(axes)) for axis in axes})
            names = ["kernel", "lower", "upper"] if has_band(group) else ["kernel"]
            if len(axes) == 2:
                names = names[:1]
            values = np.stack([thin[name].transpose("neuron", *axes).values[neurons] for name in names], axis=1)
            keep = kept[k, neurons].reshape(-1, *[1] * (values.ndim - 1))
            levels = 254 if len(axes) == 1 else _COLOURS
            fields.append(Field(f"kernel {k}", np.where(keep, values, np.nan), levels, smooth=True))
        return fields

    def described(self, n_points: int) -> list[dict[str, Any]]:
        """What a page must know of every group, its field among it."""
        return [
            {
                "group": str(group.attrs.get("group", k)),
                "axes": [
                    described_axis(group[axis].isel({axis: _thinned(group[axis], n_points, len(axes_of(group)))}))
                    for axis in axes_of(group)
                ],
                "band": has_band(group) and len(axes_of(group)) == 1,
                "gain": "gain" in group,
                "field": f"kernel {k}" if 1 <= len(axes_of(group)) <= 2 else None,
            }
            for k, group in enumerate(self.groups)
        ]


def kernels_of(result: Result) -> Kernels | None:
    """The kernels of a result; None before `popglm explain`."""
    if "kernels" not in result.tree.children:
        return None
    groups = []
    for node in result.tree.children["kernels"].children.values():
        for group in _parts_of(node.to_dataset(inherit=False).load()):
            # lags may come in any order
            groups.append(group.sortby([axis for axis in axes_of(group) if group[axis].dtype.kind in "iuf"]))
    largest = [np.abs(group["kernel"].values).reshape(group.sizes["neuron"], -1).max(axis=1) for group in groups]
    return Kernels(groups, np.array(largest)) if groups else None


def _parts_of(group: xr.Dataset) -> list[xr.Dataset]:
    """A kernel by itself, or those of both parts of a model, each under its name and the part's."""
    if "part" not in group.dims:
        return [group]
    return [
        group.sel(part=part, drop=True).assign_attrs(group=f"{group.attrs['group']}, {part}")
        for part in map(str, group["part"].values)
    ]


def axes_of(group: xr.Dataset) -> list[str]:
    """The axes that a kernel runs along."""
    return [str(name) for name in group["kernel"].dims if name != "neuron"]


def has_band(group: xr.Dataset) -> bool:
    """Whether the kernel has the limits of a band."""
    return "lower" in group and "upper" in group


def described_axis(axis: xr.DataArray) -> dict[str, Any]:
    """Name, unit and values of an axis; texts where it holds categories."""
    number = axis.dtype.kind in "iufb"
    categories = not number or "categories" in axis.attrs or axis.size == 1
    values = axis.values.tolist()
    # a file cannot have a slash in a name
    own = str(axis.attrs.get("long_name", ""))
    return {
        "name": own if own.replace("/", "_") == str(axis.name) else str(axis.name),
        "unit": str(axis.attrs.get("units", "")),
        "values": [f"{value:g}" if number else str(value) for value in values] if categories else values,
        "categories": categories,
    }


def _thinned(axis: xr.DataArray, n_points: int, n_axes: int) -> np.ndarray:
    """Places along an axis that are kept: all categories, and so many points from end to end."""
    most = n_points if n_axes == 1 else int(np.sqrt(12 * n_points))
    if described_axis(axis)["categories"] or axis.size <= most:
        return np.arange(axis.size)
    return np.rint(np.linspace(0, axis.size - 1, most)).astype(int)
