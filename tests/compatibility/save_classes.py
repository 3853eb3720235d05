"""Save a model of categorical responses as this revision does: ``python tests/compatibility/save_classes.py NAME``.

To be run once before every change of the files.

Writes ``saved/NAME-classes.nc`` and what the model answers, ``saved/NAME-classes.json``. Files stay as they are: later
revisions have to open them.
"""

import json
import sys
import warnings

import numpy as np
import pandas as pd
from save_models import SAVED, recording

import popglm as pg


def model() -> pg.ClassifierGLMCV:
    """A state of text, not known everywhere, and a count of up to 2, in the columns of the other saved models."""
    X, counts, trial, _ = recording()
    state = np.array(["rest", "run", "turn"])[np.digitize(X.to_numpy() @ [1.0, 0.5, 0.2], [-0.4, 0.4])].astype(object)
    state[::11] = None
    y = pd.DataFrame({"state": state, "count": counts["a"].clip(upper=2).astype(int)})
    settings = {"lambdas": [0.1, 0.01, 0.001], "cv": 4, "class_weight": {"run": 2.0}}
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return pg.ClassifierGLMCV("group_lasso", **settings).fit(X, y, groups=trial)


def answers(found: pg.ClassifierGLMCV) -> dict[str, list]:
    """What a model says of the recording."""
    X, *_ = recording()
    said = {
        "predict": found.predict(X.iloc[:5]),
        "predict_proba": found.predict_proba(X.iloc[:5]),
        "predict_proba_held_out": found.predict_proba_held_out(X)[:5],
        "classes_": found.classes_,
        "class_counts_": found.class_counts_,
        "coef_": found.coef_,
        "gap_": found.gap_,
        "lambda_": found.lambda_,
        "neuron_names_": found.neuron_names_,
        "feature_group_names_": found.feature_group_names_,
        "cv_deviance_explained_": found.cv_deviance_explained_,
        "strongest_within_an_error": found.select(se_fraction=1.0).lambda_,
    }
    return {name: np.asarray(value).tolist() for name, value in said.items()}


def main(name: str) -> None:
    """Write the model and its answers."""
    found = model()
    found.save(SAVED / f"{name}-classes.nc")
    (SAVED / f"{name}-classes.json").write_text(json.dumps(answers(found), indent=1) + "\n")


if __name__ == "__main__":
    main(*sys.argv[1:])
