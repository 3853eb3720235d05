#!/usr/bin/env bash
# xarray 2026.9.0 with h5netcdf 1.8.2: texts read from files are cut when they are joined with longer ones and written.
#
# Expectation: `xr.concat` of two Datasets holds the texts of both, and `to_netcdf` writes what the Dataset holds.
#
# Behaviour: a variable read from a file keeps the type it had there in `encoding["dtype"]`, such as "<U1". `xr.concat`
# joins the values, "1" and "1000", and keeps the encoding of the first file. `to_netcdf` then casts all texts to that
# type: "1000" is written as "1". There is no error and no warning, and the Dataset in memory is right. The same happens
# with `array.copy(data=longer)`. New values given as `(dims, values)` have no encoding, and are written whole.
#
# Why an analysis suffers: names of neurons "0" to "9" come first, and longer ones later. Of a population in several
# files, the joined file has many neurons of one name, and results are looked up under the wrong one. Clear what files
# left behind before writing: `data.drop_encoding().to_netcdf(...)`.
set -euo pipefail

work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
export OMP_NUM_THREADS=1
python3 -m venv "$work/venv"
"$work/venv/bin/pip" install --quiet --no-compile --disable-pip-version-check \
    numpy==2.4.6 pandas==3.1.1 xarray==2026.9.0 h5netcdf==1.8.2 h5py==3.14.0 2>/dev/null

"$work/venv/bin/python" - "$work" <<'PY'
import sys

import numpy as np
import xarray as xr


def written(data, name):
    """A Dataset as it comes back from a file."""
    path = f"{sys.argv[1]}/{name}.nc"
    data.to_netcdf(path, engine="h5netcdf")
    return xr.load_dataset(path, engine="h5netcdf")


first = written(xr.Dataset(coords={"neuron": ["1", "2"]}), "first")
second = written(xr.Dataset(coords={"neuron": ["1000"]}), "second")
joined = xr.concat([first, second], dim="neuron")
copied = first.assign(text=first["neuron"].drop_vars("neuron").copy(data=np.array(["1", "2000"])))

in_memory = joined["neuron"].values.tolist()
from_file = written(joined, "joined")["neuron"].values.tolist()
of_copy = written(copied, "copied")["text"].values.tolist()
cleared = written(joined.drop_encoding(), "cleared")["neuron"].values.tolist()

print("encoding of the first file   ", first["neuron"].encoding.get("dtype"))
print("joined, in memory            ", in_memory)
print("joined, written and read     ", from_file)
print("copy(data=...), written, read", of_copy)
print("drop_encoding() before it    ", cleared)

as_described = (
    in_memory == cleared == ["1", "2", "1000"] and from_file == ["1", "2", "1"] and of_copy == ["1", "2"]
)
sys.exit(0 if as_described else 1)
PY
echo "as described: longer texts are cut to the length of those of the first file"
