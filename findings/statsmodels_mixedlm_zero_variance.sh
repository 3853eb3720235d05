#!/usr/bin/env bash
# statsmodels 0.14.6: a mixed model with one random intercept, fitted by lbfgs, says that animals do not differ and that
# it has converged, where they differ most.
#
# Expectation: for a balanced table, restricted maximum likelihood has a closed form, that of the analysis of variance.
# A fit whose result says `converged` is near it, whatever the optimiser.
#
# Behaviour: of 20 simulated tables of 6 animals with 40 neurons each, `MixedLM.fit(method="lbfgs")` puts the variance of
# animals at 0 for a third, though they make up a fifth and more of all variance, with `converged` True. Warnings of a
# singular covariance come with it, as they do where the variance is 0 in truth. method="powell" finds the closed form in
# all.
#
# Why an analysis suffers: lbfgs is what the default tries next where bfgs fails, and what answers on the web recommend.
# Differences between animals are reported as none, and the standard error of the mean is missing.
set -euo pipefail

work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
export OMP_NUM_THREADS=1
python3 -m venv "$work/venv"
"$work/venv/bin/pip" install --quiet --no-compile --disable-pip-version-check \
    "numpy==2.2.6" "scipy==1.15.3" "pandas==2.2.3" "statsmodels==0.14.6"

"$work/venv/bin/python" - 2>/dev/null <<'PY'
import sys
import warnings

import numpy as np
import statsmodels
from statsmodels.regression.mixed_linear_model import MixedLM

warnings.simplefilter("ignore")
print("statsmodels", statsmodels.__version__)
rng = np.random.default_rng(0)
animal = np.repeat(np.arange(6), 40)
wrong = {"powell": 0, "lbfgs": 0}
for _ in range(20):
    y = rng.normal(size=6)[animal] * rng.uniform(0.5, 2) + rng.normal(size=240)
    cells = y.reshape(6, 40)
    within, between = cells.var(axis=1, ddof=1).mean(), 40 * cells.mean(axis=1).var(ddof=1)
    right = max((between - within) / 40, 0)
    errors = {"by hand": np.sqrt(between / 240)}
    for method in wrong:
        fit = MixedLM(y, np.ones((240, 1)), animal).fit(method=method)
        wrong[method] += bool(fit.converged and fit.cov_re[0, 0] < 0.01 * right)
        errors[method] = fit.bse_fe[0]
    if wrong["lbfgs"] == 1 and "shown" not in locals():
        shown = errors
print("variance of animals put at 0, and converged, of 20:", wrong)
print("standard error of the mean in the first:", {name: round(float(one), 3) for name, one in shown.items()})

seen = wrong["lbfgs"] >= 5 and wrong["powell"] == 0
print("as described" if seen else "changed")
sys.exit(not seen)
PY
