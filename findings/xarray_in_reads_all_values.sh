#!/usr/bin/env bash
# xarray 2026.9.0: `name in data_array` reads every value of an array that lies in a file.
#
# Expectation: for a Dataset, `"speed" in dataset` asks whether it has a variable of that name, and reads nothing. Code
# that is handed a Dataset or a DataArray asks the same of both, and expects the same: its names, or its coordinates.
#
# Behaviour: for a DataArray the question is whether the text is among its *values*. All of them are read from the file
# to answer it, and then compared with a text; the answer is False. There is no warning, and the array stays lazy, so
# that the next such question reads all values again.
#
# Why an analysis suffers: the answer is right by luck, and an hour of fluorescence is read for each question. Of a
# session of 864 MB, four such questions took longer than the analysis, and the memory that laziness was to save.
set -euo pipefail

work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
export OMP_NUM_THREADS=1
python3 -m venv "$work/venv"
"$work/venv/bin/pip" install --quiet --no-compile --disable-pip-version-check \
    numpy==2.4.6 pandas==3.1.1 xarray==2026.9.0

"$work/venv/bin/python" - <<'PY'
import sys

import numpy as np
import xarray as xr
from xarray.backends import BackendArray
from xarray.core import indexing

reads = []


class InFile(BackendArray):
    """10,000 samples of 50 neurons, which counts what is read of it."""

    shape, dtype = (10_000, 50), np.dtype(float)

    def __getitem__(self, key):
        return indexing.explicit_indexing_adapter(key, self.shape, indexing.IndexingSupport.BASIC, self.read)

    def read(self, key):
        values = np.zeros(self.shape)[key]
        reads.append(values.size)
        return values


lazy = xr.Variable(("sample", "neuron"), indexing.LazilyIndexedArray(InFile()))
array = xr.DataArray(lazy, coords={"rate": 30.0}, name="fluorescence")
dataset = array.to_dataset()

in_dataset = "rate" in dataset, list(reads)
answer = "rate" in array
read_once = list(reads)
again = "fluorescence" in array
read_twice = list(reads)

print("'rate' in dataset       ", in_dataset[0], "  values read:", in_dataset[1])
print("'rate' in array         ", answer, " values read:", read_once)
print("'fluorescence' in array ", again, " values read:", read_twice)
print("'rate' in array.coords  ", "rate" in array.coords)

as_described = (
    in_dataset == (True, [])
    and not answer
    and not again
    and read_once == [500_000]
    and read_twice == [500_000, 500_000]
    and "rate" in array.coords
)
sys.exit(0 if as_described else 1)
PY
echo "as described: a question about names reads all values"
