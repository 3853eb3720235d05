"""Texts of files that are changed and written again: xarray remembers how long they were, and would cut longer ones."""

import numpy as np
import xarray as xr

from popglm.io.netcdf import write_netcdf


def test_texts_that_become_longer_stay_whole(tmp_path):
    for name, labels in (("a", ["1", "2"]), ("b", ["1000"])):
        data = xr.Dataset({"x": ("neuron", np.arange(len(labels)))}, {"neuron": labels})
        write_netcdf(tmp_path / f"{name}.nc", {"/": data})
    parts = [xr.load_dataset(tmp_path / f"{name}.nc", engine="h5netcdf") for name in "ab"]
    joined = xr.concat(parts, "neuron")
    names = parts[0]["neuron"].drop_vars("neuron")
    changed = {"/": joined, "/below": parts[0].assign(text=names.copy(data=["left", "straight on"]))}
    write_netcdf(tmp_path / "c.nc", changed)
    found = xr.load_dataset(tmp_path / "c.nc", engine="h5netcdf")
    assert found["neuron"].values.tolist() == ["1", "2", "1000"]
    below = xr.load_dataset(tmp_path / "c.nc", engine="h5netcdf", group="below")
    assert below["text"].values.tolist() == ["left", "straight on"]
