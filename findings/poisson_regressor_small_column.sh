#!/usr/bin/env bash
# scikit-learn 1.9.1, PoissonRegressor: a column in a large unit, such as metres, is left out of the fit in silence.
#
# Expectation: without a penalty (alpha=0), the fit is the same in any unit. Measuring a pupil in metres instead of
# millimetres multiplies its coefficient by 1,000 and changes no prediction. If the solver fails, ConvergenceWarning
# says.
#
# Behaviour: the solver (lbfgs) stops once the largest entry of the gradient is below `tol`. The entry of a column
# scales with that column, so it is below `tol` at the start for a column of some 1e-3. The fit ends after a few
# iterations with a coefficient of about 0, reports success, and gives no warning. The solver newton-cholesky, or a
# smaller tol, finds the right coefficient.
#
# Why an analysis suffers: the neuron's strongest variable appears to have no effect. Which variables a neuron encodes
# then depends on the units they were stored in.
set -euo pipefail

work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
export OMP_NUM_THREADS=1
python3 -m venv "$work/venv"
"$work/venv/bin/pip" install --quiet --no-compile --disable-pip-version-check \
    numpy==2.4.6 scipy==1.17.1 scikit-learn==1.9.1

"$work/venv/bin/python" - <<'PY'
import sys
import warnings

import numpy as np
from sklearn.linear_model import PoissonRegressor

warnings.simplefilter("error")  # ConvergenceWarning would end the script: the behaviour is silent
rng = np.random.default_rng(1)
speed = rng.standard_normal(4000)
pupil = 1.5 + 0.4 * rng.standard_normal(4000)  # in mm
counts = rng.poisson(np.exp(-1 + 0.2 * speed + 0.8 * (pupil - 1.5)))

per_mm, explained = {}, {}
for unit, size in (("mm", 1.0), ("m", 1e-3)):
    X = np.column_stack([speed, pupil * size])
    for options in ({}, {"tol": 1e-8}, {"solver": "newton-cholesky"}):
        model = PoissonRegressor(alpha=0, **options).fit(X, counts)
        key = unit, *options
        per_mm[key] = model.coef_[1] * size
        explained[key] = model.score(X, counts)
        print(
            f"pupil in {unit:2s} {options!s:32s}: coefficient per mm {per_mm[key]:8.5f}, "
            f"deviance explained {explained[key]:.4f}, {model.n_iter_} iterations"
        )

right = per_mm["mm", "solver"]
as_described = (
    abs(per_mm["m",]) < 0.001
    and explained["m",] < 0.3 * explained["mm",]
    and abs(right - 0.8) < 0.1
    and all(abs(per_mm[key] - right) < 0.01 for key in per_mm if key != ("m",))
)
sys.exit(0 if as_described else "The behaviour has changed.")
PY
