"""Save a result as this revision writes it: ``python tests/compatibility/save_results.py NAME``.

To be run once before every change of the files. Writes ``saved/NAME-result.nc``, which stays as it is, and what the
result answers, ``saved/NAME-result.json``.
"""

import json
import sys
import tempfile
import warnings
from pathlib import Path

import numpy as np
from save_models import SAVED, recording

from popglm.analysis.explaining import explain_result
from popglm.analysis.recipe import read_recipe
from popglm.analysis.result import Result, make_result, open_result
from popglm.analysis.running import build, fit_recipe, grid_of, session_of

RECIPE = """\
[data]
path = "session.npz"
options = {activity = "Y", signals = ["position", "speed"], trials = "trial", rate = 10}

[trials]
source = "trial"

[[terms]]
basis = "bumps"
variable = "position"
n = 4
low = -1
high = 1

[[terms]]
basis = "linear"
variable = "speed"

[model]
penalty = "group_lasso"
lambdas = [0.1, 0.01]
cv = 3

[explain]
n_points = 5
"""


def answers(result: Result) -> dict[str, list]:
    """What a result says."""
    neurons = result.neurons
    return {
        "neurons": [str(name) for name in neurons.index],
        "deviance_explained": neurons["deviance_explained"].tolist(),
        "coef_": np.asarray(result.model.coef_, float).tolist(),
        "predicted": result.part("grid")["predicted"].values[:5].astype(float).tolist(),
        "contributions": result.part("contributions")["fraction_explained_deviance"].values.tolist(),
        "kernel": result.tree["kernels/000/kernel"].values.tolist(),
    }


def main(name: str) -> None:
    """Fit, explain and save."""
    X, Y, trial, _ = recording()
    arrays = {"position": X.iloc[:, 0], "speed": X.iloc[:, 2], "trial": trial, "Y": Y.to_numpy()}
    with tempfile.TemporaryDirectory() as folder, warnings.catch_warnings():
        warnings.simplefilter("ignore")
        np.savez(Path(folder) / "session.npz", **{key: np.asarray(values, float) for key, values in arrays.items()})
        (Path(folder) / "recipe.toml").write_text(RECIPE, encoding="utf-8")
        recipe = read_recipe(Path(folder) / "recipe.toml")
        session = session_of(recipe)
        data = grid_of(recipe, session)
        matrices = build(recipe, data)
        result = make_result(recipe, data, matrices, fit_recipe(recipe, matrices), session.trials)
        explained = explain_result(recipe, result)
        explained.save(Path(folder) / "result.nc")
        (SAVED / f"{name}-result.nc").write_bytes((Path(folder) / "result.nc").read_bytes())
    found = json.dumps(answers(open_result(SAVED / f"{name}-result.nc")), indent=1)
    (SAVED / f"{name}-result.json").write_text(found + "\n", encoding="utf-8")


if __name__ == "__main__":
    main(sys.argv[1])
