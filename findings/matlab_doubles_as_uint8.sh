#!/usr/bin/env bash
# scipy 1.17.1, loadmat: a MATLAB matrix of class double comes back as uint8, and its matrix products wrap at 256.
#
# Expectation: numbers in MATLAB are doubles unless made otherwise. `whosmat` calls the variable a double, so `loadmat`
# returns float64, as it does for a double with fractions in it.
#
# Behaviour: MATLAB stores a double that holds only small whole numbers in fewer bytes. By default loadmat returns the
# type of storage: uint8 for whole numbers from 0 to 255, int16 as soon as one is negative. The true class is there with
# mat_dtype=True. numpy then computes X.T @ X and np.diff in uint8, and wraps round without a warning. The file here was
# written by MATLAB 7.4, and ships with scipy's tests.
#
# Why an analysis suffers: spike counts are small whole numbers. The matrix X.T @ X that a fit solves is off by
# multiples of 256, and a count that falls by 6 rises by 250. np.mean and np.sum use a wider type, so the first looks at
# the data show nothing. Another session of the same script comes back in another type, and is right.
set -euo pipefail

work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
export OMP_NUM_THREADS=1
python3 -m venv "$work/venv"
"$work/venv/bin/pip" install --quiet --no-compile --disable-pip-version-check \
    numpy==2.4.6 scipy==1.17.1

"$work/venv/bin/python" - <<'PY'
import sys
import warnings
from pathlib import Path

import numpy as np
import scipy.io

warnings.simplefilter("error", RuntimeWarning)
folder = Path(scipy.io.__file__).parent / "matlab" / "tests" / "data"


def load(name, **options):
    path = folder / f"test{name}_7.4_GLNX86.mat"
    ((_, _, matlab_class),) = scipy.io.whosmat(path)
    return matlab_class, scipy.io.loadmat(path, **options)[f"test{name}"]


for name in ("3dmatrix", "minus", "double"):
    matlab_class, values = load(name)
    print(f"{name:9s}: class in MATLAB {matlab_class}, loaded as {values.dtype}, values {values.ravel()[:4]} ...")

matlab_class, values = load("3dmatrix")
X = values.reshape(-1, 4)  # six samples of four counts
X_double = load("3dmatrix", mat_dtype=True)[1].reshape(-1, 4)
backwards, backwards_double = np.diff(X[:, ::-1])[0], np.diff(X_double[:, ::-1])[0]
print("X.T @ X, diagonal, as loaded / as doubles:", np.diag(X.T @ X), np.diag(X_double.T @ X_double))
print("differences of 19, 13, 7, 1, as loaded / as doubles:", backwards, backwards_double)
print("column means, as loaded / as doubles:", X.mean(0), X_double.mean(0))

as_described = (
    matlab_class == "double"
    and X.dtype == np.uint8
    and X_double.dtype == np.float64
    and np.array_equal(X, X_double)
    and load("minus")[1].dtype == np.int16
    and load("double")[1].dtype == np.float64
    and np.array_equal(X.T @ X, (X_double.T @ X_double) % 256)
    and not np.array_equal(X.T @ X, X_double.T @ X_double)
    and backwards.tolist() == [250, 250, 250]
    and backwards_double.tolist() == [-6, -6, -6]
)
sys.exit(0 if as_described else "The behaviour has changed.")
PY
