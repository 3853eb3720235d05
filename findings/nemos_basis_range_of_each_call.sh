#!/usr/bin/env bash
# nemos 0.2.8 in a scikit-learn 1.9.1 pipeline: the prediction for a sample depends on the samples predicted beside it.
#
# Expectation: a basis in a pipeline learns its range when it is fitted, as scikit-learn's SplineTransformer learns its
# knots. The rows of a test set then meet the functions that the weights were fitted to.
#
# Behaviour: `fit` of a nemos basis as a transformer keeps no range. Unless `bounds` are given, each call to `transform`
# stretches the functions between the smallest and the largest value of that call. The same position gives other
# columns, and so another predicted rate, when the rest of the rows changes. There is no warning.
#
# Why an analysis suffers: a held-out trial in which the animal covered half of the track is predicted with the tuning
# of the whole track squeezed into that half. The score falls below that of a constant rate, and one concludes that the
# neuron has no tuning. Where all folds cover about the same range, the error is small and goes unseen.
set -euo pipefail

work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
export OMP_NUM_THREADS=1
python3 -m venv "$work/venv"
"$work/venv/bin/pip" install --quiet --no-compile --disable-pip-version-check \
    numpy==2.4.6 scikit-learn==1.9.1 jax==0.10.2 pynapple==0.11.4 nemos==0.2.8

"$work/venv/bin/python" - <<'PY'
import sys
import warnings

import numpy as np
from nemos.basis import RaisedCosineLinearEval
from sklearn.linear_model import PoissonRegressor
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import SplineTransformer

rng = np.random.default_rng(0)
position = np.sort(rng.uniform(0, 100, (4000, 1)), axis=0)
position[0], position[-1] = 0, 100
counts = rng.poisson(np.exp(-0.5 + 1.5 * np.exp(-(((position[:, 0] - 30) / 10) ** 2))))
first_half = position[:, 0] < 50

models = {
    "nemos": RaisedCosineLinearEval(8).to_transformer(),
    "nemos with bounds": RaisedCosineLinearEval(8, bounds=(0, 100)).to_transformer(),
    "scikit-learn": SplineTransformer(n_knots=6),
}
change, score = {}, {}
for name, basis in models.items():
    with warnings.catch_warnings():
        warnings.simplefilter("error", UserWarning)
        model = make_pipeline(basis, PoissonRegressor(alpha=1e-4, max_iter=1000)).fit(position, counts)
        among_all = model.predict(position)[first_half]
        alone = model.predict(position[first_half])
        score[name] = model.score(position[first_half], counts[first_half])
    change[name] = np.abs(alone - among_all).max()
    print(
        f"{name:18s}: largest change of a predicted count {change[name]:.3f}, "
        f"deviance explained on the first half {score[name]:.3f}"
    )

as_described = (
    change["nemos"] > 1
    and score["nemos"] < 0
    and change["nemos with bounds"] < 1e-3
    and change["scikit-learn"] < 1e-9
    and min(score["nemos with bounds"], score["scikit-learn"]) > 0.1
)
sys.exit(0 if as_described else "The behaviour has changed.")
PY
