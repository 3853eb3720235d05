"""Kernels of both parts of a `TwoPartGLM`, side by side."""

from __future__ import annotations

import numpy as np
import xarray as xr

from popglm.estimators.part_arguments import PARTS

__all__ = ["kernels_of_parts"]


def kernels_of_parts(events: dict[str, xr.Dataset], amounts: dict[str, xr.Dataset]) -> dict[str, xr.Dataset]:
    """One Dataset per feature group, with a dimension ``part`` before all others.

    What one part alone has, such as gains, is NaN in the other.
    """
    found = {}
    for group, own in events.items():
        both = own, amounts[group]
        names = dict.fromkeys(name for data in both for name in data.data_vars)
        filled = [
            data.assign({
                name: xr.full_like(other[name], np.nan, float) for name in names if name not in data
            })
            for data, other in zip(both, both[::-1], strict=True)
        ]  # fmt: skip
        found[group] = xr.concat(filled, "part", combine_attrs="override").assign_coords(part=list(PARTS))
    return found
