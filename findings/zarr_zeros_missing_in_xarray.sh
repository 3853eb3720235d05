#!/usr/bin/env bash
# zarr 3.1.6 and xarray 2026.9.0: the silent samples of a neuron turn into missing values.
#
# Expectation: an integer array of spike counts that zarr saved in format 2 reads back in xarray as the same integers.
# The array is whole. No value was ever marked as missing.
#
# Behaviour: zarr gives each array a fill value, which is 0 unless told otherwise. It stands for chunks that were never
# written. In format 2, xarray takes the fill value for a missing-value mark. Each count of 0 becomes NaN, and the
# counts become floats. The same array in format 3 reads back unchanged. The option that xarray documents for this,
# use_zarr_fill_value_as_mask=False, is accepted and changes nothing; mask_and_scale=False works. There is no warning in
# any case.
#
# Why an analysis suffers: xarray skips NaN in its means. The mean of a sparse neuron is then the mean over the samples
# that hold a spike, so it can never be below one spike per sample. A fit that drops rows with NaN keeps only rows with
# spikes. The sums stay right, which hides the fault.
set -euo pipefail

work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
export OMP_NUM_THREADS=1
python3 -m venv "$work/venv"
"$work/venv/bin/pip" install --quiet --no-compile --disable-pip-version-check \
    numpy==2.4.6 zarr==3.1.6 xarray==2026.9.0

"$work/venv/bin/python" - "$work" <<'PY'
import sys
import warnings

import numpy as np
import xarray as xr
import zarr

warnings.simplefilter("error")  # a warning would end the script: the behaviour is silent
counts = np.array([[0, 1], [2, 0], [0, 0], [0, 3], [1, 0], [0, 0], [0, 0], [0, 1]], dtype="int32")
seen = {}
for zarr_format in (2, 3):
    path = f"{sys.argv[1]}/session{zarr_format}.zarr"
    group = zarr.open_group(path, mode="w", zarr_format=zarr_format)
    names = ["time", "neuron"]
    array = group.create_array("counts", data=counts, dimension_names=names if zarr_format == 3 else None)
    if zarr_format == 2:
        array.attrs["_ARRAY_DIMENSIONS"] = names  # how xarray reads the names of dimensions in format 2
    assert np.array_equal(zarr.open_group(path, mode="r")["counts"][:], counts), "zarr itself lost counts"
    with xr.open_zarr(path, consolidated=False) as dataset:
        read = dataset["counts"].load()
    seen[zarr_format] = read
    print(
        f"format {zarr_format}: dtype {read.dtype}, {int(read.isnull().sum())} of {counts.size} counts missing, "
        f"mean per neuron {read.mean('time').values}, sum {read.sum('time').values}"
    )
    if zarr_format == 2:
        for option in ("use_zarr_fill_value_as_mask", "mask_and_scale"):
            with xr.open_zarr(path, consolidated=False, **{option: False}) as dataset:
                seen[option] = dataset["counts"].load()
            print(f"  with {option}=False: {int(seen[option].isnull().sum())} counts missing")
print(f"saved   : dtype {counts.dtype}, {int((counts == 0).sum())} of {counts.size} counts 0, mean {counts.mean(0)}")

masked = np.where(counts == 0, np.nan, counts)
as_described = (
    seen[2].dtype == np.float64
    and np.array_equal(seen[2], masked, equal_nan=True)
    and np.allclose(seen[2].mean("time"), np.nanmean(masked, axis=0))
    and np.array_equal(seen["use_zarr_fill_value_as_mask"], masked, equal_nan=True)
    and np.array_equal(seen["mask_and_scale"], counts)
    and seen[3].dtype == np.int32
    and np.array_equal(seen[3], counts)
)
sys.exit(0 if as_described else "The behaviour has changed.")
PY
