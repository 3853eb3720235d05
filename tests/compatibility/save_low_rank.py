"""Save a model of low rank as this revision does: ``python tests/compatibility/save_low_rank.py NAME``.

To be run once before every change of the files.

Writes ``saved/NAME-low-rank.nc`` and what the model answers, ``saved/NAME-low-rank.json``. Files stay as they are:
later revisions have to open them.
"""

import json
import sys
import warnings

import numpy as np
from save_models import SAVED, recording

import popglm as pg


def model() -> pg.LowRankGLM:
    """A rank and a ridge from folds, a group with free weights, and one that is closed for a neuron."""
    X, Y, trial, _ = recording()
    settings = {"low_rank": range(3), "low_rank_groups": ["position"], "lambdas": [0.03], "ridge": [0.1, 0.01], "cv": 4}
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        mask = np.array([[True, True, True], [True, True, False]])
        return pg.LowRankGLM(**settings, feature_mask=mask).fit(X, Y, groups=trial)


def answers(found: pg.LowRankGLM) -> dict[str, list]:
    """What a model says of the recording."""
    X, *_ = recording()
    said = {
        "predict": found.predict(X.iloc[:5]),
        "predict_held_out": found.predict_held_out(X)[:5],
        "latent_signals": found.latent_signals(X)[:5],
        "coef_": found.coef_,
        "singular_values_": found.singular_values_,
        "source_loadings_": found.source_loadings_,
        "target_loadings_": found.target_loadings_,
        "candidates_": found.candidates_,
        "certificates": [found.gap_[0, 0], found.slope_, found.is_global_],
        "chosen": [found.low_rank_, found.rank_, found.ridge_, found.lambda_[0], found.candidate_],
        "cv_deviance_explained_": found.cv_deviance_explained_,
        "neuron_names_": found.neuron_names_,
        "feature_group_names_": found.feature_group_names_,
    }
    return {name: np.asarray(value).tolist() for name, value in said.items()}


def main(name: str) -> None:
    """Write the model and its answers."""
    found = model()
    found.save(SAVED / f"{name}-low-rank.nc")
    (SAVED / f"{name}-low-rank.json").write_text(json.dumps(answers(found), indent=1) + "\n")


if __name__ == "__main__":
    main(*sys.argv[1:])
