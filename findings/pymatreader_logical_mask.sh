#!/usr/bin/env bash
# pymatreader 1.3.2: a logical mask from a MATLAB file comes as integers, and indexing with it gives cells 0 and 1.
#
# Expectation: a logical of MATLAB is a bool in numpy, so that F[iscell] keeps the cells that were marked. mat73 0.65
# gives a bool for the same file of version 7.3.
#
# Behaviour: read_mat returns 0 and 1 as uint8, for files of version 7.3 and before. numpy takes integers for positions.
# F[iscell] is then a copy of row 1 where a cell is marked, and of row 0 where it is not. The result has as many rows as
# F itself, so that no length gives it away, and there is no warning. The class is in the file, as "logical".
#
# Why an analysis suffers: a population of 300 cells becomes two cells, over and over. Every step after it runs: fits
# converge, averages over cells have small error bars, and all cells seem to share their tuning.
set -euo pipefail

work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
export OMP_NUM_THREADS=1
python3 -m venv "$work/venv"
"$work/venv/bin/pip" install --quiet --no-compile --disable-pip-version-check \
    numpy==2.4.6 scipy==1.17.1 h5py==3.16.0 pymatreader==1.3.2 mat73==0.65

"$work/venv/bin/python" - "$work" <<'PY'
import sys
import warnings
from pathlib import Path

import h5py
import numpy as np
import scipy.io
from mat73 import loadmat
from pymatreader import read_mat

warnings.simplefilter("error")  # a warning would end the script: the behaviour is silent
F = np.arange(5.0)[:, None] * 10 + np.arange(3)  # five cells, three samples
iscell = np.array([True, False, True, True, False])
old, new = Path(sys.argv[1], "old.mat"), Path(sys.argv[1], "new.mat")
scipy.io.savemat(old, {"F": F, "iscell": iscell[:, None]})
# as MATLAB saves with -v7.3: axes the other way round, logicals as uint8 with their class beside them
with h5py.File(new, "w", userblock_size=512) as file:
    file.create_dataset("F", data=F.T).attrs["MATLAB_class"] = np.bytes_("double")
    mask = file.create_dataset("iscell", data=iscell[None].astype("uint8"))
    mask.attrs["MATLAB_class"], mask.attrs["MATLAB_int_decode"] = np.bytes_("logical"), np.int32(1)
with new.open("r+b") as file:
    file.write(b"MATLAB 7.3 MAT-file, Platform: GLNXA64, HDF5 schema 1.00 .".ljust(124) + b"\x00\x02IM")

print("marked cells, first sample:", F[iscell][:, 0])
found = {}
for name, data in (("pymatreader, before 7.3", read_mat(old)), ("pymatreader, 7.3", read_mat(new)), ("mat73, 7.3", loadmat(new))):
    found[name] = data["F"][data["iscell"]][:, 0]
    print(f"{name:24s}: iscell is {data['iscell'].dtype}, first sample of F[iscell] {found[name]}")

wrong = [10.0, 0.0, 10.0, 10.0, 0.0]
as_described = (
    found["pymatreader, before 7.3"].tolist() == wrong
    and found["pymatreader, 7.3"].tolist() == wrong
    and found["mat73, 7.3"].tolist() == F[iscell][:, 0].tolist() == [0.0, 20.0, 30.0]
)
sys.exit(0 if as_described else "The behaviour has changed.")
PY
