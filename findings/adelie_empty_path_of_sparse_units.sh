#!/usr/bin/env bash
# adelie 1.1.52: a group lasso of a neuron with one event returns a path without a single strength, and does not raise.
#
# Expectation: the path has as many strengths as were asked for, as glmnet's and scikit-learn's fits of such activity
# have; or, if the solver fails, an exception says so.
#
# Behaviour: `grpnet` with `glm.poisson` and one event in 4,000 samples, and with `glm.binomial` and one or two, logs
# "IRLS lambda is unexpectedly inf" and returns a state whose `lmdas` and `betas` are empty. The message is in
# `state.error`; nothing is raised. With more events the same call returns all strengths.
#
# Why an analysis suffers: real populations hold units that fire once in a fold. A loop over neurons that stacks paths
# ends far from the cause, or, where it collects (neuron, strength) rows, loses such neurons in silence: their share of
# the population is gone from every count and average that follows.
set -euo pipefail

work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
export OMP_NUM_THREADS=1
python3 -m venv "$work/venv"
"$work/venv/bin/pip" install --quiet --no-compile --disable-pip-version-check \
    "numpy==1.26.4" "scikit-learn==1.5.2" "adelie==1.1.52"

"$work/venv/bin/python" - 2>/dev/null <<'PY'
import sys

import adelie as ad
import numpy as np
from sklearn.linear_model import PoissonRegressor

n, p = 4000, 20
X = np.random.default_rng(0).normal(size=(n, p))
X = np.asfortranarray((X - X.mean(axis=0)) / X.std(axis=0))
strengths = np.geomspace(1e-1, 1e-4, 5)


def path(family, n_events):
    """Strengths that come back of five, and whether the state holds a message."""
    y = np.zeros(n)
    y[:n_events] = 1
    settings = {"groups": np.arange(0, p, 4), "lmda_path": strengths, "early_exit": False, "progress_bar": False}
    state = ad.grpnet(X, family(y), **settings)
    return len(state.lmdas), bool(state.error)


print("adelie", ad.__version__)
found = {}
for name, family in (("poisson", ad.glm.poisson), ("binomial", ad.glm.binomial)):
    for n_events in (1, 2, 3, 20):
        found[name, n_events] = path(family, n_events)
        print(f"{name:>8}, {n_events:>2} events: {found[name, n_events][0]} of 5 strengths, message {found[name, n_events][1]}")

y = np.zeros(n)
y[0] = 1
other = PoissonRegressor(alpha=1e-3).fit(X, y)
print(f"scikit-learn, 1 event: {other.coef_.size} weights, all finite {np.isfinite(other.coef_).all()}")

seen = found["poisson", 1] == found["binomial", 1] == (0, True) and found["poisson", 20] == (5, False)
print("as described" if seen else "changed")
sys.exit(not seen)
PY
