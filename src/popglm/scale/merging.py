"""Results of blocks of neurons as one."""

from __future__ import annotations

import json
from collections.abc import Sequence

import numpy as np
import xarray as xr

from popglm.analysis.result import Result
from popglm.explain.tuning_kernels import mean_absolute
from popglm.io.netcdf import described, description_of

__all__ = ["merged"]


def merged(results: Sequence[Result]) -> Result:
    """One result of several that are alike but for their neurons, in the order given.

    What belongs to a neuron is put side by side; means over neurons are taken anew.

    Raises
    ------
    ValueError
        If they are not of the same recipe and data.
    """
    first = results[0]
    about = [result.about for result in results]
    if len({json.dumps([one["fingerprint"], one.get("session")], sort_keys=True) for one in about}) > 1:
        raise ValueError("blocks of neurons are of different recipes or data; delete the folder .blocks, and fit again")
    parts = {}
    for path, _ in first.tree.subtree_with_keys:
        own = [dict(result.tree.subtree_with_keys)[path].to_dataset(inherit=False).load() for result in results]
        parts["/" if path == "." else f"/{path}"] = _side_by_side(own)
    model = [description_of(result.part("model"), "a block") for result in results]
    seconds = {name: sum(one["timings"].get(name, 0.0) for one in model) for name in model[0]["timings"]}
    description = model[0] | {
        "timings": seconds,
        "far_from_zero": any(one["far_from_zero"] for one in model),
        "neurons_are_named": any(one["neurons_are_named"] for one in model),
    }
    masks = [one["parameters"].get("feature_mask") for one in model]
    if masks[0] is not None:
        mask = np.concatenate(masks, axis=1).tolist()
        description["parameters"] = description["parameters"] | {"feature_mask": mask}
    factors = [one["parameters"].get("penalty_factors") for one in model]
    if np.ndim(factors[0]) == 2:
        own = np.concatenate(factors, axis=1).tolist()
        description["parameters"] = description["parameters"] | {"penalty_factors": own}
    parts["/model"] = described(parts["/model"], description)
    return Result(xr.DataTree.from_dict(parts), first.folder).with_about(seconds=seconds)


def _side_by_side(parts: Sequence[xr.Dataset]) -> xr.Dataset:
    """One part of all results: what has neurons is joined along them, the rest is that of the first."""
    if not any("neuron" in part.sizes for part in parts):
        return parts[0]
    joined = xr.concat(
        parts, dim="neuron", data_vars="minimal", coords="minimal", compat="override", join="override",
        combine_attrs="override",
    )  # fmt: skip
    if "mean_absolute" in joined:
        kernel = joined["kernel"].transpose("neuron", ...)
        flat = kernel.values.reshape(len(kernel), -1)
        for name, values in zip(("mean_absolute", "mean_absolute_sem"), mean_absolute(flat), strict=True):
            joined[name] = joined[name].copy(data=np.reshape(values, joined[name].shape))
    return joined[list(parts[0].data_vars)]
