#!/usr/bin/env bash
# scipy 1.17.1: non-negative least squares of a matrix without columns ends the whole process.
#
# Expectation: scipy.optimize.nnls of a matrix of shape (m, 0) returns an empty solution and the norm of b, as other
# solvers of least squares do, or raises an error.
#
# Behaviour: the interpreter aborts in free() with "double free"; no exception can be caught.
#
# Why an analysis suffers: where a loop solves for the weights that may be positive and a neuron has none, the loop does
# not skip that neuron: all results that were not saved are gone.
set -euo pipefail

work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
export OMP_NUM_THREADS=1
python3 -m venv "$work/venv"
"$work/venv/bin/pip" install --quiet --no-compile --disable-pip-version-check "numpy==2.3.5" "scipy==1.17.1"

cat > "$work/nnls.py" <<'PY'
import sys

import numpy as np
import scipy
from scipy.optimize import nnls

n_columns = int(sys.argv[1])
try:
    x, norm = nnls(np.ones((5, n_columns)), np.ones(5))
    print(f"scipy {scipy.__version__}: {n_columns} columns, x of shape {x.shape}, norm {norm:g}", flush=True)
except Exception as error:
    print("an error that can be caught:", type(error).__name__, flush=True)
PY

"$work/venv/bin/python" "$work/nnls.py" 1
status=0
"$work/venv/bin/python" "$work/nnls.py" 0 2> "$work/told" || status=$?
echo "0 columns: exit status $status, $(tail -1 "$work/told")"
if [ "$status" -ge 128 ]; then
    echo "as described"
else
    echo "changed"
    exit 1
fi
